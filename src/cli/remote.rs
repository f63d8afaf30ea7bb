//! A running server, for commands that are given `--url`: one request on a connection of its own, bodies streamed both
//! ways. HTTP without TLS.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use url::Url;

use crate::error::{Error, Kind, Result};

/// Bytes of an answer that is read whole: a report, or a problem.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where a server is, and who asks.
#[derive(Debug)]
pub(super) struct Remote {
    url: Url,
    token: Option<String>,
}

/// A body that comes over a channel; an error in it breaks the request off.
#[derive(Debug)]
pub(super) struct Outgoing(mpsc::Receiver<std::io::Result<Bytes>>);

impl Outgoing {
    /// What is received until all senders have gone.
    pub(super) fn new(pieces: mpsc::Receiver<std::io::Result<Bytes>>) -> Outgoing {
        Outgoing(pieces)
    }

    /// No body.
    pub(super) fn empty() -> Outgoing {
        Outgoing(mpsc::channel(1).1)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

impl Remote {
    /// # Errors
    /// `Invalid` for what is no address of a server.
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Remote> {
        let bad = |why: &str| Error::invalid(format!("url: {url:?}: {why}"));
        let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if parsed.scheme() != "http" || parsed.host_str().is_none() {
            return Err(bad("must be http://HOST:PORT; there is no TLS yet"));
        }
        Ok(Remote { url: parsed, token })
    }

    /// Sends a request to `path`, parts of which the caller has escaped; the answer, if it is a success.
    ///
    /// # Errors
    /// `Unavailable` where the server is not there or goes away; what it refuses, in its own words.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Outgoing,
    ) -> Result<Response<Incoming>> {
        let (host, port) = (self.url.host_str().unwrap_or_default(), self.url.port_or_known_default().unwrap_or(80));
        let gone = |what: &str, error: &dyn std::fmt::Display| {
            Error::new(Kind::Unavailable, format!("the server at {host}:{port} {what}: {error}"))
        };
        let at = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((at, port)).await.map_err(|error| gone("can't be reached", &error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| gone("says nothing", &error))?;
        tokio::spawn(async move {
            // Its end is seen by the request.
            let _ = connection.await;
        });
        let mut request = Request::builder().method(method).uri(path).header(HOST, format!("{host}:{port}"));
        if let Some(kind) = content_type {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| Error::invalid(format!("no such request: {error}")))?;
        let answer = sender.send_request(request).await.map_err(|error| gone("broke off", &error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(answer).await) }
    }
}

/// The whole body of an answer.
///
/// # Errors
/// `Unavailable` where it breaks off.
pub(super) async fn whole(answer: Response<Incoming>) -> Result<Bytes> {
    let body = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| no_answer(&error))?.to_bytes())
}

/// The same as JSON.
///
/// # Errors
/// `Unavailable` where it breaks off or is none.
pub(super) async fn json(answer: Response<Incoming>) -> Result<Value> {
    serde_json::from_slice(&whole(answer).await?).map_err(|error| no_answer(&error))
}

fn no_answer(error: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Unavailable, format!("no answer: {error}"))
}

/// What the server says is wrong; what it had done before it, too.
async fn refusal(answer: Response<Incoming>) -> Error {
    let status = answer.status();
    let problem = json(answer).await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it says no more");
    let done = match (problem["data"]["created"].as_u64(), problem["data"]["updated"].as_u64()) {
        (Some(created), Some(updated)) => format!(" ({created} created and {updated} updated before that)"),
        _ => String::new(),
    };
    Error::new(kind(status), format!("the server answers {}: {detail}{done}", status.as_u16()))
}

fn kind(status: StatusCode) -> Kind {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::Invalid,
        StatusCode::UNAUTHORIZED => Kind::Unauthenticated,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        status if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Unprocessable,
    }
}

/// A name as a part of a path or of a query.
pub(super) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
