//! An import that is one transaction: its lines are held until the last one has come, within the bounds of an entry.
//!
//! With a key, what it is known by is its body as it came and all else that says what its lines are; kept is how many
//! records it made. An import of no lines is kept, too.

use bytes::Bytes;

use super::prepare::names;
use super::work::each_piece;
use super::{Import, Report, Source};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::command::{Command, Refusal, STALE_SCHEMA, Write};
use crate::model::lines::{Form, Piece};
use crate::model::once::Keep;
use crate::service::once::{Begun, Claim};
use crate::service::writes::{STALE_TRIES, keeps_changing};

pub(super) fn run(import: &Import, claim: Option<Claim>, source: &mut dyn Source, report: &mut Report) -> Result<()> {
    let mut source = Hashed { source, claim };
    let lines = Lines::gather(import, &mut source)?;
    let turn = match import.service.begin_claimed(source.claim)? {
        Begun::Now(turn) => turn,
        Begun::Before(committed) => {
            report.done(&committed);
            return Ok(());
        }
    };
    for _ in 0..STALE_TRIES {
        let (writes, numbers) = lines.prepare(import, report)?;
        if writes.is_empty() && !turn.is_keyed() {
            return Ok(());
        }
        import.stands()?;
        let command = turn.keeping(Keep::Counts, Command::Write(writes));
        match import.service.core().send_when_room(command)?.wait() {
            Err(error) if error.code_str() == STALE_SCHEMA => {}
            Err(error) => return Err(told(error, &numbers, report)),
            Ok(committed) => {
                report.done(&committed);
                return Ok(());
            }
        }
    }
    Err(keeps_changing())
}

/// A body that is hashed as it is read, if it is to be known again.
struct Hashed<'a> {
    source: &'a mut dyn Source,
    claim: Option<Claim>,
}

impl Source for Hashed<'_> {
    fn next(&mut self) -> Result<Option<Bytes>> {
        let next = self.source.next()?;
        if let (Some(claim), Some(bytes)) = (&mut self.claim, &next) {
            claim.read(bytes);
        }
        Ok(next)
    }
}

/// All lines.
struct Lines {
    pieces: Vec<Piece>,
    columns: Option<Vec<String>>,
}

impl Lines {
    /// # Errors
    /// `TooLarge` over `limits::ATOMIC_LINES_MAX` or `limits::ATOMIC_BYTES_MAX`; the source's.
    fn gather(import: &Import, source: &mut dyn Source) -> Result<Lines> {
        let mut lines = Lines { pieces: Vec::new(), columns: None };
        let (mut count, mut bytes) = (0, 0);
        each_piece(import.terms.form, source, |mut piece| {
            if import.terms.form == Form::Csv && lines.columns.is_none() {
                lines.columns = names(&mut piece)?;
            }
            count += piece.len();
            bytes += piece.bytes();
            if count > limits::ATOMIC_LINES_MAX || bytes > limits::ATOMIC_BYTES_MAX {
                return Err(too_large());
            }
            lines.pieces.push(piece);
            Ok(())
        })?;
        Ok(lines)
    }

    /// All of them as writes, with their numbers.
    ///
    /// # Errors
    /// That of the first line which can't be one; the report names the others, too.
    fn prepare(&self, import: &Import, report: &mut Report) -> Result<(Vec<Write>, Vec<u64>)> {
        let (mut writes, mut numbers) = (Vec::new(), Vec::new());
        report.lines = 0;
        for piece in &self.pieces {
            let prepared = import.prepare(piece, 0, self.columns.as_deref())?;
            let number = |at: usize| piece.line(at).map_or(0, |line| line.number);
            report.lines += piece.len() as u64;
            for (at, refusal) in prepared.refused {
                report.refuse(number(at), refusal);
            }
            numbers.extend(prepared.rows.into_iter().map(number));
            writes.extend(prepared.writes);
            if report.is_full() {
                break;
            }
        }
        match report.faults.first() {
            None => Ok((writes, numbers)),
            Some(first) => Err(nothing_done(first.line, &first.refusal)),
        }
    }
}

/// A refusal by `decide`, which is about one line or about all.
fn told(error: Error, numbers: &[u64], report: &mut Report) -> Error {
    let Some(line) = error.write().and_then(|at| numbers.get(at)).copied() else { return error };
    match Refusal::of(error) {
        Ok(refusal) => {
            let error = nothing_done(line, &refusal);
            report.refuse(line, refusal);
            error
        }
        Err(error) => error,
    }
}

fn nothing_done(line: u64, refusal: &Refusal) -> Error {
    let message = format!("nothing was done: line {line}: {}", refusal.message);
    Error::new(refusal.kind, message).code(refusal.code)
}

fn too_large() -> Error {
    let (lines, bytes) = (limits::ATOMIC_LINES_MAX, limits::ATOMIC_BYTES_MAX >> 20);
    let message = format!("an atomic import has at most {lines} lines and {bytes} MiB");
    Error::new(Kind::TooLarge, message).code("import_too_large")
}
