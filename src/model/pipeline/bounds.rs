//! What a field's definition asks of a value of its type, whoever made it: a client or an expression.

use crate::id::{FieldId, RecordId};
use crate::limits;
use crate::model::json::Flaw;
use crate::model::pattern::TooCostly;
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::Value;
use crate::time::Millis;

/// The value, if it is within the bounds of its field; of a list field, one element. A value of another type than the
/// field's is let through: giving it the right one is the caller's.
pub(super) fn within(kind: &FieldKind, value: Value) -> Result<Value, Flaw> {
    match (kind, &value) {
        (FieldKind::Text { min, max, pattern }, Value::Text(text)) => {
            long_enough(text, min.unwrap_or(0), max.unwrap_or(limits::TEXT_CHARS_DEFAULT_MAX))?;
            // An empty text in an optional field is "nothing said".
            if let Some(pattern) = pattern
                && !text.is_empty()
            {
                let flaw = |code, message: &str| Flaw::new(code, format!("{message} {}", pattern.as_str()));
                match pattern.matches(text, &mut { limits::PATTERN_STEPS_MAX }) {
                    Ok(true) => {}
                    Ok(false) => return Err(flaw("pattern", "must match")),
                    Err(TooCostly) => return Err(flaw("too_costly", "takes too long to match against")),
                }
            }
        }
        (FieldKind::Editor { max }, Value::Text(text)) => {
            long_enough(text, 0, max.unwrap_or(limits::EDITOR_CHARS_DEFAULT_MAX))?;
        }
        (FieldKind::Number { min, max, .. }, Value::Int(_) | Value::Number(_)) => in_range(&value, *min, *max)?,
        (FieldKind::Date { min, max }, Value::Date(at)) => in_time(*at, *min, *max)?,
        (FieldKind::Select { values, .. }, Value::Text(text)) if !values.contains(text) => {
            return Err(Flaw::new("not_a_value", choice(values)));
        }
        (FieldKind::Relation { .. }, Value::Text(text)) => {
            RecordId::new(text).map_err(|error| Flaw::new("bad_id", error.message()))?;
        }
        (FieldKind::Json { max_size: Some(max) }, Value::Json(text)) if text.len() > *max => {
            return Err(Flaw::new("too_long", format!("has at most {max} bytes")));
        }
        (FieldKind::Password { min, max }, Value::List(given)) => {
            let text = given.first().and_then(Value::as_text).unwrap_or_default();
            let (min, max) = (min.unwrap_or(limits::PASSWORD_CHARS_MIN), max.unwrap_or(limits::PASSWORD_CHARS_MAX));
            long_enough(text, min, max)?;
            if text.is_empty() {
                return Err(Flaw::new("required", "is required"));
            }
        }
        (FieldKind::Email {}, Value::Text(text)) => email(text)?,
        (FieldKind::Url {}, Value::Text(text)) => url(text)?,
        (FieldKind::GeoPoint {}, Value::Point(lon, lat)) => place(*lon, *lat)?,
        _ => {}
    }
    Ok(value)
}

/// Whether a stored value, a list or not, is within the bounds of its field.
pub(super) fn fits(collection: &Collection, field: &Field, value: &Value) -> Result<(), Flaw> {
    if field.kind.is_list() && !value.is_null() {
        counted(&field.kind, value.each().len())?;
    }
    for one in value.each() {
        within(&field.kind, one.clone()).and_then(|one| fits_index(collection, field.id, one))?;
    }
    Ok(())
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

/// Whether a list has as many elements as its field takes.
pub(super) fn counted(kind: &FieldKind, count: usize) -> Result<(), Flaw> {
    let (FieldKind::Select { max_select, min_select, .. } | FieldKind::Relation { max_select, min_select, .. }) = kind
    else {
        return Ok(());
    };
    if count > *max_select {
        Err(Flaw::new("too_many", format!("has at most {max_select} elements")))
    } else if count < *min_select {
        Err(Flaw::new("too_few", format!("has at least {min_select} elements")))
    } else {
        Ok(())
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

fn in_range(value: &Value, min: Option<f64>, max: Option<f64>) -> Result<(), Flaw> {
    let below = |bound: f64| value.order(&Value::Number(bound)).is_lt();
    let above = |bound: f64| value.order(&Value::Number(bound)).is_gt();
    match (min, max) {
        (Some(min), _) if below(min) => Err(Flaw::new("too_small", format!("must be at least {min}"))),
        (_, Some(max)) if above(max) => Err(Flaw::new("too_large", format!("must be at most {max}"))),
        _ => Ok(()),
    }
}

fn in_time(at: Millis, min: Option<Millis>, max: Option<Millis>) -> Result<(), Flaw> {
    match (min, max) {
        (Some(min), _) if at < min => Err(Flaw::new("too_early", format!("must not be before {min}"))),
        (_, Some(max)) if at > max => Err(Flaw::new("too_late", format!("must not be after {max}"))),
        _ => Ok(()),
    }
}

fn email(text: &str) -> Result<(), Flaw> {
    let options = email_address::Options::default().without_display_text().without_domain_literal().with_required_tld();
    match email_address::EmailAddress::parse_with_options(text, options) {
        Ok(_) => Ok(()),
        Err(_) if text.is_empty() => Err(Flaw::new("not_an_email", "is empty; null says that there is none")),
        Err(_) => Err(Flaw::new("not_an_email", "must be an e-mail address, such as ann@example.org")),
    }
}

fn url(text: &str) -> Result<(), Flaw> {
    long_enough(text, 0, limits::TEXT_CHARS_DEFAULT_MAX)?;
    let scheme = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"))
        || text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    // The URL standard drops some of these silently; what is stored is what was checked.
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\');
    let parsed = || url::Url::parse(text).is_ok_and(|url| url.has_host());
    if scheme && clean && parsed() {
        Ok(())
    } else {
        Err(Flaw::new("not_a_url", "must be an absolute URL, such as https://example.org/page"))
    }
}

fn place(lon: f64, lat: f64) -> Result<(), Flaw> {
    if !(-180.0..=180.0).contains(&lon) {
        Err(Flaw::new("out_of_range", "lon must be from -180 to 180"))
    } else if !(-90.0..=90.0).contains(&lat) {
        Err(Flaw::new("out_of_range", "lat must be from -90 to 90"))
    } else {
        Ok(())
    }
}

/// What may be chosen, as far as it is short.
fn choice(values: &[Box<str>]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = values.iter().take(SHOWN).map(|value| &**value).collect();
    let more = if values.len() > SHOWN { ", …" } else { "" };
    format!("must be one of: {}{more}", shown.join(", "))
}
