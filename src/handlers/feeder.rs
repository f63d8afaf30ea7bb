//! One handler of kind `collection`: reads the log from its cursor, writes what it derives, and its new cursor with it.
//!
//! Invariants: what it writes and the cursor that says so are one command, refused as a whole where the cursor is not where
//! it was read; so whatever ends it, it goes on from the state and writes nothing twice. A write that is refused becomes
//! a dead letter in the same way and holds up nothing behind it; where the server can't write at all, it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::derive::{Letter, dead_letter, derive};
use super::{Means, Status};
use crate::core::{Changed, Core, Ended, Keeps, Published, changes};
use crate::error::{Error, Result};
use crate::id::{Mark, Position, RecordId, Seq};
use crate::limits;
use crate::log::Logged;
use crate::model::command::{Advance, Command, Derived, Refusal};
use crate::model::handler::{Deed, HANDLERS, Handler};
use crate::state;

/// How long it waits for a change before it looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);
/// Pause after a failure that is the server's.
const RETRY_TICKS: u32 = 10;

/// The thread's own.
pub(super) struct Feeder {
    pub(super) core: Core,
    pub(super) id: RecordId,
    pub(super) means: Arc<Means>,
    pub(super) status: Arc<Status>,
    pub(super) over: Arc<AtomicBool>,
}

/// A handler as it stands in one view.
struct Standing {
    view: Arc<Published>,
    version: Position,
    handler: Handler,
    cursor: Mark,
}

/// What ends a run with one standing.
enum Over {
    /// It is to be read anew.
    Anew,
    /// There is nothing to do for this thread any more.
    Ended,
    /// The server can't: later.
    Later(Error),
}

impl From<Ended> for Over {
    fn from(ended: Ended) -> Over {
        match ended {
            Ended::Stopping => Over::Ended,
            Ended::Failed(error) => Over::Later(error),
            Ended::Trimmed(_) | Ended::Reset => Over::Anew,
        }
    }
}

/// A change that was dealt with.
struct Item {
    /// Behind it.
    mark: Mark,
    /// What is to be written for it.
    write: Option<Derived>,
    /// Where something is: what is left if it is refused. Where nothing is: why there could be nothing.
    letter: Option<Letter>,
}

impl Feeder {
    /// Until the handler is gone or disabled, or the core's consumers are to end.
    pub(super) fn run(self) {
        loop {
            let over = match self.standing() {
                Ok(Some(standing)) => self.follow(standing).err().unwrap_or(Over::Anew),
                Ok(None) => return,
                Err(error) => Over::Later(error),
            };
            match over {
                Over::Anew => {}
                Over::Ended => return,
                Over::Later(error) => {
                    self.status.failed(&error);
                    if !self.pause() {
                        return;
                    }
                }
            }
        }
    }

    /// The handler as it is now; `None` where it is not to be carried out here.
    fn standing(&self) -> Result<Option<Standing>> {
        let view = self.core.view();
        let Some(own) = view.schema.find(HANDLERS).cloned() else { return Ok(None) };
        let Some(record) = state::record(&view.stack, &own, &self.id)? else { return Ok(None) };
        let Some(cursor) = state::cursor(&view.stack, &self.id)? else { return Ok(None) };
        let handler = Handler::read(&view.schema, &own, &record.fields)?;
        if !handler.enabled || !matches!(handler.deed, Deed::Collection(_)) {
            return Ok(None);
        }
        Ok(Some(Standing { view, version: record.version, handler, cursor }))
    }

    fn follow(&self, mut standing: Standing) -> Result<(), Over> {
        let after = Position { epoch: standing.cursor.position.epoch, seq: standing.cursor.whole() };
        let mut consumer = match self.core.consumer(after, Keeps::Log) {
            Ok(consumer) => consumer,
            Err(Ended::Trimmed(first)) => return self.skip(&standing, Some(first)),
            Err(Ended::Reset) => return self.skip(&standing, None),
            Err(other) => return Err(other.into()),
        };
        let mut passed = 0;
        loop {
            let batch = consumer.next_batch(limits::HANDLER_BATCH_BYTES)?;
            if batch.is_empty() {
                consumer.wait(TICK)?;
            }
            if self.over.load(Ordering::Relaxed) {
                return Err(Over::Ended);
            }
            let view = self.still(&standing)?;
            let Some(end) = batch.last().map(|logged| Mark::from(logged.position)) else { continue };
            let (mut items, seen) = self.items(&standing, &view, &batch)?;
            passed += seen;
            let last = items.last().map(|item| item.mark);
            items.retain(|item| Some(item.mark) == last || item.letter.is_some());
            if passed >= limits::HANDLER_PASSED_MAX || items.iter().any(|item| item.letter.is_some()) {
                self.commit(&mut standing, &items)?;
                passed = 0;
                consumer.done(standing.cursor.whole());
            }
            self.status.reached(end);
        }
    }

    /// The newest view, in which the handler and all definitions are what they were.
    fn still(&self, standing: &Standing) -> Result<Arc<Published>, Over> {
        let view = self.core.view();
        let own = view.schema.find(HANDLERS).filter(|_| view.schema.version() == standing.view.schema.version());
        let own = own.ok_or(Over::Anew)?;
        let record = state::record(&view.stack, own, &self.id).map_err(Over::Later)?;
        if record.is_some_and(|record| record.version == standing.version) { Ok(view) } else { Err(Over::Anew) }
    }

    /// What is to be done for the changes of a batch behind the cursor, in order, and how many entries had any.
    fn items(&self, standing: &Standing, view: &Published, batch: &[Arc<Logged>]) -> Result<(Vec<Item>, usize), Over> {
        let (mut items, mut seen) = (Vec::new(), 0);
        for logged in batch {
            let before = items.len();
            for changed in changes(logged).filter(|changed| changed.mark > standing.cursor) {
                items.push(self.item(standing, view, &changed)?);
            }
            seen += usize::from(items.len() > before);
        }
        Ok((items, seen))
    }

    fn item(&self, standing: &Standing, view: &Published, changed: &Changed<'_>) -> Result<Item, Over> {
        let mark = changed.mark;
        match derive(&standing.handler, view, changed, &self.means) {
            Ok(None) => Ok(Item { mark, write: None, letter: None }),
            Ok(write) => Ok(Item { mark, write, letter: Some(Letter::of(view, changed)) }),
            Err(error) => {
                let refusal = refusal(error)?;
                self.status.failed(&refusal);
                Ok(Item { mark, write: None, letter: Some(Letter::of(view, changed).because(&refusal)) })
            }
        }
    }

    /// Writes all that is to be written, and the cursor.
    fn commit(&self, standing: &mut Standing, items: &[Item]) -> Result<(), Over> {
        let mut rest = items;
        let mut end = rest.len().min(limits::HANDLER_WRITES_MAX);
        while !rest.is_empty() {
            let mut numbers = Vec::new();
            let mut writes = Vec::new();
            for (at, item) in rest[..end].iter().enumerate() {
                let write = match (&item.write, &item.letter) {
                    (Some(write), _) => write.clone(),
                    (None, Some(letter)) => self.letter(standing, letter)?,
                    (None, None) => continue,
                };
                numbers.push(at);
                writes.push(write);
            }
            let to = rest[end - 1].mark;
            match self.submit(standing, to, writes) {
                Ok(()) => {
                    rest = &rest[end..];
                    end = rest.len().min(limits::HANDLER_WRITES_MAX);
                }
                Err(Refused::Over(over)) => return Err(over),
                Err(Refused::Write(at, refusal)) => {
                    let at = at.and_then(|at| numbers.get(at).copied()).unwrap_or(end / 2);
                    if end > 1 {
                        // What lies before it first, then it alone.
                        end = at.max(1);
                    } else {
                        self.give_up(standing, &rest[0], &refusal)?;
                        rest = &rest[1..];
                        end = rest.len().min(limits::HANDLER_WRITES_MAX);
                    }
                }
            }
        }
        Ok(())
    }

    fn letter(&self, standing: &Standing, letter: &Letter) -> Result<Derived, Over> {
        dead_letter(&standing.view, &self.id, letter, &self.means).map_err(Over::Later)
    }

    /// A change whose write is refused is left as a dead letter.
    fn give_up(&self, standing: &mut Standing, item: &Item, refusal: &Error) -> Result<(), Over> {
        let Some(letter) = item.letter.clone().filter(|_| item.write.is_some()) else {
            // The dead letter itself is refused, or nothing but the cursor.
            return Err(Over::Later(Error::internal(format!("a handler's way can't be logged: {refusal}"))));
        };
        self.status.failed(refusal);
        self.leave(standing, item.mark, &letter.because(refusal))
    }

    /// The changes up to the log's beginning, or all, are gone: one dead letter says so.
    fn skip(&self, standing: &Standing, first: Option<Seq>) -> Result<(), Over> {
        let view = self.core.view();
        let seq = first.map_or(view.position.seq, Seq::before);
        let to = Mark::from(Position { epoch: view.position.epoch, seq });
        let error = format!("the changes from {} up to {to} are not in the log any more", standing.cursor);
        let letter =
            Letter { kind: "gap", position: to.to_string(), event: None, error, time: self.core.clock().now() };
        let mut standing = Standing {
            view: standing.view.clone(),
            version: standing.version,
            handler: standing.handler.clone(),
            cursor: standing.cursor,
        };
        self.leave(&mut standing, to, &letter)
    }

    fn leave(&self, standing: &mut Standing, to: Mark, letter: &Letter) -> Result<(), Over> {
        let letter = self.letter(standing, letter)?;
        match self.submit(standing, to, vec![letter]) {
            Ok(()) => Ok(()),
            Err(Refused::Over(over)) => Err(over),
            Err(Refused::Write(_, error)) => Err(Over::Later(error)),
        }
    }

    fn submit(&self, standing: &mut Standing, to: Mark, writes: Vec<Derived>) -> Result<(), Refused> {
        let advance =
            Advance { handler: self.id.clone(), version: standing.version, from: standing.cursor, to, writes };
        self.status.sent(advance.writes.len());
        let sent = self.core.send_when_room(Command::Advance(Box::new(advance)));
        let outcome = sent.and_then(|awaited| awaited.wait());
        self.status.answered(outcome.is_ok());
        match outcome {
            Ok(_) => {
                standing.cursor = to;
                Ok(())
            }
            Err(error) if matches!(error.code_str(), "handler_moved" | "stale_schema") => {
                Err(Refused::Over(Over::Anew))
            }
            Err(error) => {
                let at = error.write();
                refusal(error).map_or_else(|over| Err(Refused::Over(over)), |error| Err(Refused::Write(at, error)))
            }
        }
    }

    /// Whatever is written meanwhile; whether to go on.
    fn pause(&self) -> bool {
        for _ in 0..RETRY_TICKS {
            std::thread::sleep(TICK);
            let ends = matches!(self.core.consumer(self.core.view().position, Keeps::Nothing), Err(Ended::Stopping));
            if ends || self.over.load(Ordering::Relaxed) {
                return false;
            }
        }
        true
    }
}

/// Why a command was not carried out.
enum Refused {
    Over(Over),
    /// A write is refused: its number, if it is one's.
    Write(Option<usize>, Error),
}

/// What is about the change that was to be written for; anything else is the server's and is tried again.
fn refusal(error: Error) -> Result<Error, Over> {
    let Refusal { kind, code, message, faults } = Refusal::of(error).map_err(Over::Later)?;
    Ok(Error::new(kind, message).code(code).faults(faults))
}
