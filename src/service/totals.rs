//! Totals of filtered lists, kept for filters that come again, and carried over the changes since from the log.
//!
//! Invariant: what [`Totals::at`] gives is the number at exactly that position. Only conditions that ask for nothing but
//! the record are kept: what a change does to their number is seen from the record before and after it. A new
//! definition makes a new key.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::id::{CollectionId, Generation, Seq};
use crate::limits;
use crate::log;
use crate::model::change::Change;
use crate::model::expr::{Exhausted, NoRelations, Program, Row};
use crate::model::predicate::Predicate;
use crate::model::value::Fields;

/// Kept totals. When they are over their bound, those go that were not asked for lately.
#[derive(Debug, Default)]
pub(super) struct Totals {
    kept: Mutex<Kept>,
}

/// Two ages: what is asked for becomes new, and when the new are half of all, the old go.
#[derive(Debug, Default)]
struct Kept {
    new: BTreeMap<Key, Total>,
    old: BTreeMap<Key, Total>,
    new_bytes: usize,
}

/// Whose total: of a filling, by rule and filter as they stand in a version of the schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) collection: CollectionId,
    pub(super) generation: Generation,
    pub(super) schema: Seq,
    /// Whether the list rule is asked too.
    pub(super) ruled: bool,
    /// Whether hidden fields have their names.
    pub(super) sees_hidden: bool,
    pub(super) filter: Box<str>,
}

#[derive(Clone, Copy, Debug)]
struct Total {
    count: usize,
    at: Seq,
}

/// Whether a condition's total can be kept.
pub(super) fn can_keep(predicate: &Predicate) -> bool {
    let uses = predicate.program.uses();
    !uses.clock && !uses.request && !uses.old && uses.collections.is_empty()
}

impl Totals {
    /// The total at a position, if one is kept that the changes between can be carried to before the deadline.
    pub(super) fn at(
        &self,
        key: &Key,
        at: Seq,
        log: &log::Reader,
        asked: &[&Predicate],
        deadline: Instant,
    ) -> Option<usize> {
        let total = self.kept.lock().get(key)?;
        if total.at == at {
            return Some(total.count);
        }
        let (first, last) = (total.at.min(at), total.at.max(at));
        let change = i64::try_from(carried(key, first, last, log, asked, deadline)?).ok()?;
        let change = if at > total.at { change } else { -change };
        let count = usize::try_from(i64::try_from(total.count).ok()?.checked_add(change)?).ok()?;
        if at > total.at {
            self.put(key.clone(), at, count);
        }
        Some(count)
    }

    /// Keeps a total that was counted at a position.
    pub(super) fn put(&self, key: Key, at: Seq, count: usize) {
        self.kept.lock().put(key, Total { count, at });
    }
}

impl Totals {
    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        let kept = self.kept.lock();
        kept.new.len() + kept.old.len()
    }
}

#[cfg(test)]
impl Totals {
    /// Of all that is kept, as estimated.
    pub(super) fn bytes(&self) -> usize {
        let kept = self.kept.lock();
        kept.new.keys().chain(kept.old.keys()).map(Key::bytes).sum()
    }
}

impl Key {
    fn bytes(&self) -> usize {
        const ENTRY_BYTES: usize = 128;
        ENTRY_BYTES + self.filter.len()
    }
}

impl Kept {
    fn get(&mut self, key: &Key) -> Option<Total> {
        if let Some(total) = self.new.get(key) {
            return Some(*total);
        }
        let total = self.old.remove(key)?;
        self.put(key.clone(), total);
        Some(total)
    }

    fn put(&mut self, key: Key, total: Total) {
        if let Some(known) = self.new.get_mut(&key) {
            // Another thread may have come further.
            if known.at < total.at {
                *known = total;
            }
            return;
        }
        self.old.remove(&key);
        self.new_bytes += key.bytes();
        if self.new_bytes > limits::TOTALS_BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.new);
            self.new_bytes = key.bytes();
        }
        self.new.insert(key, total);
    }
}

/// How many more match at `last` than at `first`; `None` where that takes too much, or more than the log's newest
/// entries.
fn carried(
    key: &Key,
    first: Seq,
    last: Seq,
    log: &log::Reader,
    asked: &[&Predicate],
    deadline: Instant,
) -> Option<isize> {
    if last.0 - first.0 > limits::TOTALS_CHANGES_MAX as u64 {
        return None;
    }
    let entries = log.newest(first, limits::TOTALS_READ_BYTES_MAX)?;
    let between: Vec<_> = entries.iter().take_while(|logged| logged.position.seq <= last).collect();
    // Readers may see a view before the log shows its entry.
    if between.last()?.position.seq != last {
        return None;
    }
    let mut changes = 0;
    let mut more = 0;
    for change in between.iter().flat_map(|logged| &logged.entry.changes) {
        changes += 1;
        if changes > limits::TOTALS_CHANGES_MAX {
            return None;
        }
        // A condition may take milliseconds, and is asked twice of each.
        if is_of(key, change) {
            if Instant::now() > deadline {
                return None;
            }
            more += difference(change, asked).ok()?;
        }
    }
    Some(more)
}

/// Whether a change is one of a record of that filling.
fn is_of(key: &Key, change: &Change) -> bool {
    match change {
        Change::Created { collection, generation, .. }
        | Change::Updated { collection, generation, .. }
        | Change::Deleted { collection, generation, .. } => {
            (*collection, *generation) == (key.collection, key.generation)
        }
        _ => false,
    }
}

/// What a change adds to the number of matches.
fn difference(change: &Change, asked: &[&Predicate]) -> Result<isize, Exhausted> {
    let holds = |id: &str, fields: &Fields| -> Result<isize, Exhausted> {
        for predicate in asked {
            let program: &Program = &predicate.program;
            if !program.holds(Row { id, fields }, &predicate.input(), &NoRelations)? {
                return Ok(0);
            }
        }
        Ok(1)
    };
    match change {
        Change::Created { id, after, .. } => holds(id.as_str(), after),
        Change::Updated { id, after, before, .. } => {
            Ok(holds(id.as_str(), after)? - holds(id.as_str(), &after.rewound(before))?)
        }
        Change::Deleted { id, before, .. } => Ok(-holds(id.as_str(), before)?),
        _ => Ok(0),
    }
}
