//! The checker: what a server shows after a restart against what its clients were told before.
//!
//! It knows nothing of the inside. Its state is what the last check saw; the answers since, in the order of their
//! positions, have to lead from there to what is seen now, with only writes in doubt allowed to make a difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::load::{self, CODES, COLLECTIONS, IDS, Key, Kind, NUMBERS, ORDERS, Outcome, PARTS, Write, path, seq_of};
use crate::server::{self, Folder};
use crate::support::http::Client;

/// A record as it was seen: its tag, and its body without what is the same for all.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    etag: String,
    body: Value,
}

/// What is known of a server's folder.
#[derive(Default)]
pub(crate) struct World {
    state: BTreeMap<Key, Seen>,
    /// The highest position that was answered.
    answered: u64,
    /// Entries of the log that were compared with the answers.
    logged: u64,
    checks: u64,
    faults: Vec<String>,
}

impl World {
    /// Creates the collections in a new folder.
    pub(crate) fn define(&mut self, client: &mut Client) {
        for definition in load::definitions() {
            let answer = client.json("POST", "/api/collections", &definition.to_string()).expect("an answer");
            assert_eq!(answer.status, 201, "{}", answer.text());
            let seq = answer.header("millpond-seq").and_then(seq_of).expect("a position");
            assert!(seq > self.answered, "positions go up");
            (self.answered, self.logged) = (seq, seq);
        }
    }

    /// Compares a server that was started again with the writes since the last check; what is wrong, in words.
    pub(crate) fn check(&mut self, folder: &Folder, client: &mut Client, mut writes: Vec<Write>) -> Vec<String> {
        self.checks += 1;
        self.order_of_answers(&writes);
        self.answered = writes.iter().filter_map(Write::seq).fold(self.answered, u64::max);
        let seen = self.read_all(client);
        self.records(&writes, &seen);
        self.indexes(client, &seen);
        self.state = seen;
        writes.push(self.goes_on(client));
        self.log(folder, &writes);
        std::mem::take(&mut self.faults)
    }

    fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    /// No position twice, none that was given out before, and a write that began after another's answer comes later.
    fn order_of_answers(&mut self, writes: &[Write]) {
        let mut done: Vec<(&Write, u64)> = writes.iter().filter_map(|write| Some((write, write.seq()?))).collect();
        let distinct: BTreeSet<u64> = done.iter().map(|(_, seq)| *seq).collect();
        if distinct.len() < done.len() {
            self.fault("two writes were answered with one position");
        }
        if distinct.first().is_some_and(|first| *first <= self.answered) {
            self.fault(format!("position {:?} was answered after {}", distinct.first(), self.answered));
        }
        done.sort_by_key(|(write, _)| write.began);
        let mut by_end = done.clone();
        by_end.sort_by_key(|(write, _)| write.ended);
        let mut ended = by_end.iter().peekable();
        let mut last = 0;
        for (write, seq) in done {
            while let Some((_, before)) = ended.next_if(|(before, _)| before.ended < write.began) {
                last = last.max(*before);
            }
            if seq < last {
                self.fault(format!("{write:?} began after an answer at {last} and was given an earlier position"));
            }
        }
    }

    /// Each record: its answered writes follow from each other, and it is what the last of them, or one in doubt, left.
    fn records(&mut self, writes: &[Write], seen: &BTreeMap<Key, Seen>) {
        let mut by_key: BTreeMap<&Key, Vec<&Write>> = BTreeMap::new();
        for write in writes {
            by_key.entry(&write.key).or_default().push(write);
        }
        let keys: BTreeSet<&Key> = self.state.keys().chain(seen.keys()).chain(by_key.keys().copied()).collect();
        let mut faults = Vec::new();
        for key in keys {
            let writes = by_key.remove(key).unwrap_or_default();
            let doubts: Vec<&Write> = writes.iter().copied().filter(|write| write.is_in_doubt()).collect();
            let last = follow(self.state.get(key).cloned(), writes, !doubts.is_empty(), &mut faults);
            let now = seen.get(key);
            if now != last.as_ref() && !doubts.iter().any(|doubt| explains(doubt, last.as_ref(), now, doubts.len())) {
                faults.push(format!("{key:?} is {now:?}, was left as {last:?}; in doubt: {doubts:?}"));
            }
        }
        self.faults.append(&mut faults);
    }

    /// All records by one list, and each by itself: the two have to agree.
    fn read_all(&mut self, client: &mut Client) -> BTreeMap<Key, Seen> {
        let mut seen = BTreeMap::new();
        for (collection, name) in COLLECTIONS.iter().enumerate() {
            let items = list(client, collection, "");
            for item in &items {
                let key = (collection, item["id"].as_str().expect("an id").to_owned());
                let answer = client.get(&path(&key)).expect("an answer");
                let etag = answer.header("etag").unwrap_or_default().to_owned();
                if answer.status != 200 || answer.json() != *item {
                    self.fault(format!("{key:?} is listed as {item}, read as {} {}", answer.status, answer.text()));
                }
                if item["stamp"] != item["twin"] {
                    self.fault(format!("half a write: {item}"));
                }
                if seen.insert(key, Seen { etag, body: plain(item) }).is_some() {
                    self.fault(format!("{name}: listed twice: {item}"));
                }
            }
            for number in 0..IDS[collection] {
                let key = (collection, format!("{}{number:02}", &name[..1]));
                let status = client.get(&path(&key)).expect("an answer").status;
                if (status == 200) != seen.contains_key(&key) {
                    self.fault(format!("{key:?} is answered {status}, and listed: {}", seen.contains_key(&key)));
                }
            }
        }
        seen
    }

    /// Every list by an index is the list by a scan; unique values are; relations lead somewhere.
    fn indexes(&mut self, client: &mut Client, seen: &BTreeMap<Key, Seen>) {
        let parts = seen.iter().filter(|(key, _)| key.0 == PARTS).count();
        let codes: BTreeSet<String> =
            seen.iter().filter(|(key, _)| key.0 == PARTS).map(|(_, seen)| seen.body["code"].to_string()).collect();
        if codes.len() < parts {
            self.fault("a unique value is there twice");
        }
        for (key, order) in seen.iter().filter(|(key, _)| key.0 == ORDERS) {
            let part = order.body["part"].as_str().expect("a part").to_owned();
            if !seen.contains_key(&(PARTS, part)) {
                self.fault(format!("{key:?} points at nothing: {order:?}"));
            }
        }
        for number in 0..CODES {
            self.same(client, seen, PARTS, "code", &json!(format!("c{number:02}")));
        }
        for number in 0..IDS[PARTS] {
            self.same(client, seen, ORDERS, "part", &json!(format!("p{number:02}")));
        }
        for number in 0..NUMBERS {
            self.same(client, seen, PARTS, "n", &json!(number));
            self.same(client, seen, ORDERS, "n", &json!(number));
        }
        for collection in [PARTS, ORDERS] {
            let items = list(client, collection, "&filter=n%3E%3D5&sort=n");
            let numbers: Vec<u64> = items.iter().map(|item| item["n"].as_u64().expect("a number")).collect();
            let expected = seen.iter().filter(|(key, seen)| key.0 == collection && seen.body["n"].as_u64() >= Some(5));
            if !numbers.is_sorted() || numbers.len() != expected.count() {
                self.fault(format!("{}: n>=5 sorted by n gives {numbers:?}", COLLECTIONS[collection]));
            }
        }
    }

    fn same(&mut self, client: &mut Client, seen: &BTreeMap<Key, Seen>, collection: usize, field: &str, value: &Value) {
        let filter = match value {
            Value::String(text) => format!("&filter={field}%3D'{text}'"),
            other => format!("&filter={field}%3D{other}"),
        };
        let mut by_index: Vec<Value> = list(client, collection, &filter).iter().map(plain).collect();
        by_index.sort_by_key(|item| item["id"].to_string());
        let by_scan: Vec<&Value> = seen
            .iter()
            .filter(|(key, seen)| key.0 == collection && seen.body[field] == *value)
            .map(|(_, seen)| &seen.body)
            .collect();
        if !by_index.iter().eq(by_scan.iter().copied()) {
            let name = COLLECTIONS[collection];
            self.fault(format!("{name}: {field}={value} gives {by_index:?} by index and {by_scan:?} by scan"));
        }
    }

    /// The server takes writes again, at a position past all others, and refuses what the unique index forbids.
    fn goes_on(&mut self, client: &mut Client) -> Write {
        let stamp = format!("stamp:check:{}", self.checks);
        let fields = json!({"code": "check", "n": 0, "stamp": stamp, "twin": stamp});
        let now = std::time::Instant::now();
        let probe = Write {
            key: (PARTS, "check".to_owned()),
            kind: Kind::Put,
            fields: fields.as_object().expect("an object").clone(),
            if_match: None,
            idempotency_key: None,
            began: now,
            ended: now,
            outcome: Outcome::InDoubt,
        };
        let probe = load::send(client, probe, &mut self.faults);
        match &probe.outcome {
            Outcome::Done { seq, etag: Some(etag), body: Some(body), .. } => {
                if *seq <= self.answered {
                    self.fault(format!("a write after the restart was given {seq}, one before it {}", self.answered));
                }
                self.answered = self.answered.max(*seq);
                self.state.insert(probe.key.clone(), Seen { etag: etag.clone(), body: plain(body) });
            }
            other => self.fault(format!("the restarted server refused a write: {other:?}")),
        }
        let copy = json!({"id": "copy", "code": "check", "n": 0, "stamp": "refused", "twin": "refused"});
        let target = format!("/api/collections/{}/records", COLLECTIONS[PARTS]);
        let status = client.json("POST", &target, &copy.to_string()).expect("an answer").status;
        if status != 409 {
            self.fault(format!("a unique value was taken twice: {status}"));
        }
        probe
    }

    /// The log holds every answered write at its position and nothing that was refused, without a gap.
    fn log(&mut self, folder: &Folder, writes: &[Write]) {
        let data = folder.data();
        let from = (self.logged + 1).to_string();
        let print = server::run(&["log", "print", "--data", data.to_str().expect("a plain path"), "--from", &from]);
        if print.code != Some(0) {
            return self.fault(format!("log print: {print:?}"));
        }
        let mut answered: HashMap<u64, &Write> =
            writes.iter().filter_map(|write| Some((write.seq()?, write))).collect();
        let mut doubts: Vec<&Write> = writes.iter().filter(|write| write.is_in_doubt()).collect();
        for line in print.stdout.lines() {
            let entry: Value = serde_json::from_str(line).expect("a line of JSON");
            let seq = entry["position"].as_str().and_then(seq_of).expect("a position");
            if seq != self.logged + 1 {
                self.fault(format!("the log goes from {} to {seq}", self.logged));
            }
            self.logged = seq;
            match answered.remove(&seq) {
                Some(write) if is_of(write, &entry) => {}
                Some(write) => self.fault(format!("answered at {seq}: {write:?}, logged: {line}")),
                None => match doubts.iter().position(|write| is_of(write, &entry)) {
                    Some(at) => drop(doubts.swap_remove(at)),
                    None => self.fault(format!("logged, and neither answered nor in doubt: {line}")),
                },
            }
        }
        for write in answered.values() {
            self.fault(format!("answered and not in the log: {write:?}"));
        }
    }
}

/// Follows the answered writes of one record from what it was; what they leave.
fn follow(before: Option<Seen>, mut writes: Vec<&Write>, doubt: bool, faults: &mut Vec<String>) -> Option<Seen> {
    writes.retain(|write| write.seq().is_some());
    writes.sort_by_key(|write| write.seq());
    let mut now = before;
    for write in writes {
        let Outcome::Done { etag, body, .. } = &write.outcome else { continue };
        let exists = now.is_some();
        let possible = match write.kind {
            Kind::Create => !exists,
            Kind::Patch | Kind::Delete => exists,
            Kind::Put => true,
            Kind::Bad => false,
        };
        let condition = write.if_match.is_none() || now.as_ref().map(|seen| &seen.etag) == write.if_match.as_ref();
        if !(possible && condition || doubt) {
            faults.push(format!("answered, and can't have been: {write:?} on {now:?}"));
        }
        let after = etag.clone().zip(body.as_ref()).map(|(etag, body)| Seen { etag, body: plain(body) });
        if let Some(after) = &after {
            let mut expected = match (write.kind, now) {
                (Kind::Patch, Some(seen)) => seen.body,
                _ => json!({"id": write.key.1}),
            };
            for (name, value) in &write.fields {
                expected[name] = value.clone();
            }
            if after.body != expected && !(doubt && write.kind == Kind::Patch) {
                faults.push(format!("answered {} and not {expected}: {write:?}", after.body));
            }
        }
        now = after;
    }
    now
}

/// Whether a write in doubt, done after the last one that was answered, leaves what is seen now.
fn explains(doubt: &Write, last: Option<&Seen>, now: Option<&Seen>, doubts: usize) -> bool {
    // With several in doubt another may have come between.
    let alone = doubts == 1;
    let condition = doubt.if_match.is_none() || last.map(|seen| &seen.etag) == doubt.if_match.as_ref();
    let possible = match doubt.kind {
        Kind::Create => last.is_none(),
        Kind::Patch | Kind::Delete => last.is_some(),
        Kind::Put => true,
        Kind::Bad => return false,
    };
    if alone && !(condition && possible) {
        return false;
    }
    match now {
        None => doubt.kind == Kind::Delete,
        Some(now) => {
            let later = last.is_none_or(|last| seq_of(&now.etag) > seq_of(&last.etag));
            let sent = doubt.fields.iter().all(|(name, value)| now.body[name] == *value);
            let kept = doubt.kind != Kind::Patch
                || !alone
                || last.is_some_and(|last| {
                    let mut expected = last.body.clone();
                    for (name, value) in &doubt.fields {
                        expected[name] = value.clone();
                    }
                    expected == now.body
                });
            doubt.kind != Kind::Delete && later && sent && kept
        }
    }
}

/// Whether an entry of the log is what a write makes.
fn is_of(write: &Write, entry: &Value) -> bool {
    let changes = entry["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let change = match (changes, &write.idempotency_key) {
        ([change], None) => change,
        ([change, kept], Some(_)) if kept.get("Remembered").is_some() => change,
        _ => return false,
    };
    let (name, change) = change.as_object().and_then(|change| change.iter().next()).expect("a named change");
    let kind = match write.kind {
        Kind::Create => name == "Created",
        Kind::Put => name == "Created" || name == "Updated",
        Kind::Patch => name == "Updated",
        Kind::Delete => name == "Deleted",
        Kind::Bad => false,
    };
    let stamped = write.kind == Kind::Delete || change["after"].to_string().contains(&format!("\"{}\"", write.stamp()));
    kind && stamped && change["id"] == write.key.1.as_str()
}

/// All items of a list, which fit one page.
fn list(client: &mut Client, collection: usize, query: &str) -> Vec<Value> {
    let target = format!("/api/collections/{}/records?perPage=500{query}", COLLECTIONS[collection]);
    let answer = client.get(&target).expect("an answer");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    let mut page = answer.json();
    let Value::Array(items) = page["items"].take() else { panic!("{target}: no items") };
    assert_eq!(page["totalItems"], items.len(), "{target}: the total is what is there");
    items
}

/// A record without its collection and its nulls.
fn plain(record: &Value) -> Value {
    let mut record = record.as_object().expect("a record").clone();
    record.retain(|name, value| !value.is_null() && !name.starts_with("collection"));
    Value::Object(record)
}
