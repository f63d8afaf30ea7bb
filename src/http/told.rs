//! What is told of a request once it is answered: to standard error, and, in PocketBase's shape, to the journal. The only
//! place that words it.
//!
//! Invariant: no header that shows who one is, no body and no secret is told. Of a query string the journal has the
//! parameters by name that calls know, standard error nothing; what looks like a token or a key is cut out wherever it
//! stands.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::header::{REFERER, USER_AGENT};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use serde::Serialize;

use crate::config::Level;
use crate::error::Error;
use crate::http::problem;
use crate::limits;
use crate::service::{Caller, Service};

/// Parameters whose values are told.
const PARAMS: [&str; 17] = [
    "filter",
    "sort",
    "page",
    "perPage",
    "cursor",
    "skipTotal",
    "fields",
    "expand",
    "embed",
    "explain",
    "mode",
    "atomic",
    "format",
    "search",
    "highlight",
    "facets",
    "since",
];
/// How a token and a key begin.
const SECRETS: [&str; 2] = ["eyJ", "mp_"];
/// Letters of something that begins so, from which on it may be one.
const SECRET_LETTERS: usize = 20;
/// What stands in the place of what is not told.
const LEFT_OUT: &str = "…";

/// A request as it came.
pub(super) struct Asked {
    pub(super) id: HeaderValue,
    pub(super) method: Method,
    target: Option<PathAndQuery>,
    /// Whether it will be told to the journal, as far as is known.
    kept: bool,
    agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    /// Who, from which socket, and by the word of trusted proxies from where.
    caller: Option<(Option<Caller>, IpAddr, IpAddr)>,
}

/// How it ended.
pub(super) struct Outcome<'a> {
    pub(super) status: StatusCode,
    pub(super) error: Option<&'a Error>,
    pub(super) route: &'static str,
    pub(super) time: Duration,
    pub(super) slow: bool,
}

/// A line's `data`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    request_id: &'a str,
    method: &'a str,
    url: String,
    route: &'static str,
    status: u16,
    /// Milliseconds.
    exec_time: f64,
    auth: String,
    auth_id: String,
    #[serde(rename = "remoteIP")]
    remote_ip: String,
    #[serde(rename = "userIP")]
    user_ip: String,
    user_agent: String,
    referer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What more there is to an error.
#[derive(Serialize)]
struct Details {
    code: &'static str,
    /// What it says with all its causes.
    causes: String,
}

impl Asked {
    pub(super) fn of<B>(request: &Request<B>, id: HeaderValue, kept: bool) -> Asked {
        let header = |name| kept.then(|| request.headers().get(name).cloned()).flatten();
        let (agent, referer) = (header(USER_AGENT), header(REFERER));
        let (method, target) = (request.method().clone(), request.uri().path_and_query().cloned());
        Asked { id, method, target, kept, agent, referer, caller: None }
    }

    /// Says who sent it, from which socket, and from where.
    pub(super) fn by(&mut self, caller: Option<&Caller>, peer: IpAddr, address: IpAddr) {
        if self.kept {
            self.caller = Some((caller.cloned(), peer, address));
        }
    }

    /// Tells how it ended.
    pub(super) fn tell(&self, service: &Service, done: Outcome<'_>) {
        let level = match (done.error.map(problem::level), done.slow) {
            (Some(level), slow) => level.max(if slow { Level::Warn } else { level }),
            (None, true) => Level::Warn,
            (None, false) => Level::Debug,
        };
        self.to_stderr(&done);
        if service.keeps_line(level) {
            let method = self.method.as_str();
            let path = without_secrets(self.path());
            if let Ok(data) = serde_json::to_string(&self.data(service, &done)) {
                service.put_line(level, format!("{method} {path}"), data);
            }
        }
    }

    fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }

    fn to_stderr(&self, done: &Outcome<'_>) {
        let (id, method) = (self.id.to_str().unwrap_or_default(), &self.method);
        // Asked for where a line is written only.
        let path = || without_secrets(self.path());
        let Outcome { error, route, slow, .. } = *done;
        let (status, ms) = (done.status.as_u16(), done.time.as_millis() as u64);
        match error.map(|error| (problem::level(error), error.code_str(), without_secrets(&problem::told(error)))) {
            None => tracing::debug!(request_id = id, %method, path = path(), status, "answered"),
            Some((Level::Error, code, told)) => {
                tracing::error!(request_id = id, %method, path = path(), status, code, "{told}");
            }
            Some((Level::Warn, code, told)) => {
                tracing::warn!(request_id = id, %method, path = path(), status, code, "{told}")
            }
            Some((_, code, told)) => tracing::info!(request_id = id, %method, path = path(), status, code, "{told}"),
        }
        if slow {
            tracing::warn!(request_id = id, %method, path = path(), route, status, ms, "slow");
        }
    }

    fn data(&self, service: &Service, done: &Outcome<'_>) -> Data<'_> {
        let caller = self.caller.as_ref().and_then(|(caller, ..)| caller.as_ref());
        self.data_of(caller.map(|caller| service.shown_as(caller)).unwrap_or_default(), done)
    }

    fn data_of(&self, (auth, auth_id): (String, String), done: &Outcome<'_>) -> Data<'_> {
        let addresses = self.caller.as_ref().map(|(_, peer, address)| (peer.to_string(), address.to_string()));
        let (peer, address) = addresses.unwrap_or_default();
        let details =
            |error: &Error| Details { code: error.code_str(), causes: without_secrets(&problem::told(error)) };
        Data {
            kind: "request",
            request_id: self.id.to_str().unwrap_or_default(),
            method: self.method.as_str(),
            url: self.target.as_ref().map(url).unwrap_or_default(),
            route: done.route,
            status: done.status.as_u16(),
            exec_time: done.time.as_micros() as f64 / 1_000.0,
            auth,
            auth_id,
            remote_ip: peer,
            user_ip: address,
            user_agent: without_secrets(&shown(self.agent.as_ref())),
            // Where a page came from may be told in its query string too.
            referer: without_secrets(shown(self.referer.as_ref()).split(['?', '#']).next().unwrap_or_default()),
            error: done.error.map(|error| without_secrets(error.message())),
            details: done.error.map(details),
        }
    }
}

/// Path and query: the parameters that calls know with their values, of all others that there were some.
fn url(target: &PathAndQuery) -> String {
    let Some(query) = target.query() else { return without_secrets(target.path()) };
    let known = |pair: &&str| PARAMS.contains(&pair.split('=').next().unwrap_or_default());
    let pairs = query.split('&').map(|pair| if known(&pair) { pair } else { LEFT_OUT });
    without_secrets(&format!("{}?{}", target.path(), pairs.collect::<Vec<_>>().join("&")))
}

/// A header as a text.
fn shown(header: Option<&HeaderValue>) -> String {
    header.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// A text without what may be a token or a key, without control characters, and not long.
fn without_secrets(text: &str) -> String {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let letters = if SECRETS.iter().any(|begin| rest.starts_with(begin)) {
            rest.bytes().take_while(is_letter).count()
        } else {
            0
        };
        let (taken, put) = if letters >= SECRET_LETTERS { (letters, '…') } else { (c.len_utf8(), c) };
        if out.len() + put.len_utf8() > limits::JOURNAL_TEXT_BYTES_MAX {
            break;
        }
        out.push(if put.is_control() { '?' } else { put });
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_told() {
        let key = format!("mp_{}_{}", "a".repeat(26), "B".repeat(43));
        let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", "x".repeat(40), "y-_".repeat(14));
        let table = [
            ("/api/health".to_owned(), "/api/health"),
            ("/a?page=2&filter=n%3E1".to_owned(), "/a?page=2&filter=n%3E1"),
            ("/a?token=secret&page=2".to_owned(), "/a?…&page=2"),
            ("/a?secret".to_owned(), "/a?…"),
            ("/a?Filter=x&pages=1&filter".to_owned(), "/a?…&…&filter"),
            (format!("/{key}/x"), "/…/x"),
            (format!("/a?filter=k='{token}'&sort={key}"), "/a?filter=k='…'&sort=…"),
            ("/mp_short/eyJ".to_owned(), "/mp_short/eyJ"),
        ];
        for (target, expected) in table {
            let read: PathAndQuery = target.parse().expect("a target");
            assert_eq!(url(&read), expected, "{target}");
        }
        assert_eq!(without_secrets(&format!("a {token}\n")), "a …?");
    }

    /// What is written to standard error.
    #[derive(Clone, Default)]
    struct Written(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn standard_error_is_told_no_secret() {
        let key = format!("mp_{}_{}", "a".repeat(26), "B".repeat(43));
        let request = Request::builder().uri(format!("/api/{key}/x")).body(()).expect("a request");
        let asked = Asked::of(&request, HeaderValue::from_static("r"), false);
        let errors = [
            None,
            Some(Error::internal(format!("no {key}")).source(std::io::Error::other(format!("in {key}\nx")))),
            Some(Error::new(crate::error::Kind::Unavailable, format!("no {key}"))),
            Some(Error::invalid(format!("no {key}"))),
        ];
        let written = Written::default();
        let to = written.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
        tracing::subscriber::with_default(lines.with_writer(move || to.clone()).finish(), || {
            for error in &errors {
                let (status, time) = (StatusCode::OK, Duration::ZERO);
                asked.to_stderr(&Outcome { status, error: error.as_ref(), route: "other", time, slow: true });
            }
        });
        let written = String::from_utf8(written.0.lock().clone()).expect("a text");
        assert_eq!(written.lines().count(), 2 * errors.len(), "{written}");
        assert_eq!(written.matches("/api/…/x").count(), 2 * errors.len(), "{written}");
        assert!(written.contains("no …") && !written.contains(&key), "{written}");
    }

    #[test]
    fn a_text_is_cut_at_a_letter() {
        let long = without_secrets(&format!("x{}", "ä".repeat(limits::JOURNAL_TEXT_BYTES_MAX)));
        assert_eq!(long.len(), limits::JOURNAL_TEXT_BYTES_MAX - 1);
    }

    #[test]
    fn the_longest_line_fits() {
        let request = Request::builder()
            .method("GET")
            .uri(format!("/{}", "'".repeat(10_000)))
            .header(USER_AGENT, "\"".repeat(10_000))
            .header(REFERER, "\\".repeat(10_000))
            .body(())
            .expect("a request");
        let asked = Asked::of(&request, HeaderValue::from_static("r"), true);
        let error = Error::internal("\"".repeat(10_000)).source(std::io::Error::other("\u{1}".repeat(10_000)));
        let time = Duration::from_secs(1_000_000);
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let done = Outcome { status, error: Some(&error), route: "other", time, slow: true };
        let data = asked.data_of(Default::default(), &done);
        let text = serde_json::to_string(&data).expect("JSON");
        let message = asked.path().len().min(limits::JOURNAL_TEXT_BYTES_MAX);
        assert!(text.len() + message < limits::JOURNAL_LINE_BYTES_MAX * 15 / 16, "{}", text.len());
    }
}
