//! What the service asks of the core: one command is one transaction, all of it or nothing.
//!
//! Input has been validated, sanitized, parsed and transformed to field ids against one version of a schema; what needs
//! the state (merge, uniqueness, relation targets, guards, preconditions) is left to `core::decide`.

use std::sync::Arc;

use crate::error::{Error, FieldFault, Kind};
use crate::id::{CollectionId, FieldId, Generation, IndexId, Mark, Position, RecordId, Seq};
use crate::model::definition::Import;
use crate::model::guard::Guard;
use crate::model::once::{Keep, Once};
use crate::model::record::Record;
use crate::model::schema::{Collection, Staged};
use crate::model::value::{Fields, Value};

/// One transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Writes to records, in order; a later one sees the earlier ones.
    Write(Vec<Write>),
    /// Writes of which each is judged by itself: a refused one leaves nothing, the others stand, in one entry. It ends
    /// early where the entry is full, or evaluations have taken what one transaction may: [`Loaded::decided`] says where.
    Load {
        /// In order; a later one sees the earlier ones. Only [`Op::Create`] and [`Op::Put`].
        writes: Arc<[Write]>,
        /// The first one to be decided: those before it were, by the command before this one.
        from: usize,
    },
    /// A new collection; `decide` gives its ids (`definition` left them 0 where new) and checks names against others.
    Define(Box<Collection>),
    /// A collection goes, with its records. 409 while another collection's relation points at it.
    Drop(CollectionId),
    /// The whole new definition of a collection, with its ids; its `version` is that of the one it was made from. What
    /// needs no row to be looked at, but for new indexes: those are built.
    Redefine(Box<Collection>),
    /// A new definition as [`Command::Redefine`] has it that asks something of the rows: of few it is done at once, of
    /// many while writes go on.
    Stage(Box<Staged>),
    /// Several definitions at once, all or none: those of an import that ask nothing of the rows.
    Apply(Box<Import>),
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
    /// The server's own: see to a bounded number of rows for a definition that is staged.
    Reshape {
        /// Of which collection.
        collection: CollectionId,
        /// Of which of its fillings.
        generation: Generation,
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
    /// The server's own: forget a bounded number of answers that were kept for their idempotency keys and are past their age.
    Forget,
    /// The server's own: a handler has come further in the log, with all that it writes on the way.
    Advance(Box<Advance>),
    /// The server's own: a run of a job comes further, with all that it writes on the way.
    Work(Box<Piece>),
    /// A handler goes back in the log, to be given again what lies behind.
    Rewind(Rewind),
    /// Another command, never of this kind, done at most once: so much of its answer is kept in its own entry, and given
    /// again to whoever asks again. A refusal is not kept.
    Once(Once, Keep, Box<Command>),
}

/// A handler's way from one place of the log to another. Refused as a whole where the handler is not where it was, so what
/// it writes is written exactly once.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// Which record of `_handlers`.
    pub handler: RecordId,
    /// The version of that record by which the writes were made.
    pub version: Position,
    /// Where it was.
    pub from: Mark,
    /// Where it is then: further on.
    pub to: Mark,
    /// In order; a later one sees the earlier ones.
    pub writes: Vec<Derived>,
}

/// A handler's way back. Refused for one whose writes would be made twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewind {
    /// Which record of `_handlers`.
    pub handler: RecordId,
    /// Where it is then: no further than it was.
    pub to: Mark,
}

/// A run's way from one of its records to another. Refused as a whole where the run is not what it was, so each record is
/// dealt with once.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Which record of `_runs`.
    pub run: RecordId,
    /// The version of it that was read.
    pub version: Position,
    /// In the order of the records' ids; each is judged by itself.
    pub steps: Vec<Step>,
    /// What is set in the run's record once all of them were decided.
    pub sets: Vec<(FieldId, Value)>,
    /// Whether the first that is refused ends the run.
    pub stops: bool,
    /// What is set then.
    pub ends: Vec<(FieldId, Value)>,
}

/// What a run does with one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which.
    pub id: RecordId,
    /// What is written, on condition of the version that was looked at; or why nothing can be.
    pub write: Result<Write, Refusal>,
}

/// What a handler writes for one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// An [`Op::Create`]; or why there can be none, which counts only where there is nothing to merge with.
    pub create: Result<Write, Refusal>,
    /// An [`Op::Merge`] of the same record, done instead where that is there.
    pub merge: Option<Write>,
}

impl Derived {
    /// What may become of it.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.create.iter().chain(&self.merge)
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.writes().map(|write| write.op.bytes()).sum()
    }
}

/// A write to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Where.
    pub collection: CollectionId,
    /// The definition that the input was checked against; if it moved, `decide` answers `StaleSchema`.
    pub schema: Seq,
    /// What the caller may do there; where what its rules look at elsewhere moved, `StaleSchema` too.
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
    /// Of [`Command::Define`], [`Command::Redefine`] and [`Command::Stage`]: the definition with its ids.
    pub collection: Option<Box<Collection>>,
    /// Of a [`Command::Once`] that had been done before: the collections of its writes, in order, as a name may mean
    /// another one by now. Nothing was done, and all else here is as it was then.
    pub replayed: Option<Vec<CollectionId>>,
    /// Of [`Command::Load`], or of what was done before and kept as [`Keep::Counts`]: what became of its writes.
    pub loaded: Option<Box<Loaded>>,
    /// Of what was done before and kept as [`Keep::Told`]: that.
    pub told: Option<Box<str>>,
}

/// What became of the writes of a [`Command::Load`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Those up to here were decided, from `from` on: at least one, if there was one.
    pub decided: usize,
    /// How many records came to be.
    pub created: usize,
    /// How many were there, and are now as they were to be.
    pub updated: usize,
    /// The writes that were refused, by their numbers, in order.
    pub refused: Vec<(usize, Refusal)>,
}

/// Why one write among many was refused, as its caller may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What the caller can do.
    pub kind: Kind,
    /// The stable word for programs.
    pub code: &'static str,
    /// The sentence for people.
    pub message: Box<str>,
    /// By field.
    pub faults: Vec<FieldFault>,
}

impl Refusal {
    /// The refusal that an error is, if it is about what was to be written and not about this server.
    ///
    /// # Errors
    /// The error itself, if it is none.
    pub fn of(error: Error) -> Result<Refusal, Error> {
        let refuses = match error.kind() {
            Kind::Invalid
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Precondition
            | Kind::TooLarge
            | Kind::Unprocessable => error.code_str() != STALE_SCHEMA,
            _ => false,
        };
        if !refuses {
            return Err(error);
        }
        let (kind, code, faults) = (error.kind(), error.code_str(), error.field_faults().to_vec());
        Ok(Refusal { kind, code, message: error.message().into(), faults })
    }

    /// The error that it is.
    pub fn into_error(self) -> Error {
        Error::new(self.kind, self.message).code(self.code).faults(self.faults)
    }
}

/// The code of a refusal that asks for the input to be checked against another definition.
pub const STALE_SCHEMA: &str = "stale_schema";

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
            Command::Load { writes, from } => writes.iter().skip(*from).map(|write| write.op.bytes()).sum(),
            Command::Define(_)
            | Command::Drop(_)
            | Command::Redefine(_)
            | Command::Stage(_)
            | Command::Apply(_)
            | Command::Truncate(_)
            | Command::Reshape { .. }
            | Command::Backfill { .. }
            | Command::Rewind(_)
            | Command::Forget
            | Command::Reclaim { .. } => OP_BYTES,
            Command::Work(piece) => {
                let steps = piece.steps.iter().filter_map(|step| step.write.as_ref().ok());
                OP_BYTES + steps.map(|write| write.op.bytes()).sum::<usize>()
            }
            Command::Advance(advance) => OP_BYTES + advance.writes.iter().map(Derived::bytes).sum::<usize>(),
            Command::Once(_, _, command) => OP_BYTES + command.bytes(),
        }
    }

    /// What is to be done, once or as often as it is asked for.
    pub fn deed(&self) -> &Command {
        match self {
            Command::Once(_, _, command) => command,
            other => other,
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
