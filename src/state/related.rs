//! Other records for an expression: over relations both ways, in one view, as far as the expression's author may see.
//!
//! Invariant: a record that can't be read is an error of the evaluation, never an absent one.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::{CollectionId, FieldId, RecordId};
use crate::model::expr::{Exhausted, Input, Relations, Row};
use crate::model::guard::{Action, Guard, Rows};
use crate::model::predicate::{Predicate, Sight};
use crate::model::schema::{Collection, Schema};
use crate::model::value::Fields;
use crate::state::lookup;
use crate::state::stack::Read;

/// The records of one view, as one author sees them.
pub struct Related<'a> {
    read: &'a dyn Read,
    schema: &'a Schema,
    sight: &'a Sight,
    /// The first thing that went wrong: [`Relations`] has no way to say it.
    fault: RefCell<Option<Error>>,
}

impl<'a> Related<'a> {
    /// What `sight` allows of a view.
    pub fn new(read: &'a dyn Read, schema: &'a Schema, sight: &'a Sight) -> Related<'a> {
        Related { read, schema, sight, fault: RefCell::new(None) }
    }

    /// The outcome of an evaluation with these relations.
    ///
    /// # Errors
    /// What went wrong below; `Unprocessable` with code `too_costly` where it took too many steps.
    pub fn outcome<T>(&self, evaluated: Result<T, Exhausted>) -> Result<T> {
        match self.fault.borrow_mut().take() {
            Some(fault) => Err(fault),
            None => evaluated.map_err(Exhausted::error),
        }
    }

    fn noted<T>(&self, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.fault.borrow_mut().get_or_insert(error).kind()).ok()
    }

    /// Whether the author may view a record of another collection.
    fn is_seen(&self, collection: &Collection, id: &RecordId, fields: &Fields) -> Result<bool> {
        match self.sight {
            Sight::All => Ok(true),
            Sight::Guarded(guards) => match guards.iter().find(|(other, _)| *other == collection.id) {
                Some((_, guard)) => permits(self.read, self.schema, guard, Action::View, id, fields),
                None => Ok(false),
            },
        }
    }

    fn find(&self, collection: CollectionId, id: &str) -> Result<Option<Arc<Fields>>> {
        let (Some(collection), Ok(id)) = (self.schema.get(collection), RecordId::new(id)) else { return Ok(None) };
        match lookup::record(self.read, collection, &id)? {
            Some(record) if self.is_seen(collection, &id, &record.fields)? => Ok(Some(Arc::new(record.fields))),
            _ => Ok(None),
        }
    }

    fn find_referrers(
        &self,
        collection: CollectionId,
        field: FieldId,
        id: &str,
        max: usize,
    ) -> Result<Vec<(RecordId, Arc<Fields>)>> {
        let (Some(collection), Ok(id)) = (self.schema.get(collection), RecordId::new(id)) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for referrer in lookup::referrers(self.read, collection, field, &id, max)? {
            let Some(record) = lookup::record(self.read, collection, &referrer)? else { continue };
            if self.is_seen(collection, &referrer, &record.fields)? {
                found.push((referrer, Arc::new(record.fields)));
            }
        }
        Ok(found)
    }
}

impl Relations for Related<'_> {
    fn record(&self, collection: CollectionId, id: &str) -> Option<Arc<Fields>> {
        self.noted(self.find(collection, id)).flatten()
    }

    fn referrers(
        &self,
        collection: CollectionId,
        field: FieldId,
        id: &str,
        max: usize,
    ) -> Vec<(RecordId, Arc<Fields>)> {
        self.noted(self.find_referrers(collection, field, id, max)).unwrap_or_default()
    }
}

/// Whether a condition holds of a record in a view. `input` is the predicate's own, on a write with more in it.
///
/// # Errors
/// As [`Related::outcome`].
pub fn holds(read: &dyn Read, schema: &Schema, predicate: &Predicate, row: Row<'_>, input: &Input<'_>) -> Result<bool> {
    let related = Related::new(read, schema, &predicate.sight);
    related.outcome(predicate.program.holds(row, input, &related))
}

/// Whether a guard lets its caller do this to a record that is there: what [`Guard::allow`] leaves open.
///
/// # Errors
/// As [`holds`].
pub fn permits(
    read: &dyn Read,
    schema: &Schema,
    guard: &Guard,
    action: Action,
    id: &RecordId,
    fields: &Fields,
) -> Result<bool> {
    match guard.rows(action) {
        Rows::None => Ok(false),
        Rows::All => Ok(true),
        Rows::Where(rule) => holds(read, schema, rule, Row { id: id.as_str(), fields }, &rule.input()),
    }
}
