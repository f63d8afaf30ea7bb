//! Changes of a stored definition: what is the same, what is new, what it asks of the rows, what is refused and where.

use super::*;
use crate::model::schema::{Shadow, Source};

const ORDERS: &str = r#"{"name": "orders", "fields": [
    {"name": "user", "type": "relation", "collection": "users"},
    {"name": "n", "type": "number", "min": 0, "max": 9},
    {"name": "note", "type": "text", "max": 50, "aliases": ["remark"]},
    {"name": "status", "type": "select", "values": ["new", "paid"], "default": "new"},
    {"name": "twice", "type": "number", "computed": "n * 2"},
    {"name": "thrice", "type": "number", "computed": "twice + n"},
    {"name": "next", "type": "relation", "collection": "orders"}
], "indexes": [
    {"name": "by_n", "fields": ["n"]}, {"name": "both", "fields": ["status", "-n"], "unique": true}
], "checks": [{"name": "small", "expr": "n < 8", "message": "too big", "field": "n"}],
"output": {"embed": {"next": ["id", "n"]}, "fields": ["id", "n", "next"]},
"listRule": "n > 1", "viewRule": ""}"#;

fn world() -> (Schema, Collection) {
    let mut schema = schema();
    let mut stored = parse(&schema, ORDERS.as_bytes(), NOW).expect("sound");
    number(&mut stored, CollectionId(3));
    schema.put(stored.clone());
    (schema, stored)
}

/// The orders' fields as a client sends them, with some in the place of those with their ids.
fn fields(changed: &[&str]) -> String {
    let (schema, stored) = world();
    let mut out = Vec::new();
    format(&schema, &stored, &Default::default(), &mut out);
    let whole: Json = serde_json::from_slice(&out).expect("JSON");
    let mut fields: Vec<Json> = whole["fields"].as_array().expect("a list").clone();
    for text in changed {
        let change: Json = serde_json::from_str(text).expect("JSON");
        match fields.iter_mut().find(|field| field["id"] == change["id"]) {
            Some(field) => *field = change,
            None => fields.push(change),
        }
    }
    serde_json::to_string(&fields).expect("JSON")
}

fn changed(body: &str) -> Result<Redefinition> {
    let (schema, stored) = world();
    change(&schema, &stored, body.as_bytes(), Millis(NOW.0 + 1))
}

fn sound(body: &str) -> Redefinition {
    changed(body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// What it asks of the rows: `unseen`, `checked`, or the shadows as `name 9 of 2`.
fn asks(change: &Redefinition) -> String {
    let name = |shadow: &Shadow| change.collection.field_by_id(shadow.field).map_or("?", |field| &field.name);
    let told = change.shadows.iter().map(|shadow| match shadow.source {
        Source::Field(from) => format!("{} {} of {from}", name(shadow), shadow.field),
        Source::Default => format!("{} {} by default", name(shadow), shadow.field),
        Source::Computed => format!("{} {} computed", name(shadow), shadow.field),
    });
    match change.rows {
        Rows::Unseen => "unseen".to_owned(),
        Rows::Checked => "checked".to_owned(),
        Rows::Converted => told.collect::<Vec<_>>().join(", "),
    }
}

fn refusal(body: &str) -> String {
    let error = changed(body).expect_err(body);
    let faults: String =
        error.field_faults().iter().map(|fault| format!(" {}: {};", fault.field, fault.code)).collect();
    format!("{:?}{faults}", error.kind())
}

#[test]
fn what_is_not_in_the_body_stays() {
    let (_, stored) = world();
    let change = sound("{}");
    assert_eq!(asks(&change), "unseen");
    assert_eq!(Collection { updated: stored.updated, ..change.collection }, stored);
    let change =
        sound(r#"{"listRule": null, "viewRule": "n = 1", "name": "bills", "type": "base", "id": "3"}"#).collection;
    assert_eq!(
        (&*change.name, change.rules.list.as_deref(), change.rules.view.as_deref()),
        ("bills", None, Some("n = 1"))
    );
    assert_eq!((change.fields, change.created, change.updated), (stored.fields, NOW, Millis(NOW.0 + 1)));
}

#[test]
fn the_whole_definition_as_it_was_read_changes_nothing() {
    let (schema, stored) = world();
    let mut out = Vec::new();
    format(&schema, &stored, &Default::default(), &mut out);
    let change = sound(std::str::from_utf8(&out).expect("JSON"));
    assert_eq!(asks(&change), "unseen");
    assert_eq!(Collection { updated: stored.updated, ..change.collection }, stored);
}

#[test]
fn a_field_is_known_by_its_id_or_else_by_its_name() {
    let known = |body: &str| {
        let fields = sound(body).collection.fields;
        fields.iter().map(|field| format!("{}={} ", field.name, field.id)).collect::<String>()
    };
    let rest = r#""checks": null, "output": null, "indexes": [], "listRule": null"#;
    let table = [
        (r#"{"id": "3", "name": "remark", "type": "text"}"#, "remark=3 "),
        (r#"{"name": "note", "type": "text"}"#, "note=3 "),
        (r#"{"name": "words", "type": "text"}"#, "words=8 "),
        (r#"{"id": "3", "name": "n", "type": "text"}, {"id": "2", "name": "note", "type": "number"}"#, "n=3 note=2 "),
        (r#"{"id": "3", "name": "words", "type": "text"}, {"name": "note", "type": "text"}"#, "words=3 note=8 "),
        (
            r#"{"name": "a", "type": "bool"}, {"name": "n", "type": "number"}, {"name": "b", "type": "bool"}"#,
            "a=8 n=2 b=9 ",
        ),
    ];
    for (fields, expected) in table {
        assert_eq!(known(&format!(r#"{{"fields": [{fields}], {rest}}}"#)), expected, "{fields}");
    }
}

#[test]
fn an_index_is_known_by_what_it_stands_on() {
    let known = |indexes: &str| {
        let change = sound(&format!(r#"{{"indexes": [{indexes}]}}"#)).collection;
        let all = change.indexes.iter().map(|index| format!("{}={} ", index.name, index.id));
        all.collect::<String>()
    };
    let system = "_rel_user=3 _rel_next=4 ";
    assert_eq!(known(r#"{"name": "other", "fields": ["n"]}"#), format!("other=1 {system}"));
    assert_eq!(known(r#"{"name": "by_n", "fields": ["n"], "unique": true}"#), format!("by_n=5 {system}"));
    assert_eq!(known(r#"{"name": "by_n", "fields": ["-n"]}"#), format!("by_n=5 {system}"));
    assert_eq!(known(""), system);
}

#[test]
fn a_rename_keeps_what_is_known_by_id_and_names_the_expressions_that_break() {
    let renamed = fields(&[r#"{"id": "2", "name": "m", "type": "number", "min": 0, "max": 9}"#]);
    assert_eq!(
        refusal(&format!(r#"{{"fields": {renamed}}}"#)),
        "Invalid listRule: bad_expression; fields.4.computed: bad_expression; fields.5.computed: bad_expression; \
         checks.0.expr: bad_expression;"
    );
    let renamed = fields(&[
        r#"{"id": "2", "name": "m", "type": "number", "min": 0, "max": 9}"#,
        r#"{"id": "5", "name": "twice", "type": "number", "computed": "m * 2"}"#,
        r#"{"id": "6", "name": "thrice", "type": "number", "computed": "twice + m"}"#,
    ]);
    let checks = r#"[{"name": "small", "expr": "m < 8", "message": "too big", "field": "m"}]"#;
    let change = sound(&format!(r#"{{"fields": {renamed}, "checks": {checks}, "listRule": "m > 1"}}"#));
    assert_eq!(asks(&change), "twice 8 computed, thrice 9 computed");
    let (_, stored) = world();
    assert_eq!(change.collection.indexes, stored.indexes);
    assert_eq!(change.collection.output, stored.output);
}

#[test]
fn what_stands_on_a_field_goes_with_it() {
    let body = r#"{"fields": [{"name": "note", "type": "text", "max": 50}, {"name": "next", "type": "relation", "collection": "orders"}],
        "checks": [], "listRule": ""}"#;
    let change = sound(body);
    assert_eq!(asks(&change), "unseen");
    let shown = {
        let (schema, _) = world();
        let mut out = Vec::new();
        format(&schema, &change.collection, &Default::default(), &mut out);
        serde_json::from_slice::<Json>(&out).expect("JSON")
    };
    assert_eq!(shown["indexes"], serde_json::json!([]));
    assert_eq!(shown["output"], serde_json::json!({"embed": {"next": ["id"]}, "fields": ["id", "next"]}));
    assert_eq!(change.collection.last_field, FieldId(7), "no id is given out twice");
}

#[test]
fn it_says_what_it_asks_of_the_rows() {
    let table: [(&[&str], &str); 26] = [
        (&[r#"{"id": "3", "name": "note", "type": "text", "max": 60}"#], "unseen"),
        (&[r#"{"id": "3", "name": "note", "type": "text", "max": 49}"#], "checked"),
        (&[r#"{"id": "3", "name": "note", "type": "text", "max": 50, "min": 1}"#], "checked"),
        (&[r#"{"id": "3", "name": "note", "type": "text", "max": 50, "pattern": "a"}"#], "checked"),
        (&[r#"{"id": "3", "name": "note", "type": "text", "max": 50, "hidden": true, "default": "x"}"#], "unseen"),
        (&[r#"{"id": "3", "name": "note", "type": "text", "max": 50, "required": true}"#], "checked"),
        (
            &[r#"{"id": "3", "name": "note", "type": "text", "max": 50, "required": true, "default": "x"}"#],
            "note 8 of 3",
        ),
        (&[r#"{"id": "3", "name": "note", "type": "email"}"#], "note 8 of 3"),
        (&[r#"{"id": "3", "name": "note", "type": "json"}"#], "note 8 of 3"),
        (&[r#"{"id": "3", "name": "note", "type": "text", "max": 50, "computed": "status"}"#], "note 8 computed"),
        (&[r#"{"id": "5", "name": "twice", "type": "number"}"#], "unseen"),
        (&[r#"{"id": "5", "name": "twice", "type": "number", "required": true}"#], "checked"),
        (
            &[r#"{"id": "5", "name": "twice", "type": "number", "computed": "n + n"}"#],
            "twice 8 computed, thrice 9 computed",
        ),
        (&[r#"{"id": "6", "name": "thrice", "type": "number", "computed": "twice + n", "required": true}"#], "checked"),
        (
            &[
                r#"{"id": "4", "name": "status", "type": "select", "values": ["paid", "new", "sent"], "default": "new"}"#,
            ],
            "unseen",
        ),
        (&[r#"{"id": "4", "name": "status", "type": "select", "values": ["new"], "default": "new"}"#], "checked"),
        (
            &[r#"{"id": "1", "name": "user", "type": "relation", "collection": "users", "onDelete": "cascade"}"#],
            "unseen",
        ),
        (&[r#"{"id": "1", "name": "user", "type": "relation", "collection": "users", "maxSelect": 2}"#], "user 8 of 1"),
        (&[r#"{"id": "1", "name": "user", "type": "text"}"#], "user 8 of 1"),
        (&[r#"{"name": "new", "type": "bool"}"#], "unseen"),
        (&[r#"{"name": "new", "type": "bool", "required": true}"#], "checked"),
        (&[r#"{"name": "new", "type": "bool", "default": true}"#], "new 8 by default"),
        (&[r#"{"name": "new", "type": "number", "computed": "thrice"}"#], "new 8 computed"),
        (&[r#"{"name": "new", "type": "autodate", "onCreate": true}"#], "unseen"),
        (&[r#"{"id": "2", "name": "n", "type": "number", "min": 1, "max": 9}"#], "checked"),
        (
            &[r#"{"id": "2", "name": "n", "type": "number", "integer": true, "min": 0, "max": 9}"#],
            "n 8 of 2, twice 9 computed, thrice 10 computed",
        ),
    ];
    for (change, expected) in table {
        let change = sound(&format!(r#"{{"fields": {}}}"#, fields(change)));
        assert_eq!(asks(&change), expected, "{:?}", change.collection.fields);
        assert!(change.collection.last_field >= change.collection.fields.iter().map(|field| field.id).max().unwrap());
    }
    let checks = r#"{"checks": [{"name": "small", "expr": "n < 8", "message": "too big"}, {"name": "x", "expr": "n != 7", "message": "m"}]}"#;
    assert_eq!(asks(&sound(checks)), "checked");
    assert_eq!(asks(&sound(r#"{"checks": [{"name": "less", "expr": "n < 8", "message": "other words"}]}"#)), "unseen");
    assert_eq!(asks(&sound(r#"{"indexes": [{"name": "x", "fields": ["note"]}]}"#)), "unseen");
}

#[test]
fn a_converted_field_has_its_new_id_wherever_it_stands() {
    let whole = fields(&[r#"{"id": "2", "name": "n", "type": "number", "integer": true, "min": 0, "max": 9}"#]);
    let change = sound(&format!(r#"{{"fields": {whole}}}"#)).collection;
    let (_, stored) = world();
    assert_eq!(change.field("n").map(|field| field.id), Some(FieldId(8)));
    assert_eq!(change.checks[0].field, Some(FieldId(8)));
    assert_eq!(change.indexes.iter().map(|index| index.id.0).collect::<Vec<_>>(), [5, 6, 3, 4], "those on it are new");
    let part = crate::model::mask::Part::Field(FieldId(8));
    assert!(change.output.fields.expect("named").contains(&part) && change.output.embed[0].parts.contains(&part));
    assert_eq!(stored.last_index, IndexId(4));

    let whole = fields(&[r#"{"id": "7", "name": "next", "type": "relation", "collection": "orders", "maxSelect": 3}"#]);
    let change = sound(&format!(r#"{{"fields": {whole}}}"#)).collection;
    let next = change.field("next").expect("there").id;
    assert_eq!((next, change.output.embed[0].field), (FieldId(8), FieldId(8)));
    assert_eq!(change.relation_index(next).map(|index| index.id), Some(IndexId(5)));
}

#[test]
fn a_change_is_refused_for_what_cannot_be() {
    let with = |field: &str| format!(r#"{{"fields": {}}}"#, fields(&[field]));
    let table = [
        (r#"[]"#.to_owned(), "Invalid"),
        (r#"{"name": null}"#.to_owned(), "Invalid name: required;"),
        (r#"{"name": "_x"}"#.to_owned(), "Invalid name: reserved;"),
        (r#"{"type": "auth"}"#.to_owned(), "Invalid type: read_only;"),
        (r#"{"colour": 1}"#.to_owned(), "Invalid colour: unknown_setting;"),
        (r#"{"listRule": "nope"}"#.to_owned(), "Invalid listRule: bad_expression;"),
        (with(r#"{"id": "9", "name": "x", "type": "bool"}"#), "Invalid fields.7.id: unknown_field;"),
        (with(r#"{"id": "02", "name": "x", "type": "bool"}"#), "Invalid fields.7.id: unknown_field;"),
        (with(r#"{"id": 2, "name": "x", "type": "bool"}"#), "Invalid fields.7.id: wrong_type;"),
        (
            r#"{"fields": [{"id": "3", "name": "a", "type": "text"}, {"id": "3", "name": "b", "type": "text"}],
                "checks": [], "listRule": ""}"#
                .to_owned(),
            "Invalid fields.1.id: duplicate;",
        ),
        (
            with(r#"{"id": "2", "name": "n", "type": "json"}"#),
            "Invalid indexes.0.fields.0: not_here; indexes.1.fields.1: not_here;",
        ),
        (
            with(r#"{"id": "2", "name": "n", "type": "number", "hidden": true, "min": 0, "max": 9}"#),
            "Invalid output.embed.next.1: hidden; output.fields.1: hidden;",
        ),
        (with(r#"{"id": "1", "name": "user", "type": "bool"}"#), "Unprocessable fields.0.type: not_convertible;"),
        (
            with(r#"{"id": "1", "name": "user", "type": "relation", "collection": "products"}"#),
            "Unprocessable fields.0.type: not_convertible;",
        ),
        (
            with(r#"{"id": "3", "name": "note", "type": "relation", "collection": "users"}"#),
            "Unprocessable fields.2.type: not_convertible;",
        ),
    ];
    for (body, expected) in table {
        assert_eq!(refusal(&body), expected, "{body}");
    }
}
