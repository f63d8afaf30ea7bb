//! What a server notes in its folder, each in a small file of JSON that is put there whole: `role.json`, `planting.json`,
//! `rejoining.json`.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::{self, Disk};
use crate::error::{Error, Result};

/// A note of that name, if there is one.
///
/// # Errors
/// `Damaged` for a file that is none; the disk's.
pub(super) fn load<T: DeserializeOwned>(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Option<T>> {
    let path = dir.join(name);
    let io = |error| Error::io(path.display(), error);
    if !disk.exists(&path).map_err(io)? {
        return Ok(None);
    }
    let bytes = disk::read_all(disk, &path).map_err(io)?;
    let damaged = |error| Error::damaged(format!("{} is not readable: remove it", path.display())).source(error);
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Keeps a note, durably, in the place of the one before.
///
/// # Errors
/// The disk's; the note may be there then.
pub(super) fn store(disk: &dyn Disk, dir: &Path, name: &str, note: &impl Serialize) -> Result<()> {
    let path = dir.join(name);
    let bytes = serde_json::to_vec(note).map_err(|error| Error::internal("no JSON").source(error))?;
    disk::replace_file(disk, &path, &bytes).map_err(|error| Error::io(path.display(), error))
}

/// Removes a note, or another file of the folder, durably, if it is there.
///
/// # Errors
/// The disk's.
pub(super) fn remove(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<()> {
    let removed = match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.sync_dir(dir),
    };
    removed.map_err(|error| Error::io(path.display(), error))
}
