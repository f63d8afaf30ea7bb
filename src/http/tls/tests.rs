//! TLS against a client of it: agreed on within its bounds, or ended; what goes over it; files that change.

use std::fs;
use std::path::Path;

use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::http::accept::ConnectionLimits;
use crate::http::accept::tests::{HOUR, PATIENCE, SHORT, Served, send, serve_tls};

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kill/tls").join(name)
}

fn tls() -> Tls {
    let files = Files { cert: file("leaf.pem"), key: file("key.pem") };
    let config = config(files.read().expect("files")).expect("a pair");
    Tls::new(files, Some(config))
}

async fn serve(limits: ConnectionLimits) -> Served {
    serve_tls(limits, Arc::new(tls())).await
}

/// A client that trusts one authority and offers these protocols.
fn connector(authority: &str, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file(authority)).expect("a file")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect_as(connector: &TlsConnector, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    connector.connect(name, TcpStream::connect(address).await.expect("connects")).await
}

async fn connect(address: SocketAddr, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    connect_as(&connector("ca.pem", protocols), address).await.expect("a handshake")
}

/// What is answered to `request`, until the server closes in order.
async fn answer(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address, &[b"http/1.1"]).await;
    stream.write_all(request).await.expect("sends");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the end is told");
    String::from_utf8(bytes).expect("text")
}

/// The first bytes that a client sends.
fn client_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("versions").with_root_certificates(rustls::RootCertStore::empty());
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("a connection");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("room");
    bytes
}

#[tokio::test]
async fn requests_are_answered_over_tls_by_the_protocol_that_was_agreed_on() {
    let served = serve(ConnectionLimits::default()).await;
    let told = answer(served.address, HELLO).await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.ends_with("hello"), "{told}");
    let stream = connect(served.address, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::builder().uri("https://localhost/hello").body(()).expect("a request");
    let (response, _) = client.ready().await.expect("ready").send_request(request, true).expect("sent");
    assert_eq!(response.await.expect("an answer").status(), 200);
    let none = connect_as(&connector("ca.pem", &[b"spdy/1"]), served.address).await;
    assert!(none.is_err(), "nothing in common");
}

#[tokio::test]
async fn a_silent_or_slow_handshake_is_cut_off() {
    let served = serve(ConnectionLimits { handshake_time: SHORT, ..ConnectionLimits::default() }).await;
    let hello = client_hello();
    for begun in [&[][..], &hello[..1], &hello[..hello.len() / 2], &hello] {
        let mut stream = send(served.address, begun).await;
        let mut bytes = Vec::new();
        // The end may come in order or as a reset; what counts is that it comes.
        let ended = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        assert!(ended.is_ok(), "{} bytes of a handshake keep a connection", begun.len());
    }
}

#[tokio::test]
async fn what_is_no_handshake_ends_at_once() {
    let served = serve(ConnectionLimits { handshake_time: HOUR, ..ConnectionLimits::default() }).await;
    for noise in [&[0x80, 0x2e, 1, 3, 1][..], &[0; 64], &[22, 3, 1, 0, 4, 9, 0, 0, 0]] {
        let mut stream = send(served.address, noise).await;
        let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{noise:?}");
    }
}

#[tokio::test]
async fn however_many_stop_midway_nobody_else_waits_for_them() {
    let limits = ConnectionLimits { handshake_time: HOUR, ..ConnectionLimits::default() };
    let served = serve(limits).await;
    let (hello, mut held) = (client_hello(), Vec::new());
    for n in 0..96 {
        // Nothing, half of what is said first, all of it and then nothing more.
        held.push(send(served.address, &hello[..hello.len() * (n % 3) / 2]).await);
    }
    let told = timeout(PATIENCE, answer(served.address, HELLO)).await;
    assert!(told.is_ok_and(|told| told.ends_with("hello")));
}

#[tokio::test]
async fn a_request_without_tls_is_told_what_is_spoken_here() {
    let served = serve(ConnectionLimits::default()).await;
    let post = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\nx", 1 << 20);
    for request in ["GET /hello HTTP/1.1\r\nhost: x\r\n\r\n", &post] {
        let mut stream = send(served.address, request.as_bytes()).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("an end in order");
        let told = String::from_utf8(bytes).expect("text");
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("\"code\":\"tls_needed\""), "{told}");
        assert!(told.contains("connection: close") && !told.contains("hello"), "{told}");
    }
}

#[tokio::test]
async fn what_has_no_end_goes_over_tls_and_ends_with_its_client_or_the_stop() {
    let limits = ConnectionLimits { stream_stop: SHORT, stop_time: HOUR, ..ConnectionLimits::default() };
    let served = serve(limits).await;
    let told = answer(served.address, b"GET /told HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(told.ends_with("\r\n\r\na\r\nsome words\r\n0\r\n\r\n"), "{told}");
    let one = serve(ConnectionLimits { connections: 1, ..limits }).await;
    let mut left = connect(one.address, &[]).await;
    left.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
    left.read_u8().await.expect("an answer");
    drop(left);
    assert!(answer(one.address, HELLO).await.ends_with("hello"), "its place is free");
    let mut stream = connect(served.address, &[]).await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
    stream.read_u8().await.expect("an answer");
    served.stop.send(()).expect("running");
    timeout(PATIENCE, served.ended).await.expect("it waits for a stream").expect("ended");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_over_tls_too() {
    let limits = ConnectionLimits { connections: 1, write_stall: SHORT, ..ConnectionLimits::default() };
    for unread in ["/big", "/flood"] {
        let served = serve(limits).await;
        let mut unread_stream = connect(served.address, &[]).await;
        let request = format!("GET {unread} HTTP/1.1\r\nhost: x\r\n\r\n");
        unread_stream.write_all(request.as_bytes()).await.expect("sends");
        let answered = timeout(PATIENCE, answer(served.address, HELLO)).await;
        assert!(answered.is_ok_and(|told| told.ends_with("hello")), "{unread}: it keeps its place");
    }
}

#[tokio::test]
async fn files_that_change_are_taken_and_broken_ones_are_not() {
    let folder = TempDir::new().expect("a folder");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let put = |from: &str, to: &Path| {
        fs::copy(file(from), to).expect("a copy");
    };
    put("leaf.pem", &cert);
    put("key.pem", &key);
    let settings = Settings { tls_cert: Some(cert.clone()), tls_key: Some(key.clone()), ..Settings::default() };
    let tls = Tls::open(&settings).expect("a pair").expect("TLS");
    let served = serve_tls(ConnectionLimits::default(), tls.clone()).await;
    let (old, new) = (connector("ca.pem", &[]), connector("other-ca.pem", &[]));
    let traffic = Arc::new(Traffic::default());
    let counted = traffic.clone();
    let watching = tokio::spawn(async move { tls.renewed(Duration::from_millis(1), &counted).await });
    let begun = connect_as(&old, served.address).await.expect("the first");
    let until = async |done: &dyn Fn() -> bool| {
        let began = tokio::time::Instant::now();
        while !done() {
            assert!(began.elapsed() < PATIENCE, "it never comes");
            sleep(Duration::from_millis(1)).await;
        }
    };

    fs::write(&cert, "-----BEGIN CERTIFICATE-----\nAAAA").expect("a file");
    until(&|| traffic.renewals_failed.get() == 1).await;
    fs::remove_file(&key).expect("a file");
    put("other-leaf.pem", &cert);
    until(&|| traffic.renewals_failed.get() >= 2).await;
    put("key.pem", &key);
    // The certificate of another key.
    until(&|| traffic.renewals_failed.get() >= 3).await;
    connect_as(&old, served.address).await.expect("what was good stays");
    assert_eq!(traffic.renewals.get(), 0);

    put("other-key.pem", &key);
    until(&|| traffic.renewals.get() == 1).await;
    connect_as(&new, served.address).await.expect("the new one");
    assert!(connect_as(&old, served.address).await.is_err());
    let mut begun = begun;
    begun.write_all(HELLO).await.expect("sends");
    let mut told = String::new();
    begun.read_to_string(&mut told).await.expect("text");
    assert!(told.ends_with("hello"), "a connection that is there stays");
    watching.abort();
}

#[test]
fn files_that_cannot_be_shown_are_refused_by_name() {
    let folder = TempDir::new().expect("a folder");
    let empty = folder.path().join("empty");
    fs::write(&empty, "").expect("a file");
    let many = folder.path().join("many");
    let leaf = fs::read_to_string(file("leaf.pem")).expect("a file");
    fs::write(&many, leaf.repeat(limits::TLS_CHAIN_MAX + 1)).expect("a file");
    let (leaf, key) = (file("leaf.pem"), file("key.pem"));
    let nowhere = PathBuf::from("/nowhere/cert.pem");
    let table = [
        (&nowhere, &key, "tls_cert: /nowhere/cert.pem"),
        (&leaf, &nowhere, "tls_key: /nowhere/cert.pem"),
        (&empty, &key, "no certificate"),
        (&many, &key, "more than 16"),
        (&key, &key, "no certificate"),
        (&leaf, &leaf, "tls_key:"),
        (&file("other-leaf.pem"), &key, "tls_cert and tls_key"),
    ];
    for (cert, key, named) in table {
        let settings = Settings { tls_cert: Some(cert.clone()), tls_key: Some(key.clone()), ..Settings::default() };
        let error = Tls::open(&settings).expect_err(named);
        assert!(error.message().contains(named), "{named}: {error}");
    }
}
