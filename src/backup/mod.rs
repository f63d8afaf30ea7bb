//! Floor 4, backups: snapshots that are kept (`store`, in a folder or by `s3` in a bucket), the log copied out as it grows
//! (`archive`), and a folder made of both (`restore`).
//!
//! Invariants: no write waits for any of it; a file has its name only when it is whole and synced; what is restored begins
//! an epoch of its own, so that nothing that knew the old history takes the new one for it.

mod archive;
mod folder;
mod restore;
mod s3;
mod store;

pub use archive::{Archive, Archived};
pub use restore::{Restore, Restored, Until, restore};
pub use store::{Backup, Incoming, Store, is_key};
