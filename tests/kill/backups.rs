//! F19: backups of the real binary under load, and folders made of them and of the archive: at any entry, each record is
//! what its client was told it was then, and all that is derived fits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::seq_of;
use crate::server::{Folder, Server, check, run};
use crate::support::ends::Ends;
use crate::support::http::Client;
use crate::support::results;
use crate::support::rng::Rng;

const NOTES: &str = "/api/collections/notes/records";
const PATIENCE: Duration = Duration::from_secs(60);
/// Restores of one folder.
const FOLDER_RESTORES: u64 = 10;
const CLIENTS: u64 = 3;
const RECORDS: u64 = 15;
/// Time of the load, ms.
const LOAD_MS: u64 = 1_500;

/// What clients were answered: of each record its round from an entry on; `None` where it went.
type History = BTreeMap<String, BTreeMap<u64, Option<i64>>>;

fn load(address: SocketAddr, name: u64, over: &AtomicBool, rng: &mut Rng) -> History {
    let (mut client, mut history, mut round) = (Client::new(address), History::new(), 0);
    while !over.load(Ordering::Relaxed) {
        let id = format!("c{name}r{}", rng.below(RECORDS));
        let target = format!("{NOTES}/{id}");
        round += 1;
        let goes = rng.once_in(6);
        let answer = if goes {
            client.request("DELETE", &target, &[], None)
        } else {
            client.json(
                "PUT",
                &target,
                &json!({"round": round, "text": "t".repeat(rng.below(300) as usize)}).to_string(),
            )
        };
        let answer = answer.expect("an answer");
        match answer.status {
            200 | 201 | 204 => {
                let seq = seq_of(answer.header("millpond-seq").expect("a position")).expect("a number");
                history.entry(id).or_default().insert(seq, (!goes).then_some(round));
            }
            404 if goes => {}
            _ => panic!("{}", answer.text()),
        }
    }
    history
}

/// What has to be there at an entry.
fn at(history: &History, seq: u64) -> BTreeMap<String, i64> {
    let then = |rounds: &BTreeMap<u64, Option<i64>>| rounds.range(..=seq).next_back().and_then(|(_, round)| *round);
    history.iter().filter_map(|(id, rounds)| then(rounds).map(|round| (id.clone(), round))).collect()
}

fn found(address: SocketAddr) -> BTreeMap<String, i64> {
    let list = Client::new(address).get(&format!("{NOTES}?perPage=1000&fields=id,round")).expect("an answer").json();
    let items = list["items"].as_array().expect("items");
    let pair =
        |item: &Value| (item["id"].as_str().expect("an id").to_owned(), item["round"].as_i64().expect("a round"));
    items.iter().map(pair).collect()
}

fn backups(address: SocketAddr) -> Vec<Value> {
    let list = Client::new(address).get("/api/backups").expect("an answer").json();
    list.as_array().expect("a list").clone()
}

fn define(address: SocketAddr) {
    let notes = json!({"name": "notes", "fields": [{"name": "round", "type": "number", "integer": true},
        {"name": "text", "type": "text"}], "indexes": [{"name": "r", "fields": ["round"]}]});
    let made = Client::new(address).json("POST", "/api/collections", &notes.to_string()).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
}

/// A folder that was written to while backups were made, and what its clients were told.
fn written(rng: &mut Rng) -> (Folder, PathBuf, History) {
    let folder = Folder::new("backed-up");
    let archive = folder.data().with_file_name("archive");
    let settings = ["--archive", archive.to_str().expect("a plain path")];
    let mut server = Server::try_start_with(&folder, &settings).expect("it starts");
    define(server.address);
    let mut history = History::new();
    for turn in 0..2 {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (address, ends) = (server.address, Ends(&over));
            let clients: Vec<_> = (0..CLIENTS)
                .map(|n| {
                    let (over, mut rng) = (&over, Rng::new(rng.next()));
                    scope.spawn(move || load(address, n, over, &mut rng))
                })
                .collect();
            for n in 0..3 {
                std::thread::sleep(Duration::from_millis(rng.below(LOAD_MS / 3)));
                let body = format!(r#"{{"name":"b{turn}{n}.snap"}}"#);
                let made = Client::new(address).json("POST", "/api/backups", &body).expect("an answer");
                assert_eq!(made.status, 204, "{}", made.text());
            }
            std::thread::sleep(Duration::from_millis(rng.below(LOAD_MS / 3)));
            drop(ends);
            for client in clients {
                for (id, rounds) in client.join().expect("no panic") {
                    history.entry(id).or_default().extend(rounds);
                }
            }
        });
        // The archive goes on from where it was.
        if turn == 0 {
            server.kill();
            server = Server::try_start_with(&folder, &settings).expect("it starts");
        }
    }
    server.stop();
    (folder, archive, history)
}

#[test]
fn a_folder_is_restored_to_any_entry_and_is_then_what_its_clients_were_told() {
    let (started, seed) = (Instant::now(), results::seed());
    let wanted = results::size(10, 50, 1_000);
    let mut rng = Rng::new(seed);
    let (mut done, mut faults) = (0, Vec::new());
    while done < wanted && faults.is_empty() {
        let (folder, archive, history) = written(&mut rng);
        let last = history.values().filter_map(|rounds| rounds.keys().next_back()).max().copied().expect("writes");
        let server = Server::start(&folder);
        let oldest = backups(server.address).iter().filter_map(|one| seq_of(one["position"].as_str()?)).min();
        let oldest = oldest.expect("backups");
        for n in 0..FOLDER_RESTORES {
            let seq = if n == 0 { last } else { oldest + rng.below(last - oldest + 1) };
            let restored = Folder::new("restored");
            let (from, archive) = (folder.data().join("backups"), archive.to_str().expect("a plain path"));
            let (from, data) = (from.to_str().expect("a plain path"), restored.data());
            let data = data.to_str().expect("a plain path");
            let ended =
                run(&["restore", "--from", from, "--archive", archive, "--at", &seq.to_string(), "--data", data]);
            assert_eq!(ended.code, Some(0), "entry {seq}: {ended:#?}");
            let server = Server::start(&restored);
            let (is, should) = (found(server.address), at(&history, seq));
            if is != should {
                faults
                    .push(format!("at entry {seq} (of {oldest} to {last}) there is {is:?}, and should be {should:?}"));
            }
            let made = Client::new(server.address).json("POST", NOTES, r#"{"round":1}"#).expect("an answer");
            assert_eq!(made.status, 201, "{}", made.text());
            server.stop();
            let checked = check(&restored);
            if checked.code != Some(0) {
                faults.push(format!("at entry {seq}: {checked:#?}"));
            }
            done += 1;
        }
    }
    results::record("F19", done, u64::from(!faults.is_empty()), started, seed);
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
}

/// By the API: the running server becomes what the backup says, and positions of what went are known no more.
#[test]
fn a_running_server_takes_a_backup_back_and_whoever_follows_it_is_the_same() {
    let folders = ["primary", "follower"].map(Folder::new);
    let server = Server::start(&folders[0]);
    define(server.address);
    let follower =
        Server::try_start_with(&folders[1], &["--follow", &format!("http://{}", server.address)]).expect("it starts");
    let mut client = server.client();
    let put = |client: &mut Client, id: &str| {
        client.json("PUT", &format!("{NOTES}/{id}"), r#"{"round":1}"#).expect("an answer")
    };
    put(&mut client, "kept");
    assert_eq!(client.json("POST", "/api/backups", r#"{"name":"one.snap"}"#).expect("an answer").status, 204);
    let gone = put(&mut client, "gone");
    let bytes = client.get("/api/backups/one.snap").expect("an answer").body;
    let upload = |client: &mut Client, name: &str, bytes: &[u8]| {
        let target = format!("/api/backups/upload?name={name}");
        client
            .request("POST", &target, &[("content-type", "application/octet-stream")], Some(bytes))
            .expect("an answer")
    };
    let bad = upload(&mut client, "bad.snap", &bytes[..bytes.len() - 1]);
    assert_eq!((bad.status, bad.json()["code"].clone()), (422, "bad_backup".into()), "{}", bad.text());
    assert_eq!(upload(&mut client, "two.snap", &bytes).status, 204);
    assert_eq!(client.request("DELETE", "/api/backups/one.snap", &[], None).expect("an answer").status, 204);
    let names: Vec<String> =
        backups(server.address).iter().map(|one| one["key"].as_str().expect("a key").to_owned()).collect();
    assert_eq!(names, ["two.snap"]);

    assert_eq!(client.json("POST", "/api/backups/two.snap/restore", "").expect("an answer").status, 204);
    let status = |address: SocketAddr, target: &str| Client::new(address).get(target).map_or(0, |answer| answer.status);
    let (kept, lost) = (format!("{NOTES}/kept"), format!("{NOTES}/gone"));
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "it never comes: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    for address in [server.address, follower.address] {
        until("it is restored", &|| status(address, &lost) == 404 && status(address, &kept) == 200);
    }
    let seq = gone.header("millpond-seq").expect("a position");
    let asked =
        Client::new(server.address).request("GET", &kept, &[("millpond-min-seq", seq)], None).expect("an answer");
    assert_eq!(asked.status, 412, "{}", asked.text());
    let again = put(&mut Client::new(follower.address), "again");
    assert_eq!(again.status, 201, "{}", again.text());
    follower.stop();
    server.stop();
    folders.iter().for_each(|folder| assert_eq!(check(folder).code, Some(0)));
}
