//! Floor 4, jobs: what the records of `_jobs` say is done with a collection's records, when it is due or asked for.
//!
//! One thread (here, `due`) makes a run of each job that is due, and carries out those that were begun: each has a thread
//! of its own (`run`). A run reads its source in chunks by ranges of ids, has several worked on at once over a bounded
//! channel (`chunks`), and commits them in order: what they write and how far the run has come are one entry
//! ([`crate::model::command::Piece`]). Messages (`messages`) are sent at least once, with the same id each time. An aggregate
//! and an export are each of one view, and begin again where they were cut off (`results`, `files`).
//!
//! All that a run is stands in its record of `_runs`, so whoever is the primary goes on with it, and whoever listens to that
//! record sees it come along. Invariants: a job has one run at once, by a unique index; a run does nothing unless its
//! record is in the version that was read; no write waits for a run.

mod chunks;
mod due;
mod files;
mod messages;
mod results;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::core::{Core, Role};
use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::aggregate::Aggregation;
use crate::model::guard::Guard;
use crate::outbound::Dialer;
use crate::time::Millis;

pub use due::new_run;
pub use files::Files;

use due::Due;
use run::Runner;

/// What runs work with that is not theirs to make.
#[derive(Debug)]
pub struct Means {
    /// The server's own guard.
    pub guard: Guard,
    /// The id of a record that is made at a time.
    pub new_id: fn(Millis) -> Result<RecordId>,
    /// What an aggregate comes to.
    pub adding: Adding,
    /// How messages are sent.
    pub dialer: Arc<Dialer>,
}

/// Carries out an aggregate on the thread that calls it, with whoever has nothing to do, until it is told to end:
/// `{"items": […], "totalItems": N}`.
#[derive(Clone)]
pub struct Adding(pub Arc<AddsUp>);

type AddsUp = dyn Fn(Arc<Aggregation>, Arc<AtomicBool>) -> Result<Vec<u8>> + Send + Sync;

impl fmt::Debug for Adding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adding")
    }
}

/// The handle; its threads end when it is dropped, or when the core tells its consumers to.
#[derive(Debug)]
pub struct Jobs {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Jobs {
    /// Starts to look what is due, and goes on with the runs that were begun.
    ///
    /// # Errors
    /// The disk's; `Internal` when the system gives no thread.
    pub fn start(core: Core, means: Means) -> Result<Jobs> {
        let over = Arc::<AtomicBool>::default();
        let files = Files::of(&core);
        let starter = Starter {
            due: Due::new(core.clone(), means.guard.clone(), means.new_id),
            core,
            means: Arc::new(means),
            files,
            over: over.clone(),
            running: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("jobs".to_owned()).spawn(move || starter.run());
        let thread = thread.map_err(|error| Error::internal("no thread for jobs").source(error))?;
        Ok(Jobs { over, thread: Some(thread) })
    }
}

impl Drop for Jobs {
    /// Waits for the threads.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic ends only itself.
            let _ = thread.join();
        }
    }
}

/// The thread that starts the others.
struct Starter {
    core: Core,
    means: Arc<Means>,
    files: Files,
    over: Arc<AtomicBool>,
    due: Due,
    running: BTreeMap<RecordId, JoinHandle<()>>,
}

impl Starter {
    fn run(mut self) {
        while !self.ends() {
            if let Err(error) = self.look() {
                tracing::error!(%error, "it can't be looked what jobs are due");
            }
            std::thread::sleep(limits::JOB_TICK);
        }
        self.over.store(true, Ordering::Relaxed);
        for (_, thread) in std::mem::take(&mut self.running) {
            let _ = thread.join();
        }
    }

    fn ends(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.core.is_stopping()
    }

    /// Jobs run on the primary alone.
    fn look(&mut self) -> Result<()> {
        self.bury();
        if self.core.role() != Role::Primary {
            return Ok(());
        }
        let active = self.due.look()?;
        for run in active {
            if self.running.len() >= limits::RUNS_AT_ONCE {
                break;
            }
            if !self.running.contains_key(&run) {
                self.begin(run)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, run: RecordId) -> Result<()> {
        let runner = Runner {
            core: self.core.clone(),
            means: self.means.clone(),
            files: self.files.clone(),
            run: run.clone(),
            over: self.over.clone(),
        };
        let thread = std::thread::Builder::new().name("run".to_owned()).spawn(move || runner.go());
        let thread = thread.map_err(|error| Error::internal("no thread for a run").source(error))?;
        self.running.insert(run, thread);
        Ok(())
    }

    /// Forgets what has ended. A run that panics would do so again: it has failed.
    fn bury(&mut self) {
        let ended: Vec<RecordId> =
            self.running.iter().filter(|(_, thread)| thread.is_finished()).map(|(run, _)| run.clone()).collect();
        for run in ended {
            if self.running.remove(&run).is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(%run, "a run of a job panicked");
                let (core, means, files) = (self.core.clone(), self.means.clone(), self.files.clone());
                let runner = Runner { core, means, files, run, over: self.over.clone() };
                if let Err(error) = runner.give_up("it panicked") {
                    tracing::error!(%error, "a run that panicked goes on");
                }
            }
        }
    }
}
