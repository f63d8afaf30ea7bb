//! Spare segments: files of zeros, synced, that wait to become the next segment.
//!
//! Writing into a zero-filled file costs a sync less of the file system's own work than growing one; making it takes
//! as long as some hundred batches, so a thread of its own does it. At most one spare waits. A spare has no segment's
//! name; a start removes those it finds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::segment;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};

const SUFFIX: &str = ".spare";

/// A file of zeros, synced, without a segment's name yet.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) bytes: u64,
}

/// Where spares wait; the writer and the preparer share it.
#[derive(Debug)]
pub(super) struct Spares {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    waiting: Mutex<Option<Spare>>,
    wanted: Condvar,
    made: AtomicU64,
}

/// Makes spare segments ahead of their need; for a thread of its own.
#[derive(Debug)]
pub struct Preparer(Arc<Spares>);

impl Spares {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> Arc<Spares> {
        Arc::new(Spares {
            disk,
            dir: dir.to_owned(),
            segment_bytes: segment::bytes_for(segment_bytes, 0),
            waiting: Mutex::new(None),
            wanted: Condvar::new(),
            made: AtomicU64::new(0),
        })
    }

    pub(super) fn preparer(self: &Arc<Spares>) -> Preparer {
        Preparer(self.clone())
    }

    /// A spare that holds `frames` bytes of frames: the one that waits, else one made now.
    ///
    /// # Errors
    /// The disk's; nothing is left behind.
    pub(super) fn take(&self, frames: usize) -> io::Result<Spare> {
        let bytes = segment::bytes_for(self.segment_bytes, frames);
        let taken = self.waiting.lock().take_if(|spare| spare.bytes >= bytes);
        match taken {
            Some(spare) => {
                self.wanted.notify_all();
                Ok(spare)
            }
            None => self.make(bytes),
        }
    }

    fn make(&self, bytes: u64) -> io::Result<Spare> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number}{SUFFIX}"));
        let made = segment::create(&*self.disk, &path, 0, bytes).and_then(|file| {
            file.sync_data()?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Spare { path, file, bytes }),
            Err(error) => {
                discard(&*self.disk, &path);
                Err(error)
            }
        }
    }
}

/// Removes a file that came to nothing, for its room; a start would remove it too, so a failure is no matter.
pub(super) fn discard(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "an unused log file stays until the next start");
    }
}

impl Preparer {
    /// Makes a spare if none waits; says whether it did.
    ///
    /// # Errors
    /// The disk's, `NoSpace` among them. The log is as it was: the writer makes its own segment when it must.
    pub fn prepare(&mut self) -> Result<bool> {
        if self.0.waiting.lock().is_some() {
            return Ok(false);
        }
        let spare = self.0.make(self.0.segment_bytes).map_err(|error| Error::io("preparing a log segment", error))?;
        *self.0.waiting.lock() = Some(spare);
        Ok(true)
    }

    /// Waits until no spare is left, or for `timeout`; says whether one is wanted.
    pub fn wait_wanted(&self, timeout: Duration) -> bool {
        let mut waiting = self.0.waiting.lock();
        if waiting.is_some() {
            self.0.wanted.wait_for(&mut waiting, timeout);
        }
        waiting.is_none()
    }
}

/// Whether a file is a leftover of a start or a spare that never became a segment.
pub(super) fn is_leftover(name: &str) -> bool {
    name.ends_with(SUFFIX) || name.ends_with(".tmp")
}
