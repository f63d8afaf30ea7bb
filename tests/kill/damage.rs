//! Bits flipped and tails torn in the files of a server that stands still: refused with place and remedy, cut and said,
//! or built anew; never answered wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::load::{COLLECTIONS, IDS, PARTS, definitions};
use crate::server::{self, Folder, Server};
use crate::support::http::Client;
use crate::support::results;
use crate::support::rng::Rng;

/// Damaged copies of a log that are tried.
const LOGS: u64 = 40;

/// Everything that can be read: path to tag and body.
type Shown = BTreeMap<String, (String, Value)>;

/// A folder with both collections full, and what a client sees of it. The server runs.
fn filled(name: &str) -> (Folder, Server, Shown) {
    let folder = Folder::new(name);
    let server = Server::start(&folder);
    let mut client = server.client();
    for definition in definitions() {
        let answer = client.json("POST", "/api/collections", &definition.to_string()).expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    for (collection, name) in COLLECTIONS.iter().enumerate() {
        for number in 0..IDS[collection] {
            let id = format!("{}{number:02}", &name[..1]);
            let mut body = json!({"id": id, "n": number % 7, "stamp": id, "twin": id, "note": "m".repeat(700)});
            match collection {
                PARTS => body["code"] = json!(format!("c{number:02}")),
                _ => body["part"] = json!(format!("p{:02}", number % IDS[PARTS])),
            }
            let target = format!("/api/collections/{name}/records");
            let answer = client.json("POST", &target, &body.to_string()).expect("an answer");
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    }
    let shown = show(&mut client).expect("a server that answers");
    assert_eq!(shown.len() as u64, IDS[0] + IDS[1] + 2);
    (folder, server, shown)
}

/// Each record by itself and both lists. An answer of 5xx is an error, like a connection that is cut: it says nothing.
fn show(client: &mut Client) -> io::Result<Shown> {
    let mut shown = Shown::new();
    for (collection, name) in COLLECTIONS.iter().enumerate() {
        let records = format!("/api/collections/{name}/records");
        let ids = (0..IDS[collection]).map(|number| format!("{records}/{}{number:02}", &name[..1]));
        for target in ids.chain([format!("{records}?sort=n&perPage=500")]) {
            let answer = client.get(&target)?;
            if answer.status >= 500 {
                return Err(io::Error::other(format!("{target}: {}", answer.status)));
            }
            let etag = answer.header("etag").unwrap_or_default().to_owned();
            shown.insert(target, (etag, answer.json()));
        }
    }
    Ok(shown)
}

/// The log's files, oldest first.
fn segments(folder: &Folder) -> Vec<PathBuf> {
    let mut segments: Vec<PathBuf> = fs::read_dir(folder.data().join("log"))
        .expect("the log's folder")
        .map(|item| item.expect("an item").path())
        .filter(|path| fs::read(path).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0)))
        .collect();
    segments.sort();
    segments
}

fn flip(path: &Path, offset: usize, bit: u64) {
    let mut bytes = fs::read(path).expect("a file to damage");
    bytes[offset] ^= 1 << bit;
    fs::write(path, bytes).expect("a file to damage");
}

/// The end of what is written: behind it all is zero.
fn end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn a_flipped_bit_in_the_log_is_refused_with_place_and_remedy_or_does_no_harm() {
    let mut rng = Rng::new(results::seed());
    let (whole, server, shown) = filled("log");
    server.stop();
    let mut refused = 0;
    for _ in 0..LOGS {
        let folder = whole.copy("log-damaged");
        let segments = segments(&folder);
        let segment = &segments[rng.below(segments.len() as u64) as usize];
        let name = segment.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let offset = rng.below(end(&fs::read(segment).expect("a segment")) as u64) as usize;
        flip(segment, offset, rng.below(8));
        let place = format!("{name}, byte {offset}");
        let before = bytes_of(&folder);
        let checked = server::check(&folder.copy("log-checked"));
        assert!(matches!(checked.code, Some(0 | 3)), "{place}: {checked:#?}");
        match Server::try_start(&folder) {
            Err(ended) => {
                refused += 1;
                assert_eq!(ended.code, Some(3), "{place}: {ended:#?}");
                assert_eq!(checked.code, Some(3), "{place}: refused by serve, passed by check: {checked:#?}");
                let tells = |what: &str| ended.stderr.to_lowercase().contains(what);
                assert!(tells(&name) && tells("byte") && tells("seq"), "{place}: no place in {}", ended.stderr);
                assert!(tells("restore") || tells("backup") || tells("remove"), "{place}: no remedy: {}", ended.stderr);
                let after = bytes_of(&folder);
                let changed: Vec<_> =
                    before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
                assert!(changed.is_empty(), "{place}: a refused start changed {changed:?}");
            }
            Ok(server) => {
                let now = show(&mut server.client()).expect("a server that answers");
                assert!(now == shown, "{place}: something is lost or changed\n{}", server.said());
                server.stop();
            }
        }
    }
    assert!(refused > LOGS / 4, "only {refused} of {LOGS} were refused: the flips do not hit what is written");
}

/// The bytes of what can't be made anew: the log's files and the identity.
fn bytes_of(folder: &Folder) -> BTreeMap<PathBuf, Vec<u8>> {
    let log = fs::read_dir(folder.data().join("log")).expect("the log's folder");
    let files = log.map(|item| item.expect("an item").path()).chain([folder.data().join("identity.json")]);
    files.map(|path| (path.clone(), fs::read(&path).expect("a readable file"))).collect()
}

#[test]
fn a_torn_tail_is_cut_and_said_and_nothing_answered_goes_with_it() {
    let mut rng = Rng::new(results::seed());
    for length in [1, 40, 700, 5_000] {
        let (folder, server, shown) = filled("torn");
        server.kill();
        let newest = segments(&folder).pop().expect("a segment");
        let mut bytes = fs::read(&newest).expect("a segment");
        // Frames stand at multiples of 8.
        let end = end(&bytes).next_multiple_of(8);
        bytes.resize(bytes.len().max(end + length), 0);
        for byte in &mut bytes[end..end + length] {
            *byte = rng.below(255) as u8 + 1;
        }
        fs::write(&newest, bytes).expect("a segment to damage");
        let server = Server::start(&folder);
        assert!(server.said().contains("cut"), "{length} bytes were cut silently: {}", server.said());
        assert!(
            show(&mut server.client()).expect("a server that answers") == shown,
            "{length} bytes: something is lost"
        );
        server.stop();
        assert_eq!(server::check(&folder).code, Some(0));
    }
}

#[test]
fn flipped_bits_in_the_tables_give_no_wrong_answer_and_are_healed_from_the_log() {
    let (started, seed) = (Instant::now(), results::seed());
    let mut rng = Rng::new(seed);
    let (whole, server, shown) = filled("tables");
    server.stop();
    let tries = results::size(20, 100, 1_000);
    let (mut faults, mut noticed) = (Vec::new(), 0);
    for _ in 0..tries {
        let folder = whole.copy("tables-damaged");
        let base = folder.data().join("base");
        let bytes = fs::read(&base).expect("the tables' file");
        let used: Vec<usize> = (0..bytes.len() / 512).filter(|at| end(&bytes[at * 512..][..512]) > 0).collect();
        let block = used[rng.below(used.len() as u64) as usize];
        let place = (block * 512 + rng.below(512) as usize, rng.below(8));
        flip(&base, place.0, place.1);
        match heals(&folder, &shown) {
            Ok(set_aside) => noticed += u64::from(set_aside),
            Err(fault) => faults.push(format!("byte {}, bit {}: {fault}", place.0, place.1)),
        }
    }
    results::record("F6", tries, faults.len() as u64, started, seed);
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
    eprintln!("{noticed} of {tries} were noticed");
    assert!(noticed > tries / 4, "only {noticed} of {tries} were noticed: the flips do not hit what is read");
}

/// Right answers or none, and after at most three more starts nothing is left to find. Whether the damage was noticed.
fn heals(folder: &Folder, shown: &Shown) -> Result<bool, String> {
    for life in 0..4 {
        let server = Server::try_start(folder).map_err(|ended| format!("it does not start: {ended:#?}"))?;
        let answered = match show(&mut server.client()) {
            Ok(now) if now == *shown => true,
            Ok(now) => {
                let wrong: Vec<_> = now.iter().filter(|(target, got)| shown.get(*target) != Some(got)).collect();
                return Err(format!("a wrong answer: {wrong:?}"));
            }
            Err(_) => false,
        };
        server.terminate();
        let ended = server.ended();
        // Some blocks are read by the last checkpoint alone, some by `check` alone: each may be the one to find it.
        match (ended.code, answered) {
            (Some(0), true) => {
                let check = server::check(folder);
                match check.code {
                    Some(0) => return Ok(life > 0 || ended.stderr.contains("set aside")),
                    Some(3) => {}
                    _ => return Err(format!("check says {check:#?}")),
                }
            }
            (Some(0), false) | (Some(3), _) => {}
            _ => return Err(format!("answered: {answered}, and then it {ended:#?}")),
        }
    }
    Err("four starts did not heal it".to_owned())
}
