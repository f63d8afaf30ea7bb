//! Handlers: how many webhooks are delivered a second to a receiver that takes each at once, and how many writes a
//! `collection` handler makes of as many changes. Both from the first change to the last one's acknowledgement.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::millpond::Millpond;
use crate::report::Row;
use crate::{Bench, Outcome, answer};

/// Changes, in full and quick.
const CHANGES: [u64; 2] = [20_000, 4_000];
/// Changes of one transaction.
const PIECE: u64 = 1_000;
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// Time in which all of them have to be dealt with.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let changes = CHANGES[usize::from(bench.quick)];
    let receiver = receive()?;
    let webhook = json!({"kind": "webhook", "url": format!("http://{receiver}/"), "secret": SECRET});
    let derived = json!({"kind": "collection", "target": "copies", "set": {"n": "n"}});
    for (what, handler) in [("webhook deliveries", webhook), ("writes of a collection handler", derived)] {
        let server = Millpond::empty()?;
        let address = server.process.address;
        for name in ["events", "copies"] {
            let definition = json!({"name": name, "fields": [{"name": "n", "type": "number", "integer": true}]});
            answer::must(address, "POST", "/api/collections", &definition.to_string())?;
        }
        let mut definition = json!({"id": "measured", "name": "measured", "collections": ["events"]});
        for (name, value) in handler.as_object().into_iter().flatten() {
            definition[name] = value.clone();
        }
        answer::must(address, "POST", "/api/collections/_handlers/records", &definition.to_string())?;
        let cpu = server.process.cpu_seconds()?;
        let began = Instant::now();
        for first in (0..changes).step_by(PIECE as usize) {
            let create = |n| json!({"method": "POST", "url": "/api/collections/events/records", "body": {"n": n}});
            let requests: Vec<Value> = (first..first + PIECE).map(create).collect();
            answer::must(address, "POST", "/api/batch", &json!({"requests": requests}).to_string())?;
        }
        while acknowledged(address)? < changes {
            if began.elapsed() > PATIENCE {
                return Err(format!("{what}: {} of {changes}", acknowledged(address)?).into());
            }
            std::thread::sleep(LOOK);
        }
        let seconds = began.elapsed().as_secs_f64();
        let cpu = server.process.cpu_seconds()? - cpu;
        bench.report.add(Row::new(what, changes as f64 / seconds, "1/s"));
        bench.report.add(Row::new(
            "  server CPU each, the change's own write included",
            cpu * 1e6 / changes as f64,
            "µs",
        ));
    }
    Ok(())
}

fn acknowledged(address: SocketAddr) -> Outcome<u64> {
    let status: Value = serde_json::from_slice(&answer::must(address, "GET", "/api/handlers/measured/status", "")?)?;
    status["acknowledged"].as_u64().ok_or_else(|| "a status without its count".into())
}

/// A receiver that takes everything, until this process ends.
fn receive() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || take(stream));
        }
    });
    Ok(address)
}

fn take(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
