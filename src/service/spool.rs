//! Files that answers are written down in at disk speed, so that no view is held while a slow client reads: in a folder
//! of their own beside the tables, gone when their reader has gone. What a crash left is removed at the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::core::Core;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::service::import::busy;
use crate::service::places::{Place, Places};

/// The folder of the files.
#[derive(Debug)]
pub(super) struct Spools {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    places: Places,
    made: AtomicU64,
}

/// One file, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Spool {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    len: u64,
    /// What is not written yet.
    buffer: Vec<u8>,
    _place: Place,
}

impl Spools {
    /// In the core's folder, empty.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(core: &Core) -> Result<Spools> {
        let (disk, dir) = core.folder();
        let spools = Spools {
            disk: disk.clone(),
            dir: dir.join("spool"),
            places: Places::new(limits::SPOOLS_MAX),
            made: AtomicU64::new(0),
        };
        spools.clear().map_err(|error| Error::io("the folder of exports", error))?;
        Ok(spools)
    }

    fn clear(&self) -> std::io::Result<()> {
        if self.disk.exists(&self.dir)? {
            for name in self.disk.list(&self.dir)? {
                self.disk.remove(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// A new file.
    ///
    /// # Errors
    /// `Unavailable` while there are `limits::SPOOLS_MAX`; the disk's.
    pub(super) fn create(&self) -> Result<Spool> {
        let place = self.places.take().ok_or_else(|| busy("exports", limits::SPOOLS_MAX))?;
        let path = self.dir.join(format!("{}", self.made.fetch_add(1, Ordering::Relaxed)));
        let file = self.disk.create_dir_all(&self.dir).and_then(|()| self.disk.open(&path, Open::CreateNew));
        let file = file.map_err(|error| Error::io("the file of an export", error))?;
        Ok(Spool { disk: self.disk.clone(), path, file, len: 0, buffer: Vec::new(), _place: place })
    }
}

impl Spool {
    /// Where further bytes are put; written when [`Spool::flush`] finds that they are many.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes what is in the buffer, if it is `all` or a piece of it.
    ///
    /// # Errors
    /// `Unavailable` with code `no_room` where the disk would be left with too little; the disk's.
    pub(super) fn flush(&mut self, all: bool) -> Result<()> {
        if !all && self.buffer.len() < limits::SPOOL_PIECE_BYTES {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let free = self.disk.free_bytes(dir).map_err(|error| Error::io("the disk's free bytes", error))?;
        if free < limits::SPOOL_HEADROOM_BYTES + self.buffer.len() as u64 {
            let message = "the disk has too little room to write the export down: narrow it by a filter";
            return Err(Error::new(Kind::Unavailable, message).code("no_room"));
        }
        let written = self.file.write_at(self.len, &self.buffer);
        written.map_err(|error| Error::io("the file of an export", error))?;
        self.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes that are written.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The next bytes behind `at`, none at the end.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn read(&self, at: u64) -> Result<Bytes> {
        let left = self.len.saturating_sub(at).min(limits::SPOOL_PIECE_BYTES as u64);
        let mut bytes = vec![0; left as usize];
        self.file.read_at(at, &mut bytes).map_err(|error| Error::io("the file of an export", error))?;
        Ok(bytes.into())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the file of an export is left until the next start");
        }
    }
}
