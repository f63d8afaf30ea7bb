//! A collection with every kind of index, random values for it, and a history whose state is also kept in a plain map.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::disk::sim::{Rng, SimDisk};
use crate::id::{CollectionId, Epoch, FieldId, Generation, IndexId, NodeId, Position, RecordId, Seq};
use crate::model::change::{Change, Entry};
use crate::model::schema::{
    Collection, CollectionKind, Field, FieldKind, Index, IndexField, IndexState, OnDelete, Output, Rules, Schema,
};
use crate::model::value::{Fields, Value};
use crate::state::{Applied, Base, Effects, Opened, Stack, effects};
use crate::time::Millis;

pub(super) const NAME: FieldId = FieldId(1);
pub(super) const WHOLE: FieldId = FieldId(2);
pub(super) const REAL: FieldId = FieldId(3);
pub(super) const FLAG: FieldId = FieldId(4);
pub(super) const DATE: FieldId = FieldId(5);
pub(super) const TAGS: FieldId = FieldId(6);
pub(super) const OWNER: FieldId = FieldId(7);
pub(super) const JSON: FieldId = FieldId(8);

/// The folder that the base lies in.
pub(super) const DIR: &str = "/state";

/// A simulated disk with an empty folder for a base.
pub(super) fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

/// How often to try: more with `CI=true` in the environment.
pub(super) fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var("CI").is_ok_and(|value| value == "true") { long } else { short }
}

/// Randomness, with its seed printed.
pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(what: &str, seed: u64) -> Dice {
        eprintln!("{what}: seed {seed}");
        Dice(Rng::new(seed))
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0.below(sides)
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len() as u64) as usize]
    }

    pub(super) fn id(&mut self) -> RecordId {
        let text = ["a", "ab", "b", "z.9", "A-_"];
        RecordId::new(&format!("{}{}", self.pick(&text), self.roll(30))).unwrap()
    }

    /// A value that the field may hold; few different ones, so that they meet.
    pub(super) fn value(&mut self, field: FieldId) -> Value {
        if self.roll(5) == 0 {
            return Value::Null;
        }
        let texts = ["", "a", "a\0", "a\0b", "ab", "ä", "zz"];
        match field {
            NAME => Value::text(*self.pick(&texts)),
            WHOLE => Value::Int(*self.pick(&[i64::MIN, -3, -1, 0, 1, 2, 1 << 53, (1 << 53) + 1, i64::MAX])),
            REAL => Value::Number(*self.pick(&[-1e300, -1.5, 0.0, 0.25, 3.0, 1e-300])),
            FLAG => Value::Bool(self.roll(2) == 0),
            DATE => Value::Date(Millis(*self.pick(&[-1, 0, 7, 1_700_000_000_000]))),
            TAGS => {
                let count = self.roll(4);
                Value::List((0..count).map(|_| Value::text(*self.pick(&["x", "y", "z"]))).collect())
            }
            OWNER => Value::text(self.id().as_str()),
            _ => Value::Json("{\"a\":1}".into()),
        }
    }

    pub(super) fn fields(&mut self) -> Fields {
        (1..=8).map(|id| (FieldId(id), self.value(FieldId(id)))).collect()
    }
}

fn field(id: FieldId, name: &str, kind: FieldKind) -> Field {
    Field {
        id,
        name: name.into(),
        kind,
        required: false,
        hidden: false,
        default: None,
        aliases: Vec::new(),
        sanitize: Vec::new(),
        computed: None,
    }
}

fn index(id: u32, name: &str, fields: &[(FieldId, bool)]) -> Index {
    let fields = fields.iter().map(|(field, descending)| IndexField { field: *field, descending: *descending });
    Index {
        id: IndexId(id),
        name: name.into(),
        fields: fields.collect(),
        unique: false,
        system: false,
        state: IndexState::Ready,
    }
}

/// Fields of every kind, indexes of every shape.
pub(super) fn things(id: u32, generation: u32) -> Collection {
    let text = || FieldKind::Text { min: None, max: None, pattern: None };
    let number = |integer| FieldKind::Number { integer, min: None, max: None };
    let owner = FieldKind::Relation {
        collection: CollectionId(id),
        max_select: 1,
        min_select: 0,
        on_delete: OnDelete::Restrict,
    };
    let tags = FieldKind::Select { values: vec!["x".into(), "y".into(), "z".into()], max_select: 3, min_select: 0 };
    let mut of_owner = index(6, "_rel_owner", &[(OWNER, false)]);
    of_owner.system = true;
    Collection {
        id: CollectionId(id),
        generation: Generation(generation),
        version: Seq::ZERO,
        name: format!("things{id}").into(),
        kind: CollectionKind::Base,
        auth_token: None,
        fields: vec![
            field(NAME, "name", text()),
            field(WHOLE, "whole", number(true)),
            field(REAL, "real", number(false)),
            field(FLAG, "flag", FieldKind::Bool {}),
            field(DATE, "date", FieldKind::Date { min: None, max: None }),
            field(TAGS, "tags", tags),
            field(OWNER, "owner", owner),
            field(JSON, "json", FieldKind::Json { max_size: None }),
        ],
        indexes: vec![
            index(1, "name", &[(NAME, false)]),
            index(2, "whole", &[(WHOLE, true)]),
            index(3, "flag_real", &[(FLAG, false), (REAL, true)]),
            index(4, "date_name_whole", &[(DATE, true), (NAME, false), (WHOLE, false)]),
            index(5, "tags", &[(TAGS, false)]),
            of_owner,
        ],
        rules: Rules::default(),
        checks: Vec::new(),
        search: None,
        output: Output::default(),
        created: Millis(1),
        updated: Millis(1),
        defined: Seq::ZERO,
        last_field: FieldId(8),
        last_index: IndexId(6),
        staged: None,
        refused: None,
    }
}

pub(super) fn defined(collection: &Collection) -> Change {
    Change::Defined { collection: collection.id, definition: serde_json::to_string(collection).unwrap() }
}

pub(super) fn position(seq: u64) -> Position {
    Position { epoch: Epoch { counter: 1, node: NodeId(7) }, seq: Seq(seq) }
}

pub(super) fn open(disk: &SimDisk) -> Opened {
    Base::open(disk, Path::new(DIR), 1 << 20).unwrap()
}

/// A stack over a base in a folder, the schema, and all records in a plain map.
pub(super) struct History {
    pub(super) stack: Stack,
    pub(super) schema: Schema,
    pub(super) records: BTreeMap<RecordId, (Position, Fields)>,
    pub(super) collection: Arc<Collection>,
    pub(super) seq: u64,
    base: Option<Base>,
}

impl History {
    pub(super) fn new(seed: u64) -> History {
        History::on(&disk(seed))
    }

    pub(super) fn on(disk: &SimDisk) -> History {
        let base = open(disk).base;
        let mut history = History {
            stack: Stack::new(base.view()),
            schema: Schema::default(),
            records: BTreeMap::new(),
            collection: Arc::new(things(1, 1)),
            seq: 0,
            base: Some(base),
        };
        let change = defined(&history.collection);
        history.commit(vec![change]);
        history
    }

    /// Applies an entry of these changes and returns its effects' number of writes.
    pub(super) fn commit(&mut self, changes: Vec<Change>) -> usize {
        self.seq += 1;
        let effects: Effects = effects(&self.schema, position(self.seq), &Entry { changes }).unwrap();
        let writes = effects.writes.len();
        if let Some(schema) = &effects.schema {
            self.schema = schema.clone();
        }
        self.stack.apply(effects).unwrap();
        if let Some(collection) = self.schema.get(self.collection.id) {
            self.collection = collection.clone();
        }
        writes
    }

    /// An entry of some random changes.
    pub(super) fn step(&mut self, dice: &mut Dice) {
        let version = position(self.seq + 1);
        let (collection, generation) = (self.collection.id, self.collection.generation);
        let mut changes = Vec::new();
        for _ in 0..=dice.roll(4) {
            let id = dice.id();
            let change = match self.records.get(&id).cloned() {
                Some((since, before)) if dice.roll(3) == 0 => {
                    self.records.remove(&id);
                    Change::Deleted { collection, generation, id, before, since: since.seq }
                }
                Some((since, was)) => {
                    let mut after = was.clone();
                    for _ in 0..dice.roll(4) {
                        let field = FieldId(1 + dice.roll(8) as u32);
                        after.set(field, dice.value(field));
                    }
                    self.records.insert(id.clone(), (version, after.clone()));
                    let before = after.before_image(&was);
                    Change::Updated { collection, generation, id, after, before, since: since.seq }
                }
                None => {
                    let after = dice.fields();
                    self.records.insert(id.clone(), (version, after.clone()));
                    Change::Created { collection, generation, id, after }
                }
            };
            changes.push(change);
        }
        self.commit(changes);
    }

    pub(super) fn applied(&self) -> Applied {
        Applied { position: position(self.seq), ..Applied::default() }
    }

    /// What the writer does: the fresh layer becomes the frozen one.
    pub(super) fn freeze(&mut self) {
        if self.stack.frozen.is_none() {
            self.stack.frozen = Some(Arc::new(std::mem::take(&mut self.stack.fresh)));
        }
    }

    /// What the applier does: the frozen layer goes into the base.
    pub(super) fn flush(&mut self, durably: bool) {
        let applied = self.applied();
        let base = self.base.as_mut().unwrap();
        if let Some(frozen) = self.stack.frozen.take() {
            base.apply(&frozen, applied).unwrap();
        }
        if durably {
            base.checkpoint().unwrap();
        }
        self.stack.base = base.view();
    }

    /// Everything into the base, and the base closed.
    pub(super) fn close(mut self) {
        self.flush(false);
        self.freeze();
        self.flush(false);
        self.base.take().unwrap().close(true).unwrap();
    }

    /// A freeze or flush now and then.
    pub(super) fn churn(&mut self, dice: &mut Dice) {
        match dice.roll(12) {
            0 => self.freeze(),
            1 => self.flush(false),
            2 => self.flush(true),
            _ => {}
        }
    }
}
