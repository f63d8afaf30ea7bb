//! Splitting NDJSON: a line ends with a newline, before which a carriage return may stand; blank lines are none.

use memchr::memchr;

use super::piece::{LineFlaw, Piece};
use crate::limits;

/// Where a text of lines was left.
#[derive(Debug)]
pub(super) struct Ndjson {
    /// Number of the line that has not ended.
    line: u64,
    /// Whether it is too long: what is left of it is passed over.
    too_long: bool,
}

impl Ndjson {
    pub(super) fn new() -> Ndjson {
        Ndjson { line: 1, too_long: false }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], piece: &mut Piece) -> usize {
        let mut at = 0;
        while at < bytes.len() && !piece.is_full() {
            let rest = &bytes[at..];
            let end = memchr(b'\n', rest);
            self.add(&rest[..end.unwrap_or(rest.len())], piece);
            at += end.map_or(rest.len(), |end| end + 1);
            if end.is_some() {
                self.end(piece);
            }
        }
        at
    }

    pub(super) fn finish(&mut self, piece: &mut Piece) {
        self.end(piece);
    }

    fn add(&mut self, bytes: &[u8], piece: &mut Piece) {
        if self.too_long {
            return;
        }
        if piece.text.len() - piece.row_start() + bytes.len() > limits::LINE_BYTES_MAX {
            self.too_long = true;
            piece.forget_row();
        } else {
            piece.text.extend_from_slice(bytes);
        }
    }

    fn end(&mut self, piece: &mut Piece) {
        let line = self.line;
        self.line += 1;
        let flaw = std::mem::take(&mut self.too_long).then_some(LineFlaw::TooLong);
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        if flaw.is_none() && piece.text[piece.row_start()..].iter().all(blank) {
            piece.forget_row();
        } else {
            piece.end_row(line, flaw);
        }
    }
}
