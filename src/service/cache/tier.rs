//! One tier: values by keys of bytes, bounded by what they take in memory, with its figures.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use xxhash_rust::xxh3::Xxh3Builder;

use crate::limits;

/// What a value takes in memory, bytes.
pub(super) trait Weigh {
    fn bytes(&self) -> usize;
}

/// What a tier holds and how it was used since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Kept now, those that no longer hold among them.
    pub entries: usize,
    /// They take, as estimated.
    pub bytes: u64,
    /// They may take.
    pub bytes_max: u64,
    /// Asked for and found good.
    pub hits: u64,
    /// Made instead.
    pub misses: u64,
}

/// When it is full, those go that were not asked for lately.
#[derive(Debug)]
pub(super) struct Tier<V> {
    kept: Cache<Box<[u8]>, V, ByBytes, Xxh3Builder>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<V: Clone + Weigh> Tier<V> {
    /// Room for so many bytes.
    pub(super) fn new(bytes: usize) -> Tier<V> {
        /// About what an entry takes.
        const ENTRY: usize = 512;
        /// The longest answers that each shard has room for.
        const LONGEST: usize = 8;
        let parallel = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (bytes / (LONGEST * limits::CACHE_ANSWER_BYTES_MAX)).clamp(1, 4 * parallel);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(bytes / ENTRY)
            .weight_capacity(bytes as u64)
            .shards(shards)
            .build()
            .expect("a number of entries and a weight are all that it needs");
        let kept = Cache::with_options(options, ByBytes, Xxh3Builder::default(), DefaultLifecycle::default());
        Tier { kept, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<V> {
        self.kept.get(key)
    }

    pub(super) fn put(&self, key: Box<[u8]>, value: V) {
        self.kept.insert(key, value);
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops those of which `goes` holds; how many.
    pub(super) fn drop_where(&self, goes: impl Fn(&[u8], &V) -> bool) -> usize {
        let dropped = AtomicU64::new(0);
        self.kept.retain(|key, value| {
            let goes = goes(key, value);
            dropped.fetch_add(goes.into(), Ordering::Relaxed);
            !goes
        });
        dropped.into_inner() as usize
    }

    pub(super) fn figures(&self) -> Figures {
        let (hits, misses) = (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed));
        Figures { entries: self.kept.len(), bytes: self.kept.weight(), bytes_max: self.kept.capacity(), hits, misses }
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl<V: Weigh> Weighter<Box<[u8]>, V> for ByBytes {
    fn weight(&self, key: &Box<[u8]>, value: &V) -> u64 {
        /// Of the cache itself for an entry, about.
        const ENTRY: usize = 96;
        (ENTRY + key.len() + size_of::<V>() + value.bytes()) as u64
    }
}
