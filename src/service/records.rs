//! One record for a caller: reading it, and what every call on records shares.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Kind, Result};
use crate::id::{Position, RecordId};
use crate::model::guard::{Action, Guard};
use crate::model::mask::{Mask, Part};
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::service::{Asker, Service};
use crate::state;

/// A record for a caller.
#[derive(Debug)]
pub struct Shown {
    pub(super) collection: Arc<Collection>,
    pub(super) record: Record,
    pub(super) mask: Mask,
}

impl Shown {
    /// What `If-Match` compares.
    pub fn version(&self) -> Position {
        self.record.version
    }

    /// What the answer depends on beside the record: `None` for the record as all see it under the definition that it
    /// was written under.
    pub fn representation(&self) -> Option<u32> {
        let hidden = self.mask.hidden && self.collection.fields.iter().any(|field| field.hidden);
        let redefined = self.collection.version > self.record.version.seq;
        if self.mask.fields.is_none() && !hidden && !redefined {
            return None;
        }
        let mut hash = Xxh3::new();
        hash.update(&self.collection.version.0.to_le_bytes());
        let parts = [Part::Id, Part::CollectionId, Part::CollectionName];
        hash.update(&parts.map(|part| u8::from(self.mask.shows(part))));
        for field in self.collection.fields.iter().filter(|field| self.mask.shows_field(field)) {
            hash.update(&field.id.0.to_le_bytes());
        }
        Some(hash.digest() as u32)
    }

    /// Its id.
    pub fn id(&self) -> &RecordId {
        &self.record.id
    }

    /// The name of its collection.
    pub fn collection(&self) -> &str {
        &self.collection.name
    }

    /// As JSON.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        pipeline::format_record(&self.collection, &self.record, &self.mask, &mut out);
        out
    }
}

impl Service {
    /// One record.
    ///
    /// # Errors
    /// `NotFound` for the collection or the record; `Invalid` for the id or `fields`; by its rule; `min` not reached.
    pub async fn view_record(
        &self,
        asker: &Asker,
        collection: &str,
        id: &str,
        fields: Option<&str>,
        min: Option<Position>,
    ) -> Result<Shown> {
        let view = self.view(min).await?;
        let collection = find(&view.schema, collection)?;
        let guard = asker.guard(&view.schema, collection)?;
        guard.allow(Action::View)?;
        let mask = mask(collection, fields, &guard)?;
        let record = state::record(&view.stack, collection, &RecordId::new(id)?)?.ok_or_else(no_record)?;
        if !state::permits(&view.stack, &view.schema, &guard, Action::View, &record.id, &record.fields)? {
            return Err(no_record());
        }
        Ok(Shown { collection: collection.clone(), record, mask })
    }
}

pub(super) fn find<'a>(schema: &'a Schema, name: &str) -> Result<&'a Arc<Collection>> {
    schema.find(name).ok_or_else(|| Error::new(Kind::NotFound, "there is no such collection"))
}

pub(super) fn mask(collection: &Collection, fields: Option<&str>, guard: &Guard) -> Result<Mask> {
    match fields {
        None => Ok(Mask::all(guard.is_superuser())),
        Some(text) => Mask::parse(collection, text, guard.is_superuser()),
    }
}

fn no_record() -> Error {
    Error::new(Kind::NotFound, "there is no such record")
}
