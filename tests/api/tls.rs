//! A server that speaks TLS, as its clients see it: requests, server-sent events and WebSockets over it.

use crate::support::http::Client;
use crate::support::server::Running;
use crate::support::stream::{Events, WebSocket};
use crate::support::wire::{tls_file, trust};

fn start() -> Running {
    Running::start_with(tempfile::tempdir().expect("a folder"), |settings| {
        settings.tls_cert = Some(tls_file("leaf.pem"));
        settings.tls_key = Some(tls_file("key.pem"));
        settings.tls_hsts_seconds = 600;
    })
}

const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text","max":1000000}]}"#;

#[test]
fn streams_and_sockets_go_over_tls_as_they_do_without() {
    let server = start();
    let (trust, address) = (trust("ca.pem"), server.address);
    let mut client = Client::over(address, &trust);
    assert_eq!(client.json("POST", "/api/collections", NOTES).expect("an answer").status, 201);
    let mut events = Events::open_over((address, Some(&trust)), "/api/realtime?subscribe=notes/*", &[]);
    let mut socket = WebSocket::open_over((address, Some(&trust)), "/api/ws", &[]);
    assert_eq!((events.status, socket.status), (200, 101));
    assert_eq!(socket.ask(r#"{"id":1,"op":"subscribe","collection":"notes"}"#)["status"], 200);
    // More than a record of TLS holds, and more than is buffered anywhere on the way.
    let text = "many words ".repeat(50_000);
    for (id, text) in [("a", "one"), ("b", &*text), ("c", "three")] {
        let body = serde_json::json!({"id": id, "text": text}).to_string();
        assert_eq!(client.json("POST", "/api/collections/notes/records", &body).expect("an answer").status, 201);
        let event = events.next().expect("an event");
        assert_eq!((&event.data["record"]["id"], &event.data["record"]["text"]), (&id.into(), &text.into()));
        let event = socket.next().expect("an event");
        assert_eq!((&event["record"]["id"], &event["record"]["text"]), (&id.into(), &text.into()));
    }
    let made = socket.ask(r#"{"id":2,"op":"create","collection":"notes","body":{"id":"d"}}"#);
    assert_eq!(made["status"], 201, "{made}");
    assert_eq!(events.next().expect("an event").data["record"]["id"], "d");
    let list = client.get("/api/collections/notes/records?fields=id,text").expect("an answer").json();
    assert_eq!(list["items"][1]["text"], text);
    // A stop ends them as it does without.
    server.stop();
    while events.next().is_some() {}
    assert_eq!(socket.closed().0, 1001);
}

#[test]
fn browsers_are_told_to_come_by_tls_where_that_is_asked_for() {
    let server = start();
    let mut client = Client::over(server.address, &trust("ca.pem"));
    for path in ["/api/health", "/_/", "/nowhere"] {
        let answer = client.get(path).expect("an answer");
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=600"), "{path}");
    }
    let plain = Client::new(server.address).get("/api/health").expect("an answer");
    assert_eq!((plain.status, plain.header("strict-transport-security")), (400, None));
    assert_eq!(plain.json()["code"], "tls_needed");
}
