//! The log as pages: what a caller may see of the changes of some collections, from a mark on. A page is a stream that ends
//! soon, so it is judged as any stream.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{Begin, Form, Next, Subscription};
use crate::error::{Error, Kind, Result};
use crate::id::{Mark, Position, Seq};
use crate::limits;
use crate::live::{Event, Tell};
use crate::model::guard::Action;
use crate::model::json::write_text;
use crate::service::{Asker, Service};

/// What a page is to hold.
#[derive(Clone, Copy, Debug)]
pub struct ChangesRequest<'a> {
    /// Behind this; from the oldest that is kept, where nothing is said.
    pub since: Option<Since>,
    /// So many at most.
    pub limit: usize,
    /// Of these collections; where none is named, of all that the caller may list, but for the server's own.
    pub collections: &'a [&'a str],
    /// What holds of each record.
    pub filter: Option<&'a str>,
    /// How long to wait where there is nothing yet.
    pub wait: std::time::Duration,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Behind a mark.
    Mark(Mark),
    /// Behind what there is at this moment.
    Now,
}

/// A page.
#[derive(Debug)]
pub struct ChangesPage {
    /// As NDJSON.
    pub body: Vec<u8>,
    /// Where the next one begins.
    pub next: Mark,
}

impl Service {
    /// A page of changes.
    ///
    /// # Errors
    /// As of a list, of each collection that is named; `Gone` with code `log_trimmed` for a mark whose log went;
    /// `Unavailable` or `RateLimited` when too many streams are open.
    pub async fn changes(
        &self,
        asker: &Asker,
        credential: Option<&[u8]>,
        address: Option<IpAddr>,
        request: ChangesRequest<'_>,
    ) -> Result<ChangesPage> {
        let began = Instant::now();
        let view = self.core().view();
        let begin = match request.since {
            Some(Since::Mark(mark)) => mark,
            Some(Since::Now) => view.position.into(),
            None => {
                let first: Seq = self.core().log().first_seq();
                Position { seq: first.before().min(view.position.seq), ..view.position }.into()
            }
        };
        let target = Mark::from(view.position);
        let subscriptions = self.subscriptions(&view, asker, &request)?;
        drop(view);
        let listener = self.listener(Form::Page, asker.caller.clone(), credential, address)?;
        listener.subscribe_to_all(subscriptions, Begin::Behind(begin))?;
        let mut page = ChangesPage { body: Vec::new(), next: begin };
        let mut left = request.limit;
        let until = began + request.wait.min(limits::CHANGES_WAIT_MAX).max(limits::CHANGES_TIME_MIN);
        while left > 0 {
            let waits = page.body.is_empty() && !request.wait.is_zero();
            let next = async { if waits { Some(listener.next().await) } else { listener.next_up_to(target).await } };
            match timeout_at(until, next).await {
                // Nothing came, or nothing more was found in time: the place is further on all the same.
                Err(_) | Ok(None) => {
                    page.next = page.next.max(listener.at());
                    break;
                }
                Ok(Some(Next::Events(events))) => page.add(events, &mut left, listener.at()),
                Ok(Some(Next::Reset(notice))) if notice.last => {}
                Ok(Some(Next::Reset(_))) => return Err(super::gone()),
                Ok(Some(Next::Ended(Some(error)))) => return Err(error),
                Ok(Some(Next::Ended(None))) => {
                    return Err(Error::new(Kind::Unavailable, "the server is stopping").code("stopping"));
                }
            }
        }
        Ok(page)
    }

    fn subscriptions(
        &self,
        view: &crate::core::Published,
        asker: &Asker,
        request: &ChangesRequest<'_>,
    ) -> Result<Vec<Subscription>> {
        let of = |name: &str| -> Result<Subscription> {
            let subscription = Subscription::of(&format!("{name}/*"))?;
            let query = asker.request.query.get().to_vec();
            Ok(Subscription { name: name.into(), filter: request.filter.map(Box::from), query, ..subscription })
        };
        if !request.collections.is_empty() {
            return request.collections.iter().map(|name| of(name)).collect();
        }
        let mut all = Vec::new();
        for collection in view.schema.iter().filter(|collection| !collection.id.is_own()) {
            if asker.guard(&view.schema, collection)?.allow(Action::List).is_ok() {
                all.push(of(&collection.name)?);
            }
        }
        Ok(all)
    }
}

impl ChangesPage {
    /// Adds as many as may be; `at` is the place behind all of them.
    fn add(&mut self, events: Vec<(Arc<str>, Arc<Event>)>, left: &mut usize, at: Mark) {
        for (collection, event) in events {
            if self.body.len() >= limits::PAGE_BYTES_MAX {
                *left = 0;
            }
            if *left == 0 {
                return;
            }
            *left -= 1;
            self.next = event.mark;
            line(&collection, &event, &mut self.body);
        }
        self.next = self.next.max(at);
    }
}

/// `{"seq", "collection", "action", "record"}`
fn line(collection: &str, event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"seq\":\"");
    out.extend_from_slice(event.mark_text.as_bytes());
    out.extend_from_slice(b"\",\"collection\":");
    write_text(out, collection);
    match &event.what {
        Tell::Record(told) => {
            out.extend_from_slice(b",\"action\":\"");
            out.extend_from_slice(told.action.name().as_bytes());
            out.extend_from_slice(b"\",\"record\":");
            out.extend_from_slice(&told.record);
        }
        Tell::Emptied => out.extend_from_slice(b",\"action\":\"truncate\",\"record\":null"),
    }
    out.extend_from_slice(b"}\n");
}
