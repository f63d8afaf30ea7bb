//! Exporting records: what a caller may list, as NDJSON or CSV, all of it from one view.
//!
//! A thread of its own writes the rows down at disk speed (`spool`), under bounds of time and room; then the view is let
//! go, and the file is sent at the client's pace. An export shows records as they are: the collection's own look is not
//! applied, relations are ids, so that an import of it gives the same records.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::limits;
use crate::model::guard::Action;
use crate::model::lines::Form;
use crate::model::look::{Look, Nothing, Wanted};
use crate::model::mask::Part;
use crate::model::pipeline;
use crate::model::query::Query;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::service::import::busy;
use crate::service::records::find;
use crate::service::spool::Spool;
use crate::service::{Asker, Service};
use crate::state::query as queries;

/// What an export is to hold.
#[derive(Clone, Copy, Debug)]
pub struct ExportRequest<'a> {
    /// How records stand in it.
    pub form: Form,
    /// What holds of each record.
    pub filter: Option<&'a str>,
    /// The parts of each; its id and its fields, where nothing is said.
    pub fields: Option<&'a str>,
    /// Read at this position or later.
    pub min: Option<Position>,
}

/// Records written down. The file goes when this is dropped.
#[derive(Debug)]
pub struct Export {
    /// The position that they were read at.
    pub position: Position,
    /// The name of their collection.
    pub collection: Box<str>,
    /// How many there are.
    pub records: usize,
    spool: Spool,
}

impl Export {
    /// Bytes of it.
    pub fn bytes(&self) -> u64 {
        self.spool.len()
    }

    /// The next bytes behind `at`, none at the end. It may wait for the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, at: u64) -> Result<Bytes> {
        self.spool.read(at)
    }
}

impl Service {
    /// Writes records down.
    ///
    /// # Errors
    /// `NotFound` for the collection; by its rule; `Invalid` for what was asked; `Unprocessable` with code
    /// `export_too_large` where it takes over `limits::SPOOL_TIME_MAX`; `Unavailable` while as many are running as may, with
    /// code `no_room` where the disk is short of it, or where `min` is not reached.
    pub async fn export(&self, asker: &Asker, collection: &str, request: ExportRequest<'_>) -> Result<Export> {
        let view = self.view(request.min).await?;
        let exporting = self.exporting(asker, collection, request, view)?;
        let place = self.0.exports.take().ok_or_else(|| busy("exports", limits::EXPORTS_MAX))?;
        let spool = self.0.spools.create()?;
        let (answer, outcome) = oneshot::channel();
        let work = move || {
            let gone = || answer.is_closed();
            let deadline = Instant::now() + limits::SPOOL_TIME_MAX;
            let done = catch_unwind(AssertUnwindSafe(|| exporting.write_down(spool, deadline, gone)));
            drop(place);
            // A caller that hung up is no fault.
            let _ = answer.send(done.unwrap_or_else(|_| Err(Error::internal("an export panicked"))));
        };
        let thread = std::thread::Builder::new().name("export".to_owned()).spawn(work);
        thread.map_err(|error| Error::internal("no thread for an export").source(error))?;
        outcome.await.unwrap_or_else(|_| Err(Error::internal("an export's thread is gone")))
    }

    fn exporting(
        &self,
        asker: &Asker,
        collection: &str,
        request: ExportRequest<'_>,
        view: Arc<Published>,
    ) -> Result<Exporting> {
        let collection = find(&view.schema, collection)?.clone();
        let guard = asker.guard(&view.schema, &collection)?;
        guard.allow(Action::List)?;
        let sees_hidden = guard.is_superuser();
        let look = look(&view.schema, &collection, request, sees_hidden)?;
        let filter = match request.filter {
            Some(text) => self.0.lists.filter(asker, &view.schema, &collection, text, sees_hidden)?,
            None => None,
        };
        let query = Query::of_all(&collection, guard, filter);
        Ok(Exporting { view, collection, query, look, form: request.form })
    }
}

/// How records look in it.
///
/// # Errors
/// `Invalid` with code `bad_fields`, also for what is no part of the record itself (nothing is expanded or embedded) and,
/// in CSV, no whole field.
fn look(schema: &Schema, collection: &Collection, request: ExportRequest<'_>, sees_hidden: bool) -> Result<Look> {
    let Some(fields) = request.fields else {
        let mut look = Look::all(sees_hidden);
        let fields = collection.fields.iter().map(|field| Part::Field(field.id));
        look.mask.fields = Some(std::iter::once(Part::Id).chain(fields).collect());
        return Ok(look);
    };
    let look =
        Look::new(schema, collection, Wanted { fields: Some(fields), expand: None, embed: Some("") }, sees_hidden)?;
    if request.form == Form::Csv && !look.is_plain() {
        return Err(Error::invalid("fields: a table has whole fields").code("bad_fields"));
    }
    Ok(look)
}

/// An export, resolved against one view.
struct Exporting {
    view: Arc<Published>,
    collection: Arc<Collection>,
    query: Query,
    look: Look,
    form: Form,
}

impl Exporting {
    /// Writes the records down. `gone` says whether nobody waits for them any more.
    fn write_down(self, mut spool: Spool, deadline: Instant, gone: impl Fn() -> bool) -> Result<Export> {
        let Exporting { view, collection, query, look, form } = self;
        if form == Form::Csv {
            pipeline::format_header(&collection, &look.mask, spool.buffer());
        }
        let each = |record: &Record| {
            let buffer = spool.buffer();
            match form {
                Form::Csv => pipeline::format_row(&collection, record, &look.mask, buffer),
                Form::Ndjson => {
                    look.write(&collection, record, &mut Nothing, buffer)?;
                    buffer.push(b'\n');
                }
            }
            if buffer.len() < limits::SPOOL_PIECE_BYTES {
                return Ok(());
            }
            if gone() {
                return Err(Error::internal("nobody waits for the export"));
            }
            spool.flush(false)
        };
        let records = queries::each(&view.stack, &view.schema, &query, deadline, each).map_err(too_large)?;
        spool.flush(true)?;
        Ok(Export { position: view.position, collection: collection.name.clone(), records, spool })
    }
}

/// A query that takes too long, in this call's words.
fn too_large(error: Error) -> Error {
    if error.code_str() != "query_too_large" {
        return error;
    }
    let seconds = limits::SPOOL_TIME_MAX.as_secs();
    let message =
        format!("the export takes longer than {seconds} s: narrow it by a filter over an index, or make several");
    Error::new(Kind::Unprocessable, message).code("export_too_large")
}
