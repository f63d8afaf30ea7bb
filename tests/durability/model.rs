//! The reference: two collections as plain maps, and what each request does to them, written without a look at the
//! server's own rules.

use std::collections::BTreeMap;

use millpond::disk::sim::Rng;
use millpond::id::{FieldId, RecordId};
use millpond::model::command::{Command, Op, Write};
use millpond::model::guard::Guard;
use millpond::model::once::{Fingerprint, Keep, Once};
use millpond::model::schema::{Collection, Index, IndexField, IndexState};
use millpond::model::value::{Fields, Value};

use super::shapes::{self, Shape};

/// `a.name`, unique if set.
pub(crate) const NAME: FieldId = FieldId(1);
/// `a.n`, indexed.
pub(crate) const N: FieldId = FieldId(2);
/// `b.a`, a relation to `a` that cascades.
pub(crate) const A: FieldId = FieldId(1);
/// `b.text`.
pub(crate) const TEXT: FieldId = FieldId(2);

/// The definitions of the two, as a client writes them.
pub(crate) const DEFINITIONS: [&str; 2] = [
    r#"{"name":"a","type":"base","fields":[{"name":"name","type":"text"},{"name":"n","type":"number","integer":true}],
       "indexes":[{"name":"u","fields":["name"],"unique":true},{"name":"n","fields":["-n","name"]}]}"#,
    r#"{"name":"b","type":"base","fields":[{"name":"a","type":"relation","collection":"a","onDelete":"cascade"},
       {"name":"text","type":"text"}],"indexes":[]}"#,
];

/// One of the two collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    A,
    B,
}

/// A request, in the model's own words.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Create(Which, u8, Fields),
    Merge(Which, u8, FieldId, Value),
    Put(Which, u8, Fields),
    Delete(Which, u8),
}

/// A transaction, and the idempotency key it bears.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) requests: Vec<Request>,
    pub(crate) key: Option<u8>,
}

/// All records, what was done under each key, and the definitions that hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    /// In the form that all shapes have in common.
    pub(crate) records: BTreeMap<(Which, u8), Fields>,
    done: BTreeMap<u8, String>,
    pub(crate) shape: Shape,
}

/// What must come of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Refused,
    Done,
    /// It was done before.
    Replayed,
}

/// Ids there are.
pub(crate) const IDS: u8 = 8;

/// Keys there are.
const KEYS: u64 = 12;

impl Model {
    /// No records, in the shape of [`DEFINITIONS`].
    pub(crate) fn empty() -> Model {
        Model { records: BTreeMap::new(), done: BTreeMap::new(), shape: shapes::FIRST }
    }

    /// As [`Model::after`], of a transaction that may bear a key. Whether there is an entry of it: what bears a key has
    /// one also when it changes nothing.
    pub(crate) fn after_once(&self, transaction: &Transaction, unique_n: bool) -> (Expected, Option<Model>) {
        let Transaction { requests, key } = transaction;
        let body = format!("{requests:?}");
        match key.and_then(|key| self.done.get(&key)) {
            Some(done) if *done == body => return (Expected::Replayed, None),
            Some(_) => return (Expected::Refused, None),
            None => {}
        }
        let Some((mut next, changed)) = self.after(requests, unique_n) else { return (Expected::Refused, None) };
        if let Some(key) = key {
            next.done.insert(*key, body);
        }
        (Expected::Done, (changed || key.is_some()).then_some(next))
    }

    /// A transaction: the state after it and whether any request in it changed something (if only to change it back),
    /// or `None` if it must be refused.
    /// `unique_n`: whether no two records of `a` may have the same `n`.
    pub(crate) fn after(&self, requests: &[Request], unique_n: bool) -> Option<(Model, bool)> {
        let mut next = self.clone();
        let mut changed = false;
        for request in requests {
            let before = next.clone();
            if !next.take(request) || unique_n && next.has_twins() {
                return None;
            }
            changed |= next != before;
        }
        Some((next, changed))
    }

    /// Whether two records of `a` have the same `n`.
    pub(crate) fn has_twins(&self) -> bool {
        let all = self.records.iter().filter(|((which, _), _)| *which == Which::A).map(|(_, fields)| fields.get(N));
        let mut seen = Vec::new();
        all.filter(|n| !n.is_null()).any(|n| {
            let twin = seen.contains(&n);
            seen.push(n);
            twin
        })
    }

    /// What the records become once definitions of another shape hold; `None` where one stands against them.
    pub(crate) fn reshaped(&self, to: Shape) -> Option<Model> {
        let mut next = Model { shape: to, ..self.clone() };
        for ((which, _), fields) in &mut next.records {
            *fields = to.reshaped(self.shape, *which, fields)?;
        }
        Some(next)
    }

    /// Without the records of one collection, and those of `b` that point at one of `a`.
    pub(crate) fn emptied(&self, emptied: Which) -> Model {
        let mut next = self.clone();
        next.records.retain(|(which, _), fields| *which != emptied && (*which == Which::A || fields.get(A).is_null()));
        next
    }

    fn take(&mut self, request: &Request) -> bool {
        match request {
            Request::Create(which, id, fields) => {
                !self.records.contains_key(&(*which, *id)) && self.put(*which, *id, self.whole(*which, fields))
            }
            Request::Put(which, id, fields) => self.put(*which, *id, self.whole(*which, fields)),
            Request::Merge(which, id, field, value) => match self.records.get(&(*which, *id)) {
                Some(old) => {
                    let mut fields = old.clone();
                    if let Some(value) = self.shape.sent(*which, *field, value) {
                        fields.set(*field, value);
                    }
                    self.put(*which, *id, fields)
                }
                None => false,
            },
            Request::Delete(which, id) => {
                let there = self.records.remove(&(*which, *id)).is_some();
                if *which == Which::A {
                    let gone = Value::text(name(*id));
                    self.records.retain(|(which, _), fields| *which == Which::A || *fields.get(A) != gone);
                }
                there
            }
        }
    }

    /// A whole record that was sent.
    fn whole(&self, which: Which, fields: &Fields) -> Fields {
        self.shape.filled(which, self.shape.sent_whole(which, fields))
    }

    fn put(&mut self, which: Which, id: u8, fields: Fields) -> bool {
        let fits = match which {
            Which::A => {
                let name = fields.get(NAME);
                name.is_null()
                    || !self.records.iter().any(|((other, other_id), held)| {
                        *other == Which::A && *other_id != id && held.get(NAME) == name
                    })
            }
            Which::B => match fields.get(A).as_text() {
                Some(target) => self.records.keys().any(|(which, id)| *which == Which::A && name(*id) == target),
                None => true,
            },
        };
        if fits {
            self.records.insert((which, id), fields);
        }
        fits
    }
}

/// Adds an index to the definition of `a`, of one of five shapes.
pub(crate) fn add_index(to: &mut Collection, shape: u64) {
    let (fields, unique): (&[(FieldId, bool)], bool) = match shape {
        0 => (&[(N, false)], false),
        1 | 2 => (&[(N, false)], true),
        3 => (&[(NAME, true), (N, false)], true),
        _ => (&[(N, true), (NAME, true)], false),
    };
    to.last_index.0 += 1;
    let id = |field: &FieldId| shapes::id_in(to, *field).expect("they are never removed");
    let fields: Vec<IndexField> =
        fields.iter().map(|(field, descending)| IndexField { field: id(field), descending: *descending }).collect();
    to.indexes.push(Index {
        id: to.last_index,
        name: format!("x{}", to.last_index).into(),
        fields,
        unique,
        system: false,
        state: IndexState::Ready,
    });
}

/// The id's text.
pub(crate) fn name(id: u8) -> String {
    format!("id-{id}")
}

/// The id.
pub(crate) fn record_id(id: u8) -> RecordId {
    RecordId::new(&name(id)).expect("of the alphabet")
}

/// A request at random; about a third of them must be refused.
pub(crate) fn request(rng: &mut Rng) -> Request {
    let which = if rng.chance(60) { Which::A } else { Which::B };
    let id = rng.below(u64::from(IDS)) as u8;
    match rng.below(10) {
        0..=3 => Request::Create(which, id, fields(which, rng)),
        4..=5 => Request::Put(which, id, fields(which, rng)),
        6..=7 => {
            let (field, value) = change(which, rng);
            Request::Merge(which, id, field, value)
        }
        _ => Request::Delete(which, id),
    }
}

fn change(which: Which, rng: &mut Rng) -> (FieldId, Value) {
    match (which, rng.chance(50)) {
        (Which::A, true) => {
            (NAME, if rng.chance(30) { Value::Null } else { Value::text(format!("name-{}", rng.below(12))) })
        }
        (Which::A, false) => (N, Value::Int(rng.below(5) as i64)),
        (Which::B, true) => {
            (A, if rng.chance(30) { Value::Null } else { Value::text(name(rng.below(u64::from(IDS)) as u8)) })
        }
        (Which::B, false) => (TEXT, Value::text("x".repeat(rng.below(600) as usize))),
    }
}

fn fields(which: Which, rng: &mut Rng) -> Fields {
    [change(which, rng), change(which, rng)].into_iter().collect()
}

/// A transaction at random. One with a key is often one that was asked for before.
pub(crate) fn transaction(asked: &mut Vec<Transaction>, rng: &mut Rng) -> Transaction {
    let requests = (0..if rng.chance(75) { 1 } else { 1 + rng.below(3) }).map(|_| request(rng)).collect();
    if rng.chance(60) {
        return Transaction { requests, key: None };
    }
    if !asked.is_empty() && rng.chance(50) {
        return asked[rng.below(asked.len() as u64) as usize].clone();
    }
    let new = Transaction { requests, key: Some(rng.below(KEYS) as u8) };
    asked.push(new.clone());
    new
}

/// The command that asks the server for it.
pub(crate) fn command(collections: &[Collection; 2], shape: Shape, transaction: &Transaction) -> Command {
    let write = write(collections, shape, &transaction.requests);
    let Some(key) = transaction.key else { return write };
    let body = xxhash_rust::xxh3::xxh3_128(format!("{:?}", transaction.requests).as_bytes());
    let once = Once { key: Fingerprint([key; 16]), body: Fingerprint(body.to_be_bytes()) };
    Command::Once(once, Keep::All, Box::new(write))
}

fn write(collections: &[Collection; 2], shape: Shape, requests: &[Request]) -> Command {
    let whole = |which: Which, fields: &Fields| -> Fields {
        let definition = &collections[which as usize];
        let sent = shape.sent_whole(which, fields);
        sent.iter().filter_map(|(field, value)| shapes::encoded(definition, field, value)).collect()
    };
    let part = |which: Which, field: FieldId, value: &Value| {
        let sent = shape.sent(which, field, value)?;
        shapes::encoded(&collections[which as usize], field, &sent)
    };
    let write = |request: &Request| {
        let (which, op) = match request.clone() {
            Request::Create(which, id, fields) => {
                (which, Op::Create { id: record_id(id), fields: whole(which, &fields) })
            }
            Request::Merge(which, id, field, value) => (
                which,
                Op::Merge {
                    id: record_id(id),
                    patch: part(which, field, &value).into_iter().collect(),
                    merges: Vec::new(),
                    adjusts: Vec::new(),
                    if_match: None,
                },
            ),
            Request::Put(which, id, fields) => (
                which,
                Op::Put { id: record_id(id), fields: whole(which, &fields), if_match: None, create_only: false },
            ),
            Request::Delete(which, id) => (which, Op::Delete { id: record_id(id), if_match: None }),
        };
        let collection = &collections[which as usize];
        Write { collection: collection.id, schema: collection.version, guard: Guard::for_server(), op }
    };
    Command::Write(requests.iter().map(write).collect())
}
