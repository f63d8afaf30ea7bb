//! What must hold of every stored record, whatever way it came to be: looked at by the stages before, and once more by
//! `core::decide` on the record as merged and filled in; then the collection's own checks, its business rules.
//!
//! A check that is null does not hold, as any condition: `total > 0` refuses a record without a total, `@old.n != 1`
//! every create. One that allows it says so: `total = null || total > 0`, `!(@old.n = 1)`.

use std::fmt::Write as _;

use crate::error::{Error, FieldFault, Kind, Result};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::{Fields, Value};

use super::enrich::Writing;
use super::too_large;

/// The record as it would be stored: required fields are there, `json` fields and the whole are within their size.
///
/// # Errors
/// `Invalid` with all faults; `TooLarge` over `limits::RECORD_BYTES_MAX`.
pub fn check(collection: &Collection, fields: &Fields) -> Result<()> {
    let mut faults = Faults::default();
    let mut bytes = 0;
    for field in &collection.fields {
        let value = fields.get(field.id);
        bytes += at_most_bytes(value);
        if is_missing(field, value) && !field.is_set_by_server() {
            faults.add(&*field.name, "required", "is required");
        }
        if let (FieldKind::Json { max_size: Some(max) }, Value::Json(text)) = (&field.kind, value)
            && text.len() > *max
        {
            faults.add(&*field.name, "too_long", format!("has at most {max} bytes"));
        }
    }
    faults.into_result("the record would have faults")?;
    if bytes <= limits::RECORD_BYTES_MAX || encoded_bytes(fields) <= limits::RECORD_BYTES_MAX {
        Ok(())
    } else {
        Err(too_large())
    }
}

impl Writing<'_> {
    /// Whether the business rules hold of the record as it would be stored; `@old` is the record before, if any.
    ///
    /// # Errors
    /// `Unprocessable`: code `check` with all that do not hold: their messages, each under its field or its own name,
    /// with its name as the code; `too_costly` for one that takes too many steps.
    pub fn check(&self, record: &Fields) -> Result<()> {
        let mut messages = String::new();
        let mut faults = Vec::new();
        for (check, program) in self.collection.checks.iter().zip(&self.compiled.checks) {
            if self.holds(program, record).map_err(|exhausted| exhausted.error())? {
                continue;
            }
            let separator = if messages.is_empty() { "" } else { "; " };
            // Writing to a String can't fail.
            let _ = write!(messages, "{separator}{}", check.message);
            let field = check.field.and_then(|field| self.collection.field_by_id(field));
            faults.push(FieldFault {
                field: field.map_or(&check.name, |field| &field.name).to_string(),
                code: check.name.to_string().into(),
                message: check.message.to_string(),
            });
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Unprocessable, messages).code("check").faults(faults))
    }
}

/// Whether a required field would be left with nothing.
pub(super) fn is_missing(field: &Field, value: &Value) -> bool {
    field.required && is_empty(value)
}

/// Whether a value says nothing: null, an empty text, an empty list.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether the encoded fields are within a record's bound; no value takes more than a few times the bytes of its JSON,
/// so those of a small body need not be counted.
pub(super) fn encoded_bytes_fit(fields: &Fields, body_bytes: usize) -> bool {
    body_bytes < limits::RECORD_BYTES_MAX / 16 || encoded_bytes(fields) <= limits::RECORD_BYTES_MAX
}

fn encoded_bytes(fields: &Fields) -> usize {
    postcard::experimental::serialized_size(fields).unwrap_or(usize::MAX)
}

/// More than the encoded bytes of a value with its field id, and cheap.
fn at_most_bytes(value: &Value) -> usize {
    const NUMBER: usize = 32;
    match value {
        Value::Text(text) | Value::Json(text) => NUMBER + text.len(),
        Value::List(items) => NUMBER + items.iter().map(at_most_bytes).sum::<usize>(),
        _ => NUMBER,
    }
}
