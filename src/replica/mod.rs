//! Floor 4, replicas: the same log on another server.
//!
//! ```text
//!  primary                                     follower
//!  log ─▶ ship ◀───────── pull(at, chain) ──── tail ─▶ ingest: log ─▶ layers ─▶ tables
//!            ─────────── frames, digests ────▶      └▶ compares the digests
//!  fleet: who has come how far ◀── the next pull's `at`
//! ```
//!
//! A follower pulls: it says where it stands and by the chain which history it is in, and is given the primary's frames as
//! they are, which it writes as they are. What it asks from is what it has on its disk, so each request acknowledges the
//! answer before it. A follower that has nothing, or lost touch with what the primary keeps, is made of the
//! primary's snapshot (`bootstrap`).
//!
//! Invariants: the primary keeps nothing for a follower but its place, its lease on the log and, while one is fetched, a
//! snapshot's file; nothing but who asked for it (`sync_followers`) waits for a follower, the writer never. A follower
//! writes only what goes on from its log's end, and answers nothing while its tables are not those of its primary.

mod aside;
mod bootstrap;
pub mod fleet;
pub mod link;
mod message;
pub mod shipper;
pub mod snapshots;
pub mod standing;
mod tail;

pub use fleet::{Fleet, Member};
pub use link::Link;
pub use message::{FORMAT, Head, Pull, Pulled, Taken};
pub use snapshots::Snapshots;
pub use standing::{Lag, Standing, State};
pub use tail::{Means, Tail};
