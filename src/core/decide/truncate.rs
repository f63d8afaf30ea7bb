//! Decisions about a collection that is emptied: what other collections' relations say to it.
//!
//! The other collections' records meet what they would if each of its records were deleted, all of them at one time: a
//! relation of its own keeps none of them.

use super::collections::{defined, no_collection, not_own};
use super::records::{Fall, Gone};
use super::{Draft, indexes, records, reshape};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Generation};
use crate::limits;
use crate::model::schema::{IndexState, OnDelete, Refused, Schema};
use crate::state;

/// Empties a collection: its next filling begins.
pub(super) fn truncate(draft: &mut Draft<'_>, id: CollectionId) -> Result<()> {
    let current = draft.schema.get(id).ok_or_else(no_collection)?.clone();
    not_own(&current)?;
    if state::tally(draft.state()?, id, current.generation)?.count == 0 {
        return Ok(());
    }
    // Of no rows there is nothing to see to: what is staged takes its place.
    let (mut next, others) = match current.staged.as_ref().map(|staged| reshape::successors(draft, &current, staged)) {
        Some(Ok(mut all)) => (all.remove(0), all),
        Some(Err(error)) => (reshape::without(&current, Refused::by(&error)), Vec::new()),
        None => ((*current).clone(), Vec::new()),
    };
    next.generation = Generation(current.generation.0 + 1);
    next.version = draft.position.seq;
    // Of no rows there is nothing to build, and nothing that doesn't allow an index.
    next.indexes.iter_mut().for_each(|index| index.state = IndexState::Ready);
    let mut emptied = draft.schema.clone();
    emptied.put(next.clone());
    others.iter().for_each(|other| emptied.put(other.clone()));
    // What goes with it is decided in a state where it is empty already.
    let mut after = draft.under(&emptied);
    after.push(defined(&next)?)?;
    others.iter().try_for_each(|other| after.push(defined(other)?))?;
    let fell = fall(&mut after, &emptied, id)
        .and_then(|()| reshape::orphaned_by_all(&mut after, id))
        .and_then(|()| indexes::fail_doubled(&mut after))
        .and_then(|()| reshape::give_up(&mut after));
    let Draft { changes, bytes, steps, .. } = after;
    fell?;
    draft.changes.extend(changes);
    (draft.bytes, draft.steps) = (draft.bytes + bytes, steps);
    Ok(())
}

/// First what goes with it, so that it refuses nothing.
fn fall(draft: &mut Draft<'_>, schema: &Schema, id: CollectionId) -> Result<()> {
    let mut fall = Fall::new(None);
    for cascades in [true, false] {
        for (pointing, field, on_delete) in schema.pointing_at(id).filter(|(pointing, ..)| pointing.id != id) {
            if (on_delete == OnDelete::Cascade) != cascades {
                continue;
            }
            let room = limits::ENTRY_CHANGES_MAX.saturating_sub(draft.changes.len());
            let found = state::all_referrers(draft.state()?, pointing, field.id, room + 1)?;
            if found.len() > room {
                return Err(too_many(&pointing.name));
            }
            for referrer in found {
                let met = records::meet(draft, pointing, field, on_delete, &referrer, Gone::All, &mut fall);
                met.map_err(|error| hinted(error, &pointing.name))?;
            }
        }
    }
    let with_it = || schema.pointing_at(id).find(|(_, _, on_delete)| *on_delete == OnDelete::Cascade);
    records::fell(draft, &mut fall)
        .map_err(|error| hinted(error, with_it().map_or("", |(pointing, ..)| &pointing.name)))
}

fn too_many(pointing: &str) -> Error {
    let message = format!("too many records of {pointing} refer to its records: truncate {pointing} first");
    Error::new(Kind::Conflict, message).code("referred_to")
}

/// What no entry holds is no fault of the request's size.
fn hinted(error: Error, pointing: &str) -> Error {
    if error.kind() == Kind::TooLarge { too_many(pointing) } else { error }
}
