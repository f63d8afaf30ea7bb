//! From spans of values to ranges of keys.

use crate::model::expr::{Cut, Span};
use crate::model::schema::Collection;
use crate::model::value::Value;
use crate::state::key;

/// The keys that begin with `head` and go on with a value of a span; values end by themselves.
pub(super) fn values(head: &[u8], span: &Span, descending: bool) -> (Vec<u8>, Vec<u8>) {
    let with = |value: &Value| {
        let mut key = head.to_vec();
        key::push_value(&mut key, value, descending);
        key
    };
    let (first, last) = if descending { (&span.to, &span.from) } else { (&span.from, &span.to) };
    // Where values descend, what is below one comes behind it.
    let place = |cut: &Cut| match (cut, descending) {
        (Cut::Least, false) | (Cut::Greatest, true) => head.to_vec(),
        (Cut::Greatest, false) | (Cut::Least, true) => key::after(head),
        (Cut::Below(value), false) | (Cut::Above(value), true) => with(value),
        (Cut::Above(value), false) | (Cut::Below(value), true) => key::after(&with(value)),
    };
    (place(first), place(last))
}

/// The keys of rows with an id of a span; ids are not ended by anything.
pub(super) fn rows(collection: &Collection, span: &Span) -> (Vec<u8>, Vec<u8>) {
    let (head, end) = key::rows(collection.id, collection.generation);
    let with = |value: &Value| value.as_text().map(|id| [&head[..], id.as_bytes()].concat());
    let place = |cut: &Cut| match cut {
        Cut::Least => head.clone(),
        Cut::Greatest => end.clone(),
        // Null is before all ids.
        Cut::Below(value) => with(value).unwrap_or_else(|| head.clone()),
        Cut::Above(value) => with(value).map_or_else(|| head.clone(), |key| key::behind(&key)),
    };
    (place(&span.from), place(&span.to))
}
