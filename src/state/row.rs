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
use crate::id::Position;
use crate::model::value::Fields;

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
