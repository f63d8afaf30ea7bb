//! Floor 2, the state: all that is known at one position, derived from the log and never from anything else.
//!
//! State is one ordered map of byte keys (`key`): rows, index entries, definitions, tallies. It is read through a stack
//! of layers (`stack`): a command's own writes, the fresh layer, the layer being flushed, and the redb base (`base`),
//! which lies on a backend that checks every block it reads (`backend`) and is made by `filling`. One merging iterator serves all of them;
//! nobody above knows how many layers there are.
//!
//! What an entry of the log does to the state is `effects`: dumb, pure, the same on every server. Reading is `lookup`
//! (one record, one definition), `build` (what an index is built from), `answers` (what is kept for an idempotency key), `cursors` (how far handlers have come), `history` (which epoch an entry is of)
//! and `query` (lists). `snapshot` carries a whole state to another folder and `check` recomputes what is derived.
//!
//! Invariants: nothing here reads a random source, the log or, but for a query's deadline, a clock; only the owner of a [`Base`] writes to it; equal
//! positions of one history mean equal keys and values above the local ones.

pub mod aggregate;
mod answers;
mod backend;
mod base;
mod build;
mod check;
mod cursors;
mod effects;
mod filling;
mod history;
mod key;
mod layer;
mod lookup;
pub mod query;
mod related;
mod row;
pub mod snapshot;
mod stack;
mod tally;
mod warm;

pub use answers::{Answers, Line, age_ms, answer, answered, answers, is_over_age, lines};
pub use base::{Applied, Base, BaseView, Opened, Pairs, ScrubPlace};
pub use build::{Brought, Progress, building, duplicate, is_reshape, next_records, next_rows, progress, reshaped};
pub use check::{Report, check};
pub use cursors::{cursor, cursors};
pub use effects::{Effects, apply, effects, settle};
pub use filling::Filling;
pub use history::{ended, epoch_of, knows};
pub use key::Key;
pub use layer::Layer;
pub use lookup::{
    all_referrers, exists, found_as, found_by, garbage, reclaimable, record, referrers, schema_of, tally, unique_holder,
};
pub use related::{Related, holds, permits};
pub use stack::{Overlay, Pair, Read, Scan, Stack};
pub use tally::{Tally, TallyDelta};

#[cfg(test)]
mod tests;
