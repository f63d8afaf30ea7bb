//! What a condition says of where its records lie, for a planner: which spans of which fields, and how those join.
//!
//! Invariant: a record of which the condition holds is within the shape. Where [`Shape::is_exact`], a record within the
//! shape is also one of which the condition holds; else the condition itself must be asked.

use crate::id::FieldId;
use crate::model::query::{Comparator, Operand};
use crate::model::schema::{Collection, Field, Schema};
use crate::model::value::{Fields, Value};

use super::eval::Machine;
use super::functions::Function;
use super::input::{Input, Relations, Row};
use super::node::{End, From, Hop, Node, Track};
use super::program::Program;
use super::spans::{Spans, compared};

/// Spans of one field that joining by "and" may make: more are left to be asked of the record.
const JOINED_SPANS_MAX: usize = 64;

/// Where the records of a condition lie.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Anywhere, and it holds of all.
    Always,
    /// Nowhere.
    Never,
    /// In all of these; none of them is an `All`.
    All(Vec<Shape>),
    /// In any of these; none of them is an `Any`.
    Any(Vec<Shape>),
    /// Where a single value lies so.
    Within {
        /// Of the record.
        operand: Operand,
        /// In which of them it holds.
        spans: Spans,
    },
    /// Where some element of a list lies so.
    Element {
        /// The list.
        field: FieldId,
        /// For an element.
        spans: Spans,
        /// Whether that is all that is asked.
        exact: bool,
    },
    /// Where a relation leads to a record that lies so. More may be asked.
    Over {
        /// The step.
        hop: Hop,
        /// Of the record there.
        shape: Box<Shape>,
    },
    /// Anywhere: the record must be asked.
    Opaque,
}

impl Shape {
    /// Whether the shape decides the condition.
    pub fn is_exact(&self) -> bool {
        match self {
            Shape::Always | Shape::Never | Shape::Within { .. } => true,
            Shape::All(parts) | Shape::Any(parts) => parts.iter().all(Shape::is_exact),
            Shape::Element { exact, .. } => *exact,
            Shape::Over { .. } | Shape::Opaque => false,
        }
    }

    /// The parts that all hold.
    pub fn parts(&self) -> &[Shape] {
        match self {
            Shape::Always => &[],
            Shape::All(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    /// In all of these.
    pub fn all(parts: impl IntoIterator<Item = Shape>) -> Shape {
        let mut joined: Vec<Shape> = Vec::new();
        for part in parts {
            match part {
                Shape::All(inner) => inner.into_iter().for_each(|one| also(&mut joined, one)),
                one => also(&mut joined, one),
            }
        }
        match joined.len() {
            _ if joined.contains(&Shape::Never) => Shape::Never,
            0 => Shape::Always,
            1 => joined.remove(0),
            _ => Shape::All(joined),
        }
    }

    /// In any of these.
    pub fn any(parts: impl IntoIterator<Item = Shape>) -> Shape {
        let mut branches: Vec<Shape> = Vec::new();
        let mut within: Vec<(Operand, Vec<Spans>)> = Vec::new();
        for part in parts {
            let inner = if let Shape::Any(inner) = part { inner } else { vec![part] };
            for one in inner {
                match one {
                    Shape::Never => {}
                    Shape::Always => return Shape::Always,
                    Shape::Within { operand, spans } => match within.iter_mut().find(|(other, _)| *other == operand) {
                        Some((_, sets)) => sets.push(spans),
                        None => within.push((operand, vec![spans])),
                    },
                    other => branches.push(other),
                }
            }
        }
        branches.extend(within.into_iter().map(|(operand, sets)| placed(operand, Spans::union(sets))));
        match branches.len() {
            _ if branches.contains(&Shape::Opaque) => Shape::Opaque,
            _ if branches.contains(&Shape::Always) => Shape::Always,
            0 => Shape::Never,
            1 => branches.remove(0),
            _ => Shape::Any(branches),
        }
    }
}

fn placed(operand: Operand, spans: Spans) -> Shape {
    match spans {
        none if none.is_empty() => Shape::Never,
        all if all.is_all() => Shape::Always,
        spans => Shape::Within { operand, spans },
    }
}

/// Joins one more part that must hold; two of one operand become one.
fn also(parts: &mut Vec<Shape>, part: Shape) {
    match part {
        Shape::Always => {}
        Shape::Opaque if parts.contains(&Shape::Opaque) => {}
        Shape::Within { operand, spans } => {
            let same = parts.iter_mut().find_map(|other| match other {
                Shape::Within { operand: of, spans } if *of == operand => Some(spans),
                _ => None,
            });
            let Some(known) = same else {
                parts.push(Shape::Within { operand, spans });
                return;
            };
            let common = known.intersection(&spans);
            if common.is_empty() {
                parts.push(Shape::Never);
            } else if common.len() <= JOINED_SPANS_MAX || common.len() <= known.len() {
                *known = common;
            } else {
                also(parts, Shape::Opaque);
            }
        }
        other => parts.push(other),
    }
}

impl Program {
    /// Where the records of which it holds lie. What doesn't depend on the record is evaluated now, with `input` and
    /// `relations`, and must be the same when the program is evaluated.
    pub fn shape(
        &self,
        schema: &Schema,
        collection: &Collection,
        input: &Input<'_>,
        relations: &dyn Relations,
    ) -> Shape {
        let fields = Fields::new();
        let machine = Machine::new(Row { id: "", fields: &fields }, input, relations);
        Analysis { schema, collection, machine }.shape(self.root(), false)
    }
}

struct Analysis<'a> {
    schema: &'a Schema,
    collection: &'a Collection,
    machine: Machine<'a>,
}

impl<'a> Analysis<'a> {
    /// As deep as the tree is.
    fn shape(&self, node: &'a Node, negated: bool) -> Shape {
        match node {
            Node::Not(inner) => self.shape(inner, !negated),
            Node::All(parts) | Node::Any(parts) => {
                let parts = parts.iter().map(|part| self.shape(part, negated));
                if matches!(node, Node::All(_)) != negated { Shape::all(parts) } else { Shape::any(parts) }
            }
            node if is_fixed(node) => match self.machine.truth(node) {
                Ok(holds) if holds != negated => Shape::Always,
                Ok(_) => Shape::Never,
                Err(_) => Shape::Opaque,
            },
            Node::Test(field, comparator, value) => {
                let kind = self.collection.field_by_id(*field).map(|field| &field.kind);
                match compared(kind, *comparator, value) {
                    Some(spans) if negated => placed(Operand::Field(*field), spans.complement()),
                    Some(spans) => placed(Operand::Field(*field), spans),
                    None => Shape::Opaque,
                }
            }
            Node::Compare(compare) => {
                let (track, comparator, fixed) = match (&compare.left, &compare.right) {
                    (Node::Track(From::Row, track), fixed) if is_fixed(fixed) => (track, compare.comparator, fixed),
                    (fixed, Node::Track(From::Row, track)) if is_fixed(fixed) => {
                        (track, compare.comparator.mirrored(), fixed)
                    }
                    _ => return Shape::Opaque,
                };
                match self.value(fixed) {
                    // All pairs are compared, so any of them will do.
                    Some(Value::List(items)) if compare.any => self.of_track(track, negated, true, |field| {
                        sets(&items, |item| compared(field.map(|field| &field.kind), comparator, item))
                    }),
                    Some(value) => self.of_track(track, negated, compare.any, |field| {
                        compared(field.map(|field| &field.kind), comparator, &value)
                    }),
                    None => Shape::Opaque,
                }
            }
            Node::OneOf(left, constants) => match &**left {
                Node::Track(From::Row, track) => self.among(track, constants, negated),
                _ => Shape::Opaque,
            },
            Node::In(left, right) => self.is_in(left, right, negated),
            Node::IsNull { of, negated: not, .. } => self.is_null(of, *not != negated),
            Node::Call(Function::StartsWith, arguments) => match &**arguments {
                [Node::Track(From::Row, track), fixed] if is_fixed(fixed) => {
                    let Some(Value::Text(prefix)) = self.value(fixed) else { return Shape::Opaque };
                    let is_text =
                        |field: Option<&Field>| compared(field.map(|field| &field.kind), EQUAL, &Value::text(""));
                    self.of_track(track, negated, false, |field| is_text(field).map(|_| Spans::prefix(&prefix)))
                }
                _ => Shape::Opaque,
            },
            Node::Call(Function::Contains, arguments) => match &**arguments {
                [list, item] => self.contains(list, item, negated),
                _ => Shape::Opaque,
            },
            // A field that is itself true or false.
            Node::Track(From::Row, track) => self.of_track(track, negated, false, |field| {
                compared(field.map(|field| &field.kind), EQUAL, &Value::Bool(true))
            }),
            _ => Shape::Opaque,
        }
    }

    fn value(&self, node: &'a Node) -> Option<Value> {
        self.machine.value(node).ok().map(|value| value.into_value())
    }

    /// A path whose end lies in what `spans` makes for the field there; `None` of it is an id. `any` says whether one
    /// element is enough.
    fn of_track(
        &self,
        track: &Track,
        negated: bool,
        any: bool,
        spans: impl FnOnce(Option<&Field>) -> Option<Spans>,
    ) -> Shape {
        if !track.keys.is_empty() {
            return Shape::Opaque;
        }
        let mut collection = self.collection;
        for hop in &track.hops {
            let (Hop::To { collection: next, .. } | Hop::From { collection: next, .. }) = hop;
            match self.schema.get(*next) {
                Some(next) => collection = next,
                None => return Shape::Opaque,
            }
        }
        let (operand, field) = match &track.end {
            End::Id => (Operand::Id, None),
            End::Field(id) => (Operand::Field(*id), collection.field_by_id(*id)),
            End::Constant(_) => return Shape::Opaque,
        };
        let Some(spans) = spans(field) else { return Shape::Opaque };
        let is_list = field.is_some_and(|field| field.kind.is_list());
        if negated {
            return if is_list || !track.hops.is_empty() { Shape::Opaque } else { placed(operand, spans.complement()) };
        }
        if spans.is_empty() {
            return Shape::Never;
        }
        let end = match field {
            Some(field) if is_list => Shape::Element { field: field.id, spans, exact: any && track.hops.is_empty() },
            _ => placed(operand, spans),
        };
        track.hops.iter().rev().fold(end, |shape, hop| Shape::Over { hop: hop.clone(), shape: Box::new(shape) })
    }

    fn among(&self, track: &Track, items: &[Value], negated: bool) -> Shape {
        self.of_track(track, negated, false, |field| {
            sets(items, |item| compared(field.map(|field| &field.kind), EQUAL, item))
        })
    }

    fn is_in(&self, left: &'a Node, right: &'a Node, negated: bool) -> Shape {
        match (left, right) {
            (Node::Track(From::Row, track), fixed) if is_fixed(fixed) => match self.value(fixed) {
                Some(Value::Json(_)) | None => Shape::Opaque,
                Some(list) => self.among(track, list.each(), negated),
            },
            (fixed, list) if is_fixed(fixed) => self.contains(list, fixed, negated),
            _ => Shape::Opaque,
        }
    }

    /// A list that has one element among others.
    fn contains(&self, list: &Node, item: &'a Node, negated: bool) -> Shape {
        let Node::Track(From::Row, track) = list else { return Shape::Opaque };
        let is_list = |field: Option<&Field>| field.is_some_and(|field| field.kind.is_list());
        if !is_fixed(item) {
            return Shape::Opaque;
        }
        match self.value(item) {
            Some(Value::List(_) | Value::Json(_)) | None => Shape::Opaque,
            Some(item) => self.of_track(track, negated, true, |field| {
                if is_list(field) { compared(field.map(|field| &field.kind), EQUAL, &item) } else { None }
            }),
        }
    }

    fn is_null(&self, of: &Node, negated: bool) -> Shape {
        let Node::Track(From::Row, track) = of else { return Shape::Opaque };
        if !track.hops.is_empty() || !track.keys.is_empty() {
            return Shape::Opaque;
        }
        match &track.end {
            End::Field(id) if self.collection.field_by_id(*id).is_some_and(|field| !field.kind.is_list()) => {
                let spans = if negated { Spans::not_null() } else { Spans::point(Value::Null) };
                placed(Operand::Field(*id), spans)
            }
            End::Id if negated => Shape::Always,
            End::Id => Shape::Never,
            _ => Shape::Opaque,
        }
    }
}

const EQUAL: Comparator = Comparator::Equal;

/// What any of the items gives; `None` where one gives nothing.
fn sets(items: &[Value], one: impl Fn(&Value) -> Option<Spans>) -> Option<Spans> {
    items.iter().map(one).collect::<Option<Vec<_>>>().map(Spans::union)
}

/// Whether a part gives the same for every record.
fn is_fixed(node: &Node) -> bool {
    match node {
        Node::Constant(_)
        | Node::Caller(_)
        | Node::Body(..)
        | Node::Query(_)
        | Node::Method
        | Node::Moment(_)
        | Node::IsSetInBody(_)
        | Node::IsSetInQuery(_) => true,
        Node::Track(From::Row, track) => track.hops.is_empty() && matches!(track.end, End::Constant(_)),
        Node::Track(From::Old, _) | Node::Test(..) | Node::Changed(_) | Node::ChangedByBody(..) => false,
        Node::Lookup(lookup) => is_fixed(&lookup.key),
        Node::List(parts) | Node::All(parts) | Node::Any(parts) | Node::Call(_, parts) => parts.iter().all(is_fixed),
        Node::Not(inner) | Node::Negate(inner) | Node::OneOf(inner, _) | Node::Matches(inner, _) => is_fixed(inner),
        Node::Read(_, inner) | Node::IsNull { of: inner, .. } => is_fixed(inner),
        Node::Compare(compare) => is_fixed(&compare.left) && is_fixed(&compare.right),
        Node::Like(test) => {
            is_fixed(&test.left)
                && match &test.pattern {
                    super::node::LikePattern::Ready(_) => true,
                    super::node::LikePattern::Made(node) => is_fixed(node),
                }
        }
        Node::In(left, right) => is_fixed(left) && is_fixed(right),
        Node::Chain(first, rest) => is_fixed(first) && rest.iter().all(|(_, node)| is_fixed(node)),
    }
}
