//! Third stage: the text of a JSON value becomes a value of its field's type, within the field's bounds.
//!
//! Nothing is converted on the way: a number as a text is a wrong type, the empty text is no date and no id. Null is
//! taken for every type; whether a field may be null is the next stage's question.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::model::faults::Faults;
use crate::model::json::{self, Flaw};
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::Value;
use crate::time::Millis;

use super::bounds::{counted, fits_index, within};
use super::password;
use super::sanitize::sanitize;

/// The value that `raw`, one well-formed JSON value, is for `field`. With a fault noted under `path` it is null.
pub(crate) fn parse(collection: &Collection, field: &Field, path: &str, raw: &str, faults: &mut Faults) -> Value {
    if raw == "null" {
        return Value::Null;
    }
    if field.kind.is_list() {
        return list(collection, field, path, raw, faults);
    }
    match one(field, raw).and_then(|value| fits_index(collection, field.id, value)) {
        Ok(value) => value,
        Err(flaw) => {
            faults.add(path, flaw.code, flaw.message);
            Value::Null
        }
    }
}

/// One value of the field's type; of a list field, one element.
pub(super) fn one(field: &Field, raw: &str) -> Result<Value, Flaw> {
    let value = match &field.kind {
        FieldKind::Text { .. } | FieldKind::Email {} | FieldKind::Url {} | FieldKind::Editor { .. } => {
            Value::Text(sanitize(&field.sanitize, text(raw)?).into())
        }
        FieldKind::Number { integer, .. } => number(*integer, raw)?,
        FieldKind::Bool {} => match raw {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(wrong_type("true or false", raw)),
        },
        FieldKind::Date { .. } | FieldKind::Autodate { .. } => date(&text(raw)?)?,
        FieldKind::Select { .. } | FieldKind::Relation { .. } => Value::Text(text(raw)?.into()),
        FieldKind::Json { .. } => {
            let mut text = String::with_capacity(raw.len());
            json::compact(raw, &mut text)?;
            Value::Json(text.into())
        }
        FieldKind::GeoPoint {} => point(raw)?,
        FieldKind::Password { .. } => password::given(text(raw)?.into()),
        FieldKind::Secret {} => return Err(Flaw::new("read_only", "is set by the server")),
    };
    within(&field.kind, value)
}

fn list(collection: &Collection, field: &Field, path: &str, raw: &str, faults: &mut Faults) -> Value {
    let Some(elements) = json::elements(raw) else {
        faults.add(path, "wrong_type", format!("must be a list, not {}", kind_of(raw)));
        return Value::Null;
    };
    if let Err(flaw) = counted(&field.kind, elements.len()) {
        faults.add(path, flaw.code, flaw.message);
        return Value::Null;
    }
    let mut seen = BTreeSet::new();
    let mut items = Vec::with_capacity(elements.len());
    for (at, element) in elements.into_iter().enumerate() {
        let item = match one(field, element).and_then(|value| fits_index(collection, field.id, value)) {
            Ok(item) if item.as_text().is_some_and(|text| !seen.insert(text.to_owned())) => {
                Err(Flaw::new("duplicate", "stands in the list twice"))
            }
            other => other,
        };
        match item {
            Ok(item) => items.push(item),
            Err(flaw) => faults.add(format!("{path}.{at}"), flaw.code, flaw.message),
        }
    }
    Value::List(items)
}

fn text(raw: &str) -> Result<Cow<'_, str>, Flaw> {
    match json::text_of(raw) {
        Some(text) => Ok(text),
        None if raw.starts_with('"') => Err(Flaw::new("bad_text", "an escape is not a character")),
        None => Err(wrong_type("a text", raw)),
    }
}

/// The number that a JSON number is, whole or floating.
pub(crate) fn number(integer: bool, raw: &str) -> Result<Value, Flaw> {
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(wrong_type("a number", raw));
    }
    if integer {
        return json::whole(raw).map(Value::Int);
    }
    match raw.parse::<f64>() {
        // Adding zero takes the sign from a negative one.
        Ok(number) if number.is_finite() => Ok(Value::Number(number + 0.0)),
        _ => Err(Flaw::new("out_of_range", "the number is too large")),
    }
}

/// The moment that a text names.
pub(crate) fn date(text: &str) -> Result<Value, Flaw> {
    match Millis::parse(text) {
        Some(at) => Ok(Value::Date(at)),
        None => Err(Flaw::new("not_a_date", "must be a date that exists, such as 2001-02-28 12:30:00.000Z")),
    }
}

/// `{"lon": 12.5, "lat": 41.9}`, in any order and with nothing else in it.
fn point(raw: &str) -> Result<Value, Flaw> {
    const WANTED: &str = "an object with lon and lat";
    if !raw.starts_with('{') {
        return Err(wrong_type(WANTED, raw));
    }
    let members = json::members(raw).map_err(|_| wrong_type(WANTED, raw))?;
    let (mut lon, mut lat) = (None, None);
    for (key, raw) in members {
        let place = match &*key {
            "lon" => &mut lon,
            "lat" => &mut lat,
            _ => return Err(Flaw::new("unknown_key", "has lon and lat and nothing else")),
        };
        let Ok(Value::Number(degrees)) = number(false, raw) else {
            return Err(Flaw::new("wrong_type", format!("{key} must be a number")));
        };
        if place.replace(degrees).is_some() {
            return Err(Flaw::new("duplicate_key", format!("{key} stands in it twice")));
        }
    }
    match (lon, lat) {
        (Some(lon), Some(lat)) => Ok(Value::Point(lon, lat)),
        _ => Err(Flaw::new("required", "lon and lat are required")),
    }
}

fn wrong_type(wanted: &str, raw: &str) -> Flaw {
    Flaw::new("wrong_type", format!("must be {wanted}, not {}", kind_of(raw)))
}

pub(super) fn kind_of(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}
