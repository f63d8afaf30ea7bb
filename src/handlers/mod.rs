//! Floor 4, handlers: what is done with each change by the records of `_handlers`.
//!
//! Stands: handlers of kind `collection`, each on a thread of its own (`feeder`) that reads the log from its cursor, derives
//! writes by the handler's expressions (`derive`) and has them committed with its new cursor, exactly once; what is
//! refused becomes a dead letter. One more thread (here) starts them as handlers come, are enabled or changed. Handlers of
//! the kinds `webhook` and `cache` are judged when saved and have their cursors, and nothing carries them out yet: of what
//! sends there are the signature (`sign`), the addresses that may be sent to (`address`) and the pauses (`backoff`).
//! Nothing is sent again by hand (`redeliver`) either, and a change of epoch makes a cursor one of another history.
//!
//! Invariants: there is at most one thread for each handler; nothing here makes a guard or an id, both come from above.

pub mod address;
pub mod backoff;
mod derive;
mod feeder;
pub mod sign;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::core::{Consumer, Core, Ended, Keeps};
use crate::error::{Error, Result};
use crate::id::{Mark, RecordId};
use crate::limits;
use crate::model::change::Change;
use crate::model::guard::Guard;
use crate::model::handler::{Edge, HANDLERS};
use crate::state;
use crate::time::Millis;

use feeder::Feeder;

/// How often the thread looks whether one that it started has ended.
const TICK: Duration = Duration::from_millis(100);

/// What handlers work with that is not theirs to make.
#[derive(Debug)]
pub struct Means {
    /// The server's own guard.
    pub guard: Guard,
    /// The id of a record that is made at a time.
    pub new_id: fn(Millis) -> Result<RecordId>,
}

/// What a handler has done since the server started.
#[derive(Debug, Default)]
pub struct Status(Mutex<Counts>);

/// The figures of a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes that were made.
    pub acknowledged: u64,
    /// Writes that are on their way.
    pub in_flight: u64,
    /// Up to where all was dealt with: the cursor is logged less often.
    pub reached: Option<Mark>,
    /// Failures.
    pub failed: u64,
    /// The last of them.
    pub last_error: Option<String>,
}

impl Status {
    /// As it is now.
    pub fn counts(&self) -> Counts {
        self.0.lock().clone()
    }

    fn sent(&self, count: usize) {
        self.0.lock().in_flight = count as u64;
    }

    fn answered(&self, acknowledged: bool) {
        let mut counts = self.0.lock();
        let in_flight = std::mem::take(&mut counts.in_flight);
        counts.acknowledged += if acknowledged { in_flight } else { 0 };
    }

    fn reached(&self, mark: Mark) {
        self.0.lock().reached = Some(mark);
    }

    fn failed(&self, error: &Error) {
        let mut counts = self.0.lock();
        counts.failed += 1;
        counts.last_error = Some(error.to_string());
    }
}

/// The handle; its threads end when it is dropped, or when the core tells its consumers to.
#[derive(Debug)]
pub struct Handlers {
    core: Core,
    known: Arc<Mutex<BTreeMap<RecordId, Arc<Status>>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Handlers {
    /// Starts carrying out what there is, from where each has come to.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn start(core: Core, means: Means) -> Result<Handlers> {
        let known = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let over = Arc::<AtomicBool>::default();
        let starter = Starter {
            core: core.clone(),
            means: Arc::new(means),
            known: known.clone(),
            over: over.clone(),
            running: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("handlers".to_owned()).spawn(move || starter.run());
        let thread = thread.map_err(|error| Error::internal("no thread for handlers").source(error))?;
        Ok(Handlers { core, known, over, thread: Some(thread) })
    }

    /// What a handler has done since the server started, and how far it has come; `None` for one that is not there.
    ///
    /// # Errors
    /// The state's.
    pub fn status(&self, id: &RecordId) -> Result<Option<(Mark, Counts)>> {
        let Some(cursor) = state::cursor(&self.core.view().stack, id)? else { return Ok(None) };
        let counts = self.known.lock().get(id).map(|status| status.counts()).unwrap_or_default();
        Ok(Some((cursor, counts)))
    }
}

impl Drop for Handlers {
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
    known: Arc<Mutex<BTreeMap<RecordId, Arc<Status>>>>,
    over: Arc<AtomicBool>,
    running: BTreeMap<RecordId, JoinHandle<()>>,
}

impl Starter {
    fn run(mut self) {
        loop {
            // What came before is in the view that it begins with.
            let ended = match self.core.consumer(self.core.log().position(), Keeps::Nothing) {
                Ok(consumer) => self.follow(consumer),
                Err(ended) => ended,
            };
            if matches!(ended, Ended::Stopping) {
                break;
            }
            std::thread::sleep(TICK);
        }
        for (_, thread) in std::mem::take(&mut self.running) {
            let _ = thread.join();
        }
    }

    fn follow(&mut self, mut consumer: Consumer) -> Ended {
        let mut touched = true;
        loop {
            if (touched || self.running.values().any(|thread| thread.is_finished()))
                && let Err(error) = self.reconcile()
            {
                tracing::error!("handlers can't be started: {error}");
            }
            if self.over.load(Ordering::Relaxed) {
                return Ended::Stopping;
            }
            if let Err(ended) = consumer.wait(TICK) {
                return ended;
            }
            match consumer.next_batch(limits::HANDLER_BATCH_BYTES) {
                Ok(batch) => touched = batch.iter().any(|logged| self.touches(&logged.entry.changes)),
                Err(ended) => return ended,
            }
        }
    }

    /// Whether a handler comes, changes or goes: none moves its place without a change of this kind to begin with.
    fn touches(&self, changes: &[Change]) -> bool {
        let own = self.core.view().schema.find(HANDLERS).map(|own| own.id);
        changes.iter().any(|change| match change {
            Change::Created { collection, .. }
            | Change::Updated { collection, .. }
            | Change::Deleted { collection, .. } => Some(*collection) == own,
            _ => false,
        })
    }

    /// Starts what is to run and doesn't, and forgets what has ended.
    fn reconcile(&mut self) -> Result<()> {
        self.running.retain(|_, thread| !thread.is_finished());
        let view = self.core.view();
        let Some(own) = view.schema.find(HANDLERS) else { return Ok(()) };
        let (records, _) = state::next_records(&view.stack, own, None, limits::HANDLERS_MAX, usize::MAX)?;
        self.known.lock().retain(|id, _| records.iter().any(|record| record.id == *id));
        for record in records {
            let enabled = own
                .field("enabled")
                .is_some_and(|field| *record.fields.get(field.id) != crate::model::value::Value::Bool(false));
            if !enabled || Edge::of(own, &record.fields).is_none() || self.running.contains_key(&record.id) {
                continue;
            }
            let status = self.known.lock().entry(record.id.clone()).or_default().clone();
            let (core, means) = (self.core.clone(), self.means.clone());
            let feeder = Feeder { core, id: record.id.clone(), means, status, over: self.over.clone() };
            let thread = std::thread::Builder::new().name("handler".to_owned()).spawn(move || feeder.run());
            let thread = thread.map_err(|error| Error::internal("no thread for a handler").source(error))?;
            self.running.insert(record.id, thread);
        }
        Ok(())
    }
}
