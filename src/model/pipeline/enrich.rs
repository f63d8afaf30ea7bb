//! Fifth stage, inside the order of writes: what the server adds to a record. Deterministic: the time, the request and
//! the view of other records are handed in.
//!
//! Defaults and dates come first, then computed fields, each behind those that it reads. What is read through a relation
//! or a lookup is a copy as of the write.

use crate::error::{Error, Kind, Result};
use crate::id::FieldId;
use crate::model::compiled::Compiled;
use crate::model::expr::{Exhausted, Input, Program, Relations, Row};
use crate::model::faults::Faults;
use crate::model::schema::{Collection, DefaultValue, Field, FieldKind};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

use super::check::is_missing;
use super::conform::conform;

/// A write to one record, for what is evaluated on it.
#[derive(Clone, Copy)]
pub struct Writing<'a> {
    /// Its collection.
    pub collection: &'a Collection,
    /// That collection's expressions.
    pub compiled: &'a Compiled,
    /// The record's id.
    pub id: &'a str,
    /// Time, request and, as `old`, the record before.
    pub input: Input<'a>,
    /// Other records.
    pub relations: &'a dyn Relations,
}

impl Writing<'_> {
    /// Fills in what is null of a whole record: defaults, and the dates that the server sets. A stored null is the same
    /// as an absent field, so one that a client wrote at a create becomes the default too. A merge doesn't call this:
    /// there null was asked for.
    ///
    /// # Errors
    /// `Unprocessable`: code `computed` with a fault for each expression that gives no value of its field's kind,
    /// `too_costly` for one that takes too many steps.
    pub fn fill_in(&self, after: &mut Fields) -> Result<()> {
        defaults(self.collection, after, self.input.now);
        self.date(after);
        let absent = self.compiled.defaults.iter().filter(|(field, _)| after.get(*field).is_null());
        let absent: Vec<&(FieldId, Program)> = absent.collect();
        self.evaluate(&absent, after)
    }

    /// Sets the dates of the write. At a create those `onCreate`; at a change those `onUpdate`, while the others stay
    /// what they were, also where `after` is a whole new record.
    pub fn date(&self, after: &mut Fields) {
        for field in &self.collection.fields {
            let FieldKind::Autodate { on_create, on_update } = field.kind else { continue };
            let value = match self.input.old {
                None if on_create => Value::Date(self.input.now),
                None => Value::Null,
                Some(_) if on_update => Value::Date(self.input.now),
                Some(before) => before.get(field.id).clone(),
            };
            after.set(field.id, value);
        }
    }

    /// Sets the computed fields, whatever was there. Of those with a fault the value is null.
    ///
    /// # Errors
    /// As [`Writing::fill_in`]; also for a required one that becomes null.
    pub fn compute(&self, after: &mut Fields) -> Result<()> {
        if self.compiled.computed.is_empty() {
            return Ok(());
        }
        let computed: Vec<&(FieldId, Program)> = self.compiled.computed.iter().collect();
        self.evaluate(&computed, after)
    }

    /// What an evaluation on a record, as far as it has come, gives.
    pub(super) fn holds(&self, program: &Program, record: &Fields) -> Result<bool, Exhausted> {
        program.holds(Row { id: self.id, fields: record }, &self.input, self.relations)
    }

    /// Sets what programs give, one behind the other.
    pub(super) fn evaluate(&self, programs: &[&(FieldId, Program)], after: &mut Fields) -> Result<()> {
        let mut faults = Faults::default();
        let mut costly = None;
        for (id, program) in programs {
            let Some(field) = self.collection.field_by_id(*id) else { continue };
            after.set(*id, Value::Null);
            match program.value(Row { id: self.id, fields: after }, &self.input, self.relations) {
                Ok(value) => {
                    let value = self.fitted(field, value, &mut faults);
                    after.set(*id, value);
                }
                Err(exhausted) => costly = Some(exhausted),
            }
        }
        match costly {
            Some(exhausted) => Err(exhausted.error()),
            None if faults.is_empty() => Ok(()),
            None => Err(Error::new(Kind::Unprocessable, "what is computed does not fit its field")
                .code("computed")
                .faults(faults.into_list())),
        }
    }

    fn fitted(&self, field: &Field, value: Value, faults: &mut Faults) -> Value {
        match conform(self.collection, field, value) {
            Ok(value) if field.computed.is_some() && is_missing(field, &value) => {
                faults.add(&*field.name, "required", "is required, and its expression gives nothing");
                Value::Null
            }
            Ok(value) => value,
            Err(flaw) => {
                faults.add(&*field.name, flaw.code, flaw.message);
                Value::Null
            }
        }
    }
}

/// Puts the defaults that need no evaluation in the place of what is null.
fn defaults(collection: &Collection, fields: &mut Fields, now: Millis) {
    for field in &collection.fields {
        let Some(default) = &field.default else { continue };
        if fields.get(field.id).is_null()
            && let Some(value) = plain_default(field, default, now)
        {
            fields.set(field.id, value);
        }
    }
}

/// The value of a default that needs no evaluation.
pub(super) fn plain_default(field: &Field, default: &DefaultValue, now: Millis) -> Option<Value> {
    match default {
        DefaultValue::Now => Some(Value::Date(now)),
        DefaultValue::Expression(_) => None,
        DefaultValue::Value(value) => Some(default_value(field, value)),
    }
}

/// The value of a default as the definition keeps it, which is JSON that [`super::parse`] took.
fn default_value(field: &Field, default: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match (&field.kind, default) {
        (_, Json::Null) => Value::Null,
        (FieldKind::Json { .. }, other) => Value::Json(other.to_string().into()),
        (FieldKind::Number { integer: true, .. }, Json::Number(number)) => {
            number.as_i64().map_or(Value::Null, Value::Int)
        }
        (_, Json::Number(number)) => number.as_f64().map_or(Value::Null, |number| Value::Number(number + 0.0)),
        (_, Json::Bool(flag)) => Value::Bool(*flag),
        (FieldKind::Date { .. }, Json::String(text)) => Millis::parse(text).map_or(Value::Null, Value::Date),
        (_, Json::String(text)) => Value::text(text.as_str()),
        (_, Json::Array(items)) => Value::List(items.iter().filter_map(Json::as_str).map(Value::text).collect()),
        (FieldKind::GeoPoint {}, Json::Object(place)) => {
            let degrees = |key: &str| place.get(key).and_then(Json::as_f64);
            degrees("lon").zip(degrees("lat")).map_or(Value::Null, |(lon, lat)| Value::Point(lon, lat))
        }
        (_, Json::Object(_)) => Value::Null,
    }
}
