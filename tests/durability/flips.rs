//! F6: flipped bits in the tables' file: never a wrong answer, and the next start heals it from the log.

use std::path::Path;
use std::time::Instant;

use millpond::disk::Disk;
use millpond::disk::sim::{Rng, SimDisk};
use millpond::error::Kind;
use millpond::model::value::Fields;
use millpond::state;

use super::model::{self, Request, Transaction, Which};
use super::rig::{self, Known};
use super::{cores, results};

const FILE: &str = "/data/base";

#[test]
fn flipped_bits_in_the_tables_give_no_wrong_answer() {
    let seed = results::seed();
    let started = Instant::now();
    let (disk, known) = filled(seed);
    let file = disk.open(Path::new(FILE), millpond::disk::Open::Read).expect("the base");
    let bits = file.len().expect("a length") * 8;
    let flips = results::size(200, 2_000, 50_000);
    cores::on_all_cores(flips, |flip| {
        let seed = seed.wrapping_add(flip);
        let bit = Rng::new(seed).below(bits);
        let disk = disk.fork(seed);
        disk.flip_bit(Path::new(FILE), bit);
        read_all(&disk, known.clone()).map_err(|error| format!("bit {bit}: {error}"))
    });
    results::record("F6", flips, 0, started, seed);
}

/// All ids taken, everything in the base and durable.
fn filled(seed: u64) -> (SimDisk, Known) {
    let (template, mut known) = rig::template();
    let disk = template.fork(seed);
    let mut rng = Rng::new(seed);
    let mut parts = rig::open(&disk).expect("a healthy disk");
    for _ in 0..60 {
        let batch = [Transaction { requests: vec![model::request(&mut rng)], key: None }];
        known.commit(&mut parts, &batch).expect("a healthy disk");
        rig::flush(&mut parts).expect("a healthy disk");
    }
    let put = |id| Transaction { requests: vec![Request::Put(Which::A, id, Fields::new())], key: None };
    let all = (0..model::IDS).map(put).collect::<Vec<_>>();
    known.commit(&mut parts, &all).expect("a healthy disk");
    rig::flush(&mut parts).expect("a healthy disk");
    parts.applier.close(true).expect("a healthy disk");
    parts.writer.close().expect("a healthy disk");
    (disk, known)
}

/// Reads every record: each is right, or the read says that the base is damaged; after a restart all are right.
fn read_all(disk: &SimDisk, mut known: Known) -> Result<(), String> {
    let parts = rig::open(disk).map_err(|error| format!("it did not open: {error}"))?;
    match known.clone().verify(&parts) {
        Ok(()) if !parts.applier.is_damaged() => return Ok(()),
        Ok(()) => {}
        Err(error) if parts.applier.is_damaged() => {
            // The read must have failed by saying so, not by another answer.
            let view = parts.writer.published().load_full();
            for collection in &known.collections {
                for id in 0..model::IDS {
                    match state::record(&view.stack, collection, &model::record_id(id)) {
                        Ok(found) => known.expect(collection, id, found.map(|record| record.fields))?,
                        Err(error) if error.kind() == Kind::Damaged => {}
                        Err(error) => return Err(format!("a damaged base answered {error}")),
                    }
                }
            }
            drop(error);
        }
        Err(error) => return Err(error),
    }
    parts.applier.quarantine().map_err(|error| error.to_string())?;
    drop(parts);
    let parts = rig::open(disk).map_err(|error| format!("set aside, it did not open: {error}"))?;
    known.verify(&parts)
}
