//! F10: handlers of the real binary, killed while they send and write: every change is sent, under one id and in the order
//! of its record, whatever the receivers do; and what a handler writes is written once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::server::{Folder, Server};
use crate::support::http::Client;
use crate::support::receiver::{Receiver, Reply, Told};
use crate::support::results;
use crate::support::rng::Rng;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const SETTINGS: [&str; 1] = ["--webhook-private-addresses"];
/// Time after which what has not come counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kills of one folder.
const FOLDER_KILLS: u64 = 20;
/// Writes between two kills, about; and the time they have.
const WRITES: u64 = 60;
const LOAD_MS: u64 = 250;
/// Records of each client.
const RECORDS: usize = 12;

/// A change: which record, and which of its rounds.
type Change = (String, i64);

fn post(client: &mut Client, target: &str, body: &Value) {
    let made = client.json("POST", target, &body.to_string()).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
}

fn hook(id: &str, url: &str) -> Value {
    json!({"id": id, "name": id, "kind": "webhook", "collections": ["orders"], "url": url, "secret": SECRET, "timeout": 1})
}

fn define(client: &mut Client, receivers: &[(&str, Receiver)]) {
    let round = json!({"name": "round", "type": "number", "integer": true});
    let text = json!({"name": "text", "type": "text"});
    post(client, "/api/collections", &json!({"name": "orders", "fields": [round, text]}));
    post(client, "/api/collections", &json!({"name": "audit", "fields": [round, text]}));
    post(client, "/api/collections", &json!({"name": "sums", "fields": [round]}));
    let handlers = "/api/collections/_handlers/records";
    for (id, receiver) in receivers {
        post(client, handlers, &hook(id, &receiver.url()));
    }
    let writes = |id: &str, target: &str, more: Value| {
        let mut handler =
            json!({"id": id, "name": id, "kind": "collection", "collections": ["orders"], "target": target});
        for (name, value) in more.as_object().expect("an object") {
            handler[name] = value.clone();
        }
        handler
    };
    post(client, handlers, &writes("audits", "audit", json!({"set": {"text": "id", "round": "round"}})));
    post(client, handlers, &writes("counts", "sums", json!({"key": "'all'", "set": {"round+": "1"}})));
}

/// Of each message the first try fails now and then, or hangs.
fn flaky() -> Receiver {
    let seen = Mutex::new(BTreeSet::new());
    Receiver::start(move |told| {
        let is_new = seen.lock().expect("no panic").insert(told.id().to_owned());
        match told.id().as_bytes().last() {
            Some(b'0'..=b'4') if is_new => Reply::Status(500),
            Some(b'5') if is_new => Reply::Hang,
            Some(b'6') if is_new => Reply::Close,
            _ => Reply::Status(200),
        }
    })
}

/// Writes records of its own until the server is killed or it has done enough; a record's next round only when the last
/// was answered.
fn load(address: SocketAddr, name: &str, rounds: &mut [u64], rng: &mut Rng) {
    let mut client = Client::new(address);
    for _ in 0..WRITES / 2 {
        let record = rng.below(rounds.len() as u64) as usize;
        let round = rounds[record];
        rounds[record] += 1;
        let target = format!("/api/collections/orders/records/{name}{record}");
        let body = format!(r#"{{"round":{round},"text":"some"}}"#);
        match client.json("PUT", &target, &body) {
            Ok(answer) => assert!(matches!(answer.status, 200 | 201 | 503), "{}", answer.text()),
            Err(_) => return,
        }
    }
}

/// All changes of a collection that the log has.
fn changes(client: &mut Client) -> BTreeSet<Change> {
    let (mut all, mut since) = (BTreeSet::new(), String::new());
    loop {
        let target = format!("/api/changes?collections=orders&limit=1000{since}");
        let page = client.get(&target).expect("an answer");
        assert_eq!(page.status, 200, "{}", page.text());
        let lines: Vec<Value> = page.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        all.extend(lines.iter().filter(|line| line["record"]["round"].is_i64()).map(|line| change(&line["record"])));
        let next = format!("&since={}", page.header("millpond-seq").expect("a position"));
        if lines.is_empty() && next == since {
            return all;
        }
        since = next;
    }
}

fn change(record: &Value) -> Change {
    let id = record["id"].as_str().or(record["text"].as_str()).expect("an id").to_owned();
    (id, record["round"].as_i64().expect("a number"))
}

fn taken(told: &[Told]) -> BTreeSet<Change> {
    let taken = told.iter().filter(|told| told.status == Some(200));
    taken.map(|told| change(&told.json()["data"]["record"])).collect()
}

/// What is wrong with what a receiver was told, in words.
fn faults_of(name: &str, told: &[Told], all: &BTreeSet<Change>) -> Vec<String> {
    let mut faults = Vec::new();
    let took = taken(told);
    let lost: Vec<&Change> = all.difference(&took).collect();
    if !lost.is_empty() {
        faults.push(format!("{name}: {} of {} were never sent: {lost:?}", lost.len(), all.len()));
    }
    let phantoms: Vec<&Change> = took.difference(all).collect();
    if !phantoms.is_empty() {
        faults.push(format!("{name}: sent and never there: {phantoms:?}"));
    }
    let mut messages: BTreeMap<Change, (&str, &[u8])> = BTreeMap::new();
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for one in told {
        let of = change(&one.json()["data"]["record"]);
        let message = (one.id(), &*one.body);
        match messages.insert(of.clone(), message) {
            Some(before) if before != message => faults.push(format!("{name}: {of:?} was sent in two ways")),
            Some(_) => {}
            None => {
                let (record, round) = of;
                if last.insert(record.clone(), round).is_some_and(|before| before > round) {
                    faults.push(format!("{name}: round {round} of {record} came after a later one"));
                }
            }
        }
    }
    let ids: BTreeSet<&str> = messages.values().map(|(id, _)| *id).collect();
    if ids.len() != messages.len() {
        faults.push(format!("{name}: {} messages have {} ids", messages.len(), ids.len()));
    }
    faults
}

/// What is wrong with what handlers wrote.
fn written(client: &mut Client, all: &BTreeSet<Change>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut audit = Vec::new();
    for page in 1.. {
        let target = format!("/api/collections/audit/records?perPage=500&page={page}");
        let page = client.get(&target).expect("an answer").json();
        let items = page["items"].as_array().expect("items").clone();
        if items.is_empty() {
            break;
        }
        audit.extend(items.iter().map(|item| {
            (item["text"].as_str().expect("a text").to_owned(), item["round"].as_i64().expect("a number"))
        }));
    }
    let once: BTreeSet<Change> = audit.iter().cloned().collect();
    if audit.len() != once.len() || once != *all {
        faults.push(format!(
            "the audit has {} lines, {} of them different, for {}",
            audit.len(),
            once.len(),
            all.len()
        ));
    }
    let sum = client.get("/api/collections/sums/records/all").expect("an answer").json()["round"].clone();
    if sum.as_u64() != Some(all.len() as u64) {
        faults.push(format!("the sum is {sum} for {}", all.len()));
    }
    let letters = client.get("/api/collections/_deadLetters/records").expect("an answer").json();
    if letters["totalItems"] != 0 {
        faults.push(format!("there are dead letters: {letters}"));
    }
    faults
}

/// A new folder, killed `kills` times: how many webhooks were to be sent, and what was wrong.
fn one_folder(rng: &mut Rng, kills: u64) -> (u64, Vec<String>) {
    let folder = Folder::new("handlers");
    let hanging = Receiver::start(|_| Reply::Hang);
    let receivers =
        [("good", Receiver::good()), ("flaky", flaky()), ("failing", Receiver::start(|_| Reply::Status(500)))];
    let start = || Server::try_start_with(&folder, &SETTINGS).unwrap_or_else(|ended| panic!("{ended:#?}"));
    let mut server = start();
    define(&mut server.client(), &receivers);
    post(&mut server.client(), "/api/collections/_handlers/records", &hook("hanging", &hanging.url()));
    let (mut ours, mut theirs) = ([0; RECORDS], [0; RECORDS]);
    for _ in 0..kills {
        let time = Duration::from_millis(rng.below(LOAD_MS) + 1);
        let (mut one, mut two) = (Rng::new(rng.below(u64::MAX)), Rng::new(rng.below(u64::MAX)));
        let address = server.address;
        std::thread::scope(|scope| {
            scope.spawn(|| load(address, "a", &mut ours, &mut one));
            scope.spawn(|| load(address, "b", &mut theirs, &mut two));
            std::thread::sleep(time);
            server.kill();
        });
        server = start();
    }
    let all = changes(&mut server.client());
    let told = |name: &str| receivers.iter().find(|(known, _)| *known == name).expect("a receiver").1.told();
    let began = Instant::now();
    let is_done = |client: &mut Client| {
        let sum = client.get("/api/collections/sums/records/all").expect("an answer").json_or_null();
        let audit = client.get("/api/collections/audit/records?perPage=1").expect("an answer").json();
        let counted = sum["round"].as_u64() >= Some(all.len() as u64);
        counted
            && audit["totalItems"].as_u64() >= Some(all.len() as u64)
            && ["good", "flaky"].iter().all(|name| taken(&told(name)).is_superset(&all))
    };
    while !is_done(&mut server.client()) && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut faults = written(&mut server.client(), &all);
    for name in ["good", "flaky"] {
        faults.append(&mut faults_of(name, &told(name), &all));
    }
    server.stop();
    if !faults.is_empty() {
        folder.keep();
    }
    (2 * all.len() as u64, faults)
}

#[test]
fn webhooks_are_sent_and_handlers_write_once_whatever_is_killed() {
    let (started, seed) = (Instant::now(), results::seed());
    let mut rng = Rng::new(seed);
    let (kills, wanted) = results::size((20, 1_000), (200, 10_000), (20_000, 1_000_000));
    let (mut killed, mut sent, mut faults) = (0, 0, Vec::new());
    while (killed < kills || sent < wanted) && faults.is_empty() {
        let (more, found) = one_folder(&mut rng, FOLDER_KILLS);
        killed += FOLDER_KILLS;
        sent += more;
        faults = found;
    }
    println!("{killed} kills, {sent} webhooks");
    results::record("F10", sent, faults.len() as u64, started, seed);
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
}

#[test]
fn a_webhook_goes_over_tls_to_whom_the_name_belongs_and_to_nobody_else() {
    let file = |name: &str| format!("{}/tests/kill/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let leaf = CertificateDer::from_pem_file(file("leaf.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .expect("a certificate and its key");
    let receiver = Receiver::start_over(Some(Arc::new(config)), |_| Reply::Status(200));
    let folder = Folder::new("tls");
    let server = Server::try_start_with(&folder, &SETTINGS).unwrap_or_else(|ended| panic!("{ended:#?}"));
    let mut client = server.client();
    post(&mut client, "/api/collections", &json!({"name": "orders", "fields": []}));
    let port = receiver.address.port();
    for (id, host) in [("right", "localhost"), ("wrong", "127.0.0.1")] {
        let url = format!("https://{host}:{port}/");
        post(&mut client, "/api/collections/_handlers/records", &hook(id, &url));
    }
    for n in 0..3 {
        post(&mut client, "/api/collections/orders/records", &json!({"id": format!("o{n}")}));
    }
    let mut until = |id: &str, is_it: fn(&Value) -> bool| {
        let began = Instant::now();
        loop {
            let status = client.get(&format!("/api/handlers/{id}/status")).expect("an answer").json();
            if is_it(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it never comes: {status}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until("right", |status| status["acknowledged"] == 3);
    let wrong = until("wrong", |status| status["failed"].as_u64() >= Some(3));
    assert!(wrong["lastError"].as_str().expect("a text").contains("TLS failed"), "{wrong}");
    assert_eq!((receiver.told().len(), &wrong["acknowledged"]), (3, &json!(0)));
    server.stop();
}
