//! Floor 4, live: what changes, told to whoever listens, at each one's own pace.
//!
//! The bus (`bus`) is one consumer of the log on a thread of its own. It looks each change up in the `index` of topics, by
//! collection and by record, has the topic's lens judge and write it **once** for all who may see the same, keeps it in
//! the topic's short ring (`topic`), and rings the bells of those who listen. A listener's [`Tail`] takes from the rings
//! what lies behind its own marks; what the rings no longer hold, or don't hold yet, it judges itself from the log.
//!
//! Invariants: nothing is ever pushed to a listener but "there is more", so one that is slow costs no other anything; a
//! topic belongs to one version of the schema and tells nothing of what came under another; every event that a listener
//! is given lies behind the one before, whether it came from a ring or from the log.
//!
//! What may be seen and how it looks is not known here: the service gives a [`Lens`] for that.

mod bus;
mod index;
mod tail;
mod topic;

pub use bus::{Bus, Meters};
pub use tail::{Events, Gathered, Lost, Read, Reading, Seat, SeatId, Step, Tail, beginning};
pub use topic::{Bell, Event, Of, Tell, Topic};

use bytes::Bytes;

use crate::core::{Published, RecordChange, Slot};
use crate::id::Seq;

/// What is told of a change to all who listen in the same way: made by the service.
pub trait Lens: Send + Sync + std::fmt::Debug {
    /// The schema that it was made for: it is asked only about views of that one.
    fn schema(&self) -> Seq;

    /// What its judgement depends on beside the record and the definitions: what was judged before one of these moved has
    /// to be judged again.
    fn needs(&self) -> &[Slot];

    /// What is told of a change, by the rules and the other records of `view`; `None` where nothing is.
    fn tell(&self, view: &Published, change: &RecordChange<'_>) -> Option<Told>;
}

/// What is told of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What happened, as the listener sees it.
    pub action: Happened,
    /// The record as JSON, as the listener sees it; of one that went what names it.
    pub record: Bytes,
}

/// What happened to the records that a listener sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// One came to be.
    Create,
    /// One changed.
    Update,
    /// One was removed.
    Delete,
    /// One that was there is among them now.
    Enter,
    /// One is still there, and not among them any more.
    Leave,
}

impl Happened {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            Happened::Create => "create",
            Happened::Update => "update",
            Happened::Delete => "delete",
            Happened::Enter => "enter",
            Happened::Leave => "leave",
        }
    }
}

#[cfg(test)]
mod tests;
