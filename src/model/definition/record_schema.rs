//! A collection as the JSON Schema (2020-12) of a record as an answer shows it: for documents about the API.
//!
//! It says what a client has to be ready for, so it names no bound: a record may be older than the definition's bounds were.
//! Any part may be missing, as a request says by `fields` what it wants.

use serde_json::{Map, Value as Json, json};

use crate::model::mask::Part;
use crate::model::schema::{Collection, Field, FieldKind, Schema};

/// The schema; hidden fields are in it only for those who see them.
pub fn record_schema(schema: &Schema, collection: &Collection, sees_hidden: bool) -> Json {
    let mut properties = Map::new();
    for name in ["id", "collectionId", "collectionName"] {
        properties.insert(name.to_owned(), json!({"type": "string"}));
    }
    for field in collection.fields.iter().filter(|field| field.is_seen(sees_hidden)) {
        properties.insert(field.name.to_string(), property(schema, collection, field));
    }
    properties
        .insert("expand".to_owned(), json!({"type": "object", "description": "related records, asked for by expand"}));
    json!({"type": "object", "title": collection.name, "properties": properties})
}

fn property(schema: &Schema, collection: &Collection, field: &Field) -> Json {
    let one = one(schema, collection, field);
    let shape = if field.kind.is_list() { json!({"type": "array", "items": one}) } else { one };
    let mut shape = if field.required { shape } else { json!({"anyOf": [shape, {"type": "null"}]}) };
    if let (Some(computed), Some(shape)) = (&field.computed, shape.as_object_mut()) {
        shape.insert("description".to_owned(), json!(format!("computed: {computed}")));
    }
    shape
}

/// One value of the field's type; of a list field, one element.
fn one(schema: &Schema, collection: &Collection, field: &Field) -> Json {
    match &field.kind {
        FieldKind::Number { integer: true, .. } => json!({"type": "integer"}),
        FieldKind::Number { .. } => json!({"type": "number"}),
        FieldKind::Bool {} => json!({"type": "boolean"}),
        FieldKind::Select { values, .. } => json!({"enum": values}),
        FieldKind::Json { .. } => json!({}),
        FieldKind::GeoPoint {} => {
            json!({"type": "object", "properties": {"lon": {"type": "number"}, "lat": {"type": "number"}}})
        }
        FieldKind::Date { .. } | FieldKind::Autodate { .. } => {
            json!({"type": "string", "description": "UTC, as 2001-02-28 12:30:00.000Z"})
        }
        FieldKind::Relation { collection: target, .. } => {
            let own = (*target == collection.id).then_some(collection);
            let target = own.or_else(|| schema.get(*target).map(|target| &**target));
            let id = json!({"type": "string", "description": target.map(|one| format!("the id of a record of {}", one.name))});
            match (embedded(collection, field), target) {
                (Some(parts), Some(target)) => json!({"anyOf": [id, of_parts(target, parts)]}),
                _ => id,
            }
        }
        FieldKind::Text { .. }
        | FieldKind::Editor { .. }
        | FieldKind::Email {}
        | FieldKind::Url {}
        | FieldKind::Password { .. }
        | FieldKind::Secret {} => json!({"type": "string"}),
    }
}

/// What a definition's `output` shows of a related record in the place of its id.
pub(super) fn embedded<'a>(collection: &'a Collection, field: &Field) -> Option<&'a [Part]> {
    collection.output.embed.iter().find(|embed| embed.field == field.id).map(|embed| &*embed.parts)
}

fn of_parts(target: &Collection, parts: &[Part]) -> Json {
    let names: Map<String, Json> =
        parts.iter().filter_map(|part| Some((name(target, part)?.to_owned(), json!({})))).collect();
    json!({"type": "object", "description": format!("parts of a record of {}", target.name), "properties": names})
}

/// The name of a part of a record.
pub(super) fn name<'a>(collection: &'a Collection, part: &Part) -> Option<&'a str> {
    match part {
        Part::Id => Some("id"),
        Part::CollectionId => Some("collectionId"),
        Part::CollectionName => Some("collectionName"),
        Part::Field(id) => collection.field_by_id(*id).map(|field| &*field.name),
    }
}
