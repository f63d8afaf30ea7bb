//! Calls on records: list, read, create, patch, put, delete.
//!
//! A write is checked against the definition of the view it began with; when that has moved by the time it is decided,
//! it is checked again against the new one, a few times at most.

use std::sync::Arc;
use std::time::Instant;

use xxhash_rust::xxh3::Xxh3;

use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::{Position, RecordId};
use crate::limits;
use crate::model::command::{Command, Committed, Condition, Op, Write, Written};
use crate::model::filter;
use crate::model::guard::{Action, Guard};
use crate::model::mask::{Mask, Part};
use crate::model::pipeline;
use crate::model::query::{Plan, Query};
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::model::sort;
use crate::service::output::{self, Explained};
use crate::service::{Caller, Paging, Service, access, ids};
use crate::state::{self, query as queries};

/// How often a write is checked anew because its collection's definition moved.
const STALE_TRIES: usize = 3;
/// What the state says of a query that reads more rows than its budget.
const OVER_BUDGET: &str = "query_too_large";

/// What a list is to hold.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest<'a> {
    /// Comparisons that all hold.
    pub filter: Option<&'a str>,
    /// In this order, then by id.
    pub sort: Option<&'a str>,
    /// Parts of each record.
    pub fields: Option<&'a str>,
    /// Which of the matches.
    pub paging: Paging,
    /// Whether to say how it was done: superusers only.
    pub explain: bool,
    /// Read at this position or later.
    pub min: Option<Position>,
}

/// A record for a caller.
#[derive(Debug)]
pub struct Shown {
    collection: Arc<Collection>,
    record: Record,
    mask: Mask,
}

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
    /// A page of records as JSON.
    ///
    /// # Errors
    /// `NotFound` for the collection; `Unauthenticated` or `Forbidden` by its rule; `Invalid` for what was asked;
    /// `Unavailable` when too many long queries wait or `min` is not reached; or the query's budget.
    pub async fn list_records(&self, caller: Caller, collection: &str, request: ListRequest<'_>) -> Result<Vec<u8>> {
        let deadline = Instant::now() + limits::QUERY_TIME_MAX;
        let view = self.view(request.min).await?;
        let listing = Listing::new(caller, collection, request, view)?;
        if listing.is_short()
            && let Some(body) = listing.run_inline(deadline)?
        {
            return Ok(body);
        }
        // It may wait for a thread: a view held meanwhile would pin pages, and be old when its turn comes.
        drop(listing);
        let (core, asked) = (self.core().clone(), Asked::new(collection, request));
        let work = move || {
            Listing::new(caller, &asked.collection, asked.request(), core.view())?.run(limits::QUERY_ROWS_MAX, deadline)
        };
        self.0.pool.run(deadline, work).await
    }

    /// One record.
    ///
    /// # Errors
    /// `NotFound` for the collection or the record; `Invalid` for the id or `fields`; by its rule; `min` not reached.
    pub async fn view_record(
        &self,
        caller: Caller,
        collection: &str,
        id: &str,
        fields: Option<&str>,
        min: Option<Position>,
    ) -> Result<Shown> {
        let view = self.view(min).await?;
        let collection = find(&view.schema, collection)?;
        let guard = access::guard(caller, collection);
        guard.allow(Action::View)?;
        let mask = mask(collection, fields, &guard)?;
        let record = state::record(&view.stack, collection, &RecordId::new(id)?)?.ok_or_else(no_record)?;
        Ok(Shown { collection: collection.clone(), record, mask })
    }

    /// Makes a record from a body.
    ///
    /// # Errors
    /// `Invalid` with all faults of the body; `Conflict`; by its rule; or the core's.
    pub async fn create_record(
        &self,
        caller: Caller,
        collection: &str,
        body: &[u8],
        fields: Option<&str>,
    ) -> Result<Stored> {
        let fallback = self.new_id()?;
        let make = |collection: &Collection| pipeline::create(collection, body, fallback.clone());
        self.store(caller, collection, &[Action::Create], fields, make).await
    }

    /// Puts a merge patch over a record.
    ///
    /// # Errors
    /// As [`Service::create_record`]; `NotFound`; `Precondition`.
    pub async fn merge_record(
        &self,
        caller: Caller,
        collection: &str,
        id: &str,
        body: &[u8],
        if_match: Option<Condition>,
        fields: Option<&str>,
    ) -> Result<Stored> {
        let id = RecordId::new(id)?;
        let make = |collection: &Collection| pipeline::merge(collection, &id, body, if_match.clone());
        self.store(caller, collection, &[Action::Update], fields, make).await
    }

    /// Creates or replaces a record; without an `id` that of the body.
    ///
    /// # Errors
    /// As [`Service::create_record`]; `Precondition`.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request; a struct would only rename them")]
    pub async fn put_record(
        &self,
        caller: Caller,
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
        self.store(caller, collection, &[Action::Create, Action::Update], fields, make).await
    }

    /// Removes a record, with what its relations' definitions say goes along. Returns the commit.
    ///
    /// # Errors
    /// `NotFound`; `Precondition`; `Conflict` while others need it; by its rule; or the core's.
    pub async fn delete_record(
        &self,
        caller: Caller,
        collection: &str,
        id: &str,
        if_match: Option<Condition>,
    ) -> Result<Position> {
        let id = RecordId::new(id)?;
        let make = |_: &Collection| Ok(Op::Delete { id: id.clone(), if_match: if_match.clone() });
        let (committed, ..) = self.write(caller, collection, &[Action::Delete], None, make).await?;
        Ok(committed.position)
    }

    async fn store(
        &self,
        caller: Caller,
        collection: &str,
        actions: &[Action],
        fields: Option<&str>,
        make: impl Fn(&Collection) -> Result<Op>,
    ) -> Result<Stored> {
        let (mut committed, collection, mut mask) = self.write(caller, collection, actions, fields, make).await?;
        let position = committed.position;
        let (created, record) = match committed.writes.pop() {
            Some(Written::Created(record)) => (true, record),
            // What a caller put there itself it knows; of what was there before it learns nothing by changing it.
            Some(Written::Updated(record)) => {
                if access::guard(caller, &collection).allow(Action::View).is_err() {
                    mask.hide_fields();
                }
                (false, record)
            }
            Some(Written::Deleted) | None => return Err(Error::internal("a write was answered as something else")),
        };
        Ok(Stored { position, created, shown: Shown { collection, record, mask } })
    }

    /// Has the command that `make` gives decided. The caller must be allowed at least one of `actions`; which one it is
    /// to be, `decide` sees from the record.
    async fn write(
        &self,
        caller: Caller,
        collection: &str,
        actions: &[Action],
        fields: Option<&str>,
        make: impl Fn(&Collection) -> Result<Op>,
    ) -> Result<(Committed, Arc<Collection>, Mask)> {
        for _ in 0..STALE_TRIES {
            let collection = find(&self.core().view().schema, collection)?.clone();
            let guard = access::guard(caller, &collection);
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

/// A [`ListRequest`] that waits for a thread.
struct Asked {
    collection: String,
    /// Filter, sort, fields.
    texts: [Option<String>; 3],
    paging: Paging,
    explain: bool,
}

impl Asked {
    fn new(collection: &str, request: ListRequest<'_>) -> Asked {
        let texts = [request.filter, request.sort, request.fields].map(|text| text.map(str::to_owned));
        Asked { collection: collection.to_owned(), texts, paging: request.paging, explain: request.explain }
    }

    /// Without `min`: it was reached when it was asked, so any later view is behind it.
    fn request(&self) -> ListRequest<'_> {
        let [filter, sort, fields] = self.texts.each_ref().map(Option::as_deref);
        ListRequest { filter, sort, fields, paging: self.paging, explain: self.explain, min: None }
    }
}

/// A list, resolved against one view.
struct Listing {
    view: Arc<Published>,
    collection: Arc<Collection>,
    query: Query,
    plan: Plan,
    mask: Mask,
    paging: Paging,
    explain: bool,
}

impl Listing {
    fn new(caller: Caller, collection: &str, request: ListRequest<'_>, view: Arc<Published>) -> Result<Listing> {
        let collection = find(&view.schema, collection)?.clone();
        let guard = access::guard(caller, &collection);
        guard.allow(Action::List)?;
        if request.explain {
            access::superuser(caller)?;
        }
        let mask = mask(&collection, request.fields, &guard)?;
        let sees_hidden = guard.is_superuser();
        let filter = request.filter.map_or(Ok(Vec::new()), |text| filter::parse(&collection, text, sees_hidden))?;
        let sort = request.sort.map_or(Ok(Vec::new()), |text| sort::parse(&collection, text, sees_hidden))?;
        let paging = Paging { per_page: request.paging.per_page.min(limits::PAGE_MAX), ..request.paging };
        let query = Query {
            collection: collection.id,
            schema: collection.version,
            guard,
            filter,
            sort,
            offset: offset(paging)?,
            limit: paging.per_page,
            count: paging.count,
        };
        let plan = queries::plan(&collection, &query);
        Ok(Listing { view, collection, query, plan, mask, paging, explain: request.explain })
    }

    /// Whether it may end after few rows: in order by an index, and what is counted is few rows or a known number.
    fn is_short(&self) -> bool {
        let few = self.query.offset + self.query.limit <= limits::INLINE_ROWS_MAX;
        let counted = self.query.count && !self.query.filter.is_empty() && self.plan.equal_fields == 0;
        let sorted = !self.plan.ordered && self.plan.equal_fields == 0;
        few && !counted && !sorted
    }

    /// The page, unless it takes more rows than may be read on the request's own thread.
    fn run_inline(&self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        match self.run(limits::INLINE_ROWS_MAX, deadline) {
            Err(error) if error.code_str() == OVER_BUDGET => Ok(None),
            done => done.map(Some),
        }
    }

    fn run(&self, rows: usize, deadline: Instant) -> Result<Vec<u8>> {
        let mut budget = queries::Budget::new(rows, deadline);
        let page = queries::list(&self.view.stack, &self.view.schema, &self.query, &mut budget)?;
        let explained = self.explain.then_some(Explained {
            collection: &self.collection,
            plan: &page.plan,
            rows_read: page.rows_read,
        });
        let write = |record: &Record, out: &mut Vec<u8>| {
            pipeline::format_record(&self.collection, record, &self.mask, out);
        };
        Ok(output::page(self.paging, page.total, &page.records, write, explained))
    }
}

/// Matches before the page.
pub(super) fn offset(paging: Paging) -> Result<usize> {
    let offset = (paging.page - 1).saturating_mul(paging.per_page);
    if offset > limits::OFFSET_MAX {
        let message = format!("a page may lie behind {} records at most", limits::OFFSET_MAX);
        return Err(Error::invalid(message).code("page_too_far").fault("page", "page_too_far", "too far in"));
    }
    Ok(offset)
}

pub(super) fn find<'a>(schema: &'a Schema, name: &str) -> Result<&'a Arc<Collection>> {
    schema.find(name).ok_or_else(|| Error::new(Kind::NotFound, "there is no such collection"))
}

fn mask(collection: &Collection, fields: Option<&str>, guard: &Guard) -> Result<Mask> {
    match fields {
        None => Ok(Mask::all(guard.is_superuser())),
        Some(text) => Mask::parse(collection, text, guard.is_superuser()),
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

fn no_record() -> Error {
    Error::new(Kind::NotFound, "there is no such record")
}
