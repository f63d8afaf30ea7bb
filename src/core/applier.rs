//! The applier: folds frozen layers into the base, sorted, and makes the base durable at checkpoints.
//!
//! Invariant: the only place that writes to redb once the server runs. What it has not made durable is in the log; a
//! crash loses nothing and an error here ends the process, whose next start replays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::chores::Chores;
use super::compaction::{Followed, Growth};
use super::names::Names;
use super::pace::Pace;
use super::{Meters, Settings};
use crate::disk::Disk;
use crate::error::{Kind, Result};
use crate::id::Seq;
use crate::limits;
use crate::state::{Applied, Base, BaseView, Layer, ScrubPlace};

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
    /// Whether it has taken in the layer that the writer froze last; not when it has only moved to another file.
    pub folded: bool,
}

/// The last entry that a crash can't take from the base, as others see it, and whether it has to stay so; clones are the
/// same.
#[derive(Clone, Debug)]
pub(super) struct Durable(Arc<Held>);

#[derive(Debug)]
struct Held {
    seq: AtomicU64,
    held: AtomicBool,
}

impl Durable {
    fn new(seq: Seq) -> Durable {
        Durable(Arc::new(Held { seq: AtomicU64::new(seq.0), held: AtomicBool::new(false) }))
    }

    pub(super) fn set(&self, seq: Seq) {
        self.0.seq.store(seq.0, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> Seq {
        Seq(self.0.seq.load(Ordering::SeqCst))
    }

    /// While it is held nothing more is made durable, not even by a clean end: the log has it all, and may have to be cut.
    pub(super) fn hold(&self, held: bool) {
        self.0.held.store(held, Ordering::SeqCst);
    }

    pub(super) fn is_held(&self) -> bool {
        self.0.held.load(Ordering::SeqCst)
    }
}

/// Owner of the base.
#[derive(Debug)]
pub struct Applier {
    pub(super) base: Base,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) names: Names,
    pub(super) cache_bytes: usize,
    pub(super) applied: Seq,
    pub(super) durable: Durable,
    pub(super) log_bytes: u64,
    /// Of log, after which a checkpoint is due: the log can't be trimmed before it.
    checkpoint_bytes: u64,
    since: Instant,
    pub(super) growth: Growth,
    /// A smaller file that is being filled, to be moved to.
    pub(super) copy: Option<Followed>,
    pub(super) scrub: ScrubPlace,
    chores: Chores,
    pace: Pace,
    meters: Arc<Meters>,
}

impl Applier {
    /// Takes a base whose last durable commit is at `durable`, and which holds everything up to `applied`.
    pub fn new(
        base: Base,
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: &Settings,
        durable: Seq,
        applied: Seq,
    ) -> Applier {
        Applier {
            base,
            disk,
            dir: dir.to_owned(),
            names: Names::default(),
            cache_bytes: settings.cache_bytes,
            applied,
            durable: Durable::new(durable),
            log_bytes: 0,
            checkpoint_bytes: settings.keep.checkpoint_log_bytes(),
            since: Instant::now(),
            growth: Growth::new(settings.compact),
            copy: None,
            scrub: ScrubPlace::default(),
            chores: Chores::default(),
            pace: Pace::new(settings.scrub),
            meters: Arc::default(),
        }
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
        if self.applied == self.durable() {
            self.since = Instant::now();
        }
        let began = Instant::now();
        self.base.apply(&flush.layer, flush.applied)?;
        self.base.write_back()?;
        self.meters.apply.put_time(began.elapsed());
        self.applied = flush.applied.position.seq;
        self.log_bytes += flush.log_bytes;
        self.growth.applied(flush.log_bytes);
        if let Some(copy) = &self.copy {
            copy.add(&flush.layer, flush.applied);
        }
        Ok(Flushed { base: self.base.view(), applied: self.applied, folded: true })
    }

    /// Whether enough was applied, or long enough ago, to make it durable.
    pub fn checkpoint_due(&self) -> bool {
        self.applied > self.durable()
            && !self.durable.is_held()
            && (self.log_bytes >= self.checkpoint_bytes
                || self.base.dirty_bytes() >= limits::CHECKPOINT_DIRTY_BYTES
                || self.since.elapsed() >= limits::CHECKPOINT_AGE)
    }

    /// Makes all that was applied durable; a restart replays from there.
    ///
    /// # Errors
    /// The base's. It may not be written to any more.
    pub fn checkpoint(&mut self) -> Result<()> {
        if self.applied == self.durable() {
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
        self.durable.set(self.applied);
        self.log_bytes = 0;
        Ok(())
    }

    /// Verifies what is due of the base. What is found is as if a reader had met it.
    pub fn scrub_due(&mut self) {
        if self.chores.tables().begins() {
            self.scrub = ScrubPlace::default();
        }
        if self.chores.tables().is_on() {
            if self.scrub(limits::SCRUB_STEP_BYTES_MAX as usize) {
                self.chores.tables().end();
            }
            return;
        }
        // Once as it lies and once by its keys.
        let all = 2 * self.base.file_bytes();
        let (least, most) = (limits::SCRUB_STEP_BYTES_MIN, limits::SCRUB_STEP_BYTES_MAX);
        if let Some(bytes) = self.pace.due(all, least, most, Instant::now()) {
            self.scrub(bytes as usize);
        }
    }

    /// Verifies the next bytes of the base; whether that was the end of a round.
    pub fn scrub(&mut self, bytes: usize) -> bool {
        self.base.scrub(&mut self.scrub, bytes).unwrap_or_else(|error| {
            tracing::error!(%error, "looking the tables over");
            // Behind what can't be read there may be nothing to be read.
            self.scrub = ScrubPlace::default();
            true
        })
    }

    /// The last entry that a crash can't take from the base.
    pub fn durable(&self) -> Seq {
        self.durable.get()
    }

    /// The same, to be asked from another thread.
    pub(super) fn durable_mark(&self) -> Durable {
        self.durable.clone()
    }

    /// What it and the keeper are asked to do.
    pub(super) fn chores(&self) -> Chores {
        self.chores.clone()
    }

    /// Gives names in the data folder.
    pub(super) fn names(&self) -> Names {
        self.names.clone()
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

    /// Closes the base; after a failure (`clean` false), or where it is held, without letting redb write anything more.
    ///
    /// # Errors
    /// The base's.
    pub fn close(self, clean: bool) -> Result<()> {
        let Applier { base, disk, dir, durable, .. } = self;
        let damaged = base.is_damaged();
        let ended = base.close(clean && !damaged && !durable.is_held());
        if damaged || ended.as_ref().is_err_and(|error| error.kind() == Kind::Damaged) {
            Base::set_aside(&*disk, &dir)?;
        }
        ended
    }
}
