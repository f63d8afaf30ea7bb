//! The related records of one answer: read from one view, each once, and only those that the caller may view.
//!
//! Invariants: what a rule hides is as if it were not there; an answer reads and holds no more than its [`Allowance`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, RecordId};
use crate::limits;
use crate::model::guard::{Action, Guard, Rows};
use crate::model::look::{Found, Targets};
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::Fields;
use crate::service::Asker;
use crate::state;

/// What is said of an answer that takes more than it may: also of one that only takes more than is done at once.
pub(super) const OVER: &str = "query_too_large";

/// Reads between two looks at the clock.
const CLOCK_READS: usize = 16;
/// The same of records that are shown.
const CLOCK_SHOWN: usize = 256;

/// What the related records of an answer may cost; counted down.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    reads: usize,
    shown: usize,
    /// Of the records that are held.
    bytes: usize,
    deadline: Instant,
}

impl Allowance {
    /// So many reads until then, and else what any answer may take.
    pub(super) fn new(reads: usize, deadline: Instant) -> Allowance {
        let reads = reads.min(limits::RELATED_READS_MAX);
        Allowance { reads, shown: limits::RELATED_SHOWN_MAX, bytes: limits::PAGE_BYTES_MAX, deadline }
    }

    /// What may be taken on the request's own thread.
    pub(super) fn inline() -> Allowance {
        Allowance::new(limits::INLINE_ROWS_MAX, Instant::now() + limits::INLINE_TIME_MAX)
    }

    fn read(&mut self) -> Result<()> {
        self.reads = self
            .reads
            .checked_sub(1)
            .ok_or_else(|| too_large(format_args!("reads more than {} related records", limits::RELATED_READS_MAX)))?;
        if self.reads.is_multiple_of(CLOCK_READS) { self.in_time() } else { Ok(()) }
    }

    fn in_time(&self) -> Result<()> {
        if Instant::now() > self.deadline {
            return Err(too_large(format_args!("takes longer than {:?}", limits::QUERY_TIME_MAX)));
        }
        Ok(())
    }

    fn show(&mut self) -> Result<()> {
        self.shown = self
            .shown
            .checked_sub(1)
            .ok_or_else(|| too_large(format_args!("shows more than {} related records", limits::RELATED_SHOWN_MAX)))?;
        if self.shown.is_multiple_of(CLOCK_SHOWN) { self.in_time() } else { Ok(()) }
    }

    fn hold(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| {
            too_large(format_args!("holds related records of more than {} bytes", limits::PAGE_BYTES_MAX))
        })?;
        Ok(())
    }
}

/// The records of one view, for one caller and one answer.
pub(super) struct Relations<'a> {
    view: &'a Published,
    asker: &'a Asker,
    allowance: &'a mut Allowance,
    /// What the caller may do with each collection that was met.
    guards: HashMap<CollectionId, Arc<Guard>>,
    /// What was found under each id that was met; `None` for what is not there, or not for the caller.
    met: HashMap<CollectionId, HashMap<Box<str>, Option<Found>>>,
}

impl<'a> Relations<'a> {
    /// Nothing is read before it is asked for.
    pub(super) fn new(view: &'a Published, asker: &'a Asker, allowance: &'a mut Allowance) -> Relations<'a> {
        Relations { view, asker, allowance, guards: HashMap::new(), met: HashMap::new() }
    }

    /// The collection and what the caller may do with it, if it may view any of its records.
    fn viewable(&mut self, id: CollectionId) -> Result<Option<(&'a Arc<Collection>, Arc<Guard>)>> {
        let Some(collection) = self.view.schema.get(id) else { return Ok(None) };
        let guard = match self.guards.get(&id) {
            Some(guard) => guard.clone(),
            None => {
                let guard = Arc::new(self.asker.guard(&self.view.schema, collection)?);
                self.guards.insert(id, guard.clone());
                guard
            }
        };
        Ok((*guard.rows(Action::View) != Rows::None).then_some((collection, guard)))
    }

    /// Reads a record that was not met yet.
    fn read(&mut self, collection: &Arc<Collection>, guard: &Guard, id: &str) -> Result<Option<Found>> {
        let Ok(id) = RecordId::new(id) else { return Ok(None) };
        self.allowance.read()?;
        let (stack, schema) = (&self.view.stack, &self.view.schema);
        let Some(record) = state::record(stack, collection, &id)? else { return Ok(None) };
        // A rule may take milliseconds.
        if *guard.rows(Action::View) != Rows::All {
            self.allowance.in_time()?;
        }
        if !state::permits(stack, schema, guard, Action::View, &record.id, &record.fields)? {
            return Ok(None);
        }
        self.allowance.hold(bytes_of(&record.fields))?;
        Ok(Some((collection.clone(), Arc::new(record))))
    }

    fn meet(&mut self, collection: &Arc<Collection>, guard: &Guard, id: &str) -> Result<Option<Found>> {
        if let Some(found) = self.met.get(&collection.id).and_then(|met| met.get(id)) {
            return Ok(found.clone());
        }
        let found = self.read(collection, guard, id)?;
        self.met.entry(collection.id).or_default().insert(id.into(), found.clone());
        Ok(found)
    }
}

impl Targets for Relations<'_> {
    fn record(&mut self, collection: CollectionId, id: &str) -> Result<Option<Found>> {
        self.allowance.show()?;
        match self.viewable(collection)? {
            Some((collection, guard)) => self.meet(collection, &guard, id),
            None => Ok(None),
        }
    }

    fn referrers(&mut self, collection: CollectionId, field: FieldId, id: &str) -> Result<Vec<Found>> {
        self.allowance.show()?;
        let (Some((collection, guard)), Ok(id)) = (self.viewable(collection)?, RecordId::new(id)) else {
            return Ok(Vec::new());
        };
        // The definition may have moved since the answer was asked for: who points there is as hidden as the field is.
        let seen = collection.field_by_id(field).is_some_and(|field| field.is_seen(guard.is_superuser()));
        if !seen || collection.relation_index(field).is_none() {
            return Ok(Vec::new());
        }
        // Of those that a rule hides none counts, so how many ids it takes is known only when they are read. Those that
        // were met are not read again: behind as many, and as many as may be read, the next one is over the bound.
        let all = *guard.rows(Action::View) == Rows::All;
        let met = self.met.get(&collection.id).map_or(0, HashMap::len);
        let ids = if all { limits::REFERRERS_MAX } else { self.allowance.reads.saturating_add(met).saturating_add(1) };
        let mut found = Vec::new();
        for referrer in state::referrers(&self.view.stack, collection, field, &id, ids)? {
            self.allowance.show()?;
            found.extend(self.meet(collection, &guard, referrer.as_str())?);
            if found.len() == limits::REFERRERS_MAX {
                break;
            }
        }
        Ok(found)
    }

    fn has_grown(&mut self, bytes: usize) -> Result<()> {
        if bytes > limits::ANSWER_BYTES_MAX {
            return Err(too_large(format_args!("has more than {} bytes", limits::ANSWER_BYTES_MAX)));
        }
        Ok(())
    }
}

/// About what a record takes of memory.
fn bytes_of(fields: &Fields) -> usize {
    const VALUE: usize = 40;
    let values = fields.iter().map(|(_, value)| VALUE * (1 + value.each().len()) + value.text_bytes());
    size_of::<Record>() + values.sum::<usize>()
}

fn too_large(what: std::fmt::Arguments<'_>) -> Error {
    let message = format!("the answer {what}: ask for fewer records at once, or for fewer relations");
    Error::new(Kind::Unprocessable, message).code(OVER)
}
