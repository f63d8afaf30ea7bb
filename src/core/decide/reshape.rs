//! Decisions about a definition that asks something of the rows: it is staged, every row is seen to, then it takes the
//! place of the one before. Of few rows all in the entry that defines it.
//!
//! The order of the log decides here too: a write that the present definition allows is never refused for a staged one.
//! A write, or a row, that the staged one does not allow ends it, and the definition keeps why. So does one row that takes
//! more steps than any may; a transaction of many that take too much together is refused, as in fewer they can be written.
//!
//! Invariant: up to the progress, and in every row written since, the staged definition's fields are worked out and hold.

use std::sync::Arc;

use super::collections::{defined, is_made_from, no_collection, replaceable, shown_elsewhere};
use super::{Draft, Pieces, TOO_COSTLY, indexes, too_many_steps};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, Generation, RecordId};
use crate::limits;
use crate::model::change::Change;
use crate::model::expr::{Exhausted, Input, Relations};
use crate::model::pipeline::{self, Writing};
use crate::model::predicate::Sight;
use crate::model::schema::{Collection, Field, FieldKind, Index, IndexState, Refused, Shadow, Source, Staged};
use crate::model::value::Fields;
use crate::state::{self, Progress, Related};

/// A record is worked out and written whole, which takes some times what an entry of an index does.
const ROWS_OF_PIECE_PER_RECORD: usize = 4;

/// A new definition that asks something of the rows. Of few it is done at once, and refused at once.
pub(super) fn stage(draft: &mut Draft<'_>, wanted: &Staged) -> Result<()> {
    let current = draft.schema.get(wanted.collection.id).ok_or_else(no_collection)?.clone();
    is_made_from(&current, &wanted.collection)?;
    let mut staged = wanted.clone();
    staged.collection = replaceable(draft.schema, &current, &wanted.collection)?;
    let rows = state::tally(draft.state()?, current.id, current.generation)?.count;
    if rows == 0 {
        return succeed(draft, &current, &staged);
    }
    shown_elsewhere(draft.schema, &current, &staged.collection, &staged.shadows)?;
    let mut next = (*current).clone();
    (next.staged, next.refused) = (Some(Box::new(staged.clone())), None);
    next.version = draft.position.seq;
    if rows <= draft.pieces.at_once as u64 && at_once(draft, &next, &staged)? {
        return Ok(());
    }
    draft.push(defined(&next)?)?;
    draft.committed.collection = Some(Box::new(next));
    Ok(())
}

/// Stages a definition, sees to all rows, and ends, if one entry holds that: whether it does. `next` is the present
/// definition with it.
fn at_once(draft: &mut Draft<'_>, next: &Collection, staged: &Staged) -> Result<bool> {
    let mut with_it = draft.schema.clone();
    with_it.put(next.clone());
    let mut inner = draft.under(&with_it);
    inner.push(defined(next)?)?;
    let bytes_max = limits::ENTRY_BYTES_MAX / 4;
    let rows_max = draft.pieces.at_once;
    match rows(&mut inner, next, staged, Progress::default(), rows_max, bytes_max) {
        Ok(Seen::All) => {}
        Ok(Seen::Refused(refused)) => return Err(refused.error()),
        Ok(Seen::Some(_)) => return Ok(false),
        Err(error) if error.kind() == Kind::TooLarge => return Ok(false),
        Err(error) => return Err(error),
    }
    succeed(&mut inner, next, staged)?;
    let Draft { changes, bytes, following, committed, .. } = inner;
    draft.changes.extend(changes);
    (draft.bytes, draft.following, draft.committed) = (draft.bytes + bytes, following, committed);
    Ok(true)
}

/// The next rows for a staged definition; with the last of them it takes the place of the one before. Nothing, if there is
/// none.
pub(super) fn reshape(draft: &mut Draft<'_>, id: CollectionId, generation: Generation) -> Result<()> {
    let Some(collection) = draft.schema.get(id).filter(|known| known.generation == generation).cloned() else {
        return Ok(());
    };
    let Some(staged) = &collection.staged else { return Ok(()) };
    let from = state::reshaped(draft.state()?, id, generation)?.unwrap_or_default();
    let mut inner = draft.under(draft.schema);
    let Pieces { rows: rows_max, bytes: bytes_max, .. } = draft.pieces;
    let rows_max = rows_max.div_ceil(ROWS_OF_PIECE_PER_RECORD);
    let seen = rows(&mut inner, &collection, staged, from, rows_max, bytes_max)?;
    let refused = match seen {
        Seen::Refused(refused) => Some(refused),
        Seen::Some(Progress { rows, through: Some(through) }) => {
            inner.push(Change::Progressed { collection: id, generation, through, rows })?;
            None
        }
        Seen::Some(Progress { through: None, .. }) => None,
        Seen::All => match succeed(&mut inner, &collection, staged) {
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Unprocessable) => Some(Refused::by(&error)),
            done => done.map(|()| None)?,
        },
    };
    match refused {
        Some(refused) => draft.push(defined(&without(&collection, refused))?),
        None => {
            let Draft { changes, bytes, following, .. } = inner;
            draft.changes.extend(changes);
            (draft.bytes, draft.following) = (draft.bytes + bytes, following);
            Ok(())
        }
    }
}

/// How far rows were seen to.
enum Seen {
    Some(Progress),
    All,
    Refused(Refused),
}

/// Sees to the next rows: at most so many, so many bytes, and as long as there are steps for the most costly one.
fn rows(
    draft: &mut Draft<'_>,
    collection: &Collection,
    staged: &Staged,
    from: Progress,
    rows_max: usize,
    bytes_max: usize,
) -> Result<Seen> {
    let (records, all) = state::next_records(draft.state()?, collection, from.through.as_ref(), rows_max, bytes_max)?;
    // Two rows of one piece may have the same values only where somebody asks for them.
    let folds = collection.staged_indexes().any(|(_, index)| index.unique);
    let (mut progress, mut changes) = (from, Vec::new());
    for record in records {
        if draft.following < limits::STAGED_STEPS_MAX {
            changes.into_iter().try_for_each(|change| draft.push(change))?;
            return Ok(Seen::Some(progress));
        }
        let mut after = record.fields.clone();
        after.retain(|field| collection.keeps_field(field));
        if let Err(refusal) = work_out(draft, collection, staged, &record.id, Some(&record.fields), &mut after)? {
            return Ok(Seen::Refused(Refused::of(&record.id, &refusal)));
        }
        progress = Progress { rows: progress.rows + 1, through: Some(record.id.clone()) };
        if staged.shadows.is_empty() {
            continue;
        }
        let change = Change::Rewritten {
            collection: collection.id,
            generation: collection.generation,
            id: record.id,
            before: after.before_image(&record.fields),
            after,
            version: record.version,
        };
        if folds {
            draft.push(change)?;
        } else {
            changes.push(change);
        }
    }
    changes.into_iter().try_for_each(|change| draft.push(change))?;
    Ok(if all { Seen::All } else { Seen::Some(progress) })
}

/// A staged definition takes the place of the one before, whose rows all hold of it.
///
/// # Errors
/// `Conflict` where it no longer fits what else there is; `Unprocessable` where the rows don't allow a new index.
fn succeed(draft: &mut Draft<'_>, current: &Collection, staged: &Staged) -> Result<()> {
    let all = successors(draft, current, staged)?;
    let fresh = |next: &Collection| next.indexes.iter().any(|index| current.index(index.id).is_none());
    for mut next in all {
        let mut filled = Vec::new();
        if next.id == current.id {
            if staged.shadows.is_empty() && fresh(&next) {
                filled = indexes::begin(draft, current, &mut next)?;
            }
            draft.committed.collection = Some(Box::new(next.clone()));
        }
        draft.push(defined(&next)?)?;
        filled.into_iter().try_for_each(|change| draft.push(change))?;
    }
    Ok(())
}

/// The definition that a staged one becomes, and those of other collections that show its fields by their ids.
pub(super) fn successors(draft: &Draft<'_>, current: &Collection, staged: &Staged) -> Result<Vec<Collection>> {
    let mut next = replaceable(draft.schema, &Collection { staged: None, ..current.clone() }, &staged.collection)?;
    let others = shown_elsewhere(draft.schema, current, &next, &staged.shadows)?;
    next.updated = draft.now;
    next.defined = draft.position.seq;
    next.version = draft.position.seq;
    for index in &mut next.indexes {
        index.state = current.index(index.id).map_or(IndexState::Ready, |known| known.state.clone());
    }
    Ok(std::iter::once(next).chain(others).collect())
}

/// The present definition alone, with the reason. What was given out is not given out again.
pub(super) fn without(collection: &Collection, refused: Refused) -> Collection {
    let mut next = collection.clone();
    if let Some(staged) = next.staged.take() {
        next.last_field = next.last_field.max(staged.collection.last_field);
        next.last_index = next.last_index.max(staged.collection.last_index);
        next.refused = Some(refused);
    }
    next
}

/// What a staged definition asks of a record that is written: its fields are worked out. What it doesn't allow is noted:
/// the write wins. Fields of no definition go.
pub(super) fn follow(
    draft: &mut Draft<'_>,
    collection: &Collection,
    id: &RecordId,
    before: Option<&Fields>,
    after: &mut Fields,
) -> Result<()> {
    if collection.last_field.0 as usize > collection.fields.len() || collection.staged.is_some() {
        after.retain(|field| collection.keeps_field(field));
    }
    let Some(staged) = collection.staged.as_ref().filter(|_| !draft.against.contains_key(&collection.id)) else {
        return Ok(());
    };
    if let Err(refusal) = work_out(draft, collection, staged, id, before, after)? {
        draft.against.insert(collection.id, Refused::of(id, &refusal));
    }
    Ok(())
}

/// Ends the staged definitions that writes of this entry are against.
pub(super) fn give_up(draft: &mut Draft<'_>) -> Result<()> {
    for (id, refused) in std::mem::take(&mut draft.against) {
        // The entry may have put another definition in its place already.
        let written = draft.changes.iter().rev().find_map(|change| match change {
            Change::Defined { collection, definition } if *collection == id => Some(definition),
            _ => None,
        });
        let latest = match (written, draft.schema.get(id)) {
            (Some(text), _) => serde_json::from_str(text)
                .map_err(|error| Error::internal("a definition just written can't be read").source(error))?,
            (None, Some(known)) => (**known).clone(),
            (None, None) => continue,
        };
        draft.push(defined(&without(&latest, refused))?)?;
    }
    Ok(())
}

/// All records of a collection go: those of others that a staged definition's relation alone points there from.
pub(super) fn orphaned_by_all(draft: &mut Draft<'_>, target: CollectionId) -> Result<()> {
    let schema = draft.schema;
    for collection in schema.iter().filter(|collection| collection.id != target) {
        let Some(staged) = collection.staged.as_ref().filter(|_| !draft.against.contains_key(&collection.id)) else {
            continue;
        };
        for (field, _) in staged.collection.relations_to(target).filter(|(field, _)| is_made(staged, field.id)) {
            if let Some(referrer) = state::all_referrers(draft.state()?, &staged.collection, field.id, 1)?.first() {
                note_orphan(draft, collection.id, field, referrer);
            }
        }
    }
    Ok(())
}

fn note_orphan(draft: &mut Draft<'_>, collection: CollectionId, field: &Field, referrer: &RecordId) {
    let refusal = points_nowhere().fault(&*field.name, "relation_missing", "what it would point at goes");
    draft.against.insert(collection, Refused::of(referrer, &refusal));
}

/// A record goes that a staged definition's relation may hold though no present one does.
pub(super) fn orphaned(draft: &mut Draft<'_>, target: CollectionId, id: &RecordId) -> Result<()> {
    let schema = draft.schema;
    for collection in schema.iter() {
        let Some(staged) = collection.staged.as_ref().filter(|_| !draft.against.contains_key(&collection.id)) else {
            continue;
        };
        for (field, _) in staged.collection.relations_to(target).filter(|(field, _)| is_made(staged, field.id)) {
            let found = state::referrers(draft.state()?, &staged.collection, field.id, id, 1)?;
            if let Some(referrer) = found.first() {
                note_orphan(draft, collection.id, field, referrer);
            }
        }
    }
    Ok(())
}

/// Whether a field has values that are not those of a stored one in another form: also a default in the place of none.
fn is_made(staged: &Staged, field: FieldId) -> bool {
    let filled = staged.collection.field_by_id(field).is_some_and(|field| field.required && field.default.is_some());
    let made = |shadow: &Shadow| shadow.field == field && (filled || !matches!(shadow.source, Source::Field(_)));
    staged.shadows.iter().any(made)
}

/// Works out a record's shadows; the refusal is the staged definition's.
///
/// # Errors
/// `Unprocessable` with code `too_costly` where the transaction has too few steps left to tell; the state's own faults.
fn work_out(
    draft: &mut Draft<'_>,
    collection: &Collection,
    staged: &Staged,
    id: &RecordId,
    before: Option<&Fields>,
    after: &mut Fields,
) -> Result<Result<()>> {
    let (schema, now) = (draft.schema, draft.now);
    let allowed = draft.following.min(limits::STAGED_STEPS_MAX);
    let compiled = match schema.compiled_staged(staged) {
        Ok(compiled) => compiled,
        // It reads of another collection what is no longer there.
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut old = before.cloned();
    if let Some(old) = &mut old {
        pipeline::converted(&staged.collection, &staged.shadows, old);
    }
    let related = Related::new(draft.state()?, schema, &Sight::All).at_most(allowed);
    let relations = Reshaped { related: &related, staged, present: collection };
    let input = Input { old: old.as_ref(), ..Input::at(now) };
    let of = &staged.collection;
    let writing = Writing { collection: of, compiled: &compiled, id: id.as_str(), input, relations: &relations };
    let outcome = writing.reshape(&staged.shadows, after);
    let (outcome, taken) = (related.outcome(Ok(outcome)), related.steps_taken());
    draft.following = draft.following.saturating_sub(taken);
    let outcome = match outcome {
        Ok(Ok(())) if taken > allowed => Err(Exhausted.error()),
        Ok(outcome) => outcome,
        Err(error) if error.kind() == Kind::Unprocessable => Err(error),
        Err(error) => return Err(error),
    };
    match outcome {
        Ok(()) => stands(draft, collection, staged, id, after),
        // With all that a record may take it may do better.
        Err(refusal) if refusal.code_str() == TOO_COSTLY && allowed < limits::STAGED_STEPS_MAX => Err(too_many_steps()),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// What only the state can tell of a record's shadows: uniqueness, and what relations point at that come from no relation.
fn stands(
    draft: &mut Draft<'_>,
    collection: &Collection,
    staged: &Staged,
    id: &RecordId,
    after: &Fields,
) -> Result<Result<()>> {
    let schema = draft.schema;
    let unique: Vec<&Index> =
        collection.staged_indexes().map(|(_, index)| index).filter(|index| index.unique).collect();
    for index in unique {
        if let Some(holder) = state::unique_holder(draft.state()?, &staged.collection, index, after, id)? {
            let part = index.fields.iter().filter_map(|part| staged.collection.field_by_id(part.field)).next();
            let error = Error::new(Kind::Unprocessable, "another record has these values").code("not_unique");
            let message = format!("has the same values as the record {holder} (index {})", index.name);
            return Ok(Err(error.fault(part.map_or("", |field| &field.name), "not_unique", message)));
        }
    }
    for field in staged.collection.fields.iter().filter(|field| is_made(staged, field.id)) {
        let FieldKind::Relation { collection: target, .. } = field.kind else { continue };
        let Some(target) = schema.get(target) else { continue };
        for value in after.get(field.id).each() {
            let Some(wanted) = value.as_text().and_then(|text| RecordId::new(text).ok()) else { continue };
            if !state::exists(draft.state()?, target, &wanted)? {
                let message = format!("there is no record {wanted} in {}", target.name);
                return Ok(Err(points_nowhere().fault(&*field.name, "relation_missing", message)));
            }
        }
    }
    Ok(Ok(()))
}

fn points_nowhere() -> Error {
    Error::new(Kind::Unprocessable, "a relation points nowhere").code("relation_missing")
}

/// Other records as a staged definition's expressions see them: its own collection's as they will be, also those that
/// were not seen to yet.
struct Reshaped<'a, 'b> {
    related: &'a Related<'b>,
    staged: &'a Staged,
    present: &'a Collection,
}

impl Reshaped<'_, '_> {
    fn shown(&self, collection: CollectionId, fields: Arc<Fields>) -> Arc<Fields> {
        let lacks = |shadow: &Shadow| fields.get(shadow.field).is_null();
        if collection != self.staged.collection.id || !self.staged.shadows.iter().any(lacks) {
            return fields;
        }
        let mut shown = (*fields).clone();
        pipeline::converted(&self.staged.collection, &self.staged.shadows, &mut shown);
        for shadow in &self.staged.shadows {
            if let (true, Some(before)) = (shown.get(shadow.field).is_null(), shadow.replaces) {
                let value = shown.get(before).clone();
                shown.set(shadow.field, value);
            }
        }
        Arc::new(shown)
    }
}

impl Relations for Reshaped<'_, '_> {
    fn record(&self, collection: CollectionId, id: &str) -> Option<Arc<Fields>> {
        self.related.record(collection, id).map(|fields| self.shown(collection, fields))
    }

    fn referrers(
        &self,
        collection: CollectionId,
        field: FieldId,
        id: &str,
        max: usize,
    ) -> Vec<(RecordId, Arc<Fields>)> {
        let own = collection == self.staged.collection.id;
        let shadow = self.staged.shadows.iter().find(|shadow| own && shadow.field == field);
        let field = match shadow.map(|shadow| shadow.source) {
            Some(Source::Field(from)) => from,
            _ => field,
        };
        // A relation that only the staged definition has: by it nothing points anywhere yet.
        if own && self.present.relation_index(field).is_none() {
            return Vec::new();
        }
        let found = self.related.referrers(collection, field, id, max);
        found.into_iter().map(|(id, fields)| (id, self.shown(collection, fields))).collect()
    }

    fn steps(&self) -> usize {
        self.related.steps()
    }

    fn spent(&self, steps: usize) {
        self.related.spent(steps);
    }
}
