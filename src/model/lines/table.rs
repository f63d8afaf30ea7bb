//! Splitting CSV: rows of cells, a cell in quotes may hold anything. What stands in quotes is told apart from what does
//! not: an empty cell says nothing, an empty one in quotes is an empty text.

use csv_core::{ReadFieldResult, Reader};

use super::piece::{Cell, LineFlaw, Piece};
use crate::limits;

/// Bytes of a cell that are read at once.
const SCRATCH_BYTES: usize = 4 << 10;

/// Where a text of rows was left.
#[derive(Debug)]
pub(super) struct Table {
    reader: Reader,
    scratch: [u8; SCRATCH_BYTES],
    /// Number of the line that is read, and of the one that the row began in.
    line: u64,
    row_line: u64,
    /// Bytes of the row, as far as it was read.
    row_bytes: usize,
    flaw: Option<LineFlaw>,
    /// Whether a row has begun, and a cell of it.
    in_row: bool,
    in_cell: bool,
    /// Whether the cell stands in quotes, and how many there were in it.
    quoted: bool,
    quotes: usize,
}

impl Table {
    pub(super) fn new() -> Table {
        let mut reader = Reader::new();
        // It would take a byte order mark for itself, but only one that comes in one piece: past its first byte it
        // looks for none, and a blank line is no row.
        reader.read_field(b"\n", &mut [0]);
        Table {
            reader,
            scratch: [0; SCRATCH_BYTES],
            line: 1,
            row_line: 1,
            row_bytes: 0,
            flaw: None,
            in_row: false,
            in_cell: false,
            quoted: false,
            quotes: 0,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], piece: &mut Piece) -> usize {
        let mut at = 0;
        while at < bytes.len() && !piece.is_full() {
            if !self.in_row && matches!(bytes[at], b'\r' | b'\n') {
                self.line += u64::from(bytes[at] == b'\n');
                at += 1;
                continue;
            }
            at += self.step(&bytes[at..], piece);
        }
        at
    }

    pub(super) fn finish(&mut self, piece: &mut Piece) {
        while self.in_row {
            if self.in_cell && self.quoted && self.quotes % 2 == 1 {
                self.flaw = Some(LineFlaw::Unquoted);
            }
            self.step(&[], piece);
        }
    }

    /// Reads on in one cell; how many bytes were taken.
    fn step(&mut self, bytes: &[u8], piece: &mut Piece) -> usize {
        if !self.in_row {
            (self.in_row, self.row_line, self.row_bytes) = (true, self.line, 0);
        }
        if !self.in_cell {
            (self.in_cell, self.quoted, self.quotes) = (true, bytes.first() == Some(&b'"'), 0);
        }
        let (result, taken, put) = self.reader.read_field(bytes, &mut self.scratch);
        let read = &bytes[..taken];
        self.quotes += read.iter().filter(|byte| **byte == b'"').count();
        self.line += read.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.row_bytes += taken;
        if self.row_bytes > limits::LINE_BYTES_MAX && self.flaw.is_none() {
            self.flaw = Some(LineFlaw::TooLong);
            piece.forget_row();
        }
        if self.flaw.is_none() {
            piece.text.extend_from_slice(&self.scratch[..put]);
        }
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                self.end_cell(piece);
                if record_end {
                    self.end_row(piece);
                }
            }
            ReadFieldResult::End => self.end_row(piece),
        }
        taken
    }

    fn end_cell(&mut self, piece: &mut Piece) {
        self.in_cell = false;
        if self.flaw.is_some() {
            return;
        }
        if piece.cells.len() - piece.cells_start() == limits::CSV_COLUMNS_MAX {
            self.flaw = Some(LineFlaw::TooManyCells);
            piece.forget_row();
        } else {
            piece.cells.push(Cell { end: piece.text.len(), quoted: self.quoted });
        }
    }

    fn end_row(&mut self, piece: &mut Piece) {
        (self.in_row, self.in_cell) = (false, false);
        piece.end_row(self.row_line, self.flaw.take());
    }
}
