//! What the log holds: an entry is one transaction, its changes are facts with their before-images.
//!
//! A stored format (postcard): variants are appended, never reordered or altered. Everything that a server derives from
//! the log it can derive from these alone, together with the schema they themselves build up.

use serde::{Deserialize, Serialize};

use crate::id::{CollectionId, FieldId, Generation, IndexId, Mark, Position, RecordId, Seq};
use crate::model::once::{Fingerprint, Remembered};
use crate::model::value::{Fields, Value};

/// One transaction: all of its changes, or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// In order; a later one sees the earlier ones. At most `limits::ENTRY_CHANGES_MAX`, as [`Entry::counted`] says.
    pub changes: Vec<Change>,
}

impl Entry {
    /// How many changes count against the bound: an answer that is kept, its last one, takes no other's place.
    pub fn counted(&self) -> usize {
        self.changes.len() - usize::from(matches!(self.changes.last(), Some(Change::Remembered(_))))
    }
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A record came to be.
    Created {
        /// Where.
        collection: CollectionId,
        /// Of which filling of the collection.
        generation: Generation,
        /// Which.
        id: RecordId,
        /// All of it.
        after: Fields,
    },
    /// A record changed.
    Updated {
        /// Where.
        collection: CollectionId,
        /// Of which filling of the collection.
        generation: Generation,
        /// Which.
        id: RecordId,
        /// All of it, as it is now.
        after: Fields,
        /// The old value, null if there was none, of every field that is not what it was.
        before: Vec<(FieldId, Value)>,
        /// The entry that wrote the version before this one.
        since: Seq,
    },
    /// A record went.
    Deleted {
        /// Where.
        collection: CollectionId,
        /// Of which filling of the collection.
        generation: Generation,
        /// Which.
        id: RecordId,
        /// All of it, as it was.
        before: Fields,
        /// The entry that wrote the version that went.
        since: Seq,
    },
    /// A collection came to be or has a new definition. The text is [`crate::model::schema::Collection`] as JSON, with
    /// its ids: a definition must be readable by servers that know more settings than the one that wrote it.
    Defined {
        /// Which.
        collection: CollectionId,
        /// The definition.
        definition: String,
    },
    /// A collection went, with all of its records; their keys follow in `Reclaimed`.
    Dropped {
        /// Which.
        collection: CollectionId,
        /// The definition it had.
        definition: String,
    },
    /// Keys of a generation that is no longer read were removed.
    Reclaimed {
        /// Of which collection, dropped or truncated.
        collection: CollectionId,
        /// Of which of its generations.
        generation: Generation,
        /// Which keys of the state.
        keys: Vec<Vec<u8>>,
        /// Whether none is left.
        done: bool,
    },
    /// Rows that were there before an index got their entries in it.
    Backfilled {
        /// Of which collection.
        collection: CollectionId,
        /// Of which filling of it.
        generation: Generation,
        /// Which index, being built or, in the entry that defines it, ready.
        index: IndexId,
        /// The rows up to this one have their entries.
        through: RecordId,
        /// How many that were, in all.
        rows: u64,
        /// The keys of the entries of those that came with this change.
        keys: Vec<Vec<u8>>,
    },
    /// Entries of an index that is no longer kept were removed.
    Unindexed {
        /// Of which collection.
        collection: CollectionId,
        /// Of which filling of it.
        generation: Generation,
        /// Which index: one that went, or failed.
        index: IndexId,
        /// The keys of the entries.
        keys: Vec<Vec<u8>>,
        /// Whether none is left.
        done: bool,
    },
    /// The answer to all that the entry did is kept under a key, so that nothing is done when it is asked for again. The
    /// last change of its entry.
    Remembered(Remembered),
    /// A record got what a staged definition adds to it; it is what it was, and of the same version.
    Rewritten {
        /// Where.
        collection: CollectionId,
        /// Of which filling of the collection.
        generation: Generation,
        /// Which.
        id: RecordId,
        /// All of it, as it is now.
        after: Fields,
        /// The old value, null if there was none, of every field that is not what it was.
        before: Vec<(FieldId, Value)>,
        /// Its version, which stays.
        version: Position,
    },
    /// The rows up to one were seen to for a staged definition.
    Progressed {
        /// Of which collection.
        collection: CollectionId,
        /// Of which filling of it.
        generation: Generation,
        /// The last of them.
        through: RecordId,
        /// How many, in all.
        rows: u64,
    },
    /// A handler has dealt with all changes up to a place of the log: what it wrote for them is in the same entry.
    Advanced {
        /// Which record of `_handlers`.
        handler: RecordId,
        /// Up to where; `None` for a handler that went.
        through: Option<Mark>,
    },
    /// A server began to write in place of another: a promotion, a restore. The entry is the first of its epoch, and this
    /// is all that is in it.
    Began {
        /// The last entry of the epoch before.
        before: Position,
    },
    /// Answers are kept no more, and none comes in their place.
    Forgotten {
        /// The entries that kept them, and their keys.
        answers: Vec<(Seq, Fingerprint)>,
        /// All that was ever kept, bytes.
        bytes: u64,
        /// The entry with the oldest answer that is kept now; this one where there is none.
        oldest: Seq,
    },
}
