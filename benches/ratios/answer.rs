//! HTTP/1.1 answers, as far as a load generator reads them; and single calls, for what is set up and looked up.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Outcome;

/// Time for one call.
const CALL_TIME: Duration = Duration::from_secs(60);
/// An answer's head at most, bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A whole answer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// The answer in `bytes`, once it is whole. Lengths are understood, chunks are not.
pub(crate) fn parse(bytes: &[u8]) -> Outcome<Option<Answer<'_>>> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err("an answer's head does not end".into());
        }
        return Ok(None);
    };
    let head = &bytes[..head_end];
    let status = head.get(9..12).and_then(number).ok_or("an answer without a status")? as u16;
    let length = match header(head, b"content-length") {
        Some(value) => number(value).ok_or("a length that is no number")?,
        None if status == 204 || status == 304 => 0,
        None => return Err("an answer without a length".into()),
    };
    let body = &bytes[head_end + 4..];
    match body.len() {
        len if len == length => Ok(Some(Answer { status, body })),
        len if len > length => Err("more bytes than the answer's length".into()),
        _ => Ok(None),
    }
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.find_map(|line| match (line.get(..name.len()), line.get(name.len())) {
        (Some(start), Some(b':')) if start.eq_ignore_ascii_case(name) => Some(line[name.len() + 1..].trim_ascii()),
        _ => None,
    })
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// One call on a connection of its own: status and body.
pub(crate) fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Outcome<(u16, Vec<u8>)> {
    call_with(address, method, path, "", body)
}

/// A read at a position or later, which has to succeed.
pub(crate) fn at_least(address: SocketAddr, path: &str, position: &str) -> Outcome<Vec<u8>> {
    match call_with(address, "GET", path, &format!("millpond-min-seq: {position}\r\n"), "")? {
        (200, body) => Ok(body),
        (status, body) => Err(format!("{path}: {status} {}", String::from_utf8_lossy(&body)).into()),
    }
}

/// `head` is lines of the request's head.
fn call_with(address: SocketAddr, method: &str, path: &str, head: &str, body: &str) -> Outcome<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(CALL_TIME))?;
    stream.set_nodelay(true)?;
    let length = body.len();
    stream.write_all(
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             {head}content-length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    let mut seen = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let got = stream.read(&mut part)?;
        seen.extend_from_slice(&part[..got]);
        if let Some(Answer { status, body }) = parse(&seen)? {
            return Ok((status, body.to_vec()));
        }
        if got == 0 {
            return Err(format!("{method} {path}: the connection was closed").into());
        }
    }
}

/// As `call`, for what has to succeed.
pub(crate) fn must(address: SocketAddr, method: &str, path: &str, body: &str) -> Outcome<Vec<u8>> {
    let (status, answer) = call(address, method, path, body)?;
    if !(200..300).contains(&status) {
        return Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok(answer)
}
