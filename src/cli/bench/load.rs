//! The load of one kind: connections that ask, each one request at a time, until the time is over.
//!
//! In a closed loop a connection asks again when it was answered, so a server that stalls is asked less while it does, and
//! those requests are missing from the percentiles ("coordinated omission"). At a rate each request has its time: who comes
//! late to it, as all connections waited, counts from when it was due.
//!
//! Invariant: a request that was begun is waited for and counted, however late its answer, up to [`ANSWER_TIME`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::latency::Latency;
use super::work::Work;
use crate::outbound::{Line, Peer};

/// Time for one answer, and for a connection.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Pause of a connection that failed, before it is made again.
const PAUSE: Duration = Duration::from_millis(100);
/// Faults that are told apart; further ones are counted together.
const FAULTS_MAX: usize = 10;

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) connections: usize,
    pub(super) duration: Duration,
    /// Requests a second of all connections together; none for a closed loop.
    pub(super) rate: Option<u32>,
}

/// What has come of it so far.
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) latency: Latency,
    pub(super) errors: AtomicU64,
    pub(super) faults: Mutex<BTreeMap<String, u64>>,
    begun: AtomicU64,
    over: AtomicBool,
}

/// Who asks, of whom and what.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) peer: Arc<Peer>,
    pub(super) work: Work,
    pub(super) pace: Pace,
}

impl Sum {
    pub(super) fn new() -> Sum {
        Sum {
            latency: Latency::new(),
            errors: AtomicU64::new(0),
            faults: Mutex::default(),
            begun: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// No request is begun any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn fault(&self, why: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut faults = self.faults.lock();
        let known = faults.len() < FAULTS_MAX || faults.contains_key(&why);
        *faults.entry(if known { why } else { "others".to_owned() }).or_default() += 1;
    }
}

impl Load {
    /// Asks until the time is over; the time until the last answer.
    pub(super) async fn run(self: Arc<Load>, sum: &Arc<Sum>) -> Duration {
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for _ in 0..self.pace.connections {
            asking.spawn(Arc::clone(&self).ask_on(began, sum.clone()));
        }
        while asking.join_next().await.is_some() {}
        began.elapsed()
    }

    async fn ask_on(self: Arc<Load>, began: Instant, sum: Arc<Sum>) {
        let mut line = None;
        while let Some((number, due)) = self.next(began, &sum).await {
            let asked = timeout(ANSWER_TIME, self.ask(&mut line, number)).await;
            match asked.unwrap_or_else(|_| Err(Fault::from("no answer in 30 s".to_owned()))) {
                Ok(()) => sum.latency.put(due.elapsed()),
                Err(Fault { why, broken }) => {
                    sum.fault(why);
                    if broken {
                        line = None;
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    /// The next request's number, and when it counts from.
    async fn next(&self, began: Instant, sum: &Sum) -> Option<(u64, Instant)> {
        let number = sum.begun.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let due = match self.pace.rate {
            None => now,
            Some(rate) => began + Duration::from_secs_f64(number as f64 / f64::from(rate)),
        };
        if due >= began + self.pace.duration || sum.over.load(Ordering::Relaxed) {
            return None;
        }
        if due <= now {
            return Some((number, due));
        }
        sleep_until(due).await;
        // It is the timer that is late here, not the server.
        Some((number, Instant::now()))
    }

    async fn ask(&self, line: &mut Option<Line>, number: u64) -> Result<(), Fault> {
        let open = match line.take().filter(|line: &Line| !line.is_closed()) {
            Some(open) => open,
            None => self.peer.open().await?,
        };
        let open = line.insert(open);
        let request: Request<Full<Bytes>> = self.work.request(&self.peer, number);
        let answer = open.ask(request).await?;
        let status = answer.status();
        // All of the answer is what a client waits for.
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| format!("an answer broke off: {error}"))?;
        if status.is_success() {
            return Ok(());
        }
        let problem: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("it says no more");
        Err(Fault { why: format!("{}: {detail}", status.as_u16()), broken: false })
    }
}

/// A request that failed.
struct Fault {
    why: String,
    /// Whether its connection is of no more use.
    broken: bool,
}

/// What is no answer.
impl From<String> for Fault {
    fn from(why: String) -> Fault {
        Fault { why, broken: true }
    }
}
