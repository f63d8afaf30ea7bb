//! An import as it goes: a load for each piece of its lines, prepared while the one before is decided.

use std::sync::Arc;

use super::prepare::{Prepared, names};
use super::{Import, Report, Source};
use crate::core::Awaited;
use crate::error::{Error, Result};
use crate::model::command::{Command, Committed, Refusal, STALE_SCHEMA, Write};
use crate::model::lines::{Form, Piece, Splitter};
use crate::service::writes::{STALE_TRIES, keeps_changing};

pub(super) fn run(import: &Import, source: &mut dyn Source, report: &mut Report) -> Result<()> {
    let mut work = Work { import, report, columns: None, flight: None };
    let done = each_piece(import.terms.form, source, |piece| work.take(piece));
    // Whatever ended it: lines that are being decided are told of as they come out.
    let landed = work.land();
    done.and(landed)
}

/// Hands on all that `source` gives as pieces that are full, but for the last one.
pub(super) fn each_piece(form: Form, source: &mut dyn Source, mut take: impl FnMut(Piece) -> Result<()>) -> Result<()> {
    let (mut splitter, mut piece) = (Splitter::new(form), Piece::default());
    while let Some(bytes) = source.next()? {
        let mut at = 0;
        while at < bytes.len() {
            at += splitter.feed(&bytes[at..], &mut piece);
            if piece.is_full() {
                take(std::mem::take(&mut piece))?;
            }
        }
    }
    splitter.finish(&mut piece);
    take(piece)
}

struct Work<'a> {
    import: &'a Import,
    report: &'a mut Report,
    /// The columns of a table, once its first row was met.
    columns: Option<Vec<String>>,
    /// The lines that are being decided.
    flight: Option<Flight>,
}

/// Lines on their way.
struct Flight {
    piece: Piece,
    /// How many of its lines are decided.
    settled: usize,
    writes: Arc<[Write]>,
    rows: Vec<usize>,
    refused: Vec<(usize, Refusal)>,
    /// `None` where no line could become a write.
    awaited: Option<Awaited>,
}

impl Work<'_> {
    /// Prepares further lines, and has them decided as soon as those before them are.
    fn take(&mut self, mut piece: Piece) -> Result<()> {
        if self.import.terms.form == Form::Csv && self.columns.is_none() {
            self.columns = names(&mut piece)?;
            // Also a table without rows has columns that can be wrong.
            self.prepare(&Piece::default(), 0)?;
        }
        if piece.is_empty() {
            return Ok(());
        }
        let prepared = self.prepare(&piece, 0)?;
        self.land()?;
        self.flight = Some(self.launch(piece, 0, prepared)?);
        Ok(())
    }

    fn prepare(&self, piece: &Piece, from: usize) -> Result<Prepared> {
        self.import.prepare(piece, from, self.columns.as_deref())
    }

    fn launch(&self, piece: Piece, settled: usize, prepared: Prepared) -> Result<Flight> {
        let Prepared { writes, rows, refused } = prepared;
        let writes: Arc<[Write]> = writes.into();
        let awaited = self.send(&writes, 0)?;
        Ok(Flight { piece, settled, writes, rows, refused, awaited })
    }

    fn send(&self, writes: &Arc<[Write]>, from: usize) -> Result<Option<Awaited>> {
        if from == writes.len() {
            return Ok(None);
        }
        self.import.stands()?;
        self.import.service.core().send_when_room(Command::Load { writes: writes.clone(), from }).map(Some)
    }

    /// Waits until the lines on their way are decided, all of them.
    fn land(&mut self) -> Result<()> {
        let Some(mut flight) = self.flight.take() else { return Ok(()) };
        let mut tries = 0;
        while let Some(awaited) = flight.awaited.take() {
            match awaited.wait() {
                Ok(committed) => {
                    let decided = self.settle(&mut flight, committed)?;
                    flight.awaited = self.send(&flight.writes, decided)?;
                }
                Err(error) if error.code_str() == STALE_SCHEMA => {
                    tries += 1;
                    if tries == STALE_TRIES {
                        return Err(keeps_changing());
                    }
                    // Its definition has moved: what is not decided is looked at again.
                    let prepared = self.prepare(&flight.piece, flight.settled)?;
                    flight = self.launch(flight.piece, flight.settled, prepared)?;
                }
                Err(error) => return Err(error),
            }
        }
        let rest = flight.piece.len();
        self.report_up_to(rest, &mut flight, Vec::new());
        Ok(())
    }

    /// Takes note of what became of the first lines; how many of the writes are decided.
    fn settle(&mut self, flight: &mut Flight, committed: Committed) -> Result<usize> {
        let Committed { position, loaded: Some(loaded), .. } = committed else {
            return Err(Error::internal("a load was answered as something else"));
        };
        self.report.created += loaded.created as u64;
        self.report.updated += loaded.updated as u64;
        self.report.position = self.report.position.max(position);
        let line = flight.rows.get(loaded.decided).copied().unwrap_or(flight.piece.len());
        let rows = &flight.rows;
        let refused = loaded.refused.into_iter().map(|(at, refusal)| (rows[at], refusal)).collect();
        self.report_up_to(line, flight, refused);
        Ok(loaded.decided)
    }

    /// Takes note of the lines before one: those that were refused now, and those that were before.
    fn report_up_to(&mut self, line: usize, flight: &mut Flight, mut refused: Vec<(usize, Refusal)>) {
        refused.extend(flight.refused.extract_if(.., |(at, _)| *at < line));
        refused.sort_by_key(|(at, _)| *at);
        for (at, refusal) in refused {
            let number = flight.piece.line(at).map_or(0, |line| line.number);
            self.report.refuse(number, refusal);
        }
        self.report.lines += (line - flight.settled) as u64;
        flight.settled = line;
    }
}
