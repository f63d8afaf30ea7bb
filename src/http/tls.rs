//! TLS on the connections that are accepted: the certificate and its key from their files, the handshake and its bounds.
//!
//! Invariants: whatever becomes of the files, there is a good certificate to show: what can't be taken is told in the log
//! and the one before it stays. A connection is let through with its handshake done in time, or it ends; one that says
//! nothing takes none of the places that there are for handshakes.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::http::accept::Answer;
use crate::http::inbound::Inbound;
use crate::http::meters::Traffic;
use crate::http::problem;
use crate::http::request::request_id;
use crate::limits;

/// What clients are offered (RFC 7301), the first that they know too.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The first byte of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// What is shown to clients, and the turns that their handshakes take.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    now: ArcSwap<ServerConfig>,
    turns: Semaphore,
}

/// Where certificate and key lie.
#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What lies there.
#[derive(Debug, PartialEq)]
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// How a connection begins.
pub(super) enum Greeting {
    Secured(Box<TlsStream<TcpStream>>),
    /// A request without TLS.
    Plain(TcpStream),
}

impl Tls {
    /// By the settings' files; `None` where they name none.
    ///
    /// # Errors
    /// `Invalid`, naming the setting and the file, for what can't be read or doesn't fit.
    pub fn open(settings: &Settings) -> Result<Option<Arc<Tls>>> {
        let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
        let files = Files { cert: cert.clone(), key: key.clone() };
        let config = config(files.read().map_err(Error::invalid)?).map_err(Error::invalid)?;
        Ok(Some(Arc::new(Tls {
            files,
            now: ArcSwap::from_pointee(config),
            turns: Semaphore::new(limits::TLS_HANDSHAKES_MAX),
        })))
    }

    /// Looks at the files every `interval`, and takes what has changed; never returns.
    pub(super) async fn renewed(&self, interval: Duration, traffic: &Traffic) {
        // What was there at the start is taken once more: between then and now it may have changed.
        let mut seen = None;
        loop {
            let files = self.files.clone();
            let read = tokio::task::spawn_blocking(move || files.read()).await;
            let found = read.unwrap_or_else(|error| Err(error.to_string()));
            if seen.as_ref() != Some(&found) {
                let taken = found.as_ref().map_err(String::clone).and_then(|pair| config(pair.copy()));
                match taken {
                    Ok(config) => {
                        self.now.store(Arc::new(config));
                        if seen.is_some() {
                            traffic.renewals.add(1);
                            tracing::info!(file = %self.files.cert.display(), "a new certificate is shown from here on");
                        }
                    }
                    Err(error) => {
                        traffic.renewals_failed.add(1);
                        tracing::warn!(%error, "the certificate's files are not taken; the one before is shown on");
                    }
                }
                seen = Some(found);
            }
            sleep(interval).await;
        }
    }

    /// Agrees with a client on TLS, within `time`.
    ///
    /// # Errors
    /// The socket's; `TimedOut`; `InvalidData` where they have nothing in common.
    pub(super) async fn greet(&self, stream: TcpStream, time: Duration) -> io::Result<Greeting> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
        timeout(time, self.agreed(stream)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn agreed(&self, stream: TcpStream) -> io::Result<Greeting> {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            // A method begins with a letter.
            _ if first[0].is_ascii_alphabetic() => return Ok(Greeting::Plain(stream)),
            _ if first[0] != HANDSHAKE => return Err(io::Error::new(io::ErrorKind::InvalidData, "no handshake")),
            _ => {}
        }
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let stream = TlsAcceptor::from(self.now.load_full()).accept(stream).await?;
        Ok(Greeting::Secured(Box::new(stream)))
    }
}

impl Files {
    /// # Errors
    /// What can't be read, for people.
    fn read(&self) -> std::result::Result<Pair, String> {
        let named = |setting: &str, path: &PathBuf, why: &dyn std::fmt::Display| {
            format!("{setting}: {}: {why}", path.display())
        };
        let bad = |why: rustls::pki_types::pem::Error| named("tls_cert", &self.cert, &why);
        let chain = CertificateDer::pem_file_iter(&self.cert).map_err(bad)?;
        let chain = chain.take(limits::TLS_CHAIN_MAX + 1).collect::<std::result::Result<Vec<_>, _>>().map_err(bad)?;
        if chain.is_empty() {
            return Err(named("tls_cert", &self.cert, &"it holds no certificate in PEM"));
        }
        if chain.len() > limits::TLS_CHAIN_MAX {
            let most = format!("it holds more than {} certificates", limits::TLS_CHAIN_MAX);
            return Err(named("tls_cert", &self.cert, &most));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|why| named("tls_key", &self.key, &why))?;
        Ok(Pair { chain, key })
    }
}

impl Pair {
    fn copy(&self) -> Pair {
        Pair { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// TLS 1.2 and 1.3 with a certificate and its key.
///
/// # Errors
/// Why it can't be shown, for people.
fn config(Pair { chain, key }: Pair) -> std::result::Result<ServerConfig, String> {
    let bad = |error: rustls::Error| format!("tls_cert and tls_key: {error}");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(bad)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(bad)?;
    config.alpn_protocols = PROTOCOLS.map(Vec::from).into();
    // What a client that comes again needs is kept by itself, so that there is no store to fill.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(bad)?;
    Ok(config)
}

/// What answers requests that come without TLS where it is spoken.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainRefused;

impl Answer for PlainRefused {
    async fn answer(&self, request: Request<Inbound>, _peer: SocketAddr) -> Response<Body> {
        let error = Error::invalid("this port speaks TLS: the address begins with https://").code("tls_needed");
        let mut response = problem::answer(Response::new(Body::empty()), &error, &request_id(request.headers()));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

#[cfg(test)]
mod tests;
