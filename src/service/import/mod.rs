//! Importing records: the lines of a body that comes in pieces, of any length, become loads of many writes.
//!
//! One thread for each import reads lines and checks them (`work`) while the writer decides those before: two commands
//! are held, never more, and the next piece of the body is asked for when there is room. Each line goes the way of a
//! single create or put, under the caller's guard as it is then, and when the caller's token or key is over, so is the
//! import. With `atomic` all lines are one transaction (`atomic`),
//! which may have a key: its body is hashed as it is read.
//!
//! Invariants: commands are decided in the order of their lines, the next one sent only when the last one is decided; a
//! broken body ends the import, and what was committed stays.

mod atomic;
mod prepare;
mod report;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Kind, Result};
use crate::id::CollectionId;
use crate::limits;
use crate::model::guard::Action;
use crate::model::lines::Form;
use crate::model::predicate::Request;
use crate::model::schema::{Collection, Schema};
use crate::service::auth::API_KEYS;
use crate::service::once::Claim;
use crate::service::places::Place;
use crate::service::records::find;
use crate::service::standing::Standing;
use crate::service::writes::allow_one;
use crate::service::{Asker, Service};

pub use report::{LineFault, Report};

/// How a body is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What the body is.
    pub form: Form,
    /// Whether a line whose id is there replaces the record; else such a line is refused.
    pub upsert: bool,
    /// Whether all lines are one transaction, all of it or nothing.
    pub atomic: bool,
}

impl Terms {
    fn actions(self) -> &'static [Action] {
        if self.upsert { &[Action::Create, Action::Update] } else { &[Action::Create] }
    }
}

/// Where the bytes of an import come from. Asked on a thread that may wait.
pub trait Source {
    /// The next ones; `None` at the end.
    ///
    /// # Errors
    /// What broke the body off.
    fn next(&mut self) -> Result<Option<Bytes>>;
}

/// A piece of a body that comes over a channel. One that ends without [`Piece::End`] was broken off.
#[derive(Debug)]
pub enum Piece {
    /// Some of it.
    Bytes(Bytes),
    /// There is no more.
    End,
    /// There is more, and it can't be had.
    Broken(Error),
}

impl Source for mpsc::Receiver<Piece> {
    fn next(&mut self) -> Result<Option<Bytes>> {
        match self.blocking_recv() {
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Piece::End) => Ok(None),
            Some(Piece::Broken(error)) => Err(error),
            None => Err(Error::invalid("the body was broken off").code("body_cut")),
        }
    }
}

/// Why an import ended before its end, and what was done until then.
#[derive(Debug)]
pub struct Ended {
    /// Why.
    pub error: Error,
    /// What was done, and stays.
    pub report: Report,
}

/// An import that may begin.
#[derive(Debug)]
pub struct Import {
    service: Service,
    standing: Mutex<Standing>,
    /// What the caller's request said.
    request: Arc<Request>,
    /// As it was named.
    named: Box<str>,
    /// Which that was; `None` where it may not be imported into (any more), and there is an answer from before.
    collection: Option<CollectionId>,
    terms: Terms,
    claim: Option<Claim>,
    _place: Place,
}

impl Service {
    /// Sees to it that the caller may import at all, before a byte is read; with a claim, unless there is an answer from
    /// before. Only what is `atomic` may have one: there is no answer to be kept in one entry of many.
    ///
    /// # Errors
    /// `NotFound` for the collection; `Unprocessable` for that of the API keys; by its rules; `Unavailable` while `limits::IMPORTS_MAX` are running.
    pub fn import(&self, asker: &Asker, collection: &str, terms: Terms, claim: Option<Claim>) -> Result<Import> {
        if claim.is_some() && !terms.atomic {
            return Err(Error::internal("an import of many transactions has no key"));
        }
        let view = self.core().view();
        let found = match importable(&view.schema, asker, collection, terms) {
            Err(_) if claim.as_ref().is_some_and(Claim::is_known) => None,
            found => Some(found?.id),
        };
        let place = self.0.imports.take().ok_or_else(|| busy("imports", limits::IMPORTS_MAX))?;
        let standing = Mutex::new(Standing::new(self, asker.caller.clone(), None));
        let (service, request, named) = (self.clone(), asker.request.clone(), collection.into());
        Ok(Import { service, standing, request, named, collection: found, terms, claim, _place: place })
    }
}

/// The collection of a name or an id, if the caller may import into it.
fn importable<'a>(schema: &'a Schema, asker: &Asker, named: &str, terms: Terms) -> Result<&'a Arc<Collection>> {
    let found = find(schema, named)?;
    if &*found.name == API_KEYS {
        let message = "an API key is shown to whoever makes it, so they are made one by one";
        return Err(Error::new(Kind::Unprocessable, message).code("own_collection"));
    }
    allow_one(&asker.guard(schema, found)?, terms.actions())?;
    Ok(found)
}

pub(super) fn busy(what: &str, max: usize) -> Error {
    let message = format!("{max} {what} are running, which is as many as may");
    Error::new(crate::error::Kind::Unavailable, message).code("queue_full")
}

impl Import {
    /// The same, of a caller who is known by what it showed: once that is over, so is the import.
    #[must_use]
    pub fn known_by(self, credential: Option<&[u8]>) -> Import {
        let caller = self.standing.lock().caller().clone();
        let standing = Mutex::new(Standing::new(&self.service, caller, credential.map(Arc::from)));
        Import { standing, ..self }
    }

    /// Imports all that `source` gives, on this thread, which must be one that may wait.
    ///
    /// # Errors
    /// What ended it: the source, a header or, with `atomic`, a line that can't be taken, a right that was taken away,
    /// `Unauthenticated` for a token or key that is over; the core's. Without `atomic` a line that can't be taken is no error: the report names it.
    pub fn run(mut self, source: &mut dyn Source) -> Result<Report, Box<Ended>> {
        let mut report = Report::new(self.service.position());
        let claim = self.claim.take();
        let done = if self.terms.atomic {
            atomic::run(&self, claim, source, &mut report)
        } else {
            work::run(&self, source, &mut report)
        };
        match done {
            Ok(()) => Ok(report),
            Err(error) => Err(Box::new(Ended { error, report })),
        }
    }

    /// Imports what comes over a channel, on a thread of its own.
    ///
    /// # Errors
    /// As [`Import::run`].
    pub async fn run_apart(self, mut pieces: mpsc::Receiver<Piece>) -> Result<Report, Box<Ended>> {
        let report = Report::new(self.service.position());
        let failed = |error| Err(Box::new(Ended { error, report }));
        let (answer, outcome) = oneshot::channel();
        let work = move || {
            let done = catch_unwind(AssertUnwindSafe(|| self.run(&mut pieces)));
            // A caller that hung up is no fault.
            let _ = answer.send(done);
        };
        if let Err(error) = std::thread::Builder::new().name("import".to_owned()).spawn(work) {
            return failed(Error::internal("no thread for an import").source(error));
        }
        match outcome.await {
            Ok(Ok(done)) => done,
            _ => failed(Error::internal("an import panicked")),
        }
    }

    /// The caller as of now: rules that ask for the time or the caller's record get those of the line's check.
    ///
    /// # Errors
    /// `Unauthenticated` when its token or key is over.
    fn asker(&self) -> Result<Asker> {
        let mut standing = self.standing.lock();
        standing.renew(&self.service)?;
        let caller = standing.caller().clone();
        let (now, principal) = (self.service.core().clock().now(), caller.record());
        let request = Request { now, principal, ..(*self.request).clone() };
        Ok(Asker { caller, request: Arc::new(request) })
    }

    /// Sees to it that the caller still is one: what was checked for long may have outlived it.
    ///
    /// # Errors
    /// As [`Import::asker`].
    fn stands(&self) -> Result<()> {
        self.standing.lock().renew(&self.service).map(drop)
    }
}
