//! One handler's thread: the handler as it stands, its consumer, and its cursor, whatever its kind does with a change.
//!
//! Invariants: a cursor moves by compare-and-set, and only from where it was read; so whatever ends the thread, it goes on
//! from the state. A cursor lies in the state that the log made, so it is a place of this log's history, whatever epochs
//! have begun since. Where the server can't write at all, the handler waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::letter::Letter;
use super::{Means, Status, cache, collection, webhook};
use crate::core::{Consumer, Core, Ended, Keeps, Published, Role};
use crate::error::{Error, Result};
use crate::id::{Epoch, Mark, Position, RecordId, Seq};
use crate::limits;
use crate::log::Logged;
use crate::model::command::{Advance, Command, Derived, Refusal};
use crate::model::handler::{Deed, HANDLERS, Handler};
use crate::state;

/// How long it waits for a change before it looks whether it is to end.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Pause after a failure that is the server's.
const RETRY_TICKS: u32 = 10;

/// The thread's own.
pub(super) struct Feeder {
    pub(super) core: Core,
    pub(super) id: RecordId,
    pub(super) means: Arc<Means>,
    pub(super) status: Arc<Status>,
    pub(super) over: Arc<AtomicBool>,
    /// Where messages are sent from.
    pub(super) runtime: tokio::runtime::Handle,
}

/// A handler as it stands in one view.
pub(super) struct Standing {
    pub(super) view: Arc<Published>,
    pub(super) version: Position,
    pub(super) handler: Handler,
    pub(super) cursor: Mark,
}

/// What ends a run with one standing.
#[derive(Debug)]
pub(super) enum Over {
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
            Ended::Trimmed(_) => Over::Anew,
            Ended::Reset => Over::Later(Error::internal("the cursor of a handler lies behind the log's end")),
        }
    }
}

/// Why a command was not carried out.
pub(super) enum Refused {
    Over(Over),
    /// A write is refused: its number, if it is one's.
    Write(Option<usize>, Box<Error>),
}

impl Refused {
    /// Where every refusal is the server's.
    pub(super) fn over(self) -> Over {
        match self {
            Refused::Over(over) => over,
            Refused::Write(_, error) => Over::Later(*error),
        }
    }
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

    fn follow(&self, standing: Standing) -> Result<(), Over> {
        let consumer = self.consumer(&standing)?;
        match &standing.handler.deed {
            Deed::Collection(_) => collection::follow(self, standing, consumer),
            Deed::Webhook(webhook) => {
                let webhook = webhook.clone();
                webhook::follow(self, webhook, standing, consumer)
            }
            Deed::Cache(patterns) => {
                let patterns = patterns.clone();
                cache::follow(self, &patterns, standing, consumer)
            }
        }
    }

    /// The handler as it is now; `None` where it is not to be carried out.
    pub(super) fn standing(&self) -> Result<Option<Standing>> {
        let view = self.core.view();
        let Some(own) = view.schema.find(HANDLERS).cloned() else { return Ok(None) };
        let Some(record) = state::record(&view.stack, &own, &self.id)? else { return Ok(None) };
        let Some(cursor) = state::cursor(&view.stack, &self.id)? else { return Ok(None) };
        if !super::is_enabled(&own, &record.fields) {
            return Ok(None);
        }
        let handler = Handler::read(&view.schema, &own, &record.fields)?;
        Ok(Some(Standing { view, version: record.version, handler, cursor }))
    }

    /// The version of the handler's record and its cursor as they are now, whatever the handler has come to be.
    pub(super) fn place(&self) -> Result<Option<(Position, Mark)>> {
        let view = self.core.view();
        let Some(own) = view.schema.find(HANDLERS) else { return Ok(None) };
        let record = state::record(&view.stack, own, &self.id)?;
        Ok(record.map(|record| record.version).zip(state::cursor(&view.stack, &self.id)?))
    }

    /// The newest view, in which the handler, its cursor and all definitions are what they were.
    pub(super) fn still(&self, standing: &Standing) -> Result<Arc<Published>, Over> {
        let view = self.core.view();
        let own = view.schema.find(HANDLERS).filter(|_| view.schema.version() == standing.view.schema.version());
        let own = own.ok_or(Over::Anew)?;
        let record = state::record(&view.stack, own, &self.id).map_err(Over::Later)?;
        let cursor = state::cursor(&view.stack, &self.id).map_err(Over::Later)?;
        let is_same = record.is_some_and(|record| record.version == standing.version);
        if is_same && cursor == Some(standing.cursor) { Ok(view) } else { Err(Over::Anew) }
    }

    /// What comes next in the log, waiting a moment where there is nothing, and the view to deal with it in.
    pub(super) fn next(
        &self,
        standing: &Standing,
        consumer: &mut Consumer,
    ) -> Result<(Arc<Published>, Vec<Arc<Logged>>), Over> {
        let batch = consumer.next_batch(limits::HANDLER_BATCH_BYTES)?;
        if batch.is_empty() {
            consumer.wait(TICK)?;
        }
        if self.ends() {
            return Err(Over::Ended);
        }
        Ok((self.still(standing)?, batch))
    }

    fn consumer(&self, standing: &Standing) -> Result<Consumer, Over> {
        let after = Position { epoch: standing.view.position.epoch, seq: standing.cursor.whole() };
        match self.core.consumer(after, Keeps::Nothing) {
            Ok(consumer) => Ok(consumer),
            Err(Ended::Trimmed(first)) => Err(self.skip(standing, first).err().unwrap_or(Over::Anew)),
            Err(other) => Err(other.into()),
        }
    }

    /// The changes up to the log's beginning are gone: one dead letter says so, and it goes on from there.
    fn skip(&self, standing: &Standing, first: Seq) -> Result<(), Over> {
        let (to, letter) = self.gap(standing.cursor, standing.view.position.epoch, first);
        let letter = letter.write(&standing.view, &self.id, &self.means).map_err(Over::Later)?;
        self.submit(standing.version, standing.cursor, to, vec![letter]).map_err(Refused::over)?;
        self.status.lost(standing.cursor, to);
        Ok(())
    }

    /// What lies from there up to the log's beginning is gone: up to where, and what says so.
    pub(super) fn gap(&self, from: Mark, epoch: Epoch, first: Seq) -> (Mark, Letter) {
        let to = Mark::from(Position { epoch, seq: first.before() });
        tracing::error!(
            handler = %self.id, %from, %to, "changes that a handler has not dealt with are not in the log any more"
        );
        (to, Letter::gap(from, to, self.core.clock().now()))
    }

    /// Moves the cursor, with all that is written on the way.
    pub(super) fn submit(&self, version: Position, from: Mark, to: Mark, writes: Vec<Derived>) -> Result<(), Refused> {
        let advance = Advance { handler: self.id.clone(), version, from, to, writes };
        let sent = self.core.send_when_room(Command::Advance(Box::new(advance)));
        match sent.and_then(|awaited| awaited.wait()) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.code_str(), "handler_moved" | "stale_schema") => {
                Err(Refused::Over(Over::Anew))
            }
            Err(error) => {
                let at = error.write();
                refusal(error)
                    .map_or_else(|over| Err(Refused::Over(over)), |error| Err(Refused::Write(at, Box::new(error))))
            }
        }
    }

    /// Whether the thread is to end: handlers run on the primary alone.
    pub(super) fn ends(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.core.role() != Role::Primary
    }

    /// Whatever is written meanwhile; whether to go on.
    fn pause(&self) -> bool {
        for _ in 0..RETRY_TICKS {
            std::thread::sleep(TICK);
            let ends = matches!(self.core.consumer(self.core.view().position, Keeps::Nothing), Err(Ended::Stopping));
            if ends || self.ends() {
                return false;
            }
        }
        true
    }
}

/// What is about the change that was to be written for; anything else is the server's and is tried again.
pub(super) fn refusal(error: Error) -> Result<Error, Over> {
    Refusal::of(error).map(Refusal::into_error).map_err(Over::Later)
}
