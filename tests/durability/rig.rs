//! A core on a simulated disk, stepped by hand beside its model: whatever happens, what is found after a restart must
//! be the model at some entry that is not before the last one acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millpond::core::decide::Pieces;
use millpond::core::{self, Applier, Copier, Copying, Keeper, Writer};
use millpond::disk::sim::{Rng, SimDisk};
use millpond::disk::{Disk, Open};
use millpond::error::Kind;
use millpond::id::{DatabaseId, NodeId, Seq};
use millpond::log;
use millpond::model::command::{Command, Committed};
use millpond::model::definition;
use millpond::model::schema::{Collection, Index};
use millpond::model::value::Fields;
use millpond::state;
use millpond::time::Millis;

use super::model::{self, DEFINITIONS, Expected, Model, Transaction, Which};

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
        pieces: Pieces::default(),
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

/// Opens what is on the disk. There are few records, so works are cut small.
pub(crate) fn open(disk: &SimDisk) -> millpond::error::Result<Parts> {
    open_with(disk, Pieces { at_once: 1, rows: 2, bytes: 1 << 20 })
}

/// The same with works cut in another way.
pub(crate) fn open_with(disk: &SimDisk, pieces: Pieces) -> millpond::error::Result<Parts> {
    let settings = core::Settings { pieces, ..settings() };
    let opened = core::open(Arc::new(disk.clone()), Path::new(DIR), &settings)?;
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
    /// Transactions with a key that were asked for, whatever came of them: to be asked for again, also after a loss.
    asked: Vec<Transaction>,
    /// What was answered under each key.
    answers: BTreeMap<u8, Committed>,
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
    let (history, asked, answers) = (vec![Model::default()], Vec::new(), BTreeMap::new());
    (disk, Known { collections, first, history, acked: first, asked, answers })
}

impl Known {
    fn now(&self) -> &Model {
        self.history.last().expect("never empty")
    }

    /// One group commit of some transactions. An error means that the core must be given up.
    pub(crate) fn commit(&mut self, parts: &mut Parts, transactions: &[Transaction]) -> Result<(), Kind> {
        self.see(parts);
        let commands: Vec<Command> =
            transactions.iter().map(|transaction| model::command(&self.collections, transaction)).collect();
        let length = self.history.len();
        let unique_n = self.has_unique_n();
        // What each must become, if the one before it became what it must.
        let mut expected = Vec::new();
        let mut state = self.now().clone();
        for transaction in transactions {
            let (outcome, next) = state.after_once(transaction, unique_n);
            if let Some(next) = next {
                self.history.push(next.clone());
                state = next;
            }
            expected.push(outcome);
        }
        let outcomes = parts.writer.commit(&commands, NOW).map_err(|error| error.kind())?;
        if outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(|error| error.kind() == Kind::NoSpace)) {
            assert!(outcomes.iter().all(|o| o.is_err()), "a batch without room is refused as a whole");
            self.history.truncate(length);
            return Ok(());
        }
        for ((outcome, expected), transaction) in outcomes.iter().zip(expected).zip(transactions) {
            let came = match outcome {
                Err(_) => Expected::Refused,
                Ok(committed) if committed.replayed.is_some() => Expected::Replayed,
                Ok(_) => Expected::Done,
            };
            assert_eq!(came, expected, "{transaction:?} gave {outcome:?}");
            if let (Some(key), Ok(committed)) = (transaction.key, outcome) {
                self.remember(key, committed);
            }
        }
        self.acked = parts.writer.position().seq;
        assert_eq!(
            self.acked.0 - self.first.0 + 1,
            self.history.len() as u64,
            "one entry for each change of the model"
        );
        Ok(())
    }

    /// An answer under a key is the first one's, if that came.
    fn remember(&mut self, key: u8, committed: &Committed) {
        match self.answers.get(&key).filter(|_| committed.replayed.is_some()) {
            Some(first) => {
                let again = (committed.position, &committed.writes);
                assert_eq!(again, (first.position, &first.writes), "the answers under one key");
            }
            None => drop(self.answers.insert(key, committed.clone())),
        }
    }

    /// Takes note of the definitions as they are now: the server moves them as well.
    fn see(&mut self, parts: &Parts) {
        let view = parts.writer.published().load_full();
        for known in &mut self.collections {
            *known = Collection::clone(view.schema.get(known.id).expect("no collection goes"));
        }
    }

    /// Whether no two records of `a` may have the same `n`: only once an index over it is ready.
    fn has_unique_n(&self) -> bool {
        self.collections[0].ready_indexes().any(is_unique_n)
    }

    /// Whether a unique index is being built: then a write may move the definition, and what follows it must be asked anew.
    pub(crate) fn builds_unique(&self) -> bool {
        self.collections[0].indexes.iter().any(|index| index.unique && index.is_building())
    }

    /// One command that is none of a client's on records; what it makes of the model, if it is not refused.
    pub(crate) fn commit_one(&mut self, parts: &mut Parts, command: Command, next: Model) -> Result<(), Kind> {
        let length = self.history.len();
        self.history.push(next);
        let outcomes = parts.writer.commit(&[command], NOW).map_err(|error| error.kind())?;
        let outcome = outcomes.into_iter().next().expect("one");
        let logged = parts.writer.position().seq.0 - self.acked.0;
        assert!(logged == 0 || logged == 1 && outcome.is_ok(), "{outcome:?}");
        self.history.truncate(length + logged as usize);
        self.acked = parts.writer.position().seq;
        self.see(parts);
        Ok(())
    }

    /// One piece of the server's own works, if there is any.
    pub(crate) fn work(&mut self, parts: &mut Parts) -> Result<bool, Kind> {
        let Some(command) = parts.writer.work().map_err(|error| error.kind())? else { return Ok(false) };
        self.commit_one(parts, command, self.now().clone())?;
        Ok(true)
    }

    /// An index more, or one fewer of those that came.
    pub(crate) fn redefine(&mut self, parts: &mut Parts, shape: u64) -> Result<(), Kind> {
        self.see(parts);
        let mut next = self.collections[0].clone();
        let came = next.indexes.iter().position(|index| index.name.starts_with('x'));
        match came.filter(|_| shape == 0 || next.indexes.len() > 5) {
            Some(at) => drop(next.indexes.remove(at)),
            None => model::add_index(&mut next, shape),
        }
        self.commit_one(parts, Command::Redefine(Box::new(next)), self.now().clone())
    }

    /// All records of one collection go, with what points at them.
    pub(crate) fn truncate(&mut self, parts: &mut Parts, which: Which) -> Result<(), Kind> {
        self.see(parts);
        let next = self.now().emptied(which);
        self.commit_one(parts, Command::Truncate(self.collections[which as usize].id), next)
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
        let Some(expected) = self.history.get(at).cloned() else {
            return Err(format!("found up to {found}, but nothing was asked beyond {} entries", self.history.len()));
        };
        self.see(parts);
        if self.has_unique_n() && expected.has_twins() {
            return Err(format!("at {found}: a unique index is ready over values that are not"));
        }
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

fn is_unique_n(index: &Index) -> bool {
    index.unique && index.fields.len() == 1 && index.fields[0].field == model::N
}

/// One step of a core's life. An error means that it must be given up.
pub(crate) fn step(known: &mut Known, parts: &mut Parts, rng: &mut Rng) -> Result<(), Kind> {
    match rng.below(33) {
        0..=11 => {
            let length = if known.builds_unique() { 1 } else { 1 + rng.below(3) };
            let batch: Vec<Transaction> = (0..length).map(|_| model::transaction(&mut known.asked, rng)).collect();
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
        26..=29 => known.work(parts).map(drop),
        30..=31 => known.redefine(parts, rng.below(5)),
        32 => known.truncate(parts, if rng.chance(50) { Which::A } else { Which::B }),
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
