//! A million lines in and out: how fast, against batches of the same records, and how much memory it takes.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::millpond::Millpond;
use crate::report::{Limit, Row, thousands};
use crate::{Bench, Outcome, answer, orders};

/// Lines, in full and quick.
const LINES: [u64; 2] = [1_000_000, 200_000];
/// Records of a batch that is imported the other way.
const BATCH: u64 = 1_000;
/// Batches of which the speed is taken, in full and quick.
const BATCHES: [u64; 2] = [200, 50];
/// Time without a byte from the server after which the bench fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of lines sent at once.
const PIECE_BYTES: usize = 256 << 10;

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let quick = usize::from(bench.quick);
    let lines = LINES[quick];
    let batches = by_batches(BATCHES[quick])?;
    let server = Millpond::defined()?;
    let before = server.process.resident_bytes()?;
    let began = Instant::now();
    let (answer, most) = import(&server, lines)?;
    let seconds = began.elapsed().as_secs_f64();
    if answer["created"] != lines {
        return Err(format!("of {lines} lines were taken: {answer}").into());
    }
    let per_second = lines as f64 / seconds;
    let row = Row::new(format!("import of {} lines, one client", thousands(lines)), per_second, "1/s");
    bench.report.add(row.against("batches of 1,000", batches).limit(Limit::Ratio(0.5)));
    let cpu = server.process.cpu_seconds()? * 1e6 / lines as f64;
    bench.report.add(Row::new("  server CPU each", cpu, "µs"));
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    bench.report.add(Row::new("  most memory meanwhile", mib(most), "MiB").against("before", mib(before)));
    let began = Instant::now();
    let (bytes, first) = export(server.process.address)?;
    let seconds = began.elapsed().as_secs_f64();
    bench.report.add(Row::new("export of them", lines as f64 / seconds, "1/s"));
    bench.report.add(Row::new("  first byte after", first.as_secs_f64(), "s"));
    bench.report.add(Row::new("  bytes", mib(bytes), "MiB"));
    Ok(())
}

/// Records by batches, one client: how many a second.
fn by_batches(batches: u64) -> Outcome<f64> {
    let server = Millpond::defined()?;
    let record = orders::record();
    let mut one = Vec::new();
    let began = Instant::now();
    for first in (0..batches).map(|batch| batch * BATCH) {
        let mut body = String::from(r#"{"requests":["#);
        for number in first..first + BATCH {
            record.write(number, &mut one);
            let comma = if number > first { "," } else { "" };
            let fields = std::str::from_utf8(&one)?;
            write!(body, r#"{comma}{{"method":"POST","url":"/api/collections/orders/records","body":{fields}}}"#)?;
        }
        body.push_str("]}");
        answer::must(server.process.address, "POST", "/api/batch", &body)?;
    }
    Ok((batches * BATCH) as f64 / began.elapsed().as_secs_f64())
}

/// Imports orders; the answer, and the most memory that the server held.
fn import(server: &Millpond, count: u64) -> Outcome<(serde_json::Value, u64)> {
    let (record, mut most) = (orders::record(), 0);
    let meanwhile = || {
        most = most.max(server.process.resident_bytes()?);
        Ok(())
    };
    let answer = lines(server.process.address, "orders", count, |number, one| record.write(number, one), meanwhile)?;
    Ok((answer, most))
}

/// Sends lines in chunks as `write` makes them, with a call of `meanwhile` behind each; the answer.
pub(crate) fn lines(
    address: SocketAddr,
    collection: &str,
    count: u64,
    mut write: impl FnMut(u64, &mut Vec<u8>),
    mut meanwhile: impl FnMut() -> Outcome<()>,
) -> Outcome<serde_json::Value> {
    let mut stream = connect(address)?;
    let head = format!(
        "POST /api/collections/{collection}/import HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let (mut one, mut piece) = (Vec::new(), Vec::new());
    for number in 0..count {
        write(number, &mut one);
        piece.extend_from_slice(&one);
        piece.push(b'\n');
        if piece.len() >= PIECE_BYTES || number + 1 == count {
            chunk(&mut stream, &piece)?;
            piece.clear();
            meanwhile()?;
        }
    }
    stream.write_all(b"0\r\n\r\n")?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    meanwhile()?;
    let answer = answer::parse(&said)?.ok_or("an answer that is not whole")?;
    if answer.status != 200 {
        return Err(format!("an import was answered {} {}", answer.status, String::from_utf8_lossy(answer.body)).into());
    }
    Ok(serde_json::from_slice(answer.body)?)
}

/// Reads all of an export: its bytes, and when the first one came.
fn export(address: SocketAddr) -> Outcome<(u64, Duration)> {
    let mut stream = connect(address)?;
    let head = format!("GET /api/collections/orders/export HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let began = Instant::now();
    stream.write_all(head.as_bytes())?;
    let (mut part, mut bytes, mut first) = (vec![0; PIECE_BYTES], 0, None);
    loop {
        let got = stream.read(&mut part)?;
        if first.is_none() && !part[..got].starts_with(b"HTTP/1.1 200") {
            return Err("an export that is refused".into());
        }
        first.get_or_insert_with(|| began.elapsed());
        if got == 0 {
            return Ok((bytes, first.unwrap_or_default()));
        }
        bytes += got as u64;
    }
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> Outcome<()> {
    write!(stream, "{:x}\r\n", bytes.len())?;
    stream.write_all(bytes)?;
    stream.write_all(b"\r\n")?;
    Ok(())
}
