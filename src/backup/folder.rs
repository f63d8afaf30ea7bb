//! The folder of backups beside a server's data, or anywhere: one snapshot a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::store::{Found, Shelf, is_key, missing};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
}

impl Shelf for Folder {
    fn list(&self) -> Result<Vec<Found>> {
        let names = self.disk.list(&self.dir).map_err(io_error)?;
        Ok(names.into_iter().filter(|name| is_key(name)).map(|key| Found { key, tag: None }).collect())
    }

    fn open(&self, key: &str) -> Result<Arc<dyn DiskFile>> {
        match self.disk.open(&self.dir.join(key), Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            opened => opened.map_err(io_error),
        }
    }

    fn keep(&self, part: &Path, key: &str, _: &dyn Fn() -> bool) -> Result<()> {
        self.disk.rename(part, &self.dir.join(key)).and_then(|()| self.disk.sync_dir(&self.dir)).map_err(io_error)
    }

    fn remove(&self, key: &str) -> Result<()> {
        match self.disk.remove(&self.dir.join(key)).and_then(|()| self.disk.sync_dir(&self.dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            removed => removed.map_err(io_error),
        }
    }
}

fn io_error(error: io::Error) -> Error {
    Error::io("a backup", error)
}
