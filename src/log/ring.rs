//! What the writer and the readers share: the visible position, the newest entries, the list of segments.
//!
//! Invariants: the ring holds the entries up to the visible one without a gap, or none; it is within its two bounds;
//! the list of segments covers all that is visible and not trimmed. Wake, don't push: waiters learn only that the
//! visible seq moved.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use super::{Logged, Settings};
use crate::disk::Disk;
use crate::id::{Position, Seq};

/// Places remembered where a reader left off in the segments.
const PLACES_MAX: usize = 64;

/// State shared by one writer and its readers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// First seqs of the segments, oldest first; never empty.
    pub(super) segments: RwLock<Vec<Seq>>,
    /// Held while names in the folder change and are synced: a failed sync is told to one caller, and nobody else may
    /// take the names that it was about for durable.
    pub(super) names: Mutex<()>,
    poisoned: AtomicBool,
    places: Mutex<VecDeque<Place>>,
    ring: RwLock<Ring>,
    visible: Mutex<Position>,
    moved: Condvar,
    watch: watch::Sender<Seq>,
}

/// Where the frame of an entry begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) seq: Seq,
    pub(super) segment: Seq,
    pub(super) offset: u64,
}

#[derive(Debug)]
struct Ring {
    entries: VecDeque<Arc<Logged>>,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        settings: &Settings,
        segments: Vec<Seq>,
        last: Position,
    ) -> Arc<Shared> {
        let (entries_max, bytes_max) = (settings.ring_entries, settings.ring_bytes);
        Arc::new(Shared {
            disk,
            dir,
            segments: RwLock::new(segments),
            names: Mutex::default(),
            poisoned: AtomicBool::new(false),
            places: Mutex::default(),
            ring: RwLock::new(Ring { entries: VecDeque::new(), bytes: 0, entries_max, bytes_max }),
            visible: Mutex::new(last),
            moved: Condvar::new(),
            watch: watch::Sender::new(last.seq),
        })
    }

    /// From here on nothing is written, synced or removed.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Makes entries visible, which follow the visible one, and wakes all who wait.
    pub(super) fn publish(&self, entries: impl Iterator<Item = Arc<Logged>>) {
        let (mut last, mut gone) = (None, Vec::new());
        let mut ring = self.ring.write();
        for logged in entries {
            last = Some(logged.position);
            ring.push(logged, &mut gone);
        }
        let Some(last) = last else { return };
        // Under the ring's lock, so that no reader sees a ring that is ahead of the visible position.
        *self.visible.lock() = last;
        drop(ring);
        self.moved.notify_all();
        self.watch.send_replace(last.seq);
        // Taking entries apart takes time: only now, when nobody waits for a lock.
        drop(gone);
    }

    pub(super) fn visible(&self) -> Position {
        *self.visible.lock()
    }

    pub(super) fn wait_past(&self, seq: Seq, timeout: Duration) -> Seq {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(1 << 30));
        let mut visible = self.visible.lock();
        while visible.seq <= seq && !self.moved.wait_until(&mut visible, deadline).timed_out() {}
        visible.seq
    }

    pub(super) fn watch(&self) -> watch::Receiver<Seq> {
        self.watch.subscribe()
    }

    /// Entries after `after` from the ring, to a bound of payload bytes but at least one; `None` when the ring does not
    /// reach back so far.
    pub(super) fn newest(&self, after: Seq, max_bytes: usize) -> Option<Vec<Arc<Logged>>> {
        let ring = self.ring.read();
        let first = ring.entries.front()?.position.seq;
        let skip = usize::try_from(after.next().0.checked_sub(first.0)?).ok()?;
        let mut bytes = 0;
        let wanted = ring.entries.iter().skip(skip).take_while(|logged| {
            let fits = bytes == 0 || bytes + logged.bytes as usize <= max_bytes;
            bytes += logged.bytes as usize;
            fits
        });
        Some(wanted.cloned().collect())
    }

    /// The newest remembered place at or before `seq` in a segment.
    pub(super) fn place(&self, seq: Seq, segment: Seq) -> Option<Place> {
        let places = self.places.lock();
        let fitting = places.iter().filter(|place| place.segment == segment && place.seq <= seq);
        fitting.max_by_key(|place| place.seq).copied()
    }

    /// Remembers where a reader left off; the oldest memory goes.
    pub(super) fn remember(&self, place: Place) {
        let mut places = self.places.lock();
        if places.len() >= PLACES_MAX {
            places.pop_front();
        }
        places.push_back(place);
    }
}

impl Ring {
    fn push(&mut self, logged: Arc<Logged>, evicted: &mut Vec<Arc<Logged>>) {
        self.bytes += logged.bytes as usize;
        self.entries.push_back(logged);
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
            match self.entries.pop_front() {
                Some(gone) => {
                    self.bytes -= gone.bytes as usize;
                    evicted.push(gone);
                }
                None => break,
            }
        }
    }
}
