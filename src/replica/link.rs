//! The way to another server: HTTP/1.1 requests over one connection that is kept, with the token of a superuser.
//!
//! Invariant: each request has its time, from the name to the last byte; of an answer no more than a bound is read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::error::{Error, Kind, Result};
use crate::outbound::{self, Line, Peer};

/// Bytes of a refusal that is read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// A server, and who asks it.
#[derive(Debug)]
pub struct Link {
    peer: Peer,
    token: String,
    line: Option<Line>,
}

impl Link {
    /// # Errors
    /// `Invalid` for what is no address of a server.
    pub fn new(url: &str, token: &str) -> Result<Link> {
        let peer = Peer::new(url).map_err(|why| Error::invalid(format!("{url:?} is no server: {why}")))?;
        Ok(Link { peer, token: token.to_owned(), line: None })
    }

    /// Where it leads to.
    pub fn url(&self) -> &Url {
        self.peer.url()
    }

    /// Asks, and reads the whole answer of at most `bytes_max`.
    ///
    /// # Errors
    /// `Unavailable` with code `unreachable` where the server is not there, goes away or takes longer; what it refuses, by
    /// its kind, with its code where that is one of ours.
    pub async fn ask(&mut self, ask: Ask<'_>) -> Result<Bytes> {
        let (time, bytes_max) = (ask.time, ask.bytes_max);
        let answered = tokio::time::timeout(time, self.answered(ask, bytes_max)).await;
        let answer = answered.unwrap_or_else(|_| Err(unreachable(self.url(), "it does not answer in time")));
        if answer.as_ref().is_err_and(|error| error.code_str() == UNREACHABLE) {
            self.line = None;
        }
        answer
    }

    async fn answered(&mut self, ask: Ask<'_>, bytes_max: usize) -> Result<Bytes> {
        let kept = self.line.take().filter(|line| !line.is_closed());
        let mut line = match kept {
            Some(line) => line,
            None => self.peer.open().await.map_err(|why| unreachable(self.url(), &why))?,
        };
        let answer = line.ask(self.request(&ask)?).await.map_err(|why| unreachable(self.url(), &why))?;
        let status = answer.status();
        let bytes_max = if status.is_success() { bytes_max } else { REFUSAL_BYTES_MAX };
        let body = self.whole(answer, bytes_max).await?;
        self.line = Some(line);
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>> {
        let path = format!("{}{}", self.url().path().trim_end_matches('/'), ask.path);
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(path)
            .header(HOST, self.peer.host())
            .header(USER_AGENT, outbound::USER_AGENT)
            .header(CONTENT_TYPE, "application/json");
        if !self.token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        }
        request
            .body(Full::new(ask.body.clone()))
            .map_err(|error| Error::invalid(format!("there is no such request: {error}")))
    }

    async fn whole(&self, answer: Response<Incoming>, bytes_max: usize) -> Result<Bytes> {
        let mut body = answer.into_body();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable(self.url(), &error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > bytes_max {
                return Err(unreachable(self.url(), "its answer is too long"));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// GET, POST, DELETE.
    pub method: Method,
    /// Path and query, behind the server's.
    pub path: &'a str,
    /// JSON; empty for none.
    pub body: Bytes,
    /// Bytes of the answer at most.
    pub bytes_max: usize,
    /// How long it may take.
    pub time: Duration,
}

/// The code of a server that does not answer.
pub const UNREACHABLE: &str = "unreachable";

fn unreachable(url: &Url, why: &str) -> Error {
    Error::new(Kind::Unavailable, format!("{url} can't be reached: {why}")).code(UNREACHABLE)
}

/// What a refusal says that this side acts upon.
const CODES: [&str; 7] = [
    "diverged",
    "log_trimmed",
    "other_database",
    "newer_format",
    "newer_epoch",
    "not_the_primary",
    "too_many_followers",
];

fn refused(status: StatusCode, body: &[u8]) -> Error {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        code: String,
        detail: String,
    }
    let Problem { code, detail } = serde_json::from_slice(body).unwrap_or_default();
    let kind = match status.as_u16() {
        401 => Kind::Unauthenticated,
        403 => Kind::Forbidden,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        410 => Kind::Gone,
        421 => Kind::Misdirected,
        422 => Kind::Unprocessable,
        _ => Kind::Unavailable,
    };
    let error = Error::new(kind, format!("it answers {status}: {detail}"));
    match CODES.iter().find(|known| **known == code) {
        Some(known) => error.code(known),
        None => error,
    }
}
