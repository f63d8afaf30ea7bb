//! F2: every crash point of every workload of up to three requests, with nothing, everything and anything lost; every
//! other time under keys, and then asked for again.

use std::time::Instant;

use millpond::disk::sim::{Loss, SimDisk};
use millpond::model::value::{Fields, Value};

use super::model::{A, N, NAME, Request, TEXT, Transaction, Which, name};
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
            let done = known.commit(&mut parts, &[once(at, request, op)]).and_then(|()| {
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
    let mut parts = rig::open(&disk).map_err(|error| error.to_string())?;
    known.verify(&parts)?;
    // What was done is not done again, what was not is: the model has each once.
    for (at, request) in workload.iter().enumerate() {
        let again = once(at, request, op);
        if again.key.is_some() {
            known.commit(&mut parts, &[again]).map_err(|kind| format!("asked again, on a healthy disk: {kind:?}"))?;
        }
    }
    known.verify(&parts)?;
    Ok(beyond)
}

/// A request of a workload, at every other crash point under a key of its own.
fn once(at: usize, request: &Request, op: u64) -> Transaction {
    Transaction { requests: vec![request.clone()], key: op.is_multiple_of(2).then_some(at as u8) }
}
