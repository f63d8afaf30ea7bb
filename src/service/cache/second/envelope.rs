//! The bytes of a value.
//!
//! ```text
//! seal, 32 bytes | generation, u64 | made: seq u64, epoch's counter u32 and node u32 | length of the tag, u16 | tag | body
//! ```
//!
//! Numbers are little-endian; a tag without a byte is none. The seal is a keyed hash of the key, with its length, and of all
//! that comes behind. Invariant: nothing is read of a value before its seal is found good.

use bytes::Bytes;

use crate::id::{Epoch, NodeId, Position, Seq};
use crate::service::cache::Found;

/// Bytes before the tag.
const HEAD: usize = blake3::OUT_LEN + 8 + 8 + 4 + 4 + 2;

/// Closes values and opens them.
#[derive(Clone)]
pub(super) struct Seal([u8; blake3::KEY_LEN]);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

/// What a value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inside {
    pub(super) generation: u64,
    pub(super) made: Position,
    pub(super) found: Found,
}

impl Seal {
    pub(super) fn new(secret: &[u8]) -> Seal {
        Seal(blake3::derive_key("millpond: values of the second tier of the cache", secret))
    }

    fn of(&self, key: &[u8], rest: &[u8]) -> blake3::Hash {
        let mut hash = blake3::Hasher::new_keyed(&self.0);
        hash.update(&(key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update(rest);
        hash.finalize()
    }

    pub(super) fn close(&self, key: &[u8], inside: &Inside) -> Vec<u8> {
        let Inside { generation, made, found } = inside;
        let tag = found.tag.as_deref().unwrap_or_default();
        let mut value = vec![0; blake3::OUT_LEN];
        value.reserve(HEAD + tag.len() + found.body.len());
        value.extend_from_slice(&generation.to_le_bytes());
        value.extend_from_slice(&made.seq.0.to_le_bytes());
        value.extend_from_slice(&made.epoch.counter.to_le_bytes());
        value.extend_from_slice(&made.epoch.node.0.to_le_bytes());
        // A version and a hash: some dozen bytes.
        value.extend_from_slice(&(tag.len() as u16).to_le_bytes());
        value.extend_from_slice(tag);
        value.extend_from_slice(&found.body);
        let seal = self.of(key, &value[blake3::OUT_LEN..]);
        value[..blake3::OUT_LEN].copy_from_slice(seal.as_bytes());
        value
    }

    /// `None` for what [`Seal::close`] has not made for this key.
    pub(super) fn open(&self, key: &[u8], value: &Bytes) -> Option<Inside> {
        let (seal, rest) = value.split_first_chunk::<{ blake3::OUT_LEN }>()?;
        // In constant time: who may write values would else learn the seal of one byte by byte.
        if self.of(key, rest) != *seal {
            return None;
        }
        let (generation, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (node, rest) = rest.split_first_chunk()?;
        let (tag, _) = rest.split_first_chunk()?;
        let body = HEAD.checked_add(usize::from(u16::from_le_bytes(*tag))).filter(|from| *from <= value.len())?;
        let epoch = Epoch { counter: u32::from_le_bytes(*counter), node: NodeId(u32::from_le_bytes(*node)) };
        let tag = value.slice(HEAD..body);
        Some(Inside {
            generation: u64::from_le_bytes(*generation),
            made: Position { epoch, seq: Seq(u64::from_le_bytes(*seq)) },
            found: Found { body: value.slice(body..), tag: (!tag.is_empty()).then_some(tag) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_for_its_own_key_and_by_its_own_secret_only() {
        let (seal, other) = (Seal::new(b"one"), Seal::new(b"other"));
        for (tag, body) in [(Some("\"1-2-3~abc\""), "{}"), (None, ""), (None, "a longer body")] {
            let found = Found { body: Bytes::from(body), tag: tag.map(Bytes::from) };
            let made = Position { epoch: Epoch { counter: 7, node: NodeId(8) }, seq: Seq(u64::MAX - 1) };
            let inside = Inside { generation: 9, made, found };
            let value = Bytes::from(seal.close(b"key", &inside));
            assert_eq!(seal.open(b"key", &value), Some(inside));
            assert_eq!((seal.open(b"kez", &value), other.open(b"key", &value)), (None, None));
            for at in 0..value.len() {
                assert_eq!(seal.open(b"key", &value.slice(..at)), None, "cut at {at}");
                for bit in 0..8 {
                    let mut flipped = value.to_vec();
                    flipped[at] ^= 1 << bit;
                    assert_eq!(seal.open(b"key", &flipped.into()), None, "bit {bit} of byte {at}");
                }
            }
            assert_eq!(seal.open(b"key", &[&value[..], b"x"].concat().into()), None);
        }
    }
}
