//! Lines as writes: each checked against the definition of one view, and refused by itself if it has faults.

use std::sync::Arc;

use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::model::command::{Op, Refusal, Write};
use crate::model::guard::Guard;
use crate::model::json;
use crate::model::lines::{Line, Piece, Text};
use crate::model::pipeline::{self, Columns, Row};
use crate::model::schema::Collection;
use crate::service::ids;
use crate::service::import::{Import, importable};
use crate::service::writes::allow_one;

/// The lines of a piece from some place on.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Of those that can be decided.
    pub(super) writes: Vec<Write>,
    /// Which line of the piece each of them is.
    pub(super) rows: Vec<usize>,
    /// Those that can't, by the same number.
    pub(super) refused: Vec<(usize, Refusal)>,
}

impl Import {
    /// The lines of `piece` from the `from`-th on, as of now. `names` are the table's columns.
    ///
    /// # Errors
    /// `Unauthenticated` when the caller's token or key is over; `NotFound` for a collection that is gone; by its rules; `Invalid` for columns that are none.
    pub(super) fn prepare(&self, piece: &Piece, from: usize, names: Option<&[String]>) -> Result<Prepared> {
        let core = self.service.core();
        let asker = self.asker()?;
        let view = core.view();
        let schema = &view.schema;
        let gone = || Error::new(Kind::NotFound, "there is no such collection");
        let collection = match self.collection {
            Some(id) => schema.get(id).ok_or_else(gone)?,
            None => importable(schema, &asker, &self.named, self.terms)?,
        };
        let guard = asker.guard(schema, collection)?;
        allow_one(&guard, self.terms.actions())?;
        let columns = names.map(|names| Columns::new(collection, names, guard.is_superuser())).transpose()?;
        let mut reading =
            Reading { collection, guard: &guard, columns, row: Row::default(), upsert: self.terms.upsert };
        let mut prepared = Prepared {
            writes: Vec::with_capacity(piece.len() - from),
            rows: Vec::with_capacity(piece.len() - from),
            refused: Vec::new(),
        };
        for (at, line) in piece.lines().enumerate().skip(from) {
            let id = ids::record_id(core.clock().now())?;
            match reading.op(&line, id) {
                Ok(op) => {
                    prepared.rows.push(at);
                    prepared.writes.push(self.sealed(&view, collection, write(collection, &guard, op))?);
                }
                Err(error) => prepared.refused.push((at, Refusal::of(error)?)),
            }
        }
        Ok(prepared)
    }

    /// A write with its password hashed, if it sets one: one after the other, so that others' logins come between.
    fn sealed(&self, view: &Published, collection: &Collection, mut write: Write) -> Result<Write> {
        if collection.auth_fields().is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let runtime = runtime.map_err(|error| Error::internal("no runtime").source(error))?;
            runtime.block_on(self.service.seal(view, std::slice::from_mut(&mut write)))?;
        }
        Ok(write)
    }
}

fn write(collection: &Collection, guard: &Guard, op: Op) -> Write {
    Write { collection: collection.id, schema: collection.version, guard: guard.clone(), op }
}

/// What lines are read with.
struct Reading<'a> {
    collection: &'a Arc<Collection>,
    guard: &'a Guard,
    columns: Option<Columns<'a>>,
    row: Row,
    upsert: bool,
}

impl Reading<'_> {
    fn op(&mut self, line: &Line<'_>, id: RecordId) -> Result<Op> {
        let Reading { collection, columns, row, .. } = self;
        let text = line.text.as_ref().map_err(|(code, message)| Error::invalid(message.clone()).code(code))?;
        let (members, bytes) = match (text, columns) {
            (Text::Json(text), _) => {
                (json::members_at(json::checked_text_at(text, line.number)?, line.number)?, text.len())
            }
            (Text::Cells(cells), Some(columns)) => (columns.members(*cells, row)?, cells.bytes()),
            (Text::Cells(_), None) => return Err(Error::internal("a row without columns")),
        };
        pipeline::line(collection, members, bytes, self.upsert, id, self.guard.is_superuser())
    }
}

/// The columns that a table's first row names, which is taken out of `piece`.
///
/// # Errors
/// `Invalid` with code `bad_columns` for a row that can't be read.
pub(super) fn names(piece: &mut Piece) -> Result<Option<Vec<String>>> {
    let Some(first) = piece.split_first() else { return Ok(None) };
    let bad = |why: &str| Error::invalid(format!("the first row must name the columns: {why}")).code("bad_columns");
    let line = first.line(0).ok_or_else(|| bad("it is empty"))?;
    let Text::Cells(cells) = line.text.map_err(|(_, message)| bad(&message))? else {
        return Err(bad("it has no cells"));
    };
    let read = |(cell, _): (&[u8], bool)| std::str::from_utf8(cell).map(|name| name.trim().to_owned());
    cells.iter().map(read).collect::<Result<Vec<String>, _>>().map(Some).map_err(|_| bad("it is not UTF-8"))
}
