//! Tallies: for each filling of a collection the number of its rows and an order-free digest of them.
//!
//! The digest is the wrapping sum over all rows of `xxh3_128(fields, seed = xxh3_64(id))`, where `fields` are the
//! postcard bytes of the (field id, non-null value) pairs in the order of the ids. It says nothing about versions and
//! field names: two states with equal rows have equal digests however they came to be.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::error::{Error, Result};
use crate::id::RecordId;

/// Rows of a filling, counted and digested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many rows.
    pub count: u64,
    /// Sum of their hashes.
    pub digest: u128,
}

/// What a change adds to a [`Tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TallyDelta {
    /// Rows more or fewer.
    pub count: i64,
    /// To be added, wrapping.
    pub digest: u128,
}

/// The hash of one row, from its encoded fields.
pub(super) fn hash(id: &RecordId, fields: &[u8]) -> u128 {
    xxh3_128_with_seed(fields, xxh3_64(id.as_str().as_bytes()))
}

impl Tally {
    /// The tally after a change.
    ///
    /// # Errors
    /// `Damaged` if fewer rows than none would be left.
    pub fn plus(self, delta: TallyDelta) -> Result<Tally> {
        let count = self.count.checked_add_signed(delta.count);
        let count = count.ok_or_else(|| Error::damaged("more rows deleted than there are"))?;
        Ok(Tally { count, digest: self.digest.wrapping_add(delta.digest) })
    }

    /// As stored; nothing for an empty filling, so that equal states have equal keys.
    pub(super) fn encode(self) -> Option<Bytes> {
        if self == Tally::default() {
            return None;
        }
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.count.to_be_bytes());
        bytes[8..].copy_from_slice(&self.digest.to_be_bytes());
        Some(Bytes::copy_from_slice(&bytes))
    }

    /// # Errors
    /// `Damaged` for bytes that `encode` did not make.
    pub(super) fn decode(bytes: &[u8]) -> Result<Tally> {
        let wrong = || Error::damaged("a tally can't be decoded");
        let (count, digest) = bytes.split_at_checked(8).ok_or_else(wrong)?;
        Ok(Tally {
            count: u64::from_be_bytes(count.try_into().map_err(|_| wrong())?),
            digest: u128::from_be_bytes(digest.try_into().map_err(|_| wrong())?),
        })
    }
}

impl TallyDelta {
    /// A row came.
    pub(super) fn add(&mut self, hash: u128) {
        self.count += 1;
        self.digest = self.digest.wrapping_add(hash);
    }

    /// A row went.
    pub(super) fn subtract(&mut self, hash: u128) {
        self.count -= 1;
        self.digest = self.digest.wrapping_sub(hash);
    }
}
