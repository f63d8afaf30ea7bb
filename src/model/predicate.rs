//! A compiled condition with all that it asks for besides the records: a caller's filter, or a rule for one caller.
//!
//! Invariant: a rule is its collection's owner's and sees every record; a filter is a caller's and sees of other records
//! only those that caller may view, so that no answer tells of what is hidden.

use std::sync::{Arc, OnceLock};

use crate::id::CollectionId;
use crate::model::expr::{self, Input, Program};
use crate::model::guard::Guard;
use crate::model::record::Record;
use crate::model::value::Value;
use crate::time::Millis;

/// What a request says, for the expressions that ask for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// When it came.
    pub now: Millis,
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// The caller's own record and where it lies.
    pub principal: Option<(CollectionId, Arc<Record>)>,
    /// Of the query string.
    pub query: QueryPairs,
}

/// The pairs of a query string, which are read when an expression asks for them: few do.
#[derive(Clone, Debug)]
pub struct QueryPairs {
    text: Box<str>,
    read: fn(&str) -> Pairs,
    pairs: OnceLock<Pairs>,
}

type Pairs = Vec<(Box<str>, Box<str>)>;

impl QueryPairs {
    /// Those of a text, by that reader of it.
    pub fn of(text: &str, read: fn(&str) -> Pairs) -> QueryPairs {
        QueryPairs { text: text.into(), read, pairs: OnceLock::new() }
    }

    /// All of them, decoded.
    pub fn get(&self) -> &[(Box<str>, Box<str>)] {
        self.pairs.get_or_init(|| (self.read)(&self.text))
    }
}

impl From<Pairs> for QueryPairs {
    fn from(pairs: Pairs) -> QueryPairs {
        QueryPairs { text: "".into(), read: |_| Vec::new(), pairs: pairs.into() }
    }
}

impl PartialEq for QueryPairs {
    fn eq(&self, other: &QueryPairs) -> bool {
        self.get() == other.get()
    }
}

impl Request {
    /// Nobody's, with nothing but a time.
    pub fn at(now: Millis) -> Request {
        Request { now, method: "", principal: None, query: Vec::new().into() }
    }

    /// What an expression is evaluated with; `now` is the time of the write, or the request's own.
    pub fn input<'a>(&'a self, now: Millis, body: &'a [(Box<str>, Value)]) -> Input<'a> {
        let caller = self.principal.as_ref().map(|(collection, record)| expr::Caller {
            collection: *collection,
            record: expr::Row { id: record.id.as_str(), fields: &record.fields },
        });
        Input { now, method: self.method, caller, body, query: self.query.get(), old: None }
    }
}

/// Which other records a condition may look at.
#[derive(Clone, Debug)]
pub enum Sight {
    /// All of them: a definition's own expressions.
    All,
    /// Those that these guards let the caller view; of a collection that is not named, none.
    Guarded(Arc<[(CollectionId, Guard)]>),
}

/// A condition ready to be asked of records.
#[derive(Clone, Debug)]
pub struct Predicate {
    /// Compiled against the schema that its query or command names.
    pub program: Arc<Program>,
    /// What it may ask for.
    pub request: Arc<Request>,
    /// What it may look at.
    pub sight: Sight,
}

impl Predicate {
    /// What it is evaluated with on a read: no body, no record before.
    pub fn input(&self) -> Input<'_> {
        match self.program.uses().request {
            true => self.request.input(self.request.now, &[]),
            false => Input::at(self.request.now),
        }
    }
}

/// The same program for the same request: what a test may compare.
impl PartialEq for Predicate {
    fn eq(&self, other: &Predicate) -> bool {
        Arc::ptr_eq(&self.program, &other.program) && Arc::ptr_eq(&self.request, &other.request)
    }
}
