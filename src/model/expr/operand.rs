//! A value while it is evaluated: lent from the record, the program or the input where it can be, made where it must.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::model::query::Comparator;
use crate::model::value::Value;
use crate::time::Millis;

use super::dig;

/// A value under evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand<'v> {
    Null,
    Bool(bool),
    Int(i64),
    /// Finite, zero without a sign.
    Number(f64),
    Text(Cow<'v, str>),
    Date(Millis),
    /// A stored list.
    Lent(&'v [Value]),
    /// A made one.
    List(Vec<Operand<'v>>),
    /// An array or an object: json's other values are of the kinds above.
    Json(Cow<'v, str>),
    Point(f64, f64),
}

/// The elements of a list, also of one in json, that are not null; of any other value itself.
pub fn elements(value: &Value) -> Cow<'_, [Value]> {
    match value {
        Value::Json(text) if text.starts_with('[') => {
            let items = Operand::lent(value).each().into_iter().map(Operand::into_value);
            items.filter(|item| !item.is_null()).collect::<Vec<_>>().into()
        }
        other => other.each().into(),
    }
}

/// How two values stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// One of them is null: no comparison holds.
    Unknown,
    /// Of different kinds: not equal, and neither is before the other.
    Unlike,
    Ordered(Ordering),
}

impl<'v> Operand<'v> {
    pub(super) fn lent(value: &'v Value) -> Operand<'v> {
        match value {
            Value::Null => Operand::Null,
            Value::Bool(flag) => Operand::Bool(*flag),
            Value::Int(int) => Operand::Int(*int),
            Value::Number(number) => Operand::Number(*number),
            Value::Text(text) => Operand::Text(Cow::Borrowed(text)),
            Value::Date(at) => Operand::Date(*at),
            Value::List(items) => Operand::Lent(items),
            Value::Json(text) => dig::operand(text),
            Value::Point(longitude, latitude) => Operand::Point(*longitude, *latitude),
        }
    }

    pub(super) fn text(text: impl Into<String>) -> Operand<'v> {
        Operand::Text(Cow::Owned(text.into()))
    }

    /// What no finite number is, is null.
    pub(super) fn number(number: f64) -> Operand<'v> {
        if number.is_finite() { Operand::Number(number + 0.0) } else { Operand::Null }
    }

    /// The same, lent from nothing.
    pub(super) fn into_owned<'w>(self) -> Operand<'w> {
        match self {
            Operand::Null => Operand::Null,
            Operand::Bool(flag) => Operand::Bool(flag),
            Operand::Int(int) => Operand::Int(int),
            Operand::Number(number) => Operand::Number(number),
            Operand::Text(text) => Operand::Text(Cow::Owned(text.into_owned())),
            Operand::Date(at) => Operand::Date(at),
            Operand::Lent(items) => Operand::List(items.iter().map(|item| Operand::lent(item).into_owned()).collect()),
            Operand::List(items) => Operand::List(items.into_iter().map(Operand::into_owned).collect()),
            Operand::Json(text) => Operand::Json(Cow::Owned(text.into_owned())),
            Operand::Point(longitude, latitude) => Operand::Point(longitude, latitude),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Operand::Null => Value::Null,
            Operand::Bool(flag) => Value::Bool(flag),
            Operand::Int(int) => Value::Int(int),
            Operand::Number(number) => Value::Number(number),
            Operand::Text(text) => Value::Text(text.into_owned().into()),
            Operand::Date(at) => Value::Date(at),
            Operand::Lent(items) => Value::List(items.to_vec()),
            Operand::List(items) => Value::List(items.into_iter().map(Operand::into_value).collect()),
            Operand::Json(text) => Value::Json(text.into_owned().into()),
            Operand::Point(longitude, latitude) => Value::Point(longitude, latitude),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Operand::Null)
    }

    pub(super) fn is_list(&self) -> bool {
        match self {
            Operand::Lent(_) | Operand::List(_) => true,
            Operand::Json(text) => text.starts_with('['),
            _ => false,
        }
    }

    /// How many elements: none of null, one of what is no list.
    pub(super) fn count(&self) -> usize {
        match self {
            Operand::Null => 0,
            Operand::Lent(items) => items.len(),
            Operand::List(items) => items.len(),
            Operand::Json(text) if self.is_list() => dig::elements(text).count(),
            _ => 1,
        }
    }

    /// The elements: none of null, itself of what is no list.
    pub(super) fn each(self) -> Vec<Operand<'v>> {
        match self {
            Operand::Null => Vec::new(),
            Operand::Lent(items) => items.iter().map(Operand::lent).collect(),
            Operand::List(items) => items,
            Operand::Json(Cow::Borrowed(text)) if text.starts_with('[') => {
                dig::elements(text).map(dig::operand).collect()
            }
            Operand::Json(Cow::Owned(text)) if text.starts_with('[') => {
                dig::elements(&text).map(|item| dig::operand(item).into_owned()).collect()
            }
            one => vec![one],
        }
    }

    /// As a number, if it is one.
    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Operand::Int(int) => Some(*int as f64),
            Operand::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// As a moment, if it is one or the text of one.
    pub(super) fn as_date(&self) -> Option<Millis> {
        match self {
            Operand::Date(at) => Some(*at),
            Operand::Text(text) => Millis::parse(text),
            _ => None,
        }
    }

    /// As text, for matching.
    pub(super) fn shown(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Operand::Text(text) | Operand::Json(text) => Cow::Borrowed(text),
            Operand::Bool(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            Operand::Int(int) => Cow::Owned(int.to_string()),
            Operand::Number(number) => Cow::Owned(number.to_string()),
            Operand::Date(at) => Cow::Owned(at.to_string()),
            Operand::Null | Operand::Lent(_) | Operand::List(_) | Operand::Point(..) => return None,
        })
    }

    /// How it stands to another that is no list.
    pub(super) fn stands(&self, other: &Operand<'_>) -> Standing {
        match (self, other) {
            (Operand::Null, _) | (_, Operand::Null) => Standing::Unknown,
            (Operand::Bool(a), Operand::Bool(b)) => Standing::Ordered(a.cmp(b)),
            (Operand::Int(a), Operand::Int(b)) => Standing::Ordered(a.cmp(b)),
            (Operand::Number(a), Operand::Number(b)) => Standing::Ordered(a.total_cmp(b)),
            (Operand::Int(a), Operand::Number(b)) => Standing::Ordered(Value::Int(*a).order(&Value::Number(*b))),
            (Operand::Number(a), Operand::Int(b)) => Standing::Ordered(Value::Number(*a).order(&Value::Int(*b))),
            (Operand::Text(a), Operand::Text(b)) | (Operand::Json(a), Operand::Json(b)) => {
                Standing::Ordered(a.as_bytes().cmp(b.as_bytes()))
            }
            (Operand::Date(a), Operand::Date(b)) => Standing::Ordered(a.cmp(b)),
            (Operand::Date(a), Operand::Text(b)) => {
                Millis::parse(b).map_or(Standing::Unlike, |b| Standing::Ordered(a.cmp(&b)))
            }
            (Operand::Text(a), Operand::Date(b)) => {
                Millis::parse(a).map_or(Standing::Unlike, |a| Standing::Ordered(a.cmp(b)))
            }
            (Operand::Point(a, b), Operand::Point(c, d)) => Standing::Ordered(a.total_cmp(c).then(b.total_cmp(d))),
            _ => Standing::Unlike,
        }
    }
}

impl Standing {
    pub(super) fn holds(self, comparator: Comparator) -> bool {
        match self {
            Standing::Unknown => false,
            Standing::Unlike => comparator == Comparator::NotEqual,
            Standing::Ordered(order) => ordered(comparator, order),
        }
    }
}

pub(super) fn ordered(comparator: Comparator, order: Ordering) -> bool {
    comparator.holds(order)
}
