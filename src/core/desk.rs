//! The writer's thread: takes what is queued, has it committed as one group, answers, and hands layers to the applier.
//!
//! Invariants: it waits only for the disk and, when the layers are full, for the applier, never for a reader; every
//! command that was queued gets an answer, also those that come while it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::applier::Durable;
use super::order::{Ground, Ordered};
use super::{Flush, Flushed, Outcome, Poison, Writer};
use crate::disk::Disk;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::command::Command;
use crate::time::Clock;

/// How often a writer without work looks whether its fresh layer is old enough for the base.
const WRITER_TICK: Duration = limits::FRESH_AGE_FREEZE;
/// Pause after a piece of the server's own works while clients write, in times that the piece took: they come first.
const WORK_PAUSE_BUSY: u32 = 4;
/// Time after which a piece is due however busy the writer and the applier are.
const WORK_GAP_MAX: Duration = Duration::from_millis(100);
/// Pause before the next look whether the applier has caught up.
const WORK_PAUSE_BEHIND: Duration = Duration::from_millis(5);
/// Pause after a piece that could not be logged.
const WORK_RETRY: Duration = Duration::from_secs(5);

/// A command waiting for its outcome.
pub(super) struct Pending {
    pub(super) command: Command,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// What senders to the writer must know of it.
#[derive(Default)]
pub(super) struct Queue {
    /// Of the commands that wait.
    pub(super) bytes: AtomicUsize,
    /// Set before the writer looks at its queue for the last time.
    pub(super) ended: AtomicBool,
}

/// The writer's side of the channels.
pub(super) struct Desk {
    pub(super) commands: Receiver<Pending>,
    pub(super) queue: Arc<Queue>,
    pub(super) stop: Receiver<()>,
    pub(super) orders: Receiver<Ordered>,
    pub(super) flush: Sender<Flush>,
    pub(super) flushed: Receiver<Flushed>,
    pub(super) poison: Poison,
    pub(super) clock: Clock,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) durable: Durable,
}

/// What the writer's thread does when there is nothing to do, and when.
struct Idle {
    /// When to mark the log's end.
    mark_at: Option<Instant>,
    /// When to do the next piece of the server's own works.
    work_at: Option<Instant>,
    /// When the last one was done.
    worked: Instant,
    /// Whether a client wrote since then.
    busy: bool,
    /// When to look for answers past their age.
    forget_at: Instant,
}

impl Idle {
    /// How long there is nothing to do.
    fn wait(&self) -> Duration {
        let next = self.mark_at.into_iter().chain(self.work_at).min();
        next.map_or(WRITER_TICK, |at| at.saturating_duration_since(Instant::now()).min(WRITER_TICK))
    }

    fn wrote(&mut self, may_have_work: bool) {
        let now = Instant::now();
        self.busy = true;
        self.mark_at = Some(now + limits::MARK_IDLE);
        if may_have_work {
            self.work_at.get_or_insert(now);
        }
    }

    /// A piece was begun at `began`; the next is due `pause` after it, or later while clients write.
    fn worked(&mut self, began: Instant, pause: Duration) {
        let now = Instant::now();
        let busy = std::mem::take(&mut self.busy);
        let pause = if busy { pause.max((now - began) * WORK_PAUSE_BUSY).min(pause.max(WORK_GAP_MAX)) } else { pause };
        self.mark_at = Some(now + limits::MARK_IDLE);
        self.work_at = Some(now + pause);
        self.worked = now;
    }
}

/// What the writer's thread woke for.
enum Woke {
    Command(Pending),
    Order(Ordered),
    Flushed(Flushed),
    Stop,
    Idle,
    ApplierGone,
}

impl Desk {
    /// Until stopped or poisoned. `None` when the writer may not be used any more.
    pub(super) fn run(self, mut writer: Writer) -> Option<Writer> {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve(&mut writer)));
        let usable = match run {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                self.poison.set(error.kind(), error.to_string());
                false
            }
            Err(_) => {
                self.poison.set(Kind::Internal, "the writer panicked");
                false
            }
        };
        self.queue.ended.store(true, Ordering::SeqCst);
        refuse_all(&self.commands);
        refuse_orders(&self.orders);
        usable.then_some(writer)
    }

    fn serve(&self, writer: &mut Writer) -> Result<()> {
        let now = Instant::now();
        let mut idle = Idle { mark_at: None, work_at: Some(now), worked: now, busy: false, forget_at: now };
        loop {
            match self.wake(idle.wait()) {
                Woke::Command(first) => {
                    self.commit(writer, first)?;
                    idle.wrote(writer.may_have_work());
                }
                Woke::Order(ordered) => {
                    let ground = Ground { disk: &*self.disk, dir: &self.dir, durable: &self.durable };
                    ordered.obey(writer, self.clock.now(), &ground)?;
                    idle.wrote(writer.may_have_work());
                }
                Woke::Flushed(flushed) => writer.adopt(flushed),
                Woke::ApplierGone => return Err(self.applier_error()),
                Woke::Stop => return self.finish(writer),
                Woke::Idle => {}
            }
            let now = Instant::now();
            if idle.mark_at.is_some_and(|at| at <= now) {
                writer.idle()?;
                idle.mark_at = None;
            }
            if idle.work_at.is_some_and(|at| at <= now) {
                self.work(writer, &mut idle)?;
            }
            if idle.forget_at <= now {
                self.forget(writer, &mut idle)?;
            }
            self.hand_over(writer, false)?;
        }
    }

    fn wake(&self, wait: Duration) -> Woke {
        crossbeam_channel::select_biased! {
            recv(self.flushed) -> flushed => flushed.map_or(Woke::ApplierGone, Woke::Flushed),
            recv(self.orders) -> ordered => ordered.map_or(Woke::Stop, Woke::Order),
            recv(self.commands) -> pending => pending.map_or(Woke::Stop, Woke::Command),
            recv(self.stop) -> _ => Woke::Stop,
            default(wait) => Woke::Idle,
        }
    }

    /// One group commit of `first` and what is queued behind it.
    fn commit(&self, writer: &mut Writer, first: Pending) -> Result<()> {
        let expected = 1 + self.commands.len().min(limits::BATCH_COMMANDS_MAX);
        let (mut commands, mut answers) = (Vec::with_capacity(expected), Vec::with_capacity(expected));
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(pending) = next {
            bytes += pending.bytes;
            commands.push(pending.command);
            answers.push(pending.answer);
            let room = commands.len() < limits::BATCH_COMMANDS_MAX && bytes < limits::BATCH_BYTES_MAX;
            next = if room { self.commands.try_recv().ok() } else { None };
        }
        self.queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
        match writer.commit(&commands, self.clock.now()) {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // A caller that hung up is no fault.
                    let _ = answer.send(outcome);
                }
                Ok(())
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(outcome_unknown()));
                }
                Err(error)
            }
        }
    }

    /// One piece of the server's own works, if there is any. What the layers are filled with while the applier is behind,
    /// clients would wait for once they are full: so pieces wait, but not for ever.
    fn work(&self, writer: &mut Writer, idle: &mut Idle) -> Result<()> {
        let began = Instant::now();
        if writer.is_behind() && began - idle.worked < WORK_GAP_MAX {
            idle.work_at = Some(began + WORK_PAUSE_BEHIND);
            return Ok(());
        }
        let Some(command) = writer.work()? else {
            idle.work_at = None;
            return Ok(());
        };
        let mut pause = Duration::ZERO;
        for outcome in writer.commit(&[command], self.clock.now())? {
            if let Err(error) = outcome {
                tracing::warn!(%error, "a piece of the server's own work could not be done yet");
                pause = WORK_RETRY;
            }
        }
        idle.worked(began, pause);
        Ok(())
    }

    /// One piece of the answers that are past their age. The next is due soon, and when there is none, as late as it may be.
    fn forget(&self, writer: &mut Writer, idle: &mut Idle) -> Result<()> {
        let now = self.clock.now();
        let mut pause = limits::ANSWERS_FORGOTTEN_EVERY;
        if writer.has_old_answers(now)? && writer.commit(&[Command::Forget], now)?.iter().all(Result::is_ok) {
            pause = WORK_GAP_MAX;
            idle.mark_at = Some(Instant::now() + limits::MARK_IDLE);
        }
        idle.forget_at = Instant::now() + pause;
        Ok(())
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
            if !writer.is_flushing() {
                continue;
            }
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

/// Answers those that were never decided.
pub(super) fn refuse_all(commands: &Receiver<Pending>) {
    for pending in commands.try_iter() {
        // A caller that hung up is no fault.
        let _ = pending.answer.send(Err(stopping()));
    }
}

/// The same of orders that were never carried out.
pub(super) fn refuse_orders(orders: &Receiver<Ordered>) {
    for ordered in orders.try_iter() {
        // A caller that hung up is no fault.
        let _ = ordered.answer.send(Err(stopping()));
    }
}

pub(super) fn queue_full() -> Error {
    Error::new(Kind::Unavailable, "too many writes are waiting").code("queue_full")
}

pub(super) fn stopping() -> Error {
    Error::new(Kind::Unavailable, "the server is stopping").code("stopping")
}

pub(super) fn outcome_unknown() -> Error {
    Error::new(
        Kind::OutcomeUnknown,
        "the write may or may not be on disk: ask again with its Idempotency-Key once the server is back",
    )
}
