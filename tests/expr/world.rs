//! A small schema and records made at random, with many nulls and few different values, so that comparisons meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond::id::{CollectionId, FieldId, RecordId};
use millpond::model::definition;
use millpond::model::expr::{Caller, Input, Relations, Row, Scope};
use millpond::model::schema::{Collection, FieldKind, Schema};
use millpond::model::value::{Fields, Value};
use millpond::time::Millis;

use crate::naive::{self, V};
use crate::rng::Rng;

/// 2024-02-29 13:14:15.016Z
pub(crate) const NOW: Millis = Millis(1_709_212_455_016);

pub(crate) const TEXTS: [&str; 8] = ["", "a", "b", "Ab", "a b", "10%", "ä", "2001-01-01"];
pub(crate) const NUMBERS: [&str; 9] =
    ["0", "1", "2", "-1", "1.5", "2.0", "10", "9007199254740993", "9223372036854775807"];
const JSON: [&str; 6] = [
    r#"{"num":2,"text":"a","tags":["a","b"],"nums":[1,2.5],"flag":true}"#,
    r#"{"num":1.5,"text":"Ab","tags":[],"nums":[10],"flag":false}"#,
    r#"{"num":"a","text":5,"tags":"a","nums":null}"#,
    r#"{"num":null,"tags":[null,"b"],"nums":["x",1],"flag":"yes"}"#,
    "[1,2]",
    "5",
];

pub(crate) struct World {
    pub(crate) schema: Schema,
    pub(crate) orders: Arc<Collection>,
    pub(crate) users: [Arc<Collection>; 1],
    pub(crate) order: Fields,
    pub(crate) old: Option<Fields>,
    pub(crate) caller: Option<Fields>,
    pub(crate) body: Vec<(Box<str>, Value)>,
    pub(crate) query: Vec<(Box<str>, Box<str>)>,
    pub(crate) records: BTreeMap<(CollectionId, String), Arc<Fields>>,
}

const USERS: &str = r#"{"name": "users", "fields": [
    {"name": "name", "type": "text"},
    {"name": "age", "type": "number", "integer": true},
    {"name": "boss", "type": "relation", "collection": "users"},
    {"name": "roles", "type": "select", "values": ["a", "b"], "maxSelect": 2}]}"#;
const PRODUCTS: &str = r#"{"name": "products", "fields": [
    {"name": "title", "type": "text"},
    {"name": "price", "type": "number"},
    {"name": "maker", "type": "relation", "collection": "users"}]}"#;
const ORDERS: &str = r#"{"name": "orders", "fields": [
    {"name": "status", "type": "text"},
    {"name": "total", "type": "number"},
    {"name": "n", "type": "number", "integer": true},
    {"name": "active", "type": "bool"},
    {"name": "at", "type": "date"},
    {"name": "tags", "type": "select", "values": ["a", "b"], "maxSelect": 2},
    {"name": "user", "type": "relation", "collection": "users"},
    {"name": "items", "type": "relation", "collection": "products", "maxSelect": 3},
    {"name": "meta", "type": "json"}]}"#;

impl World {
    pub(crate) fn random(rng: &mut Rng) -> World {
        let mut schema = Schema::default();
        for (at, body) in [USERS, PRODUCTS, ORDERS].iter().enumerate() {
            let mut collection = definition::parse(&schema, body.as_bytes(), NOW).expect("a sound definition");
            definition::number(&mut collection, CollectionId(at as u32 + 1));
            schema.put(collection);
        }
        let find = |name: &str| schema.find(name).expect("a collection").clone();
        let (users, products, orders) = (find("users"), find("products"), find("orders"));
        let mut records = BTreeMap::new();
        for (collection, letter) in [(&users, "u"), (&products, "p")] {
            for at in 1..=3 {
                let fields = fields(rng, collection);
                records.insert((collection.id, format!("{letter}{at}")), Arc::new(fields));
            }
        }
        let order = fields(rng, &orders);
        let old = (!rng.once_in(4)).then(|| fields(rng, &orders));
        let caller = (!rng.once_in(4)).then(|| fields(rng, &users));
        let mut body = Vec::new();
        for field in &orders.fields {
            if rng.once_in(2) {
                body.push((field.name.clone(), value(rng, &field.name)));
            }
        }
        let query = if rng.once_in(3) { Vec::new() } else { vec![("min".into(), pick(rng, &NUMBERS).into())] };
        records.insert((orders.id, "o1".into()), Arc::new(order.clone()));
        World { schema, orders, users: [users], order, old, caller, body, query, records }
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { schema: &self.schema, collection: &self.orders, callers: &self.users, sees_hidden: false }
    }

    pub(crate) fn input(&self) -> Input<'_> {
        Input {
            now: NOW,
            method: "POST",
            caller: self
                .caller
                .as_ref()
                .map(|fields| Caller { collection: self.users[0].id, record: Row { id: "u1", fields } }),
            body: &self.body,
            query: &self.query,
            old: self.old.as_ref(),
        }
    }

    pub(crate) fn shown(&self) -> String {
        let of = |collection: &Collection, fields: &Fields| {
            let name = |id| collection.field_by_id(id).expect("a field").name.clone();
            fields.iter().map(|(id, value)| format!("    {}: {value:?}", name(id))).collect::<Vec<_>>().join("\n")
        };
        let mut text =
            format!("order:\n{}\nold: {:?}\ncaller: {:?}", of(&self.orders, &self.order), self.old, self.caller);
        text += &format!("\nbody: {:?}\nquery: {:?}", self.body, self.query);
        for ((id, name), fields) in &self.records {
            let collection = self.schema.get(*id).expect("a collection");
            text += &format!("\n{name}:\n{}", of(collection, fields));
        }
        text
    }
}

/// A world as plain maps.
pub(crate) struct Plain {
    records: naive::Records,
    order: naive::Row,
    old: Option<naive::Row>,
    caller: Option<naive::Row>,
    body: Vec<(String, V)>,
    query: Vec<(String, String)>,
    moments: Vec<(&'static str, V)>,
}

impl World {
    /// The same for the naive interpreter.
    pub(crate) fn plain(&self) -> Plain {
        let mut records = naive::Records::default();
        for collection in self.schema.iter() {
            let kind = |kind: &FieldKind| match kind {
                FieldKind::Relation { collection, .. } => {
                    let target = self.schema.get(*collection).expect("a collection");
                    naive::Kind::To(target.name.to_string(), kind.is_list())
                }
                other if other.is_list() => naive::Kind::List,
                _ => naive::Kind::One,
            };
            let kinds = collection.fields.iter().map(|field| (field.name.to_string(), kind(&field.kind)));
            records.kinds.insert(collection.name.to_string(), kinds.collect());
            let own = self.records.iter().filter(|((id, _), _)| *id == collection.id);
            let rows = own.map(|((_, id), fields)| (id.clone(), row(collection, fields)));
            records.rows.insert(collection.name.to_string(), rows.collect());
        }
        let date = |text| V::Date(Millis::parse(text).expect("a date").0);
        Plain {
            records,
            order: row(&self.orders, &self.order),
            old: self.old.as_ref().map(|fields| row(&self.orders, fields)),
            caller: self.caller.as_ref().map(|fields| row(&self.users[0], fields)),
            body: self.body.iter().map(|(name, value)| (name.to_string(), plain(value))).collect(),
            query: self.query.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect(),
            moments: vec![
                ("@todayStart", date("2024-02-29")),
                ("@yearEnd", date("2024-12-31 23:59:59.999")),
                ("@day", V::Int(29)),
                ("@year", V::Int(2024)),
            ],
        }
    }
}

impl Plain {
    pub(crate) fn case(&self) -> naive::Case<'_> {
        naive::Case {
            old: self.old.as_ref(),
            caller: ("users", "u1", self.caller.as_ref()),
            body: &self.body,
            query: &self.query,
            method: "POST",
            now: NOW,
            moments: &self.moments,
            ..naive::Case::of(&self.records, "orders", "o1", &self.order)
        }
    }
}

fn row(collection: &Collection, fields: &Fields) -> naive::Row {
    let name = |id| collection.field_by_id(id).expect("a field").name.to_string();
    fields.iter().map(|(id, value)| (name(id), plain(value))).collect()
}

fn plain(value: &Value) -> V {
    match value {
        Value::Null => V::Null,
        Value::Bool(flag) => V::Bool(*flag),
        Value::Int(int) => V::Int(*int),
        Value::Number(number) => V::Number(*number),
        Value::Text(text) => V::Text(text.to_string()),
        Value::Date(at) => V::Date(at.0),
        Value::List(items) => V::List(items.iter().map(plain).collect()),
        Value::Json(text) => naive::json(serde_json::from_str(text).expect("json")),
        Value::Point(..) => panic!("no field is a point"),
    }
}

/// A naive value as the server has it.
pub(crate) fn stored(v: V) -> Value {
    match v {
        V::Null => Value::Null,
        V::Bool(flag) => Value::Bool(flag),
        V::Int(int) => Value::Int(int),
        V::Number(number) => Value::Number(number),
        V::Text(text) => Value::text(text),
        V::Date(at) => Value::Date(Millis(at)),
        V::List(items) => Value::List(items.into_iter().map(stored).collect()),
        V::Object(object) => Value::Json(object.to_string().into()),
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

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.below(from.len() as u64) as usize]
}

fn fields(rng: &mut Rng, collection: &Collection) -> Fields {
    collection.fields.iter().map(|field| (field.id, value(rng, &field.name))).collect()
}

/// A value for the field of that name, null once in four times.
fn value(rng: &mut Rng, name: &str) -> Value {
    if rng.once_in(4) {
        return Value::Null;
    }
    let several = |rng: &mut Rng, from: &[&str]| {
        let count = rng.below(3);
        Value::List((0..count).map(|_| Value::text(pick(rng, from))).collect())
    };
    match name {
        "total" | "price" => Value::Number(pick(rng, &NUMBERS[..7]).parse::<f64>().expect("a number") + 0.0),
        "n" | "age" => Value::Int([0, 1, 2, -1, 10, 9_007_199_254_740_993, i64::MAX][rng.below(7) as usize]),
        "active" => Value::Bool(rng.once_in(2)),
        "at" => Value::Date([Millis(978_307_200_000), NOW, Millis(-1), Millis(NOW.0 + 1)][rng.below(4) as usize]),
        "tags" | "roles" => several(rng, &["a", "b"]),
        "user" | "boss" | "maker" => Value::text(pick(rng, &["u1", "u2", "u3", "u9"])),
        "items" => several(rng, &["p1", "p2", "p3", "p9"]),
        "meta" => Value::Json(pick(rng, &JSON).into()),
        _ => Value::text(pick(rng, &TEXTS)),
    }
}
