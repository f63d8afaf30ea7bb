//! A small blocking HTTP/1.1 client over a plain socket, or TLS: it sends what it is told, byte for byte, and hides nothing of
//! the answer, as a library would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;

use super::wire::{self, Trust, Wire};

/// One kept-alive connection; opened anew when the server has closed it.
pub struct Client {
    address: SocketAddr,
    trust: Option<Trust>,
    connection: Option<BufReader<Box<dyn Wire>>>,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client { address, trust: None, connection: None }
    }

    /// One that speaks TLS.
    pub fn over(address: SocketAddr, trust: &Trust) -> Client {
        Client { address, trust: Some(trust.clone()), connection: None }
    }

    /// Sends a request with the headers given, and `Content-Length` where there is a body, and reads the answer.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            write!(bytes, "host: {}\r\n", self.address)?;
        }
        for (name, value) in headers {
            write!(bytes, "{name}: {value}\r\n")?;
        }
        if let Some(body) = body {
            write!(bytes, "content-length: {}\r\n", body.len())?;
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body.unwrap_or_default());
        self.exchange(&bytes, method == "HEAD")
    }

    /// Reads the head of an answer and hangs up: of one that may have no end.
    pub fn head_of(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        let mut client = Client { address: self.address, trust: self.trust.clone(), connection: None };
        client.exchange(bytes.as_bytes(), true)
    }

    /// A request without a body.
    pub fn get(&mut self, target: &str) -> io::Result<Answer> {
        self.request("GET", target, &[], None)
    }

    /// A request with a JSON body.
    pub fn json(&mut self, method: &str, target: &str, body: &str) -> io::Result<Answer> {
        self.request(method, target, &[("content-type", "application/json")], Some(body.as_bytes()))
    }

    /// Sends bytes as they are and reads one answer. A connection that was kept and turns out to be closed is opened
    /// anew once, as long as nothing of an answer has come.
    pub fn exchange(&mut self, bytes: &[u8], head_only: bool) -> io::Result<Answer> {
        if let Some(mut kept) = self.connection.take()
            && kept.get_mut().write_all(bytes).and_then(|()| kept.get_mut().flush()).is_ok()
            && let Ok(false) = kept.fill_buf().map(<[u8]>::is_empty)
        {
            return self.finish(kept, head_only);
        }
        let mut fresh = BufReader::new(wire::connect(self.address, self.trust.as_ref())?);
        // A server that refuses a body may close before all of it is sent: its answer is there all the same.
        let sent = fresh.get_mut().write_all(bytes).and_then(|()| fresh.get_mut().flush());
        match self.finish(fresh, head_only) {
            Ok(answer) => Ok(answer),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    fn finish(&mut self, mut connection: BufReader<Box<dyn Wire>>, head_only: bool) -> io::Result<Answer> {
        let mut answer = read_answer(&mut connection, head_only)?;
        // "Go on" and its like come before the answer.
        while answer.status < 200 {
            answer = read_answer(&mut connection, head_only)?;
        }
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

fn read_answer(from: &mut impl BufRead, head_only: bool) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP answer: {what}"));
    let status_line = read_line(from)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| broken(&status_line))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if head_only || matches!(status, 100..=199 | 204 | 304) {
        return Ok(answer);
    }
    if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().map_err(|_| broken("content-length"))?;
        answer.body = vec![0; length];
        from.read_exact(&mut answer.body)?;
    } else if answer.header("transfer-encoding") == Some("chunked") {
        read_chunks(from, &mut answer.body)?;
    } else {
        from.read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(from)?;
        let size = u64::from_str_radix(&line, 16).map_err(|_| io::Error::other(format!("no chunk size: {line}")))?;
        from.take(size).read_to_end(body)?;
        read_line(from)?;
        if size == 0 {
            return Ok(());
        }
    }
}

impl Answer {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON; null where there is none.
    pub fn json_or_null(&self) -> serde_json::Value {
        if self.body.is_empty() { serde_json::Value::Null } else { self.json() }
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
