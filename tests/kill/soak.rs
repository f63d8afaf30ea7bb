//! The same few records overwritten again and again: the folder stays within its bounds, and its tables can be rebuilt
//! although the log has lost its begin.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{self, Folder, Server, run};
use crate::support::ends::Ends;
use crate::support::http::Client;
use crate::support::results;

const CLIENTS: u64 = 4;
const RECORDS: u64 = 40;
/// Characters of a record's text.
const TEXT: usize = 60_000;
const MIB: u64 = 1 << 20;
/// What the server is told.
const LOG_MAX: u64 = 8 * MIB;
/// Beside it: what two layers in memory lag behind the log, the log between two snapshots and two checkpoints, the
/// segment that waits, and what comes while a snapshot is written.
const LOG_LAG: u64 = 2 * 16 * MIB + LOG_MAX / 2 + LOG_MAX / 4 + MIB + 64 * MIB;
/// Below it the tables' file is not compacted, and as much may be written before it is.
const BASE_MAX: u64 = 2 * 64 * MIB;
/// Texts of one letter, and packed.
const SNAPSHOT_MAX: u64 = MIB;

/// Bytes of a file, or of those in a folder. What goes while it is looked at counts for nothing.
fn bytes(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(items) => items.filter_map(|item| item.ok()?.metadata().ok()).map(|found| found.len()).sum(),
        Err(_) => fs::metadata(path).map_or(0, |found| found.len()),
    }
}

fn get(client: &mut Client, number: u64) -> String {
    let answer = client.get(&format!("/api/collections/texts/records/r{number}")).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

#[test]
fn a_server_that_is_written_for_long_keeps_its_files_within_bounds_and_can_rebuild_its_tables() {
    let writes: u64 = results::size(3_000, 12_000, 120_000);
    let settings = ["--log-max-bytes", "8388608", "--log-keep-hours", "0"];
    let folder = Folder::new("soak");
    let server = Server::try_start_with(&folder, &settings).expect("a server");
    let field = json!({"name": "text", "type": "text", "max": TEXT});
    let definition = json!({"name": "texts", "type": "base", "fields": [field], "indexes": []});
    let answer = server.client().json("POST", "/api/collections", &definition.to_string()).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());

    let (next, done, times) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Vec::new()));
    let names = ["log", "base", "snapshot"].map(|name| folder.data().join(name));
    let mut most = [0u64; 3];
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.client();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= writes {
                            break;
                        }
                        let letter = char::from(b'a' + (number / RECORDS % 26) as u8);
                        let body = json!({"text": letter.to_string().repeat(TEXT)}).to_string();
                        let target = format!("/api/collections/texts/records/r{}", number % RECORDS);
                        let began = Instant::now();
                        let answer = client.json("PUT", &target, &body).expect("an answer");
                        assert!(answer.status < 300, "{}", answer.text());
                        times.lock().expect("unpoisoned").push(began.elapsed());
                    }
                })
            })
            .collect();
        let _ends = Ends(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for (most, path) in most.iter_mut().zip(&names) {
                    *most = bytes(path).max(*most);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        clients.into_iter().for_each(|client| client.join().expect("a client that ends well"));
    });
    let mut times = times.into_inner().expect("unpoisoned");
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 1_000];
    let [log, base, snapshot] = most;
    results::note(&format!(
        "{writes} writes, {} MiB of log: at most {} KiB of log, {} of base, {} of snapshot; a write takes {:?}, p99 {:?}, at most {:?}",
        writes * TEXT as u64 / MIB,
        log >> 10,
        base >> 10,
        snapshot >> 10,
        at(500),
        at(990),
        at(1_000)
    ));
    let shown: Vec<String> = (0..RECORDS).map(|number| get(&mut server.client(), number)).collect();
    server.stop();
    assert!(log <= LOG_MAX + LOG_LAG, "{log} bytes of log");
    assert!(base <= BASE_MAX, "{base} bytes of base");
    assert!(snapshot > 0 && snapshot <= SNAPSHOT_MAX, "{snapshot} bytes of snapshot");

    let data = folder.data();
    let data = data.to_str().expect("a plain path");
    let printed = run(&["log", "print", "--limit", "1", "--data", data]);
    let first: serde_json::Value = serde_json::from_str(printed.stdout.trim()).expect("a line");
    assert!(first["position"].as_str().is_some_and(|position| !position.ends_with("-1")), "trimmed: {first}");
    let check = server::check(&folder);
    assert!(check.code == Some(0) && check.stdout.contains(&format!("snapshot: {RECORDS} records")), "{check:#?}");

    fs::remove_file(folder.data().join("base")).expect("the tables' file");
    let server = Server::try_start_with(&folder, &settings).expect("a server without its tables");
    assert!(server.said().contains("from the snapshot"), "{}", server.said());
    let now: Vec<String> = (0..RECORDS).map(|number| get(&mut server.client(), number)).collect();
    assert!(now == shown, "something is lost or changed");
    server.stop();
}
