//! What the core counts while it works, and what it can tell of itself when asked.

use crate::id::Position;
use crate::meter::{Counter, Histogram};

/// Counted by the writer and the applier.
#[derive(Debug)]
pub struct Meters {
    /// Commands that were logged.
    pub committed: Counter,
    /// Commands that were refused.
    pub refused: Counter,
    /// Commands of one group commit.
    pub batch: Histogram,
    /// Writing and syncing one group commit, microseconds.
    pub sync: Histogram,
    /// Bytes of entries that were logged.
    pub logged_bytes: Counter,
    /// Folding one layer into the tables, microseconds.
    pub apply: Histogram,
    /// Making the tables durable, microseconds.
    pub checkpoint: Histogram,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            committed: Counter::default(),
            refused: Counter::default(),
            batch: Histogram::of_numbers(),
            sync: Histogram::of_times(),
            logged_bytes: Counter::default(),
            apply: Histogram::of_times(),
            checkpoint: Histogram::of_times(),
        }
    }
}

/// How the core is at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// The last entry that can be read.
    pub position: Position,
    /// The oldest one that the log still has.
    pub first: Position,
    /// Files of the log, bytes; spare ones too.
    pub log_bytes: u64,
    /// The tables' file, bytes.
    pub base_bytes: u64,
    /// Layers in memory, fresh and frozen, bytes.
    pub layer_bytes: usize,
    /// Commands that wait for the writer.
    pub queued: usize,
    /// The same, bytes.
    pub queued_bytes: usize,
    /// Collections.
    pub collections: usize,
}
