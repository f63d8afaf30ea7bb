//! Choosing an index, first cut, by the shape of filter and sort alone: the longest prefix of equalities, then a range
//! on the field after them, then an order that saves sorting; without any of these the rows are walked by id.
//!
//! Indexes over lists hold several entries for a record, so no list is answered from them.

use std::cmp::Ordering;

use crate::id::RecordId;
use crate::model::query::{Comparator, Comparison, Operand, Plan, Query, SortKey};
use crate::model::schema::{Collection, Index};
use crate::model::value::Value;
use crate::state::key;

/// How to carry out a query.
pub fn plan(collection: &Collection, query: &Query) -> Plan {
    let order = total_order(&query.sort);
    let mut best = by_id(query, &order);
    if best.equal_fields > 0 {
        return best;
    }
    let worth = |plan: &Plan| (plan.equal_fields, plan.ranged, plan.ordered);
    for index in collection.indexes.iter().filter(|index| is_single_valued(collection, index)) {
        let plan = by_index(index, query, &order);
        if worth(&plan) > worth(&best) {
            best = plan;
        }
    }
    best
}

/// The sort keys up to the id, which is put behind them where they lack it.
pub(super) fn total_order(sort: &[SortKey]) -> Vec<SortKey> {
    let mut order: Vec<SortKey> = Vec::with_capacity(sort.len() + 1);
    for part in sort {
        if !order.iter().any(|earlier| earlier.operand == part.operand) {
            order.push(*part);
        }
        if part.operand == Operand::Id {
            return order;
        }
    }
    let descending = sort.last().is_some_and(|last| last.descending);
    order.push(SortKey { operand: Operand::Id, descending });
    order
}

fn is_single_valued(collection: &Collection, index: &Index) -> bool {
    let is_list = |part: &crate::model::schema::IndexField| {
        collection.field_by_id(part.field).is_none_or(|field| field.kind.is_list())
    };
    !index.fields.iter().any(is_list)
}

fn by_id(query: &Query, order: &[SortKey]) -> Plan {
    let equal = equality(query, Operand::Id);
    let range = Range::of(query, Operand::Id);
    let used = usize::from(equal.is_some()) + if equal.is_none() { range.used } else { 0 };
    let first = order.iter().find(|part| !is_fixed(query, part.operand));
    Plan {
        index: None,
        equal_fields: usize::from(equal.is_some()),
        ranged: equal.is_none() && range.used > 0,
        backwards: first.is_some_and(|part| part.operand == Operand::Id && part.descending),
        ordered: equal.is_some() || first.is_none_or(|part| part.operand == Operand::Id),
        covered: used == query.filter.len(),
    }
}

fn by_index(index: &Index, query: &Query, order: &[SortKey]) -> Plan {
    let operand = |at: usize| Operand::Field(index.fields[at].field);
    let equal_fields = (0..index.fields.len()).take_while(|at| equality(query, operand(*at)).is_some()).count();
    let range = if equal_fields < index.fields.len() { Range::of(query, operand(equal_fields)).used } else { 0 };
    let forwards = walks(index, query, order, false);
    let backwards = !forwards && walks(index, query, order, true);
    Plan {
        index: Some(index.id),
        equal_fields,
        ranged: range > 0,
        backwards,
        ordered: forwards || backwards,
        covered: equal_fields + range == query.filter.len(),
    }
}

/// Whether a walk along an index yields the order. What an equality fixes has no part in either.
fn walks(index: &Index, query: &Query, order: &[SortKey], backwards: bool) -> bool {
    let fields = index.fields.iter().map(|part| (Operand::Field(part.field), part.descending != backwards));
    let id = (Operand::Id, key::ends_descending(index) != backwards);
    let walk = fields.chain([id]).filter(|(operand, _)| !is_fixed(query, *operand));
    let wanted = order.iter().map(|part| (part.operand, part.descending));
    walk.eq(wanted.filter(|(operand, _)| !is_fixed(query, *operand)))
}

fn is_fixed(query: &Query, operand: Operand) -> bool {
    equality(query, operand).is_some()
}

fn equality(query: &Query, operand: Operand) -> Option<&Value> {
    let fixes = |one: &&Comparison| one.operand == operand && one.comparator == Comparator::Equal;
    query.filter.iter().find(fixes).map(|one| &one.value)
}

/// What comparisons leave of one operand's values, in ascending order.
#[derive(Default)]
struct Range<'a> {
    low: Option<(&'a Value, bool)>,
    high: Option<(&'a Value, bool)>,
    /// How many comparisons it stands for.
    used: usize,
    /// Whether nothing is left.
    empty: bool,
}

impl<'a> Range<'a> {
    fn of(query: &'a Query, operand: Operand) -> Range<'a> {
        let mut range = Range::default();
        for one in query.filter.iter().filter(|one| one.operand == operand) {
            range.narrow(one.comparator, &one.value);
        }
        // Null is in no range.
        if range.used > 0 && range.low.is_none() {
            range.low = Some((&Value::Null, false));
        }
        range
    }

    /// A bound is a value and whether it is itself within.
    fn narrow(&mut self, comparator: Comparator, value: &'a Value) {
        let (low, high) = match comparator {
            Comparator::Equal => return,
            Comparator::NotEqual if value.is_null() => (Some((value, false)), None),
            Comparator::NotEqual => return,
            _ if value.is_null() => {
                self.empty = true;
                (None, None)
            }
            Comparator::Less => (None, Some((value, false))),
            Comparator::LessOrEqual => (None, Some((value, true))),
            Comparator::Greater => (Some((value, false)), None),
            Comparator::GreaterOrEqual => (Some((value, true)), None),
        };
        self.used += 1;
        if let Some(low) = low {
            self.low = Some(tighter(self.low, low, Ordering::Greater));
        }
        if let Some(high) = high {
            self.high = Some(tighter(self.high, high, Ordering::Less));
        }
    }
}

fn tighter<'a>(old: Option<(&'a Value, bool)>, new: (&'a Value, bool), wins: Ordering) -> (&'a Value, bool) {
    match old {
        None => new,
        Some(old) => match new.0.order(old.0) {
            Ordering::Equal => (old.0, old.1 && new.1),
            order if order == wins => new,
            _ => old,
        },
    }
}

/// The keys that a plan walks: from, and before which.
pub(super) fn bounds(collection: &Collection, query: &Query, plan: &Plan) -> (Vec<u8>, Vec<u8>) {
    let Some(index) = plan.index.and_then(|id| collection.index(id)) else {
        return id_bounds(collection, query, plan);
    };
    let mut head = key::entry_head(collection, index.id);
    for part in &index.fields[..plan.equal_fields] {
        let value = equality(query, Operand::Field(part.field)).unwrap_or(&Value::Null);
        key::push_value(&mut head, value, part.descending);
    }
    if !plan.ranged {
        return key::range(head);
    }
    let part = &index.fields[plan.equal_fields];
    let range = Range::of(query, Operand::Field(part.field));
    let with = |value: &Value| {
        let mut key = head.clone();
        key::push_value(&mut key, value, part.descending);
        key
    };
    span(&range, &head, part.descending, with)
}

fn id_bounds(collection: &Collection, query: &Query, plan: &Plan) -> (Vec<u8>, Vec<u8>) {
    let (head, _) = key::rows(collection.id, collection.generation);
    let with = |value: &Value| [&head[..], value.as_text().unwrap_or_default().as_bytes()].concat();
    if plan.equal_fields > 0 {
        let id = equality(query, Operand::Id).and_then(Value::as_text).and_then(|text| RecordId::new(text).ok());
        let from = id.map(|id| key::row(collection.id, collection.generation, &id));
        return from.map_or_else(Default::default, |from| (from.clone(), key::behind(&from)));
    }
    if !plan.ranged {
        return key::range(head);
    }
    let range = Range::of(query, Operand::Id);
    if range.empty {
        return Default::default();
    }
    let behind = |value: &Value| key::behind(&with(value));
    let from = range.low.filter(|(value, _)| !value.is_null());
    let from = from.map_or(head.clone(), |(value, within)| if within { with(value) } else { behind(value) });
    let to = range.high.map_or(key::after(&head), |(value, within)| if within { behind(value) } else { with(value) });
    (from, to)
}

/// The span of keys of a range whose values end by themselves.
fn span(range: &Range<'_>, head: &[u8], descending: bool, with: impl Fn(&Value) -> Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    if range.empty {
        return Default::default();
    }
    let (first, last) = if descending { (range.high, range.low) } else { (range.low, range.high) };
    let from = match first {
        Some((value, true)) => with(value),
        Some((value, false)) => key::after(&with(value)),
        None => head.to_vec(),
    };
    let to = match last {
        Some((value, true)) => key::after(&with(value)),
        Some((value, false)) => with(value),
        None => key::after(head),
    };
    (from, to)
}

/// Whether a value satisfies a comparison. Of null only `= null`, and of anything else `!= null`, is true.
pub(super) fn holds(value: &Value, comparator: Comparator, literal: &Value) -> bool {
    if value.is_null() || literal.is_null() {
        let same = value.is_null() == literal.is_null();
        return match comparator {
            Comparator::Equal => same,
            Comparator::NotEqual => literal.is_null() && !same,
            _ => false,
        };
    }
    let order = value.order(literal);
    comparator.holds(order)
}
