//! One line and its number.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Level;
use crate::time::Millis;

/// A line's number. Numbers begin with the time, so that one is not given out again when the files are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineId(pub(super) u64);

/// Letters of its text.
const LETTERS: usize = 15;

impl LineId {
    /// The number of a line that comes behind `self` at a time.
    pub(super) fn next(self, now: Millis) -> LineId {
        let by_time = u64::try_from(now.0).unwrap_or(0) << 10;
        LineId(by_time.max(self.0 + 1))
    }

    /// Reads what [`LineId`] is written as; `None` for anything else.
    pub fn parse(text: &str) -> Option<LineId> {
        let letters = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z');
        let good = text.len() == LETTERS && text.bytes().all(letters);
        good.then(|| u64::from_str_radix(text, 36).ok().map(LineId))?
    }
}

impl fmt::Display for LineId {
    /// In letters and digits, of one length, so that the order of the texts is that of the numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; LETTERS];
        let mut left = self.0;
        for letter in text.iter_mut().rev() {
            *letter = b"0123456789abcdefghijklmnopqrstuvwxyz"[(left % 36) as usize];
            left /= 36;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// A line as it is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Millis,
    /// How grave.
    pub level: Level,
    /// What it is about, in a few words.
    pub message: Box<str>,
    /// The text of a JSON object.
    pub data: Box<str>,
}

/// A line as it is kept. Its postcard bytes are a stored format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number.
    pub id: LineId,
    /// When.
    pub at: Millis,
    /// How grave: [`Level::number`].
    pub level: i8,
    /// What it is about, in a few words.
    pub message: Box<str>,
    /// The text of a JSON object.
    pub data: Box<str>,
}

impl Line {
    pub(super) fn new(id: LineId, entry: Entry) -> Line {
        let Entry { at, level, message, data } = entry;
        Line { id, at, level: level.number(), message, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_and_its_texts_have_its_order() {
        let numbers = [0, 1, 35, 36, 1_800_000_000_000 << 10, u64::MAX].map(LineId);
        let texts = numbers.map(|number| number.to_string());
        assert!(texts.is_sorted());
        assert_eq!(texts.each_ref().map(|text| LineId::parse(text)), numbers.map(Some));
        for bad in ["", "0", "00000000000000A", "0000000000000000", "+00000000000001", "zzzzzzzzzzzzzzz"] {
            assert_eq!(LineId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_grow_whatever_the_clock_does() {
        let first = LineId::default().next(Millis(5_000));
        assert!(first.next(Millis(5_000)) > first && first.next(Millis(1)) > first);
        assert!(first.next(Millis(6_000)).0 > first.0 + 1, "behind a gap in time lies a gap in numbers");
    }
}
