//! Handlers of kind `webhook`: each change that one wants is sent as a message, in order for each record, many records at
//! once, until it is answered with 2xx or given up.
//!
//! What is read of the log and not delivered lies in a `window`; a message is made when it is read (`message`), sent by
//! tasks on a runtime that all webhooks share (by [`crate::outbound::webhook`]), and tried again after pauses. The cursor
//! follows behind the oldest that is not delivered, at most a few times a second.
//!
//! Invariants: at least once: what is delivered beyond the cursor is known here alone, so a restart sends it again, with
//! the same id: all that was delivered behind the oldest that is still tried, which may be a day's. While the window is
//! full nothing is read: no write and no other handler ever waits for a receiver. The pauses of a message begin anew with a restart, so they may last longer than a day then.

pub(super) mod message;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::derive::wants;
use super::feeder::{Feeder, Over, Refused, Standing, TICK, refusal};
use super::letter::Letter;
use super::passed::Passed;
use crate::core::{Changed, Consumer, Ended, Keeps, What, changes};
use crate::error::{Error, Result};
use crate::id::{Mark, Position, Seq};
use crate::limits;
use crate::log::Logged;
use crate::model::command::{Command, Condition, Rewind, Write};
use crate::model::handler::{HANDLERS, Webhook};
use crate::model::pipeline;
use crate::outbound::webhook::{Failure, Message, Sender};
use crate::time::Millis;

use window::Window;

/// Pause before a cursor is logged again that could not be.
const CURSOR_RETRY: Duration = Duration::from_secs(1);

/// Until something ends it.
pub(super) fn follow(feeder: &Feeder, webhook: Webhook, standing: Standing, consumer: Consumer) -> Result<(), Over> {
    let mut run = Run {
        feeder,
        sender: Arc::new(Sender::new(webhook, feeder.means.dialer.clone())),
        window: Window::new(standing.cursor),
        seen: standing.view.position,
        standing,
        consumer,
        batch: VecDeque::new(),
        tasks: JoinSet::new(),
        at: None,
        passed: Passed::default(),
        is_moved: false,
        is_stuck: false,
        logged: Instant::now(),
    };
    let over = run.go();
    run.settle();
    over
}

type Outcome = Result<(Mark, Arc<Message>, Result<(), Failure>), JoinError>;

struct Run<'a> {
    feeder: &'a Feeder,
    sender: Arc<Sender>,
    window: Window,
    standing: Standing,
    /// The view that the handler was last looked up in.
    seen: Position,
    consumer: Consumer,
    /// Read, and not all in the window yet.
    batch: VecDeque<Arc<Logged>>,
    /// Deliveries that are under way; they end when this goes.
    tasks: JoinSet<(Mark, Arc<Message>, Result<(), Failure>)>,
    /// When the last entry that was read was logged.
    at: Option<Millis>,
    passed: Passed,
    /// Something was delivered or given up since the cursor was logged.
    is_moved: bool,
    /// The cursor could not be logged when it was due.
    is_stuck: bool,
    /// When the cursor was logged, or is to be tried again.
    logged: Instant,
}

impl Run<'_> {
    fn go(&mut self) -> Result<(), Over> {
        loop {
            if self.feeder.ends() {
                return Err(Over::Ended);
            }
            self.look()?;
            self.read()?;
            self.begin();
            self.keep_cursor()?;
            self.tell();
            if let Some(outcome) = self.wait()? {
                self.end(outcome)?;
            }
            while let Some(outcome) = self.tasks.try_join_next() {
                self.end(outcome)?;
            }
        }
    }

    /// Whether the handler is what it was. Other definitions change without it: then its expressions are compiled anew; and
    /// where one of those has changed that messages were made by, these are made again, with the ids that they have: a
    /// field that was hidden meanwhile is not sent.
    fn look(&mut self) -> Result<(), Over> {
        if let Some(since) = self.feeder.status.again() {
            return Err(self.again(since));
        }
        let view = self.feeder.core.view();
        if view.position == self.seen {
            return Ok(());
        }
        self.seen = view.position;
        match self.feeder.still(&self.standing) {
            Ok(view) => {
                self.standing.view = view;
                Ok(())
            }
            Err(Over::Anew) => {
                let new = self.feeder.standing().map_err(Over::Later)?.ok_or(Over::Anew)?;
                let is_same = new.version == self.standing.version && new.cursor == self.standing.cursor;
                let definition = |standing: &Standing, of| standing.view.schema.get(of).map(|found| found.defined);
                let mut sources = self.standing.handler.sources.iter().map(|source| source.collection);
                if !is_same || sources.any(|of| definition(&new, of) != definition(&self.standing, of)) {
                    return Err(Over::Anew);
                }
                self.standing = new;
                Ok(())
            }
            Err(over) => Err(over),
        }
    }

    /// What was delivered behind a place is sent again: it is forgotten, and where the cursor is past it, it goes back.
    fn again(&mut self, since: Mark) -> Over {
        self.is_moved = false;
        if since >= self.standing.cursor {
            return Over::Anew;
        }
        let rewind = Command::Rewind(Rewind { handler: self.feeder.id.clone(), to: since });
        let rewound = self.feeder.core.send_when_room(rewind).and_then(|awaited| awaited.wait());
        rewound.map_or_else(Over::Later, |_| Over::Anew)
    }

    /// Reads on as long as there is room.
    fn read(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        if self.window.make_room(now) > 0 {
            self.feeder.status.refused("as many changes of one record wait as may: the oldest are given up");
            self.is_moved = true;
        }
        while self.window.has_room() && !self.is_stuck {
            let Some(logged) = self.batch.front().cloned() else {
                match self.consumer.next_batch(limits::HANDLER_BATCH_BYTES) {
                    Ok(batch) if batch.is_empty() => return Ok(()),
                    Ok(batch) => {
                        // What was read is no newer than the definitions that it is told by.
                        self.look()?;
                        self.batch = batch.into();
                    }
                    Err(Ended::Trimmed(first)) => self.leap(first)?,
                    Err(ended) => return Err(ended.into()),
                }
                continue;
            };
            let mut seen = false;
            for changed in changes(&logged) {
                if changed.mark <= self.window.read() {
                    continue;
                }
                if !self.window.has_room() {
                    return Ok(());
                }
                seen = true;
                self.take(&changed, now)?;
            }
            self.window.pass(Mark::from(logged.position));
            self.at = Some(logged.time);
            self.passed.add(&logged, seen);
            self.batch.pop_front();
        }
        Ok(())
    }

    /// What comes next is not in the log any more: it is given up as one, and what was read before goes on meanwhile.
    fn leap(&mut self, first: Seq) -> Result<(), Over> {
        let from = self.window.read();
        let (to, letter) = self.feeder.gap(from, self.standing.view.position.epoch, first);
        match self.feeder.core.consumer(to.position, Keeps::Nothing) {
            Ok(consumer) => self.consumer = consumer,
            // It goes on: so does the next look.
            Err(Ended::Trimmed(_)) => return Ok(()),
            Err(other) => return Err(other.into()),
        }
        self.window.refuse(to, letter);
        self.feeder.status.lost(from, to);
        self.is_moved = true;
        Ok(())
    }

    fn take(&mut self, changed: &Changed<'_>, now: Instant) -> Result<(), Over> {
        let mark = changed.mark;
        let What::Record(change) = &changed.what else {
            self.window.pass(mark);
            return Ok(());
        };
        let view = &self.standing.view;
        let made = wants(&self.standing.handler, view, changed, change)
            .and_then(|wanted| wanted.map(|_| message::message(&self.feeder.id, view, changed, change)).transpose());
        match made {
            Ok(None) => self.window.pass(mark),
            Ok(Some(message)) => {
                let lane = (change.collection, change.id.clone());
                self.window.put(mark, lane, Arc::new(message), now);
            }
            Err(error) => {
                let refusal = refusal(error)?;
                self.feeder.status.failed(&refusal);
                self.window.refuse(mark, Letter::of(view, changed).because(&refusal));
                self.is_moved = true;
            }
        }
        Ok(())
    }

    /// Begins what may begin.
    fn begin(&mut self) {
        let now_s = self.feeder.core.clock().now().seconds();
        while self.tasks.len() < limits::HANDLER_DELIVERIES_MAX {
            let Some((mark, message)) = self.window.begin(Instant::now()) else { return };
            let sender = self.sender.clone();
            let task = async move {
                let outcome = sender.send(&message, now_s).await;
                (mark, message, outcome)
            };
            self.tasks.spawn_on(task, &self.feeder.runtime);
        }
    }

    /// A delivery has ended.
    fn end(&mut self, outcome: Outcome) -> Result<(), Over> {
        let (mark, message, outcome) =
            outcome.map_err(|error| Over::Later(Error::internal("a delivery panicked").source(error)))?;
        let now = Instant::now();
        let failure = match outcome {
            Ok(()) => {
                self.window.done(mark, now);
                self.feeder.status.delivered();
                self.is_moved = true;
                return Ok(());
            }
            Err(failure) => failure,
        };
        self.feeder.status.refused(&failure.message);
        let (failed, since) = self.window.failed(mark, now);
        match self.feeder.means.pauses.pause(failed, jitter(&message, failed), failure.asked, since) {
            Some(pause) => self.window.again(mark, now + pause),
            None => {
                let letter = Letter::undelivered(mark, &message, failed, &failure.message);
                self.window.give_up(mark, letter, now);
                self.is_moved = true;
            }
        }
        if failure.gone { Err(self.disable()) } else { Ok(()) }
    }

    /// The receiver wants no more messages: what Standard Webhooks ask of a sender then.
    fn disable(&self) -> Over {
        let Feeder { core, id, means, .. } = self.feeder;
        tracing::warn!(handler = %id, "the receiver of a webhook answers 410: the handler is disabled");
        let disabled = || -> Result<()> {
            let view = core.view();
            let own = view.schema.find(HANDLERS).ok_or_else(|| Error::internal("there are no handlers"))?;
            let still = Condition::Versions(vec![self.standing.version]);
            let op = pipeline::merge(own, id, br#"{"enabled":false}"#, Some(still), true)?;
            let write = Write { collection: own.id, schema: own.version, guard: means.guard.clone(), op };
            core.send_when_room(Command::Write(vec![write]))?.wait().map(|_| ())
        };
        match disabled() {
            Ok(()) => Over::Anew,
            Err(error) => Over::Later(error),
        }
    }

    /// Logs the cursor when that is due. Where the server can't write, nothing more is read until it can: what was
    /// delivered since stays known, and is not sent again.
    fn keep_cursor(&mut self) -> Result<(), Over> {
        match self.log_cursor(false) {
            Err(Over::Later(error)) => {
                self.feeder.status.failed(&error);
                self.is_stuck = true;
                self.logged = Instant::now() + CURSOR_RETRY;
                Ok(())
            }
            other => other,
        }
    }

    /// Logs the cursor, and what was given up before it, when that is due.
    fn log_cursor(&mut self, now: bool) -> Result<(), Over> {
        let through = self.window.done_through();
        let is_due =
            (self.is_moved || self.passed.is_due()) && (now || self.logged.elapsed() >= limits::HANDLER_CURSOR_PAUSE);
        if through <= self.standing.cursor || !is_due {
            return Ok(());
        }
        let Feeder { id, means, .. } = self.feeder;
        while self.standing.cursor < through {
            let (to, letters) = self.window.letters(through);
            let writes = letters.iter().map(|letter| letter.write(&self.standing.view, id, means));
            let writes = writes.collect::<Result<Vec<_>>>().map_err(Over::Later)?;
            let Standing { version, cursor, .. } = self.standing;
            self.feeder.submit(version, cursor, to, writes).map_err(Refused::over)?;
            self.standing.cursor = to;
            self.window.forget_letters(to);
        }
        (self.is_moved, self.is_stuck, self.passed, self.logged) = (false, false, Passed::default(), Instant::now());
        Ok(())
    }

    fn tell(&self) {
        let at = self.window.oldest().or(self.at);
        self.feeder.status.standing(self.window.counts(), self.window.done_through(), at);
    }

    /// Until there is something to do.
    fn wait(&mut self) -> Result<Option<Outcome>, Over> {
        let Run { feeder, window, standing, consumer, batch, tasks, is_moved, is_stuck, logged, .. } = self;
        let mut wait = TICK;
        if tasks.len() < limits::HANDLER_DELIVERIES_MAX
            && let Some(at) = window.next_at()
        {
            wait = wait.min(at.saturating_duration_since(Instant::now()));
        }
        if *is_moved && window.done_through() > standing.cursor {
            wait = wait.min(limits::HANDLER_CURSOR_PAUSE.saturating_sub(logged.elapsed()));
        }
        let reads = window.has_room() && batch.is_empty() && !*is_stuck;
        feeder.runtime.block_on(async {
            tokio::select! {
                Some(outcome) = tasks.join_next() => Ok(Some(outcome)),
                woken = consumer.woken(), if reads => woken.map(|()| None).map_err(Over::from),
                () = tokio::time::sleep(wait) => Ok(None),
            }
        })
    }

    /// What was delivered stays so, whatever ended the run: also where the handler has changed since.
    fn settle(&mut self) {
        self.tasks.abort_all();
        self.feeder.status.standing((0, 0, 0), self.window.done_through(), self.at);
        let Ok(Some((version, cursor))) = self.feeder.place() else { return };
        if !self.is_moved || cursor != self.standing.cursor {
            return;
        }
        self.standing.version = version;
        self.standing.view = self.feeder.core.view();
        if let Err(Over::Later(error)) = self.log_cursor(true) {
            tracing::warn!(handler = %self.feeder.id, %error, "a handler's cursor could not be logged");
        }
    }
}

/// 0 to 1, another for each message and each try.
fn jitter(message: &Message, failed: u32) -> f64 {
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(message.id.as_bytes(), u64::from(failed));
    hash as f64 / u64::MAX as f64
}
