//! Handlers as they are defined: which changes each wants, and what it makes of them. A record of `_handlers` is one.
//!
//! Pure: reading a record against a schema and compiling its expressions ([`Handler::read`]), and looking for circles
//! among those that write into collections (`circle`). `core::decide` judges by it what is saved; who carries handlers out
//! reads them by it again, as a collection may have changed since.
//!
//! Invariants: an expression of a handler is its superuser's, who sees every record, and knows no request: it looks at the
//! change, the record being the one after it, or before it where the record went, and `@old` the one before. What a handler
//! of kind `collection` writes never comes back to it over others: names make no circle, whatever they come to mean.

mod circle;
mod own;
pub(in crate::model) mod read;
pub(in crate::model) mod webhook;

pub use circle::{Edge, circle};
pub use own::{DEAD_LETTERS, HANDLERS, definitions};
pub use read::is_enabled;

use base64ct::{Base64, Encoding};

use crate::id::{CollectionId, FieldId};
use crate::model::command::Way;
use crate::model::expr::Program;

/// What a handler is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// Records that come.
    pub create: bool,
    /// Records that change.
    pub update: bool,
    /// Records that go.
    pub delete: bool,
}

/// A handler, ready to be carried out by the schema that it was read with.
#[derive(Clone, Debug)]
pub struct Handler {
    /// For people.
    pub name: Box<str>,
    /// Whether it goes on; one that doesn't stays where it is in the log.
    pub enabled: bool,
    /// Of which changes.
    pub actions: Actions,
    /// In which collections, with what is particular to each.
    pub sources: Vec<Source>,
    /// What it does.
    pub deed: Deed,
}

/// What a handler makes of the changes of one collection: its expressions are compiled for each.
#[derive(Clone, Debug)]
pub struct Source {
    /// Whose changes.
    pub collection: CollectionId,
    /// Which of them; `None` for all.
    pub filter: Option<Program>,
    /// Of [`Deed::Collection`]: the id of the record that is written; `None` for a new one each time.
    pub key: Option<Program>,
    /// Of [`Deed::Collection`]: what is written into it.
    pub sets: Vec<Setting>,
}

/// A field that a handler writes.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Which.
    pub field: FieldId,
    /// Whether what is there is changed (`total+`) rather than replaced.
    pub way: Option<Way>,
    /// By what.
    pub program: Program,
}

/// What a handler does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Sends each change.
    Webhook(Webhook),
    /// Writes into this collection.
    Collection(CollectionId),
    /// Has what is kept of answers dropped, by these patterns.
    Cache(Vec<Box<str>>),
}

/// Where changes are sent.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// `http` or `https`, without a user or a fragment.
    pub url: url::Url,
    /// What the signature is made with.
    pub secret: Secret,
    /// Sent beside the server's own.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// How long an answer may take, seconds.
    pub timeout_seconds: u64,
}

/// The bytes that sign; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes; `None` for anything else.
    pub fn read(text: &str) -> Option<Secret> {
        let bytes = Base64::decode_vec(text.strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| Secret(bytes.into()))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
