//! Evaluation: a walk over the compiled tree, as deep as the tree is, of at most `limits::EXPRESSION_STEPS_MAX` steps.
//!
//! A node of the tree is visited once, and the text is bounded, so only what depends on the record is counted: elements,
//! other records, bytes searched or made.

use std::cell::Cell;

use crate::limits;
use crate::model::query::Comparator;
use crate::model::value::Value;

use super::dates;
use super::dig::dig;
use super::input::{Exhausted, Input, Relations, Row};
use super::node::{Compare, From, LikePattern, LikeTest, Node};
use super::operand::{Operand, Standing, ordered};
use super::tree::{Arithmetic, Sign};
use super::types::Scalar;

/// Bytes that cost a step. A regular expression counts for itself.
const STEP_BYTES: usize = 64;

/// One evaluation.
pub(super) struct Machine<'v> {
    pub(super) row: Row<'v>,
    pub(super) input: &'v Input<'v>,
    pub(super) relations: &'v dyn Relations,
    /// What it began with.
    steps: usize,
    left: Cell<usize>,
}

impl<'v> Machine<'v> {
    pub(super) fn new(row: Row<'v>, input: &'v Input<'v>, relations: &'v dyn Relations) -> Machine<'v> {
        let steps = relations.steps().min(limits::EXPRESSION_STEPS_MAX);
        Machine { row, input, relations, steps, left: Cell::new(steps) }
    }

    /// Says what it took. An evaluation that asks for nothing is a step as well.
    pub(super) fn done(&self) {
        self.relations.spent(1 + self.steps - self.left.get());
    }

    pub(super) fn spend(&self, steps: usize) -> Result<(), Exhausted> {
        self.left.set(self.left.get().checked_sub(steps).ok_or(Exhausted)?);
        Ok(())
    }

    pub(super) fn spend_bytes(&self, bytes: usize) -> Result<(), Exhausted> {
        self.spend(bytes / STEP_BYTES)
    }

    /// Whether a condition holds; null does not.
    pub(super) fn truth(&self, node: &'v Node) -> Result<bool, Exhausted> {
        Ok(match node {
            Node::Test(field, comparator, constant) => match self.row.fields.get(*field) {
                Value::Null => false,
                stored => ordered(*comparator, stored.order(constant)),
            },
            Node::All(parts) => {
                for part in parts {
                    if !self.truth(part)? {
                        return Ok(false);
                    }
                }
                true
            }
            Node::Any(parts) => {
                for part in parts {
                    if self.truth(part)? {
                        return Ok(true);
                    }
                }
                false
            }
            Node::Not(inner) => !self.truth(inner)?,
            Node::Compare(compare) => self.compare(compare)?,
            Node::IsNull { of, any, negated } => is_null(&self.value(of)?, *any, *negated),
            Node::Like(test) => self.like(test)?,
            Node::OneOf(left, constants) => {
                let left = self.value(left)?;
                !left.is_null() && is_among(&left, constants)
            }
            Node::In(left, right) => self.is_in(left, right)?,
            Node::Matches(text, pattern) => match self.value(text)? {
                Operand::Text(text) => {
                    let mut left = self.left.get();
                    let matches = pattern.matches(&text, &mut left);
                    self.left.set(left);
                    matches.map_err(|_| Exhausted)?
                }
                _ => false,
            },
            Node::IsSetInBody(name) => self.input.body.iter().any(|(key, _)| key == name),
            Node::IsSetInQuery(name) => self.input.query.iter().any(|(key, _)| key == name),
            Node::Changed(field) => {
                let before = self.input.old.map_or(&Value::Null, |old| old.get(*field));
                self.row.fields.get(*field) != before
            }
            Node::ChangedByBody(name, field) => {
                let stored = self.input.old.unwrap_or(self.row.fields).get(*field);
                self.input.body.iter().any(|(key, sent)| key == name && sent.order(stored).is_ne())
            }
            other => self.value(other)? == Operand::Bool(true),
        })
    }

    /// The value of a node.
    pub(super) fn value(&self, node: &'v Node) -> Result<Operand<'v>, Exhausted> {
        Ok(match node {
            Node::Constant(value) => Operand::lent(value),
            Node::Track(From::Row, track) => self.track(self.row, track)?,
            Node::Track(From::Old, track) => match self.input.old {
                Some(fields) => self.track(Row { id: self.row.id, fields }, track)?,
                None => Operand::Null,
            },
            Node::Caller(tracks) => match self.input.caller {
                Some(caller) => match tracks.iter().find(|(collection, _)| *collection == caller.collection) {
                    Some((_, track)) => self.track(caller.record, track)?,
                    None if tracks.is_empty() => Operand::Text(caller.record.id.into()),
                    None => Operand::Null,
                },
                None => Operand::Null,
            },
            Node::Body(name, keys) => {
                let sent = self.input.body.iter().find(|(key, _)| key == name);
                let sent = sent.map_or(Operand::Null, |(_, value)| Operand::lent(value));
                if let Operand::Json(text) = &sent {
                    self.spend_bytes(text.len() * keys.len())?;
                }
                dig(sent, keys)
            }
            Node::Query(name) => {
                let given = self.input.query.iter().find(|(key, _)| key == name);
                given.map_or(Operand::Null, |(_, text)| Operand::Text((&**text).into()))
            }
            Node::Method => Operand::Text(self.input.method.into()),
            Node::Lookup(lookup) => match self.value(&lookup.key)? {
                Operand::Text(id) => self.looked_up(lookup.collection, &id, &lookup.track)?,
                _ => Operand::Null,
            },
            Node::Moment(which) => dates::moment(*which, self.input.now),
            Node::List(items) => Operand::List(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?),
            Node::Negate(inner) => match self.value(inner)? {
                Operand::Int(int) => int.checked_neg().map_or(Operand::Number(-(int as f64)), Operand::Int),
                Operand::Number(number) => Operand::number(-number),
                _ => Operand::Null,
            },
            Node::Chain(first, rest) => {
                let mut total = self.value(first)?;
                for (operator, next) in rest {
                    total = self.arithmetic(*operator, total, self.value(next)?)?;
                }
                total
            }
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            Node::Read(wanted, inner) => read(*wanted, self.value(inner)?),
            condition => Operand::Bool(self.truth(condition)?),
        })
    }

    fn compare(&self, compare: &'v Compare) -> Result<bool, Exhausted> {
        let (left, right) = (self.value(&compare.left)?, self.value(&compare.right)?);
        if !left.is_list() && !right.is_list() {
            return Ok(left.stands(&right).holds(compare.comparator));
        }
        let wholes = compare.whole && left.is_list() && right.is_list();
        let (left, right) = (self.elements(left)?, self.elements(right)?);
        if wholes && !compare.any {
            let same = left.len() == right.len()
                && left.iter().zip(&right).all(|(a, b)| a.stands(b) == Standing::Ordered(std::cmp::Ordering::Equal));
            return Ok(match compare.comparator {
                Comparator::Equal => same,
                Comparator::NotEqual => !same,
                _ => false,
            });
        }
        self.spend(left.len().saturating_mul(right.len()))?;
        let mut pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
        let holds = |(a, b): (&Operand<'_>, &Operand<'_>)| a.stands(b).holds(compare.comparator);
        Ok(if compare.any { pairs.any(holds) } else { !left.is_empty() && !right.is_empty() && pairs.all(holds) })
    }

    fn elements(&self, of: Operand<'v>) -> Result<Vec<Operand<'v>>, Exhausted> {
        if let Operand::Json(text) = &of {
            self.spend_bytes(text.len())?;
        }
        let items = of.each();
        self.spend(items.len())?;
        Ok(items)
    }

    fn like(&self, test: &'v LikeTest) -> Result<bool, Exhausted> {
        let made;
        let pattern = match &test.pattern {
            LikePattern::Ready(pattern) => pattern,
            LikePattern::Made(node) => {
                let text = self.value(node)?;
                let Some(text) = text.shown() else { return Ok(false) };
                self.spend_bytes(text.len())?;
                made = super::like::Like::new(&text);
                &made
            }
        };
        let negated = test.sign == Sign::NotLike;
        let holds = |value: &Operand<'_>| -> Result<bool, Exhausted> {
            let Some(text) = value.shown() else { return Ok(false) };
            self.spend_bytes(text.len())?;
            Ok(pattern.matches(&text) != negated)
        };
        let left = self.value(&test.left)?;
        if !left.is_list() {
            return holds(&left);
        }
        let left = self.elements(left)?;
        // A list as it is contains a text if an element does, and contains it not if none does.
        let any = test.any || (!test.spread && !negated);
        for value in &left {
            if holds(value)? == any {
                return Ok(any);
            }
        }
        Ok(!any && !left.is_empty())
    }

    fn is_in(&self, left: &'v Node, right: &'v Node) -> Result<bool, Exhausted> {
        let left = self.elements(self.value(left)?)?;
        let right = self.elements(self.value(right)?)?;
        self.spend(left.len().saturating_mul(right.len()))?;
        let found = |a: &Operand<'_>| right.iter().any(|b| a.stands(b).holds(Comparator::Equal));
        Ok(!left.is_empty() && left.iter().all(found))
    }

    fn arithmetic(
        &self,
        operator: Arithmetic,
        left: Operand<'v>,
        right: Operand<'v>,
    ) -> Result<Operand<'v>, Exhausted> {
        if let (Operand::Text(left), Operand::Text(right), Arithmetic::Add) = (&left, &right, operator) {
            self.spend_bytes(left.len() + right.len())?;
            return Ok(Operand::text([&**left, right].concat()));
        }
        Ok(calculate(operator, &left, &right))
    }
}

/// Whole numbers stay whole as far as 64 bits hold them; what has no result is null.
fn calculate<'v>(operator: Arithmetic, left: &Operand<'_>, right: &Operand<'_>) -> Operand<'v> {
    if let (Operand::Int(left), Operand::Int(right)) = (left, right) {
        let exact = match operator {
            Arithmetic::Add => left.checked_add(*right),
            Arithmetic::Subtract => left.checked_sub(*right),
            Arithmetic::Multiply => left.checked_mul(*right),
            Arithmetic::Remainder if *right != 0 => Some(left.wrapping_rem(*right)),
            Arithmetic::Remainder => return Operand::Null,
            Arithmetic::Divide => None,
        };
        if let Some(exact) = exact {
            return Operand::Int(exact);
        }
    }
    let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else { return Operand::Null };
    // Division by zero is not finite, and so null.
    Operand::number(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    })
}

/// `= null` and `!= null`; of a list, what its elements are.
fn is_null(value: &Operand<'_>, any: bool, negated: bool) -> bool {
    if value.is_null() {
        return !negated;
    }
    if !value.is_list() {
        return negated;
    }
    let items = value.clone().each();
    if items.is_empty() {
        return !negated;
    }
    let holds = |item: &Operand<'_>| item.is_null() != negated;
    if any { items.iter().any(holds) } else { items.iter().all(holds) }
}

fn is_among(value: &Operand<'_>, sorted: &[Value]) -> bool {
    let order = |constant: &Value| match Operand::lent(constant).stands(value) {
        Standing::Ordered(order) => order,
        Standing::Unknown | Standing::Unlike => std::cmp::Ordering::Less,
    };
    sorted.binary_search_by(order).is_ok()
}

/// A text of the request as a number, a truth or a date; null where it is none.
fn read(wanted: Scalar, given: Operand<'_>) -> Operand<'_> {
    let Operand::Text(text) = &given else { return given };
    match wanted {
        Scalar::Number => match text.trim().parse() {
            Ok(int) => Operand::Int(int),
            Err(_) => text.trim().parse().map_or(Operand::Null, Operand::number),
        },
        Scalar::Bool => match &**text {
            "true" | "1" => Operand::Bool(true),
            "false" | "0" => Operand::Bool(false),
            _ => Operand::Null,
        },
        Scalar::Date => given.as_date().map_or(Operand::Null, Operand::Date),
        Scalar::Null | Scalar::Text | Scalar::Any => given,
    }
}
