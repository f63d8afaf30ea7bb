//! What a follower's log promises: the primary's bytes or a refusal; one history at a time; and that a folder which is
//! made of a snapshot is the old one or the new one, whenever the power goes.

use std::path::Path;

use tokio::sync::oneshot;

use super::fixture::{self, DIR, Keys, Stepped, follower_settings, judge, sow};
use crate::core::order::{Ground, Leaving, Order, Ordered};
use crate::core::{self, Role, plant, rejoin};
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::error::{Kind, Result};
use crate::id::{Chain, DatabaseId, Epoch, NodeId, Position, Seq};
use crate::log;

const NOTES: &str =
    r#"{"name":"notes","fields":[{"name":"text","type":"text"}],"indexes":[{"name":"t","fields":["text"]}]}"#;

/// A primary with some records, and its snapshot of an earlier moment.
fn primary() -> (Stepped, Vec<u8>) {
    let mut primary = Stepped::with(&[NOTES]);
    note(&mut primary, "first");
    let snapshot = primary.snapshot();
    for n in 0..5 {
        note(&mut primary, &format!("n{n}"));
    }
    (primary, snapshot)
}

fn note(core: &mut Stepped, id: &str) {
    core.fill(&[("notes", &format!(r#"{{"id":"{id}","text":"text of {id}"}}"#))]);
}

fn follower(snapshot: &[u8]) -> Stepped {
    Stepped::planted(&SimDisk::new(2), snapshot, None).unwrap()
}

#[test]
fn a_follower_logs_the_primarys_bytes_and_goes_on_after_a_restart() {
    let (mut primary, snapshot) = primary();
    let mut follower = follower(&snapshot);
    assert_eq!(follower.reader.first_seq(), Seq(3), "its log begins behind the snapshot");
    follower.follow(&primary.reader, 1).unwrap();
    let shipped = |core: &Stepped| core.reader.ship(Seq(2), usize::MAX).unwrap();
    assert_eq!(shipped(&follower), shipped(&primary));
    let disk = follower.close();
    note(&mut primary, "away");
    let mut follower = Stepped::open_set(&disk, &follower_settings()).unwrap();
    follower.follow(&primary.reader, usize::MAX).unwrap();
    assert_eq!(follower.keys(), primary.keys());
    assert_eq!(
        follower.reader.witness(Seq(2)).unwrap().unwrap().chain,
        primary.reader.witness(Seq(2)).unwrap().unwrap().chain
    );
}

#[test]
fn what_does_not_go_on_from_the_logs_end_is_refused_and_changes_nothing() {
    let (mut primary, snapshot) = primary();
    let mut follower = follower(&snapshot);
    // Another server that begins where this one is.
    let mut other = Stepped::planted(&SimDisk::new(3), &snapshot, Some(1)).unwrap();
    note(&mut other, "elsewhere");
    let all = |core: &Stepped, after| core.reader.ship(Seq(after), usize::MAX).unwrap().frames;
    follower.follow(&primary.reader, 1).unwrap();
    let before = follower.view();
    for (what, frames) in [
        ("what it has already", all(&primary, 2)),
        ("another history", all(&other, 2)),
        ("another history's next", {
            for n in 0..5 {
                note(&mut other, &format!("o{n}"));
            }
            all(&other, before.position.seq.0)
        }),
        ("not the next", {
            note(&mut primary, "next");
            note(&mut primary, "next2");
            all(&primary, before.position.seq.0 + 1)
        }),
    ] {
        let error = follower.writer.ingest(&frames).unwrap().expect_err(what);
        assert_eq!((error.kind(), error.code_str()), (Kind::Conflict, "diverged"), "{what}: {error}");
        assert!(std::sync::Arc::ptr_eq(&before, &follower.view()), "{what}");
    }
    follower.follow(&primary.reader, usize::MAX).unwrap();
    assert_eq!(follower.keys(), primary.keys(), "it goes on as if nothing had come");
}

#[test]
fn no_cut_and_no_flipped_bit_of_a_shipment_is_logged() {
    let (primary, snapshot) = primary();
    let mut follower = follower(&snapshot);
    let frames = primary.reader.ship(Seq(2), usize::MAX).unwrap().frames;
    let mut whole = 0;
    for at in 0..frames.len() {
        let mut bent = frames.clone();
        bent[at] ^= 1 << (at % 8);
        follower.writer.ingest(&bent).unwrap().expect_err("a flipped bit");
        // Between two frames a cut leaves whole ones.
        whole += usize::from(log::unpack(&frames[..at]).is_ok());
    }
    assert_eq!(whole, 5);
    assert_eq!(follower.view().position.seq, Seq(2));
}

#[test]
fn a_follower_takes_no_command_until_it_begins_an_epoch_and_then_positions_of_both_are_known() {
    let (mut primary, snapshot) = primary();
    let mut follower = follower(&snapshot);
    follower.follow(&primary.reader, usize::MAX).unwrap();
    let create = follower.create("notes", r#"{"id":"own","text":"x"}"#);
    let refused = follower.write(&[("notes", create.clone())]).expect_err("it follows");
    assert_eq!((refused.kind(), refused.code_str()), (Kind::Misdirected, "follower"));
    assert!(follower.writer.work().unwrap().is_none());

    let shared = primary.view().position;
    note(&mut primary, "unshared");
    let unshared = primary.view().position;
    let begun = follower.writer.begin(4, follower.now).unwrap().unwrap();
    assert_eq!(begun, Position { epoch: Epoch { counter: 5, node: NodeId(2) }, seq: shared.seq.next() });
    follower.write(&[("notes", create)]).unwrap();

    let view = follower.view();
    for (what, position, known) in [
        ("the old epoch's", shared, true),
        ("before everything", Position { seq: Seq(0), ..unshared }, true),
        ("what only the old primary has", unshared, false),
        ("the new epoch's", begun, true),
        ("the end", view.position, true),
        ("past the end", Position { seq: view.position.seq.next(), ..view.position }, false),
        (
            "the new epoch's, of a time before it",
            Position { epoch: Epoch { counter: 3, ..begun.epoch }, ..shared },
            false,
        ),
    ] {
        assert_eq!(view.knows(position).unwrap(), known, "{what}: {position}");
    }
    // The old one hears of it.
    primary.writer.give_way(Role::Fenced).unwrap();
    let refused =
        primary.write(&[("notes", primary.create("notes", r#"{"id":"late","text":"x"}"#))]).expect_err("fenced");
    assert_eq!((refused.kind(), refused.code_str()), (Kind::Misdirected, "fenced"));
    let frames = follower.reader.ship(shared.seq, usize::MAX).unwrap().frames;
    assert_eq!(primary.writer.ingest(&frames).unwrap().expect_err("it follows none").code_str(), "not_a_follower");
    // Epochs survive a restart.
    let disk = follower.close();
    let follower = Stepped::open(&disk).unwrap();
    assert!(follower.view().knows(shared).unwrap() && !follower.view().knows(unshared).unwrap());
}

#[test]
fn a_state_in_which_epochs_began_is_the_same_by_every_way() {
    let (mut primary, _) = primary();
    primary.writer.begin(0, primary.now).unwrap().unwrap();
    note(&mut primary, "second");
    let second = primary.view().position;
    primary.writer.begin(6, primary.now).unwrap().unwrap();
    note(&mut primary, "third");
    assert_eq!((second.epoch.counter, primary.view().position.epoch.counter), (2, 7));
    for at in [1, 4, 8, primary.view().position.seq.0] {
        primary.assert_one_state(Seq(at));
    }
}

#[test]
fn a_folder_is_made_of_a_snapshot_or_stays_as_it_was_whenever_the_power_goes() {
    let (primary, _) = primary();
    let snapshot = primary.snapshot();
    let alone = core::Settings { role: Role::Primary, ..follower_settings() };
    let mut old = Stepped::open_set(&SimDisk::new(9), &alone).unwrap();
    old.define(NOTES);
    note(&mut old, "other");
    let old_keys = old.keys();
    old.flush();
    let template = old.close();
    for begins_above in [None, Some(3)] {
        let (mut kept, mut made) = (0, 0);
        for op in 1.. {
            let disk = template.fork(op);
            disk.freeze_at_op(disk.ops() + op);
            let planted = Stepped::planted(&disk, &snapshot, begins_above);
            let beyond = !disk.is_frozen();
            drop(planted);
            let mut rng = Rng::new(op);
            // Twice: the second start may be cut short as well.
            let disk = disk.crash(rng.u64());
            disk.freeze_at_op(disk.ops() + rng.below(60));
            let settings = settings_of(if begins_above.is_some() { Role::Primary } else { Role::Follower });
            drop(Stepped::open_set(&disk, &settings));
            let core = Stepped::open_set(&disk.crash(rng.u64()), &settings).unwrap();
            judge(&core.view());
            let position = core.view().position;
            if core.keys() == old_keys {
                kept += 1;
                assert!(!beyond && made == 0, "operation {op}: made once, it stays");
            } else {
                made += 1;
                let at = primary.view().position;
                let expected = match begins_above {
                    None => at,
                    Some(above) => {
                        Position { epoch: Epoch { counter: above + 1, node: NodeId(2) }, seq: at.seq.next() }
                    }
                };
                assert_eq!(position, expected, "operation {op}");
                assert!(core.view().knows(at).unwrap());
            }
            if beyond {
                break;
            }
        }
        assert!(kept > 3 && made > 10, "{kept} stayed, {made} were made");
    }
}

/// A server that has logged what its primary's history has not: its folder after a crash, the fork, and its keys there and
/// at its end. The tables are durably before the fork, or past it.
fn left_behind(past: bool) -> (SimDisk, log::Witness, Keys, Keys, Stepped) {
    let mut old = Stepped::with(&[NOTES]);
    note(&mut old, "first");
    old.flush();
    old.applier.checkpoint().unwrap();
    (0..5).for_each(|n| note(&mut old, &format!("both{n}")));
    let (fork, at_fork) = (old.view().witness(), old.keys());
    // The history that goes on elsewhere.
    let mut primary = Stepped::planted(&SimDisk::new(5), &old.snapshot(), Some(1)).unwrap();
    (0..5).for_each(|n| note(&mut primary, &format!("theirs{n}")));
    let long = "x".repeat(900);
    for n in 0..220 {
        old.fill(&[("notes", &format!(r#"{{"id":"own{n}","text":"{long}"}}"#))]);
    }
    // In the tables, and not durably, unless it is wanted so.
    old.flush();
    if past {
        old.applier.checkpoint().unwrap();
    }
    let (own, disk) = (old.keys(), old.disk.clone());
    old.abandon();
    (disk.crash(1), fork, at_fork, own, primary)
}

#[test]
fn a_log_is_cut_where_it_left_or_stays_as_it_was_whenever_the_power_goes() {
    let (template, fork, at_fork, own, primary) = left_behind(false);
    let last = log::Origin { database: DatabaseId(7), position: fork.position, chain: fork.chain };
    let (mut kept, mut cut) = (0, 0);
    for op in 1.. {
        let disk = template.fork(op);
        disk.freeze_at_op(disk.ops() + op);
        let opened =
            rejoin::sow(&disk, Path::new(DIR), last).and_then(|()| Stepped::open_set(&disk, &follower_settings()));
        let beyond = !disk.is_frozen();
        assert!(!beyond || opened.is_ok());
        drop(opened);
        let mut rng = Rng::new(op);
        // Twice: the second start may be cut short as well.
        let disk = disk.crash(rng.u64());
        disk.freeze_at_op(disk.ops() + rng.below(60));
        drop(Stepped::open_set(&disk, &follower_settings()));
        let mut core = Stepped::open_set(&disk.crash(rng.u64()), &follower_settings()).unwrap();
        judge(&core.view());
        if core.keys() == own {
            kept += 1;
            assert!(!beyond && cut == 0, "operation {op}: cut once, it stays so");
        } else {
            cut += 1;
            assert_eq!((core.view().position, core.view().chain), (fork.position, fork.chain), "operation {op}");
            assert_eq!(core.keys(), at_fork, "operation {op}");
            core.follow(&primary.reader, 2_000).unwrap();
            assert_eq!(core.keys(), primary.keys(), "operation {op}");
        }
        if beyond {
            break;
        }
    }
    assert!(kept > 2 && cut > 10, "{kept} stayed, {cut} were cut");
}

#[test]
fn tables_that_are_past_the_fork_or_another_history_are_never_cut_under() {
    let (disk, fork, _, own, _) = left_behind(true);
    let last = log::Origin { database: DatabaseId(7), position: fork.position, chain: fork.chain };
    rejoin::sow(&disk, Path::new(DIR), last).unwrap();
    let core = Stepped::open_set(&disk, &follower_settings()).unwrap();
    assert_eq!(core.keys(), own, "it is as it was, and the note is gone");
    core.abandon();
    assert_eq!(Stepped::open_set(&disk.crash(1), &follower_settings()).unwrap().keys(), own);

    let (disk, fork, at_fork, own, _) = left_behind(false);
    let other = log::Origin { chain: Chain(fork.chain.0 ^ 1), ..last };
    rejoin::sow(&disk, Path::new(DIR), other).unwrap();
    let core = Stepped::open_set(&disk, &follower_settings()).unwrap();
    assert!(core.keys() == own && own != at_fork, "nothing of it was touched");
}

/// Has the writer carry out an order, as its thread does.
fn obeyed(core: &mut Stepped, order: Order) -> Result<Position> {
    let (answer, mut outcome) = oneshot::channel();
    let (disk, durable) = (core.disk.clone(), core.applier.durable_mark());
    let ground = Ground { disk: &disk, dir: Path::new(DIR), durable: &durable };
    Ordered { order, answer }.obey(&mut core.writer, core.now, &ground).unwrap();
    outcome.try_recv().unwrap()
}

fn is_sown(disk: &SimDisk) -> bool {
    disk.exists(&Path::new(DIR).join("planting.json")).unwrap()
}

fn settings_of(role: Role) -> core::Settings {
    core::Settings { role, ..follower_settings() }
}

/// What goes with the folder is not logged, and whoever becomes the primary keeps all of it.
#[test]
fn nothing_is_logged_behind_a_cut_and_a_server_that_begins_an_epoch_stays_whole() {
    let (disk, fork, at_fork, own, primary) = left_behind(false);
    let last = log::Origin { database: DatabaseId(7), position: fork.position, chain: fork.chain };
    let cut = || Order::Leave(Leaving::Cut(last));
    for role in [Role::Primary, Role::Fenced] {
        let mut core = Stepped::open_set(&disk.fork(1), &settings_of(role)).unwrap();
        assert_eq!(obeyed(&mut core, cut()).expect_err("it follows none").code_str(), "not_a_follower");
        assert_eq!(Stepped::open_set(&core.disk.crash(1), &follower_settings()).unwrap().keys(), own, "{role:?}");
    }

    let mut core = Stepped::open_set(&disk, &follower_settings()).unwrap();
    obeyed(&mut core, cut()).unwrap();
    let frames = primary.reader.ship(fork.position.seq, usize::MAX).unwrap().frames;
    let refused = obeyed(&mut core, Order::Ingest(frames)).expect_err("it would go");
    assert_eq!(refused.kind(), Kind::Unavailable);
    let refused = obeyed(&mut core, Order::Begin(4)).expect_err("it would go");
    assert_eq!((refused.kind(), refused.code_str()), (Kind::Conflict, "follower_not_whole"));
    let left = core.disk.crash(3);
    assert_eq!(Stepped::open_set(&left.fork(1), &follower_settings()).unwrap().keys(), at_fork);

    // Who looks at the folder leaves it so.
    let fenced = Stepped::open_set(&left, &settings_of(Role::Fenced)).unwrap();
    assert_eq!(fenced.keys(), own);
    let left = fenced.close();
    assert_eq!(Stepped::open_set(&left.fork(1), &follower_settings()).unwrap().keys(), at_fork);
    // By its operator's word it becomes the primary: with all that it had, now and ever after.
    let mut promoted = Stepped::open_set(&left.fork(2), &settings_of(Role::Fenced)).unwrap();
    obeyed(&mut promoted, Order::Begin(4)).unwrap();
    note(&mut promoted, "answered");
    let (keys, after) = (promoted.keys(), promoted.disk.crash(3));
    // So does one that is told to follow nobody.
    let alone = Stepped::open_set(&left, &settings_of(Role::Primary)).unwrap();
    assert_eq!(alone.keys(), own);
    alone.abandon();
    for role in [Role::Primary, Role::Follower] {
        assert_eq!(Stepped::open_set(&after.fork(1), &settings_of(role)).unwrap().keys(), keys, "{role:?}");
        assert_eq!(Stepped::open_set(&left.fork(1), &settings_of(role)).unwrap().keys(), own, "{role:?}");
    }
}

/// A snapshot that comes while its follower is promoted takes nothing from the new primary.
#[test]
fn a_snapshot_is_not_laid_over_a_primary_and_nobody_becomes_one_over_a_snapshot() {
    let (primary, snapshot) = primary();
    let note_of = || {
        let header = crate::state::snapshot::read_header(&mut &snapshot[..]).unwrap();
        plant::Note::of(header.applied)
    };
    let mut follower = Stepped::planted(&SimDisk::new(6), &primary.snapshot(), None).unwrap();
    obeyed(&mut follower, Order::Begin(4)).unwrap();
    note(&mut follower, "answered");
    let refused = obeyed(&mut follower, Order::Leave(Leaving::Plant(note_of()))).expect_err("it takes writes");
    assert_eq!(refused.code_str(), "not_a_follower");
    let keys = follower.keys();
    assert_eq!(Stepped::open_set(&follower.disk.crash(1), &settings_of(Role::Primary)).unwrap().keys(), keys);

    let mut follower = Stepped::planted(&SimDisk::new(7), &primary.snapshot(), None).unwrap();
    obeyed(&mut follower, Order::Leave(Leaving::Plant(note_of()))).unwrap();
    assert_eq!(obeyed(&mut follower, Order::Begin(4)).expect_err("it would go").code_str(), "follower_not_whole");
    assert!(is_sown(&follower.disk));
}

/// A restore and a fence that come together leave one primary, whichever is first.
#[test]
fn a_primary_that_is_restored_takes_no_writes_and_one_that_was_fenced_is_not_restored() {
    let (primary, snapshot) = primary();
    let header = crate::state::snapshot::read_header(&mut &snapshot[..]).unwrap();
    let restore = || Order::Leave(Leaving::Restore(plant::Note::of(header.applied)));
    let old = || Stepped::open_set(&primary.disk.fork(1), &settings_of(Role::Primary)).unwrap();

    let mut restored = old();
    fixture::sow(&restored.disk, &snapshot, None).unwrap();
    plant::forget(&restored.disk, Path::new(DIR)).unwrap();
    obeyed(&mut restored, restore()).unwrap();
    let late = restored.write(&[("notes", restored.create("notes", r#"{"id":"late","text":"x"}"#))]);
    assert_eq!(late.expect_err("it would go").kind(), Kind::Misdirected);
    assert_eq!(obeyed(&mut restored, Order::Begin(4)).expect_err("it would go").code_str(), "follower_not_whole");
    let disk = restored.disk.crash(1);
    let next = Position { epoch: Epoch { counter: 2, node: NodeId(2) }, seq: header.applied.position.seq.next() };
    let began = Stepped::open_set(&disk.fork(1), &settings_of(Role::Primary)).unwrap().view().position;
    assert_eq!((began.epoch.counter, began.seq), (next.epoch.counter, next.seq));
    // It has heard of another one before it starts again, or somebody only looks at the folder.
    for role in [Role::Fenced, Role::Follower] {
        let none = Stepped::open_set(&disk.fork(2), &settings_of(role)).unwrap();
        assert_eq!(none.view().position, header.applied.position, "{role:?}");
        // Whoever takes its place begins behind all that was; a follower has no epoch of its own to begin.
        let (after, follows) = (none.disk.crash(1), role == Role::Follower);
        assert_eq!(is_sown(&after), !follows);
        let epoch = Stepped::open_set(&after, &settings_of(Role::Primary)).unwrap().view().position.epoch.counter;
        assert_eq!(epoch, if follows { 1 } else { 2 }, "{role:?}");
    }
    let mut promoted = Stepped::open_set(&disk.fork(3), &settings_of(Role::Fenced)).unwrap();
    obeyed(&mut promoted, Order::Begin(4)).unwrap();
    note(&mut promoted, "answered");
    let (keys, after) = (promoted.keys(), promoted.disk.crash(1));
    assert!(!is_sown(&after));
    assert_eq!(Stepped::open_set(&after, &settings_of(Role::Primary)).unwrap().keys(), keys);

    let mut fenced = old();
    obeyed(&mut fenced, Order::Yield(Role::Fenced)).unwrap();
    assert_eq!(obeyed(&mut fenced, restore()).expect_err("it is no primary").kind(), Kind::Misdirected);
    assert!(!is_sown(&fenced.disk));
}

/// A cut that the power loss ended midway is gone on with, whatever the server is told to be.
#[test]
fn a_cut_that_has_begun_is_ended_by_whoever_starts() {
    let (template, fork, at_fork, own, _) = left_behind(false);
    let last = log::Origin { database: DatabaseId(7), position: fork.position, chain: fork.chain };
    rejoin::sow(&template, Path::new(DIR), last).unwrap();
    let (mut whole, mut ended) = (0, 0);
    for op in 1..200 {
        let disk = template.fork(op);
        disk.freeze_at_op(disk.ops() + op);
        drop(Stepped::open_set(&disk, &follower_settings()));
        let beyond = !disk.is_frozen();
        let core = Stepped::open_set(&disk.crash(op), &settings_of(Role::Primary)).unwrap();
        judge(&core.view());
        if core.keys() == own {
            whole += 1;
            assert_eq!(ended, 0, "operation {op}: cut once, it stays so");
        } else {
            ended += 1;
            assert_eq!(core.keys(), at_fork, "operation {op}");
        }
        if beyond {
            break;
        }
    }
    assert!(whole > 2 && ended > 5, "{whole} stayed, {ended} were cut");
}

#[test]
fn a_snapshot_that_is_not_whole_makes_no_folder() {
    let (primary, snapshot) = primary();
    let disk = primary.disk.fork(1);
    for cut in [0, 10, snapshot.len() / 2, snapshot.len() - 1] {
        let error = sow(&disk, &snapshot[..cut], None).expect_err("it is cut");
        assert_eq!(error.kind(), Kind::Damaged, "{cut}: {error}");
        let _ = crate::disk::Disk::remove(&disk, &core::incoming(Path::new(DIR)));
    }
    assert_eq!(Stepped::open(&disk).unwrap().keys(), primary.keys());
}
