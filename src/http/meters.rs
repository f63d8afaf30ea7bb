//! What the edge counts, and `/metrics`: all counters as text in Prometheus's exposition format, version 0.0.4.
//!
//! A request costs two readings of the clock, one look for its route and a few additions; nothing is locked. Names of
//! routes are those of the table, so that no client can make a new time series.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::http::answer::caller;
use crate::http::rates::Class;
use crate::http::{App, Refusal};
use crate::live::Meters as Live;
use crate::meter::{Counter, Gauge, Histogram, resident_bytes};
use crate::replica::Lag;
use crate::search::Figures;
use crate::service::Service;
use crate::service::cache::CacheFigures;
use crate::service::figures::{HandlerFigures, Replicas, Watched};
use crate::service::listen::Form;
use crate::service::replication::Role;

/// Of the connections, counted where bytes are moved.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    /// Closed at once, as their address had too many.
    pub(super) crowded: Counter,
    /// TLS that was agreed on, and that was not.
    pub(super) handshakes: Counter,
    pub(super) handshakes_failed: Counter,
    /// Certificates taken from their files anew, and those that could not be.
    pub(super) renewals: Counter,
    pub(super) renewals_failed: Counter,
    /// Cut, as their clients did not read.
    pub(super) stalled: Counter,
    pub(super) read_bytes: Counter,
    pub(super) written_bytes: Counter,
}

/// Of the requests.
#[derive(Debug)]
pub(super) struct Meters {
    routes: matchit::Router<usize>,
    names: Vec<(&'static str, Class)>,
    /// By route, then by the status's first digit, from 1.
    times: Vec<[Histogram; 5]>,
    in_flight: Gauge,
    /// Refused for too many requests.
    pub(super) limited: Counter,
    pub(super) traffic: Arc<Traffic>,
    started_s: u64,
}

/// What is no route of the table.
const OTHER: &str = "other";

/// The place of a route in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route(usize);

impl Meters {
    /// For a table of paths; one that the router could not have would not be counted by its name.
    pub(super) fn new(paths: &[(&'static str, Class)], started_s: u64) -> Meters {
        let mut routes = matchit::Router::new();
        let mut names = vec![(OTHER, Class::Plain)];
        for (path, class) in paths {
            if routes.insert(*path, names.len()).is_ok() {
                names.push((path, *class));
            }
        }
        let times = names.iter().map(|_| [const { Histogram::of_times() }; 5]).collect();
        let (in_flight, limited) = (Gauge::default(), Counter::default());
        Meters { routes, names, times, in_flight, limited, traffic: Arc::default(), started_s }
    }

    /// Counts a request from here until the answer is told, or until the client takes it back.
    pub(super) fn begin(&self, path: &str) -> Timed<'_> {
        self.in_flight.enter();
        let route = Route(self.routes.at(path).map_or(0, |found| *found.value));
        Timed { meters: self, route, since: Instant::now() }
    }

    /// A route's path in the table.
    pub(super) fn name(&self, route: Route) -> &'static str {
        self.names[route.0].0
    }

    /// What it is to a rate limit.
    pub(super) fn class(&self, route: Route) -> Class {
        self.names[route.0].1
    }
}

/// A request that is being answered.
pub(super) struct Timed<'a> {
    meters: &'a Meters,
    pub(super) route: Route,
    pub(super) since: Instant,
}

impl Timed<'_> {
    /// The answer is made; the time it took.
    pub(super) fn end(self, status: StatusCode) -> std::time::Duration {
        let time = self.since.elapsed();
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.meters.times[self.route.0][class].put_time(time);
        time
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.meters.in_flight.leave();
    }
}

/// `GET /metrics`: superusers only, but where `metrics_open` is set.
pub(super) async fn metrics(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let watched = app.service.watched(caller(request.extensions()), app.metrics_open)?;
    let text = render(&app.meters, &app.service, &watched);
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn render(meters: &Meters, service: &Service, watched: &Watched) -> String {
    let mut page = Page(String::new());
    page.edge(meters);
    let core = service.meters();
    page.counter("millpond_commands_committed_total", "Writes that were logged.", core.committed.get());
    page.counter(
        "millpond_commands_refused_total",
        "Writes that were refused when they were decided.",
        core.refused.get(),
    );
    page.counter("millpond_log_written_bytes_total", "Bytes of entries written to the log.", core.logged_bytes.get());
    page.numbers("millpond_batch_commands", "Writes of one group commit.", &core.batch);
    page.times("millpond_log_sync_seconds", "Writing and syncing one group commit.", &core.sync);
    page.times("millpond_apply_seconds", "Folding one layer into the tables.", &core.apply);
    page.times("millpond_checkpoint_seconds", "Making the tables durable.", &core.checkpoint);
    page.figures(watched);
    if let Some(cache) = &watched.cache {
        page.cache(cache);
    }
    page.replicas(&watched.replicas);
    page.live(service.live_meters());
    if let Some(lines) = service.line_meters() {
        page.counter("millpond_request_log_lines_total", "Lines about requests that were kept.", lines.lines.get());
        page.counter(
            "millpond_request_log_dropped_total",
            "Those that were not: no room, or a fault of the disk.",
            lines.dropped.get(),
        );
        page.counter(
            "millpond_request_log_damaged_total",
            "Files of them that could not be read whole.",
            lines.damaged.get(),
        );
    }
    page.gauge("process_start_time_seconds", "When the process started, since 1970.", meters.started_s);
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", bytes);
    }
    page.0
}

/// The text, line by line.
struct Page(String);

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn head(&mut self, name: &str, kind: &str, about: &str) {
        self.line(format_args!("# HELP {name} {about}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn one(&mut self, name: &str, kind: &str, about: &str, value: impl Display) {
        self.head(name, kind, about);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, about: &str, value: u64) {
        self.one(name, "counter", about, value);
    }

    fn gauge(&mut self, name: &str, about: &str, value: impl Display) {
        self.one(name, "gauge", about, value);
    }

    fn times(&mut self, name: &str, about: &str, histogram: &Histogram) {
        self.head(name, "histogram", about);
        self.histogram(name, "", histogram, 1e6);
    }

    fn numbers(&mut self, name: &str, about: &str, histogram: &Histogram) {
        self.head(name, "histogram", about);
        self.histogram(name, "", histogram, 1.0);
    }

    /// Buckets hold what is in those before them too; `scale` of the values are one of what is shown.
    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram, scale: f64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (at, more) in histogram.counts().into_iter().enumerate() {
            count += more;
            let bound = histogram.bound(at).map_or("+Inf".to_owned(), |bound| (bound as f64 / scale).to_string());
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"));
        }
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        self.line(format_args!("{name}_sum{labels} {}", histogram.sum() as f64 / scale));
        self.line(format_args!("{name}_count{labels} {count}"));
    }

    fn edge(&mut self, meters: &Meters) {
        let name = "millpond_http_request_seconds";
        self.head(name, "histogram", "Time from a request's head to its answer's, by route and class of status.");
        for ((route, _), classes) in meters.names.iter().zip(&meters.times) {
            for (class, times) in classes.iter().enumerate().filter(|(_, times)| times.counts().iter().any(|n| *n > 0))
            {
                let labels = format!("route=\"{route}\",status=\"{}xx\"", class + 1);
                self.histogram(name, &labels, times, 1e6);
            }
        }
        let traffic = &meters.traffic;
        self.gauge("millpond_http_in_flight", "Requests that are being answered.", meters.in_flight.get());
        self.counter("millpond_http_limited_total", "Requests refused by a rate limit.", meters.limited.get());
        self.gauge("millpond_connections", "Connections that are open.", traffic.connections.get());
        self.counter("millpond_connections_total", "Connections that were accepted.", traffic.accepted.get());
        self.counter(
            "millpond_connections_refused_total",
            "Connections closed at once, as their address had too many.",
            traffic.crowded.get(),
        );
        self.counter(
            "millpond_connections_stalled_total",
            "Connections that were cut, as their clients did not read.",
            traffic.stalled.get(),
        );
        self.counter("millpond_tls_handshakes_total", "Connections that came to speak TLS.", traffic.handshakes.get());
        self.counter(
            "millpond_tls_handshakes_failed_total",
            "Connections that were to speak TLS and did not: too slow, none in common, plain HTTP.",
            traffic.handshakes_failed.get(),
        );
        self.counter("millpond_tls_renewals_total", "Certificates read anew from their files.", traffic.renewals.get());
        self.counter(
            "millpond_tls_renewals_failed_total",
            "Changed files of certificate and key that were not taken.",
            traffic.renewals_failed.get(),
        );
        self.counter("millpond_read_bytes_total", "Bytes read from clients.", traffic.read_bytes.get());
        self.counter("millpond_written_bytes_total", "Bytes written to clients.", traffic.written_bytes.get());
    }

    fn figures(&mut self, watched: &Watched) {
        let core = &watched.core;
        self.gauge("millpond_position", "Number of the last entry that can be read.", core.position.seq.0);
        self.gauge("millpond_log_first", "Number of the oldest entry that the log has.", core.first.seq.0);
        self.gauge("millpond_log_bytes", "Files of the log, spare ones too.", core.log_bytes);
        self.gauge("millpond_base_bytes", "The tables' file.", core.base_bytes);
        self.gauge("millpond_layer_bytes", "Writes in memory that are not in the tables yet.", core.layer_bytes);
        self.gauge("millpond_writes_queued", "Writes that wait.", core.queued);
        self.gauge("millpond_writes_queued_bytes", "The same in bytes.", core.queued_bytes);
        self.gauge("millpond_collections", "Collections.", core.collections);
        self.gauge("millpond_scans_queued", "Long queries that wait.", watched.scans_queued);
        self.gauge("millpond_aggregates_running", "Aggregates that are carried out.", watched.aggregates);
        self.gauge("millpond_totals_kept", "Totals of lists that are kept.", watched.totals_kept);
        self.search(&watched.search);
        let streams = "millpond_streams";
        self.head(streams, "gauge", "Streams that are open, by how they are sent.");
        for (form, count) in Form::ALL.iter().zip(watched.streams) {
            self.line(format_args!("{streams}{{kind=\"{}\"}} {count}", form.name()));
        }
        self.gauge(
            "millpond_stream_topics",
            "What is listened to, each once for all who see it alike.",
            watched.topics,
        );
        self.gauge("millpond_stream_topic_bytes", "Events held for who is about to take them.", watched.topic_bytes);
        let deliveries = "millpond_handler_deliveries_total";
        self.by_handler(watched, deliveries, "counter", "Messages, writes and drops that a handler made.", |of| {
            of.acknowledged
        });
        let failures = "millpond_handler_failures_total";
        self.by_handler(watched, failures, "counter", "Those that failed.", |of| of.failed);
        let about = "Entries of the log that a handler has not dealt with.";
        self.by_handler(watched, "millpond_handler_lag", "gauge", about, |of| of.lag);
    }

    /// How this server stands among others.
    fn replicas(&mut self, replicas: &Replicas) {
        let Replicas { role, lag, followers } = replicas;
        self.gauge("millpond_is_primary", "Whether writes are taken here.", u8::from(*role == Role::Primary));
        if let Some(Lag { records, time }) = lag {
            self.gauge("millpond_replication_lag_entries", "Entries that the primary has more.", records);
            let about = "Since this follower had all that its primary has.";
            self.gauge("millpond_replication_lag_seconds", about, time.as_secs_f64());
        }
        self.gauge("millpond_followers", "Followers that are known.", followers.len());
        if !followers.is_empty() {
            self.head("millpond_follower_lag_entries", "gauge", "Entries that a follower has not on its disk.");
            for (node, lag) in followers {
                self.line(format_args!("millpond_follower_lag_entries{{node=\"{:08x}\"}} {lag}", node.0));
            }
        }
    }

    fn cache(&mut self, cache: &CacheFigures) {
        let CacheFigures { memory, second } = cache;
        let in_memory = memory.iter().map(|(name, of)| (*name, of.hits, of.misses));
        let tiers: Vec<_> = in_memory.chain(second.map(|of| ("l2", of.hits, of.misses))).collect();
        let (hits, misses) = ("millpond_cache_hits_total", "millpond_cache_misses_total");
        self.head(hits, "counter", "Answers and records that a tier of the cache had.");
        tiers.iter().for_each(|(tier, count, _)| self.line(format_args!("{hits}{{tier=\"{tier}\"}} {count}")));
        self.head(misses, "counter", "Those that it had not.");
        tiers.iter().for_each(|(tier, _, count)| self.line(format_args!("{misses}{{tier=\"{tier}\"}} {count}")));
        let bytes = "millpond_cache_bytes";
        self.head(bytes, "gauge", "Memory of what a tier keeps in this process.");
        memory.iter().for_each(|(tier, of)| self.line(format_args!("{bytes}{{tier=\"{tier}\"}} {}", of.bytes)));
        let Some(second) = second else { return };
        self.gauge("millpond_l2_up", "Whether the second tier is connected to.", u8::from(second.up));
        self.counter("millpond_l2_refused_total", "Values there that were garbage, or dropped.", second.refused);
        self.counter("millpond_l2_late_total", "Commands that were not answered in time.", second.late);
        self.counter("millpond_l2_faults_total", "Times that it was given up, or could not be reached.", second.faults);
        self.counter("millpond_l2_skipped_total", "Answers made without asking it.", second.skipped);
        self.counter("millpond_l2_written_total", "Values written there.", second.written);
        self.counter("millpond_l2_dropped_total", "Values that could not be written there.", second.dropped);
    }

    fn search(&mut self, search: &Figures) {
        self.gauge("millpond_search_indexes", "Indexes that are searched.", search.indexes);
        self.gauge("millpond_search_documents", "Records in them.", search.documents);
        self.gauge("millpond_search_bytes", "Their files.", search.bytes);
        self.gauge("millpond_search_lag", "Entries of the log that they have not followed.", search.lag);
        self.counter("millpond_search_changes_total", "Changes taken into them.", search.taken);
        self.counter("millpond_search_commits_total", "Times that one was committed.", search.commits);
        self.counter("millpond_search_fillings_total", "Indexes filled from the tables.", search.fillings);
        self.counter("millpond_search_failures_total", "What failed there and was tried again.", search.failures);
    }

    fn live(&mut self, live: &Live) {
        self.counter("millpond_stream_judged_total", "Changes that were judged for a topic.", live.judged.get());
        self.counter("millpond_stream_events_total", "Events that were given to streams.", live.told.get());
        self.counter("millpond_stream_reads_total", "Turns in which a stream read the log.", live.read.get());
        self.counter("millpond_stream_resets_total", "Streams told to read anew.", live.reset.get());
        self.counter("millpond_streams_cut_total", "Streams that ended with their caller's token.", live.ended.get());
    }

    /// A line for each handler; an id needs no escape.
    fn by_handler(&mut self, watched: &Watched, name: &str, kind: &str, about: &str, of: fn(&HandlerFigures) -> u64) {
        if watched.handlers.is_empty() {
            return;
        }
        self.head(name, kind, about);
        for (id, figures) in &watched.handlers {
            self.line(format_args!("{name}{{handler=\"{id}\"}} {}", of(figures)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 2] = ["/api/health", "/api/collections/{collection}/records/{id}"];

    #[test]
    fn a_request_is_counted_by_its_route_and_a_stranger_as_other() {
        let meters = Meters::new(&PATHS.map(|path| (path, Class::Plain)), 0);
        for (path, name, status) in [
            ("/api/health", PATHS[0], 200),
            ("/api/collections/a/records/b", PATHS[1], 404),
            ("/api/collections/a/records/c%2F", PATHS[1], 304),
            ("/nowhere", OTHER, 404),
            ("*", OTHER, 400),
        ] {
            let timed = meters.begin(path);
            assert_eq!((meters.name(timed.route), meters.in_flight.get()), (name, 1), "{path}");
            timed.end(StatusCode::from_u16(status).expect("a status"));
        }
        drop(meters.begin("/api/health"));
        assert_eq!(meters.in_flight.get(), 0, "what is taken back is gone");
        let mut page = Page(String::new());
        page.edge(&meters);
        for line in [
            "millpond_http_request_seconds_count{route=\"/api/health\",status=\"2xx\"} 1",
            "millpond_http_request_seconds_count{route=\"/api/collections/{collection}/records/{id}\",status=\"3xx\"} 1",
            "millpond_http_request_seconds_count{route=\"other\",status=\"4xx\"} 2",
        ] {
            assert!(page.0.lines().any(|found| found == line), "{line}\n{}", page.0);
        }
        assert!(!page.0.contains("5xx"));
    }

    #[test]
    fn buckets_are_cumulative_and_in_seconds() {
        let times = Histogram::of_times();
        for micros in [1, 40, 40, 1 << 30] {
            times.put(micros);
        }
        let mut page = Page(String::new());
        page.times("t", "", &times);
        let lines: Vec<&str> = page.0.lines().collect();
        assert_eq!(
            lines[2..5],
            ["t_bucket{le=\"0.000032\"} 1", "t_bucket{le=\"0.000064\"} 3", "t_bucket{le=\"0.000128\"} 3"]
        );
        assert_eq!(lines[lines.len() - 3..], ["t_bucket{le=\"+Inf\"} 4", "t_sum 1073.741905", "t_count 4"]);
    }
}
