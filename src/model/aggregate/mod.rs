//! Aggregation, all of it that needs no records: a request read (`read`, `list`) and checked against definitions
//! (`grouping`), groups of several sources merged (`merge`) and what is told of them (`select`).
//!
//! A **source** is a collection with a filter, keys to group by, and values. Keys, values and conditions are expressions
//! of `model::expr`; in a value the calls of `reduction` are measures, each of all records of a group. What comes of a
//! source is a [`Table`] in the order of its keys; tables are joined by keys of the same name, or put one behind the
//! other; over what was merged `having` and `select` are expressions again, whose names are columns (`columns`).
//!
//! Invariants. Pure: no clock, no state. Two keys are the same where [`Value::order`] finds them equal, null too: so they are in a
//! group, and so they are joined. What a request names is bounded when it is read, what comes of it by
//! `limits::AGGREGATE_ROWS_MAX`.

mod columns;
mod grouping;
mod list;
mod merge;
mod read;
mod reduction;
mod remote;
mod select;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::expr::Type;
use crate::model::value::Value;

pub use grouping::{Finishing, Grouping, Key, Measure};
pub use list::{Texts, of_texts};
pub use read::read;
pub use reduction::Reduction;
pub use remote::failed;
pub use select::{Answer, Selection};

/// A request as it was read: what can be told without a definition has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// In the order of the request; at least one.
    pub sources: Vec<Source>,
    /// How they come together; of one source there is nothing to say.
    pub merge: Merge,
    /// What holds of each row that was merged.
    pub having: Option<Box<str>>,
    /// What is told of each; every column where it is empty.
    pub select: Vec<Named>,
    /// By these names of what is told, the greatest first where so marked.
    pub sort: Vec<(Box<str>, bool)>,
    /// Rows that are told at most.
    pub limit: usize,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether what failed of it is told beside the rest.
    pub partial: bool,
    /// Whether to say how it was done: superusers only.
    pub explain: bool,
}

/// One source of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// What the request calls it.
    pub name: Box<str>,
    /// On which other server; `None` on this one.
    pub remote: Option<Remote>,
    /// Name or id.
    pub collection: Box<str>,
    /// What holds of each record.
    pub filter: Option<Box<str>>,
    /// What records are grouped by; all are one group where there is nothing.
    pub group: Vec<Named>,
    /// What is told of each group.
    pub values: Vec<Named>,
    /// What holds of each group, by the names of its keys and values.
    pub having: Option<Box<str>>,
}

/// Another Millpond server.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is, http or https.
    pub url: url::Url,
    /// What it is asked with.
    pub token: Option<Box<str>>,
}

/// Without its token.
impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.url.as_str())
    }
}

/// An expression with a name for what it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Letters, digits and `_`, none of the digits first.
    pub name: Box<str>,
    /// The expression's text.
    pub text: Box<str>,
}

/// How sources come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// One behind the other.
    Union,
    /// By keys that each of them groups by; the first with the second, what that gives with the third, and so on.
    Join {
        /// The names of the keys.
        keys: Vec<Box<str>>,
        /// Which rows stay that meet no other.
        kind: Join,
    },
}

/// Which rows of a join stay that meet no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// None.
    Inner,
    /// Those of what came before.
    Left,
    /// All.
    Full,
}

/// A column of what comes of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name of a key or a value.
    pub name: Box<str>,
    /// What it holds, besides null.
    pub is: Type,
}

/// The groups of a source in the order of their keys: a row for each, its keys before its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// One for each value of a row.
    pub columns: Vec<Column>,
    /// The groups.
    pub rows: Vec<Vec<Value>>,
}

/// Whether a text may name a source, a key or a value: a letter or `_`, then letters, digits and `_`, all of ASCII.
pub(super) fn is_name(text: &str) -> bool {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let goes_on = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    begins && goes_on && text.len() <= crate::limits::NAME_BYTES_MAX
}
