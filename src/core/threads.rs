//! The core on its threads, and [`Core`], the handle by which everyone else reads and writes.
//!
//! Threads: the writer, the applier, the segment preparer, the keeper of the log. Channels, all bounded: commands to the writer (full: 503,
//! nothing changed), one frozen layer to the applier (the writer keeps filling the fresh one meanwhile), its answer.
//! Invariant: the writer waits only for the disk and, when the layers are full, for the applier; never for a reader.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{oneshot, watch};

use super::applier::Durable;
use super::ballast::has_headroom;
use super::chores::Chores;
use super::compaction::Compactor;
use super::consumer::Ending;
use super::desk::{Desk, Pending, Queue, outcome_unknown, queue_full, refuse_all, stopping};
use super::order::Ordered;
use super::role::Roles;
use super::{
    Applier, Figures, Flush, Flushed, Identity, Keeper, Leases, Meters, Opened, Outcome, Poison, Published, Role,
    Settings, Slots, Writer, log_dir, open,
};
use crate::disk::{Disk, DiskLock, Open};
use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::limits;
use crate::log;
use crate::model::command::{Command, Committed};
use crate::state::Layer;
use crate::time::Clock;

/// How often an applier without work looks at its clock and at the base's health.
const APPLIER_TICK: Duration = Duration::from_millis(250);
/// How often a thread that may wait looks whether there is room in the writer's queue.
pub(super) const ROOM_TICK: Duration = Duration::from_millis(5);
/// How often a preparer without work looks whether it shall end.
const PREPARER_TICK: Duration = Duration::from_millis(250);
/// How often a keeper without work looks for some.
pub const KEEPER_TICK: Duration = Duration::from_millis(250);

/// The handle: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Core(Arc<Shared>);

struct Shared {
    commands: Sender<Pending>,
    /// To answer what is sent while the writer ends.
    late: Receiver<Pending>,
    queue: Arc<Queue>,
    orders: Sender<Ordered>,
    late_orders: Receiver<Ordered>,
    roles: Roles,
    identity: Identity,
    published: Arc<ArcSwap<Published>>,
    slots: Arc<Slots>,
    reader: log::Reader,
    durable: Durable,
    chores: Chores,
    leases: Leases,
    ending: Ending,
    poison: Poison,
    clock: Clock,
    meters: Arc<Meters>,
    /// What the server is to its log is read, changed and kept by one at a time.
    reign: Mutex<()>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// The outcome of a command that was sent.
#[derive(Debug)]
pub struct Awaited(oneshot::Receiver<Outcome>);

/// Why a command was not sent.
enum Unsent {
    /// There is no room for it now. It comes back.
    Full(Box<Command>),
    Stopping,
}

/// What a thread leaves, and its share of the folder's lock: the folder is free when both have let go.
struct Held<T>(T, Arc<dyn DiskLock>);

/// Tells the preparer and the keeper to end, at the latest when it is dropped.
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The threads. Dropped without [`Threads::stop`] they end by themselves; what the base lacks comes from the log.
pub struct Threads {
    stop: Sender<()>,
    end: End,
    writer: JoinHandle<Held<Option<Writer>>>,
    applier: JoinHandle<Held<Applier>>,
    preparer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    ending: Ending,
    poison: Poison,
}

/// Opens a folder and starts the core on its threads.
///
/// # Errors
/// As [`open`]; `Internal` when the system gives no thread.
pub fn start(disk: Arc<dyn Disk>, dir: &Path, settings: &Settings, clock: Clock) -> Result<(Core, Threads)> {
    let Opened { writer, mut applier, mut preparer, mut keeper, reader, lock, identity, .. } =
        open(disk.clone(), dir, settings)?;
    let (poison, ending) = (Poison::new(), Ending::default());
    applier.count_into(writer.meters());
    let durable = applier.durable_mark();
    // Until it is known that the primary has what this log has.
    durable.hold(writer.role() != Role::Primary);
    let lock: Arc<dyn DiskLock> = Arc::from(lock);
    let queue = Arc::new(Queue::default());
    let (command_in, command_out) = bounded(limits::WRITER_QUEUE);
    let (stop_in, stop_out) = bounded(1);
    let (order_in, order_out) = bounded(limits::WRITER_ORDERS);
    let (flush_in, flush_out) = bounded::<Flush>(limits::FROZEN_LAYERS_MAX);
    let (flushed_in, flushed_out) = bounded::<Flushed>(limits::FROZEN_LAYERS_MAX);
    let core = Core(Arc::new(Shared {
        commands: command_in,
        late: command_out.clone(),
        queue: queue.clone(),
        orders: order_in,
        late_orders: order_out.clone(),
        roles: writer.roles(),
        identity,
        published: writer.published(),
        slots: writer.slots(),
        reader,
        durable: durable.clone(),
        chores: applier.chores(),
        leases: keeper.leases(),
        ending: ending.clone(),
        poison: poison.clone(),
        clock: clock.clone(),
        meters: writer.meters(),
        reign: Mutex::default(),
        disk: disk.clone(),
        dir: dir.to_owned(),
    }));
    let end = Arc::new(AtomicBool::new(false));
    let keeper = spawn("keeper", {
        let (end, poison, clock, lock) = (end.clone(), poison.clone(), clock.clone(), lock.clone());
        move || {
            let _held = lock;
            run_keeper(&mut keeper, &clock, &end, &poison);
        }
    })?;
    let preparer = spawn("segments", {
        let end = end.clone();
        let (disk, dir) = (disk.clone(), dir.to_owned());
        move || run_preparer(&mut preparer, &*disk, &dir, &end)
    })?;
    let applier = spawn("applier", {
        let poison = poison.clone();
        let lock = lock.clone();
        move || Held(run_applier(applier, &flush_out, &flushed_in, &poison), lock)
    })?;
    let desk = Desk {
        commands: command_out,
        queue,
        stop: stop_out,
        orders: order_out,
        flush: flush_in,
        flushed: flushed_out,
        poison: poison.clone(),
        clock,
        disk: disk.clone(),
        dir: dir.to_owned(),
        durable,
    };
    let writer = spawn("writer", move || Held(desk.run(writer), lock))?;
    Ok((core, Threads { stop: stop_in, end: End(end), writer, applier, preparer, keeper, ending, poison }))
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| Error::internal(format!("no thread for the {name}")).source(error))
}

impl Core {
    /// The newest published view.
    pub fn view(&self) -> Arc<Published> {
        self.0.published.load_full()
    }

    /// Has a command decided and logged. The answer comes when it is on disk; dropping the future does not undo it.
    ///
    /// # Errors
    /// A refusal by `decide`; `Unavailable` when the queue is full or the server stops: nothing was changed; `NoSpace`;
    /// `OutcomeUnknown`.
    pub async fn submit(&self, command: Command) -> Result<Committed> {
        let outcome = self.send(command).map_err(Unsent::error)?;
        outcome.0.await.unwrap_or_else(|_| Err(outcome_unknown()))
    }

    /// The same from a thread that may wait: for room in the queue, and not yet for the outcome.
    ///
    /// # Errors
    /// `Unavailable` when the server stops: nothing was changed.
    pub fn send_when_room(&self, mut command: Command) -> Result<Awaited> {
        loop {
            match self.send(command) {
                Ok(outcome) => return Ok(outcome),
                Err(Unsent::Full(back)) if !self.0.queue.ended.load(Ordering::SeqCst) => command = *back,
                Err(unsent @ Unsent::Stopping) => return Err(unsent.error()),
                Err(Unsent::Full(_)) => return Err(stopping()),
            }
            std::thread::sleep(ROOM_TICK);
        }
    }

    fn send(&self, command: Command) -> Result<Awaited, Unsent> {
        let Shared { commands, late, queue, .. } = &*self.0;
        let bytes = command.bytes();
        if queue.bytes.fetch_add(bytes, Ordering::Relaxed) > limits::WRITER_QUEUE_BYTES {
            queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Unsent::Full(Box::new(command)));
        }
        let (answer, outcome) = oneshot::channel();
        commands.try_send(Pending { command, bytes, answer }).map_err(|error| {
            queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                TrySendError::Full(pending) => Unsent::Full(Box::new(pending.command)),
                TrySendError::Disconnected(_) => Unsent::Stopping,
            }
        })?;
        // Either the writer's last look at its queue finds the command, or this finds that it has looked.
        if queue.ended.load(Ordering::SeqCst) {
            refuse_all(late);
        }
        Ok(Awaited(outcome))
    }

    /// The view at `position` or later: what `Millpond-Min-Seq` asks for.
    ///
    /// # Errors
    /// `Precondition` when the position is not in this server's history; `Unavailable` when it is not reached within
    /// `limits::MIN_SEQ_WAIT`.
    pub async fn reached(&self, position: Position) -> Result<Arc<Published>> {
        let view = self.view();
        if view.position.seq >= position.seq {
            return known(view, position);
        }
        // A follower may not have heard yet of an epoch that its client knows.
        if view.position.epoch != position.epoch && view.position.epoch.counter >= position.epoch.counter {
            return Err(unknown());
        }
        let mut seq = self.0.reader.watch();
        let reached = seq.wait_for(|seq| *seq >= position.seq);
        match tokio::time::timeout(limits::MIN_SEQ_WAIT, reached).await {
            Ok(Ok(_)) => known(self.view(), position),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(Error::new(Kind::Unavailable, "the position is not reached yet").code("min_seq_not_reached")),
        }
    }

    /// The next view behind `position`, whenever it comes.
    ///
    /// # Errors
    /// `Unavailable` when the server stops.
    pub async fn past(&self, position: Position) -> Result<Arc<Published>> {
        let mut seq = self.0.reader.watch();
        match seq.wait_for(|seq| *seq > position.seq).await {
            Ok(_) => Ok(self.view()),
            Err(_) => Err(stopping()),
        }
    }

    /// What this server is to its log.
    pub fn role(&self) -> Role {
        self.0.roles.now()
    }

    /// The same, to be awaited.
    pub fn roles(&self) -> watch::Receiver<Role> {
        self.0.roles.watch()
    }

    /// Whether the next start makes the folder another one: of a snapshot, a backup, an older part of its log.
    pub fn is_leaving(&self) -> bool {
        self.0.roles.is_leaving()
    }

    /// Who this server is.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    pub(super) fn orders(&self) -> (&Sender<Ordered>, &Receiver<Ordered>) {
        (&self.0.orders, &self.0.late_orders)
    }

    /// It is known that the primary has what this log has: the tables' file may have it durably. (Until then it stays as it is,
    /// even at a clean end.)
    pub fn release_tables(&self) {
        self.0.durable.hold(false);
    }

    /// Whether consumers were told to end.
    pub fn is_stopping(&self) -> bool {
        self.0.ending.is_told()
    }

    /// Whether the writer has ended, or is about to.
    pub(super) fn is_ended(&self) -> bool {
        self.0.queue.ended.load(Ordering::SeqCst)
    }

    /// What changed when.
    pub fn slots(&self) -> &Arc<Slots> {
        &self.0.slots
    }

    /// The log, for consumers.
    pub fn log(&self) -> &log::Reader {
        &self.0.reader
    }

    /// To keep the log for a consumer.
    pub fn leases(&self) -> &Leases {
        &self.0.leases
    }

    pub(super) fn reign_turn(&self) -> MutexGuard<'_, ()> {
        self.0.reign.lock()
    }

    pub(super) fn chores(&self) -> &Chores {
        &self.0.chores
    }

    /// Tells every consumer to end: they come before the core at a stop.
    pub fn end_consumers(&self) {
        self.0.ending.end();
    }

    pub(super) fn ending(&self) -> &Ending {
        &self.0.ending
    }

    /// Set when the process has to end.
    pub fn poison(&self) -> &Poison {
        &self.0.poison
    }

    /// The folder that it lies in, and the disk of that.
    pub fn folder(&self) -> (&Arc<dyn Disk>, &Path) {
        (&self.0.disk, &self.0.dir)
    }

    /// What the writer and the applier count.
    pub fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// How the core is now. Looks at the sizes of the folder's files.
    pub fn figures(&self) -> Figures {
        let Shared { commands, queue, reader, disk, dir, .. } = &*self.0;
        let view = self.view();
        let frozen = view.stack.frozen.as_ref().map_or(0, |layer| layer.bytes());
        Figures {
            position: view.position,
            first: Position { epoch: view.position.epoch, seq: reader.first_seq() },
            log_bytes: bytes_below(&**disk, &log_dir(dir), |_| true),
            base_bytes: bytes_below(&**disk, dir, |name| name == "base"),
            layer_bytes: view.stack.fresh.bytes() + frozen,
            queued: commands.len(),
            queued_bytes: queue.bytes.load(Ordering::Relaxed),
            collections: view.schema.iter().count(),
        }
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

/// A view whose history has the position.
fn known(view: Arc<Published>, position: Position) -> Result<Arc<Published>> {
    if view.knows(position)? { Ok(view) } else { Err(unknown()) }
}

fn unknown() -> Error {
    Error::new(Kind::Precondition, "the position is not in this server's history")
}

impl Awaited {
    /// Waits for the outcome, on a thread that may.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn wait(self) -> Result<Committed> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(outcome_unknown()))
    }
}

impl Unsent {
    fn error(self) -> Error {
        match self {
            Unsent::Full(_) => queue_full(),
            Unsent::Stopping => stopping(),
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("position", &self.view().position).finish_non_exhaustive()
    }
}

impl Threads {
    /// Ends the core: commands already queued are still answered, the base is made durable, the log's end marked.
    /// Returns the last durable position.
    ///
    /// # Errors
    /// What made the core end by itself, or what went wrong at the end; nothing acknowledged is lost by it.
    pub fn stop(self) -> Result<Position> {
        self.ending.end();
        // Full or gone: it is stopping already.
        let _ = self.stop.try_send(());
        drop(self.end);
        let writer = self.writer.join();
        // It reads a view, and the base must be free of readers before it is closed. Its panic ends only itself.
        let _ = self.keeper.join();
        let applier = self.applier.join();
        let end = match (writer, applier) {
            (Ok(Held(Some(writer), _lock)), Ok(Held(applier, _))) if self.poison.cause().is_none() => {
                let position = writer.position();
                applier.close(true).and_then(|()| writer.close()).map(|()| position)
            }
            (_, Ok(Held(applier, _lock))) => {
                // Already failing: its error would say less than the cause.
                let _ = applier.close(false);
                Err(self.poison.cause().map_or_else(
                    || Error::internal("a thread of the core panicked"),
                    |(kind, cause)| Error::new(kind, cause),
                ))
            }
            _ => Err(Error::internal("a thread of the core panicked")),
        };
        // A preparer that panicked has left no more than a spare file.
        let _ = self.preparer.join();
        end
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// The files of a folder together, bytes. What goes away meanwhile counts nothing.
fn bytes_below(disk: &dyn Disk, dir: &Path, counts: impl Fn(&str) -> bool) -> u64 {
    let length = |name: &String| disk.open(&dir.join(name), Open::Read).and_then(|file| file.len()).unwrap_or(0);
    disk.list(dir).unwrap_or_default().iter().filter(|name| counts(name)).map(length).sum()
}

/// Keeps one zero-filled segment ready. What goes wrong is no matter: the writer makes its own when it must.
fn run_preparer(preparer: &mut log::Preparer, disk: &dyn Disk, dir: &Path, end: &AtomicBool) {
    let mut well = true;
    while !end.load(Ordering::Acquire) {
        if !preparer.wait_wanted(PREPARER_TICK) {
            continue;
        }
        // On a full disk even a spare would take the last of the room, if only for a moment.
        if !has_headroom(disk, dir) {
            std::thread::sleep(PREPARER_TICK);
            continue;
        }
        let made = preparer.prepare();
        if let Err(error) = &made {
            if well {
                tracing::warn!(%error, "no log segment could be prepared");
            }
            std::thread::sleep(PREPARER_TICK);
        }
        well = made.is_ok();
    }
}

/// Trims the log as it grows. A log that can't be trusted any more ends the core.
fn run_keeper(keeper: &mut Keeper, clock: &Clock, end: &AtomicBool, poison: &Poison) {
    let ends = || end.load(Ordering::Acquire) || poison.cause().is_some();
    while !ends() {
        match keeper.step(clock.now(), &ends) {
            Ok(true) => {}
            Ok(false) => std::thread::sleep(KEEPER_TICK),
            Err(error) => poison.set(error.kind(), error.to_string()),
        }
    }
}

/// Folds layers in as they come, checkpoints when due, watches the base's health.
fn run_applier(mut applier: Applier, flush: &Receiver<Flush>, flushed: &Sender<Flushed>, poison: &Poison) -> Applier {
    let mut compactor = Compactor::default();
    // Layers that are in the base. Freeing one takes longer than a write may wait: so this thread is the last to let go.
    let mut spent: Vec<Arc<Layer>> = Vec::new();
    let mut serve = || -> Result<()> {
        loop {
            let next = flush.recv_timeout(APPLIER_TICK);
            spent.retain(|layer| Arc::strong_count(layer) > 1);
            match next {
                Ok(flush) => {
                    let done = applier.apply(&flush)?;
                    spent.push(flush.layer);
                    if flushed.send(done).is_err() {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            applier.scrub_due();
            if applier.is_damaged() {
                return Err(Error::damaged(
                    "a block of the tables is not what was written: they are set aside, and the next start builds them anew from the log",
                ));
            }
            if applier.checkpoint_due() {
                applier.checkpoint()?;
            }
            if !applier.durable_mark().is_held()
                && let Some(moved) = compactor.tend(&mut applier)?
                && flushed.send(moved).is_err()
            {
                return Ok(());
            }
        }
    };
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut serve));
    match run {
        Ok(Ok(())) => {}
        Ok(Err(error)) => poison.set(error.kind(), error.to_string()),
        Err(_) => poison.set(Kind::Internal, "the applier panicked"),
    }
    compactor.end(&mut applier);
    // Whoever met the damage, the writer, a reader or this thread: the next start builds the tables anew.
    if applier.is_damaged()
        && let Err(error) = applier.quarantine()
    {
        tracing::error!(%error, "the damaged tables could not be set aside");
    }
    applier
}
