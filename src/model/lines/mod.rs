//! The lines of a body that comes in pieces: NDJSON, one JSON object a line, or CSV (RFC 4180), whose first row names
//! the columns. Only split here; what a line says is the pipeline's question.
//!
//! Invariants: however the bytes are cut into pieces, the lines are the same; nothing is held but the piece that is
//! being filled, which is bounded, and of a line over `limits::LINE_BYTES_MAX` not even that.

mod ndjson;
mod piece;
mod table;

#[cfg(test)]
mod tests;

use ndjson::Ndjson;
use table::Table;

pub use piece::{Cells, Line, Piece, Text};

/// How records stand in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values; the first row names the columns.
    Csv,
}

/// What a text may begin with, and means nothing.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Makes lines of bytes.
#[derive(Debug)]
pub struct Splitter {
    format: Format,
    /// How many bytes of a byte order mark were met; `None` behind the text's beginning.
    mark: Option<usize>,
}

#[derive(Debug)]
enum Format {
    Ndjson(Ndjson),
    Csv(Box<Table>),
}

impl Splitter {
    /// At the beginning of a text.
    pub fn new(form: Form) -> Splitter {
        let format = match form {
            Form::Ndjson => Format::Ndjson(Ndjson::new()),
            Form::Csv => Format::Csv(Box::new(Table::new())),
        };
        Splitter { format, mark: Some(0) }
    }

    /// Puts lines into `piece` until it is full or `bytes` are at their end; how many bytes were taken. The beginning
    /// of a line stays in the piece, which must be the same until it is full.
    pub fn feed(&mut self, bytes: &[u8], piece: &mut Piece) -> usize {
        let mut skipped = 0;
        while let Some(met) = self.mark {
            match (BYTE_ORDER_MARK.get(met), bytes.get(skipped)) {
                (Some(_), None) => return skipped,
                (Some(wanted), Some(byte)) if wanted == byte => {
                    self.mark = Some(met + 1);
                    skipped += 1;
                }
                (Some(_), Some(_)) => {
                    self.mark = None;
                    // It was none: less than a line, so there is room for it.
                    self.split(&BYTE_ORDER_MARK[..met], piece);
                }
                (None, _) => self.mark = None,
            }
        }
        skipped + self.split(&bytes[skipped..], piece)
    }

    fn split(&mut self, bytes: &[u8], piece: &mut Piece) -> usize {
        match &mut self.format {
            Format::Ndjson(lines) => lines.feed(bytes, piece),
            Format::Csv(table) => table.feed(bytes, piece),
        }
    }

    /// At the end of the text: its last line, which nothing ended.
    pub fn finish(&mut self, piece: &mut Piece) {
        if let Some(met) = self.mark.take()
            && met < BYTE_ORDER_MARK.len()
        {
            self.split(&BYTE_ORDER_MARK[..met], piece);
        }
        match &mut self.format {
            Format::Ndjson(lines) => lines.finish(piece),
            Format::Csv(table) => table.finish(piece),
        }
    }
}
