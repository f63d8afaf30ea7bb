//! Weeks in small: the same few records overwritten, and many written and deleted, with tiny bounds. At every moment the
//! files are within what was stated, and everything can be rebuilt.

use std::path::Path;
use std::time::Instant;

use millpond::disk::Disk;
use millpond::disk::sim::{Rng, SimDisk};

use super::model::{self, Request, TEXT, Transaction, Which};
use super::results;
use super::rig::{self, Known, Parts};
use millpond::model::value::{Fields, Value};

/// The tables' file at most: what redb makes it with, and what it takes between two checkpoints.
const BASE_BYTES_MAX: u64 = 512 << 10;
/// Bytes of a large text.
const TEXT_BYTES: usize = 4_000;

/// Writes, folds in, makes durable, trims, compacts, over and over, without ever being idle.
struct Soak {
    disk: SimDisk,
    known: Known,
    parts: Parts,
    rng: Rng,
    most: [u64; 3],
    moved: u64,
}

impl Soak {
    fn step(&mut self, requests: Vec<Request>, number: u64) {
        self.known.commit(&mut self.parts, &[Transaction { requests, key: None }]).expect("a healthy disk");
        if number.is_multiple_of(7) {
            rig::flush(&mut self.parts).expect("a healthy disk");
        }
        if number.is_multiple_of(21) {
            self.parts.applier.checkpoint().expect("a healthy disk");
        }
        self.parts.preparer.prepare().expect("a healthy disk");
        rig::keep(&mut self.parts).expect("a healthy disk");
        self.moved += u64::from(rig::compact(&mut self.parts).expect("a healthy disk"));
        let now = ["log", "snapshot", "base"].map(|name| rig::bytes(&self.disk, name));
        for (most, now) in self.most.iter_mut().zip(now) {
            *most = now.max(*most);
        }
    }
}

#[test]
fn the_files_stay_within_their_bounds_however_long_it_runs() {
    let (seed, started) = (results::seed(), Instant::now());
    let writes = results::size(3_000, 30_000, 300_000);
    let (disk, known) = rig::template();
    let parts = rig::open(&disk).expect("a healthy disk");
    let mut soak = Soak { disk, known, parts, rng: Rng::new(seed), most: [0; 3], moved: 0 };
    for number in 1..=writes {
        let request = if number % 3 == 0 {
            let text = Value::text("x".repeat(soak.rng.below(TEXT_BYTES as u64) as usize));
            let fields: Fields = [(TEXT, text)].into_iter().collect();
            Request::Put(Which::B, soak.rng.below(u64::from(model::IDS)) as u8, fields)
        } else {
            model::request(&mut soak.rng)
        };
        soak.step(vec![request], number);
    }
    let Soak { disk, known, parts, most: [log, snapshot, base], moved, .. } = soak;
    results::note(&format!("at most {log} bytes of log, {snapshot} of snapshot, {base} of base, {moved} moves"));
    // A segment to be written to, one that waits, and what is logged until the tables are durable and a snapshot is taken.
    let between = rig::LOG_MAX_BYTES / 2 + 21 * (TEXT_BYTES as u64 + 1_000);
    assert!(log <= rig::LOG_MAX_BYTES + 2 * rig::SEGMENT_BYTES + between, "{log} bytes of log");
    assert!(snapshot <= u64::from(model::IDS) * 2 * (TEXT_BYTES as u64 + 500), "{snapshot} bytes of snapshot");
    assert!(base <= BASE_BYTES_MAX, "{base} bytes of base");
    assert!(moved > 0, "never compacted");
    drop(parts);
    // Both ways to build it again are right.
    for without in ["nothing", "/data/base"] {
        let disk = disk.fork(seed);
        let _ = disk.remove(Path::new(without));
        known.clone().verify(&rig::open(&disk).expect("it opens")).expect("nothing is lost");
    }
    results::note(&format!("{writes} writes in {:?}", started.elapsed()));
}
