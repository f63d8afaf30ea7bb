//! The log as a whole: what it promises in everyday use, and the fixtures of the tests beside it (`crash`: power loss
//! and faults of the disk; `damage`: bytes that are not what was written).

mod crash;
mod damage;
mod golden;
#[path = "../../../tests/support/results.rs"]
mod results;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::disk::sim::{Rng, SimDisk};
use crate::disk::{Disk, RealDisk};
use crate::id::{CollectionId, FieldId, Generation, NodeId, RecordId, Seq};
use crate::model::change::Change;
use crate::model::value::Value;

const DIR: &str = "/db/log";
const SMALL: Settings = Settings { segment_bytes: 8192, first_segment_bytes: 4096, ring_entries: 8, ring_bytes: 2000 };
const GENESIS: Genesis = Genesis { database: DatabaseId(7), node: NodeId(3) };

/// How many rounds a seeded loop runs: a tenth of the whole, unless `CI` is set.
fn rounds(whole: u64) -> u64 {
    if std::env::var("CI").is_ok_and(|set| !set.is_empty() && set != "false") { whole } else { whole / 10 }
}

fn open_at(disk: &SimDisk, witness: Seq) -> Result<(Writer, Reader, Recovery)> {
    open(Arc::new(disk.clone()), Path::new(DIR), SMALL, GENESIS, witness)
}

/// The entry that these tests write at a seq in a run: content and size follow from the two.
fn entry_of(seq: Seq, run: u64) -> Arc<Entry> {
    let mut rng = Rng::new(seq.0 ^ (run << 32));
    let size = if rng.chance(5) { rng.below(9000) } else { rng.below(400) };
    let text: String = (0..size).map(|_| char::from(b'a' + rng.below(26) as u8)).collect();
    let after = [(FieldId(1), Value::Int(run as i64)), (FieldId(2), Value::text(text))].into_iter().collect();
    let id = RecordId::new(&format!("r{seq}")).expect("an id");
    let created = Change::Created { collection: CollectionId(1), generation: Generation(0), id, after };
    Arc::new(Entry { changes: vec![created] })
}

fn stage(writer: &mut Writer, count: u64, run: u64) {
    for _ in 0..count {
        let seq = writer.next().seq;
        let entry = entry_of(seq, run);
        let payload = encode(&entry).expect("small");
        let position = writer.stage(Millis(1000 + seq.0 as i64), entry, &payload);
        assert_eq!(position.seq, seq);
    }
}

fn write(writer: &mut Writer, count: u64) {
    stage(writer, count, 0);
    writer.commit().expect("commit");
    writer.publish();
}

/// Removes what lies before `keep_from`; says what the first kept entry is.
fn trim(writer: &Writer, keep_from: Seq) -> Result<Seq> {
    let mut trimmer = writer.trimmer();
    while trimmer.trim_one(keep_from)? {}
    Ok(trimmer.segments()?[0].first)
}

fn read_all(reader: &Reader) -> Vec<Arc<Logged>> {
    let mut entries: Vec<Arc<Logged>> = Vec::new();
    let mut after = reader.first_seq().before();
    loop {
        let more = reader.read_from(after, 700).expect("read");
        let Some(last) = more.last() else { return entries };
        after = last.position.seq;
        entries.extend(more);
    }
}

/// Reads all, which must be the entries as they were written, without a gap; returns the first and the last seq.
fn verify(reader: &Reader) -> (Seq, Seq) {
    let mut next = reader.first_seq();
    for logged in read_all(reader) {
        assert_eq!(logged.position.seq, next);
        assert_eq!(logged.entry, entry_of(next, 0), "entry {next} is not what was written");
        assert_eq!(logged.time, Millis(1000 + next.0 as i64));
        next = next.next();
    }
    assert_eq!(reader.position().seq.next(), next);
    (reader.first_seq(), reader.position().seq)
}

fn files(disk: &SimDisk, suffix: &str) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).expect("list");
    names.iter().filter(|name| name.ends_with(suffix)).map(|name| Path::new(DIR).join(name)).collect()
}

#[test]
fn entries_read_back_after_a_restart_from_ring_and_segments() {
    let disk = SimDisk::new(1);
    let (mut writer, reader, recovery) = open_at(&disk, Seq(0)).expect("open");
    assert_eq!((recovery.first, recovery.last.seq, recovery.cut), (Seq(1), Seq(0), None));
    assert_eq!(reader.read_from(Seq(0), 1000).expect("empty"), Vec::new());
    for batch in 1..40 {
        write(&mut writer, batch % 5 + 1);
        assert_eq!(verify(&reader), (Seq(1), writer.position().seq));
    }
    let (last, chain) = (writer.position(), writer.chain());
    assert!(files(&disk, ".log").len() > 3);
    writer.close().expect("close");
    for witness in [0, 1, last.seq.0 / 2, last.seq.0] {
        let (writer, reader, recovery) = open_at(&disk, Seq(witness)).expect("open again");
        assert_eq!((writer.position(), writer.chain(), recovery.cut), (last, chain, None));
        assert_eq!(recovery.time, Millis(1000 + last.seq.0 as i64));
        assert_eq!(verify(&reader), (Seq(1), last.seq));
        let at_witness = read_all(&reader).iter().find(|logged| logged.position.seq.0 == witness).map(|l| l.chain);
        assert_eq!(recovery.chain_at_witness, at_witness.unwrap_or_default());
    }
}

#[test]
fn the_same_holds_on_a_real_disk() {
    let folder = tempfile::tempdir().expect("tempdir");
    let dir = folder.path().join("deep/log");
    for start in 0..3 {
        let (mut writer, reader, recovery) =
            open(Arc::new(RealDisk), &dir, SMALL, GENESIS, Seq(start * 60)).expect("open");
        assert_eq!(recovery.last.seq, Seq(start * 60));
        let mut preparer = writer.preparer();
        for _ in 0..20 {
            preparer.prepare().expect("prepare");
            write(&mut writer, 3);
        }
        assert_eq!(verify(&reader), (Seq(1), Seq(start * 60 + 60)));
        writer.close().expect("close");
    }
}

#[test]
fn nothing_is_visible_before_it_is_published() {
    let (mut writer, reader, _) = open_at(&SimDisk::new(1), Seq(0)).expect("open");
    stage(&mut writer, 3, 0);
    assert!(writer.staged_bytes() > 3 * frame::HEADER);
    writer.commit().expect("commit");
    assert_eq!((writer.position().seq, writer.staged_bytes()), (Seq(3), 0));
    assert_eq!(reader.position().seq, Seq(0));
    assert_eq!(reader.read_from(Seq(0), 1000).expect("read"), Vec::new());
    writer.publish();
    assert_eq!((verify(&reader), *reader.watch().borrow()), ((Seq(1), Seq(3)), Seq(3)));
}

#[test]
fn a_waiting_reader_is_woken_by_a_publish_and_not_kept_past_its_timeout() {
    let (mut writer, reader, _) = open_at(&SimDisk::new(1), Seq(0)).expect("open");
    assert_eq!(reader.wait_past(Seq(0), Duration::from_millis(1)), Seq(0));
    let waiting = {
        let reader = reader.clone();
        std::thread::spawn(move || {
            let mut seen = Seq(0);
            while seen < Seq(50) {
                let now = reader.wait_past(seen, Duration::MAX);
                assert!(now > seen);
                seen = now;
            }
        })
    };
    (0..50).for_each(|_| write(&mut writer, 1));
    waiting.join().expect("woken");
    assert_eq!(reader.wait_past(Seq(3), Duration::ZERO), Seq(50));
}

#[test]
fn readers_follow_through_rotation_and_trim_and_are_told_when_they_are_too_late() {
    let disk = SimDisk::new(1);
    let (mut writer, reader, _) = open_at(&disk, Seq(0)).expect("open");
    let following: Vec<_> = (0..3u64)
        .map(|lag| {
            let reader = reader.clone();
            std::thread::spawn(move || {
                let (mut after, mut read, mut late) = (Seq(0), 0, 0);
                while after < Seq(600) {
                    reader.wait_past(Seq(after.0 + lag * 40).min(Seq(599)), Duration::MAX);
                    match reader.read_from(after, 500) {
                        Ok(entries) => {
                            for logged in entries {
                                after = after.next();
                                assert_eq!((logged.position.seq, &logged.entry), (after, &entry_of(after, 0)));
                                read += 1;
                            }
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), Kind::Gone);
                            assert!(reader.first_seq() > after.next());
                            late += 1;
                            after = reader.first_seq().before();
                        }
                    }
                }
                (read, late)
            })
        })
        .collect();
    for round in 0..200 {
        write(&mut writer, 3);
        if round % 20 == 19 {
            let keep = Seq(writer.position().seq.0 - 30);
            let first = trim(&writer, keep).expect("trim");
            assert!(first <= keep && reader.first_seq() == first);
        }
    }
    for thread in following {
        let (read, _late) = thread.join().expect("followed");
        assert!(read >= 30);
    }
    assert_eq!(reader.read_from(Seq(0), 1).expect_err("trimmed").kind(), Kind::Gone);
    let (first, last) = verify(&reader);
    assert!(first > Seq(500) && last == Seq(600));
    drop(writer);
    let (_, reader, recovery) = open_at(&disk, first.before()).expect("open");
    assert_eq!((verify(&reader), recovery.first), ((first, last), first));
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new(1);
    let (mut writer, reader, _) = open_at(&disk, Seq(0)).expect("open");
    for count in [1, 300, 1, 299, 2] {
        write(&mut writer, count);
    }
    assert_eq!(verify(&reader), (Seq(1), Seq(603)));
    let (_, reader, _) = open_at(&disk, Seq(603)).expect("open");
    assert_eq!(verify(&reader), (Seq(1), Seq(603)));
}

#[test]
fn a_prepared_spare_becomes_the_next_segment_and_leftovers_go_at_a_start() {
    let disk = SimDisk::new(1);
    let (mut writer, reader, _) = open_at(&disk, Seq(0)).expect("open");
    let mut preparer = writer.preparer();
    assert!(preparer.wait_wanted(Duration::ZERO));
    assert!(preparer.prepare().expect("prepare") && !preparer.prepare().expect("one waits"));
    assert!(!preparer.wait_wanted(Duration::ZERO));
    while files(&disk, ".log").len() == 1 {
        assert_eq!(files(&disk, ".spare").len(), 1);
        write(&mut writer, 3);
    }
    assert!(files(&disk, ".spare").is_empty() && preparer.wait_wanted(Duration::ZERO));
    assert!(preparer.prepare().expect("prepare"));
    let (_, last) = verify(&reader);
    drop(writer);
    let (_, reader, _) = open_at(&disk, last).expect("open");
    assert!(files(&disk, ".spare").is_empty() && files(&disk, ".tmp").is_empty());
    assert_eq!(verify(&reader), (Seq(1), last));
}

#[test]
fn the_ring_keeps_to_its_bounds() {
    let (mut writer, reader, _) = open_at(&SimDisk::new(1), Seq(0)).expect("open");
    for _ in 0..300 {
        write(&mut writer, 2);
        let last = reader.position().seq;
        let kept = (0..last.0).filter_map(|after| reader.0.newest(Seq(after), usize::MAX)).next().unwrap_or_default();
        assert!(kept.len() <= SMALL.ring_entries);
        assert!(kept.iter().map(|logged| logged.bytes as usize).sum::<usize>() <= SMALL.ring_bytes);
        assert!(kept.last().is_none_or(|logged| logged.position.seq == last));
    }
}

#[test]
fn an_entry_over_its_bounds_is_refused() {
    let (seq, run) = (Seq(1), 0);
    let change = entry_of(seq, run).changes[0].clone();
    let many = Entry { changes: vec![change; limits::ENTRY_CHANGES_MAX + 1] };
    assert_eq!(encode(&many).expect_err("changes").kind(), Kind::TooLarge);
    let id = RecordId::new("r").expect("an id");
    let after = [(FieldId(1), Value::text("x".repeat(limits::ENTRY_BYTES_MAX)))].into_iter().collect();
    let large = Change::Created { collection: CollectionId(1), generation: Generation(0), id, after };
    assert_eq!(encode(&Entry { changes: vec![large] }).expect_err("bytes").kind(), Kind::TooLarge);
}

#[test]
fn a_payload_that_is_no_entry_is_refused() {
    let payload = encode(&entry_of(Seq(1), 0)).expect("small");
    assert_eq!(decode(&payload).expect("own payload"), *entry_of(Seq(1), 0));
    for cut in 0..payload.len() {
        assert_eq!(decode(&payload[..cut]).expect_err("cut short").kind(), Kind::Damaged);
    }
    assert_eq!(decode(&[&payload[..], &[0]].concat()).expect_err("too long").kind(), Kind::Damaged);
}

#[test]
fn a_scan_shows_every_frame_and_changes_nothing() {
    let disk = SimDisk::new(1);
    let (mut writer, reader, _) = open_at(&disk, Seq(0)).expect("open");
    for _ in 0..30 {
        write(&mut writer, 2);
    }
    writer.mark().expect("mark");
    let before = disk.ops();
    let found: Vec<Scanned> =
        scan(Arc::new(disk.clone()), Path::new(DIR)).expect("scan").collect::<Result<_>>().expect("whole");
    assert_eq!(disk.ops(), before);
    let entries = found
        .iter()
        .filter_map(|found| if let What::Entry(logged) = &found.what { Some(logged.clone()) } else { None });
    assert_eq!(entries.collect::<Vec<_>>(), read_all(&reader));
    let count = |is: fn(&What) -> bool| found.iter().filter(|found| is(&found.what)).count();
    assert_eq!(count(|what| matches!(what, What::Segment { .. })), files(&disk, ".log").len());
    assert!(matches!(&found.last().expect("some").what, What::Mark(at) if at.seq == Seq(60)));
}
