//! Calls on collections: list, read, create, drop. Superusers only, but for the schema of a create body.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::model::command::{Command, Committed};
use crate::model::definition;
use crate::model::guard::Action;
use crate::model::once::Once;
use crate::model::schema::{Collection, Schema};
use crate::service::lists::offset;
use crate::service::once::{Begun, Commit, Turn};
use crate::service::records::find;
use crate::service::writes::STALE_TRIES;
use crate::service::{Asker, Caller, Paging, Service, access, output};

/// A collection that was made.
#[derive(Debug)]
pub struct Defined {
    /// When.
    pub commit: Commit,
    /// Its name.
    pub name: Box<str>,
    /// Its definition as JSON.
    pub body: Vec<u8>,
}

impl Service {
    /// A page of definitions as JSON, in the order in which they were made.
    ///
    /// # Errors
    /// `Unauthenticated`; `Invalid` for the page; `min` not reached.
    pub async fn list_collections(&self, caller: Caller, paging: Paging, min: Option<Position>) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let view = self.view(min).await?;
        let schema = &view.schema;
        let page: Vec<&Arc<Collection>> = schema.iter().skip(offset(paging)?).take(paging.per_page).collect();
        let total = paging.count.then(|| schema.iter().count());
        let write = |collection: &&Arc<Collection>, out: &mut Vec<u8>| {
            definition::format(schema, collection, out);
            Ok(())
        };
        output::page(paging, total, &page, write, None, None)
    }

    /// One definition as JSON.
    ///
    /// # Errors
    /// `Unauthenticated`; `NotFound`; `min` not reached.
    pub async fn view_collection(&self, caller: Caller, name: &str, min: Option<Position>) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let view = self.view(min).await?;
        Ok(format(&view.schema, find(&view.schema, name)?))
    }

    /// The JSON Schema of a body that makes a record, for whoever may make one.
    ///
    /// # Errors
    /// `NotFound`; `Unauthenticated` or `Forbidden` by the create rule; `min` not reached.
    pub async fn create_schema(&self, asker: &Asker, name: &str, min: Option<Position>) -> Result<Vec<u8>> {
        let view = self.view(min).await?;
        let collection = find(&view.schema, name)?;
        let guard = asker.guard(&view.schema, collection)?;
        guard.allow(Action::Create)?;
        let mut out = Vec::with_capacity(1_024);
        definition::json_schema(&view.schema, collection, guard.is_superuser(), &mut out);
        Ok(out)
    }

    /// Makes a collection from a definition; with `once`, unless that was done before.
    ///
    /// # Errors
    /// `Unauthenticated`; `Unprocessable` or `Conflict` for its key; `Invalid` with all faults of the definition;
    /// `Conflict` for a name that is taken; or the core's.
    pub async fn create_collection(&self, caller: Caller, body: &[u8], once: Option<Once>) -> Result<Defined> {
        access::superuser(caller)?;
        let committed = match self.begin(once)? {
            Begun::Now(turn) => self.define(body, &turn).await?,
            Begun::Before(committed) => committed,
        };
        let commit = Commit::of(&committed);
        let made = committed.collection.ok_or_else(|| Error::internal("a definition was answered without one"))?;
        // Published before it is answered, so the names that its relations point at are there.
        let body = format(&self.core().view().schema, &made);
        Ok(Defined { commit, name: made.name, body })
    }

    /// What a definition reads of others may move before it is decided: then it is read again.
    async fn define(&self, body: &[u8], turn: &Turn<'_>) -> Result<Committed> {
        for _ in 0..STALE_TRIES {
            let wanted = definition::parse(&self.core().view().schema, body, self.core().clock().now())?;
            match self.core().submit(turn.command(Command::Define(Box::new(wanted)))).await {
                Err(error) if error.code_str() == "stale_schema" => {}
                outcome => return outcome,
            }
        }
        Err(Error::new(Kind::Unavailable, "other collections' definitions keep changing").code("stale_schema"))
    }

    /// Drops a collection with its records; with `once`, unless that was done before.
    ///
    /// # Errors
    /// `Unauthenticated`; `Unprocessable` or `Conflict` for its key; `NotFound`; `Conflict` while another collection's
    /// relation points at it; or the core's.
    pub async fn drop_collection(&self, caller: Caller, name: &str, once: Option<Once>) -> Result<Commit> {
        access::superuser(caller)?;
        let committed = match self.begin(once)? {
            Begun::Now(turn) => {
                let id = find(&self.core().view().schema, name)?.id;
                self.core().submit(turn.command(Command::Drop(id))).await?
            }
            Begun::Before(committed) => committed,
        };
        Ok(Commit::of(&committed))
    }
}

fn format(schema: &Schema, collection: &Collection) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    definition::format(schema, collection, &mut out);
    out
}
