//! A core on a simulated disk, stepped by hand beside its model: whatever happens, what is found after a restart must
//! be the model at some entry that is not before the last one acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millpond::core::{self, Applier, Copier, Copying, Keeper, Writer};
use millpond::disk::sim::{Rng, SimDisk};
use millpond::disk::{Disk, Open};
use millpond::error::Kind;
use millpond::id::{DatabaseId, NodeId, Seq};
use millpond::log;
use millpond::model::command::Command;
use millpond::model::definition;
use millpond::model::schema::Collection;
use millpond::model::value::Fields;
use millpond::state;
use millpond::time::Millis;

use super::model::{self, DEFINITIONS, Model, Request, Which};

const DIR: &str = "/data";
const NOW: Millis = Millis(1_000_000_000_000);
/// The log's bound.
pub(crate) const LOG_MAX_BYTES: u64 = 32 << 10;
/// Bytes of a segment.
pub(crate) const SEGMENT_BYTES: u64 = 8 << 10;

/// Small segments and a small log, so that rotation, snapshots and trims happen all the time.
fn settings() -> core::Settings {
    core::Settings {
        cache_bytes: 1 << 20,
        ballast_bytes: 8 << 10,
        log: log::Settings { segment_bytes: SEGMENT_BYTES, first_segment_bytes: 4 << 10, ..log::Settings::default() },
        keep: core::Keep { log_keep: Duration::ZERO, log_max_bytes: LOG_MAX_BYTES },
        compact: core::Compact { bytes_min: 0, pause: Duration::ZERO, log_part: u64::MAX, layers_bytes_max: 4 << 10 },
        genesis: Some(log::Genesis { database: DatabaseId(7), node: NodeId(1) }),
        ..core::Settings::default()
    }
}

/// The core's parts, without threads.
pub(crate) struct Parts {
    pub(crate) writer: Writer,
    pub(crate) applier: Applier,
    pub(crate) preparer: log::Preparer,
    pub(crate) keeper: Keeper,
    pub(crate) copier: Option<Copier>,
    _lock: Box<dyn millpond::disk::DiskLock>,
}

/// Opens what is on the disk.
pub(crate) fn open(disk: &SimDisk) -> millpond::error::Result<Parts> {
    let opened = core::open(Arc::new(disk.clone()), Path::new(DIR), &settings())?;
    let core::Opened { writer, applier, preparer, keeper, lock, .. } = opened;
    Ok(Parts { writer, applier, preparer, keeper, copier: None, _lock: lock })
}

/// What the rig knows: the model after each entry, and how far answers were given.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) collections: [Collection; 2],
    /// Entry numbers up to `first` hold only the definitions.
    first: Seq,
    /// The model after the entries `first`, `first + 1`, …
    history: Vec<Model>,
    /// The last entry that was acknowledged.
    acked: Seq,
}

/// A disk with the two collections defined and nothing in them.
pub(crate) fn template() -> (SimDisk, Known) {
    let disk = SimDisk::new(1);
    let mut parts = open(&disk).expect("an empty disk");
    let collections = DEFINITIONS.map(|text| {
        let view = parts.writer.published().load_full();
        let wanted = definition::parse(&view.schema, text.as_bytes(), NOW).expect("a good definition");
        let outcomes = parts.writer.commit(&[Command::Define(Box::new(wanted))], NOW).expect("a healthy disk");
        let outcome = outcomes.into_iter().next().expect("one").expect("accepted");
        *outcome.collection.expect("the definition")
    });
    let first = parts.writer.position().seq;
    parts.applier.close(true).expect("a healthy disk");
    parts.writer.close().expect("a healthy disk");
    (disk, Known { collections, first, history: vec![Model::default()], acked: first })
}

impl Known {
    fn now(&self) -> &Model {
        self.history.last().expect("never empty")
    }

    /// One group commit of some transactions. An error means that the core must be given up.
    pub(crate) fn commit(&mut self, parts: &mut Parts, transactions: &[Vec<Request>]) -> Result<(), Kind> {
        let commands: Vec<Command> =
            transactions.iter().map(|requests| model::command(&self.collections, requests)).collect();
        let length = self.history.len();
        // What each must become, if the one before it became what it must.
        let mut expected = Vec::new();
        let mut state = self.now().clone();
        for requests in transactions {
            match state.after(requests) {
                Some((next, changed)) => {
                    if changed {
                        self.history.push(next.clone());
                    }
                    state = next;
                    expected.push(true);
                }
                None => expected.push(false),
            }
        }
        let outcomes = parts.writer.commit(&commands, NOW).map_err(|error| error.kind())?;
        if outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(|error| error.kind() == Kind::NoSpace)) {
            assert!(outcomes.iter().all(|o| o.is_err()), "a batch without room is refused as a whole");
            self.history.truncate(length);
            return Ok(());
        }
        for ((outcome, expected), requests) in outcomes.iter().zip(expected).zip(transactions) {
            assert_eq!(outcome.is_ok(), expected, "{requests:?} gave {outcome:?}");
        }
        self.acked = parts.writer.position().seq;
        assert_eq!(
            self.acked.0 - self.first.0 + 1,
            self.history.len() as u64,
            "one entry for each change of the model"
        );
        Ok(())
    }

    /// Whether one record is as the model has it now.
    pub(crate) fn expect(&self, collection: &Collection, id: u8, found: Option<Fields>) -> Result<(), String> {
        let which = if collection.id == self.collections[0].id { Which::A } else { Which::B };
        let expected = self.now().0.get(&(which, id));
        if found.as_ref() == expected { Ok(()) } else { Err(format!("{which:?} {id} is {found:?}, not {expected:?}")) }
    }

    /// Whether what is found is what may be found; goes on from there.
    pub(crate) fn verify(&mut self, parts: &Parts) -> Result<(), String> {
        let view = parts.writer.published().load_full();
        let found = view.position.seq;
        if found < self.acked {
            return Err(format!("acknowledged up to {}, found up to {found}", self.acked));
        }
        let at = (found.0 - self.first.0) as usize;
        let Some(expected) = self.history.get(at) else {
            return Err(format!("found up to {found}, but nothing was asked beyond {} entries", self.history.len()));
        };
        for (which, collection) in [(Which::A, &self.collections[0]), (Which::B, &self.collections[1])] {
            let mut there = 0;
            for id in 0..model::IDS {
                let record =
                    state::record(&view.stack, collection, &model::record_id(id)).map_err(|e| e.to_string())?;
                there += u64::from(record.is_some());
                let found = record.map(|record| record.fields);
                if found.as_ref() != expected.0.get(&(which, id)) {
                    return Err(format!("{which:?} {id} is {found:?} at {at}, not {:?}", expected.0.get(&(which, id))));
                }
            }
            let tally = state::tally(&view.stack, collection.id, collection.generation).map_err(|e| e.to_string())?;
            if tally.count != there {
                return Err(format!("{which:?} counts {} records, there are {there}", tally.count));
            }
        }
        let report = state::check(&view.stack, &view.schema).map_err(|error| error.to_string())?;
        if let Some(problem) = report.problems.first() {
            return Err(format!("at {found}: {problem}"));
        }
        self.history.truncate(at + 1);
        self.acked = found;
        Ok(())
    }
}

/// One step of a core's life. An error means that it must be given up.
pub(crate) fn step(known: &mut Known, parts: &mut Parts, rng: &mut Rng) -> Result<(), Kind> {
    match rng.below(26) {
        0..=11 => {
            let batch: Vec<Vec<Request>> = (0..1 + rng.below(3))
                .map(|_| (0..if rng.chance(75) { 1 } else { 1 + rng.below(3) }).map(|_| model::request(rng)).collect())
                .collect();
            known.commit(parts, &batch)
        }
        12..=14 => flush(parts),
        15 => parts.applier.checkpoint().map_err(|error| error.kind()),
        16..=17 => match parts.preparer.prepare() {
            // No spare is no fault: the writer makes its own.
            Ok(_) | Err(_) => Ok(()),
        },
        18..=19 => keep(parts).map(drop),
        20..=22 => compact(parts).map(drop),
        23 => scrub(parts),
        _ => parts.writer.idle().map_err(|error| error.kind()),
    }
}

/// One step of the log's keeper; whether it had something to do.
pub(crate) fn keep(parts: &mut Parts) -> Result<bool, Kind> {
    parts.keeper.step(NOW, &|| false).map_err(|error| error.kind())
}

/// One step of compacting the tables' file; whether the core has just moved to a new one.
pub(crate) fn compact(parts: &mut Parts) -> Result<bool, Kind> {
    let Some(copier) = parts.copier.take() else {
        parts.copier = parts.applier.begin_copy();
        return Ok(false);
    };
    match copier.step() {
        Ok(Copying::More(copier)) => parts.copier = Some(copier),
        Ok(Copying::Done(filling)) => {
            if let Some(moved) = parts.applier.end_copy(*filling).map_err(|error| error.kind())? {
                parts.writer.adopt(moved);
                return Ok(true);
            }
        }
        Ok(Copying::GivenUp(why)) => parts.applier.drop_copy(why),
        // The copy came to nothing; the base is as it was, or the applier sees it by itself.
        Err(error) => parts.applier.drop_copy(error.message()),
    }
    Ok(false)
}

/// A look at a part of everything. What a crash left behind is no damage.
fn scrub(parts: &mut Parts) -> Result<(), Kind> {
    parts.keeper.scrub();
    parts.applier.scrub(128 << 10);
    if parts.applier.is_damaged() { Err(Kind::Damaged) } else { Ok(()) }
}

/// Folds the fresh layer into the base.
pub(crate) fn flush(parts: &mut Parts) -> Result<(), Kind> {
    if let Some(flush) = parts.writer.freeze(true) {
        let flushed = parts.applier.apply(&flush).map_err(|error| error.kind())?;
        parts.writer.adopt(flushed);
    }
    Ok(())
}

/// Bytes of the files of a folder below the data's, or of the one file of that name.
pub(crate) fn bytes(disk: &SimDisk, name: &str) -> u64 {
    let path = Path::new(DIR).join(name);
    let len = |path: &Path| disk.open(path, Open::Read).and_then(|file| file.len()).unwrap_or(0);
    match disk.list(&path) {
        Ok(names) => names.iter().map(|name| len(&path.join(name))).sum(),
        Err(_) => len(&path),
    }
}
