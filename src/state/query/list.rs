//! Carrying out a list: one walk along the plan, rows read only where the walk does not decide, sorting by a heap that
//! never holds more than the page and what lies before it.

use std::collections::BinaryHeap;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::guard::{Action, Rows};
use crate::model::query::{Operand, Plan, Query, SortKey};
use crate::model::record::Record;
use crate::model::schema::{Collection, Index, Schema};
use crate::model::value::Value;
use crate::state::query::plan::{bounds, holds, plan, total_order};
use crate::state::related::permits;
use crate::state::stack::{Pair, Read, Scan};
use crate::state::{key, lookup, row};

/// Steps between two looks at the clock.
const CLOCK_STEPS: usize = 256;

/// What a query may cost.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Rows or index entries that may still be looked at; counted down.
    pub rows: usize,
    /// When it must be done.
    pub deadline: Instant,
    /// Bytes that sorting may still keep; counted down.
    pub sort_bytes: usize,
    /// Bytes of stored rows that the page may still hold; counted down.
    pub page_bytes: usize,
}

impl Budget {
    /// So many rows until then, and of memory what any query may use.
    pub fn new(rows: usize, deadline: Instant) -> Budget {
        let (sort_bytes, page_bytes) = (limits::SORT_BYTES_MAX, limits::PAGE_BYTES_MAX);
        Budget { rows, deadline, sort_bytes, page_bytes }
    }
}

/// The result of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In order.
    pub records: Vec<Record>,
    /// All matches, if they were to be counted.
    pub total: Option<usize>,
    /// Rows and index entries looked at.
    pub rows_read: usize,
    /// How it was done.
    pub plan: Plan,
}

/// Runs a query.
///
/// # Errors
/// The guard's; `NotFound` without the collection; `Conflict` with code `stale_schema` for a query made against another
/// definition; `Unprocessable` with code `query_too_large` over the budget; those of the base.
pub fn list(read: &dyn Read, schema: &Schema, query: &Query, budget: &mut Budget) -> Result<Page> {
    query.guard.allow(Action::List)?;
    let missing = || Error::new(Kind::NotFound, "there is no such collection");
    let collection = schema.get(query.collection).ok_or_else(missing)?;
    if collection.version != query.schema {
        return Err(Error::new(Kind::Conflict, "the collection's definition has changed").code("stale_schema"));
    }
    let mut plan = plan(collection, query);
    // Only the row itself tells whether a rule holds of it.
    plan.covered &= *query.guard.rows(Action::List) == Rows::All;
    let (from, to) = bounds(collection, query, &plan);
    let index = plan.index.and_then(|id| collection.index(id));
    let scan = read.scan(&from, &to, plan.backwards)?;
    let before = budget.rows;
    let mut walk =
        Walk { read, schema, collection, index, query, covered: plan.covered, scan, budget, key: Vec::new() };
    let (records, total) = if plan.ordered { ordered(&mut walk)? } else { sorted(&mut walk)? };
    let rows_read = before - budget.rows;
    Ok(Page { records, total, rows_read, plan })
}

/// The matches of a query, one by one in the order of the walk.
struct Walk<'a> {
    read: &'a dyn Read,
    schema: &'a Schema,
    collection: &'a Collection,
    index: Option<&'a Index>,
    query: &'a Query,
    covered: bool,
    scan: Scan<'a>,
    budget: &'a mut Budget,
    /// Room for the key of a row.
    key: Vec<u8>,
}

/// A match: where the walk met it, and its record if that had to be read to know.
struct Match<'a> {
    pair: Pair<'a>,
    read: Option<Stored>,
}

/// A record and the bytes of its row.
struct Stored {
    record: Record,
    bytes: usize,
}

impl<'a> Walk<'a> {
    fn step(&mut self) -> Result<Option<Pair<'a>>> {
        let Some(pair) = self.scan.next().transpose()? else {
            return Ok(None);
        };
        self.spend()?;
        Ok(Some(pair))
    }

    fn spend(&mut self) -> Result<()> {
        let late = self.budget.rows.is_multiple_of(CLOCK_STEPS) && Instant::now() > self.budget.deadline;
        match self.budget.rows.checked_sub(1) {
            Some(left) if !late => self.budget.rows = left,
            _ => {
                return Err(too_large(
                    "looks at too many rows: add an index over the fields of its filter and sort, or narrow it",
                ));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Match<'a>>> {
        while let Some(pair) = self.step()? {
            if self.covered {
                return Ok(Some(Match { pair, read: None }));
            }
            let stored = self.stored(&pair)?;
            let record = &stored.record;
            if self.query.filter.iter().all(|one| holds(&operand(record, one.operand), one.comparator, &one.value))
                && permits(self.read, self.schema, &self.query.guard, Action::List, &record.id, &record.fields)?
            {
                return Ok(Some(Match { pair, read: Some(stored) }));
            }
        }
        Ok(None)
    }

    /// How many more matches there are.
    fn count(&mut self) -> Result<usize> {
        let mut count = 0;
        if self.covered {
            while self.step()?.is_some() {
                count += 1;
            }
        } else {
            while self.next()?.is_some() {
                count += 1;
            }
        }
        Ok(count)
    }

    fn record(&mut self, found: Match<'_>) -> Result<Stored> {
        found.read.map_or_else(|| self.stored(&found.pair), Ok)
    }

    /// The record that the walk is at.
    fn stored(&mut self, pair: &Pair<'_>) -> Result<Stored> {
        match self.index {
            None => stored(key::row_id(pair.key())?, pair.value()),
            Some(index) => self.row(key::entry_id(pair.key(), index)?),
        }
    }

    /// A record that an index or an earlier step says is there.
    fn row(&mut self, id: RecordId) -> Result<Stored> {
        key::set_row(&mut self.key, self.collection.id, self.collection.generation, &id);
        match self.read.get(&self.key)? {
            Some(bytes) => stored(id, &bytes),
            None => Err(Error::damaged(format!(
                "collection {} has an index entry of the record {id}, which it does not have",
                self.collection.name
            ))),
        }
    }

    /// Puts a record on the page.
    fn put(&mut self, page: &mut Vec<Record>, stored: Stored) -> Result<()> {
        let left = self.budget.page_bytes.checked_sub(stored.bytes);
        self.budget.page_bytes = left.ok_or_else(|| {
            too_large("fills its page with too many bytes: ask for fewer records at once, by perPage")
        })?;
        page.push(stored.record);
        Ok(())
    }

    /// The number of all matches, where it is known without a walk.
    fn known_total(&self) -> Result<Option<usize>> {
        let all = self.query.filter.is_empty() && *self.query.guard.rows(Action::List) == Rows::All;
        if !all {
            return Ok(None);
        }
        let tally = lookup::tally(self.read, self.collection.id, self.collection.generation)?;
        Ok(Some(usize::try_from(tally.count).unwrap_or(usize::MAX)))
    }
}

fn stored(id: RecordId, bytes: &[u8]) -> Result<Stored> {
    let (version, fields) = row::decode(bytes)?;
    Ok(Stored { record: Record { id, version, fields }, bytes: bytes.len() })
}

fn too_large(what: &str) -> Error {
    Error::new(Kind::Unprocessable, format!("the query {what}")).code("query_too_large")
}

/// A value of a record; the id as a text.
fn operand(record: &Record, operand: Operand) -> std::borrow::Cow<'_, Value> {
    match operand {
        Operand::Id => std::borrow::Cow::Owned(Value::text(record.id.as_str())),
        Operand::Field(field) => std::borrow::Cow::Borrowed(record.fields.get(field)),
    }
}

/// A walk that yields the wanted order: stops behind the page, unless the rest is to be counted.
fn ordered(walk: &mut Walk<'_>) -> Result<(Vec<Record>, Option<usize>)> {
    let query = walk.query;
    let mut records = Vec::with_capacity(query.limit.min(64));
    let mut matches = 0;
    while records.len() < query.limit
        && let Some(found) = walk.next()?
    {
        matches += 1;
        if matches > query.offset {
            let stored = walk.record(found)?;
            walk.put(&mut records, stored)?;
        }
    }
    if !query.count {
        return Ok((records, None));
    }
    let total = match walk.known_total()? {
        Some(total) => total,
        None => matches + walk.count()?,
    };
    Ok((records, Some(total)))
}

/// A walk in another order: all matches pass through a heap of those that come first.
fn sorted(walk: &mut Walk<'_>) -> Result<(Vec<Record>, Option<usize>)> {
    let query = walk.query;
    let order = total_order(&query.sort);
    let kept = query.offset.saturating_add(query.limit);
    let mut heap: BinaryHeap<Place> = BinaryHeap::new();
    let mut bytes = Vec::with_capacity(64);
    let mut matches = 0;
    while let Some(found) = walk.next()? {
        matches += 1;
        let Stored { record, .. } = walk.record(found)?;
        let id_at = write_place(&mut bytes, &order, &record);
        // Copied only now that it is known to be kept.
        if heap.len() < kept {
            heap.push(Place::keep(&bytes, id_at, walk.budget)?);
        } else if let Some(mut last) = heap.peek_mut()
            && bytes[..] < last.bytes[..]
        {
            walk.budget.sort_bytes += last.cost();
            *last = Place::keep(&bytes, id_at, walk.budget)?;
        }
    }
    let backwards = order.last().is_some_and(|last| last.descending);
    let mut records = Vec::with_capacity(query.limit.min(heap.len()));
    for place in heap.into_sorted_vec().into_iter().skip(query.offset) {
        let stored = walk.row(key::last_id(&place.bytes[place.id_at..], backwards)?)?;
        walk.put(&mut records, stored)?;
    }
    Ok((records, query.count.then_some(matches)))
}

/// Where a record comes in an order: bytes that order as the sort keys and the id do, which is the last of them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    bytes: Box<[u8]>,
    id_at: usize,
}

impl Place {
    fn keep(bytes: &[u8], id_at: usize, budget: &mut Budget) -> Result<Place> {
        let place = Place { bytes: bytes.into(), id_at };
        let left = budget.sort_bytes.checked_sub(place.cost());
        budget.sort_bytes = left.ok_or_else(|| {
            too_large(
                "sorts too many bytes: add an index over the fields of its filter and sort, or ask for an earlier page",
            )
        })?;
        Ok(place)
    }

    fn cost(&self) -> usize {
        size_of::<Place>() + self.bytes.len()
    }
}

/// Writes a record's place over what is in `bytes`. Returns where the id begins.
fn write_place(bytes: &mut Vec<u8>, order: &[SortKey], record: &Record) -> usize {
    bytes.clear();
    let mut id_at = 0;
    for part in order {
        match part.operand {
            Operand::Id => {
                id_at = bytes.len();
                key::push_id(bytes, &record.id, part.descending);
            }
            Operand::Field(field) => key::push_value(bytes, record.fields.get(field), part.descending),
        }
    }
    id_at
}
