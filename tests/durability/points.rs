//! F2: every crash point of every workload of up to three requests, with nothing, everything and anything lost; every
//! other time under keys, and then asked for again.

use std::fmt::Debug;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use millpond::disk::Disk;
use millpond::disk::sim::{Loss, Rng, SimDisk};
use millpond::error::Kind;
use millpond::model::value::{Fields, Value};

use super::model::{self, A, N, NAME, Request, TEXT, Transaction, Which, name};
use super::rig::{self, Known};
use super::shapes::{self, Shape, Text};
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

/// All sequences of that many of some things, in no order.
fn sequences<T: Clone>(of: &[T], length: u32) -> Vec<Vec<T>> {
    let nth = |mut code: usize| {
        let mut next = || {
            let one = of[code % of.len()].clone();
            code /= of.len();
            one
        };
        (0..length).map(|_| next()).collect()
    };
    (0..of.len().pow(length)).map(nth).collect()
}

/// Crashes each case at its first operation, its second and so on, with nothing, everything and anything lost, until one
/// ends before its power loss, as `crash` says. How many crashes there were.
fn at_every_point<C: Debug + Sync>(
    cases: &[C],
    seed: u64,
    crash: impl Fn(&C, u64, Loss, u64) -> Result<bool, String> + Sync,
) -> u64 {
    let points = AtomicU64::new(0);
    cores::on_all_cores(cases.len() as u64, |at| {
        let case = &cases[at as usize];
        for op in 1.. {
            let mut beyond = true;
            for loss in [Loss::All, Loss::Nothing, Loss::Random] {
                let told = |error| format!("{case:?}, operation {op}, loss {loss:?}, MILLPOND_SEED={seed}: {error}");
                beyond &= crash(case, op, loss, seed.wrapping_add(op)).map_err(told)?;
                points.fetch_add(1, Ordering::Relaxed);
            }
            if beyond {
                break;
            }
        }
        Ok(())
    });
    points.into_inner()
}

#[test]
fn every_crash_point_of_every_short_workload_recovers() {
    let (seed, started) = (results::seed(), Instant::now());
    let workloads: Vec<Vec<Request>> =
        (1..=results::size(3, 3, 4)).flat_map(|length| sequences(&alphabet(), length)).collect();
    let (disk, known) = rig::template();
    let points =
        at_every_point(&workloads, seed, |workload, op, loss, seed| crash_at(&disk, &known, workload, op, loss, seed));
    results::record("F2", points, 0, started, seed);
}

/// What the server is asked for beside writes, and what it does by itself.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// A unique index over `n`, or without the last one that came.
    Index(u64),
    /// Definitions of another shape.
    Shape(Which, Shape),
    Work,
    Write(u8, i64),
    Truncate,
}

/// Three records, to be seen to in pieces.
fn three_records() -> (SimDisk, Known) {
    let (disk, mut known) = rig::template();
    let mut parts = rig::open(&disk).expect("a healthy disk");
    for id in 1..=3 {
        let a = [(N, Value::Int(i64::from(id)))].into_iter().collect();
        let b = [(A, Value::text(name(id))), (TEXT, Value::text("t"))].into_iter().collect();
        for request in [Request::Create(Which::A, id, a), Request::Create(Which::B, id, b)] {
            known.commit(&mut parts, &[plain(request)]).expect("a healthy disk");
        }
    }
    close(parts);
    (disk, known)
}

fn close(parts: rig::Parts) {
    parts.applier.close(true).expect("a healthy disk");
    parts.writer.close().expect("a healthy disk");
}

#[test]
fn every_crash_point_of_every_short_build_recovers() {
    let (seed, started) = (results::seed(), Instant::now());
    let deeds = [Deed::Index(1), Deed::Index(0), Deed::Work, Deed::Work, Deed::Write(1, 4), Deed::Truncate];
    let (disk, mut known) = three_records();
    let mut parts = rig::open(&disk).expect("a healthy disk");
    known.redefine(&mut parts, 1).expect("a healthy disk");
    close(parts);
    let workloads = sequences(&deeds, results::size(2, 3, 4));
    let points =
        at_every_point(&workloads, seed, |workload, op, loss, seed| work_at(&disk, &known, workload, op, loss, seed));
    results::record("F2", points, 0, started, seed);
}

#[test]
fn every_crash_point_of_every_short_reshape_recovers() {
    let (seed, started) = (results::seed(), Instant::now());
    let first = shapes::FIRST;
    let bounded = Shape { n_bounded: true, ..first };
    let changes = [
        (Which::A, Shape { n: shapes::Kind::Text, ..first }),
        (Which::A, bounded),
        (Which::B, Shape { text: Some(Text { name: "note", bounded: true, filled: false }), ..first }),
        (Which::B, Shape { text: None, ..first }),
    ];
    let deeds = [
        Deed::Work,
        Deed::Work,
        Deed::Write(1, 4),
        Deed::Truncate,
        Deed::Shape(Which::A, first),
        Deed::Shape(Which::B, Shape { text: Some(Text { name: "text", bounded: false, filled: true }), ..first }),
    ];
    let (disk, known) = three_records();
    let rest = sequences(&deeds, results::size(2, 3, 4));
    let workloads: Vec<Vec<Deed>> = changes
        .iter()
        .flat_map(|(which, to)| rest.iter().map(|rest| [&[Deed::Shape(*which, *to)], &rest[..]].concat()))
        .collect();
    let points =
        at_every_point(&workloads, seed, |workload, op, loss, seed| work_at(&disk, &known, workload, op, loss, seed));
    results::record("F2", points, 0, started, seed);
}

/// As [`crash_at`], of such deeds. What is left to do after the loss is done, and comes to an end.
fn work_at(
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
                Deed::Shape(which, to) => known.reshape(&mut parts, *which, *to),
                Deed::Work => known.work(&mut parts).map(drop),
                Deed::Write(id, n) => {
                    let merge = Request::Merge(Which::A, *id, N, Value::Int(*n));
                    known.commit(&mut parts, &[plain(merge)])
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
    if let Some(collection) = view.schema.iter().find(|collection| collection.staged.is_some()) {
        return Err(format!("with all done {} has a definition staged", collection.name));
    }
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

/// One request as a transaction without a key.
fn plain(request: Request) -> Transaction {
    Transaction { requests: vec![request], key: None }
}

/// A request of a workload, at every other crash point under a key of its own.
fn once(at: usize, request: &Request, op: u64) -> Transaction {
    Transaction { requests: vec![request.clone()], key: op.is_multiple_of(2).then_some(at as u8) }
}

/// A disk whose log is over its bound, with nothing trimmed yet; all of it is durable in the tables.
fn overfull() -> (SimDisk, Known) {
    let (disk, mut known) = rig::template();
    let mut parts = rig::open(&disk).expect("a healthy disk");
    let mut rng = Rng::new(1);
    while rig::bytes(&disk, "log") <= 2 * rig::LOG_MAX_BYTES {
        known.commit(&mut parts, &[plain(model::request(&mut rng))]).expect("a healthy disk");
    }
    rig::flush(&mut parts).expect("a healthy disk");
    close(parts);
    (disk, known)
}

#[test]
fn every_crash_point_of_a_snapshot_a_trim_and_a_move_to_a_smaller_file_recovers() {
    let seed = results::seed();
    let started = Instant::now();
    let (disk, known) = overfull();
    // Every so manieth operation from another one on, for as many cores.
    const LANES: u64 = 8;
    let lanes: Vec<u64> = (1..=LANES).collect();
    let points = at_every_point(&lanes, seed, |lane, round, loss, seed| {
        let op = lane + (round - 1) * LANES;
        crash_while_keeping(&disk, &known, op, loss, seed.wrapping_add(op))
    });
    results::record("F2", points, 0, started, seed);
}

/// Takes a snapshot, trims, writes on, compacts, takes the next; loses power at one operation. Whether it ended before that.
fn crash_while_keeping(template: &SimDisk, known: &Known, op: u64, loss: Loss, seed: u64) -> Result<bool, String> {
    let disk = template.fork(seed);
    let (mut known, mut rng) = (known.clone(), Rng::new(seed));
    disk.freeze_at_op(disk.ops() + op);
    let mut work = |known: &mut Known| -> Result<(), Kind> {
        let mut parts = rig::open(&disk).map_err(|error| error.kind())?;
        for round in 0..3 {
            while rig::keep(&mut parts)? {}
            while rig::bytes(&disk, "log") <= rig::LOG_MAX_BYTES && !disk.is_frozen() && round < 2 {
                known.commit(&mut parts, &[plain(model::request(&mut rng))])?;
            }
            // A copy of the tables' file is made and moved to, while they are written.
            let mut moved = false;
            for step in 0.. {
                moved |= rig::compact(&mut parts)?;
                if step % 3 == 1 {
                    known.commit(&mut parts, &[plain(model::request(&mut rng))])?;
                    rig::flush(&mut parts)?;
                }
                if moved || disk.is_frozen() || (round > 0 && parts.copier.is_none()) {
                    break;
                }
            }
            parts.applier.checkpoint().map_err(|error| error.kind())?;
        }
        let kept = rig::bytes(&disk, "log");
        // A segment that is written to, and one that the snapshot ends in.
        let most = rig::LOG_MAX_BYTES + 2 * rig::SEGMENT_BYTES;
        assert!(disk.is_frozen() || kept <= most, "{kept} bytes of log are left");
        Ok(())
    };
    let done = work(&mut known);
    let beyond = !disk.is_frozen();
    assert!(!beyond || done.is_ok(), "{done:?} on a healthy disk");
    let disk = disk.crash_with(seed, loss);
    // What is left must do without the tables, too.
    let bare = disk.fork(seed);
    bare.remove(Path::new("/data/base")).map_err(|error| error.to_string())?;
    for disk in [disk, bare] {
        let parts = rig::open(&disk).map_err(|error| error.to_string())?;
        known.clone().verify(&parts)?;
    }
    Ok(beyond)
}
