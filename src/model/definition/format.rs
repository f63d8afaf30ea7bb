//! A definition as a client is shown it: in the form that it was given in, with its ids.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::id::IndexId;
use crate::model::json::write_f64;
use crate::model::pipeline::write_value;
use crate::model::schema::{
    AuthToken, Check, Collection, DefaultValue, Duplicate, Field, FieldKind, Index, IndexState, OnDelete, Rules,
    Sanitizer, Schema,
};
use crate::model::value::Value;

use super::{auth, output, search};

/// How far an index is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Rows that have their entries.
    pub rows: u64,
    /// Rows that there are.
    pub of: u64,
}

/// What stands in the place of an index for a staged definition: ids of indexes begin at 1.
pub const STAGED: IndexId = IndexId(0);

/// The same for what a collection is searched by: a definition has far fewer indexes.
pub const SEARCHED: IndexId = IndexId(u32::MAX);

/// Appends the definition as JSON. Relations name their collection as `schema` has it now; indexes of the server's own
/// are left out. `built` says how far those have come that are being built, under [`STAGED`] how far a staged definition, under [`SEARCHED`] how far
/// the index that it is searched by.
pub fn format(schema: &Schema, collection: &Collection, built: &BTreeMap<IndexId, Built>, out: &mut Vec<u8>) {
    let fields: Vec<Json> = collection.fields.iter().map(|field| of_field(schema, collection, field)).collect();
    let indexes = collection.indexes.iter().filter(|index| !index.system);
    let indexes: Vec<Json> = indexes.map(|index| of_index(collection, index, built)).collect();
    let Rules { list, view, create, update, delete } = &collection.rules;
    let mut whole = json!({
        "id": collection.id.to_string(),
        "name": collection.name,
        "type": collection.kind.name(),
        "fields": fields,
        "indexes": indexes,
        "listRule": list,
        "viewRule": view,
        "createRule": create,
        "updateRule": update,
        "deleteRule": delete,
        "created": collection.created.to_string(),
        "updated": collection.updated.to_string(),
    });
    if let Json::Object(map) = &mut whole {
        if !collection.checks.is_empty() {
            map.insert(
                "checks".to_owned(),
                collection.checks.iter().map(|check| of_check(collection, check)).collect(),
            );
        }
        if !collection.output.is_plain() {
            map.insert("output".to_owned(), output::format(schema, collection));
        }
        if let Some(search) = &collection.search {
            let state = built.get(&SEARCHED).copied();
            map.insert("search".to_owned(), search::format(collection, search, state));
        }
        if collection.staged.is_some() {
            let Built { rows, of } = built.get(&STAGED).copied().unwrap_or_default();
            map.insert("changing".to_owned(), json!({"rows": rows, "of": of}));
        }
        if let Some(refused) = &collection.refused {
            map.insert("refused".to_owned(), json!(refused));
        }
        if let Some(AuthToken { duration }) = collection.auth_token {
            map.insert("authToken".to_owned(), json!({"duration": duration}));
        }
        if collection.id.is_own() {
            map.insert("system".to_owned(), json!(true));
        }
    }
    serde_json::to_writer(out, &whole).expect("a Vec takes all that is written");
}

/// The same of a field.
pub(super) fn of_field(schema: &Schema, collection: &Collection, field: &Field) -> Json {
    let mut map = Map::new();
    let mut put = |key: &str, value: Json| {
        map.insert(key.to_owned(), value);
    };
    put("id", json!(field.id.to_string()));
    put("name", json!(field.name));
    put("type", json!(field.kind.name()));
    if let Some(text) = &field.computed {
        put("computed", json!(text));
    }
    put("required", json!(field.required));
    put("hidden", json!(field.hidden || field.is_secret()));
    if auth::is_own(collection, &field.name) {
        put("system", json!(true));
    }
    match &field.default {
        None => {}
        Some(DefaultValue::Now) => put("default", json!("@now")),
        // In json an object is a value.
        Some(DefaultValue::Expression(text)) if text.starts_with('@') => put("default", json!(text)),
        Some(DefaultValue::Expression(text)) => put("default", json!({"expr": text})),
        Some(DefaultValue::Value(value)) => put("default", value.clone()),
    }
    if !field.aliases.is_empty() {
        put("aliases", json!(field.aliases));
    }
    if matches!(field.kind, FieldKind::Text { .. } | FieldKind::Editor { .. } | FieldKind::Email {} | FieldKind::Url {})
    {
        put("sanitize", field.sanitize.iter().map(|step| sanitizer(*step)).collect());
    }
    for (key, value) in options(schema, collection, &field.kind) {
        if !value.is_null() {
            put(key, value);
        }
    }
    Json::Object(map)
}

/// The options of a type; null for one that is not set.
fn options(schema: &Schema, collection: &Collection, kind: &FieldKind) -> Vec<(&'static str, Json)> {
    match kind {
        FieldKind::Text { min, max, pattern } => {
            vec![("min", json!(min)), ("max", json!(max)), ("pattern", json!(pattern))]
        }
        FieldKind::Number { integer, min, max } => {
            vec![("integer", json!(integer)), ("min", number(*min)), ("max", number(*max))]
        }
        FieldKind::Date { min, max } => {
            let text = |at: &Option<crate::time::Millis>| json!(at.map(|at| at.to_string()));
            vec![("min", text(min)), ("max", text(max))]
        }
        FieldKind::Autodate { on_create, on_update } => {
            vec![("onCreate", json!(on_create)), ("onUpdate", json!(on_update))]
        }
        FieldKind::Select { values, max_select, min_select } => {
            let mut options = vec![("values", json!(values)), ("maxSelect", json!(max_select))];
            options.extend(kind.is_list().then(|| ("minSelect", json!(min_select))));
            options
        }
        FieldKind::Relation { collection: target, max_select, min_select, on_delete } => {
            let own = *target == collection.id;
            let name = if own { Some(&collection.name) } else { schema.get(*target).map(|target| &target.name) };
            let target = name.map_or_else(|| json!(target.to_string()), |name| json!(name));
            let mut options = vec![("collection", target), ("maxSelect", json!(max_select))];
            options.extend(kind.is_list().then(|| ("minSelect", json!(min_select))));
            options.push(("onDelete", json!(of_on_delete(*on_delete))));
            options
        }
        FieldKind::Json { max_size } => vec![("maxSize", json!(max_size))],
        FieldKind::Editor { max } => vec![("max", json!(max))],
        FieldKind::Password { min, max } => vec![("min", json!(min)), ("max", json!(max))],
        FieldKind::Bool {}
        | FieldKind::Email {}
        | FieldKind::Url {}
        | FieldKind::GeoPoint {}
        | FieldKind::Secret {} => Vec::new(),
    }
}

/// As a definition has it, with the names that its fields have in `collection`.
pub(super) fn of_index(collection: &Collection, index: &Index, built: &BTreeMap<IndexId, Built>) -> Json {
    let name = |part: &crate::model::schema::IndexField| {
        let field = collection.field_by_id(part.field).map_or("", |field| &*field.name);
        format!("{}{field}", if part.descending { "-" } else { "" })
    };
    let fields: Vec<String> = index.fields.iter().map(name).collect();
    let mut whole = json!({"id": index.id.to_string(), "name": index.name, "fields": fields, "unique": index.unique});
    let state = match &index.state {
        IndexState::Ready => Vec::new(),
        IndexState::Building => {
            let progress = built.get(&index.id).map(|Built { rows, of }| json!({"rows": rows, "of": of}));
            [("state", json!("building"))].into_iter().chain(progress.map(|json| ("progress", json))).collect()
        }
        IndexState::Failed { duplicates, too_long } => {
            let duplicates: Vec<Json> = duplicates.iter().map(of_duplicate).collect();
            let too_long: Vec<&str> = too_long.iter().map(|id| id.as_str()).collect();
            vec![("state", json!("failed")), ("duplicates", json!(duplicates)), ("tooLong", json!(too_long))]
        }
    };
    if let Json::Object(map) = &mut whole {
        map.extend(state.into_iter().map(|(key, json)| (key.to_owned(), json)));
    }
    whole
}

fn of_duplicate(duplicate: &Duplicate) -> Json {
    let Duplicate { values, ids: [one, other] } = duplicate;
    let value = |value: &Value| {
        let mut text = Vec::new();
        write_value(value, &mut text);
        serde_json::from_slice(&text).unwrap_or(Json::Null)
    };
    let values: Vec<Json> = values.iter().map(value).collect();
    json!({"values": values, "ids": [one.as_str(), other.as_str()]})
}

/// The same of a check.
pub(super) fn of_check(collection: &Collection, check: &Check) -> Json {
    let mut map = Map::new();
    map.insert("name".to_owned(), json!(check.name));
    map.insert("expr".to_owned(), json!(check.expr));
    map.insert("message".to_owned(), json!(check.message));
    if let Some(field) = check.field.and_then(|field| collection.field_by_id(field)) {
        map.insert("field".to_owned(), json!(field.name));
    }
    Json::Object(map)
}

/// A bound as records write numbers: whole ones without a fraction.
pub(super) fn number(bound: Option<f64>) -> Json {
    let Some(bound) = bound else { return Json::Null };
    let mut text = Vec::new();
    write_f64(&mut text, bound);
    serde_json::from_slice(&text).unwrap_or_else(|_| json!(bound))
}

fn sanitizer(step: Sanitizer) -> &'static str {
    match step {
        Sanitizer::Trim => "trim",
        Sanitizer::Nfc => "nfc",
        Sanitizer::Lower => "lower",
        Sanitizer::Collapse => "collapse",
        Sanitizer::StripHtml => "stripHtml",
        Sanitizer::SafeHtml => "safeHtml",
    }
}

fn of_on_delete(on_delete: OnDelete) -> &'static str {
    match on_delete {
        OnDelete::Restrict => "restrict",
        OnDelete::Cascade => "cascade",
        OnDelete::SetNull => "setNull",
    }
}
