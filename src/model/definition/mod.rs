//! A client's definition of a collection: read into the schema's own form with every fault it has, and written back.
//!
//! Nothing in a definition is passed over: a setting that this server doesn't know, or a type that doesn't have it, is a
//! fault with its path; its expressions are compiled and fit what they are for. What has passed here is an invariant of
//! [`crate::model::schema::Schema`], but for what only `core::decide` can see to: a name already taken, the collection's
//! own id, and that what it reaches over is still there.

mod auth;
mod checks;
mod fields;
mod format;
mod indexes;
mod json_schema;
mod kinds;
mod names;
mod object;
mod output;

#[cfg(test)]
mod tests;

pub(crate) use auth::BESIDE_PASSWORD;
pub use format::format;
pub use json_schema::json_schema;

use serde_json::Value as Json;

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, Generation, IndexId, Seq};
use crate::limits;
use crate::model::compiled::Compiled;
use crate::model::faults::Faults;
use crate::model::json;
use crate::model::schema::{Collection, CollectionKind, FieldKind, Output, Rules, Schema};
use crate::time::Millis;

use object::Object;

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
    let mut object = read(body)?;
    let mut faults = Faults::default();
    let name = names::collection_name(&mut object, own, &mut faults);
    let kind = kind(&mut object, &mut faults);
    let auth_token = auth::read(&mut object, kind, &mut faults);
    not_yet(&mut object, &mut faults);
    let rules = rules(&mut object, &mut faults);
    let mut collection = Collection {
        id: CollectionId(0),
        generation: Generation(0),
        version: Seq::ZERO,
        name: name.into(),
        kind,
        auth_token,
        fields: Vec::new(),
        indexes: Vec::new(),
        rules,
        checks: Vec::new(),
        output: Output::default(),
        created: now,
        updated: now,
        last_field: FieldId(0),
        last_index: IndexId(0),
    };
    let all_fields = fields::read(schema, &mut object, &mut collection, &mut faults);
    auth::check(&collection, own, &mut faults);
    indexes::read(&mut object, &mut collection, &mut faults);
    indexes::check_defaults(&collection, &mut faults);
    let all_checks = checks::read(&mut object, &mut collection, &mut faults);
    output::read(schema, &mut object, &mut collection, &mut faults);
    object.finish(&mut faults);
    // Places in the definition are places in the collection only while nothing was left out.
    if all_fields && all_checks {
        compile(schema, &collection, &mut faults);
    }
    faults.into_result("the definition has faults")?;
    fits(&collection)?;
    Ok(collection)
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

/// Compiles all expressions against a schema that holds the collection already, so that they find it by its name.
fn compile(schema: &Schema, collection: &Collection, faults: &mut Faults) {
    let mut with_it = schema.clone();
    with_it.put(collection.clone());
    if let Err(flawed) = Compiled::new(&with_it, collection) {
        for flaw in flawed {
            faults.add(&*flaw.path, "bad_expression", flaw.message());
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

fn kind(object: &mut Object, faults: &mut Faults) -> CollectionKind {
    match object.text("type", faults).as_deref() {
        None | Some("base") => return CollectionKind::Base,
        Some("auth") => return CollectionKind::Auth,
        Some("view") => object.fault("type", "not_known_yet", "this type is not known yet", faults),
        Some(_) => object.fault("type", "unknown_type", "must be base or auth", faults),
    }
    CollectionKind::Base
}

/// Parts of a definition that the contract names and this server doesn't carry out yet.
fn not_yet(object: &mut Object, faults: &mut Faults) {
    if object.take("search").is_some() {
        object.fault("search", "not_known_yet", "search is not known yet", faults);
    }
    for key in ["id", "created", "updated"] {
        if object.take(key).is_some() {
            object.fault(key, "read_only", "is set by the server", faults);
        }
    }
}

fn rules(object: &mut Object, faults: &mut Faults) -> Rules {
    let mut rule = |key: &str| object.text(key, faults).map(Box::from);
    Rules {
        list: rule("listRule"),
        view: rule("viewRule"),
        create: rule("createRule"),
        update: rule("updateRule"),
        delete: rule("deleteRule"),
    }
}
