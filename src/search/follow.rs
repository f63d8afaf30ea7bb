//! The thread that follows the log and keeps every index with it.
//!
//! An index is written as its collection changes, and committed a moment later, or at once where a request waits for it.
//! One that is missing, damaged, behind what the log has, or of another definition is filled anew (`fill`), one at a time;
//! what there was serves until then.
//!
//! Invariants: an entry is taken into an index once, or, up to its `settled`, so that it may be taken again; what fails
//! in an index stays in it: the thread goes on, and tries that again later from its last commit.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::fill::{Filled, Filling};
use super::index::{Held, Index, Key, Writer};
use super::{Serving, Shared};
use crate::core::{Changed, Consumer, Core, Ended, Keeps, Lease, RecordChange, What, changes};
use crate::error::Result;
use crate::id::{CollectionId, Position, Seq};
use crate::limits;
use crate::log::Logged;
use crate::time::Clock;

/// How often it looks at what else there is to do while nothing comes.
const TICK: Duration = Duration::from_millis(100);
/// The same while somebody may be waiting for what it does.
const SHORT_TICK: Duration = Duration::from_millis(5);

/// The thread's own.
pub(super) struct Follower {
    core: Core,
    shared: Arc<Shared>,
    folder: PathBuf,
    lives: BTreeMap<CollectionId, Live>,
    filling: Option<Filling>,
    /// Whether definitions may have moved since the indexes were compared with them.
    touched: bool,
    /// Folders that are to go: a merge that ends may still put something there.
    gone: Vec<PathBuf>,
    /// When what failed is tried again.
    retry: Option<Instant>,
}

/// An index that is kept with the log.
struct Live {
    serving: Arc<Serving>,
    writer: Option<Writer>,
    /// When it was last written to.
    used: Instant,
    /// Of its last commit.
    held: Held,
    /// The last entry that was taken into it.
    at: Position,
    /// Since when there is something to commit.
    dirty: Option<Instant>,
    /// The log no longer has what comes next.
    outdated: bool,
    /// Until it is followed, the log is kept for it.
    lease: Option<Lease>,
}

impl Follower {
    pub(super) fn new(core: Core, shared: Arc<Shared>, folder: PathBuf) -> Follower {
        Follower {
            core,
            shared,
            folder,
            lives: BTreeMap::new(),
            filling: None,
            touched: true,
            gone: Vec::new(),
            retry: None,
        }
    }

    pub(super) fn run(mut self) {
        self.open_known();
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.follow())) {
                Ok(Ended::Stopping) => break,
                Ok(ended) => tracing::warn!(?ended, "search begins anew to follow the log"),
                Err(_) => tracing::error!("the thread of search panicked: it begins anew from its last commits"),
            }
            self.shared.counts.failures.fetch_add(1, Ordering::Relaxed);
            // A writer that failed is of no more use; what it had not committed is taken from the log again.
            for live in self.lives.values_mut() {
                (live.writer, live.dirty) = (None, None);
                // What failed may have come as far as its files.
                match live.serving.index.held() {
                    Ok(held) => (live.held, live.at) = (held, held.position),
                    Err(error) => {
                        tracing::error!("a search index is made anew: {error}");
                        self.shared.damaged.lock().insert(live.serving.index.key.collection);
                    }
                }
            }
            if self.pause() {
                break;
            }
        }
        self.filling = None;
        for live in self.lives.values_mut().filter(|live| live.dirty.is_some()) {
            if let Err(error) = live.commit(&self.shared) {
                tracing::warn!("a search index is not committed at the end: {error}");
            }
        }
    }

    /// Waits before something is tried again; whether it is to end instead.
    fn pause(&self) -> bool {
        let until = Instant::now() + limits::SEARCH_RETRY_PAUSE;
        while Instant::now() < until {
            let ends = matches!(self.core.consumer(self.core.view().position, Keeps::Nothing), Err(Ended::Stopping));
            if ends || self.is_over() {
                return true;
            }
            std::thread::sleep(TICK);
        }
        false
    }

    fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire)
    }

    /// Opens what is whole of the indexes that are wanted, and removes the others.
    fn open_known(&mut self) {
        let folders = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut folders: Vec<String> = folders.filter_map(|folder| folder.file_name().into_string().ok()).collect();
        folders.sort();
        let view = self.core.view();
        for collection in view.schema.iter() {
            let Some(key) = Key::of(collection) else { continue };
            let begin = key.folder();
            // The one that was made last is the better one.
            for name in folders.iter().rev().filter(|name| name.starts_with(&begin)) {
                match Index::open(collection, key, &self.folder.join(name)) {
                    // It has what is no part of this history any more, whatever came behind.
                    Ok((_, held)) if !view.knows(held.position).unwrap_or(false) => {}
                    Ok((index, held)) => {
                        self.put(index, held, None);
                        break;
                    }
                    Err(error) => tracing::warn!("a search index of {} is made anew: {error}", collection.name),
                }
            }
        }
        drop(view);
        for name in folders {
            let folder = self.folder.join(name);
            if !self.lives.values().any(|live| live.serving.index.folder == folder) {
                self.gone.push(folder);
            }
        }
    }

    /// Puts an index in the place of the one before.
    fn put(&mut self, index: Index, held: Held, lease: Option<Lease>) {
        let collection = index.key.collection;
        let serving = match Serving::new(index, held.position.seq, &self.shared) {
            Ok(serving) => Arc::new(serving),
            Err(error) => return tracing::error!("a search index can't be read: {error}"),
        };
        self.shared.serving.write().insert(collection, serving.clone());
        let live = Live {
            serving,
            writer: None,
            used: Instant::now(),
            held,
            at: held.position,
            dirty: None,
            outdated: false,
            lease,
        };
        let before = self.lives.insert(collection, live);
        self.forget(before);
    }

    fn forget(&mut self, live: Option<Live>) {
        if let Some(live) = live {
            let folder = live.serving.index.folder.clone();
            drop(live);
            // Whoever reads it still has its files.
            self.gone.push(folder);
        }
    }

    /// Follows the log until it can't go on.
    fn follow(&mut self) -> Ended {
        let mut consumer: Option<Consumer> = None;
        loop {
            if self.is_over() {
                return Ended::Stopping;
            }
            let taken = self.take_filled();
            let damaged = !self.shared.damaged.lock().is_empty();
            if std::mem::take(&mut self.touched) || damaged || self.retry.is_some_and(|at| Instant::now() >= at) {
                self.reconcile();
            }
            let following = match consumer.take().filter(|_| !taken) {
                Some(following) => following,
                None => match self.consumer() {
                    Ok(following) => following,
                    Err(ended) => return ended,
                },
            };
            let following = consumer.insert(following);
            if let Err(ended) = self.step(following) {
                return ended;
            }
        }
    }

    /// A consumer of what the index that is furthest behind lacks.
    fn consumer(&mut self) -> std::result::Result<Consumer, Ended> {
        let mut first = self.core.log().position();
        for live in self.lives.values_mut().filter(|live| !live.outdated) {
            match self.core.consumer(live.at, Keeps::Nothing) {
                Ok(_) => first.seq = first.seq.min(live.at.seq),
                Err(Ended::Trimmed(_) | Ended::Reset) => {
                    live.outdated = true;
                    self.touched = true;
                }
                Err(ended) => return Err(ended),
            }
        }
        let consumer = self.core.consumer(first, Keeps::Nothing)?;
        self.lives.values_mut().for_each(|live| live.lease = None);
        Ok(consumer)
    }

    fn step(&mut self, consumer: &mut Consumer) -> std::result::Result<(), Ended> {
        let busy = self.filling.is_some() || self.lives.values().any(|live| live.dirty.is_some());
        let more = consumer.wait(if busy { SHORT_TICK } else { TICK })?;
        let taken = if more { consumer.next_batch(limits::SEARCH_BATCH_BYTES)? } else { Vec::new() };
        for logged in &taken {
            self.take(logged).map_err(Ended::Failed)?;
        }
        let now = Instant::now();
        let awaited = self.shared.awaited();
        let mut moved = !taken.is_empty();
        for live in self.lives.values_mut() {
            let Some(since) = live.dirty else { continue };
            let is_awaited = awaited.is_some_and(|seq| live.at.seq >= seq);
            if is_awaited || now.duration_since(since) >= limits::SEARCH_COMMIT_PAUSE {
                live.commit(&self.shared).map_err(Ended::Failed)?;
                moved = true;
            }
        }
        self.tidy().map_err(Ended::Failed)?;
        for live in self.lives.values().filter(|live| live.dirty.is_none() && !live.outdated) {
            moved |= live.serving.reflects.swap(live.at.seq.0, Ordering::AcqRel) != live.at.seq.0;
        }
        if moved {
            self.shared.followed.store(consumer.at().0, Ordering::Release);
            self.shared.moved.send_modify(|moves| *moves += 1);
        }
        // To be woken for each of many single commits would cost their writers more than it brings whoever searches.
        if !taken.is_empty() && awaited.is_none() && !consumer.wait(Duration::ZERO)? {
            std::thread::sleep(limits::SEARCH_TAKE_PAUSE);
        }
        Ok(())
    }

    /// Takes an entry into the indexes that it is for.
    fn take(&mut self, logged: &Logged) -> Result<()> {
        for Changed { what, .. } in changes(logged) {
            match what {
                What::Record(change) => {
                    let collection = change.collection;
                    let is_for = |live: &Live| {
                        !live.outdated
                            && change.position.seq > live.at.seq
                            && live.serving.index.key.generation == change.generation
                    };
                    if self.lives.get(&collection).is_some_and(is_for) {
                        self.make_room(collection, logged.position.seq)?;
                        if let Some(live) = self.lives.get_mut(&collection) {
                            live.put(&change, &self.shared)?;
                        }
                    }
                }
                What::Defined(..) | What::Dropped(_) => self.touched = true,
            }
        }
        for live in self.lives.values_mut().filter(|live| live.at.seq < logged.position.seq) {
            live.at = logged.position;
        }
        Ok(())
    }

    /// Sees to it that no more than so many indexes are written at once, one more among them. `now` is the entry that is
    /// being taken: what is committed amid it may hold some of it.
    fn make_room(&mut self, of: CollectionId, now: Seq) -> Result<()> {
        if self.lives.get(&of).is_some_and(|live| live.writer.is_some()) {
            return Ok(());
        }
        while self.lives.values().filter(|live| live.writer.is_some()).count() >= limits::SEARCH_WRITERS_MAX {
            let open = self.lives.values_mut().filter(|live| live.writer.is_some());
            let Some(oldest) = open.min_by_key(|live| live.used) else { break };
            if oldest.dirty.is_some() {
                oldest.held.settled = oldest.held.settled.max(now);
                oldest.commit(&self.shared)?;
            }
            oldest.writer = None;
        }
        Ok(())
    }

    /// Lets go writers that have nothing to do, and notes positions that moved without a change.
    fn tidy(&mut self) -> Result<()> {
        self.gone.retain(|folder| !remove(folder));
        for live in self.lives.values_mut().filter(|live| live.dirty.is_none() && !live.outdated) {
            let idle = live.used.elapsed();
            let behind = live.held.position.seq < live.at.seq;
            if behind && idle >= limits::SEARCH_NOTE_PAUSE {
                live.commit(&self.shared)?;
            }
            if live.writer.is_some() && idle >= limits::SEARCH_WRITER_IDLE {
                live.writer = None;
            }
        }
        Ok(())
    }

    /// Takes over an index that has been filled; whether there was one.
    fn take_filled(&mut self) -> bool {
        let Some(ended) = self.filling.as_mut().and_then(Filling::ended) else { return false };
        let Some(filling) = self.filling.take() else { return false };
        let collection = filling.key.collection;
        self.shared.filling.lock().remove(&collection);
        self.touched = true;
        match ended {
            Ok(Filled { index, held, lease }) => {
                self.shared.counts.fillings.fetch_add(1, Ordering::Relaxed);
                self.put(index, held, Some(lease));
                self.shared.moved.send_modify(|moves| *moves += 1);
                true
            }
            Err(error) if error.code_str() == "stale_schema" => false,
            Err(error) => {
                tracing::warn!("a search index can't be made: {error}");
                self.shared.counts.failures.fetch_add(1, Ordering::Relaxed);
                self.retry = Some(Instant::now() + limits::SEARCH_RETRY_PAUSE);
                self.touched = false;
                false
            }
        }
    }

    /// Compares the indexes with the definitions, and begins to fill one that is missing.
    fn reconcile(&mut self) {
        self.retry = None;
        let view = self.core.view();
        let wanted: BTreeMap<CollectionId, Key> =
            view.schema.iter().filter_map(|one| Some((one.id, Key::of(one)?))).collect();
        drop(view);
        let damaged = std::mem::take(&mut *self.shared.damaged.lock());
        let gone: Vec<CollectionId> =
            self.lives.keys().filter(|id| !wanted.contains_key(id) || damaged.contains(id)).copied().collect();
        for id in gone {
            self.shared.serving.write().remove(&id);
            let live = self.lives.remove(&id);
            self.forget(live);
        }
        if self.filling.as_ref().is_some_and(|filling| wanted.get(&filling.key.collection) != Some(&filling.key)) {
            let filling = self.filling.take();
            self.shared.filling.lock().retain(|id, _| filling.as_ref().is_none_or(|one| one.key.collection != *id));
        }
        let is_kept = |id: &CollectionId, key: &Key| {
            self.lives.get(id).is_some_and(|live| live.serving.index.key == *key && !live.outdated)
        };
        let next = wanted.iter().find(|(id, key)| !is_kept(id, key));
        if let (Some((_, key)), None) = (next, &self.filling) {
            self.fill(*key);
        }
    }

    fn fill(&mut self, key: Key) {
        // No two of a server have the same name: one is filled at a time, and time moves on.
        let number = Clock::System.now().0;
        let folder = self.folder.join(format!("{}{number:015}", key.folder()));
        match Filling::start(self.core.clone(), key, folder) {
            Ok(filling) => {
                self.shared.filling.lock().insert(key.collection, filling.progress.clone());
                self.filling = Some(filling);
            }
            Err(error) => {
                tracing::error!("{error}");
                self.retry = Some(Instant::now() + limits::SEARCH_RETRY_PAUSE);
            }
        }
    }
}

impl Live {
    /// Takes a change in.
    fn put(&mut self, change: &RecordChange<'_>, shared: &Shared) -> Result<()> {
        let index = &self.serving.index;
        let is_of = |moved: &[(crate::id::FieldId, crate::model::value::Value)]| {
            moved.iter().any(|(field, _)| index.fields.iter().any(|one| one.field == *field))
        };
        if change.moved().is_some_and(|moved| !is_of(moved)) {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(index.writer(limits::SEARCH_WRITER_BYTES)?),
        };
        let now = Instant::now();
        self.used = now;
        self.dirty.get_or_insert(now);
        let created = change.after().is_some() && change.moved().is_none();
        if !created || change.position.seq <= self.held.settled {
            writer.remove(change.id);
        }
        if let Some(fields) = change.after() {
            writer.add(change.id, fields)?;
        }
        shared.counts.documents.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes readable what was taken in.
    fn commit(&mut self, shared: &Shared) -> Result<()> {
        let index = &self.serving.index;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(index.writer(limits::SEARCH_WRITER_BYTES)?),
        };
        let held = Held { position: self.at, settled: self.held.settled };
        writer.commit(&held)?;
        self.serving.show(self.at.seq)?;
        (self.held, self.dirty, self.used) = (held, None, Instant::now());
        shared.counts.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Removes a folder; whether it is not there now.
fn remove(folder: &Path) -> bool {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::debug!("the folder {} of a search index is there still: {error}", folder.display());
            false
        }
        Ok(()) => true,
    }
}
