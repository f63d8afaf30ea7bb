//! Adding to a stored value and taking from it (`field+`, `+field`, `field-`): numbers and lists.
//!
//! The operand is read on the request's side. The arithmetic runs inside the order of writes, on the value that is
//! there then, so no increment is lost. A result out of the field's bounds is `Unprocessable` with code `out_of_range`:
//! the request was right, the stored value is in the way.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::command::{Adjust, Way};
use crate::model::faults::Faults;
use crate::model::json::{self, Flaw};
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::{Fields, Value};

use super::bounds::{counted, fits_index, within};
use super::check::is_missing;
use super::parse::{kind_of, number, one};

/// What `raw`, one well-formed JSON value, changes of `field`; a fault is noted under `path`.
pub(super) fn parse(
    collection: &Collection,
    field: &Field,
    way: Way,
    path: &str,
    raw: &str,
    faults: &mut Faults,
) -> Option<Adjust> {
    let by = match &field.kind {
        FieldKind::Number { integer, .. } => match number(*integer, raw) {
            Ok(number) => number,
            Err(flaw) => {
                faults.add(path, flaw.code, flaw.message);
                return None;
            }
        },
        kind if kind.is_list() => items(collection, field, path, raw, faults)?,
        kind => {
            let message = format!("can't be added to or taken from: it is one {}, no number and no list", kind.name());
            faults.add(path, "not_addable", message);
            return None;
        }
    };
    Some(Adjust { field: field.id, way, by })
}

/// One value or a list of them; one that stands there twice counts once.
fn items(collection: &Collection, field: &Field, path: &str, raw: &str, faults: &mut Faults) -> Option<Value> {
    let elements = json::elements(raw);
    let many = elements.is_some();
    let elements = elements.unwrap_or_else(|| vec![raw]);
    if elements.len() > limits::LIST_ITEMS_MAX {
        faults.add(path, "too_many", format!("has at most {} elements", limits::LIST_ITEMS_MAX));
        return None;
    }
    if raw.starts_with(['n', '{']) {
        faults.add(path, "wrong_type", format!("must be one value or a list of them, not {}", kind_of(raw)));
        return None;
    }
    let before = faults.len();
    let mut items = Vec::with_capacity(elements.len());
    for (at, element) in elements.into_iter().enumerate() {
        match one(field, element).and_then(|value| fits_index(collection, field.id, value)) {
            Ok(item) => items.push(item),
            Err(flaw) if many => faults.add(format!("{path}.{at}"), flaw.code, flaw.message),
            Err(flaw) => faults.add(path, flaw.code, flaw.message),
        }
    }
    (faults.len() == before).then(|| Value::List(distinct(items.iter())))
}

/// The first of each.
fn distinct<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.as_text().unwrap_or_default())).cloned().collect()
}

/// What a stored value becomes, whatever the field's bounds; `None` where no number can hold it. Null counts as 0 and
/// as the empty list.
pub fn adjusted(old: &Value, adjust: &Adjust) -> Option<Value> {
    let minus = adjust.way == Way::Take;
    match (old, &adjust.by) {
        (Value::Null, Value::Int(by)) => plus_int(0, *by, minus),
        (Value::Int(old), Value::Int(by)) => plus_int(*old, *by, minus),
        (old @ (Value::Null | Value::Number(_)), Value::Number(by)) => {
            let old = if let Value::Number(old) = old { *old } else { 0.0 };
            let sum = if minus { old - by } else { old + by };
            // Adding zero takes the sign from a negative one.
            sum.is_finite().then_some(Value::Number(sum + 0.0))
        }
        (old, Value::List(by)) => Some(list(old, by, adjust.way)),
        _ => None,
    }
}

fn plus_int(old: i64, by: i64, minus: bool) -> Option<Value> {
    if minus { old.checked_sub(by) } else { old.checked_add(by) }.map(Value::Int)
}

fn list(old: &Value, by: &[Value], way: Way) -> Value {
    let items = match way {
        Way::Add => distinct(old.each().iter().chain(by)),
        Way::Prepend => distinct(by.iter().chain(old.each())),
        Way::Take => {
            let taken: BTreeSet<&str> = by.iter().filter_map(Value::as_text).collect();
            let stays = |item: &&Value| item.as_text().is_none_or(|text| !taken.contains(text));
            old.each().iter().filter(stays).cloned().collect()
        }
    };
    if items.is_empty() && old.is_null() { Value::Null } else { Value::List(items) }
}

/// Makes all changes. A value that stays what it was is not judged.
///
/// # Errors
/// `Unprocessable` with code `out_of_range` and each field whose new value its definition forbids.
pub fn adjust(collection: &Collection, adjusts: &[Adjust], fields: &mut Fields) -> Result<()> {
    let mut refusal: Option<Error> = None;
    for adjust in adjusts {
        let Some(field) = collection.field_by_id(adjust.field) else { continue };
        let old = fields.get(field.id);
        let wanted = adjusted(old, adjust).ok_or_else(|| Flaw::new("out_of_range", "no number can hold the result"));
        match wanted.and_then(|value| if value == *old { Ok(value) } else { allowed(field, value) }) {
            Ok(value) => drop(fields.set(field.id, value)),
            Err(flaw) => {
                let error = refusal.take().unwrap_or_else(|| {
                    Error::new(Kind::Unprocessable, "a value would leave its bounds").code("out_of_range")
                });
                refusal = Some(error.fault(&*field.name, flaw.code, flaw.message));
            }
        }
    }
    refusal.map_or(Ok(()), Err)
}

fn allowed(field: &Field, value: Value) -> Result<Value, Flaw> {
    if is_missing(field, &value) {
        return Err(Flaw::new("required", "is required and would be empty"));
    }
    if field.kind.is_list() {
        counted(&field.kind, value.each().len())?;
        return Ok(value);
    }
    within(&field.kind, value)
}
