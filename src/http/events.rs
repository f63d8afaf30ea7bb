//! Server-sent events (the HTML standard's `text/event-stream`): a stream's frames, and the body that sends them as the
//! client takes them.
//!
//! Two ways to listen have two kinds of frames. PocketBase's clients get the subscription's own text as the event's name,
//! and know neither `enter` nor `leave`; all others get data that say it all. Invariant: the `id:` of a frame is a mark
//! behind which the client lacks nothing, so of several frames for one change only the last bears it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::http::connection::{Endless, told};
use crate::id::Mark;
use crate::live::{Event, Happened, Tell, Told};
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
    /// Time of silence after which it shows that it is there.
    pub(super) heartbeat_time: Duration,
}

impl Stream {
    /// The answer that it is the body of.
    pub(super) fn response(self) -> Response {
        let slot = Slot::default();
        let body = Outbound { run: Some(Box::pin(self.run(slot.clone()))), slot };
        let mut response = Response::new(Body::new(body));
        response.extensions_mut().insert(Endless);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(KIND));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        // What nginx holds back it sends at the end of the stream, which never comes.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// Puts frames into the slot, each when the one before was taken, until its end. What it waits for is made once: of
    /// many events none costs a timer.
    async fn run(mut self, slot: Slot) {
        let mut stopping = self.stopping.clone();
        let mut stop = pin!(told(&mut stopping));
        let mut beat = pin!(sleep(self.heartbeat_time));
        let mut sent = Instant::now();
        loop {
            let frames: Option<Bytes> = if !self.first.is_empty() {
                Some(std::mem::take(&mut self.first).into())
            } else if self.snapshot.is_some() {
                tokio::select! {
                    biased;
                    () = &mut stop => return slot.put(Bytes::from_static(LAST)).await,
                    frames = self.next_of_snapshot() => frames,
                }
            } else {
                tokio::select! {
                    biased;
                    () = &mut stop => return slot.put(Bytes::from_static(LAST)).await,
                    next = self.listener.next() => match next {
                        Next::Events(events) => Some(frames(self.way, &events)),
                        Next::Reset(notice) => {
                            let mut out = Vec::new();
                            reset_frame(&notice, &mut out);
                            Some(out.into())
                        }
                        Next::Ended(_) => None,
                    },
                    () = &mut beat => {
                        let silent = sent.elapsed();
                        let left = self.heartbeat_time.saturating_sub(silent);
                        let is_due = left.is_zero();
                        beat.as_mut().reset(Instant::now() + if is_due { self.heartbeat_time } else { left });
                        if !is_due {
                            continue;
                        }
                        Some(heartbeat(self.listener.at()).into())
                    }
                }
            };
            let Some(frames) = frames else { return };
            slot.put(frames).await;
            sent = Instant::now();
        }
    }

    /// The next records, or that they are all there; `None` where the stream can't go on.
    async fn next_of_snapshot(&mut self) -> Option<Bytes> {
        let snapshot = self.snapshot.as_mut()?;
        match snapshot.next().await {
            Ok(records) if records.is_empty() => {
                let mark = snapshot.mark;
                self.snapshot = None;
                Some(ready_frame(mark).into())
            }
            // A caller or a definition that is another since: the client has to ask anew.
            Ok(_) if !self.listener.may_give(snapshot).unwrap_or(false) => None,
            Ok(records) => Some(snapshot_frames(snapshot.mark, &records).into()),
            Err(error) => {
                tracing::error!(%error, "a snapshot could not be sent");
                None
            }
        }
    }
}

/// Where a stream puts what is to be sent next.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Bytes>>>);

impl Slot {
    /// Puts frames there and waits until they are taken: by the body, right after it has polled the stream, so nobody has
    /// to be woken for it.
    async fn put(&self, frames: impl Into<Bytes>) {
        *self.0.lock() = Some(frames.into());
        poll_fn(|_| if self.0.lock().is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// The body: the stream goes on only when the client takes more.
struct Outbound {
    /// Absent at the end.
    run: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    slot: Slot,
}

impl hyper::body::Body for Outbound {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Error>>> {
        let Some(run) = self.run.as_mut() else { return Poll::Ready(None) };
        let is_over = run.as_mut().poll(cx).is_ready();
        let frames = self.slot.0.lock().take();
        if is_over {
            self.run = None;
        }
        match frames {
            Some(frames) => Poll::Ready(Some(Ok(Frame::data(frames)))),
            None if is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
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

fn frames(way: Way, events: &[(Arc<str>, Arc<Event>)]) -> Bytes {
    // What most are sent is made once for all of them.
    if let (Way::Plain, [(_, event)]) = (way, events)
        && let Tell::Record(told) = &event.what
    {
        return event.sent_as(|event| plain(event, told));
    }
    let bytes: usize = events.iter().map(|(name, event)| 128 + name.len() + event.bytes()).sum();
    let mut out = Vec::with_capacity(bytes);
    let mut before = None;
    for (at, (name, event)) in events.iter().enumerate() {
        let last = events.get(at + 1).is_none_or(|(_, next)| next.mark != event.mark);
        match &event.what {
            // By one call whatever it is listened to by, it is told once.
            _ if way == Way::Plain && before == Some(event.mark) => continue,
            Tell::Record(told) if way == Way::Plain => {
                out.extend_from_slice(&event.sent_as(|event| plain(event, told)));
            }
            Tell::Record(told) => {
                if last {
                    line(&mut out, "id: ", &event.mark_text);
                }
                line(&mut out, "event: ", name);
                data(&mut out, action(told.action), &told.record, &event.mark_text);
            }
            Tell::Emptied => {
                let subscription = Some(name.clone());
                reset_frame(&Notice { subscription, reason: "truncated", mark: event.mark, last: false }, &mut out);
            }
        }
        before = Some(event.mark);
    }
    out.into()
}

/// An event as whoever listens by one call gets it.
fn plain(event: &Event, told: &Told) -> Bytes {
    let mut out = Vec::with_capacity(64 + 2 * event.mark_text.len() + told.record.len());
    line(&mut out, "id: ", &event.mark_text);
    data(&mut out, told.action.name(), &told.record, &event.mark_text);
    out.into()
}

/// As PocketBase's clients know it.
fn action(action: Happened) -> &'static str {
    match action {
        Happened::Enter => Happened::Create.name(),
        Happened::Leave => Happened::Delete.name(),
        Happened::Create | Happened::Update | Happened::Delete => action.name(),
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
