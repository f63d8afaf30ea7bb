//! The real binary with a certificate: what it says, who reaches it, and a certificate that is renewed under it.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::server::{Folder, Server, run};
use crate::support::http::Client;
use crate::support::until::until;
use crate::support::wire::{connect, tls_file, trust};

const NOTES: &str = "/api/collections/notes/records";

/// The settings for a certificate and its key in a folder.
fn settings(folder: &Path) -> [String; 4] {
    let file = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
    ["--tls-cert".to_owned(), file("cert.pem"), "--tls-key".to_owned(), file("key.pem")]
}

/// Puts a certificate and its key there, each at once, as who renews them does.
fn put(folder: &Path, cert: &str, key: &str) {
    for (from, to) in [(key, "key.pem"), (cert, "cert.pem")] {
        let new = folder.join(format!("{to}.new"));
        fs::copy(tls_file(from), &new).expect("a copy");
        fs::rename(&new, folder.join(to)).expect("in its place");
    }
}

#[test]
fn followers_and_commands_reach_a_server_by_tls() {
    let (folder, files) = (Folder::new("tls-primary"), tempfile::tempdir().expect("a folder"));
    put(files.path(), "leaf.pem", "key.pem");
    let settings = settings(files.path());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let primary = Server::try_start_with(&folder, &settings).unwrap_or_else(|ended| panic!("{ended:#?}"));
    let url = format!("https://localhost:{}", primary.address.port());
    let mut client = Client::over(primary.address, &trust("ca.pem"));
    let notes = json!({"name": "notes", "viewRule": "", "fields": [{"name": "text", "type": "text"}]});
    assert_eq!(client.json("POST", "/api/collections", &notes.to_string()).expect("an answer").status, 201);
    let follower_folder = Folder::new("tls-follower");
    let follower = Server::try_start_with(&follower_folder, &["--follow", &url]);
    let follower = follower.unwrap_or_else(|ended| panic!("{ended:#?}"));
    // Written by way of the follower, to whom the primary is https.
    let put = |client: &mut Client| client.json("PUT", &format!("{NOTES}/n"), r#"{"text":"there"}"#);
    let mut by_way = follower.client();
    until("nothing is passed on", || put(&mut by_way).is_ok_and(|answer| matches!(answer.status, 200 | 201)));
    until("the follower does not follow", || {
        by_way.get(&format!("{NOTES}/n")).is_ok_and(|answer| answer.status == 200)
    });
    let exported = run(&["export", "notes", "--url", &url]);
    assert_eq!(exported.code, Some(0), "{exported:#?}");
    assert!(exported.stdout.contains(r#""text":"there""#), "{exported:#?}");
    let wrong = run(&["export", "notes", "--url", &format!("https://127.0.0.1:{}", primary.address.port())]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("TLS failed"), "{wrong:#?}");
    follower.stop();
    primary.stop();
}

#[test]
fn a_certificate_is_renewed_without_a_restart_and_a_broken_one_is_not_taken() {
    let (folder, files) = (Folder::new("tls-renewed"), tempfile::tempdir().expect("a folder"));
    put(files.path(), "leaf.pem", "key.pem");
    let settings = settings(files.path());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::try_start_with(&folder, &settings).unwrap_or_else(|ended| panic!("{ended:#?}"));
    let (old, new) = (trust("ca.pem"), trust("other-ca.pem"));
    assert!(connect(server.address, Some(&old)).is_ok() && connect(server.address, Some(&new)).is_err());
    let mut kept = Client::over(server.address, &old);
    assert_eq!(kept.get("/api/health").expect("an answer").status, 200);
    fs::write(files.path().join("cert.pem"), "no certificate").expect("a file");
    until("nothing is said of it", || server.said().contains("are not taken"));
    assert!(connect(server.address, Some(&old)).is_ok(), "what was good is shown on");
    put(files.path(), "other-leaf.pem", "other-key.pem");
    until("the new one is not shown", || connect(server.address, Some(&new)).is_ok());
    assert!(connect(server.address, Some(&old)).is_err());
    assert_eq!(kept.get("/api/health").expect("an answer").status, 200, "a connection that is there stays");
    server.stop();
}

#[test]
fn a_certificate_that_cannot_be_shown_is_wrong_usage() {
    let (folder, files) = (Folder::new("tls-broken"), tempfile::tempdir().expect("a folder"));
    put(files.path(), "leaf.pem", "other-key.pem");
    let settings = settings(files.path());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let ended = Server::try_start_with(&folder, &settings).err().expect("a refusal");
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("tls_cert and tls_key"), "{}", ended.stderr);
    Server::start(&folder).stop();
}
