//! Snapshots that are fetched: each a file in a folder of its own, written at disk speed, kept while it is read.
//!
//! Invariants: there are few at once; one that nobody has read from for a while goes, with its lease on the log; what a
//! crash left is removed at the next start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::core::{Core, Dump};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::limits;

/// Those that there are.
#[derive(Debug)]
pub struct Snapshots {
    core: Core,
    dir: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    made: u64,
    /// How many are being written.
    writing: usize,
    files: Vec<Spooled>,
}

/// A file.
#[derive(Debug)]
struct Spooled {
    id: String,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    dump: Dump,
    read: Instant,
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::debug!(%error, "a snapshot's file stays until the next start");
        }
    }
}

/// Counts one that is being written.
struct Writing<'a>(&'a Snapshots);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.held.lock().writing -= 1;
    }
}

impl Snapshots {
    /// None yet.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(core: Core) -> Result<Snapshots> {
        let (disk, dir) = core.folder();
        let dir = dir.join("snapshots");
        let clear = || -> std::io::Result<()> {
            if disk.exists(&dir)? {
                for name in disk.list(&dir)? {
                    disk.remove(&dir.join(name))?;
                }
            }
            Ok(())
        };
        clear().map_err(|error| Error::io("the folder of snapshots", error))?;
        Ok(Snapshots { dir, held: Mutex::default(), core })
    }

    /// Writes one of what is now. Takes as long as the disk; for a thread that may wait. Its id, its size in bytes, and the
    /// last entry in it.
    ///
    /// # Errors
    /// `Unavailable` with code `busy` while there are `limits::SNAPSHOTS_MAX`; as [`Core::dump`].
    pub fn take(&self) -> Result<(String, u64, Position)> {
        let number = {
            let mut held = self.held.lock();
            held.drop_old();
            if held.files.len() + held.writing >= limits::SNAPSHOTS_MAX {
                let message = format!("{} snapshots are being fetched already", limits::SNAPSHOTS_MAX);
                return Err(Error::new(Kind::Unavailable, message).code("busy"));
            }
            (held.made, held.writing) = (held.made + 1, held.writing + 1);
            held.made
        };
        let writing = Writing(self);
        // A fetch that goes on after a restart must not find another's.
        let id = format!("{number}-{:x}", self.core.clock().now().0);
        let disk = self.core.folder().0.clone();
        let path = self.dir.join(&id);
        disk.create_dir_all(&self.dir).map_err(|error| Error::io("the folder of snapshots", error))?;
        let poison = self.core.poison();
        let dump = self.core.dump(&path, &|| poison.cause().is_some())?;
        let file = disk.open(&path, Open::Read).map_err(|error| Error::io("a snapshot", error))?;
        let (bytes, position) = (dump.bytes, dump.header.applied.position);
        self.held.lock().files.push(Spooled { id: id.clone(), disk, path, file, dump, read: Instant::now() });
        drop(writing);
        Ok((id, bytes, position))
    }

    /// The bytes of one from `at` on, up to a piece; none at its end. Reads the disk.
    ///
    /// # Errors
    /// `NotFound` for one that is gone; the disk's.
    pub fn read(&self, id: &str, at: u64) -> Result<Bytes> {
        let (file, len) = {
            let mut held = self.held.lock();
            held.drop_old();
            let found = held.files.iter_mut().find(|file| file.id == id);
            let found = found.ok_or_else(|| Error::new(Kind::NotFound, "there is no such snapshot"))?;
            found.read = Instant::now();
            (found.file.clone(), found.dump.bytes)
        };
        let left = len.saturating_sub(at).min(limits::SNAPSHOT_PIECE_BYTES as u64);
        let mut bytes = vec![0; left as usize];
        file.read_at(at, &mut bytes).map_err(|error| Error::io("a snapshot", error))?;
        Ok(bytes.into())
    }

    /// Removes those that nobody reads any more.
    pub fn sweep(&self) {
        self.held.lock().drop_old();
    }

    /// Removes one that was fetched.
    pub fn done(&self, id: &str) {
        self.held.lock().files.retain(|file| file.id != id);
    }
}

impl Held {
    fn drop_old(&mut self) {
        self.files.retain(|file| file.read.elapsed() < limits::SNAPSHOT_LEASE);
    }
}
