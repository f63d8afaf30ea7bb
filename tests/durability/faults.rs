//! F5: a full disk, an I/O error, a short write at each of the first operations, once and for good.

use std::time::Instant;

use millpond::disk::sim::{Fault, Rng, SimDisk};

use super::rig::{self, Known};
use super::{cores, results};

/// Operations in one stretch of work: a longer history is many stretches, each going on where the last ended.
const STRETCH_STEPS: u64 = 30;

#[test]
fn faults_of_the_disk_lose_nothing_acknowledged() {
    let seed = results::seed();
    let started = Instant::now();
    let (disk, known) = rig::template();
    let operations = results::size(1_000, 10_000, 20_000);
    let stretches = stretches(disk, known, seed, operations);
    let cases: Vec<(usize, u64)> =
        stretches.iter().enumerate().flat_map(|(at, stretch)| (1..=stretch.ops).map(move |op| (at, op))).collect();
    let faults = [Fault::Eio, Fault::Enospc, Fault::ShortWrite];
    cores::on_all_cores(cases.len() as u64, |case| {
        let (at, op) = cases[case as usize];
        for fault in faults {
            for once in [true, false] {
                fail_at(&stretches[at], op, fault, once)
                    .map_err(|error| format!("{fault:?} at operation {op} of stretch {at}, once {once}: {error}"))?;
            }
        }
        Ok(())
    });
    results::record("F5", cases.len() as u64 * 6, 0, started, seed);
}

/// Where a stretch begins, and the seed of what is done in it.
struct Stretch {
    disk: SimDisk,
    known: Known,
    seed: u64,
    ops: u64,
}

/// A history of that many operations without a fault, cut into stretches.
fn stretches(mut disk: SimDisk, mut known: Known, seed: u64, operations: u64) -> Vec<Stretch> {
    let mut all = Vec::new();
    let mut left = operations;
    while left > 0 {
        let seed = seed.wrapping_add(all.len() as u64);
        let run = disk.fork(seed);
        let begin = known.clone();
        work(&run, &mut known, seed).expect("a healthy disk");
        let ops = run.ops().min(left);
        left -= ops;
        all.push(Stretch { disk, known: begin, seed, ops });
        disk = run.fork(seed);
    }
    all
}

/// Opens, verifies, works.
fn work(disk: &SimDisk, known: &mut Known, seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut parts = rig::open(disk).map_err(|error| error.to_string())?;
    known.verify(&parts)?;
    for _ in 0..STRETCH_STEPS {
        rig::step(known, &mut parts, &mut rng).map_err(|kind| format!("given up: {kind:?}"))?;
    }
    Ok(())
}

fn fail_at(stretch: &Stretch, op: u64, fault: Fault, once: bool) -> Result<(), String> {
    let disk = stretch.disk.fork(stretch.seed);
    let mut known = stretch.known.clone();
    disk.fail_at(op, fault, once);
    // It may go on or give up, but what it acknowledged must be there.
    let _ = work(&disk, &mut known, stretch.seed);
    disk.heal();
    let disk = if op.is_multiple_of(2) { disk.crash(stretch.seed) } else { disk };
    let parts = rig::open(&disk).map_err(|error| format!("healed, it did not open: {error}"))?;
    known.verify(&parts)
}
