//! Documents about the API: whole in themselves, true of the server, and silent about collections to who may not know them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::accounts::{login, root, send, start};
use crate::support::http::Client;

const NOTES: &str = r#"{"name": "notes", "fields": [
    {"name": "title", "type": "text", "required": true, "min": 7, "max": 40},
    {"name": "rank", "type": "number", "integer": true, "min": 3, "max": 9},
    {"name": "kind", "type": "select", "values": ["a", "b"], "required": true},
    {"name": "marks", "type": "select", "values": ["x", "y"], "maxSelect": 2},
    {"name": "mail", "type": "email"}, {"name": "at", "type": "date", "required": true, "aliases": ["when"]},
    {"name": "site", "type": "url", "required": true}, {"name": "place", "type": "geoPoint", "required": true},
    {"name": "hush", "type": "text", "hidden": true},
    {"name": "twice", "type": "number", "computed": "rank * 2"}],
    "listRule": "", "viewRule": "", "createRule": ""}"#;
const MEMBERS: &str = r#"{"name": "members", "type": "auth", "fields": [{"name": "nick", "type": "text", "required": true}], "createRule": ""}"#;

fn document(client: &mut Client, token: &str) -> Value {
    let answer = send(client, token, "GET", "/api/openapi.json", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A server with two collections; its root's token.
fn defined() -> (crate::support::server::Running, Client, String) {
    let (server, mut client) = start();
    let root = root(&mut client);
    for definition in [NOTES, MEMBERS] {
        let made = send(&mut client, &root, "POST", "/api/collections", definition);
        assert_eq!(made.status, 201, "{}", made.text());
    }
    (server, client, root)
}

/// Calls `see` with every value in a document.
fn walk<'a>(value: &'a Value, see: &mut impl FnMut(&'a Value)) {
    see(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Object(map) => map.values().for_each(|item| walk(item, see)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole_and_names_every_collection() {
    let (_server, mut client, root) = defined();
    let document = document(&mut client, &root);
    assert_eq!(document["openapi"], "3.1.0");
    let mut dangling = BTreeSet::new();
    walk(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let path = reference.strip_prefix('#').expect("within the document");
            if document.pointer(path).is_none() {
                dangling.insert(reference);
            }
        }
    });
    assert_eq!(dangling, BTreeSet::new());
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let in_path: BTreeSet<&str> = path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        for (method, operation) in item.as_object().expect("operations") {
            assert!(ids.insert(operation["operationId"].as_str().expect("a name")), "{method} {path}");
            let given = operation["parameters"].as_array().into_iter().flatten();
            let given: BTreeSet<&str> =
                given.filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str()).collect();
            assert_eq!(given, in_path, "{method} {path}");
        }
    }
    for path in ["/api/collections/notes/records/{id}", "/api/collections/members/auth-with-password"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert!(document["paths"]["/api/collections/notes/auth-with-password"].is_null());
}

#[test]
fn an_example_of_a_create_and_one_of_a_patch_are_taken_by_the_server() {
    let (_server, mut client, root) = defined();
    let document = document(&mut client, &root);
    for collection in ["notes", "members"] {
        let path = format!("/api/collections/{collection}/records");
        let example = |path: &str, method: &str| {
            document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"].to_string()
        };
        let made = send(&mut client, &root, "POST", &path, &example(&path, "post"));
        assert_eq!(made.status, 201, "{}: {}", example(&path, "post"), made.text());
        let id = made.json()["id"].as_str().expect("an id").to_owned();
        let patch = example(&format!("{path}/{{id}}"), "patch");
        let changed = send(&mut client, &root, "PATCH", &format!("{path}/{id}"), &patch);
        assert_eq!(changed.status, 200, "{patch}: {}", changed.text());
    }
}

#[test]
fn every_parameter_that_is_told_of_is_known_to_its_call() {
    let (_server, mut client, root) = defined();
    let document = document(&mut client, &root);
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let parameter = match parameter["$ref"].as_str() {
                    Some(reference) => document.pointer(&reference[1..]).expect("resolved"),
                    None => parameter,
                };
                let streams = ["/api/realtime", "/api/ws"].contains(&path.as_str());
                if parameter["in"] != "query" || streams {
                    continue;
                }
                let name = parameter["name"].as_str().expect("a name");
                let path = path.replace("{collection}", "notes").replace("{id}", "one");
                let answer = send(&mut client, &root, &method.to_uppercase(), &format!("{path}?{name}="), "{}");
                let text = answer.text();
                assert!(
                    !text.contains("unknown_parameter") && !text.contains("not_known_yet"),
                    "{method} {path}: {text}"
                );
            }
        }
    }
}

#[test]
fn who_may_not_list_definitions_is_told_of_no_collection() {
    let (_server, mut empty) = start();
    let (_other, mut client, root) = defined();
    assert_eq!(document(&mut empty, ""), document(&mut client, ""));
    let member = r#"{"email": "ada@example.com", "password": "an open secret", "nick": "ada"}"#;
    let made = send(&mut client, &root, "POST", "/api/collections/members/records", member);
    assert_eq!(made.status, 201, "{}", made.text());
    let token = login(&mut client, "members", "ada@example.com", "an open secret");
    assert_eq!(document(&mut empty, ""), document(&mut client, &token));
    for (token, status) in [("", 401), (&*token, 403), (&*root, 200)] {
        let answer = send(&mut client, token, "GET", "/api/types.d.ts", "");
        assert_eq!(answer.status, status);
        assert_eq!(answer.text().contains("NotesRecord"), status == 200);
    }
}
