//! F2: every crash point of every workload of up to three requests, with nothing, everything and anything lost.

use std::time::Instant;

use millpond::disk::sim::{Loss, SimDisk};
use millpond::model::value::{Fields, Value};

use super::model::{A, N, NAME, Request, TEXT, Which, name};
use super::rig::{self, Known};
use super::{cores, results};

fn alphabet() -> Vec<Request> {
    let a = |text: &str, n| -> Fields { [(NAME, Value::text(text)), (N, Value::Int(n))].into_iter().collect() };
    let b = |target| -> Fields { [(A, Value::text(name(target))), (TEXT, Value::text("t"))].into_iter().collect() };
    vec![
        Request::Create(Which::A, 1, a("one", 1)),
        Request::Put(Which::A, 2, a("two", 2)),
        Request::Create(Which::B, 1, b(1)),
        Request::Merge(Which::A, 1, N, Value::Int(9)),
        Request::Delete(Which::A, 1),
    ]
}

/// All sequences of one to `longest` requests.
fn workloads(longest: u32) -> Vec<Vec<Request>> {
    let alphabet = alphabet();
    let mut all = Vec::new();
    for length in 1..=longest {
        for mut code in 0..alphabet.len().pow(length) {
            let mut workload = Vec::new();
            for _ in 0..length {
                workload.push(alphabet[code % alphabet.len()].clone());
                code /= alphabet.len();
            }
            all.push(workload);
        }
    }
    all
}

#[test]
fn every_crash_point_of_every_short_workload_recovers() {
    let seed = results::seed();
    let started = Instant::now();
    let longest = results::size(3, 3, 4);
    let workloads = workloads(longest);
    let (disk, known) = rig::template();
    let points = std::sync::atomic::AtomicU64::new(0);
    cores::on_all_cores(workloads.len() as u64, |at| {
        let workload = &workloads[at as usize];
        let mut op = 0;
        loop {
            op += 1;
            let mut beyond = true;
            for loss in [Loss::All, Loss::Nothing, Loss::Random] {
                beyond &= crash_at(&disk, &known, workload, op, loss, seed.wrapping_add(op))
                    .map_err(|error| format!("{workload:?} at operation {op}, loss {loss:?}: {error}"))?;
                points.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            if beyond {
                return Ok(());
            }
        }
    });
    results::record("F2", points.into_inner(), 0, started, seed);
}

/// What the server is asked for beside writes, and what it does by itself.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// A unique index over `n`, or without the last one that came.
    Index(u64),
    Work,
    Write(u8, i64),
    Truncate,
}

#[test]
fn every_crash_point_of_every_short_build_recovers() {
    let seed = results::seed();
    let deeds = [Deed::Index(1), Deed::Index(0), Deed::Work, Deed::Work, Deed::Write(1, 4), Deed::Truncate];
    let (disk, mut known) = rig::template();
    // Three records to build an index of, two by two.
    let mut parts = rig::open(&disk).expect("a healthy disk");
    for id in 1..=3 {
        let fields = [(N, Value::Int(i64::from(id)))].into_iter().collect();
        known.commit(&mut parts, &[vec![Request::Create(Which::A, id, fields)]]).expect("a healthy disk");
    }
    known.redefine(&mut parts, 1).expect("a healthy disk");
    parts.applier.close(true).expect("a healthy disk");
    parts.writer.close().expect("a healthy disk");
    let count = deeds.len().pow(results::size(2, 3, 4)) as u64;
    cores::on_all_cores(count, |code| {
        let workload: Vec<Deed> = (0..results::size(2, 3, 4))
            .map(|place| deeds[(code / (deeds.len() as u64).pow(place)) as usize % deeds.len()])
            .collect();
        let mut op = 0;
        loop {
            op += 1;
            let mut beyond = true;
            for loss in [Loss::All, Loss::Nothing, Loss::Random] {
                beyond &= build_at(&disk, &known, &workload, op, loss, seed.wrapping_add(op))
                    .map_err(|error| format!("{workload:?} at operation {op}, loss {loss:?}: {error}"))?;
            }
            if beyond {
                return Ok(());
            }
        }
    });
}

/// As [`crash_at`], of such deeds. What is left to do after the loss is done, and comes to an end.
fn build_at(
    template: &SimDisk,
    known: &Known,
    workload: &[Deed],
    op: u64,
    loss: Loss,
    seed: u64,
) -> Result<bool, String> {
    let disk = template.fork(seed);
    let mut known = known.clone();
    disk.freeze_at_op(disk.ops() + op);
    if let Ok(mut parts) = rig::open(&disk) {
        for deed in workload {
            let done = match deed {
                Deed::Index(shape) => known.redefine(&mut parts, *shape),
                Deed::Work => known.work(&mut parts).map(drop),
                Deed::Write(id, n) => {
                    let merge = Request::Merge(Which::A, *id, N, Value::Int(*n));
                    known.commit(&mut parts, &[vec![merge]])
                }
                Deed::Truncate => known.truncate(&mut parts, Which::A),
            };
            if done.and_then(|()| rig::flush(&mut parts)).is_err() {
                break;
            }
        }
    }
    let beyond = !disk.is_frozen();
    let disk = disk.crash_with(seed, loss);
    let mut parts = rig::open(&disk).map_err(|error| error.to_string())?;
    known.verify(&parts)?;
    while known.work(&mut parts).map_err(|kind| format!("{kind:?} on a healthy disk"))? {}
    known.verify(&parts)?;
    let view = parts.writer.published().load_full();
    match view.schema.iter().flat_map(|collection| &collection.indexes).find(|index| index.is_building()) {
        Some(index) => Err(format!("with all done {index:?} is still being built")),
        None => Ok(beyond),
    }
}

/// Runs a workload that loses power at one operation. Whether it ended before that.
fn crash_at(
    template: &SimDisk,
    known: &Known,
    workload: &[Request],
    op: u64,
    loss: Loss,
    seed: u64,
) -> Result<bool, String> {
    let disk = template.fork(seed);
    let mut known = known.clone();
    disk.freeze_at_op(disk.ops() + op);
    if let Ok(mut parts) = rig::open(&disk) {
        // The last request stays in the log alone, those before it reach the base in different ways.
        for (at, request) in workload.iter().enumerate() {
            let more = at + 1 < workload.len();
            let done = known.commit(&mut parts, &[vec![request.clone()]]).and_then(|()| {
                if more {
                    rig::flush(&mut parts)?;
                }
                if at % 2 == 0 { parts.applier.checkpoint().map_err(|error| error.kind()) } else { Ok(()) }
            });
            if done.is_err() {
                break;
            }
        }
    }
    let beyond = !disk.is_frozen();
    let disk = disk.crash_with(seed, loss);
    let parts = rig::open(&disk).map_err(|error| error.to_string())?;
    known.verify(&parts)?;
    Ok(beyond)
}
