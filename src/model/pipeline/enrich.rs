//! Fifth stage, inside the order of writes: what the server adds to a record. Deterministic: the time is handed in.

use crate::model::schema::{Collection, DefaultValue, Field, FieldKind};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

/// Fills in what the server sets. With no `before` the record is new: defaults and `onCreate` dates. With one, it is a
/// change to be stored: `onUpdate` dates are `now`, the other dates stay what they were, also where `after` is a whole
/// new record. A replace calls [`defaults`] first, a merge doesn't: there null was asked for.
pub fn enrich(collection: &Collection, before: Option<&Fields>, after: &mut Fields, now: Millis) {
    if before.is_none() {
        defaults(collection, after, now);
    }
    for field in &collection.fields {
        let FieldKind::Autodate { on_create, on_update } = field.kind else { continue };
        let value = match before {
            None if on_create => Value::Date(now),
            None => Value::Null,
            Some(_) if on_update => Value::Date(now),
            Some(before) => before.get(field.id).clone(),
        };
        after.set(field.id, value);
    }
}

/// Puts the defaults in the place of what is null, as at a create. A stored null is the same as an absent field, so
/// one that a client wrote at a create becomes the default too.
pub fn defaults(collection: &Collection, fields: &mut Fields, now: Millis) {
    for field in &collection.fields {
        let Some(default) = &field.default else { continue };
        if fields.get(field.id).is_null() {
            let value = match default {
                DefaultValue::Now => Value::Date(now),
                DefaultValue::Expression(_) => continue,
                DefaultValue::Value(value) => default_value(field, value),
            };
            fields.set(field.id, value);
        }
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
        (_, Json::Object(_)) => Value::Null,
    }
}
