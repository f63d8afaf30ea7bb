//! F6, on threads and in tables of many pages: a damaged block is healed from the log, whoever meets it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use millpond::core::{self, Core, Threads};
use millpond::disk::sim::{Rng, SimDisk};
use millpond::disk::{Disk, Open};
use millpond::error::Kind;
use millpond::id::{DatabaseId, NodeId, RecordId};
use millpond::log;
use millpond::model::command::{Command, Op, Write};
use millpond::model::definition;
use millpond::model::guard::Guard;
use millpond::model::schema::Collection;
use millpond::model::value::{Fields, Value};
use millpond::state;
use millpond::time::{Clock, Millis};

use super::model::{DEFINITIONS, N, NAME};
use super::{cores, results};

const NOW: Millis = Millis(1_000_000_000_000);
const BASE: &str = "/data/base";
const BLOCK: u64 = 4096;
const RECORDS: u64 = 2_000;
/// Written after the tables were made durable, so that a start has something to replay.
const REPLAYED: u64 = 50;

#[test]
fn a_damaged_block_of_the_tables_is_healed_whoever_meets_it() {
    let seed = results::seed();
    let started = Instant::now();
    let (disk, collection) = filled();
    let file = disk.open(Path::new(BASE), Open::Read).expect("the base");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_at(0, &mut bytes).expect("a healthy disk");
    let used: Vec<u64> = (0..)
        .zip(bytes.chunks(BLOCK as usize))
        .filter(|(_, block)| block.iter().any(|b| *b != 0))
        .map(|(at, _)| at)
        .collect();
    let flips = results::size(40, 250, 2_500);
    cores::on_all_cores(flips, |flip| {
        let mut rng = Rng::new(seed.wrapping_add(flip));
        let disk = disk.fork(rng.u64());
        let block = used[rng.below(used.len() as u64) as usize];
        disk.flip_bit(Path::new(BASE), block * BLOCK * 8 + rng.below(BLOCK * 8));
        live(&disk, &collection).map_err(|error| format!("block {block}: {error}"))
    });
    results::record("F6", flips, 0, started, seed);
}

fn settings() -> core::Settings {
    core::Settings {
        cache_bytes: 1 << 20,
        ballast_bytes: 8 << 10,
        pieces: core::decide::Pieces::default(),
        log: log::Settings::default(),
        genesis: Some(log::Genesis { database: DatabaseId(7), node: NodeId(1) }),
    }
}

fn start(disk: &SimDisk) -> millpond::error::Result<(Core, Threads)> {
    core::start(Arc::new(disk.clone()), Path::new("/data"), &settings(), Clock::System)
}

fn create(collection: &Collection, number: u64) -> Write {
    let id = RecordId::new(&format!("r{:04}", number * 7919 % 10_007)).expect("an id");
    let fields: Fields =
        [(NAME, Value::text(format!("name {number} {}", "x".repeat(100)))), (N, Value::Int(number as i64 % 97))]
            .into_iter()
            .collect();
    let op = Op::Create { id, fields };
    Write { collection: collection.id, schema: collection.version, guard: Guard::for_server(), op }
}

/// Many records in the tables, and some that only the log has.
fn filled() -> (SimDisk, Collection) {
    let disk = SimDisk::new(1);
    let mut opened = core::open(Arc::new(disk.clone()), Path::new("/data"), &settings()).expect("an empty disk");
    let view = opened.writer.published().load_full();
    let wanted = definition::parse(&view.schema, DEFINITIONS[0].as_bytes(), NOW).expect("a good definition");
    let outcome = opened.writer.commit(&[Command::Define(Box::new(wanted))], NOW).expect("a healthy disk").remove(0);
    let collection = *outcome.expect("accepted").collection.expect("the definition");
    let mut put = |from: u64, to: u64| {
        let command = Command::Write((from..to).map(|number| create(&collection, number)).collect());
        opened.writer.commit(&[command], NOW).expect("a healthy disk").remove(0).expect("accepted");
    };
    put(0, RECORDS);
    let flush = opened.writer.freeze(true).expect("something to fold in");
    let flushed = opened.applier.apply(&flush).expect("a healthy disk");
    opened.writer.adopt(flushed);
    opened.applier.checkpoint().expect("a healthy disk");
    let command = Command::Write((RECORDS..RECORDS + REPLAYED).map(|number| create(&collection, number)).collect());
    opened.writer.commit(&[command], NOW).expect("a healthy disk").remove(0).expect("accepted");
    opened.writer.close().expect("a healthy disk");
    // Without making the last records durable in the tables.
    opened.applier.close(false).expect("a healthy disk");
    (disk.image(), collection)
}

/// Lives on the damaged disk: each life may end by the damage, but it heals, and what is read is right or an error.
fn live(disk: &SimDisk, collection: &Collection) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let mut written = RECORDS + REPLAYED;
    for life in 0..4 {
        let (core, threads) = start(disk).map_err(|error| format!("start {life}: {error}"))?;
        let mut sound = true;
        for _ in 0..20 {
            match runtime.block_on(core.submit(Command::Write(vec![create(collection, written)]))) {
                Ok(_) => written += 1,
                // It may be there or not; another number is taken from now on.
                Err(error) if error.kind() == Kind::OutcomeUnknown => {
                    return Err("an outcome is unknown without a fault of the log".to_owned());
                }
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Unavailable) => sound = false,
                Err(error) => return Err(format!("a write was refused: {error}")),
            }
            if !sound {
                break;
            }
        }
        let view = core.view();
        match state::check(&view.stack, &view.schema) {
            Ok(report) if report.problem_count > 0 => return Err(format!("wrong: {}", report.problems[0])),
            Ok(report) if sound => {
                if report.rows != written {
                    return Err(format!("{} rows, not {written}", report.rows));
                }
                drop((core, view));
                match threads.stop() {
                    Ok(_) => return Ok(()),
                    // Met only by the last checkpoint: the next life heals it.
                    Err(error) if error.kind() == Kind::Damaged => continue,
                    Err(error) => return Err(format!("at the stop: {error}")),
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == Kind::Damaged => {}
            Err(error) => return Err(format!("a read said: {error}")),
        }
        // The applier sees the damage by itself and ends the core.
        let ended = async { tokio::time::timeout(std::time::Duration::from_secs(30), core.poison().wait()).await };
        runtime.block_on(ended).map_err(|_| "nobody saw the damage".to_owned())?;
        drop((core, view));
        let _ = threads.stop();
    }
    Err("four starts did not heal it".to_owned())
}
