//! What an entry of the log does to the state: keys and values, and what is added to tallies. Computed from the entry
//! and the schema alone, so every server that has the one has the other.
//!
//! Entries are decided facts and are not judged again; one that contradicts the schema is damage, never a panic.

mod indexes;
mod reshape;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::id::{CollectionId, FieldId, Generation, Mark, Position, RecordId, Seq};
use crate::model::change::{Change, Entry};
use crate::model::once::{Fingerprint, Remembered};
use crate::model::schema::{Collection, Schema};
use crate::model::value::{Fields, Value};
use crate::state::answers::{self, Answers};
use crate::state::key::{self, Key};
use crate::state::layer::Layer;
use crate::state::stack::Read;
use crate::state::tally::{Tally, TallyDelta, hash};
use crate::state::{cursors, history, lookup, row};

/// What an entry does to the state.
#[derive(Debug, Default)]
pub struct Effects {
    /// Keys set or, without a value, deleted; a later one overrides an earlier.
    pub writes: Vec<(Key, Option<Bytes>)>,
    /// What is added to the tallies, each filling once.
    pub tallies: Vec<(CollectionId, Generation, TallyDelta)>,
    /// The schema from here on, if the entry changes it.
    pub schema: Option<Schema>,
}

/// The effects of the entry at `position` on a state with that schema.
///
/// # Errors
/// `Damaged` for an entry that contradicts the schema.
pub fn effects(schema: &Schema, position: Position, entry: &Entry) -> Result<Effects> {
    let mut work = Work { schema, position, effects: Effects::default() };
    work.effects.writes.reserve(entry.changes.len() * 4);
    for (at, change) in entry.changes.iter().enumerate() {
        work.change(change, &entry.changes[..at])?;
    }
    Ok(work.effects)
}

/// The writes of effects, with the tallies read, added to and turned into writes too.
///
/// # Errors
/// `Damaged` for a tally that would fall below zero, or the base's.
pub fn settle(effects: Effects, over: &dyn Read) -> Result<Vec<(Key, Option<Bytes>)>> {
    let Effects { mut writes, tallies, .. } = effects;
    for (collection, generation, delta) in tallies {
        if delta != TallyDelta::default() {
            let tally: Tally = lookup::tally(over, collection, generation)?.plus(delta)?;
            writes.push((Key::from(&key::tally(collection, generation)[..]), tally.encode()));
        }
    }
    Ok(writes)
}

/// Puts effects into a layer that lies over `over`.
///
/// # Errors
/// As [`settle`]; then nothing was put.
pub fn apply(effects: Effects, over: &dyn Read, into: &mut Layer) -> Result<()> {
    for (key, value) in settle(effects, over)? {
        into.put(key, value);
    }
    Ok(())
}

struct Work<'a> {
    schema: &'a Schema,
    position: Position,
    effects: Effects,
}

impl Work<'_> {
    fn change(&mut self, change: &Change, earlier: &[Change]) -> Result<()> {
        match change {
            Change::Created { collection, generation, id, after } => {
                let collection = self.filled(*collection, *generation)?;
                self.created(&collection, id, after)
            }
            Change::Updated { collection, generation, id, after, before, .. } => {
                let collection = self.filled(*collection, *generation)?;
                self.updated(&collection, id, after, before)
            }
            Change::Deleted { collection, generation, id, before, .. } => {
                let collection = self.filled(*collection, *generation)?;
                self.deleted(&collection, id, before)
            }
            Change::Defined { collection, definition } => self.defined(*collection, definition),
            Change::Dropped { collection, .. } => self.dropped(*collection),
            Change::Reclaimed { collection, generation, keys, done } => {
                self.reclaimed(*collection, *generation, keys, *done)
            }
            Change::Backfilled { collection, generation, index, through, rows, keys } => {
                let collection = self.filled(*collection, *generation)?;
                self.backfilled(&collection, *index, through, *rows, keys)
            }
            Change::Unindexed { collection, generation, index, keys, done } => {
                self.unindexed(*collection, *generation, *index, keys, *done)
            }
            Change::Remembered(remembered) => self.remembered(remembered, earlier),
            Change::Rewritten { collection, generation, id, after, before, version } => {
                let collection = self.filled(*collection, *generation)?;
                self.rewritten(&collection, id, after, before, *version)
            }
            Change::Progressed { collection, generation, through, rows } => {
                let collection = self.filled(*collection, *generation)?;
                self.progressed(&collection, through, *rows)
            }
            Change::Advanced { handler, through } => self.advanced(handler, *through),
            Change::Began { before } => self.began(*before),
            Change::Forgotten { answers, bytes, oldest } => {
                self.answers_go(answers, Answers { bytes: *bytes, oldest: *oldest })
            }
        }
    }

    fn began(&mut self, before: Position) -> Result<()> {
        if before.seq.next() != self.position.seq || before.epoch.counter >= self.position.epoch.counter {
            return Err(self.contradicts(&format!("it begins an epoch behind {before}")));
        }
        self.put(&key::began(self.position.seq), Some(history::encode(before.epoch)?));
        Ok(())
    }

    /// The schema as the entry's earlier changes left it.
    fn schema(&self) -> &Schema {
        self.effects.schema.as_ref().unwrap_or(self.schema)
    }

    fn filled(&self, id: CollectionId, generation: Generation) -> Result<std::sync::Arc<Collection>> {
        match self.schema().get(id) {
            Some(collection) if collection.generation == generation => Ok(collection.clone()),
            Some(collection) => Err(self.contradicts(&format!(
                "it writes generation {generation} of collection {id}, which is at {}",
                collection.generation
            ))),
            None => Err(self.contradicts(&format!("it writes to collection {id}, which does not exist"))),
        }
    }

    fn contradicts(&self, how: &str) -> Error {
        Error::damaged(format!("the entry {} contradicts the state: {how}", self.position))
    }

    fn put(&mut self, key: &[u8], value: Option<Bytes>) {
        self.effects.writes.push((Key::from(key), value));
    }

    fn delta(&mut self, collection: &Collection) -> &mut TallyDelta {
        let tallies = &mut self.effects.tallies;
        let at =
            tallies.iter().position(|(id, generation, _)| (*id, *generation) == (collection.id, collection.generation));
        let at = at.unwrap_or_else(|| {
            tallies.push((collection.id, collection.generation, TallyDelta::default()));
            tallies.len() - 1
        });
        &mut tallies[at].2
    }

    fn created(&mut self, collection: &Collection, id: &RecordId, after: &Fields) -> Result<()> {
        let encoded = row::encode(self.position, after)?;
        self.delta(collection).add(hash(id, encoded.fields()));
        self.put(&key::row(collection.id, collection.generation, id), Some(encoded.into_bytes()));
        let mut room = Vec::with_capacity(64);
        for (of, index) in collection.written_indexes() {
            key::each_entry(of, index, id, after, &mut room, |come| self.put(come, Some(Bytes::new())));
        }
        Ok(())
    }

    fn updated(
        &mut self,
        collection: &Collection,
        id: &RecordId,
        after: &Fields,
        image: &[(FieldId, Value)],
    ) -> Result<()> {
        let before = after.rewound(image);
        let encoded = row::encode(self.position, after)?;
        let was = hash(id, &row::encode_fields(&before)?);
        let delta = self.delta(collection);
        delta.subtract(was);
        delta.add(hash(id, encoded.fields()));
        self.put(&key::row(collection.id, collection.generation, id), Some(encoded.into_bytes()));
        for (of, index) in collection.written_indexes() {
            if !index.fields.iter().any(|part| image.iter().any(|(field, _)| *field == part.field)) {
                continue;
            }
            let old = key::index_entries(of, index, id, &before);
            let new = key::index_entries(of, index, id, after);
            for gone in old.iter().filter(|key| !new.contains(key)) {
                self.put(gone, None);
            }
            for come in new.iter().filter(|key| !old.contains(key)) {
                self.put(come, Some(Bytes::new()));
            }
        }
        Ok(())
    }

    fn deleted(&mut self, collection: &Collection, id: &RecordId, before: &Fields) -> Result<()> {
        let was = hash(id, &row::encode_fields(before)?);
        self.delta(collection).subtract(was);
        self.put(&key::row(collection.id, collection.generation, id), None);
        let mut room = Vec::with_capacity(64);
        for (of, index) in collection.written_indexes() {
            key::each_entry(of, index, id, before, &mut room, |gone| self.put(gone, None));
        }
        Ok(())
    }

    fn defined(&mut self, id: CollectionId, text: &str) -> Result<()> {
        let mut collection = lookup::definition(id, text)?;
        collection.version = self.position.seq;
        let old = self.schema().get(id).cloned();
        match &old {
            Some(old) if old.generation > collection.generation => {
                return Err(self.contradicts(&format!("it takes collection {id} back to an earlier generation")));
            }
            Some(old) if old.generation < collection.generation => self.abandon(old),
            Some(old) => self.redefined(old, &collection)?,
            None => {}
        }
        self.begin_builds(old.as_deref(), &collection);
        if let Some(other) = self.schema().find(&collection.name).filter(|other| other.id != id) {
            return Err(self.contradicts(&format!("collections {id} and {} have the same name", other.id)));
        }
        self.put(&key::definition(id), Some(lookup::stored_definition(collection.version, text)));
        if !id.is_own() && id > self.schema().last_collection {
            self.put(key::LAST_COLLECTION, Some(Bytes::copy_from_slice(&id.0.to_be_bytes())));
        }
        let mut schema = self.schema().clone();
        schema.put(collection);
        self.effects.schema = Some(schema);
        Ok(())
    }

    fn dropped(&mut self, id: CollectionId) -> Result<()> {
        let mut schema = self.schema().clone();
        let gone = schema.remove(id);
        let gone = gone.ok_or_else(|| self.contradicts(&format!("it drops collection {id}, which does not exist")))?;
        self.put(&key::definition(id), None);
        self.abandon(&gone);
        self.effects.schema = Some(schema);
        Ok(())
    }

    /// A filling is read no more: its keys are garbage from here on, its tally goes.
    fn abandon(&mut self, collection: &Collection) {
        let (id, generation) = (collection.id, collection.generation);
        self.end_builds(collection);
        self.effects.tallies.retain(|(other, of, _)| (*other, *of) != (id, generation));
        self.put(&key::tally(id, generation), None);
        self.put(&key::garbage(id, generation), Some(Bytes::new()));
    }

    fn reclaimed(&mut self, id: CollectionId, generation: Generation, keys: &[Vec<u8>], done: bool) -> Result<()> {
        if self.schema().get(id).is_some_and(|collection| collection.generation <= generation) {
            return Err(self.contradicts(&format!("it reclaims generation {generation} of collection {id}, in use")));
        }
        for gone in keys {
            if !key::is_of_filling(gone, id, generation) {
                return Err(self.contradicts("it reclaims a key of something else"));
            }
            self.put(gone, None);
        }
        if done {
            self.put(&key::garbage(id, generation), None);
        }
        Ok(())
    }

    fn advanced(&mut self, handler: &RecordId, through: Option<Mark>) -> Result<()> {
        if through.is_some_and(|mark| mark.position.seq > self.position.seq) {
            return Err(self.contradicts("it takes a handler past itself"));
        }
        let value = through.map(|mark| cursors::encode(&mark)).transpose()?;
        self.put(&key::cursor(handler), value);
        Ok(())
    }

    /// The answers that go go first: one of them may have had the same key.
    fn remembered(&mut self, this: &Remembered, earlier: &[Change]) -> Result<()> {
        let answer = answers::made(self.position, this, earlier);
        let answer = answer.ok_or_else(|| self.contradicts("it keeps an answer to what it does not do"))?;
        let all = Answers { bytes: this.before.saturating_add(this.bytes), oldest: this.oldest };
        self.answers_go(&this.forgotten, all)?;
        self.put(&key::answer(this.key), Some(answers::encode(&answer)?));
        self.put(&key::kept(self.position.seq), Some(answers::line_value(this)));
        Ok(())
    }

    fn answers_go(&mut self, gone: &[(Seq, Fingerprint)], left: Answers) -> Result<()> {
        let entry = self.position.seq;
        if left.oldest > entry || gone.iter().any(|(gone, _)| *gone >= entry) {
            return Err(self.contradicts("it forgets answers that are not there yet"));
        }
        for (gone, key) in gone {
            self.put(&key::kept(*gone), None);
            self.put(&key::answer(*key), None);
        }
        self.put(key::ANSWERS, Some(answers::answers_value(left)));
        Ok(())
    }
}
