//! Ways to walk along one index, or the rows.

use crate::id::FieldId;
use crate::limits;
use crate::model::expr::{Span, Spans};
use crate::model::query::{Operand, SortKey};
use crate::model::schema::{Collection, Index};
use crate::model::value::Value;
use crate::state::key;

use super::facts::{Fact, Facts, bit};
use super::{Order, Stretch, Walk, bounds};

/// A way to meet all matches.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) walks: Vec<Walk>,
    pub(super) order: Order,
    pub(super) covered: bool,
    pub(super) repeats: bool,
    /// The facts that it uses, as bits.
    pub(super) used: u64,
}

impl Candidate {
    /// Nothing matches.
    pub(super) fn nowhere() -> Candidate {
        Candidate { walks: Vec::new(), order: Order::Walked, covered: true, repeats: false, used: u64::MAX }
    }

    /// Fields held to single values, in the walk that has the fewest.
    pub(super) fn equal_fields(&self) -> usize {
        self.walks.iter().map(|walk| walk.equal_fields).min().unwrap_or(usize::MAX)
    }

    /// Whether it walks less than everything.
    pub(super) fn is_narrow(&self) -> bool {
        self.walks.iter().all(|walk| walk.equal_fields > 0 || walk.ranged)
    }

    pub(super) fn stretches(&self) -> usize {
        self.walks.iter().map(Walk::stretches).sum()
    }

    /// The better of two of which nothing else is known is the greater.
    pub(super) fn rank(&self) -> (usize, bool, Order, bool) {
        (self.equal_fields(), self.is_narrow(), self.order, self.covered)
    }
}

/// The rows, and each ready index that narrows the walk or yields the order.
pub(super) fn by_indexes(collection: &Collection, facts: &Facts<'_>, order: &[SortKey]) -> Vec<Candidate> {
    let mut candidates = vec![by_rows(collection, facts, order)];
    for index in collection.ready_indexes() {
        match list_field(collection, index) {
            Some(field) => candidates.extend(by_elements(collection, index, field, facts, order)),
            None => candidates.extend(by_index(collection, index, facts, order)),
        }
    }
    candidates
}

/// Without those that another is no worse than in all respects.
pub(super) fn undominated(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut left: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for one in candidates {
        if left.iter().any(|other| dominates(other, &one)) {
            continue;
        }
        left.retain(|other| !dominates(&one, other));
        left.push(one);
    }
    left
}

fn dominates(better: &Candidate, other: &Candidate) -> bool {
    let more = better.used & other.used == other.used;
    // Equal in all: the one that was there first, which is the definition's order.
    more && better.order >= other.order && better.covered >= other.covered
}

/// The list that an index is over, if it is one's.
fn list_field(collection: &Collection, index: &Index) -> Option<FieldId> {
    let is_list = |field: FieldId| collection.field_by_id(field).is_none_or(|field| field.kind.is_list());
    index.fields.iter().map(|part| part.field).find(|field| is_list(*field))
}

fn by_rows(collection: &Collection, facts: &Facts<'_>, order: &[SortKey]) -> Candidate {
    let singles: Vec<(Operand, &Value)> = facts.fixed().collect();
    let is_fixed = |operand: Operand| singles.iter().any(|(fixed, _)| *fixed == operand);
    let first = order.iter().find(|part| !is_fixed(part.operand));
    let backwards = first.is_some_and(|part| part.operand == Operand::Id && part.descending);
    let ordered = is_fixed(Operand::Id) || first.is_none_or(|part| part.operand == Operand::Id);
    let known = facts.within(Operand::Id);
    let everything = Spans::none().complement();
    let hull;
    let (spans, exact) = match known {
        Some((_, spans)) if spans.len() <= limits::PLAN_WALKS_MAX => (spans, true),
        Some((_, spans)) => {
            hull = spans.hull();
            (&hull, false)
        }
        None => (&everything, true),
    };
    let mut stretches = Vec::with_capacity(spans.len());
    for span in spans.iter() {
        let (from, to) = bounds::rows(collection, span);
        if from < to {
            stretches.push(Stretch { from, to, fixed: Vec::new() });
        }
    }
    if backwards {
        stretches.reverse();
    }
    let points = known.is_some_and(|(_, spans)| exact && spans.are_points());
    let used = known.map_or(0, |(at, _)| bit(at));
    Candidate {
        walks: vec![Walk {
            index: None,
            equal_fields: usize::from(points),
            ranged: known.is_some() && !points,
            backwards,
            fixed: owned(&singles),
            stretches,
        }],
        order: if ordered { Order::Walked } else { Order::Sorted },
        covered: exact && facts.are_decided_by(used),
        repeats: false,
        used,
    }
}

fn owned(fixed: &[(Operand, &Value)]) -> Vec<(Operand, Value)> {
    fixed.iter().map(|(operand, value)| (*operand, (*value).clone())).collect()
}

/// The leading fields of an index, each with the spans that it is held to.
struct Held<'f> {
    levels: Vec<(Operand, bool, Vec<&'f Span>)>,
    equal_fields: usize,
    ranged: bool,
    used: u64,
}

fn held<'f>(index: &Index, facts: &'f Facts<'_>) -> Held<'f> {
    let mut held = Held { levels: Vec::new(), equal_fields: 0, ranged: false, used: 0 };
    let mut product = 1;
    for part in &index.fields {
        let operand = Operand::Field(part.field);
        let Some((at, spans)) = facts.within(operand) else { break };
        if product * spans.len() > limits::PLAN_WALKS_MAX {
            break;
        }
        product *= spans.len();
        held.used |= bit(at);
        let mut spans_in_order: Vec<&Span> = spans.iter().collect();
        if part.descending {
            spans_in_order.reverse();
        }
        held.levels.push((operand, part.descending, spans_in_order));
        if !spans.are_points() {
            held.ranged = true;
            break;
        }
        held.equal_fields += 1;
    }
    held
}

fn by_index(collection: &Collection, index: &Index, facts: &Facts<'_>, order: &[SortKey]) -> Option<Candidate> {
    let held = held(index, facts);
    let singles: Vec<(Operand, &Value)> = facts.fixed().collect();
    let is_single = |operand: Operand| singles.iter().any(|(fixed, _)| *fixed == operand);
    let is_level = |operand: Operand| held.levels[..held.equal_fields].iter().any(|(of, ..)| *of == operand);
    let stretches = stretches(collection, index, &held);
    let way = |is_fixed: &dyn Fn(Operand) -> bool| {
        [false, true].into_iter().find(|backwards| yields(index, order, *backwards, is_fixed))
    };
    let (order, backwards) = if let Some(backwards) = way(&is_single) {
        (Order::Walked, backwards)
    } else if stretches.len() <= limits::PLAN_MERGED_MAX
        && let Some(backwards) = way(&|operand| is_single(operand) || is_level(operand))
    {
        (Order::Merged, backwards)
    } else {
        (Order::Sorted, false)
    };
    if held.levels.is_empty() && order == Order::Sorted {
        return None;
    }
    let mut walk = Walk {
        index: Some(index.id),
        equal_fields: held.equal_fields,
        ranged: held.ranged,
        backwards,
        fixed: owned(&singles),
        stretches,
    };
    if backwards {
        walk.stretches.reverse();
    }
    let covered = facts.are_decided_by(held.used);
    Some(Candidate { walks: vec![walk], order, covered, repeats: false, used: held.used })
}

/// One for each combination of what the leading fields are held to, in the order of the keys.
fn stretches(collection: &Collection, index: &Index, held: &Held<'_>) -> Vec<Stretch> {
    let mut heads = vec![(key::entry_head(collection, index.id), Vec::new())];
    for (operand, descending, points) in &held.levels[..held.equal_fields] {
        let mut longer = Vec::with_capacity(heads.len() * points.len());
        for (head, fixed) in &heads {
            for value in points.iter().filter_map(|span| span.point()) {
                let (mut head, mut fixed) = (head.clone(), fixed.clone());
                key::push_value(&mut head, value, *descending);
                if points.len() > 1 {
                    fixed.push((*operand, value.clone()));
                }
                longer.push((head, fixed));
            }
        }
        heads = longer;
    }
    let mut stretches = Vec::with_capacity(heads.len());
    for (head, fixed) in heads {
        match held.levels.get(held.equal_fields) {
            None => {
                let (from, to) = key::range(head);
                stretches.push(Stretch { from, to, fixed });
            }
            Some((_, descending, spans)) => {
                for span in spans {
                    let (from, to) = bounds::values(&head, span, *descending);
                    if from < to {
                        stretches.push(Stretch { from, to, fixed: fixed.clone() });
                    }
                }
            }
        }
    }
    stretches
}

/// Whether a walk along an index yields the order. What is fixed has no part in either.
fn yields(index: &Index, order: &[SortKey], backwards: bool, is_fixed: &dyn Fn(Operand) -> bool) -> bool {
    if is_fixed(Operand::Id) {
        return true;
    }
    let fields = index.fields.iter().map(|part| (Operand::Field(part.field), part.descending != backwards));
    let id = (Operand::Id, key::ends_descending(index) != backwards);
    let walk = fields.chain([id]).filter(|(operand, _)| !is_fixed(*operand));
    let wanted = order.iter().map(|part| (part.operand, part.descending));
    walk.eq(wanted.filter(|(operand, _)| !is_fixed(*operand)))
}

/// An index over a list, which has an entry for each different element: none for an empty list, so it yields no order of
/// everything.
fn by_elements(
    collection: &Collection,
    index: &Index,
    list: FieldId,
    facts: &Facts<'_>,
    order: &[SortKey],
) -> Vec<Candidate> {
    let [only] = index.fields.as_slice() else { return Vec::new() };
    let of_list = facts.iter().filter_map(|(at, fact)| match fact {
        Fact::Element(field, spans, exact) if *field == list && spans.len() <= limits::PLAN_WALKS_MAX => {
            Some((at, spans, *exact))
        }
        _ => None,
    });
    let singles: Vec<(Operand, &Value)> = facts.fixed().collect();
    let is_fixed =
        |operand: Operand| operand == Operand::Field(list) || singles.iter().any(|(fixed, _)| *fixed == operand);
    let head = key::entry_head(collection, index.id);
    let make = |(at, spans, exact): (usize, &std::borrow::Cow<'_, Spans>, bool)| {
        let stretch = |span: &Span| {
            let (from, to) = bounds::values(&head, span, only.descending);
            let element = span.point().map(|value| (Operand::Field(list), value.clone()));
            Stretch { from, to, fixed: element.into_iter().collect() }
        };
        let stretches: Vec<Stretch> = spans.iter().map(stretch).filter(|one| one.from < one.to).collect();
        let points = spans.are_points();
        let way = [false, true].into_iter().find(|backwards| yields(index, order, *backwards, &is_fixed));
        let (order, backwards) = match way {
            Some(backwards) if points && stretches.len() == 1 => (Order::Walked, backwards),
            Some(backwards) if points && stretches.len() <= limits::PLAN_MERGED_MAX => (Order::Merged, backwards),
            _ => (Order::Sorted, false),
        };
        Candidate {
            repeats: !points || stretches.len() > 1,
            walks: vec![Walk {
                index: Some(index.id),
                equal_fields: usize::from(points),
                ranged: !points,
                backwards,
                fixed: owned(&singles),
                stretches,
            }],
            order,
            covered: exact && facts.are_decided_by(bit(at)),
            used: bit(at),
        }
    };
    of_list.map(make).collect()
}
