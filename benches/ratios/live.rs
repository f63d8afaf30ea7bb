//! Streams: how soon what is written comes to those who listen, how much comes, and what those cost to whom nothing comes.
//!
//! One writer in a closed loop; listeners are plain sockets on the same thread. A latency is the time from the sending of
//! a write to its event's arrival, so it holds the commit too.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::histogram::Histogram;
use crate::millpond::Millpond;
use crate::report::{Limit, Row, thousands};
use crate::{Bench, Outcome, answer};

const DEFINITION: &str = r#"{"name":"ticks","fields":[{"name":"n","type":"number","integer":true},
    {"name":"text","type":"text"}],"listRule":"","createRule":""}"#;
const STREAM: &str = "GET /api/realtime?subscribe=ticks/* HTTP/1.1\r\nhost: bench\r\n\r\n";
/// Time in which everything that was written has to come.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let server = Millpond::empty()?;
    let address = server.process.address;
    answer::must(address, "POST", "/api/collections", DEFINITION)?;
    let time = Duration::from_secs(if bench.quick { 1 } else { 5 });
    let mut first = 0;
    for listeners in [1, 100, 1_000] {
        let cpu = server.process.cpu_seconds()?;
        let measured = deliveries(address, listeners, first, time)?;
        let cpu = server.process.cpu_seconds()? - cpu;
        first += measured.writes;
        let events = (measured.writes * listeners) as f64;
        let mut row =
            Row::new(format!("events to {listeners} listeners, one writer"), events / measured.seconds, "1/s");
        let mut p99 = Row::new("  p99 from a write to its event", measured.latency.within_ms(0.99), "ms");
        match listeners {
            100 => (row, p99) = (row.limit(Limit::AtLeast(150_000.0)), p99.limit(Limit::AtMost(4.0))),
            1_000 => p99 = p99.limit(Limit::AtMost(20.0)),
            _ => {}
        }
        bench.report.add(row);
        bench.report.add(Row::new("  server CPU each", cpu * 1e6 / events, "µs"));
        bench.report.add(Row::new("  p50 from a write to its event", measured.latency.within_ms(0.5), "ms"));
        bench.report.add(p99);
    }
    let idle = if bench.quick { 1_000 } else { 10_000 };
    let before = server.process.resident_bytes()?;
    let held = runtime()?.block_on(LocalSet::new().run_until(open(address, idle)))?;
    let after = server.process.resident_bytes()?;
    drop(held);
    let mb = after.saturating_sub(before) as f64 / f64::from(1 << 20);
    let row = Row::new(format!("memory of {} streams to which nothing comes", thousands(idle)), mb, "MiB");
    bench.report.add(row.limit(Limit::AtMost(100.0 * idle as f64 / 10_000.0)));
    Ok(())
}

struct Measured {
    writes: u64,
    seconds: f64,
    latency: Histogram,
}

/// When each write was sent, from the first of this run on, and what came of them.
struct Shared {
    first: u64,
    sent: Vec<Instant>,
    latency: Histogram,
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn deliveries(address: SocketAddr, listeners: u64, first: u64, time: Duration) -> Outcome<Measured> {
    runtime()?.block_on(LocalSet::new().run_until(async {
        let streams = open(address, listeners).await?;
        let shared = Rc::new(RefCell::new(Shared { first, sent: Vec::new(), latency: Histogram::default() }));
        // Every listener ends with the last write, whose number it is told when that is known.
        let (end, ended) = tokio::sync::watch::channel(u64::MAX);
        let mut listening = JoinSet::new();
        for stream in streams {
            listening.spawn_local(listen(stream, shared.clone(), ended.clone()));
        }
        let began = Instant::now();
        let writes = write(address, &shared, time).await?;
        end.send_replace(writes);
        let all = async {
            while let Some(done) = listening.join_next().await {
                done??;
            }
            Outcome::Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await.map_err(|_| "some events never came")??;
        let seconds = began.elapsed().as_secs_f64();
        let latency = std::mem::take(&mut shared.borrow_mut().latency);
        if latency.count() != writes * listeners {
            return Err(format!("{} events of {}", latency.count(), writes * listeners).into());
        }
        Ok(Measured { writes, seconds, latency })
    }))
}

/// Opens streams and waits until each has said its first word.
async fn open(address: SocketAddr, count: u64) -> Outcome<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(STREAM.as_bytes()).await?;
        streams.push(stream);
    }
    for stream in &mut streams {
        let mut head = Vec::new();
        let mut buffer = [0; 1_024];
        while !head.windows(4).any(|part| part == b"id: ") {
            let read = stream.read(&mut buffer).await?;
            if read == 0 || (head.len() > 12 && !head.starts_with(b"HTTP/1.1 200")) {
                return Err(format!("a stream was refused: {}", String::from_utf8_lossy(&head)).into());
            }
            head.extend_from_slice(&buffer[..read]);
        }
    }
    Ok(streams)
}

/// Reads events until there are as many as were written.
async fn listen(
    mut stream: TcpStream,
    shared: Rc<RefCell<Shared>>,
    mut ended: tokio::sync::watch::Receiver<u64>,
) -> Outcome<()> {
    const NUMBER: &[u8] = b"\"n\":";
    let (mut buffer, mut kept, mut seen) = (vec![0; 64 << 10], 0, 0);
    loop {
        if seen == *ended.borrow_and_update() {
            return Ok(());
        }
        let read = tokio::select! {
            read = stream.read(&mut buffer[kept..]) => read?,
            _ = ended.changed() => continue,
        };
        if read == 0 {
            return Err("a stream ended".into());
        }
        let (now, filled) = (Instant::now(), kept + read);
        let mut at = 0;
        let mut shared = shared.borrow_mut();
        while let Some(found) = memchr::memmem::find(&buffer[at..filled], NUMBER) {
            let digits = &buffer[at + found + NUMBER.len()..filled];
            let Some(length) = digits.iter().position(|byte| !byte.is_ascii_digit()) else { break };
            let number: u64 = std::str::from_utf8(&digits[..length])?.parse()?;
            if number != shared.first + seen {
                return Err(format!("event {number} came as number {}", shared.first + seen).into());
            }
            let sent = shared.sent[seen as usize];
            shared.latency.record(now - sent);
            seen += 1;
            at += found + NUMBER.len() + length;
        }
        drop(shared);
        // An event may be in two pieces.
        let rest = (filled - at).min(64);
        buffer.copy_within(filled - rest..filled, 0);
        kept = rest;
    }
}

/// Creates one record after the other for as long; how many.
async fn write(address: SocketAddr, shared: &RefCell<Shared>, time: Duration) -> Outcome<u64> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let began = Instant::now();
    let (mut writes, mut buffer) = (0, vec![0; 16 << 10]);
    while began.elapsed() < time {
        let number = shared.borrow().first + writes;
        let body = format!(r#"{{"n":{number},"text":"some words that a record may have"}}"#);
        let request = format!(
            "POST /api/collections/ticks/records HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        shared.borrow_mut().sent.push(Instant::now());
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        // The answer's body ends with the record's brace.
        while filled == 0 || buffer[filled - 1] != b'}' {
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Err("the server hung up".into());
            }
            filled += read;
        }
        if !buffer.starts_with(b"HTTP/1.1 201") {
            return Err(format!("a write was refused: {}", String::from_utf8_lossy(&buffer[..filled])).into());
        }
        writes += 1;
    }
    Ok(writes)
}
