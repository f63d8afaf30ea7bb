//! Who is there: streams show it while nothing happens, and a WebSocket whose client does not is closed.

use std::time::Duration;

use serde_json::json;

use super::{ITEMS, put};
use crate::support::http::Client;
use crate::support::server::Running;
use crate::support::stream::{Events, WebSocket};

/// A server whose streams show every second that they are there.
fn open() -> (Running, Client) {
    let server = Running::start_with(tempfile::tempdir().expect("a folder"), |settings| settings.heartbeat_seconds = 1);
    let mut client = Client::new(server.address);
    assert_eq!(client.json("POST", "/api/collections", ITEMS).expect("an answer").status, 201);
    (server, client)
}

#[test]
fn a_heartbeat_moves_the_place_of_a_stream_to_which_nothing_comes() {
    let (server, mut client) = open();
    let mut events = Events::open(server.address, "/api/realtime?subscribe=items/*&filter=n%3E5", &[]);
    let first = events.beat();
    let last = put(&mut client, "a", r#"{"n":1}"#);
    let mut beat = events.beat();
    while beat == first {
        beat = events.beat();
    }
    assert_eq!(beat, last);
    put(&mut client, "a", r#"{"n":7}"#);
    assert_eq!(events.told(1), ["enter a"]);
}

#[test]
fn a_websocket_whose_client_is_gone_without_a_word_is_closed_and_one_that_answers_stays() {
    let (server, mut client) = open();
    let mut dead = WebSocket::open(server.address, "/api/ws", &[]);
    let mut alive = WebSocket::open(server.address, "/api/ws", &[]);
    assert_eq!(alive.ask(r#"{"id":1,"op":"subscribe","collection":"items"}"#)["status"], 200);
    let address = server.address;
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(5));
        put(&mut Client::new(address), "a", "{}");
    });
    // It answers pings while it waits.
    assert_eq!(alive.next().expect("an event")["record"]["id"], "a");
    writer.join().expect("no panic");
    assert!(alive.pings >= 1, "it was asked");
    // The other took none of its pings for a reason to answer.
    assert_eq!(dead.closed(), (0, String::new()));
    let text = client.get("/metrics").expect("an answer").text().to_owned();
    assert!(text.contains("millpond_streams{kind=\"websocket\"} 1\n"), "{text}");
}

#[test]
fn figures_tell_of_streams() {
    let (server, mut client) = open();
    let mut events = Events::open(server.address, "/api/realtime?subscribe=items/*", &[]);
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    assert_eq!(socket.ask(r#"{"id":1,"op":"subscribe","collection":"items"}"#)["status"], 200);
    let since = put(&mut client, "a", "{}");
    assert_eq!(events.told(1), ["create a"]);
    assert_eq!(socket.next().expect("an event")["record"]["id"], "a");
    put(&mut client, "b", "{}");
    let ask = json!({"id": 2, "op": "subscribe", "sub": "past", "collection": "items", "since": since});
    assert_eq!(socket.ask(&ask.to_string())["status"], 200);
    while socket.next().expect("an event")["sub"] != "past" {}
    let truncate = client.request("DELETE", "/api/collections/items/truncate", &[], None).expect("an answer");
    assert_eq!(truncate.status, 204);
    while events.next().expect("an event").name != "reset" {}
    let text = client.get("/metrics").expect("an answer").text().to_owned();
    let of = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}: {text}")).parse().expect("a number")
    };
    assert_eq!((of("millpond_streams{kind=\"sse\"}"), of("millpond_streams{kind=\"websocket\"}")), (1, 1));
    assert_eq!((of("millpond_streams{kind=\"changes\"}"), of("millpond_stream_topics")), (0, 1), "both see it alike");
    assert!(of("millpond_stream_events_total") >= 5 && of("millpond_stream_judged_total") >= 2, "{text}");
    assert!(of("millpond_stream_reads_total") >= 1 && of("millpond_stream_resets_total") >= 1, "{text}");
    for name in ["millpond_stream_topic_bytes", "millpond_streams_cut_total", "millpond_connections_stalled_total"] {
        of(name);
    }
}
