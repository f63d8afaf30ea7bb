//! What an expression gives is made a value of its field's type, cleaned and within the field's bounds as if a client
//! had sent it.
//!
//! Converted is only what loses nothing: a whole number and a floating one of the same value, the text of a moment, what
//! stands in json. In a list null elements are left out and repeated ones stand once: a path over a list gives both.

use std::borrow::Cow;

use crate::model::json::{self, Flaw};
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::Value;

use super::bounds::{counted, fits_index, within};
use super::format::write_value;
use super::parse;
use super::sanitize::sanitize;

/// The value as `field` stores it.
///
/// # Errors
/// Why it can't.
pub(crate) fn conform(collection: &Collection, field: &Field, value: Value) -> Result<Value, Flaw> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if !field.kind.is_list() {
        return one(field, value).and_then(|value| fits_index(collection, field.id, value));
    }
    let elements = match value {
        Value::List(items) => items,
        Value::Json(text) if text.starts_with('[') => {
            let raw = json::elements(&text).unwrap_or_default();
            raw.into_iter().map(|raw| parse::one(field, raw)).collect::<Result<Vec<_>, _>>()?
        }
        other => return Err(unlike("a list", &other)),
    };
    let mut items: Vec<Value> = Vec::with_capacity(elements.len());
    for element in elements.into_iter().filter(|element| !element.is_null()) {
        let item = one(field, element).and_then(|value| fits_index(collection, field.id, value))?;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    counted(&field.kind, items.len())?;
    Ok(Value::List(items))
}

/// One value of the field's type; of a list field, one element.
fn one(field: &Field, value: Value) -> Result<Value, Flaw> {
    let value = match (&field.kind, value) {
        (FieldKind::Json { .. }, value) => in_json(value)?,
        (_, Value::Json(text)) => return parse::one(field, &text),
        (
            FieldKind::Text { .. } | FieldKind::Email {} | FieldKind::Url {} | FieldKind::Editor { .. },
            Value::Text(text),
        ) => match sanitize(&field.sanitize, Cow::Borrowed(&text)) {
            Cow::Borrowed(same) if same.len() == text.len() => Value::Text(text),
            cleaned => Value::Text(cleaned.into()),
        },
        (FieldKind::Select { .. } | FieldKind::Relation { .. }, Value::Text(text)) => Value::Text(text),
        (FieldKind::Number { integer: true, .. }, Value::Number(number)) => {
            json::whole(&float(number)).map(Value::Int)?
        }
        (FieldKind::Number { integer: false, .. }, Value::Int(whole)) => Value::Number(whole as f64),
        (FieldKind::Number { .. }, number @ (Value::Int(_) | Value::Number(_))) => number,
        (FieldKind::Bool {}, Value::Bool(flag)) => Value::Bool(flag),
        (FieldKind::Date { .. }, Value::Date(at)) => Value::Date(at),
        (FieldKind::Date { .. }, Value::Text(text)) => parse::date(&text)?,
        (FieldKind::GeoPoint {}, Value::Point(lon, lat)) => Value::Point(lon, lat),
        (kind, value) => return Err(unlike(wanted(kind), &value)),
    };
    within(&field.kind, value)
}

/// No deeper than what a client may send: a list around what stood there before would grow with every write.
fn in_json(value: Value) -> Result<Value, Flaw> {
    if let Value::Json(text) = value {
        return Ok(Value::Json(text));
    }
    let mut bytes = Vec::new();
    write_value(&value, &mut bytes);
    match json::checked_text(&bytes) {
        Ok(text) => Ok(Value::Json(text.into())),
        Err(_) => Err(Flaw::new("too_deep", "its expression gives a list that is nested too deep")),
    }
}

/// As JSON has it, which [`json::whole`] reads exactly.
fn float(number: f64) -> String {
    let mut bytes = Vec::new();
    json::write_f64(&mut bytes, number);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wanted(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Number { .. } => "a number",
        FieldKind::Bool {} => "true or false",
        FieldKind::Date { .. } | FieldKind::Autodate { .. } => "a date",
        FieldKind::GeoPoint {} => "a place with lon and lat",
        FieldKind::Json { .. } => "any value",
        _ => "a text",
    }
}

fn unlike(wanted: &str, value: &Value) -> Flaw {
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::Date(_) => "a date",
        Value::List(_) => "a list",
        Value::Json(text) if text.starts_with('[') => "a list",
        Value::Json(_) => "an object",
        Value::Point(..) => "a place",
    };
    Flaw::new("wrong_type", format!("its expression gives {given}, not {wanted}"))
}
