//! The load generator: connections that each send, wait for the answer, and send again, all on one thread.
//!
//! It shares the machine with what it measures, so it has to be cheap: requests are patched templates, an answer is
//! read as far as its status and length. A closed loop hides queueing, but it is the same loop for both sides of a
//! ratio. Invariant: a run with any answer but the expected one is an error, never a number.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::Outcome;
use crate::answer::{self, Answer};
use crate::histogram::Histogram;
use crate::template::Template;

/// Time beyond the plan's own after which a run is given up.
const GRACE: Duration = Duration::from_secs(30);

/// How an answer is recognised.
#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    /// HTTP/1.1, and the status that every answer must have.
    Http(u16),
    /// Redis: every answer must be `+OK`.
    Redis,
}

/// One run.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) request: Rc<Template>,
    pub(crate) connections: usize,
    /// No request begins after this time.
    pub(crate) time: Duration,
    /// No more requests than this.
    pub(crate) requests: u64,
    /// Number of the first request; the others follow it.
    pub(crate) first: u64,
}

/// What a run saw.
pub(crate) struct Measured {
    pub(crate) answered: u64,
    pub(crate) seconds: f64,
    pub(crate) latency: Histogram,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

/// What the connections share.
struct Run {
    next: u64,
    end: u64,
    deadline: Instant,
    latency: Histogram,
}

impl Run {
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.next >= self.end || now >= self.deadline {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// Runs `plan` to its end.
pub(crate) fn run(plan: &Plan) -> Outcome<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut streams = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            let stream = TcpStream::connect(plan.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let began = Instant::now();
        let run = Rc::new(RefCell::new(Run {
            next: plan.first,
            end: plan.first.saturating_add(plan.requests),
            deadline: began + plan.time,
            latency: Histogram::default(),
        }));
        let mut loops = JoinSet::new();
        for stream in streams {
            loops.spawn_local(drive(stream, plan.protocol, Rc::clone(&plan.request), Rc::clone(&run)));
        }
        let ended = async {
            while let Some(ended) = loops.join_next().await {
                ended??;
            }
            Outcome::Ok(())
        };
        tokio::time::timeout(plan.time.saturating_add(GRACE), ended).await.map_err(|_| "no answers any more")??;
        let seconds = began.elapsed().as_secs_f64();
        let latency = std::mem::take(&mut run.borrow_mut().latency);
        Ok(Measured { answered: latency.count(), seconds, latency })
    })
}

async fn drive(mut stream: TcpStream, protocol: Protocol, request: Rc<Template>, run: Rc<RefCell<Run>>) -> Outcome<()> {
    let mut out = Vec::with_capacity(request.len());
    let mut buffer = vec![0; 16 << 10];
    let mut began = Instant::now();
    loop {
        let Some(n) = run.borrow_mut().take(began) else { return Ok(()) };
        request.write(n, &mut out);
        stream.write_all(&out).await?;
        read(&mut stream, protocol, &mut buffer).await?;
        let ended = Instant::now();
        run.borrow_mut().latency.record(ended - began);
        began = ended;
    }
}

/// Reads one whole answer and holds it against what is expected.
async fn read(stream: &mut TcpStream, protocol: Protocol, buffer: &mut Vec<u8>) -> Outcome<()> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let got = stream.read(&mut buffer[filled..]).await?;
        if got == 0 {
            return Err("the server closed a connection".into());
        }
        filled += got;
        let seen = &buffer[..filled];
        let whole = match protocol {
            Protocol::Redis => seen.ends_with(b"\r\n").then_some(seen == b"+OK\r\n"),
            Protocol::Http(wanted) => answer::parse(seen)?.map(|Answer { status, .. }| status == wanted),
        };
        match whole {
            Some(true) => return Ok(()),
            Some(false) => return Err(format!("unexpected: {}", String::from_utf8_lossy(seen)).into()),
            None => {}
        }
    }
}
