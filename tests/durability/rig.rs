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
use millpond::model::definition::{self, Rows};
use millpond::model::schema::{Collection, Index, Staged};
use millpond::model::value::Fields;
use millpond::state;
use millpond::time::Millis;

use super::model::{self, DEFINITIONS, Expected, Model, Transaction, Which};
use super::shapes::{self, Shape};

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
    /// What the last of them may be instead: the definitions that are staged hold from there.
    or: Vec<Model>,
    /// The last entry that was acknowledged.
    acked: Seq,
    /// Transactions with a key that were asked for, whatever came of them: to be asked for again, also after a loss.
    asked: Vec<Transaction>,
    /// What was answered under each key.
    answers: BTreeMap<u8, Committed>,
    /// What came of definitions that were staged.
    pub(crate) of_staged: StagedSeen,
}

/// How often something came of definitions that were staged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StagedSeen {
    /// Found so when a core was opened.
    pub(crate) found: u64,
    /// They hold now.
    pub(crate) held: u64,
    pub(crate) refused: u64,
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
    let (history, or, asked, answers) = (vec![Model::empty()], Vec::new(), Vec::new(), BTreeMap::new());
    (disk, Known { collections, first, history, or, acked: first, asked, answers, of_staged: StagedSeen::default() })
}

impl Known {
    fn now(&self) -> &Model {
        self.history.last().expect("never empty")
    }

    /// One group commit of some transactions. An error means that the core must be given up.
    pub(crate) fn commit(&mut self, parts: &mut Parts, transactions: &[Transaction]) -> Result<(), Kind> {
        self.see(parts);
        let commands: Vec<Command> =
            transactions.iter().map(|one| model::command(&self.collections, self.now().shape, one)).collect();
        let staged = self.staged();
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
            self.history.truncate(length);
            // Nothing of it is written. Whoever asks again gets the answer that was kept before it.
            for (outcome, transaction) in outcomes.iter().zip(transactions) {
                let was_kept = self.now().after_once(transaction, unique_n).0 == Expected::Replayed;
                match outcome {
                    Ok(committed) => {
                        assert!(committed.replayed.is_some() && was_kept, "a batch without room is not done")
                    }
                    Err(error) => assert!(!was_kept, "an answer is kept, but {error:?}"),
                }
            }
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
        self.see(parts);
        assert_eq!(self.shape(), self.now().shape, "a write of records moves no definition");
        if let [Transaction { requests, .. }] = transactions
            && let [_] = &requests[..]
        {
            self.justify(&staged);
        }
        Ok(())
    }

    /// The shape that the definitions have.
    fn shape(&self) -> Shape {
        shapes::FIRST.with(Which::A, &self.collections[0]).with(Which::B, &self.collections[1])
    }

    /// The shapes that the definitions would have with each that is staged, and of which collection it is.
    fn staged(&self) -> Vec<(Which, Shape)> {
        let staged = [Which::A, Which::B].into_iter().map(|which| (which, &self.collections[which as usize].staged));
        staged
            .filter_map(|(which, staged)| Some((which, self.shape().with(which, &staged.as_ref()?.collection))))
            .collect()
    }

    /// A staged definition that has come to nothing did so because of a record, as the model has it now.
    fn justify(&mut self, staged: &[(Which, Shape)]) {
        for (which, to) in staged {
            let collection = &self.collections[*which as usize];
            if collection.staged.is_some() {
                continue;
            }
            if self.shape() == *to {
                self.of_staged.held += 1;
                continue;
            }
            self.of_staged.refused += 1;
            let refused = collection.refused.as_ref().expect("it says why");
            let doubled = &*refused.code == "not_unique" && collection.indexes.iter().any(|index| index.unique);
            assert!(
                doubled || self.now().reshaped(*to).is_none(),
                "{refused:?}, which nothing is in the way of {to:?}"
            );
        }
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
        let n = shapes::id_in(&self.collections[0], model::N);
        let is_unique_n = |index: &Index| index.unique && index.fields.len() == 1 && Some(index.fields[0].field) == n;
        self.collections[0].ready_indexes().any(is_unique_n)
    }

    /// Whether a unique index is being built, or a definition staged: then a write may move the definition, and what
    /// follows it must be asked anew.
    pub(crate) fn may_move(&self) -> bool {
        let builds = self.collections[0].indexes.iter().any(|index| index.unique && index.is_building());
        builds || !self.staged().is_empty()
    }

    /// One command that is none of a client's on records; what it makes of the model, if it is not refused, and what else
    /// it may make of it.
    fn commit_one(
        &mut self,
        parts: &mut Parts,
        command: Command,
        next: Model,
        or: Vec<Model>,
    ) -> Result<millpond::error::Result<()>, Kind> {
        let (length, staged) = (self.history.len(), self.staged());
        self.history.push(next);
        self.or = or;
        let outcomes = parts.writer.commit(&[command], NOW).map_err(|error| error.kind())?;
        let outcome = outcomes.into_iter().next().expect("one");
        let logged = parts.writer.position().seq.0 - self.acked.0;
        assert!(logged == 0 || logged == 1 && outcome.is_ok(), "{outcome:?}");
        self.history.truncate(length + logged as usize);
        self.acked = parts.writer.position().seq;
        self.see(parts);
        if logged == 0 {
            self.or.clear();
        }
        self.settle().expect("one of the models that it may be");
        self.justify(&staged);
        Ok(outcome.map(drop))
    }

    /// Takes of what the last entry may be what the definitions say it is.
    fn settle(&mut self) -> Result<(), String> {
        let (shape, or) = (self.shape(), std::mem::take(&mut self.or));
        if self.now().shape != shape {
            let last = self.history.last_mut().expect("never empty");
            let is = or.into_iter().find(|model| model.shape == shape);
            *last = is.ok_or_else(|| format!("the definitions are {shape:?}, not {:?}", last.shape))?;
        }
        Ok(())
    }

    /// One piece of the server's own works, if there is any.
    pub(crate) fn work(&mut self, parts: &mut Parts) -> Result<bool, Kind> {
        self.see(parts);
        let Some(command) = parts.writer.work().map_err(|error| error.kind())? else { return Ok(false) };
        let or = self.staged().into_iter().filter_map(|(_, to)| self.now().reshaped(to)).collect();
        drop(self.commit_one(parts, command, self.now().clone(), or)?);
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
        self.commit_one(parts, Command::Redefine(Box::new(next)), self.now().clone(), Vec::new()).map(drop)
    }

    /// The present shape, to make another of.
    pub(crate) fn present(&mut self, parts: &Parts) -> Shape {
        self.see(parts);
        self.shape()
    }

    /// A change of one definition, as a client asks for it: at once, or staged.
    pub(crate) fn reshape(&mut self, parts: &mut Parts, which: Which, to: Shape) -> Result<(), Kind> {
        self.see(parts);
        let view = parts.writer.published().load_full();
        let (stored, to) = (&self.collections[which as usize], self.shape().put(which, to));
        let body = to.body(which, stored);
        let change = definition::change(&view.schema, stored, body.as_bytes(), NOW)
            .unwrap_or_else(|error| panic!("{body}: {error}"));
        let command = match change.rows {
            Rows::Unseen => Command::Redefine(Box::new(change.collection)),
            _ => Command::Stage(Box::new(Staged { collection: change.collection, shadows: change.shadows })),
        };
        let or = self.now().reshaped(to).into_iter().collect();
        if let Err(refusal) = self.commit_one(parts, command, self.now().clone(), or)?
            && refusal.code_str() == "refused"
        {
            let doubled = refusal.field_faults().iter().any(|fault| fault.code == "not_unique");
            assert!(doubled || self.now().reshaped(to).is_none(), "{to:?}: {refusal}");
        }
        Ok(())
    }

    /// All records of one collection go, with what points at them. What is staged there holds at once.
    pub(crate) fn truncate(&mut self, parts: &mut Parts, which: Which) -> Result<(), Kind> {
        self.see(parts);
        let next = self.now().emptied(which);
        let staged = self.staged().into_iter().filter(|(of, _)| *of == which);
        let or = staged.filter_map(|(_, to)| next.reshaped(to)).collect();
        self.commit_one(parts, Command::Truncate(self.collections[which as usize].id), next, or).map(drop)
    }

    /// Whether one record is as the model has it now.
    pub(crate) fn expect(&self, collection: &Collection, id: u8, found: Option<Fields>) -> Result<(), String> {
        let which = if collection.id == self.collections[0].id { Which::A } else { Which::B };
        let expected = self.now().records.get(&(which, id));
        let found = found.map(|row| shapes::decoded(collection, &row)).transpose()?;
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
        if at >= self.history.len() {
            return Err(format!("found up to {found}, but nothing was asked beyond {} entries", self.history.len()));
        }
        if at + 1 < self.history.len() {
            self.or.clear();
        }
        self.history.truncate(at + 1);
        self.see(parts);
        self.settle().map_err(|error| format!("at {found}: {error}"))?;
        let expected = self.now();
        if self.has_unique_n() && expected.has_twins() {
            return Err(format!("at {found}: a unique index is ready over values that are not"));
        }
        for which in [Which::A, Which::B] {
            self.verify_rows(&view.stack, which).map_err(|error| format!("at {found}: {which:?} {error}"))?;
        }
        let report = state::check(&view.stack, &view.schema).map_err(|error| error.to_string())?;
        if let Some(problem) = report.problems.first() {
            return Err(format!("at {found}: {problem}"));
        }
        self.acked = found;
        self.of_staged.found += u64::from(!self.staged().is_empty());
        Ok(())
    }

    /// Whether the rows of one collection are the model's, also as a staged definition has those that were seen to for it.
    fn verify_rows(&self, stack: &state::Stack, which: Which) -> Result<(), String> {
        let (expected, collection) = (self.now(), &self.collections[which as usize]);
        let told = |error: millpond::error::Error| error.to_string();
        let staged = self.staged().into_iter().find(|(of, _)| *of == which);
        let seen_to = state::reshaped(stack, collection.id, collection.generation).map_err(told)?;
        if seen_to.is_some() != staged.is_some() {
            return Err(format!("has {staged:?} staged, seen to {seen_to:?}"));
        }
        let seen_to = seen_to.and_then(|progress| progress.through);
        let mut there = 0;
        for id in 0..model::IDS {
            let record = state::record(stack, collection, &model::record_id(id)).map_err(told)?;
            there += u64::from(record.is_some());
            let row = record.map(|record| record.fields);
            let found = row.as_ref().map(|row| shapes::decoded(collection, row)).transpose()?;
            let is = expected.records.get(&(which, id));
            if found.as_ref() != is {
                return Err(format!("{id} is {found:?}, not {is:?}"));
            }
            let (Some((_, to)), Some(staged)) = (staged, &collection.staged) else { continue };
            if let (Some(row), Some(is)) = (row, is.filter(|_| seen_to.as_ref() >= Some(&model::record_id(id)))) {
                let (will, is) = (shapes::decoded(&staged.collection, &row)?, to.reshaped(expected.shape, which, is));
                if is.as_ref() != Some(&will) {
                    return Err(format!("{id} was seen to and will be {will:?}, not {is:?}"));
                }
            }
        }
        let tally = state::tally(stack, collection.id, collection.generation).map_err(told)?;
        if tally.count == there { Ok(()) } else { Err(format!("counts {} records, there are {there}", tally.count)) }
    }
}

/// One step of a core's life. An error means that it must be given up.
pub(crate) fn step(known: &mut Known, parts: &mut Parts, rng: &mut Rng) -> Result<(), Kind> {
    match rng.below(40) {
        0..=11 => {
            let length = if known.may_move() { 1 } else { 1 + rng.below(3) };
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
        26..=29 | 33..=35 => known.work(parts).map(drop),
        30..=31 => known.redefine(parts, rng.below(5)),
        32 => known.truncate(parts, if rng.chance(50) { Which::A } else { Which::B }),
        36..=38 => {
            let (which, to) = known.present(parts).another(rng);
            known.reshape(parts, which, to)
        }
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
    parts.keeper.scrub(&|| false);
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
