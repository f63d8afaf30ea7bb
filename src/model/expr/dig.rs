//! Into stored json by its text: no tree is made of it. What is not well formed ends what is read; nothing panics and
//! nothing recurses.

use std::borrow::Cow;

use crate::model::json;

use super::node::Keys;
use super::operand::Operand;

/// The value that a text of JSON is.
pub(super) fn operand(text: &str) -> Operand<'_> {
    match text.as_bytes().first() {
        Some(b'"') => json::text_of(text).map_or(Operand::Null, Operand::Text),
        Some(b'{' | b'[') => Operand::Json(Cow::Borrowed(text)),
        Some(b't') => Operand::Bool(true),
        Some(b'f') => Operand::Bool(false),
        Some(b'-' | b'0'..=b'9') => match text.parse() {
            Ok(int) => Operand::Int(int),
            Err(_) => text.parse().map_or(Operand::Null, Operand::number),
        },
        _ => Operand::Null,
    }
}

/// What lies behind `keys`: into an object by name, into a list by number; a name asks each element of a list.
pub(super) fn dig<'v>(from: Operand<'v>, keys: &Keys) -> Operand<'v> {
    let mut found = from;
    for key in keys {
        found = match found {
            Operand::Null => return Operand::Null,
            Operand::Json(Cow::Borrowed(text)) => step(text, key),
            Operand::Json(Cow::Owned(text)) => step(&text, key).into_owned(),
            Operand::Point(longitude, latitude) => match &**key {
                "lon" => Operand::Number(longitude),
                "lat" => Operand::Number(latitude),
                _ => Operand::Null,
            },
            Operand::Lent(_) | Operand::List(_) => among(found.each(), key),
            _ => Operand::Null,
        };
    }
    found
}

fn step<'v>(text: &'v str, key: &str) -> Operand<'v> {
    if text.starts_with('[') {
        return among(elements(text).map(operand).collect(), key);
    }
    members(text).find(|(name, _)| is_key(name, key)).map_or(Operand::Null, |(_, value)| operand(value))
}

/// One element by its number, or what each of them has under a name.
fn among<'v>(mut items: Vec<Operand<'v>>, key: &str) -> Operand<'v> {
    if let Ok(at) = key.parse::<usize>() {
        return if at < items.len() { items.swap_remove(at) } else { Operand::Null };
    }
    let inner = items.into_iter().filter_map(|item| match item {
        Operand::Json(Cow::Borrowed(text)) if text.starts_with('{') => Some(step(text, key)),
        Operand::Json(Cow::Owned(text)) if text.starts_with('{') => Some(step(&text, key).into_owned()),
        _ => None,
    });
    Operand::List(inner.flat_map(Operand::each).collect())
}

fn is_key(raw: &str, key: &str) -> bool {
    json::text_of(raw).is_some_and(|name| name == key)
}

/// The elements of an array, as texts.
pub(super) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut parts = Parts { text, at: 1 };
    std::iter::from_fn(move || parts.value())
}

/// The members of an object: a key with its quotes, and the value's text.
fn members(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = Parts { text, at: 1 };
    std::iter::from_fn(move || {
        let key = parts.value()?;
        Some((key, parts.value()?))
    })
}

/// The values between the signs of an array or object.
struct Parts<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parts<'a> {
    fn value(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at)?, b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    while *bytes.get(self.at)? != b'"' {
                        self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
                    }
                    self.at += 1;
                }
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b']' | b'}' if depth == 0 => break,
                b']' | b'}' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => break,
                _ => self.at += 1,
            }
            if depth == 0 && matches!(bytes[start], b'"' | b'[' | b'{') {
                break;
            }
        }
        (self.at > start).then(|| self.text.get(start..self.at)).flatten()
    }
}
