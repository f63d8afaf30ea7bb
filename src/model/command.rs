//! What the service asks of the core: one command is one transaction, all of it or nothing.
//!
//! Input has been validated, sanitized, parsed and transformed to field ids against one version of a schema; what needs
//! the state (merge, uniqueness, relation targets, guards, preconditions) is left to `core::decide`.

use crate::id::{CollectionId, FieldId, Generation, IndexId, Position, RecordId, Seq};
use crate::model::guard::Guard;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::{Fields, Value};

/// One transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Writes to records, in order; a later one sees the earlier ones.
    Write(Vec<Write>),
    /// A new collection; `decide` gives its ids (`definition` left them 0 where new) and checks names against others.
    Define(Box<Collection>),
    /// A collection goes, with its records. 409 while another collection's relation points at it.
    Drop(CollectionId),
    /// The whole new definition of a collection, with its ids; its `version` is that of the one it was made from. What
    /// needs no row to be looked at, but for new indexes: those are built.
    Redefine(Box<Collection>),
    /// All records of a collection go, and what other collections' relations say goes with them. 409 where they need them.
    Truncate(CollectionId),
    /// The server's own: give a bounded number of rows their entries in an index that is being built.
    Backfill {
        /// Of which collection.
        collection: CollectionId,
        /// Of which of its fillings.
        generation: Generation,
        /// Which.
        index: IndexId,
    },
    /// The server's own: remove a bounded number of keys of a generation or an index no longer read.
    Reclaim {
        /// Of which collection.
        collection: CollectionId,
        /// Of which generation.
        generation: Generation,
        /// Of which index of it; `None` for all of it.
        index: Option<IndexId>,
        /// The last key that went before, if it is known: the keys up to it are gone.
        after: Option<Vec<u8>>,
    },
}

/// A write to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Where.
    pub collection: CollectionId,
    /// The definition that the input was checked against; if it moved, `decide` answers `StaleSchema`.
    pub schema: Seq,
    /// What the caller may do there.
    pub guard: Guard,
    /// What to do.
    pub op: Op,
}

/// What to do to a record. Conditions are versions of the record, `If-Match: *` is an existing one.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A record that must not exist: 409 with code `exists` otherwise.
    Create {
        /// Given or made.
        id: RecordId,
        /// All of it, defaults filled in.
        fields: Fields,
    },
    /// Fields put over those that are there (JSON Merge Patch after parsing).
    Merge {
        /// Which.
        id: RecordId,
        /// New values; null removes.
        patch: Vec<(FieldId, Value)>,
        /// Objects to be merged into `json` fields: their text is a merge patch.
        merges: Vec<(FieldId, Box<str>)>,
        /// Changes of what is stored: no field stands here and in the others.
        adjusts: Vec<Adjust>,
        /// Refused with 412 unless it holds.
        if_match: Option<Condition>,
    },
    /// Create or replace.
    Put {
        /// Which.
        id: RecordId,
        /// All of it, defaults filled in.
        fields: Fields,
        /// Refused with 412 unless it holds.
        if_match: Option<Condition>,
        /// Refused with 412 if the record exists (`If-None-Match: *`).
        create_only: bool,
    },
    /// Remove.
    Delete {
        /// Which.
        id: RecordId,
        /// Refused with 412 unless it holds.
        if_match: Option<Condition>,
    },
}

/// A change to a stored value, worked out in the order of writes: two at once are both counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjust {
    /// Of which field.
    pub field: FieldId,
    /// In which way.
    pub way: Way,
    /// A number for a number, a list for a list.
    pub by: Value,
}

/// How a stored value is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `field+`: plus; of a list: at its end, what is not in it yet.
    Add,
    /// `+field`: plus; of a list: at its beginning, also what is in it already.
    Prepend,
    /// `field-`: minus; of a list: out of it.
    Take,
}

/// `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `*`: the record exists.
    Exists,
    /// It has one of these versions.
    Versions(Vec<Position>),
}

impl Op {
    /// The record it is about.
    pub fn id(&self) -> &RecordId {
        match self {
            Op::Create { id, .. } | Op::Merge { id, .. } | Op::Put { id, .. } | Op::Delete { id, .. } => id,
        }
    }
}

/// A command's result, once its entry is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The commit; for a command that changed nothing, the position that was read.
    pub position: Position,
    /// One for each [`Write`], in order.
    pub writes: Vec<Written>,
    /// Of [`Command::Define`] and [`Command::Redefine`]: the definition with its ids.
    pub collection: Option<Box<Collection>>,
}

/// What became of one [`Write`].
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It did not exist before.
    Created(Record),
    /// It exists and was changed, or was already so.
    Updated(Record),
    /// It is gone.
    Deleted,
}

impl Command {
    /// What it takes in memory and in the log, about: its texts.
    pub fn bytes(&self) -> usize {
        match self {
            Command::Write(writes) => writes.iter().map(|write| write.op.bytes()).sum(),
            Command::Define(_)
            | Command::Drop(_)
            | Command::Redefine(_)
            | Command::Truncate(_)
            | Command::Backfill { .. }
            | Command::Reclaim { .. } => OP_BYTES,
        }
    }
}

/// What a write takes without its texts, about.
const OP_BYTES: usize = 256;

impl Op {
    fn bytes(&self) -> usize {
        OP_BYTES
            + match self {
                Op::Create { fields, .. } | Op::Put { fields, .. } => {
                    fields.iter().map(|(_, value)| value.text_bytes()).sum::<usize>()
                }
                Op::Merge { patch, merges, adjusts, .. } => {
                    patch.iter().map(|(_, value)| value.text_bytes()).sum::<usize>()
                        + merges.iter().map(|(_, text)| text.len()).sum::<usize>()
                        + adjusts.iter().map(|adjust| adjust.by.text_bytes()).sum::<usize>()
                }
                Op::Delete { .. } => 0,
            }
    }
}
