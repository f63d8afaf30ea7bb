//! What a test's client speaks over: a plain socket, or TLS on it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

/// Time after which a silent server fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open connection.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// Whose certificates are good.
pub type Trust = Arc<rustls::ClientConfig>;

/// A file of `tests/kill/tls`.
pub fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kill/tls").join(name)
}

/// Trust in the authority of one of those files.
pub fn trust(authority: &str) -> Trust {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls_file(authority)).expect("a file")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.expect("versions").with_root_certificates(roots).with_no_client_auth())
}

/// Connects to a server; over TLS, to one that is called `localhost`.
pub fn connect(address: SocketAddr, trust: Option<&Trust>) -> io::Result<Box<dyn Wire>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(trust) = trust else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from("localhost").expect("a name");
    let session = rustls::ClientConnection::new(trust.clone(), name).map_err(io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(session, stream);
    // The handshake is done here, so that who is not trusted is known now.
    stream.flush()?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Box::new(stream))
}
