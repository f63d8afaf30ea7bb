//! A snapshot is the whole state or it is refused, and a base is replaced by a whole one or not at all.

use std::path::Path;

use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::error::Kind;
use crate::id::{Chain, DatabaseId};
use crate::state::snapshot::{load, read_header, write};
use crate::state::tests::fixture::{DIR, Dice, History, disk, open};
use crate::state::{Applied, BaseView, Read, Stack, check, schema_of};
use crate::time::Millis;

fn all(read: &dyn Read) -> Vec<(Vec<u8>, Vec<u8>)> {
    let scan = read.scan(&[1], &[0xFF], false).unwrap();
    scan.map(|pair| pair.map(|pair| (pair.key().to_vec(), pair.value().to_vec())).unwrap()).collect()
}

fn history(seed: u64, steps: usize) -> History {
    let mut dice = Dice::new("snapshot", seed);
    let mut history = History::new(seed);
    for _ in 0..steps {
        history.step(&mut dice);
        history.churn(&mut dice);
    }
    history
}

fn applied(history: &History) -> Applied {
    Applied { database: DatabaseId(77), chain: Chain(5), time: Millis(9), ..history.applied() }
}

fn stream(history: &History) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&history.stack, &history.schema, applied(history), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_loaded_snapshot_is_the_state_that_was_written() {
    let history = history(1, 120);
    let bytes = stream(&history);
    let target = disk(2);
    drop(open(&target));
    let header = load(&target, Path::new(DIR), &mut &bytes[..]).unwrap();
    assert_eq!(header.applied, applied(&history));
    assert_eq!(read_header(&mut &bytes[..]).unwrap(), header);
    let opened = open(&target);
    assert_eq!(opened.applied, applied(&history));
    let stack = Stack::new(opened.base.view());
    assert_eq!(all(&stack), all(&history.stack));
    let schema = schema_of(&stack).unwrap();
    assert_eq!(schema, history.schema);
    assert_eq!(check(&stack, &schema).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_cut_or_altered_snapshot_is_refused_and_leaves_the_old_base() {
    let history = history(3, 12);
    let bytes = stream(&history);
    let target = disk(4);
    drop(open(&target));
    let refuse = |stream: &[u8], what: &str| {
        let refused = load(&target, Path::new(DIR), &mut &stream[..]).expect_err(what);
        assert!(matches!(refused.kind(), Kind::Damaged | Kind::Unprocessable), "{what}: {refused:?}");
    };
    for len in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        refuse(&bytes[..len], &format!("cut to {len} of {}", bytes.len()));
    }
    let mut dice = Dice::new("flips", 5);
    for _ in 0..300 {
        let bit = dice.roll(bytes.len() as u64 * 8) as usize;
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // zstd's frame header has bits that mean nothing to a reader: then the content is what was written.
        if let Ok(header) = load(&target.image(), Path::new(DIR), &mut &flipped[..]) {
            assert_eq!(header.applied, applied(&history));
            let copy = target.image();
            load(&copy, Path::new(DIR), &mut &flipped[..]).unwrap();
            assert_eq!(all(&*open(&copy).base.view()), all(&history.stack), "bit {bit}");
        }
    }
    assert_eq!(open(&target).applied, Applied::default());
}

#[test]
fn a_power_loss_while_loading_leaves_the_old_base_or_the_new_one() {
    let history = history(6, 40);
    let bytes = stream(&history);
    let whole = disk(7);
    drop(open(&whole));
    let before = whole.ops();
    load(&whole, Path::new(DIR), &mut &bytes[..]).unwrap();
    let ops = whole.ops() - before;
    let mut seen = [0, 0];
    for at in 1..=ops + 1 {
        let target: SimDisk = disk(at);
        drop(open(&target));
        target.freeze_at_op(target.ops() + at);
        let _ = load(&target, Path::new(DIR), &mut &bytes[..]);
        let found = target.crash(at);
        let opened = open(&found);
        let view: &BaseView = &opened.base.view();
        if opened.applied == applied(&history) {
            seen[1] += 1;
            assert_eq!(all(view), all(&history.stack), "power lost at operation {at} of {ops}");
        } else {
            seen[0] += 1;
            assert_eq!((opened.applied, all(view)), (Applied::default(), Vec::new()));
        }
        assert!(found.exists(Path::new(DIR)).unwrap());
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}
