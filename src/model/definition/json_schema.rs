//! A collection as the JSON Schema (2020-12) of the body that makes a record: the first layer of validation, a client's.
//!
//! It is a form's first word, not the last one. Stricter than the pipeline: it sees a text before it is sanitized, wants
//! dates in the one form that JSON Schema knows, and takes no empty text where one of some length is asked for. Looser:
//! a text may be longer or shorter once it is sanitized, and `format` of e-mail addresses and URLs takes more than is
//! taken here. What no schema can say (uniqueness, checks, that a relation's target is there) is left to the server.

use serde_json::{Map, Value as Json, json};

use crate::limits;
use crate::model::schema::{Collection, DefaultValue, Field, FieldKind, Schema};

use super::format::number;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Ids of records, but for `.` and `..`.
const ID_PATTERN: &str = "^(?!\\.{1,2}$)[A-Za-z0-9_.-]+$";

/// Appends the schema as JSON.
pub fn json_schema(schema: &Schema, collection: &Collection, sees_hidden: bool, out: &mut Vec<u8>) {
    let whole = create_schema(schema, collection, sees_hidden);
    serde_json::to_writer(out, &whole).expect("a Vec takes all that is written");
}

/// The schema. A hidden field is in it only for those who see it, or where nobody can do without.
pub fn create_schema(schema: &Schema, collection: &Collection, sees_hidden: bool) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut any_of = Vec::new();
    let mut excluded = Map::new();
    let id = format!("^$|{ID_PATTERN}");
    let id = json!({"type": ["string", "null"], "pattern": id, "maxLength": limits::RECORD_ID_BYTES_MAX});
    properties.insert("id".to_owned(), id);
    for field in collection.fields.iter().filter(|field| is_told(field, sees_hidden)) {
        let names: Vec<&str> = std::iter::once(&*field.name).chain(field.aliases.iter().map(|name| &**name)).collect();
        let shape = property(schema, collection, field);
        for name in &names {
            properties.insert((*name).to_owned(), shape.clone());
            let others: Map<String, Json> =
                names.iter().filter(|other| *other != name).map(|other| ((*other).to_owned(), json!(false))).collect();
            if !others.is_empty() {
                excluded.insert((*name).to_owned(), json!({"properties": others}));
            }
        }
        match &names[..] {
            _ if !field.is_asked_for() => {}
            [name] => required.push(json!(name)),
            names => {
                any_of.push(json!({"anyOf": names.iter().map(|name| json!({"required": [name]})).collect::<Json>()}))
            }
        }
    }
    if collection.auth_fields().is_some() {
        properties.insert("passwordConfirm".to_owned(), json!({"type": "string", "writeOnly": true}));
    }
    // What a record has in an answer and a client may send back.
    for name in ["collectionId", "collectionName", "expand"] {
        properties.insert(name.to_owned(), json!(true));
    }
    let mut whole = Map::new();
    let mut put = |key: &str, value: Json| whole.insert(key.to_owned(), value);
    put("$schema", json!(DIALECT));
    put("$id", json!(format!("/api/collections/{}/schema", collection.name)));
    put("title", json!(collection.name));
    put("type", json!("object"));
    put("properties", Json::Object(properties));
    put("required", Json::Array(required));
    if !any_of.is_empty() {
        put("allOf", Json::Array(any_of));
    }
    if !excluded.is_empty() {
        put("dependentSchemas", Json::Object(excluded));
    }
    put("additionalProperties", json!(false));
    Json::Object(whole)
}

/// Whether a client is told of a field. A password is sent, and never seen; what the server keeps to itself is neither.
fn is_told(field: &Field, sees_hidden: bool) -> bool {
    match field.kind {
        FieldKind::Secret {} => false,
        _ => sees_hidden || !field.hidden || field.is_asked_for(),
    }
}

fn property(schema: &Schema, collection: &Collection, field: &Field) -> Json {
    let mut shape = if field.kind.is_list() { list(schema, collection, field) } else { one(schema, collection, field) };
    if field.is_set_by_server() {
        // `readOnly` alone is a note, and the server refuses it.
        shape.insert("readOnly".to_owned(), json!(true));
        shape.insert("not".to_owned(), json!({}));
    } else if !field.is_asked_for() {
        nullable(&mut shape);
    }
    if let Some(DefaultValue::Value(value)) = &field.default {
        shape.insert("default".to_owned(), value.clone());
    }
    Json::Object(shape)
}

/// Null is taken, too.
fn nullable(shape: &mut Map<String, Json>) {
    if let Some(kind) = shape.get_mut("type") {
        *kind = json!([kind.clone(), "null"]);
    }
    if let Some(Json::Array(values)) = shape.get_mut("enum") {
        values.push(Json::Null);
    }
}

fn list(schema: &Schema, collection: &Collection, field: &Field) -> Map<String, Json> {
    let mut shape = Map::new();
    shape.insert("type".to_owned(), json!("array"));
    shape.insert("items".to_owned(), Json::Object(one(schema, collection, field)));
    shape.insert("uniqueItems".to_owned(), json!(true));
    if let FieldKind::Select { max_select, min_select, .. } | FieldKind::Relation { max_select, min_select, .. } =
        &field.kind
    {
        let fewest = (*min_select).max(usize::from(field.is_asked_for()));
        shape.insert("minItems".to_owned(), json!(fewest));
        shape.insert("maxItems".to_owned(), json!(max_select));
    }
    shape
}

/// One value of the field's type; of a list field, one element.
fn one(schema: &Schema, collection: &Collection, field: &Field) -> Map<String, Json> {
    let mut shape = Map::new();
    let mut put = |key: &str, value: Json| {
        if !value.is_null() {
            shape.insert(key.to_owned(), value);
        }
    };
    let longest = |max: usize| if collection.is_indexed(field.id) { max.min(INDEXED_CHARS_MAX) } else { max };
    let shortest = usize::from(field.is_asked_for());
    match &field.kind {
        FieldKind::Text { min, max, pattern } => {
            put("type", json!("string"));
            put("minLength", at_least(min.unwrap_or(0).max(shortest)));
            put("maxLength", json!(longest(max.unwrap_or(limits::TEXT_CHARS_DEFAULT_MAX))));
            match pattern.as_ref().map(|pattern| pattern.as_str()) {
                Some(text) if is_ecma(text) => put("pattern", json!(text)),
                Some(text) => put("$comment", json!(format!("matches {text} in the syntax of Rust's regex"))),
                None => {}
            }
        }
        FieldKind::Editor { max } => {
            put("type", json!("string"));
            put("contentMediaType", json!("text/html"));
            put("minLength", at_least(shortest));
            put("maxLength", json!(longest(max.unwrap_or(limits::EDITOR_CHARS_DEFAULT_MAX))));
        }
        FieldKind::Number { integer, min, max } => {
            put("type", json!(if *integer { "integer" } else { "number" }));
            let bound = |bound: Option<f64>, whole: i64| match bound {
                Some(bound) => number(Some(bound)),
                None if *integer => json!(whole),
                None => Json::Null,
            };
            put("minimum", bound(*min, i64::MIN));
            put("maximum", bound(*max, i64::MAX));
        }
        FieldKind::Bool {} => put("type", json!("boolean")),
        FieldKind::Date { min, max } => {
            put("type", json!("string"));
            put("format", json!("date-time"));
            let bound = |word: &str, at: &Option<crate::time::Millis>| at.map(|at| format!("not {word} {at}"));
            let said: Vec<String> = [bound("before", min), bound("after", max)].into_iter().flatten().collect();
            put("description", if said.is_empty() { Json::Null } else { json!(said.join(", ")) });
        }
        FieldKind::Autodate { .. } => {
            put("type", json!("string"));
            put("format", json!("date-time"));
        }
        FieldKind::Select { values, .. } => put("enum", json!(values)),
        FieldKind::Relation { collection: target, .. } => {
            put("type", json!("string"));
            put("pattern", json!(ID_PATTERN));
            put("maxLength", json!(limits::RECORD_ID_BYTES_MAX));
            let own = (*target == collection.id).then_some(&collection.name);
            let name = own.or_else(|| schema.get(*target).map(|target| &target.name));
            put("description", json!(name.map(|name| format!("the id of a record of {name}"))));
        }
        FieldKind::Json { .. } => {
            // Null is what an absent one is.
            put(
                "type",
                if shortest == 0 { Json::Null } else { json!(["array", "boolean", "number", "object", "string"]) },
            );
        }
        FieldKind::Password { min, max } => {
            put("type", json!("string"));
            put("writeOnly", json!(true));
            put("minLength", json!(min.unwrap_or(limits::PASSWORD_CHARS_MIN)));
            put("maxLength", json!(max.unwrap_or(limits::PASSWORD_CHARS_MAX)));
        }
        FieldKind::Secret {} => {}
        FieldKind::Email {} => {
            put("type", json!("string"));
            put("format", json!("email"));
        }
        FieldKind::Url {} => {
            put("type", json!("string"));
            put("format", json!("uri"));
            put("pattern", json!("^[Hh][Tt][Tt][Pp][Ss]?://"));
            put("maxLength", json!(longest(limits::TEXT_CHARS_DEFAULT_MAX)));
        }
        FieldKind::GeoPoint {} => {
            put("type", json!("object"));
            let degrees = |most: i32| json!({"type": "number", "minimum": -most, "maximum": most});
            put("properties", json!({"lon": degrees(180), "lat": degrees(90)}));
            put("required", json!(["lon", "lat"]));
            put("additionalProperties", json!(false));
        }
    }
    shape
}

/// Left out where nothing is asked for.
fn at_least(count: usize) -> Json {
    if count == 0 { Json::Null } else { json!(count) }
}

/// Characters of an indexed text that are within its bytes whatever they are.
const INDEXED_CHARS_MAX: usize = limits::INDEXED_TEXT_BYTES_MAX / 4;

/// Whether a pattern means the same in ECMA-262, which JSON Schema has: what Rust's syntax has beyond it is in none of
/// these signs.
fn is_ecma(pattern: &str) -> bool {
    let pattern = pattern.replace("(?:", "(");
    let beyond = [
        "(?", "[[", "[^\\", "\\D", "\\W", "\\S", "\\b", "\\B", "&&", "--", "~~", "\\A", "\\z", "\\x{", "\\u{", "\\U",
        "\\p", "\\P", "\\<", "\\>", "{,",
    ];
    !beyond.iter().any(|sign| pattern.contains(sign))
}
