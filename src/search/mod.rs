//! Floor 4, search: which records have the words that somebody looks for, by an index for each collection that asks for
//! one, kept with the log.
//!
//! One thread (`follow`) takes every change of the log into the indexes it is for (`index`, by tantivy, in folders below
//! `search/`), and commits them a moment later, with the position that they hold. One that is missing or no longer right
//! is filled from the state meanwhile (`fill`). A search (`parse`, then `query`) gathers hits from the last commit
//! (`collect`); of records that changed since, and for highlights, the same is asked of their own words (`judge`). How
//! much a hit counts (`score`) follows from the record itself.
//!
//! Invariants: an index is derived: it damages no record, and a fault in it is nobody else's; what a hit is shown for,
//! whether it is there still and whether the caller may see it, is asked of a published view by whoever searches. Nothing
//! here makes a guard.

mod collect;
mod files;
mod fill;
mod follow;
mod index;
mod judge;
mod leaf;
mod mark;
mod parse;
mod query;
mod score;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use tantivy::Searcher;
use tokio::sync::watch;

pub use collect::{Hits, Place};
pub use fill::Progress;
pub use index::Key;
pub use query::Sought;

use crate::core::{Core, Slot, Slots};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, RecordId, Seq};
use crate::limits;
use crate::model::schema::Collection;
use index::{Index, Indexed};

/// The folder of the indexes, in the data folder.
const FOLDER: &str = "search";

/// The handle; its thread ends when it is dropped, or when the core tells its consumers to.
#[derive(Debug)]
pub struct Search {
    core: Core,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and those who search have in common.
#[derive(Debug, Default)]
struct Shared {
    /// What changed when.
    slots: Arc<Slots>,
    /// Where the log was when it started.
    begun: Seq,
    serving: RwLock<BTreeMap<CollectionId, Arc<Serving>>>,
    filling: Mutex<BTreeMap<CollectionId, Arc<Progress>>>,
    /// Those that can't be read.
    damaged: Mutex<BTreeSet<CollectionId>>,
    /// Positions that requests wait for, each with how many.
    waiting: Mutex<BTreeMap<Seq, usize>>,
    /// Told whenever an index came further.
    moved: watch::Sender<u64>,
    followed: AtomicU64,
    counts: Counts,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Counts {
    documents: AtomicU64,
    commits: AtomicU64,
    fillings: AtomicU64,
    failures: AtomicU64,
}

/// What search does and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Indexes that are served.
    pub indexes: usize,
    /// Documents that they hold.
    pub documents: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Changes taken in.
    pub taken: u64,
    /// Commits.
    pub commits: u64,
    /// Indexes filled anew.
    pub fillings: u64,
    /// What failed and was tried again.
    pub failures: u64,
    /// Entries of the log that are not followed yet.
    pub lag: u64,
}

impl Shared {
    /// The first position that somebody waits for.
    fn awaited(&self) -> Option<Seq> {
        self.waiting.lock().first_key_value().map(|(seq, _)| *seq)
    }
}

/// An index that is searched: what it held at its last commit.
#[derive(Debug)]
pub struct Serving {
    index: Index,
    slots: Arc<Slots>,
    /// Where the log was when the server started.
    begun: Seq,
    current: ArcSwap<Searcher>,
    /// The last entry of which it has all.
    reflects: AtomicU64,
}

impl Serving {
    fn new(index: Index, held: Seq, shared: &Shared) -> Result<Serving> {
        let current = ArcSwap::from_pointee(index.searcher()?);
        let (slots, begun) = (shared.slots.clone(), shared.begun);
        Ok(Serving { index, slots, begun, current, reflects: AtomicU64::new(held.0) })
    }

    /// Has what was committed read from now on.
    fn show(&self, held: Seq) -> Result<()> {
        self.current.store(Arc::new(self.index.searcher()?));
        // Behind it: whoever reads this first finds at least that.
        self.reflects.store(held.0, Ordering::Release);
        Ok(())
    }

    /// What it is of.
    pub fn key(&self) -> Key {
        self.index.key
    }

    /// The last entry of which it has all.
    pub fn reflects(&self) -> Seq {
        Seq(self.reflects.load(Ordering::Acquire))
    }

    /// Its last commit, to be searched.
    pub fn read(&self) -> Reading {
        // In this order: what is read has at least that.
        let reflects = self.reflects();
        let (slots, begun) = (self.slots.clone(), self.begun);
        let fields = self.index.fields.clone();
        Reading { key: self.key(), fields, searcher: self.current.load_full(), reflects, slots, begun }
    }
}

/// A commit of an index, while it is searched.
pub struct Reading {
    key: Key,
    fields: Arc<[Indexed]>,
    searcher: Arc<Searcher>,
    reflects: Seq,
    slots: Arc<Slots>,
    begun: Seq,
}

impl Reading {
    /// It has all up to this entry. Of later ones it has some, but none that was not in a view when it was taken.
    pub fn reflects(&self) -> Seq {
        self.reflects
    }

    /// Whether it is of a collection as that is defined and filled.
    pub fn is_of(&self, collection: &Collection) -> bool {
        Key::of(collection) == Some(self.key)
    }

    /// Whether nothing of its collection has changed since, up to a view that was taken before this call.
    pub fn is_current(&self, collection: &Collection) -> bool {
        // A server starts with all slots at zero: one that is behind where it started can't say.
        self.reflects >= self.begun && self.slots.changed(Slot::of_collection(collection.id)) <= self.reflects
    }

    /// A search made ready; `None` where a caller may search in none of the collection's fields.
    ///
    /// # Errors
    /// `Invalid` with code `bad_search`.
    pub fn sought(&self, collection: &Collection, text: &str, sees_hidden: bool) -> Result<Option<Sought>> {
        Sought::new(collection, &self.fields, text, sees_hidden)
    }

    /// All hits.
    ///
    /// # Errors
    /// `Unprocessable` with code `query_too_large`; `Damaged` or the disk's.
    pub fn all(&self, sought: &Sought) -> Result<Hits> {
        Hits::all(&self.searcher, sought)
    }

    /// The best so many behind a place, and how many there are in all, without those of some ids.
    ///
    /// # Errors
    /// `Damaged` or the disk's.
    pub fn best(
        &self,
        sought: &Sought,
        most: usize,
        after: Option<&Place>,
        without: &BTreeSet<RecordId>,
    ) -> Result<Hits> {
        Hits::best(&self.searcher, sought, most, after, without)
    }
}

/// A request that waits, until it is dropped.
struct Waiting<'s>(&'s Shared, Seq);

impl<'s> Waiting<'s> {
    fn new(shared: &'s Shared, seq: Seq) -> Waiting<'s> {
        *shared.waiting.lock().entry(seq).or_default() += 1;
        Waiting(shared, seq)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        if let Some(count) = waiting.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.1);
            }
        }
    }
}

impl Search {
    /// Starts to keep the indexes of a core's collections, in a folder of its own.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn start(core: Core) -> Result<Search> {
        let (slots, begun) = (core.slots().clone(), core.view().position.seq);
        let shared = Arc::new(Shared { slots, begun, ..Shared::default() });
        let folder: PathBuf = core.folder().1.join(FOLDER);
        let follower = follow::Follower::new(core.clone(), shared.clone(), folder);
        let thread = std::thread::Builder::new().name("search".to_owned()).spawn(move || follower.run());
        let thread = thread.map_err(|error| Error::internal("no thread for search").source(error))?;
        Ok(Search { core, shared, thread: Some(thread) })
    }

    /// The index of a collection, with `min` one that has all up to there. Waits for it.
    ///
    /// # Errors
    /// `Unavailable`: `search_building` with how far it is, or `min_seq_not_reached`.
    pub async fn index(&self, collection: &Collection, min: Option<Seq>) -> Result<Arc<Serving>> {
        let _waiting = min.map(|seq| Waiting::new(&self.shared, seq));
        let mut moved = self.shared.moved.subscribe();
        let wait = if min.is_some() { limits::MIN_SEQ_WAIT } else { limits::SEARCH_WAIT };
        let found = async {
            loop {
                moved.mark_unchanged();
                if let Some(serving) = self.served(collection.id)
                    && min.is_none_or(|seq| self.has(&serving, collection, seq))
                {
                    return serving;
                }
                // The sender is here.
                if moved.changed().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        tokio::time::timeout(wait, found).await.map_err(|_| match self.served(collection.id) {
            Some(_) => Error::new(Kind::Unavailable, "the position is not searchable yet").code("min_seq_not_reached"),
            None => self.building(collection.id),
        })
    }

    fn building(&self, collection: CollectionId) -> Error {
        let message = match self.progress(collection) {
            Some((rows, of)) => format!("what is searched here is being made: {rows} of {of} records"),
            None => "what is searched here is being made".to_owned(),
        };
        Error::new(Kind::Unavailable, message).code("search_building")
    }

    fn served(&self, collection: CollectionId) -> Option<Arc<Serving>> {
        self.shared.serving.read().get(&collection).cloned()
    }

    /// Whether an index has all of its collection up to an entry.
    fn has(&self, serving: &Serving, collection: &Collection, seq: Seq) -> bool {
        serving.key().generation == collection.generation && serving.reflects() >= seq
    }

    /// Has an index made anew that can't be read.
    pub fn damaged(&self, collection: CollectionId) {
        self.shared.damaged.lock().insert(collection);
        self.shared.serving.write().remove(&collection);
    }

    /// How far an index is that is being made: rows, of how many.
    pub fn progress(&self, collection: CollectionId) -> Option<(u64, u64)> {
        self.shared.filling.lock().get(&collection).map(|progress| progress.get())
    }

    /// Whether a collection is searched by an index that is all it should be.
    pub fn is_ready(&self, collection: &Collection) -> bool {
        self.served(collection.id).is_some_and(|serving| Key::of(collection) == Some(serving.key()))
    }

    /// What it does and holds.
    pub fn figures(&self) -> Figures {
        let serving: Vec<Arc<Serving>> = self.shared.serving.read().values().cloned().collect();
        let counts = &self.shared.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let position = self.core.view().position.seq.0;
        Figures {
            indexes: serving.len(),
            documents: serving.iter().map(|one| one.current.load().num_docs()).sum(),
            bytes: serving.iter().map(|one| one.index.bytes()).sum(),
            taken: of(&counts.documents),
            commits: of(&counts.commits),
            fillings: of(&counts.fillings),
            failures: of(&counts.failures),
            lag: position.saturating_sub(self.shared.followed.load(Ordering::Acquire)),
        }
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // It holds views of the base, which has to be free of readers at its end.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of search panicked");
        }
    }
}
