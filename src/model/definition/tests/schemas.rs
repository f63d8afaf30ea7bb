//! The JSON Schema of a create body against the pipeline: what the schema takes, the pipeline takes.

use regex::Regex;

use super::*;
use crate::id::RecordId;
use crate::model::pipeline;

const THINGS: &str = r#"{"name": "things", "fields": [
    {"name": "title", "type": "text", "required": true, "max": 5, "aliases": ["label", "heading"]},
    {"name": "code", "type": "text", "pattern": "^[A-Z]{2}-[0-9]+$", "aliases": ["ref"]},
    {"name": "loose", "type": "text", "pattern": "(?i)^a", "min": 2},
    {"name": "n", "type": "number", "min": -1.5, "max": 10},
    {"name": "i", "type": "number", "integer": true, "required": true, "default": 5},
    {"name": "b", "type": "bool", "required": true},
    {"name": "d", "type": "date", "min": "2000-01-01"},
    {"name": "made", "type": "autodate", "onCreate": true},
    {"name": "s", "type": "select", "values": ["x", "y"]},
    {"name": "ss", "type": "select", "values": ["x", "y", "z"], "maxSelect": 2, "minSelect": 1},
    {"name": "r", "type": "relation", "collection": "users"},
    {"name": "rs", "type": "relation", "collection": "things", "maxSelect": 3, "required": true},
    {"name": "j", "type": "json"},
    {"name": "jr", "type": "json", "required": true},
    {"name": "mail", "type": "email"},
    {"name": "web", "type": "url"},
    {"name": "rich", "type": "editor"},
    {"name": "at", "type": "geoPoint"},
    {"name": "sum", "type": "number", "computed": "n + i", "aliases": ["total"]},
    {"name": "secret", "type": "text", "hidden": true},
    {"name": "pin", "type": "text", "hidden": true, "required": true}
], "indexes": [{"name": "code", "fields": ["code"]}]}"#;

fn json_schema_of(sees_hidden: bool) -> (Collection, Json) {
    let schema = schema();
    let mut collection = parse(&schema, THINGS.as_bytes(), NOW).expect("sound");
    number(&mut collection, CollectionId(3));
    let mut out = Vec::new();
    json_schema(&schema, &collection, sees_hidden, &mut out);
    (collection, serde_json::from_slice(&out).expect("JSON"))
}

/// As the standard has it, for the keywords that are written; another one is a fault of the test.
fn takes(schema: &Json, value: &Json) -> bool {
    let Json::Object(keywords) = schema else { return schema.as_bool().expect("a schema") };
    keywords.iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "$id" | "$comment" | "title" | "description" | "default" | "readOnly" | "contentMediaType" => true,
        "type" => match wanted {
            Json::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
            kind => is_of(kind, value),
        },
        "enum" => wanted.as_array().expect("a list").contains(value),
        "not" => !takes(wanted, value),
        "allOf" => wanted.as_array().expect("a list").iter().all(|schema| takes(schema, value)),
        "anyOf" => wanted.as_array().expect("a list").iter().any(|schema| takes(schema, value)),
        "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().expect("a text"), text)),
        "format" => value.as_str().is_none_or(|text| match wanted.as_str().expect("a text") {
            "date-time" => text.contains('T') && text.ends_with('Z') && Millis::parse(text).is_some(),
            "email" => text.contains('@') && text.contains('.'),
            "uri" => url::Url::parse(text).is_ok() && !text.contains(' '),
            other => panic!("the format {other}"),
        }),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= count(wanted)),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= count(wanted)),
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().expect("a number")),
        "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().expect("a number")),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| takes(wanted, item))),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= count(wanted)),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= count(wanted)),
        "uniqueItems" => {
            value.as_array().is_none_or(|items| items.iter().enumerate().all(|(at, item)| !items[..at].contains(item)))
        }
        "properties" => value.as_object().is_none_or(|members| {
            members.iter().all(|(key, value)| wanted.get(key).is_none_or(|schema| takes(schema, value)))
        }),
        "additionalProperties" => {
            value.as_object().is_none_or(|members| members.keys().all(|key| keywords["properties"].get(key).is_some()))
        }
        "required" => value.as_object().is_none_or(|members| {
            wanted.as_array().expect("a list").iter().all(|key| members.contains_key(key.as_str().expect("a text")))
        }),
        "dependentSchemas" => value
            .as_object()
            .is_none_or(|members| members.keys().all(|key| wanted.get(key).is_none_or(|schema| takes(schema, value)))),
        other => panic!("the keyword {other}"),
    })
}

fn count(wanted: &Json) -> u64 {
    wanted.as_u64().expect("a count")
}

fn is_of(kind: &Json, value: &Json) -> bool {
    match kind.as_str().expect("a text") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other}"),
    }
}

/// In ECMA-262's syntax; the look-ahead of ids is the one thing that this engine doesn't have.
fn matches(pattern: &str, text: &str) -> bool {
    let plain = pattern.replace("(?!\\.{1,2}$)", "");
    let is_dots = plain != pattern && matches!(text, "." | "..");
    !is_dots && Regex::new(&plain).expect("a pattern").is_match(text)
}

#[test]
fn what_the_schema_takes_the_pipeline_takes() {
    let (collection, schema) = json_schema_of(true);
    let base = r#""title": "a", "b": true, "rs": ["u"], "jr": 1, "pin": "1""#;
    let both = true;
    // With the base: what the schema says; what the pipeline says is the same unless the schema is the stricter one.
    let table = [
        ("", both),
        (r#""id": "x.y""#, both),
        (r#""id": """#, both),
        (r#""id": null"#, both),
        (r#""id": "..""#, false),
        (r#""id": "a b""#, false),
        (r#""collectionId": "3", "collectionName": "things", "expand": {"r": {}}"#, both),
        (r#""nope": 1"#, false),
        (r#""label": "b""#, false),
        (r#""code": "AB-1""#, both),
        (r#""ref": "AB-1""#, both),
        (r#""ref": "AB-1", "code": "AB-1""#, false),
        (r#""code": "ab-1""#, false),
        (r#""code": null"#, both),
        (r#""loose": "Ab""#, both),
        (r#""loose": "a""#, false),
        (r#""n": -1.5"#, both),
        (r#""n": -1.6"#, false),
        (r#""n": 11"#, false),
        (r#""n": "1""#, false),
        (r#""n": null"#, both),
        (r#""i": 3"#, both),
        (r#""i": 3.0"#, both),
        (r#""i": 3.5"#, false),
        (r#""i": null"#, both),
        (r#""d": "2001-02-03T04:05:06Z""#, both),
        (r#""d": "2001-02-30T04:05:06Z""#, false),
        (r#""d": 5"#, false),
        (r#""d": null"#, both),
        (r#""made": "2001-02-03T04:05:06Z""#, false),
        (r#""made": null"#, false),
        (r#""sum": 1"#, false),
        (r#""total": 1"#, false),
        (r#""s": "x""#, both),
        (r#""s": null"#, both),
        (r#""s": "z""#, false),
        (r#""s": ["x"]"#, false),
        (r#""ss": ["x", "z"]"#, both),
        (r#""ss": []"#, false),
        (r#""ss": ["x", "x"]"#, false),
        (r#""ss": ["x", "y", "z"]"#, false),
        (r#""ss": null"#, both),
        (r#""ss": "x""#, false),
        (r#""r": "u""#, both),
        (r#""r": null"#, both),
        (r#""r": """#, false),
        (r#""r": "a/b""#, false),
        (r#""j": {"a": [1, null]}"#, both),
        (r#""j": null"#, both),
        (r#""mail": "a@example.org""#, both),
        (r#""mail": "a""#, false),
        (r#""web": "HTTPS://example.org/a""#, both),
        (r#""web": "ftp://example.org/a""#, false),
        (r#""rich": "<p>a</p>""#, both),
        (r#""rich": 1"#, false),
        (r#""at": {"lon": 180, "lat": -90}"#, both),
        (r#""at": {"lon": 181, "lat": 0}"#, false),
        (r#""at": {"lon": 1}"#, false),
        (r#""at": {"lon": 1, "lat": 1, "x": 1}"#, false),
        (r#""at": null"#, both),
        (r#""secret": "x""#, both),
    ];
    let judge = |body: &str, expected: bool| {
        let value: Json = serde_json::from_str(body).expect("JSON");
        assert_eq!(takes(&schema, &value), expected, "the schema of {body}");
        let made = RecordId::new("made").expect("an id");
        let taken = pipeline::create(&collection, body.as_bytes(), made, true);
        assert_eq!(taken.is_ok(), expected, "the pipeline of {body}: {taken:?}");
    };
    for (rest, expected) in table {
        let comma = if rest.is_empty() { "" } else { "," };
        judge(&format!("{{{base}{comma}{rest}}}"), expected);
    }
    let bare = [
        (r#"{"heading": "a", "b": true, "rs": ["u"], "jr": [], "pin": "1"}"#, true),
        (r#"{"b": true, "rs": ["u"], "jr": 1, "pin": "1"}"#, false),
        (r#"{"title": "", "b": true, "rs": ["u"], "jr": 1, "pin": "1"}"#, false),
        (r#"{"title": null, "b": true, "rs": ["u"], "jr": 1, "pin": "1"}"#, false),
        (r#"{"title": "abcdef", "b": true, "rs": ["u"], "jr": 1, "pin": "1"}"#, false),
        (r#"{"title": "a", "b": true, "rs": [], "jr": 1, "pin": "1"}"#, false),
        (r#"{"title": "a", "b": true, "rs": ["u"], "jr": null, "pin": "1"}"#, false),
        (r#"{"title": "a", "b": null, "rs": ["u"], "jr": 1, "pin": "1"}"#, false),
    ];
    for (body, expected) in bare {
        judge(body, expected);
    }
}

#[test]
fn a_schema_shows_what_a_form_needs_and_no_more() {
    let (_, schema) = json_schema_of(false);
    let at = |path: &str| schema.pointer(path).cloned().unwrap_or(Json::Null);
    for (path, expected) in [
        ("/$schema", serde_json::json!("https://json-schema.org/draft/2020-12/schema")),
        ("/$id", serde_json::json!("/api/collections/things/schema")),
        ("/title", serde_json::json!("things")),
        ("/required", serde_json::json!(["b", "rs", "jr", "pin"])),
        (
            "/allOf",
            serde_json::json!([{"anyOf": [{"required": ["title"]}, {"required": ["label"]}, {"required": ["heading"]}]}]),
        ),
        ("/additionalProperties", serde_json::json!(false)),
        ("/properties/title", serde_json::json!({"type": "string", "minLength": 1, "maxLength": 5})),
        ("/properties/code/maxLength", serde_json::json!(250)),
        ("/properties/code/pattern", serde_json::json!("^[A-Z]{2}-[0-9]+$")),
        ("/properties/loose/pattern", Json::Null),
        ("/properties/loose/$comment", serde_json::json!("matches (?i)^a in the syntax of Rust's regex")),
        ("/properties/i/default", serde_json::json!(5)),
        ("/properties/made/readOnly", serde_json::json!(true)),
        ("/properties/total/readOnly", serde_json::json!(true)),
        ("/properties/d/description", serde_json::json!("not before 2000-01-01 00:00:00.000Z")),
        ("/properties/r/description", serde_json::json!("the id of a record of users")),
        ("/properties/rs/items/description", serde_json::json!("the id of a record of things")),
        ("/properties/rs/minItems", serde_json::json!(1)),
        ("/properties/secret", Json::Null),
        ("/properties/pin/type", serde_json::json!("string")),
    ] {
        assert_eq!(at(path), expected, "{path}");
    }
}
