//! Tests of the language, by tables: what is read, what is refused and where, what it gives of a record. Expressions
//! made at random are compared with a naive interpreter in `tests/expr`.

mod checker;
mod evaluator;
mod parser;
mod pieces;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::id::{CollectionId, FieldId, RecordId};
use crate::model::definition;
use crate::model::schema::{Collection, Schema};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

/// 2024-02-29 13:14:15.016Z, a Thursday.
const NOW: Millis = Millis(1_709_212_455_016);

/// Three collections, some records, and one order that is looked at.
struct World {
    schema: Schema,
    records: BTreeMap<(CollectionId, String), Arc<Fields>>,
}

const USERS: &str = r#"{"name": "users", "fields": [
    {"name": "name", "type": "text"},
    {"name": "age", "type": "number", "integer": true},
    {"name": "boss", "type": "relation", "collection": "users"},
    {"name": "roles", "type": "select", "values": ["admin", "staff"], "maxSelect": 2},
    {"name": "token", "type": "text", "hidden": true}]}"#;
const PRODUCTS: &str = r#"{"name": "products", "fields": [
    {"name": "title", "type": "text"},
    {"name": "price", "type": "number"},
    {"name": "maker", "type": "relation", "collection": "users"}]}"#;
const ORDERS: &str = r#"{"name": "orders", "fields": [
    {"name": "status", "type": "select", "values": ["new", "paid"]},
    {"name": "total", "type": "number"},
    {"name": "n", "type": "number", "integer": true},
    {"name": "active", "type": "bool"},
    {"name": "at", "type": "date"},
    {"name": "note", "type": "text"},
    {"name": "tags", "type": "select", "values": ["a", "b", "c"], "maxSelect": 3},
    {"name": "user", "type": "relation", "collection": "users"},
    {"name": "items", "type": "relation", "collection": "products", "maxSelect": 5},
    {"name": "meta", "type": "json"},
    {"name": "secret", "type": "text", "hidden": true},
    {"name": "empty", "type": "text"},
    {"name": "nothing", "type": "number"},
    {"name": "none", "type": "select", "values": ["a"], "maxSelect": 2}]}"#;

impl World {
    fn new() -> World {
        let mut schema = Schema::default();
        for (id, body) in [USERS, PRODUCTS, ORDERS].iter().enumerate() {
            let mut collection = match definition::parse(&schema, body.as_bytes(), NOW) {
                Ok(collection) => collection,
                Err(error) => panic!("{error:?}"),
            };
            definition::number(&mut collection, CollectionId(id as u32 + 1));
            schema.put(collection);
        }
        let mut world = World { schema, records: BTreeMap::new() };
        let text = |text: &str| Value::text(text);
        let list = |items: &[&str]| Value::List(items.iter().map(|item| Value::text(*item)).collect());
        world.put("users", "u1", [("name", text("Ann")), ("age", Value::Int(40)), ("roles", list(&["admin"]))]);
        world.put("users", "u2", [("name", text("Bob")), ("age", Value::Int(20)), ("boss", text("u1"))]);
        world.put("products", "p1", [("title", text("Pen")), ("price", Value::Number(2.5)), ("maker", text("u2"))]);
        world.put("products", "p2", [("title", text("Ink")), ("price", Value::Number(10.0)), ("maker", text("u1"))]);
        world.put("products", "p3", [("title", text("Nib"))]);
        let order = [
            ("status", text("paid")),
            ("total", Value::Number(120.5)),
            ("n", Value::Int(7)),
            ("active", Value::Bool(true)),
            ("at", Value::Date(Millis(978_307_200_000))),
            ("note", text("Two Pens, 50% off")),
            ("tags", list(&["a", "b"])),
            ("user", text("u2")),
            ("items", list(&["p1", "p2"])),
            (
                "meta",
                Value::Json(
                    r#"{"k":{"x":[1,2.5,"three",null,true]},"tags":["a","z"],"items":[{"q":1},{"q":5}],"t\"q":"\u00e9\"","big":9007199254740993}"#
                        .into(),
                ),
            ),
            ("secret", text("hush")),
        ];
        world.put("orders", "o1", order);
        world
    }

    fn put<const N: usize>(&mut self, collection: &str, id: &str, values: [(&str, Value); N]) {
        let collection = self.collection(collection);
        let of = |name: &str| collection.field(name).expect("a field").id;
        let fields: Fields = values.into_iter().map(|(name, value)| (of(name), value)).collect();
        let key = (collection.id, id.to_owned());
        self.records.insert(key, Arc::new(fields));
    }

    fn collection(&self, name: &str) -> Arc<Collection> {
        self.schema.find(name).expect("a collection").clone()
    }

    fn fields(&self, collection: &str, id: &str) -> Arc<Fields> {
        self.records[&(self.collection(collection).id, id.to_owned())].clone()
    }

    fn compile(&self, text: &str, sees_hidden: bool) -> Result<Program, Fault> {
        let (collection, callers) = (self.collection("orders"), [self.collection("users")]);
        let scope = Scope { schema: &self.schema, collection: &collection, callers: &callers, sees_hidden };
        Program::value_of(scope, text)
    }

    fn condition(&self, text: &str) -> Result<Program, Fault> {
        let (collection, callers) = (self.collection("orders"), [self.collection("users")]);
        Program::condition(
            Scope { schema: &self.schema, collection: &collection, callers: &callers, sees_hidden: false },
            text,
        )
    }

    /// The value for the order `o1`, asked for by `u1`.
    fn value(&self, text: &str) -> Result<Value, Fault> {
        let program = self.compile(text, false)?;
        let order = self.fields("orders", "o1");
        let caller = self.fields("users", "u1");
        let mut old = Fields::clone(&order);
        let of = |name: &str| self.collection("orders").field(name).expect("a field").id;
        old.set(of("status"), Value::text("new"));
        old.set(of("note"), Value::Null);
        let body = [
            (Box::from("status"), Value::text("paid")),
            (Box::from("total"), Value::Number(120.5)),
            (Box::from("n"), Value::Null),
            (Box::from("extra"), Value::Json(r#"{"a":[1,2]}"#.into())),
        ];
        let query = [(Box::from("min"), Box::from("100")), (Box::from("q"), Box::from("pen"))];
        let input = Input {
            now: NOW,
            method: "PATCH",
            caller: Some(Caller { collection: self.collection("users").id, record: Row { id: "u1", fields: &caller } }),
            body: &body,
            query: &query,
            old: Some(&old),
        };
        Ok(program.value(Row { id: "o1", fields: &order }, &input, self).expect("few steps"))
    }
}

impl Relations for World {
    fn record(&self, collection: CollectionId, id: &str) -> Option<Arc<Fields>> {
        self.records.get(&(collection, id.to_owned())).cloned()
    }

    fn referrers(
        &self,
        collection: CollectionId,
        field: FieldId,
        id: &str,
        max: usize,
    ) -> Vec<(RecordId, Arc<Fields>)> {
        let points = |fields: &Fields| fields.get(field).each().iter().any(|item| item.as_text() == Some(id));
        let found = self.records.iter().filter(|((of, _), fields)| *of == collection && points(fields));
        found.take(max).map(|((_, id), fields)| (RecordId::new(id).expect("an id"), fields.clone())).collect()
    }
}

/// Every row of a table that is not what it should be, at once.
fn assert_rows<'t>(rows: impl IntoIterator<Item = (&'t str, String, &'t str)>) {
    let wrong: Vec<String> = rows
        .into_iter()
        .filter(|(_, found, expected)| found != expected)
        .map(|(text, found, expected)| format!("{text}\n    is     {found}\n    wanted {expected}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
