//! An index filled from the state, on a thread of its own, while writes go on.
//!
//! Rows are read in pieces, each from the newest view of its time. So a row may be as it was at any entry between the
//! first view and the last: those are told again by the log, and each puts the row in anew. Behind the last they agree.
//!
//! Invariant: the log is kept from the first view on until whoever follows it has taken the index over.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};

use super::index::{Held, Index, Key};
use crate::core::{Core, Lease};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::state;

/// How far a filling has come.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    /// Rows that are in, and rows that there were when it was last looked.
    pub fn get(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }
}

/// One that goes on.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) key: Key,
    pub(super) progress: Arc<Progress>,
    over: Arc<AtomicBool>,
    done: Receiver<Result<Filled>>,
    thread: Option<JoinHandle<()>>,
}

/// One that was committed.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) index: Index,
    pub(super) held: Held,
    /// Keeps the log behind what it holds.
    pub(super) lease: Lease,
}

impl Filling {
    /// Begins to fill the index of a key in a folder that is not there yet.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub(super) fn start(core: Core, key: Key, folder: PathBuf) -> Result<Filling> {
        let (progress, over) = (Arc::<Progress>::default(), Arc::<AtomicBool>::default());
        let (tell, done) = bounded(1);
        let work = Work { core, key, folder, progress: progress.clone(), over: over.clone() };
        let run = move || {
            let filled = work.fill();
            if filled.is_err() {
                // Whatever is left there is found again at the next start.
                let _ = std::fs::remove_dir_all(&work.folder);
            }
            // Nobody waits for one that was given up.
            let _ = tell.send(filled);
        };
        let thread = std::thread::Builder::new().name("search-fill".to_owned()).spawn(run);
        let thread = thread.map_err(|error| Error::internal("no thread to fill a search index").source(error))?;
        Ok(Filling { key, progress, over, done, thread: Some(thread) })
    }

    /// What came of it, once it has ended.
    pub(super) fn ended(&mut self) -> Option<Result<Filled>> {
        if !self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return None;
        }
        let panicked = || Error::internal("filling a search index panicked");
        Some(self.done.try_recv().unwrap_or_else(|_| Err(panicked())))
    }
}

impl Drop for Filling {
    /// Waits for the thread, which ends soon.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it was told of where its end was asked for.
            let _ = thread.join();
        }
        if let Ok(Ok(Filled { index, .. })) = self.done.try_recv() {
            // Nobody asked: it is not wanted any more.
            let _ = std::fs::remove_dir_all(&index.folder);
        }
    }
}

struct Work {
    core: Core,
    key: Key,
    folder: PathBuf,
    progress: Arc<Progress>,
    over: Arc<AtomicBool>,
}

impl Work {
    fn fill(&self) -> Result<Filled> {
        let lease = self.core.leases().take(self.core.view().position.seq.next());
        let first = self.core.view();
        let collection = first.schema.get(self.key.collection).cloned().ok_or_else(moved)?;
        let (from, mut last) = (first.position, first.position.seq);
        drop(first);
        let index = Index::create(&collection, self.key, &self.folder)?;
        let mut writer = index.writer(limits::SEARCH_FILL_BYTES)?;
        let (mut after, mut more) = (None, true);
        while more {
            if self.over.load(Ordering::Relaxed) {
                return Err(Error::new(Kind::Unavailable, "filling a search index was given up"));
            }
            let view = self.core.view();
            if view.schema.get(self.key.collection).and_then(|now| Key::of(now)) != Some(self.key) {
                return Err(moved());
            }
            last = view.position.seq;
            let of = state::tally(&view.stack, self.key.collection, self.key.generation)?.count;
            self.progress.of.store(of, Ordering::Relaxed);
            let (rows, bytes) = (limits::SEARCH_FILL_ROWS, limits::SEARCH_FILL_BATCH_BYTES);
            let (records, all) = state::next_records(&view.stack, &collection, after.as_ref(), rows, bytes)?;
            drop(view);
            more = !all;
            for record in &records {
                writer.add(&record.id, &record.fields)?;
            }
            self.progress.rows.fetch_add(records.len() as u64, Ordering::Relaxed);
            after = records.into_iter().next_back().map(|record| record.id).or(after);
        }
        let held = Held { position: from, settled: last };
        writer.commit(&held)?;
        Ok(Filled { index, held, lease })
    }
}

/// Why it is to be begun anew.
fn moved() -> Error {
    Error::new(Kind::Conflict, "the collection's definition has changed").code("stale_schema")
}
