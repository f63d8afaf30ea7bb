//! The keys of a dropped collection go, piece by piece, whatever happens between two pieces.

use millpond::disk::sim::SimDisk;
use millpond::id::RecordId;
use millpond::limits;
use millpond::model::command::{Command, Op, Write};
use millpond::model::value::Fields;
use millpond::service::access;
use millpond::state;
use millpond::time::Millis;

use super::rig;

const NOW: Millis = Millis(1_000_000_000_000);

fn after(command: Option<Command>) -> Option<Vec<u8>> {
    match command {
        Some(Command::Reclaim { after, .. }) => after,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_piece_that_was_not_written_is_reclaimed_again() {
    let (disk, known): (SimDisk, _) = rig::template();
    let mut parts = rig::open(&disk).expect("a healthy disk");
    let collection = &known.collections[1];
    let records = 2 * limits::ENTRY_CHANGES_PIECE + 10;
    for some in (0..records).collect::<Vec<_>>().chunks(limits::ENTRY_CHANGES_PIECE) {
        let create = |id: &usize| Write {
            collection: collection.id,
            schema: collection.version,
            guard: access::for_server(),
            op: Op::Create { id: RecordId::new(&id.to_string()).expect("an id"), fields: Fields::new() },
        };
        let outcomes = parts.writer.commit(&[Command::Write(some.iter().map(create).collect())], NOW).expect("a disk");
        outcomes.into_iter().for_each(|outcome| drop(outcome.expect("created")));
    }
    let mut commit = |command: Command| {
        let mut outcomes = parts.writer.commit(&[command], NOW).expect("the log is whole");
        (outcomes.pop().expect("one"), parts.writer.work().expect("a sound state"))
    };
    let (dropped, first) = commit(Command::Drop(collection.id));
    dropped.expect("nothing points at it");
    assert_eq!(after(first.clone()), None, "nothing was reclaimed yet");
    let (outcome, second) = commit(first.expect("garbage"));
    outcome.expect("a piece");
    assert!(after(second.clone()).is_some(), "it goes on behind the first piece");

    // No room at all for the second piece, so its keys are still there.
    disk.set_capacity(Some(disk.used()));
    let before = disk.ops();
    let mut next = second;
    let mut refused = 0;
    for _ in 0..20 {
        let (outcome, then) = commit(next.expect("garbage"));
        next = then;
        if outcome.is_err() {
            refused += 1;
            assert_eq!(after(next.clone()), None, "after a batch that was not written the place is not known");
            break;
        }
        if next.is_none() {
            break;
        }
    }
    assert!(refused == 1 && disk.ops() > before, "the full disk was met");
    disk.set_capacity(None);
    while let Some(command) = next {
        let (outcome, then) = commit(command);
        outcome.expect("room again");
        next = then;
    }
    let view = parts.writer.published().load_full();
    let left = state::check(&view.stack, &view.schema).expect("readable");
    assert!(left.problems.is_empty(), "{:?}", left.problems);
    let (keys, done) =
        state::reclaimable(&view.stack, collection.id, collection.generation, None, None, 1).expect("readable");
    assert!(keys.is_empty() && done, "keys are left");
}
