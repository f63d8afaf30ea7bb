//! What the core's own threads do by the clock, asked of them now: a round of looking all over, a trim of the log.
//!
//! Each is asked for by a flag, which the thread that does it takes when it comes by; asking twice is asking once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Core;

/// What is asked for; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Chores(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    trim: AtomicBool,
    scrub_log: AtomicBool,
    scrub_tables: AtomicBool,
}

impl Chores {
    /// Whether a trim is asked for; it is taken by that.
    pub(super) fn take_trim(&self) -> bool {
        self.0.trim.swap(false, Ordering::Relaxed)
    }

    /// Whether a round over the log and the snapshot is asked for, and not over.
    pub(super) fn scrubs_log(&self) -> bool {
        self.0.scrub_log.load(Ordering::Relaxed)
    }

    /// That round is over.
    pub(super) fn log_scrubbed(&self) {
        self.0.scrub_log.store(false, Ordering::Relaxed);
    }

    /// Whether a round over the tables is asked for, and not over.
    pub(super) fn scrubs_tables(&self) -> bool {
        self.0.scrub_tables.load(Ordering::Relaxed)
    }

    /// That round is over.
    pub(super) fn tables_scrubbed(&self) {
        self.0.scrub_tables.store(false, Ordering::Relaxed);
    }
}

impl Core {
    /// Has a snapshot taken and the log trimmed to what has to be kept, however little was written since the last one.
    pub fn trim_now(&self) {
        self.chores().0.trim.store(true, Ordering::Relaxed);
    }

    /// Has the tables, the old segments of the log and the snapshot looked all over, a piece after the other.
    pub fn scrub_now(&self) {
        self.chores().0.scrub_log.store(true, Ordering::Relaxed);
        self.chores().0.scrub_tables.store(true, Ordering::Relaxed);
    }

    /// Whether what was asked for is still under way.
    pub fn has_chores(&self) -> bool {
        let Flags { trim, scrub_log, scrub_tables } = &*self.chores().0;
        [trim, scrub_log, scrub_tables].iter().any(|flag| flag.load(Ordering::Relaxed))
    }
}
