//! Searching a collection's records: hits of its index, of which each is asked again on one published view whether it is
//! there, whether rule and filter hold, and, where it changed since the index was committed, whether it is a hit still.
//!
//! What the log tells of since the index was committed is not looked for there: it is asked whether it is a hit now. Where
//! everybody sees every record, the best of the others and their number are the index's own; else each is asked, as far as
//! the page and the count need it.
//!
//! Invariants: what is answered (hits, order, total, facets, highlights, cursor) follows from records that the caller sees
//! and from fields that he may know of; an answer is of one view.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Instant;

use crate::core::{Core, Published, What, changes};
use crate::error::{Error, Kind, Result};
use crate::id::{FieldId, RecordId};
use crate::limits;
use crate::model::json::{write_i64, write_text};
use crate::model::query::Query;
use crate::model::record::Record;
use crate::model::schema::{Collection, Search};
use crate::model::value::Value;
use crate::search::{Hits, Place, Reading, Serving, Sought};
use crate::service::cache::{Answer, Looked, Question};
use crate::service::lists::{Asked, Kept, ListRequest, Listing, Paged};
use crate::service::output;
use crate::service::relations::{Allowance, Relations};
use crate::service::{Asker, Service};
use crate::state::query::{Among, Budget, among};

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'a> {
    /// Words, phrases, exclusions.
    pub text: &'a str,
    /// Fields in which it is marked.
    pub highlight: Option<&'a str>,
    /// Fields whose values are counted among the hits.
    pub facets: Option<&'a str>,
}

impl Service {
    /// A page of hits as JSON: as [`Service::list_records`], which calls it.
    ///
    /// # Errors
    /// As there; `Invalid` with code `not_searchable`, `bad_search`, `bad_highlight` or `bad_facets`; `Unavailable` with
    /// code `search_building` or `min_seq_not_reached`.
    pub(super) async fn search_records(
        &self,
        asker: &Asker,
        question: &Question<'_>,
        collection: &str,
        request: ListRequest<'_>,
    ) -> Result<Answer> {
        let view = self.view(request.min).await?;
        // Behind `min`: what is kept and holds now holds there.
        if let Some(answer) = self.kept(question) {
            return Ok(answer);
        }
        let listing = Listing::new(&self.0.lists, asker, collection, request, view)?;
        let (of, needs) = (listing.collection.clone(), listing.needs.as_ref());
        searchable(&of, listing.query.guard.is_superuser())?;
        let ticket = match self.look_further(question, of.id, needs, &listing.view, None).await {
            Looked::Found(answer) => return Ok(answer),
            Looked::Open(ticket) => ticket,
        };
        drop(listing);
        let serving = self.0.search.index(&of, request.min.map(|position| position.seq)).await?;
        let deadline = Instant::now() + limits::QUERY_TIME_MAX;
        let (core, lists) = (self.core().clone(), self.0.lists.clone());
        let (asker, asked) = (asker.clone(), Asked::new(collection, request));
        let work = move || search(&core, &lists, &serving, &asker, &asked, deadline);
        match self.0.pool.run(deadline, work).await {
            Ok(page) => Ok(self.listed(question, page, ticket)),
            Err(error) if matches!(error.kind(), Kind::Damaged) && error.code_str() != Unread::CODE => Err(error),
            Err(error) if error.code_str() == Unread::CODE => {
                tracing::error!("the search index of {} can't be read and is made anew: {error}", of.name);
                self.0.search.damaged(of.id);
                Err(Error::new(Kind::Unavailable, "what is searched here is being made anew").code("search_building"))
            }
            Err(error) => Err(error),
        }
    }
}

/// That an index could not be read: no fault of a record.
struct Unread;

impl Unread {
    const CODE: &'static str = "search_unreadable";

    fn of(error: Error) -> Error {
        match error.kind() {
            Kind::Damaged | Kind::Internal => error.code(Unread::CODE),
            _ => error,
        }
    }
}

/// The searched fields that a caller may know of are some.
fn searchable(collection: &Collection, sees_hidden: bool) -> Result<&Search> {
    let is_seen = |id: FieldId| collection.field_by_id(id).is_some_and(|field| field.is_seen(sees_hidden));
    let search = collection.search.as_ref().filter(|search| search.fields.iter().any(|one| is_seen(one.field)));
    search.ok_or_else(|| {
        Error::invalid("this collection has nothing to search in: its definition has no search").code("not_searchable")
    })
}

/// The answer, made on a thread that may take long.
fn search(
    core: &Core,
    kept: &Kept,
    serving: &Serving,
    asker: &Asker,
    asked: &Asked,
    deadline: Instant,
) -> Result<Paged> {
    // Before the view: so nothing in the index is newer than what it is asked again of.
    let reading = serving.read();
    let request = asked.request();
    let listing = Listing::new(kept, asker, &asked.collection, request, core.view())?;
    let searched = request.search.ok_or_else(|| Error::internal("nothing is searched for"))?;
    let wants = Wants::new(&listing, &reading, searched)?;
    let by_score = listing.query.sort.is_empty();
    let after = listing.query.after.as_deref().filter(|_| by_score).map(place).transpose()?;
    let changed = changed(core, &reading, &listing);
    // Else a record that came since may be missing, until the index has it.
    let whole = changed.is_some();
    let body = Searching { listing: &listing, wants: &wants, reading: &reading, changed, after }.page(deadline)?;
    Ok(listing.paged(body, whole))
}

/// The records that changed since the index was committed; `None` where that are too many to be told.
fn changed(core: &Core, reading: &Reading, listing: &Listing<'_>) -> Option<BTreeSet<RecordId>> {
    let (of, to) = (&listing.collection, listing.view.position.seq);
    if !reading.is_of(of) {
        return None;
    }
    if reading.is_current(of) || reading.reflects() >= to {
        return Some(BTreeSet::new());
    }
    let entries = core.log().newest(reading.reflects(), limits::SEARCH_CHANGED_BYTES)?;
    // Readers may see a view before the log shows its entry.
    if entries.last()?.position.seq < to {
        return None;
    }
    let mut ids = BTreeSet::new();
    for change in entries.iter().flat_map(|logged| changes(logged)) {
        match change.what {
            What::Record(record) if record.collection == of.id => {
                ids.insert(record.id.clone());
                if ids.len() > limits::SEARCH_CHANGED_MAX {
                    return None;
                }
            }
            What::Record(_) | What::Defined(..) | What::Dropped(_) => {}
        }
    }
    Some(ids)
}

/// What is asked of the hits, by the names of one schema.
struct Wants {
    sought: Sought,
    highlight: Vec<FieldId>,
    facets: Vec<FieldId>,
}

impl Wants {
    fn new(listing: &Listing<'_>, reading: &Reading, searched: Searched<'_>) -> Result<Wants> {
        let (collection, sees_hidden) = (&listing.collection, listing.query.guard.is_superuser());
        let search = searchable(collection, sees_hidden)?;
        let sought = reading.sought(collection, searched.text, sees_hidden)?;
        let sought = sought.ok_or_else(|| Error::internal("nothing to search in"))?;
        let names = |text: Option<&str>, code: &'static str, known: &[FieldId]| {
            let mut found = Vec::new();
            for name in text.unwrap_or_default().split(',').map(str::trim).filter(|_| text.is_some()) {
                let field = collection.field(name).filter(|field| field.is_seen(sees_hidden));
                match field.map(|field| field.id).filter(|id| known.contains(id)) {
                    Some(id) if !found.contains(&id) => found.push(id),
                    Some(_) => {}
                    None => {
                        let shown: String = name.chars().take(limits::NAME_BYTES_MAX).collect();
                        return Err(Error::invalid(format!("there is no {shown:?} here to have it of")).code(code));
                    }
                }
            }
            Ok(found)
        };
        let fields: Vec<FieldId> = search.fields.iter().map(|one| one.field).collect();
        let highlight = names(searched.highlight, "bad_highlight", &fields)?;
        let facets = names(searched.facets, "bad_facets", &search.facets)?;
        Ok(Wants { sought, highlight, facets })
    }
}

/// One search over one view.
struct Searching<'a> {
    listing: &'a Listing<'a>,
    wants: &'a Wants,
    reading: &'a Reading,
    /// Records that the index has as they were, or not at all.
    changed: Option<BTreeSet<RecordId>>,
    /// Where the page begins, among hits by their score.
    after: Option<Place>,
}

/// A hit, and the bytes of its row.
struct Hit {
    record: Record,
    score: f32,
    bytes: usize,
}

/// What a search came to.
#[derive(Default)]
struct Page {
    hits: Vec<Hit>,
    more: Option<Box<[u8]>>,
    total: Option<usize>,
    facets: Vec<BTreeMap<Box<str>, usize>>,
    /// What the index found.
    found: usize,
    /// Whether only the best were asked.
    open: bool,
}

impl Searching<'_> {
    fn page(&self, deadline: Instant) -> Result<Vec<u8>> {
        let Published { stack, schema, .. } = &*self.listing.view;
        let (query, sought) = (&self.listing.query, &self.wants.sought);
        let all = !self.listing.conditions().is_empty() || !query.sort.is_empty() || !self.wants.facets.is_empty();
        let open = if all { None } else { self.changed.as_ref() };
        let hits = match open {
            Some(changed) => self.reading.best(sought, query.offset + query.limit + 1, self.after.as_ref(), changed),
            None => self.reading.all(sought),
        };
        let hits = hits.map_err(Unread::of)?;
        let mut budget = Budget::new(limits::QUERY_ROWS_MAX, deadline);
        let page = among(stack, schema, query, &mut budget, |among| {
            let fresh = self.fresh(among)?;
            match query.sort.is_empty() {
                true => self.by_score(hits, fresh, open.is_some(), among),
                false => self.by_fields(hits, fresh, among),
            }
        })?;
        self.write(&page, limits::QUERY_ROWS_MAX - budget.rows, deadline)
    }

    /// The hits among what changed since the index was committed.
    fn fresh(&self, among: &mut Among<'_>) -> Result<Vec<Hit>> {
        let mut fresh = Vec::new();
        for id in self.changed.iter().flatten() {
            let Some((record, bytes)) = among.record(id.clone())? else { continue };
            fresh.extend(self.wants.sought.judge(&record.fields).map(|score| Hit { record, score, bytes }));
        }
        Ok(fresh)
    }

    /// Best first. With `open` each that was not asked for yet is one that the caller sees.
    fn by_score(&self, hits: Hits, fresh: Vec<Hit>, open: bool, among: &mut Among<'_>) -> Result<Page> {
        let Query { offset, limit, count, .. } = self.listing.query;
        let mut page = Page { found: hits.count, open, ..Page::default() };
        let mut facets = self.facets();
        let known = open.then_some(hits.count + fresh.len());
        let mut merged = Merged { hits, fresh: fresh.into_iter().map(Fresh).collect() };
        let (mut total, mut behind) = (0, 0);
        while let Some(met) = merged.next()? {
            let is_behind = self.after.as_ref().is_none_or(|after| met.is_behind(after));
            if open && is_behind && behind < offset {
                behind += 1;
                continue;
            }
            let Some(hit) = self.read(met, among)? else { continue };
            total += 1;
            facets.count(&hit.record)?;
            if is_behind {
                behind += 1;
                if page.hits.len() == limit {
                    page.more = page.more.take().or_else(|| page.hits.last().map(mark));
                } else if behind > offset {
                    among.hold(hit.bytes)?;
                    page.hits.push(hit);
                }
            }
            let counted = !count || open || total > limits::SEARCH_TOTAL_MAX;
            if page.more.is_some() && counted && facets.of.is_empty() {
                break;
            }
        }
        page.total = count.then_some(known.unwrap_or(total)).filter(|total| *total <= limits::SEARCH_TOTAL_MAX);
        page.facets = facets.counts;
        Ok(page)
    }

    /// In the order of a `sort`.
    fn by_fields(&self, hits: Hits, fresh: Vec<Hit>, among: &mut Among<'_>) -> Result<Page> {
        let Query { offset, limit, count, .. } = self.listing.query;
        let mut page = Page { found: hits.count, ..Page::default() };
        let mut facets = self.facets();
        let mut merged = Merged { hits, fresh: fresh.into_iter().map(Fresh).collect() };
        let mut places = Vec::new();
        let mut total = 0;
        while let Some(met) = merged.next()? {
            let Some(hit) = self.read(met, among)? else { continue };
            total += 1;
            facets.count(&hit.record)?;
            let place = among.place(&hit.record)?;
            if among.is_behind(&place) {
                places.push((place, hit.record.id, hit.score));
            }
        }
        places.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        let more = places.len() > offset + limit;
        for (_, id, score) in places.into_iter().skip(offset).take(limit) {
            if let Some((record, bytes)) = among.record(id)? {
                among.hold(bytes)?;
                page.hits.push(Hit { record, score, bytes });
            }
        }
        page.more = page.hits.last().filter(|_| more).map(|last| among.mark(&last.record));
        page.total = count.then_some(total).filter(|total| *total <= limits::SEARCH_TOTAL_MAX);
        page.facets = facets.counts;
        Ok(page)
    }

    /// What was met, as it is now: none where the caller sees no such hit.
    fn read(&self, met: Met, among: &mut Among<'_>) -> Result<Option<Hit>> {
        let (id, score) = match met {
            Met::Fresh(hit) => return Ok(Some(hit)),
            Met::Indexed(id, score) => (id, score),
        };
        if self.changed.as_ref().is_some_and(|changed| changed.contains(&id)) {
            return Ok(None);
        }
        let Some((record, bytes)) = among.record(id)? else { return Ok(None) };
        // Where it is not told what changed, its version tells it.
        let score = match self.changed.is_none() && record.version.seq > self.reading.reflects() {
            true => self.wants.sought.judge(&record.fields),
            false => Some(score),
        };
        Ok(score.map(|score| Hit { record, score, bytes }))
    }

    fn facets(&self) -> Facets<'_> {
        let of = &self.wants.facets;
        Facets { of, counts: vec![BTreeMap::new(); of.len()] }
    }

    fn write(&self, page: &Page, rows_read: usize, deadline: Instant) -> Result<Vec<u8>> {
        let Listing { view, collection, look, asker, paging, listed, explain, .. } = self.listing;
        let mut beside = Vec::new();
        if !self.wants.facets.is_empty() {
            beside.extend_from_slice(b",\"facets\":{");
            for (at, (id, counts)) in self.wants.facets.iter().zip(&page.facets).enumerate() {
                let name = collection.field_by_id(*id).map_or("", |field| &*field.name);
                beside.extend_from_slice(if at == 0 { b"" } else { b"," });
                write_text(&mut beside, name);
                beside.push(b':');
                write_counts(counts, &mut beside);
            }
            beside.push(b'}');
        }
        if *explain {
            beside.extend_from_slice(b",\"explain\":{\"index\":\"search\",\"found\":");
            // Counts of rows are far below 2^63.
            write_i64(&mut beside, page.found as i64);
            beside.extend_from_slice(b",\"rowsRead\":");
            write_i64(&mut beside, rows_read as i64);
            let asked: &[u8] = if page.open { b",\"asked\":\"best\"}" } else { b",\"asked\":\"all\"}" };
            beside.extend_from_slice(asked);
        }
        let mut allowance = Allowance::new(limits::QUERY_ROWS_MAX, deadline);
        let mut relations = Relations::new(view, asker, &mut allowance);
        let write = |hit: &Hit, out: &mut Vec<u8>| {
            look.write(collection, &hit.record, &mut relations, out)?;
            self.write_own(hit, out);
            Ok(())
        };
        let next = page.more.as_deref().map(|mark| listed.cursor(mark));
        output::page(*paging, page.total, &page.hits, write, next.as_deref(), &beside)
    }

    /// Puts what a hit has beside its record into the object that was just written.
    fn write_own(&self, hit: &Hit, out: &mut Vec<u8>) {
        out.pop();
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(b"\"score\":");
        // A whole number of 1/512, so its digits end.
        out.extend_from_slice(hit.score.to_string().as_bytes());
        if !self.wants.highlight.is_empty() {
            out.extend_from_slice(b",\"highlights\":{");
            let mut first = true;
            for id in &self.wants.highlight {
                let field = self.listing.collection.field_by_id(*id);
                let marked = self.wants.sought.highlight(*id, &hit.record.fields);
                let (Some(field), Some(marked)) = (field, marked) else { continue };
                out.extend_from_slice(if first { b"" } else { b"," });
                write_text(out, &field.name);
                out.push(b':');
                write_text(out, &marked);
                first = false;
            }
            out.push(b'}');
        }
        out.push(b'}');
    }
}

/// What the index found and what is found beside it, best first.
struct Merged {
    hits: Hits,
    fresh: BinaryHeap<Fresh>,
}

/// One of them.
enum Met {
    Indexed(RecordId, f32),
    Fresh(Hit),
}

impl Met {
    fn is_behind(&self, place: &Place) -> bool {
        match self {
            Met::Indexed(id, score) => place.is_before(*score, id),
            Met::Fresh(hit) => place.is_before(hit.score, &hit.record.id),
        }
    }
}

impl Merged {
    fn next(&mut self) -> Result<Option<Met>> {
        let next = self.hits.peek().map_err(Unread::of)?;
        let fresh_first = match (self.fresh.peek(), next) {
            (Some(fresh), Some((id, score))) => fresh.order(*score, id).is_gt(),
            (fresh, None) => fresh.is_some(),
            (None, Some(_)) => false,
        };
        if fresh_first {
            return Ok(self.fresh.pop().map(|Fresh(hit)| Met::Fresh(hit)));
        }
        Ok(self.hits.take().map_err(Unread::of)?.map(|(id, score)| Met::Indexed(id, score)))
    }
}

/// A hit among what changed. The one that comes first is the greatest.
struct Fresh(Hit);

impl Fresh {
    fn order(&self, score: f32, id: &RecordId) -> Ordering {
        self.0.score.total_cmp(&score).then_with(|| id.cmp(&self.0.record.id))
    }
}

impl PartialEq for Fresh {
    fn eq(&self, other: &Fresh) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fresh {}

impl PartialOrd for Fresh {
    fn partial_cmp(&self, other: &Fresh) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fresh {
    fn cmp(&self, other: &Fresh) -> Ordering {
        self.order(other.0.score, &other.0.record.id)
    }
}

/// Values counted among the hits.
struct Facets<'a> {
    of: &'a [FieldId],
    counts: Vec<BTreeMap<Box<str>, usize>>,
}

impl Facets<'_> {
    fn count(&mut self, record: &Record) -> Result<()> {
        for (field, counts) in self.of.iter().zip(&mut self.counts) {
            for value in record.fields.get(*field).each() {
                let Some(name) = name_of(value) else { continue };
                *counts.entry(name).or_default() += 1;
                if counts.len() > limits::SEARCH_FACET_VALUES_MAX {
                    let most = limits::SEARCH_FACET_VALUES_MAX;
                    let message = format!("a facet has more than {most} different values: narrow the search");
                    return Err(Error::new(Kind::Unprocessable, message).code("query_too_large"));
                }
            }
        }
        Ok(())
    }
}

/// A value as the name of its count.
fn name_of(value: &Value) -> Option<Box<str>> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string().into()),
        Value::Int(number) => Some(number.to_string().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// The greatest counts first, equal ones by their values.
fn write_counts(counts: &BTreeMap<Box<str>, usize>, out: &mut Vec<u8>) {
    let mut sorted: Vec<(&str, usize)> = counts.iter().map(|(value, count)| (&**value, *count)).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    out.push(b'{');
    for (at, (value, count)) in sorted.into_iter().take(limits::SEARCH_FACET_VALUES_SHOWN).enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { b"," });
        write_text(out, value);
        out.push(b':');
        // Counts of hits are far below 2^63.
        write_i64(out, count as i64);
    }
    out.push(b'}');
}

/// What a cursor holds of a hit's place by its score: the score's bits, then the id.
fn mark(hit: &Hit) -> Box<[u8]> {
    [&hit.score.to_be_bytes(), hit.record.id.as_str().as_bytes()].concat().into()
}

fn place(mark: &[u8]) -> Result<Place> {
    let bad = || Error::invalid("cursor: this is no cursor of such a list").code("bad_cursor");
    let (score, id) = mark.split_first_chunk::<4>().ok_or_else(bad)?;
    let id = std::str::from_utf8(id).ok().and_then(|id| RecordId::new(id).ok()).ok_or_else(bad)?;
    Ok(Place { score: f32::from_be_bytes(*score), id })
}
