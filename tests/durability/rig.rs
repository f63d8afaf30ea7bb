//! A core on a simulated disk, stepped by hand beside its model: whatever happens, what is found after a restart must
//! be the model at some entry that is not before the last one acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millpond::core::{self, Applier, Writer};
use millpond::disk::sim::{Rng, SimDisk};
use millpond::error::Kind;
use millpond::id::{DatabaseId, NodeId, Seq};
use millpond::log;
use millpond::model::command::{Command, Committed};
use millpond::model::definition;
use millpond::model::schema::Collection;
use millpond::model::value::Fields;
use millpond::state;
use millpond::time::Millis;

use super::model::{self, DEFINITIONS, Expected, Model, Transaction, Which};

const DIR: &str = "/data";
const NOW: Millis = Millis(1_000_000_000_000);

/// Small segments, so that rotation happens all the time.
fn settings() -> core::Settings {
    core::Settings {
        cache_bytes: 1 << 20,
        ballast_bytes: 8 << 10,
        log: log::Settings { segment_bytes: 8 << 10, first_segment_bytes: 4 << 10, ..log::Settings::default() },
        genesis: Some(log::Genesis { database: DatabaseId(7), node: NodeId(1) }),
    }
}

/// The core's parts, without threads.
pub(crate) struct Parts {
    pub(crate) writer: Writer,
    pub(crate) applier: Applier,
    pub(crate) preparer: log::Preparer,
    _lock: Box<dyn millpond::disk::DiskLock>,
}

/// Opens what is on the disk.
pub(crate) fn open(disk: &SimDisk) -> millpond::error::Result<Parts> {
    let opened = core::open(Arc::new(disk.clone()), Path::new(DIR), &settings())?;
    Ok(Parts { writer: opened.writer, applier: opened.applier, preparer: opened.preparer, _lock: opened.lock })
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
        let commands: Vec<Command> =
            transactions.iter().map(|transaction| model::command(&self.collections, transaction)).collect();
        let length = self.history.len();
        // What each must become, if the one before it became what it must.
        let mut expected = Vec::new();
        let mut state = self.now().clone();
        for transaction in transactions {
            let (outcome, next) = state.after_once(transaction);
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
    match rng.below(20) {
        0..=11 => {
            let batch: Vec<Transaction> =
                (0..1 + rng.below(3)).map(|_| model::transaction(&mut known.asked, rng)).collect();
            known.commit(parts, &batch)
        }
        12..=14 => flush(parts),
        15 => parts.applier.checkpoint().map_err(|error| error.kind()),
        16..=17 => match parts.preparer.prepare() {
            // No spare is no fault: the writer makes its own.
            Ok(_) | Err(_) => Ok(()),
        },
        _ => parts.writer.idle().map_err(|error| error.kind()),
    }
}

/// Folds the fresh layer into the base.
pub(crate) fn flush(parts: &mut Parts) -> Result<(), Kind> {
    if let Some(flush) = parts.writer.freeze(true) {
        let flushed = parts.applier.apply(&flush).map_err(|error| error.kind())?;
        parts.writer.adopt(flushed);
    }
    Ok(())
}
