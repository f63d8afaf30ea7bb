//! The one consumer loop: entries pulled from the log at one's own position, from the newest in memory or from the
//! segments.
//!
//! ```text
//! let mut consumer = core.consumer(after, Keeps::Log)?;      // open at a position
//! loop {
//!     for logged in consumer.next_batch(bytes)? { … }        // what there is, never waiting for more
//!     consumer.done(through);                                // durable elsewhere: the log may go up to there
//!     consumer.wait(timeout)?;                               // a thread's; `woken` for a task
//! }
//! ```
//!
//! Invariants: entries come in order, each once, without a gap, and only those that a published view holds already; the
//! only thing that is ever told is that there is more, so a slow consumer costs nobody anything. What keeps the log keeps
//! it only within the log's bytes: who falls further behind is told so ([`Ended::Trimmed`]), and by nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Core, Lease};
use crate::error::{Error, Kind};
use crate::id::{Position, Seq};
use crate::log::{self, Logged};

/// How often a thread that waits looks whether it shall end.
const TICK: Duration = Duration::from_millis(100);

/// Whether the log is kept for a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// From behind what it has called [`Consumer::done`] on, as far as the log's bytes allow.
    Log,
    /// As long as for anybody: its reader holds the position, and can begin anew.
    Nothing,
}

/// Why there is nothing more to come. Each is final: the consumer gives the same from then on.
#[derive(Debug)]
pub enum Ended {
    /// The entry behind the position is no longer kept; this is the first that is.
    Trimmed(Seq),
    /// The position is not in this server's history.
    Reset,
    /// The server stops, or its core can't go on.
    Stopping,
    /// The log could not be read.
    Failed(Error),
}

/// Told when consumers have to end; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Ending(Arc<watch::Sender<bool>>);

impl Default for Ending {
    fn default() -> Ending {
        Ending(Arc::new(watch::Sender::new(false)))
    }
}

impl Ending {
    pub(super) fn end(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_told(&self) -> bool {
        *self.0.borrow()
    }
}

/// A reader of the log with a position of its own.
#[derive(Debug)]
pub struct Consumer {
    log: log::Reader,
    ending: Ending,
    /// The last entry that was given.
    at: Seq,
    lease: Option<Lease>,
}

impl Core {
    /// A consumer of what comes after a position.
    ///
    /// # Errors
    /// `Trimmed`, `Reset` or `Stopping`.
    pub fn consumer(&self, after: Position, keeps: Keeps) -> Result<Consumer, Ended> {
        if !self.view().knows(after).map_err(Ended::Failed)? {
            return Err(Ended::Reset);
        }
        // Before it is looked whether the entry is there: what is there then stays.
        let lease = (keeps == Keeps::Log).then(|| self.leases().take(after.seq.next()));
        let consumer = Consumer { log: self.log().clone(), ending: self.ending().clone(), at: after.seq, lease };
        consumer.goes_on()?;
        match consumer.log.first_seq() {
            first if first > after.seq.next() => Err(Ended::Trimmed(first)),
            _ => Ok(consumer),
        }
    }
}

impl Consumer {
    /// The last entry that was given; what follows it comes next.
    pub fn at(&self) -> Seq {
        self.at
    }

    /// The entries that there are, oldest first, up to about `bytes_max` of payload but at least one; none when there are
    /// none yet. It may read the disk, and never waits for an entry.
    ///
    /// # Errors
    /// The consumer has ended.
    pub fn next_batch(&mut self, bytes_max: usize) -> Result<Vec<Arc<Logged>>, Ended> {
        self.goes_on()?;
        match self.log.read_from(self.at, bytes_max) {
            Ok(batch) => {
                self.at = batch.last().map_or(self.at, |last| last.position.seq);
                Ok(batch)
            }
            Err(error) if error.kind() == Kind::Gone => Err(Ended::Trimmed(self.log.first_seq())),
            Err(error) => Err(Ended::Failed(error)),
        }
    }

    /// What lies up to `through` is not needed any more: it has been dealt with, durably if it had to be. An earlier one
    /// than before changes nothing.
    pub fn done(&self, through: Seq) {
        if let Some(lease) = &self.lease {
            lease.advance(through.next());
        }
    }

    /// Waits until there is an entry to give, or for `timeout`; whether there is one. Blocks the thread.
    ///
    /// # Errors
    /// `Stopping`.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Ended> {
        let until = Instant::now() + timeout;
        loop {
            self.goes_on()?;
            let left = until.saturating_duration_since(Instant::now());
            if self.log.wait_past(self.at, left.min(TICK)) > self.at {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Waits until there is an entry to give. Nothing is lost when it is dropped.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn woken(&self) -> Result<(), Ended> {
        let (mut seq, mut ending) = (self.log.watch(), self.ending.0.subscribe());
        self.goes_on()?;
        tokio::select! {
            // Neither sender goes while this is here.
            _ = seq.wait_for(|seq| *seq > self.at) => Ok(()),
            _ = ending.wait_for(|told| *told) => Err(Ended::Stopping),
        }
    }

    fn goes_on(&self) -> Result<(), Ended> {
        if self.ending.is_told() { Err(Ended::Stopping) } else { Ok(()) }
    }
}
