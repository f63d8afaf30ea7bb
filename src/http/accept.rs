//! The accept loop: every limit on connections stands here or in `socket`.
//!
//! `axum::serve` is not used, as it sets no timer and so no limit on a request's head. A connection beyond the cap
//! waits in the kernel's backlog. At a stop no connection is accepted any more, idle ones are closed, requests in
//! flight are answered, and what is left at the deadline is dropped.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::http::inbound::Inbound;
use crate::http::socket::{Shared, Socket};
use crate::limits;

/// Pause after a failed accept (out of file descriptors): the loop must neither end nor spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of connections; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) connections: usize,
    pub(crate) header_bytes: usize,
    pub(crate) header_time: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) linger: Duration,
    pub(crate) stop_time: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections: limits::CONNECTIONS_MAX,
            header_bytes: limits::HEADER_BYTES_MAX,
            header_time: limits::HEADER_TIME_MAX,
            write_stall: limits::WRITE_STALL_MAX,
            linger: limits::LINGER_TIME_MAX,
            stop_time: limits::STOP_TIME_MAX,
        }
    }
}

/// What answers the requests. It must not panic: a panic ends the connection.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    /// The answer to one request of `peer`.
    fn answer(&self, request: Request<Inbound>, peer: SocketAddr) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves `listener` until `stop` is done and every connection has ended or the deadline is past.
pub(crate) async fn run(
    listener: TcpListener,
    answer: impl Answer,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            (stream, peer, place) = next(&listener, &places) => {
                let connection = Connection { answer: answer.clone(), peer, limits, stopped: stopped.clone() };
                tokio::spawn(connection.run(stream, place));
            }
        }
    }
    drop(listener);
    // The receivers are the connections'; with none left there is no one to tell.
    let _ = stopping.send(true);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if timeout(limits.stop_time, places.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests were not answered before the stop's deadline");
    }
}

/// The next connection, once there is a place for it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of `accept` that are about the one connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Connection<A> {
    answer: A,
    peer: SocketAddr,
    limits: ConnectionLimits,
    stopped: watch::Receiver<bool>,
}

impl<A: Answer> Connection<A> {
    async fn run(mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are written whole; waiting to fill a packet only delays them. A socket that refuses is closing.
        let _ = stream.set_nodelay(true);
        let shared = Arc::new(Shared::default());
        let socket = Socket::new(stream, Arc::clone(&shared), self.limits.write_stall, self.limits.linger);
        let (answer, peer) = (self.answer, self.peer);
        let service = service_fn(move |request: Request<Incoming>| {
            let (answer, shared) = (answer.clone(), Arc::clone(&shared));
            async move {
                let request = request.map(|body| Inbound::new(body, &shared));
                let mut response = answer.answer(request, peer).await;
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
                .serve_connection(TokioIo::new(socket), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Ok(ended),
            () = told(&mut self.stopped) => {
                connection.as_mut().graceful_shutdown();
                timeout(self.limits.stop_time, connection.as_mut()).await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "connection ended"),
            Err(_) => tracing::warn!(%peer, "connection dropped at the stop's deadline"),
        }
        drop(place);
    }
}

/// Returns at the stop; that the loop is gone without a word is one too.
async fn told(stopped: &mut watch::Receiver<bool>) {
    while !*stopped.borrow_and_update() && stopped.changed().await.is_ok() {}
}
