//! How far each handler has come in the log.
//!
//! ```text
//! cursor     01 | postcard of the mark
//! ```
//!
//! Invariant: there is a cursor for each record of `_handlers` and no other.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::id::{Mark, RecordId};
use crate::state::key;
use crate::state::stack::Read;

const FORMAT: u8 = 0x01;

/// The place up to which a handler has dealt with all changes; `None` for one that is not there.
///
/// # Errors
/// `Damaged`, or the base's.
pub fn cursor(read: &dyn Read, handler: &RecordId) -> Result<Option<Mark>> {
    read.get(&key::cursor(handler))?.map(|bytes| decode(&bytes)).transpose()
}

/// All of them, by the handlers' ids.
///
/// # Errors
/// As [`cursor`].
pub fn cursors(read: &dyn Read) -> Result<impl Iterator<Item = Result<(RecordId, Mark)>> + '_> {
    let (from, to) = key::cursors();
    Ok(read.scan(&from, &to, false)?.map(|pair| {
        let pair = pair?;
        Ok((key::split_cursor(pair.key())?, decode(pair.value())?))
    }))
}

pub(super) fn encode(mark: &Mark) -> Result<Bytes> {
    let bytes = postcard::to_extend(mark, vec![FORMAT])
        .map_err(|error| Error::internal("a cursor can't be encoded").source(error))?;
    Ok(bytes.into())
}

fn decode(bytes: &[u8]) -> Result<Mark> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => match postcard::take_from_bytes::<Mark>(rest) {
            Ok((mark, [])) => Ok(mark),
            _ => Err(malformed()),
        },
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::damaged("the cursor of a handler can't be read")
}
