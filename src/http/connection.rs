//! One connection: which HTTP its client speaks, and the requests on it until its end or the server's.
//!
//! HTTP/2 is spoken by a client that begins with its preface: by ALPN over TLS, by "prior knowledge" without (RFC 9113,
//! sections 3.2 and 3.3); everything else is HTTP/1.1. A byte that differs from the preface decides, so that an HTTP/1.1 request is held up by nothing.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::{Instant, interval, sleep, timeout};

use crate::http::accept::{Answer, ConnectionLimits};
use crate::http::crowd::Member;
use crate::http::endless;
use crate::http::inbound::Inbound;
use crate::http::meters::Traffic;
use crate::http::socket::{Shared, Socket};
use crate::http::streams::{Health, Outbound, Streams};
use crate::http::tls::{Greeting, PlainRefused, Tls};
use crate::http::wire::Wire;
use crate::limits;

/// What a client that speaks HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Looks at the streams of a connection in the time that a client may leave an answer unread.
const LOOKS: u32 = 4;

/// A connection that was accepted.
pub(super) struct Connection<A> {
    pub(super) answer: A,
    pub(super) peer: SocketAddr,
    pub(super) limits: ConnectionLimits,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) traffic: Arc<Traffic>,
    /// What is shown to clients where TLS is spoken.
    pub(super) tls: Option<Arc<Tls>>,
}

/// The place of a connection among all and among its address's, and one of those that are counted. What goes on where a
/// request ended, as a WebSocket, keeps it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    _held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    _place: OwnedSemaphorePermit,
    _member: Member,
    traffic: Arc<Traffic>,
}

/// Set on an answer that goes on until its client leaves: at the stop nobody waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// The first bytes of a connection, read to tell which HTTP it is.
enum Opening {
    /// No preface: what was read is the beginning of a request.
    Http1(Vec<u8>),
    Http2,
}

/// How the serving of a connection ended.
type Ended = Result<hyper::Result<()>, tokio::time::error::Elapsed>;

/// What comes after the requests of a connection.
enum After {
    Nothing(Ended),
    /// An answer that goes on until the end, on a connection that has nothing else to do, and who has its stream.
    Answer(Arc<Shared>, Response<Body>),
}

impl<A: Answer> Connection<A> {
    pub(super) async fn run(mut self, stream: TcpStream, place: OwnedSemaphorePermit, member: Member) {
        // Answers are written whole; waiting to fill a packet only delays them. A socket that refuses is closing.
        let _ = stream.set_nodelay(true);
        let place = Place::new(place, member, &self.traffic);
        let Some(tls) = self.tls.take() else { return self.served(Wire::Plain(stream), place).await };
        let greeting = tokio::select! {
            greeting = Box::pin(tls.greet(stream, self.limits.handshake_time)) => greeting,
            () = told(&mut self.stopped) => return,
        };
        match greeting {
            Ok(Greeting::Secured(stream)) => {
                self.traffic.handshakes.add(1);
                self.served(Wire::Tls(stream), place).await;
            }
            Ok(Greeting::Plain(stream)) => {
                self.traffic.handshakes_failed.add(1);
                let Connection { peer, limits, stopped, traffic, .. } = self;
                let refusing = Connection { answer: PlainRefused, peer, limits, stopped, traffic, tls: None };
                refusing.served(Wire::Plain(stream), place).await;
            }
            Ok(Greeting::Challenged) => {
                tracing::debug!(peer = %self.peer, "an authority looks whether a name leads here");
            }
            Err(error) => {
                self.traffic.handshakes_failed.add(1);
                tracing::debug!(peer = %self.peer, %error, "no TLS");
            }
        }
    }

    async fn served(mut self, mut stream: Wire, place: Place) {
        let opening = tokio::select! {
            opening = timeout(self.limits.header_time, opening(&mut stream)) => opening,
            () = told(&mut self.stopped) => return,
        };
        let peer = self.peer;
        // Each way is a future of its own, so that the connection is no larger than what it is at.
        let ended = match opening {
            Ok(Ok(Opening::Http1(head))) => match Box::pin(self.http1(stream, head, place.clone())).await {
                After::Nothing(ended) => ended,
                After::Answer(shared, response) => {
                    let Some(stream) = shared.left() else { return };
                    let (stall_max, stop_max) = (self.limits.write_stall, self.limits.stream_stop);
                    let sender = endless::Sender { stream, traffic: self.traffic.clone(), stall_max, stop_max };
                    if let Err(error) = Box::pin(sender.send(response, &mut self.stopped)).await {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    return;
                }
            },
            Ok(Ok(Opening::Http2)) => Box::pin(self.http2(stream)).await,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "connection ended"),
            Err(_) => return tracing::debug!(%peer, "nothing was asked in time"),
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "connection ended"),
            Err(_) => tracing::warn!(%peer, "connection dropped at the stop's deadline"),
        }
        drop(place);
    }

    async fn http1(&mut self, stream: Wire, head: Vec<u8>, place: Place) -> After {
        let shared = Arc::new(Shared::new(self.traffic.clone(), None));
        let socket = Socket::new(stream, head, Arc::clone(&shared), self.limits.write_stall, self.limits.linger);
        let (answer, peer) = (self.answer.clone(), self.peer);
        let endless = Arc::new(AtomicBool::new(false));
        let is_endless = endless.clone();
        let (hand, handed) = oneshot::channel();
        let (hand, left) = (Arc::new(Mutex::new(Some(hand))), Arc::clone(&shared));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (answer, shared, endless, hand) =
                (answer.clone(), Arc::clone(&shared), endless.clone(), Arc::clone(&hand));
            if request.headers().contains_key(UPGRADE) {
                request.extensions_mut().insert(place.clone());
            }
            let is_plain = request.version() == Version::HTTP_11 && request.method() == Method::GET;
            let is_clean = shared.is_clean();
            async move {
                let request = request.map(|body| Inbound::new(body, &shared));
                let mut response = answer.answer(request, peer).await;
                let goes_on = response.extensions().get::<Endless>().is_some();
                endless.store(goes_on, Ordering::Relaxed);
                let can_go_on_alone = goes_on && is_plain && is_clean && !shared.unread();
                let hand = if can_go_on_alone { hand.lock().take() } else { None };
                if let Some(hand) = hand {
                    // This future goes with the connection.
                    let _ = hand.send(response);
                    return pending().await;
                }
                if shared.unread() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header_time)
                .max_buf_size(self.limits.header_bytes)
                // Answers are small: one copy costs less than a vectored write.
                .writev(false)
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades()
        );
        let served = async {
            tokio::select! {
                ended = connection.as_mut() => Ok(ended),
                () = told(&mut self.stopped) => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = timeout(self.limits.stop_time, connection.as_mut()) => ended,
                        () = sleep(self.limits.stream_stop), if is_endless.load(Ordering::Relaxed) => Ok(Ok(())),
                    }
                }
            }
        };
        let response = tokio::select! {
            biased;
            ended = served => return After::Nothing(ended),
            Ok(response) = handed => response,
        };
        left.hand_over();
        After::Answer(left, response)
    }

    async fn http2(mut self, stream: Wire) -> Ended {
        let streams = Arc::new(Streams::new(self.limits.write_stall, self.limits.idle_time));
        let shared = Arc::new(Shared::new(self.traffic.clone(), Some(Arc::clone(&streams))));
        let head = PREFACE.to_vec();
        let socket = Socket::new(stream, head, Arc::clone(&shared), self.limits.write_stall, self.limits.linger);
        let (answer, peer) = (self.answer.clone(), self.peer);
        let service = {
            let streams = Arc::clone(&streams);
            service_fn(move |request: Request<Incoming>| {
                let (answer, shared) = (answer.clone(), Arc::clone(&shared));
                let exchange = streams.begin();
                async move {
                    let request = request.map(|body| Inbound::new(body, &shared));
                    let response: Response<Body> = answer.answer(request, peer).await;
                    if response.extensions().get::<Endless>().is_some() {
                        exchange.is_endless();
                    }
                    Ok::<_, Infallible>(response.map(|body| Outbound::new(body, exchange)))
                }
            })
        };
        let connection = builder(&self.limits).serve_connection(TokioIo::new(socket), service);
        self.watch(pin!(connection), |connection| connection.graceful_shutdown(), &streams).await
    }

    /// Serves the connection and looks at its streams now and then; `leave` tells the client to ask no more.
    async fn watch<C: Future<Output = hyper::Result<()>>>(
        &mut self,
        mut connection: Pin<&mut C>,
        leave: impl Fn(Pin<&mut C>),
        streams: &Streams,
    ) -> Ended {
        let mut look = interval(self.limits.write_stall.min(self.limits.idle_time) / LOOKS);
        let mut leaving: Option<Instant> = None;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return Ok(ended),
                () = told(&mut self.stopped) => {
                    leave(connection.as_mut());
                    let streams_end = async {
                        sleep(self.limits.stream_stop).await;
                        while !streams.are_endless() {
                            sleep(self.limits.stream_stop).await;
                        }
                    };
                    return tokio::select! {
                        ended = timeout(self.limits.stop_time, connection) => ended,
                        () = streams_end => Ok(Ok(())),
                    };
                }
                now = look.tick() => match (streams.look(now), leaving) {
                    (Health::Stalled, _) => {
                        tracing::debug!(peer = %self.peer, "an answer was left unread");
                        self.traffic.stalled.add(1);
                        return Ok(Ok(()));
                    }
                    (Health::Idle, Some(since)) if now >= since + self.limits.write_stall => return Ok(Ok(())),
                    (Health::Idle, None) => {
                        leave(connection.as_mut());
                        leaving = Some(now);
                    }
                    (Health::Idle | Health::Busy, _) => {}
                },
            }
        }
    }
}

impl Place {
    fn new(place: OwnedSemaphorePermit, member: Member, traffic: &Arc<Traffic>) -> Place {
        traffic.connections.enter();
        Place { _held: Arc::new(Held { _place: place, _member: member, traffic: traffic.clone() }) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.traffic.connections.leave();
    }
}

/// HTTP/2 within `limits`.
fn builder(limits: &ConnectionLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits::H2_RESETS_MAX)
        .max_local_error_reset_streams(limits::H2_ERRORS_MAX)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(limits::H2_SEND_BYTES_MAX)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_time);
    builder
}

/// Reads as far as it takes to tell the two apart; what was read of a request is given back.
async fn opening(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Opening> {
    let mut head = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < head.len() {
        let read = stream.read(&mut head[filled..]).await?;
        filled += read;
        if read == 0 || head[..filled] != PREFACE[..filled] {
            return Ok(Opening::Http1(head[..filled].to_vec()));
        }
    }
    Ok(Opening::Http2)
}

/// Returns at the stop; that the loop is gone without a word is one too.
pub(super) async fn told(stopped: &mut watch::Receiver<bool>) {
    while !*stopped.borrow_and_update() && stopped.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests;
