//! HTTP/1.1 over one connection; closed when it is dropped.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use url::Url;

use super::dial::Dialer;

/// What hyper holds of an answer's head, bytes.
const HEAD_BYTES: usize = 32 << 10;

/// What the server calls itself.
pub const USER_AGENT: &str = concat!("Millpond/", env!("CARGO_PKG_VERSION"));

/// A connection for requests with such bodies.
#[derive(Debug)]
pub struct Line<B = Full<Bytes>> {
    requests: SendRequest<B>,
    connection: Connection,
}

/// What drives it; ended when this is dropped.
#[derive(Debug)]
struct Connection(Option<JoinHandle<()>>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl<B> Line<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    /// Connects to the host of a URL. `resolving` bounds the names that its owner has asked for at once.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn open(dialer: &Dialer, url: &Url, resolving: &Arc<Semaphore>) -> Result<Line<B>, String> {
        let stream = dialer.connect(url, resolving).await?;
        let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await;
        let (requests, connection) = handshake.map_err(|error| format!("it says nothing: {error}"))?;
        let task = tokio::spawn(async move {
            // Its end is seen by the request.
            let _ = connection.await;
        });
        Ok(Line { requests, connection: Connection(Some(task)) })
    }

    /// Sends a request: the head of its answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(&mut self, request: Request<B>) -> Result<Response<Incoming>, String> {
        let broken = |error: hyper::Error| format!("the connection broke off: {}", told(&error));
        // What drives it may not have come to the end of the answer before.
        self.requests.ready().await.map_err(broken)?;
        self.requests.send_request(request).await.map_err(broken)
    }

    /// Sends the only request of a connection, which ends with its answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask_once(mut self, request: Request<B>) -> Result<Response<Incoming>, String> {
        let answer = self.ask(request).await?;
        self.connection.0 = None;
        Ok(answer)
    }

    /// Whether the other side has closed it.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Whether it takes a request.
    pub fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }
}

/// What hyper says with its cause: its own words are few.
fn told(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

/// What `Host` says of a URL.
pub fn host_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

/// Path and query of a URL.
pub fn path_of(url: &Url) -> &str {
    &url[url::Position::BeforePath..url::Position::AfterQuery]
}
