//! Definitions as documents tell of them: the schema of a record, and TypeScript.

use super::*;

fn orders() -> Schema {
    let mut schema = schema();
    let body = r#"{"name": "order_items", "fields": [
        {"name": "user", "type": "relation", "collection": "users", "required": true, "aliases": ["user_id"]},
        {"name": "items", "type": "relation", "collection": "products", "maxSelect": 9},
        {"name": "status", "type": "select", "values": ["new", "it's \"paid\""], "required": true},
        {"name": "marks", "type": "select", "values": ["a", "b"], "maxSelect": 2},
        {"name": "total", "type": "number", "integer": true},
        {"name": "vat", "type": "number", "computed": "total * 2"},
        {"name": "secret", "type": "text", "hidden": true},
        {"name": "place", "type": "geoPoint"},
        {"name": "meta", "type": "json"},
        {"name": "updated", "type": "autodate", "onUpdate": true}
    ], "output": {"embed": {"user": ["id", "name"]}}}"#;
    let mut collection = parse(&schema, body.as_bytes(), NOW).expect("sound");
    collection.id = CollectionId(3);
    schema.put(collection);
    let body = r#"{"name": "members", "type": "auth", "fields": []}"#;
    let mut collection = parse(&schema, body.as_bytes(), NOW).expect("sound");
    collection.id = CollectionId(4);
    schema.put(collection);
    schema
}

#[test]
fn types_say_what_an_answer_has_and_what_makes_a_record() {
    let text = typescript(&orders(), false);
    let piece = |from: &str| {
        let at = text.find(from).unwrap_or_else(|| panic!("{from} is not in {text}"));
        text[at..].split("\n}\n").next().expect("an end").to_owned()
    };
    assert_eq!(
        piece("export interface OrderItemsRecord"),
        r#"export interface OrderItemsRecord extends Stored {
  /** Of users. */
  user: string | { id?: unknown; name?: unknown };
  /** Of products. */
  items: string[] | null;
  status: "new" | "it's \"paid\"";
  marks: ("a" | "b")[] | null;
  total: number | null;
  /** Computed: total * 2. */
  vat: number | null;
  /** Only superusers see it. */
  secret?: string | null;
  place: GeoPoint | null;
  meta: unknown | null;
  updated: Moment | null;"#
    );
    assert_eq!(
        piece("export interface OrderItemsCreate"),
        r#"export interface OrderItemsCreate {
  id?: string;
  user?: string | null;
  user_id?: string | null;
  items?: string[] | null;
  status: "new" | "it's \"paid\"";
  marks?: ("a" | "b")[] | null;
  total?: number | null;
  secret?: string | null;
  place?: GeoPoint | null;
  meta?: unknown | null;"#
    );
    let members = piece("export interface MembersRecord");
    assert!(!members.contains("password") && !members.contains("tokenKey"), "{members}");
    assert!(piece("export interface MembersCreate").contains("  password: string;\n  passwordConfirm?: string;"));
    assert!(piece("export interface Records").contains("  order_items: OrderItemsRecord;"));
}

#[test]
fn names_that_come_out_the_same_are_told_apart() {
    let mut schema = Schema::default();
    for (id, name) in [(1, "a_b"), (2, "aB"), (3, "AB"), (4, "_b"), (5, "Order"), (6, "order")] {
        let mut collection = parse_own(&schema, format!(r#"{{"name": "{name}", "fields": []}}"#).as_bytes(), NOW)
            .unwrap_or_else(|error| panic!("{name}: {error} {:?}", error.field_faults()));
        collection.id = CollectionId(id);
        schema.put(collection);
    }
    let text = typescript(&schema, true);
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("export interface ")?.split_once("Record extends"))
        .map(|found| found.0)
        .collect();
    let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert_eq!((names.len(), distinct.len()), (6, 6), "{names:?}");
}

#[test]
fn the_schema_of_a_record_has_null_where_a_value_may_be_missing_and_nothing_that_is_hidden() {
    let schema = orders();
    let collection = schema.find("order_items").expect("there");
    let seen = record_schema(&schema, collection, false);
    let properties = seen["properties"].as_object().expect("an object");
    assert!(!properties.contains_key("secret"));
    assert_eq!(properties["status"], serde_json::json!({"enum": ["new", "it's \"paid\""]}));
    assert_eq!(properties["total"], serde_json::json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}));
    assert_eq!(properties["user"]["anyOf"][0]["type"], "string");
    assert!(record_schema(&schema, collection, true)["properties"]["secret"].is_object());
    let members = record_schema(&schema, schema.find("members").expect("there"), true);
    for secret in ["password", "tokenKey"] {
        assert!(members["properties"].get(secret).is_none(), "{secret}");
    }
}
