//! Streams as a client sees them: server-sent events and WebSockets over a plain socket or TLS, byte for byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;

use super::wire::{self, Trust, Wire};

/// One event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// The last id that was given, with this event or before.
    pub id: String,
    /// Empty for one without a name.
    pub name: String,
    pub data: serde_json::Value,
}

/// An open stream of events.
pub struct Events {
    from: BufReader<Box<dyn Wire>>,
    /// Left of the chunk that is being read.
    left: u64,
    pub status: u16,
    /// The last id that was given.
    pub id: String,
    /// Bytes after which the connection breaks off, if it does.
    pub cut_after: Option<u64>,
    /// The comments that came, without what only shows that the stream is there.
    pub comments: Vec<String>,
}

/// Sends a `GET` with these header lines and headers; what comes behind the answer's head, and its status.
fn asked(
    (address, trust): (SocketAddr, Option<&Trust>),
    target: &str,
    lines: &str,
    headers: &[(&str, &str)],
) -> (BufReader<Box<dyn Wire>>, u16) {
    let mut stream = wire::connect(address, trust).expect("connects");
    let mut request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n{lines}");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).expect("sends");
    let mut from = BufReader::new(stream);
    let mut status = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).expect("a head");
        if line.starts_with("HTTP/1.1 ") {
            status = line[9..12].parse().expect("a status");
        }
        if line == "\r\n" {
            break;
        }
    }
    (from, status)
}

impl Events {
    pub fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Events {
        Events::open_over((address, None), target, headers)
    }

    /// The same over TLS, where somebody is trusted.
    pub fn open_over(to: (SocketAddr, Option<&Trust>), target: &str, headers: &[(&str, &str)]) -> Events {
        let (from, status) = asked(to, target, "accept: text/event-stream\r\n", headers);
        Events { from, left: 0, status, id: String::new(), cut_after: None, comments: Vec::new() }
    }

    /// The next byte of the body; `None` at its end.
    fn byte(&mut self) -> io::Result<Option<u8>> {
        if let Some(left) = &mut self.cut_after {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => return Ok(None),
            }
        }
        if self.left == 0 {
            let mut line = String::new();
            if self.from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            self.left = u64::from_str_radix(line.trim(), 16).map_err(|_| io::Error::other("no chunk size"))?;
            if self.left == 0 {
                return Ok(None);
            }
        }
        let mut byte = [0];
        self.from.read_exact(&mut byte)?;
        self.left -= 1;
        if self.left == 0 {
            let mut end = [0; 2];
            self.from.read_exact(&mut end)?;
        }
        Ok(Some(byte[0]))
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            match self.byte() {
                Ok(Some(b'\n')) => return Some(String::from_utf8(line).expect("UTF-8")),
                Ok(Some(byte)) => line.push(byte),
                Ok(None) => return None,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("nothing came in time")
                }
                Err(_) => return None,
            }
        }
    }

    /// The next event; `None` when the stream has ended. What shows only that the stream is there is read over.
    pub fn next(&mut self) -> Option<Event> {
        let (mut event, mut has_data) = (Event::default(), false);
        let mut id = self.id.clone();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                self.id = id.clone();
                if has_data {
                    event.id = id;
                    return Some(event);
                }
                event = Event::default();
                continue;
            }
            match line.split_once(": ") {
                Some(("id", value)) => id = value.to_owned(),
                Some(("event", value)) => event.name = value.to_owned(),
                Some(("data", value)) => {
                    event.data = serde_json::from_str(value).expect("JSON");
                    has_data = true;
                }
                _ => {
                    let comment = line.strip_prefix(':').unwrap_or_else(|| panic!("{line}"));
                    if !comment.is_empty() {
                        self.comments.push(comment.trim().to_owned());
                    }
                }
            }
        }
    }

    /// The place that the stream has come to, once it shows next that it is there.
    pub fn beat(&mut self) -> String {
        loop {
            let line = self.line().expect("a heartbeat");
            if let Some(id) = line.strip_prefix("id: ") {
                self.id = id.to_owned();
            } else if line.is_empty() {
                return self.id.clone();
            }
            assert!(line.is_empty() || line == ":" || line.starts_with("id: "), "no heartbeat: {line}");
        }
    }

    /// The next `count` events, each as `action id`, or as its name where it has another.
    pub fn told(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| told(&self.next().expect("an event"))).collect()
    }
}

/// An event in short.
pub fn told(event: &Event) -> String {
    let record = &event.data["record"];
    match event.data["action"].as_str() {
        Some(action) => format!("{action} {}", record["id"].as_str().unwrap_or_default()),
        None => event.name.clone(),
    }
}

/// An open WebSocket.
pub struct WebSocket {
    from: BufReader<Box<dyn Wire>>,
    pub status: u16,
    /// Events that came while an answer was waited for.
    pub events: Vec<serde_json::Value>,
    /// Pings that were answered.
    pub pings: u64,
}

impl WebSocket {
    pub fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> WebSocket {
        WebSocket::open_over((address, None), target, headers)
    }

    /// The same over TLS, where somebody is trusted.
    pub fn open_over(to: (SocketAddr, Option<&Trust>), target: &str, headers: &[(&str, &str)]) -> WebSocket {
        let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let (from, status) = asked(to, target, upgrade, headers);
        WebSocket { from, status, events: Vec::new(), pings: 0 }
    }

    /// Sends a frame.
    pub fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.send_raw(&WebSocket::framed(opcode, payload));
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        let to = self.from.get_mut();
        to.write_all(bytes).and_then(|()| to.flush()).expect("sends");
    }

    /// A frame, masked as a client has to.
    pub fn framed(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | short as u8),
            length @ 126..=65_535 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        let mask = [7, 11, 13, 17];
        bytes.extend(mask);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        bytes
    }

    pub fn send(&mut self, text: &str) {
        self.frame(1, text.as_bytes());
    }

    /// The next frame: its opcode and payload; `None` at the end.
    pub fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.from.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.from.read_exact(&mut length).ok()?;
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.from.read_exact(&mut length).ok()?;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.from.read_exact(&mut payload).ok()?;
        Some((head[0] & 15, payload))
    }

    fn message(&mut self) -> Option<serde_json::Value> {
        loop {
            match self.read()? {
                (1, text) => return Some(serde_json::from_slice(&text).expect("JSON")),
                (9, payload) => {
                    self.pings += 1;
                    self.frame(10, &payload);
                }
                (8, _) => return None,
                _ => {}
            }
        }
    }

    /// Sends a request and reads its answer; events that come before it are kept.
    pub fn ask(&mut self, text: &str) -> serde_json::Value {
        self.send(text);
        let id = serde_json::from_str::<serde_json::Value>(text).map_or(serde_json::Value::Null, |it| it["id"].clone());
        loop {
            let message = self.message().expect("an answer");
            if message.get("status").is_some() && message["id"] == id {
                return message;
            }
            self.events.push(message);
        }
    }

    /// An event that has come before the last answer, if any.
    pub fn next_within_reach(&mut self) -> Option<serde_json::Value> {
        if self.events.is_empty() { None } else { Some(self.events.remove(0)) }
    }

    /// The next event or answer.
    pub fn next(&mut self) -> Option<serde_json::Value> {
        if self.events.is_empty() { self.message() } else { Some(self.events.remove(0)) }
    }

    /// The code and the reason that the server closes with.
    pub fn closed(&mut self) -> (u16, String) {
        loop {
            match self.read() {
                Some((8, payload)) if payload.len() >= 2 => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return (code, String::from_utf8_lossy(&payload[2..]).into_owned());
                }
                Some(_) => {}
                None => return (0, String::new()),
            }
        }
    }
}
