//! Bytes that are read back from a disk or sent by another server: entries, segments, snapshots.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millpond::disk::sim::SimDisk;
use millpond::disk::{Disk, Open};
use millpond::id::{DatabaseId, NodeId, Seq};
use millpond::log::{self, Genesis, Settings};
use millpond::replica::{Head, Pulled};
use millpond::state::snapshot;
use millpond::time::Millis;

use crate::fuzz;
use crate::mutate::Corpus;

const DIR: &str = "/data";
const SEGMENT: &str = "00000000000000000001.log";

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/golden").join(name);
    std::fs::read(path).expect("a golden file")
}

fn whole_segment() -> Vec<u8> {
    zstd::decode_all(&golden("segment-1.zst")[..]).expect("zstd")
}

/// Without the zeros behind its last frame.
fn segment() -> Vec<u8> {
    let mut bytes = whole_segment();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end + 64);
    bytes
}

fn disk_with(name: &str, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).expect("a folder");
    let file = disk.open(&Path::new(DIR).join(name), Open::CreateNew).expect("a file");
    file.write_at(0, bytes).expect("room");
    disk
}

const SETTINGS: Settings =
    Settings { segment_bytes: 8 << 10, first_segment_bytes: 4 << 10, ring_entries: 8, ring_bytes: 2_000 };
const GENESIS: Genesis = Genesis { database: DatabaseId(7), node: NodeId(3) };

#[test]
fn no_segment_panics_or_hangs() {
    let corpus = Corpus { inputs: vec![whole_segment(), segment()], words: &[] };
    fuzz("a segment", corpus, |bytes| {
        let disk = disk_with(SEGMENT, bytes);
        let opened = log::open(Arc::new(disk), Path::new(DIR), SETTINGS, GENESIS, Seq(0));
        let Ok((_, reader, _)) = opened else { return false };
        // An entry with a good checksum may still be none.
        let _ = reader.read_from(Seq::ZERO, usize::MAX);
        true
    });
}

#[test]
fn no_entry_panics_or_hangs() {
    let disk = disk_with(SEGMENT, &whole_segment());
    let scan = log::scan(Arc::new(disk), Path::new(DIR)).expect("a log");
    let entries = scan.filter_map(|found| match found.expect("whole").what {
        log::What::Entry(logged) => Some(log::encode(&logged.entry).expect("an entry")),
        _ => None,
    });
    let corpus = Corpus { inputs: entries.collect(), words: &[] };
    fuzz("an entry", corpus, |bytes| {
        let Ok(entry) = log::decode(bytes) else { return false };
        // By its bytes: there are numbers that are not equal to themselves.
        let bytes = log::encode(&entry).expect("what was decoded is small");
        let again = log::decode(&bytes).expect("it is an entry");
        assert!(log::encode(&again).expect("as small") == bytes, "{entry:?}");
        true
    });
}

#[test]
fn no_snapshot_panics_or_hangs() {
    let corpus = Corpus { inputs: vec![golden("snapshot-1")], words: &["MILLSNAP"] };
    fuzz("a snapshot", corpus, |bytes| {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new(DIR)).expect("a folder");
        let _ = snapshot::read_header(&mut &bytes[..]);
        snapshot::load(&disk, Path::new(DIR), &mut &bytes[..]).is_ok()
    });
}

#[test]
fn no_answer_of_a_primary_panics_or_hangs() {
    let disk = disk_with(SEGMENT, &whole_segment());
    let (_, reader, _) = log::open(Arc::new(disk), Path::new(DIR), SETTINGS, GENESIS, Seq(0)).expect("a log");
    // As they are, and packed.
    let inputs = [600, usize::MAX].map(|bytes| {
        let frames = reader.ship(Seq::ZERO, bytes).expect("entries").frames;
        Pulled { head: Head::new(reader.position(), Millis(1)), frames }.write().expect("an answer").to_vec()
    });
    fuzz(
        "an answer of a primary",
        Corpus { inputs: inputs.to_vec(), words: &["\"bytes\":", "\"packed\":"] },
        |bytes| {
            let Ok(pulled) = Pulled::read(bytes) else { return false };
            let last = log::last_of(&pulled.frames);
            let shipped = log::unpack(&pulled.frames);
            if let (Ok(last), Ok(shipped)) = (&last, &shipped) {
                assert_eq!(last.map(|last| last.position), shipped.last().map(|last| last.position));
            }
            shipped.is_ok()
        },
    );
}
