//! Lists of records: a request resolved against one view, run at once when it is short, else on the scan pool.

use std::sync::Arc;
use std::time::Instant;

use crate::core::Published;
use crate::error::{Error, Result};
use crate::id::Position;
use crate::limits;
use crate::model::filter;
use crate::model::guard::Action;
use crate::model::look::{Look, OwnedWanted, Wanted};
use crate::model::query::{Plan, Query};
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::sort;
use crate::service::output::{self, Explained};
use crate::service::records::find;
use crate::service::relations::{Allowance, OVER as OVER_BUDGET, Relations};
use crate::service::{Asker, Paging, Service, access};
use crate::state::query as queries;

/// What a list is to hold.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest<'a> {
    /// Comparisons that all hold.
    pub filter: Option<&'a str>,
    /// In this order, then by id.
    pub sort: Option<&'a str>,
    /// What is shown of each record.
    pub wanted: Wanted<'a>,
    /// Which of the matches.
    pub paging: Paging,
    /// Whether to say how it was done: superusers only.
    pub explain: bool,
    /// Read at this position or later.
    pub min: Option<Position>,
}

impl Service {
    /// A page of records as JSON.
    ///
    /// # Errors
    /// `NotFound` for the collection; `Unauthenticated` or `Forbidden` by its rule; `Invalid` for what was asked;
    /// `Unavailable` when too many long queries wait or `min` is not reached; or the query's budget.
    pub async fn list_records(&self, asker: &Asker, collection: &str, request: ListRequest<'_>) -> Result<Vec<u8>> {
        let deadline = Instant::now() + limits::QUERY_TIME_MAX;
        let view = self.view(request.min).await?;
        let listing = Listing::new(asker, collection, request, view)?;
        if listing.is_short()
            && let Some(body) = listing.run_inline(deadline)?
        {
            return Ok(body);
        }
        // It may wait for a thread: a view held meanwhile would pin pages, and be old when its turn comes.
        drop(listing);
        let (core, asker, asked) = (self.core().clone(), asker.clone(), Asked::new(collection, request));
        let work = move || {
            Listing::new(&asker, &asked.collection, asked.request(), core.view())?.run(limits::QUERY_ROWS_MAX, deadline)
        };
        self.0.pool.run(deadline, work).await
    }
}

/// A [`ListRequest`] that waits for a thread.
struct Asked {
    collection: String,
    /// Filter, sort.
    texts: [Option<String>; 2],
    wanted: OwnedWanted,
    paging: Paging,
    explain: bool,
}

impl Asked {
    fn new(collection: &str, request: ListRequest<'_>) -> Asked {
        let texts = [request.filter, request.sort].map(|text| text.map(str::to_owned));
        let wanted = request.wanted.into();
        Asked { collection: collection.to_owned(), texts, wanted, paging: request.paging, explain: request.explain }
    }

    /// Without `min`: it was reached when it was asked, so any later view is behind it.
    fn request(&self) -> ListRequest<'_> {
        let [filter, sort] = self.texts.each_ref().map(Option::as_deref);
        ListRequest { filter, sort, wanted: self.wanted.get(), paging: self.paging, explain: self.explain, min: None }
    }
}

/// A list, resolved against one view.
struct Listing {
    view: Arc<Published>,
    collection: Arc<Collection>,
    query: Query,
    plan: Plan,
    look: Look,
    asker: Asker,
    paging: Paging,
    explain: bool,
}

impl Listing {
    fn new(asker: &Asker, collection: &str, request: ListRequest<'_>, view: Arc<Published>) -> Result<Listing> {
        let collection = find(&view.schema, collection)?.clone();
        let guard = asker.guard(&view.schema, &collection)?;
        guard.allow(Action::List)?;
        if request.explain {
            access::superuser(asker.caller)?;
        }
        let look = Look::new(&view.schema, &collection, request.wanted, guard.is_superuser())?;
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
        let asker = asker.clone();
        Ok(Listing { view, collection, query, plan, look, asker, paging, explain: request.explain })
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
        let mut allowance = Allowance::new(rows, deadline);
        let mut relations = Relations::new(&self.view, &self.asker, &mut allowance);
        let write = |record: &Record, out: &mut Vec<u8>| self.look.write(&self.collection, record, &mut relations, out);
        output::page(self.paging, page.total, &page.records, write, explained)
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
