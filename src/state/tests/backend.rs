//! A base that was closed, cut off from power, full, failing or flipped: it answers right, or it says that it cannot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::sim::{Fault, Loss, SimDisk};
use crate::disk::{Disk, Open, read_all};
use crate::error::{Kind, Result};
use crate::state::backend::{Backend, Shared, StorageBackend};
use crate::state::tests::fixture::{DIR, Dice, History, disk, position, rounds};
use crate::state::{Applied, Base, Key, Layer, Read};

const BLOCK: usize = 4096;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn file() -> PathBuf {
    Path::new(DIR).join("base")
}

fn applied(seq: u64) -> Applied {
    Applied { position: position(seq), ..Applied::default() }
}

fn all(read: &dyn Read) -> Result<Model> {
    let scan = read.scan(&[1], &[0xFF], false)?;
    scan.map(|pair| pair.map(|pair| (pair.key().to_vec(), pair.value().to_vec()))).collect()
}

fn try_open(disk: &SimDisk) -> Result<(Base, Applied)> {
    Base::open(disk, Path::new(DIR), 1 << 20).map(|opened| (opened.base, opened.applied))
}

/// A layer of random changes, put into the model too.
fn changes(dice: &mut Dice, model: &mut Model) -> Layer {
    let mut layer = Layer::new();
    for _ in 0..1 + dice.roll(30) {
        let key = format!("\u{1}key{:04}", dice.roll(400)).into_bytes();
        let value = (dice.roll(4) > 0).then(|| vec![dice.roll(256) as u8; dice.roll(600) as usize]);
        layer.put(Key::from(&key[..]), value.clone().map(Bytes::from));
        match value {
            Some(value) => model.insert(key, value),
            None => model.remove(&key),
        };
    }
    layer
}

/// Applies and checkpoints until the disk fails or the work is done. What each applied position looked like, and the
/// last one that was made durable.
fn work(disk: &SimDisk, dice: &mut Dice, rounds: u64) -> (BTreeMap<u64, Model>, u64, Result<()>) {
    let mut states = BTreeMap::from([(0, Model::new())]);
    let mut durable = 0;
    let result = (|| {
        let (mut base, _) = try_open(disk)?;
        let mut model = Model::new();
        for seq in 1..=rounds {
            let layer = changes(dice, &mut model);
            states.insert(seq, model.clone());
            base.apply(&layer, applied(seq))?;
            if dice.roll(4) == 0 {
                base.checkpoint()?;
                durable = seq;
            }
        }
        if dice.roll(2) == 0 {
            base.close(true)?;
            durable = rounds;
        }
        Ok(())
    })();
    (states, durable, result)
}

fn assert_whole(found: &SimDisk, states: &BTreeMap<u64, Model>, durable: u64, what: &str) {
    let (base, reached) = try_open(found).unwrap_or_else(|error| panic!("{what}: {error}"));
    let seq = reached.position.seq.0;
    assert!(seq >= durable, "{what}: {durable} was durable, {seq} was found");
    assert!(all(&*base.view()).unwrap() == states[&seq], "{what}: not the state at {seq}");
    drop(base);
}

#[test]
fn a_power_loss_at_any_operation_leaves_a_state_no_older_than_the_last_checkpoint() {
    let mut durables = 0;
    for seed in 0..rounds(150, 3_000) {
        let mut dice = Dice::new("power", seed);
        let disk = disk(seed);
        let at = 1 + dice.roll(150);
        disk.freeze_at_op(at);
        let (states, durable, _) = work(&disk, &mut dice, 12);
        durables += durable;
        for loss in 0..4 {
            let found = disk.crash(seed * 10 + loss);
            assert_whole(&found, &states, durable, &format!("seed {seed}, operation {at}, loss {loss}"));
            // Opening is work too: the power may go again in the middle of it.
            let found = disk.crash(seed * 10 + loss);
            found.freeze_at_op(1 + dice.roll(8));
            let _ = try_open(&found);
            let again = found.crash(loss);
            assert_whole(&again, &states, durable, &format!("seed {seed}, operation {at}, loss {loss}, twice"));
        }
    }
    assert!(durables > 100, "the power went too early to prove anything: {durables}");
}

#[test]
fn a_failing_or_full_disk_is_told_and_costs_nothing_durable() {
    let mut kinds = Vec::new();
    for seed in 0..rounds(150, 3_000) {
        let mut dice = Dice::new("faults", seed);
        let disk = disk(seed);
        let fault = *dice.pick(&[Fault::Eio, Fault::Enospc, Fault::ShortWrite]);
        let (at, once) = (1 + dice.roll(100), dice.roll(2) == 0);
        disk.fail_at(at, fault, once);
        let (states, durable, result) = work(&disk, &mut dice, 12);
        if let Err(error) = result {
            kinds.push(error.kind());
        }
        disk.heal();
        let what = format!("seed {seed}: {fault:?} at {at}, once: {once}");
        assert_whole(&disk.crash(seed), &states, durable, &what);
    }
    // After a failed sync the file can't be trusted: that is told as damage.
    assert!(kinds.iter().all(|kind| matches!(kind, Kind::NoSpace | Kind::Internal | Kind::Damaged)), "{kinds:?}");
    assert!(kinds.contains(&Kind::NoSpace) && kinds.contains(&Kind::Internal), "{kinds:?}");
}

#[test]
fn what_is_written_since_the_last_checkpoint_is_counted_until_the_next() {
    let (disk, mut dice) = (disk(5), Dice::new("dirty", 5));
    let (mut base, _) = try_open(&disk).unwrap();
    let mut seq = 0;
    base.checkpoint().unwrap();
    for _ in 0..2 {
        let mut counted = base.dirty_bytes();
        assert_eq!(counted, 0, "nothing since the checkpoint");
        // Far more than redb holds back, so that its file grows several times.
        for _ in 0..60 {
            let mut layer = Layer::new();
            for _ in 0..40 {
                let key = format!("\u{1}key{:06}", dice.roll(1_000_000));
                layer.put(Key::from(key.as_bytes()), Some(Bytes::from(vec![7; 4_000])));
            }
            seq += 1;
            base.apply(&layer, applied(seq)).unwrap();
            base.write_back().unwrap();
            assert!(base.dirty_bytes() >= counted, "{} of {counted} bytes are forgotten", base.dirty_bytes());
            counted = base.dirty_bytes();
        }
        assert!(counted > 8 << 20, "only {counted} bytes");
        base.checkpoint().unwrap();
    }
}

#[test]
fn a_base_closed_after_a_failure_is_not_touched_again() {
    let mut dice = Dice::new("refuse", 1);
    let disk = disk(1);
    let (mut base, _) = try_open(&disk).unwrap();
    let mut model = Model::new();
    base.apply(&changes(&mut dice, &mut model), applied(1)).unwrap();
    base.checkpoint().unwrap();
    let durable = model.clone();
    base.apply(&changes(&mut dice, &mut model), applied(2)).unwrap();
    let before = read_all(&disk, &file()).unwrap();
    base.close(false).unwrap();
    assert!(read_all(&disk, &file()).unwrap() == before);
    let (base, reached) = try_open(&disk).unwrap();
    assert_eq!(reached, applied(1));
    assert!(all(&*base.view()).unwrap() == durable);
}

#[test]
fn a_flipped_bit_is_never_a_wrong_answer() {
    let whole = disk(1);
    let mut dice = Dice::new("flips", 1);
    let mut history = History::on(&whole);
    for _ in 0..120 {
        history.step(&mut dice);
        history.churn(&mut dice);
    }
    let position = history.applied();
    let expected = all(&history.stack).unwrap();
    history.close();
    let bytes = read_all(&whole, &file()).unwrap();
    let used: Vec<usize> =
        (0..bytes.len() / BLOCK).filter(|at| bytes[at * BLOCK..][..BLOCK].iter().any(|byte| *byte != 0)).collect();
    let (mut told, mut right) = (0, 0);
    for round in 0..rounds(1_500, 5_000) {
        // Bits of the header (every other time of both its copies), then of blocks in use, then any.
        let bit = match round {
            0..700 => BLOCK * 8 + (round as usize * 11) % 4096,
            700..1_300 => *dice.pick(&used) * BLOCK * 8 + dice.roll(BLOCK as u64 * 8) as usize,
            _ => dice.roll(bytes.len() as u64 * 8) as usize,
        };
        let flipped = whole.image();
        flipped.flip_bit(&file(), bit as u64);
        if round < 700 && round % 2 == 0 {
            flipped.flip_bit(&file(), bit as u64 + 2048 * 8);
        }
        let answer = try_open(&flipped).and_then(|(base, reached)| {
            let view = base.view();
            for (key, value) in expected.iter().step_by(7) {
                assert_eq!(view.get(key)?.as_deref(), Some(&value[..]), "bit {bit}");
            }
            Ok((all(&*view)?, reached))
        });
        match answer {
            Ok((found, reached)) => {
                assert!(found == expected && reached.position == position.position, "bit {bit}: a wrong answer");
                right += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Damaged, "bit {bit}: {error}");
                told += 1;
            }
        }
    }
    assert!(told > 500 && right > 500, "{told} told, {right} right");
}

#[test]
fn damage_met_later_ends_the_base() {
    let whole = disk(2);
    let mut dice = Dice::new("later", 2);
    let mut model = Model::new();
    let (mut base, _) = try_open(&whole).unwrap();
    for seq in 1..60 {
        base.apply(&changes(&mut dice, &mut model), applied(seq)).unwrap();
    }
    base.close(true).unwrap();
    let len = read_all(&whole, &file()).unwrap().len();
    let (mut base, _) = Base::open(&whole, Path::new(DIR), 0).map(|opened| (opened.base, opened.applied)).unwrap();
    for block in 2..len / BLOCK {
        whole.corrupt(&file(), (block * BLOCK + 9) as u64, b"rotten");
    }
    assert_eq!(all(&*base.view()).unwrap_err().kind(), Kind::Damaged);
    assert!(base.is_damaged());
    assert_eq!(base.apply(&changes(&mut dice, &mut model), applied(99)).unwrap_err().kind(), Kind::Damaged);
    base.close(true).unwrap();
}

#[test]
fn a_backend_reads_what_was_written_across_groups_and_starts() {
    for seed in 0..6 {
        let mut dice = Dice::new("blocks", seed);
        let disk = SimDisk::new(seed);
        let path = Path::new("/blocks");
        disk.open(path, Open::CreateNew).unwrap();
        let start = || Backend::new(disk.open(path, Open::Write).unwrap(), Arc::new(Shared::default())).unwrap();
        let mut backend = start();
        let mut model: Vec<u8> = Vec::new();
        for _ in 0..400 {
            match dice.roll(12) {
                0 => {
                    let len = dice.roll(2_200) as usize * BLOCK;
                    backend.set_len(len as u64).unwrap();
                    model.resize(len, 0);
                }
                1 => {
                    backend.sync_data().unwrap();
                    backend = start();
                }
                2..7 if model.len() > 2 * BLOCK => {
                    let whole = dice.roll(2) == 0;
                    let unit = if whole { BLOCK } else { 1 };
                    let offset = BLOCK + dice.roll((model.len() - BLOCK) as u64) as usize / unit * unit;
                    let len = (dice.roll(5 * BLOCK as u64) as usize / unit * unit).min(model.len() - offset);
                    let bytes: Vec<u8> = (0..len).map(|at| (at as u64 ^ seed) as u8 ^ dice.roll(4) as u8).collect();
                    backend.write(offset as u64, &bytes).unwrap();
                    model[offset..offset + len].copy_from_slice(&bytes);
                }
                7 if model.len() > BLOCK => {
                    let header = vec![dice.roll(256) as u8; 320];
                    backend.write(0, &header).unwrap();
                    model[..320].copy_from_slice(&header);
                }
                _ if !model.is_empty() => {
                    let offset = dice.roll(model.len() as u64) as usize;
                    let mut bytes = vec![1; (dice.roll(3 * BLOCK as u64) as usize).min(model.len() - offset)];
                    backend.read(offset as u64, &mut bytes).unwrap();
                    assert!(bytes == model[offset..offset + bytes.len()]);
                }
                _ => {}
            }
            assert_eq!(backend.len().unwrap(), model.len() as u64);
        }
        assert!(backend.read(model.len() as u64, &mut [0]).is_err());
        backend.sync_data().unwrap();
        let mut whole = vec![1; model.len()];
        start().read(0, &mut whole).unwrap();
        assert!(whole == model);
    }
}

#[test]
fn a_cut_file_is_never_a_wrong_answer() {
    let whole = disk(3);
    let mut dice = Dice::new("cuts", 3);
    let mut model = Model::new();
    let (mut base, _) = try_open(&whole).unwrap();
    for seq in 1..40 {
        base.apply(&changes(&mut dice, &mut model), applied(seq)).unwrap();
    }
    base.close(true).unwrap();
    let len = read_all(&whole, &file()).unwrap().len();
    let mut told = 0;
    for cut in (0..len).step_by(BLOCK * 3).chain([1, 100, BLOCK + 1, len - 1, len]) {
        let found = whole.image();
        found.truncate(&file(), cut as u64);
        match try_open(&found).and_then(|(base, reached)| Ok((all(&*base.view())?, reached))) {
            Ok((state, reached)) => assert!(state == model && reached == applied(39), "cut to {cut}: a wrong answer"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Damaged, "cut to {cut}: {error}");
                told += 1;
            }
        }
    }
    assert!(told > 5, "{told}");
}

#[test]
fn readers_see_whole_states_while_the_base_is_written() {
    let whole = disk(4);
    let mut base = Base::open(&whole, Path::new(DIR), 256 << 10).unwrap().base;
    let keys: Vec<Vec<u8>> = (0..600).map(|at| format!("\u{1}key{at:04}").into_bytes()).collect();
    let round = |seq: u64| {
        let mut layer = Layer::new();
        for (at, key) in keys.iter().enumerate() {
            // Values of many sizes move the keys about between pages.
            let value = vec![seq as u8; 20 + (at * 37 + seq as usize * 101) % 700];
            layer.put(Key::from(&key[..]), Some(Bytes::from(value)));
        }
        layer
    };
    base.apply(&round(1), applied(1)).unwrap();
    let views = parking_lot::Mutex::new(base.view());
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut looks = 0;
                while !over.load(std::sync::atomic::Ordering::Acquire) || looks < 3 {
                    let view = views.lock().clone();
                    let found = all(&*view).unwrap();
                    let seq = view.applied().position.seq.0 as u8;
                    assert_eq!(found.len(), keys.len());
                    assert!(found.values().all(|value| value.iter().all(|byte| *byte == seq)), "a torn view of {seq}");
                    looks += 1;
                }
            });
        }
        for seq in 2..80 {
            base.apply(&round(seq), applied(seq)).unwrap();
            if seq % 9 == 0 {
                base.checkpoint().unwrap();
            }
            *views.lock() = base.view();
        }
        over.store(true, std::sync::atomic::Ordering::Release);
    });
    base.close(true).unwrap();
}

#[test]
fn sums_of_blocks_cut_off_before_a_power_loss_do_not_outlive_them() {
    let disk = SimDisk::new(1);
    let path = Path::new("/blocks");
    disk.open(path, Open::CreateNew).unwrap().sync_data().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let start =
        |disk: &SimDisk| Backend::new(disk.open(path, Open::Write).unwrap(), Arc::new(Shared::default())).unwrap();
    let backend = start(&disk);
    backend.set_len(10 * BLOCK as u64).unwrap();
    backend.write(5 * BLOCK as u64, &[7; BLOCK]).unwrap();
    backend.sync_data().unwrap();
    backend.set_len(3 * BLOCK as u64).unwrap();
    // The cut reached the disk, the sums did not.
    let found = start(&disk.crash_with(2, Loss::Nothing));
    assert_eq!(found.len().unwrap(), 3 * BLOCK as u64);
    found.set_len(10 * BLOCK as u64).unwrap();
    let mut block = [1; BLOCK];
    found.read(5 * BLOCK as u64, &mut block).unwrap();
    assert_eq!(block, [0; BLOCK]);
}
