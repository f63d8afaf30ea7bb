//! Certificates of an authority: a real one (Pebble) that looks whether the name leads here, gives, and gives again before
//! the time is over.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::server::{Folder, Server};
use crate::support::http::Client;
use crate::support::results;
use crate::support::until::until;
use crate::support::wire::{connect, tls_file, trust};

const PROGRAM: &str = "pebble";
/// How long what it gives is good, seconds.
const VALID: u64 = 30;

/// A process that is ended with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority, and a server of names to which all of them lead to this machine.
struct Authority {
    _names: Ended,
    _authority: Ended,
    directory: String,
    management: SocketAddr,
}

/// Whether this machine has one. In CI it must: there nothing is passed over.
fn present() -> bool {
    let there = Command::new(PROGRAM).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "no {PROGRAM}: tests/acme/prepare installs it");
    if !there {
        results::note(&format!("not run: no {PROGRAM}"));
    }
    there
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn free_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}

impl Authority {
    /// One that looks at names by the port of `server`.
    fn start(folder: &Path, server: SocketAddr) -> Authority {
        let (listens, management, names, names_management) = (free(), free(), free_udp(), free());
        let config = json!({"pebble": {
            "listenAddress": listens.to_string(), "managementListenAddress": management.to_string(),
            "certificate": tls_file("leaf.pem"), "privateKey": tls_file("key.pem"),
            "httpPort": 1, "tlsPort": server.port(), "certificateValidityPeriod": VALID,
        }});
        let path = folder.join("pebble.json");
        fs::write(&path, config.to_string()).expect("a file");
        let quiet = |command: &mut Command| {
            Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
        };
        let of_names = quiet(
            Command::new("pebble-challtestsrv")
                .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", &names.to_string()])
                .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", &names_management.to_string()]),
        );
        let authority = quiet(
            Command::new(PROGRAM)
                .args(["-config", path.to_str().expect("a plain path"), "-dnsserver", &names.to_string()])
                // It refuses some of what is right, to see who asks again: one in a hundred, as three in a row are a failure.
                .env("PEBBLE_WFE_NONCEREJECT", "1")
                .env("PEBBLE_VA_NOSLEEP", "1"),
        );
        let directory = format!("https://localhost:{}/dir", listens.port());
        let authority = Authority { _names: of_names, _authority: authority, directory, management };
        until("the authority is there", || connect(listens, Some(&trust("ca.pem"))).is_ok());
        until("its root is there", || connect(authority.management, Some(&trust("ca.pem"))).is_ok());
        authority
    }

    /// For clients that trust in what it gives.
    fn trust(&self) -> Arc<rustls::ClientConfig> {
        let mut client = Client::over(self.management, &trust("ca.pem"));
        let root = client.get("/roots/0").expect("an answer");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.text().as_bytes()).expect("PEM")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(builder.expect("versions").with_root_certificates(roots).with_no_client_auth())
    }
}

fn certificate(folder: &Folder) -> PathBuf {
    folder.data().join("acme/certificate.pem")
}

/// What is there, and since when.
fn given(folder: &Folder) -> Option<(String, SystemTime)> {
    let path = certificate(folder);
    let since = fs::metadata(&path).and_then(|found| found.modified()).ok()?;
    Some((fs::read_to_string(path).ok()?, since))
}

#[test]
fn a_server_has_a_certificate_of_its_authority_and_renews_it() {
    if !present() {
        return;
    }
    let (folder, files) = (Folder::new("acme"), tempfile::tempdir().expect("a folder"));
    let listen = free();
    let authority = Authority::start(files.path(), listen);
    let listen_at = listen.to_string();
    let start = |domains: &str| {
        let settings = ["--listen", &listen_at, "--acme-domains", domains, "--acme-directory", &authority.directory];
        Server::try_start_with(&folder, &settings).unwrap_or_else(|ended| panic!("{ended:#?}"))
    };
    let server = start("localhost");
    until("there is a certificate", || given(&folder).is_some());
    let trusted = authority.trust();
    until("it is shown", || connect(listen, Some(&trusted)).is_ok());
    let mut client = Client::over(listen, &trusted);
    assert_eq!(client.get("/api/health").expect("an answer").status, 200);
    let (text, _) = given(&folder).expect("a certificate");
    assert!(text.starts_with("Of https://localhost:") && text.contains("PRIVATE KEY"), "{}", &text[..80]);

    // It is kept over a restart, and renewed while clients are served.
    server.stop();
    let server = start("localhost");
    until("it is shown again", || connect(listen, Some(&trusted)).is_ok());
    until("it is renewed", || given(&folder).is_some_and(|(renewed, _)| renewed != text));
    until("the new one is shown", || server.said().matches("a new certificate is shown").count() == 2);
    assert!(connect(listen, Some(&trusted)).is_ok());
    server.stop();

    // For other names it is another one.
    let server = start("localhost,pond.localhost");
    until("it is for both", || given(&folder).is_some_and(|(both, _)| both.contains("for localhost, pond.localhost")));
    server.stop();
}
