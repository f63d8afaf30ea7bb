//! A core stepped by hand on a simulated disk, the ways to build its state a second time, and a judge that knows the
//! promises to a client but none of the code that keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::core::decide::Pieces;
use crate::core::{self, Applier, Outcome, Published, Role, Writer, plant};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskLock, Open};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, DatabaseId, FieldId, NodeId, Position, RecordId, Seq};
use crate::log;
use crate::model::command::{Command, Committed, Condition, Op, Write, Written};
use crate::model::definition;
use crate::model::guard::Guard;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::{Collection, FieldKind, Index, IndexField, IndexState, Schema};
use crate::model::value::{Fields, Value};
use crate::state::{self, Applied, Base, Read, Stack};
use crate::time::Millis;

pub(super) const DIR: &str = "/data";
pub(super) const NOW: Millis = Millis(1_700_000_000_000);

/// All keys that are the same on every server, with their values.
pub(super) type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

/// Small segments, so that rotation happens, and a fixed identity.
pub(super) fn settings() -> core::Settings {
    core::Settings {
        cache_bytes: 1 << 20,
        ballast_bytes: crate::limits::BALLAST_BYTES,
        pieces: Pieces::default(),
        log: log::Settings { segment_bytes: 64 << 10, first_segment_bytes: 16 << 10, ..log::Settings::default() },
        genesis: Some(log::Genesis { database: DatabaseId(7), node: NodeId(1) }),
        ..core::Settings::default()
    }
}

/// The same of a server that follows, which has a name of its own.
pub(super) fn follower_settings() -> core::Settings {
    let genesis = log::Genesis { database: DatabaseId(8), node: NodeId(2) };
    core::Settings { genesis: Some(genesis), role: Role::Follower, ..settings() }
}

/// Lays a snapshot into a folder that is to be made of it.
pub(super) fn sow(disk: &SimDisk, snapshot: &[u8], begins_above: Option<u32>) -> Result<()> {
    let path = core::incoming(Path::new(DIR));
    let io = |error| Error::io("the snapshot", error);
    disk.create_dir_all(Path::new(DIR)).map_err(io)?;
    let file = match disk.open(&path, Open::CreateNew) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => disk.open(&path, Open::Write),
        file => file,
    };
    file.and_then(|file| file.write_at(0, snapshot).and_then(|()| file.sync_data())).map_err(io)?;
    match begins_above {
        None => core::sow(disk, Path::new(DIR)).map(drop),
        Some(above) => {
            let header = state::snapshot::verify(&mut &snapshot[..])?;
            plant::Note::of(header.applied).begin_above(above).store(disk, Path::new(DIR))
        }
    }
}

/// How often to try: more with `CI=true` in the environment.
pub(super) fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var("CI").is_ok_and(|value| value == "true") { long } else { short }
}

pub(super) fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

/// The core without its threads.
pub(super) struct Stepped {
    pub(super) disk: SimDisk,
    pub(super) writer: Writer,
    pub(super) applier: Applier,
    pub(super) keeper: core::Keeper,
    pub(super) reader: log::Reader,
    pub(super) now: Millis,
    _lock: Box<dyn DiskLock>,
}

impl Stepped {
    pub(super) fn new() -> Stepped {
        Stepped::open(&SimDisk::new(1)).unwrap()
    }

    /// A core with these collections, as a client defines them.
    pub(super) fn with(definitions: &[&str]) -> Stepped {
        let mut core = Stepped::new();
        for definition in definitions {
            core.define(definition);
        }
        core
    }

    pub(super) fn open(disk: &SimDisk) -> Result<Stepped> {
        Stepped::open_set(disk, &settings())
    }

    pub(super) fn open_with(disk: &SimDisk, pieces: Pieces) -> Result<Stepped> {
        Stepped::open_set(disk, &core::Settings { pieces, ..settings() })
    }

    pub(super) fn open_set(disk: &SimDisk, settings: &core::Settings) -> Result<Stepped> {
        let opened = core::open(Arc::new(disk.clone()), Path::new(DIR), settings)?;
        let core::Opened { writer, applier, keeper, reader, lock, .. } = opened;
        Ok(Stepped { disk: disk.clone(), writer, applier, keeper, reader, now: NOW, _lock: lock })
    }

    pub(super) fn view(&self) -> Arc<Published> {
        self.writer.published().load_full()
    }

    pub(super) fn collection(&self, name: &str) -> Arc<Collection> {
        self.view().schema.find(name).unwrap_or_else(|| panic!("no collection {name}")).clone()
    }

    pub(super) fn wanted(&self, definition: &str) -> Collection {
        definition::parse(&self.view().schema, definition.as_bytes(), self.now).unwrap()
    }

    pub(super) fn define(&mut self, definition: &str) -> Collection {
        let wanted = self.wanted(definition);
        *self.submit(Command::Define(Box::new(wanted))).unwrap().collection.unwrap()
    }

    /// The definition of a collection with a change to it.
    pub(super) fn redefine(&mut self, name: &str, change: impl FnOnce(&mut Collection)) -> Outcome {
        let mut next = (*self.collection(name)).clone();
        change(&mut next);
        self.submit(Command::Redefine(Box::new(next)))
    }

    /// One piece of the server's own works; whether there was any.
    pub(super) fn work(&mut self) -> bool {
        let Some(command) = self.writer.work().unwrap() else { return false };
        self.submit(command).unwrap();
        true
    }

    /// One command as a batch of its own. Whatever comes of it, the state is whole after it.
    pub(super) fn submit(&mut self, command: Command) -> Outcome {
        let before = self.view();
        let outcome = self.writer.commit(std::slice::from_ref(&command), self.now).unwrap().pop().unwrap();
        let after = self.view();
        let logged = self.reader.position().seq;
        assert_eq!(after.position.seq, logged, "what is seen is what is logged");
        match &outcome {
            Ok(committed) if committed.position.seq > before.position.seq => judge(&after),
            Ok(committed) if committed.replayed.is_some() => {
                assert!(Arc::ptr_eq(&after, &before), "what was done before is not done again: {command:?}");
            }
            Ok(committed) => {
                assert_eq!(after.position, before.position, "a command that logs nothing moves nothing");
                assert_eq!(committed.position.seq, before.position.seq, "it answers the position it read");
            }
            Err(_) => {
                assert_eq!(after.position, before.position, "a refused command leaves no entry: {command:?}");
                assert!(Arc::ptr_eq(&after, &before), "nor a view");
            }
        }
        outcome
    }

    /// One transaction.
    pub(super) fn write(&mut self, writes: &[(&str, Op)]) -> Outcome {
        let command = self.command(writes);
        self.submit(command)
    }

    pub(super) fn command(&self, writes: &[(&str, Op)]) -> Command {
        let write = |(name, op): &(&str, Op)| {
            let collection = self.collection(name);
            Write { collection: collection.id, schema: collection.version, guard: Guard::for_server(), op: op.clone() }
        };
        Command::Write(writes.iter().map(write).collect())
    }

    /// A create of a JSON body, which names its id.
    pub(super) fn create(&self, name: &str, body: &str) -> Op {
        pipeline::create(&self.collection(name), body.as_bytes(), id("made"), true).unwrap()
    }

    pub(super) fn put(&self, name: &str, record: &str, body: &str, if_match: Option<Condition>, new: bool) -> Op {
        pipeline::put(&self.collection(name), Some(record), body.as_bytes(), if_match, new, id("made"), true).unwrap()
    }

    pub(super) fn merge(&self, name: &str, record: &str, body: &str, if_match: Option<Condition>) -> Op {
        pipeline::merge(&self.collection(name), &id(record), body.as_bytes(), if_match, true).unwrap()
    }

    /// Creates that must be accepted, one transaction.
    pub(super) fn fill(&mut self, records: &[(&str, &str)]) -> Committed {
        let writes: Vec<(&str, Op)> = records.iter().map(|(name, body)| (*name, self.create(name, body))).collect();
        self.write(&writes).unwrap()
    }

    pub(super) fn record(&self, name: &str, record: &str) -> Option<Record> {
        state::record(&self.view().stack, &self.collection(name), &id(record)).unwrap()
    }

    /// The record as JSON without its frame, `gone` if there is none.
    pub(super) fn shown(&self, name: &str, record: &str) -> String {
        let Some(record) = self.record(name, record) else { return "gone".to_owned() };
        let collection = self.collection(name);
        let shown = collection.fields.iter().filter_map(|field| {
            let mut out = Vec::new();
            let value = record.fields.get(field.id);
            pipeline::write_value(value, &mut out);
            (!value.is_null()).then(|| format!("{}={}", field.name, String::from_utf8(out).unwrap()))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn entries(&self) -> Vec<Arc<log::Logged>> {
        entries(&self.reader)
    }

    pub(super) fn keys(&self) -> Keys {
        keys(&self.view().stack)
    }

    /// Folds the fresh layer into the base.
    pub(super) fn flush(&mut self) {
        if let Some(flush) = self.writer.freeze(true) {
            let flushed = self.applier.apply(&flush).unwrap();
            self.writer.adopt(flushed);
        }
    }

    /// The end after a failure: as the applier's thread and a stop have it.
    pub(super) fn abandon(self) {
        if self.applier.is_damaged() {
            self.applier.quarantine().unwrap();
        }
        self.applier.close(false).unwrap();
    }

    pub(super) fn close(self) -> SimDisk {
        self.applier.close(true).unwrap();
        self.writer.close().unwrap();
        self.disk
    }

    /// The state has one form, whatever way it is built: live, from the log alone, from a snapshot at `at` and the rest
    /// of the log, and by a restart.
    pub(super) fn assert_one_state(&mut self, at: Seq) {
        let live = self.keys();
        judge(&self.view());
        let witness = self.view().witness();
        if witness.position.seq > Seq::ZERO {
            assert_eq!(
                self.reader.witness(witness.position.seq).unwrap(),
                Some(witness),
                "the view is at the log's end"
            );
        }
        let entries = self.entries();
        let scratch = SimDisk::new(2);
        let mut replayed = Replica::new(&scratch, "/zero");
        for logged in entries.iter().take(at.0 as usize) {
            replayed.follow(logged);
        }
        let (position, chain) = entries
            .iter()
            .take(at.0 as usize)
            .next_back()
            .map_or_else(|| (Position::default(), Default::default()), |logged| (logged.position, logged.chain));
        let mut snapshot = Vec::new();
        let applied = Applied { database: DatabaseId(7), position, chain, time: NOW };
        state::snapshot::write(&replayed.stack, &replayed.schema, applied, &mut snapshot).unwrap();
        scratch.create_dir_all(Path::new("/loaded")).unwrap();
        state::snapshot::load(&scratch, Path::new("/loaded"), &mut &snapshot[..]).unwrap();
        let mut loaded = Replica::new(&scratch, "/loaded");
        assert_eq!(keys(&loaded.stack), keys(&replayed.stack), "a snapshot holds what it was made of");
        for logged in entries.iter().skip(at.0 as usize) {
            replayed.follow(logged);
            loaded.follow(logged);
        }
        assert_eq!(keys(&replayed.stack), live, "the log from its beginning makes the live state");
        assert_eq!(keys(&loaded.stack), live, "a snapshot and the rest of the log make the live state");
        let restarted = Stepped::open(&self.disk.fork(3)).unwrap();
        assert_eq!(restarted.keys(), live, "a restart makes the live state");
        let mut follower = Stepped::planted(&SimDisk::new(4), &snapshot, None).unwrap();
        follower.follow(&self.reader, 2_000).unwrap();
        assert_eq!(follower.keys(), live, "a follower that was made of the snapshot has the live state");
        assert_eq!(follower.reader.position(), self.reader.position());
    }

    /// A follower whose folder is made of a snapshot.
    pub(super) fn planted(disk: &SimDisk, snapshot: &[u8], begins_above: Option<u32>) -> Result<Stepped> {
        sow(disk, snapshot, begins_above)?;
        let role = if begins_above.is_some() { core::Role::Primary } else { core::Role::Follower };
        Stepped::open_set(disk, &core::Settings { role, ..follower_settings() })
    }

    /// A snapshot of what it is now.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let (view, mut bytes) = (self.view(), Vec::new());
        let log::Witness { position, chain, time } = view.witness();
        let applied = Applied { database: DatabaseId(7), position, chain, time };
        state::snapshot::write(&view.stack, &view.schema, applied, &mut bytes).unwrap();
        bytes
    }

    /// Logs what another server has logged since, some bytes at once, and looks at each state on the way.
    pub(super) fn follow(&mut self, primary: &log::Reader, bytes: usize) -> Result<()> {
        loop {
            let shipment = primary.ship(self.reader.position().seq, bytes).unwrap();
            let Some(last) = shipment.last else { return Ok(()) };
            let position = self.writer.ingest(&shipment.frames).unwrap()?;
            assert_eq!((position, self.view().position), (last.position, position));
            judge(&self.view());
        }
    }
}

/// A state built from nothing but entries, or from a base that lies in a folder.
struct Replica {
    stack: Stack,
    schema: Schema,
    _base: Base,
}

impl Replica {
    fn new(disk: &SimDisk, dir: &str) -> Replica {
        disk.create_dir_all(Path::new(dir)).unwrap();
        let base = Base::open(disk, Path::new(dir), 1 << 20).unwrap().base;
        let stack = Stack::new(base.view());
        let schema = state::schema_of(&stack).unwrap();
        Replica { stack, schema, _base: base }
    }

    fn follow(&mut self, logged: &log::Logged) {
        let effects = state::effects(&self.schema, logged.position, &logged.entry).unwrap();
        if let Some(schema) = &effects.schema {
            self.schema = schema.clone();
        }
        self.stack.apply(effects).unwrap();
    }
}

pub(super) fn entries(reader: &log::Reader) -> Vec<Arc<log::Logged>> {
    let mut all: Vec<Arc<log::Logged>> = Vec::new();
    loop {
        let after = all.last().map_or(Seq::ZERO, |logged| logged.position.seq);
        if after == reader.position().seq {
            return all;
        }
        all.extend(reader.read_from(after, usize::MAX).unwrap());
    }
}

pub(super) fn keys(read: &dyn Read) -> Keys {
    let pairs = read.scan(&[1], &[0xff], false).unwrap();
    pairs.map(|pair| pair.map(|pair| (pair.key().to_vec(), pair.value().to_vec())).unwrap()).collect()
}

/// What a client may rely on: derived keys fit the rows, relations point at records, unique values stand alone, what is
/// required is there.
pub(super) fn judge(view: &Published) {
    let report = state::check(&view.stack, &view.schema).unwrap();
    assert_eq!(report.problems, Vec::<String>::new(), "at {}", view.position);
    let all: BTreeMap<CollectionId, BTreeMap<RecordId, Fields>> =
        view.schema.iter().map(|collection| (collection.id, records(view, collection))).collect();
    for collection in view.schema.iter() {
        for (id, fields) in &all[&collection.id] {
            judge_record(collection, id, fields, &all);
        }
        for index in collection.ready_indexes().filter(|index| index.unique) {
            let parts: Vec<FieldId> = index.fields.iter().map(|part| part.field).collect();
            let mut seen = BTreeSet::new();
            for fields in all[&collection.id].values() {
                let values: Vec<&Value> = parts.iter().map(|part| fields.get(*part)).collect();
                if values.iter().all(|value| !value.is_null()) {
                    assert!(seen.insert(format!("{values:?}")), "{} holds {values:?} twice", index.name);
                }
            }
        }
    }
}

fn judge_record(
    collection: &Collection,
    id: &RecordId,
    fields: &Fields,
    all: &BTreeMap<CollectionId, BTreeMap<RecordId, Fields>>,
) {
    for field in &collection.fields {
        let value = fields.get(field.id);
        let place = format!("{}.{} of {id}", collection.name, field.name);
        assert!(!(field.required && pipeline::is_empty(value)), "{place} is required and empty");
        let FieldKind::Relation { collection: target, min_select, .. } = &field.kind else { continue };
        assert!(value.is_null() || value.each().len() >= *min_select, "{place} has too few: {value:?}");
        for value in value.each() {
            let target = &all[target];
            assert!(
                target.contains_key(&super::fixture::id(value.as_text().unwrap())),
                "{place} points at {value:?}, which is gone"
            );
        }
    }
}

/// All records of a collection, found by the ids in its rows.
fn records(view: &Published, collection: &Collection) -> BTreeMap<RecordId, Fields> {
    // Byte 2, collection, generation, id: the layout that `state::key` documents.
    let mut head = vec![2];
    head.extend(collection.id.0.to_be_bytes());
    head.extend(collection.generation.0.to_be_bytes());
    let mut end = head.clone();
    end.push(0xff);
    let pairs = view.stack.scan(&head, &end, false).unwrap();
    let ids = pairs.map(|pair| id(std::str::from_utf8(&pair.unwrap().key()[head.len()..]).unwrap()));
    ids.map(|id| {
        let record = state::record(&view.stack, collection, &id).unwrap().unwrap();
        (id, record.fields)
    })
    .collect()
}

/// The record of an answer.
pub(super) fn stored(written: &Written) -> &Record {
    match written {
        Written::Created(record) | Written::Updated(record) => record,
        Written::Deleted => panic!("a deletion has no record"),
    }
}

/// An index that the definition doesn't have yet, added to it: fields by name, `-name` for greatest first.
pub(super) fn add_index(to: &mut Collection, name: &str, fields: &[&str], unique: bool) {
    to.last_index.0 += 1;
    let fields = fields.iter().map(|text| {
        let name = text.trim_start_matches('-');
        IndexField { field: to.field(name).expect("a field").id, descending: name != *text }
    });
    let fields = fields.collect();
    let state = IndexState::Ready;
    to.indexes.push(Index { id: to.last_index, name: name.into(), fields, unique, system: false, state });
}

/// What is told of an outcome in a table: `created`, `updated`, `same`, `deleted`, or the refusal's kind and code.
pub(super) fn told(core: &Stepped, before: Position, outcome: &Outcome) -> String {
    match outcome {
        Err(refusal) => refused(refusal.kind(), refusal.code_str()),
        Ok(committed) if committed.position == before => {
            assert_eq!(core.view().position, before);
            "same".to_owned()
        }
        Ok(committed) => {
            let words = committed.writes.iter().map(|written| match written {
                Written::Created(_) => "created",
                Written::Updated(_) => "updated",
                Written::Deleted => "deleted",
            });
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

pub(super) fn refused(kind: Kind, code: &str) -> String {
    format!("{kind:?} {code}")
}
