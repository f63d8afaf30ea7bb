//! What a handler writes for one change: its expressions over the change give a body, which is read as if a client had
//! sent it. Pure but for what relations lead to in the view.

use crate::core::{Changed, Published, RecordChange, What};
use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::model::command::{Derived, Refusal, Way, Write};
use crate::model::expr::{Input, Program, Row};
use crate::model::handler::{Actions, Deed, Handler, Source};
use crate::model::pipeline::{self, Body};
use crate::model::predicate::Sight;
use crate::model::schema::Collection;
use crate::model::value::Value;
use crate::state::Related;
use crate::time::Millis;

use super::Means;

/// What happened to a record, as handlers name it.
pub(super) fn action(change: &RecordChange<'_>) -> &'static str {
    match (change.before().is_some(), change.after().is_some()) {
        (false, _) => "create",
        (true, true) => "update",
        (true, false) => "delete",
    }
}

fn is_wanted(actions: Actions, action: &str) -> bool {
    match action {
        "create" => actions.create,
        "update" => actions.update,
        _ => actions.delete,
    }
}

/// What a handler of kind `collection` writes for a change; `None` where it wants none of it.
///
/// # Errors
/// What its expressions or the target's definition refuse; the state's.
pub(super) fn derive(
    handler: &Handler,
    view: &Published,
    changed: &Changed<'_>,
    means: &Means,
) -> Result<Option<Derived>> {
    let (Deed::Collection(target), What::Record(change)) = (&handler.deed, &changed.what) else { return Ok(None) };
    let Some(source) = wants(handler, view, changed, change)? else { return Ok(None) };
    let target = view.schema.get(*target).ok_or_else(|| Error::invalid("the target is gone"))?;
    Seen::new(view, change, changed.time).write(source, target, means).map(Some)
}

/// What of a handler is particular to a change's collection, where it wants that change.
///
/// # Errors
/// What its filter refuses; the state's.
pub(super) fn wants<'a>(
    handler: &'a Handler,
    view: &Published,
    changed: &Changed<'_>,
    change: &RecordChange<'_>,
) -> Result<Option<&'a Source>> {
    let source = handler.sources.iter().find(|source| source.collection == change.collection);
    let Some(source) = source.filter(|_| is_wanted(handler.actions, action(change))) else { return Ok(None) };
    match &source.filter {
        Some(filter) if !Seen::new(view, change, changed.time).holds(filter)? => Ok(None),
        _ => Ok(Some(source)),
    }
}

/// A change with all that expressions may look at.
struct Seen<'a> {
    view: &'a Published,
    id: &'a RecordId,
    before: Option<std::borrow::Cow<'a, crate::model::value::Fields>>,
    change: RecordChange<'a>,
    time: Millis,
}

impl<'a> Seen<'a> {
    fn new(view: &'a Published, change: &RecordChange<'a>, time: Millis) -> Seen<'a> {
        Seen { view, id: change.id, before: change.before(), change: *change, time }
    }

    /// The record after the change, or before it where it went.
    fn evaluate<T>(&self, evaluate: impl FnOnce(Row<'_>, &Input<'_>, &Related<'_>) -> Result<T>) -> Result<T> {
        let before = self.before.as_deref();
        let Some(fields) = self.change.after().or(before) else {
            return Err(Error::internal("a change without a record"));
        };
        let mut input = Input::at(self.time);
        input.old = before;
        let related = Related::new(&self.view.stack, &self.view.schema, &Sight::All);
        evaluate(Row { id: self.id.as_str(), fields }, &input, &related)
    }

    fn holds(&self, program: &Program) -> Result<bool> {
        self.evaluate(|row, input, related| related.outcome(program.holds(row, input, related)))
    }

    fn value(&self, program: &Program) -> Result<Value> {
        self.evaluate(|row, input, related| related.outcome(program.value(row, input, related)))
    }

    fn write(&self, source: &Source, target: &Collection, means: &Means) -> Result<Derived> {
        let id = match &source.key {
            Some(key) => Some(record_id(&self.value(key)?)?),
            None => None,
        };
        let (mut whole, mut patch) = (Body::default(), Body::default());
        for setting in &source.sets {
            let Some(field) = target.field_by_id(setting.field) else { continue };
            let value = self.value(&setting.program)?;
            match setting.way {
                None => {
                    whole.put(&field.name, "", &value);
                    patch.put(&field.name, "", &value);
                }
                Some(_) if value.is_null() => {}
                Some(way) => {
                    patch.put_way(&field.name, way, &value);
                    // As it is over nothing.
                    match (way, value) {
                        (Way::Add | Way::Prepend, value) if field.kind.is_list() => {
                            whole.put(&field.name, "", &Value::List(value.each().to_vec()));
                        }
                        (Way::Take, _) if field.kind.is_list() => {}
                        (Way::Take, Value::Int(number)) => {
                            whole.put(&field.name, "", &Value::Int(number.saturating_neg()))
                        }
                        (Way::Take, Value::Number(number)) => whole.put(&field.name, "", &Value::Number(0.0 - number)),
                        (_, value) => whole.put(&field.name, "", &value),
                    }
                }
            }
        }
        let write = |op| Write { collection: target.id, schema: target.version, guard: means.guard.clone(), op };
        let made = match &id {
            Some(id) => id.clone(),
            None => (means.new_id)(self.time)?,
        };
        let create = pipeline::create(target, &whole.finish(), made, true).map(&write);
        let Some(id) = id else { return Ok(Derived { create: Ok(create?), merge: None }) };
        // Only the order of writes tells which of them it is.
        let create = match create {
            Ok(create) => Ok(create),
            Err(error) => Err(Refusal::of(error)?),
        };
        let merge = write(pipeline::merge(target, &id, &patch.finish(), None, true)?);
        Ok(Derived { create, merge: Some(merge) })
    }
}

fn record_id(value: &Value) -> Result<RecordId> {
    let text = match value {
        Value::Text(text) => Some(text.to_string()),
        Value::Json(text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    let refused = |message: &str| Error::invalid("the change gives no record").fault("key", "bad_id", message);
    let text = text.ok_or_else(|| refused("its expression gives no text"))?;
    RecordId::new(&text).map_err(|error| refused(error.message()))
}
