//! The applier: folds frozen layers into the base, sorted, and makes the base durable at checkpoints.
//!
//! Invariant: the only place that writes to redb once the server runs. What it has not made durable is in the log; a
//! crash loses nothing and an error here ends the process, whose next start replays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Meters;
use crate::disk::Disk;
use crate::error::{Kind, Result};
use crate::id::Seq;
use crate::limits;
use crate::state::{Applied, Base, BaseView, Layer};

/// A frozen layer on its way to the base.
#[derive(Debug)]
pub struct Flush {
    /// What to fold in.
    pub layer: Arc<Layer>,
    /// The last entry that is in it.
    pub applied: Applied,
    /// Bytes of log that it came from.
    pub log_bytes: u64,
}

/// A base that has taken a layer in.
#[derive(Debug)]
pub struct Flushed {
    /// The new base to read.
    pub base: Arc<BaseView>,
    /// Up to where.
    pub applied: Seq,
}

/// Owner of the base.
#[derive(Debug)]
pub struct Applier {
    base: Base,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    applied: Seq,
    durable: Seq,
    log_bytes: u64,
    since: Instant,
    meters: Arc<Meters>,
}

impl Applier {
    /// Takes a base whose last durable commit is at `durable`, and which holds everything up to `applied`.
    pub fn new(base: Base, disk: Arc<dyn Disk>, dir: &Path, durable: Seq, applied: Seq) -> Applier {
        let (since, meters) = (Instant::now(), Arc::default());
        Applier { base, disk, dir: dir.to_owned(), applied, durable, log_bytes: 0, since, meters }
    }

    /// Counts into those of the writer.
    pub(super) fn count_into(&mut self, meters: Arc<Meters>) {
        self.meters = meters;
    }

    /// Folds one layer in. It can be read from the answer on, and is durable after the next checkpoint.
    ///
    /// # Errors
    /// The base's. It may not be written to any more.
    pub fn apply(&mut self, flush: &Flush) -> Result<Flushed> {
        debug_assert!(flush.applied.position.seq >= self.applied, "layers are applied in order");
        if self.applied == self.durable {
            self.since = Instant::now();
        }
        let began = Instant::now();
        self.base.apply(&flush.layer, flush.applied)?;
        self.base.write_back()?;
        self.meters.apply.put_time(began.elapsed());
        self.applied = flush.applied.position.seq;
        self.log_bytes += flush.log_bytes;
        Ok(Flushed { base: self.base.view(), applied: self.applied })
    }

    /// Whether enough was applied, or long enough ago, to make it durable.
    pub fn checkpoint_due(&self) -> bool {
        self.applied > self.durable
            && (self.log_bytes >= limits::CHECKPOINT_LOG_BYTES
                || self.base.dirty_bytes() >= limits::CHECKPOINT_DIRTY_BYTES
                || self.since.elapsed() >= limits::CHECKPOINT_AGE)
    }

    /// Makes all that was applied durable; a restart replays from there.
    ///
    /// # Errors
    /// The base's. It may not be written to any more.
    pub fn checkpoint(&mut self) -> Result<()> {
        if self.applied == self.durable {
            return Ok(());
        }
        let began = Instant::now();
        let dirty = self.base.dirty_bytes();
        self.base.checkpoint()?;
        self.meters.checkpoint.put_time(began.elapsed());
        tracing::debug!(
            seq = self.applied.0,
            dirty,
            log_bytes = self.log_bytes,
            ms = began.elapsed().as_millis() as u64,
            "checkpoint"
        );
        self.durable = self.applied;
        self.log_bytes = 0;
        Ok(())
    }

    /// The last entry that a crash can't take from the base.
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// Whether a read has met a block that is not what was written.
    pub fn is_damaged(&self) -> bool {
        self.base.is_damaged()
    }

    /// Sets the base's file aside: the next start builds a new one from the log.
    ///
    /// # Errors
    /// The disk's.
    pub fn quarantine(&self) -> Result<()> {
        Base::set_aside(&*self.disk, &self.dir)
    }

    /// Closes the base; after a failure (`clean` false) without letting redb write anything more.
    ///
    /// # Errors
    /// The base's.
    pub fn close(self, clean: bool) -> Result<()> {
        let Applier { base, disk, dir, .. } = self;
        let damaged = base.is_damaged();
        let ended = base.close(clean && !damaged);
        if damaged || ended.as_ref().is_err_and(|error| error.kind() == Kind::Damaged) {
            Base::set_aside(&*disk, &dir)?;
        }
        ended
    }
}
