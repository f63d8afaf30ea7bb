//! Bytes that are not what was written: a torn end is cut, all else is refused with its place.

use super::*;
use crate::log::frame::{Frame, Kind as FrameKind};
use crate::log::segment::Header;

const LARGE: Settings =
    Settings { segment_bytes: 1 << 20, first_segment_bytes: 68 << 10, ring_entries: 8, ring_bytes: 2000 };

/// A log whose one segment holds 64 KiB of batches with marks between them; the last batch follows no later mark.
fn tail_of_64_kib() -> (SimDisk, Seq, Seq) {
    let disk = SimDisk::new(9);
    let (mut writer, _, _) = open(Arc::new(disk.clone()), Path::new(DIR), LARGE, GENESIS, Seq(0)).expect("open");
    let mut bytes = 0;
    while bytes < 58 << 10 {
        stage(&mut writer, 9, 0);
        bytes += writer.staged_bytes();
        writer.commit().expect("commit");
        if writer.position().seq.0 % 4 == 0 {
            writer.mark().expect("mark");
        }
    }
    writer.mark().expect("mark");
    let marked = writer.position().seq;
    stage(&mut writer, 12, 0);
    writer.commit().expect("commit");
    assert_eq!(files(&disk, ".log").len(), 1);
    (disk, marked, writer.position().seq)
}

struct Tail {
    name: String,
    bytes: Vec<u8>,
    /// Where each of the entries begins and ends.
    frames: Vec<(usize, usize, Seq)>,
}

impl Tail {
    /// Judges changed bytes, in which `marked` is still named by a mark: the last entry kept, or `None` when refused.
    fn judge(&self, bytes: &[u8], marked: Seq) -> Option<Seq> {
        let refused = |error: Error| assert_eq!(error.kind(), Kind::Damaged);
        let header = bytes.first_chunk().map(|chunk| Header::decode(&self.name, chunk))?;
        let header = header.map_err(refused).ok()?;
        let tail = walk::judge_tail(&self.name, &header, bytes, Seq(0), |_| {}).map_err(refused).ok()?;
        for range in tail.entries {
            assert!(bytes[range.clone()] == self.bytes[range], "an altered entry was kept");
        }
        assert!(tail.end.last.seq >= marked, "cut at {}, durable to {marked}", tail.end.last.seq);
        Some(tail.end.last.seq)
    }
}

#[test]
fn every_truncation_and_every_bit_flip_of_the_tail_gives_a_prefix_no_shorter_than_the_mark_or_a_refusal() {
    let started = Instant::now();
    let (disk, marked, last) = tail_of_64_kib();
    let path = files(&disk, ".log").remove(0);
    let name = segment::name_of(Seq(1));
    let bytes = crate::disk::read_all(&disk, &path).expect("read");
    let found = scan(Arc::new(disk.clone()), Path::new(DIR)).expect("scan").map(|found| found.expect("whole"));
    let frames = found.filter_map(|found| match found.what {
        What::Entry(logged) => {
            let at = found.offset as usize;
            Some((at, at + frame::size(logged.bytes as usize), logged.position.seq))
        }
        _ => None,
    });
    let tail = Tail { name, frames: frames.collect(), bytes: bytes.clone() };
    assert_eq!(tail.judge(&bytes, marked), Some(last));
    let end = bytes.iter().rposition(|b| *b != 0).expect("frames") + 1;
    assert!(end > 64 << 10);

    let (mut cut, mut refused) = (0, 0);
    let mut changed = bytes.clone();
    let step = if rounds(10) == 10 { 1 } else { 11 };
    for bit in (0..end * 8).step_by(step) {
        changed[bit / 8] ^= 1 << (bit % 8);
        match tail.judge(&changed, marked) {
            Some(seq) => {
                let hit = tail.frames.iter().rev().find(|(begin, ..)| *begin <= bit / 8);
                // The entry that was hit is the first to go, or the one behind it when it was a mark between the two.
                let all_before = hit.is_some_and(|(.., hit)| seq.next() == *hit || seq == *hit);
                assert!(seq == last || all_before, "bit {bit}: kept to {seq}");
                cut += 1;
            }
            None => refused += 1,
        }
        changed[bit / 8] = bytes[bit / 8];
    }
    assert!(cut > 1000 && refused > 1000, "cut {cut}, refused {refused}");

    // The end lost, with zeros in its place; from the back, so that each is one byte shorter.
    for at in (0..end).rev() {
        changed[at] = 0;
        let whole = tail.frames.iter().rev().find(|(_, end, _)| *end <= at).map_or(Seq(0), |(.., seq)| *seq);
        // Marks went with it: nothing shows that there was more.
        assert!(at < segment::HEADER || tail.judge(&changed, whole).is_some(), "refused at {at}");
    }
    // The file cut short: never what a power loss leaves.
    for len in 0..bytes.len() {
        let shorter = disk.image();
        shorter.truncate(&path, len as u64);
        let opened = open(Arc::new(shorter), Path::new(DIR), LARGE, GENESIS, Seq(0));
        assert_eq!(opened.expect_err("a short file").kind(), Kind::Damaged);
    }
    // The same through the whole of a start, for some.
    let some = (0..end as u64 * 8).step_by(397);
    let tried = (0..end * 8).step_by(step).len() + end + bytes.len() + some.clone().count();
    for bit in some {
        let flipped = disk.image();
        flipped.flip_bit(&path, bit);
        match open(Arc::new(flipped), Path::new(DIR), LARGE, GENESIS, Seq(0)) {
            Ok((_, reader, recovery)) => {
                let (_, kept) = verify(&reader);
                assert!(kept >= marked && (kept == last || recovery.cut.is_some_and(|cut| cut.seq == kept.next())));
            }
            Err(error) => assert_eq!(error.kind(), Kind::Damaged),
        }
    }
    // It seeks out every place and leaves nothing to chance: no seed.
    results::record("F4", tried as u64, 0, started, 0);
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_that_another_follows_is_refused() {
    let disk = SimDisk::new(2);
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    while files(&disk, ".log").len() < 3 {
        write(&mut writer, 2);
    }
    let path = files(&disk, ".log").remove(1);
    let bytes = crate::disk::read_all(&disk, &path).expect("read");
    let end = bytes.iter().rposition(|b| *b != 0).expect("frames") as u64 + 1;
    for bit in (0..end * 8).step_by(7) {
        let flipped = disk.image();
        flipped.flip_bit(&path, bit);
        let error = open_at(&flipped, Seq(0)).expect_err("damage");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(error.kind() == Kind::Damaged && error.message().contains(name), "bit {bit}: {error}");
        let scanned: Result<Vec<Scanned>> = scan(Arc::new(flipped), Path::new(DIR)).expect("scan").collect();
        assert_eq!(scanned.expect_err("damage").kind(), Kind::Damaged);
    }
}

/// A log of one segment with two batches of 3, and where the second begins.
fn two_batches() -> (SimDisk, PathBuf, u64) {
    let disk = SimDisk::new(3);
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    stage(&mut writer, 3, 1);
    let first = writer.staged_bytes() as u64;
    writer.commit().expect("commit");
    stage(&mut writer, 3, 1);
    writer.commit().expect("commit");
    let path = files(&disk, ".log").remove(0);
    (disk, path, segment::HEADER as u64 + first)
}

#[test]
fn a_torn_batch_is_cut_with_the_valid_frames_behind_the_tear_and_never_comes_back() {
    let (disk, path, second) = two_batches();
    let torn_at = second + frame::MARK as u64;
    disk.corrupt(&path, torn_at, &[0; 16]);
    let (mut writer, reader, recovery) = open_at(&disk, Seq(3)).expect("a torn batch");
    let cut = recovery.cut.expect("a cut");
    assert_eq!((cut.offset, cut.seq, writer.position().seq), (torn_at, Seq(4), Seq(3)));
    assert!(cut.bytes > 2 * frame::HEADER as u64);
    assert_eq!(reader.position().seq, Seq(3));
    // The entry in the cut one's place has its size; behind it nothing of the old batch may stand.
    stage(&mut writer, 1, 1);
    writer.commit().expect("commit");
    drop(writer);
    let (_, reader, recovery) = open_at(&disk, Seq(4)).expect("open");
    assert_eq!((reader.position().seq, recovery.cut), (Seq(4), None));
}

#[test]
fn the_same_tear_at_or_below_a_witness_is_refused_with_its_place() {
    let (disk, path, second) = two_batches();
    let torn_at = second + frame::MARK as u64;
    let place = [segment::name_of(Seq(1)), format!("byte {torn_at}"), "seq 4".to_owned(), "Restore".to_owned()];
    let refused = |disk: &SimDisk, witness: u64| {
        let error = open_at(disk, Seq(witness)).expect_err("damage");
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(place.iter().all(|part| error.message().contains(part)), "{error}");
    };
    // What the state has applied.
    disk.corrupt(&path, torn_at, &[0; 16]);
    refused(&disk, 4);
    refused(&disk, 6);
    // A mark behind the damage.
    let (disk, path, _) = two_batches();
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    stage(&mut writer, 1, 1);
    writer.commit().expect("commit");
    writer.mark().expect("mark");
    let walked = scan(Arc::new(disk.clone()), Path::new(DIR)).expect("scan").map(|found| found.expect("whole"));
    let at = walked.filter(|found| matches!(&found.what, What::Entry(logged) if logged.position.seq == Seq(7)));
    let offset = at.map(|found| found.offset).next().expect("entry 7");
    disk.flip_bit(&path, offset * 8);
    let error = open_at(&disk, Seq(0)).expect_err("a mark stands behind it");
    assert!(error.message().contains(&format!("byte {offset}, seq 7")) && error.message().contains("mark"), "{error}");
}

#[test]
fn a_mark_inside_of_a_payload_is_no_witness() {
    let disk = SimDisk::new(3);
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    stage(&mut writer, 1, 1);
    writer.commit().expect("commit");
    // All that a client can know, or guess: the form of a mark, the chain, another salt.
    let (position, chain) = (crate::id::Position { seq: Seq(100), ..writer.position() }, writer.chain());
    let mut forged = vec![0; 8];
    for salt in [0, 1, u64::MAX] {
        frame::push(&mut forged, &Frame { kind: FrameKind::Mark, position, time: Millis(0), chain, salt }, &[]);
    }
    let at =
        (segment::HEADER + frame::size(encode(&entry_of(Seq(1), 1)).expect("small").len()) + 2 * frame::MARK) as u64;
    writer.stage(Millis(0), Arc::default(), &forged);
    writer.commit().expect("commit");
    let path = files(&disk, ".log").remove(0);
    disk.flip_bit(&path, at * 8);
    let (writer, _, recovery) = open_at(&disk, Seq(1)).expect("a torn batch");
    assert_eq!((writer.position().seq, recovery.cut.map(|cut| cut.offset)), (Seq(1), Some(at)));
}

#[test]
fn a_log_that_ends_or_begins_on_the_wrong_side_of_the_witness_is_refused() {
    let (disk, _, _) = two_batches();
    let error = open_at(&disk, Seq(7)).expect_err("ends before");
    assert!(error.kind() == Kind::Damaged && error.message().contains("seq 7"), "{error}");
    let error = open_at(&SimDisk::new(0), Seq(1)).expect_err("no log at all");
    assert!(error.kind() == Kind::Damaged && error.message().contains("missing"), "{error}");

    let disk = SimDisk::new(3);
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    (0..60).for_each(|_| write(&mut writer, 1));
    let first = trim(&writer, Seq(40)).expect("trim");
    drop(writer);
    let error = open_at(&disk, Seq(first.0 - 2)).expect_err("begins after");
    assert!(error.kind() == Kind::Damaged && error.message().contains("missing"), "{error}");
    open_at(&disk, Seq(first.0 - 1)).expect("nothing is missing");
}

#[test]
fn a_missing_or_foreign_segment_is_refused_wherever_it_stood() {
    let build = |genesis: Genesis| {
        let disk = SimDisk::new(3);
        let (mut writer, _, _) = open(Arc::new(disk.clone()), Path::new(DIR), SMALL, genesis, Seq(0)).expect("open");
        while files(&disk, ".log").len() < 5 {
            write(&mut writer, 2);
        }
        let last = writer.position().seq;
        (disk, last)
    };
    let (disk, last) = build(GENESIS);
    for hole in 1..4 {
        let holed = disk.image();
        holed.remove(&files(&disk, ".log")[hole]).expect("remove");
        let error = open_at(&holed, last).expect_err("a hole");
        assert!(error.kind() == Kind::Damaged && error.message().contains("missing"), "{error}");
    }
    let (foreign, _) = build(Genesis { database: DatabaseId(8), ..GENESIS });
    for at in 0..5 {
        let mixed = disk.image();
        let path = &files(&disk, ".log")[at];
        mixed.corrupt(path, 0, &crate::disk::read_all(&foreign, &files(&foreign, ".log")[at]).expect("read"));
        assert_eq!(open_at(&mixed, last).expect_err("another database").kind(), Kind::Damaged);
    }
}

#[test]
fn damage_in_a_segment_is_found_by_a_reader_too() {
    let disk = SimDisk::new(3);
    let (mut writer, reader, _) = open_at(&disk, Seq(0)).expect("open");
    while files(&disk, ".log").len() < 4 {
        write(&mut writer, 2);
    }
    let path = files(&disk, ".log").remove(1);
    let first = segment::first_of(path.file_name().and_then(|name| name.to_str()).expect("a name")).expect("a segment");
    disk.flip_bit(&path, (segment::HEADER + frame::HEADER + 3) as u64 * 8);
    let error = reader.read_from(first.before(), 1000).expect_err("damage");
    assert!(error.kind() == Kind::Damaged && error.message().contains(&format!("seq {first}")), "{error}");
    assert!(!reader.read_from(Seq(0), 1).expect("what is before it").is_empty());
}

#[test]
fn what_a_segment_held_when_it_got_its_name_is_durable_without_any_mark() {
    let disk = SimDisk::new(3);
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    while files(&disk, ".log").len() < 2 {
        write(&mut writer, 1);
    }
    let rotated = disk.image();
    drop(writer);
    // A start rewrites the last segment; it holds nothing but entries then.
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    let restarted = disk.image();
    write(&mut writer, 1);
    for disk in [rotated, restarted, disk] {
        disk.flip_bit(&files(&disk, ".log")[1], (segment::HEADER + frame::HEADER) as u64 * 8);
        assert_eq!(open_at(&disk, Seq(0)).expect_err("damage").kind(), Kind::Damaged);
    }
}

#[test]
fn frames_of_another_history_are_not_taken_for_this_one() {
    let (disk, path, second) = two_batches();
    let other = SimDisk::new(4);
    let (mut writer, _, _) = open_at(&other, Seq(0)).expect("open");
    stage(&mut writer, 3, 2);
    writer.commit().expect("commit");
    stage(&mut writer, 3, 1);
    let first = writer.position();
    writer.commit().expect("commit");
    // The same seqs, epoch, times and payloads, after other entries: only the chain tells.
    let mut batch = vec![0; 4096 - segment::HEADER];
    let place = scan(Arc::new(other.clone()), Path::new(DIR)).expect("scan").map(|found| found.expect("whole"));
    let place = place.filter(|found| matches!(&found.what, What::Mark(at) if *at == first)).map(|found| found.offset);
    let begin = place.last().expect("the second batch's mark") + frame::MARK as u64;
    let file = other.open(&path, crate::disk::Open::Read).expect("open");
    batch.truncate((4096 - begin.max(second + frame::MARK as u64)) as usize);
    file.read_at(begin, &mut batch).expect("read");
    disk.corrupt(&path, second + frame::MARK as u64, &batch);
    let (writer, _, recovery) = open_at(&disk, Seq(3)).expect("above every witness");
    assert_eq!(writer.position().seq, Seq(3));
    assert!(recovery.cut.is_some_and(|cut| cut.why.contains("chain")));
}

#[test]
fn damage_in_an_old_segment_is_found_by_a_scrub_that_goes_on_behind_it() {
    let disk = SimDisk::new(1);
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    write_many(&mut writer);
    let mut scrub = writer.scrub();
    let round = |scrub: &mut Scrub| {
        let (mut read, mut errors) = (0, Vec::new());
        loop {
            match scrub.step() {
                Ok(true) => read += 1,
                Ok(false) => return (read, errors),
                Err(error) => errors.push(error),
            }
        }
    };
    let segments = scrub.segments();
    assert!(segments > 4);
    assert_eq!(round(&mut scrub).0, segments);
    let second = files(&disk, ".log")[1].clone();
    disk.flip_bit(&second, 8 * 300);
    let (read, errors) = round(&mut scrub);
    assert_eq!((read, errors.len()), (segments - 1, 1));
    let name = second.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(errors[0].kind() == Kind::Damaged && errors[0].message().contains(name), "{}", errors[0]);
    trim(&writer, Seq(u64::MAX)).expect("trim");
    assert_eq!(round(&mut scrub).0, 0, "the newest is not looked at");
}

fn write_many(writer: &mut Writer) {
    for _ in 0..80 {
        write(writer, 3);
    }
}
