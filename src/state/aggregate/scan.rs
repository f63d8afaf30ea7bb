//! One range of keys walked: of each record that matches, its keys and values into groups.

use std::borrow::Cow;
use std::time::Instant;

use super::Source;
use super::groups::{Groups, Held};
use super::way::{self, Range, Way};
use crate::error::Result;
use crate::id::{FieldId, Position, RecordId};
use crate::limits;
use crate::model::expr::{self, Input, Program, Row};
use crate::model::guard::{Action, Rows};
use crate::model::query::Operand;
use crate::model::record::Record;
use crate::model::schema::{Collection, FieldKind, Index};
use crate::model::value::{Fields, NULL, Value};
use crate::state::query::{Asked, Ground, Matches, Stored, total_order};
use crate::state::related::{Allowance, Related};
use crate::state::stack::{Pair, Read};
use crate::state::{key, lookup, row};

/// Told, now and then, how far a scan has come.
pub trait Watch {
    /// So many rows and entries more were looked at.
    ///
    /// # Errors
    /// Why it must end.
    fn came(&self, rows: usize) -> Result<()>;

    /// Rows that may still be looked at.
    fn left(&self) -> usize;

    /// Whether somebody would take a part of what is left.
    fn is_shared(&self) -> bool;

    /// Takes the end of what is left.
    fn give(&self, range: Range);
}

/// What a scan may take.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    /// When it must be done.
    pub deadline: Instant,
    /// What all scans of a request hold.
    pub held: &'a Held,
    /// Who is told how far it has come.
    pub watch: &'a dyn Watch,
}

/// Rows between two looks at how far it has come.
const CHUNK: usize = 256;

/// Puts the records of a range into groups.
///
/// # Errors
/// `Unprocessable` over a bound; those of the watch, of the conditions and of the base.
pub fn scan(
    read: &dyn Read,
    source: &Source,
    way: &Way,
    range: Option<&Range>,
    bounds: &Bounds<'_>,
    groups: &mut Groups,
) -> Result<()> {
    let Bounds { deadline, held, watch } = *bounds;
    let allowance = Allowance::until(watch.left(), deadline);
    let asked = Asked::new(read, &source.schema, &source.query, &allowance)?;
    let related = Related::within(read, &source.schema, &source.sight, &allowance);
    let mut taking = Taking::new(source, &related, held, groups);
    let order = total_order(&[]);
    let ground = Ground {
        read,
        collection: asked.collection,
        order: &order,
        conditions: &asked.conditions,
        allowance: &allowance,
    };
    let mut walking = Walking { ground: &ground, way, watch, told: allowance.left(), met: 0 };
    match (range, &way.repeats) {
        (Some(range), _) => walking.range(range, &mut taking),
        (None, Some(plan)) => {
            let mut matches = Matches::in_any_order(&ground, plan, None, limits::SORT_BYTES_MAX);
            let mut key = Vec::new();
            while let Some(found) = matches.next()? {
                let Stored { record, .. } = found.read.map_or_else(|| ground.row(found.id, &mut key), Ok)?;
                taking.record(&record)?;
                walking.step()?;
            }
            walking.tell()
        }
        (None, None) => Ok(()),
    }
}

/// Counts all records at once, where nothing but their number is asked for; whether that was so.
///
/// # Errors
/// Those of the base.
pub fn counted(read: &dyn Read, source: &Source, held: &Held, groups: &mut Groups) -> Result<bool> {
    let grouping = &source.grouping;
    let counts = grouping.keys.is_empty() && grouping.measures.iter().all(|measure| measure.of.is_none());
    let all = source.query.filter.is_none() && *source.query.guard.rows(Action::List) == Rows::All;
    let Some(collection) = source.schema.get(source.query.collection).filter(|_| counts && all) else {
        return Ok(false);
    };
    let tally = lookup::tally(read, collection.id, collection.generation)?;
    groups.count(&grouping.measures, tally.count, held)?;
    Ok(true)
}

/// A walk along a range.
struct Walking<'a> {
    ground: &'a Ground<'a>,
    way: &'a Way,
    watch: &'a dyn Watch,
    /// What of the allowance was left when the watch was last told.
    told: usize,
    met: usize,
}

impl Walking<'_> {
    fn range(&mut self, range: &Range, taking: &mut Taking<'_>) -> Result<()> {
        let ground = self.ground;
        let index = range.index.and_then(|id| ground.collection.index(id));
        let entries = index.filter(|_| range.index_only).map(|index| Entries::new(ground.collection, index));
        let mut key = Vec::new();
        let mut end: Option<Vec<u8>> = None;
        for pair in ground.read.scan(&range.from, &range.to, false)? {
            let pair = pair?;
            if end.as_ref().is_some_and(|end| pair.key() >= &end[..]) {
                break;
            }
            ground.allowance.spend()?;
            let record = match (&entries, index) {
                (Some(entries), _) => entries.record(&pair)?,
                (None, Some(index)) => ground.row(key::entry_id(pair.key(), index)?, &mut key)?.record,
                (None, None) => {
                    let fields = row::decode_some(pair.value(), &self.way.fields)?;
                    Record { id: key::row_id(pair.key())?, version: Position::default(), fields }
                }
            };
            if self.way.covered || ground.matches(&record)? {
                taking.record(&record)?;
            }
            self.step()?;
            if self.met.is_multiple_of(CHUNK) && self.watch.is_shared() {
                let to = end.as_ref().unwrap_or(&range.to);
                if let Some(middle) = way::middle(ground.read, pair.key(), to)? {
                    self.watch.give(Range { from: middle.clone(), to: to.clone(), ..*range });
                    end = Some(middle);
                }
            }
        }
        self.tell()
    }

    fn step(&mut self) -> Result<()> {
        self.met += 1;
        if self.met.is_multiple_of(CHUNK) { self.tell() } else { Ok(()) }
    }

    fn tell(&mut self) -> Result<()> {
        let left = self.ground.allowance.left();
        let came = self.told - left;
        self.told = left;
        self.watch.came(came)
    }
}

/// Records made of the entries of an index.
struct Entries<'a> {
    index: &'a Index,
    /// Of each field of the index whether it is asked for, and whether it is a float.
    fields: Vec<(FieldId, bool)>,
}

impl<'a> Entries<'a> {
    fn new(collection: &Collection, index: &'a Index) -> Entries<'a> {
        let is_float = |field: FieldId| {
            let kind = collection.field_by_id(field).map(|field| &field.kind);
            matches!(kind, Some(FieldKind::Number { integer: false, .. }))
        };
        let fields = index.fields.iter().map(|part| (part.field, is_float(part.field))).collect();
        Entries { index, fields }
    }

    /// The record as far as the entry tells of it.
    fn record(&self, pair: &Pair<'_>) -> Result<Record> {
        let mut fields = Fields::new();
        let id = key::split_entry(
            pair.key(),
            self.index,
            |_| true,
            |at, value| {
                let (field, is_float) = self.fields[at];
                let value = match value {
                    Value::Int(whole) if is_float => Value::Number(whole as f64),
                    value => value,
                };
                fields.set(field, value);
            },
        )?;
        Ok(Record { id, version: Position::default(), fields })
    }
}

/// What is worked out of a record.
enum Taken<'a> {
    Field(FieldId),
    Id,
    Of(&'a Program),
}

impl<'a> Taken<'a> {
    fn new(program: &'a Program) -> Taken<'a> {
        match program.plain() {
            Some(Operand::Field(field)) => Taken::Field(field),
            Some(Operand::Id) => Taken::Id,
            None => Taken::Of(program),
        }
    }
}

/// Puts records into groups.
struct Taking<'a> {
    source: &'a Source,
    input: Input<'a>,
    related: &'a Related<'a>,
    held: &'a Held,
    groups: &'a mut Groups,
    keys: Vec<(Taken<'a>, bool)>,
    measures: Vec<Option<Taken<'a>>>,
    key: Vec<u8>,
}

impl<'a> Taking<'a> {
    fn new(source: &'a Source, related: &'a Related<'a>, held: &'a Held, groups: &'a mut Groups) -> Taking<'a> {
        let grouping = &source.grouping;
        let keys = grouping.keys.iter().map(|key| (Taken::new(&key.program), key.each)).collect();
        let measures = grouping.measures.iter().map(|measure| measure.of.as_deref().map(Taken::new)).collect();
        Taking { source, input: source.input(), related, held, groups, keys, measures, key: Vec::new() }
    }

    fn value<'r>(&self, taken: &Taken<'_>, record: &'r Record) -> Result<Cow<'r, Value>> {
        Ok(match taken {
            Taken::Field(field) => Cow::Borrowed(record.fields.get(*field)),
            Taken::Id => Cow::Owned(Value::text(record.id.as_str())),
            Taken::Of(program) => {
                let row = Row { id: record.id.as_str(), fields: &record.fields };
                Cow::Owned(self.related.outcome(program.value(row, &self.input, self.related))?)
            }
        })
    }

    /// A record of which rule and filter hold.
    fn record(&mut self, record: &Record) -> Result<()> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        let mut list = None;
        for (taken, each) in &self.keys {
            let value = self.value(taken, record)?;
            if *each {
                list = Some((key.len(), value));
            } else {
                key::push_value(&mut key, &value, false);
            }
        }
        let values = self.values(record)?;
        match list {
            None => self.put(&key, &values, &record.id)?,
            Some((at, list)) => self.put_each(&key, at, &list, &values, &record.id)?,
        }
        self.key = key;
        Ok(())
    }

    /// The values of each measure, of those that have one.
    fn values<'r>(&self, record: &'r Record) -> Result<Vec<Cow<'r, [Value]>>> {
        let measures = self.measures.iter().zip(&self.source.grouping.measures);
        let values = measures.map(|(taken, measure)| {
            let Some(taken) = taken else { return Ok(Cow::Borrowed(&[][..])) };
            Ok(match self.value(taken, record)? {
                Cow::Borrowed(value) if measure.reduction.takes_elements() => expr::elements(value),
                Cow::Borrowed(value) => Cow::Borrowed(std::slice::from_ref(value)),
                Cow::Owned(value) if measure.reduction.takes_elements() => match value {
                    Value::List(items) => Cow::Owned(items),
                    value => Cow::Owned(expr::elements(&value).into_owned()),
                },
                Cow::Owned(value) => Cow::Owned(vec![value]),
            })
        });
        values.collect()
    }

    fn put(&mut self, key: &[u8], values: &[Cow<'_, [Value]>], id: &RecordId) -> Result<()> {
        self.groups.take(key, &self.source.grouping.measures, values, id, self.held)
    }

    /// Into the group of each different element of a list, which stands at `at` in the key.
    fn put_each(
        &mut self,
        key: &[u8],
        at: usize,
        list: &Value,
        values: &[Cow<'_, [Value]>],
        id: &RecordId,
    ) -> Result<()> {
        let elements = expr::elements(list);
        let mut elements: Vec<&Value> = elements.iter().filter(|element| !element.is_null()).collect();
        elements.sort_by(|a, b| a.order(b));
        elements.dedup_by(|a, b| a.order(b).is_eq());
        if elements.is_empty() {
            elements.push(&NULL);
        }
        let mut whole = Vec::with_capacity(key.len() + 32);
        for element in elements {
            whole.clear();
            whole.extend_from_slice(&key[..at]);
            key::push_value(&mut whole, element, false);
            whole.extend_from_slice(&key[at..]);
            self.put(&whole, values, id)?;
        }
        Ok(())
    }
}
