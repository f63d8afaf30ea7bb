//! A field's value as it is stored, and the fields of a record.
//!
//! Invariant of [`Fields`]: sorted by field id, no id twice, no null: an absent field *is* null. Its postcard bytes are
//! a stored format: variants of [`Value`] are appended, never reordered.

use std::cell::Cell;
use std::cmp::Ordering;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::id::FieldId;
use crate::time::Millis;

/// One value. Which variants a field may hold follows from its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Absent.
    Null,
    /// `bool`.
    Bool(bool),
    /// `number` with `integer: true`.
    Int(i64),
    /// `number`. Never NaN or infinite; zero has no sign.
    Number(f64),
    /// `text`, `email`, `url`, one `select`, one `relation` (the id).
    Text(Box<str>),
    /// `date`, `autodate`.
    Date(Millis),
    /// `select` and `relation` with `maxSelect` over 1. What is stored has no list in it.
    List(#[serde(deserialize_with = "items")] Vec<Value>),
    /// `json`: its compact text. JSON's `null` is [`Value::Null`].
    Json(Box<str>),
    /// `geoPoint`: longitude and latitude, degrees.
    Point(f64, f64),
}

/// A list as it is stored. Bytes with a list in it are malformed, so that none can go so deep that reading them ends the
/// process.
fn items<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Value>, D::Error> {
    thread_local! {
        static WITHIN: Cell<bool> = const { Cell::new(false) };
    }
    if WITHIN.replace(true) {
        return Err(D::Error::custom("a list in a list"));
    }
    let items = Vec::deserialize(from);
    WITHIN.set(false);
    items
}

/// The one null, to be lent.
pub static NULL: Value = Value::Null;

impl Value {
    /// A text.
    pub fn text(text: impl Into<Box<str>>) -> Value {
        Value::Text(text.into())
    }

    /// Whether it is absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text, of a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        match self {
            Value::Text(text) | Value::Json(text) => text.len(),
            Value::List(items) => items.iter().map(Value::text_bytes).sum(),
            _ => 0,
        }
    }

    /// The elements of a list; one of any other value, none of null.
    pub fn each(&self) -> &[Value] {
        match self {
            Value::Null => &[],
            Value::List(items) => items,
            one => std::slice::from_ref(one),
        }
    }

    /// Order of two values, as indexes and `sort` have it: null first, then by kind, numbers of both kinds together,
    /// texts by their bytes.
    pub fn order(&self, other: &Value) -> Ordering {
        fn rank(value: &Value) -> u8 {
            match value {
                Value::Null => 0,
                Value::Bool(_) => 1,
                Value::Int(_) | Value::Number(_) => 2,
                Value::Date(_) => 3,
                Value::Text(_) => 4,
                Value::List(_) => 5,
                Value::Json(_) => 6,
                Value::Point(..) => 7,
            }
        }
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
            (Value::Int(a), Value::Number(b)) => order_mixed(*a, *b),
            (Value::Number(a), Value::Int(b)) => order_mixed(*b, *a).reverse(),
            (Value::Date(a), Value::Date(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => a.cmp(b),
            (Value::Point(a, b), Value::Point(c, d)) => a.total_cmp(c).then(b.total_cmp(d)),
            (Value::List(a), Value::List(b)) => {
                let pairs = a.iter().zip(b).map(|(a, b)| a.order(b));
                pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

/// Exact order of a whole and a floating number: no rounding of the whole one.
fn order_mixed(int: i64, number: f64) -> Ordering {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if number >= TWO_63 {
        return Ordering::Less;
    }
    if number < -TWO_63 {
        return Ordering::Greater;
    }
    let floor = number.floor();
    int.cmp(&(floor as i64)).then(if number > floor { Ordering::Less } else { Ordering::Equal })
}

/// A record's fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(Vec<(FieldId, Value)>);

impl Fields {
    /// No field set.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// The value of a field; null when absent.
    pub fn get(&self, field: FieldId) -> &Value {
        match self.0.binary_search_by_key(&field, |(id, _)| *id) {
            Ok(at) => &self.0[at].1,
            Err(_) => &NULL,
        }
    }

    /// Sets a field; null removes it. Returns the value it had.
    pub fn set(&mut self, field: FieldId, value: Value) -> Value {
        match (self.0.binary_search_by_key(&field, |(id, _)| *id), value) {
            (Ok(at), Value::Null) => self.0.remove(at).1,
            (Ok(at), value) => std::mem::replace(&mut self.0[at].1, value),
            (Err(_), Value::Null) => Value::Null,
            (Err(at), value) => {
                self.0.insert(at, (field, value));
                Value::Null
            }
        }
    }

    /// The set fields, by id.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &Value)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    /// Leaves out the fields that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(FieldId) -> bool) {
        self.0.retain(|(id, _)| keep(*id));
    }

    /// How many fields are set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What must be put over `self` to get `before`: the old value (null where there was none) of each field that
    /// differs. This is the before-image of a change from `before` to `self`.
    pub fn before_image(&self, before: &Fields) -> Vec<(FieldId, Value)> {
        let mut image = Vec::new();
        let mut old = before.0.iter().peekable();
        for (id, value) in &self.0 {
            while let Some((gone, was)) = old.next_if(|(other, _)| other < id) {
                image.push((*gone, was.clone()));
            }
            match old.next_if(|(other, _)| other == id) {
                Some((_, was)) if was == value => {}
                Some((_, was)) => image.push((*id, was.clone())),
                None => image.push((*id, Value::Null)),
            }
        }
        image.extend(old.cloned());
        image
    }

    /// The record as it was, from a before-image of [`Fields::before_image`].
    #[must_use]
    pub fn rewound(&self, image: &[(FieldId, Value)]) -> Fields {
        let mut before = self.clone();
        for (field, value) in image {
            before.set(*field, value.clone());
        }
        before
    }
}

impl FromIterator<(FieldId, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (FieldId, Value)>>(items: I) -> Fields {
        let mut fields = Fields::new();
        for (field, value) in items {
            fields.set(field, value);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_stored_and_no_bytes_go_deeper() {
        let all = vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(-7),
            Value::Number(0.5),
            Value::text("a"),
            Value::Date(Millis(9)),
            Value::Json("[1]".into()),
            Value::Point(1.0, 2.0),
        ];
        let list = Value::List(all);
        let bytes = postcard::to_stdvec(&list).unwrap();
        assert_eq!(postcard::from_bytes::<Value>(&bytes).unwrap(), list);
        // A list of one list of one list …
        for depth in [2, 1_000_000] {
            assert!(postcard::from_bytes::<Value>(&[6, 1].repeat(depth)).is_err(), "{depth}");
        }
    }

    #[test]
    fn a_before_image_leads_back() {
        let fields =
            |items: &[(u32, i64)]| items.iter().map(|(id, n)| (FieldId(*id), Value::Int(*n))).collect::<Fields>();
        let table = [
            (fields(&[]), fields(&[(1, 1)])),
            (fields(&[(1, 1)]), fields(&[])),
            (fields(&[(1, 1), (3, 3), (9, 9)]), fields(&[(1, 1), (2, 2), (3, 4)])),
        ];
        for (before, after) in table {
            assert_eq!(after.rewound(&after.before_image(&before)), before);
            assert!(before.before_image(&before).is_empty());
        }
    }

    #[test]
    fn whole_and_floating_numbers_compare_exactly() {
        let big = (1i64 << 53) + 1;
        let table = [
            (Value::Int(big), Value::Number((1u64 << 53) as f64), Ordering::Greater),
            (Value::Int(i64::MAX), Value::Number(9.3e18), Ordering::Less),
            (Value::Int(i64::MIN), Value::Number(-9.3e18), Ordering::Greater),
            (Value::Int(i64::MIN), Value::Number(i64::MIN as f64), Ordering::Equal),
            (Value::Int(-1), Value::Number(-1.5), Ordering::Greater),
            (Value::Int(2), Value::Number(2.0), Ordering::Equal),
        ];
        for (a, b, expected) in table {
            assert_eq!(a.order(&b), expected, "{a:?} {b:?}");
            assert_eq!(b.order(&a), expected.reverse(), "{b:?} {a:?}");
        }
    }
}
