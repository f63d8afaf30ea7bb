//! An answer without end, over HTTP/1.1: sent by the connection itself once its head is known. Nothing is asked on such a
//! connection any more, so what is kept for the reading and writing of further requests is let go: with ten thousand
//! listeners to whom nothing comes, that is most of what they take.
//!
//! Invariants: a frame of the body is asked for when the one before has been taken by the socket, over TLS too; a client that takes
//! nothing for too long, or leaves, ends the connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, DATE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::http::connection::told;
use crate::http::meters::Traffic;
use crate::http::wire::Wire;
use crate::time::http_date;

/// The last chunk of a body (RFC 9112, section 7.1).
const END: &[u8] = b"0\r\n\r\n";
/// What a client that only listens says at a time, bytes.
const HEARD: usize = 1 << 10;
/// What it may say in all, bytes: it has been told that nothing more is answered here.
const HEARD_MAX: usize = 64 << 10;

/// A connection that does nothing else any more.
pub(super) struct Sender {
    pub(super) stream: Wire,
    pub(super) traffic: Arc<Traffic>,
    /// How long a client may take nothing of what is there for it.
    pub(super) stall_max: Duration,
    /// How long the answer may go on after the stop.
    pub(super) stop_max: Duration,
}

impl Sender {
    /// Sends an answer until its end, its client's or the stop's.
    ///
    /// # Errors
    /// The socket's, or the body's as one.
    pub(super) async fn send(self, response: Response<Body>, stopped: &mut watch::Receiver<bool>) -> io::Result<()> {
        let stop_max = self.stop_max;
        let over = async {
            told(stopped).await;
            sleep(stop_max).await;
        };
        tokio::select! {
            sent = self.whole(response) => sent,
            () = over => Ok(()),
        }
    }

    async fn whole(mut self, response: Response<Body>) -> io::Result<()> {
        let (head, mut body) = response.into_parts();
        self.write(&written(head.status.as_str(), head.status.canonical_reason(), head.headers)).await?;
        let mut heard = 0;
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                left = self.left(&mut heard) => return left,
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(io::Error::other)?;
            let Ok(data) = frame.into_data() else { continue };
            if !data.is_empty() {
                self.write(&chunk(&data)).await?;
                tokio::task::consume_budget().await;
            }
        }
        self.write(END).await?;
        // TLS tells an end from a cut.
        timeout(self.stall_max, self.stream.shutdown()).await.unwrap_or_else(|_| Err(self.stalled()))
    }

    /// Reads what the client says, which nobody asked it, until it leaves or has said too much: `heard` bytes so far.
    async fn left(&mut self, heard: &mut usize) -> io::Result<()> {
        while *heard < HEARD_MAX {
            match self.hear().await? {
                0 => return Ok(()),
                read => *heard += read,
            }
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client says more than a listener has to"))
    }

    /// Reads some. The room for it is there only while it is read.
    async fn hear(&mut self) -> io::Result<usize> {
        let read = poll_fn(|cx| {
            let mut heard = [0; HEARD];
            let mut into = ReadBuf::new(&mut heard);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
            io::Result::Ok(into.filled().len()).into()
        });
        let read = read.await?;
        self.traffic.read_bytes.add(read as u64);
        Ok(read)
    }

    /// Writes all of it, until the socket has it.
    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = timeout(self.stall_max, self.stream.write(bytes)).await;
            let written = written.unwrap_or_else(|_| Err(self.stalled()))?;
            self.traffic.written_bytes.add(written as u64);
            bytes = &bytes[written..];
        }
        timeout(self.stall_max, self.stream.flush()).await.unwrap_or_else(|_| Err(self.stalled()))
    }

    fn stalled(&self) -> io::Error {
        self.traffic.stalled.add(1);
        io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")
    }
}

/// The head of an answer whose body comes in chunks, and after which the connection ends.
fn written(status: &str, reason: Option<&str>, mut headers: HeaderMap) -> Vec<u8> {
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Ok(date) = HeaderValue::try_from(http_date()) {
        headers.insert(DATE, date);
    }
    let mut out = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or_default()).into_bytes();
    for (name, value) in &headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A chunk, with its length before it.
fn chunk(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out
}
