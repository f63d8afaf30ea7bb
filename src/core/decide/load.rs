//! Decisions about many writes of which each stands for itself: a refused one leaves nothing, and is told by its number.
//!
//! Invariant: each is judged as it would be alone behind those before it. So it is never refused for what the others
//! take of the entry or of the steps: where little is left, the load ends before it.

use super::records::{one, seen};
use super::{Draft, TOO_COSTLY};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::command::{Loaded, Op, Refusal, Write, Written};

/// Decides the writes from the `from`-th on, as far as one entry goes.
pub(super) fn load(draft: &mut Draft<'_>, writes: &[Write], from: usize) -> Result<()> {
    let mut loaded = Loaded { decided: from, ..Loaded::default() };
    for (at, write) in writes.iter().enumerate().skip(from) {
        if draft.changes.len() >= limits::ENTRY_CHANGES_PIECE || draft.bytes >= limits::ENTRY_BYTES_PIECE {
            break;
        }
        // No write is refused for what the others take to follow a definition that is on its way.
        let staged = draft.schema.get(write.collection).is_some_and(|known| known.staged.is_some());
        if staged && draft.following < limits::STAGED_STEPS_MAX && loaded.decided > from {
            break;
        }
        let (changes, bytes, steps) = (draft.changes.len(), draft.bytes, draft.steps);
        match alone(draft, write) {
            Ok(Written::Created(_)) => loaded.created += 1,
            Ok(Written::Updated(_) | Written::Deleted) => loaded.updated += 1,
            Err(error) => {
                debug_assert_eq!(draft.changes.len(), changes, "a refused write leaves no change");
                draft.bytes = bytes;
                let costly = error.code_str() == TOO_COSTLY;
                // With all of the steps it may do better: it is the first of the next load.
                if costly && steps < limits::TRANSACTION_STEPS_MAX {
                    break;
                }
                loaded.refused.push((at, Refusal::of(seen(draft, write, error))?));
                if costly {
                    loaded.decided = at + 1;
                    break;
                }
            }
        }
        loaded.decided = at + 1;
    }
    draft.committed.loaded = Some(Box::new(loaded));
    Ok(())
}

/// A write that makes one change at most.
fn alone(draft: &mut Draft<'_>, write: &Write) -> Result<Written> {
    match write.op {
        Op::Create { .. } | Op::Put { .. } => one(draft, write),
        Op::Merge { .. } | Op::Delete { .. } => Err(Error::internal("a load makes and replaces records, nothing else")),
    }
}
