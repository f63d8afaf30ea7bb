//! The contract as scripts: each plays requests against a server of its own and compares every answer, and what was
//! logged, with the script's own text. See `support::script` for their form.

#[path = "api/accounts.rs"]
mod accounts;
#[path = "api/aggregates.rs"]
mod aggregates;
#[path = "api/batch.rs"]
mod batches;
#[path = "api/buckets.rs"]
mod buckets;
#[path = "api/cache.rs"]
mod cache;
#[path = "api/dashboard.rs"]
mod dashboard;
#[path = "api/documents.rs"]
mod documents;
#[path = "api/edge.rs"]
mod edge;
#[path = "api/followers.rs"]
mod followers;
#[path = "api/hostile.rs"]
mod hostile;
#[path = "api/jobs.rs"]
mod jobs;
#[path = "api/leaks.rs"]
mod leaks;
#[path = "api/live.rs"]
mod live;
#[path = "api/logs.rs"]
mod logs;
#[path = "api/related.rs"]
mod related;
#[path = "api/reshapes.rs"]
mod reshapes;
#[path = "api/search.rs"]
mod searches;
#[path = "api/second.rs"]
mod second;
#[path = "api/second_races.rs"]
mod second_races;
mod support;
#[path = "api/tls.rs"]
mod tls;
#[path = "api/transfers.rs"]
mod transfers;
#[path = "api/webhooks.rs"]
mod webhooks;

use std::path::{Path, PathBuf};

use support::http::Client;
use support::script::play;
use support::server::Running;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $($(#[$doc])* #[test]
        fn $name() {
            play(&folder().join(concat!(stringify!($name), ".script")));
        })+

        #[test]
        fn every_script_is_played() {
            let mut found: Vec<String> = std::fs::read_dir(folder())
                .expect("the scripts")
                .map(|item| item.expect("an item").file_name().into_string().expect("a name"))
                .collect();
            found.sort();
            let mut played = vec![$(concat!(stringify!($name), ".script")),+];
            played.sort_unstable();
            assert_eq!(found, played);
        }
    };
}

scripts! {
    changes
    collections
    expressions
    records
    faults
    conflicts
    conditions
    lists
    apply
    limits
    access
    auth
    relations
    shop
    batch
    idempotency
    import
    export
    truncate
    handlers
    aggregate
    search
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let server = Running::start();
    let mut client = Client::new(server.address);
    let notes = r#"{"name":"notes","fields":[{"name":"text","type":"text"}],"viewRule":""}"#;
    assert_eq!(client.json("POST", "/api/collections", notes).expect("an answer").status, 201);
    let path = "/api/collections/notes/records/n";
    let put = client.json("PUT", path, r#"{"text":"kept"}"#).expect("an answer");
    assert_eq!(put.status, 201, "{}", put.text());
    let (position, folder) = server.stop();
    assert_eq!(put.header("millpond-seq"), Some(position.to_string().as_str()));

    let server = Running::start_in(folder);
    let mut client = Client::new(server.address);
    let got = client.get(path).expect("an answer");
    assert_eq!(got.json()["text"], "kept");
    assert_eq!(got.header("etag"), put.header("etag"));
    let again = client.request("GET", path, &[("millpond-min-seq", &position.to_string())], None);
    assert_eq!(again.expect("an answer").status, 200, "positions of before the restart are still in this history");
}

#[test]
fn a_stop_answers_the_writes_in_flight() {
    const WRITERS: usize = 8;
    let server = Running::start();
    let mut client = Client::new(server.address);
    let notes = r#"{"name":"notes","fields":[{"name":"text","type":"text"}],"viewRule":""}"#;
    assert_eq!(client.json("POST", "/api/collections", notes).expect("an answer").status, 201);
    let address = server.address;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let mut kept = Vec::new();
                for number in 0.. {
                    let path = format!("/api/collections/notes/records/w{writer}-{number}");
                    match client.json("PUT", &path, r#"{"text":"x"}"#) {
                        Ok(answer) if answer.status == 201 => kept.push(path),
                        // 503 while it stops, then no one who listens: the end of this writer.
                        Ok(answer) => {
                            assert_eq!(answer.status, 503, "{}", answer.text());
                            break;
                        }
                        Err(_) => break,
                    }
                }
                kept
            })
        })
        .collect();
    while client.get("/api/collections/notes/records/w0-20").expect("an answer").status == 404 {
        std::thread::yield_now();
    }
    let (_, folder) = server.stop();
    let server = Running::start_in(folder);
    let mut client = Client::new(server.address);
    for writer in writers {
        for path in writer.join().expect("a writer does not panic") {
            assert_eq!(client.get(&path).expect("an answer").status, 200, "{path} was answered and is lost");
        }
    }
}

#[test]
fn a_query_over_many_rows_answers_as_one_over_few() {
    const RECORDS: usize = 600;
    let server = Running::start();
    let mut client = Client::new(server.address);
    let numbers = r#"{"name":"numbers","fields":[{"name":"n","type":"number","integer":true},{"name":"m","type":"number","integer":true}],"indexes":[{"name":"by_n","fields":["n"]}]}"#;
    assert_eq!(client.json("POST", "/api/collections", numbers).expect("an answer").status, 201);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let address = server.address;
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                for n in (writer..RECORDS).step_by(8) {
                    let path = format!("/api/collections/numbers/records/r{n:04}");
                    let body = format!(r#"{{"n":{n},"m":{}}}"#, RECORDS - n);
                    assert_eq!(client.json("PUT", &path, &body).expect("an answer").status, 201);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer does not panic");
    }
    let mut list = |query: &str| {
        let answer = client.get(&format!("/api/collections/numbers/records?explain=1&fields=n&{query}"));
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()
    };
    let first = |json: &serde_json::Value| json["items"][0]["n"].as_u64();

    let by_index = list("sort=-n&perPage=1&skipTotal=1");
    let sorted = list("sort=m&perPage=1&skipTotal=1");
    assert_eq!((first(&by_index), first(&sorted)), (Some(RECORDS as u64 - 1), Some(RECORDS as u64 - 1)));
    assert_eq!(by_index["explain"]["index"], "by_n");
    assert_eq!(by_index["explain"]["rowsRead"], 2, "one more, to know whether there are more");
    assert!(sorted["explain"]["rowsRead"].as_u64() >= Some(RECORDS as u64));

    let residual = list("filter=m%3E500&sort=n&perPage=500");
    assert_eq!(residual["totalItems"], 100);
    assert_eq!(residual["items"].as_array().map(Vec::len), Some(100));
    let deep = list("filter=m%3C10&sort=n&perPage=2&skipTotal=1");
    assert_eq!(first(&deep), Some(591), "found behind more rows than are read on the request's own thread");
    let whole = list("perPage=1000");
    assert_eq!(whole["totalItems"], RECORDS);
    assert_eq!(whole["items"].as_array().map(Vec::len), Some(RECORDS));
}
