//! J1: runs of jobs of the real binary, killed while they write and send, and while clients write to the same records: each
//! record is written to once by each run, and each chunk is sent at least once, always with the same id for the same range.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kill_in_folders;
use crate::server::{Folder, Server, check};
use crate::support::ends::Ends;
use crate::support::http::Client;
use crate::support::receiver::{Receiver, Reply};
use crate::support::results;
use crate::support::rng::Rng;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const SETTINGS: [&str; 1] = ["--webhook-private-addresses"];
/// Time after which a run counts as stuck: one of a million records takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);
/// Kills of one folder.
const FOLDER_KILLS: u64 = 20;
/// Time at most before the process is killed.
const LIFE_MS: u64 = 600;
const CLIENTS: u64 = 2;
const ITEMS: &str = "/api/collections/items/records";
const RUNS: &str = "/api/collections/_runs/records";
/// What clients add: what is left over it is what runs have added.
const CLIENTS_ADD: i64 = 1_000;

#[test]
fn a_run_that_is_killed_again_and_again_deals_with_each_record_once() {
    let items = results::size(3_000, 20_000, 1_000_000);
    kill_in_folders("J1", [8, 40, 200], FOLDER_KILLS, |rng, kills| one_folder(rng, kills, items));
}

fn post(client: &mut Client, target: &str, body: &Value) -> Value {
    let made = client.json("POST", target, &body.to_string()).expect("an answer");
    assert!(matches!(made.status, 201 | 202), "{}", made.text());
    made.json()
}

fn define(client: &mut Client, items: u64, rng: &mut Rng, receiver: &Receiver) {
    let n = json!({"name": "n", "type": "number", "integer": true});
    post(client, "/api/collections", &json!({"name": "items", "fields": [n]}));
    let lines: String = (0..items).map(|n| format!("{{\"id\":\"i{n:07}\",\"n\":0}}\n")).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let imported = client.request("POST", "/api/collections/items/import", &headers, Some(lines.as_bytes()));
    assert_eq!(imported.expect("an answer").status, 200);
    let jobs = "/api/collections/_jobs/records";
    let chunk = 50 + rng.below(1_000);
    let job = |name: &str, task: Value| {
        json!({"id": name, "name": name, "source": {"collection": "items"}, "task": task, "chunk": chunk,
            "parallel": 1 + chunk % 4, "secret": SECRET})
    };
    post(client, jobs, &job("adds", json!({"update": {"n": "n + 1"}})));
    post(client, jobs, &job("sends", json!({"webhook": {"url": receiver.url(), "timeout": 2}})));
}

/// Adds to records until it is over, or the server is gone.
fn load(address: SocketAddr, items: u64, over: &AtomicBool, rng: &mut Rng) {
    let mut client = Client::new(address);
    while !over.load(Ordering::Relaxed) {
        let target = format!("{ITEMS}/i{:07}", rng.below(items));
        if client.json("PATCH", &target, &format!(r#"{{"n+":{CLIENTS_ADD}}}"#)).is_err() {
            return;
        }
    }
}

fn run(client: &mut Client, id: &str) -> Value {
    client.get(&format!("{RUNS}/{id}")).expect("an answer").json()
}

fn one_folder(rng: &mut Rng, kills: u64, items: u64) -> Vec<String> {
    let folder = Folder::new("jobs");
    let mut server = Server::try_start_with(&folder, &SETTINGS).expect("a server");
    let seed = rng.next();
    // Some messages are not taken when they come first.
    let receiver = Receiver::start(move |told| {
        let number = told.body.len() as u64 ^ seed;
        if number.is_multiple_of(5)
            && told.header("webhook-timestamp").is_some_and(|at| at.ends_with(['1', '3', '5', '7']))
        {
            Reply::Status(503)
        } else {
            Reply::Status(200)
        }
    });
    define(&mut server.client(), items, rng, &receiver);
    let (mut adds, mut sends) = (Vec::<String>::new(), Vec::<String>::new());
    let mut killed = 0;
    loop {
        let mut client = server.client();
        for (name, all) in [("adds", &mut adds), ("sends", &mut sends)] {
            let is_over = match all.last() {
                None => true,
                Some(id) => run(&mut client, id)["active"].is_null(),
            };
            if is_over && killed < kills {
                all.push(
                    post(&mut client, &format!("/api/jobs/{name}/run"), &json!({}))["id"]
                        .as_str()
                        .expect("an id")
                        .to_owned(),
                );
            }
        }
        if killed == kills {
            break;
        }
        let over = AtomicBool::new(false);
        let address = server.address;
        std::thread::scope(|scope| {
            let _ends = Ends(&over);
            for _ in 0..CLIENTS {
                let (seed, over) = (rng.next(), &over);
                scope.spawn(move || load(address, items, over, &mut Rng::new(seed)));
            }
            std::thread::sleep(Duration::from_millis(rng.below(LIFE_MS)));
            server.kill();
        });
        killed += 1;
        server = Server::try_start_with(&folder, &SETTINGS).expect("a server");
    }
    let mut faults = Vec::new();
    let mut client = server.client();
    for id in adds.iter().chain(&sends) {
        let began = Instant::now();
        let mut last = run(&mut client, id);
        while !last["active"].is_null() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
            last = run(&mut client, id);
        }
        if (&last["state"], &last["done"], &last["failed"]) != (&json!("done"), &json!(items), &json!(0)) {
            faults.push(format!("a run ends otherwise: {last}"));
        }
    }
    faults.extend(counted(&mut client, items, adds.len() as i64));
    faults.extend(sent(&receiver, items, &sends));
    server.stop();
    let checked = check(&folder);
    if checked.code != Some(0) {
        faults.push(format!("{checked:#?}"));
    }
    if !faults.is_empty() {
        folder.keep();
    }
    faults
}

/// Each record was written to as often as there were runs.
fn counted(client: &mut Client, items: u64, runs: i64) -> Vec<String> {
    let exported = client.get("/api/collections/items/export").expect("an answer");
    let exported = exported.text();
    let (mut faults, mut count) = (Vec::new(), 0);
    for line in exported.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        count += 1;
        if record["n"].as_i64().is_none_or(|n| n % CLIENTS_ADD != runs) && faults.len() < 10 {
            faults.push(format!("after {runs} runs there is {record}"));
        }
    }
    if count != items {
        faults.push(format!("there are {count} records of {items}"));
    }
    faults
}

/// Each chunk came, and whatever bears its id has its records.
fn sent(receiver: &Receiver, items: u64, runs: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut chunks: BTreeMap<(String, u64), (String, Vec<String>)> = BTreeMap::new();
    for told in receiver.told() {
        let message = told.json();
        let data = &message["data"];
        let of = (data["run"].as_str().expect("a run").to_owned(), data["chunk"].as_u64().expect("a number"));
        let records = data["records"].as_array().expect("records").iter();
        let ids: Vec<String> = records.map(|record| record["id"].as_str().expect("an id").to_owned()).collect();
        let first = chunks.entry(of.clone()).or_insert_with(|| (told.id().to_owned(), ids.clone()));
        if *first != (told.id().to_owned(), ids) {
            faults.push(format!("chunk {of:?} came as another"));
        }
    }
    for run in runs {
        let of = chunks.range((run.clone(), 0)..=(run.clone(), u64::MAX));
        let count: usize = of.map(|(_, (_, ids))| ids.len()).sum();
        if count as u64 != items {
            faults.push(format!("run {run} sent {count} records of {items}"));
        }
    }
    faults
}
