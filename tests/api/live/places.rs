//! How many streams there may be: of one caller, of one address, on one stream.

use serde_json::json;

use super::{ITEMS, known, open};
use crate::accounts::{ROOT, login, root, send};
use crate::support::http::Client;
use crate::support::server::Running;
use crate::support::stream::{Events, WebSocket};

#[test]
fn no_caller_has_more_streams_than_allowed() {
    let (server, _client, _, [ada, bob]) = known();
    let listen = |token: &str| Events::open(server.address, "/api/realtime", &[("authorization", token)]);
    let open: Vec<Events> = (0..millpond::limits::STREAMS_OF_ONE_MAX).map(|_| listen(&ada)).collect();
    assert!(open.iter().all(|events| events.status == 200));
    assert_eq!((listen(&ada).status, listen(&bob).status), (429, 200));
    let socket = |token: &str| WebSocket::open(server.address, "/api/ws", &[("authorization", token)]).status;
    assert_eq!((socket(&ada), socket(&bob)), (429, 101));
    let page = |token: &str| send(&mut Client::new(server.address), token, "GET", "/api/changes", "").status;
    assert_eq!((page(&ada), page(&bob)), (429, 200), "a page of changes is a short stream");
}

#[test]
fn no_address_has_more_streams_than_allowed() {
    const MOST: usize = 3;
    let folder = tempfile::tempdir().expect("a folder");
    let change = |settings: &mut millpond::config::Settings| {
        settings.dev = false;
        settings.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
        settings.connections_per_address = MOST;
    };
    let server = Running::start_for(folder, change, Some(ROOT));
    let mut client = Client::new(server.address);
    let root = root(&mut client);
    for body in [ITEMS, super::PEOPLE] {
        assert_eq!(send(&mut client, &root, "POST", "/api/collections", body).status, 201);
    }
    let body = format!(r#"{{"id":"ada","email":"ada@example.com","password":"{}"}}"#, super::PASSWORD);
    assert_eq!(send(&mut client, &root, "POST", "/api/collections/people/records", &body).status, 201);
    let ada = login(&mut client, "people", "ada@example.com", super::PASSWORD);
    // As one proxy says where they come from.
    let from = |address: &'static str, token: &str| {
        let headers = [("x-forwarded-for", address), ("authorization", token)];
        let shown = if token.is_empty() { 1 } else { 2 };
        let events = Events::open(server.address, "/api/realtime?subscribe=items/*", &headers[..shown]);
        let socket = WebSocket::open(server.address, "/api/ws", &headers[..shown]);
        let mut client = Client::new(server.address);
        let page = client.request("GET", "/api/changes", &headers[..shown], None).expect("an answer").status;
        (events, socket, page)
    };
    let first = from("192.0.2.1", "");
    assert_eq!((first.0.status, first.1.status, first.2), (200, 101, 200));
    // Two of its places are taken: the next takes the third, and there is none for others, whoever they are.
    let second = from("192.0.2.1", "");
    assert_eq!((second.0.status, second.1.status, second.2), (200, 429, 429));
    let third = from("192.0.2.1", &ada);
    assert_eq!((third.0.status, third.1.status, third.2), (429, 429, 429));
    let other = from("192.0.2.2", "");
    assert_eq!((other.0.status, other.1.status, other.2), (200, 101, 200), "another address has its own");
    let superuser = from("192.0.2.1", &root);
    assert_eq!((superuser.0.status, superuser.1.status), (200, 101), "who may do all is not counted");
    // A stream that shows who it is stays its address's, and is its own's from then on.
    drop((first, second));
    loop {
        let again = from("192.0.2.1", "");
        match again.0.status {
            200 => break,
            status => assert_eq!(status, 429, "places are free once the server has seen their end"),
        }
    }
}

#[test]
fn a_websocket_counts_as_a_connection_as_long_as_it_is_there() {
    let (server, mut client) = open();
    let mut connections = || -> u64 {
        let text = client.get("/metrics").expect("an answer").text().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("millpond_connections "));
        line.expect("a line").parse().expect("a number")
    };
    let before = connections();
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    assert_eq!(socket.ask(r#"{"id":1,"op":"ping"}"#)["status"], 204);
    assert_eq!(connections(), before + 1);
    drop(socket);
    while connections() > before {}
}

#[test]
fn one_websocket_listens_to_so_many_things_and_begins_so_many_snapshots() {
    let (server, _client) = open();
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let subscribe = |n: usize| json!({"id": n, "op": "subscribe", "collection": "items", "record": "r"}).to_string();
    for n in 0..millpond::limits::SUBSCRIPTIONS_MAX {
        assert_eq!(socket.ask(&subscribe(n))["status"], 200);
    }
    let refused = socket.ask(&subscribe(millpond::limits::SUBSCRIPTIONS_MAX));
    assert_eq!((&refused["status"], &refused["body"]["code"]), (&json!(400), &json!("too_many_subscriptions")));
    assert_eq!(socket.ask(&subscribe(0))["status"], 200, "in another's place there is room");
    // All at once, so that none is done before the last has come.
    let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
    let most = millpond::limits::WS_SNAPSHOTS_MAX;
    let ask = |n: usize| json!({"id": n, "op": "subscribe", "collection": "items", "snapshot": true}).to_string();
    let all: Vec<u8> = (0..40 * most).flat_map(|n| WebSocket::framed(1, ask(n).as_bytes())).collect();
    socket.send_raw(&all);
    let statuses: Vec<i64> = (0..40 * most)
        .map(|_| {
            loop {
                let message = socket.next().expect("a message");
                if let Some(status) = message["status"].as_i64() {
                    break status;
                }
            }
        })
        .collect();
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
}
