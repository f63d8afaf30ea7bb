//! Other records for an expression: over relations both ways, in one view, as far as the expression's author may see.
//!
//! Invariants: a record that can't be read is an error of the evaluation, never an absent one; what is read is counted
//! against an [`Allowance`], however far rules lead to rules.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, RecordId};
use crate::limits;
use crate::model::expr::{Exhausted, Input, Relations, Row};
use crate::model::guard::{Action, Guard, Rows};
use crate::model::predicate::{Predicate, Sight};
use crate::model::schema::{Collection, Schema};
use crate::model::value::Fields;
use crate::state::stack::Read;
use crate::state::{key, lookup, row};

/// Steps between two looks at the clock.
const CLOCK_STEPS: usize = 64;

/// What reading may still cost.
#[derive(Debug)]
pub(super) struct Allowance {
    rows: Cell<usize>,
    /// When it must be done; without one no clock is read.
    deadline: Option<Instant>,
}

impl Allowance {
    /// So many rows or index entries until then.
    pub(super) fn until(rows: usize, deadline: Instant) -> Allowance {
        Allowance { rows: Cell::new(rows), deadline: Some(deadline) }
    }

    /// For one condition of one record.
    fn single() -> Allowance {
        Allowance { rows: Cell::new(limits::RELATED_ROWS_MAX), deadline: None }
    }

    pub(super) fn left(&self) -> usize {
        self.rows.get()
    }

    /// One row or index entry is looked at.
    ///
    /// # Errors
    /// `Unprocessable` with code `query_too_large`, or `too_costly` of a single condition.
    pub(super) fn spend(&self) -> Result<()> {
        let left = self.rows.get();
        if left.is_multiple_of(CLOCK_STEPS) {
            self.in_time()?;
        }
        match left.checked_sub(1) {
            Some(left) => self.rows.set(left),
            None => return Err(self.refusal()),
        }
        Ok(())
    }

    /// # Errors
    /// As [`Allowance::spend`], where the time is over.
    pub(super) fn in_time(&self) -> Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => Err(self.refusal()),
            _ => Ok(()),
        }
    }

    pub(super) fn refusal(&self) -> Error {
        match self.deadline {
            None => Error::new(Kind::Unprocessable, "a rule reads too many other records").code("too_costly"),
            Some(_) => {
                too_large("looks at too many rows: add an index over the fields of its filter and sort, or narrow it")
            }
        }
    }
}

/// The refusal of a query that costs too much.
pub(super) fn too_large(what: &str) -> Error {
    Error::new(Kind::Unprocessable, format!("the query {what}")).code("query_too_large")
}

/// The records of one view, as one author sees them. Those that were read are kept, within bounds: many records point
/// at few.
pub struct Related<'a> {
    read: &'a dyn Read,
    schema: &'a Schema,
    sight: &'a Sight,
    allowance: Spent<'a>,
    kept: RefCell<Kept>,
    /// The first thing that went wrong: [`Relations`] has no way to say it.
    fault: RefCell<Option<Error>>,
    /// Steps that evaluations have taken, and may take in all.
    steps: Cell<usize>,
    steps_max: usize,
}

/// Whose allowance is spent.
enum Spent<'a> {
    Own(Allowance),
    Query(&'a Allowance),
}

/// Records by collection and id, as the author sees them.
#[derive(Default)]
struct Kept {
    by_id: BTreeMap<CollectionId, BTreeMap<Box<str>, Option<Arc<Fields>>>>,
    bytes: usize,
}

impl Kept {
    fn get(&self, collection: CollectionId, id: &str) -> Option<&Option<Arc<Fields>>> {
        self.by_id.get(&collection)?.get(id)
    }

    fn put(&mut self, collection: CollectionId, id: &str, found: &Option<Arc<Fields>>, row_bytes: usize) {
        const ENTRY_BYTES: usize = 128;
        // Fields take some times the bytes of their row.
        self.bytes += ENTRY_BYTES + id.len() + 4 * row_bytes;
        if self.bytes > limits::RELATED_KEPT_BYTES_MAX {
            *self = Kept::default();
            return;
        }
        self.by_id.entry(collection).or_default().insert(id.into(), found.clone());
    }
}

impl<'a> Related<'a> {
    /// What `sight` allows of a view, for the conditions and values of one record.
    pub fn new(read: &'a dyn Read, schema: &'a Schema, sight: &'a Sight) -> Related<'a> {
        Related::spending(read, schema, sight, Spent::Own(Allowance::single()))
    }

    /// The same for a query, which counts what is read.
    pub(super) fn within(
        read: &'a dyn Read,
        schema: &'a Schema,
        sight: &'a Sight,
        allowance: &'a Allowance,
    ) -> Related<'a> {
        Related::spending(read, schema, sight, Spent::Query(allowance))
    }

    fn spending(read: &'a dyn Read, schema: &'a Schema, sight: &'a Sight, allowance: Spent<'a>) -> Related<'a> {
        Related {
            read,
            schema,
            sight,
            allowance,
            kept: RefCell::default(),
            fault: RefCell::new(None),
            steps: Cell::new(0),
            steps_max: usize::MAX,
        }
    }

    /// The same, where all evaluations together may take no more than so many steps.
    #[must_use]
    pub fn at_most(self, steps: usize) -> Related<'a> {
        Related { steps_max: steps, ..self }
    }

    /// Steps that evaluations have taken.
    pub fn steps_taken(&self) -> usize {
        self.steps.get()
    }

    fn allowance(&self) -> &Allowance {
        match &self.allowance {
            Spent::Own(allowance) => allowance,
            Spent::Query(allowance) => allowance,
        }
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
                Some((_, guard)) => {
                    permits_within(self.read, self.schema, guard, Action::View, id, fields, self.allowance())
                }
                None => Ok(false),
            },
        }
    }

    fn find(&self, collection: CollectionId, id: &str) -> Result<Option<Arc<Fields>>> {
        if let Some(known) = self.kept.borrow().get(collection, id) {
            return Ok(known.clone());
        }
        let (Some(of), Ok(record)) = (self.schema.get(collection), RecordId::new(id)) else { return Ok(None) };
        self.allowance().spend()?;
        let (mut found, mut row_bytes) = (None, 0);
        if let Some(bytes) = self.read.get(&key::row(of.id, of.generation, &record))? {
            let (_, fields) = row::decode(&bytes)?;
            row_bytes = bytes.len();
            found = self.is_seen(of, &record, &fields)?.then(|| Arc::new(fields));
        }
        self.kept.borrow_mut().put(collection, id, &found, row_bytes);
        Ok(found)
    }

    fn find_referrers(
        &self,
        collection: CollectionId,
        field: FieldId,
        id: &str,
        max: usize,
    ) -> Result<Vec<(RecordId, Arc<Fields>)>> {
        let (Some(of), Ok(id)) = (self.schema.get(collection), RecordId::new(id)) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for referrer in lookup::referrers(self.read, of, field, &id, max)? {
            self.allowance().spend()?;
            if let Some(fields) = self.find(collection, referrer.as_str())? {
                found.push((referrer, fields));
            }
        }
        Ok(found)
    }

    /// After something went wrong nothing more is read: the evaluation's outcome is the fault.
    fn has_failed(&self) -> bool {
        self.fault.borrow().is_some()
    }
}

impl Relations for Related<'_> {
    fn record(&self, collection: CollectionId, id: &str) -> Option<Arc<Fields>> {
        if self.has_failed() { None } else { self.noted(self.find(collection, id)).flatten() }
    }

    fn referrers(
        &self,
        collection: CollectionId,
        field: FieldId,
        id: &str,
        max: usize,
    ) -> Vec<(RecordId, Arc<Fields>)> {
        if self.has_failed() {
            return Vec::new();
        }
        self.noted(self.find_referrers(collection, field, id, max)).unwrap_or_default()
    }

    fn steps(&self) -> usize {
        self.steps_max.saturating_sub(self.steps.get())
    }

    fn spent(&self, steps: usize) {
        self.steps.set(self.steps.get().saturating_add(steps));
    }
}

/// Whether a condition holds of a record in a view. `input` is the predicate's own, on a write with more in it.
///
/// # Errors
/// What went wrong below; `Unprocessable` with code `too_costly` where it took too many steps or other records.
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
    permits_within(read, schema, guard, action, id, fields, &Allowance::single())
}

/// As [`permits`], for a query, which counts what is read.
fn permits_within(
    read: &dyn Read,
    schema: &Schema,
    guard: &Guard,
    action: Action,
    id: &RecordId,
    fields: &Fields,
    allowance: &Allowance,
) -> Result<bool> {
    match guard.rows(action) {
        Rows::None => Ok(false),
        Rows::All => Ok(true),
        Rows::Where(rule) => {
            let related = Related::within(read, schema, &rule.sight, allowance);
            related.outcome(rule.program.holds(Row { id: id.as_str(), fields }, &rule.input(), &related))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_condition_reads_a_bounded_number_of_other_records() {
        let allowance = Allowance::single();
        for _ in 0..limits::RELATED_ROWS_MAX {
            allowance.spend().expect("within the bound");
        }
        assert_eq!(allowance.spend().expect_err("past it").code_str(), "too_costly");
    }

    #[test]
    fn what_is_kept_of_other_records_is_bounded() {
        let mut kept = Kept::default();
        let row_bytes = 2_000;
        for n in 0..10_000 {
            kept.put(CollectionId(1), &format!("r{n}"), &None, row_bytes);
            assert!(kept.bytes <= limits::RELATED_KEPT_BYTES_MAX);
        }
        assert!(kept.get(CollectionId(1), "r0").is_none() && kept.get(CollectionId(1), "r9999").is_some());
    }
}
