//! Decisions about several definitions at once: all that asks nothing of the rows, in one entry.

use super::collections::{
    defined, is_made_from, no_collection, not_own, same_kind, shown_elsewhere, targets_are_there, to_json,
    unread_by_staged,
};
use super::{Draft, indexes};
use crate::error::{Error, Kind, Result};
use crate::id::Generation;
use crate::limits;
use crate::model::change::Change;
use crate::model::compiled::Compiled;
use crate::model::definition::Import;
use crate::model::schema::{IndexState, Schema};

/// Carries out what an import creates, changes and drops.
pub(super) fn apply(draft: &mut Draft<'_>, import: &Import) -> Result<()> {
    if draft.schema.version() != import.schema {
        return Err(Error::new(Kind::Conflict, "other definitions have changed").code("stale_schema"));
    }
    let mut whole = draft.schema.clone();
    let mut changes = Vec::new();
    for id in &import.dropped {
        unread_by_staged(draft.schema, *id)?;
        let gone = whole.remove(*id).ok_or_else(no_collection)?;
        not_own(&gone)?;
        changes.push(Change::Dropped { collection: *id, definition: to_json(&gone)? });
    }
    for wanted in &import.created {
        if draft.schema.get(wanted.id).is_some() {
            return Err(Error::new(Kind::Conflict, "another collection has come").code("stale_schema"));
        }
        let mut next = wanted.clone();
        next.generation = Generation(1);
        next.version = draft.position.seq;
        (next.created, next.updated) = (draft.now, draft.now);
        next.defined = draft.position.seq;
        changes.push(defined(&next)?);
        whole.put(next);
    }
    for change in &import.changed {
        let current = draft.schema.get(change.collection.id).ok_or_else(no_collection)?.clone();
        is_made_from(&current, &change.collection)?;
        not_own(&current)?;
        same_kind(&current, &change.collection)?;
        if current.staged.is_some() {
            let message = format!("{} is changing already: its records are being seen to", current.name);
            return Err(Error::new(Kind::Conflict, message).code("changing"));
        }
        let mut next = change.collection.clone();
        for index in &mut next.indexes {
            index.state = current.index(index.id).map_or_else(IndexState::default, |known| known.state.clone());
        }
        next.version = draft.position.seq;
        next.updated = draft.now;
        next.defined = draft.position.seq;
        // Before any change of this entry is folded in: each asks only of its own rows.
        let filled = indexes::begin(draft, &current, &mut next)?;
        changes.push(defined(&next)?);
        changes.extend(filled);
        whole.put(next);
    }
    for change in &import.changed {
        let current = draft.schema.get(change.collection.id).ok_or_else(no_collection)?;
        shown_elsewhere(&whole, current, &change.collection, &[])?;
    }
    stands(&whole)?;
    changes.into_iter().try_for_each(|change| draft.push(change))
}

/// Whether a schema is whole: within its bound, every relation's target is there, every expression compiles.
fn stands(schema: &Schema) -> Result<()> {
    if schema.iter().filter(|one| !one.id.is_own()).count() > limits::COLLECTIONS_MAX {
        let message = format!("a database has at most {} collections", limits::COLLECTIONS_MAX);
        return Err(Error::new(Kind::Unprocessable, message));
    }
    for collection in schema.iter() {
        targets_are_there(schema, collection)?;
        if let Err(flawed) = Compiled::new(schema, collection) {
            let path = flawed.first().map_or("", |flaw| &flaw.path);
            let message = format!(
                "{path} of {} reads what would not be there, or not before records are seen to: import that first",
                collection.name
            );
            let error = Error::new(Kind::Conflict, message).code("referred_to");
            return Err(flawed.iter().fold(error, |error, flaw| {
                error.fault(format!("{}.{}", collection.name, flaw.path), "bad_expression", flaw.message())
            }));
        }
    }
    Ok(())
}
