//! Clients that write the same few records at once, and remember what they were told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::support::ends::Ends;
use crate::support::http::{Answer, Client};
use crate::support::rng::Rng;

/// Clients at once: enough for several to stand in one group commit.
const CLIENTS: u64 = 6;
/// Records of a collection, so few that clients meet at each.
pub(crate) const IDS: [u64; 2] = [40, 80];
/// Values of the unique field: more than there are records, few enough to collide.
pub(crate) const CODES: u64 = 60;
/// Values of the indexed number.
pub(crate) const NUMBERS: u64 = 20;

/// Characters of the longest note.
pub(crate) const NOTE_MAX: u64 = 60_000;

/// The two collections, by their place in `COLLECTIONS`.
pub(crate) const PARTS: usize = 0;
pub(crate) const ORDERS: usize = 1;
pub(crate) const COLLECTIONS: [&str; 2] = ["parts", "orders"];

/// A record: collection and id.
pub(crate) type Key = (usize, String);

/// The definitions: a unique index, a relation that restricts, plain and compound indexes.
pub(crate) fn definitions() -> [Value; 2] {
    let common = [
        json!({"name": "n", "type": "number", "integer": true, "required": true}),
        json!({"name": "stamp", "type": "text", "required": true}),
        json!({"name": "twin", "type": "text", "required": true}),
        json!({"name": "note", "type": "text", "max": NOTE_MAX}),
    ];
    let with = |first: Value| std::iter::once(first).chain(common.clone()).collect::<Vec<_>>();
    [
        json!({"name": "parts", "type": "base",
            "fields": with(json!({"name": "code", "type": "text", "required": true})),
            "indexes": [{"name": "code", "fields": ["code"], "unique": true}, {"name": "by_n", "fields": ["n", "-stamp"]}]}),
        json!({"name": "orders", "type": "base",
            "fields": with(json!({"name": "part", "type": "relation", "collection": "parts", "required": true, "onDelete": "restrict"})),
            "indexes": [{"name": "by_part", "fields": ["part", "-n"]}, {"name": "by_n", "fields": ["n"]}]}),
    ]
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Put,
    Patch,
    Delete,
    /// A body that no server may take.
    Bad,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It was answered: here, with this tag and this body.
    Done { seq: u64, position: String, etag: Option<String>, body: Option<Value> },
    /// It was answered that nothing was changed.
    Refused,
    /// Nobody knows.
    InDoubt,
}

/// A write and its fate.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    /// What was sent; `stamp` and `twin` are the write's own and no other's.
    pub(crate) fields: Map<String, Value>,
    pub(crate) if_match: Option<String>,
    /// Its own and no other's, so that it can be asked for again when nobody knows what came of it.
    pub(crate) idempotency_key: Option<String>,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

impl Write {
    pub(crate) fn stamp(&self) -> &str {
        self.fields.get("stamp").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        matches!(self.outcome, Outcome::InDoubt)
    }

    /// Where it stands in the log, if it was answered so.
    pub(crate) fn seq(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Done { seq, .. } => Some(seq),
            _ => None,
        }
    }
}

/// All that the clients did, and what they saw that can't be.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) writes: Vec<Write>,
    pub(crate) faults: Vec<String>,
}

/// Number of the entry in a position's or a tag's text.
pub(crate) fn seq_of(text: &str) -> Option<u64> {
    text.trim_matches('"').rsplit('-').next()?.parse().ok()
}

pub(crate) fn path(key: &Key) -> String {
    format!("/api/collections/{}/records/{}", COLLECTIONS[key.0], key.1)
}

/// One stretch of work.
pub(crate) struct Load {
    /// Its number, part of every stamp.
    pub(crate) cycle: u64,
    /// The longest note.
    pub(crate) note_max: u64,
}

impl Load {
    /// Clients write until `during` is over, or until the server hangs up.
    pub(crate) fn run(&self, address: SocketAddr, rng: &mut Rng, during: impl FnOnce()) -> History {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let one = One {
                        client: Client::new(address),
                        rng: Rng::new(rng.next()),
                        name: format!("stamp:{}:{number}", self.cycle),
                        note_max: self.note_max,
                        tags: HashMap::new(),
                        history: History::default(),
                    };
                    scope.spawn(|| one.run(&stop))
                })
                .collect();
            let ends = Ends(&stop);
            during();
            drop(ends);
            let mut all = History::default();
            for client in clients {
                let mut one = client.join().expect("a client that ends well");
                all.writes.append(&mut one.writes);
                all.faults.append(&mut one.faults);
            }
            all
        })
    }
}

/// One client.
struct One {
    client: Client,
    rng: Rng,
    name: String,
    note_max: u64,
    tags: HashMap<Key, String>,
    history: History,
}

impl One {
    fn run(mut self, stop: &AtomicBool) -> History {
        while !stop.load(Ordering::Relaxed) {
            let write = self.choose();
            let write = send(&mut self.client, write, &mut self.history.faults);
            let (in_doubt, done) = (write.is_in_doubt(), write.seq().is_some());
            if let Outcome::Done { etag: Some(etag), .. } = &write.outcome {
                self.tags.insert(write.key.clone(), etag.clone());
            }
            self.history.writes.push(write);
            if in_doubt {
                break;
            }
            if (!done || self.rng.once_in(8)) && !self.read() {
                break;
            }
        }
        self.history
    }

    fn choose(&mut self) -> Write {
        let rng = &mut self.rng;
        let collection = rng.below(2) as usize;
        let key = (collection, format!("{}{:02}", &COLLECTIONS[collection][..1], rng.below(IDS[collection])));
        let kind = match rng.below(20) {
            0..=6 => Kind::Create,
            7..=8 => Kind::Put,
            9..=15 => Kind::Patch,
            16..=18 => Kind::Delete,
            _ => Kind::Bad,
        };
        let conditional = matches!(kind, Kind::Put | Kind::Patch | Kind::Delete) && rng.below(2) == 0;
        let if_match = if conditional { self.tags.get(&key).cloned() } else { None };
        let mut fields = Map::new();
        if kind != Kind::Delete {
            let stamp = format!("{}:{}", self.name, self.history.writes.len());
            fields.insert("stamp".to_owned(), json!(stamp));
            fields.insert("twin".to_owned(), json!(stamp));
            let whole = kind != Kind::Patch;
            if whole || rng.once_in(3) {
                fields.insert("n".to_owned(), json!(rng.below(NUMBERS)));
            }
            if whole || rng.once_in(4) {
                let (name, value) = match collection {
                    PARTS => ("code", format!("c{:02}", rng.below(CODES))),
                    // One in twenty names a part that never is.
                    _ => ("part", format!("p{:02}", rng.below(IDS[PARTS] + 2))),
                };
                fields.insert(name.to_owned(), json!(value));
            }
            if rng.once_in(2) {
                let length = rng.below(self.note_max) as usize;
                fields.insert("note".to_owned(), json!("m".repeat(length.max(1))));
            }
            if kind == Kind::Bad {
                fields.insert("n".to_owned(), json!("many"));
            }
        }
        let own = format!("{}:{}", self.name, self.history.writes.len());
        let idempotency_key = rng.once_in(2).then_some(own);
        let now = Instant::now();
        Write { key, kind, fields, if_match, idempotency_key, began: now, ended: now, outcome: Outcome::InDoubt }
    }

    /// Reads the record that was written last, at its position or later. False when the server is gone.
    fn read(&mut self) -> bool {
        let Some(write) = self.history.writes.last() else { return true };
        let (key, seq) = (write.key.clone(), write.seq());
        let headers = match &write.outcome {
            Outcome::Done { position, .. } => vec![("millpond-min-seq", position.as_str())],
            _ => Vec::new(),
        };
        let Ok(answer) = self.client.request("GET", &path(&key), &headers, None) else { return false };
        let tag = answer.header("etag").map(str::to_owned);
        match (answer.status, tag) {
            (200, Some(tag)) => {
                if seq_of(&tag) < seq {
                    self.history.faults.push(format!("read {tag} of {key:?} after it was written at {seq:?}"));
                }
                if answer.json()["stamp"] != answer.json()["twin"] {
                    self.history.faults.push(format!("half a write of {key:?}: {}", answer.text()));
                }
                self.tags.insert(key, tag);
            }
            (404 | 503, _) => {}
            (status, _) => self.history.faults.push(format!("read of {key:?}: {status} {}", answer.text())),
        }
        true
    }
}

/// Sends a write and notes its fate; an answer that the contract does not know is a fault.
pub(crate) fn send(client: &mut Client, mut write: Write, faults: &mut Vec<String>) -> Write {
    let mut body = write.fields.clone();
    let (method, target) = match write.kind {
        Kind::Create | Kind::Bad => {
            body.insert("id".to_owned(), json!(write.key.1));
            ("POST", format!("/api/collections/{}/records", COLLECTIONS[write.key.0]))
        }
        Kind::Put => ("PUT", path(&write.key)),
        Kind::Patch => ("PATCH", path(&write.key)),
        Kind::Delete => ("DELETE", path(&write.key)),
    };
    let mut headers = vec![("content-type", "application/json")];
    if let Some(tag) = &write.if_match {
        headers.push(("if-match", tag));
    }
    if let Some(key) = &write.idempotency_key {
        headers.push(("idempotency-key", key));
    }
    let body = Value::Object(body).to_string();
    let body = (write.kind != Kind::Delete).then_some(body.as_bytes());
    write.began = Instant::now();
    let answer = client.request(method, &target, &headers, body);
    write.ended = Instant::now();
    if let Ok(answer) = answer {
        match outcome(&write, &answer) {
            Ok(outcome) => write.outcome = outcome,
            Err(why) => faults.push(format!("{why}: {write:?} was answered {} {}", answer.status, answer.text())),
        }
    }
    write
}

/// Asks again for a write in doubt that bears a key: done before or now, it is done once, somewhere between its first
/// beginning and this end.
pub(crate) fn send_again(client: &mut Client, write: &mut Write, faults: &mut Vec<String>) {
    let began = write.began;
    *write = send(client, write.clone(), faults);
    write.began = began;
    if write.is_in_doubt() {
        faults.push(format!("asked again, it is still in doubt: {write:?}"));
    }
}

fn outcome(write: &Write, answer: &Answer) -> Result<Outcome, &'static str> {
    let expected: &[u16] = match write.kind {
        Kind::Create => &[201, 409],
        Kind::Put => &[200, 201, 409, 412],
        Kind::Patch => &[200, 404, 409, 412],
        Kind::Delete => &[204, 404, 409, 412],
        Kind::Bad => &[400],
    };
    if answer.status == 503 {
        let unknown = answer.json()["code"] == "outcome_unknown";
        return Ok(if unknown { Outcome::InDoubt } else { Outcome::Refused });
    }
    if !expected.contains(&answer.status) {
        return Err("a status that the contract does not know here");
    }
    if answer.status >= 400 {
        return Ok(Outcome::Refused);
    }
    let position = answer.header("millpond-seq").ok_or("no Millpond-Seq")?.to_owned();
    let seq = seq_of(&position).ok_or("not a position")?;
    if write.kind == Kind::Delete {
        return Ok(Outcome::Done { seq, position, etag: None, body: None });
    }
    let etag = answer.header("etag").ok_or("no ETag")?.to_owned();
    if seq_of(&etag) != Some(seq) {
        return Err("the ETag is not the version that was written");
    }
    Ok(Outcome::Done { seq, position, etag: Some(etag), body: Some(answer.json()) })
}
