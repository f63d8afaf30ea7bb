//! Kills in the middle of the long works: imports, index builds, truncates, changes of the definition.
//!
//! One client does one thing after the other, so at most one is in doubt when the process dies. What the restarted
//! server shows is what was answered, with the one in doubt done, not done, or (an import) done as far as some line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kill_in_folders;
use crate::server::{self, Folder, Server};
use crate::support::http::{Answer, Client};
use crate::support::rng::Rng;

const COLLECTION: &str = "/api/collections/things";
const RECORDS: &str = "/api/collections/things/records";
/// Values of the number, so few that an index has many entries of each.
const NUMBERS: u64 = 30;
/// Lines of the longest import: several commands.
const LINES_MAX: u64 = 4_000;
/// Time at most before the process is killed.
const LIFE_MS: u64 = 700;
/// Time that a change of the definition may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kills of one folder.
const FOLDER_KILLS: u64 = 20;

/// What a record holds, whatever the definition makes of it.
#[derive(Clone, Debug, PartialEq)]
struct Thing {
    n: u64,
    code: String,
    extra: Option<String>,
}

/// What the definition is, of all that changes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Whether the number is called `m`.
    renamed: bool,
    /// Whether it is a text.
    text: bool,
    /// Whether it is indexed.
    by_n: bool,
    /// Whether there is a unique index on `code`.
    unique: bool,
    /// Whether there is a required field `extra` with a default.
    extra: bool,
}

#[derive(Clone, Debug)]
struct Model {
    shape: Shape,
    things: BTreeMap<String, Thing>,
    unique: Unique,
}

/// What is known of the unique index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unique {
    /// It is not there, or it holds.
    Settled,
    /// It may be building: what it refuses can't be told.
    Unknown,
    /// There were duplicates: it is to be taken away.
    Failed,
}

/// One thing to be done.
#[derive(Clone, Debug)]
enum Deed {
    /// Asks how the unique index is.
    Await,
    Import(Vec<(String, Thing)>),
    Truncate,
    Reshape(Shape),
    Create(String, Thing),
    Change(String, u64),
    Remove(String),
}

#[test]
fn long_works_survive_kill_9_as_far_as_they_were_answered() {
    kill_in_folders("L3", [10, 100, 500], FOLDER_KILLS, one_folder);
}

fn one_folder(rng: &mut Rng, kills: u64) -> Vec<String> {
    let folder = Folder::new("works");
    let shape = Shape { renamed: false, text: false, by_n: true, unique: false, extra: false };
    let mut model = Model { shape, things: BTreeMap::new(), unique: Unique::Settled };
    let mut server = Server::start(&folder);
    let first = server.client().json("POST", "/api/collections", &definition(shape).to_string()).expect("an answer");
    assert_eq!(first.status, 201, "{}", first.text());
    let mut faults = Vec::new();
    let mut number = 0;
    for _ in 0..kills {
        let doubt = live(rng, server, &mut model, &mut number, &mut faults);
        server = Server::start(&folder);
        settle(&mut server.client(), &mut model, doubt, &mut faults);
        if !faults.is_empty() {
            break;
        }
    }
    let said = server.said();
    server.stop();
    let check = server::check(&folder);
    if check.code != Some(0) || !check.stdout.contains("all is well") {
        faults.push(format!("millpond check: {check:#?}"));
    }
    if !faults.is_empty() {
        faults.push(format!("it said:\n{}", &said[said.len().saturating_sub(4_000)..]));
        folder.keep();
    }
    faults
}

/// Works until the process is killed; what was in doubt then.
fn live(rng: &mut Rng, server: Server, model: &mut Model, number: &mut u64, faults: &mut Vec<String>) -> Option<Deed> {
    let time = Duration::from_millis(rng.below(LIFE_MS) + 1);
    let mut client = server.client();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(time);
            server.kill();
        });
        loop {
            let deed = choose(rng, model, number);
            match send(&mut client, model, &deed) {
                Ok(answer) => answered(model, deed, &answer, faults),
                Err(_) => return Some(deed),
            }
            if !faults.is_empty() {
                return None;
            }
        }
    })
}

fn choose(rng: &mut Rng, model: &Model, number: &mut u64) -> Deed {
    let mut fresh = |rng: &mut Rng| {
        *number += 1;
        let extra = model.shape.extra.then(|| if rng.once_in(2) { "x" } else { "own" }.to_owned());
        (format!("t{number:07}"), Thing { n: rng.below(NUMBERS), code: format!("c{:05}", rng.below(60_000)), extra })
    };
    let known = |rng: &mut Rng| {
        let at = rng.below(model.things.len().max(1) as u64) as usize;
        model.things.keys().nth(at).cloned()
    };
    match model.unique {
        Unique::Settled => {}
        Unique::Unknown => return Deed::Await,
        Unique::Failed => return Deed::Reshape(Shape { unique: false, ..model.shape }),
    }
    match rng.below(20) {
        0..=3 => {
            let lines = rng.below(LINES_MAX) + 1;
            Deed::Import((0..lines).map(|_| fresh(rng)).collect())
        }
        4 if model.things.len() > 6_000 => Deed::Truncate,
        4..=10 => {
            let mut shape = model.shape;
            match rng.below(5) {
                0 => shape.renamed = !shape.renamed,
                1 => shape.text = !shape.text,
                2 => shape.by_n = !shape.by_n,
                3 => shape.unique = !shape.unique,
                _ => shape.extra = !shape.extra,
            }
            Deed::Reshape(shape)
        }
        11..=14 => {
            let (id, thing) = fresh(rng);
            Deed::Create(id, thing)
        }
        15..=17 => known(rng).map_or(Deed::Truncate, |id| Deed::Change(id, rng.below(NUMBERS))),
        _ => known(rng).map_or(Deed::Truncate, Deed::Remove),
    }
}

fn definition(shape: Shape) -> Value {
    let n = if shape.renamed { "m" } else { "n" };
    let kind = if shape.text { "text" } else { "number" };
    let mut fields = vec![
        json!({"name": n, "type": kind, "required": true}),
        json!({"name": "code", "type": "text", "required": true}),
    ];
    if !shape.text {
        fields[0]["integer"] = json!(true);
    }
    if shape.extra {
        fields.push(json!({"name": "extra", "type": "text", "required": true, "default": "x"}));
    }
    let mut indexes = Vec::new();
    if shape.by_n {
        indexes.push(json!({"name": "by_n", "fields": [n]}));
    }
    if shape.unique {
        indexes.push(json!({"name": "code", "fields": ["code"], "unique": true}));
    }
    json!({"name": "things", "type": "base", "fields": fields, "indexes": indexes})
}

/// The whole lists of the new definition, with the ids of the fields that stay.
fn change(client: &mut Client, to: Shape) -> std::io::Result<Value> {
    let stored = client.get(COLLECTION)?.json();
    let mut wanted = definition(to);
    let known = |name: &str| {
        let alias = if name == "m" || name == "n" { ["n", "m"] } else { [name, name] };
        let fields = stored["fields"].as_array().into_iter().flatten();
        fields.filter(|field| alias.iter().any(|alias| field["name"] == *alias)).map(|field| field["id"].clone()).next()
    };
    for field in wanted["fields"].as_array_mut().expect("a list") {
        if let Some(id) = known(field["name"].as_str().expect("a name")) {
            field["id"] = id;
        }
    }
    Ok(json!({"fields": wanted["fields"], "indexes": wanted["indexes"]}))
}

/// A thing as the API has it under a definition.
fn body(shape: Shape, id: &str, thing: &Thing) -> Value {
    let n = if shape.text { json!(thing.n.to_string()) } else { json!(thing.n) };
    let mut body = json!({"id": id, "code": thing.code});
    body[if shape.renamed { "m" } else { "n" }] = n;
    if shape.extra {
        body["extra"] = json!(thing.extra.as_deref().unwrap_or("x"));
    }
    body
}

fn send(client: &mut Client, model: &Model, deed: &Deed) -> std::io::Result<Answer> {
    let shape = model.shape;
    match deed {
        Deed::Await => client.get(COLLECTION),
        Deed::Import(lines) => {
            let mut text = String::new();
            for (id, thing) in lines {
                writeln!(text, "{}", body(shape, id, thing)).expect("room");
            }
            let headers = [("content-type", "application/x-ndjson")];
            client.request("POST", "/api/collections/things/import", &headers, Some(text.as_bytes()))
        }
        Deed::Truncate => client.request("DELETE", "/api/collections/things/truncate", &[], None),
        Deed::Reshape(to) => {
            let change = change(client, *to)?;
            client.json("PATCH", COLLECTION, &change.to_string())
        }
        Deed::Create(id, thing) => client.json("POST", RECORDS, &body(shape, id, thing).to_string()),
        Deed::Change(id, n) => {
            let n = if shape.text { json!(n.to_string()) } else { json!(n) };
            let name = if shape.renamed { "m" } else { "n" };
            client.json("PATCH", &format!("{RECORDS}/{id}"), &json!({ name: n }).to_string())
        }
        Deed::Remove(id) => client.request("DELETE", &format!("{RECORDS}/{id}"), &[], None),
    }
}

fn answered(model: &mut Model, deed: Deed, answer: &Answer, faults: &mut Vec<String>) {
    let (status, said) = (answer.status, answer.text().chars().take(400).collect::<String>());
    match (&deed, status) {
        (Deed::Await, 200) => model.unique = unique(&answer.json()),
        (Deed::Import(lines), 200) => {
            let counts = answer.json();
            // What a unique index refuses is told by line; nothing else is refused here.
            let refused = counts["refused"].as_u64().unwrap_or(u64::MAX);
            let created = counts["created"].as_u64().unwrap_or(u64::MAX);
            if created.saturating_add(refused) != lines.len() as u64 || refused > 0 && !model.shape.unique {
                return faults.push(format!("an import of {} lines: {said}", lines.len()));
            }
            let mut codes: BTreeSet<String> = model.things.values().map(|thing| thing.code.clone()).collect();
            for (id, thing) in lines {
                if codes.insert(thing.code.clone()) || !model.shape.unique {
                    model.things.insert(id.clone(), thing.clone());
                }
            }
        }
        (Deed::Reshape(_), 409 | 422) | (Deed::Create(..), 409) => {}
        (_, 200..=299) => apply(model, &deed),
        _ => faults.push(format!("{deed:?} was answered {status} {said}")),
    }
}

/// How the unique index is, by a definition.
fn unique(definition: &Value) -> Unique {
    let indexes = definition["indexes"].as_array().into_iter().flatten();
    match indexes.filter(|index| index["name"] == "code").map(|index| index["state"].as_str()).next() {
        Some(Some("building")) => Unique::Unknown,
        Some(Some("failed")) => Unique::Failed,
        _ => Unique::Settled,
    }
}

fn apply(model: &mut Model, deed: &Deed) {
    match deed {
        Deed::Await => {}
        Deed::Import(lines) => model.things.extend(lines.iter().cloned()),
        Deed::Truncate => model.things.clear(),
        Deed::Reshape(shape) => {
            if shape.extra != model.shape.extra {
                let extra = shape.extra.then(|| "x".to_owned());
                model.things.values_mut().for_each(|thing| thing.extra.clone_from(&extra));
            }
            if shape.unique && !model.shape.unique {
                model.unique = Unique::Unknown;
            } else if !shape.unique {
                model.unique = Unique::Settled;
            }
            model.shape = *shape;
        }
        Deed::Create(id, thing) => drop(model.things.insert(id.clone(), thing.clone())),
        Deed::Change(id, n) => {
            if let Some(thing) = model.things.get_mut(id) {
                thing.n = *n;
            }
        }
        Deed::Remove(id) => drop(model.things.remove(id)),
    }
}

/// Compares a restarted server with the model, and takes over what became of the deed in doubt.
fn settle(client: &mut Client, model: &mut Model, doubt: Option<Deed>, faults: &mut Vec<String>) {
    settled(client);
    let seen = all(client);
    let mut possible = vec![model.clone()];
    match doubt {
        Some(Deed::Import(lines)) => {
            let came = lines.iter().filter(|(id, _)| seen.contains_key(id)).count();
            let last = lines.iter().rposition(|(id, _)| seen.contains_key(id)).map_or(0, |last| last + 1);
            // Without a unique index nothing is left out in between.
            if came != last && !model.shape.unique {
                faults.push(format!("{came} of an import's lines are there, the last one is the {last}th"));
            }
            let mut after = model.clone();
            after.things.extend(lines.into_iter().filter(|(id, _)| seen.contains_key(id)));
            possible.push(after);
        }
        Some(deed) => {
            let mut after = model.clone();
            apply(&mut after, &deed);
            possible.push(after);
        }
        None => {}
    }
    let Some(found) = possible.iter().find(|model| shown(model) == seen) else {
        let wanted = shown(&possible[0]);
        let missing: Vec<_> = wanted.iter().filter(|(id, thing)| seen.get(*id) != Some(thing)).take(3).collect();
        let strange: Vec<_> = seen.iter().filter(|(id, thing)| wanted.get(*id) != Some(thing)).take(3).collect();
        return faults.push(format!(
            "{} records, expected {} in the shape {:?}; missing {missing:?}, strange {strange:?}",
            seen.len(),
            wanted.len(),
            model.shape
        ));
    };
    *model = found.clone();
    by_index(client, model, faults);
}

/// Waits until a change of the definition that was on its way has come to its end: a restart goes on with it.
fn settled(client: &mut Client) {
    let began = Instant::now();
    while !client.get(COLLECTION).expect("an answer").json()["changing"].is_null() {
        assert!(began.elapsed() < PATIENCE, "a definition keeps changing");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn shown(model: &Model) -> BTreeMap<String, Value> {
    model.things.iter().map(|(id, thing)| (id.clone(), body(model.shape, id, thing))).collect()
}

/// Every record, by pages.
fn all(client: &mut Client) -> BTreeMap<String, Value> {
    let mut seen = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{RECORDS}?perPage=1000&sort=id{cursor}")).expect("an answer").json();
        for item in page["items"].as_array().unwrap_or_else(|| panic!("no items: {page}")) {
            let mut item = item.as_object().expect("a record").clone();
            item.retain(|name, _| !name.starts_with("collection"));
            seen.insert(item["id"].as_str().expect("an id").to_owned(), Value::Object(item));
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

/// Filters by the number, whether its index is there, being built, or not.
fn by_index(client: &mut Client, model: &Model, faults: &mut Vec<String>) {
    let name = if model.shape.renamed { "m" } else { "n" };
    for n in 0..NUMBERS {
        let value = if model.shape.text { format!("'{n}'") } else { n.to_string() };
        let found = client.get(&format!("{RECORDS}?perPage=1&filter={name}%3D{value}")).expect("an answer").json();
        let wanted = model.things.values().filter(|thing| thing.n == n).count();
        if found["totalItems"] != wanted {
            faults.push(format!("{name}={value}: {} records, expected {wanted}: {found:.300}", found["totalItems"]));
        }
    }
}
