//! What goes wrong below the core: a disk that is full, fails or rots, and folders that don't belong together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fixture::{DIR, Keys, NOW, Stepped, id, judge, settings};
use super::gate::GatedDisk;
use super::threads::{block_on, create, found, notes, queued, start, submit, template, told};
use crate::core;
use crate::disk::sim::{Fault, SimDisk};
use crate::disk::{self, Disk, Open};
use crate::error::Kind;
use crate::id::{DatabaseId, NodeId};
use crate::limits;
use crate::log;
use crate::model::command::{Command, Op};
use crate::model::once::{Fingerprint, Keep, Once};
use crate::state;

const BASE: &str = "/data/base";
const BALLAST: &str = "/data/ballast";
const BLOCK: u64 = 4096;
const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text","max":2000000},
    {"name":"up","type":"relation","collection":"notes"}]}"#;

fn once(key: u8, body: u8, command: Command) -> Command {
    let [key, body] = [key, body].map(|byte| Fingerprint([byte; 16]));
    Command::Once(Once { key, body }, Keep::All, Box::new(command))
}

fn exists(disk: &SimDisk, path: &str) -> bool {
    disk.exists(Path::new(path)).unwrap()
}

#[test]
fn a_failed_sync_leaves_an_unknown_outcome_and_no_other_write() {
    for seed in 0..8 {
        let disk = GatedDisk::new(template());
        let (core, threads) = start(Arc::new(disk.clone())).unwrap();
        let notes = notes(&core);
        disk.gate.close();
        let first = queued(&core, create(&notes, "first", "x"));
        disk.gate.wait_for_writer();
        let batch: Vec<_> = ["b1", "b2"].map(|record| queued(&core, create(&notes, record, "x"))).into();
        disk.gate.let_one_pass();
        block_on(first).unwrap();
        disk.gate.wait_for_writer();
        let behind: Vec<_> = ["c1", "c2"].map(|record| queued(&core, create(&notes, record, "x"))).into();
        let seen = core.view().position;
        disk.gate.fail_log();
        disk.gate.open();
        for one in batch {
            assert_eq!(block_on(one).unwrap_err().kind(), Kind::OutcomeUnknown);
        }
        for one in behind {
            assert_eq!(told(&block_on(one).unwrap_err()), (Kind::Unavailable, "stopping"), "it was never decided");
        }
        block_on(core.poison().wait());
        assert_eq!(core.poison().cause().unwrap().0, Kind::OutcomeUnknown);
        let late = block_on(core.submit(create(&notes, "late", "x"))).unwrap_err();
        assert_eq!(told(&late), (Kind::Unavailable, "stopping"));
        assert_eq!(core.view().position, seen, "what is not known to be on disk is never seen");
        assert_eq!(threads.stop().unwrap_err().kind(), Kind::OutcomeUnknown);
        let found = found(&disk.sim.crash(seed));
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        let prefixes: [&[&str]; 3] = [&["first"], &["b1", "first"], &["b1", "b2", "first"]];
        assert!(prefixes.contains(&&found[..]), "seed {seed}: {found:?}");
    }
}

#[test]
fn tables_that_fail_end_the_writes_and_lose_none() {
    let disk = GatedDisk::new(template());
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let notes = notes(&core);
    disk.gate.fail_base();
    // More than redb holds back.
    block_on(core.submit(create(&notes, "acked", &"x".repeat(1_900_000)))).unwrap();
    block_on(core.poison().wait());
    // The writer may still take one before it looks; whatever it says holds.
    let mut acked = 1;
    loop {
        match block_on(core.submit(create(&notes, &format!("more{acked}"), "x"))) {
            Ok(_) => acked += 1,
            Err(error) => break assert_eq!(told(&error), (Kind::Unavailable, "stopping")),
        }
    }
    assert!(threads.stop().is_err());
    assert_eq!(found(&disk.sim).len(), acked);
    assert_eq!(found(&disk.sim.crash(1)).len(), acked);
}

/// A folder whose tables hold many records, more than their cache, and whose log goes on a little behind them.
fn filled() -> (SimDisk, Keys) {
    let mut core = Stepped::with(&[NOTES]);
    for piece in 0..30 {
        let text = "x".repeat(2_000);
        let writes: Vec<(&str, Op)> = (0..50)
            .map(|n| ("notes", core.create("notes", &format!(r#"{{"id":"n{piece}-{n}","text":"{text}"}}"#))))
            .collect();
        core.writer.commit(&[core.command(&writes)], NOW).unwrap();
    }
    core.flush();
    core.applier.checkpoint().unwrap();
    let merge = core.merge("notes", "n3-3", r#"{"text":"changed","up":"n4-4"}"#, None);
    core.write(&[("notes", merge), ("notes", Op::Delete { id: id("n5-5"), if_match: None })]).unwrap();
    core.define(r#"{"name":"more","fields":[{"name":"text","type":"text"}]}"#);
    core.fill(&[("more", r#"{"id":"m","text":"x"}"#)]);
    let keys = core.keys();
    (core.disk.fork(5), keys)
}

/// One bit of each block from `first` on.
fn rot(disk: &SimDisk, first: u64) -> u64 {
    let blocks = disk.open(Path::new(BASE), Open::Read).unwrap().len().unwrap() / BLOCK;
    for block in first..blocks {
        disk.flip_bit(Path::new(BASE), (block * BLOCK + 100) * 8 + block % 8);
    }
    blocks
}

#[test]
fn tables_with_a_rotten_block_anywhere_open_or_are_built_anew() {
    let (disk, keys) = filled();
    let blocks = disk.open(Path::new(BASE), Open::Read).unwrap().len().unwrap() / BLOCK;
    let (mut open, mut anew) = (0, 0);
    for block in (0..blocks).filter(|block| *block < 40 || block % 16 == 0) {
        let disk = disk.fork(block);
        disk.flip_bit(Path::new(BASE), (block * BLOCK + 100) * 8 + 3);
        let mut core = Stepped::open(&disk).unwrap_or_else(|error| panic!("block {block}: {error}"));
        if exists(&disk, "/data/base.damaged") {
            anew += 1;
            assert_eq!(core.keys(), keys, "block {block}");
            core.fill(&[("notes", r#"{"id":"after"}"#)]);
        } else {
            open += 1;
        }
    }
    eprintln!("of {} flips {anew} were met at the start", open + anew);
    assert!(anew > 0 && open > 0);
}

#[test]
fn damage_that_a_reader_meets_is_said_and_healed_by_a_restart() {
    let (disk, mut keys) = filled();
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    rot(&disk, 8);
    let view = core.view();
    let notes = notes(&core);
    let mut damaged = 0;
    for (piece, n) in (0..30).flat_map(|piece| (0..50).map(move |n| (piece, n))) {
        match state::record(&view.stack, &notes, &id(&format!("n{piece}-{n}"))) {
            Ok(record) => {
                let Some(record) = record else {
                    assert_eq!((piece, n), (5, 5), "a record is missing");
                    continue;
                };
                let length = record.fields.get(notes.fields[0].id).as_text().unwrap().len();
                assert_eq!(length, if (piece, n) == (3, 3) { 7 } else { 2_000 });
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Damaged);
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0);
    drop(view);
    block_on(core.poison().wait());
    assert_eq!(core.poison().cause().unwrap().0, Kind::Damaged);
    assert_eq!(threads.stop().unwrap_err().kind(), Kind::Damaged);
    assert!(exists(&disk, "/data/base.damaged") && !exists(&disk, BASE), "set aside");
    let core = Stepped::open(&disk).unwrap();
    judge(&core.view());
    assert_eq!(core.keys(), std::mem::take(&mut keys));
}

#[test]
fn damage_that_a_write_meets_is_said_and_healed_by_a_restart() {
    let (disk, keys) = filled();
    let (core, threads) = start(Arc::new(disk.clone())).unwrap();
    let notes = notes(&core);
    rot(&disk, 8);
    let mut acked = 0;
    let refusal = loop {
        match block_on(core.submit(create(&notes, &format!("n{}-x", acked % 30), "x"))) {
            Ok(_) => acked += 1,
            Err(error) => break error,
        }
        assert!(acked < 30, "no write met the damage");
    };
    assert!([Kind::Damaged, Kind::OutcomeUnknown, Kind::Unavailable].contains(&refusal.kind()), "{refusal:?}");
    block_on(core.poison().wait());
    assert_eq!(core.poison().cause().unwrap().0, Kind::Damaged);
    assert_eq!(threads.stop().unwrap_err().kind(), Kind::Damaged);
    let core = Stepped::open(&disk).unwrap();
    judge(&core.view());
    let now = core.keys();
    assert!(now.len() >= keys.len() + acked, "what was acknowledged is there");
}

#[test]
fn damage_that_the_applier_meets_is_healed_by_a_restart() {
    let (disk, _) = filled();
    let mut core = Stepped::open(&disk).unwrap();
    core.fill(&[("notes", r#"{"id":"n3-x","text":"new"}"#), ("notes", r#"{"id":"n20-x","text":"new"}"#)]);
    let keys = core.keys();
    rot(&disk, 8);
    let flush = core.writer.freeze(true).unwrap();
    assert_eq!(core.applier.apply(&flush).unwrap_err().kind(), Kind::Damaged);
    assert!(core.applier.is_damaged());
    core.applier.quarantine().unwrap();
    core.applier.close(false).unwrap();
    let disk = disk.fork(1);
    let core = Stepped::open(&disk).unwrap();
    judge(&core.view());
    assert_eq!(core.keys(), keys);
}

#[test]
fn tables_whose_sync_failed_are_not_trusted_by_the_next_start() {
    let (filled, _) = filled();
    let (mut syncs_before, mut syncs_failed) = (0, 0);
    for op in 1.. {
        let disk = filled.fork(op);
        let mut core = Stepped::open(&disk).unwrap();
        core.fill(&[("notes", r#"{"id":"new","text":"new"}"#)]);
        let keys = core.keys();
        core.flush();
        let syncs = disk.syncs();
        let at = disk.ops() + op;
        disk.fail_at(at, Fault::Eio, true);
        let failed = core.applier.checkpoint().is_err();
        if disk.ops() < at {
            break;
        }
        // It ended at the fault, if it failed; what it may pass over is no sync.
        let is_sync = failed && disk.syncs() - syncs > syncs_before;
        if failed {
            syncs_before = disk.syncs() - syncs;
        } else {
            eprintln!("operation {op} of a checkpoint may fail");
        }
        core.abandon();
        disk.heal();
        // No power loss: the page cache shows what the medium may not have.
        if is_sync {
            syncs_failed += 1;
            assert!(exists(&disk, "/data/base.damaged") && !exists(&disk, BASE), "operation {op}: set aside");
        }
        let mut core = Stepped::open(&disk).unwrap();
        assert_eq!(core.keys(), keys, "operation {op}");
        core.fill(&[("notes", r#"{"id":"newer","text":"new"}"#)]);
        core.flush();
        core.applier.checkpoint().unwrap();
        let keys = core.keys();
        let core = Stepped::open(&disk.crash(op)).unwrap();
        judge(&core.view());
        assert_eq!(core.keys(), keys, "operation {op}");
    }
    assert!(syncs_failed > 0);
}

#[test]
fn without_headroom_writes_are_refused_and_deletes_go_on() {
    let (disk, _) = filled();
    let mut core = Stepped::open(&disk).unwrap();
    disk.set_capacity(Some(disk.used() + limits::DISK_HEADROOM_BYTES - 1));
    let keys = core.keys();
    let merge = core.merge("notes", "n1-1", r#"{"text":"y"}"#, None);
    let put = core.put("notes", "n1-1", r#"{"text":"y"}"#, None, false);
    let more = core.create("notes", r#"{"id":"more"}"#);
    let delete = |record: &str| Op::Delete { id: id(record), if_match: None };
    for refused in [&[("notes", merge)][..], &[("notes", put)], &[("notes", delete("n1-1")), ("notes", more)]] {
        let error = core.write(refused).unwrap_err();
        assert_eq!((error.kind(), error.code_str()), (Kind::NoSpace, "no_space"));
        assert_eq!(core.keys(), keys, "nothing was changed");
    }
    let wanted = core.wanted(r#"{"name":"other","fields":[{"name":"text","type":"text"}]}"#);
    assert_eq!(core.submit(Command::Define(Box::new(wanted))).unwrap_err().kind(), Kind::NoSpace);
    core.write(&[("notes", delete("n1-1")), ("notes", delete("n1-2"))]).unwrap();
    let more = core.collection("more").id;
    core.submit(Command::Drop(more)).unwrap();
    while let Some(reclaim) = core.writer.work().unwrap() {
        core.submit(reclaim).unwrap();
    }
    // One batch may hold both sorts: each has its own answer.
    let batch =
        [core.command(&[("notes", core.create("notes", r#"{"id":"x"}"#))]), core.command(&[("notes", delete("n1-3"))])];
    let outcomes = core.writer.commit(&batch, NOW).unwrap();
    assert!(outcomes[0].is_err() && outcomes[1].is_ok());
    disk.set_capacity(None);
    core.fill(&[("notes", r#"{"id":"healed"}"#)]);
    assert_eq!(core.shown("notes", "n1-3"), "gone");
    core.assert_one_state(core.view().position.seq.before());
}

#[test]
fn on_a_full_disk_the_ballast_is_given_up_for_deletes_and_made_again_later() {
    let (disk, _) = filled();
    let mut core = Stepped::open(&disk).unwrap();
    core.fill(&[("notes", r#"{"id":"one"}"#)]);
    core.writer.idle().unwrap();
    assert!(exists(&disk, BALLAST), "made when there is room");
    disk.set_capacity(Some(disk.used()));
    let mut deleted = 0;
    for (piece, n) in (10..30).flat_map(|piece| (0..50).map(move |n| (piece, n))) {
        core.writer
            .commit(&[core.command(&[("notes", Op::Delete { id: id(&format!("n{piece}-{n}")), if_match: None })])], NOW)
            .unwrap()
            .pop()
            .unwrap()
            .unwrap();
        deleted += 1;
    }
    assert!(!exists(&disk, BALLAST), "{deleted} deletes needed its room");
    core.writer.idle().unwrap();
    assert!(!exists(&disk, BALLAST), "there is no room for it");
    judge(&core.view());
    let keys = core.keys();
    disk.set_capacity(None);
    core.writer.idle().unwrap();
    assert!(exists(&disk, BALLAST));
    core.fill(&[("notes", r#"{"id":"healed"}"#), ("notes", r#"{"id":"n10-0"}"#)]);
    assert_eq!(core.keys().len(), keys.len() + 4, "two rows and their entries");
    core.assert_one_state(core.view().position.seq.before());
}

#[test]
fn a_batch_without_any_room_left_is_refused_whole_and_forgotten() {
    let mut core = Stepped::with(&[NOTES]);
    let disk = core.disk.clone();
    let kept = once(1, 1, core.command(&[("notes", core.create("notes", r#"{"id":"kept"}"#))]));
    let answer = core.submit(kept.clone()).unwrap().position;
    let text = "x".repeat(1_000);
    let records: Vec<String> = (0..200).map(|n| format!(r#"{{"id":"n{n}","text":"{text}"}}"#)).collect();
    for record in &records {
        core.fill(&[("notes", record)]);
    }
    disk.set_capacity(Some(disk.used()));
    let mut gone = 0;
    let refused = loop {
        let delete = |n: usize| core.command(&[("notes", Op::Delete { id: id(&format!("n{n}")), if_match: None })]);
        let batch = [delete(gone), delete(gone + 1), delete(gone), kept.clone()];
        let (before, view) = (core.keys(), core.view());
        let mut outcomes = core.writer.commit(&batch, NOW).unwrap();
        assert_eq!(
            outcomes.pop().unwrap().unwrap().position,
            answer,
            "for an answer that is kept there is no need of room"
        );
        if outcomes.iter().all(Result::is_err) {
            assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().kind() == Kind::NoSpace));
            assert_eq!((core.keys(), core.view().position), (before, view.position), "nothing was changed");
            break gone;
        }
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
        gone += 2;
        assert!(gone < 198, "the segment is never full");
    };
    disk.set_capacity(None);
    core.write(&[("notes", Op::Delete { id: id(&format!("n{refused}")), if_match: None })]).unwrap();
    core.assert_one_state(core.view().position.seq.before());
}

#[test]
fn a_full_disk_keeps_no_answer_from_whoever_asks_again() {
    let mut core = Stepped::with(&[NOTES]);
    let make = |core: &Stepped, id: &str| {
        let create = core.create("notes", &format!(r#"{{"id":"{id}"}}"#));
        core.command(&[("notes", create)])
    };
    let kept = once(1, 1, make(&core, "a"));
    let first = core.submit(kept.clone()).unwrap();
    core.disk.set_capacity(Some(core.disk.used() + limits::DISK_HEADROOM_BYTES / 2));
    let asked = [kept, once(2, 1, make(&core, "b")), once(1, 2, make(&core, "b")), make(&core, "b")];
    let outcomes = core.writer.commit(&asked, NOW).unwrap();
    let again = outcomes[0].as_ref().unwrap();
    assert!(again.replayed.is_some());
    assert_eq!((again.position, &again.writes), (first.position, &first.writes));
    let refused = outcomes[1..].iter().map(|outcome| outcome.as_ref().unwrap_err().kind());
    assert_eq!(refused.collect::<Vec<_>>(), [Kind::NoSpace, Kind::Unprocessable, Kind::NoSpace]);
}

#[test]
fn a_full_disk_under_the_threads_heals_by_itself() {
    let sim = template();
    let (core, threads) = start(Arc::new(sim.clone())).unwrap();
    let notes = notes(&core);
    block_on(core.submit(create(&notes, "one", "x"))).unwrap();
    sim.set_capacity(Some(sim.used() + limits::DISK_HEADROOM_BYTES / 2));
    assert_eq!(block_on(core.submit(create(&notes, "two", "x"))).unwrap_err().kind(), Kind::NoSpace);
    assert!(state::exists(&core.view().stack, &notes, &id("one")).unwrap(), "reads go on");
    sim.set_capacity(None);
    block_on(core.submit(create(&notes, "two", "x"))).unwrap();
    assert!(core.poison().cause().is_none());
    threads.stop().unwrap();
    assert_eq!(found(&sim).len(), 2);
}

#[test]
fn a_folder_of_a_newer_program_is_refused_untouched() {
    let disk = template();
    let path = Path::new(DIR).join("identity.json");
    let identity = disk::read_all(&disk, &path).unwrap();
    let newer = String::from_utf8(identity).unwrap().replace("\"format\":1", "\"format\":2,\"more\":true");
    disk::replace_file(&disk, &path, newer.as_bytes()).unwrap();
    let error = start(Arc::new(disk.clone())).unwrap_err();
    assert_eq!(told(&error), (Kind::Invalid, "newer_format"));
    assert!(error.message().contains("format 2"), "{error}");
    disk::replace_file(&disk, &path, b"{\"format\":").unwrap();
    assert_eq!(start(Arc::new(disk.clone())).unwrap_err().kind(), Kind::Damaged);
    // The lock was let go: put right, it opens.
    disk::replace_file(&disk, &path, newer.replace("\"format\":2,\"more\":true", "\"format\":1").as_bytes()).unwrap();
    start(Arc::new(disk)).unwrap().1.stop().unwrap();
}

fn copy(from: &SimDisk, to: &SimDisk, dir: &str) {
    for name in to.list(Path::new(dir)).unwrap() {
        to.remove(&Path::new(dir).join(name)).unwrap();
    }
    for name in from.list(Path::new(dir)).unwrap() {
        let path: PathBuf = Path::new(dir).join(name);
        let bytes = disk::read_all(from, &path).unwrap();
        disk::replace_file(to, &path, &bytes).unwrap();
    }
}

#[test]
fn a_log_of_another_database_is_refused() {
    let ours = template();
    let theirs = SimDisk::new(3);
    let genesis = Some(log::Genesis { database: DatabaseId(8), node: NodeId(1) });
    let other = core::Settings { genesis, ..settings() };
    drop(core::open(Arc::new(theirs.clone()), Path::new(DIR), &other).unwrap());
    // With tables that hold nothing, there is only the log's own word.
    let mixed = theirs.fork(1);
    copy(&ours, &mixed, "/data/log");
    let error = start(Arc::new(mixed)).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.message().contains("another database"), "{error}");
}

#[test]
fn tables_of_another_history_are_refused() {
    let core = Stepped::with(&[NOTES]);
    let common = core.close();
    let grown = |body: &str| {
        let mut core = Stepped::open(&common.fork(1)).unwrap();
        core.fill(&[("notes", body)]);
        core.flush();
        core.close()
    };
    let (ours, theirs) = (grown(r#"{"id":"ours"}"#), grown(r#"{"id":"theirs"}"#));
    copy(&theirs, &ours, "/data/log");
    let error = Stepped::open(&ours).err().expect("refused");
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.message().contains("another history"), "{error}");
    // As it says: without the tables the log alone makes them.
    ours.remove(Path::new(BASE)).unwrap();
    let core = Stepped::open(&ours).unwrap();
    assert!(core.record("notes", "theirs").is_some() && core.record("notes", "ours").is_none());
}

#[test]
fn a_command_after_the_end_is_refused_at_once() {
    let (core, threads) = start(Arc::new(template())).unwrap();
    let notes = notes(&core);
    threads.stop().unwrap();
    for _ in 0..limits::WRITER_QUEUE + 10 {
        let Err(Err(error)) = submit(&core, create(&notes, "late", "x")) else { panic!("it waits") };
        assert_eq!(told(&error), (Kind::Unavailable, "stopping"));
    }
}
