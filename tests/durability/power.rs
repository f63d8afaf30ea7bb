//! F1: simulated power losses at random points, half of them during recovery.

use std::sync::Mutex;
use std::time::Instant;

use millpond::disk::sim::{Rng, SimDisk};

use super::rig::{self, Known, StagedSeen};
use super::{cores, results};

/// Losses in one life of a disk.
const LOSSES: u64 = 4;

#[test]
fn acknowledged_writes_survive_power_loss() {
    let seed = results::seed();
    let started = Instant::now();
    let lives = results::size(10_000, 100_000, 1_000_000) / LOSSES;
    let (disk, known) = rig::template();
    let came = Mutex::new([0; 3]);
    cores::on_all_cores(lives, |life| {
        let seed = seed.wrapping_add(life);
        let seen = live(&disk, &known, seed).map_err(|error| format!("MILLPOND_SEED={seed}: {error}"))?;
        let mut came = came.lock().expect("no panic inside");
        came.iter_mut().zip([seen.found, seen.held, seen.refused]).for_each(|(sum, n)| *sum += n);
        Ok(())
    });
    let came = came.into_inner().expect("no panic inside");
    results::note(&format!("definitions staged: {came:?} found after a loss, held, refused"));
    assert!(came.iter().all(|n| *n > lives / 50), "{came:?}: too few of {lives} lives had anything staged");
    results::record("F1", lives * LOSSES, 0, started, seed);
}

/// One disk, losing power again and again, every other time while it recovers.
fn live(template: &SimDisk, known: &Known, seed: u64) -> Result<StagedSeen, String> {
    let mut rng = Rng::new(seed);
    let mut disk = template.fork(rng.u64());
    let mut known = known.clone();
    for loss in 0..LOSSES {
        // A recovery has about as many operations as this bound; work has more.
        let bound = if loss % 2 == 1 { 25 } else { 120 };
        disk.freeze_at_op(disk.ops() + 1 + rng.below(bound));
        if let Ok(mut parts) = rig::open(&disk) {
            known.verify(&parts)?;
            let steps = 1 + rng.below(40);
            for _ in 0..steps {
                if let Err(kind) = rig::step(&mut known, &mut parts, &mut rng) {
                    if !disk.is_frozen() {
                        return Err(format!("{kind:?} on a healthy disk"));
                    }
                    break;
                }
            }
        } else if !disk.is_frozen() {
            return Err("a healthy disk did not open".to_owned());
        }
        disk = disk.crash(rng.u64());
    }
    let parts = rig::open(&disk).map_err(|error| format!("after a power loss: {error}"))?;
    known.verify(&parts)?;
    Ok(known.of_staged)
}
