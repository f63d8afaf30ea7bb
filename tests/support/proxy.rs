//! A way between two servers that breaks: it passes bytes on, cuts connections after so many of them, or lets none through.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::rng::Rng;

/// The proxy; its threads end when it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    way: Arc<Way>,
    thread: Option<JoinHandle<()>>,
}

struct Way {
    /// Where it leads; none lets nothing through.
    target: Mutex<Option<SocketAddr>>,
    /// How long bytes are held before they are passed on, ms.
    delay: AtomicU64,
    /// A connection is cut after as many bytes at most; 0 for never.
    cut: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    rng: Mutex<Rng>,
    over: AtomicBool,
}

impl Proxy {
    pub fn start(target: SocketAddr, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let way = Arc::new(Way {
            target: Mutex::new(Some(target)),
            delay: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            open: Mutex::default(),
            rng: Mutex::new(Rng::new(seed)),
            over: AtomicBool::new(false),
        });
        let served = way.clone();
        let thread = std::thread::spawn(move || serve(&listener, &served));
        Proxy { address, way, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads to another place from here on, or nowhere.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        *self.way.target.lock().expect("no panic") = target;
        if target.is_none() {
            self.cut_all();
        }
    }

    /// Cuts each connection somewhere in its first so many bytes; 0 for none.
    pub fn cut_within(&self, bytes: u64) {
        self.way.cut.store(bytes, Ordering::Relaxed);
    }

    /// Holds bytes for so long before it passes them on.
    pub fn delay(&self, time: Duration) {
        self.way.delay.store(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Cuts all that there are.
    pub fn cut_all(&self) {
        for stream in self.way.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.way.over.store(true, Ordering::Relaxed);
        self.cut_all();
        // Wakes the one that waits for connections.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, way: &Arc<Way>) {
    for stream in listener.incoming() {
        if way.over.load(Ordering::Relaxed) {
            return;
        }
        let (Ok(client), Some(target)) = (stream, *way.target.lock().expect("no panic")) else { continue };
        let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) else { continue };
        let cut = match way.cut.load(Ordering::Relaxed) {
            0 => u64::MAX,
            most => 1 + way.rng.lock().expect("no panic").below(most),
        };
        let left = Arc::new(AtomicU64::new(cut));
        let mut open = way.open.lock().expect("no panic");
        open.retain(|stream| stream.peer_addr().is_ok());
        for (from, to) in [(&client, &server), (&server, &client)] {
            let _ = from.set_nodelay(true);
            let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone()) else { continue };
            open.push(kept);
            let (left, way) = (left.clone(), way.clone());
            std::thread::spawn(move || pass(from, to, &left, &way.delay));
        }
    }
}

/// Until one side ends, or what is left to pass is used up: then both are cut, in the middle of whatever it was.
fn pass(mut from: TcpStream, mut to: TcpStream, left: &AtomicU64, delay: &AtomicU64) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        match delay.load(Ordering::Relaxed) {
            0 => {}
            ms => std::thread::sleep(Duration::from_millis(ms)),
        }
        let before =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(read as u64)));
        let may = before.unwrap_or(0).min(read as u64) as usize;
        if to.write_all(&bytes[..may]).is_err() || may < read {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
