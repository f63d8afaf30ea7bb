//! Change slots: when what an answer depends on last changed, so that a kept answer is known to be today's or is not
//! used. One fixed table of numbers: one for the definitions, some for collections, many for records, by hash.
//!
//! Invariant: never stale. The writer notes an entry's Seq in the slots of all that it changes **before** it publishes
//! the view that holds the entry, and answers only after that. Who keeps something made from a view keeps that view's
//! Seq with it, and uses it only while each slot that it depends on is at most that Seq.
//!
//! Why that is enough. Let something be kept with Seq `s`, be looked at, and be found good; let `v` be the Seq of any view
//! that was published before the look began. If `v ≤ s`, what was kept is at least as new. If `v > s`, take any
//! entry in `(s, v]` that changes what it depends on: its slots were set before `v` was published, slots only grow, and
//! the look came after; so the look would have found a slot over `s`. There is no such entry: a read of `v` gives the
//! same bytes. A write that was answered is in a view published before its answer, so whoever asks after the answer
//! never gets what was before it; and whoever waits for a position, then looks, gets what holds at that position or
//! later. For one given view `v < s` (a list that is made from it) nothing in `(v, s]` may have changed it either: then
//! its slots must be at most `v` as well.
//!
//! Two things that share a slot only cost each other a read. A server starts with all slots at zero: nothing is kept
//! from before its first view.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::id::{CollectionId, RecordId, Seq};
use crate::limits;
use crate::model::change::{Change, Entry};

/// Which number of the table stands for something. The same on every server of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// All definitions: everything depends on them.
    pub const DEFINITIONS: Slot = Slot(0);

    /// The records of a collection, all together.
    pub fn of_collection(id: CollectionId) -> Slot {
        Slot(1 + id.0 % limits::CHANGE_SLOTS_COLLECTIONS)
    }

    /// One record, whether it is there or not.
    pub fn of_record(collection: CollectionId, id: &RecordId) -> Slot {
        let hash = xxh3_64_with_seed(id.as_str().as_bytes(), collection.0.into());
        Slot(Slot::FIRST_RECORD + hash as u32 % limits::CHANGE_SLOTS_RECORDS)
    }

    /// Whether it is of records.
    pub fn is_of_record(self) -> bool {
        self.0 >= Slot::FIRST_RECORD
    }

    const FIRST_RECORD: u32 = 1 + limits::CHANGE_SLOTS_COLLECTIONS;

    /// Which piece and where in it, if it is of records.
    fn of_records(self) -> Option<(usize, usize)> {
        let at = self.0.checked_sub(Slot::FIRST_RECORD)?;
        Some(((at / PIECE) as usize, (at % PIECE) as usize))
    }
}

/// The table. Set by the writer alone.
#[derive(Debug)]
pub struct Slots {
    /// The definitions and the collections.
    few: Box<[AtomicU64]>,
    /// Records, by pieces: one that nothing was written to is all zeros and takes no memory.
    records: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

/// Slots of records in one piece.
const PIECE: u32 = 1 << 12;

fn zeros(number: u32) -> Box<[AtomicU64]> {
    (0..number).map(|_| AtomicU64::new(0)).collect()
}

impl Default for Slots {
    fn default() -> Slots {
        let pieces = limits::CHANGE_SLOTS_RECORDS.div_ceil(PIECE);
        let records = (0..pieces).map(|_| OnceLock::new()).collect();
        Slots { few: zeros(Slot::FIRST_RECORD), records }
    }
}

impl Slots {
    /// Whether what was made at `made` holds for a look that begins now.
    pub fn hold(&self, needs: &[Slot], made: Seq) -> bool {
        needs.iter().all(|slot| self.changed(*slot) <= made)
    }

    /// The last entry that changed something of a slot.
    pub fn changed(&self, slot: Slot) -> Seq {
        let number = match slot.of_records() {
            None => &self.few[slot.0 as usize],
            Some((piece, at)) => match self.records[piece].get() {
                Some(piece) => &piece[at],
                None => return Seq::ZERO,
            },
        };
        Seq(number.load(Ordering::Acquire))
    }

    /// Notes what an entry changes, before a view that holds it is published. The one place that knows what a change
    /// touches.
    pub(super) fn note(&self, entry: &Entry, seq: Seq) {
        for change in &entry.changes {
            match change {
                Change::Created { collection, id, .. }
                | Change::Updated { collection, id, .. }
                | Change::Deleted { collection, id, .. } => {
                    self.set(Slot::of_record(*collection, id), seq);
                    self.set(Slot::of_collection(*collection), seq);
                }
                // Keys that nobody reads any more, or not yet: a new definition says from when on. What is kept for an
                // idempotency key is no read's to see.
                Change::Reclaimed { .. }
                | Change::Backfilled { .. }
                | Change::Unindexed { .. }
                | Change::Rewritten { .. }
                | Change::Progressed { .. }
                | Change::Advanced { .. }
                | Change::Began { .. }
                | Change::Forgotten { .. }
                | Change::Remembered(_) => {}
                // A collection came, changed, was emptied or went. So does anything that is not told apart here: too
                // much is unlearnt rather than too little.
                _ => self.set(Slot::DEFINITIONS, seq),
            }
        }
    }

    fn set(&self, slot: Slot, seq: Seq) {
        let number = match slot.of_records() {
            None => &self.few[slot.0 as usize],
            Some((piece, at)) => &self.records[piece].get_or_init(|| zeros(PIECE))[at],
        };
        number.store(seq.0, Ordering::Release);
    }
}
