//! A file of lines: its name, its bytes.
//!
//! Assumed of the medium: nothing. What has no sound checksum ends the file for its readers; a length of 0, as a file has
//! it that grew and lost its content, is no line.

use crate::limits;
use crate::time::Millis;

use super::line::{Line, LineId};

/// How a file begins: what it is, and its format's version.
pub(super) const MAGIC: &[u8; 8] = b"MPLINES1";
const END: &str = ".lines";
/// Bytes of a frame before its line.
const HEAD: usize = 8;

/// A file as it is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The number of its first line, and its name.
    pub(super) first: LineId,
    pub(super) lines: u64,
    /// Up to the end of the last line.
    pub(super) bytes: u64,
    /// The time of its newest line.
    pub(super) newest: Millis,
}

impl Held {
    /// A file without lines.
    pub(super) fn empty(first: LineId) -> Held {
        Held { first, lines: 0, bytes: MAGIC.len() as u64, newest: Millis::MIN }
    }

    pub(super) fn name(&self) -> String {
        format!("{:020}{END}", self.first.0)
    }
}

/// The first line that a file's name says; `None` for what is no name of ours.
pub(super) fn first_of(name: &str) -> Option<LineId> {
    let digits = name.strip_suffix(END).filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok().map(LineId))?
}

/// Appends a line's frame.
pub(super) fn push(out: &mut Vec<u8>, line: &Line) {
    // A postcard of plain numbers and texts into a growing buffer has no way to fail.
    let payload = postcard::to_stdvec(line).unwrap_or_default();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    out.extend_from_slice(&payload);
}

/// The lines of a file and where the last sound one ends; of what is no such file nothing, and 0.
pub(super) fn lines(bytes: &[u8]) -> (Vec<Line>, usize) {
    let mut found = Vec::new();
    if !bytes.starts_with(MAGIC) {
        return (found, 0);
    }
    let mut at = MAGIC.len();
    while let Some((line, length)) = frame(&bytes[at..]) {
        at += length;
        found.push(line);
    }
    (found, at)
}

fn frame(bytes: &[u8]) -> Option<(Line, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let payload = rest.get(..length).filter(|_| (1..=limits::JOURNAL_LINE_BYTES_MAX).contains(&length))?;
    if crc32c::crc32c(payload) != u32::from_le_bytes(*sum) {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, HEAD + length))
}
