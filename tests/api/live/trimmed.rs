//! Who is behind a log that was trimmed: told so, by every way to listen, and then given what comes.

use serde_json::{Value, json};

use super::put;
use crate::support::http::Client;
use crate::support::server::Running;
use crate::support::stream::{Events, WebSocket};

/// Transactions after which a log that may have 8 MiB has to be trimmed: its tables are made durable by 64 MiB of it.
const PIECES_MAX: usize = 60;
/// Records of each, and characters of a record's text.
const PIECE: usize = 200;
const TEXT: usize = 60_000;

/// Writes until the log has lost what came behind a position.
fn write_until_trimmed(client: &mut Client, since: &str) {
    let long = "x".repeat(TEXT);
    for piece in 0..PIECES_MAX {
        let write = |n: usize| {
            let url = format!("/api/collections/items/records/r{n}");
            json!({"method": "PUT", "url": url, "body": {"n": piece * PIECE + n, "t": long}})
        };
        let requests: Vec<_> = (0..PIECE).map(write).collect();
        let batch = client.json("POST", "/api/batch", &json!({"requests": requests}).to_string()).expect("an answer");
        assert_eq!(batch.status, 200, "{}", batch.text());
        let page = client.get(&format!("/api/changes?since={since}&limit=1")).expect("an answer");
        match page.status {
            200 => {}
            status => return assert_eq!((status, &page.json()["code"]), (410, &json!("log_trimmed"))),
        }
    }
    panic!("the log is never trimmed");
}

#[test]
fn who_is_behind_a_trimmed_log_is_told_so_and_goes_on_from_now() {
    let server = Running::start_with(tempfile::tempdir().expect("a folder"), |settings| {
        settings.log_max_bytes = millpond::limits::LOG_MAX_BYTES_MIN;
        settings.log_keep_hours = 0;
    });
    let mut client = Client::new(server.address);
    let fields = json!([{"name": "n", "type": "number", "integer": true}, {"name": "t", "type": "text", "max": TEXT}]);
    let body = json!({"name": "items", "fields": fields, "listRule": "", "viewRule": ""}).to_string();
    assert_eq!(client.json("POST", "/api/collections", &body).expect("an answer").status, 201);
    let start = put(&mut client, "start", r#"{"n":-1}"#);
    let target = "/api/realtime?subscribe=items/*";
    let mut unread = Events::open(server.address, target, &[]);
    write_until_trimmed(&mut client, &start);
    // By one call, with and without a snapshot; and as PocketBase's clients come again.
    let mut by_call = Events::open(server.address, &format!("{target}&since={start}"), &[]);
    let mut by_snapshot = Events::open(server.address, &format!("{target}&snapshot=1&since={start}"), &[]);
    let mut named = Events::open(server.address, "/api/realtime", &[("last-event-id", &start)]);
    let id = named.next().expect("the first event").id;
    let body = json!({"clientId": id, "subscriptions": ["items/*"]}).to_string();
    assert_eq!(client.json("POST", "/api/realtime", &body).expect("an answer").status, 204);
    for events in [&mut by_call, &mut by_snapshot, &mut named] {
        let reset = events.next().expect("an event");
        assert_eq!((reset.name.as_str(), &reset.data["reason"]), ("reset", &json!("log_trimmed")));
    }
    // Over a WebSocket it is the answer.
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let ask = json!({"id": 1, "op": "subscribe", "collection": "items", "since": start});
    let refused = socket.ask(&ask.to_string());
    assert_eq!((&refused["status"], &refused["body"]["code"]), (&json!(410), &json!("log_trimmed")));
    put(&mut client, "end", r#"{"n":-2}"#);
    let is_end = |data: &Value| data["record"]["id"] == "end";
    for events in [&mut by_call, &mut named] {
        assert!(is_end(&events.next().expect("an event").data), "it goes on from now");
    }
    let records = std::iter::from_fn(|| by_snapshot.next().filter(|event| event.name != "ready")).count();
    assert!(records > PIECE, "all of them: {records}");
    // Who did not read has what its socket held, in order; then it is told, and goes on.
    let (mut last, mut was_reset) = (-1, false);
    loop {
        let Some(event) = unread.next() else {
            // It was cut off for not reading.
            let id = unread.id.clone();
            unread = Events::open(server.address, target, &[("last-event-id", &id)]);
            continue;
        };
        if event.name == "reset" {
            was_reset = true;
            put(&mut client, "end", r#"{"n":-3}"#);
        } else if is_end(&event.data) {
            break;
        } else {
            let n = event.data["record"]["n"].as_i64().expect("a number");
            assert!(n == last + 1 || was_reset, "{n} behind {last}");
            last = n;
        }
    }
    assert!(was_reset);
}
