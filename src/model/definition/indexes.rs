//! The indexes of a definition, and those that the server keeps for relations.
//!
//! Invariant: each relation field has one index of the server's, named `_rel_` and the field's name, at the end; an auth
//! collection has a unique one over its addresses, named `_email`.

use serde_json::Value as Json;

use crate::id::{FieldId, IndexId};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::schema::{Collection, DefaultValue, FieldKind, Index, IndexField, IndexState};

use super::names;
use super::object::Object;
use super::reading::Ids;

/// Reads `indexes` into the collection, whose fields are there already, and adds those of relations. None is numbered.
pub(super) fn read(object: &mut Object, ids: Ids, collection: &mut Collection, faults: &mut Faults) {
    let items = object.list("indexes", faults).unwrap_or_default();
    let relations: Vec<(FieldId, String)> = collection
        .fields
        .iter()
        .filter(|field| matches!(field.kind, FieldKind::Relation { .. }))
        .map(|field| (field.id, format!("_rel_{}", field.name)))
        .collect();
    let email = collection.auth_fields().map(|auth| auth.email);
    if items.len() + relations.len() + usize::from(email.is_some()) > limits::INDEXES_MAX {
        let message = format!("has at most {} indexes, one for each relation among them", limits::INDEXES_MAX);
        object.fault("indexes", "too_many", message, faults);
        return;
    }
    for (at, item) in items.into_iter().enumerate() {
        let path = object.path(&format!("indexes.{at}"));
        match item {
            Json::Object(map) => {
                let index = index(Object::new(map, path), ids, collection, faults);
                collection.indexes.extend(index);
            }
            _ => faults.add(path, "wrong_type", "must be an object with name and fields"),
        }
    }
    for (field, name) in relations {
        let fields = vec![IndexField { field, descending: false }];
        let state = IndexState::Ready;
        let name = name.into();
        collection.indexes.push(Index { id: IndexId(0), name, fields, unique: false, system: true, state });
    }
    if let Some(field) = email {
        let fields = vec![IndexField { field, descending: false }];
        let state = IndexState::Ready;
        let name = "_email".into();
        collection.indexes.push(Index { id: IndexId(0), name, fields, unique: true, system: true, state });
    }
}

/// A default is read before the indexes are known, so its length is looked at here.
pub(super) fn check_defaults(object: &Object, collection: &Collection, faults: &mut Faults) {
    // Places in the definition are places in the collection only while no field was left out.
    if !faults.is_empty() {
        return;
    }
    for (at, field) in collection.fields.iter().enumerate() {
        let Some(DefaultValue::Value(Json::String(text))) = &field.default else { continue };
        if text.len() > limits::INDEXED_TEXT_BYTES_MAX && collection.is_indexed(field.id) {
            let message = format!("stands in an index, so it has at most {} bytes", limits::INDEXED_TEXT_BYTES_MAX);
            object.fault(&format!("fields.{at}.default"), "too_long_for_index", message, faults);
        }
    }
}

/// Gives the indexes their ids: one over the same fields as a stored one is that one, whatever its name.
pub(super) fn number(collection: &mut Collection, stored: Option<&Collection>) {
    let mut left: Vec<&Index> = stored.into_iter().flat_map(|stored| &stored.indexes).collect();
    for index in &mut collection.indexes {
        let is_it =
            |other: &&Index| (&other.fields, other.unique, other.system) == (&index.fields, index.unique, index.system);
        match left.iter().position(is_it) {
            Some(at) => {
                let stored = left.remove(at);
                (index.id, index.state) = (stored.id, stored.state.clone());
            }
            None => {
                collection.last_index.0 += 1;
                index.id = collection.last_index;
            }
        }
    }
}

fn index(mut object: Object, ids: Ids, collection: &Collection, faults: &mut Faults) -> Option<Index> {
    // Which one it is, its fields say.
    for key in ["id", "state", "progress", "duplicates", "tooLong"] {
        if object.take(key).is_some() && ids == Ids::Refused {
            object.fault(key, "read_only", "is set by the server", faults);
        }
    }
    let before = faults.len();
    let name = names::name(&mut object, faults);
    if name.starts_with('_') {
        object.fault("name", "reserved", "names that begin with _ are the server's own", faults);
    } else if collection.indexes.iter().any(|index| *index.name == *name) {
        object.fault("name", "duplicate", "is the name of another index", faults);
    }
    let unique = object.flag("unique", faults);
    let names = object.texts("fields", faults).unwrap_or_default();
    if names.is_empty() {
        object.fault("fields", "required", "is a list of at least one field", faults);
    } else if names.len() > limits::INDEX_FIELDS_MAX {
        object.fault("fields", "too_many", format!("has at most {} fields", limits::INDEX_FIELDS_MAX), faults);
    }
    let mut fields: Vec<IndexField> = Vec::new();
    for (at, name) in names.iter().enumerate().take(limits::INDEX_FIELDS_MAX) {
        match part(collection, name, names.len() == 1, unique) {
            Ok(part) if fields.iter().any(|other| other.field == part.field) => {
                object.fault(&format!("fields.{at}"), "duplicate", "stands in the index twice", faults);
            }
            Ok(part) => fields.push(part),
            Err((code, message)) => object.fault(&format!("fields.{at}"), code, message, faults),
        }
    }
    object.finish(faults);
    (faults.len() == before).then(|| Index {
        id: IndexId(0),
        name: name.into(),
        fields,
        unique,
        system: false,
        state: IndexState::Ready,
    })
}

/// One field of an index: `created`, or `-created` for greatest first.
fn part(
    collection: &Collection,
    text: &str,
    alone: bool,
    unique: bool,
) -> Result<IndexField, (&'static str, &'static str)> {
    let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
    if name == "id" {
        return Err(("not_here", "every index ends with the id already"));
    }
    let Some(field) = collection.field(name) else {
        return Err(("unknown_field", "is not a field of this collection"));
    };
    match &field.kind {
        FieldKind::Json { .. } => Err(("not_here", "json has no order to be indexed by")),
        FieldKind::GeoPoint {} => Err(("not_here", "a place has no order to be indexed by")),
        FieldKind::Password { .. } | FieldKind::Secret {} => Err(("not_here", "nobody may look for a secret")),
        kind if kind.is_list() && unique => Err(("not_here", "a list can't be unique")),
        kind if kind.is_list() && !alone => Err(("not_here", "a list stands alone in its index")),
        _ => Ok(IndexField { field: field.id, descending }),
    }
}
