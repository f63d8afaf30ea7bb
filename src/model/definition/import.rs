//! Several definitions at once, as they should be: new ones may point at each other in any order and in circles.
//!
//! All are read against the schema as it would be with all of them, before anything is done. A definition is that of the
//! stored collection with its name, or else with its id; what it doesn't name stays, but for fields where the request says
//! that what is missing goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Seq};
use crate::limits;
use crate::model::compiled::Compiled;
use crate::model::faults::Faults;
use crate::model::schema::{Collection, Schema};
use crate::time::Millis;

use super::object::Object;
use super::reading::{Ids, Reading};
use super::{FAULTY, Redefinition, change, fits, format, read};

/// What an import comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// The version of the schema that it was made from.
    pub schema: Seq,
    /// New collections, with the ids that they get.
    pub created: Vec<Collection>,
    /// Others, with what is asked of their rows; one that stays as it is is not among them.
    pub changed: Vec<Redefinition>,
    /// Those that stay as they are.
    pub unchanged: Vec<Box<str>>,
    /// Those that go.
    pub dropped: Vec<CollectionId>,
    /// Whether nothing is to be done.
    pub dry_run: bool,
}

impl Import {
    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.changed.is_empty() && self.dropped.is_empty()
    }
}

/// Reads an import: `collections`, `deleteMissing`, `dryRun`.
///
/// # Errors
/// `Invalid` with the faults of all of it, each with its path (`collections.2.fields.0.type`), and as
/// [`super::change`].
pub fn import(schema: &Schema, body: &[u8], now: Millis) -> Result<Import> {
    let mut object = read(body)?;
    let mut faults = Faults::default();
    let delete_missing = object.flag("deleteMissing", &mut faults);
    let dry_run = object.flag("dryRun", &mut faults);
    let items = objects(&mut object, &mut faults);
    object.finish(&mut faults);
    let stored: Vec<Option<Arc<Collection>>> = identities(schema, &items);
    let mut whole = schema.clone();
    let mut dropped = Vec::new();
    for gone in schema.iter().filter(|known| delete_missing && !known.name.starts_with('_')) {
        if !stored.iter().flatten().any(|kept| kept.id == gone.id) {
            whole.remove(gone.id);
            dropped.push(gone.id);
        }
    }
    let mut readings = Vec::with_capacity(items.len());
    let mut next = schema.last_collection;
    for (mut item, stored) in items.into_iter().zip(&stored) {
        readings.push(match stored {
            Some(stored) => {
                if !delete_missing {
                    keep_fields(schema, stored, &mut item);
                }
                Reading::over(item, Ids::Brought, stored, now, &mut faults)
            }
            None => {
                next = CollectionId(next.0 + 1);
                Reading::new(item, Ids::Brought, next, false, now, &mut faults)
            }
        });
    }
    names_are_free(&whole, &readings, &mut faults);
    faults.into_result(FAULTY)?;
    together(&mut whole, &mut readings)?;
    others_compile(&whole, &readings)?;
    let mut import = Import { schema: schema.version(), dropped, dry_run, ..Import::default() };
    for (reading, stored) in readings.into_iter().zip(&stored) {
        let collection = reading.into_collection();
        let Some(stored) = stored else {
            fits(&collection)?;
            import.created.push(collection);
            continue;
        };
        let found = change::between(&whole, stored, collection)?;
        fits(&found.collection)?;
        if (Collection { updated: stored.updated, ..found.collection.clone() }) == **stored {
            import.unchanged.push(stored.name.clone());
        } else {
            import.changed.push(found);
        }
    }
    Ok(import)
}

fn objects(object: &mut Object, faults: &mut Faults) -> Vec<Object> {
    let items = object.list("collections", faults).unwrap_or_default();
    if items.len() > limits::COLLECTIONS_MAX {
        object.fault("collections", "too_many", format!("has at most {}", limits::COLLECTIONS_MAX), faults);
        return Vec::new();
    }
    let mut objects = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("collections.{at}");
        match item {
            Json::Object(map) => objects.push(Object::new(map, path)),
            _ => faults.add(path, "wrong_type", "must be an object"),
        }
    }
    objects
}

/// Which stored collection each is: that of its name, or else of its id, where no other has that one's name.
fn identities(schema: &Schema, items: &[Object]) -> Vec<Option<Arc<Collection>>> {
    let named = |item: &Object| {
        let name = item.peek_text("name")?;
        schema.iter().find(|known| *known.name == *name).cloned()
    };
    let by_name: Vec<Option<Arc<Collection>>> = items.iter().map(named).collect();
    let mut taken: BTreeSet<CollectionId> = by_name.iter().flatten().map(|known| known.id).collect();
    let by_id = |item: &Object| item.peek_text("id")?.parse().ok().and_then(|id| schema.get(CollectionId(id))).cloned();
    by_name
        .into_iter()
        .zip(items)
        .map(|(found, item)| found.or_else(|| by_id(item).filter(|known| taken.insert(known.id))))
        .collect()
}

/// Adds to the fields that are given those that are not.
fn keep_fields(schema: &Schema, stored: &Collection, item: &mut Object) {
    let Some(Json::Array(mut fields)) = item.peek("fields").cloned() else { return };
    let is_given = |key: &str, text: &str| fields.iter().any(|given| given.get(key).is_some_and(|given| given == text));
    let kept =
        stored.fields.iter().filter(|field| !is_given("id", &field.id.to_string()) && !is_given("name", &field.name));
    let kept: Vec<Json> = kept.map(|field| format::of_field(schema, stored, field)).collect();
    fields.extend(kept);
    item.put("fields", Json::Array(fields));
}

/// Whether each name is that of one collection, also while one after the other comes.
fn names_are_free(whole: &Schema, readings: &[Reading<'_>], faults: &mut Faults) {
    let mut seen: BTreeMap<&str, CollectionId> = BTreeMap::new();
    for reading in readings {
        let Collection { name, id, .. } = reading.collection();
        let other = whole.iter().any(|other| other.name == *name && other.id != *id);
        if seen.insert(name, *id).is_some() || other {
            faults.add(reading.path("name"), "duplicate", "is the name of another collection");
        }
    }
}

/// Whether what is not named still finds what its expressions read.
fn others_compile(whole: &Schema, readings: &[Reading<'_>]) -> Result<()> {
    let is_read = |other: &Collection| readings.iter().any(|reading| reading.collection().id == other.id);
    for other in whole.iter().filter(|other| !is_read(other)) {
        if let Err(flawed) = Compiled::new(whole, other) {
            let path = flawed.first().map_or("", |flaw| &flaw.path);
            let message = format!("{path} of {} reads what would no longer be there", other.name);
            let error = Error::new(Kind::Conflict, message).code("referred_to");
            return Err(flawed.iter().fold(error, |error, flaw| {
                error.fault(format!("{}.{}", other.name, flaw.path), "bad_expression", flaw.message())
            }));
        }
    }
    Ok(())
}

/// Reads them in steps, each step of all before the next: first who there is, then fields, then what names fields.
fn together(whole: &mut Schema, readings: &mut [Reading<'_>]) -> Result<()> {
    let mut faults = Faults::default();
    let show = |whole: &mut Schema, readings: &[Reading<'_>]| {
        readings.iter().for_each(|reading| whole.put(reading.collection().clone()));
    };
    show(whole, readings);
    readings.iter_mut().for_each(|reading| reading.fields(whole, &mut faults));
    show(whole, readings);
    readings.iter_mut().for_each(|reading| reading.rest(whole, &mut faults));
    show(whole, readings);
    readings.iter().for_each(|reading| reading.compile(whole, &mut faults));
    faults.into_result(FAULTY)
}
