//! Lines that were split off and wait to be understood.

use crate::limits;

/// Some lines, in order.
#[derive(Debug, Default)]
pub struct Piece {
    /// Of all lines; behind the last one, of one that has not ended.
    pub(super) text: Vec<u8>,
    pub(super) cells: Vec<Cell>,
    pub(super) rows: Vec<Row>,
}

/// A line that has ended.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) text_end: usize,
    pub(super) cells_end: usize,
    pub(super) flaw: Option<LineFlaw>,
}

/// Of a row of CSV.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) end: usize,
    pub(super) quoted: bool,
}

/// Why a line can't be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFlaw {
    TooLong,
    TooManyCells,
    /// The text ends inside of quotes.
    Unquoted,
}

/// A line as it is read.
#[derive(Debug)]
pub struct Line<'a> {
    /// Its number in the text, from 1; of a row of several lines the first one's.
    pub number: u64,
    /// What it says, or why that can't be known: a code and a sentence.
    pub text: Result<Text<'a>, (&'static str, String)>,
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// Of NDJSON.
    Json(&'a [u8]),
    /// Of CSV.
    Cells(Cells<'a>),
}

/// The cells of a row.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'a> {
    text: &'a [u8],
    start: usize,
    cells: &'a [Cell],
}

impl<'a> Cells<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The content of each, and whether it stood in quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], bool)> {
        let text = self.text;
        self.cells.iter().scan(self.start, move |from, cell| {
            let start = std::mem::replace(from, cell.end);
            Some((&text[start..cell.end], cell.quoted))
        })
    }

    /// Bytes of all.
    pub fn bytes(&self) -> usize {
        self.cells.last().map_or(0, |last| last.end - self.start)
    }
}

impl Piece {
    /// Whether it takes no further line.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= limits::ENTRY_CHANGES_PIECE || self.row_start() >= limits::IMPORT_PIECE_BYTES
    }

    /// Whether it has no line.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many lines it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of its lines.
    pub fn bytes(&self) -> usize {
        self.row_start()
    }

    /// The line with this place in it, from 0.
    pub fn line(&self, at: usize) -> Option<Line<'_>> {
        let row = self.rows.get(at)?;
        let (start, cells_start) =
            at.checked_sub(1).map_or((0, 0), |before| (self.rows[before].text_end, self.rows[before].cells_end));
        let text = match row.flaw {
            Some(flaw) => Err(flaw.said()),
            None if row.cells_end > cells_start => {
                let cells = &self.cells[cells_start..row.cells_end];
                Ok(Text::Cells(Cells { text: &self.text, start, cells }))
            }
            None => Ok(Text::Json(&self.text[start..row.text_end])),
        };
        Some(Line { number: row.line, text })
    }

    /// All lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        (0..self.rows.len()).map_while(|at| self.line(at))
    }

    /// Takes out the first line, which alone is in what comes back.
    pub fn split_first(&mut self) -> Option<Piece> {
        if self.rows.is_empty() {
            return None;
        }
        let row = self.rows.remove(0);
        let (text_end, cells_end) = (row.text_end, row.cells_end);
        let first = Piece {
            text: self.text.drain(..text_end).collect(),
            cells: self.cells.drain(..cells_end).collect(),
            rows: vec![row],
        };
        for row in &mut self.rows {
            row.text_end -= text_end;
            row.cells_end -= cells_end;
        }
        self.cells.iter_mut().for_each(|cell| cell.end -= text_end);
        Some(first)
    }

    /// Where the line begins that has not ended.
    pub(super) fn row_start(&self) -> usize {
        self.rows.last().map_or(0, |row| row.text_end)
    }

    /// Where its cells do.
    pub(super) fn cells_start(&self) -> usize {
        self.rows.last().map_or(0, |row| row.cells_end)
    }

    /// Ends the line.
    pub(super) fn end_row(&mut self, line: u64, flaw: Option<LineFlaw>) {
        if flaw.is_some() {
            self.forget_row();
        }
        self.rows.push(Row { line, text_end: self.text.len(), cells_end: self.cells.len(), flaw });
    }

    /// Forgets what there is of the line that has not ended.
    pub(super) fn forget_row(&mut self) {
        self.text.truncate(self.row_start());
        self.cells.truncate(self.cells_start());
    }
}

impl LineFlaw {
    fn said(self) -> (&'static str, String) {
        match self {
            LineFlaw::TooLong => ("line_too_long", format!("a line has at most {} bytes", limits::LINE_BYTES_MAX)),
            LineFlaw::TooManyCells => {
                ("too_many_cells", format!("a row has at most {} cells", limits::CSV_COLUMNS_MAX))
            }
            LineFlaw::Unquoted => ("bad_csv", "a quote is not closed".to_owned()),
        }
    }
}
