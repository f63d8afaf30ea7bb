//! The parts of a shape, sorted by what a walk can make of them.

use std::borrow::Cow;

use crate::id::FieldId;
use crate::model::expr::{Hop, Shape, Spans};
use crate::model::query::Operand;

/// What holds of all matches, all of it at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts<'a> {
    list: Vec<Fact<'a>>,
}

#[derive(Clone, Debug)]
pub(super) enum Fact<'a> {
    /// A single value lies in these.
    Within(Operand, Cow<'a, Spans>),
    /// Some element of a list does; `true` if that is all.
    Element(FieldId, Cow<'a, Spans>, bool),
    /// Derived from another fact, which says more.
    Over(&'a Hop, &'a Shape),
    Branches(&'a [Shape]),
    Open,
}

impl<'a> Facts<'a> {
    pub(super) fn of(parts: &'a [Shape]) -> Facts<'a> {
        let mut facts = Facts::default();
        facts.add(parts);
        facts
    }

    /// Adds more that holds as well. Returns whether anything can still match.
    pub(super) fn add(&mut self, parts: &'a [Shape]) -> bool {
        for part in parts {
            self.list.push(match part {
                Shape::Never => return false,
                Shape::Within { operand, spans } => {
                    if !self.derive(Fact::Within(*operand, Cow::Borrowed(spans))) {
                        return false;
                    }
                    continue;
                }
                Shape::Element { field, spans, exact } => Fact::Element(*field, Cow::Borrowed(spans), *exact),
                Shape::Over { hop, shape } => Fact::Over(hop, shape),
                Shape::Any(branches) => Fact::Branches(branches),
                Shape::Always => continue,
                Shape::All(_) | Shape::Opaque => Fact::Open,
            });
        }
        true
    }

    /// All but one.
    pub(super) fn without(&self, at: usize) -> Facts<'a> {
        let mut rest = self.clone();
        rest.list.remove(at);
        rest
    }

    /// Adds what follows from another fact, or holds as well. Returns whether anything can still match.
    pub(super) fn derive(&mut self, fact: Fact<'a>) -> bool {
        match &fact {
            Fact::Within(_, spans) | Fact::Element(_, spans, _) if spans.is_empty() => return false,
            Fact::Within(operand, spans) => {
                if let Some(known) = self.within(*operand) {
                    let common = known.1.intersection(spans);
                    let at = known.0;
                    if common.is_empty() {
                        return false;
                    }
                    self.list[at] = Fact::Within(*operand, Cow::Owned(common));
                    return true;
                }
            }
            _ => {}
        }
        self.list.push(fact);
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Fact<'a>)> {
        self.list.iter().enumerate()
    }

    pub(super) fn get(&self, at: usize) -> &Fact<'a> {
        &self.list[at]
    }

    /// What an operand lies in, and which fact that is.
    pub(super) fn within(&self, operand: Operand) -> Option<(usize, &Spans)> {
        self.iter().find_map(|(at, fact)| match fact {
            Fact::Within(of, spans) if *of == operand => Some((at, &**spans)),
            _ => None,
        })
    }

    /// Facts that have branches.
    pub(super) fn branchings(&self) -> impl Iterator<Item = usize> {
        self.iter().filter(|(_, fact)| matches!(fact, Fact::Branches(_))).map(|(at, _)| at)
    }

    /// The operands with one possible value.
    pub(super) fn fixed(&self) -> impl Iterator<Item = (Operand, &crate::model::value::Value)> {
        self.list.iter().filter_map(|fact| match fact {
            Fact::Within(operand, spans) => spans.single().map(|value| (*operand, value)),
            _ => None,
        })
    }

    /// Whether these facts alone decide all.
    pub(super) fn are_decided_by(&self, used: u64) -> bool {
        let decides = |(at, fact): (usize, &Fact<'_>)| match fact {
            Fact::Within(..) | Fact::Element(_, _, true) => used & bit(at) != 0,
            Fact::Element(_, _, false) | Fact::Over(..) | Fact::Branches(_) | Fact::Open => false,
        };
        self.iter().all(decides)
    }
}

/// A fact in a set of facts; those behind the 63rd are never in one.
pub(super) fn bit(at: usize) -> u64 {
    if at < 63 { 1 << at } else { 0 }
}
