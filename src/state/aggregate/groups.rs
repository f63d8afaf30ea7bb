//! The groups of one part of a source's records, by the bytes of their keys, which order as the keys do.
//!
//! Invariant: what is held is counted, in groups and in bytes, before more is taken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::accumulate::Accumulator;
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::aggregate::{Grouping, Measure, Table};
use crate::model::expr::Input;
use crate::model::value::Value;
use crate::state::key;

/// What all parts of one request hold together, bytes as estimated.
#[derive(Debug, Default)]
pub struct Held(AtomicUsize);

impl Held {
    /// # Errors
    /// `Unprocessable` with code `too_many_groups` past `limits::AGGREGATE_BYTES_MAX`.
    fn add(&self, bytes: usize) -> Result<()> {
        if bytes > 0 && self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > limits::AGGREGATE_BYTES_MAX {
            let message = format!(
                "the aggregate holds more than {} bytes of groups and values: narrow it, or group by less",
                limits::AGGREGATE_BYTES_MAX
            );
            return Err(too_many(message));
        }
        Ok(())
    }

    /// What two parts held is held by one.
    fn release(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What a group takes beside its accumulators' own: its key is held by the map, and about as much by it.
fn bytes_of(key: &[u8], accumulators: &[Accumulator]) -> usize {
    GROUP_BYTES + 2 * key.len() + size_of_val(accumulators)
}

fn too_many(message: String) -> Error {
    Error::new(Kind::Unprocessable, message).code("too_many_groups")
}

/// The groups of the records that were met.
#[derive(Debug, Default)]
pub struct Groups {
    by_key: HashMap<Box<[u8]>, usize>,
    list: Vec<Box<[Accumulator]>>,
    /// The one that was met last: records come in runs.
    last: (Vec<u8>, usize),
    room: Vec<u8>,
}

/// What a group takes beside its key and its accumulators' own.
const GROUP_BYTES: usize = 96;

impl Groups {
    /// Whether no record was met.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The group of a key, made where there is none.
    ///
    /// # Errors
    /// `Unprocessable` with code `too_many_groups`.
    fn at(&mut self, key: &[u8], measures: &[Measure], held: &Held) -> Result<usize> {
        if !self.list.is_empty() && self.last.0 == key {
            return Ok(self.last.1);
        }
        let at = match self.by_key.get(key) {
            Some(at) => *at,
            None => {
                let accumulators: Box<[Accumulator]> =
                    measures.iter().map(|measure| Accumulator::new(measure.reduction)).collect();
                held.add(bytes_of(key, &accumulators))?;
                self.put(key.into(), accumulators)?
            }
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(key);
        self.last.1 = at;
        Ok(at)
    }

    fn put(&mut self, key: Box<[u8]>, accumulators: Box<[Accumulator]>) -> Result<usize> {
        if self.list.len() == limits::AGGREGATE_GROUPS_MAX {
            return Err(too_many(format!(
                "the source has more than {} groups: narrow it, or group by less",
                limits::AGGREGATE_GROUPS_MAX
            )));
        }
        self.list.push(accumulators);
        self.by_key.insert(key, self.list.len() - 1);
        Ok(self.list.len() - 1)
    }

    /// Puts a record into the group of a key: `values` are its values of the measures, none where it is but counted.
    ///
    /// # Errors
    /// `Unprocessable` with code `too_many_groups`.
    pub(super) fn take(
        &mut self,
        key: &[u8],
        measures: &[Measure],
        values: &[std::borrow::Cow<'_, [Value]>],
        id: &RecordId,
        held: &Held,
    ) -> Result<()> {
        let at = self.at(key, measures, held)?;
        let mut bytes = 0;
        for ((accumulator, measure), values) in self.list[at].iter_mut().zip(measures).zip(values) {
            if measure.of.is_none() {
                accumulator.count();
            }
            for value in values.iter().filter(|value| !value.is_null()) {
                bytes += accumulator.take(measure.reduction, value, id, &mut self.room);
            }
        }
        held.add(bytes)
    }

    /// Counts records that are in the one group without a key.
    ///
    /// # Errors
    /// As [`Groups::take`].
    pub(super) fn count(&mut self, measures: &[Measure], records: u64, held: &Held) -> Result<()> {
        let at = self.at(&[], measures, held)?;
        self.list[at].iter_mut().for_each(|one| *one = Accumulator::Count(records));
        Ok(())
    }

    /// Takes in the groups of another part.
    ///
    /// # Errors
    /// As when a record is taken in.
    pub fn merge(&mut self, grouping: &Grouping, other: Groups, held: &Held) -> Result<()> {
        if other.list.len() > self.list.len() {
            let smaller = std::mem::replace(self, other);
            return self.merge(grouping, smaller, held);
        }
        let mut others: Vec<Option<Box<[Accumulator]>>> = other.list.into_iter().map(Some).collect();
        for (key, at) in other.by_key {
            let Some(accumulators) = others[at].take() else { continue };
            match self.by_key.get(&key) {
                Some(at) => {
                    held.release(bytes_of(&key, &accumulators));
                    let mine = self.list[*at].iter_mut().zip(&grouping.measures).zip(accumulators);
                    mine.for_each(|((mine, measure), other)| held.release(mine.merge(measure.reduction, other)));
                }
                None => {
                    self.put(key, accumulators)?;
                }
            }
        }
        Ok(())
    }

    /// The table of a source whose records have all been met. Without keys there is one group, also of no records.
    ///
    /// # Errors
    /// `Damaged` for keys that were not made here; `Unprocessable` for a value that takes too many steps.
    pub fn finish(mut self, grouping: &Grouping, input: &Input<'_>, held: &Held) -> Result<Table> {
        if grouping.keys.is_empty() {
            self.at(&[], &grouping.measures, held)?;
        }
        let mut keys: Vec<(Box<[u8]>, usize)> = self.by_key.into_iter().collect();
        keys.sort_unstable();
        let mut groups: Vec<Option<Box<[Accumulator]>>> = self.list.into_iter().map(Some).collect();
        let mut rows = Vec::with_capacity(keys.len());
        for (key, at) in keys {
            let Some(accumulators) = groups[at].take() else { continue };
            let finished = accumulators.into_iter().zip(&grouping.measures);
            let measures: Vec<Value> = finished.map(|(one, measure)| one.finish(measure.reduction)).collect();
            rows.extend(grouping.finishing.row(values(&key, grouping.keys.len())?, &measures, input)?);
        }
        Ok(grouping.finishing.table(rows))
    }
}

fn values(key: &[u8], count: usize) -> Result<Vec<Value>> {
    let (mut values, mut rest) = (Vec::with_capacity(count), key);
    for _ in 0..count {
        let (value, behind) =
            key::read_value(rest, false).ok_or_else(|| Error::internal("a group's key can't be read"))?;
        values.push(value);
        rest = behind;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::model::aggregate::{Finishing, Reduction};

    fn grouping(reductions: &[Reduction]) -> Grouping {
        let program = crate::model::expr::Program::value_of(
            crate::model::expr::Scope {
                schema: &crate::model::schema::Schema::default(),
                collection: &crate::model::definition::parse_own(
                    &crate::model::schema::Schema::default(),
                    br#"{"name":"_c","fields":[]}"#,
                    crate::time::Millis(0),
                )
                .expect("sound"),
                callers: &[],
                sees_hidden: true,
            },
            "id",
        );
        let of = std::sync::Arc::new(program.expect("sound"));
        let measure = |reduction: &Reduction| Measure { reduction: *reduction, of: Some(of.clone()) };
        Grouping {
            keys: Vec::new(),
            measures: reductions.iter().map(measure).collect(),
            finishing: Finishing::default(),
        }
    }

    fn take(groups: &mut Groups, grouping: &Grouping, key: &[u8], value: Value, held: &Held) -> Result<()> {
        let values: Vec<Cow<'_, [Value]>> = grouping.measures.iter().map(|_| Cow::Owned(vec![value.clone()])).collect();
        groups.take(key, &grouping.measures, &values, &RecordId::new("r").expect("an id"), held)
    }

    #[test]
    fn groups_and_what_they_hold_are_bounded() {
        let (grouping, held, mut groups) = (grouping(&[Reduction::Count]), Held::default(), Groups::default());
        for n in 0..limits::AGGREGATE_GROUPS_MAX as u32 {
            take(&mut groups, &grouping, &n.to_be_bytes(), Value::Int(1), &held).expect("within the bound");
        }
        let refused = take(&mut groups, &grouping, b"one more", Value::Int(1), &held).expect_err("too many");
        assert!(refused.message().contains("100000 groups"), "{refused}");
        for reduction in [Reduction::CountDistinct, Reduction::Percentile(50.0)] {
            let (grouping, held, mut groups) = (self::grouping(&[reduction]), Held::default(), Groups::default());
            let text = "x".repeat(60_000);
            let mut add = |n: usize| take(&mut groups, &grouping, b"", Value::text(format!("{n}{text}")), &held);
            let refused = (0..2_000).find_map(|n| add(n).err()).expect("too much");
            assert_eq!(refused.code_str(), "too_many_groups");
            assert!(refused.message().contains("67108864 bytes"), "{refused}");
        }
    }

    #[test]
    fn what_two_parts_held_is_held_once_when_they_are_one() {
        let grouping = grouping(&[Reduction::CountDistinct, Reduction::Sum, Reduction::Count]);
        let held = Held::default();
        let part = || {
            let mut groups = Groups::default();
            for n in 0..100u32 {
                let number = Value::Number(f64::from(n) + 0.1);
                take(&mut groups, &grouping, &(n % 10).to_be_bytes(), number, &held).expect("little");
            }
            groups
        };
        let mut first = part();
        let once = held.0.load(Ordering::Relaxed);
        for _ in 0..20 {
            first.merge(&grouping, part(), &held).expect("the same groups");
            assert_eq!(held.0.load(Ordering::Relaxed), once);
        }
    }
}
