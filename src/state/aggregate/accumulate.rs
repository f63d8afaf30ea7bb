//! What a measure keeps of the records of a group. Two of them merge to what one of all records would be, in any order:
//! sums are exact, and where several values would do the choice is by their order or by records' ids.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::exact::ExactSum;
use crate::id::RecordId;
use crate::model::aggregate::Reduction;
use crate::model::value::Value;
use crate::state::key;

/// One measure of one group.
#[derive(Clone, Debug)]
pub(super) enum Accumulator {
    Count(u64),
    Total(Total),
    Moments(Box<Moments>),
    /// Null until there is one.
    Extreme(Value),
    Edge(Option<Box<(RecordId, Value)>>),
    Distinct(HashSet<Box<[u8]>>),
    Sample(Vec<Value>),
}

/// A sum, and of how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    whole: i128,
    /// Those that are not whole numbers.
    floats: Option<Box<ExactSum>>,
    count: u64,
}

/// What a deviation is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments {
    sum: ExactSum,
    squares: ExactSum,
    count: u64,
}

/// What an entry of a set takes beside its bytes.
const SET_ENTRY_BYTES: usize = 32;

impl Accumulator {
    pub(super) fn new(reduction: Reduction) -> Accumulator {
        match reduction {
            Reduction::Count => Accumulator::Count(0),
            Reduction::Sum | Reduction::Avg => Accumulator::Total(Total::default()),
            Reduction::Stddev => Accumulator::Moments(Box::default()),
            Reduction::Min | Reduction::Max | Reduction::Any => Accumulator::Extreme(Value::Null),
            Reduction::First | Reduction::Last => Accumulator::Edge(None),
            Reduction::CountDistinct => Accumulator::Distinct(HashSet::new()),
            Reduction::Percentile(_) => Accumulator::Sample(Vec::new()),
        }
    }

    /// One more record, of those that are counted without a value.
    pub(super) fn count(&mut self) {
        if let Accumulator::Count(count) = self {
            *count += 1;
        }
    }

    /// One more value, which is not null, of the record of that id. Bytes that are held for it.
    pub(super) fn take(&mut self, reduction: Reduction, value: &Value, id: &RecordId, room: &mut Vec<u8>) -> usize {
        match self {
            Accumulator::Count(count) => *count += 1,
            Accumulator::Total(total) => return total.take(value),
            Accumulator::Moments(moments) => return moments.take(value),
            Accumulator::Extreme(best) => {
                if best.is_null() || is_better(reduction, value, best) {
                    let before = best.text_bytes();
                    *best = value.clone();
                    return best.text_bytes().saturating_sub(before);
                }
            }
            Accumulator::Edge(edge) => {
                let is_edge = edge.as_ref().is_none_or(|edge| is_beyond(reduction, id, &edge.0));
                if is_edge {
                    let before = edge.as_ref().map_or(0, |edge| edge_bytes(edge));
                    let edge = edge.insert(Box::new((id.clone(), value.clone())));
                    return edge_bytes(edge).saturating_sub(before);
                }
            }
            Accumulator::Distinct(set) => {
                room.clear();
                key::push_value(room, value, false);
                if !set.contains(&room[..]) {
                    set.insert(room[..].into());
                    return SET_ENTRY_BYTES + room.len();
                }
            }
            Accumulator::Sample(values) => {
                values.push(value.clone());
                return size_of::<Value>() + value.text_bytes();
            }
        }
        0
    }

    /// Takes in what another kept of other records of the group. Both are of this reduction. Bytes that both held and one
    /// does not.
    pub(super) fn merge(&mut self, reduction: Reduction, other: Accumulator) -> usize {
        match (self, other) {
            (Accumulator::Count(count), Accumulator::Count(more)) => *count += more,
            (Accumulator::Total(total), Accumulator::Total(more)) => return total.merge(more),
            (Accumulator::Moments(moments), Accumulator::Moments(more)) => {
                moments.sum.merge(more.sum);
                moments.squares.merge(more.squares);
                moments.count += more.count;
            }
            (Accumulator::Extreme(best), Accumulator::Extreme(other))
                if !other.is_null() && (best.is_null() || is_better(reduction, &other, best)) =>
            {
                *best = other;
            }
            (Accumulator::Edge(edge), Accumulator::Edge(Some(other)))
                if edge.as_ref().is_none_or(|edge| is_beyond(reduction, &other.0, &edge.0)) =>
            {
                *edge = Some(other);
            }
            (Accumulator::Distinct(set), Accumulator::Distinct(mut other)) => {
                if other.len() > set.len() {
                    std::mem::swap(set, &mut other);
                }
                let twice = other.into_iter().filter_map(|entry| {
                    let bytes = SET_ENTRY_BYTES + entry.len();
                    (!set.insert(entry)).then_some(bytes)
                });
                return twice.sum();
            }
            (Accumulator::Sample(values), Accumulator::Sample(mut other)) => values.append(&mut other),
            // Of one reduction both are of one kind; of an extreme or an edge the one that is kept is there already.
            _ => {}
        }
        0
    }

    /// What it has come to.
    pub(super) fn finish(self, reduction: Reduction) -> Value {
        match (self, reduction) {
            (Accumulator::Count(count), _) => whole(count),
            (Accumulator::Total(total), Reduction::Avg) => total.average(),
            (Accumulator::Total(total), _) => total.sum(),
            (Accumulator::Moments(moments), _) => moments.deviation(),
            (Accumulator::Extreme(best), _) => canonical(best),
            (Accumulator::Edge(edge), _) => edge.map_or(Value::Null, |edge| edge.1),
            (Accumulator::Distinct(set), _) => whole(set.len() as u64),
            (Accumulator::Sample(values), Reduction::Percentile(percent)) => nearest_rank(values, percent),
            (Accumulator::Sample(_), _) => Value::Null,
        }
    }
}

fn whole(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn edge_bytes(edge: &(RecordId, Value)) -> usize {
    size_of::<(RecordId, Value)>() + edge.0.as_str().len() + edge.1.text_bytes()
}

fn is_better(reduction: Reduction, value: &Value, best: &Value) -> bool {
    let wanted = if reduction == Reduction::Max { Ordering::Greater } else { Ordering::Less };
    value.order(best) == wanted
}

fn is_beyond(reduction: Reduction, id: &RecordId, edge: &RecordId) -> bool {
    if reduction == Reduction::Last { id > edge } else { id < edge }
}

/// Of equal numbers the same one, whichever was met: the whole one, where there is one.
fn canonical(value: Value) -> Value {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Number(number) if number.trunc() == number && (-TWO_63..TWO_63).contains(&number) => {
            Value::Int(number as i64)
        }
        other => other,
    }
}

/// What no finite float is, is null, as in expressions.
fn number(number: f64) -> Value {
    if number.is_finite() { Value::Number(number + 0.0) } else { Value::Null }
}

/// The least value that at least `percent` of all are not above.
fn nearest_rank(mut values: Vec<Value>, percent: f64) -> Value {
    let Some(last) = values.len().checked_sub(1) else { return Value::Null };
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    let at = rank.saturating_sub(1).min(last);
    let (_, found, _) = values.select_nth_unstable_by(at, Value::order);
    canonical(std::mem::replace(found, Value::Null))
}

impl Total {
    fn take(&mut self, value: &Value) -> usize {
        match value {
            Value::Int(whole) => {
                // 2^63 of them would be needed to leave 128 bits.
                self.whole += i128::from(*whole);
                self.count += 1;
                0
            }
            Value::Number(number) => {
                let floats = self.floats.get_or_insert_default();
                let before = floats.bytes();
                floats.add(*number);
                self.count += 1;
                let first = if before == 0 { size_of::<ExactSum>() } else { 0 };
                first + floats.bytes() - before
            }
            // Of json, what is no number.
            _ => 0,
        }
    }

    fn merge(&mut self, other: Total) -> usize {
        self.whole += other.whole;
        self.count += other.count;
        match (&mut self.floats, other.floats) {
            (Some(floats), Some(more)) => {
                let bytes = size_of::<ExactSum>() + more.bytes();
                floats.merge(*more);
                bytes
            }
            (mine, more) => {
                *mine = mine.take().or(more);
                0
            }
        }
    }

    fn sum(self) -> Value {
        match (&self.floats, i64::try_from(self.whole)) {
            (None, Ok(whole)) => Value::Int(whole),
            _ => number(self.exact().to_f64()),
        }
    }

    fn average(self) -> Value {
        let count = self.count as f64;
        if self.count == 0 { Value::Null } else { number(self.exact().to_f64() / count) }
    }

    fn exact(self) -> ExactSum {
        let mut sum = self.floats.map_or(ExactSum::default(), |floats| *floats);
        sum.add_whole(self.whole);
        sum
    }
}

impl Moments {
    fn take(&mut self, value: &Value) -> usize {
        let before = self.sum.bytes() + self.squares.bytes();
        match value {
            Value::Int(whole) => {
                self.sum.add_whole(i128::from(*whole));
                let magnitude = u128::from(whole.unsigned_abs());
                self.squares.add_scaled(magnitude * magnitude, 0, false);
            }
            Value::Number(number) => {
                self.sum.add(*number);
                self.squares.add_square(*number);
            }
            _ => return 0,
        }
        self.count += 1;
        self.sum.bytes() + self.squares.bytes() - before
    }

    fn deviation(&self) -> Value {
        if self.count < 2 { Value::Null } else { number(self.sum.deviation(&self.squares, self.count)) }
    }
}
