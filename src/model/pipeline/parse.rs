//! Third stage: the text of a JSON value becomes a value of its field's type, within the field's bounds.
//!
//! Nothing is converted on the way: a number as a text is a wrong type, the empty text is no date and no id. Null is
//! taken for every type; whether a field may be null is the next stage's question.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::id::{FieldId, RecordId};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json::{self, Flaw};
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::Value;
use crate::time::Millis;

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
    match &field.kind {
        FieldKind::Text { min, max, pattern } => {
            let text = sanitize(&field.sanitize, text(raw)?);
            long_enough(&text, min.unwrap_or(0), max.unwrap_or(limits::TEXT_CHARS_DEFAULT_MAX))?;
            match pattern {
                // An empty text in an optional field is "nothing said".
                Some(pattern) if !text.is_empty() && !pattern.matches(&text) => {
                    Err(Flaw::new("pattern", format!("must match {}", pattern.as_str())))
                }
                _ => Ok(Value::Text(text.into())),
            }
        }
        FieldKind::Number { integer, min, max } => in_range(number(*integer, raw)?, *min, *max),
        FieldKind::Bool {} => match raw {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(wrong_type("true or false", raw)),
        },
        FieldKind::Date { min, max } => date(raw, *min, *max),
        FieldKind::Autodate { .. } => date(raw, None, None),
        FieldKind::Select { values, .. } => {
            let text = text(raw)?;
            match values.iter().find(|value| ***value == *text) {
                Some(value) => Ok(Value::Text(value.clone())),
                None => Err(Flaw::new("not_a_value", choice(values))),
            }
        }
        FieldKind::Relation { .. } => {
            let id = RecordId::new(&text(raw)?).map_err(|error| Flaw::new("bad_id", error.message()))?;
            Ok(Value::text(id.as_str()))
        }
        FieldKind::Json { max_size } => {
            let mut text = String::with_capacity(raw.len());
            json::compact(raw, &mut text)?;
            match max_size {
                Some(max) if text.len() > *max => Err(Flaw::new("too_long", format!("has at most {max} bytes"))),
                _ => Ok(Value::Json(text.into())),
            }
        }
        FieldKind::Editor { .. } | FieldKind::GeoPoint {} => Err(Flaw::new("not_known_yet", "is not known yet")),
        FieldKind::Email {} => email(sanitize(&field.sanitize, text(raw)?)),
        FieldKind::Url {} => url(sanitize(&field.sanitize, text(raw)?)),
    }
}

fn list(collection: &Collection, field: &Field, path: &str, raw: &str, faults: &mut Faults) -> Value {
    let (FieldKind::Select { max_select, min_select, .. } | FieldKind::Relation { max_select, min_select, .. }) =
        &field.kind
    else {
        return Value::Null;
    };
    let Some(elements) = json::elements(raw) else {
        faults.add(path, "wrong_type", format!("must be a list, not {}", kind_of(raw)));
        return Value::Null;
    };
    if elements.len() > *max_select {
        faults.add(path, "too_many", format!("has at most {max_select} elements"));
        return Value::Null;
    }
    if elements.len() < *min_select {
        faults.add(path, "too_few", format!("has at least {min_select} elements"));
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

/// A text in an index is held whole in its keys, so it is bounded.
pub(super) fn fits_index(collection: &Collection, field: FieldId, value: Value) -> Result<Value, Flaw> {
    let max = limits::INDEXED_TEXT_BYTES_MAX;
    let long = value.as_text().is_some_and(|text| text.len() > max);
    if long && collection.is_indexed(field) {
        return Err(Flaw::new("too_long_for_index", format!("stands in an index, so it has at most {max} bytes")));
    }
    Ok(value)
}

fn text(raw: &str) -> Result<Cow<'_, str>, Flaw> {
    match json::text_of(raw) {
        Some(text) => Ok(text),
        None if raw.starts_with('"') => Err(Flaw::new("bad_text", "an escape is not a character")),
        None => Err(wrong_type("a text", raw)),
    }
}

fn long_enough(text: &str, min: usize, max: usize) -> Result<(), Flaw> {
    // No text has more characters than bytes, so most need no counting.
    if min == 0 && text.len() <= max {
        return Ok(());
    }
    let chars = text.chars().count();
    if chars > max {
        Err(Flaw::new("too_long", format!("has at most {max} characters")))
    } else if chars < min && chars > 0 {
        Err(Flaw::new("too_short", format!("has at least {min} characters")))
    } else {
        Ok(())
    }
}

pub(super) fn number(integer: bool, raw: &str) -> Result<Value, Flaw> {
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

pub(super) fn in_range(value: Value, min: Option<f64>, max: Option<f64>) -> Result<Value, Flaw> {
    let below = |bound: f64| value.order(&Value::Number(bound)).is_lt();
    let above = |bound: f64| value.order(&Value::Number(bound)).is_gt();
    match (min, max) {
        (Some(min), _) if below(min) => Err(Flaw::new("too_small", format!("must be at least {min}"))),
        (_, Some(max)) if above(max) => Err(Flaw::new("too_large", format!("must be at most {max}"))),
        _ => Ok(value),
    }
}

fn date(raw: &str, min: Option<Millis>, max: Option<Millis>) -> Result<Value, Flaw> {
    let text = text(raw)?;
    let Some(at) = Millis::parse(&text) else {
        return Err(Flaw::new("not_a_date", "must be a date that exists, such as 2001-02-28 12:30:00.000Z"));
    };
    match (min, max) {
        (Some(min), _) if at < min => Err(Flaw::new("too_early", format!("must not be before {min}"))),
        (_, Some(max)) if at > max => Err(Flaw::new("too_late", format!("must not be after {max}"))),
        _ => Ok(Value::Date(at)),
    }
}

fn email(text: Cow<'_, str>) -> Result<Value, Flaw> {
    let options = email_address::Options::default().without_display_text().without_domain_literal().with_required_tld();
    match email_address::EmailAddress::parse_with_options(&text, options) {
        Ok(_) => Ok(Value::Text(text.into())),
        Err(_) if text.is_empty() => Err(Flaw::new("not_an_email", "is empty; null says that there is none")),
        Err(_) => Err(Flaw::new("not_an_email", "must be an e-mail address, such as ann@example.org")),
    }
}

fn url(text: Cow<'_, str>) -> Result<Value, Flaw> {
    long_enough(&text, 0, limits::TEXT_CHARS_DEFAULT_MAX)?;
    let scheme = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"))
        || text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    // The URL standard drops some of these silently; what is stored is what was checked.
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\');
    let parsed = || url::Url::parse(&text).is_ok_and(|url| url.has_host());
    if scheme && clean && parsed() {
        Ok(Value::Text(text.into()))
    } else {
        Err(Flaw::new("not_a_url", "must be an absolute URL, such as https://example.org/page"))
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

/// What may be chosen, as far as it is short.
fn choice(values: &[Box<str>]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = values.iter().take(SHOWN).map(|value| &**value).collect();
    let more = if values.len() > SHOWN { ", …" } else { "" };
    format!("must be one of: {}{more}", shown.join(", "))
}
