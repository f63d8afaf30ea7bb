//! Places within an entry: whoever is cut off in the middle of a transaction, a cascade or an import goes on behind the
//! very change that it has seen last, however it listens.

use serde_json::{Value, json};

use super::{open, put};
use crate::support::http::Client;
use crate::support::server::Running;
use crate::support::stream::{Events, WebSocket, told};

/// What comes behind a mark, by each way to listen, in short, and the mark of each: as many as there are.
fn all_ways(server: &Running, collections: &[&str], mark: &str, count: usize) -> Vec<Vec<(String, String)>> {
    let plain = {
        let places = collections.iter().map(|name| format!("{name}/*")).collect::<Vec<_>>().join(",");
        let target = format!("/api/realtime?subscribe={places}&since={mark}");
        let mut events = Events::open(server.address, &target, &[]);
        assert_eq!(events.status, 200);
        (0..count).map(|_| events.next().expect("an event")).map(|event| (told(&event), event.id)).collect()
    };
    let named = {
        let mut events = Events::open(server.address, "/api/realtime", &[("last-event-id", mark)]);
        let client = events.next().expect("the first event").id;
        let places: Vec<_> = collections.iter().map(|name| format!("{name}/*")).collect();
        let body = json!({"clientId": client, "subscriptions": places}).to_string();
        let answer = Client::new(server.address).json("POST", "/api/realtime", &body).expect("an answer");
        assert_eq!(answer.status, 204);
        (0..count).map(|_| events.next().expect("an event")).map(|event| (told(&event), event.id)).collect()
    };
    let socket = {
        let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
        // Each by itself: of several, each has its own place.
        let mut all = Vec::new();
        for name in collections {
            let ask = json!({"id": 1, "op": "subscribe", "sub": name, "collection": name, "since": mark});
            assert_eq!(socket.ask(&ask.to_string())["status"], 200);
        }
        while all.len() < count {
            let event = socket.next().expect("an event");
            all.push((short(&event), event["seq"].as_str().expect("a mark").to_owned()));
        }
        all.sort_by_key(|(_, mark)| place(mark));
        all
    };
    // Pages of every size.
    let pages = (1..=count).map(|limit| {
        let (mut client, mut since, mut all) = (Client::new(server.address), mark.to_owned(), Vec::new());
        while all.len() < count {
            let target = format!("/api/changes?since={since}&limit={limit}&collections={}", collections.join(","));
            let page = client.get(&target).expect("an answer");
            assert_eq!(page.status, 200, "{}", page.text());
            let lines: Vec<Value> = page.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert!(lines.len() <= limit);
            all.extend(lines.iter().map(|line| (short(line), line["seq"].as_str().expect("a mark").to_owned())));
            since = page.header("millpond-seq").expect("a position").to_owned();
        }
        all
    });
    [plain, named, socket].into_iter().chain(pages).collect()
}

fn short(event: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", word(&event["action"]), word(&event["record"]["id"]))
}

/// A mark as numbers: the entry, and the change in it.
fn place(mark: &str) -> (u64, u64) {
    let (position, change) = mark.split_once('.').unwrap_or((mark, "1000000"));
    let seq = position.rsplit('-').next().expect("a seq");
    (seq.parse().expect("a number"), change.parse().expect("a number"))
}

/// From each place within what came behind `start`, the rest comes: each once, in order.
fn every_rest_comes(server: &Running, collections: &[&str], start: &str, expected: &[&str]) {
    let all = all_ways(server, collections, start, expected.len()).swap_remove(0);
    let told: Vec<_> = all.iter().map(|(told, _)| told.as_str()).collect();
    assert_eq!(told, expected);
    let marks = std::iter::once(start.to_owned()).chain(all.iter().map(|(_, mark)| mark.clone()));
    for (n, mark) in marks.enumerate().filter(|(n, _)| *n < all.len()) {
        for (way, rest) in all_ways(server, collections, &mark, all.len() - n).into_iter().enumerate() {
            assert_eq!(rest, all[n..], "behind {mark}, way {way}");
        }
    }
}

#[test]
fn a_transaction_is_gone_on_with_from_within() {
    let (server, mut client) = open();
    let start = put(&mut client, "x", "{}");
    let requests: Vec<_> = (0..5)
        .map(|n| json!({"method": "POST", "url": "/api/collections/items/records", "body": {"id": format!("r{n}")}}))
        .collect();
    let batch = client.json("POST", "/api/batch", &json!({"requests": requests}).to_string()).expect("an answer");
    assert_eq!(batch.status, 200, "{}", batch.text());
    put(&mut client, "end", "{}");
    let expected = ["create r0", "create r1", "create r2", "create r3", "create r4", "create end"];
    every_rest_comes(&server, &["items"], &start, &expected);
    let last = all_ways(&server, &["items"], &start, 5).swap_remove(0).pop().expect("five").1;
    assert_eq!(batch.header("millpond-seq"), Some(last.as_str()), "behind the last lies all of it");
}

#[test]
fn a_cascade_is_gone_on_with_from_within() {
    let (server, mut client) = open();
    let lines = r#"{"name":"lines","fields":[{"name":"of","type":"relation","collection":"items","onDelete":"cascade"}],
        "listRule":"","viewRule":""}"#;
    assert_eq!(client.json("POST", "/api/collections", lines).expect("an answer").status, 201);
    put(&mut client, "a", "{}");
    for n in 0..4 {
        let body = json!({"id": format!("l{n}"), "of": "a"}).to_string();
        assert_eq!(client.json("POST", "/api/collections/lines/records", &body).expect("an answer").status, 201);
    }
    let start = put(&mut client, "x", "{}");
    let gone = client.request("DELETE", "/api/collections/items/records/a", &[], None).expect("an answer");
    assert_eq!(gone.status, 204);
    put(&mut client, "end", "{}");
    let all = all_ways(&server, &["items", "lines"], &start, 6).swap_remove(0);
    let told: Vec<String> = all.into_iter().map(|(told, _)| told).collect();
    let mut sorted: Vec<_> = told.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, ["create end", "delete a", "delete l0", "delete l1", "delete l2", "delete l3"]);
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    every_rest_comes(&server, &["items", "lines"], &start, &told);
}

#[test]
fn an_import_is_gone_on_with_from_within() {
    let (server, mut client) = open();
    let start = put(&mut client, "x", "{}");
    let headers = [("content-type", "application/x-ndjson")];
    for (target, from) in [("import?atomic=true", 0), ("import", 3)] {
        let body: String = (from..from + 3).map(|n| format!("{{\"id\":\"r{n}\"}}\n")).collect();
        let target = format!("/api/collections/items/{target}");
        let done = client.request("POST", &target, &headers, Some(body.as_bytes())).expect("an answer");
        assert_eq!(done.status, 200, "{}", done.text());
    }
    let expected = ["create r0", "create r1", "create r2", "create r3", "create r4", "create r5"];
    every_rest_comes(&server, &["items"], &start, &expected);
}
