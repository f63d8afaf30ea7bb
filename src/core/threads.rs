//! The core on its threads, and [`Core`], the handle by which everyone else reads and writes.
//!
//! Threads: the writer, the applier, the segment preparer. Channels, all bounded: commands to the writer (full: 503,
//! nothing changed), one frozen layer to the applier (the writer keeps filling the fresh one meanwhile), its answer.
//! Invariant: the writer waits only for the disk and, when the layers are full, for the applier; never for a reader.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};
use tokio::sync::oneshot;

use super::{Applier, Flush, Flushed, Opened, Outcome, Poison, Published, Settings, Writer, open};
use crate::disk::{Disk, DiskLock};
use crate::error::{Error, Kind, Result};
use crate::id::{Position, Seq};
use crate::limits;
use crate::log;
use crate::model::command::{Command, Committed};
use crate::time::Clock;

/// How often an applier without work looks at its clock and at the base's health.
const APPLIER_TICK: Duration = Duration::from_millis(250);
/// How often a preparer without work looks whether it shall end.
const PREPARER_TICK: Duration = Duration::from_millis(250);
/// Pause between two pieces of a reclaim, so that client writes come first.
const RECLAIM_PAUSE: Duration = Duration::from_millis(5);

/// A command waiting for its outcome.
struct Pending {
    command: Command,
    answer: oneshot::Sender<Outcome>,
}

/// The handle: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Core(Arc<Shared>);

struct Shared {
    commands: Sender<Pending>,
    published: Arc<ArcSwap<Published>>,
    reader: log::Reader,
    poison: Poison,
    clock: Clock,
}

/// The threads and the folder's lock. Dropped without [`Threads::stop`], they end when the last [`Core`] goes.
pub struct Threads {
    stop: Sender<()>,
    /// Tells the preparer to end.
    end: Arc<AtomicBool>,
    writer: JoinHandle<Option<Writer>>,
    applier: JoinHandle<Applier>,
    preparer: JoinHandle<()>,
    poison: Poison,
    _lock: Box<dyn DiskLock>,
}

/// Opens a folder and starts the core on its threads.
///
/// # Errors
/// As [`open`]; `Internal` when the system gives no thread.
pub fn start(disk: Arc<dyn Disk>, dir: &Path, settings: &Settings, clock: Clock) -> Result<(Core, Threads)> {
    let Opened { writer, applier, mut preparer, reader, lock, .. } = open(disk, dir, settings)?;
    let poison = Poison::new();
    let (command_in, command_out) = bounded(limits::WRITER_QUEUE);
    let (stop_in, stop_out) = bounded(1);
    let (flush_in, flush_out) = bounded::<Flush>(limits::FROZEN_LAYERS_MAX);
    let (flushed_in, flushed_out) = bounded::<Flushed>(limits::FROZEN_LAYERS_MAX);
    let core = Core(Arc::new(Shared {
        commands: command_in,
        published: writer.published(),
        reader,
        poison: poison.clone(),
        clock: clock.clone(),
    }));
    let end = Arc::new(AtomicBool::new(false));
    let preparer = spawn("segments", {
        let end = end.clone();
        move || run_preparer(&mut preparer, &end)
    })?;
    let applier = spawn("applier", {
        let poison = poison.clone();
        move || run_applier(applier, &flush_out, &flushed_in, &poison)
    })?;
    let desk = Desk {
        commands: command_out,
        stop: stop_out,
        flush: flush_in,
        flushed: flushed_out,
        poison: poison.clone(),
        clock,
    };
    let writer = spawn("writer", move || desk.run(writer))?;
    Ok((core, Threads { stop: stop_in, end, writer, applier, preparer, poison, _lock: lock }))
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
        let (answer, outcome) = oneshot::channel();
        self.0.commands.try_send(Pending { command, answer }).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(Kind::Unavailable, "too many writes are waiting").code("queue_full"),
            TrySendError::Disconnected(_) => stopping(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(outcome_unknown()))
    }

    /// The view at `position` or later: what `Millpond-Min-Seq` asks for.
    ///
    /// # Errors
    /// `Precondition` when the position is not in this server's history; `Unavailable` when it is not reached within
    /// `limits::MIN_SEQ_WAIT`.
    pub async fn reached(&self, position: Position) -> Result<Arc<Published>> {
        let view = self.view();
        if view.position.seq > Seq::ZERO && view.position.epoch != position.epoch {
            return Err(Error::new(Kind::Precondition, "the position is not in this server's history"));
        }
        if view.position.seq >= position.seq {
            return Ok(view);
        }
        let mut seq = self.0.reader.watch();
        let reached = seq.wait_for(|seq| *seq >= position.seq);
        match tokio::time::timeout(limits::MIN_SEQ_WAIT, reached).await {
            Ok(Ok(_)) => Ok(self.view()),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(Error::new(Kind::Unavailable, "the position is not reached yet").code("min_seq_not_reached")),
        }
    }

    /// The log, for consumers.
    pub fn log(&self) -> &log::Reader {
        &self.0.reader
    }

    /// Set when the process has to end.
    pub fn poison(&self) -> &Poison {
        &self.0.poison
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
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
        // Full or gone: it is stopping already.
        let _ = self.stop.try_send(());
        self.end.store(true, Ordering::Release);
        let writer = self.writer.join();
        let applier = self.applier.join();
        let end = match (writer, applier) {
            (Ok(Some(writer)), Ok(applier)) if self.poison.cause().is_none() => {
                let position = writer.position();
                applier.close(true).and_then(|()| writer.close()).map(|()| position)
            }
            (_, Ok(applier)) => {
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

/// The writer's side of the channels.
struct Desk {
    commands: Receiver<Pending>,
    stop: Receiver<()>,
    flush: Sender<Flush>,
    flushed: Receiver<Flushed>,
    poison: Poison,
    clock: Clock,
}

/// What the writer's thread woke for.
enum Woke {
    Command(Pending),
    Flushed(Flushed),
    Stop,
    Idle,
    ApplierGone,
}

impl Desk {
    /// Until stopped or poisoned. `None` when the writer may not be used any more.
    fn run(self, mut writer: Writer) -> Option<Writer> {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve(&mut writer)));
        match run {
            Ok(Ok(())) => return Some(writer),
            Ok(Err(error)) => self.poison.set(error.kind(), error.to_string()),
            Err(_) => self.poison.set(Kind::Internal, "the writer panicked"),
        }
        // Those still queued were never decided.
        for pending in self.commands.try_iter() {
            let _ = pending.answer.send(Err(stopping()));
        }
        None
    }

    fn serve(&self, writer: &mut Writer) -> Result<()> {
        let mut marked = true;
        let mut reclaim_at = Some(Instant::now());
        loop {
            let wait = match reclaim_at {
                Some(at) if marked => at.saturating_duration_since(Instant::now()),
                _ if marked && writer.is_clean() => Duration::from_secs(1),
                _ => limits::MARK_IDLE,
            };
            match self.wake(wait) {
                Woke::Command(first) => {
                    let dropped = self.commit(writer, first)?;
                    if dropped {
                        reclaim_at.get_or_insert(Instant::now() + RECLAIM_PAUSE);
                    }
                    marked = false;
                }
                Woke::Flushed(flushed) => writer.adopt(flushed),
                Woke::ApplierGone => return Err(self.applier_error()),
                Woke::Stop => return self.finish(writer),
                Woke::Idle => {
                    if !marked {
                        writer.idle()?;
                        marked = true;
                    }
                }
            }
            if reclaim_at.is_some_and(|at| at <= Instant::now()) {
                reclaim_at = self.reclaim(writer)?;
                marked &= reclaim_at.is_none();
            }
            self.hand_over(writer, false)?;
        }
    }

    fn wake(&self, wait: Duration) -> Woke {
        crossbeam_channel::select_biased! {
            recv(self.flushed) -> flushed => flushed.map_or(Woke::ApplierGone, Woke::Flushed),
            recv(self.commands) -> pending => pending.map_or(Woke::Stop, Woke::Command),
            recv(self.stop) -> _ => Woke::Stop,
            default(wait) => Woke::Idle,
        }
    }

    /// One group commit of `first` and what is queued behind it. Whether a collection was dropped.
    fn commit(&self, writer: &mut Writer, first: Pending) -> Result<bool> {
        let (mut commands, mut answers) = (vec![first.command], vec![first.answer]);
        while commands.len() < limits::BATCH_COMMANDS_MAX {
            match self.commands.try_recv() {
                Ok(next) => {
                    commands.push(next.command);
                    answers.push(next.answer);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        match writer.commit(&commands, self.clock.now()) {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // A caller that hung up is no fault.
                    let _ = answer.send(outcome);
                }
                Ok(commands.iter().any(|command| matches!(command, Command::Drop(_))))
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(outcome_unknown()));
                }
                Err(error)
            }
        }
    }

    /// One piece of what a drop left behind; when to do the next.
    fn reclaim(&self, writer: &mut Writer) -> Result<Option<Instant>> {
        let Some(command) = writer.reclaim()? else { return Ok(None) };
        for outcome in writer.commit(&[command], self.clock.now())? {
            if let Err(error) = outcome {
                tracing::warn!(%error, "a dropped collection's keys could not be removed yet");
                return Ok(Some(Instant::now() + limits::MIN_SEQ_WAIT));
            }
        }
        Ok(Some(Instant::now() + RECLAIM_PAUSE))
    }

    /// Gives the applier a layer when one is due; waits for it while the layers are full.
    fn hand_over(&self, writer: &mut Writer, now: bool) -> Result<()> {
        if let Some(flush) = writer.freeze(now) {
            self.flush.send(flush).map_err(|_| self.applier_error())?;
        }
        while writer.is_full() {
            let flushed = self.flushed.recv().map_err(|_| self.applier_error())?;
            writer.adopt(flushed);
            if let Some(flush) = writer.freeze(true) {
                self.flush.send(flush).map_err(|_| self.applier_error())?;
            }
        }
        Ok(())
    }

    /// Answers what is queued and brings the base to the log's end.
    fn finish(&self, writer: &mut Writer) -> Result<()> {
        while let Ok(next) = self.commands.try_recv() {
            self.commit(writer, next)?;
            self.hand_over(writer, false)?;
        }
        while writer.is_flushing() || !writer.is_clean() {
            self.hand_over(writer, true)?;
            let flushed = self.flushed.recv().map_err(|_| self.applier_error())?;
            writer.adopt(flushed);
        }
        Ok(())
    }

    fn applier_error(&self) -> Error {
        let (kind, cause) = self.poison.cause().unwrap_or((Kind::Internal, "the applier has ended"));
        Error::new(kind, cause)
    }
}

/// Keeps one zero-filled segment ready. What goes wrong is no matter: the writer makes its own when it must.
fn run_preparer(preparer: &mut log::Preparer, end: &AtomicBool) {
    while !end.load(Ordering::Acquire) {
        if preparer.wait_wanted(PREPARER_TICK)
            && let Err(error) = preparer.prepare()
        {
            tracing::warn!(%error, "no log segment could be prepared");
            std::thread::sleep(PREPARER_TICK);
        }
    }
}

/// Folds layers in as they come, checkpoints when due, watches the base's health.
fn run_applier(
    mut applier: Applier,
    flush: &Receiver<Flush>,
    flushed: &Sender<Flushed>,
    poison: &Poison,
) -> Applier {
    let mut serve = || -> Result<()> {
        loop {
            match flush.recv_timeout(APPLIER_TICK) {
                Ok(layer) => {
                    let done = applier.apply(&layer)?;
                    drop(layer);
                    if flushed.send(done).is_err() {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if applier.is_damaged() {
                return Err(Error::damaged(
                    "a block of the tables is not what was written: they are set aside, and the next start builds them anew from the log",
                ));
            }
            if applier.checkpoint_due() {
                applier.checkpoint()?;
            }
        }
    };
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut serve));
    match run {
        Ok(Ok(())) => {}
        Ok(Err(error)) => poison.set(error.kind(), error.to_string()),
        Err(_) => poison.set(Kind::Internal, "the applier panicked"),
    }
    set_aside_if_damaged(&applier);
    applier
}

/// Whoever met the damage, writer, reader or applier: the next start must not meet it again.
fn set_aside_if_damaged(applier: &Applier) {
    if applier.is_damaged()
        && let Err(error) = applier.quarantine()
    {
        tracing::error!(%error, "the damaged tables could not be set aside: remove their file by hand");
    }
}

fn stopping() -> Error {
    Error::new(Kind::Unavailable, "the server is stopping").code("stopping")
}

fn outcome_unknown() -> Error {
    Error::new(
        Kind::OutcomeUnknown,
        "the write may or may not be on disk: ask again with its Idempotency-Key once the server is back",
    )
}
