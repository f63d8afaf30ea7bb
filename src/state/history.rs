//! Which epoch each entry was written in, and so which positions this history has.
//!
//! ```text
//! began      01 | postcard of the epoch before
//! ```
//!
//! Invariant: there is a key for each entry that began an epoch, but for the log's very first.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::id::{Epoch, Position, Seq};
use crate::state::key;
use crate::state::stack::Read;

const FORMAT: u8 = 0x01;

/// The epoch of an entry of the history that ends at `now`.
///
/// # Errors
/// `Damaged`, or the base's.
pub fn epoch_of(read: &dyn Read, now: Position, seq: Seq) -> Result<Epoch> {
    let (from, to) = key::began_behind(seq);
    match read.scan(&from, &to, false)?.next() {
        Some(pair) => decode(pair?.value()),
        None => Ok(now.epoch),
    }
}

/// Whether the history that ends at `now` has a position. One before everything is in every history.
///
/// # Errors
/// As [`epoch_of`].
pub fn knows(read: &dyn Read, now: Position, position: Position) -> Result<bool> {
    if position.seq == Seq::ZERO {
        return Ok(true);
    }
    // Nobody has ever been given one of this epoch that lies before its begin.
    let is_now = position.epoch == now.epoch;
    Ok(position.seq <= now.seq && (is_now || epoch_of(read, now, position.seq)? == position.epoch))
}

/// The last positions of the epochs that have ended, oldest first.
///
/// # Errors
/// As [`epoch_of`].
pub fn ended(read: &dyn Read) -> Result<Vec<Position>> {
    let (from, to) = key::began_behind(Seq::ZERO);
    let pairs = read.scan(&from, &to, false)?;
    let ended = pairs.map(|pair| {
        let pair = pair?;
        Ok(Position { epoch: decode(pair.value())?, seq: key::split_began(pair.key())?.before() })
    });
    ended.collect()
}

pub(super) fn encode(epoch: Epoch) -> Result<Bytes> {
    let bytes = postcard::to_extend(&epoch, vec![FORMAT])
        .map_err(|error| Error::internal("an epoch can't be encoded").source(error))?;
    Ok(bytes.into())
}

fn decode(bytes: &[u8]) -> Result<Epoch> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => match postcard::take_from_bytes::<Epoch>(rest) {
            Ok((epoch, [])) => Ok(epoch),
            _ => Err(malformed()),
        },
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::damaged("the begin of an epoch can't be read")
}
