//! Fourth stage: checked values by field id, as the write that `core::decide` takes. Required fields and the record's
//! size are seen to here, where all of the body is known.

use crate::error::Result;
use crate::id::FieldId;
use crate::model::command::Adjust;
use crate::model::faults::Faults;
use crate::model::schema::{Collection, Field};
use crate::model::value::{Fields, Value};

use super::check::{encoded_bytes_fit, is_missing};
use super::parse::parse;
use super::too_large;
use super::validate::{Given, Valid};
use super::{adjust, password};

/// New values, texts of merge patches for `json` fields, and changes of what is stored.
pub(super) type Patch = (Vec<(FieldId, Value)>, Vec<(FieldId, Box<str>)>, Vec<Adjust>);

/// All fields of a new record. `body_bytes` is the length of the body that they come from.
///
/// # Errors
/// `TooLarge`.
pub(super) fn whole(
    collection: &Collection,
    valid: &Valid<'_>,
    body_bytes: usize,
    faults: &mut Faults,
) -> Result<Fields> {
    let mut values = Vec::with_capacity(valid.given.len());
    let mut faulty: Vec<FieldId> = Vec::new();
    for given in &valid.given {
        let before = faults.len();
        let value = password::joined(value(collection, given, faults), given.field, &valid.beside, faults);
        if faults.len() > before {
            faulty.push(given.field.id);
        } else {
            values.push((given.field.id, value));
        }
    }
    values.sort_unstable_by_key(|(id, _)| *id);
    let fields: Fields = values.into_iter().collect();
    for field in &collection.fields {
        if is_missing(field, fields.get(field.id)) && !faulty.contains(&field.id) && !is_filled_in(field) {
            let given = valid.given.iter().find(|given| given.field.id == field.id);
            faults.add(given.map_or(&*field.name, |given| &given.key), "required", "is required");
        }
    }
    valid.beside.finish(&valid.given, faults);
    if encoded_bytes_fit(&fields, body_bytes) { Ok(fields) } else { Err(too_large()) }
}

/// The changes of a merge patch.
pub(super) fn patch(collection: &Collection, valid: &Valid<'_>, faults: &mut Faults) -> Patch {
    let mut patch = Vec::with_capacity(valid.given.len());
    let (mut merges, mut adjusts) = (Vec::new(), Vec::new());
    for given in &valid.given {
        if let Some(way) = given.way {
            adjusts.extend(adjust::parse(collection, given.field, way, &given.key, given.raw, faults));
            continue;
        }
        let before = faults.len();
        let value = password::joined(value(collection, given, faults), given.field, &valid.beside, faults);
        if faults.len() > before {
            continue;
        }
        match value {
            value if is_missing(given.field, &value) => {
                faults.add(&*given.key, "required", "is required and can't be taken away");
            }
            Value::Json(text) if text.starts_with('{') => merges.push((given.field.id, text)),
            value => patch.push((given.field.id, value)),
        }
    }
    valid.beside.finish(&valid.given, faults);
    (patch, merges, adjusts)
}

fn value(collection: &Collection, given: &Given<'_>, faults: &mut Faults) -> Value {
    parse(collection, given.field, &given.key, given.raw, faults)
}

/// Whether an absent value becomes something. A password that a replacement doesn't name stays: nobody could name it.
fn is_filled_in(field: &Field) -> bool {
    field.default.is_some() || field.is_set_by_server() || field.is_secret()
}
