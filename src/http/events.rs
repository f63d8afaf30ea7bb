//! Server-sent events (the HTML standard's `text/event-stream`): a stream's frames, and the body that sends them as the
//! client takes them.
//!
//! Two ways to listen have two kinds of frames. PocketBase's clients get the subscription's own text as the event's name,
//! and know neither `enter` nor `leave`; all others get data that say it all. Invariant: the `id:` of a frame is a mark
//! behind which the client lacks nothing, so of several frames for one change only the last bears it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use hyper::body::Frame;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::Error;
use crate::http::connection::{Endless, told};
use crate::id::Mark;
use crate::limits;
use crate::live::{Event, Happened, Tell};
use crate::model::json::write_text;
use crate::service::listen::{Listener, Next, Notice, Snapshot};

pub(super) const KIND: &str = "text/event-stream";

/// The last word at a stop, no event: the client comes again, and goes on from where it was.
const LAST: &[u8] = b": the server is stopping\n\n";

/// How a client listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As PocketBase's clients do.
    Named,
    /// By one call.
    Plain,
}

/// A stream on its way out.
pub(super) struct Stream {
    pub(super) listener: Arc<Listener>,
    pub(super) way: Way,
    /// What comes first.
    pub(super) first: Vec<u8>,
    /// The records that it begins with, and behind them that there are no more.
    pub(super) snapshot: Option<Snapshot>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Its last word was given.
    pub(super) over: bool,
}

impl Stream {
    /// The answer that it is the body of.
    pub(super) fn response(self) -> Response {
        let mut response = Response::new(Body::new(Outbound { stream: Some(Box::new(self)), next: None }));
        response.extensions_mut().insert(Endless);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(KIND));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        // What nginx holds back it sends at the end of the stream, which never comes.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// The next frames; none at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if self.over {
            return None;
        }
        if *self.stopping.borrow() {
            self.over = true;
            return Some(LAST.to_vec());
        }
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first));
        }
        if let Some(snapshot) = &mut self.snapshot {
            match snapshot.next().await {
                Ok(records) if records.is_empty() => {
                    let mark = snapshot.mark;
                    self.snapshot = None;
                    return Some(ready_frame(mark));
                }
                // A caller or a definition that is another since: the client has to ask anew.
                Ok(_) if !self.listener.may_give(snapshot).unwrap_or(false) => return None,
                Ok(records) => return Some(snapshot_frames(snapshot.mark, &records)),
                Err(error) => {
                    tracing::error!(%error, "a snapshot could not be sent");
                    return None;
                }
            }
        }
        let next = tokio::select! {
            biased;
            () = told(&mut self.stopping) => {
                self.over = true;
                return Some(LAST.to_vec());
            }
            next = self.listener.next() => next,
            () = sleep(limits::HEARTBEAT) => return Some(heartbeat(self.listener.at())),
        };
        match next {
            Next::Events(events) => Some(frames(self.way, &events)),
            Next::Reset(notice) => {
                let mut out = Vec::new();
                reset_frame(&notice, &mut out);
                Some(out)
            }
            Next::Ended(_) => None,
        }
    }
}

/// A step of a stream: what it came to, and the stream again.
type Step = Pin<Box<dyn Future<Output = (Box<Stream>, Option<Vec<u8>>)> + Send>>;

/// The body: one step at a time, and only when the client takes more.
struct Outbound {
    /// Absent while a step is under way, and at the end.
    stream: Option<Box<Stream>>,
    next: Option<Step>,
}

impl hyper::body::Body for Outbound {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Error>>> {
        if let Some(mut stream) = self.stream.take() {
            self.next = Some(Box::pin(async move {
                let next = stream.next().await;
                (stream, next)
            }));
        }
        let Some(next) = self.next.as_mut() else { return Poll::Ready(None) };
        let (stream, frames) = ready!(next.as_mut().poll(cx));
        self.next = None;
        let Some(frames) = frames else { return Poll::Ready(None) };
        self.stream = Some(stream);
        Poll::Ready(Some(Ok(Frame::data(frames.into()))))
    }
}

/// What a stream of PocketBase's way begins with: the client's id, also as the event's own.
pub(super) fn connected(client: &str) -> Vec<u8> {
    format!("id: {client}\nevent: PB_CONNECT\ndata: {{\"clientId\":\"{client}\"}}\n\n").into_bytes()
}

/// Shows that the stream is there, and how far it has come: no event, but the client's last id.
pub(super) fn heartbeat(mark: Mark) -> Vec<u8> {
    format!(":\nid: {mark}\n\n").into_bytes()
}

fn frames(way: Way, events: &[(Arc<str>, Arc<Event>)]) -> Vec<u8> {
    let bytes: usize = events.iter().map(|(name, event)| 128 + name.len() + event.bytes()).sum();
    let mut out = Vec::with_capacity(bytes);
    let mut before = None;
    for (at, (name, event)) in events.iter().enumerate() {
        let last = events.get(at + 1).is_none_or(|(_, next)| next.mark != event.mark);
        match &event.what {
            // By one call whatever it is listened to by, it is told once.
            _ if way == Way::Plain && before == Some(event.mark) => continue,
            Tell::Record(told) => {
                if last || way == Way::Plain {
                    line(&mut out, "id: ", &event.mark_text);
                }
                if way == Way::Named {
                    line(&mut out, "event: ", name);
                }
                let action = action(way, told.action);
                data(&mut out, action, &told.record, &event.mark_text);
            }
            Tell::Emptied => {
                let subscription = Some(name.clone());
                reset_frame(&Notice { subscription, reason: "truncated", mark: event.mark, last: false }, &mut out);
            }
        }
        before = Some(event.mark);
    }
    out
}

fn action(way: Way, action: Happened) -> &'static str {
    match (way, action) {
        (Way::Named, Happened::Enter) => Happened::Create.name(),
        (Way::Named, Happened::Leave) => Happened::Delete.name(),
        (_, action) => action.name(),
    }
}

fn data(out: &mut Vec<u8>, action: &str, record: &[u8], mark: &str) {
    out.extend_from_slice(b"data: {\"action\":\"");
    out.extend_from_slice(action.as_bytes());
    out.extend_from_slice(b"\",\"record\":");
    // JSON as it is written here has no line break in it.
    out.extend_from_slice(record);
    out.extend_from_slice(b",\"seq\":\"");
    out.extend_from_slice(mark.as_bytes());
    out.extend_from_slice(b"\"}\n\n");
}

fn line(out: &mut Vec<u8>, field: &str, value: &str) {
    out.extend_from_slice(field.as_bytes());
    // A subscription's text is the client's own.
    out.extend(value.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)));
    out.push(b'\n');
}

fn snapshot_frames(mark: Mark, records: &[(usize, Bytes)]) -> Vec<u8> {
    let mark = mark.to_string();
    let mut out = Vec::with_capacity(records.iter().map(|(_, record)| 96 + record.len()).sum());
    for (_, record) in records {
        data(&mut out, Happened::Enter.name(), record, &mark);
    }
    out
}

/// The records of a snapshot are all there.
pub(super) fn ready_frame(mark: Mark) -> Vec<u8> {
    format!("id: {mark}\nevent: ready\ndata: {{\"seq\":\"{mark}\"}}\n\n").into_bytes()
}

/// What the client has is not what there is any more.
pub(super) fn reset_frame(notice: &Notice, out: &mut Vec<u8>) {
    line(out, "id: ", &notice.mark.to_string());
    out.extend_from_slice(b"event: reset\ndata: {\"reason\":\"");
    out.extend_from_slice(notice.reason.as_bytes());
    out.extend_from_slice(b"\",\"subscription\":");
    match &notice.subscription {
        Some(name) => write_text(out, name),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(format!(",\"seq\":\"{}\"}}\n\n", notice.mark).as_bytes());
}
