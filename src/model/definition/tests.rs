//! Definitions as a client writes them: what is taken, what is refused and where.

mod auth;
mod changes;
mod documents;
mod schemas;
mod searches;

use super::*;
use crate::id::{FieldId, IndexId};
use crate::model::schema::{FieldKind, IndexState, Sanitizer};

const NOW: Millis = Millis(1_700_000_000_000);

fn schema() -> Schema {
    let mut schema = Schema::default();
    for (id, name) in [(1, "users"), (2, "products")] {
        let body = format!(r#"{{"name": "{name}", "fields": [{{"name": "name", "type": "text"}}]}}"#);
        let mut collection = parse(&schema, body.as_bytes(), NOW).expect("sound");
        collection.id = CollectionId(id);
        schema.put(collection);
    }
    schema
}

fn read_back(body: &str) -> Json {
    let schema = schema();
    let mut collection = parse(&schema, body.as_bytes(), NOW).expect("sound");
    number(&mut collection, CollectionId(3));
    let mut out = Vec::new();
    format(&schema, &collection, &Default::default(), &mut out);
    serde_json::from_slice(&out).expect("JSON")
}

/// The faults of a definition with these fields, as `path: code;`.
fn faults(body: &str) -> String {
    match parse(&schema(), body.as_bytes(), NOW) {
        Ok(_) => String::new(),
        Err(error) if error.field_faults().is_empty() => format!("{};", error.code_str()),
        Err(error) => error.field_faults().iter().map(|fault| format!("{}: {};", fault.field, fault.code)).collect(),
    }
}

fn faults_of_field(field: &str) -> String {
    faults(&format!(r#"{{"name": "c", "fields": [{field}]}}"#))
}

#[test]
fn a_definition_is_read_and_written_back() {
    let shown = read_back(
        r#"{"name": "orders", "type": "base", "fields": [
        {"name": "user", "type": "relation", "collection": "users", "required": true, "aliases": ["user_id"]},
        {"name": "items", "type": "relation", "collection": "2", "maxSelect": 50, "minSelect": 1, "onDelete": "cascade"},
        {"name": "parent", "type": "relation", "collection": "orders", "onDelete": "setNull"},
        {"name": "status", "type": "select", "values": ["new", "paid"], "default": "new"},
        {"name": "note", "type": "text", "max": 2000, "sanitize": ["trim"], "pattern": null},
        {"name": "total", "type": "number", "min": 0, "max": 1.5},
        {"name": "mail", "type": "email", "hidden": true},
        {"name": "made", "type": "date", "default": "@now", "min": "2001-01-01"},
        {"name": "updated", "type": "autodate", "onCreate": true, "onUpdate": true}
    ], "indexes": [
        {"name": "by_user", "fields": ["user", "-made"]},
        {"name": "mail", "fields": ["mail"], "unique": true}
    ], "listRule": "", "viewRule": null}"#,
    );
    let expected = serde_json::json!({
        "id": "3", "name": "orders", "type": "base",
        "fields": [
            {"id": "1", "name": "user", "type": "relation", "required": true, "hidden": false, "aliases": ["user_id"],
             "collection": "users", "maxSelect": 1, "onDelete": "restrict"},
            {"id": "2", "name": "items", "type": "relation", "required": false, "hidden": false,
             "collection": "products", "maxSelect": 50, "minSelect": 1, "onDelete": "cascade"},
            {"id": "3", "name": "parent", "type": "relation", "required": false, "hidden": false,
             "collection": "orders", "maxSelect": 1, "onDelete": "setNull"},
            {"id": "4", "name": "status", "type": "select", "required": false, "hidden": false, "default": "new",
             "values": ["new", "paid"], "maxSelect": 1},
            {"id": "5", "name": "note", "type": "text", "required": false, "hidden": false, "sanitize": ["trim"],
             "max": 2000},
            {"id": "6", "name": "total", "type": "number", "required": false, "hidden": false, "integer": false,
             "min": 0, "max": 1.5},
            {"id": "7", "name": "mail", "type": "email", "required": false, "hidden": true, "sanitize": ["trim", "nfc"]},
            {"id": "8", "name": "made", "type": "date", "required": false, "hidden": false, "default": "@now",
             "min": "2001-01-01 00:00:00.000Z"},
            {"id": "9", "name": "updated", "type": "autodate", "required": false, "hidden": false, "onCreate": true,
             "onUpdate": true}
        ],
        "indexes": [
            {"id": "1", "name": "by_user", "fields": ["user", "-made"], "unique": false},
            {"id": "2", "name": "mail", "fields": ["mail"], "unique": true}
        ],
        "listRule": "", "viewRule": null, "createRule": null, "updateRule": null, "deleteRule": null,
        "created": NOW.to_string(), "updated": NOW.to_string()
    });
    assert_eq!(shown, expected);
}

#[test]
fn relations_get_an_index_of_the_servers_own() {
    let body = r#"{"name": "c", "fields": [
        {"name": "a", "type": "relation", "collection": "c"},
        {"name": "b", "type": "relation", "collection": "users", "maxSelect": 9}
    ], "indexes": [{"name": "x", "fields": ["a"]}]}"#;
    let collection = parse(&schema(), body.as_bytes(), NOW).expect("sound");
    let names: Vec<(&str, u32, bool)> =
        collection.indexes.iter().map(|index| (&*index.name, index.id.0, index.system)).collect();
    assert_eq!(names, [("x", 1, false), ("_rel_a", 2, true), ("_rel_b", 3, true)]);
    assert_eq!((collection.last_field, collection.last_index), (FieldId(2), IndexId(3)));
    for field in &collection.fields {
        assert!(collection.relation_index(field.id).is_some());
    }
    let FieldKind::Relation { collection: target, .. } = collection.fields[0].kind else { panic!("a relation") };
    assert_eq!(target, CollectionId(0), "itself, not numbered yet");
}

#[test]
fn a_definition_survives_the_log() {
    let body = r#"{"name": "c", "fields": [
        {"name": "t", "type": "text", "pattern": "^a", "min": 1, "default": "abc", "sanitize": []},
        {"name": "n", "type": "number", "integer": true, "min": -5, "default": 3},
        {"name": "j", "type": "json", "default": {"a": [null, 1]}},
        {"name": "r", "type": "relation", "collection": "users", "onDelete": "setNull"},
        {"name": "d", "type": "date", "default": "@now", "max": "2030-01-01"},
        {"name": "b", "type": "bool"}, {"name": "u", "type": "url"},
        {"name": "s", "type": "select", "values": ["x"], "maxSelect": 2}
    ]}"#;
    let collection = parse(&schema(), body.as_bytes(), NOW).expect("sound");
    let stored = serde_json::to_string(&collection).expect("text");
    let back: Collection = serde_json::from_str(&stored).expect("own text");
    assert_eq!(back, collection);
    assert_eq!(back.fields[6].sanitize, [Sanitizer::Trim, Sanitizer::Nfc]);
    assert!(back.fields[0].sanitize.is_empty());
}

#[test]
fn each_fault_is_named_with_its_path() {
    let table = [
        (r#"{"fields": []}"#, "name: required;"),
        (r#"{"name": "_users"}"#, "name: reserved;"),
        (r#"{"name": "import"}"#, "name: reserved;"),
        (r#"{"name": "a_via_b"}"#, "name: reserved;"),
        (r#"{"name": "a b"}"#, "name: bad_name;"),
        (r#"{"name": "9a"}"#, "name: bad_name;"),
        (r#"{"name": 5}"#, "name: wrong_type;"),
        (r#"{"name": "c", "type": "auth"}"#, ""),
        (r#"{"name": "c", "type": "view"}"#, "type: not_known_yet;"),
        (r#"{"name": "c", "authToken": {"duration": 5}}"#, "authToken: not_here;"),
        (r#"{"name": "c", "type": "auth", "authToken": {"duration": 5}}"#, ""),
        (r#"{"name": "c", "type": "auth", "authToken": {}}"#, "authToken.duration: required;"),
        (r#"{"name": "c", "type": "auth", "authToken": {"duration": 0}}"#, "authToken.duration: required;"),
        (r#"{"name": "c", "type": "auth", "authToken": {"duration": 1e9}}"#, "authToken.duration: out_of_range;"),
        (
            r#"{"name": "c", "type": "auth", "authToken": {"life": 5}}"#,
            "authToken.duration: required;authToken.life: unknown_setting;",
        ),
        (r#"{"name": "c", "type": "other"}"#, "type: unknown_type;"),
        (r#"{"name": "c", "nope": 1, "more": null}"#, "nope: unknown_setting;more: unknown_setting;"),
        (r#"{"name": "c", "checks": [], "search": {}, "output": {}}"#, "search.fields: required;"),
        (r#"{"name": "c", "id": "5", "created": "x"}"#, "id: read_only;created: read_only;"),
        (r#"{"name": "c", "listRule": "id != ''", "viewRule": 5}"#, "viewRule: wrong_type;"),
        (r#"{"name": "c", "fields": {}}"#, "fields: wrong_type;"),
        (r#"{"name": "c", "fields": [5]}"#, "fields.0: wrong_type;"),
        (r#"{"name": "c", "indexes": ["CREATE INDEX"]}"#, "indexes.0: wrong_type;"),
        (r#"{"name": "c", "name": "d"}"#, "duplicate_key;"),
        (r#"{"name": "c", "fields": [{"name": "a", "name": "b", "type": "bool"}]}"#, "duplicate_key;"),
        (r#"{"name": "c""#, "bad_json;"),
        ("[]", "not_an_object;"),
    ];
    for (body, expected) in table {
        assert_eq!(faults(body), expected, "{body}");
    }
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(limits::NAME_BYTES_MAX + 1));
    assert_eq!(faults(&long), "name: bad_name;");
}

#[test]
fn a_field_is_refused_for_what_its_type_does_not_have() {
    let table = [
        (r#"{"type": "bool"}"#, "fields.0.name: required;"),
        (r#"{"name": "a"}"#, "fields.0.type: required;"),
        (r#"{"name": "a", "type": "file"}"#, "fields.0.type: not_known_yet;"),
        (r#"{"name": "a", "type": "secret"}"#, "fields.0.type: not_here;"),
        (r#"{"name": "a", "type": "password"}"#, "fields.0.type: not_here;"),
        (r#"{"name": "a", "type": "int"}"#, "fields.0.type: unknown_type;"),
        (r#"{"name": "id", "type": "text"}"#, "fields.0.name: reserved;"),
        (r#"{"name": "expand", "type": "text"}"#, "fields.0.name: reserved;"),
        (r#"{"name": "null", "type": "text"}"#, "fields.0.name: reserved;"),
        (r#"{"name": "a-b", "type": "text"}"#, "fields.0.name: bad_name;"),
        (r#"{"name": "a", "type": "bool"}, {"name": "a", "type": "bool"}"#, "fields.1.name: duplicate;"),
        (
            r#"{"name": "a", "type": "bool", "aliases": ["b", "score"]}, {"name": "b", "type": "bool"}"#,
            "fields.0.aliases.1: reserved;fields.1.name: duplicate;",
        ),
        (
            r#"{"name": "a", "type": "bool", "aliases": ["a", "x y", 5]}"#,
            "fields.0.aliases.2: wrong_type;fields.0.aliases.0: duplicate;fields.0.aliases.1: bad_name;",
        ),
        (r#"{"name": "a", "type": "bool", "pattern": "x"}"#, "fields.0.pattern: unknown_setting;"),
        (r#"{"name": "a", "type": "bool", "sanitize": ["trim"]}"#, "fields.0.sanitize: unknown_setting;"),
        (r#"{"name": "a", "type": "bool", "computed": "1"}"#, "fields.0.computed: bad_expression;"),
        (r#"{"name": "a", "type": "bool", "computed": true}"#, "fields.0.computed: wrong_type;"),
        (r#"{"name": "a", "type": "bool", "computed": "true", "default": true}"#, "fields.0.default: not_here;"),
        (r#"{"name": "a", "type": "autodate", "onCreate": true, "computed": "now()"}"#, "fields.0.computed: not_here;"),
        (r#"{"name": "a", "type": "editor", "min": 5}"#, "fields.0.min: unknown_setting;"),
        (r#"{"name": "a", "type": "geoPoint", "default": {"lon": 200, "lat": 0}}"#, "fields.0.default: out_of_range;"),
        (r#"{"name": "a", "type": "geoPoint", "default": {"lon": 0}}"#, "fields.0.default: required;"),
        (r#"{"name": "a", "type": "bool", "required": "yes"}"#, "fields.0.required: wrong_type;"),
        (
            r#"{"name": "a", "type": "text", "sanitize": ["trim", "upper", "trim"]}"#,
            "fields.0.sanitize.1: unknown_value;fields.0.sanitize.2: duplicate;",
        ),
        (r#"{"name": "a", "type": "text", "pattern": "("}"#, "fields.0.pattern: bad_pattern;"),
        (r#"{"name": "a", "type": "text", "pattern": "\\w{1000}{1000}"}"#, "fields.0.pattern: bad_pattern;"),
        (r#"{"name": "a", "type": "text", "min": 5, "max": 2}"#, "fields.0.min: out_of_range;"),
        (r#"{"name": "a", "type": "text", "min": -1}"#, "fields.0.min: wrong_type;"),
        (r#"{"name": "a", "type": "text", "max": 1.5}"#, "fields.0.max: wrong_type;"),
        (r#"{"name": "a", "type": "text", "max": 1e15}"#, "fields.0.max: out_of_range;"),
        (r#"{"name": "a", "type": "number", "min": 2, "max": 1}"#, "fields.0.min: out_of_range;"),
        (r#"{"name": "a", "type": "date", "min": "2001-02-29"}"#, "fields.0.min: not_a_date;"),
        (r#"{"name": "a", "type": "autodate"}"#, "fields.0.onCreate: required;"),
        (
            r#"{"name": "a", "type": "autodate", "onCreate": true, "required": true, "default": "@now"}"#,
            "fields.0.required: not_here;fields.0.default: not_here;",
        ),
        (r#"{"name": "a", "type": "select"}"#, "fields.0.values: required;"),
        (
            r#"{"name": "a", "type": "select", "values": ["x", "", "x"]}"#,
            "fields.0.values.1: required;fields.0.values.2: duplicate;",
        ),
        (r#"{"name": "a", "type": "select", "values": ["x"], "maxSelect": 0}"#, "fields.0.maxSelect: out_of_range;"),
        (r#"{"name": "a", "type": "select", "values": ["x"], "minSelect": 1}"#, "fields.0.minSelect: not_here;"),
        (
            r#"{"name": "a", "type": "select", "values": ["x"], "maxSelect": 2, "minSelect": 3}"#,
            "fields.0.minSelect: out_of_range;",
        ),
        (r#"{"name": "a", "type": "relation"}"#, "fields.0.collection: required;"),
        (r#"{"name": "a", "type": "relation", "collection": "nope"}"#, "fields.0.collection: unknown_collection;"),
        (r#"{"name": "a", "type": "relation", "collectionId": "nope"}"#, "fields.0.collectionId: unknown_collection;"),
        (
            r#"{"name": "a", "type": "relation", "collection": "users", "onDelete": "drop"}"#,
            "fields.0.onDelete: unknown_value;",
        ),
        (
            r#"{"name": "a", "type": "relation", "collection": "users", "onDelete": "setNull", "required": true}"#,
            "fields.0.onDelete: set_null_required;",
        ),
        (
            r#"{"name": "a", "type": "relation", "collection": "users", "maxSelect": 100000}"#,
            "fields.0.maxSelect: out_of_range;",
        ),
        (r#"{"name": "a", "type": "json", "maxSize": 99999999}"#, "fields.0.maxSize: out_of_range;"),
        (r#"{"name": "a", "type": "number", "default": "5"}"#, "fields.0.default: wrong_type;"),
        (r#"{"name": "a", "type": "number", "max": 1, "default": 5}"#, "fields.0.default: too_large;"),
        (r#"{"name": "a", "type": "select", "values": ["x"], "default": "y"}"#, "fields.0.default: not_a_value;"),
        (
            r#"{"name": "a", "type": "select", "values": ["x"], "maxSelect": 2, "default": ["x", "y"]}"#,
            "fields.0.default.1: not_a_value;",
        ),
        (r#"{"name": "a", "type": "text", "default": "@now"}"#, "fields.0.default: bad_expression;"),
        (r#"{"name": "a", "type": "date", "default": "@yesterday"}"#, ""),
        (r#"{"name": "a", "type": "date", "default": {"expr": "@nope"}}"#, "fields.0.default: bad_expression;"),
        (r#"{"name": "a", "type": "date", "default": {"expr": 5}}"#, "fields.0.default: wrong_type;"),
        (r#"{"name": "a", "type": "date", "default": {"expr": "@now", "x": 1}}"#, "fields.0.default: wrong_type;"),
        (r#"{"name": "a", "type": "json", "default": {"expr": "@nope"}}"#, ""),
        (r#"{"name": "a", "type": "text", "required": true, "default": ""}"#, "fields.0.default: required;"),
    ];
    for (field, expected) in table {
        assert_eq!(faults_of_field(field), expected, "{field}");
    }
}

#[test]
fn an_index_is_refused_for_what_it_cannot_hold() {
    let table = [
        (r#"{"fields": ["t"]}"#, "indexes.0.name: required;"),
        (r#"{"name": "_x", "fields": ["t"]}"#, "indexes.0.name: reserved;"),
        (r#"{"name": "x", "fields": ["t"]}, {"name": "x", "fields": ["n"]}"#, "indexes.1.name: duplicate;"),
        (r#"{"name": "x"}"#, "indexes.0.fields: required;"),
        (r#"{"name": "x", "fields": []}"#, "indexes.0.fields: required;"),
        (r#"{"name": "x", "fields": ["t", "nope"]}"#, "indexes.0.fields.1: unknown_field;"),
        (r#"{"name": "x", "fields": ["--t"]}"#, "indexes.0.fields.0: unknown_field;"),
        (r#"{"name": "x", "fields": ["id"]}"#, "indexes.0.fields.0: not_here;"),
        (r#"{"name": "x", "fields": ["t", "-t"]}"#, "indexes.0.fields.1: duplicate;"),
        (r#"{"name": "x", "fields": ["j"]}"#, "indexes.0.fields.0: not_here;"),
        (r#"{"name": "x", "fields": ["g"]}"#, "indexes.0.fields.0: not_here;"),
        (r#"{"name": "x", "fields": ["e"]}"#, ""),
        (r#"{"name": "x", "fields": ["l"]}"#, ""),
        (r#"{"name": "x", "fields": ["l"], "unique": true}"#, "indexes.0.fields.0: not_here;"),
        (r#"{"name": "x", "fields": ["t", "l"]}"#, "indexes.0.fields.1: not_here;"),
        (r#"{"name": "x", "fields": ["t"], "where": "n > 1"}"#, "indexes.0.where: unknown_setting;"),
        (
            r#"{"name": "x", "fields": ["t","t","t","t","t","t","t","t","t"]}"#,
            "indexes.0.fields: too_many;indexes.0.fields.1: duplicate;indexes.0.fields.2: duplicate;\
          indexes.0.fields.3: duplicate;indexes.0.fields.4: duplicate;indexes.0.fields.5: duplicate;\
          indexes.0.fields.6: duplicate;indexes.0.fields.7: duplicate;",
        ),
    ];
    for (index, expected) in table {
        let body = format!(
            r#"{{"name": "c", "fields": [{{"name": "t", "type": "text"}}, {{"name": "n", "type": "number"}},
            {{"name": "j", "type": "json"}}, {{"name": "g", "type": "geoPoint"}}, {{"name": "e", "type": "editor"}}, {{"name": "l", "type": "select", "values": ["x"], "maxSelect": 2}}],
            "indexes": [{index}]}}"#
        );
        assert_eq!(faults(&body), expected, "{index}");
    }
}

#[test]
fn a_definition_is_bounded() {
    let fields = |count: usize, kind: &str| {
        let all: Vec<String> = (0..count).map(|n| format!(r#"{{"name": "f{n}", {kind}}}"#)).collect();
        format!(r#"{{"name": "c", "fields": [{}]}}"#, all.join(","))
    };
    assert_eq!(faults(&fields(limits::FIELDS_MAX, r#""type": "bool""#)), "");
    assert_eq!(faults(&fields(limits::FIELDS_MAX + 1, r#""type": "bool""#)), "fields: too_many;");
    let relation = r#""type": "relation", "collection": "users""#;
    assert_eq!(faults(&fields(limits::INDEXES_MAX, relation)), "");
    assert_eq!(faults(&fields(limits::INDEXES_MAX + 1, relation)), "indexes: too_many;");
    let aliases: Vec<String> = (0..=limits::ALIASES_MAX).map(|n| format!("\"a{n}\"")).collect();
    let field = format!(r#"{{"name": "a", "type": "bool", "aliases": [{}]}}"#, aliases.join(","));
    assert_eq!(faults_of_field(&field), "fields.0.aliases: too_many;");
    let values: Vec<String> = (0..=limits::SELECT_VALUES_MAX).map(|n| format!("\"v{n}\"")).collect();
    let field = format!(r#"{{"name": "a", "type": "select", "values": [{}]}}"#, values.join(","));
    assert_eq!(faults_of_field(&field), "fields.0.values: too_many;");
    let indexed = |length: usize| {
        let field = format!(r#"{{"name": "a", "type": "text", "default": "{}"}}"#, "x".repeat(length));
        faults(&format!(r#"{{"name": "c", "fields": [{field}], "indexes": [{{"name": "a", "fields": ["a"]}}]}}"#))
    };
    assert_eq!(indexed(limits::INDEXED_TEXT_BYTES_MAX), "");
    assert_eq!(indexed(limits::INDEXED_TEXT_BYTES_MAX + 1), "fields.0.default: too_long_for_index;");
    let many = vec!["5"; 10_000].join(",");
    let field = format!(r#"{{"name": "a", "type": "bool", "aliases": [{many}]}}"#);
    let error = parse(&schema(), format!(r#"{{"name": "c", "fields": [{field}]}}"#).as_bytes(), NOW);
    assert_eq!(error.expect_err("refused").field_faults().len(), limits::FAULTS_MAX);
    let wide = format!(r#"{{"name": "a", "type": "json", "default": "{}"}}"#, "x".repeat(limits::RECORD_BYTES_MAX));
    let error = parse(&schema(), format!(r#"{{"name": "c", "fields": [{wide}]}}"#).as_bytes(), NOW);
    assert_eq!(error.expect_err("refused").kind(), Kind::TooLarge);
}

/// A definition that says all that one can say in expressions.
const ORDERS: &str = r#"{"name": "orders", "fields": [
    {"name": "user", "type": "relation", "collection": "users", "required": true},
    {"name": "owner", "type": "text", "default": "@request.auth.id"},
    {"name": "total", "type": "number", "default": {"expr": "round(price * 2)"}},
    {"name": "price", "type": "number", "default": 1},
    {"name": "vat", "type": "number", "computed": "round(total * 0.25, 2)"},
    {"name": "buyer", "type": "text", "computed": "user.name", "required": true},
    {"name": "before", "type": "relation", "collection": "orders"},
    {"name": "chain", "type": "text", "computed": "before.before.buyer"},
    {"name": "made", "type": "date", "default": "@now"},
    {"name": "due", "type": "date", "default": "@tomorrow"},
    {"name": "body", "type": "editor", "max": 10, "sanitize": ["trim"], "default": "<b>x"},
    {"name": "at", "type": "geoPoint", "default": {"lat": 41.9, "lon": 12.5}},
    {"name": "meta", "type": "json", "default": {"expr": "x"}},
    {"name": "who", "type": "json", "default": "@request.auth.id"},
    {"name": "secret", "type": "text", "hidden": true}
], "checks": [
    {"name": "paid", "expr": "total > 0 || @old.total = null", "message": "no total", "field": "total"},
    {"name": "chained", "expr": "before.buyer != 'x'", "message": "wrong chain"}
], "output": {"embed": {"user": ["id", "name"], "before": ["collectionName", "buyer"]}, "fields": ["id", "user", "vat"]},
"listRule": "user = @request.auth.id", "createRule": "@request.body.total:isset = false && orders_via_before.vat ?= 1",
"updateRule": "secret = 'x'"}"#;

#[test]
fn a_definition_with_expressions_reads_back_as_it_is_shown() {
    let schema = schema();
    let collection = parse(&schema, ORDERS.as_bytes(), NOW).expect("sound");
    let mut out = Vec::new();
    format(&schema, &collection, &Default::default(), &mut out);
    let shown: Json = serde_json::from_slice(&out).expect("JSON");
    for (path, expected) in [
        ("/fields/1/default", serde_json::json!("@request.auth.id")),
        ("/fields/2/default", serde_json::json!({"expr": "round(price * 2)"})),
        ("/fields/8/default", serde_json::json!("@now")),
        ("/fields/9/default", serde_json::json!("@tomorrow")),
        ("/fields/10/sanitize", serde_json::json!(["trim", "safeHtml"])),
        ("/fields/10/default", serde_json::json!("<b>x</b>")),
        ("/fields/11/default", serde_json::json!({"lon": 12.5, "lat": 41.9})),
        ("/fields/12/default", serde_json::json!({"expr": "x"})),
        ("/output/embed", serde_json::json!({"user": ["id", "name"], "before": ["collectionName", "buyer"]})),
        ("/output/fields", serde_json::json!(["id", "user", "vat"])),
        ("/checks/1", serde_json::json!({"name": "chained", "expr": "before.buyer != 'x'", "message": "wrong chain"})),
    ] {
        assert_eq!(shown.pointer(path), Some(&expected), "{path}");
    }
    // Without what the server gives, it is what a client may send.
    let mut sent = shown;
    let strip = |object: &mut Json, keys: &[&str]| {
        for key in keys {
            object.as_object_mut().expect("an object").shift_remove(*key);
        }
    };
    strip(&mut sent, &["id", "created", "updated"]);
    for list in ["fields", "indexes"] {
        for item in sent[list].as_array_mut().expect("a list") {
            strip(item, &["id"]);
        }
    }
    let again = parse(&schema, sent.to_string().as_bytes(), NOW).expect("own form");
    assert_eq!(again, collection);
    let stored = serde_json::to_string(&collection).expect("text");
    assert_eq!(serde_json::from_str::<Collection>(&stored).expect("own text"), collection);
}

#[test]
fn a_definition_of_an_older_log_is_still_read() {
    let stored = r#"{"id":3,"generation":1,"name":"c","type":"base","fields":[{"id":1,"name":"t","type":"text"}],
        "created":0,"updated":0,"lastField":1,"lastIndex":0}"#;
    let collection: Collection = serde_json::from_str(stored).expect("read");
    assert!(collection.checks.is_empty() && collection.output.is_plain());
    assert!(collection.fields[0].computed.is_none());
}

#[test]
fn an_expression_is_refused_where_it_stands() {
    let field = |rest: &str| {
        format!(r#"{{"name": "c", "fields": [{{"name": "n", "type": "number"}}, {{"name": "a", {rest}}}]}}"#)
    };
    let table = [
        (r#""type": "number", "computed": "n +""#, "fields.1.computed: column 4: "),
        (r#""type": "number", "computed": "nope""#, "fields.1.computed: column 1: there is no field \"nope\""),
        (r#""type": "number", "computed": "a + 1""#, "fields.1.computed: column 1: fields read each other in a circle"),
        (r#""type": "text", "computed": "n""#, "fields.1.computed: column 1: gives a number, which fits no text"),
        (r#""type": "number", "computed": "'x'""#, "fields.1.computed: column 1: gives a text, which fits no number"),
        (
            r#""type": "date", "computed": "date(now())""#,
            "fields.1.computed: column 1: gives a text, which fits no date",
        ),
        (r#""type": "bool", "computed": "n > 1""#, ""),
        (r#""type": "json", "computed": "n > 1""#, ""),
        (r#""type": "number", "default": {"expr": "@request.body.n"}"#, "fields.1.default: column 1: what is stored"),
        (r#""type": "number", "computed": "@old.n + 1""#, ""),
        (
            r#""type": "select", "values": ["x"], "maxSelect": 2, "computed": "'x'""#,
            "fields.1.computed: column 1: gives a text, which fits no select that is a list",
        ),
        (
            r#""type": "text", "default": {"expr": "a"}"#,
            "fields.1.default: column 1: fields read each other in a circle",
        ),
        (
            r#""type": "geoPoint", "computed": "'x'""#,
            "fields.1.computed: column 1: gives a text, which fits no geoPoint",
        ),
        (r#""type": "geoPoint", "computed": "null""#, ""),
    ];
    for (rest, expected) in table {
        refuses(&field(rest), expected);
    }
    let long = "1".repeat(limits::FILTER_BYTES_MAX + 1);
    let table = [
        (r#""listRule": "n = 'x'""#.to_owned(), "listRule: column 5: "),
        (r#""viewRule": "n""#.to_owned(), "viewRule: column 1: "),
        (r#""createRule": "n ="#.to_owned() + "\"", "createRule: column 4: "),
        (r#""updateRule": "@request.auth.name = 'x'""#.to_owned(), "updateRule: column 15: "),
        (format!(r#""deleteRule": "{long}""#), "deleteRule: column 3501: "),
        (r#""checks": [{"name": "a", "expr": "nope", "message": "m"}]"#.to_owned(), "checks.0.expr: column 1: "),
        (
            r#""checks": [{"name": "a", "expr": "@request.auth.id != ''", "message": "m"}]"#.to_owned(),
            "checks.0.expr: column 1: a check is about the record",
        ),
    ];
    for (rest, expected) in table {
        refuses(&format!(r#"{{"name": "c", "fields": [{{"name": "n", "type": "number"}}], {rest}}}"#), expected);
    }
    refuses(
        r#"{"name": "c", "fields": [{"name": "a", "type": "number", "default": {"expr": "b"}}, {"name": "b", "type": "number", "computed": "1"}]}"#,
        "fields.0.default: column 1: a default is filled in before",
    );
}

/// Whether a definition has exactly the one fault that begins so.
fn refuses(body: &str, expected: &str) {
    match parse(&schema(), body.as_bytes(), NOW) {
        Ok(_) => assert_eq!("", expected, "{body}"),
        Err(error) => {
            let [fault] = error.field_faults() else { panic!("{body}: {error}") };
            let said = format!("{}: {}", fault.field, fault.message);
            assert!(!expected.is_empty() && said.starts_with(expected), "{body}: {said}");
            assert_eq!(fault.code, "bad_expression", "{body}");
        }
    }
}

#[test]
fn checks_and_output_are_refused_for_what_they_name() {
    let table = [
        (r#""checks": {}"#, "checks: wrong_type;"),
        (r#""checks": ["x"]"#, "checks.0: wrong_type;"),
        (r#""checks": [{}]"#, "checks.0.name: required;checks.0.expr: required;checks.0.message: required;"),
        (r#""checks": [{"name": "a b", "expr": "true", "message": "m"}]"#, "checks.0.name: bad_name;"),
        (
            r#""checks": [{"name": "a", "expr": "true", "message": "m"}, {"name": "a", "expr": "true", "message": "m"}]"#,
            "checks.1.name: duplicate;",
        ),
        (
            r#""checks": [{"name": "a", "expr": "", "message": ""}]"#,
            "checks.0.expr: required;checks.0.message: required;",
        ),
        (
            r#""checks": [{"name": "a", "expr": "true", "message": "m", "field": "x"}]"#,
            "checks.0.field: unknown_field;",
        ),
        (r#""checks": [{"name": "a", "expr": "true", "message": "m", "when": 1}]"#, "checks.0.when: unknown_setting;"),
        (r#""output": []"#, "output: wrong_type;"),
        (r#""output": {"more": 1}"#, "output.more: unknown_setting;"),
        (r#""output": {"fields": []}"#, "output.fields: required;"),
        (
            r#""output": {"fields": ["id", "x", "h", "id"]}"#,
            "output.fields.1: unknown_field;output.fields.2: hidden;output.fields.3: duplicate;",
        ),
        (r#""output": {"embed": []}"#, "output.embed: wrong_type;"),
        (r#""output": {"embed": {"x": ["id"]}}"#, "output.embed.x: unknown_field;"),
        (r#""output": {"embed": {"h": ["id"]}}"#, "output.embed.h: not_here;"),
        (r#""output": {"embed": {"u": "id"}}"#, "output.embed.u: wrong_type;"),
        (
            r#""output": {"embed": {"u": ["nope"], "self": ["h"]}}"#,
            "output.embed.u.0: unknown_field;output.embed.self.0: hidden;",
        ),
        (r#""output": {"embed": {"u": ["id", "name"], "self": ["u"]}, "fields": ["collectionId", "self"]}"#, ""),
    ];
    for (rest, expected) in table {
        let body = format!(
            r#"{{"name": "c", "fields": [{{"name": "h", "type": "text", "hidden": true}},
            {{"name": "u", "type": "relation", "collection": "users"}},
            {{"name": "self", "type": "relation", "collection": "c"}}], {rest}}}"#
        );
        assert_eq!(faults(&body), expected, "{rest}");
    }
    let checks = |count: usize, message: usize| {
        let message = "m".repeat(message);
        let checks: Vec<String> =
            (0..count).map(|n| format!(r#"{{"name": "c{n}", "expr": "true", "message": "{message}"}}"#)).collect();
        faults(&format!(r#"{{"name": "c", "checks": [{}]}}"#, checks.join(",")))
    };
    assert_eq!(checks(limits::CHECKS_MAX, limits::CHECK_MESSAGE_BYTES_MAX), "");
    assert_eq!(checks(limits::CHECKS_MAX + 1, 1), "checks: too_many;");
    assert_eq!(checks(1, limits::CHECK_MESSAGE_BYTES_MAX + 1), "checks.0.message: too_long;");
}

#[test]
fn an_index_that_is_not_ready_says_so() {
    let schema = Schema::default();
    let body = br#"{"name":"c","fields":[{"name":"a","type":"text"},{"name":"n","type":"number"}],
        "indexes":[{"name":"one","fields":["a"]},{"name":"two","fields":["a","n"],"unique":true},{"name":"three","fields":["n"]}]}"#;
    let mut collection = parse(&schema, body, Millis(0)).unwrap();
    let id = |text| crate::id::RecordId::new(text).unwrap();
    let values = vec![crate::model::value::Value::text("x"), crate::model::value::Value::Number(0.5)];
    let duplicates = vec![crate::model::schema::Duplicate { values, ids: [id("r1"), id("r2")] }];
    collection.indexes[0].state = IndexState::Building;
    collection.indexes[1].state = IndexState::Failed { duplicates, too_long: vec![id("r3")] };
    let built = [(IndexId(1), Built { rows: 2, of: 9 })].into();
    let mut out = Vec::new();
    format(&schema, &collection, &built, &mut out);
    let shown: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let indexes: Vec<String> = shown["indexes"].as_array().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        indexes,
        [
            r#"{"id":"1","name":"one","fields":["a"],"unique":false,"state":"building","progress":{"rows":2,"of":9}}"#,
            r#"{"id":"2","name":"two","fields":["a","n"],"unique":true,"state":"failed","duplicates":[{"values":["x",0.5],"ids":["r1","r2"]}],"tooLong":["r3"]}"#,
            r#"{"id":"3","name":"three","fields":["n"],"unique":false}"#,
        ]
    );
    // As it is stored, and as older definitions are.
    let stored = serde_json::to_string(&collection).unwrap();
    assert_eq!(serde_json::from_str::<Collection>(&stored).unwrap(), collection);
    assert_eq!(stored.matches("state").count(), 2, "{stored}");
}
