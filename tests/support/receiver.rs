//! Who webhooks are sent to, and what else is asked over HTTP: takes messages over plain sockets, keeps what it was told, and answers well, badly or not at
//! all, as a test has it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A message, as it came.
#[derive(Clone, Debug)]
pub struct Told {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The status that it was answered with; `None` where it was not.
    pub status: Option<u16>,
}

impl Told {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id").expect("a message has an id")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a message is JSON")
    }
}

/// What it does with a message.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// All of an answer but its length.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The same, and the end of the connection in the middle of it.
    Cut(Vec<u8>),
    /// To there.
    Redirect(String),
    /// Nothing, until the sender goes.
    Hang,
    /// The end of the connection.
    Close,
    /// 200, and a gigabyte.
    Flood,
    /// A head without an end, a byte at a time.
    Drip,
}

/// A receiver on a free port of this machine.
pub struct Receiver {
    pub address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    ends: Arc<AtomicBool>,
}

impl Receiver {
    /// One that answers by what it is told.
    pub fn start(reply: impl Fn(&Told) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::start_over(None, reply)
    }

    /// The same over TLS, if it is given what to show.
    pub fn start_over(
        tls: Option<Arc<rustls::ServerConfig>>,
        reply: impl Fn(&Told) -> Reply + Send + Sync + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (told, ends) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::<AtomicBool>::default());
        let reply: Arc<dyn Fn(&Told) -> Reply + Send + Sync> = Arc::new(reply);
        let receiver = Receiver { address, told: told.clone(), ends: ends.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (told, reply, tls) = (told.clone(), reply.clone(), tls.clone());
                std::thread::spawn(move || {
                    // Whoever hangs up has nothing more to say.
                    let _ = stream.set_nodelay(true);
                    let _ = match tls {
                        None => serve(stream, &told, &*reply),
                        Some(tls) => {
                            let session = rustls::ServerConnection::new(tls).expect("a session");
                            serve(rustls::StreamOwned::new(session, stream), &told, &*reply)
                        }
                    };
                });
            }
        });
        receiver
    }

    /// One that takes everything.
    pub fn good() -> Receiver {
        Receiver::start(|_| Reply::Status(200))
    }

    pub fn url(&self) -> String {
        format!("http://{}/in?from=millpond", self.address)
    }

    /// What it was told so far.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().expect("no panic holds it").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: impl Read + Write, told: &Mutex<Vec<Told>>, reply: &dyn Fn(&Told) -> Reply) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(mut message) = read(&mut stream)? {
        let reply = reply(&message);
        let status = match &reply {
            Reply::Status(status) | Reply::Answer(status, ..) => Some(*status),
            Reply::Redirect(_) => Some(307),
            Reply::Flood | Reply::Cut(_) => Some(200),
            Reply::Hang | Reply::Close | Reply::Drip => None,
        };
        message.status = status;
        told.lock().expect("no panic holds it").push(message);
        let out = stream.get_mut();
        match reply {
            Reply::Status(status) => write!(out, "HTTP/1.1 {status} So\r\ncontent-length: 2\r\n\r\nok")?,
            Reply::Answer(status, headers, body) => {
                let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                write!(out, "HTTP/1.1 {status} So\r\n{headers}content-length: {}\r\n\r\n", body.len())?;
                out.write_all(&body)?;
                out.flush()?;
            }
            Reply::Cut(body) => {
                write!(out, "HTTP/1.1 200 So\r\ncontent-length: {}\r\n\r\n", body.len() + 1)?;
                out.write_all(&body)?;
                return out.flush();
            }
            Reply::Redirect(to) => write!(out, "HTTP/1.1 307 So\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")?,
            Reply::Close => return Ok(()),
            Reply::Hang => {
                stream.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            Reply::Flood => {
                write!(out, "HTTP/1.1 200 So\r\ncontent-length: {}\r\n\r\n", 1 << 30)?;
                for _ in 0..1 << 14 {
                    out.write_all(&[b'x'; 1 << 16])?;
                }
            }
            Reply::Drip => {
                write!(out, "HTTP/1.1 200 So\r\nx-drip: ")?;
                loop {
                    out.write_all(b"x")?;
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
    Ok(())
}

fn read(stream: &mut impl BufRead) -> std::io::Result<Option<Told>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut told = Told { method, target, headers, body: Vec::new(), status: None };
    let length = told.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    told.body = vec![0; length];
    stream.read_exact(&mut told.body)?;
    Ok(Some(told))
}
