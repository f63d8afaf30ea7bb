//! Whatever happens to a listener: it sees every change once and in order, and its records are those of the server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{open, put};
use crate::support::ends::Ends;
use crate::support::http::Client;
use crate::support::results;
use crate::support::rng::Rng;
use crate::support::stream::{Events, WebSocket, told};

/// Writes alone and in transactions until told to end; what was written, in the order of the positions.
fn write(address: std::net::SocketAddr, seed: u64, writer: u64, end: &AtomicBool) -> Vec<(u64, Vec<String>)> {
    let mut rng = Rng::new(seed ^ writer);
    let mut client = Client::new(address);
    let mut written = Vec::new();
    for n in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let count = 1 + rng.below(4);
        let requests: Vec<_> = (0..count)
            .map(|at| {
                let url = format!("/api/collections/items/records/w{writer}-{}", rng.below(5) * 10 + at);
                json!({"method": "PUT", "url": url, "body": {"n": n, "t": format!("w{writer}n{n}at{at}")}})
            })
            .collect();
        let texts = (0..count).map(|at| format!("w{writer}n{n}at{at}")).collect();
        let answer = client.json("POST", "/api/batch", &json!({"requests": requests}).to_string()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let position = answer.header("millpond-seq").expect("a position");
        written.push((position.rsplit('-').next().expect("a seq").parse().expect("a number"), texts));
    }
    written
}

/// Writes so many long records in one transaction.
pub(crate) fn put_many(client: &mut Client, round: usize, count: usize) {
    let long = "x".repeat(4_000);
    let requests: Vec<_> = (0..count)
        .map(|n| {
            let url = format!("/api/collections/items/records/r{n}");
            json!({"method": "PUT", "url": url, "body": {"n": round * count + n, "t": long}})
        })
        .collect();
    let batch = client.json("POST", "/api/batch", &json!({"requests": requests}).to_string()).expect("an answer");
    assert_eq!(batch.status, 200, "{}", batch.text());
}

/// Someone who listens by any way there is, and goes on from where it was left by the one before.
struct Follower {
    address: std::net::SocketAddr,
    last: String,
    seen: Vec<String>,
}

impl Follower {
    /// Takes the text of a record, unless it is the one of the end: then it is over.
    fn take(&mut self, record: &Value) -> bool {
        if record["id"] == "end" {
            return true;
        }
        self.seen.push(record["t"].as_str().expect("a text").to_owned());
        false
    }

    /// By server-sent events, of either way, until the connection breaks off, wherever that falls: within an event,
    /// between two, before the first. Whether it came to the end.
    fn events(&mut self, named: bool, cut_after: Option<u64>) -> bool {
        let target = if named { "/api/realtime" } else { "/api/realtime?subscribe=items/*" };
        let mut events = Events::open(self.address, target, &[("last-event-id", &self.last)]);
        assert_eq!(events.status, 200);
        if named {
            let client = events.next().expect("the first event").id;
            let body = json!({"clientId": client, "subscriptions": ["items/*"]}).to_string();
            let answer = Client::new(self.address).json("POST", "/api/realtime", &body).expect("an answer");
            assert_eq!(answer.status, 204);
            events.id.clone_from(&self.last);
        }
        events.cut_after = cut_after;
        while let Some(event) = events.next() {
            assert_eq!(event.name, if named { "items/*" } else { "" }, "{event:?}");
            if self.take(&event.data["record"]) {
                return true;
            }
        }
        if !events.id.is_empty() {
            self.last = events.id;
        }
        false
    }

    /// Over a WebSocket, for so many events.
    fn socket(&mut self, count: u64) -> bool {
        let mut socket = WebSocket::open(self.address, "/api/ws", &[]);
        let ask = json!({"id": 1, "op": "subscribe", "collection": "items", "since": self.last});
        assert_eq!(socket.ask(&ask.to_string())["status"], 200);
        for _ in 0..count {
            let event = socket.next().expect("an event");
            if self.take(&event["record"]) {
                return true;
            }
            event["seq"].as_str().expect("a mark").clone_into(&mut self.last);
        }
        false
    }

    /// By a page of so many.
    fn page(&mut self, limit: u64) -> bool {
        let target = format!("/api/changes?since={}&limit={limit}&collections=items", self.last);
        let page = Client::new(self.address).get(&target).expect("an answer");
        assert_eq!(page.status, 200, "{}", page.text());
        for line in page.text().lines() {
            if self.take(&serde_json::from_str::<Value>(line).expect("JSON")["record"]) {
                return true;
            }
        }
        page.header("millpond-seq").expect("a position").clone_into(&mut self.last);
        false
    }
}

/// F7's streams.
#[test]
fn a_listener_that_is_cut_off_again_and_again_has_seen_every_change_once_and_in_order() {
    const WRITERS: u64 = 3;
    let seed = results::seed();
    let cuts = results::size(60, 500, 5_000);
    let (server, mut client) = open();
    let address = server.address;
    let last = put(&mut client, "start", "{}");
    let end = AtomicBool::new(false);
    let began = Instant::now();
    let mut rng = Rng::new(seed);
    let mut follower = Follower { address, last, seen: Vec::new() };
    let mut written = std::thread::scope(|scope| {
        let end = &end;
        let ends = Ends(end);
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(address, seed, writer, end))).collect();
        for _ in 0..cuts {
            let over = match rng.below(4) {
                way @ 0..=1 => follower.events(way == 1, Some(rng.below(3_000))),
                2 => follower.socket(1 + rng.below(7)),
                _ => follower.page(1 + rng.below(7)),
            };
            assert!(!over, "the end is not written yet");
        }
        drop(ends);
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer does not panic")).collect::<Vec<_>>()
    });
    put(&mut client, "end", "{}");
    while !follower.events(false, None) {}
    written.sort();
    let written: Vec<String> = written.into_iter().flat_map(|(_, texts)| texts).collect();
    let seen = follower.seen;
    let differs = seen.iter().zip(&written).position(|(a, b)| a != b);
    let failed = differs.is_some() || seen.len() != written.len();
    results::record("F7", cuts, failed.into(), began, seed);
    assert_eq!((differs, seen.len()), (None, written.len()), "seed {seed}, after {:?}", began.elapsed());
    assert!(written.len() as u64 > cuts, "something was written meanwhile");
}

#[test]
fn a_snapshot_and_what_comes_behind_it_make_the_records_of_the_server() {
    let seed = results::seed();
    let rounds = results::size(20, 200, 1_000);
    let (server, mut client) = open();
    let address = server.address;
    let mut rng = Rng::new(seed);
    for n in 0..300 {
        put(&mut client, &format!("w0-{n}"), &format!(r#"{{"n":{n},"t":"{}"}}"#, "x".repeat(200)));
    }
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = &end;
        let ends = Ends(end);
        let writers: Vec<_> = (0..2).map(|writer| scope.spawn(move || write(address, seed, writer, end))).collect();
        for round in 0..rounds {
            // Short texts are few of all: a filter makes records come and go.
            let filter = if rng.once_in(2) { "&filter=n%20%25%202%20=%200" } else { "" };
            let target = format!("/api/realtime?subscribe=items/*&snapshot=1{filter}");
            let mut events = Events::open(address, &target, &[]);
            assert_eq!(events.status, 200);
            let (mut records, mut ready) = (BTreeMap::new(), false);
            let marker = format!("marker{round}");
            loop {
                let event = events.next().expect("an event");
                let id = event.data["record"]["id"].as_str().unwrap_or_default().to_owned();
                match told(&event).split(' ').next().expect("a word") {
                    "ready" => {
                        ready = true;
                        put(&mut client, &marker, r#"{"n":0}"#);
                    }
                    "delete" | "leave" => {
                        assert!(ready && records.remove(&id).is_some(), "seed {seed}: {id} was not there");
                    }
                    action => {
                        let known = records.insert(id.clone(), event.data["record"].clone()).is_some();
                        assert_eq!(known, action == "update", "seed {seed}: {action} {id}");
                    }
                }
                if id == marker && ready {
                    break;
                }
            }
            assert!(records.contains_key(&marker), "seed {seed}");
        }
        drop(ends);
        for writer in writers {
            writer.join().expect("a writer does not panic");
        }
    });
    // Nobody writes any more: what a listener has now is what a list has.
    for filter in ["", "&filter=n%20%25%202%20=%200"] {
        let mut events = Events::open(address, &format!("/api/realtime?subscribe=items/*&snapshot=1{filter}"), &[]);
        let mut records = BTreeMap::new();
        loop {
            let event = events.next().expect("an event");
            if event.name == "ready" {
                break;
            }
            let record = event.data["record"].clone();
            records.insert(record["id"].as_str().expect("an id").to_owned(), record);
        }
        let list = client.get(&format!("/api/collections/items/records?perPage=1000{filter}")).expect("an answer");
        let listed = list.json()["items"].as_array().expect("items").clone();
        let listed: BTreeMap<_, _> =
            listed.into_iter().map(|record| (record["id"].as_str().expect("an id").to_owned(), record)).collect();
        assert!(records == listed, "seed {seed}: {} and {}", records.len(), listed.len());
    }
    drop(server);
}

#[test]
fn a_snapshot_that_is_longer_than_memory_is_written_down_first() {
    let (server, mut client) = open();
    let lines: Vec<String> = (0..1_500).map(|n| format!(r#"{{"id":"r{n:05}","t":"{}"}}"#, "x".repeat(1_000))).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let import = client.request("POST", "/api/collections/items/import", &headers, Some(lines.join("\n").as_bytes()));
    assert_eq!(import.expect("an answer").status, 200);
    let mut events = Events::open(server.address, "/api/realtime?subscribe=items/*&snapshot=1", &[]);
    for n in 0..1_500 {
        assert_eq!(told(&events.next().expect("a record")), format!("enter r{n:05}"));
    }
    assert_eq!(events.next().expect("an event").name, "ready");
    put(&mut client, "r00000", r#"{"t":"y"}"#);
    assert_eq!(events.told(1), ["update r00000"]);
}

#[test]
fn who_does_not_read_misses_nothing_and_holds_up_nobody() {
    let (server, mut client) = open();
    let mut slow = Events::open(server.address, "/api/realtime?subscribe=items/*", &[]);
    let mut quick = Events::open(server.address, "/api/realtime?subscribe=items/*", &[]);
    let rounds = 40;
    for round in 0..rounds {
        put_many(&mut client, round, 100);
        for n in 0..100 {
            assert_eq!(quick.next().expect("an event").data["record"]["n"], round * 100 + n);
        }
    }
    // More than sockets and rings hold lay behind it.
    for n in 0..rounds * 100 {
        assert_eq!(slow.next().expect("an event").data["record"]["n"], n);
    }
}
