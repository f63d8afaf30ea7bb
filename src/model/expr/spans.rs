//! Sets of values of one field, as stretches of the order that indexes have: what a comparison leaves of them.
//!
//! Invariant: the spans of a set ascend and lie apart; no span is empty. A value in a bound is of exactly the kind that
//! the field stores, so that key encoders need no conversion: a literal between two values of a type becomes the bound
//! at the nearer one (`n > 1.5` of whole numbers is `n >= 2`).

use std::cmp::Ordering;

use crate::model::query::Comparator;
use crate::model::schema::FieldKind;
use crate::model::value::Value;
use crate::time::Millis;

use super::types::{Scalar, Type};

/// A place between two values.
#[derive(Clone, Debug, PartialEq)]
pub enum Cut {
    /// Before null, which comes first.
    Least,
    /// Right before a value.
    Below(Value),
    /// Right behind a value.
    Above(Value),
    /// Behind all values.
    Greatest,
}

/// The values from one place to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Where it begins.
    pub from: Cut,
    /// Where it ends.
    pub to: Cut,
}

/// A set of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spans(Vec<Span>);

impl Cut {
    fn order(&self, other: &Cut) -> Ordering {
        match (self, other) {
            (Cut::Least, Cut::Least) | (Cut::Greatest, Cut::Greatest) => Ordering::Equal,
            (Cut::Least, _) | (_, Cut::Greatest) => Ordering::Less,
            (_, Cut::Least) | (Cut::Greatest, _) => Ordering::Greater,
            (Cut::Below(a), Cut::Below(b)) | (Cut::Above(a), Cut::Above(b)) => a.order(b),
            (Cut::Below(a), Cut::Above(b)) => a.order(b).then(Ordering::Less),
            (Cut::Above(a), Cut::Below(b)) => a.order(b).then(Ordering::Greater),
        }
    }
}

impl Span {
    fn new(from: Cut, to: Cut) -> Option<Span> {
        from.order(&to).is_lt().then_some(Span { from, to })
    }

    /// The one value in it, if that is all.
    pub fn point(&self) -> Option<&Value> {
        match (&self.from, &self.to) {
            (Cut::Below(from), Cut::Above(to)) if from.order(to).is_eq() => Some(from),
            _ => None,
        }
    }
}

impl Spans {
    /// No value.
    pub fn none() -> Spans {
        Spans::default()
    }

    /// One value; null too.
    pub fn point(value: Value) -> Spans {
        Spans(vec![Span { from: Cut::Below(value.clone()), to: Cut::Above(value) }])
    }

    /// Any of these.
    pub fn points(values: impl IntoIterator<Item = Value>) -> Spans {
        Spans::union(values.into_iter().map(Spans::point))
    }

    /// All but null.
    pub fn not_null() -> Spans {
        Spans(vec![Span { from: Cut::Above(Value::Null), to: Cut::Greatest }])
    }

    fn between(from: Cut, to: Cut) -> Spans {
        Spans(Span::new(from, to).into_iter().collect())
    }

    /// The values that stand so to `value`, which is not null. Null stands in no way to any.
    pub fn by(comparator: Comparator, value: Value) -> Spans {
        let null = || Cut::Above(Value::Null);
        match comparator {
            Comparator::Equal => Spans::point(value),
            Comparator::NotEqual => {
                let below = Span::new(null(), Cut::Below(value.clone()));
                Spans(below.into_iter().chain(Span::new(Cut::Above(value), Cut::Greatest)).collect())
            }
            Comparator::Less => Spans::between(null(), Cut::Below(value)),
            Comparator::LessOrEqual => Spans::between(null(), Cut::Above(value)),
            Comparator::Greater => Spans::between(Cut::Above(value), Cut::Greatest),
            Comparator::GreaterOrEqual => Spans::between(Cut::Below(value), Cut::Greatest),
        }
    }

    /// The texts that begin so.
    pub fn prefix(text: &str) -> Spans {
        let from = Cut::Below(Value::text(text));
        match behind_prefix(text) {
            Some(end) => Spans::between(from, Cut::Below(Value::text(end))),
            // No text is behind: those of no other kind are in a field of texts.
            None => Spans::between(from, Cut::Greatest),
        }
    }

    /// The values in any of these sets.
    pub fn union(sets: impl IntoIterator<Item = Spans>) -> Spans {
        let mut all: Vec<Span> = sets.into_iter().flat_map(|set| set.0).collect();
        all.sort_by(|a, b| a.from.order(&b.from));
        let mut joined: Vec<Span> = Vec::with_capacity(all.len());
        for span in all {
            match joined.last_mut() {
                Some(last) if span.from.order(&last.to).is_le() => {
                    if span.to.order(&last.to).is_gt() {
                        last.to = span.to;
                    }
                }
                _ => joined.push(span),
            }
        }
        Spans(joined)
    }

    /// The values in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Spans) -> Spans {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let from = if x.from.order(&y.from).is_ge() { &x.from } else { &y.from };
            let x_ends_first = x.to.order(&y.to).is_le();
            let to = if x_ends_first { &x.to } else { &y.to };
            if from.order(to).is_lt() {
                common.push(Span { from: from.clone(), to: to.clone() });
            }
            if x_ends_first {
                a.next()
            } else {
                b.next()
            };
        }
        Spans(common)
    }

    /// All other values, null too.
    #[must_use]
    pub fn complement(&self) -> Spans {
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        let mut from = Cut::Least;
        for span in &self.0 {
            rest.extend(Span::new(from, span.from.clone()));
            from = span.to.clone();
        }
        rest.extend(Span::new(from, Cut::Greatest));
        Spans(rest)
    }

    /// One span from the first value to the last.
    #[must_use]
    pub fn hull(&self) -> Spans {
        match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) => Spans(vec![Span { from: first.from.clone(), to: last.to.clone() }]),
            _ => Spans::none(),
        }
    }

    /// In ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Span> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no value is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every value is in it, null too.
    pub fn is_all(&self) -> bool {
        matches!(self.0.as_slice(), [Span { from: Cut::Least, to: Cut::Greatest }])
    }

    /// The one value in it, if that is all.
    pub fn single(&self) -> Option<&Value> {
        match self.0.as_slice() {
            [only] => only.point(),
            _ => None,
        }
    }

    /// Whether it is nothing but single values.
    pub fn are_points(&self) -> bool {
        self.0.iter().all(|span| span.point().is_some())
    }
}

/// The least text behind all that begin with `text`: the last character that has one behind it is moved on.
fn behind_prefix(text: &str) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    while let Some(last) = chars.pop() {
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// The values of a field of one value (an id, without a kind) that stand so to a value that may be of any kind; `None`
/// where that can't be said by spans.
pub(super) fn compared(kind: Option<&FieldKind>, comparator: Comparator, value: &Value) -> Option<Spans> {
    let of = kind.map_or(Scalar::Text, |kind| Type::of_field(kind).of);
    Some(match (of, value) {
        (Scalar::Any, _) | (_, Value::List(_) | Value::Json(_) | Value::Point(..)) => return None,
        (_, Value::Null) => Spans::none(),
        (Scalar::Number, Value::Int(int)) if is_whole(kind) => Spans::by(comparator, Value::Int(*int)),
        (Scalar::Number, Value::Number(number)) if is_whole(kind) => whole(comparator, *number),
        (Scalar::Number, Value::Int(int)) => floating(comparator, *int),
        (Scalar::Number, Value::Number(number)) => Spans::by(comparator, Value::Number(*number + 0.0)),
        (Scalar::Bool, Value::Bool(_)) | (Scalar::Text, Value::Text(_)) | (Scalar::Date, Value::Date(_)) => {
            Spans::by(comparator, value.clone())
        }
        (Scalar::Date, Value::Text(text)) => match Millis::parse(text) {
            Some(at) => Spans::by(comparator, Value::Date(at)),
            None => unlike(comparator),
        },
        // Each stored text would have to be read as a date.
        (Scalar::Text, Value::Date(_)) => return None,
        _ => unlike(comparator),
    })
}

fn is_whole(kind: Option<&FieldKind>) -> bool {
    matches!(kind, Some(FieldKind::Number { integer: true, .. }))
}

/// What is of another kind is unequal, and neither before nor behind.
fn unlike(comparator: Comparator) -> Spans {
    if comparator == Comparator::NotEqual { Spans::not_null() } else { Spans::none() }
}

/// Whole numbers against one that may be none.
fn whole(comparator: Comparator, number: f64) -> Spans {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if !(-TWO_63..TWO_63).contains(&number) {
        return beyond(comparator, number > 0.0);
    }
    let floor = number.floor();
    if floor == number {
        return Spans::by(comparator, Value::Int(number as i64));
    }
    // A number with a fraction is below 2^53, so the one above it is exact too.
    between(comparator, Value::Int(floor as i64), Value::Int(floor as i64 + 1))
}

/// Floating numbers against a whole one that may lie between two of them.
fn floating(comparator: Comparator, int: i64) -> Spans {
    let near = int as f64;
    match Value::Number(near).order(&Value::Int(int)) {
        Ordering::Equal => Spans::by(comparator, Value::Number(near)),
        Ordering::Less => between(comparator, Value::Number(near), Value::Number(near.next_up())),
        Ordering::Greater => between(comparator, Value::Number(near.next_down()), Value::Number(near)),
    }
}

/// Against what lies between two neighbours of a type.
fn between(comparator: Comparator, below: Value, above: Value) -> Spans {
    match comparator {
        Comparator::Less | Comparator::LessOrEqual => Spans::by(Comparator::LessOrEqual, below),
        Comparator::Greater | Comparator::GreaterOrEqual => Spans::by(Comparator::GreaterOrEqual, above),
        Comparator::Equal => Spans::none(),
        Comparator::NotEqual => Spans::not_null(),
    }
}

/// Against what lies past all values of a type.
fn beyond(comparator: Comparator, past_greatest: bool) -> Spans {
    let always = match comparator {
        Comparator::Less | Comparator::LessOrEqual => past_greatest,
        Comparator::Greater | Comparator::GreaterOrEqual => !past_greatest,
        Comparator::Equal => false,
        Comparator::NotEqual => true,
    };
    if always { Spans::not_null() } else { Spans::none() }
}
