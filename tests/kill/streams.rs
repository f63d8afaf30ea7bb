//! F11 and F12: what streams cost the real binary to which nothing comes, and those whose clients never read.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{Folder, Server};
use crate::support::http::Client;
use crate::support::results;
use crate::support::stream::{Events, WebSocket};

const MIB: u64 = 1 << 20;
/// Changes of one transaction.
const PIECE: u64 = 1_000;
/// Files that a process has open beside its sockets.
const FILES: u64 = 500;
/// Changes of a round of writes, and rounds within which the server's own memory has stopped growing.
const ROUND: u64 = 100_000;
const ROUNDS: u64 = 10;
/// Time in which layers of what was written lately are let go.
const SETTLE: Duration = Duration::from_secs(4);

fn open(name: &str) -> (Folder, Server, Client) {
    let folder = Folder::new(name);
    let server = Server::start(&folder);
    let mut client = server.client();
    let fields = json!([{"name": "n", "type": "number", "integer": true}, {"name": "text", "type": "text"}]);
    let body = json!({"name": "items", "fields": fields, "listRule": "", "viewRule": ""}).to_string();
    assert_eq!(client.json("POST", "/api/collections", &body).expect("an answer").status, 201);
    (folder, server, client)
}

/// How many of so many sockets this process and one that it starts may have.
fn room_for(sockets: u64) -> u64 {
    let limit = |which: usize| -> u64 {
        let limits = fs::read_to_string("/proc/self/limits").expect("a table");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
        line.split_whitespace().nth(which).and_then(|word| word.parse().ok()).unwrap_or(u64::MAX)
    };
    if limit(0) < sockets + FILES {
        let (pid, hard) = (std::process::id().to_string(), limit(1));
        // Where there is no such command there are fewer sockets.
        let _ = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={hard}:{hard}")]).status();
    }
    sockets.min(limit(0).saturating_sub(FILES))
}

/// A stream that has said its first word.
fn idle(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connects");
    let request = "GET /api/realtime?subscribe=items/* HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sends");
    stream
}

#[test]
fn idle_streams_cost_little_memory() {
    let (began, seed) = (Instant::now(), 0);
    let wanted = results::size(1_000, 10_000, 10_000);
    let count = room_for(wanted);
    let for_all = results::size(100, 100, 30) * MIB;
    let (folder, server, mut client) = open("idle");
    // What a first stream brings with it is not counted.
    let first = idle(server.address);
    let before = server.resident_bytes();
    let mut streams: Vec<TcpStream> = (0..count).map(|_| idle(server.address)).collect();
    for stream in &mut streams {
        let (mut head, mut buffer) = (Vec::new(), [0; 1_024]);
        while !head.windows(4).any(|part| part == b"id: ") {
            let read = stream.read(&mut buffer).expect("an answer");
            assert!(read > 0, "{}", String::from_utf8_lossy(&head));
            head.extend_from_slice(&buffer[..read]);
        }
    }
    let more = server.resident_bytes().saturating_sub(before);
    results::note(&format!(
        "F11: {count} idle streams take {:.1} MiB, {} bytes each",
        more as f64 / MIB as f64,
        more / count
    ));
    let failed = more > for_all * count / 10_000;
    results::record("F11", count, failed.into(), began, seed);
    assert!(!failed, "{count} idle streams take {more} bytes");
    // They are there: the next change comes to the last of them.
    let made = client.json("POST", "/api/collections/items/records", r#"{"id":"a"}"#).expect("an answer");
    assert_eq!(made.status, 201);
    let last = streams.last_mut().expect("a stream");
    let mut text = Vec::new();
    while !text.windows(8).any(|part| part == b"\"id\":\"a\"") {
        let mut buffer = [0; 1_024];
        let read = last.read(&mut buffer).expect("an event");
        assert!(read > 0, "it ended");
        text.extend_from_slice(&buffer[..read]);
    }
    drop((first, streams));
    server.stop();
    drop(folder);
}

/// Writes so many changes, numbered on from `from`, each of which a listener that there is reads right after it was written.
fn write(client: &mut Client, mut quick: Option<&mut Events>, from: u64, count: u64) {
    for piece in 0..count / PIECE {
        let first = from + piece * PIECE;
        let requests: Vec<_> = (first..first + PIECE)
            .map(|n| {
                let url = format!("/api/collections/items/records/r{}", n % PIECE);
                json!({"method": "PUT", "url": url, "body": {"n": n, "text": "some words that a record may have"}})
            })
            .collect();
        let batch = client.json("POST", "/api/batch", &json!({"requests": requests}).to_string()).expect("an answer");
        assert_eq!(batch.status, 200, "{}", batch.text());
        let Some(quick) = &mut quick else { continue };
        for n in first..first + PIECE {
            let event = quick.next().expect("an event");
            assert_eq!(event.data["record"]["n"], n, "the one that reads gets each as it comes");
        }
    }
}

#[test]
fn clients_that_never_read_cost_little_memory_and_miss_nothing() {
    let began = Instant::now();
    let (clients, events) = results::size((20, 10_000), (20, 100_000), (1_000, 100_000));
    let count = room_for(clients + 1);
    let (folder, server, mut client) = open("unread");
    // What so many writes leave behind in memory is there before, and is not counted: caches are full.
    let mut before = 0;
    for round in 0.. {
        write(&mut client, None, 0, ROUND);
        std::thread::sleep(SETTLE);
        let grown = server.resident_bytes();
        if grown <= before + MIB {
            break;
        }
        assert!(round < ROUNDS, "memory grows with each round of writes: {grown} bytes");
        before = grown;
    }
    let mut quick = Events::open(server.address, "/api/realtime?subscribe=items/*", &[]);
    let streams = count.div_ceil(2);
    let mut unread: Vec<Events> =
        (0..streams).map(|_| Events::open(server.address, "/api/realtime?subscribe=items/*", &[])).collect();
    let mut sockets: Vec<WebSocket> = (streams..count)
        .map(|_| {
            let mut socket = WebSocket::open(server.address, "/api/ws", &[]);
            assert_eq!(socket.ask(r#"{"id":1,"op":"subscribe","collection":"items"}"#)["status"], 200);
            socket
        })
        .collect();
    write(&mut client, Some(&mut quick), events, events);
    std::thread::sleep(SETTLE);
    let more = server.resident_bytes().saturating_sub(before);
    results::note(&format!("F12: {count} clients that do not read {events} events take {} bytes each", more / count));
    // Cut off, or behind: up to there each has all of it, in order.
    let all = events..2 * events;
    let mut faults = Vec::new();
    for (number, stream) in unread.iter_mut().enumerate() {
        let told = all.clone().map_while(|_| stream.next()).map(|event| event.data["record"]["n"].as_u64());
        if let Some((n, told)) = all.clone().zip(told).find(|(n, told)| Some(*n) != *told) {
            faults.push(format!("stream {number}: {told:?} in the place of {n}"));
        }
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        let told = all.clone().map_while(|_| socket.next()).map(|event| event["record"]["n"].as_u64());
        if let Some((n, told)) = all.clone().zip(told).find(|(n, told)| Some(*n) != *told) {
            faults.push(format!("WebSocket {number}: {told:?} in the place of {n}"));
        }
    }
    if more > count * MIB {
        faults.push(format!("they take {more} bytes"));
    }
    results::record("F12", count, faults.len() as u64, began, 0);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    drop((quick, unread, sockets));
    server.stop();
    drop(folder);
}
