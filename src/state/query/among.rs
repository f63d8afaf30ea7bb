//! Records that somebody else names, as a query sees them: whether rule and filter hold of one, and where it comes in the
//! query's order. Search finds them so.

use crate::error::Result;
use crate::id::RecordId;
use crate::model::query::{Query, SortKey};
use crate::model::record::Record;
use crate::model::schema::Schema;
use crate::state::query::list::{Asked, Budget, mark, rule};
use crate::state::query::place::{self, Resume, total_order};
use crate::state::query::walk::Ground;
use crate::state::related::{Allowance, too_large};
use crate::state::stack::Read;

/// A query's matches among named records.
pub struct Among<'a> {
    ground: Ground<'a>,
    resume: Option<Resume>,
    bytes: Vec<u8>,
    /// Bytes of rows that may still be held.
    page_bytes: usize,
    /// Bytes of places that may still be held.
    sort_bytes: usize,
}

/// Has `work` ask of named records what a query asks; what is read counts against the budget. The query's page is not
/// looked at, and of its place only by [`Among::is_behind`].
///
/// # Errors
/// As `state::query::list_of`, and those of `work`.
pub fn among<T>(
    read: &dyn Read,
    schema: &Schema,
    query: &Query,
    budget: &mut Budget,
    work: impl FnOnce(&mut Among<'_>) -> Result<T>,
) -> Result<T> {
    let allowance = Allowance::until(budget.rows, budget.deadline);
    let Asked { collection, conditions, .. } = Asked::new(read, schema, query, &allowance)?;
    let order = total_order(&query.sort);
    let sees = |record: &Record| if rule(query).is_some() { conditions[0].holds(record) } else { Ok(true) };
    let resume = match &query.after {
        Some(mark) if !query.sort.is_empty() => Some(place::resume(read, collection, &order, mark, sees)?),
        _ => None,
    };
    let ground = Ground { read, collection, order: &order, conditions: &conditions, allowance: &allowance };
    let (page_bytes, sort_bytes) = (budget.page_bytes, budget.sort_bytes);
    let mut among = Among { ground, resume, bytes: Vec::new(), page_bytes, sort_bytes };
    let done = work(&mut among);
    budget.rows = allowance.left();
    done
}

impl Among<'_> {
    /// A record, if it is there and rule and filter hold of it, and the bytes of its row.
    ///
    /// # Errors
    /// Those of the conditions and of the base; `Unprocessable` over the budget.
    pub fn record(&mut self, id: RecordId) -> Result<Option<(Record, usize)>> {
        self.ground.allowance.spend()?;
        match self.ground.row_if_any(id, &mut self.bytes)? {
            Some(stored) if self.ground.matches(&stored.record)? => Ok(Some((stored.record, stored.bytes))),
            _ => Ok(None),
        }
    }

    /// Counts the bytes of a row that is held for the page.
    ///
    /// # Errors
    /// `Unprocessable` with code `query_too_large`.
    pub fn hold(&mut self, bytes: usize) -> Result<()> {
        let left = self.page_bytes.checked_sub(bytes);
        self.page_bytes = left.ok_or_else(|| {
            too_large("fills its page with too many bytes: ask for fewer records at once, by perPage")
        })?;
        Ok(())
    }

    /// Where a record comes in the query's order: of two, the one with the lesser bytes comes first.
    ///
    /// # Errors
    /// `Unprocessable` with code `query_too_large` where too many were asked for.
    pub fn place(&mut self, record: &Record) -> Result<Box<[u8]>> {
        place::write(&mut self.bytes, self.ground.order, &record.id, &record.fields);
        let left = self.sort_bytes.checked_sub(self.bytes.len() + 64);
        self.sort_bytes =
            left.ok_or_else(|| too_large("sorts too many bytes: narrow it, or take its hits by their score"))?;
        Ok(self.bytes.as_slice().into())
    }

    /// Whether a place lies behind that which the query goes on from.
    pub fn is_behind(&self, place: &[u8]) -> bool {
        self.resume.as_ref().is_none_or(|resume| resume.is_before(place))
    }

    /// What `Query::after` takes to go on behind a record.
    pub fn mark(&self, record: &Record) -> Box<[u8]> {
        let order: &[SortKey] = self.ground.order;
        mark(order, record)
    }
}
