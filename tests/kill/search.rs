//! S1: the real binary killed while records are written and their words indexed, while an index is filled anew, and while
//! it starts: what is found afterwards is what the records say, and the same as by an index that is made from nothing.

use std::time::Duration;

use serde_json::Value;

use crate::server::{Folder, Server};
use crate::support::http::Client;
use crate::support::rng::Rng;
use crate::{START_MS, kill_in_folders};

/// Kills of one folder.
const FOLDER_KILLS: u64 = 20;
/// Time that clients have before the end comes.
const LOAD_MS: u64 = 500;
const CLIENTS: u64 = 3;
const WORDS: [&str; 10] = ["house", "houses", "running", "runner", "elephant", "the", "red", "fox", "foxes", "quickly"];
/// With all that a search knows.
const SEARCHES: [&str; 8] =
    ["hause", "red%20f", "%22red%20fox%22", "elephnat%20-red", "title%3Afox", "the%20run", "-house", "quick%20hous"];

#[test]
fn search_after_kill_9_finds_what_the_records_say() {
    kill_in_folders("S1", [10, 100, 500], FOLDER_KILLS, one_folder);
}

fn one_folder(rng: &mut Rng, kills: u64) -> Vec<String> {
    let folder = Folder::new("search");
    let mut server = Server::start(&folder);
    let definition = format!(
        r#"{{"name":"notes","fields":[{{"name":"title","type":"text"}},{{"name":"text","type":"text"}}],"search":{}}}"#,
        searched(rng)
    );
    let made = server.client().json("POST", "/api/collections", &definition).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    let mut faults = Vec::new();
    for kill in 0..kills {
        // Now and then another index is being filled when the end comes.
        if rng.once_in(3) {
            let change = format!(r#"{{"search":{}}}"#, searched(rng));
            let changed = server.client().json("PATCH", "/api/collections/notes", &change).expect("an answer");
            assert_eq!(changed.status, 200, "{}", changed.text());
        }
        let time = Duration::from_millis(rng.below(LOAD_MS) + 1);
        let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.next()).collect();
        let address = server.address;
        std::thread::scope(|scope| {
            for seed in seeds {
                scope.spawn(move || load(&mut Client::new(address), &mut Rng::new(seed)));
            }
            std::thread::sleep(time);
            server.kill();
        });
        while rng.once_in(3) {
            Server::kill_while_starting(&folder, Duration::from_millis(rng.below(2 * START_MS)));
        }
        server = Server::start(&folder);
        let found = all_found(&mut server.client());
        faults.extend(against_records(&mut server.client()));
        if kill % 4 == 3 {
            server.stop();
            let copy = folder.copy("search-anew");
            std::fs::remove_dir_all(copy.data().join("search")).expect("an index to remove");
            let anew = Server::start(&copy);
            let expected = all_found(&mut anew.client());
            anew.stop();
            if found != expected {
                faults.push(format!("found {found:?}\nby an index made anew {expected:?}"));
            }
            server = Server::start(&folder);
        }
        if !faults.is_empty() {
            break;
        }
    }
    let said = server.said();
    server.stop();
    if said.contains("panicked") {
        faults.push(format!("it said:\n{}", &said[said.len().saturating_sub(4_000)..]));
    }
    if !faults.is_empty() {
        folder.keep();
    }
    faults
}

/// One of several settings, each an index of its own.
fn searched(rng: &mut Rng) -> &'static str {
    [
        r#"{"fields":{"title":{"boost":2},"text":{"language":"en"}}}"#,
        r#"{"fields":{"title":{"boost":2},"text":{"language":"de"}}}"#,
        r#"{"fields":{"title":{},"text":{}}}"#,
    ][rng.below(3) as usize]
}

fn load(client: &mut Client, rng: &mut Rng) {
    let text = |rng: &mut Rng, most: u64| {
        let words: Vec<&str> = (0..1 + rng.below(most)).map(|_| WORDS[rng.below(10) as usize]).collect();
        words.join(" ")
    };
    loop {
        let target = format!("/api/collections/notes/records/r{}", rng.below(400));
        let body = format!(r#"{{"title":"{}","text":"{}"}}"#, text(rng, 3), text(rng, 12));
        let answer = match rng.below(5) {
            0 => client.request("DELETE", &target, &[], None),
            _ => client.json("PUT", &target, &body),
        };
        match answer {
            Ok(answer) => assert!(matches!(answer.status, 200 | 201 | 204 | 404), "{}", answer.text()),
            Err(_) => return,
        }
    }
}

fn position(client: &mut Client) -> String {
    let health = client.get("/api/health").expect("an answer").json();
    health["data"]["position"].as_str().expect("a position").to_owned()
}

/// What is found when all is indexed; an index may have to be made first.
fn found(client: &mut Client, search: &str) -> Value {
    let position = position(client);
    let target = format!("/api/collections/notes/records?search={search}&perPage=1000&fields=id");
    for _ in 0..20 {
        let answer = client.request("GET", &target, &[("millpond-min-seq", &position)], None).expect("an answer");
        match answer.status {
            200 => return answer.json(),
            503 => {}
            _ => panic!("{search}: {} {}", answer.status, answer.text()),
        }
    }
    panic!("{search}: never answered")
}

/// By the newest definition: one that is being made has its turn.
fn all_found(client: &mut Client) -> Vec<Value> {
    for _ in 0..2_000 {
        let shown = client.get("/api/collections/notes").expect("an answer").json();
        if shown["search"]["state"].is_null() {
            return SEARCHES.iter().map(|search| found(client, search)).collect();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the index never comes")
}

/// What differs between what is found and what the records say, in words.
fn against_records(client: &mut Client) -> Option<String> {
    let all = client.get("/api/collections/notes/records?perPage=1000").expect("an answer").json();
    let items = all["items"].as_array().expect("items");
    for word in WORDS {
        let hits = found(client, &format!("%22{word}%22"));
        let mut is: Vec<&str> = hits["items"].as_array()?.iter().filter_map(|item| item["id"].as_str()).collect();
        let says =
            |item: &&Value, field: &str| item[field].as_str().unwrap_or_default().split(' ').any(|one| one == word);
        let has = items.iter().filter(|item| says(item, "title") || says(item, "text"));
        let mut expected: Vec<&str> = has.filter_map(|item| item["id"].as_str()).collect();
        is.sort_unstable();
        expected.sort_unstable();
        if is != expected || hits["totalItems"] != expected.len() {
            return Some(format!("{word}: found {is:?}, and it is in {expected:?}"));
        }
    }
    None
}
