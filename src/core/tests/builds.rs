//! Builds at random: indexes come and go while records are written, in pieces, with restarts between them. What comes of
//! it is what an index made before the first record would hold, and a unique one fails exactly where it must.

use std::collections::BTreeSet;

use super::fixture::{DIR, Stepped, add_index, id, rounds};
use crate::core::decide::Pieces;
use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::id::{Epoch, NodeId, Position, RecordId, Seq};
use crate::model::change::{Change, Entry};
use crate::model::command::Op;
use crate::model::schema::{Collection, Duplicate, IndexState, Schema};
use crate::model::value::{Fields, Value};
use crate::state::{self, Base, Read, Stack};

const THINGS: &str = r#"{"name":"things","fields":[{"name":"a","type":"text"},{"name":"b","type":"number","integer":true},
    {"name":"tags","type":"select","values":["x","y","z"],"maxSelect":3},{"name":"c","type":"bool"}],
    "indexes":[{"name":"first","fields":["a"]}]}"#;
const IDS: u64 = 24;

fn value(name: &str, rng: &mut Rng) -> Value {
    if rng.chance(15) {
        return Value::Null;
    }
    match name {
        "a" => Value::text(format!("t{}", rng.below(12))),
        "b" => Value::Int(rng.below(40) as i64),
        "c" => Value::Bool(rng.chance(50)),
        _ => Value::List(["x", "y", "z"].into_iter().filter(|_| rng.chance(50)).map(Value::text).collect()),
    }
}

fn write(core: &Stepped, rng: &mut Rng) -> Op {
    let things = core.collection("things");
    let id = id(&format!("r{:02}", rng.below(IDS)));
    let field = &things.fields[rng.below(4) as usize];
    match rng.below(10) {
        0..=4 => {
            let fields = things.fields.iter().map(|field| (field.id, value(&field.name, rng)));
            Op::Put {
                id,
                fields: fields.filter(|(_, value)| !value.is_null()).collect(),
                if_match: None,
                create_only: false,
            }
        }
        5..=7 => {
            let patch = vec![(field.id, value(&field.name, rng))];
            Op::Merge { id, patch, merges: Vec::new(), adjusts: Vec::new(), if_match: None }
        }
        _ => Op::Delete { id, if_match: None },
    }
}

fn redefine(core: &mut Stepped, rng: &mut Rng) {
    let pick = rng.below(6);
    let unique = rng.chance(50);
    let goes = rng.chance(30);
    // Whatever the rows say to it: a refusal is told of by the fixture as one that changes nothing.
    let _ = core.redefine("things", |next| {
        if goes && !next.indexes.is_empty() || next.indexes.len() > 8 {
            let at = pick as usize % next.indexes.len();
            next.indexes.remove(at);
            return;
        }
        let name = format!("x{}", next.last_index.0 + 1);
        match pick {
            0 => add_index(next, &name, &["a"], unique),
            1 => add_index(next, &name, &["-b"], unique),
            2 => add_index(next, &name, &["tags"], false),
            3 => add_index(next, &name, &["a", "-b"], unique),
            4 => add_index(next, &name, &["-c", "b", "a"], unique),
            _ => add_index(next, &name, &["b", "c"], unique),
        }
    });
}

/// All records.
fn records(core: &Stepped) -> Vec<(RecordId, Fields)> {
    let all = (0..IDS).map(|n| format!("r{n:02}"));
    all.filter_map(|id| core.record("things", &id)).map(|record| (record.id, record.fields)).collect()
}

/// The entries of an index, by their keys.
fn entries(read: &dyn Read, collection: &Collection, index: u32) -> BTreeSet<Vec<u8>> {
    let head = |kind: u8, index: u32| {
        let parts = [&[kind][..], &collection.id.0.to_be_bytes(), &collection.generation.0.to_be_bytes()];
        [&parts.concat()[..], &index.to_be_bytes()].concat()
    };
    let pairs = read.scan(&head(3, index), &head(3, index + 1), false).unwrap();
    pairs.map(|pair| pair.unwrap().key().to_vec()).collect()
}

/// Every ready index holds what one would that was there before the first record.
fn compare_with_rebuilt(core: &Stepped) {
    let things = core.collection("things");
    let mut fresh = (*things).clone();
    fresh.indexes.iter_mut().for_each(|index| index.state = IndexState::Ready);
    let definition = serde_json::to_string(&fresh).unwrap();
    let mut changes = vec![Change::Defined { collection: things.id, definition }];
    let (collection, generation) = (things.id, things.generation);
    changes.extend(records(core).into_iter().map(|(id, after)| Change::Created { collection, generation, id, after }));
    let scratch = SimDisk::new(9);
    scratch.create_dir_all(DIR.as_ref()).unwrap();
    let base = Base::open(&scratch, DIR.as_ref(), 1 << 20).unwrap().base;
    let mut rebuilt = Stack::new(base.view());
    let position = Position { epoch: Epoch { counter: 1, node: NodeId(1) }, seq: Seq(1) };
    rebuilt.apply(state::effects(&Schema::default(), position, &Entry { changes }).unwrap()).unwrap();
    let live = core.view();
    for index in things.ready_indexes() {
        let (is, should) = (entries(&live.stack, &things, index.id.0), entries(&rebuilt, &things, index.id.0));
        assert_eq!(is, should, "{index:?}");
    }
}

/// Who is said to have the same values has them, and who has them in a ready unique index is alone.
fn judge_unique(core: &Stepped, before: &Collection) {
    let (things, records) = (core.collection("things"), records(core));
    for index in things.indexes.iter().filter(|index| index.unique) {
        let values = |fields: &Fields| -> Vec<Value> {
            index.fields.iter().map(|part| fields.get(part.field).clone()).collect()
        };
        let all: Vec<(&RecordId, Vec<Value>)> = records.iter().map(|(id, fields)| (id, values(fields))).collect();
        let whole = all.iter().filter(|(_, values)| values.iter().all(|value| !value.is_null()));
        let texts: Vec<String> = whole.map(|(_, values)| format!("{values:?}")).collect();
        let different: BTreeSet<&String> = texts.iter().collect();
        let just_failed = before.index(index.id).is_some_and(|was| was.is_building());
        match &index.state {
            IndexState::Ready => assert_eq!(texts.len(), different.len(), "{index:?}"),
            IndexState::Failed { duplicates, .. } if just_failed => {
                assert!(!duplicates.is_empty());
                for Duplicate { values, ids: [one, other] } in duplicates {
                    let has = |id| all.iter().any(|(of, all)| *of == id && all == values);
                    assert!(one != other && has(one) && has(other), "{duplicates:?} {all:?}");
                }
            }
            _ => {}
        }
    }
}

/// What came of the indexes that had to be built: ready, failed.
fn play(seed: u64) -> (usize, usize) {
    eprintln!("builds at random: seed {seed}");
    let mut rng = Rng::new(seed);
    let pieces = Pieces { at_once: rng.below(6) as usize, rows: 1 + rng.below(4) as usize, bytes: 1 << 20 };
    let mut core = Stepped::open_with(&SimDisk::new(seed), pieces).unwrap();
    core.define(THINGS);
    let (mut ready, mut failed) = (0, 0);
    for _ in 0..220 {
        let before = core.collection("things");
        match rng.below(20) {
            0 => core = Stepped::open_with(&core.disk.crash(rng.u64()), pieces).unwrap(),
            1 => {
                core.flush();
                core = Stepped::open_with(&core.close(), pieces).unwrap();
            }
            2 => redefine(&mut core, &mut rng),
            3 => core.flush(),
            4..=8 => drop(core.work()),
            _ => {
                let writes: Vec<(&str, Op)> =
                    (0..1 + rng.below(3)).map(|_| ("things", write(&core, &mut rng))).collect();
                // A refusal changes nothing, as the fixture sees to.
                let _ = core.write(&writes);
            }
        }
        judge_unique(&core, &before);
        let after = core.collection("things");
        for index in before.indexes.iter().filter(|index| index.is_building()) {
            match after.index(index.id).map(|index| &index.state) {
                Some(IndexState::Ready) => {
                    ready += 1;
                    compare_with_rebuilt(&core);
                }
                Some(IndexState::Failed { .. }) => failed += 1,
                _ => {}
            }
        }
    }
    compare_with_rebuilt(&core);
    while core.work() {}
    compare_with_rebuilt(&core);
    assert!(core.collection("things").indexes.iter().all(|index| !index.is_building()));
    let last = core.view().position.seq.0;
    core.assert_one_state(Seq(rng.below(last + 1)));
    (ready, failed)
}

#[test]
fn an_index_that_was_built_is_one_that_was_there_from_the_beginning() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let (mut ready, mut failed) = (0, 0);
    for seed in seed.map_or(1..rounds(12, 300), |seed| seed..seed + 1) {
        let (more, less) = play(seed);
        (ready, failed) = (ready + more, failed + less);
    }
    eprintln!("{ready} were built, {failed} failed");
    assert!(ready > 10 && failed > 3, "{ready} were built, {failed} failed: too few of one sort");
}
