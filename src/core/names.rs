//! Names in the data folder that more than one thread gives: the tables' and the snapshot's.
//!
//! Invariant: a failed sync of a folder is told to one caller alone; here it is remembered, and nobody else may take a
//! name that it was about for durable.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::Disk;
use crate::error::{Error, Kind, Result};

/// Gives names in one folder; clones are the same. Holds whether a sync of it has failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<bool>>);

impl Names {
    /// Gives a synced file its name, durably.
    ///
    /// # Errors
    /// The disk's, when it could not be renamed and has the name it had. `OutcomeUnknown` when it is not known which it
    /// has, or that could not be made durable, now or earlier: the process has to end.
    pub(super) fn place(&self, disk: &dyn Disk, dir: &Path, from: &Path, to: &Path) -> Result<()> {
        let mut failed = self.0.lock();
        let unknown = || Error::new(Kind::OutcomeUnknown, format!("syncing the folder {} failed", dir.display()));
        if *failed {
            return Err(unknown());
        }
        if let Err(error) = disk.rename(from, to) {
            if disk.exists(from).unwrap_or(false) {
                return Err(Error::io(from.display(), error));
            }
            *failed = true;
            let message = format!("renaming {} failed, and it is no longer there", from.display());
            return Err(Error::new(Kind::OutcomeUnknown, message).source(error));
        }
        disk.sync_dir(dir).map_err(|error| {
            *failed = true;
            unknown().source(error)
        })
    }
}
