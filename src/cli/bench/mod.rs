//! `millpond bench`: a load on a running server, and how long its answers take.
//!
//! It makes a collection of its own, fills it, asks one kind of request after the other, and removes it, also where it is
//! cut short. `work` is what is asked, `load` how, `latency` how long it took.

mod latency;
mod load;
mod work;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{interval, sleep};

use super::remote::{self, Outgoing, Remote};
use super::say;
use crate::error::{self, Error, Result};
use crate::outbound::Peer;
use load::{Load, Pace, Sum};
use work::Work;

/// Lines of one import, so that what is done is seen.
const LINES: u64 = 10_000;
/// How often the display changes.
const LOOK: Duration = Duration::from_millis(200);

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Server that is asked, such as http://127.0.0.1:8090.
    #[arg(env = "MILLPOND_URL")]
    url: String,
    /// A superuser's token or API key: a collection is made and removed. Not needed with --dev.
    #[arg(long, value_name = "TOKEN", env = "MILLPOND_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// What is asked, one kind after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "creates,reads,lists,updates")]
    kinds: Vec<Kind>,
    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Time for each kind, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    duration: u32,
    /// Requests a second of all connections together, each at its time. [default: as fast as they are answered]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Records that are there before, to be read, listed and changed.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    records: u32,
    /// What the random choices begin with.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Prints the results as JSON.
    #[arg(long)]
    json: bool,
}

/// Requests of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// New records, of six fields and with two indexes.
    Creates,
    /// Single records by their ids.
    Reads,
    /// Pages of 20, by an index.
    Lists,
    /// Changes of two fields.
    Updates,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Creates => "creates",
            Kind::Reads => "reads",
            Kind::Lists => "lists",
            Kind::Updates => "updates",
        }
    }
}

/// Runs it.
///
/// # Errors
/// What the server refuses; `Unavailable` where it isn't there, or where no request at all was answered.
pub(super) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal("no runtime").source(error))?;
    runtime.block_on(bench(args))
}

async fn bench(args: &Args) -> Result<()> {
    let remote = Remote::new(&args.url, args.token.clone())?;
    let collection = format!("bench_{}", std::process::id());
    let definition = Outgoing::whole(work::definition(&collection).to_string());
    remote.send(Method::POST, "/api/collections", Some("application/json"), definition).await?;
    let run = async {
        fill(&remote, &collection, args).await?;
        let mut results = Vec::new();
        for kind in &args.kinds {
            results.push(measure(*kind, &collection, args).await?);
        }
        Ok(results)
    };
    let results = tokio::select! {
        results = run => results,
        _ = tokio::signal::ctrl_c() => Err(Error::new(error::Kind::Unavailable, "cut short")),
    };
    // It goes whatever came of it.
    let path = format!("/api/collections/{collection}");
    let removed = remote.send(Method::DELETE, &path, None, Outgoing::empty()).await;
    let results = results?;
    tell(args, &results);
    removed?;
    if results.iter().any(|result| result["requests"] == 0) {
        return Err(Error::new(error::Kind::Unavailable, "not one request was answered well"));
    }
    Ok(())
}

/// Makes the records that are read, listed and changed.
async fn fill(remote: &Remote, collection: &str, args: &Args) -> Result<()> {
    let records = u64::from(args.records);
    let bar = bar(records, "{pos} of {len} records are made, {elapsed}");
    let path = format!("/api/collections/{collection}/import");
    let mut from = 0;
    while from < records {
        let to = (from + LINES).min(records);
        let lines = Outgoing::whole(work::lines(from, to, args.seed));
        let report = remote.send(Method::POST, &path, Some("application/x-ndjson"), lines).await?;
        let report = remote::json(report).await?;
        if report["created"] != to - from {
            return Err(Error::internal(format!("the records to read could not be made: {report}")));
        }
        bar.set_position(to);
        from = to;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Asks for its time, and says meanwhile how it goes.
async fn measure(kind: Kind, collection: &str, args: &Args) -> Result<Value> {
    let token = |token: &String| HeaderValue::try_from(format!("Bearer {token}"));
    let authorization = args.token.as_ref().map(token).transpose();
    let authorization = authorization.map_err(|_| Error::invalid("token: it has letters that no token has"))?;
    let peer = Peer::new(&args.url).map_err(|why| Error::invalid(format!("url: {why}")))?;
    let work = Work {
        kind,
        collection: collection.to_owned(),
        records: u64::from(args.records),
        authorization,
        seed: args.seed,
    };
    let duration = Duration::from_secs(args.duration.into());
    let pace = Pace { connections: args.connections.into(), duration, rate: args.rate };
    let sum = Arc::new(Sum::new());
    let load = Arc::new(Load { peer: Arc::new(peer), work, pace });
    let bar = bar(duration.as_millis() as u64, "{msg} {wide_bar} {elapsed}");
    let shown = async {
        let (began, mut look) = (std::time::Instant::now(), interval(LOOK));
        loop {
            look.tick().await;
            let count = sum.latency.count();
            let (rate, p99) = (count as f64 / began.elapsed().as_secs_f64().max(0.001), sum.latency.within(990));
            bar.set_position(began.elapsed().as_millis() as u64);
            bar.set_message(format!("{}: {count} answers, {rate:.0}/s, p99 {}", kind.name(), ms(p99)));
        }
    };
    let over = async {
        sleep(duration).await;
        sum.end();
        std::future::pending::<()>().await;
    };
    let elapsed = tokio::select! {
        elapsed = load.run(&sum) => elapsed,
        () = shown => unreachable!("it has no end"),
        () = over => unreachable!("it has no end"),
    };
    bar.finish_and_clear();
    let (count, seconds) = (sum.latency.count(), elapsed.as_secs_f64());
    let within = |per_mille| sum.latency.within(per_mille).as_micros() as u64;
    Ok(json!({
        "kind": kind.name(),
        "requests": count,
        "seconds": (seconds * 1e3).round() / 1e3,
        "perSecond": (count as f64 / seconds * 10.0).round() / 10.0,
        "us": {
            "p50": within(500), "p90": within(900), "p99": within(990), "p999": within(999),
            "max": sum.latency.max().as_micros() as u64,
        },
        "errors": sum.errors.load(Ordering::Relaxed),
        "faults": *sum.faults.lock(),
    }))
}

/// The results as lines, with what they do not show.
fn tell(args: &Args, results: &[Value]) {
    let closed = args.rate.is_none();
    if args.json {
        let told = json!({
            "connections": args.connections, "records": args.records, "seed": args.seed, "rate": args.rate,
            "closedLoop": closed, "results": results,
        });
        return say(format_args!("{told}"));
    }
    let row = |cells: [&str; 9]| {
        let [kind, rest @ ..] = cells;
        let rest: String = rest.map(|cell| format!(" {cell:>10}")).concat();
        say(format_args!("{kind:<8}{rest}"));
    };
    row(["", "requests", "a second", "p50", "p90", "p99", "p99.9", "max", "errors"]);
    for result in results {
        let time = |name: &str| ms(Duration::from_micros(result["us"][name].as_u64().unwrap_or_default()));
        row([
            result["kind"].as_str().unwrap_or_default(),
            &result["requests"].to_string(),
            &format!("{:.0}", result["perSecond"].as_f64().unwrap_or_default()),
            &time("p50"),
            &time("p90"),
            &time("p99"),
            &time("p999"),
            &time("max"),
            &result["errors"].to_string(),
        ]);
        for (why, count) in result["faults"].as_object().into_iter().flatten() {
            say(format_args!("  {count} times {why}"));
        }
    }
    let connections = args.connections;
    if closed {
        say(format_args!(
            "a closed loop of {connections} connections: while the server stalls it is asked less, so the high percentiles \
             flatter it; --rate asks at fixed times"
        ));
    } else {
        say(format_args!(
            "over {connections} connections at fixed times: an answer counts from when its request was due"
        ));
    }
}

/// Milliseconds, with as many digits as they are worth.
fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 100.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// Only where somebody looks.
fn bar(length: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
