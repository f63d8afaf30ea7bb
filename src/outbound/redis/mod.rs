//! A Redis that others may do without: values by keys, asked within milliseconds or not at all.
//!
//! Invariants: nobody waits for a connection. One is made beside the requests (`line`) and lent out once it has answered a
//! probe as fast as a request must be; after a fault it is closed, and none is made before a pause is over, which grows with
//! each fault (a circuit breaker whose half-open state costs no request anything). What is asked, what is written and
//! what is read before anybody takes it are bounded; what is over a bound isn't asked, or not written. No error of it is an
//! error of its caller's: it is a miss. A password is in no text that is made here.

mod line;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::Semaphore;

use crate::limits;
use crate::meter::Counter;
use line::{Line, Target};

/// The handle. Dropped, its connection is closed and nothing of it goes on for longer than one write may take.
#[derive(Debug)]
pub struct Redis(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    target: Arc<Target>,
    /// None while it rests, or was not needed yet.
    line: ArcSwapOption<Line>,
    rest: Mutex<Rest>,
    reads: Semaphore,
    writes: Arc<Semaphore>,
    meters: Meters,
}

/// Between two connections.
#[derive(Debug, Default)]
struct Rest {
    /// Since it last went well.
    faults: u32,
    until: Option<Instant>,
    connecting: bool,
}

/// What is counted since the start.
#[derive(Debug, Default)]
pub struct Meters {
    /// Reads that were not answered in time.
    pub late: Counter,
    /// Connections that were given up, and those that could not be made.
    pub faults: Counter,
    /// Reads that were not sent: it rests, or as many are on their way as may be.
    pub skipped: Counter,
    /// Values that were written.
    pub written: Counter,
    /// Those that were not: it rests, too many are on their way, it took too long or would not have them.
    pub dropped: Counter,
}

/// What it says of itself. It may hold more than one server's or one program's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Keys in its database.
    pub entries: u64,
    /// Memory in use.
    pub bytes: u64,
    /// It may use; 0 for no bound.
    pub bytes_max: u64,
}

impl Redis {
    /// The Redis at `redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]`, or `rediss://` for TLS. It is not connected to before it
    /// is first asked.
    ///
    /// # Errors
    /// For people, without the text itself: a password may be in it.
    pub fn new(url: &str) -> Result<Redis, String> {
        let shared = Shared {
            target: Arc::new(Target::new(url)?),
            line: ArcSwapOption::empty(),
            rest: Mutex::default(),
            reads: Semaphore::new(limits::L2_READS_MAX),
            writes: Arc::new(Semaphore::new(limits::L2_WRITES_MAX)),
            meters: Meters::default(),
        };
        Ok(Redis(Arc::new(shared)))
    }

    /// What was counted.
    pub fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.0.line.load().is_some()
    }

    /// Whether it can be asked now. Where it could be connected to, that is begun. Must be called within a runtime.
    pub fn is_ready(&self) -> bool {
        let ready = self.0.line().is_some();
        if !ready {
            self.0.meters.skipped.add(1);
        }
        ready
    }

    /// The values of some keys, in their order; `None` where it can't be asked or does not say within
    /// `limits::L2_READ_TIME`.
    pub async fn read(&self, keys: &[&[u8]]) -> Option<Vec<Option<Bytes>>> {
        let shared = &self.0;
        let skipped = || shared.meters.skipped.add(1);
        let Some((line, _permit)) = shared.line().zip(shared.reads.try_acquire().ok()) else {
            skipped();
            return None;
        };
        let reply = shared.ask(&line, redis::cmd("MGET").arg(keys), limits::L2_READ_TIME).await?;
        let values = values(reply, keys.len());
        if values.is_none() {
            shared.fault(Some(&line), "it answers what was not asked");
        }
        values
    }

    /// Writes a value behind the caller's back, if there is room for that now. Must be called within a runtime.
    pub fn write(&self, key: Box<[u8]>, value: Vec<u8>, keep: Duration) {
        let shared = self.0.clone();
        let (line, permit) = (shared.line.load_full(), shared.writes.clone().try_acquire_owned().ok());
        let Some((line, permit)) = line.zip(permit) else {
            shared.meters.dropped.add(1);
            return;
        };
        tokio::spawn(async move {
            shared.set(&line, &key, &value, keep).await;
            drop(permit);
        });
    }

    /// Writes a value: whether it is known to be written.
    pub async fn set(&self, key: &[u8], value: &[u8], keep: Duration) -> bool {
        match self.0.line() {
            Some(line) => self.0.set(&line, key, value, keep).await,
            None => false,
        }
    }

    /// What it says of itself; `None` where it does not within `limits::L2_SIZE_TIME`.
    pub async fn size(&self) -> Option<Size> {
        let line = self.0.line()?;
        let entries = self.0.ask(&line, &redis::cmd("DBSIZE"), limits::L2_SIZE_TIME).await?;
        let memory = self.0.ask(&line, redis::cmd("INFO").arg("memory"), limits::L2_SIZE_TIME).await?;
        let (Value::Int(entries), Value::BulkString(memory)) = (entries, memory) else { return None };
        let memory = String::from_utf8_lossy(&memory);
        let number = |name: &str| {
            let text = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        let (bytes, bytes_max) = (number("used_memory"), number("maxmemory"));
        Some(Size { entries: u64::try_from(entries).unwrap_or(0), bytes, bytes_max })
    }
}

impl fmt::Display for Redis {
    /// Where it is: neither who is let in nor by what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.target.fmt(f)
    }
}

/// A reply with as many values as keys were asked for, each no longer than any that is written.
fn values(reply: Value, count: usize) -> Option<Vec<Option<Bytes>>> {
    let Value::Array(values) = reply else { return None };
    if values.len() != count {
        return None;
    }
    let one = |value| match value {
        Value::Nil => Some(None),
        Value::BulkString(bytes) if bytes.len() <= limits::L2_VALUE_BYTES_MAX => Some(Some(Bytes::from(bytes))),
        _ => None,
    };
    values.into_iter().map(one).collect()
}

impl Shared {
    /// The connection, if there is one; else one is begun, once the pause is over.
    fn line(self: &Arc<Shared>) -> Option<Arc<Line>> {
        if let Some(line) = self.line.load_full() {
            return Some(line);
        }
        let mut rest = self.rest.lock();
        if !rest.connecting && rest.until.is_none_or(|until| until <= Instant::now()) {
            rest.connecting = true;
            let (mut connecting, target) = (Connecting(Some(Arc::downgrade(self))), self.target.clone());
            tokio::spawn(async move {
                let opening = tokio::time::timeout(limits::L2_CONNECT_TIME, Line::open(&target)).await;
                connecting.ended(opening.unwrap_or_else(|_| Err("it can't be connected to in time".to_owned())));
            });
        }
        None
    }

    fn connected(&self, opened: Result<Line, String>) {
        match opened {
            Ok(line) => {
                let mut rest = self.rest.lock();
                rest.connecting = false;
                if rest.faults > 0 {
                    tracing::info!("the second tier of the cache at {} answers", self.target);
                }
                self.line.store(Some(Arc::new(line)));
            }
            Err(why) => self.fault(None, &why),
        }
    }

    /// Closes a connection, if it is still the one that is lent out, or notes that there is none; then it rests.
    fn fault(&self, line: Option<&Arc<Line>>, why: &str) {
        let mut rest = self.rest.lock();
        match (line, self.line.load_full()) {
            (Some(line), Some(now)) if Arc::ptr_eq(line, &now) => self.line.store(None),
            // Another was the first to say so.
            (Some(_), _) => return,
            (None, _) => rest.connecting = false,
        }
        let went_well = line.is_some_and(|line| line.replies.load(Ordering::Relaxed) >= limits::L2_REPLIES_GOOD);
        rest.faults = if went_well { 1 } else { rest.faults.saturating_add(1) };
        let pause = limits::L2_PAUSE_LEAST.saturating_mul(1 << (rest.faults - 1).min(16)).min(limits::L2_PAUSE_MOST);
        rest.until = Some(Instant::now() + pause);
        self.meters.faults.add(1);
        // One line for each time that it goes, however often it is tried.
        if rest.faults == 1 {
            tracing::warn!("the second tier of the cache at {} is done without: {why}", self.target);
        } else {
            tracing::debug!("the second tier of the cache at {} is done without: {why}", self.target);
        }
    }

    /// The reply to a command that only reads.
    async fn ask(&self, line: &Arc<Line>, command: &Cmd, time: Duration) -> Option<Value> {
        match self.send(line, command, time).await? {
            Value::ServerError(error) => {
                self.fault(Some(line), &format!("it refuses: {}", error.code().escape_debug()));
                None
            }
            reply => Some(reply),
        }
    }

    async fn set(&self, line: &Arc<Line>, key: &[u8], value: &[u8], keep: Duration) -> bool {
        let mut command = redis::cmd("SET");
        // Shorter than any that is.
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        command.arg(key).arg(value).arg("PX").arg(keep_ms);
        // It may have no room, or be another's replica: what it has can be read all the same.
        let written = self.send(line, &command, limits::L2_WRITE_TIME).await == Some(Value::Okay);
        let meters = &self.meters;
        if written { &meters.written } else { &meters.dropped }.add(1);
        written
    }

    /// Any reply; none in time is a fault where it comes to several without one between them.
    async fn send(&self, line: &Arc<Line>, command: &Cmd, time: Duration) -> Option<Value> {
        let mut waiting = Waiting { shared: self, line, answered: false };
        let mut connection = line.connection();
        let began = Instant::now();
        match tokio::time::timeout(time, connection.send_packed_command(command)).await {
            Ok(Ok(reply)) => {
                waiting.answered = true;
                line.answered(began.elapsed() <= limits::L2_READ_TIME);
                Some(reply)
            }
            Ok(Err(error)) => {
                waiting.answered = true;
                self.fault(Some(line), &format!("the connection broke off: {}", error.category()));
                None
            }
            Err(_) => {
                self.meters.late.add(1);
                None
            }
        }
    }
}

/// A connection that is being made; given up with its runtime, it failed.
struct Connecting(Option<Weak<Shared>>);

impl Connecting {
    fn ended(&mut self, opened: Result<Line, String>) {
        if let Some(shared) = self.0.take().and_then(|shared| shared.upgrade()) {
            shared.connected(opened);
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.ended(Err("it was not connected to".to_owned()));
    }
}

/// Someone who waits for a reply. Who goes without one is counted, whether it took too long or the caller was not there any more:
/// what is asked of a Redis that hangs stays in its pipeline.
struct Waiting<'a> {
    shared: &'a Shared,
    line: &'a Arc<Line>,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered && self.line.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= limits::L2_UNANSWERED_MAX {
            self.shared.fault(Some(self.line), "it does not answer in time");
        }
    }
}
