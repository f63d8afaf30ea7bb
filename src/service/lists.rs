//! Lists of records: a request resolved against one view, run at once when it is short, else on the scan pool.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::core::{Core, Published};
use crate::error::{Error, Result};
use crate::id::{CollectionId, Position, Seq};
use crate::limits;
use crate::model::cursor::Listed;
use crate::model::expr::{Programs, Scope};
use crate::model::guard::{Action, Guard, Rows};
use crate::model::look::{Look, OwnedWanted, Wanted};
use crate::model::predicate::Predicate;
use crate::model::query::Query;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::model::sort;
use crate::service::cache::{
    Answer, Cache, Ended, Flights, Found, Joined, Leader, Looked, Needs, Origin, Question, Ticket,
};
use crate::service::explain::Explained;
use crate::service::output;
use crate::service::records::find;
use crate::service::relations::{Allowance, OVER as OVER_BUDGET, Relations};
use crate::service::search::Searched;
use crate::service::totals::{self, Totals};
use crate::service::{Asker, Paging, Service, access};
use crate::state::query::{self as queries, Page};

/// What a list is to hold.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest<'a> {
    /// What holds of each record.
    pub filter: Option<&'a str>,
    /// In this order, then by id.
    pub sort: Option<&'a str>,
    /// What is shown of each record.
    pub wanted: Wanted<'a>,
    /// Which of the matches.
    pub paging: Paging,
    /// Behind the page that this was given with.
    pub cursor: Option<&'a str>,
    /// What is looked for in them: the best come first, where `sort` says nothing.
    pub search: Option<Searched<'a>>,
    /// Whether to say how it was done: superusers only.
    pub explain: bool,
    /// Read at this position or later.
    pub min: Option<Position>,
}

/// What is kept from one list for others. The scan threads hold it, so it holds nothing that waits for them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    programs: Programs,
    totals: Totals,
    /// As the service's.
    cache: Option<Arc<Cache>>,
}

/// A page that was read.
pub(super) struct Paged {
    body: Vec<u8>,
    of: CollectionId,
    /// `None` where it is not to be kept.
    needs: Option<Needs>,
    /// Of the view that was read.
    at: Seq,
}

impl Kept {
    /// Totals that are kept.
    pub(super) fn totals(&self) -> usize {
        self.totals.len()
    }
}

impl Service {
    /// A page of records as JSON. `question` is the request as it came.
    ///
    /// # Errors
    /// `NotFound` for the collection; `Unauthenticated` or `Forbidden` by its rule; `Invalid` for what was asked;
    /// `Unavailable` when too many long queries wait or `min` is not reached; or the query's budget.
    pub async fn list_records(
        &self,
        asker: &Asker,
        question: &Question<'_>,
        collection: &str,
        request: ListRequest<'_>,
    ) -> Result<Answer> {
        if request.search.is_some() {
            return self.search_records(asker, question, collection, request).await;
        }
        let mut view = self.view(request.min).await?;
        // Behind `min`: what is kept and holds now holds there.
        if let Some(answer) = self.kept(question) {
            return Ok(answer);
        }
        let mut waited = false;
        loop {
            let mut listing = Listing::new(&self.0.lists, asker, collection, request, view)?;
            let flights = self.0.cache.as_deref().filter(|_| !waited).map(|cache| &cache.flights);
            let place = flights.and_then(|_| Cache::place(question, listing.collection.id, listing.needs.clone()?));
            let leader = match flights.zip(place).map(|(flights, place)| flights.join(place.key)) {
                Some(Joined::Waiting(flight)) => {
                    // No view is held meanwhile.
                    drop(listing);
                    waited = Flights::ended(flight).await == Ended::Done;
                    if let Some(answer) = self.kept(question) {
                        return Ok(answer);
                    }
                    view = self.core().view();
                    continue;
                }
                Some(Joined::Leader(leader)) => Some(leader),
                Some(Joined::Alone) | None => None,
            };
            let (of, needs) = (listing.collection.id, listing.needs.as_ref());
            let ticket = match self.look_further(question, of, needs, &listing.view, None).await {
                Looked::Found(answer) => {
                    leader.into_iter().for_each(Leader::done);
                    return Ok(answer);
                }
                Looked::Open(ticket) => ticket,
            };
            let inline = if listing.is_short() { listing.run_inline(self.core()) } else { Ok(None) };
            // Below it may wait for a thread: a view held meanwhile would pin pages, and be old when its turn comes.
            drop(listing);
            let read = match inline {
                Ok(None) => self.read_apart(asker, collection, request).await,
                Ok(Some(page)) => Ok(page),
                Err(error) => Err(error),
            };
            let answer = read.map(|page| self.listed(question, page, ticket));
            leader.into_iter().for_each(Leader::done);
            return answer;
        }
    }

    /// The same on one of the pool's threads, from the view that is the newest then.
    async fn read_apart(&self, asker: &Asker, collection: &str, request: ListRequest<'_>) -> Result<Paged> {
        let deadline = Instant::now() + limits::QUERY_TIME_MAX;
        let (core, lists) = (self.core().clone(), self.0.lists.clone());
        let (asker, asked) = (asker.clone(), Asked::new(collection, request));
        let work = move || {
            let mut listing = Listing::new(&lists, &asker, &asked.collection, asked.request(), core.view())?;
            listing.run(&core, limits::QUERY_ROWS_MAX, deadline)
        };
        self.0.pool.run(deadline, work).await
    }

    /// The answer from a page, which is kept for the next who asks.
    pub(super) fn listed(&self, question: &Question<'_>, page: Paged, ticket: Option<Ticket>) -> Answer {
        let Paged { body, of, needs, at } = page;
        let found = Found { body: body.into(), tag: None };
        if let Some(cache) = &self.0.cache {
            let place = needs.and_then(|needs| Cache::place(question, of, needs));
            cache.keep(place, at, Some(&found), ticket);
        }
        Answer { found: Some(found), origin: Origin::Store }
    }
}

#[cfg(test)]
impl Service {
    /// What a list depends on, and of which collection it is.
    pub(super) fn needs_of_list(
        &self,
        asker: &Asker,
        collection: &str,
        request: ListRequest<'_>,
    ) -> Option<(CollectionId, Needs, Option<Record>)> {
        let listing = Listing::new(&self.0.lists, asker, collection, request, self.core().view()).ok()?;
        Some((listing.collection.id, listing.needs?, None))
    }

    /// The total that a list would be answered with, uncounted, if it can be told by then.
    pub(super) fn kept_total(
        &self,
        asker: &Asker,
        collection: &str,
        request: ListRequest<'_>,
        deadline: Instant,
    ) -> Option<usize> {
        let listing = Listing::new(&self.0.lists, asker, collection, request, self.core().view()).expect("a list");
        let (key, at) = (listing.total.as_ref()?, listing.view.position.seq);
        self.0.lists.totals.at(key, at, self.core().log(), &listing.conditions(), deadline)
    }
}

/// A [`ListRequest`] that waits for a thread.
pub(super) struct Asked {
    pub(super) collection: String,
    /// Filter, sort, cursor; search, highlight, facets.
    texts: [Option<String>; 6],
    wanted: OwnedWanted,
    paging: Paging,
    explain: bool,
}

impl Asked {
    pub(super) fn new(collection: &str, request: ListRequest<'_>) -> Asked {
        let search = request.search;
        let (highlight, facets) = (search.and_then(|one| one.highlight), search.and_then(|one| one.facets));
        let texts = [request.filter, request.sort, request.cursor, search.map(|one| one.text), highlight, facets];
        let texts = texts.map(|text| text.map(str::to_owned));
        let wanted = request.wanted.into();
        Asked { collection: collection.to_owned(), texts, wanted, paging: request.paging, explain: request.explain }
    }

    /// Without `min`: it was reached when it was asked, so any later view is behind it.
    pub(super) fn request(&self) -> ListRequest<'_> {
        let [filter, sort, cursor, search, highlight, facets] = self.texts.each_ref().map(Option::as_deref);
        let search = search.map(|text| Searched { text, highlight, facets });
        let (wanted, paging, explain) = (self.wanted.get(), self.paging, self.explain);
        ListRequest { filter, sort, cursor, wanted, paging, search, explain, min: None }
    }
}

/// A list, resolved against one view.
pub(super) struct Listing<'k> {
    kept: &'k Kept,
    pub(super) view: Arc<Published>,
    pub(super) collection: Arc<Collection>,
    pub(super) query: Query,
    /// Where its total is kept, if it can be.
    total: Option<totals::Key>,
    pub(super) listed: Listed,
    pub(super) look: Look,
    pub(super) asker: Asker,
    pub(super) paging: Paging,
    pub(super) explain: bool,
    /// What its page depends on; `None` where that is not to be kept.
    pub(super) needs: Option<Needs>,
}

impl<'k> Listing<'k> {
    pub(super) fn new(
        kept: &'k Kept,
        asker: &Asker,
        collection: &str,
        request: ListRequest<'_>,
        view: Arc<Published>,
    ) -> Result<Listing<'k>> {
        let schema = &view.schema;
        let collection = find(schema, collection)?.clone();
        let guard = asker.guard(schema, &collection)?;
        guard.allow(Action::List)?;
        if request.explain {
            access::superuser(&asker.caller)?;
        }
        let look = Look::new(&view.schema, &collection, request.wanted, guard.is_superuser())?;
        let sees_hidden = guard.is_superuser();
        let filter = match request.filter {
            Some(text) => kept.filter(asker, schema, &collection, text, sees_hidden)?,
            None => None,
        };
        let sort = request.sort.map_or(Ok(Vec::new()), |text| sort::parse(&collection, text, sees_hidden))?;
        let paging = Paging { per_page: request.paging.per_page.min(limits::PAGE_MAX), ..request.paging };
        let listed = Listed::new(&collection, request.filter, request.sort, request.search.map(|search| search.text));
        if request.cursor.is_some() && paging.page > 1 {
            let message = "a cursor says where the page begins: page can't be given with it";
            return Err(Error::invalid(message).code("bad_parameter").fault(
                "page",
                "bad_parameter",
                "not with cursor",
            ));
        }
        let after = request.cursor.map(|cursor| listed.mark(cursor)).transpose()?;
        let total = if paging.count && request.search.is_none() {
            total_key(schema, &collection, &guard, filter.as_ref(), request)
        } else {
            None
        };
        let query = Query {
            collection: collection.id,
            schema: collection.version,
            guard,
            filter,
            sort,
            after,
            offset: offset(paging)?,
            limit: paging.per_page,
            count: paging.count,
        };
        let mut listing = Listing {
            kept,
            view,
            collection,
            query,
            total,
            listed,
            look,
            asker: asker.clone(),
            paging,
            explain: request.explain,
            needs: None,
        };
        if kept.cache.is_some() && !request.explain {
            listing.needs = Some(listing.needs()?);
        }
        Ok(listing)
    }

    fn needs(&self) -> Result<Needs> {
        let mut needs = Needs::new();
        needs.collection(self.collection.id);
        self.conditions().into_iter().for_each(|condition| needs.predicate(condition));
        needs.look(&self.look, &self.view, &self.asker)?;
        Ok(needs)
    }

    /// Whether it may end after few rows.
    fn is_short(&self) -> bool {
        self.query.offset + self.query.limit <= limits::INLINE_ROWS_MAX
    }

    /// The page, unless it takes more rows or time than may be taken on the request's own thread.
    fn run_inline(&mut self, core: &Core) -> Result<Option<Paged>> {
        match self.run(core, limits::INLINE_ROWS_MAX, Instant::now() + limits::INLINE_TIME_MAX) {
            Err(error) if error.code_str() == OVER_BUDGET => Ok(None),
            done => done.map(Some),
        }
    }

    fn run(&mut self, core: &Core, rows: usize, deadline: Instant) -> Result<Paged> {
        let mut budget = queries::Budget::new(rows, deadline);
        let at = self.view.position.seq;
        let totals = &self.kept.totals;
        let kept = self.total.as_ref().and_then(|key| totals.at(key, at, core.log(), &self.conditions(), deadline));
        self.query.count = self.paging.count && kept.is_none();
        let (stack, schema) = (&self.view.stack, &self.view.schema);
        let body = match &self.kept.cache {
            Some(cache) if self.look.is_plain() => {
                let mut finishing = cache.finishing(&self.collection, &self.look.mask, at);
                let page = queries::list_of(&mut finishing, stack, schema, &self.query, &mut budget)?;
                let copy = |json: &Bytes, out: &mut Vec<u8>| {
                    out.extend_from_slice(json);
                    Ok(())
                };
                self.write(kept, &page, copy)
            }
            _ => {
                let page = queries::list(stack, schema, &self.query, &mut budget)?;
                let mut allowance = Allowance::new(rows, deadline);
                let mut relations = Relations::new(&self.view, &self.asker, &mut allowance);
                let (look, collection) = (&self.look, &self.collection);
                let write = |record: &Record, out: &mut Vec<u8>| look.write(collection, record, &mut relations, out);
                self.write(kept, &page, write)
            }
        };
        Ok(self.paged(body?, true))
    }

    /// A page of this list; `whole`: whether it is all that its view gives, and so may be kept.
    pub(super) fn paged(&self, body: Vec<u8>, whole: bool) -> Paged {
        let needs = self.needs.clone().filter(|_| whole);
        Paged { body, of: self.collection.id, needs, at: self.view.position.seq }
    }

    /// Writes a page; its total is the one that was kept, or its own, which is kept then.
    fn write<T>(
        &self,
        kept: Option<usize>,
        page: &Page<T>,
        write: impl FnMut(&T, &mut Vec<u8>) -> Result<()>,
    ) -> Result<Vec<u8>> {
        if let (None, Some(key), Some(total)) = (kept, &self.total, page.total) {
            self.kept.totals.put(key.clone(), self.view.position.seq, total);
        }
        let mut beside = Vec::new();
        if self.explain {
            beside.extend_from_slice(b",\"explain\":");
            let explained = Explained { collection: &self.collection, plan: &page.plan, rows_read: page.rows_read };
            explained.write(&mut beside);
        }
        let next = page.more.as_deref().map(|mark| self.listed.cursor(mark));
        output::page(self.paging, kept.or(page.total), &page.records, write, next.as_deref(), &beside)
    }

    /// Rule and filter.
    pub(super) fn conditions(&self) -> Vec<&Predicate> {
        rule(&self.query.guard).into_iter().chain(&self.query.filter).collect()
    }
}

impl Kept {
    pub(super) fn new(cache: Option<Arc<Cache>>) -> Kept {
        Kept { cache, ..Kept::default() }
    }

    /// A filter of this caller's, compiled; none of an empty text.
    pub(super) fn filter(
        &self,
        asker: &Asker,
        schema: &Schema,
        collection: &Collection,
        text: &str,
        sees_hidden: bool,
    ) -> Result<Option<Predicate>> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let scope = Scope { schema, collection, callers: schema.callers(), sees_hidden };
        let program = self.programs.condition(scope, schema.version(), text);
        let program = program.map_err(|fault| fault.error("filter", "bad_filter"))?;
        let sight = access::sight(asker, schema, &program.uses().collections)?;
        Ok(Some(Predicate { program, request: asker.request.clone(), sight }))
    }
}

fn rule(guard: &Guard) -> Option<&Predicate> {
    match guard.rows(Action::List) {
        Rows::Where(rule) => Some(rule),
        Rows::All | Rows::None => None,
    }
}

/// Under which key the total of a list is kept: of those without any condition the state knows it.
fn total_key(
    schema: &Schema,
    collection: &Collection,
    guard: &Guard,
    filter: Option<&Predicate>,
    request: ListRequest<'_>,
) -> Option<totals::Key> {
    let rule = rule(guard);
    if (rule.is_none() && filter.is_none()) || !rule.into_iter().chain(filter).all(totals::can_keep) {
        return None;
    }
    Some(totals::Key {
        collection: collection.id,
        generation: collection.generation,
        schema: schema.version(),
        ruled: rule.is_some(),
        sees_hidden: guard.is_superuser(),
        filter: request.filter.unwrap_or_default().into(),
    })
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
