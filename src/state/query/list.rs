//! Carrying out a list: one walk along the plan, rows read only where the walk does not decide, sorting by a heap that
//! never holds more than the page and what lies before it.

use std::collections::BinaryHeap;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::model::guard::{Action, Rows};
use crate::model::query::{Operand, Plan, Query, SortKey};
use crate::model::record::Record;
use crate::model::schema::{Collection, Index, Schema};
use crate::model::value::{Fields, Value};
use crate::state::query::plan::{bounds, holds, plan, total_order};
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
    let plan = plan(collection, query);
    let (from, to) = bounds(collection, query, &plan);
    let index = plan.index.and_then(|id| collection.index(id));
    let scan = read.scan(&from, &to, plan.backwards)?;
    let before = budget.rows;
    let mut walk = Walk { read, collection, index, query, covered: plan.covered, scan, budget };
    let (records, total) = if plan.ordered { ordered(&mut walk)? } else { sorted(&mut walk)? };
    let rows_read = before - budget.rows;
    Ok(Page { records, total, rows_read, plan })
}

/// The matches of a query, one by one in the order of the walk.
struct Walk<'a> {
    read: &'a dyn Read,
    collection: &'a Collection,
    index: Option<&'a Index>,
    query: &'a Query,
    covered: bool,
    scan: Scan<'a>,
    budget: &'a mut Budget,
}

/// A match. Its row is there if it had to be looked at, or lay on the way.
struct Match<'a> {
    id: RecordId,
    row: Row<'a>,
}

enum Row<'a> {
    Unread,
    OnTheWay(Pair<'a>),
    Read(Record),
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
                return Err(Error::new(
                    Kind::Unprocessable,
                    "the query looks at too many rows: add an index over the fields of its filter and sort, or narrow it",
                )
                .code("query_too_large"));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Match<'a>>> {
        while let Some(pair) = self.step()? {
            let found = match self.index {
                None => Match { id: key::row_id(pair.key())?, row: Row::OnTheWay(pair) },
                Some(index) => Match { id: key::entry_id(pair.key(), index)?, row: Row::Unread },
            };
            if self.covered {
                return Ok(Some(found));
            }
            let record = self.record(found)?;
            if self.query.filter.iter().all(|one| holds(&operand(&record, one.operand), one.comparator, &one.value)) {
                return Ok(Some(Match { id: record.id.clone(), row: Row::Read(record) }));
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

    fn record(&self, found: Match<'_>) -> Result<Record> {
        match found.row {
            Row::Read(record) => Ok(record),
            Row::OnTheWay(pair) => {
                let (version, fields) = row::decode(pair.value())?;
                Ok(Record { id: found.id, version, fields })
            }
            Row::Unread => lookup::record(self.read, self.collection, &found.id)?.ok_or_else(|| {
                Error::damaged(format!(
                    "collection {} has an index entry of the record {}, which it does not have",
                    self.collection.name, found.id
                ))
            }),
        }
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
            records.push(walk.record(found)?);
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
    let mut heap: BinaryHeap<(Vec<u8>, RecordId)> = BinaryHeap::new();
    let mut matches = 0;
    while let Some(found) = walk.next()? {
        matches += 1;
        let record = walk.record(found)?;
        let place = place(&order, &record.id, &record.fields);
        if heap.len() < kept {
            heap.push((place, record.id));
        } else if let Some(mut last) = heap.peek_mut()
            && place < last.0
        {
            *last = (place, record.id);
        }
    }
    let mut records = Vec::with_capacity(query.limit.min(heap.len()));
    for (_, id) in heap.into_sorted_vec().into_iter().skip(query.offset) {
        records.push(walk.record(Match { id, row: Row::Unread })?);
    }
    Ok((records, query.count.then_some(matches)))
}

/// Bytes that order as the sort keys and the id do.
fn place(order: &[SortKey], id: &RecordId, fields: &Fields) -> Vec<u8> {
    let mut place = Vec::with_capacity(64);
    for part in order {
        match part.operand {
            Operand::Id => key::push_id(&mut place, id, part.descending),
            Operand::Field(field) => key::push_value(&mut place, fields.get(field), part.descending),
        }
    }
    place
}
