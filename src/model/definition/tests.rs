//! Definitions as a client writes them: what is taken, what is refused and where.

use super::*;
use crate::model::schema::{FieldKind, Sanitizer};

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
    format(&schema, &collection, &mut out);
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
        (r#"{"name": "a b"}"#, "name: bad_name;"),
        (r#"{"name": "9a"}"#, "name: bad_name;"),
        (r#"{"name": 5}"#, "name: wrong_type;"),
        (r#"{"name": "c", "type": "auth"}"#, "type: not_known_yet;"),
        (r#"{"name": "c", "type": "other"}"#, "type: unknown_type;"),
        (r#"{"name": "c", "nope": 1, "more": null}"#, "nope: unknown_setting;more: unknown_setting;"),
        (
            r#"{"name": "c", "checks": [], "search": {}, "output": {}}"#,
            "checks: not_known_yet;search: not_known_yet;output: not_known_yet;",
        ),
        (r#"{"name": "c", "id": "5", "created": "x"}"#, "id: read_only;created: read_only;"),
        (r#"{"name": "c", "listRule": "id != ''", "viewRule": 5}"#, "listRule: rule_expression;viewRule: wrong_type;"),
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
        (r#"{"name": "a", "type": "geoPoint"}"#, "fields.0.type: not_known_yet;"),
        (r#"{"name": "a", "type": "password"}"#, "fields.0.type: not_known_yet;"),
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
        (r#"{"name": "a", "type": "bool", "computed": "1"}"#, "fields.0.computed: not_known_yet;"),
        (r#"{"name": "a", "type": "bool", "required": "yes"}"#, "fields.0.required: wrong_type;"),
        (
            r#"{"name": "a", "type": "text", "sanitize": ["trim", "stripHtml", "trim"]}"#,
            "fields.0.sanitize.1: not_known_yet;fields.0.sanitize.2: duplicate;",
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
        (r#"{"name": "a", "type": "text", "default": "@now"}"#, "fields.0.default: default_expression;"),
        (r#"{"name": "a", "type": "date", "default": "@yesterday"}"#, "fields.0.default: default_expression;"),
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
            {{"name": "j", "type": "json"}}, {{"name": "l", "type": "select", "values": ["x"], "maxSelect": 2}}],
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
