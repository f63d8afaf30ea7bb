//! The bytes of an index value. They order as [`Value::order`] does, end by themselves, and are inverted bit by bit where
//! the index descends:
//!
//! ```text
//! 01                       null
//! 02 | 00 or 01            bool
//! 03 | floor f64 | u16     number: the greatest f64 not above it, and what a whole number is beyond that
//! 04 | i64                 date
//! 05 | bytes | 00 01       text, 00 written as 00 FF
//! 06 | values… | 00        list   ┐
//! 07 | bytes | 00 01       json   ├ in sort orders only: definitions keep them out of indexes
//! 08 | f64 | u16 | f64 …   point  ┘
//! ```

use std::borrow::Cow;

use crate::model::value::Value;
use crate::time::Millis;

/// Appends a value so that bytes order as [`Value::order`] does, or the other way round.
pub(in crate::state) fn push_value(key: &mut Vec<u8>, value: &Value, descending: bool) {
    let start = key.len();
    push_ascending(key, value);
    if descending {
        key[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn push_ascending(key: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => key.push(0x01),
        Value::Bool(flag) => key.extend_from_slice(&[0x02, u8::from(*flag)]),
        Value::Int(whole) => push_number(key, 0x03, floor_of(*whole)),
        Value::Number(number) => push_number(key, 0x03, (*number, 0)),
        Value::Date(at) => {
            key.push(0x04);
            key.extend_from_slice(&(at.0 as u64 ^ 1 << 63).to_be_bytes());
        }
        Value::Text(text) => push_text(key, 0x05, text),
        Value::List(items) => {
            key.push(0x06);
            items.iter().for_each(|item| push_ascending(key, item));
            key.push(0x00);
        }
        Value::Json(text) => push_text(key, 0x07, text),
        Value::Point(longitude, latitude) => {
            push_number(key, 0x08, (*longitude, 0));
            push_number(key, 0x08, (*latitude, 0));
        }
    }
}

fn push_text(key: &mut Vec<u8>, tag: u8, text: &str) {
    key.push(tag);
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == 0) {
        key.extend_from_slice(&rest[..at]);
        key.extend_from_slice(&[0x00, 0xFF]);
        rest = &rest[at + 1..];
    }
    key.extend_from_slice(rest);
    key.extend_from_slice(&[0x00, 0x01]);
}

fn push_number(key: &mut Vec<u8>, tag: u8, (floor, beyond): (f64, u16)) {
    // Adding zero takes the sign from a zero.
    let bits = (floor + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    key.push(tag);
    key.extend_from_slice(&ordered.to_be_bytes());
    key.extend_from_slice(&beyond.to_be_bytes());
}

/// The greatest `f64` that is not above a whole number, and how far below it lies: at most 1,023, as a neighbouring
/// `f64` below 2^63 is at most 1,024 away.
fn floor_of(whole: i64) -> (f64, u16) {
    let near = whole as f64;
    let floor = if near as i128 > i128::from(whole) { near.next_down() } else { near };
    (floor, (i128::from(whole) - floor as i128) as u16)
}

/// What lies behind the value that `bytes` begin with.
pub(in crate::state) fn skip_value(bytes: &[u8], descending: bool) -> Option<&[u8]> {
    let flip = if descending { 0xFF } else { 0x00 };
    let len = match bytes.first()? ^ flip {
        0x01 => 1,
        0x02 => 2,
        0x03 => 11,
        0x04 => 9,
        0x08 => 22,
        0x05 => {
            let mut at = 1;
            loop {
                at += bytes.get(at..)?.iter().position(|byte| byte ^ flip == 0)?;
                if bytes.get(at + 1)? ^ flip == 0x01 {
                    break at + 2;
                }
                at += 2;
            }
        }
        _ => return None,
    };
    bytes.get(len..)
}

/// The value that `bytes` begin with, and what lies behind it. A number without a fraction comes back whole, as far as 64
/// bits hold it: that one was a float is not in its bytes.
pub(in crate::state) fn read_value(bytes: &[u8], descending: bool) -> Option<(Value, &[u8])> {
    if !descending {
        return read_ascending(bytes);
    }
    let rest = skip_value(bytes, true)?;
    let plain: Vec<u8> = bytes[..bytes.len() - rest.len()].iter().map(|byte| !byte).collect();
    Some((read_ascending(&plain)?.0, rest))
}

fn read_ascending(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    Some(match tag {
        0x01 => (Value::Null, rest),
        0x02 => (Value::Bool(*rest.first()? != 0), &rest[1..]),
        0x03 => {
            let (floor, beyond) = read_number(rest)?;
            (whole_or_not(floor, beyond), &rest[10..])
        }
        0x04 => {
            let (at, rest) = rest.split_first_chunk()?;
            (Value::Date(Millis((u64::from_be_bytes(*at) ^ 1 << 63) as i64)), rest)
        }
        0x05 | 0x07 => {
            let (text, rest) = read_text(rest)?;
            let text = text.into_owned().into();
            (if *tag == 0x05 { Value::Text(text) } else { Value::Json(text) }, rest)
        }
        0x06 => {
            let (mut items, mut rest) = (Vec::new(), rest);
            while *rest.first()? != 0x00 {
                let (item, behind) = read_ascending(rest)?;
                items.push(item);
                rest = behind;
            }
            (Value::List(items), &rest[1..])
        }
        0x08 => {
            let (longitude, _) = read_number(rest)?;
            let rest = rest.get(10..)?.strip_prefix(&[0x08])?;
            let (latitude, _) = read_number(rest)?;
            (Value::Point(longitude, latitude), &rest[10..])
        }
        _ => return None,
    })
}

fn read_number(bytes: &[u8]) -> Option<(f64, u16)> {
    let (ordered, rest) = bytes.split_first_chunk()?;
    let (beyond, _) = rest.split_first_chunk()?;
    let ordered = u64::from_be_bytes(*ordered);
    let bits = if ordered >> 63 == 1 { ordered ^ 1 << 63 } else { !ordered };
    Some((f64::from_bits(bits), u16::from_be_bytes(*beyond)))
}

fn whole_or_not(floor: f64, beyond: u16) -> Value {
    // The greatest float below 2^63 and what lies beyond it are below 2^63 as well.
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if floor.trunc() == floor && (-TWO_63..TWO_63).contains(&floor) {
        Value::Int((floor as i64).saturating_add(beyond.into()))
    } else {
        Value::Number(floor)
    }
}

/// Undoes what stands for a zero byte.
fn read_text(bytes: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let mut made: Vec<u8> = Vec::new();
    let mut rest = bytes;
    loop {
        let at = memchr::memchr(0, rest)?;
        let (piece, behind) = rest.split_at(at);
        if *behind.get(1)? == 0x01 {
            let text = if made.is_empty() {
                Cow::Borrowed(std::str::from_utf8(piece).ok()?)
            } else {
                made.extend_from_slice(piece);
                Cow::Owned(String::from_utf8(made).ok()?)
            };
            return Some((text, &behind[2..]));
        }
        made.extend_from_slice(piece);
        made.push(0);
        rest = &behind[2..];
    }
}
