//! TLS on the connections that are accepted: the certificate and its key from their files, the handshake and its bounds.
//!
//! Invariants: whatever becomes of the files, there is a good certificate to show: what can't be taken is told in the log
//! and the one before it stays. A connection is let through with its handshake done in time, or it ends; none waits for
//! another's.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WantsServerCert;
use rustls::server::{Acceptor, ClientHello};
use rustls::{ConfigBuilder, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::http::accept::Answer;
use crate::http::inbound::Inbound;
use crate::http::meters::Traffic;
use crate::http::problem;
use crate::http::request::request_id;
use crate::limits;

#[cfg(feature = "acme")]
mod acme;

/// What clients are offered (RFC 7301), the first that they know too.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The first byte of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// What is shown to clients.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    /// `None` until there is a certificate.
    now: ArcSwapOption<ServerConfig>,
    /// There is something new in the files.
    changed: Notify,
    #[cfg(feature = "acme")]
    acme: Option<acme::Acme>,
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
    /// An authority has seen what it came for.
    Challenged,
}

impl Tls {
    /// By the settings' files, or by what an authority gives; `None` where they name none.
    ///
    /// # Errors
    /// `Invalid`, naming the setting and the file, for what can't be read or doesn't fit.
    pub fn open(settings: &Settings) -> Result<Option<Arc<Tls>>> {
        if let Some(tls) = Tls::by_authority(settings) {
            return Ok(Some(Arc::new(tls)));
        }
        let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
        let files = Files { cert: cert.clone(), key: key.clone() };
        let config = config(files.read().map_err(Error::invalid)?).map_err(Error::invalid)?;
        Ok(Some(Arc::new(Tls::new(files, Some(config)))))
    }

    fn new(files: Files, config: Option<ServerConfig>) -> Tls {
        Tls {
            files,
            now: ArcSwapOption::new(config.map(Arc::new)),
            changed: Notify::new(),
            #[cfg(feature = "acme")]
            acme: None,
        }
    }

    #[cfg(feature = "acme")]
    fn by_authority(settings: &Settings) -> Option<Tls> {
        let acme = acme::Acme::of(settings)?;
        let files = Files { cert: acme.file(), key: acme.file() };
        // What it gave before; without that nobody is answered until it gives one.
        let config = files.read().and_then(config).ok();
        Some(Tls { acme: Some(acme), ..Tls::new(files, config) })
    }

    #[cfg(not(feature = "acme"))]
    fn by_authority(_settings: &Settings) -> Option<Tls> {
        None
    }

    /// Shows what is in the files, looked at every `interval`, and sees to it that there is something, where it comes from an
    /// authority; never returns.
    pub(super) async fn renewed(&self, interval: Duration, traffic: &Traffic) {
        #[cfg(feature = "acme")]
        if let Some(acme) = &self.acme {
            tokio::join!(self.watched(interval, traffic), acme.keep(|| self.changed.notify_one(), traffic));
        }
        self.watched(interval, traffic).await;
    }

    /// Looks at the files every `interval`, and takes what has changed; never returns.
    async fn watched(&self, interval: Duration, traffic: &Traffic) {
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
                        let is_new = self.now.swap(Some(Arc::new(config))).is_none() || seen.is_some();
                        if is_new {
                            traffic.renewals.add(1);
                            tracing::info!(file = %self.files.cert.display(), "a new certificate is shown from here on");
                        }
                    }
                    // None has been given yet.
                    Err(_) if self.now.load().is_none() => {}
                    Err(error) => {
                        traffic.renewals_failed.add(1);
                        tracing::warn!(%error, "the certificate's files are not taken; the one before is shown on");
                    }
                }
                seen = Some(found);
            }
            let _ = timeout(interval, self.changed.notified()).await;
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
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        if let Some(challenge) = self.challenge(&begun.client_hello()) {
            begun.into_stream(challenge).await?.shutdown().await?;
            return Ok(Greeting::Challenged);
        }
        let none = || io::Error::new(io::ErrorKind::NotConnected, "there is no certificate yet");
        let stream = begun.into_stream(self.now.load_full().ok_or_else(none)?).await?;
        Ok(Greeting::Secured(Box::new(stream)))
    }

    /// What an authority is shown that looks whether a name leads here; `None` for everybody else.
    #[cfg(feature = "acme")]
    fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let acme = self.acme.as_ref()?;
        let looks = hello.alpn()?.eq([acme::PROTOCOL]);
        looks.then(|| acme.shown(hello.server_name())).flatten()
    }

    #[cfg(not(feature = "acme"))]
    fn challenge(&self, _hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        None
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

/// What clients are shown: a certificate and its key.
///
/// # Errors
/// Why it can't be shown, for people.
fn config(Pair { chain, key }: Pair) -> std::result::Result<ServerConfig, String> {
    let bad = |error: rustls::Error| format!("tls_cert and tls_key: {error}");
    let builder = builder(&Arc::new(rustls::crypto::ring::default_provider())).map_err(bad)?;
    let mut config = builder.with_single_cert(chain, key).map_err(bad)?;
    config.alpn_protocols = PROTOCOLS.map(Vec::from).into();
    // What a client that comes again needs is kept by itself, so that there is no store to fill.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(bad)?;
    Ok(config)
}

/// TLS 1.2 and 1.3, with any client.
fn builder(
    provider: &Arc<CryptoProvider>,
) -> std::result::Result<ConfigBuilder<ServerConfig, WantsServerCert>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    Ok(builder.with_no_client_auth())
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
