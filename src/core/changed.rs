//! The changes of an entry as consumers see them: each with its mark, of a record both images. The one place that knows
//! which changes of the log are anybody's business and which only how the state is kept.

use std::borrow::Cow;

use serde::Deserialize;

use crate::id::{CollectionId, FieldId, Generation, Mark, Position, RecordId};
use crate::log::Logged;
use crate::model::change::Change;
use crate::model::value::{Fields, Value};
use crate::time::Millis;

/// A change.
#[derive(Clone, Copy, Debug)]
pub struct Changed<'a> {
    /// Behind it: what a consumer holds that has seen it.
    pub mark: Mark,
    /// When it was decided.
    pub time: Millis,
    /// What it is.
    pub what: What<'a>,
}

/// What changed.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A record.
    Record(RecordChange<'a>),
    /// A collection came to be or has another definition. Also one that was emptied at once: its filling is another than
    /// before, and no record of that has a change of its own.
    Defined(CollectionId, Generation),
    /// A collection went with all of its records, which have no change of their own.
    Dropped(CollectionId),
}

/// A record that came, changed or went.
#[derive(Clone, Copy, Debug)]
pub struct RecordChange<'a> {
    /// Where.
    pub collection: CollectionId,
    /// Of which filling of it.
    pub generation: Generation,
    /// Which.
    pub id: &'a RecordId,
    /// The entry.
    pub position: Position,
    change: &'a Change,
}

impl<'a> RecordChange<'a> {
    /// The record before; `None` for one that came.
    pub fn before(&self) -> Option<Cow<'a, Fields>> {
        match self.change {
            Change::Updated { after, before, .. } => Some(Cow::Owned(after.rewound(before))),
            Change::Deleted { before, .. } => Some(Cow::Borrowed(before)),
            _ => None,
        }
    }

    /// The record after; `None` for one that went.
    pub fn after(&self) -> Option<&'a Fields> {
        match self.change {
            Change::Created { after, .. } | Change::Updated { after, .. } => Some(after),
            _ => None,
        }
    }

    /// Of a record that changed: the fields that are not what they were, with what they were.
    pub fn moved(&self) -> Option<&'a [(FieldId, Value)]> {
        match self.change {
            Change::Updated { before, .. } => Some(before),
            _ => None,
        }
    }
}

/// The changes of an entry, in order.
pub fn changes(logged: &Logged) -> impl Iterator<Item = Changed<'_>> {
    let all = &logged.entry.changes;
    let last = all.iter().rposition(|change| what(logged.position, change).is_some()).unwrap_or(0);
    all.iter().enumerate().filter_map(move |(at, change)| {
        // An entry has 10,000 changes at most.
        let number = (at < last).then_some(at as u32);
        let mark = Mark { position: logged.position, change: number };
        Some(Changed { mark, time: logged.time, what: what(logged.position, change)? })
    })
}

/// Of a stored definition.
fn filling(definition: &str) -> Generation {
    #[derive(Deserialize)]
    struct Filling {
        generation: Generation,
    }
    // One that can't be read ends the server when it comes to the state.
    serde_json::from_str(definition).map_or(Generation(0), |filling: Filling| filling.generation)
}

fn what(position: Position, change: &Change) -> Option<What<'_>> {
    let (collection, generation, id) = match change {
        Change::Created { collection, generation, id, .. }
        | Change::Updated { collection, generation, id, .. }
        | Change::Deleted { collection, generation, id, .. } => (*collection, *generation, id),
        Change::Defined { collection, definition } => return Some(What::Defined(*collection, filling(definition))),
        Change::Dropped { collection, .. } => return Some(What::Dropped(*collection)),
        // Keys of the state, and what a definition to be adds to rows that nobody sees yet.
        Change::Reclaimed { .. }
        | Change::Backfilled { .. }
        | Change::Unindexed { .. }
        | Change::Remembered(_)
        | Change::Rewritten { .. }
        | Change::Progressed { .. }
        // No handler's way is another's business: else they would wake each other for ever.
        | Change::Advanced { .. }
        | Change::Began { .. }
        | Change::Forgotten { .. } => return None,
    };
    Some(What::Record(RecordChange { collection, generation, id, position, change }))
}
