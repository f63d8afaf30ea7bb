//! The pipeline as its callers see it: bodies in, writes or faults out, and records back to JSON.

mod properties;

use super::*;
use crate::error::Kind;
use crate::id::{CollectionId, FieldId, Position};
use crate::limits;
use crate::model::compiled::Compiled;
use crate::model::definition;
use crate::model::expr::{Input, NoRelations};
use crate::model::look::{Look, Wanted};
use crate::model::mask::Mask;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

const NOW: Millis = Millis(1_700_000_000_123);

fn collection(body: &str) -> Collection {
    let mut collection = definition::parse(&Schema::default(), body.as_bytes(), NOW).expect("a sound definition");
    collection.id = CollectionId(7);
    collection
}

/// One field of every type, by the name of its type or what is special about it.
fn every_type() -> Collection {
    collection(
        r#"{"name": "things", "fields": [
        {"name": "text", "type": "text", "min": 2, "max": 5, "sanitize": ["trim", "nfc"], "aliases": ["title", "label"]},
        {"name": "code", "type": "text", "pattern": "^[A-Z]{2}-[0-9]+$"},
        {"name": "number", "type": "number", "min": -10, "max": 1000.5},
        {"name": "any", "type": "number"},
        {"name": "whole", "type": "number", "integer": true},
        {"name": "bool", "type": "bool"},
        {"name": "date", "type": "date", "min": "2000-01-01", "max": "2099-12-31"},
        {"name": "select", "type": "select", "values": ["new", "paid", "sent"]},
        {"name": "selects", "type": "select", "values": ["a", "b", "c", "d"], "maxSelect": 3, "minSelect": 1},
        {"name": "relation", "type": "relation", "collection": "things"},
        {"name": "relations", "type": "relation", "collection": "things", "maxSelect": 3},
        {"name": "json", "type": "json", "maxSize": 43},
        {"name": "email", "type": "email"},
        {"name": "url", "type": "url"},
        {"name": "note", "type": "text", "max": 100000, "hidden": true},
        {"name": "key", "type": "text", "max": 100000},
        {"name": "rich", "type": "editor", "max": 12},
        {"name": "place", "type": "geoPoint"},
        {"name": "sum", "type": "number", "computed": "number + 1", "aliases": ["plus"]},
        {"name": "created", "type": "autodate", "onCreate": true},
        {"name": "updated", "type": "autodate", "onCreate": true, "onUpdate": true}
    ], "indexes": [{"name": "by_key", "fields": ["key"]}]}"#,
    )
}

fn made() -> RecordId {
    RecordId::new("made").expect("an id")
}

fn faults(error: &Error) -> Vec<(&str, &str)> {
    error.field_faults().iter().map(|fault| (fault.field.as_str(), &*fault.code)).collect()
}

fn fields_of(op: Op) -> Fields {
    match op {
        Op::Create { fields, .. } | Op::Put { fields, .. } => fields,
        other => panic!("no whole record: {other:?}"),
    }
}

/// Filled in, without expressions.
fn enriched(collection: &Collection, before: Option<&Fields>, after: &mut Fields, now: Millis) {
    let input = Input { old: before, ..Input::at(now) };
    let compiled = Compiled::default();
    let writing = Writing { collection, compiled: &compiled, id: "made", input, relations: &NoRelations };
    writing.fill_in(after).expect("nothing to evaluate");
}

/// What a merge adds.
fn dated(collection: &Collection, before: &Fields, after: &mut Fields, now: Millis) {
    let input = Input { old: Some(before), ..Input::at(now) };
    let compiled = Compiled::default();
    Writing { collection, compiled: &compiled, id: "made", input, relations: &NoRelations }.date(after);
}

fn mask(collection: &Collection, names: &str, hidden: bool) -> Result<Mask> {
    let wanted = Wanted { fields: Some(names), ..Wanted::default() };
    Look::new(&Schema::default(), collection, wanted, hidden).map(|look| look.mask)
}

fn shown(collection: &Collection, fields: Fields, mask: &Mask) -> String {
    let record = Record { id: made(), version: Position::default(), fields };
    let mut out = Vec::new();
    format_record(collection, &record, mask, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// What one field becomes: its JSON when taken, its fault's code when not.
fn taken(collection: &Collection, body: &str) -> String {
    match create(collection, body.as_bytes(), made(), true) {
        Ok(op) => {
            let fields = fields_of(op);
            let mut out = Vec::new();
            for (_, value) in fields.iter() {
                write_value(value, &mut out);
            }
            String::from_utf8(out).expect("UTF-8")
        }
        Err(error) => faults(&error).iter().map(|(field, code)| format!("{field}: {code};")).collect(),
    }
}

#[test]
fn every_type_takes_its_values_and_refuses_others() {
    let collection = every_type();
    let table = [
        (r#"{"text": " ab "}"#, r#""ab""#),
        (r#"{"text": "e\u0301\u00e4"}"#, r#""éä""#),
        (r#"{"text": ""}"#, r#""""#),
        (r#"{"text": null}"#, ""),
        (r#"{"text": "a"}"#, "text: too_short;"),
        (r#"{"text": "ääääää"}"#, "text: too_long;"),
        (r#"{"text": "äääää"}"#, r#""äääää""#),
        (r#"{"text": "\ud800"}"#, "text: bad_text;"),
        (r#"{"text": 5}"#, "text: wrong_type;"),
        (r#"{"text": ["ab"]}"#, "text: wrong_type;"),
        (r#"{"code": "AB-12"}"#, r#""AB-12""#),
        (r#"{"code": "ab-12"}"#, "code: pattern;"),
        (r#"{"number": 5.0}"#, "5"),
        (r#"{"number": -0.0}"#, "0"),
        (r#"{"number": 0.1}"#, "0.1"),
        (r#"{"number": 1000.5}"#, "1000.5"),
        (r#"{"number": 1000.6}"#, "number: too_large;"),
        (r#"{"number": -10.01}"#, "number: too_small;"),
        (r#"{"any": 1e400}"#, "any: out_of_range;"),
        (r#"{"any": "5"}"#, "any: wrong_type;"),
        (r#"{"any": true}"#, "any: wrong_type;"),
        (r#"{"whole": 9223372036854775807}"#, "9223372036854775807"),
        (r#"{"whole": -9223372036854775808}"#, "-9223372036854775808"),
        (r#"{"whole": 9223372036854775808}"#, "whole: out_of_range;"),
        (r#"{"whole": 1.0}"#, "1"),
        (r#"{"whole": 9007199254740993.0}"#, "9007199254740993"),
        (r#"{"whole": 1.5}"#, "whole: not_whole;"),
        (r#"{"whole": "1"}"#, "whole: wrong_type;"),
        (r#"{"bool": false}"#, "false"),
        (r#"{"bool": 0}"#, "bool: wrong_type;"),
        (r#"{"bool": "true"}"#, "bool: wrong_type;"),
        (r#"{"date": "2001-02-28T12:30:00+02:00"}"#, r#""2001-02-28 10:30:00.000Z""#),
        (r#"{"date": "2001-02-29"}"#, "date: not_a_date;"),
        (r#"{"date": "2001-02-28T25:00"}"#, "date: not_a_date;"),
        (r#"{"date": ""}"#, "date: not_a_date;"),
        (r#"{"date": 1700000000}"#, "date: wrong_type;"),
        (r#"{"date": "1999-12-31"}"#, "date: too_early;"),
        (r#"{"date": "2100-01-01"}"#, "date: too_late;"),
        (r#"{"select": "paid"}"#, r#""paid""#),
        (r#"{"select": "PAID"}"#, "select: not_a_value;"),
        (r#"{"select": ""}"#, "select: not_a_value;"),
        (r#"{"select": ["paid"]}"#, "select: wrong_type;"),
        (r#"{"selects": ["b", "a"]}"#, r#"["b","a"]"#),
        (r#"{"selects": "a"}"#, "selects: wrong_type;"),
        (r#"{"selects": []}"#, "selects: too_few;"),
        (r#"{"selects": ["a","b","c","d"]}"#, "selects: too_many;"),
        (r#"{"selects": ["a","x","a"]}"#, "selects.1: not_a_value;selects.2: duplicate;"),
        (r#"{"selects": ["a", null]}"#, "selects.1: wrong_type;"),
        (r#"{"relation": "some-Id_1.x"}"#, r#""some-Id_1.x""#),
        (r#"{"relation": "a/b"}"#, "relation: bad_id;"),
        (r#"{"relation": ""}"#, "relation: bad_id;"),
        (r#"{"relations": ["x", "y"]}"#, r#"["x","y"]"#),
        (r#"{"relations": ["x", "x"]}"#, "relations.1: duplicate;"),
        (r#"{"relations": []}"#, "[]"),
        (
            r#"{"json": {"b" : [1, 2.50], "a": 12345678901234567890123 }}"#,
            r#"{"b":[1,2.50],"a":12345678901234567890123}"#,
        ),
        (r#"{"json": "text"}"#, r#""text""#),
        (r#"{"json": null}"#, ""),
        (r#"{"json": {"a": {"b": 1, "b": 2}}}"#, "json: duplicate_key;"),
        (r#"{"json": [1e999]}"#, "json: out_of_range;"),
        (r#"{"json": "012345678901234567890123456789012345678901"}"#, "json: too_long;"),
        (r#"{"email": " ann@example.org "}"#, r#""ann@example.org""#),
        (r#"{"email": "Ann <ann@example.org>"}"#, "email: not_an_email;"),
        (r#"{"email": "ann@localhost"}"#, "email: not_an_email;"),
        (r#"{"email": "ann"}"#, "email: not_an_email;"),
        (r#"{"email": ""}"#, "email: not_an_email;"),
        (r#"{"url": "https://example.org/a?b=c#d"}"#, r#""https://example.org/a?b=c#d""#),
        (r#"{"url": "HTTP://EXAMPLE.ORG"}"#, r#""HTTP://EXAMPLE.ORG""#),
        (r#"{"url": "ftp://example.org"}"#, "url: not_a_url;"),
        (r#"{"url": "javascript:alert(1)"}"#, "url: not_a_url;"),
        (r#"{"url": "http:example.org"}"#, "url: not_a_url;"),
        (r#"{"url": "https://exa mple.org"}"#, "url: not_a_url;"),
        (r#"{"url": "https://"}"#, "url: not_a_url;"),
        (r#"{"url": "example.org"}"#, "url: not_a_url;"),
        (r#"{"date": "2001-02-28T23:30:00-01:30"}"#, r#""2001-03-01 01:00:00.000Z""#),
        (r#"{"date": "2001-02-28T12:30:00+26:00"}"#, "date: not_a_date;"),
        (r#"{"date": "2001-02-28T12:30:00+02"}"#, r#""2001-02-28 10:30:00.000Z""#),
        (r#"{"rich": "<b>a</b>"}"#, r#""<b>a</b>""#),
        (r#"{"rich": "<i onclick='x()'>a"}"#, r#""<i>a</i>""#),
        (r#"{"rich": "<script>alert(1)</script>"}"#, r#""""#),
        (r#"{"rich": "<b>123456</b>"}"#, "rich: too_long;"),
        (r#"{"rich": 5}"#, "rich: wrong_type;"),
        (r#"{"place": {"lon": 12.5, "lat": -90}}"#, r#"{"lon":12.5,"lat":-90}"#),
        (r#"{"place": {"lat": -0.0, "lon": 180}}"#, r#"{"lon":180,"lat":0}"#),
        (r#"{"place": null}"#, ""),
        (r#"{"place": {"lon": 180.1, "lat": 0}}"#, "place: out_of_range;"),
        (r#"{"place": {"lon": 0, "lat": 90.1}}"#, "place: out_of_range;"),
        (r#"{"place": {"lon": 1e400, "lat": 0}}"#, "place: wrong_type;"),
        (r#"{"place": {"lon": "1", "lat": 0}}"#, "place: wrong_type;"),
        (r#"{"place": {"lon": 1}}"#, "place: required;"),
        (r#"{"place": {}}"#, "place: required;"),
        (r#"{"place": {"lon": 1, "lat": 2, "alt": 3}}"#, "place: unknown_key;"),
        (r#"{"place": {"lon": 1, "lat": 2, "lon": 3}}"#, "place: duplicate_key;"),
        (r#"{"place": [1, 2]}"#, "place: wrong_type;"),
        (r#"{"place": "1,2"}"#, "place: wrong_type;"),
    ];
    for (body, expected) in table {
        assert_eq!(taken(&collection, body), expected, "{body}");
    }
}

#[test]
fn keys_mean_one_field_and_only_those_a_client_may_set() {
    let collection = every_type();
    let table = [
        (r#"{"title": "ab"}"#, r#""ab""#),
        (r#"{"title": "ab", "text": "cd"}"#, "text: duplicate_key;"),
        (r#"{"title": "ab", "label": "cd"}"#, "label: duplicate_key;"),
        (r#"{"text": "ab", "text": "ab"}"#, "text: duplicate_key;"),
        (r#"{"text": "ab", "te\u0078t": "ab"}"#, "text: duplicate_key;"),
        (r#"{"id": "a", "id": "a"}"#, "id: duplicate_key;"),
        (r#"{"expand": {}, "expand": {}}"#, "expand: duplicate_key;"),
        (r#"{"nope": 1, "Text": "ab"}"#, "nope: unknown_field;Text: unknown_field;"),
        (
            r#"{"number+": 1, "+selects": "a", "title-": "x"}"#,
            "number+: patch_only;+selects: patch_only;title-: patch_only;",
        ),
        (
            r#"{"nope+": 1, "+": 1, "-": 1, "+number+": 1}"#,
            "nope+: unknown_field;+: unknown_field;-: unknown_field;+number+: unknown_field;",
        ),
        (r#"{"created": "2001-01-01"}"#, "created: read_only;"),
        (r#"{"sum": 1}"#, "sum: read_only;"),
        (r#"{"plus": null}"#, "plus: read_only;"),
        (r#"{"collectionId": "7", "collectionName": "things", "expand": {"x": [1]}, "bool": true}"#, "true"),
        (r#"{"id": "a/b"}"#, "id: bad_id;"),
        (r#"{"id": ".."}"#, "id: bad_id;"),
        (r#"{"id": 5}"#, "id: wrong_type;"),
    ];
    for (body, expected) in table {
        assert_eq!(taken(&collection, body), expected, "{body}");
    }
    let long = format!(r#"{{"id": "{}"}}"#, "x".repeat(300));
    assert_eq!(taken(&collection, &long), "id: bad_id;");
}

#[test]
fn all_faults_come_in_one_answer_in_the_order_of_the_body() {
    let collection = collection(
        r#"{"name": "c", "fields": [
        {"name": "a", "type": "text", "required": true},
        {"name": "b", "type": "number", "required": true},
        {"name": "c", "type": "bool"},
        {"name": "d", "type": "email", "required": true}
    ]}"#,
    );
    let error = create(&collection, br#"{"x": 1, "d": "no", "c": 1, "a": ""}"#, made(), true).expect_err("refused");
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(
        faults(&error),
        [("x", "unknown_field"), ("d", "not_an_email"), ("c", "wrong_type"), ("a", "required"), ("b", "required")]
    );
    let many: String = (0..10_000).map(|n| format!("\"x{n}\": 1,")).collect();
    let error = create(&collection, format!("{{{many}\"y\":1}}").as_bytes(), made(), true).expect_err("refused");
    assert_eq!(error.field_faults().len(), limits::FAULTS_MAX);
}

#[test]
fn hostile_bodies_are_refused_with_their_place_and_nothing_panics() {
    let collection = every_type();
    let table: [(Vec<u8>, &str); 8] = [
        (b"".to_vec(), "bad_json"),
        (b"{\"number\": NaN}".to_vec(), "bad_json"),
        (b"{\"number\": Infinity}".to_vec(), "bad_json"),
        (b"{\"text\": \"\xc3\x28\"}".to_vec(), "bad_json"),
        (b"{} {}".to_vec(), "bad_json"),
        (b"[{}]".to_vec(), "not_an_object"),
        ([b"{\"json\":".to_vec(), b"[".repeat(10_000), b"]".repeat(10_000), b"}".to_vec()].concat(), "too_deep"),
        (b"{\"a\":".repeat(10_000), "too_deep"),
    ];
    for (body, code) in table {
        for result in [
            create(&collection, &body, made(), true),
            put(&collection, Some("x"), &body, None, false, made(), true),
            merge(&collection, &made(), &body, None, true),
        ] {
            let error = result.expect_err("refused");
            assert_eq!(error.code_str(), code, "{error}");
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }
}

#[test]
fn records_and_indexed_texts_are_bounded() {
    let collection = every_type();
    let body = |key: &str, length: usize| format!(r#"{{"{key}": "{}"}}"#, "x".repeat(length));
    assert!(create(&collection, body("key", limits::INDEXED_TEXT_BYTES_MAX).as_bytes(), made(), true).is_ok());
    assert_eq!(taken(&collection, &body("key", limits::INDEXED_TEXT_BYTES_MAX + 1)), "key: too_long_for_index;");
    assert!(create(&collection, body("note", limits::INDEXED_TEXT_BYTES_MAX + 1).as_bytes(), made(), true).is_ok());

    let unbounded = self::collection(r#"{"name": "c", "fields": [{"name": "t", "type": "text"}]}"#);
    assert!(create(&unbounded, body("t", limits::TEXT_CHARS_DEFAULT_MAX).as_bytes(), made(), true).is_ok());
    assert_eq!(taken(&unbounded, &body("t", limits::TEXT_CHARS_DEFAULT_MAX + 1)), "t: too_long;");

    let wide = self::collection(
        r#"{"name": "wide", "fields": [{"name": "a", "type": "json"}, {"name": "b", "type": "json"}]}"#,
    );
    let half = "x".repeat(limits::RECORD_BYTES_MAX / 2);
    let body = format!(r#"{{"a": "{half}", "b": "{half}"}}"#);
    assert_eq!(create(&wide, body.as_bytes(), made(), true).expect_err("refused").kind(), Kind::TooLarge);
    let fields: Fields =
        [(FieldId(1), Value::text(half.as_str())), (FieldId(2), Value::text(half.as_str()))].into_iter().collect();
    assert_eq!(check(&wide, &fields).expect_err("refused").kind(), Kind::TooLarge);
}

#[test]
fn an_id_comes_from_the_path_then_the_body_then_is_made() {
    let collection = every_type();
    let id = |result: Result<Op>| result.map(|op| op.id().to_string()).map_err(|error| error.to_string());
    assert_eq!(id(create(&collection, b"{}", made(), true)), Ok("made".into()));
    assert_eq!(id(create(&collection, br#"{"id": "own"}"#, made(), true)), Ok("own".into()));
    assert_eq!(id(create(&collection, br#"{"id": ""}"#, made(), true)), Ok("made".into()));
    assert_eq!(id(create(&collection, br#"{"id": null}"#, made(), true)), Ok("made".into()));
    assert_eq!(id(put(&collection, Some("p"), br#"{"id": "p"}"#, None, false, made(), true)), Ok("p".into()));
    assert_eq!(id(put(&collection, None, br#"{"id": "b"}"#, None, false, made(), true)), Ok("b".into()));
    assert_eq!(id(put(&collection, None, b"{}", None, false, made(), true)), Ok("made".into()));
    assert!(put(&collection, Some("p"), br#"{"id": "q"}"#, None, false, made(), true).is_err());
    let error = put(&collection, Some("a/b"), b"{}", None, false, made(), true).expect_err("refused");
    assert_eq!(error.code_str(), "bad_id");
    assert!(merge(&collection, &made(), br#"{"id": "made"}"#, None, true).is_ok());
    let error = merge(&collection, &made(), br#"{"id": "other"}"#, None, true).expect_err("refused");
    assert_eq!(faults(&error), [("id", "read_only")]);
}

#[test]
fn a_merge_patch_replaces_removes_and_merges() {
    let collection = collection(
        r#"{"name": "c", "fields": [
        {"name": "a", "type": "text", "required": true, "default": "x"},
        {"name": "b", "type": "number"},
        {"name": "j", "type": "json"}
    ]}"#,
    );
    let op = merge(&collection, &made(), br#"{"b": null, "j": {"x" : null, "y": [1, 2]}, "a": "new"}"#, None, true);
    let expected = Op::Merge {
        id: made(),
        patch: vec![(FieldId(2), Value::Null), (FieldId(1), Value::text("new"))],
        merges: vec![(FieldId(3), r#"{"x":null,"y":[1,2]}"#.into())],
        adjusts: Vec::new(),
        if_match: None,
    };
    assert_eq!(op.expect("taken"), expected);
    for body in [r#"{"a": null}"#, r#"{"a": ""}"#] {
        let error = merge(&collection, &made(), body.as_bytes(), None, true).expect_err("refused");
        assert_eq!(faults(&error), [("a", "required")]);
    }
    assert!(merge(&collection, &made(), b"{}", None, true).is_ok(), "nothing asked for, nothing missing");
}

#[test]
fn a_patch_may_add_to_a_field_and_take_from_it() {
    let collection = every_type();
    let told = |body: &str| match merge(&collection, &made(), body.as_bytes(), None, true) {
        Ok(Op::Merge { adjusts, .. }) => {
            let told = adjusts.iter().map(|adjust| {
                let mut by = Vec::new();
                write_value(&adjust.by, &mut by);
                format!("{} {:?} {};", adjust.field.0, adjust.way, String::from_utf8(by).expect("text"))
            });
            told.collect::<String>()
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => faults(&error).iter().map(|(field, code)| format!("{field}: {code};")).collect(),
    };
    let table = [
        (r#"{"number+": 1.5, "whole-": 1e3}"#, "3 Add 1.5;5 Take 1000;"),
        (r#"{"+number": -0.0}"#, "3 Prepend 0;"),
        // The result is what has bounds, not what is added.
        (r#"{"number+": 99999}"#, "3 Add 99999;"),
        (r#"{"whole-": -9223372036854775808}"#, "5 Take -9223372036854775808;"),
        (r#"{"selects+": "a"}"#, r#"9 Add ["a"];"#),
        (r#"{"+selects": ["b", "a", "b"]}"#, r#"9 Prepend ["b","a"];"#),
        (r#"{"relations-": ["x", "y", "z", "u", "v"]}"#, r#"11 Take ["x","y","z","u","v"];"#),
        (r#"{"selects+": []}"#, "9 Add [];"),
        (r#"{"whole+": 1.5}"#, "whole+: not_whole;"),
        (r#"{"whole+": 9223372036854775808}"#, "whole+: out_of_range;"),
        (r#"{"number+": 1e999}"#, "number+: out_of_range;"),
        (r#"{"number+": "1", "whole-": null}"#, "number+: wrong_type;whole-: wrong_type;"),
        (r#"{"number+": [1]}"#, "number+: wrong_type;"),
        (
            r#"{"selects+": "x", "relations+": ["a/b", 7]}"#,
            "selects+: not_a_value;relations+.0: bad_id;relations+.1: wrong_type;",
        ),
        (r#"{"selects+": null, "relations-": {"a": 1}}"#, "selects+: wrong_type;relations-: wrong_type;"),
        (
            r#"{"text+": "x", "select+": "new", "relation-": "x", "json+": 1, "bool-": true, "date+": 1}"#,
            "text+: not_addable;select+: not_addable;relation-: not_addable;json+: not_addable;bool-: not_addable;date+: not_addable;",
        ),
        // Also by another name of the field.
        (r#"{"title+": "x"}"#, "title+: not_addable;"),
        (r#"{"number": 1, "number+": 1}"#, "number+: duplicate_key;"),
        (r#"{"number+": 1, "number-": 1}"#, "number-: duplicate_key;"),
        (r#"{"+number": 1, "number+": 1, "number": 1}"#, "number+: duplicate_key;number: duplicate_key;"),
        (r#"{"created+": 1, "nope+": 1, "id+": "x"}"#, "created+: read_only;nope+: unknown_field;id+: unknown_field;"),
    ];
    for (body, expected) in table {
        assert_eq!(told(body), expected, "{body}");
    }
    let many: Vec<String> = (0..=limits::LIST_ITEMS_MAX).map(|n| format!("\"r{n}\"")).collect();
    assert_eq!(told(&format!(r#"{{"relations-": [{}]}}"#, many.join(","))), "relations-: too_many;");
}

#[test]
fn what_the_server_adds_is_decided_by_what_it_is_given() {
    let collection = collection(
        r#"{"name": "c", "fields": [
        {"name": "status", "type": "select", "values": ["new", "old"], "default": "new", "required": true},
        {"name": "tags", "type": "select", "values": ["a", "b"], "maxSelect": 2, "default": ["b"]},
        {"name": "n", "type": "number", "integer": true, "default": 9007199254740993},
        {"name": "f", "type": "number", "default": 1},
        {"name": "flag", "type": "bool", "default": false},
        {"name": "at", "type": "date", "default": "@now"},
        {"name": "on", "type": "date", "default": "2001-01-01"},
        {"name": "meta", "type": "json", "default": {"b": [1, 2], "a": "x"}},
        {"name": "created", "type": "autodate", "onCreate": true},
        {"name": "updated", "type": "autodate", "onCreate": true, "onUpdate": true},
        {"name": "touched", "type": "autodate", "onUpdate": true}
    ]}"#,
    );
    let mut fields = fields_of(create(&collection, b"{}", made(), true).expect("all is filled in"));
    enriched(&collection, None, &mut fields, NOW);
    check(&collection, &fields).expect("nothing is missing");
    let all = mask(&collection, "status,tags,n,f,flag,at,on,meta,created,updated,touched", false).expect("mask");
    let now = NOW.to_string();
    assert_eq!(
        shown(&collection, fields.clone(), &all),
        format!(
            concat!(
                r#"{{"status":"new","tags":["b"],"n":9007199254740993,"f":1,"flag":false,"at":"{now}","#,
                r#""on":"2001-01-01 00:00:00.000Z","meta":{{"b":[1,2],"a":"x"}},"#,
                r#""created":"{now}","updated":"{now}","touched":null}}"#
            ),
            now = now
        )
    );

    let later = Millis(NOW.0 + 5);
    let dates = mask(&collection, "status,created,updated,touched", false).expect("mask");
    let mut merged = fields.clone();
    merged.set(FieldId(2), Value::Null);
    dated(&collection, &fields, &mut merged, later);
    assert!(merged.get(FieldId(2)).is_null(), "a merge that asked for null gets null");
    let expected = format!(r#"{{"status":"new","created":"{now}","updated":"{later}","touched":"{later}"}}"#);
    assert_eq!(shown(&collection, merged, &dates), expected);

    let mut replaced = fields_of(put(&collection, Some("x"), b"{}", None, false, made(), true).expect("taken"));
    enriched(&collection, Some(&fields), &mut replaced, later);
    assert_eq!(shown(&collection, replaced, &dates), expected, "a replace keeps the date of the create");

    let given = br#"{"status": "old", "tags": ["a"], "n": 0, "flag": true}"#;
    let mut fields = fields_of(create(&collection, given, made(), true).expect("taken"));
    enriched(&collection, None, &mut fields, NOW);
    let some = mask(&collection, "status,tags,n,flag", false).expect("mask");
    assert_eq!(shown(&collection, fields, &some), r#"{"status":"old","tags":["a"],"n":0,"flag":true}"#);
}

#[test]
fn a_stored_record_is_checked_once_more() {
    let collection = collection(
        r#"{"name": "c", "fields": [
        {"name": "a", "type": "relation", "collection": "c", "maxSelect": 2, "required": true},
        {"name": "j", "type": "json", "maxSize": 5},
        {"name": "u", "type": "autodate", "onUpdate": true}
    ]}"#,
    );
    let fields: Fields =
        [(FieldId(1), Value::List(Vec::new())), (FieldId(2), Value::Json("[1,2,3]".into()))].into_iter().collect();
    let error = check(&collection, &fields).expect_err("refused");
    assert_eq!(faults(&error), [("a", "required"), ("j", "too_long")]);
    let fields: Fields = [(FieldId(1), Value::List(vec![Value::text("x")])), (FieldId(2), Value::Json("[1]".into()))]
        .into_iter()
        .collect();
    check(&collection, &fields).expect("sound");
}

#[test]
fn a_record_is_shown_as_far_as_its_mask() {
    let collection = every_type();
    let body = br#"{"text": "a\"\n\\b", "note": "secret", "number": 5.0, "relations": ["x"]}"#;
    let fields = fields_of(create(&collection, body, made(), true).expect("taken"));
    let everything = shown(&collection, fields.clone(), &Mask::all(true));
    let start =
        r#"{"id":"made","collectionId":"7","collectionName":"things","text":"a\"\n\\b","code":null,"number":5,"#;
    assert!(everything.starts_with(start), "{everything}");
    assert!(everything.contains(r#""note":"secret""#));
    assert!(!shown(&collection, fields.clone(), &Mask::all(false)).contains("note"));
    let table = [
        ("text", r#"{"text":"a\"\n\\b"}"#),
        ("number, id", r#"{"id":"made","number":5}"#),
        ("collectionName,collectionId", r#"{"collectionId":"7","collectionName":"things"}"#),
        ("relations,relations", r#"{"relations":["x"]}"#),
    ];
    for (names, expected) in table {
        let some = mask(&collection, names, false).expect("mask");
        assert_eq!(shown(&collection, fields.clone(), &some), expected);
    }
    assert_eq!(mask(&collection, "text,*", false).expect("mask"), Mask::all(false));
    assert_eq!(mask(&collection, "", true).expect("mask"), Mask::all(true));
    let hidden = mask(&collection, "note", false).expect_err("hidden").to_string();
    let unknown = mask(&collection, "nope", false).expect_err("unknown").to_string();
    assert_eq!(hidden.replace("note", "nope"), unknown, "a hidden field must look like an unknown one");
    assert!(mask(&collection, "note", true).is_ok());
}

#[test]
fn a_hidden_field_is_unknown_to_those_who_do_not_see_it() {
    let collection = collection(
        r#"{"name": "c", "fields": [
        {"name": "a", "type": "number"},
        {"name": "h", "type": "number", "hidden": true, "aliases": ["g"]},
        {"name": "d", "type": "number", "hidden": true, "required": true, "default": 1},
        {"name": "s", "type": "number", "hidden": true, "computed": "a"},
        {"name": "t", "type": "autodate", "hidden": true, "onCreate": true},
        {"name": "r", "type": "number", "hidden": true, "required": true}
    ]}"#,
    );
    let codes = |outcome: Result<Op>| match outcome {
        Ok(_) => String::new(),
        Err(error) => faults(&error).iter().map(|(field, code)| format!("{field}: {code};")).collect(),
    };
    for key in ["h", "g", "d", "s", "t", "h+", "+h", "d-", "g+", "s+"] {
        let unknown = format!("{key}: unknown_field;");
        let body = format!(r#"{{"r": 1, "{key}": 1}}"#);
        assert_eq!(codes(create(&collection, body.as_bytes(), made(), false)), unknown);
        assert_eq!(codes(put(&collection, Some("x"), body.as_bytes(), None, false, made(), false)), unknown);
        let body = format!(r#"{{"{key}": 1}}"#);
        assert_eq!(codes(merge(&collection, &made(), body.as_bytes(), None, false)), unknown);
        assert_ne!(codes(merge(&collection, &made(), body.as_bytes(), None, true)), unknown);
    }
    // No record is without it, so whoever makes one says what it is. What it became is not theirs.
    assert_eq!(codes(create(&collection, br#"{"r": 1}"#, made(), false)), "");
    assert_eq!(codes(create(&collection, b"{}", made(), false)), "r: required;");
    for key in ["r", "r+", "r-"] {
        let body = format!(r#"{{"{key}": 1}}"#);
        let refused = codes(merge(&collection, &made(), body.as_bytes(), None, false));
        assert_eq!(refused, format!("{key}: unknown_field;"));
    }
}
