//! Floor 3, the core: the only place where the log and the state meet.
//!
//! One command's way: [`Core::submit`] puts it in the writer's bounded queue; the writer thread takes what is queued,
//! has [`decide`] judge each against the stack of layers (so that the second sees the first), logs what was decided as
//! one group commit with one sync, publishes the new view, then the position, then answers. The applier thread folds
//! frozen layers into redb behind it; the [`Keeper`]'s trims the log behind both, as far as `retention` says, once a
//! snapshot (`local`) holds what goes. Whoever follows the changes does so by a [`Consumer`] at its own pace. Start-up ([`open`], `rebuild`) is replay: the same effects, from the log.
//!
//! Invariants of absence: only the [`Writer`] appends to the log and publishes; only the [`Applier`] (and replay before it
//! exists) writes to the base; [`decide`] reads no clock, no random source and no disk but the state it is given.

mod applier;
mod ballast;
mod changed;
mod chores;
mod compaction;
mod consumer;
pub mod decide;
mod desk;
mod ingest;
mod keeper;
mod leases;
pub mod local;
mod meters;
mod names;
mod notes;
mod open;
mod order;
mod pace;
mod plant;
mod poison;
mod published;
mod rebuild;
mod reign;
mod rejoin;
mod retention;
mod role;
mod slots;
mod threads;
mod writer;

pub use applier::{Applier, Flush, Flushed};
pub use changed::{Changed, RecordChange, What, changes};
pub use compaction::{Compact, Copier, Copying};
pub use consumer::{Consumer, Ended, Keeps};
pub use keeper::Keeper;
pub use leases::{Lease, Leases};
pub use meters::{Figures, Meters};
pub use open::{Identity, Opened, Settings, log_dir, open};
pub use plant::{Dump, incoming, sow};
pub use poison::Poison;
pub use published::Published;
pub use reign::{Reign, Rejoined};
pub use retention::Keep;
pub use role::Role;
pub use slots::{Slot, Slots};
pub use threads::{Awaited, Core, KEEPER_TICK, Threads, start};
pub use writer::{Outcome, Writer};

#[cfg(test)]
mod tests;
