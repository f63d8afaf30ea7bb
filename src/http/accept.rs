//! The accept loop: every limit on connections stands here, in `socket`, in `streams` (HTTP/2) or in `tls`.
//!
//! `axum::serve` is not used, as it sets no timer and so no limit on a request's head. A connection beyond the cap
//! waits in the kernel's backlog; one beyond its address's own cap is closed at once. At a stop no connection is accepted any more, idle ones are closed, requests in
//! flight are answered, and what is left at the deadline is dropped.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::http::connection::Connection;
use crate::http::crowd::Crowd;
use crate::http::inbound::Inbound;
use crate::http::meters::Traffic;
use crate::http::tls::Tls;
use crate::limits;

/// Pause after a failed accept (out of file descriptors): the loop must neither end nor spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of connections; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) connections: usize,
    pub(crate) header_bytes: usize,
    pub(crate) header_time: Duration,
    pub(crate) handshake_time: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) linger: Duration,
    pub(crate) stop_time: Duration,
    pub(crate) stream_stop: Duration,
    pub(crate) idle_time: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_time: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections: limits::CONNECTIONS_MAX,
            header_bytes: limits::HEADER_BYTES_MAX,
            header_time: limits::HEADER_TIME_MAX,
            handshake_time: limits::TLS_HANDSHAKE_TIME_MAX,
            write_stall: limits::WRITE_STALL_MAX,
            linger: limits::LINGER_TIME_MAX,
            stop_time: limits::STOP_TIME_MAX,
            stream_stop: limits::STREAM_STOP_TIME_MAX,
            idle_time: limits::H2_IDLE_TIME_MAX,
            ping_interval: limits::H2_PING_INTERVAL,
            ping_time: limits::H2_PING_TIME_MAX,
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
    (limits, crowd): (ConnectionLimits, Arc<Crowd>),
    tls: Option<Arc<Tls>>,
    traffic: Arc<Traffic>,
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
                traffic.accepted.add(1);
                let Some(member) = crowd.enter(peer.ip()) else {
                    traffic.crowded.add(1);
                    continue;
                };
                let (answer, stopped, traffic) = (answer.clone(), stopped.clone(), traffic.clone());
                let connection = Connection { answer, peer, limits, stopped, traffic, tls: tls.clone() };
                tokio::spawn(connection.run(stream, place, member));
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

#[cfg(test)]
pub(super) mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::http::connection::Endless;
    use crate::http::inbound::gather;
    use crate::http::problem;

    const BODY_MAX: usize = 1_024;
    pub(in crate::http) const SHORT: Duration = Duration::from_millis(100);
    pub(in crate::http) const HOUR: Duration = Duration::from_secs(3_600);
    /// Time after which what should end at once fails the test.
    pub(in crate::http) const PATIENCE: Duration = Duration::from_secs(60);

    /// Answers `/hello` at once, `/held` when told, `/endless` with what has no end, `/told` and `/flood` as if they had none,
    /// `/big` and `/flood` with more than any socket buffers, else gathers the body.
    #[derive(Clone, Default)]
    pub(in crate::http) struct Toy {
        pub(in crate::http) entered: Arc<Notify>,
        pub(in crate::http) release: Arc<Notify>,
    }

    impl Answer for Toy {
        async fn answer(&self, request: Request<Inbound>, _peer: SocketAddr) -> Response<Body> {
            match request.uri().path() {
                "/hello" => Response::new(Body::from("hello")),
                "/big" => Response::new(Body::from(vec![b'x'; 64 << 20])),
                "/endless" => endless(Body::new(Silence)),
                "/told" => endless(Body::from("some words")),
                "/flood" => endless(Body::from(vec![b'x'; 64 << 20])),
                "/held" => {
                    self.entered.notify_one();
                    self.release.notified().await;
                    Response::new(Body::from("released"))
                }
                _ => match gather(Body::new(request.into_body()), BODY_MAX, SHORT).await {
                    Ok(body) => Response::new(Body::from(body)),
                    Err(error) => {
                        let mut response = Response::new(Body::from(error.code_str()));
                        *response.status_mut() = problem::status(error.kind());
                        response
                    }
                },
            }
        }
    }

    fn endless(body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        response.extensions_mut().insert(Endless);
        response
    }

    /// A body of which nothing ever comes.
    struct Silence;

    impl hyper::body::Body for Silence {
        type Data = axum::body::Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<axum::body::Bytes>, io::Error>>> {
            Poll::Pending
        }
    }

    pub(in crate::http) struct Served {
        pub(in crate::http) address: SocketAddr,
        pub(in crate::http) toy: Toy,
        pub(in crate::http) stop: oneshot::Sender<()>,
        pub(in crate::http) ended: JoinHandle<()>,
    }

    pub(in crate::http) async fn serve(limits: ConnectionLimits) -> Served {
        serve_crowd(limits, usize::MAX, Arc::default(), None).await
    }

    /// One that speaks TLS.
    pub(in crate::http) async fn serve_tls(limits: ConnectionLimits, tls: Arc<Tls>) -> Served {
        serve_crowd(limits, usize::MAX, Arc::default(), Some(tls)).await
    }

    /// One that has so many connections of this machine at most.
    async fn serve_crowd(
        limits: ConnectionLimits,
        most: usize,
        traffic: Arc<Traffic>,
        tls: Option<Arc<Tls>>,
    ) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let toy = Toy::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(run(
            listener,
            toy.clone(),
            (limits, Arc::new(Crowd::new(most, Vec::new()))),
            tls,
            traffic,
            async {
                let _ = stopped.await;
            },
        ));
        Served { address, toy, stop, ended }
    }

    pub(in crate::http) async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(bytes).await.expect("sends");
        stream
    }

    /// Everything until the server closes.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("the end comes in order, not as a reset");
        String::from_utf8(bytes).expect("text")
    }

    /// One answer with a Content-Length, leaving the connection open.
    async fn one(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        loop {
            bytes.push(stream.read_u8().await.expect("an answer"));
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
                if body.len() == length.parse::<usize>().expect("a number") {
                    return text.into_owned();
                }
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_bodies_are_gathered() {
        let served = serve(ConnectionLimits::default()).await;
        let mut stream = send(served.address, b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(one(&mut stream).await.ends_with("hello"));
        stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nwell").await.expect("sends");
        assert!(one(&mut stream).await.ends_with("well"));
        let chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        stream.write_all(chunked).await.expect("sends");
        assert!(one(&mut stream).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn a_request_that_begins_like_a_preface_is_a_request() {
        let served = serve(ConnectionLimits::default()).await;
        for (method, status) in [("P", "200"), ("PRI", "200"), ("PRIO", "200"), ("PUT", "200")] {
            let mut stream = send(served.address, b"").await;
            for byte in format!("{method} /hello HTTP/1.1\r\nhost: x\r\n\r\n").bytes() {
                stream.write_u8(byte).await.expect("sends");
                tokio::task::yield_now().await;
            }
            assert!(one(&mut stream).await.starts_with(&format!("HTTP/1.1 {status} ")), "{method}");
        }
        let answer = rest(send(served.address, b"PRI * HTTP/2.1\r\n\r\n").await).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }

    #[tokio::test]
    async fn a_body_over_its_bound_is_refused_unread_and_the_answer_arrives() {
        let served = serve(ConnectionLimits::default()).await;
        let said = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 100 << 20);
        let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1000000\r\n".to_owned();
        for head in [said, chunked] {
            let stream = send(served.address, head.as_bytes()).await;
            let (mut read, mut write) = stream.into_split();
            // The client sends on, as most do, without a look at the answer; its last writes may fail.
            let sending = tokio::spawn(async move { write.write_all(&vec![b'x'; 8 << 20]).await });
            let mut answer = Vec::new();
            read.read_to_end(&mut answer).await.expect("no reset");
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("body_too_large"), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
            sending.abort();
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let served = serve(ConnectionLimits { linger: SHORT, ..ConnectionLimits::default() }).await;
        let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx";
        let answer = rest(send(served.address, head).await).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }

    #[tokio::test]
    async fn a_malformed_or_long_head_is_400_or_431() {
        let served = serve(ConnectionLimits::default()).await;
        let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(128 << 10));
        for (head, status) in [("GET /\x01 HTTP/1.1\r\n\r\n", "400"), ("nonsense\r\n\r\n", "400"), (&long, "431")] {
            let answer = rest(send(served.address, head.as_bytes()).await).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        }
    }

    #[tokio::test]
    async fn silent_and_slow_heads_are_cut_off() {
        let served = serve(ConnectionLimits { header_time: SHORT, ..ConnectionLimits::default() }).await;
        for head in ["", "GET /hello HT", "GET /hello HTTP/1.1\r\nhost: x\r\n"] {
            let mut stream = send(served.address, head.as_bytes()).await;
            let mut bytes = Vec::new();
            // The end may come in order or as a reset; what counts is that it comes.
            let _ = stream.read_to_end(&mut bytes).await;
            assert!(!String::from_utf8_lossy(&bytes).contains("hello"), "{head:?} was answered");
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_off() {
        let limits = ConnectionLimits { connections: 1, write_stall: SHORT, ..ConnectionLimits::default() };
        for unread in ["/big", "/flood"] {
            let served = serve(limits).await;
            let request = format!("GET {unread} HTTP/1.1\r\nhost: x\r\n\r\n");
            let _unread = send(served.address, request.as_bytes()).await;
            // The one place is taken by the client that does not read; it is free once that one is cut off.
            let mut stream = send(served.address, b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
            assert!(one(&mut stream).await.ends_with("hello"));
        }
    }

    #[tokio::test]
    async fn what_has_no_end_comes_in_chunks_behind_the_answers_before_it_and_is_the_last() {
        let served = serve(ConnectionLimits::default()).await;
        let (hello, told) = ("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n", "GET /told HTTP/1.1\r\nhost: x\r\n\r\n");
        for requests in [told.to_owned(), format!("{hello}{told}"), format!("{hello}{hello}{told}")] {
            let mut stream = send(served.address, requests.as_bytes()).await;
            for _ in 1..requests.matches("GET").count() {
                assert!(one(&mut stream).await.ends_with("hello"));
            }
            // Nobody asks any more, and what is asked all the same is not answered.
            let _ = stream.write_all(hello.as_bytes()).await;
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes).await;
            let answer = String::from_utf8_lossy(&bytes);
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("\r\ntransfer-encoding: chunked\r\n") && answer.contains("\r\ndate: "), "{answer}");
            assert!(answer.ends_with("\r\n\r\na\r\nsome words\r\n0\r\n\r\n"), "{answer}");
        }
        let old = rest(send(served.address, b"GET /told HTTP/1.0\r\n\r\n").await).await;
        assert!(old.ends_with("\r\n\r\nsome words"), "{old}");
    }

    #[tokio::test]
    async fn who_leaves_what_has_no_end_gives_its_place_back() {
        let served = serve(ConnectionLimits { connections: 1, ..ConnectionLimits::default() }).await;
        let mut stream = send(served.address, b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
        stream.read_u8().await.expect("an answer");
        drop(stream);
        let mut stream = send(served.address, b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(one(&mut stream).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn one_address_takes_so_many_connections_and_no_more() {
        const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n";
        let traffic = Arc::<Traffic>::default();
        let served = serve_crowd(ConnectionLimits::default(), 2, traffic.clone(), None).await;
        let mut first = send(served.address, HELLO).await;
        one(&mut first).await;
        let mut second = send(served.address, HELLO).await;
        one(&mut second).await;
        let mut third = send(served.address, b"").await;
        // The end may come in order or as a reset; what counts is that it comes, and without an answer.
        let mut bytes = Vec::new();
        let _ = third.read_to_end(&mut bytes).await;
        assert_eq!((bytes.len(), traffic.crowded.get()), (0, 1));
        first.write_all(HELLO).await.expect("sends");
        assert!(one(&mut first).await.ends_with("hello"), "those that are there stay");
        drop(second);
        // Its place is free once the server has seen its end.
        while traffic.connections.get() > 1 {
            tokio::task::yield_now().await;
        }
        loop {
            let mut stream = send(served.address, b"").await;
            if stream.write_all(HELLO).await.is_ok() && stream.read_u8().await.is_ok() {
                break;
            }
        }
    }

    #[tokio::test]
    async fn a_stop_answers_what_is_in_flight_and_closes_the_idle() {
        let served = serve(ConnectionLimits::default()).await;
        let silent = send(served.address, b"").await;
        let mut idle = send(served.address, b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
        one(&mut idle).await;
        let held = send(served.address, b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await;
        served.toy.entered.notified().await;
        served.stop.send(()).expect("running");
        assert_eq!(rest(idle).await, "");
        assert_eq!(rest(silent).await, "");
        served.toy.release.notify_one();
        assert!(rest(held).await.ends_with("released"));
        served.ended.await.expect("ended");
        assert!(TcpStream::connect(served.address).await.is_err(), "still listening");
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_what_has_no_end() {
        let limits = ConnectionLimits { stream_stop: SHORT, stop_time: HOUR, ..ConnectionLimits::default() };
        let served = serve(limits).await;
        let mut stream = send(served.address, b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
        stream.read_u8().await.expect("an answer");
        served.stop.send(()).expect("running");
        timeout(PATIENCE, served.ended).await.expect("it waits for a stream").expect("ended");
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_past_its_deadline() {
        let served = serve(ConnectionLimits { stop_time: SHORT, ..ConnectionLimits::default() }).await;
        let _held = send(served.address, b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await;
        served.toy.entered.notified().await;
        served.stop.send(()).expect("running");
        served.ended.await.expect("ended");
    }
}
