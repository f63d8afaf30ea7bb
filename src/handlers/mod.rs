//! Floor 4, handlers: what is done with each change by the records of `_handlers`.
//!
//! Each enabled handler has a thread of its own (`feeder`) that reads the log from its cursor and does what its kind does:
//! `collection` derives writes by expressions (`derive`) and has them committed with the new cursor, exactly once;
//! `webhook` sends messages, at least once; `cache` drops what is kept of answers. What is given up becomes a dead
//! letter (`letter`), logged with the cursor that passes it. One more thread (here) starts them as handlers come, are
//! enabled or changed, and starts one again that has panicked, from its cursor and after a pause. While a
//! handler is enabled, the core keeps the log from its cursor on, as far as the log's bytes allow; behind that, one dead
//! letter names what is lost, and it goes on from the oldest entry that there is.
//!
//! Invariants: there is at most one thread for each handler; no write waits for a handler, and no handler for another.
//! Nothing here makes a guard or an id, both come from above.

mod cache;
mod collection;
mod derive;
mod feeder;
mod letter;
mod passed;
#[cfg(test)]
mod tests;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use crate::core::{Consumer, Core, Ended, Keeps, Published, Role};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Mark, RecordId};
use crate::limits;
use crate::model::change::Change;
use crate::model::guard::Guard;
use crate::model::handler::{Deed, HANDLERS, Handler, is_enabled};
use crate::model::record::Record;
use crate::state;
use crate::time::Millis;

use crate::outbound::Dialer;
use crate::outbound::webhook::backoff::Pauses;
use crate::outbound::webhook::{Failure, Message, Sender};
use feeder::{Feeder, TICK};

/// What handlers work with that is not theirs to make.
#[derive(Debug)]
pub struct Means {
    /// The server's own guard.
    pub guard: Guard,
    /// The id of a record that is made at a time.
    pub new_id: fn(Millis) -> Result<RecordId>,
    /// Drops what is kept of answers.
    pub invalidate: Invalidate,
    /// How webhooks connect.
    pub dialer: Arc<Dialer>,
    /// When they try again.
    pub pauses: Pauses,
    /// Dead letters that there are at most, of all handlers; what is written in one entry may be more.
    pub letters_max: u64,
}

/// Drops what patterns name of what is kept of answers.
#[derive(Clone)]
pub struct Invalidate(pub Arc<Invalidating>);

type Invalidating = dyn Fn(&[Box<str>]) + Send + Sync;

impl fmt::Debug for Invalidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalidate")
    }
}

/// What a handler has done since the server started, and where it is asked to begin again.
#[derive(Debug, Default)]
pub struct Status(Mutex<Counts>, Mutex<Option<Mark>>);

/// The figures of a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes that were made, messages that were delivered, changes that something was dropped for.
    pub acknowledged: u64,
    /// Those that are on their way.
    pub in_flight: u64,
    /// Messages that were read and are not delivered, those on their way too.
    pub waiting: u64,
    /// Of them those that have failed before.
    pub retrying: u64,
    /// Up to where all was dealt with: the cursor is logged less often.
    pub reached: Option<Mark>,
    /// When the change happened that waits longest, or else that was read last.
    pub at: Option<Millis>,
    /// Failures.
    pub failed: u64,
    /// The last of them.
    pub last_error: Option<String>,
    /// The last changes that the log had no longer: from behind the first up to the second.
    pub lost: Option<(Mark, Mark)>,
}

impl Status {
    /// As it is now.
    pub fn counts(&self) -> Counts {
        self.0.lock().clone()
    }

    /// Where it is asked to begin again, once.
    fn again(&self) -> Option<Mark> {
        self.1.lock().take()
    }

    fn sent(&self, count: usize) {
        self.0.lock().in_flight = count as u64;
    }

    fn answered(&self, acknowledged: bool) {
        let mut counts = self.0.lock();
        let in_flight = std::mem::take(&mut counts.in_flight);
        counts.acknowledged += if acknowledged { in_flight } else { 0 };
    }

    fn delivered(&self) {
        self.0.lock().acknowledged += 1;
    }

    fn standing(&self, (waiting, retrying, in_flight): (usize, usize, usize), reached: Mark, at: Option<Millis>) {
        let mut counts = self.0.lock();
        (counts.waiting, counts.retrying, counts.in_flight) = (waiting as u64, retrying as u64, in_flight as u64);
        (counts.reached, counts.at) = (Some(reached), at);
    }

    fn reached(&self, mark: Mark, at: Millis) {
        let mut counts = self.0.lock();
        (counts.reached, counts.at) = (Some(mark), Some(at));
    }

    fn failed(&self, error: &Error) {
        self.refused(&error.to_string());
    }

    fn refused(&self, error: &str) {
        let mut counts = self.0.lock();
        counts.failed += 1;
        counts.last_error = Some(error.to_owned());
    }

    fn lost(&self, from: Mark, to: Mark) {
        self.0.lock().lost = Some((from, to));
    }
}

/// Those that there are, by their ids.
type Known = Arc<Mutex<BTreeMap<RecordId, Arc<Status>>>>;

/// The handle; its threads end when it is dropped, or when the core tells its consumers to.
#[derive(Debug)]
pub struct Handlers {
    core: Core,
    means: Arc<Means>,
    known: Known,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Handlers {
    /// Starts carrying out what there is, from where each has come to.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn start(core: Core, means: Means) -> Result<Handlers> {
        let (known, over, means) = (Known::default(), Arc::<AtomicBool>::default(), Arc::new(means));
        let starter = Starter {
            core: core.clone(),
            means: means.clone(),
            known: known.clone(),
            over: over.clone(),
            running: BTreeMap::new(),
            held_up: BTreeMap::new(),
            runtime: None,
        };
        let thread = std::thread::Builder::new().name("handlers".to_owned()).spawn(move || starter.run());
        let thread = thread.map_err(|error| Error::internal("no thread for handlers").source(error))?;
        Ok(Handlers { core, means, known, over, thread: Some(thread) })
    }

    /// What a handler has done since the server started, and how far it has come; `None` for one that is not there.
    ///
    /// # Errors
    /// The state's.
    pub fn status(&self, id: &RecordId) -> Result<Option<(Mark, Counts)>> {
        // The counts first: what they tell of lies behind the cursor that is read after them.
        let counts = self.known.lock().get(id).map(|status| status.counts()).unwrap_or_default();
        Ok(state::cursor(&self.core.view().stack, id)?.map(|cursor| (cursor, counts)))
    }

    /// Has one that sends, and runs, send again what it delivered behind a place that its cursor has not passed yet.
    pub fn again(&self, id: &RecordId, since: Mark) {
        if let Some(status) = self.known.lock().get(id) {
            *status.1.lock() = Some(since);
        }
    }

    /// How all are getting on.
    ///
    /// # Errors
    /// The state's.
    pub fn all(&self) -> Result<Vec<(RecordId, Mark, Counts)>> {
        let counts: BTreeMap<RecordId, Counts> =
            self.known.lock().iter().map(|(id, status)| (id.clone(), status.counts())).collect();
        let with_counts = |(id, cursor): (RecordId, Mark)| {
            let counts = counts.get(&id).cloned().unwrap_or_default();
            (id, cursor, counts)
        };
        state::cursors(&self.core.view().stack)?.map(|one| one.map(with_counts)).collect()
    }

    /// Sends once, now, what a webhook gave up; what comes of it is the caller's.
    ///
    /// # Errors
    /// `NotFound` where there is no such handler, `Unprocessable` where it is no webhook or has faults; `Unavailable` with
    /// code `not_delivered` where the receiver takes it not.
    pub async fn send(&self, handler: &RecordId, message: &Message) -> Result<()> {
        let view = self.core.view();
        let missing = || Error::new(Kind::NotFound, "there is no such handler");
        let own = view.schema.find(HANDLERS).ok_or_else(missing)?;
        let record = state::record(&view.stack, own, handler)?.ok_or_else(missing)?;
        let faulty = |error: Error| {
            Error::new(Kind::Unprocessable, error.message().to_owned()).faults(error.field_faults().to_vec())
        };
        let Deed::Webhook(webhook) = Handler::read(&view.schema, own, &record.fields).map_err(faulty)?.deed else {
            return Err(Error::new(Kind::Unprocessable, "the handler is no webhook"));
        };
        let sent =
            Sender::new(webhook, self.means.dialer.clone()).send(message, self.core.clock().now().seconds()).await;
        sent.map_err(|Failure { message, .. }| Error::new(Kind::Unavailable, message).code("not_delivered"))
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

/// How long one that panics is left alone, each time it does so again; that it has run for as long as the longest of
/// these is forgotten.
const RESTARTS: Pauses =
    Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(60), tries_for: Duration::MAX };

/// One that panicked, or could not be started.
struct HeldUp {
    /// How often in a row.
    times: u32,
    /// When it is started again.
    until: Instant,
}

/// The thread that starts the others.
struct Starter {
    core: Core,
    means: Arc<Means>,
    known: Known,
    over: Arc<AtomicBool>,
    running: BTreeMap<RecordId, JoinHandle<()>>,
    held_up: BTreeMap<RecordId, HeldUp>,
    /// Made with the first handler.
    runtime: Option<Runtime>,
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
        self.over.store(true, Ordering::Relaxed);
        for (_, thread) in std::mem::take(&mut self.running) {
            let _ = thread.join();
        }
        if let Some(runtime) = self.runtime.take() {
            // A name that is still asked for holds up nothing.
            runtime.shutdown_background();
        }
    }

    fn follow(&mut self, mut consumer: Consumer) -> Ended {
        let mut touched = true;
        let mut not_before = Instant::now();
        loop {
            if Instant::now() >= not_before && (touched || self.is_due()) {
                match self.reconcile() {
                    Ok(()) => touched = false,
                    Err(error) => {
                        tracing::error!("handlers can't be started: {error}");
                        (touched, not_before) = (true, Instant::now() + RESTARTS.first);
                    }
                }
            }
            if self.over.load(Ordering::Relaxed) {
                return Ended::Stopping;
            }
            if let Err(ended) = consumer.wait(TICK) {
                return ended;
            }
            match consumer.next_batch(limits::HANDLER_BATCH_BYTES) {
                Ok(batch) => touched |= batch.iter().any(|logged| self.touches(&logged.entry.changes)),
                Err(ended) => return ended,
            }
            // To be woken for each of many single commits would cost their writers.
            if !touched {
                std::thread::sleep(limits::HANDLER_LOOK_PAUSE);
            }
        }
    }

    /// Whether a handler comes, changes or goes, or all may run: none moves its place without a change of this kind to begin with.
    fn touches(&self, changes: &[Change]) -> bool {
        let own = self.core.view().schema.find(HANDLERS).map(|own| own.id);
        changes.iter().any(|change| match change {
            Change::Created { collection, .. }
            | Change::Updated { collection, .. }
            | Change::Deleted { collection, .. } => Some(*collection) == own,
            // Handlers run where writes are taken: from here on that is this server.
            Change::Began { .. } => true,
            _ => false,
        })
    }

    /// Whether one has ended, or one that was held up is to be started again.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let is_over = |(id, held_up): (&RecordId, &HeldUp)| held_up.until <= now && !self.running.contains_key(id);
        self.running.values().any(|thread| thread.is_finished()) || self.held_up.iter().any(is_over)
    }

    /// One that panicked, or could not be started, is left alone for a while, and holds up no other.
    fn hold_up(&mut self, id: RecordId, why: &str) {
        if let Some(status) = self.known.lock().get(&id) {
            status.refused(why);
        }
        let now = Instant::now();
        let before = self.held_up.get(&id).filter(|before| now < before.until + RESTARTS.longest);
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        let pause = RESTARTS.pause(times, 1.0, None, Duration::ZERO).unwrap_or(RESTARTS.longest);
        self.held_up.insert(id, HeldUp { times, until: now + pause });
    }

    /// Forgets what has ended, and says which of it panicked.
    fn bury(&mut self) {
        let ended: Vec<RecordId> =
            self.running.iter().filter(|(_, thread)| thread.is_finished()).map(|(id, _)| id.clone()).collect();
        for id in ended {
            if self.running.remove(&id).is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(handler = %id, "a handler panicked: it begins again from its cursor, after a pause");
                self.hold_up(id, "the handler panicked");
            }
        }
    }

    /// Starts what is to run and doesn't, and forgets what has ended.
    fn reconcile(&mut self) -> Result<()> {
        self.bury();
        if self.core.role() != Role::Primary {
            return Ok(());
        }
        let view = self.core.view();
        let Some(own) = view.schema.find(HANDLERS) else { return Ok(()) };
        let (records, _) = state::next_records(&view.stack, own, None, limits::HANDLERS_MAX, usize::MAX)?;
        self.known.lock().retain(|id, _| records.iter().any(|record| record.id == *id));
        // One that is disabled begins afresh when it is enabled.
        let enabled = |record: &&Record| is_enabled(own, &record.fields);
        self.held_up.retain(|id, _| records.iter().filter(enabled).any(|record| record.id == *id));
        let now = Instant::now();
        for record in records.into_iter().filter(|record| is_enabled(own, &record.fields)) {
            let is_held_up = self.held_up.get(&record.id).is_some_and(|held_up| held_up.until > now);
            if is_held_up || self.running.contains_key(&record.id) {
                continue;
            }
            if let Err(error) = self.begin(&record.id) {
                tracing::error!(handler = %record.id, "a handler can't be started: {error}");
                self.hold_up(record.id, &error.to_string());
            }
        }
        Ok(())
    }

    fn begin(&mut self, id: &RecordId) -> Result<()> {
        let status = self.known.lock().entry(id.clone()).or_default().clone();
        let runtime = self.runtime()?;
        let (core, means, over) = (self.core.clone(), self.means.clone(), self.over.clone());
        let feeder = Feeder { core, id: id.clone(), means, status, over, runtime };
        let thread = std::thread::Builder::new().name("handler".to_owned()).spawn(move || feeder.run());
        let thread = thread.map_err(|error| Error::internal("no thread for a handler").source(error))?;
        self.running.insert(id.clone(), thread);
        Ok(())
    }

    fn runtime(&mut self) -> Result<tokio::runtime::Handle> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => Builder::new_multi_thread()
                .worker_threads(limits::HANDLER_SEND_THREADS)
                // One for each handler that asks for a name.
                .max_blocking_threads(limits::HANDLERS_MAX)
                .thread_name("webhooks")
                .enable_all()
                .build()
                .map_err(|error| Error::internal("no threads for webhooks").source(error))?,
        };
        Ok(self.runtime.insert(runtime).handle().clone())
    }
}

fn named(view: &Published, collection: CollectionId) -> String {
    view.schema.get(collection).map_or_else(|| collection.to_string(), |found| found.name.to_string())
}
