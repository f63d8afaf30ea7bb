//! What the core's own threads do by the clock, asked of them now: a round of looking all over, a trim of the log.
//!
//! Each is asked for by a flag, which the thread that does it takes when it comes by; asking twice is asking once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::Core;

/// What is asked for; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Chores(Arc<All>);

#[derive(Debug, Default)]
struct All {
    trim: AtomicBool,
    log: Round,
    tables: Round,
}

/// A round of looking all over, from its begin to its end.
#[derive(Debug, Default)]
pub(super) struct Round(AtomicU8);

impl Round {
    const NONE: u8 = 0;
    const ASKED: u8 = 1;
    const BEGUN: u8 = 2;

    fn ask(&self) {
        self.0.store(Round::ASKED, Ordering::Relaxed);
    }

    /// Whether one is asked for that has not begun; it has by that.
    pub(super) fn begins(&self) -> bool {
        self.0.compare_exchange(Round::ASKED, Round::BEGUN, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether one is asked for and not over.
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) != Round::NONE
    }

    /// The one that has begun is over; one that was asked for since is not.
    pub(super) fn end(&self) {
        let _ = self.0.compare_exchange(Round::BEGUN, Round::NONE, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Chores {
    /// Whether a trim is asked for; it is taken by that.
    pub(super) fn take_trim(&self) -> bool {
        self.0.trim.swap(false, Ordering::Relaxed)
    }

    /// The round over the log's old segments and the snapshot.
    pub(super) fn log(&self) -> &Round {
        &self.0.log
    }

    /// The round over the tables.
    pub(super) fn tables(&self) -> &Round {
        &self.0.tables
    }
}

impl Core {
    /// Has a snapshot taken and the log trimmed to what has to be kept, however little was written since the last one.
    pub fn trim_now(&self) {
        self.chores().0.trim.store(true, Ordering::Relaxed);
    }

    /// Has the tables, the old segments of the log and the snapshot looked all over, a piece after the other.
    pub fn scrub_now(&self) {
        self.chores().0.log.ask();
        self.chores().0.tables.ask();
    }

    /// Whether what was asked for is still under way.
    pub fn has_chores(&self) -> bool {
        let All { trim, log, tables } = &*self.chores().0;
        trim.load(Ordering::Relaxed) || log.is_on() || tables.is_on()
    }
}
