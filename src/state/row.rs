//! A row's value: one format byte, then postcard of the version (the position that wrote it) and of the fields.
//!
//! ```text
//! 01 | epoch counter | epoch node | seq | fields
//! ```
//!
//! The bytes of the fields alone are what a digest covers (`tally`), so a row is encoded once for both.

use bytes::Bytes;
use postcard::{take_from_bytes, to_extend};

use crate::error::{Error, Result};
use crate::id::{FieldId, Position};
use crate::model::value::{Fields, Value};

const FORMAT: u8 = 0x01;

/// An encoded row and where its fields begin.
pub(super) struct Encoded {
    bytes: Vec<u8>,
    fields_at: usize,
}

impl Encoded {
    /// The fields' bytes alone.
    pub(super) fn fields(&self) -> &[u8] {
        &self.bytes[self.fields_at..]
    }

    /// The whole value.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

/// # Errors
/// `Internal` if the fields cannot be encoded, which their types exclude.
pub(super) fn encode(version: Position, fields: &Fields) -> Result<Encoded> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(FORMAT);
    let bytes = to_extend(&version, bytes).map_err(unencodable)?;
    let fields_at = bytes.len();
    let bytes = to_extend(fields, bytes).map_err(unencodable)?;
    Ok(Encoded { bytes, fields_at })
}

/// The bytes of fields as they stand in a row.
///
/// # Errors
/// As [`encode`].
pub(super) fn encode_fields(fields: &Fields) -> Result<Vec<u8>> {
    to_extend(fields, Vec::with_capacity(256)).map_err(unencodable)
}

fn unencodable(error: postcard::Error) -> Error {
    Error::internal("a row can't be encoded").source(error)
}

/// # Errors
/// `Damaged` for bytes that [`encode`] did not make.
pub(super) fn decode(bytes: &[u8]) -> Result<(Position, Fields)> {
    let (version, fields) = split(bytes)?;
    match take_from_bytes::<Fields>(fields) {
        Ok((fields, [])) => Ok((version, fields)),
        _ => Err(Error::damaged("a row can't be decoded")),
    }
}

/// The version of a row and the bytes of its fields, without decoding those.
///
/// # Errors
/// As [`decode`].
pub(super) fn split(bytes: &[u8]) -> Result<(Position, &[u8])> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            take_from_bytes::<Position>(rest).map_err(|error| Error::damaged("a row can't be decoded").source(error))
        }
        Some((format, _)) => Err(Error::damaged(format!("a row of the unknown format {format}"))),
        None => Err(Error::damaged("a row without any byte")),
    }
}

/// Some of a row's fields; `wanted` is sorted. The others are passed by without being made.
///
/// # Errors
/// As [`decode`].
pub(super) fn decode_some(bytes: &[u8], wanted: &[FieldId]) -> Result<Fields> {
    let (_, fields) = split(bytes)?;
    some(fields, wanted).ok_or_else(|| Error::damaged("a row can't be decoded"))
}

fn some(bytes: &[u8], wanted: &[FieldId]) -> Option<Fields> {
    let mut fields = Fields::new();
    let (count, mut rest) = take_from_bytes::<u64>(bytes).ok()?;
    let mut wanted = wanted.iter().copied().peekable();
    for _ in 0..count {
        let (field, value) = take_from_bytes::<FieldId>(rest).ok()?;
        while wanted.next_if(|wanted| *wanted < field).is_some() {}
        match wanted.peek() {
            None => break,
            Some(next) if *next == field => {
                let (found, behind) = take_from_bytes::<Value>(value).ok()?;
                fields.set(field, found);
                rest = behind;
            }
            Some(_) => rest = skip_value(value, false)?,
        }
    }
    Some(fields)
}

/// What lies behind a value, by the order of its variants and postcard's form of what is in them.
fn skip_value(bytes: &[u8], in_list: bool) -> Option<&[u8]> {
    const NULL: u32 = 0;
    const BOOL: u32 = 1;
    const INT: u32 = 2;
    const NUMBER: u32 = 3;
    const TEXT: u32 = 4;
    const DATE: u32 = 5;
    const LIST: u32 = 6;
    const JSON: u32 = 7;
    const POINT: u32 = 8;
    let (variant, rest) = take_from_bytes::<u32>(bytes).ok()?;
    match variant {
        NULL => Some(rest),
        BOOL => rest.get(1..),
        NUMBER => rest.get(8..),
        POINT => rest.get(16..),
        INT | DATE => rest.get(rest.iter().position(|byte| byte & 0x80 == 0)? + 1..),
        TEXT | JSON => {
            let (length, rest) = take_from_bytes::<u64>(rest).ok()?;
            rest.get(usize::try_from(length).ok()?..)
        }
        // A list has none in it, as reading one has it.
        LIST if !in_list => {
            let (count, mut rest) = take_from_bytes::<u64>(rest).ok()?;
            for _ in 0..count {
                rest = skip_value(rest, true)?;
            }
            Some(rest)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    #[test]
    fn some_fields_of_a_row_are_those_of_the_whole() {
        let values = [
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(5),
            Value::Number(-0.5),
            Value::text("a text that is longer than a length of one byte can say".repeat(4)),
            Value::Date(Millis(-1)),
            Value::List(vec![Value::text("a"), Value::Int(300), Value::Null]),
            Value::Json("[1,2]".into()),
            Value::Point(1.5, -2.5),
        ];
        let all: Fields = (3..).step_by(50).map(FieldId).zip(values).collect();
        let row = encode(Position::default(), &all).expect("encodable").into_bytes();
        let ids: Vec<FieldId> = all.iter().map(|(id, _)| id).collect();
        for pattern in 0u32..1 << ids.len() {
            let wanted: Vec<FieldId> = (0..ids.len()).filter(|at| pattern >> at & 1 == 1).map(|at| ids[at]).collect();
            let mut expected = all.clone();
            expected.retain(|id| wanted.contains(&id));
            assert_eq!(decode_some(&row, &wanted).expect("a row"), expected);
        }
        let others = [FieldId(1), FieldId(4), FieldId(53), FieldId(10_000)];
        assert_eq!(decode_some(&row, &others).expect("a row").len(), 1);
        let last = [*ids.last().expect("one")];
        for end in 0..row.len() {
            assert!(decode_some(&row[..end], &last).is_err(), "cut at {end}");
        }
    }
}
