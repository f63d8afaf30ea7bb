//! The requests of one HTTP/2 connection, counted and timed: what many streams on one socket make possible.
//!
//! Three misuses have no bound in the protocol. A client may ask and take it back at once, again and again ("rapid
//! reset"); it may send what asks for nothing (pings, settings, empty frames); it may keep the socket lively and never
//! open the window of an answer. Each is counted or timed here, and past its limit the connection is cut. An answer is
//! handed over in slices, so that what hyper has not taken yet is what the client has not made room for.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits;

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    /// Bytes read since a request, or a part of a body, or since [`Open::counted_from`].
    idle_bytes: AtomicUsize,
    /// Requests that were taken back, less those that were answered to the end.
    abandoned: AtomicUsize,
    open: Mutex<Open>,
    stall_max: Duration,
    idle_max: Duration,
}

#[derive(Debug)]
struct Open {
    exchanges: BTreeMap<u64, State>,
    /// Those whose answers end with their clients or at the stop.
    endless: BTreeSet<u64>,
    next: u64,
    used: Instant,
    counted_from: Instant,
}

/// Whom an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For us: the answer, or its next part.
    Working,
    /// For the client, since then: to take what it was answered.
    Sending(Instant),
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Something is asked or was lately.
    Busy,
    /// Nothing was asked for the longest time.
    Idle,
    /// An answer was left unread for the longest time.
    Stalled,
}

impl Streams {
    pub(super) fn new(stall_max: Duration, idle_max: Duration) -> Streams {
        let now = Instant::now();
        let open = Open { exchanges: BTreeMap::new(), endless: BTreeSet::new(), next: 0, used: now, counted_from: now };
        let (idle_bytes, abandoned) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Streams { idle_bytes, abandoned, open: Mutex::new(open), stall_max, idle_max }
    }

    /// Counts bytes read. False when the client asks for too little with too much, or takes back too much.
    pub(super) fn bears(&self, bytes: usize) -> bool {
        let idle = self.idle_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.abandoned.load(Ordering::Relaxed) > limits::H2_ABANDONED_MAX {
            return false;
        }
        idle <= limits::H2_IDLE_BYTES_MAX || self.begin_count()
    }

    /// Begins to count anew, once the time that is counted over is past.
    fn begin_count(&self) -> bool {
        let now = Instant::now();
        let mut open = self.open.lock();
        let past = now >= open.counted_from + limits::H2_IDLE_BYTES_TIME;
        if past {
            open.counted_from = now;
            self.used();
        }
        past
    }

    /// The client has sent or taken something of use.
    pub(super) fn used(&self) {
        self.idle_bytes.store(0, Ordering::Relaxed);
    }

    /// A request has come.
    pub(super) fn begin(self: &Arc<Streams>) -> Exchange {
        self.used();
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        open.exchanges.insert(number, State::Working);
        Exchange { streams: Arc::clone(self), number, done: false }
    }

    /// Whether nothing else is under way than what has no end of its own.
    pub(super) fn are_endless(&self) -> bool {
        let open = self.open.lock();
        open.exchanges.keys().all(|number| open.endless.contains(number))
    }

    /// How the streams are at `now`.
    pub(super) fn look(&self, now: Instant) -> Health {
        let open = self.open.lock();
        let stalled = |state: &State| matches!(state, State::Sending(since) if now >= *since + self.stall_max);
        if open.exchanges.values().any(stalled) {
            Health::Stalled
        } else if open.exchanges.is_empty() && now >= open.used + self.idle_max {
            Health::Idle
        } else {
            Health::Busy
        }
    }
}

/// One request and its answer; its end, however it comes, is noted.
#[derive(Debug)]
pub(super) struct Exchange {
    streams: Arc<Streams>,
    number: u64,
    done: bool,
}

impl Exchange {
    /// Its answer has no end of its own.
    pub(super) fn is_endless(&self) {
        self.streams.open.lock().endless.insert(self.number);
    }

    fn is(&self, state: State) {
        self.streams.open.lock().exchanges.insert(self.number, state);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let abandoned = &self.streams.abandoned;
        if self.done {
            // Nothing to take off is no fault.
            let _ = abandoned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
        } else {
            abandoned.fetch_add(1, Ordering::Relaxed);
        }
        let mut open = self.streams.open.lock();
        open.exchanges.remove(&self.number);
        open.endless.remove(&self.number);
        open.used = Instant::now();
    }
}

/// An answer's body, handed over in slices.
pub(super) struct Outbound {
    body: Body,
    /// What is left of the frame that was taken last.
    rest: Bytes,
    exchange: Exchange,
}

impl Outbound {
    pub(super) fn new(body: Body, mut exchange: Exchange) -> Outbound {
        exchange.done = body.is_end_stream();
        Outbound { body, rest: Bytes::new(), exchange }
    }

    fn slice(&mut self) -> Frame<Bytes> {
        let slice = self.rest.split_to(self.rest.len().min(limits::H2_SEND_BYTES_MAX));
        self.exchange.streams.used();
        self.exchange.is(State::Sending(Instant::now()));
        self.exchange.done = self.is_end_stream();
        Frame::data(slice)
    }
}

impl hyper::body::Body for Outbound {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            self.exchange.is(State::Working);
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => {
                    self.exchange.done = other.is_none();
                    return Poll::Ready(other);
                }
            }
        }
        Poll::Ready(Some(Ok(self.slice())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
