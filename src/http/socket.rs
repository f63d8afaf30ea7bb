//! A connection's socket, plain or with TLS on it, with the two limits hyper has no word for.
//!
//! A write that stays pending too long is an error: a client that does not read holds nothing for ever. And a
//! connection that ends with something unread lingers: it goes on reading, and drops what it reads, until the client
//! has had time to see the answer; closing at once would reset the connection, and the answer with it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::meters::Traffic;
use crate::http::streams::Streams;
use crate::http::wire::Wire;

/// Bytes dropped at a time while lingering.
const LINGER_READ: usize = 16 << 10;

/// What the socket, the body reader and the answers of one connection tell each other.
#[derive(Debug)]
pub(super) struct Shared {
    unread: AtomicBool,
    /// Whether all that was written has gone into the socket.
    flushed: AtomicBool,
    /// Whether the stream goes on without what the socket is dropped with, and where it is then left.
    hands_over: AtomicBool,
    left: Mutex<Option<Wire>>,
    traffic: Arc<Traffic>,
    /// Of HTTP/2: there a body left unread is its stream's matter, not the connection's.
    streams: Option<Arc<Streams>>,
}

impl Shared {
    pub(super) fn new(traffic: Arc<Traffic>, streams: Option<Arc<Streams>>) -> Shared {
        let (unread, flushed, hands_over) = (AtomicBool::new(false), AtomicBool::new(true), AtomicBool::new(false));
        Shared { unread, flushed, hands_over, left: Mutex::new(None), traffic, streams }
    }

    /// Whether nothing is under way either way: then the stream can be handed over.
    pub(super) fn is_clean(&self) -> bool {
        !self.unread() && self.flushed.load(Ordering::Relaxed)
    }

    /// Has the socket leave its stream here when it is dropped.
    pub(super) fn hand_over(&self) {
        self.hands_over.store(true, Ordering::Relaxed);
    }

    /// The stream that was left here.
    pub(super) fn left(&self) -> Option<Wire> {
        self.left.lock().take()
    }

    /// A part of a body has been taken.
    pub(super) fn took_some(&self) {
        if let Some(streams) = &self.streams {
            streams.used();
        }
    }

    /// Notes whether the body of the present request has been read to its end.
    pub(super) fn set_unread(&self, unread: bool) {
        if self.streams.is_none() {
            self.unread.store(unread, Ordering::Relaxed);
        }
    }

    /// Whether part of a body was left in the socket.
    pub(super) fn unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }
}

/// See the head of this file.
pub(super) struct Socket {
    /// Absent when it is dropped.
    stream: Option<Wire>,
    /// What was read of the stream before it came here, and is to be read first.
    head: Vec<u8>,
    shared: Arc<Shared>,
    stall_max: Duration,
    linger_max: Duration,
    /// Made at the first write that had to wait, armed while one waits.
    stall: Option<Pin<Box<Sleep>>>,
    stalled: bool,
    linger: Option<Pin<Box<Sleep>>>,
}

/// What a look into the socket found.
enum Left {
    Some,
    NoneYet,
    End,
}

impl Socket {
    pub(super) fn new(
        stream: Wire,
        head: Vec<u8>,
        shared: Arc<Shared>,
        stall_max: Duration,
        linger_max: Duration,
    ) -> Socket {
        let stream = Some(stream);
        Socket { stream, head, shared, stall_max, linger_max, stall: None, stalled: false, linger: None }
    }

    fn stream(&mut self) -> Pin<&mut Wire> {
        Pin::new(self.stream.as_mut().expect("only a drop takes it"))
    }

    fn count(&self, written: &Poll<io::Result<usize>>) {
        self.shared.flushed.store(false, Ordering::Relaxed);
        if let Poll::Ready(Ok(bytes)) = written {
            self.shared.traffic.written_bytes.add(*bytes as u64);
        }
    }

    /// What became of a write: progress disarms the limit, waiting arms it.
    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        let deadline = || Instant::now() + self.stall_max;
        let sleep = match &mut self.stall {
            Some(sleep) => {
                if !self.stalled {
                    sleep.as_mut().reset(deadline());
                }
                sleep
            }
            none => none.insert(Box::pin(sleep_until(deadline()))),
        };
        self.stalled = true;
        ready!(sleep.as_mut().poll(cx));
        self.shared.traffic.stalled.add(1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    /// Reads once, and drops it.
    fn poll_drop_some(&mut self, cx: &mut Context<'_>) -> Left {
        let mut space = [0; LINGER_READ];
        let mut dropped = ReadBuf::new(&mut space);
        match self.stream().poll_read(cx, &mut dropped) {
            Poll::Pending => Left::NoneYet,
            Poll::Ready(Ok(())) if !dropped.filled().is_empty() => Left::Some,
            Poll::Ready(_) => Left::End,
        }
    }

    /// Reads and drops until the client closes or the time is up.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = Instant::now() + self.linger_max;
        loop {
            let linger = self.linger.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if linger.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            match self.poll_drop_some(cx) {
                Left::Some => {}
                Left::NoneYet => return Poll::Pending,
                Left::End => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.shared.hands_over.load(Ordering::Relaxed) {
            *self.shared.left.lock() = self.stream.take();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.head.is_empty() {
            let length = self.head.len().min(into.remaining());
            into.put_slice(&self.head[..length]);
            self.head.drain(..length);
            // What came with it goes into the same buffer: for another one that would have to grow. A fault shows again.
            if into.remaining() > 0 {
                let before = into.filled().len();
                let _ = self.stream().poll_read(cx, into);
                self.shared.traffic.read_bytes.add((into.filled().len() - before) as u64);
            }
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(self.stream().poll_read(cx, into))?;
        self.shared.traffic.read_bytes.add((into.filled().len() - before) as u64);
        match &self.shared.streams {
            Some(streams) if !streams.bears(into.filled().len() - before) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client asks for nothing, too often",
            ))),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write(cx, bytes);
        self.count(&written);
        self.watched(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write_vectored(cx, parts);
        self.count(&written);
        self.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(Wire::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream().poll_flush(cx);
        self.shared.flushed.store(matches!(flushed, Poll::Ready(Ok(()))), Ordering::Relaxed);
        // A write over TLS is taken before the socket has it: there it is the flush that waits for the client.
        self.watched(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let shut = self.stream().poll_shutdown(cx);
            ready!(self.watched(cx, shut))?;
            // A head that hyper refused may have left bytes too.
            if !self.shared.unread() && !matches!(self.poll_drop_some(cx), Left::Some) {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx)
    }
}
