//! The records as they must be: plain maps, changed as the contract says, listed by looking at all of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use millpond::model::expr::{self, Expr};
use millpond::time::Millis;
use serde_json::{Map, Value as Json, json};

use crate::definitions::{CHOICES, Definition, Holds, NAMES, TAGS};
use crate::naive::{self, Case, Records, Row, V};
use crate::support::rng::Rng;

/// Few different ones and some of them often, so that ties are many.
const TEXTS: [&str; 14] =
    ["a", "a", "a", "b", "b", "", "Ab", "a b", "10%", "ä", "it's", "alpha", "alphabet", "2001-01-01"];
const WHOLES: [i64; 14] = [0, 0, 1, 1, 1, 2, 2, 3, 7, -1, 10, 100, 9_007_199_254_740_993, i64::MAX];
const NUMBERS: [f64; 12] = [0.0, 0.0, 1.0, 1.0, 1.5, 2.0, 2.5, 10.0, -1.0, 0.1, 100.0, 1e300];
const DATES: [&str; 7] = [
    "2001-01-01",
    "2001-01-01 00:00:00.001Z",
    "2001-02-28 12:30:00.000Z",
    "2020-02-29",
    "1969-12-31 23:59:59.999Z",
    "2001-01-01",
    "2150-06-01 10:00:00Z",
];
const JSONS: [&str; 8] = [
    r#"{"num":2,"text":"a","tags":["a","b"],"nums":[1,2.5],"flag":true}"#,
    r#"{"num":1.5,"text":"Ab","tags":[],"nums":[10],"flag":false}"#,
    r#"{"num":"a","text":5,"tags":"a","nums":null}"#,
    r#"{"num":null,"tags":["b"],"nums":["x",1],"flag":"yes"}"#,
    r#"{"num":3}"#,
    "[1,2]",
    "5",
    "\"a\"",
];

/// A list as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) collection: &'static str,
    pub(crate) filter: String,
    /// By these, greatest first where so marked.
    pub(crate) sort: Vec<(&'static str, bool)>,
    /// By nobody, and not by a superuser.
    pub(crate) anonymous: bool,
}

/// A record's place in an order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place(Vec<(V, bool)>);

impl Place {
    /// Which comes first.
    pub(crate) fn order(&self, other: &Place) -> Ordering {
        let each = self.0.iter().zip(&other.0).map(|((a, descending), (b, _))| {
            let order = order(a, b);
            if *descending { order.reverse() } else { order }
        });
        each.fold(Ordering::Equal, Ordering::then)
    }
}

/// Null first; else both are of one kind.
fn order(a: &V, b: &V) -> Ordering {
    match (a, b) {
        (V::Null, V::Null) => Ordering::Equal,
        (V::Null, _) => Ordering::Less,
        (_, V::Null) => Ordering::Greater,
        (V::Bool(a), V::Bool(b)) => a.cmp(b),
        (V::Int(a), V::Int(b)) => a.cmp(b),
        (V::Number(a), V::Number(b)) => a.partial_cmp(b).expect("finite"),
        (V::Text(a), V::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (V::Date(a), V::Date(b)) => a.cmp(b),
        _ => panic!("no order of {a:?} and {b:?}"),
    }
}

/// A write, as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) method: &'static str,
    pub(crate) collection: &'static str,
    pub(crate) id: String,
    pub(crate) body: Map<String, Json>,
}

pub(crate) struct Model {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) records: Records,
    /// What nobody may view of it; made when it is asked for.
    seen: Option<Records>,
    /// The last answer, until something is written.
    last: Option<(Question, Answer)>,
}

/// The matches in order, with their places; `None` where the caller may not list at all.
pub(crate) type Answer = Option<Rc<Vec<(String, Place)>>>;

impl Model {
    pub(crate) fn new(definitions: Vec<Definition>) -> Model {
        let mut records = Records::default();
        for definition in &definitions {
            records.kinds.insert(definition.name.to_owned(), definition.kinds().collect());
            records.rows.insert(definition.name.to_owned(), BTreeMap::new());
        }
        Model { definitions, records, seen: None, last: None }
    }

    pub(crate) fn definition(&self, name: &str) -> &Definition {
        self.definitions.iter().find(|one| one.name == name).expect("one of the collections")
    }

    pub(crate) fn rows(&self, name: &str) -> &BTreeMap<String, Row> {
        &self.records.rows[name]
    }

    /// A record's fields, or an item of an answer, as the interpreter has them. What is null is left out.
    pub(crate) fn row(&self, name: &str, json: &Map<String, Json>) -> Row {
        let fields = self.definition(name).fields.iter();
        let values = fields.filter_map(|field| {
            let value = json.get(field.name).filter(|value| !value.is_null())?;
            Some((field.name.to_owned(), typed(field.holds, value)))
        });
        values.collect()
    }

    /// What a full scan gives.
    pub(crate) fn answer(&mut self, asked: &Question) -> Answer {
        match &self.last {
            Some((question, answer)) if question == asked => answer.clone(),
            _ => {
                let answer = self.scanned(asked).map(Rc::new);
                self.last = Some((asked.clone(), answer.clone()));
                answer
            }
        }
    }

    /// What a caller's own expressions look at of other records.
    pub(crate) fn sight(&mut self, anonymous: bool) -> &Records {
        if anonymous && self.seen.is_none() {
            self.seen = Some(self.seen_by_nobody());
        }
        if anonymous { self.seen.as_ref().expect("made") } else { &self.records }
    }

    fn scanned(&mut self, asked: &Question) -> Option<Vec<(String, Place)>> {
        if asked.anonymous && self.seen.is_none() {
            self.seen = Some(self.seen_by_nobody());
        }
        let definition = self.definition(asked.collection);
        let rule = match (asked.anonymous, &definition.list_rule) {
            (true, None) => return None,
            (true, Some(rule)) if !rule.is_empty() => Some(rule),
            _ => None,
        };
        let sight = if asked.anonymous { self.seen.as_ref().expect("made") } else { &self.records };
        let rule = rule.map(|text| parsed(text));
        let filter = (!asked.filter.is_empty()).then(|| parsed(&asked.filter));
        let holds = |records: &Records, condition: &Option<Expr<'_>>, id: &str, row: &Row| {
            condition
                .as_ref()
                .is_none_or(|condition| naive::holds_of(&case(records, asked.collection, id, row), condition))
        };
        let rows = self.rows(asked.collection).iter();
        let found = rows.filter(|(id, row)| holds(&self.records, &rule, id, row) && holds(sight, &filter, id, row));
        let mut found: Vec<_> = found.map(|(id, row)| (id.clone(), place(id, row, &asked.sort))).collect();
        found.sort_by(|(_, a), (_, b)| a.order(b));
        Some(found)
    }

    fn seen_by_nobody(&self) -> Records {
        let mut seen = Records { kinds: self.records.kinds.clone(), rows: BTreeMap::new() };
        for definition in &self.definitions {
            let name = definition.name;
            let rule = definition.view_rule.as_ref().filter(|rule| !rule.is_empty()).map(|rule| parsed(rule));
            let is_seen = |id: &str, row: &Row| match (&definition.view_rule, &rule) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(_), Some(rule)) => naive::holds_of(&case(&self.records, name, id, row), rule),
            };
            let rows = self.rows(name).iter().filter(|(id, row)| is_seen(id, row));
            seen.rows.insert(name.to_owned(), rows.map(|(id, row)| (id.clone(), row.clone())).collect());
        }
        seen
    }

    /// A write that fits the records as they are, most of them to be accepted.
    pub(crate) fn random_write(&self, rng: &mut Rng, collection: &'static str) -> Write {
        let rows = self.rows(collection);
        let what = rng.below(10);
        let known = any_key(rng, rows);
        let (method, id) = match (what, known) {
            (0..3, _) | (_, None) => ("POST", fresh_id(rng, rows)),
            (3, Some(id)) => ("PUT", id),
            (4 | 5, Some(id)) => ("DELETE", id),
            (_, Some(id)) => ("PATCH", id),
        };
        let mut write = Write { method, collection, id, body: Map::new() };
        if method != "DELETE" {
            write.body = self.random_body(rng, collection, method == "PATCH");
        }
        if method == "POST" {
            write.body.insert("id".into(), write.id.clone().into());
        }
        write
    }

    /// A new record.
    pub(crate) fn random_create(&self, rng: &mut Rng, collection: &'static str) -> Write {
        let id = fresh_id(rng, self.rows(collection));
        let mut body = self.random_body(rng, collection, false);
        body.insert("id".into(), id.clone().into());
        Write { method: "POST", collection, id, body }
    }

    fn random_body(&self, rng: &mut Rng, collection: &str, is_patch: bool) -> Map<String, Json> {
        let mut body = Map::new();
        for field in &self.definition(collection).fields {
            // A patch of json merges into what is there, which is another test's subject.
            let left_out = if is_patch { !rng.once_in(3) || field.holds == Holds::Json } else { rng.once_in(6) };
            if left_out || field.holds == Holds::Made {
                continue;
            }
            body.insert(field.name.into(), random_value(rng, field.holds, |rng, to| any_key(rng, self.rows(to))));
        }
        body
    }

    /// Whether a unique index lets a write in.
    pub(crate) fn is_accepted(&self, write: &Write) -> bool {
        let definition = self.definition(write.collection);
        let after = self.after(write);
        let Some(after) = after else { return true };
        definition.indexes.iter().filter(|index| index.unique).all(|index| {
            let values = |row: &Row| -> Option<Vec<V>> {
                index.fields.iter().map(|(name, _)| row.get(*name).cloned()).collect()
            };
            let Some(mine) = values(&after) else { return true };
            let others = self.rows(write.collection).iter().filter(|(id, _)| **id != write.id);
            let mut taken = others.filter_map(|(_, row)| values(row));
            !taken.any(|other| other == mine)
        })
    }

    /// The record that a write makes; `None` of a deletion. What the server sets is not in it.
    fn after(&self, write: &Write) -> Option<Row> {
        let sent = self.row(write.collection, &write.body);
        let before = self.rows(write.collection).get(&write.id);
        match write.method {
            "DELETE" => None,
            "PATCH" => {
                let mut row = before.expect("a patched record is there").clone();
                row.retain(|name, _| !write.body.contains_key(name));
                row.extend(sent);
                Some(row)
            }
            _ => {
                let kept = before.and_then(|row| row.get("made"));
                Some(sent.into_iter().chain(kept.map(|made| ("made".to_owned(), made.clone()))).collect())
            }
        }
    }

    /// Carries out what was accepted. `made` is what the server set.
    pub(crate) fn apply(&mut self, write: &Write, made: Option<V>) {
        (self.seen, self.last) = (None, None);
        match self.after(write) {
            Some(mut row) => {
                if let ("POST", Some(made)) = (write.method, made) {
                    row.insert("made".into(), made);
                }
                self.rows_mut(write.collection).insert(write.id.clone(), row);
            }
            None => self.delete(write.collection, &write.id),
        }
    }

    fn rows_mut(&mut self, name: &str) -> &mut BTreeMap<String, Row> {
        self.records.rows.get_mut(name).expect("one of the collections")
    }

    /// With all that goes along; what stays lets go of what went.
    fn delete(&mut self, collection: &str, id: &str) {
        let mut gone = BTreeSet::new();
        let mut going = vec![(collection.to_owned(), id.to_owned())];
        while let Some((to, id)) = going.pop() {
            for name in NAMES {
                for field in self.definition(name).fields.clone() {
                    if !matches!(field.holds, Holds::One(target) | Holds::Many(target) if target == to) {
                        continue;
                    }
                    for (other, row) in self.rows_mut(name) {
                        let target = V::Text(id.clone());
                        let Some(value) = row.get_mut(field.name) else { continue };
                        match value {
                            V::List(items) if items.contains(&target) => {
                                items.retain(|item| *item != target);
                                // What let go of its last one is null, as one is that let go of its only one.
                                if items.is_empty() {
                                    row.remove(field.name);
                                }
                            }
                            // Once it is gone it is not met again, but in a circle.
                            one if *one == target && field.cascades => {
                                let falls = (name.to_owned(), other.clone());
                                going.extend((!gone.contains(&falls)).then_some(falls));
                            }
                            one if *one == target => drop(row.remove(field.name)),
                            _ => {}
                        }
                    }
                }
            }
            gone.insert((to, id));
        }
        for (name, id) in gone {
            self.rows_mut(&name).remove(&id);
        }
    }
}

fn case<'a>(records: &'a Records, collection: &'a str, id: &'a str, row: &'a Row) -> Case<'a> {
    // The dates are years away from it, on both sides.
    const NOW: Millis = Millis(1_800_000_000_000);
    Case { method: "GET", now: NOW, ..Case::of(records, collection, id, row) }
}

fn parsed(text: &str) -> Expr<'_> {
    expr::parse(text).unwrap_or_else(|fault| panic!("{text}\n{fault:?}"))
}

pub(crate) fn place(id: &str, row: &Row, sort: &[(&'static str, bool)]) -> Place {
    let value = |name: &str| match name {
        "id" => V::Text(id.to_owned()),
        name => row.get(name).cloned().unwrap_or(V::Null),
    };
    let last = sort.last().is_some_and(|(_, descending)| *descending);
    // No two have one id, so nothing behind it has a part in the order.
    let keys = sort.iter().copied().take_while(|(name, _)| *name != "id");
    let by_id = sort.iter().find(|(name, _)| *name == "id").map_or(last, |(_, descending)| *descending);
    let keys = keys.chain([("id", by_id)]);
    Place(keys.map(|(name, descending)| (value(name), descending)).collect())
}

pub(crate) fn typed(holds: Holds, value: &Json) -> V {
    let text = || value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned();
    match holds {
        Holds::Text | Holds::Choice | Holds::One(_) => V::Text(text()),
        Holds::Whole => V::Int(value.as_i64().unwrap_or_else(|| panic!("{value} is not whole"))),
        Holds::Number => V::Number(value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))),
        Holds::Flag => V::Bool(value.as_bool().unwrap_or_else(|| panic!("{value} is no flag"))),
        Holds::Date | Holds::Made => V::Date(Millis::parse(&text()).expect("a date").0),
        Holds::Choices | Holds::Many(_) | Holds::Json => naive::json(value.clone()),
    }
}

/// A value for a field, null once in six times.
pub(crate) fn random_value(rng: &mut Rng, holds: Holds, id: impl Fn(&mut Rng, &'static str) -> Option<String>) -> Json {
    if rng.once_in(6) {
        return Json::Null;
    }
    match holds {
        Holds::Text => json!(pick(rng, &TEXTS)),
        Holds::Whole => json!(pick(rng, &WHOLES)),
        Holds::Number => json!(pick(rng, &NUMBERS)),
        Holds::Flag => json!(rng.once_in(3)),
        Holds::Date | Holds::Made => json!(pick(rng, &DATES)),
        Holds::Choice => json!(pick(rng, &CHOICES)),
        Holds::Choices => json!(some_of(rng, &TAGS)),
        Holds::One(to) => id(rng, to).map_or(Json::Null, Json::from),
        Holds::Many(to) => {
            let found: BTreeSet<String> = (0..rng.below(4)).filter_map(|_| id(rng, to)).collect();
            let mut found: Vec<String> = found.into_iter().collect();
            if rng.once_in(2) {
                found.reverse();
            }
            json!(found)
        }
        Holds::Json => serde_json::from_str(pick::<&str>(rng, &JSONS)).expect("json"),
    }
}

pub(crate) fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

fn some_of<'a>(rng: &mut Rng, from: &[&'a str]) -> Vec<&'a str> {
    let mut found: Vec<&str> = from.iter().copied().filter(|_| rng.once_in(2)).collect();
    if rng.once_in(2) {
        found.reverse();
    }
    found
}

pub(crate) fn any_key(rng: &mut Rng, rows: &BTreeMap<String, Row>) -> Option<String> {
    // Some are referred to by many.
    let among = if rng.once_in(2) { rows.len().min(5) } else { rows.len() };
    if among == 0 {
        return None;
    }
    rows.keys().nth(rng.below(among as u64) as usize).cloned()
}

/// Ids that are each other's beginnings, of all characters that an id may have.
fn fresh_id(rng: &mut Rng, rows: &BTreeMap<String, Row>) -> String {
    const LETTERS: [&str; 9] = ["a", "b", "A", "Z", "0", "9", "_", "-", "z"];
    loop {
        let id: String = (0..1 + rng.below(4)).map(|_| *pick(rng, &LETTERS)).collect();
        if !rows.contains_key(&id) {
            return id;
        }
    }
}

/// A literal that stands for a value in an expression.
pub(crate) fn literal(holds: Holds, value: &Json) -> String {
    match holds {
        Holds::Number => format!("{:?}", value.as_f64().expect("a number")),
        _ => match value {
            Json::String(text) if text.contains('\'') => format!("\"{text}\""),
            Json::String(text) => format!("'{text}'"),
            Json::Array(items) => {
                format!("[{}]", items.iter().map(|item| literal(Holds::Text, item)).collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        },
    }
}
