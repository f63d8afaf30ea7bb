//! Rows of the base that were read lately: a lookup costs a hash instead of a walk down redb's tree.
//!
//! Invariant: never stale. Each flush has a number, and before what it changes can be seen, the slot of each key in it
//! has that number. A value read when the base was at one flush is the same for a view of another, if the slot of its key
//! was last changed at neither's later than the earlier of the two. So an old view is never given a new value, nor a new
//! one an old value; and what is kept of an old view just misses.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits;

/// How often the base has taken a layer in since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlushNumber(u32);

impl FlushNumber {
    pub(super) fn next(self) -> FlushNumber {
        FlushNumber(self.0 + 1)
    }
}

/// The rows. Shared by the owner of the base and all of its views.
pub(super) struct Warm {
    rows: Cache<Box<[u8]>, Kept, ByBytes, Hashes>,
    /// By the key's hash: the flush that last changed a key of it.
    slots: Box<[AtomicU32]>,
}

#[derive(Clone)]
struct Kept {
    value: Bytes,
    /// The flush of the view it was read from.
    read: FlushNumber,
}

impl Warm {
    /// Room for so many bytes of rows.
    pub(super) fn new(bytes: usize) -> Warm {
        let slots = (bytes / limits::WARM_BYTES_PER_SLOT).next_power_of_two();
        let lifecycle = DefaultLifecycle::default();
        let rows = Cache::with(slots / 4, bytes as u64, ByBytes, Hashes, lifecycle);
        Warm { rows, slots: (0..slots).map(|_| AtomicU32::new(0)).collect() }
    }

    /// A row as a view of that flush has it, if it is known.
    pub(super) fn get(&self, key: &[u8], view: FlushNumber) -> Option<Bytes> {
        let kept = self.rows.get(key)?;
        (self.changed(key) <= kept.read.min(view)).then_some(kept.value)
    }

    /// Keeps what a view of that flush has read, unless it is of the past already.
    pub(super) fn keep(&self, key: &[u8], view: FlushNumber, value: &Bytes) {
        if self.changed(key) <= view {
            self.rows.insert(key.into(), Kept { value: value.clone(), read: view });
        }
    }

    /// Says that a flush changes a key, before any view of that flush is made.
    pub(super) fn change(&self, key: &[u8], flush: FlushNumber) {
        self.slot(key).store(flush.0, Ordering::Release);
    }

    fn changed(&self, key: &[u8]) -> FlushNumber {
        FlushNumber(self.slot(key).load(Ordering::Acquire))
    }

    fn slot(&self, key: &[u8]) -> &AtomicU32 {
        // A power of two, so the mask is within.
        &self.slots[xxh3_64(key) as usize & (self.slots.len() - 1)]
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<[u8]>, Kept> for ByBytes {
    fn weight(&self, key: &Box<[u8]>, kept: &Kept) -> u64 {
        /// Of the cache itself for an entry, about.
        const ENTRY: usize = 96;
        (ENTRY + key.len() + kept.value.len()) as u64
    }
}

#[derive(Clone)]
struct Hashes;

impl BuildHasher for Hashes {
    type Hasher = OneShot;

    fn build_hasher(&self) -> OneShot {
        OneShot(0)
    }
}

/// A hasher for keys that are one slice of bytes: no state to be set up for each.
struct OneShot(u64);

impl Hasher for OneShot {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= xxh3_64(bytes);
    }

    /// The length before a slice's bytes says nothing that those don't.
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\x02 a row";

    fn warm() -> Warm {
        Warm::new(1 << 20)
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_view_is_given_only_what_it_would_read_itself() {
        let warm = warm();
        let old = FlushNumber(3);
        warm.keep(KEY, old, &bytes("old"));
        assert_eq!(warm.get(KEY, old), Some(bytes("old")));
        assert_eq!(warm.get(KEY, FlushNumber(7)), Some(bytes("old")), "nothing changed in between");
        assert_eq!(warm.get(KEY, FlushNumber(2)), Some(bytes("old")), "nor before it");

        let new = FlushNumber(8);
        warm.change(KEY, new);
        assert_eq!(warm.get(KEY, old), None, "what the old view would read is not known to be this");
        assert_eq!(warm.get(KEY, new), None);
        warm.keep(KEY, old, &bytes("old"));
        assert_eq!(warm.get(KEY, new), None, "a late reader of the old view brings nothing back");

        warm.keep(KEY, new, &bytes("new"));
        assert_eq!(warm.get(KEY, new), Some(bytes("new")));
        assert_eq!(warm.get(KEY, old), None, "an old view is never given a new value");
        assert_eq!(warm.get(b"\x02 another", new), None);
    }

    #[test]
    fn rows_take_no_more_than_their_room() {
        let warm = warm();
        let row = Bytes::from(vec![7; 1_000]);
        for n in 0..10_000u32 {
            warm.keep(&n.to_be_bytes(), FlushNumber(1), &row);
        }
        assert!(warm.rows.weight() <= 1 << 20, "{} bytes", warm.rows.weight());
        assert!(warm.rows.len() > 500, "{} rows", warm.rows.len());
    }
}
