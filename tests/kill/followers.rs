//! F8 and F9: a primary and its followers over ways that break, each of them killed now and then, under load. At the end all
//! hold the same, and every answered write; and what was answered survives that another takes the primary's place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Folder, Server};
use crate::support::ends::Ends;
use crate::support::http::Client;
use crate::support::proxy::Proxy;
use crate::support::results;
use crate::support::rng::Rng;

/// Time after which those who are not the same are said to differ.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rounds of one set of folders.
const FOLDER_ROUNDS: u64 = 10;
/// Time of a round, ms.
const ROUND_MS: u64 = 400;
const CLIENTS: u64 = 4;
const RECORDS: u64 = 20;
const NOTES: &str = "/api/collections/notes/records";

/// Of each record the last round that was answered, with its entry, and the last that was asked for.
#[derive(Default)]
struct Asked {
    answered: BTreeMap<String, (i64, u64)>,
    last: BTreeMap<String, i64>,
}

/// Clients that write until they are told to end, each records of its own, to a server that may go away.
fn load(address: &[SocketAddr], name: u64, asked: &mut Asked, over: &AtomicBool, rng: &mut Rng) {
    let mut clients: Vec<Client> = address.iter().map(|address| Client::new(*address)).collect();
    while !over.load(Ordering::Relaxed) {
        let id = format!("c{name}r{}", rng.below(RECORDS));
        let last = asked.last.entry(id.clone()).or_default();
        *last += 1;
        let text = "t".repeat(rng.below(200) as usize);
        let body = json!({"round": *last, "text": text}).to_string();
        let client = rng.below(clients.len() as u64) as usize;
        let answer = clients[client].json("PUT", &format!("{NOTES}/{id}"), &body);
        match answer {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                let seq = crate::load::seq_of(answer.header("millpond-seq").expect("a position")).expect("a number");
                asked.answered.insert(id, (*last, seq));
            }
            Ok(answer) => assert!(matches!(answer.status, 421 | 503), "{}", answer.text()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn status(address: SocketAddr) -> Value {
    let answer = Client::new(address).get("/api/replication");
    answer.ok().filter(|answer| answer.status == 200).map_or(Value::Null, |answer| answer.json())
}

/// Waits until a follower has all that its primary has; what differs, in words.
fn level(primary: SocketAddr, follower: SocketAddr) -> Vec<String> {
    let began = Instant::now();
    loop {
        let (one, other) = (status(primary), status(follower));
        let same = ["position", "chain", "digest"].iter().all(|part| one[part] == other[part]);
        if same && other["state"] == "following" {
            return Vec::new();
        }
        if began.elapsed() > PATIENCE {
            return vec![format!("they never come to be the same: {one} and {other}")];
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a server lacks of what was answered up to an entry, in words.
fn lacks(address: SocketAddr, asked: &[Asked], through: u64) -> Vec<String> {
    let mut client = Client::new(address);
    let list = client.get(&format!("{NOTES}?perPage=1000&fields=id,round")).expect("an answer").json();
    let items = list["items"].as_array().expect("items");
    let rounds: BTreeMap<&str, i64> = items
        .iter()
        .map(|item| (item["id"].as_str().expect("an id"), item["round"].as_i64().expect("a round")))
        .collect();
    let mut faults = Vec::new();
    for asked in asked {
        for (id, (round, seq)) in &asked.answered {
            let found = rounds.get(&**id).copied();
            if *seq <= through && found.is_none_or(|found| found < *round) {
                faults.push(format!("{id}: round {round} was answered (entry {seq}), there is {found:?}"));
            }
        }
        for (id, last) in &asked.last {
            if rounds.get(&**id).is_some_and(|found| found > last) {
                faults.push(format!("{id}: a round that nobody asked for"));
            }
        }
    }
    faults
}

fn define(address: SocketAddr) {
    let notes = json!({"name": "notes", "fields": [{"name": "round", "type": "number", "integer": true},
        {"name": "text", "type": "text"}], "indexes": [{"name": "r", "fields": ["round"]}]});
    let made = Client::new(address).json("POST", "/api/collections", &notes.to_string()).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
}

fn start(folder: &Folder, settings: &[&str]) -> Server {
    Server::try_start_with(folder, settings).unwrap_or_else(|ended| panic!("the server did not start: {ended:#?}"))
}

fn follow(folder: &Folder, proxy: &Proxy) -> Server {
    start(folder, &["--follow", &proxy.url()])
}

/// Rounds until there were as many as the run's size asks for, or something is wrong.
fn rounds(row: &str, sizes: [u64; 3], mut one: impl FnMut(&mut Rng) -> (u64, Vec<String>)) {
    let (started, seed) = (Instant::now(), results::seed());
    let wanted = results::size(sizes[0], sizes[1], sizes[2]);
    let mut rng = Rng::new(seed);
    let (mut done, mut faults) = (0, Vec::new());
    while done < wanted && faults.is_empty() {
        let (count, found) = one(&mut rng);
        (done, faults) = (done + count, found);
    }
    results::record(row, done, u64::from(!faults.is_empty()), started, seed);
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
}

/// F8.
#[test]
fn followers_over_ways_that_break_come_to_hold_what_their_primary_holds() {
    rounds("F8", [10, 50, 500], |rng| {
        let folders = ["primary", "first", "second"].map(Folder::new);
        let mut primary = start(&folders[0], &[]);
        define(primary.address);
        let proxies = [0, 1].map(|n| Proxy::start(primary.address, rng.next() + n));
        let mut followers = [0, 1].map(|n| follow(&folders[n + 1], &proxies[n]));
        let mut asked: Vec<Asked> = (0..CLIENTS).map(|_| Asked::default()).collect();
        for _ in 0..FOLDER_ROUNDS {
            let over = AtomicBool::new(false);
            let addresses = [primary.address, followers[0].address, followers[1].address];
            let which = rng.below(2) as usize;
            std::thread::scope(|scope| {
                let _ends = Ends(&over);
                for (n, asked) in asked.iter_mut().enumerate() {
                    let (seed, over) = (rng.next(), &over);
                    // Some write through a follower too.
                    let addresses = if n % 2 == 0 { &addresses[..1] } else { &addresses[..] };
                    scope.spawn(move || load(addresses, n as u64, asked, over, &mut Rng::new(seed)));
                }
                proxies[which].cut_within([0, 2_000, 200_000][rng.below(3) as usize]);
                std::thread::sleep(Duration::from_millis(ROUND_MS / 2));
                match rng.below(5) {
                    0 => proxies[which].cut_all(),
                    1 => proxies[which].lead_to(None),
                    2 => {
                        followers[which].kill_now();
                        followers[which] = follow(&folders[which + 1], &proxies[which]);
                    }
                    3 => {
                        primary.kill_now();
                        primary = start(&folders[0], &[]);
                        proxies.iter().for_each(|proxy| proxy.lead_to(Some(primary.address)));
                    }
                    _ => {}
                }
                std::thread::sleep(Duration::from_millis(ROUND_MS / 2));
            });
            proxies[which].cut_within(0);
            proxies[which].lead_to(Some(primary.address));
        }
        let mut faults = lacks(primary.address, &asked, u64::MAX);
        for follower in &followers {
            faults.extend(level(primary.address, follower.address));
            faults.extend(lacks(follower.address, &asked, u64::MAX));
        }
        faults.extend(kept(folders, &faults));
        (FOLDER_ROUNDS, faults)
    });
}

/// F9. In every other round answers wait for the follower, and all of them survive; in the others those do that the primary
/// said the follower had.
#[test]
fn an_answered_write_survives_that_a_follower_takes_the_primarys_place() {
    let mut turn = 0;
    rounds("F9", [4, 20, 1_000], |rng| {
        turn += 1;
        let waits = turn % 2 == 0;
        let folders = ["old", "new"].map(Folder::new);
        let settings: &[&str] = if waits { &["--sync-followers", "1", "--sync-followers-ms", "2000"] } else { &[] };
        let primary = start(&folders[0], settings);
        let proxy = Proxy::start(primary.address, rng.next());
        let follower = follow(&folders[1], &proxy);
        let made = level(primary.address, follower.address);
        if !made.is_empty() {
            return (1, made);
        }
        define(primary.address);
        let mut asked: Vec<Asked> = (0..CLIENTS).map(|_| Asked::default()).collect();
        let (over, mut shown) = (AtomicBool::new(false), 0);
        let address = [primary.address];
        std::thread::scope(|scope| {
            let _ends = Ends(&over);
            for (n, asked) in asked.iter_mut().enumerate() {
                let (seed, over, address) = (rng.next(), &over, &address);
                scope.spawn(move || load(address, n as u64, asked, over, &mut Rng::new(seed)));
            }
            std::thread::sleep(Duration::from_millis(100 + rng.below(ROUND_MS)));
            if rng.once_in(2) {
                proxy.lead_to(None);
                std::thread::sleep(Duration::from_millis(rng.below(100)));
            }
            shown = status(primary.address)["followers"][0]["seq"].as_u64().unwrap_or(0);
            primary.kill();
        });
        proxy.lead_to(None);
        let promoted = Client::new(follower.address).json("POST", "/api/replication/promote", "{}").expect("an answer");
        assert_eq!(promoted.status, 200, "{}", promoted.text());
        let through = if waits { u64::MAX } else { shown };
        let mut faults = lacks(follower.address, &asked, through);
        // The old one comes back and follows.
        let to_new = Proxy::start(follower.address, 1);
        let made = Client::new(follower.address).json("PUT", &format!("{NOTES}/new"), r#"{"round":1}"#);
        assert_eq!(made.expect("an answer").status, 201);
        let old = follow(&folders[0], &to_new);
        faults.extend(level(follower.address, old.address));
        let way = status(old.address)["rejoined"].clone();
        eprintln!("F9: the old primary came back by {way}");
        drop((old, follower));
        faults.extend(kept(folders, &faults));
        (1, faults)
    });
}

/// Leaves folders there for whoever looks into a failure.
fn kept<const N: usize>(folders: [Folder; N], faults: &[String]) -> Vec<String> {
    if faults.is_empty() {
        return Vec::new();
    }
    let told = folders.iter().map(|folder| format!("kept in {}", folder.data().display())).collect();
    folders.into_iter().for_each(Folder::keep);
    told
}
