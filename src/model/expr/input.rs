//! What an expression is compiled and evaluated with. The caller makes these; nothing here is looked up or read from a
//! clock.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::id::{CollectionId, FieldId, RecordId};
use crate::limits;
use crate::model::schema::{Collection, Schema};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

/// What names mean when an expression is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// All collections, for paths through relations.
    pub schema: &'a Schema,
    /// The one whose records are looked at.
    pub collection: &'a Collection,
    /// Those a caller's own record may lie in, for `@request.auth`.
    pub callers: &'a [Arc<Collection>],
    /// Whether hidden fields are known to whoever wrote the expression.
    pub sees_hidden: bool,
}

/// The record that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its fields.
    pub fields: &'a Fields,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Where the caller's own record lies.
    pub collection: CollectionId,
    /// That record.
    pub record: Row<'a>,
}

/// What an expression may ask for beside the record. What is absent is null.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `@now`, and the names made from it.
    pub now: Millis,
    /// `@request.method`
    pub method: &'a str,
    /// `@request.auth`
    pub caller: Option<Caller<'a>>,
    /// `@request.body`, by the fields' names; what stands here as null was sent as null.
    pub body: &'a [(Box<str>, Value)],
    /// `@request.query`
    pub query: &'a [(Box<str>, Box<str>)],
    /// `@old`: the record before the update.
    pub old: Option<&'a Fields>,
}

impl Input<'_> {
    /// Nothing but the time.
    pub fn at(now: Millis) -> Input<'static> {
        Input { now, method: "", caller: None, body: &[], query: &[], old: None }
    }
}

/// Other records, as they stand in the view that is evaluated in. An implementation **must** answer the same for the
/// same arguments as long as an evaluation runs, and leave out what the expression's author may not see.
pub trait Relations {
    /// The record of that id.
    fn record(&self, collection: CollectionId, id: &str) -> Option<Arc<Fields>>;

    /// The records of `collection` whose relation `field` holds `id`, in order of their ids, `max` at most.
    fn referrers(&self, collection: CollectionId, field: FieldId, id: &str, max: usize)
    -> Vec<(RecordId, Arc<Fields>)>;

    /// Steps that the next evaluation may take, where that is less than any may.
    fn steps(&self) -> usize {
        limits::EXPRESSION_STEPS_MAX
    }

    /// An evaluation has taken so many.
    fn spent(&self, _steps: usize) {}
}

/// No other records: every relation leads nowhere.
#[derive(Clone, Copy, Debug)]
pub struct NoRelations;

impl Relations for NoRelations {
    fn record(&self, _: CollectionId, _: &str) -> Option<Arc<Fields>> {
        None
    }

    fn referrers(&self, _: CollectionId, _: FieldId, _: &str, _: usize) -> Vec<(RecordId, Arc<Fields>)> {
        Vec::new()
    }
}

/// An evaluation went past `limits::EXPRESSION_STEPS_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an expression takes too many steps for this record")
    }
}

impl std::error::Error for Exhausted {}

impl Exhausted {
    /// As an answer: `Unprocessable` with code `too_costly`.
    pub fn error(self) -> Error {
        Error::new(Kind::Unprocessable, self.to_string()).code("too_costly")
    }
}
