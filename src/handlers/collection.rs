//! Handlers of kind `collection`: what is derived for each change is written, and the cursor with it.
//!
//! Invariants: what is written and the cursor that says so are one command, refused as a whole where the cursor is not
//! where it was read: nothing is written twice. A write that is refused becomes a dead letter in the same way and holds up
//! nothing behind it. What is derived and not committed is bounded, in number and in bytes.

use std::sync::Arc;

use super::derive::derive;
use super::feeder::{Feeder, Over, Refused, Standing, refusal};
use super::letter::Letter;
use super::passed::Passed;
use crate::core::{Changed, Consumer, Published, changes};
use crate::error::Error;
use crate::id::Mark;
use crate::limits;
use crate::log::Logged;
use crate::model::command::Derived;

/// A change that was dealt with.
struct Item {
    /// Behind it.
    mark: Mark,
    /// What is to be written for it.
    write: Option<Derived>,
    /// Where something is: what is left if it is refused. Where nothing is: why there could be nothing.
    letter: Option<Letter>,
}

/// What is derived and not committed yet.
#[derive(Default)]
struct Pending {
    items: Vec<Item>,
    writes: usize,
    bytes: usize,
}

impl Pending {
    /// Of those that nothing is to be done for the last says how far it has come.
    fn push(&mut self, item: Item) {
        if self.items.last().is_some_and(|last| last.letter.is_none()) {
            self.items.pop();
        }
        self.writes += usize::from(item.letter.is_some());
        self.bytes += item.write.as_ref().map_or(0, Derived::bytes);
        self.bytes += item.letter.as_ref().map_or(0, Letter::bytes);
        self.items.push(item);
    }

    fn is_full(&self) -> bool {
        self.writes >= limits::HANDLER_WRITES_MAX || self.bytes >= limits::HANDLER_DERIVED_BYTES
    }
}

/// Until something ends it.
pub(super) fn follow(feeder: &Feeder, mut standing: Standing, mut consumer: Consumer) -> Result<(), Over> {
    let mut passed = Passed::default();
    loop {
        let (view, batch) = feeder.next(&standing, &mut consumer)?;
        let Some(end) = batch.last() else { continue };
        let pending = derive_all(feeder, &mut standing, view, &batch, &mut passed)?;
        if passed.is_due() || pending.writes > 0 {
            commit(feeder, &mut standing, &pending.items)?;
            passed = Passed::default();
        }
        feeder.status.reached(Mark::from(end.position), end.time);
    }
}

/// What is to be done for the changes of a batch behind the cursor, in order. A batch may derive many times what it is
/// itself: each time that enough is derived it is committed, and the rest is left.
fn derive_all(
    feeder: &Feeder,
    standing: &mut Standing,
    mut view: Arc<Published>,
    batch: &[Arc<Logged>],
    passed: &mut Passed,
) -> Result<Pending, Over> {
    let mut pending = Pending::default();
    for logged in batch {
        let mut is_seen = false;
        for changed in changes(logged) {
            if changed.mark <= standing.cursor {
                continue;
            }
            is_seen = true;
            pending.push(item(feeder, standing, &view, &changed)?);
            if pending.is_full() {
                commit(feeder, standing, &std::mem::take(&mut pending).items)?;
                if feeder.ends() {
                    return Err(Over::Ended);
                }
                view = feeder.still(standing)?;
            }
        }
        passed.add(logged, is_seen);
    }
    Ok(pending)
}

fn item(feeder: &Feeder, standing: &Standing, view: &Published, changed: &Changed<'_>) -> Result<Item, Over> {
    let mark = changed.mark;
    match derive(&standing.handler, view, changed, &feeder.means) {
        Ok(None) => Ok(Item { mark, write: None, letter: None }),
        Ok(write) => Ok(Item { mark, write, letter: Some(Letter::of(view, changed)) }),
        Err(error) => {
            let refusal = refusal(error)?;
            feeder.status.failed(&refusal);
            Ok(Item { mark, write: None, letter: Some(Letter::of(view, changed).because(&refusal)) })
        }
    }
}

/// Writes all that is to be written, and the cursor.
fn commit(feeder: &Feeder, standing: &mut Standing, items: &[Item]) -> Result<(), Over> {
    let mut rest = items;
    let mut end = rest.len().min(limits::HANDLER_WRITES_MAX);
    while !rest.is_empty() {
        let mut numbers = Vec::new();
        let mut writes = Vec::new();
        for (at, item) in rest[..end].iter().enumerate() {
            let write = match (&item.write, &item.letter) {
                (Some(write), _) => write.clone(),
                (None, Some(letter)) => written(feeder, letter)?,
                (None, None) => continue,
            };
            numbers.push(at);
            writes.push(write);
        }
        let to = rest[end - 1].mark;
        match submit(feeder, standing, to, writes) {
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
                    give_up(feeder, standing, &rest[0], &refusal)?;
                    rest = &rest[1..];
                    end = rest.len().min(limits::HANDLER_WRITES_MAX);
                }
            }
        }
    }
    Ok(())
}

fn submit(feeder: &Feeder, standing: &mut Standing, to: Mark, writes: Vec<Derived>) -> Result<(), Refused> {
    feeder.status.sent(writes.len());
    let outcome = feeder.submit(standing.version, standing.cursor, to, writes);
    feeder.status.answered(outcome.is_ok());
    outcome.map(|()| standing.cursor = to)
}

fn written(feeder: &Feeder, letter: &Letter) -> Result<Derived, Over> {
    letter.write(&feeder.core.view(), &feeder.id, &feeder.means).map_err(Over::Later)
}

/// A change whose write is refused is left as a dead letter.
fn give_up(feeder: &Feeder, standing: &mut Standing, item: &Item, refusal: &Error) -> Result<(), Over> {
    let Some(letter) = item.letter.clone().filter(|_| item.write.is_some()) else {
        // The dead letter itself is refused, or nothing but the cursor.
        return Err(Over::Later(Error::internal(format!("a handler's way can't be logged: {refusal}"))));
    };
    feeder.status.failed(refusal);
    let letter = written(feeder, &letter.because(refusal))?;
    submit(feeder, standing, item.mark, vec![letter]).map_err(Refused::over)
}
