//! Power losses and faults of the disk: every confirmed entry stays, and none is there that was not written.

use super::*;
use crate::disk::sim::{Fault, Loss};

/// What the log must hold, and what it may. Entries are named by the run that wrote them, so that one which was cut
/// off and comes back is told from its successor at the same seq.
#[derive(Clone, Default)]
struct Model {
    /// Runs of the entries that are confirmed, from seq 1.
    sure: Vec<u64>,
    /// Runs of those that were being written when the last error came.
    maybe: Vec<u64>,
    /// The highest seq that a trim was asked to keep from.
    keep_from: u64,
    run: u64,
}

impl Model {
    /// Reads the whole log and compares; what it holds is sure from now on.
    fn check(&mut self, reader: &Reader, told: &str) {
        let last = reader.position().seq.0 as usize;
        assert!(last >= self.sure.len(), "{told}: confirmed up to {}, found up to {last}", self.sure.len());
        assert!(last <= self.sure.len() + self.maybe.len(), "{told}: found {last}, more than was ever written");
        assert!(reader.first_seq().0 <= self.keep_from.max(1), "{told}: begins at {}", reader.first_seq());
        self.sure.append(&mut self.maybe);
        self.sure.truncate(last);
        let mut next = reader.first_seq();
        for logged in read_all(reader) {
            assert_eq!(logged.position.seq, next, "{told}: a gap");
            let run = self.sure[next.0 as usize - 1];
            assert!(logged.entry == entry_of(next, run), "{told}: entry {next} is not that of run {run}");
            next = next.next();
        }
        assert_eq!(next.0 as usize, last + 1, "{told}: the end is missing");
    }

    fn commit(&mut self, writer: &mut Writer, count: u64) -> Result<()> {
        stage(writer, count, self.run);
        self.maybe = vec![self.run; count as usize];
        let done = writer.commit();
        match &done {
            Ok(()) => {
                writer.publish();
                self.sure.append(&mut self.maybe);
            }
            Err(error) if error.kind() == Kind::NoSpace => self.maybe.clear(),
            Err(error) => assert_eq!(error.kind(), Kind::OutcomeUnknown),
        }
        assert!(done.is_err() || writer.position().seq.0 as usize == self.sure.len());
        done
    }

    fn trim(&mut self, writer: &mut Writer, keep_from: u64) -> Result<()> {
        self.keep_from = self.keep_from.max(keep_from);
        trim(writer, Seq(keep_from)).map(|_| ())
    }

    /// One random thing that a server does with its log.
    fn act(&mut self, writer: &mut Writer, preparer: &mut Preparer, rng: &mut Rng) -> Result<()> {
        match rng.below(10) {
            0 => writer.mark(),
            1 => preparer.prepare().map(|_| ()),
            2 => self.trim(writer, rng.below(self.sure.len() as u64 + 1)),
            3 => self.commit(writer, rng.below(40)),
            _ => self.commit(writer, 1 + rng.below(5)),
        }
    }

    /// A start and everything after it, until an error; always the same things for the same seed.
    fn live(&mut self, disk: &SimDisk, actions: u64, seed: u64) -> Result<()> {
        let mut rng = Rng::new(seed);
        self.run += 1;
        let witness = rng.below(self.sure.len() as u64 + 1).max(self.keep_from.saturating_sub(1));
        let (mut writer, reader, _) = open_at(disk, Seq(witness.min(self.sure.len() as u64)))?;
        self.check(&reader, &format!("seed {seed}, run {}", self.run));
        let mut preparer = writer.preparer();
        for _ in 0..actions {
            self.act(&mut writer, &mut preparer, &mut rng)?;
        }
        writer.close()
    }

    /// Opens a disk that works, and compares.
    fn survives(&mut self, disk: &SimDisk, told: &str) {
        let (_, reader, recovery) = match open_at(disk, Seq(self.sure.len() as u64)) {
            Ok(opened) => opened,
            Err(error) => panic!("{told}: refused to open: {error}"),
        };
        assert_eq!(recovery.last, reader.position());
        self.check(&reader, told);
    }
}

#[test]
fn confirmed_entries_survive_a_power_loss_at_every_operation_of_a_life() {
    for seed in 0..rounds(60) {
        let whole = SimDisk::new(seed);
        let mut born = Model::default();
        born.live(&whole, 12, seed).expect("a disk without faults");
        let grown = whole.image();
        // From an empty folder, and from one that has a life behind it.
        for (start, model) in [(SimDisk::new(seed), Model::default()), (grown, born)] {
            let trial = start.image();
            model.clone().live(&trial, 12, seed + 1).expect("a disk without faults");
            for op in 1..=trial.ops() {
                let (disk, mut model) = (start.image(), model.clone());
                disk.freeze_at_op(op);
                let error = model.live(&disk, 12, seed + 1).expect_err("the power went");
                assert!(disk.is_frozen(), "seed {seed}, op {op}: {error}");
                for luck in 0..4 {
                    model.clone().survives(&disk.crash(luck), &format!("seed {seed}, op {op}, luck {luck}"));
                }
                model.clone().survives(&disk.crash_with(0, Loss::All), &format!("seed {seed}, op {op}, all lost"));
            }
        }
    }
}

#[test]
fn confirmed_entries_survive_life_after_life_of_power_losses_half_of_them_during_recovery() {
    for seed in 0..rounds(20_000) {
        let mut rng = Rng::new(seed);
        let (mut disk, mut model) = (SimDisk::new(seed), Model::default());
        for _ in 0..10 {
            let early = rng.chance(50);
            disk.freeze_at_op(1 + rng.below(if early { 8 } else { 80 }));
            // An error is the power loss; without one the life was shorter, and the power goes now.
            let ended = model.live(&disk, rng.below(30), rng.u64());
            assert!(ended.is_ok() || disk.is_frozen(), "seed {seed}: {ended:?}");
            disk = disk.crash(rng.u64());
        }
        model.survives(&disk, &format!("seed {seed}"));
    }
}

#[test]
fn every_fault_at_every_operation_leaves_all_that_was_confirmed() {
    for seed in 0..rounds(40) {
        let trial = SimDisk::new(seed);
        Model::default().live(&trial, 20, seed).expect("a disk without faults");
        for op in 1..=trial.ops() {
            for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
                faulty_life(seed, op, fault, true);
                faulty_life(seed, op, fault, false);
            }
        }
    }
}

fn faulty_life(seed: u64, op: u64, fault: Fault, once: bool) {
    let told = format!("seed {seed}, {fault:?} at op {op}, once: {once}");
    let (disk, mut model) = (SimDisk::new(seed), Model::default());
    disk.fail_at(op, fault, once);
    if let Err(error) = model.live(&disk, 20, seed) {
        let known = [Kind::NoSpace, Kind::OutcomeUnknown, Kind::Internal];
        assert!(known.contains(&error.kind()), "{told}: {error}");
    }
    disk.heal();
    // The process is started again on the same machine; only then the power goes.
    model.survives(&disk, &told);
    model.maybe.clear();
    model.survives(&disk.crash_with(seed, Loss::All), &told);
}

#[test]
fn a_failed_sync_poisons_the_writer_and_the_next_start_decides() {
    for seed in 0..200 {
        let (disk, mut model) = (SimDisk::new(seed), Model { run: 1, ..Model::default() });
        let (mut writer, reader, _) = open_at(&disk, Seq(0)).expect("open");
        model.commit(&mut writer, 3).expect("commit");
        disk.fail_at(disk.ops() + 2, Fault::Eio, true);
        assert_eq!(model.commit(&mut writer, 2).expect_err("the sync failed").kind(), Kind::OutcomeUnknown);
        let ops = disk.ops();
        assert_eq!(writer.commit().expect_err("poisoned").kind(), Kind::OutcomeUnknown);
        assert_eq!(writer.mark().expect_err("poisoned").kind(), Kind::OutcomeUnknown);
        assert_eq!(trim(&writer, Seq(9)).expect_err("poisoned").kind(), Kind::OutcomeUnknown);
        writer.publish();
        assert_eq!((disk.ops(), reader.position().seq), (ops, Seq(3)), "a poisoned writer did something");
        assert!(writer.close().is_err());
        // Without a power loss the page cache shows the batch, whatever the medium has.
        let (_, reader, _) = open_at(&disk, Seq(3)).expect("open");
        model.check(&reader, "after the restart");
        model.survives(&disk.crash_with(seed, Loss::All), "after a power loss behind it");
    }
}

#[test]
fn a_full_disk_refuses_the_batch_with_nothing_written_and_heals_by_itself() {
    let (disk, mut model) = (SimDisk::new(5), Model { run: 1, ..Model::default() });
    let (mut writer, reader, _) = open_at(&disk, Seq(0)).expect("open");
    model.commit(&mut writer, 3).expect("commit");
    disk.set_capacity(Some(disk.used() + 5000));
    let refused = loop {
        if let Err(error) = model.commit(&mut writer, 1) {
            break error;
        }
    };
    assert_eq!(refused.kind(), Kind::NoSpace);
    assert_eq!(writer.next().seq.0 as usize, model.sure.len() + 1);
    assert!(files(&disk, ".spare").is_empty(), "the unfinished segment takes up room");
    assert_eq!(writer.preparer().prepare().expect_err("full").kind(), Kind::NoSpace);
    assert_eq!(model.commit(&mut writer, 1).expect_err("still full").kind(), Kind::NoSpace);
    writer.mark().expect("needs no room");
    model.check(&reader, "on a full disk");
    disk.set_capacity(None);
    model.commit(&mut writer, 4).expect("healed");
    model.survives(&disk.crash_with(1, Loss::All), "after it healed");
}

#[test]
fn a_full_disk_at_a_start_is_no_damage() {
    let (disk, mut model) = (SimDisk::new(5), Model { run: 1, ..Model::default() });
    let (mut writer, _, _) = open_at(&disk, Seq(0)).expect("open");
    model.commit(&mut writer, 3).expect("commit");
    drop(writer);
    disk.set_capacity(Some(disk.used() + 100));
    assert_eq!(open_at(&disk, Seq(3)).expect_err("full").kind(), Kind::NoSpace);
    assert!(files(&disk, ".tmp").is_empty(), "the unfinished file takes up room");
    disk.set_capacity(None);
    model.survives(&disk, "after it healed");
}

#[test]
fn a_read_error_at_a_start_is_no_damage_and_changes_nothing_that_was_confirmed() {
    let (grown, mut model) = (SimDisk::new(5), Model::default());
    model.live(&grown, 30, 5).expect("a disk without faults");
    let witness = Seq(model.keep_from.saturating_sub(1));
    let trial = grown.image();
    trial.count_reads(true);
    open_at(&trial, witness).expect("a disk without faults");
    for op in 1..=trial.ops() {
        let disk = grown.image();
        disk.count_reads(true);
        disk.fail_at(op, Fault::Eio, true);
        if let Err(error) = open_at(&disk, witness) {
            assert_eq!(error.kind(), Kind::Internal, "op {op}: {error}");
        }
        disk.heal();
        model.clone().survives(&disk, &format!("op {op}"));
    }
}
