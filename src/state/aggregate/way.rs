//! Where a source's records are met: the ranges of keys that are walked, and what has to be read along them.
//!
//! The plan is a list's. Beside that an index covers a source, when all that is asked of its records is in the index's own
//! fields: then no row is read. Of all records that is the better way whichever index it is, as an index's entries are
//! shorter than rows.

use std::time::Instant;

use crate::error::Result;
use crate::id::{FieldId, IndexId};
use crate::model::schema::{Collection, Index};
use crate::state::key;
use crate::state::query::{Asked, Plan, Planner, Stretch, Wanted, total_order};
use crate::state::related::Allowance;
use crate::state::stack::Read;

use super::Source;

/// A range of keys with what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub(super) from: Vec<u8>,
    /// Behind the last.
    pub(super) to: Vec<u8>,
    /// Entries of that index; `None` for rows.
    pub(super) index: Option<IndexId>,
    /// Whether the entries alone say all.
    pub(super) index_only: bool,
}

/// How a source is carried out.
#[derive(Clone, Debug)]
pub struct Way {
    /// The ranges, in the order in which they are walked.
    pub ranges: Vec<Range>,
    /// What is asked of a record besides its id, sorted.
    pub(super) fields: Vec<FieldId>,
    /// Whether they hold no record but matches.
    pub(super) covered: bool,
    /// Set where a record may be met more than once: then all is walked by this plan, in one piece.
    pub(super) repeats: Option<Box<Plan>>,
}

impl Way {
    /// Whether it is walked in one piece.
    pub fn is_whole(&self) -> bool {
        self.repeats.is_some()
    }

    /// Index, if one is used for all of it, and whether rows are left unread.
    pub fn explained(&self) -> (Option<IndexId>, bool) {
        let index = self.ranges.first().and_then(|range| range.index);
        let same = self.ranges.iter().all(|range| range.index == index);
        let index_only = !self.ranges.is_empty() && self.ranges.iter().all(|range| range.index_only);
        (index.filter(|_| same), index_only)
    }
}

/// Plans a source.
///
/// # Errors
/// As `state::query::list`.
pub fn way(read: &dyn Read, source: &Source, rows: usize, deadline: Instant) -> Result<Way> {
    let allowance = Allowance::until(rows, deadline);
    let asked = Asked::new(read, &source.schema, &source.query, &allowance)?;
    let order = total_order(&[]);
    let wanted = Wanted { order: &order, rows: usize::MAX, count: true };
    let plan = Planner::new(read, &source.schema, &allowance).plan(asked.collection, &asked.shape, &wanted)?;
    let collection = asked.collection;
    let fields = fields(&asked, source, plan.covered);
    if plan.repeats {
        return Ok(Way { ranges: Vec::new(), fields, covered: plan.covered, repeats: Some(Box::new(plan)) });
    }
    let is_whole = |walk: &crate::state::query::Walk| walk.index.is_none() && walk.equal_fields == 0 && !walk.ranged;
    if let [walk] = &plan.walks[..]
        && is_whole(walk)
        && let Some(index) = covering(collection, &fields)
    {
        let (from, to) = key::entries_of(collection.id, collection.generation, index.id);
        let range = Range { from, to, index: Some(index.id), index_only: true };
        return Ok(Way { ranges: vec![range], fields, covered: plan.covered, repeats: None });
    }
    let mut ranges = Vec::new();
    for walk in &plan.walks {
        let index = walk.index.and_then(|id| collection.index(id));
        let index_only = index.is_some_and(|index| covers(collection, index, &fields));
        let range = |Stretch { from, to, .. }: &Stretch| Range {
            from: from.clone(),
            to: to.clone(),
            index: walk.index,
            index_only,
        };
        ranges.extend(walk.stretches.iter().map(range));
    }
    Ok(Way { ranges, fields, covered: plan.covered, repeats: None })
}

/// What is asked of a record besides its id.
fn fields(asked: &Asked<'_>, source: &Source, covered: bool) -> Vec<FieldId> {
    let conditions = asked.conditions.iter().filter(|_| !covered).map(|condition| &condition.predicate.program);
    let mut fields: Vec<FieldId> = conditions
        .chain(source.grouping.programs())
        .flat_map(|program| program.uses().fields.iter().copied())
        .collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// The index with the fewest fields that holds all of these.
fn covering<'c>(collection: &'c Collection, fields: &[FieldId]) -> Option<&'c Index> {
    collection.ready_indexes().filter(|index| covers(collection, index, fields)).min_by_key(|index| index.fields.len())
}

/// Whether an index has one entry for each record, with these fields in it.
fn covers(collection: &Collection, index: &Index, fields: &[FieldId]) -> bool {
    let plain = |field: FieldId| collection.field_by_id(field).is_some_and(|field| !field.kind.is_list());
    index.fields.iter().all(|part| plain(part.field))
        && fields.iter().all(|field| index.fields.iter().any(|part| part.field == *field))
}

/// A key between one that was met and the last before `to`: some of what is left lies at it or behind it. `None` where
/// there is nothing left to divide.
///
/// # Errors
/// Those of the base.
pub(super) fn middle(read: &dyn Read, met: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>> {
    let last = match read.scan(met, to, true)?.next() {
        Some(last) => last?.key().to_vec(),
        None => return Ok(None),
    };
    Ok(between(met, &last))
}

/// Half way from one key to a greater one, by their first eight bytes that differ.
fn between(from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let word = |key: &[u8]| {
        let mut word = [0; 8];
        let rest = &key[shared..];
        let len = rest.len().min(8);
        word[..len].copy_from_slice(&rest[..len]);
        u64::from_be_bytes(word)
    };
    let (low, high) = (word(from), word(to));
    if low >= high {
        return None;
    }
    let half = low + (high - low).div_ceil(2);
    let mut key = from[..shared].to_vec();
    key.extend_from_slice(&half.to_be_bytes());
    // Zeros at its end would put it behind a key that it is the beginning of.
    while key.len() > shared && key.last() == Some(&0) {
        key.pop();
    }
    (key.as_slice() > from && key.as_slice() <= to).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::Rng;

    #[test]
    fn what_lies_between_two_keys_divides_them() {
        let table = [
            ("a", "a", None),
            ("a", "c", Some("b")),
            ("r0000", "r0004", Some("r0002")),
            ("a", "ab", Some("a1")),
            ("", "\x02", Some("\x01")),
            ("a", "a\0", None),
        ];
        for (from, to, expected) in table {
            let found = between(from.as_bytes(), to.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{from:?} {to:?}");
        }
        let mut rng = Rng::new(3);
        let mut key = || (0..rng.below(12)).map(|_| rng.below(256) as u8).collect::<Vec<u8>>();
        for _ in 0..10_000 {
            let (a, b) = (key(), key());
            let (from, to) = if a < b { (a, b) } else { (b, a) };
            if let Some(middle) = between(&from, &to) {
                assert!(from < middle && middle <= to, "{from:?} {middle:?} {to:?}");
            }
        }
    }
}
