//! What a collection is searched by: what is taken, what is refused and where, and what a change of the fields makes of it.

use super::*;

const FIELDS: &str = r#"{"name": "note", "type": "text"}, {"name": "page", "type": "editor"},
    {"name": "n", "type": "number"}, {"name": "tags", "type": "select", "values": ["a", "b"], "maxSelect": 2},
    {"name": "secret", "type": "text", "hidden": true}, {"name": "data", "type": "json"}"#;

fn with_search(search: &str) -> String {
    format!(r#"{{"name": "c", "fields": [{FIELDS}], "search": {search}}}"#)
}

#[test]
fn what_is_searched_is_read_and_written_back() {
    let body = with_search(r#"{"fields": {"note": {"language": "en", "boost": 2.5}, "secret": {}, "tags": null}}"#);
    assert_eq!(faults(&body), "", "null is as if it was not there");
    let body = with_search(
        r#"{"fields": {"note": {"language": "en", "boost": 2.5}, "secret": {}, "tags": {}}, "facets": ["tags", "n"]}"#,
    );
    let shown = serde_json::to_string(&read_back(&body)["search"]).expect("JSON");
    let expected = r#"{"fields":{"note":{"boost":2.5,"language":"en"},"secret":{"boost":1},"tags":{"boost":1}},"facets":["tags","n"]}"#;
    assert_eq!(shown, expected);
    assert!(read_back(r#"{"name": "c", "search": null}"#).get("search").is_none());
}

#[test]
fn faults_of_a_search_name_their_place() {
    let table = [
        ("5", "search: wrong_type;"),
        (r#"{"fields": {}}"#, "search.fields: required;"),
        (r#"{"fields": {"note": {}}, "nope": 1}"#, "search.nope: unknown_setting;"),
        (r#"{"fields": {"note": {}}, "state": "building"}"#, "search.state: read_only;"),
        (r#"{"fields": {"nope": {}}}"#, "search.fields.nope: unknown_field;"),
        (r#"{"fields": {"n": {}, "data": {}}}"#, "search.fields.n: not_here;search.fields.data: not_here;"),
        (r#"{"fields": {"note": {"boost": 0}}}"#, "search.fields.note.boost: out_of_range;"),
        (r#"{"fields": {"note": {"boost": 101}}}"#, "search.fields.note.boost: out_of_range;"),
        (r#"{"fields": {"note": {"language": "xx"}}}"#, "search.fields.note.language: unknown_language;"),
        (r#"{"fields": {"note": {"stem": true}}}"#, "search.fields.note.stem: unknown_setting;"),
        (r#"{"fields": {"note": {}}, "facets": ["nope"]}"#, "search.facets.0: unknown_field;"),
        (r#"{"fields": {"note": {}}, "facets": ["data"]}"#, "search.facets.0: not_here;"),
        (r#"{"fields": {"note": {}}, "facets": ["n", "n"]}"#, "search.facets.1: duplicate;"),
    ];
    for (search, expected) in table {
        assert_eq!(faults(&with_search(search)), expected, "{search}");
    }
    let many: Vec<String> = (0..=limits::SEARCH_FIELDS_MAX).map(|n| format!(r#""f{n}": {{}}"#)).collect();
    assert!(
        faults(&with_search(&format!(r#"{{"fields": {{{}}}}}"#, many.join(",")))).contains("search.fields: too_many")
    );
    let many = vec!["\"n\""; limits::SEARCH_FACETS_MAX + 1].join(",");
    let many = format!(r#"{{"fields": {{"note": {{}}}}, "facets": [{many}]}}"#);
    assert!(faults(&with_search(&many)).contains("search.facets: too_many"));
}

#[test]
fn a_search_stays_with_its_fields() {
    let schema = schema();
    let body = with_search(r#"{"fields": {"note": {"boost": 2}, "page": {}}, "facets": ["n"]}"#);
    let mut stored = parse(&schema, body.as_bytes(), NOW).expect("sound");
    number(&mut stored, CollectionId(3));
    let changed = |body: &str| {
        let change = change(&schema, &stored, body.as_bytes(), NOW).expect(body);
        let mut out = Vec::new();
        format(&schema, &change.collection, &Default::default(), &mut out);
        let whole: Json = serde_json::from_slice(&out).expect("JSON");
        whole.get("search").map(|search| serde_json::to_string(search).expect("JSON")).unwrap_or_default()
    };
    let kept = r#"{"fields":{"note":{"boost":2},"page":{"boost":1}},"facets":["n"]}"#;
    assert_eq!(changed(r#"{"listRule": ""}"#), kept);
    assert_eq!(changed(r#"{"search": null}"#), "");
    // A new type gives a field another id, and a new name none.
    let renamed =
        r#"{"fields": [{"id": "1", "name": "text", "type": "editor"}, {"id": "3", "name": "n", "type": "text"}]}"#;
    assert_eq!(changed(renamed), r#"{"fields":{"text":{"boost":2}},"facets":["n"]}"#);
    assert_eq!(changed(r#"{"fields": [{"id": "3", "name": "n", "type": "number"}]}"#), "", "no field of it is left");
    let refused = r#"{"fields": [{"id": "1", "name": "note", "type": "json"}]}"#;
    assert_eq!(
        change(&schema, &stored, refused.as_bytes(), NOW).expect_err("no words").field_faults()[0].field,
        "search.fields.note"
    );
}
