//! Decisions about records: create, merge, replace, delete with what it takes along.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::collections::no_collection;
use super::judge::{keep_unseen, may_change, may_create, may_replace, no_record};
use super::{Draft, auth, enrich, handlers, jobs, reshape, text_bytes, too_many_changes};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, RecordId};
use crate::limits;
use crate::model::change::Change;
use crate::model::command::{Condition, Op, Write, Written};
use crate::model::guard::{Action, Guard};
use crate::model::json;
use crate::model::once::Kept;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::{Collection, Field, FieldKind, OnDelete};
use crate::model::value::{Fields, Value};
use crate::state;

/// All writes of one transaction, in order.
pub(super) fn write(draft: &mut Draft<'_>, writes: &[Write]) -> Result<()> {
    let mut answer_bytes = 0;
    for (at, write) in writes.iter().enumerate() {
        let first = draft.changes.len();
        let written = one(draft, write).map_err(|refusal| seen(draft, write, refusal).at_write(at))?;
        keep(draft, write, first, &written);
        if writes.len() > 1 {
            // Also what nothing changes is answered whole, and no entry bounds that.
            answer_bytes += record_bytes(&written);
            if answer_bytes > limits::TRANSACTION_ANSWER_BYTES_MAX {
                return Err(too_much_answered().at_write(at));
            }
        }
        draft.committed.writes.push(written);
    }
    Ok(())
}

/// What is kept of a write whose changes begin with that number.
fn keep(draft: &mut Draft<'_>, write: &Write, first: usize, written: &Written) {
    let changed = draft.changes.len() > first;
    draft.keep(|| match written {
        // Such a write makes one change, the record's own.
        Written::Created(_) | Written::Updated(_) if changed => Kept::Change(first as u32),
        Written::Created(record) | Written::Updated(record) => Kept::Record(write.collection, record.clone()),
        Written::Deleted => Kept::Gone(write.collection),
    });
}

/// A refusal as its caller may see it: hidden fields have no names.
pub(super) fn seen(draft: &Draft<'_>, write: &Write, refusal: Error) -> Error {
    match draft.schema.get(write.collection) {
        Some(collection) if !write.guard.is_superuser() => {
            refusal.without_faults(|name| collection.field(name).is_some_and(|field| field.hidden))
        }
        _ => refusal,
    }
}

/// What an answer takes, at least: its texts.
pub(super) fn record_bytes(written: &Written) -> usize {
    match written {
        Written::Created(record) | Written::Updated(record) => text_bytes(&record.fields),
        Written::Deleted => 0,
    }
}

fn too_much_answered() -> Error {
    let max = limits::TRANSACTION_ANSWER_BYTES_MAX >> 20;
    Error::new(Kind::TooLarge, format!("the records of one transaction's answer have at most {max} MiB"))
}

pub(super) fn one(draft: &mut Draft<'_>, write: &Write) -> Result<Written> {
    let collection = current(draft, write)?;
    match &write.op {
        Op::Create { id, fields } => create(draft, &collection, write, id, fields),
        Op::Merge { id, patch, merges, adjusts, if_match } => {
            let change = |fields: &mut Fields| {
                overlay(fields, patch, merges);
                pipeline::adjust(&collection, adjusts, fields)
            };
            merge(draft, &collection, write, id, if_match.as_ref(), change)
        }
        Op::Put { id, fields, if_match, create_only } => {
            put(draft, &collection, write, id, fields, if_match.as_ref(), *create_only)
        }
        Op::Delete { id, if_match } => delete(draft, &collection, write, id, if_match.as_ref()),
    }
}

/// The collection as the input was checked against, or `stale_schema`: also where the guard's rules were compiled by
/// another definition of a collection that they look at.
pub(super) fn current(draft: &Draft<'_>, write: &Write) -> Result<Arc<Collection>> {
    let collection = draft.schema.get(write.collection).ok_or_else(no_collection)?;
    if collection.version != write.schema || !write.guard.stands_by(draft.schema) {
        return Err(Error::new(
            Kind::Conflict,
            "the collection's definition has changed, or one that its rules look at",
        )
        .code("stale_schema"));
    }
    Ok(collection.clone())
}

fn create(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    id: &RecordId,
    fields: &Fields,
) -> Result<Written> {
    write.guard.allow(Action::Create)?;
    let mut after = fields.clone();
    let complete = enrich::complete(draft, collection, &write.guard, id, &mut after)?;
    may_create(draft, collection, write, id, &after)?;
    if state::exists(draft.state()?, collection, id)? {
        return Err(Error::new(Kind::Conflict, "a record with this id exists already").code("exists").fault(
            "id",
            "unique",
            "the id is taken",
        ));
    }
    complete?;
    auth::judge_new(collection, &after)?;
    let record = insert(draft, collection, id, after)?;
    Ok(Written::Created(record))
}

fn merge(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    id: &RecordId,
    if_match: Option<&Condition>,
    change: impl FnOnce(&mut Fields) -> Result<()>,
) -> Result<Written> {
    write.guard.allow(Action::Update)?;
    let before = existing(draft, collection, id)?;
    may_change(draft, collection, write, Action::Update, &before)?;
    check_condition(if_match, Some(&before))?;
    let mut after = before.fields.clone();
    change(&mut after)?;
    // A patch that changes nothing writes nothing: also `autodate` and computed fields stay.
    if after == before.fields {
        return Ok(Written::Updated(before));
    }
    auth::judge_change(collection, &write.guard, &before.fields, &mut after)?;
    pipeline::check(collection, &after)?;
    enrich::follow(draft, collection, &write.guard, id, &before.fields, &mut after)?;
    let record = update(draft, collection, before, after)?;
    Ok(Written::Updated(record))
}

/// Puts new values over the stored ones.
fn overlay(fields: &mut Fields, patch: &[(FieldId, Value)], merges: &[(FieldId, Box<str>)]) {
    for (field, value) in patch {
        fields.set(*field, value.clone());
    }
    for (field, patch) in merges {
        let old = match fields.get(*field) {
            Value::Json(text) => Some(&**text),
            _ => None,
        };
        let merged = json::merge_json(old, patch);
        fields.set(*field, Value::Json(merged.into()));
    }
}

fn put(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    id: &RecordId,
    fields: &Fields,
    if_match: Option<&Condition>,
    create_only: bool,
) -> Result<Written> {
    let mut before = state::record(draft.state()?, collection, id)?;
    let mut unseen = false;
    if let Some(stored) = &before
        && !may_replace(draft, collection, write, Action::Update, stored)?
    {
        // Answered as if there were nothing to replace, as far as that goes.
        unseen = true;
        before = None;
    }
    if before.is_none() {
        write.guard.allow(Action::Create)?;
    }
    check_condition(if_match, before.as_ref())?;
    let mut after = fields.clone();
    match before {
        Some(_) if create_only => Err(precondition("the record exists already")),
        Some(before) => {
            let kept = keep_unseen(collection, write, &before.fields, &mut after);
            auth::keep_unnamed(collection, &write.guard, &before.fields, &mut after);
            auth::judge_change(collection, &write.guard, &before.fields, &mut after)?;
            enrich::fill_in(draft, collection, &write.guard, id, &before.fields, &mut after)?;
            if kept {
                pipeline::check(collection, &after)?;
            }
            if same_as_sent(collection, &before.fields, &after) {
                return Ok(Written::Updated(before));
            }
            enrich::follow(draft, collection, &write.guard, id, &before.fields, &mut after)?;
            Ok(Written::Updated(update(draft, collection, before, after)?))
        }
        None => {
            let complete = enrich::complete(draft, collection, &write.guard, id, &mut after)?;
            may_create(draft, collection, write, id, &after)?;
            complete?;
            if unseen {
                write.guard.allow(Action::Update)?;
                return Err(no_record());
            }
            auth::judge_new(collection, &after)?;
            Ok(Written::Created(insert(draft, collection, id, after)?))
        }
    }
}

/// Whether a replacement says what is there already; what the server sets by itself is not the client's to say.
fn same_as_sent(collection: &Collection, before: &Fields, after: &Fields) -> bool {
    let mut sent = collection.fields.iter().filter(|field| !field.is_set_by_server());
    sent.all(|field| before.get(field.id) == after.get(field.id))
}

fn insert(draft: &mut Draft<'_>, collection: &Collection, id: &RecordId, mut after: Fields) -> Result<Record> {
    handlers::judge(draft, collection, id, None, &after)?;
    jobs::judge(draft, collection, id, None, &mut after)?;
    check_record(draft, collection, id, None, &after)?;
    reshape::follow(draft, collection, id, None, &mut after)?;
    let record = Record { id: id.clone(), version: draft.position, fields: after.clone() };
    draft.push(Change::Created {
        collection: collection.id,
        generation: collection.generation,
        id: id.clone(),
        after,
    })?;
    handlers::begin(draft, collection, id)?;
    Ok(record)
}

pub(super) fn update(
    draft: &mut Draft<'_>,
    collection: &Collection,
    before: Record,
    mut after: Fields,
) -> Result<Record> {
    handlers::judge(draft, collection, &before.id, Some(&before.fields), &after)?;
    jobs::judge(draft, collection, &before.id, Some(&before.fields), &mut after)?;
    check_record(draft, collection, &before.id, Some(&before.fields), &after)?;
    reshape::follow(draft, collection, &before.id, Some(&before.fields), &mut after)?;
    draft.push(Change::Updated {
        collection: collection.id,
        generation: collection.generation,
        id: before.id.clone(),
        after: after.clone(),
        before: after.before_image(&before.fields),
        since: before.version.seq,
    })?;
    Ok(Record { id: before.id, version: draft.position, fields: after })
}

/// A deletion, and all that goes or loses its relation with it.
fn delete(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    id: &RecordId,
    if_match: Option<&Condition>,
) -> Result<Written> {
    write.guard.allow(Action::Delete)?;
    let first = existing(draft, collection, id)?;
    may_change(draft, collection, write, Action::Delete, &first)?;
    check_condition(if_match, Some(&first))?;
    let mut fall = Fall::new(Some(&write.guard));
    fall.doom(collection.id, id);
    auth::judge_end(draft, collection)?;
    fell(draft, &mut fall)?;
    Ok(Written::Deleted)
}

/// Deletes what is doomed, and what that takes along.
pub(super) fn fell(draft: &mut Draft<'_>, fall: &mut Fall<'_>) -> Result<()> {
    while let Some((target, id)) = fall.queue.pop_front() {
        let target = draft.schema.get(target).ok_or_else(no_collection)?.clone();
        // As it is now: a relation of it may have been emptied since it was doomed.
        let record = existing(draft, &target, &id)?;
        jobs::may_go(draft, &target, &id, &record.fields)?;
        draft.push(Change::Deleted {
            collection: target.id,
            generation: target.generation,
            id: id.clone(),
            before: record.fields,
            since: record.version.seq,
        })?;
        handlers::end(draft, &target, &id)?;
        release(draft, &target, &id, fall)?;
        if draft.changes.len() + fall.queue.len() > limits::ENTRY_CHANGES_MAX {
            return Err(too_many_changes());
        }
    }
    Ok(())
}

/// What a relation is to lose.
#[derive(Clone, Copy)]
pub(super) enum Gone<'a> {
    /// One record's id.
    One(&'a RecordId),
    /// Every id.
    All,
}

impl Gone<'_> {
    fn has(self, value: &Value) -> bool {
        match self {
            Gone::One(id) => value.as_text() == Some(id.as_str()),
            Gone::All => true,
        }
    }
}

/// What a deletion takes along.
pub(super) struct Fall<'a> {
    /// Everything that goes, gone or still queued. What is in here no longer counts as referring.
    doomed: BTreeSet<(CollectionId, RecordId)>,
    queue: VecDeque<(CollectionId, RecordId)>,
    /// Of the caller, who might not be allowed to see what goes along; none of a call that is the superusers' own.
    guard: Option<&'a Guard>,
}

impl<'a> Fall<'a> {
    pub(super) fn new(guard: Option<&'a Guard>) -> Fall<'a> {
        Fall { doomed: BTreeSet::new(), queue: VecDeque::new(), guard }
    }

    fn doom(&mut self, collection: CollectionId, id: &RecordId) {
        if self.doomed.insert((collection, id.clone())) {
            self.queue.push_back((collection, id.clone()));
        }
    }

    fn spares(&self, collection: CollectionId, id: &RecordId) -> bool {
        !self.doomed.contains(&(collection, id.clone()))
    }

    fn refuse(&self, collection: &Collection, field: &Field, referrer: &RecordId) -> Error {
        let message = if self.guard.is_none_or(Guard::is_superuser) {
            format!("the relation {}.{} of the record {referrer} needs it", collection.name, field.name)
        } else {
            "another record needs it".to_owned()
        };
        Error::new(Kind::Conflict, message).code("referred_to")
    }
}

/// Sees to everything that refers to a record that goes: first what goes with it, so that it refuses nothing.
fn release(draft: &mut Draft<'_>, target: &Collection, id: &RecordId, fall: &mut Fall<'_>) -> Result<()> {
    let schema = draft.schema;
    reshape::orphaned(draft, target.id, id)?;
    for cascades in [true, false] {
        for (pointing, field, on_delete) in schema.pointing_at(target.id) {
            if (on_delete == OnDelete::Cascade) != cascades {
                continue;
            }
            for referrer in referrers(draft, pointing, field, id)? {
                meet(draft, pointing, field, on_delete, &referrer, Gone::One(id), fall)?;
            }
        }
    }
    Ok(())
}

/// What a relation says to it that what it points at goes.
pub(super) fn meet(
    draft: &mut Draft<'_>,
    pointing: &Collection,
    field: &Field,
    on_delete: OnDelete,
    referrer: &RecordId,
    gone: Gone<'_>,
    fall: &mut Fall<'_>,
) -> Result<()> {
    match on_delete {
        OnDelete::Cascade => fall.doom(pointing.id, referrer),
        OnDelete::SetNull | OnDelete::Restrict if !fall.spares(pointing.id, referrer) => {}
        OnDelete::SetNull => unlink(draft, pointing, field, referrer, gone, fall)?,
        OnDelete::Restrict => return Err(fall.refuse(pointing, field, referrer)),
    }
    Ok(())
}

/// Who refers to a record, as far as one transaction could hold them.
fn referrers(draft: &mut Draft<'_>, pointing: &Collection, field: &Field, target: &RecordId) -> Result<Vec<RecordId>> {
    let room = limits::ENTRY_CHANGES_MAX.saturating_sub(draft.changes.len());
    let found = state::referrers(draft.state()?, pointing, field.id, target, room + 1)?;
    if found.len() > room { Err(too_many_changes()) } else { Ok(found) }
}

/// Takes what goes out of a record's relation.
fn unlink(
    draft: &mut Draft<'_>,
    collection: &Collection,
    field: &Field,
    referrer: &RecordId,
    gone: Gone<'_>,
    fall: &Fall<'_>,
) -> Result<()> {
    let record = existing(draft, collection, referrer)?;
    let mut after = record.fields.clone();
    let value = without(field, record.fields.get(field.id), gone);
    if falls_short(field, &value) {
        return Err(fall.refuse(collection, field, referrer));
    }
    after.set(field.id, value);
    let forget = |after: &mut Fields| forget(collection, field, gone, after);
    let outcome = enrich::unlinked(draft, collection, fall.guard, referrer, &record.fields, &mut after, forget)
        .and_then(|()| update(draft, collection, record, after));
    match outcome {
        Ok(_) => Ok(()),
        // The record can't be without what goes: that is no fault of the caller's, who may not even see it.
        Err(error) if matches!(error.code_str(), "check" | "computed" | "unique" | "relation_missing" | "invalid") => {
            Err(fall.refuse(collection, field, referrer))
        }
        Err(error) => Err(error),
    }
}

/// Takes what goes out of the computed relations to the same collection: where they copy it from may be emptied later.
fn forget(collection: &Collection, emptied: &Field, gone: Gone<'_>, after: &mut Fields) {
    let FieldKind::Relation { collection: target, .. } = emptied.kind else { return };
    for (field, _) in collection.relations_to(target).filter(|(field, _)| field.computed.is_some()) {
        let value = without(field, after.get(field.id), gone);
        after.set(field.id, value);
    }
}

/// A relation's value without what goes.
fn without(field: &Field, value: &Value, gone: Gone<'_>) -> Value {
    let others = value.each().iter().filter(|value| !gone.has(value));
    let left: Vec<Value> = others.cloned().collect();
    match left {
        left if left.is_empty() => Value::Null,
        left if field.kind.is_list() => Value::List(left),
        mut left => left.swap_remove(0),
    }
}

/// Whether a relation holds fewer ids than its field asks for.
fn falls_short(field: &Field, value: &Value) -> bool {
    let fewest = match &field.kind {
        FieldKind::Relation { min_select, .. } => (*min_select).max(usize::from(field.required)),
        _ => 0,
    };
    value.each().len() < fewest
}

/// What only the state can tell of a record's new fields: uniqueness, relation targets. All faults at once.
fn check_record(
    draft: &mut Draft<'_>,
    collection: &Collection,
    id: &RecordId,
    before: Option<&Fields>,
    after: &Fields,
) -> Result<()> {
    let moved = |field: FieldId| before.is_none_or(|before| before.get(field) != after.get(field));
    let mut refusal: Option<Error> = None;
    let mut doubled = Vec::new();
    let schema = draft.schema;
    let state = draft.state()?;
    for index in collection.kept_indexes().filter(|index| index.unique) {
        if !index.fields.iter().any(|part| moved(part.field)) {
            continue;
        }
        let holder = state::unique_holder(state, collection, index, after, id)?;
        if holder.is_some() && index.is_building() {
            doubled.push((collection.id, index.id, id.clone()));
        } else if holder.is_some() {
            let error = refusal
                .take()
                .unwrap_or_else(|| Error::new(Kind::Conflict, "another record has these values").code("unique"));
            refusal = Some(index.fields.iter().fold(error, |error, part| {
                let name = collection.field_by_id(part.field).map_or("", |field| &field.name);
                error.fault(name, "unique", format!("must be unique (index {})", index.name))
            }));
        }
    }
    for field in collection.fields.iter().filter(|field| moved(field.id)) {
        let FieldKind::Relation { collection: target, .. } = &field.kind else { continue };
        let target = schema.get(*target).ok_or_else(no_collection)?;
        // What it pointed at before is still there: nothing goes while it is pointed at.
        let known: BTreeSet<&str> = match before.map(|before| before.get(field.id)) {
            Some(before) => before.each().iter().filter_map(Value::as_text).collect(),
            None => BTreeSet::new(),
        };
        for value in
            after.get(field.id).each().iter().filter(|value| value.as_text().is_none_or(|id| !known.contains(id)))
        {
            let Some(wanted) = value.as_text().and_then(|text| RecordId::new(text).ok()) else { continue };
            let itself = target.id == collection.id && wanted == *id;
            if !itself && !state::exists(state, target, &wanted)? {
                let error = refusal.take().unwrap_or_else(|| {
                    Error::new(Kind::Conflict, "a relation points nowhere").code("relation_missing")
                });
                refusal = Some(error.fault(
                    field.name.clone(),
                    "relation_missing",
                    format!("there is no record {wanted} in {}", target.name),
                ));
            }
        }
    }
    draft.doubled.extend(doubled);
    refusal.map_or(Ok(()), Err)
}

fn existing(draft: &mut Draft<'_>, collection: &Collection, id: &RecordId) -> Result<Record> {
    state::record(draft.state()?, collection, id)?.ok_or_else(no_record)
}

fn check_condition(condition: Option<&Condition>, record: Option<&Record>) -> Result<()> {
    let holds = match (condition, record) {
        (None, _) | (Some(Condition::Exists), Some(_)) => true,
        (Some(_), None) => false,
        (Some(Condition::Versions(versions)), Some(record)) => versions.contains(&record.version),
    };
    if holds { Ok(()) } else { Err(precondition("the record is not in the version that If-Match names")) }
}

fn precondition(message: &str) -> Error {
    Error::new(Kind::Precondition, message)
}
