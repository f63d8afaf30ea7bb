//! Rules on rows: whether a caller may make this record, change that one, remove it. Asked inside the order of writes,
//! so that no other write can come between the question and the deed.

use super::Draft;
use crate::error::{Error, Kind, Result};
use crate::id::{FieldId, RecordId};
use crate::model::command::{Op, Write};
use crate::model::expr::Row;
use crate::model::guard::{Action, Rows};
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::{Collection, Field};
use crate::model::value::{Fields, NULL, Value};
use crate::state::{self, Related};

/// What a client sent, by the fields' names; null where it was to become null.
type Body = Vec<(Box<str>, Value)>;

/// Whether the create rule holds of a new record, filled in as it would be stored.
pub(super) fn may_create(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    id: &RecordId,
    after: &Fields,
) -> Result<()> {
    if holds(draft, collection, write, Action::Create, id, after, None)? { Ok(()) } else { Err(write.guard.refusal()) }
}

/// Whether the rule of an update or a deletion holds of the stored record. Where it doesn't, a caller that may not even
/// view the record learns nothing of it.
pub(super) fn may_change(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    action: Action,
    stored: &Record,
) -> Result<()> {
    if may_replace(draft, collection, write, action, stored)? { Ok(()) } else { Err(no_record()) }
}

/// The same; false where the caller is to be answered as if the record were not there.
pub(super) fn may_replace(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    action: Action,
    stored: &Record,
) -> Result<bool> {
    if holds(draft, collection, write, action, &stored.id, &stored.fields, Some(&stored.fields))? {
        return Ok(true);
    }
    let schema = draft.schema;
    if state::permits(draft.state()?, schema, &write.guard, Action::View, &stored.id, &stored.fields)? {
        return Err(write.guard.refusal());
    }
    Ok(false)
}

pub(super) fn no_record() -> Error {
    Error::new(Kind::NotFound, "there is no such record")
}

fn holds(
    draft: &mut Draft<'_>,
    collection: &Collection,
    write: &Write,
    action: Action,
    id: &RecordId,
    fields: &Fields,
    old: Option<&Fields>,
) -> Result<bool> {
    let rule = match write.guard.rows(action) {
        Rows::All => return Ok(true),
        Rows::None => return Ok(false),
        Rows::Where(rule) => rule,
    };
    let body = if rule.program.uses().body { body(collection, write, old) } else { Body::new() };
    let mut input = rule.request.input(draft.now, &body);
    input.old = old;
    let (schema, steps) = (draft.schema, draft.steps);
    let related = Related::new(draft.state()?, schema, &rule.sight).at_most(steps);
    let holds = related.outcome(rule.program.holds(Row { id: id.as_str(), fields }, &input, &related));
    let steps = related.steps_taken();
    draft.spend(steps)?;
    holds
}

/// Whether a replacement leaves a field as it is stored: one that its caller can't see. Secrets are `auth`'s.
fn stays(collection: &Collection, write: &Write, field: FieldId) -> bool {
    let hidden = |field: &Field| field.hidden && !field.is_secret();
    !write.guard.is_superuser() && collection.field_by_id(field).is_some_and(hidden)
}

/// Puts into a replacement what its caller can't see of the record that it replaces. Whether there was such a field.
pub(super) fn keep_unseen(collection: &Collection, write: &Write, before: &Fields, after: &mut Fields) -> bool {
    let mut any = false;
    for field in collection.fields.iter().filter(|field| stays(collection, write, field.id)) {
        after.set(field.id, before.get(field.id).clone());
        any = true;
    }
    any
}

/// What a write says of each field. A replacement says null of what it leaves out, where there was something. Of a secret
/// no more is told than that it was sent.
fn body(collection: &Collection, write: &Write, old: Option<&Fields>) -> Body {
    let name = |field: FieldId| collection.field_by_id(field).map(|field| field.name.clone());
    let is_secret = |field: FieldId| collection.field_by_id(field).is_some_and(Field::is_secret);
    let named =
        |(field, value): (FieldId, Value)| Some((name(field)?, if is_secret(field) { Value::Null } else { value }));
    match &write.op {
        Op::Create { fields, .. } | Op::Put { fields, .. } => {
            let moves = |field: FieldId| old.is_none() || !stays(collection, write, field);
            let given = fields.iter().filter(|(field, _)| moves(*field)).map(|(field, value)| (field, value.clone()));
            let emptied = old.into_iter().flat_map(Fields::iter).filter(|(field, _)| {
                let settable = |field: FieldId| {
                    collection.field_by_id(field).is_some_and(|field| !field.is_set_by_server() && !field.is_secret())
                };
                fields.get(*field).is_null() && settable(*field) && moves(*field)
            });
            let emptied = emptied.map(|(field, _)| (field, Value::Null));
            given.chain(emptied).filter_map(named).collect()
        }
        Op::Merge { patch, merges, adjusts, .. } => {
            let merges = merges.iter().map(|(field, text)| (*field, Value::Json(text.clone())));
            // As what it comes to. Where no number can hold that, the write is refused whatever the rule says.
            let adjusts = adjusts.iter().map(|adjust| {
                let stored = old.map_or(&NULL, |old| old.get(adjust.field));
                (adjust.field, pipeline::adjusted(stored, adjust).unwrap_or(Value::Null))
            });
            patch.iter().cloned().chain(merges).chain(adjusts).filter_map(named).collect()
        }
        Op::Delete { .. } => Body::new(),
    }
}
