//! A running server, for commands that are given `--url`: one request on a connection of its own, bodies streamed both
//! ways.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::error::{Error, Kind, Result};
use crate::outbound::Peer;

/// Bytes of an answer that is read whole: a report, or a problem.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where a server is, and who asks.
#[derive(Debug)]
pub(super) struct Remote {
    peer: Peer,
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

    /// A body that is there whole.
    pub(super) fn whole(body: impl Into<Bytes>) -> Outgoing {
        let (sender, pieces) = mpsc::channel(1);
        // There is room for the one piece.
        let _ = sender.try_send(Ok(body.into()));
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
        let peer = Peer::new(url).map_err(|why| Error::invalid(format!("url: {url:?}: {why}")))?;
        Ok(Remote { peer, token })
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
        let host = self.peer.host();
        let gone = |why: String| Error::new(Kind::Unavailable, format!("the server at {host} {why}"));
        let line = self.peer.open().await.map_err(|why| gone(format!("can't be reached: {why}")))?;
        let mut request = Request::builder().method(method).uri(path).header(HOST, &host);
        if let Some(kind) = content_type {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| Error::invalid(format!("no such request: {error}")))?;
        let answer = line.ask_once(request).await.map_err(|why| gone(format!("does not answer: {why}")))?;
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
