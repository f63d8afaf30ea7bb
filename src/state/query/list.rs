//! A page of a list: rows read only where the walk does not decide and what is made of them is not known yet, sorting by
//! a heap that never holds more than the page and what lies before it.

use std::collections::BinaryHeap;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::expr::Shape;
use crate::model::guard::{Action, Rows};
use crate::model::predicate::Predicate;
use crate::model::query::{Query, SortKey};
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::state::query::place::{self, Resume, total_order};
use crate::state::query::plan::{Order, Plan, Planner, Wanted};
use crate::state::query::walk::{Condition, Found, Ground, Matches, Stored, place_of};
use crate::state::related::{Allowance, too_large};
use crate::state::stack::Read;
use crate::state::{key, lookup};

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

/// What a page is made of.
pub trait Maker {
    /// What stands on the page for a record.
    type Item;

    /// What was made of a record that a read of this state would give, with the bytes of its stored row: then the row is
    /// not read.
    fn known(&mut self, id: &RecordId) -> Option<(Self::Item, usize)>;

    /// Makes it from a record, whose row has so many bytes.
    fn made(&mut self, record: Record, row_bytes: usize) -> Self::Item;
}

/// Pages of the records themselves.
struct Records;

impl Maker for Records {
    type Item = Record;

    fn known(&mut self, _: &RecordId) -> Option<(Record, usize)> {
        None
    }

    fn made(&mut self, record: Record, _: usize) -> Record {
        record
    }
}

/// The result of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T = Record> {
    /// In order.
    pub records: Vec<T>,
    /// The mark of the last record's place, if there are more behind it: what `Query::after` takes.
    pub more: Option<Box<[u8]>>,
    /// All matches, if they were to be counted.
    pub total: Option<usize>,
    /// Rows and index entries looked at, those of other collections too.
    pub rows_read: usize,
    /// How it was done.
    pub plan: Plan,
}

/// Runs a query.
///
/// # Errors
/// As [`list_of`].
pub fn list(read: &dyn Read, schema: &Schema, query: &Query, budget: &mut Budget) -> Result<Page> {
    list_of(&mut Records, read, schema, query, budget)
}

/// Runs a query for a page of what `maker` makes.
///
/// # Errors
/// The guard's; `NotFound` without the collection; `Conflict` with code `stale_schema` for a query made against another
/// definition; `Invalid` with code `bad_cursor` for a place that is none; `Unprocessable` with code `query_too_large`
/// over the budget, or `too_costly`; those of the base.
pub fn list_of<M: Maker>(
    maker: &mut M,
    read: &dyn Read,
    schema: &Schema,
    query: &Query,
    budget: &mut Budget,
) -> Result<Page<M::Item>> {
    let allowance = Allowance::until(budget.rows, budget.deadline);
    let Asked { collection, conditions, shape } = Asked::new(read, schema, query, &allowance)?;
    let order = total_order(&query.sort);
    let sees = |record: &Record| if rule(query).is_some() { conditions[0].holds(record) } else { Ok(true) };
    let resume = query.after.as_deref().map(|mark| place::resume(read, collection, &order, mark, sees)).transpose()?;
    // One more than the page holds, to know whether there are more.
    let rows = query.offset.saturating_add(query.limit).saturating_add(1);
    let known = known_total(read, collection, &shape)?;
    let wanted = Wanted { order: &order, rows, count: query.count && known.is_none() };
    let plan = Planner::new(read, schema, &allowance).plan(collection, &shape, &wanted)?;
    let ground = Ground { read, collection, order: &order, conditions: &conditions, allowance: &allowance };
    let (resume, key) = (resume.as_ref(), Vec::new());
    let mut pager = Pager { maker, ground: &ground, plan: &plan, query, resume, budget, key };
    let (records, more, counted) = match plan.order {
        Order::Sorted => pager.sorted()?,
        Order::Walked | Order::Merged => pager.ordered(wanted.count)?,
    };
    let total = if query.count { known.or(counted) } else { None };
    let rows_read = budget.rows - allowance.left();
    budget.rows = allowance.left();
    Ok(Page { records, more, total, rows_read, plan })
}

/// Hands every match of a query to `each`, whatever it says of sort and page: by id where there is no filter and the rule
/// allows all, else in the order in which they are met. How many there were.
///
/// # Errors
/// As [`list`], but over the time alone; and those of `each`.
pub fn each(
    read: &dyn Read,
    schema: &Schema,
    query: &Query,
    deadline: Instant,
    mut each: impl FnMut(&Record) -> Result<()>,
) -> Result<usize> {
    let allowance = Allowance::until(usize::MAX, deadline);
    let asked = Asked::new(read, schema, query, &allowance)?;
    let Asked { collection, conditions, shape } = &asked;
    let order = total_order(&[]);
    let wanted = Wanted { order: &order, rows: usize::MAX, count: true };
    let mut plan = Planner::new(read, schema, &allowance).plan(collection, shape, &wanted)?;
    if plan.repeats {
        // Which ones were met would have to be kept: every row is asked instead.
        plan = Planner::new(read, schema, &allowance).plan(collection, &Shape::Always, &wanted)?;
        plan.covered = false;
    }
    let ground = Ground { read, collection, order: &order, conditions, allowance: &allowance };
    let mut matches = Matches::in_any_order(&ground, &plan, None, 0);
    let (mut count, mut key) = (0, Vec::new());
    while let Some(found) = matches.next()? {
        let stored = found.read.map_or_else(|| ground.row(found.id, &mut key), Ok)?;
        each(&stored.record)?;
        count += 1;
    }
    Ok(count)
}

/// Looks at every record of a query's collection behind `after`, by id, whatever it says of sort and page, and hands each
/// match to `go_on`, which says of every record, match or not, whether it wants more. The last record that it was asked
/// for, where that was not the last of all.
///
/// # Errors
/// As [`each`].
pub fn each_behind(
    read: &dyn Read,
    schema: &Schema,
    query: &Query,
    after: Option<&RecordId>,
    mut go_on: impl FnMut(&RecordId, Option<&Record>) -> Result<bool>,
) -> Result<Option<RecordId>> {
    let allowance = Allowance::until(usize::MAX, Instant::now() + limits::QUERY_TIME_MAX);
    let Asked { collection, conditions, .. } = &Asked::new(read, schema, query, &allowance)?;
    let ground = Ground { read, collection, order: &[], conditions, allowance: &allowance };
    let (mut from, to) = key::rows(collection.id, collection.generation);
    if let Some(after) = after {
        from = key::behind(&key::row(collection.id, collection.generation, after));
    }
    for pair in read.scan(&from, &to, false)? {
        let pair = pair?;
        let id = key::row_id(pair.key())?;
        let stored = ground.stored(id.clone(), pair.value())?;
        let is_match = ground.matches(&stored.record)?;
        if !go_on(&stored.record.id, is_match.then_some(&stored.record))? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Whether a record is one that a query asks for.
///
/// # Errors
/// As [`each`].
pub fn is_match(read: &dyn Read, schema: &Schema, query: &Query, record: &Record) -> Result<bool> {
    let allowance = Allowance::until(usize::MAX, Instant::now() + limits::QUERY_TIME_MAX);
    let Asked { collection, conditions, .. } = &Asked::new(read, schema, query, &allowance)?;
    Ground { read, collection, order: &[], conditions, allowance: &allowance }.matches(record)
}

/// A query against one view.
pub(in crate::state) struct Asked<'a> {
    pub(in crate::state) collection: &'a Collection,
    /// Rule, if it asks for something, and filter.
    pub(in crate::state) conditions: Vec<Condition<'a>>,
    pub(in crate::state) shape: Shape,
}

impl<'a> Asked<'a> {
    /// # Errors
    /// As [`list_of`], as far as nothing was walked.
    pub(in crate::state) fn new(
        read: &'a dyn Read,
        schema: &'a Schema,
        query: &'a Query,
        allowance: &'a Allowance,
    ) -> Result<Asked<'a>> {
        query.guard.allow(Action::List)?;
        let missing = || Error::new(Kind::NotFound, "there is no such collection");
        let collection = schema.get(query.collection).ok_or_else(missing)?;
        if collection.version != query.schema {
            return Err(Error::new(Kind::Conflict, "the collection's definition has changed").code("stale_schema"));
        }
        let conditions: Vec<Condition<'_>> = rule(query)
            .into_iter()
            .chain(query.filter.as_ref())
            .map(|predicate| Condition::new(read, schema, predicate, allowance))
            .collect();
        let shape = shape(schema, collection, &conditions)?;
        Ok(Asked { collection, conditions, shape })
    }
}

/// What the guard asks of each record.
pub(super) fn rule(query: &Query) -> Option<&Predicate> {
    if let Rows::Where(rule) = query.guard.rows(Action::List) { Some(rule) } else { None }
}

/// Where the records are of which rule and filter hold.
fn shape(schema: &Schema, collection: &Collection, conditions: &[Condition<'_>]) -> Result<Shape> {
    let mut shapes = Vec::with_capacity(conditions.len());
    for Condition { predicate, input, related } in conditions {
        let shape = predicate.program.shape(schema, collection, input, related);
        shapes.push(related.outcome(Ok(shape))?);
    }
    Ok(Shape::all(shapes))
}

/// The number of all matches, where it is known without a walk.
fn known_total(read: &dyn Read, collection: &Collection, shape: &Shape) -> Result<Option<usize>> {
    match shape {
        Shape::Always => {
            let tally = lookup::tally(read, collection.id, collection.generation)?;
            Ok(Some(usize::try_from(tally.count).unwrap_or(usize::MAX)))
        }
        Shape::Never => Ok(Some(0)),
        _ => Ok(None),
    }
}

/// Makes the page.
struct Pager<'a, 'b, M: Maker> {
    maker: &'b mut M,
    ground: &'a Ground<'a>,
    plan: &'a Plan,
    query: &'a Query,
    resume: Option<&'a Resume>,
    budget: &'b mut Budget,
    key: Vec<u8>,
}

/// Items, the mark of what comes behind them, matches.
type Paged<T> = (Vec<T>, Option<Box<[u8]>>, Option<usize>);

impl<M: Maker> Pager<'_, '_, M> {
    /// A walk that yields the wanted order: stops behind the page, unless the rest is to be counted.
    fn ordered(&mut self, count: bool) -> Result<Paged<M::Item>> {
        let (ground, query, resume) = (self.ground, self.query, self.resume);
        let mut matches = Matches::in_order(ground, self.plan, resume, self.budget.sort_bytes)?;
        let mut records = Vec::with_capacity(query.limit.min(64));
        let (mut met, mut more) = (0, None);
        let mut last = None;
        let mut place = Vec::new();
        while let Some(mut found) = matches.next()? {
            if let Some(resume) = resume {
                place_of(ground, &mut found, &mut self.key, &mut place)?;
                if !resume.is_before(&place) {
                    continue;
                }
            }
            met += 1;
            if records.len() == query.limit {
                more = last.map(|last| self.mark(last)).transpose()?;
                break;
            }
            if met > query.offset {
                let mark = records.len() + 1 == query.limit;
                last = self.put(&mut records, found, mark)?;
            }
        }
        let total = match (count, resume, self.plan.order) {
            (false, ..) => None,
            (true, None, _) if more.is_none() => Some(met),
            (true, None, Order::Walked) => Some(met + matches.count()?),
            // What lies before the place counts too; and no order is needed to count.
            (true, ..) => Some(Matches::in_any_order(ground, self.plan, None, self.budget.sort_bytes).count()?),
        };
        Ok((records, more, total))
    }

    /// A walk in another order: all matches pass through a heap of those that come first.
    fn sorted(&mut self) -> Result<Paged<M::Item>> {
        let (ground, query) = (self.ground, self.query);
        let page = query.offset.saturating_add(query.limit);
        let mut heap: BinaryHeap<Place> = BinaryHeap::new();
        let mut bytes = Vec::with_capacity(64);
        let (mut total, mut behind) = (0, 0);
        let mut matches = Matches::in_any_order(ground, self.plan, None, self.budget.sort_bytes);
        while let Some(mut found) = matches.next()? {
            total += 1;
            let id_at = place_of(ground, &mut found, &mut self.key, &mut bytes)?;
            if self.resume.is_some_and(|resume| !resume.is_before(&bytes)) {
                continue;
            }
            behind += 1;
            // Copied only now that it is known to be kept.
            if heap.len() < page {
                heap.push(Place::keep(&bytes, id_at, self.budget)?);
            } else if let Some(mut last) = heap.peek_mut()
                && bytes[..] < last.bytes[..]
            {
                self.budget.sort_bytes += last.cost();
                *last = Place::keep(&bytes, id_at, self.budget)?;
            }
        }
        let backwards = ground.order.last().is_some_and(|last| last.descending);
        let mut records = Vec::with_capacity(query.limit.min(heap.len()));
        let mut last = None;
        for place in heap.into_sorted_vec().into_iter().skip(query.offset) {
            let id = key::last_id(&place.bytes[place.id_at..], backwards)?;
            let mark = behind > page && records.len() + 1 == query.limit;
            last = self.put(&mut records, Found { id, read: None }, mark)?;
        }
        let more = last.map(|last| self.mark(last)).transpose()?;
        Ok((records, more, Some(total)))
    }

    /// Puts what is made of a record on the page. The last one's place may have to be marked: what that takes.
    fn put(&mut self, page: &mut Vec<M::Item>, found: Found, is_last: bool) -> Result<Option<Last>> {
        let Found { id, read } = found;
        let (item, bytes, last) = match self.maker.known(&id) {
            Some((item, bytes)) => {
                let last = match read {
                    Some(stored) => Last::Marked(mark(self.ground.order, &stored.record)),
                    None => Last::Unread(id),
                };
                (item, bytes, is_last.then_some(last))
            }
            None => {
                let Stored { record, bytes } = read.map_or_else(|| self.ground.row(id, &mut self.key), Ok)?;
                let last = is_last.then(|| Last::Marked(mark(self.ground.order, &record)));
                (self.maker.made(record, bytes), bytes, last)
            }
        };
        let left = self.budget.page_bytes.checked_sub(bytes);
        self.budget.page_bytes = left.ok_or_else(|| {
            too_large("fills its page with too many bytes: ask for fewer records at once, by perPage")
        })?;
        page.push(item);
        Ok(last)
    }

    /// The mark of the last one's place.
    fn mark(&mut self, last: Last) -> Result<Box<[u8]>> {
        match last {
            Last::Marked(mark) => Ok(mark),
            Last::Unread(id) => Ok(mark(self.ground.order, &self.ground.row(id, &mut self.key)?.record)),
        }
    }
}

/// The last record of a page: its mark, or how to make it if it is needed.
enum Last {
    Marked(Box<[u8]>),
    Unread(RecordId),
}

pub(super) fn mark(order: &[SortKey], record: &Record) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(64);
    place::write(&mut bytes, order, &record.id, &record.fields);
    place::mark(&bytes, &record.id)
}

/// A kept place. Its bytes order as the sort keys and the id do, which is the last of them.
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
