//! One frame: its bytes, its checksums and its place in the chain.
//!
//! All integers little endian. A frame starts at a multiple of 8 and is padded with zeros to the next:
//!
//! ```text
//!  0        4            8             12      13    14        16            20         24       32
//! ┌────────┬────────────┬─────────────┬───────┬─────┬─────────┬─────────────┬──────────┬────────┐
//! │ length │ header crc │ payload crc │version│kind │ 0       │ epoch count │ its node │  seq   │
//! ├────────┴────────────┼─────────────┴───────┴─────┴─────────┴─────────────┼──────────┴────────┤
//! │ 32  time, ms        │ 40  chain, 16 bytes                               │ 56  salt          │
//! ├─────────────────────┴───────────────────────────────────────────────────┴───────────────────┤
//! │ 64  payload, `length` bytes, then zeros to a multiple of 8                                  │
//! └─────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Header crc: crc32c over bytes 0..4 and 8..64; it is checked before the length is used. Kind 1 is an entry (salt 0),
//! kind 2 a durable mark: no payload, the seq known to be durable when it was written, the chain there, and the salt of
//! its segment, which no client can know and so not forge inside of a payload.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use crate::id::{Chain, Epoch, NodeId, Position, Seq};
use crate::limits;
use crate::time::Millis;

/// Bytes of a frame's header.
pub(super) const HEADER: usize = 64;
/// Frames start at its multiples.
pub(super) const ALIGN: usize = 8;
/// Bytes of a durable mark.
pub(super) const MARK: usize = HEADER;
/// The newest frame format this server reads, and the one it writes.
pub(super) const VERSION: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An entry of the log.
    Entry = 1,
    /// A durable mark: local, outside of seq and chain.
    Mark = 2,
}

/// A frame's header but for its length and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) position: Position,
    pub(super) time: Millis,
    pub(super) chain: Chain,
    pub(super) salt: u64,
}

/// What stands at a place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// Zeros: the end of the log.
    Zeros,
    /// Not a frame, and why.
    Bad(&'static str),
    /// A frame of a newer format.
    Newer(u8),
    /// More bytes are needed to tell, so many in all.
    Short(usize),
    /// A frame.
    Whole(Frame, &'a [u8]),
}

/// Bytes of a frame with its padding.
pub(super) fn size(payload: usize) -> usize {
    HEADER + payload.next_multiple_of(ALIGN)
}

/// The chain after an entry: xxh3_128 over the chain before, epoch, seq, time and the payload's xxh3_128. It tells the
/// histories of honest servers apart; it is no cryptographic commitment.
pub(super) fn chain_after(before: Chain, position: Position, time: Millis, payload: &[u8]) -> Chain {
    let mut input = [0; 56];
    input[..16].copy_from_slice(&before.0.to_le_bytes());
    input[16..20].copy_from_slice(&position.epoch.counter.to_le_bytes());
    input[20..24].copy_from_slice(&position.epoch.node.0.to_le_bytes());
    input[24..32].copy_from_slice(&position.seq.0.to_le_bytes());
    input[32..40].copy_from_slice(&time.0.to_le_bytes());
    input[40..].copy_from_slice(&xxh3_128(payload).to_le_bytes());
    Chain(xxh3_128(&input))
}

/// Appends a frame.
pub(super) fn push(into: &mut Vec<u8>, frame: &Frame, payload: &[u8]) {
    assert!(payload.len() <= limits::ENTRY_BYTES_MAX, "an entry is measured when it is encoded");
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8..12].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    header[12] = VERSION;
    header[13] = frame.kind as u8;
    header[16..20].copy_from_slice(&frame.position.epoch.counter.to_le_bytes());
    header[20..24].copy_from_slice(&frame.position.epoch.node.0.to_le_bytes());
    header[24..32].copy_from_slice(&frame.position.seq.0.to_le_bytes());
    header[32..40].copy_from_slice(&frame.time.0.to_le_bytes());
    header[40..56].copy_from_slice(&frame.chain.0.to_le_bytes());
    header[56..].copy_from_slice(&frame.salt.to_le_bytes());
    let crc = header_crc(&header);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    into.reserve(size(payload.len()));
    into.extend_from_slice(&header);
    into.extend_from_slice(payload);
    into.resize(into.len().next_multiple_of(ALIGN), 0);
}

/// Reads the frame at the head of `bytes`; header, payload and padding are verified, its place in the chain is not.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Parsed::Short(HEADER) };
    if header.iter().all(|b| *b == 0) {
        return Parsed::Zeros;
    }
    let frame = match parse_header(header) {
        Ok(frame) => frame,
        Err(other) => return other,
    };
    let length = u32_at(header, 0) as usize;
    let Some(body) = bytes.get(HEADER..size(length)) else { return Parsed::Short(size(length)) };
    let (payload, padding) = body.split_at(length);
    if crc32c::crc32c(payload) != u32_at(header, 8) {
        return Parsed::Bad("the payload's checksum does not match");
    }
    if padding.iter().any(|b| *b != 0) {
        return Parsed::Bad("its padding is not zero");
    }
    Parsed::Whole(frame, payload)
}

/// Reads a frame's header alone: its length and payload are not looked at.
///
/// # Errors
/// What stands there instead.
pub(super) fn parse_header(header: &[u8; HEADER]) -> Result<Frame, Parsed<'static>> {
    if header_crc(header) != u32_at(header, 4) {
        return Err(Parsed::Bad("the header's checksum does not match"));
    }
    if header[12] > VERSION {
        return Err(Parsed::Newer(header[12]));
    }
    let kind = match header[13] {
        1 => Kind::Entry,
        2 => Kind::Mark,
        _ => return Err(Parsed::Bad("its kind is unknown")),
    };
    if u32_at(header, 0) as usize > limits::ENTRY_BYTES_MAX {
        return Err(Parsed::Bad("its length is over the bound"));
    }
    let epoch = Epoch { counter: u32_at(header, 16), node: NodeId(u32_at(header, 20)) };
    Ok(Frame {
        kind,
        position: Position { epoch, seq: Seq(u64_at(header, 24)) },
        time: Millis(u64_at(header, 32) as i64),
        chain: Chain(u128_at(header, 40)),
        salt: u64_at(header, 56),
    })
}

/// The highest seq that a durable mark of this segment names anywhere from `from` (a multiple of 8) on, whatever
/// stands between.
pub(super) fn highest_mark(bytes: &[u8], from: usize, salt: u64) -> Option<Seq> {
    let salt_at = Range { start: HEADER - 8, end: HEADER };
    let places = bytes.get(from..)?.windows(HEADER).step_by(ALIGN);
    let salted = places.filter(|window| window[salt_at.clone()] == salt.to_le_bytes());
    salted
        .filter_map(|window| match parse(window) {
            Parsed::Whole(Frame { kind: Kind::Mark, position, .. }, _) => Some(position.seq),
            _ => None,
        })
        .max()
}

fn header_crc(header: &[u8; HEADER]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..4]), &header[8..])
}

/// A little-endian `u32` at an offset that lies within `bytes`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A little-endian `u64` at an offset that lies within `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// A little-endian `u128` at an offset that lies within `bytes`.
pub(super) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = (Frame, Vec<u8>)> {
        let payload = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..100),
            proptest::collection::vec(any::<u8>(), 4000..5000)
        ];
        (any::<(bool, u32, u32, u64, i64, u128, u64)>(), payload).prop_map(
            |((mark, counter, node, seq, time, chain, salt), payload)| {
                let kind = if mark { Kind::Mark } else { Kind::Entry };
                let position = Position { epoch: Epoch { counter, node: NodeId(node) }, seq: Seq(seq) };
                (Frame { kind, position, time: Millis(time), chain: Chain(chain), salt }, payload)
            },
        )
    }

    proptest! {
        #[test]
        fn a_frame_reads_back((frame, payload) in frames(), behind in any::<[u8; 9]>()) {
            let mut bytes = Vec::new();
            push(&mut bytes, &frame, &payload);
            prop_assert_eq!(bytes.len(), size(payload.len()));
            prop_assert_eq!(bytes.len() % ALIGN, 0);
            bytes.extend(behind);
            prop_assert_eq!(parse(&bytes), Parsed::Whole(frame, &payload[..]));
        }

        #[test]
        fn no_changed_byte_and_no_cut_of_a_frame_goes_unseen((frame, payload) in frames(), place in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut bytes = Vec::new();
            push(&mut bytes, &frame, &payload);
            let at = place.index(bytes.len());
            prop_assert!(matches!(parse(&bytes[..at]), Parsed::Short(_)));
            bytes[at] ^= flip;
            prop_assert!(!matches!(parse(&bytes), Parsed::Whole(..)), "byte {} changed by {}", at, flip);
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic() {
        proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..300))| {
            prop_assert!(!matches!(parse(&bytes), Parsed::Whole(..)));
        });
    }

    #[test]
    fn the_stored_form_of_a_frame_is_fixed_for_ever() {
        let position = Position { epoch: Epoch { counter: 2, node: NodeId(0x0102_0304) }, seq: Seq(7) };
        let before = Chain(5);
        let chain = chain_after(before, position, Millis(1_700_000_000_000), b"abc");
        let frame = Frame { kind: Kind::Entry, position, time: Millis(1_700_000_000_000), chain, salt: 0 };
        let mut bytes = Vec::new();
        push(&mut bytes, &frame, b"abc");
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "03000000cc5304c5b73f4b3601010000020000000403020107000000000000000068e5cf8b010000d9f465b5dba1f5c92ad5c737d319e98100000000000000006162630000000000"
        );
    }

    #[test]
    fn a_newer_frame_is_told_from_a_damaged_one() {
        let frame =
            Frame { kind: Kind::Entry, position: Position::default(), time: Millis(0), chain: Chain(0), salt: 0 };
        let mut bytes = Vec::new();
        push(&mut bytes, &frame, b"abc");
        bytes[12] = VERSION + 1;
        let crc = header_crc(bytes.first_chunk().expect("a header"));
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(parse(&bytes), Parsed::Newer(VERSION + 1));
    }
}
