//! A real Redis on a port of its own, ended with its owner, which hangs, dies and forgets when it is told to.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = "redis-server";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running one.
pub struct Redis {
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

/// A reply, as far as it is told apart here.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    Number(i64),
    Bytes(Option<Vec<u8>>),
    List(Vec<Reply>),
}

/// Whether this machine has one. In CI it must: there nothing is passed over.
pub fn present() -> bool {
    let there = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "no {PROGRAM}: tests/redis/prepare installs it");
    if !there {
        super::results::note(&format!("not run: no {PROGRAM}"));
    }
    there
}

impl Redis {
    pub fn start() -> Redis {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr();
        Redis::start_at(free.expect("an address"), &[])
    }

    /// At an address that is free, with more options.
    pub fn start_at(address: SocketAddr, options: &[&str]) -> Redis {
        let folder = tempfile::tempdir().expect("a folder");
        let child = Command::new(PROGRAM)
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "no", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"])
            .args(["--enable-debug-command", "yes", "--dir"])
            .arg(folder.path())
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("a Redis");
        let redis = Redis { address, child, _folder: folder };
        let began = Instant::now();
        while redis.ask(&[b"PING"]).is_err() {
            assert!(began.elapsed() < PATIENCE, "the Redis does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// It takes connections and says nothing.
    pub fn hang(&self) {
        self.signal("STOP");
    }

    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Its end, at once. Where it was.
    pub fn kill(mut self) -> SocketAddr {
        self.child.kill().expect("it was there");
        self.child.wait().expect("it ends");
        self.address
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Sends one command.
    pub fn ask(&self, parts: &[&[u8]]) -> io::Result<Reply> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            write!(bytes, "${}\r\n", part.len())?;
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        stream.write_all(&bytes)?;
        reply(&mut BufReader::new(stream))
    }

    /// The keys of answers.
    pub fn answers(&self) -> Vec<Vec<u8>> {
        let Ok(Reply::List(keys)) = self.ask(&[b"KEYS", b"millpond:*:a:*"]) else { panic!("no keys") };
        let key = |reply| match reply {
            Reply::Bytes(Some(key)) => key,
            other => panic!("no key: {other:?}"),
        };
        keys.into_iter().map(key).collect()
    }

    /// Puts another value where an answer is.
    pub fn overwrite(&self, key: &[u8], value: &[u8]) {
        assert_eq!(self.ask(&[b"SET", key, value, b"KEEPTTL"]).expect("a reply"), Reply::Text("OK".to_owned()));
    }

    pub fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.ask(&[b"GET", key]).expect("a reply") {
            Reply::Bytes(value) => value,
            other => panic!("no value: {other:?}"),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
    let number = || rest.parse::<i64>().map_err(io::Error::other);
    Ok(match kind {
        ":" => Reply::Number(number()?),
        "$" if number()? < 0 => Reply::Bytes(None),
        "$" => {
            let mut bytes = vec![0; number()? as usize + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Reply::Bytes(Some(bytes))
        }
        "*" => Reply::List((0..number()?).map(|_| reply(from)).collect::<io::Result<_>>()?),
        _ => Reply::Text(rest.to_owned()),
    })
}
