//! Running for weeks: the log goes only where a snapshot holds what was in it, files that have grown shrink again, and
//! damage is found before it is met.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::fixture::{DIR, NOW, Stepped, id, judge, keys, settings};
use crate::core::{self, Copier, Copying};
use crate::disk::sim::{Fault, SimDisk};
use crate::disk::{Disk, Open};
use crate::error::Kind;
use crate::id::Seq;
use crate::limits;
use crate::log;
use crate::model::command::Op;

const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text"}]}"#;
const BASE: &str = "/data/base";
const SNAPSHOT: &str = "/data/snapshot";
const LOG_MAX_BYTES: u64 = 64 << 10;

/// A small log that only its bytes keep, and a base that is compacted whenever it is worth it.
fn small() -> core::Settings {
    core::Settings {
        log: log::Settings { segment_bytes: 8 << 10, first_segment_bytes: 4 << 10, ..log::Settings::default() },
        keep: core::Keep { log_keep: Duration::ZERO, log_max_bytes: LOG_MAX_BYTES },
        compact: core::Compact {
            bytes_min: 1 << 20,
            pause: Duration::ZERO,
            log_part: u64::MAX,
            layers_bytes_max: 2 << 20,
        },
        ..settings()
    }
}

fn open(disk: &SimDisk) -> crate::error::Result<Stepped> {
    Stepped::open_set(disk, &small())
}

fn start() -> Stepped {
    let mut core = open(&SimDisk::new(1)).unwrap();
    core.define(NOTES);
    core
}

/// Overwrites the same few records until that much was logged.
fn overwrite(core: &mut Stepped, log_bytes: usize) {
    for n in 0..log_bytes / 1_000 {
        let body = format!(r#"{{"text":"{n} {}"}}"#, "x".repeat(500));
        let put = core.put("notes", &format!("n{}", n % 7), &body, None, false);
        core.write(&[("notes", put)]).unwrap();
    }
}

fn settle(core: &mut Stepped) {
    core.flush();
    core.applier.checkpoint().unwrap();
    while core.keeper.step(NOW, &|| false).unwrap() {}
}

/// A core whose log was trimmed, with something in the log alone.
fn trimmed() -> Stepped {
    let mut core = start();
    overwrite(&mut core, 4 * LOG_MAX_BYTES as usize);
    settle(&mut core);
    assert!(core.reader.first_seq() > Seq(50), "trimmed up to {}", core.reader.first_seq());
    overwrite(&mut core, 3_000);
    core
}

fn log_bytes(disk: &SimDisk) -> u64 {
    let dir = Path::new("/data/log");
    let len = |name: &String| disk.open(&dir.join(name), Open::Read).unwrap().len().unwrap();
    disk.list(dir).unwrap().iter().map(len).sum()
}

fn flip(disk: &SimDisk, path: &str, byte: u64) {
    disk.flip_bit(Path::new(path), byte * 8 + 3);
}

fn len(disk: &SimDisk, path: &str) -> u64 {
    disk.open(Path::new(path), Open::Read).unwrap().len().unwrap()
}

#[test]
fn tables_lost_after_a_trim_come_back_from_the_snapshot_and_the_log() {
    let mut core = trimmed();
    assert!(log_bytes(&core.disk) <= LOG_MAX_BYTES, "{} bytes of log", log_bytes(&core.disk));
    let expected = core.keys();
    settle(&mut core);
    let disk = core.close();
    for damage in ["none", "removed", "unreadable", "a flipped block"] {
        let disk = disk.fork(1);
        match damage {
            "removed" => disk.remove(Path::new(BASE)).unwrap(),
            "unreadable" => disk.corrupt(Path::new(BASE), 0, &[7; 16 << 10]),
            "a flipped block" => (8..len(&disk, BASE) / 4096).for_each(|block| flip(&disk, BASE, block * 4096 + 50)),
            _ => {}
        }
        let mut core = match open(&disk) {
            Ok(core) => core,
            Err(error) => panic!("{damage}: {error}"),
        };
        if core.view().stack.base.pairs(&[]).unwrap().any(|pair| pair.is_err()) {
            core.abandon();
            core = open(&disk).unwrap();
        }
        judge(&core.view());
        assert_eq!(core.keys(), expected, "{damage}");
        overwrite(&mut core, 1_000);
        core.close();
    }
}

#[test]
fn a_gap_between_snapshot_and_log_is_refused_with_its_place_and_remedy() {
    let mut core = trimmed();
    settle(&mut core);
    let (first, expected) = (core.reader.first_seq(), core.keys());
    let disk = core.close();
    for (damage, named) in [("its content", "snapshot"), ("its header", "snapshot"), ("gone", "no snapshot")] {
        let disk = disk.fork(1);
        match damage {
            "its content" => flip(&disk, SNAPSHOT, len(&disk, SNAPSHOT) / 2),
            "its header" => flip(&disk, SNAPSHOT, 20),
            _ => disk.remove(Path::new(SNAPSHOT)).unwrap(),
        }
        let core = open(&disk).expect("the tables are whole");
        assert_eq!(core.keys(), expected);
        core.abandon();
        disk.remove(Path::new(BASE)).unwrap();
        for _ in 0..2 {
            let error = open(&disk).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged, "{error}");
            for part in [named, &format!("the log begins at seq {first}"), "Restore the folder"] {
                assert!(error.message().contains(part), "{part:?} is not in {error}");
            }
        }
    }
}

#[test]
fn what_a_lease_names_is_kept_while_there_is_room() {
    let mut core = start();
    let lease = core.keeper.leases().take(Seq(3));
    overwrite(&mut core, LOG_MAX_BYTES as usize / 2 + 8_000);
    settle(&mut core);
    assert!(core.keeper.snapshot().is_some() && core.reader.first_seq() <= Seq(3));
    lease.advance(Seq(20));
    settle(&mut core);
    let first = core.reader.first_seq();
    assert!(first > Seq(3) && first <= Seq(20), "begins at {first}");
    overwrite(&mut core, 4 * LOG_MAX_BYTES as usize);
    settle(&mut core);
    assert!(core.reader.first_seq() > Seq(20), "there is no room for it any more");
    drop(lease);
}

#[test]
fn nothing_is_trimmed_before_the_tables_are_durable() {
    let mut core = start();
    overwrite(&mut core, 4 * LOG_MAX_BYTES as usize);
    core.flush();
    while core.keeper.step(NOW, &|| false).unwrap() {}
    let snapshot = core.keeper.snapshot().expect("the view can be read all the same");
    assert!(core.applier.durable() < snapshot.seq);
    assert!(core.reader.first_seq() <= core.applier.durable().next(), "a crash takes the tables back to there");
}

#[test]
fn without_room_there_is_no_snapshot_and_writes_are_refused_as_before() {
    let mut core = start();
    overwrite(&mut core, 4 * LOG_MAX_BYTES as usize);
    core.flush();
    core.applier.checkpoint().unwrap();
    let used = core.disk.used();
    core.disk.set_capacity(Some(used + limits::DISK_HEADROOM_BYTES - 1));
    assert!(!core.keeper.step(NOW, &|| false).unwrap());
    assert!(core.keeper.snapshot().is_none());
    assert_eq!(core.disk.used(), used, "nothing is left of the attempt");
    let more = core.create("notes", r#"{"id":"more"}"#);
    assert_eq!(core.write(&[("notes", more)]).unwrap_err().kind(), Kind::NoSpace);
    assert!(core.applier.begin_copy().is_none(), "nor is the base copied");
}

#[test]
fn damage_in_the_snapshot_and_in_old_segments_is_found_and_the_snapshot_replaced() {
    let mut core = trimmed();
    settle(&mut core);
    let snapshot = core.keeper.snapshot().unwrap();
    while !core.keeper.scrub(&|| false) {}
    assert_eq!(core.keeper.snapshot(), Some(snapshot), "all is well");
    flip(&core.disk, SNAPSHOT, len(&core.disk, SNAPSHOT) / 2);
    while !core.keeper.scrub(&|| false) {}
    assert_eq!(core.keeper.snapshot(), None);
    overwrite(&mut core, 1_000);
    settle(&mut core);
    assert!(core.keeper.snapshot().is_some_and(|now| now.seq > snapshot.seq));
    core::local::verify(&core.disk, Path::new(DIR)).unwrap();
}

#[test]
fn a_stop_ends_the_reading_of_a_snapshot_and_nothing_is_said_of_it() {
    let mut core = trimmed();
    settle(&mut core);
    let snapshot = core.keeper.snapshot().unwrap();
    // Whichever segment it is at, and then at every piece of the snapshot.
    let asked = Cell::new(0);
    let pieces = len(&core.disk, SNAPSHOT).div_ceil(256 << 10);
    for stops_at in 0..=pieces {
        asked.set(0);
        let ends = || asked.replace(asked.get() + 1) == stops_at;
        for _ in 0..1_000 {
            let over = core.keeper.scrub(&ends);
            assert!(!over || asked.get() != stops_at + 1, "a round that was cut short is none");
            if asked.get() > stops_at {
                break;
            }
        }
        assert_eq!(asked.get(), stops_at + 1, "it asks, and reads no further");
        assert_eq!(core.keeper.snapshot(), Some(snapshot));
    }
}

#[test]
fn a_block_that_rots_under_what_is_held_in_memory_is_found() {
    let mut core = start();
    overwrite(&mut core, 100_000);
    settle(&mut core);
    let expected = core.keys();
    while !core.applier.scrub(1 << 20) {}
    assert!(!core.applier.is_damaged());
    let blocks = len(&core.disk, BASE) / 4096;
    let mut bytes = vec![0; 4096];
    let file = core.disk.open(Path::new(BASE), Open::Read).unwrap();
    let used = (2..blocks).find(|block| {
        file.read_at(block * 4096, &mut bytes).unwrap();
        bytes.iter().any(|byte| *byte != 0)
    });
    flip(&core.disk, BASE, used.unwrap() * 4096 + 100);
    assert_eq!(core.keys(), expected, "what is in memory answers right");
    while !core.applier.scrub(1 << 20) {}
    assert!(core.applier.is_damaged(), "but the file is damaged");
    let disk = core.disk.clone();
    core.abandon();
    assert_eq!(open(&disk).unwrap().keys(), expected);
}

/// A base with many records.
fn filled() -> Stepped {
    let mut core = start();
    for piece in 0..30 {
        let body = |n: u64| format!(r#"{{"id":"r{piece}-{n}","text":"{}"}}"#, "y".repeat(2_000));
        let bodies: Vec<String> = (0..100).map(body).collect();
        let records: Vec<(&str, &str)> = bodies.iter().map(|body| ("notes", &body[..])).collect();
        core.fill(&records);
        core.flush();
    }
    core
}

/// A base that was large once, with little left in it.
fn outgrown() -> Stepped {
    let mut core = filled();
    for piece in 1..30 {
        let delete = |n: u64| ("notes", Op::Delete { id: id(&format!("r{piece}-{n}")), if_match: None });
        core.write(&(0..100).map(delete).collect::<Vec<_>>()).unwrap();
        core.flush();
    }
    core.applier.checkpoint().unwrap();
    core
}

/// Steps a copier to its end, with a write and a flush between the steps.
fn copy(core: &mut Stepped, mut copier: Copier, mut between: impl FnMut(&mut Stepped, u64)) -> Copying {
    for step in 0.. {
        match copier.step().unwrap() {
            Copying::More(more) => copier = more,
            ended => return ended,
        }
        between(core, step);
    }
    unreachable!("it ends")
}

#[test]
fn a_file_that_has_outgrown_its_content_shrinks_while_it_is_written_and_read() {
    let mut core = outgrown();
    let before = len(&core.disk, BASE);
    let (old_view, old_keys) = (core.view(), core.keys());
    let copier = core.applier.begin_copy().expect("it is large enough");
    let ended = copy(&mut core, copier, |core, step| {
        if step < 5 {
            let body = format!(r#"{{"id":"during{step}","text":"z"}}"#);
            core.fill(&[("notes", &body)]);
            core.flush();
        }
    });
    let Copying::Done(filling) = ended else { panic!("{ended:?}") };
    // Some that the copier has not seen, one of them frozen and on its way.
    core.fill(&[("notes", r#"{"id":"late","text":"z"}"#)]);
    core.flush();
    core.fill(&[("notes", r#"{"id":"later","text":"z"}"#)]);
    let on_its_way = core.writer.freeze(true).unwrap();
    let expected = core.keys();
    let moved = core.applier.end_copy(*filling).unwrap().expect("nothing stands against it");
    core.writer.adopt(moved);
    assert_eq!(core.keys(), expected, "the frozen layer is still read");
    let flushed = core.applier.apply(&on_its_way).unwrap();
    core.writer.adopt(flushed);
    let after = len(&core.disk, BASE);
    assert!(after < before / 4, "{before} bytes became {after}");
    judge(&core.view());
    assert_eq!(core.keys(), expected);
    assert_eq!(keys(&old_view.stack), old_keys, "who reads the old file goes on");
    assert!(core.applier.begin_copy().is_none(), "there is nothing to win now");
    drop(old_view);
    let core = open(&core.disk.crash(1)).unwrap();
    assert_eq!(core.keys(), expected);
}

/// Ends a copy whose operation of that number fails from then on, or is only that one: what came of it, of the core that
/// goes on, and how many there were.
fn end_copy_failing(template: &SimDisk, op: u64, once: bool) -> (Stepped, Result<bool, Kind>, bool) {
    let mut core = open(&template.fork(op)).unwrap();
    let copier = core.applier.begin_copy().expect("it is large enough");
    let Copying::Done(filling) = copy(&mut core, copier, |_, _| {}) else { panic!("it is worth it") };
    core.fill(&[("notes", r#"{"id":"late","text":"z"}"#)]);
    core.flush();
    let last = core.disk.ops() + op;
    core.disk.fail_at(last, Fault::Eio, once);
    let ended = core.applier.end_copy(*filling).map_err(|error| error.kind());
    let beyond = core.disk.ops() < last;
    core.disk.heal();
    let moved = ended.map(|moved| moved.map(|moved| core.writer.adopt(moved)).is_some());
    (core, moved, beyond)
}

#[test]
fn a_copy_that_can_not_be_given_its_name_is_dropped_and_the_base_goes_on() {
    let template = outgrown().disk.fork(1);
    for once in [true, false] {
        let (mut kept, mut unknown) = (0, 0);
        for op in 1.. {
            let (mut core, moved, beyond) = end_copy_failing(&template, op, once);
            let expected = core.keys();
            match moved {
                Ok(true) => assert!(beyond, "operation {op} failed, and nobody saw it"),
                Ok(false) => {
                    kept += 1;
                    assert_eq!(unknown, 0, "operation {op}: behind the rename nothing is taken back");
                    core.fill(&[("notes", r#"{"id":"then","text":"z"}"#)]);
                    core.flush();
                    core.applier.checkpoint().unwrap();
                    let (seen, core) = (core.keys(), open(&core.disk.crash(op)).unwrap());
                    assert_eq!(core.keys(), seen, "operation {op}");
                    judge(&core.view());
                    continue;
                }
                Err(kind) => {
                    unknown += 1;
                    assert_eq!(kind, Kind::OutcomeUnknown, "operation {op}");
                }
            }
            let core = open(&core.disk.crash(op)).unwrap();
            assert_eq!(core.keys(), expected, "operation {op}");
            if beyond {
                break;
            }
        }
        assert!(kept >= 2 && unknown == 1, "{kept} were dropped, of {unknown} it was not known");
    }
}

#[test]
fn a_copy_is_given_up_when_the_base_is_written_faster_or_there_is_little_to_win() {
    let mut core = outgrown();
    let copier = core.applier.begin_copy().expect("it is large enough");
    // More than may wait for it, before it has made a step.
    let mut written = 0;
    while written <= small().compact.layers_bytes_max {
        written += 100 * 4_900;
        let body = format!(r#"{{"text":"{written} {}"}}"#, "w".repeat(4_900));
        let puts: Vec<_> =
            (0..100).map(|n| ("notes", core.put("notes", &format!("big{n}"), &body, None, false))).collect();
        core.write(&puts).unwrap();
        core.flush();
    }
    let ended = copy(&mut core, copier, |_, _| {});
    assert!(matches!(ended, Copying::GivenUp(why) if why.contains("faster")), "{ended:?}");
    core.applier.drop_copy("given up");
    judge(&core.view());

    let mut core = filled();
    let copier = core.applier.begin_copy().expect("it is large enough");
    let ended = copy(&mut core, copier, |_, _| {});
    assert!(matches!(ended, Copying::GivenUp(why) if why.contains("little")), "{ended:?}");
    core.applier.drop_copy("given up");
    assert!(!core.disk.exists(Path::new("/data/base.new")).unwrap());
    assert!(core.applier.begin_copy().is_some(), "it is looked at again");
}

#[test]
fn a_trim_and_a_look_at_all_come_when_they_are_asked_for() {
    let mut core = start();
    overwrite(&mut core, LOG_MAX_BYTES as usize / 4);
    settle(&mut core);
    let disk = core.close();
    assert!(!disk.exists(Path::new(SNAPSHOT)).unwrap(), "so little is worth none");
    let settings = core::Settings { scrub: Duration::ZERO, ..small() };
    let clock = crate::time::Clock::manual(NOW);
    let (core, threads) = core::start(Arc::new(disk.clone()), Path::new(DIR), &settings, clock).unwrap();
    let wait = |what: &str, holds: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !holds() {
            assert!(began.elapsed() < super::gate::PATIENCE, "it never comes: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    core.trim_now();
    wait("the snapshot", &|| disk.exists(Path::new(SNAPSHOT)).unwrap());
    wait("the trim", &|| core.log().first_seq() > Seq(1));
    core.scrub_now();
    wait("the end of the round", &|| !core.has_chores());
    assert!(core.poison().cause().is_none());
    (8..len(&disk, BASE) / 4096).for_each(|block| flip(&disk, BASE, block * 4096 + 50));
    core.scrub_now();
    wait("the damage", &|| core.poison().cause().is_some_and(|(kind, _)| kind == Kind::Damaged));
    drop(core);
    threads.stop().unwrap_err();
}

#[test]
fn threads_keep_the_files_small_while_clients_write() {
    let disk = start().close();
    let settings = core::Settings { compact: core::Compact { bytes_min: 0, ..small().compact }, ..small() };
    let clock = crate::time::Clock::manual(NOW);
    let (core, threads) = core::start(Arc::new(disk.clone()), Path::new(DIR), &settings, clock).unwrap();
    let notes = super::threads::notes(&core);
    let began = std::time::Instant::now();
    let (mut n, mut first) = (0, Seq(1));
    // The tables are durable only now and then: their thread decides when, or a stop.
    while first == Seq(1) && began.elapsed() < super::gate::PATIENCE && n < 4_000 {
        n += 1;
        let command = super::threads::create(&notes, &format!("n{n}"), &"x".repeat(900));
        super::threads::block_on(core.submit(command)).unwrap();
        first = core.log().first_seq();
    }
    drop(core);
    threads.stop().unwrap();
    let core = open(&disk).unwrap();
    judge(&core.view());
    assert_eq!(core.keys().keys().filter(|key| key[0] == 2).count(), n);
}
