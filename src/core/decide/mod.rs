//! The rules: `(schema, state, command, now) → entry, or a refusal`. Pure, and the only place that judges what needs the
//! state: existence, preconditions, guards on rows, merging, uniqueness, relation targets, cascades.
//!
//! Reads no clock, no random source and nothing but the state it is given, which holds all commands before this one.
//! What it decides is a fact: effects and replay never ask again.

mod apply;
mod auth;
mod collections;
mod enrich;
mod handlers;
mod indexes;
mod jobs;
mod judge;
mod load;
mod once;
mod records;
mod reshape;
mod truncate;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, IndexId, Position, RecordId, Seq};
use crate::limits;
use crate::model::change::{Change, Entry};
use crate::model::command::{Command, Committed};
use crate::model::once::{Keep, Kept};
use crate::model::schema::{Refused, Schema};
use crate::model::value::Fields;
use crate::state::{self, Overlay, Stack};
use crate::time::Millis;

/// What is to be logged, and what its caller is told once it is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The facts; none when nothing changes.
    pub entry: Entry,
    /// The answer.
    pub committed: Committed,
}

/// How much of a long work one entry does.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    /// Rows of a collection whose new index is built, or which are seen to, in the entry that defines what asks for it;
    /// more are done in pieces.
    pub at_once: usize,
    /// Rows of a piece, and keys.
    pub rows: usize,
    /// Bytes that a piece is made from and holds, but for the last row's.
    pub bytes: usize,
}

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces { at_once: limits::INDEX_AT_ONCE_ROWS, rows: limits::WORK_ROWS_PIECE, bytes: limits::ENTRY_BYTES_PIECE }
    }
}

/// Judges one command, to be logged at `position`.
///
/// # Errors
/// The refusal, by kind: `NotFound`, `Conflict` (code `stale_schema` when the input was checked against another
/// definition: check it again), `Precondition`, `Forbidden`, `TooLarge`; or the state's own faults.
pub fn decide(
    schema: &Schema,
    state: &Stack,
    position: Position,
    command: &Command,
    now: Millis,
    pieces: Pieces,
) -> Result<Decision> {
    let mut draft = Draft::new(schema, state, position, now, pieces);
    match command {
        Command::Once(once, keep, command) => {
            if let Some(committed) = state::answered(state, *once, now)? {
                return Ok(Decision { entry: Entry::default(), committed });
            }
            draft.kept = (*keep == Keep::All).then(Vec::new);
            act(&mut draft, command)?;
            once::remember(&mut draft, *once, keep)?;
        }
        other => act(&mut draft, other)?,
    }
    Ok(draft.finish())
}

/// What a command does, with what follows from it for indexes that are being built and definitions that are staged.
fn act(draft: &mut Draft<'_>, command: &Command) -> Result<()> {
    match command {
        Command::Write(writes) => records::write(draft, writes)?,
        Command::Load { writes, from } => load::load(draft, writes, *from)?,
        Command::Define(collection) => collections::define(draft, collection)?,
        Command::Drop(collection) => collections::drop(draft, *collection)?,
        Command::Redefine(collection) => collections::redefine(draft, collection)?,
        Command::Apply(import) => apply::apply(draft, import)?,
        Command::Stage(staged) => reshape::stage(draft, staged)?,
        Command::Truncate(collection) => truncate::truncate(draft, *collection)?,
        Command::Backfill { collection, generation, index } => {
            indexes::backfill(draft, *collection, *generation, *index)?;
        }
        Command::Reshape { collection, generation } => reshape::reshape(draft, *collection, *generation)?,
        Command::Reclaim { collection, generation, index, after } => {
            collections::reclaim(draft, *collection, *generation, *index, after.as_deref())?;
        }
        Command::Advance(advance) => handlers::advance(draft, advance)?,
        Command::Rewind(rewind) => handlers::rewind(draft, rewind)?,
        Command::Work(piece) => jobs::work(draft, piece)?,
        Command::Forget => once::forget(draft)?,
        Command::Once(..) => return Err(Error::internal("a command is to be done once in two ways")),
    }
    indexes::fail_doubled(draft)?;
    reshape::give_up(draft)
}

/// An entry in the making: its changes so far, and the state as they leave it.
struct Draft<'a> {
    schema: &'a Schema,
    stack: &'a Stack,
    state: Overlay<'a>,
    position: Position,
    now: Millis,
    pieces: Pieces,
    changes: Vec<Change>,
    /// Bytes of `changes`, at least.
    bytes: usize,
    /// How many of `changes` the overlay has.
    seen: usize,
    committed: Committed,
    /// What is to be kept of the answer, if it is to be kept.
    kept: Option<Vec<Kept>>,
    /// Steps that evaluations may still take.
    steps: usize,
    /// Steps that records may still take to follow staged definitions: these take none from the writes themselves.
    following: usize,
    /// Records that got the values of another in a unique index that is being built.
    doubled: BTreeSet<(CollectionId, IndexId, RecordId)>,
    /// Collections whose staged definition a write is against, and why.
    against: BTreeMap<CollectionId, Refused>,
}

impl<'a> Draft<'a> {
    fn new(schema: &'a Schema, state: &'a Stack, position: Position, now: Millis, pieces: Pieces) -> Draft<'a> {
        let committed =
            Committed { position, writes: Vec::new(), collection: None, replayed: None, loaded: None, told: None };
        Draft {
            schema,
            stack: state,
            state: Overlay::new(state),
            position,
            now,
            pieces,
            changes: Vec::new(),
            bytes: 0,
            seen: 0,
            committed,
            kept: None,
            steps: limits::TRANSACTION_STEPS_MAX,
            following: limits::TRANSACTION_STEPS_MAX,
            doubled: BTreeSet::new(),
            against: BTreeMap::new(),
        }
    }

    /// The same entry before its first change, with another schema to be decided by.
    fn under<'b>(&self, schema: &'b Schema) -> Draft<'b>
    where
        'a: 'b,
    {
        let (steps, following) = (self.steps, self.following);
        Draft { steps, following, ..Draft::new(schema, self.stack, self.position, self.now, self.pieces) }
    }

    /// Evaluations have taken so many steps.
    ///
    /// # Errors
    /// `Unprocessable` with code `too_costly` where that is more than one transaction may take.
    fn spend(&mut self, steps: usize) -> Result<()> {
        self.steps = self.steps.checked_sub(steps).ok_or_else(too_many_steps)?;
        Ok(())
    }

    /// Adds a change, within the bounds of an entry: what is over them is never held in memory. A kept answer is not counted.
    fn push(&mut self, change: Change) -> Result<()> {
        self.bytes += bytes_at_least(&change);
        let is_full = self.changes.len() >= limits::ENTRY_CHANGES_MAX && !matches!(change, Change::Remembered(_));
        if is_full || self.bytes > limits::ENTRY_BYTES_MAX {
            return Err(too_many_changes());
        }
        self.changes.push(change);
        Ok(())
    }

    /// Says what is to be kept of one write's answer, if it is to be kept.
    fn keep(&mut self, what: impl FnOnce() -> Kept) {
        if let Some(kept) = &mut self.kept {
            kept.push(what());
        }
    }

    /// The state with all changes made so far. The last change of an entry is never folded in: nobody asks.
    fn state(&mut self) -> Result<&Overlay<'a>> {
        while self.seen < self.changes.len() {
            let one = Entry { changes: vec![self.changes[self.seen].clone()] };
            let effects = state::effects(self.schema, self.position, &one)?;
            self.state.apply(effects)?;
            self.seen += 1;
        }
        Ok(&self.state)
    }

    fn finish(mut self) -> Decision {
        if self.changes.is_empty() {
            self.committed.position.seq = Seq(self.position.seq.0 - 1);
        }
        Decision { entry: Entry { changes: self.changes }, committed: self.committed }
    }
}

/// What a change takes in an entry, at least: its texts.
fn bytes_at_least(change: &Change) -> usize {
    match change {
        Change::Created { after: all, .. } | Change::Deleted { before: all, .. } => text_bytes(all),
        Change::Updated { after, before, .. } | Change::Rewritten { after, before, .. } => {
            text_bytes(after) + before.iter().map(|(_, value)| value.text_bytes()).sum::<usize>()
        }
        Change::Backfilled { keys, .. } => keys.iter().map(Vec::len).sum(),
        Change::Remembered(remembered) => once::bytes_at_least(remembered),
        Change::Forgotten { answers, .. } => once::forgotten_bytes(answers),
        Change::Defined { .. }
        | Change::Dropped { .. }
        | Change::Reclaimed { .. }
        | Change::Unindexed { .. }
        | Change::Progressed { .. }
        | Change::Advanced { .. }
        | Change::Began { .. } => 0,
    }
}

fn text_bytes(fields: &Fields) -> usize {
    fields.iter().map(|(_, value)| value.text_bytes()).sum()
}

fn too_many_steps() -> Error {
    let message = "the expressions of one transaction take too many steps: write fewer records at once";
    Error::new(Kind::Unprocessable, message).code(TOO_COSTLY)
}

/// The code of what takes more steps than it may.
const TOO_COSTLY: &str = "too_costly";

fn too_many_changes() -> Error {
    Error::new(
        Kind::TooLarge,
        format!(
            "one transaction changes at most {} records and {} MiB: delete what refers to this one first, in several requests",
            limits::ENTRY_CHANGES_MAX,
            limits::ENTRY_BYTES_MAX >> 20
        ),
    )
}
