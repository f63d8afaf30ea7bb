//! Writes to records: create, patch, put, delete.
//!
//! A write is checked against the definition of the view it began with; when that has moved by the time it is decided,
//! it is checked again against the new one, a few times at most.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::id::{Position, RecordId};
use crate::model::command::{Command, Committed, Condition, Op, Write, Written};
use crate::model::guard::{Action, Guard};
use crate::model::mask::Mask;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::service::records::{Shown, find, mask};
use crate::service::{Asker, Service, ids};
use crate::state;

/// How often a write is checked anew because its collection's definition moved.
pub(super) const STALE_TRIES: usize = 3;

/// A record that was written.
#[derive(Debug)]
pub struct Stored {
    /// The commit; where nothing changed, what was read.
    pub position: Position,
    /// Whether it did not exist before.
    pub created: bool,
    /// As it is now.
    pub shown: Shown,
}

impl Service {
    /// Makes a record from a body.
    ///
    /// # Errors
    /// `Invalid` with all faults of the body; `Conflict`; by its rule; or the core's.
    pub async fn create_record(
        &self,
        asker: &Asker,
        collection: &str,
        body: &[u8],
        fields: Option<&str>,
    ) -> Result<Stored> {
        let fallback = self.new_id()?;
        let make = |collection: &Collection| pipeline::create(collection, body, fallback.clone());
        self.store(asker, collection, &[Action::Create], fields, make).await
    }

    /// Puts a merge patch over a record.
    ///
    /// # Errors
    /// As [`Service::create_record`]; `NotFound`; `Precondition`.
    pub async fn merge_record(
        &self,
        asker: &Asker,
        collection: &str,
        id: &str,
        body: &[u8],
        if_match: Option<Condition>,
        fields: Option<&str>,
    ) -> Result<Stored> {
        let id = RecordId::new(id)?;
        let make = |collection: &Collection| pipeline::merge(collection, &id, body, if_match.clone());
        self.store(asker, collection, &[Action::Update], fields, make).await
    }

    /// Creates or replaces a record; without an `id` that of the body.
    ///
    /// # Errors
    /// As [`Service::create_record`]; `Precondition`.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request; a struct would only rename them")]
    pub async fn put_record(
        &self,
        asker: &Asker,
        collection: &str,
        id: Option<&str>,
        body: &[u8],
        if_match: Option<Condition>,
        create_only: bool,
        fields: Option<&str>,
    ) -> Result<Stored> {
        let fallback = self.new_id()?;
        let make = |collection: &Collection| {
            pipeline::put(collection, id, body, if_match.clone(), create_only, fallback.clone())
        };
        self.store(asker, collection, &[Action::Create, Action::Update], fields, make).await
    }

    /// Removes a record, with what its relations' definitions say goes along. Returns the commit.
    ///
    /// # Errors
    /// `NotFound`; `Precondition`; `Conflict` while others need it; by its rule; or the core's.
    pub async fn delete_record(
        &self,
        asker: &Asker,
        collection: &str,
        id: &str,
        if_match: Option<Condition>,
    ) -> Result<Position> {
        let id = RecordId::new(id)?;
        let make = |_: &Collection| Ok(Op::Delete { id: id.clone(), if_match: if_match.clone() });
        let (committed, ..) = self.write(asker, collection, &[Action::Delete], None, make).await?;
        Ok(committed.position)
    }

    async fn store(
        &self,
        asker: &Asker,
        collection: &str,
        actions: &[Action],
        fields: Option<&str>,
        make: impl Fn(&Collection) -> Result<Op>,
    ) -> Result<Stored> {
        let (mut committed, collection, mut mask) = self.write(asker, collection, actions, fields, make).await?;
        let position = committed.position;
        let (created, record) = match committed.writes.pop() {
            Some(Written::Created(record)) => (true, record),
            // What a caller put there itself it knows; of what was there before it learns nothing by changing it.
            Some(Written::Updated(record)) => {
                if !self.may_view(asker, &collection, &record)? {
                    mask.hide_fields();
                }
                (false, record)
            }
            Some(Written::Deleted) | None => return Err(Error::internal("a write was answered as something else")),
        };
        Ok(Stored { position, created, shown: Shown { collection, record, mask } })
    }

    /// Whether the caller may view a record as it stands now.
    fn may_view(&self, asker: &Asker, collection: &Collection, record: &Record) -> Result<bool> {
        let view = self.core().view();
        let guard = asker.guard(&view.schema, collection)?;
        state::permits(&view.stack, &view.schema, &guard, Action::View, &record.id, &record.fields)
    }

    /// Has the command that `make` gives decided. The caller must be allowed at least one of `actions`; which one it is
    /// to be, `decide` sees from the record.
    async fn write(
        &self,
        asker: &Asker,
        collection: &str,
        actions: &[Action],
        fields: Option<&str>,
        make: impl Fn(&Collection) -> Result<Op>,
    ) -> Result<(Committed, Arc<Collection>, Mask)> {
        for _ in 0..STALE_TRIES {
            let schema = self.core().view().schema.clone();
            let collection = find(&schema, collection)?.clone();
            let guard = asker.guard(&schema, &collection)?;
            allow_one(&guard, actions)?;
            let mask = mask(&collection, fields, &guard)?;
            let op = make(&collection)?;
            let write = Write { collection: collection.id, schema: collection.version, guard, op };
            match self.core().submit(Command::Write(vec![write])).await {
                Err(error) if error.code_str() == "stale_schema" => {}
                outcome => return outcome.map(|committed| (committed, collection, mask)),
            }
        }
        Err(Error::new(Kind::Unavailable, "the collection's definition keeps changing").code("stale_schema"))
    }

    fn new_id(&self) -> Result<RecordId> {
        ids::record_id(self.core().clock().now())
    }
}

fn allow_one(guard: &Guard, actions: &[Action]) -> Result<()> {
    let mut refusal = Ok(());
    for action in actions {
        refusal = guard.allow(*action);
        if refusal.is_ok() {
            break;
        }
    }
    refusal
}
