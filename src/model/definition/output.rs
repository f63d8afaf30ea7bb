//! The default look of a collection's records: read from names, kept as ids, so that a rename changes nothing.
//!
//! Invariant: no hidden field is among the parts, neither the collection's own nor a target's.

use serde_json::{Map, Value as Json, json};

use crate::model::faults::Faults;
use crate::model::mask::Part;
use crate::model::schema::{Collection, Embed, FieldKind, Output, Schema};

use super::object::Object;

/// Parts that every record has beside its fields, by their names.
const OWN: [(&str, Part); 3] =
    [("id", Part::Id), ("collectionId", Part::CollectionId), ("collectionName", Part::CollectionName)];

/// Reads `output` into the collection, whose fields are there already.
pub(super) fn read(schema: &Schema, object: &mut Object, collection: &mut Collection, faults: &mut Faults) {
    let Some(map) = object.object("output", faults) else { return };
    let mut output = Object::new(map, object.path("output"));
    let mut read = Output::default();
    if let Some(embed) = output.object("embed", faults) {
        let mut object = Object::new(embed, output.path("embed"));
        for name in object.keys() {
            read.embed.extend(embed_one(schema, &mut object, &name, collection, faults));
        }
    }
    if let Some(names) = output.texts("fields", faults) {
        read.fields = Some(parts(&output, "fields", &names, collection, faults));
    }
    output.finish(faults);
    collection.output = read;
}

fn embed_one(
    schema: &Schema,
    object: &mut Object,
    name: &str,
    collection: &Collection,
    faults: &mut Faults,
) -> Option<Embed> {
    let names = object.texts(name, faults)?;
    let Some(field) = collection.field(name) else {
        object.fault(name, "unknown_field", "is not a field of this collection", faults);
        return None;
    };
    let FieldKind::Relation { collection: target, .. } = field.kind else {
        object.fault(name, "not_here", "is no relation", faults);
        return None;
    };
    if !field.is_seen(false) {
        object.fault(name, "hidden", "is hidden, so it can't be shown", faults);
    }
    let target = if target == collection.id { collection } else { schema.get(target)? };
    Some(Embed { field: field.id, parts: parts(object, name, &names, target, faults) })
}

/// The parts of `shown`'s records that `names` are.
fn parts(object: &Object, key: &str, names: &[String], shown: &Collection, faults: &mut Faults) -> Vec<Part> {
    if names.is_empty() {
        object.fault(key, "required", "is a list of at least one name", faults);
    }
    let mut parts = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let own = OWN.iter().find(|(own, _)| own == name).map(|(_, part)| *part);
        let field = shown.field(name);
        let part = own.or(field.map(|field| Part::Field(field.id)));
        let key = format!("{key}.{at}");
        match part {
            _ if faults.full() => break,
            None => object.fault(&key, "unknown_field", format!("is not a field of {}", shown.name), faults),
            Some(_) if own.is_none() && field.is_some_and(|field| !field.is_seen(false)) => {
                object.fault(&key, "hidden", "is hidden, so it can't be shown", faults);
            }
            Some(part) if parts.contains(&part) => {
                object.fault(&key, "duplicate", "stands in the list twice", faults);
            }
            Some(part) => parts.push(part),
        }
    }
    parts
}

/// As a definition has it.
pub(super) fn format(schema: &Schema, collection: &Collection) -> Json {
    let mut map = Map::new();
    let Output { embed, fields } = &collection.output;
    let mut embedded = Map::new();
    for Embed { field, parts } in embed {
        let Some(field) = collection.field_by_id(*field) else { continue };
        let FieldKind::Relation { collection: target, .. } = field.kind else { continue };
        let own = (target == collection.id).then_some(collection);
        let Some(target) = own.or_else(|| schema.get(target).map(|target| &**target)) else { continue };
        embedded.insert(field.name.to_string(), names(target, parts));
    }
    if !embedded.is_empty() {
        map.insert("embed".to_owned(), Json::Object(embedded));
    }
    if let Some(parts) = fields {
        map.insert("fields".to_owned(), names(collection, parts));
    }
    Json::Object(map)
}

fn names(shown: &Collection, parts: &[Part]) -> Json {
    let name = |part: &Part| match part {
        Part::Field(id) => shown.field_by_id(*id).map(|field| &*field.name),
        own => OWN.iter().find(|(_, part)| part == own).map(|(name, _)| *name),
    };
    json!(parts.iter().filter_map(name).collect::<Vec<_>>())
}
