//! A client's definition of a collection: read into the schema's own form with every fault it has, and written back.
//!
//! Nothing in a definition is passed over: a setting that this server doesn't know, or a type that doesn't have it, is a
//! fault with its path; its expressions are compiled and fit what they are for. What has passed here is an invariant of
//! [`crate::model::schema::Schema`], but for what only `core::decide` can see to: a name already taken, the collection's
//! own id, and that what it reaches over is still there.

mod auth;
mod change;
mod checks;
mod fields;
mod format;
mod import;
mod indexes;
mod json_schema;
mod kinds;
mod names;
mod object;
mod output;
mod reading;
mod record_schema;
mod search;
mod typescript;

#[cfg(test)]
mod tests;

pub(crate) use auth::BESIDE_PASSWORD;
pub use change::{Redefinition, Rows};
pub use format::{Built, SEARCHED, STAGED, format};
pub use import::{Import, import};
pub use json_schema::{create_schema, json_schema};
pub use record_schema::record_schema;
pub use typescript::typescript;

use serde_json::Value as Json;

use crate::error::{Error, Kind, Result};
use crate::id::CollectionId;
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json;
use crate::model::schema::{Collection, FieldKind, Schema};
use crate::time::Millis;

use object::Object;
use reading::{Ids, Reading};

/// Reads the definition of a new collection. Fields and indexes are numbered from 1; the collection's own id is 0, also
/// where one of its relations points back at it, until `core::decide` gives it one by [`number`].
///
/// # Errors
/// `Invalid` with the faults of all of it, each with its path (`fields.2.pattern`).
pub fn parse(schema: &Schema, body: &[u8], now: Millis) -> Result<Collection> {
    parse_as(schema, body, now, false)
}

/// As [`parse`], of one of the server's own collections: its name begins with `_`.
///
/// # Errors
/// As there.
pub fn parse_own(schema: &Schema, body: &[u8], now: Millis) -> Result<Collection> {
    parse_as(schema, body, now, true)
}

fn parse_as(schema: &Schema, body: &[u8], now: Millis, own: bool) -> Result<Collection> {
    let mut faults = Faults::default();
    let mut reading = Reading::new(read(body)?, Ids::Refused, CollectionId(0), own, now, &mut faults);
    reading.fields(schema, &mut faults);
    reading.rest(schema, &mut faults);
    reading.compile(&with(schema, reading.collection()), &mut faults);
    faults.into_result(FAULTY)?;
    let collection = reading.into_collection();
    fits(&collection)?;
    Ok(collection)
}

/// Reads a change of a stored definition: the keys of the body are put over it, `fields` and `indexes` being whole lists.
/// What the change asks of the rows comes with it.
///
/// # Errors
/// As [`parse`]; an expression that no longer compiles is a fault with its path, whether it is in the body or not.
/// `Unprocessable` with code `not_convertible` and each field whose new type no value of the old one has a form in.
pub fn change(schema: &Schema, stored: &Collection, body: &[u8], now: Millis) -> Result<Redefinition> {
    let mut faults = Faults::default();
    let mut reading = Reading::over(read(body)?, Ids::Known, stored, now, &mut faults);
    reading.fields(schema, &mut faults);
    reading.rest(schema, &mut faults);
    reading.compile(&with(schema, reading.collection()), &mut faults);
    faults.into_result(FAULTY)?;
    let change = change::between(schema, stored, reading.into_collection())?;
    fits(&change.collection)?;
    Ok(change)
}

const FAULTY: &str = "the definition has faults";

/// The schema with a definition in it, so that expressions find it by its name.
fn with(schema: &Schema, collection: &Collection) -> Schema {
    let mut with_it = schema.clone();
    with_it.put(collection.clone());
    with_it
}

/// Gives a new collection its id, also where its own relations point back at it.
pub fn number(collection: &mut Collection, id: CollectionId) {
    collection.id = id;
    for field in &mut collection.fields {
        if let FieldKind::Relation { collection: target, .. } = &mut field.kind
            && *target == CollectionId(0)
        {
            *target = id;
        }
    }
}

/// A definition is logged in one piece, so it is bounded like a record.
fn fits(collection: &Collection) -> Result<()> {
    let text = serde_json::to_string(collection).map_err(|error| Error::internal("a definition").source(error))?;
    if text.len() > limits::RECORD_BYTES_MAX {
        let message = format!("a definition has at most {} bytes", limits::RECORD_BYTES_MAX);
        return Err(Error::new(Kind::TooLarge, message));
    }
    Ok(())
}

/// The body as one object without duplicate keys anywhere.
fn read(body: &[u8]) -> Result<Object> {
    let text = json::checked_text(body)?;
    json::members(text)?;
    let mut compact = String::with_capacity(text.len());
    json::compact(text, &mut compact).map_err(|flaw| Error::invalid(flaw.message).code(flaw.code))?;
    match serde_json::from_str(&compact) {
        Ok(Json::Object(map)) => Ok(Object::new(map, String::new())),
        _ => Err(Error::invalid("the body must be a JSON object").code("not_an_object")),
    }
}
