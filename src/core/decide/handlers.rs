//! Decisions about handlers: what may be one, and how far each has come.
//!
//! Invariants: what a handler writes and its new place in the log are one entry, so each change is written for once and
//! never again. A new handler begins behind the entry that made it. Handlers that write into collections make no circle. A
//! handler's kind never changes.

use super::Draft;
use super::records;
use crate::error::{Error, Kind, Result};
use crate::id::{Mark, RecordId};
use crate::limits;
use crate::model::change::Change;
use crate::model::command::{Advance, Derived, Rewind, Written};
use crate::model::handler::{Edge, HANDLERS, Handler, circle, is_enabled};
use crate::model::schema::Collection;
use crate::model::value::Fields;
use crate::state;

/// Whether a collection's records are handlers.
fn is_handlers(collection: &Collection) -> bool {
    collection.id.is_own() && &*collection.name == HANDLERS
}

/// A record of `_handlers` as it is to be is a handler. One that is disabled and is otherwise what it was may have faults:
/// what it names may be gone.
///
/// # Errors
/// `Invalid` with all faults; `Conflict` with code `handler_circle`; `Unprocessable` where there are too many, and for
/// another kind.
pub(super) fn judge(
    draft: &mut Draft<'_>,
    collection: &Collection,
    id: &RecordId,
    before: Option<&Fields>,
    after: &Fields,
) -> Result<()> {
    if !is_handlers(collection) {
        return Ok(());
    }
    never_of_another_kind(collection, before, after)?;
    let is_same = |before: &Fields| {
        let mut others =
            collection.fields.iter().filter(|field| &*field.name != "enabled" && !field.is_set_by_server());
        others.all(|field| before.get(field.id) == after.get(field.id))
    };
    if !is_enabled(collection, after) && before.is_some_and(is_same) {
        return Ok(());
    }
    Handler::read(draft.schema, collection, after)?;
    // One more than there may be says as much as all.
    let max = limits::HANDLERS_MAX + 1;
    let (stored, _) = state::next_records(draft.state()?, collection, None, max, usize::MAX)?;
    let others: Vec<_> = stored.iter().filter(|other| other.id != *id).collect();
    if others.len() >= limits::HANDLERS_MAX {
        let message = format!("there are at most {} handlers", limits::HANDLERS_MAX);
        return Err(Error::new(Kind::Unprocessable, message).code("too_many_handlers"));
    }
    let Some(new) = Edge::of(collection, after) else { return Ok(()) };
    let others: Vec<Edge> = others.iter().filter_map(|other| Edge::of(collection, &other.fields)).collect();
    let Some(way) = circle(&new, &others) else { return Ok(()) };
    let way = way.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
    let message = format!("what it writes would come back to it, over {way}");
    let error = Error::new(Kind::Conflict, "handlers would go round in a circle").code("handler_circle");
    Err(error.fault("target", "handler_circle", message))
}

/// What goes back may be given a change twice, and what writes may not: whoever does the one never comes to do the other
/// from the place where it is.
fn never_of_another_kind(collection: &Collection, before: Option<&Fields>, after: &Fields) -> Result<()> {
    let kind = collection.field("kind").map(|kind| kind.id);
    if before.zip(kind).is_none_or(|(before, kind)| before.get(kind) == after.get(kind)) {
        return Ok(());
    }
    let error = Error::new(Kind::Unprocessable, "a handler's kind never changes");
    Err(error.fault("kind", "read_only", "never changes"))
}

/// A new handler takes what comes after it.
pub(super) fn begin(draft: &mut Draft<'_>, collection: &Collection, id: &RecordId) -> Result<()> {
    if !is_handlers(collection) {
        return Ok(());
    }
    let through = Some(Mark::from(draft.position));
    draft.push(Change::Advanced { handler: id.clone(), through })
}

/// A handler that goes leaves no cursor.
pub(super) fn end(draft: &mut Draft<'_>, collection: &Collection, id: &RecordId) -> Result<()> {
    if !is_handlers(collection) {
        return Ok(());
    }
    draft.push(Change::Advanced { handler: id.clone(), through: None })
}

/// A handler comes further, with all that it writes on the way.
///
/// # Errors
/// `Conflict` with code `handler_moved` where it is not where it was, or has changed since; that of a write, with its
/// number.
pub(super) fn advance(draft: &mut Draft<'_>, advance: &Advance) -> Result<()> {
    let Advance { handler, version, from, to, writes } = advance;
    if to <= from || to.position.seq >= draft.position.seq {
        return Err(Error::internal("a handler comes further, and never past the log's end"));
    }
    let collection = draft.schema.find(HANDLERS).ok_or_else(moved)?.clone();
    let stored = state::record(draft.state()?, &collection, handler)?.ok_or_else(moved)?;
    if stored.version != *version || state::cursor(draft.state()?, handler)? != Some(*from) {
        return Err(moved());
    }
    for (at, derived) in writes.iter().enumerate() {
        let written = one(draft, derived).map_err(|refusal| refusal.at_write(at))?;
        draft.committed.writes.push(written);
    }
    draft.push(Change::Advanced { handler: handler.clone(), through: Some(*to) })
}

/// A webhook or one that drops what is kept goes back: it may be given a change twice.
///
/// # Errors
/// `NotFound`; `Unprocessable` for one that writes; `Conflict` with code `handler_moved` where it has not come so far.
pub(super) fn rewind(draft: &mut Draft<'_>, rewind: &Rewind) -> Result<()> {
    let missing = || Error::new(Kind::NotFound, "there is no such handler");
    let collection = draft.schema.find(HANDLERS).ok_or_else(missing)?.clone();
    let stored = state::record(draft.state()?, &collection, &rewind.handler)?.ok_or_else(missing)?;
    let cursor = state::cursor(draft.state()?, &rewind.handler)?.ok_or_else(missing)?;
    if Edge::of(&collection, &stored.fields).is_some() {
        let message = "what the handler writes would be written twice";
        return Err(Error::new(Kind::Unprocessable, message).code("exactly_once"));
    }
    if rewind.to > cursor {
        return Err(moved());
    }
    draft.push(Change::Advanced { handler: rewind.handler.clone(), through: Some(rewind.to) })
}

/// Creates, or changes what is there. What can't be created is refused only where nothing is there, by the definition that
/// it was found out by.
fn one(draft: &mut Draft<'_>, derived: &Derived) -> Result<Written> {
    if derived.writes().any(|write| draft.schema.get(write.collection).is_none()) {
        // Not the change's fault: whoever derived it looks at the definitions again.
        return Err(moved());
    }
    let Derived { create, merge } = derived;
    if let Some(merge) = merge {
        let collection = records::current(draft, merge)?;
        if state::exists(draft.state()?, &collection, merge.op.id())? {
            return records::one(draft, merge);
        }
    }
    match create {
        Ok(create) => records::one(draft, create),
        Err(refusal) => Err(refusal.clone().into_error()),
    }
}

fn moved() -> Error {
    Error::new(Kind::Conflict, "the handler has changed, or has come further").code("handler_moved")
}
