//! Calls on collections: list, read, create, empty, drop. Superusers only, but for the schema of a create body.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::{IndexId, Position};
use crate::model::command::{Command, Committed};
use crate::model::definition::{self, Built};
use crate::model::guard::Action;
use crate::model::schema::Collection;
use crate::service::lists::offset;
use crate::service::records::find;
use crate::service::writes::STALE_TRIES;
use crate::service::{Asker, Caller, Paging, Service, access, output};
use crate::state;

/// A collection that was made.
#[derive(Debug)]
pub struct Defined {
    /// The commit.
    pub position: Position,
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
            definition::format(schema, collection, &built(&view, collection)?, out);
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
        format(&view, find(&view.schema, name)?)
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

    /// Makes a collection from a definition.
    ///
    /// # Errors
    /// `Unauthenticated`; `Invalid` with all faults of the definition; `Conflict` for a name that is taken; or the core's.
    pub async fn create_collection(&self, caller: Caller, body: &[u8]) -> Result<Defined> {
        access::superuser(caller)?;
        let committed = self.define(body).await?;
        let made = committed.collection.ok_or_else(|| Error::internal("a definition was answered without one"))?;
        // Published before it is answered, so the names that its relations point at are there.
        let body = format(&self.core().view(), &made)?;
        Ok(Defined { position: committed.position, name: made.name, body })
    }

    /// What a definition reads of others may move before it is decided: then it is read again.
    async fn define(&self, body: &[u8]) -> Result<Committed> {
        for _ in 0..STALE_TRIES {
            let wanted = definition::parse(&self.core().view().schema, body, self.core().clock().now())?;
            match self.core().submit(Command::Define(Box::new(wanted))).await {
                Err(error) if error.code_str() == "stale_schema" => {}
                outcome => return outcome,
            }
        }
        Err(Error::new(Kind::Unavailable, "other collections' definitions keep changing").code("stale_schema"))
    }

    /// Drops a collection with its records. Returns the commit.
    ///
    /// # Errors
    /// `Unauthenticated`; `NotFound`; `Conflict` while another collection's relation points at it; or the core's.
    pub async fn drop_collection(&self, caller: Caller, name: &str) -> Result<Position> {
        access::superuser(caller)?;
        let id = find(&self.core().view().schema, name)?.id;
        Ok(self.core().submit(Command::Drop(id)).await?.position)
    }

    /// Removes all records of a collection, and what other collections' relations say goes with them. Returns the commit;
    /// of an empty collection the position that was read.
    ///
    /// # Errors
    /// `Unauthenticated`; `NotFound`; `Conflict` while records of another collection need them; or the core's.
    pub async fn truncate_collection(&self, caller: Caller, name: &str) -> Result<Position> {
        access::superuser(caller)?;
        let id = find(&self.core().view().schema, name)?.id;
        Ok(self.core().submit(Command::Truncate(id)).await?.position)
    }
}

fn format(view: &Published, collection: &Collection) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1_024);
    definition::format(&view.schema, collection, &built(view, collection)?, &mut out);
    Ok(out)
}

/// How far the indexes have come that are being built.
fn built(view: &Published, collection: &Collection) -> Result<BTreeMap<IndexId, Built>> {
    let mut built = BTreeMap::new();
    for index in collection.indexes.iter().filter(|index| index.is_building()) {
        let (id, generation) = (collection.id, collection.generation);
        let of = state::tally(&view.stack, id, generation)?.count;
        let progress = state::progress(&view.stack, id, generation, index.id)?.unwrap_or_default();
        // Rows that were looked at may have gone since.
        built.insert(index.id, Built { rows: progress.rows.min(of), of });
    }
    Ok(built)
}
