//! A connection to a URL's host: the name resolved, the address judged, and that very address connected to.
//!
//! Invariants: what is judged is what is connected to, and every address of a name is judged, whatever way it is written
//! in (`url` reads decimal, octal and hexadecimal forms as the address that they are); TLS and `Host` go by the name. A
//! resolver that hangs holds up its own asker's names: each may ask for so many at a time.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::address::is_public;

/// How long one of several addresses is tried.
const ONE_OF_MANY: Duration = Duration::from_secs(4);

/// What bytes go over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Read when it is first needed, and kept: the system's roots take their time.
static TLS: LazyLock<Result<Arc<rustls::ClientConfig>, String>> = LazyLock::new(tls);

/// How connections are made, for all who make them.
#[derive(Debug)]
pub struct Dialer {
    allows_private: bool,
}

impl Dialer {
    /// `allows_private`: whether addresses may be connected to that are not open to all.
    pub fn new(allows_private: bool) -> Dialer {
        Dialer { allows_private }
    }

    /// The addresses of a URL's host that may be connected to.
    async fn addresses(&self, url: &Url, resolving: &Arc<Semaphore>) -> Result<Vec<SocketAddr>, String> {
        let port = url.port_or_known_default().ok_or("the URL has no port")?;
        let found = match url.host().ok_or("the URL has no host")? {
            Host::Ipv4(address) => vec![SocketAddr::from((address, port))],
            Host::Ipv6(address) => vec![SocketAddr::from((address, port))],
            Host::Domain(name) => {
                let permit = resolving.clone().acquire_owned().await.map_err(|_| "the server is stopping")?;
                let name = name.to_owned();
                let asked = tokio::task::spawn_blocking(move || {
                    let found = (&*name, port).to_socket_addrs().map(Vec::from_iter);
                    // Not before the resolver is done, even where nobody waits for it any more.
                    drop(permit);
                    found
                });
                let found = asked.await.map_err(|_| "the name could not be asked for")?;
                found.map_err(|error| format!("the name can't be resolved: {error}"))?
            }
        };
        self.allowed(found)
    }

    fn allowed(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        let (good, bad): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.allows_private || is_public(address.ip()));
        match (good.is_empty(), bad.first()) {
            (false, _) => Ok(good),
            (true, Some(bad)) => Err(format!(
                "{} is no address of the open net: it is connected to only with webhook_private_addresses",
                bad.ip()
            )),
            (true, None) => Err("the name has no address".to_owned()),
        }
    }

    /// Connects to the host of a URL; with TLS for `https` and `rediss`.
    pub(super) async fn connect(&self, url: &Url, resolving: &Arc<Semaphore>) -> Result<Box<dyn Stream>, String> {
        let addresses = self.addresses(url, resolving).await?;
        let several = addresses.len() > 1;
        let mut failure = String::new();
        for address in addresses {
            let connecting = TcpStream::connect(address);
            let connected = if several {
                let slow = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
                tokio::time::timeout(ONE_OF_MANY, connecting).await.map_err(slow).flatten()
            } else {
                connecting.await
            };
            match connected {
                Ok(stream) => return secured(url, stream).await,
                Err(error) => failure = format!("{address} can't be connected to: {error}"),
            }
        }
        Err(failure)
    }
}

async fn secured(url: &Url, stream: TcpStream) -> Result<Box<dyn Stream>, String> {
    // A message is one write or two.
    let _ = stream.set_nodelay(true);
    if !matches!(url.scheme(), "https" | "rediss") {
        return Ok(Box::new(stream));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|error| format!("no name for TLS: {error}"))?;
    let tls = tokio::task::spawn_blocking(|| TLS.clone()).await.map_err(|_| "the server is stopping")?;
    let connector = TlsConnector::from(tls?);
    let secured = connector.connect(name, stream).await.map_err(|error| format!("TLS failed: {error}"))?;
    Ok(Box::new(secured))
}

/// The system's roots (`SSL_CERT_FILE` names others).
fn tls() -> Result<Arc<rustls::ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(": {error}"));
        return Err(format!("the system has no root certificates{why}"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
