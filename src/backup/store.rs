//! Backups that are kept: what is asked of them, wherever they are (`folder`, `s3`). Each is written here on the disk first,
//! so that nothing but the disk is waited for while a state is held.
//!
//! Invariant: a backup has its name only when it is whole and synced, and read through once where it came from outside.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::folder::Folder;
use super::s3;
use crate::config::{Bucket, Hidden};
use crate::core::Core;
use crate::disk::{Disk, DiskFile, Open, Stream};
use crate::error::{Error, Kind, Result};
use crate::id::{DatabaseId, Position};
use crate::limits;
use crate::state::snapshot;
use crate::time::{Clock, Millis};

const FOLDER: &str = "backups";
/// How the name of one ends that is not whole yet.
const PART: &str = ".part";
/// Bytes of a name at most.
const KEY_BYTES_MAX: usize = 100;

/// A place where whole backups are. All of it may take as long as the place does, for a thread that may wait.
pub(super) trait Shelf: Debug + Send + Sync {
    /// What is there.
    ///
    /// # Errors
    /// The place's.
    fn list(&self) -> Result<Vec<Found>>;
    /// One of them, to be read.
    ///
    /// # Errors
    /// `NotFound`; the place's.
    fn open(&self, key: &str) -> Result<Arc<dyn DiskFile>>;
    /// Makes a synced file of this machine one of them, whole or not at all; the file goes. `ends` cuts it short.
    ///
    /// # Errors
    /// The place's.
    fn keep(&self, part: &Path, key: &str, ends: &dyn Fn() -> bool) -> Result<()>;
    /// Removes one.
    ///
    /// # Errors
    /// `NotFound`; the place's.
    fn remove(&self, key: &str) -> Result<()>;
}

/// What a place knows of a backup without reading it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: String,
    /// Changes with its bytes; none where reading costs little.
    pub(super) tag: Option<String>,
}

/// The backups of a server.
#[derive(Clone, Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    /// Where they are written first.
    dir: PathBuf,
    shelf: Arc<dyn Shelf>,
    /// By name, what those are that were read, by the tag they had.
    known: Arc<Mutex<HashMap<String, (String, Backup)>>>,
}

/// A backup that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Of which database.
    pub database: DatabaseId,
    /// The last entry that is in it.
    pub position: Position,
    /// When that was written.
    pub time: Millis,
}

/// One that comes from outside, piece by piece; gone if it is not finished.
#[derive(Debug)]
pub struct Incoming {
    store: Store,
    key: String,
    part: Part,
    file: Arc<dyn DiskFile>,
    at: u64,
}

/// A file that is not whole yet; gone with this, unless it was kept.
#[derive(Debug)]
struct Part {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // What stays goes at the next start.
        let _ = self.disk.remove(&self.path);
    }
}

/// Whether a text may be a backup's name: `A-Z a-z 0-9 @ _ - .`, 100 at most, not hidden.
pub fn is_key(text: &str) -> bool {
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && !text.starts_with('.') && !text.ends_with(PART);
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@_-.".contains(&byte))
}

impl Store {
    /// That of a server: the folder beside its data, or a bucket with its key and the secret of that.
    ///
    /// # Errors
    /// The disk's; `Invalid` for a bucket that can't be.
    pub fn of(core: &Core, bucket: Option<(Bucket, String, Hidden)>) -> Result<Store> {
        let (disk, dir) = core.folder();
        let (disk, dir) = (disk.clone(), dir.join(FOLDER));
        disk.create_dir_all(&dir).map_err(io)?;
        for name in disk.list(&dir).map_err(io)?.iter().filter(|name| name.ends_with(PART)) {
            disk.remove(&dir.join(name)).map_err(io)?;
        }
        let Some(bucket) = bucket else { return Ok(Store::at(disk, dir)) };
        let (stopping, clock) = (core.clone(), core.clock().clone());
        let shelf = s3::Bucket::new(bucket, disk.clone(), clock, Arc::new(move || stopping.is_stopping()))?;
        Ok(Store { disk, dir, shelf: Arc::new(shelf), known: Arc::default() })
    }

    /// A folder of backups.
    pub fn at(disk: Arc<dyn Disk>, dir: PathBuf) -> Store {
        let shelf = Arc::new(Folder { disk: disk.clone(), dir: dir.clone() });
        Store { disk, dir, shelf, known: Arc::default() }
    }

    /// A bucket, to be read only.
    ///
    /// # Errors
    /// `Invalid` for one that can't be.
    pub fn of_bucket(disk: Arc<dyn Disk>, bucket: (Bucket, String, Hidden)) -> Result<Store> {
        let shelf = Arc::new(s3::Bucket::new(bucket, disk.clone(), Clock::System, Arc::new(|| false))?);
        Ok(Store { disk, dir: PathBuf::new(), shelf, known: Arc::default() })
    }

    /// Those that are there, the newest first. One that can't be read is left out, with a line in the log.
    ///
    /// # Errors
    /// Those of the place; `Unavailable` with code `store_away` or `store_refused`.
    pub fn list(&self) -> Result<Vec<Backup>> {
        let all = self.shelf.list()?;
        let mut known = std::mem::take(&mut *self.known.lock());
        let (mut found, mut read) = (Vec::new(), HashMap::new());
        for Found { key, tag } in all {
            let before = known.remove(&key).filter(|(of, _)| Some(of) == tag.as_ref());
            let backup = match before.map_or_else(|| self.find(&key), |(_, backup)| Ok(backup)) {
                Ok(backup) => backup,
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Err(error) => {
                    tracing::warn!(key, %error, "a backup can't be read");
                    continue;
                }
            };
            if let Some(tag) = tag {
                read.insert(key, (tag, backup.clone()));
            }
            found.push(backup);
        }
        *self.known.lock() = read;
        found.sort_by(|one, other| (other.time, &other.key).cmp(&(one.time, &one.key)));
        Ok(found)
    }

    /// One of them, by its header.
    ///
    /// # Errors
    /// `NotFound`; `Damaged`; those of the place, as [`Store::list`].
    pub fn find(&self, key: &str) -> Result<Backup> {
        let file = self.open(key)?;
        let bytes = file.len().map_err(io)?;
        let mut head = BufReader::with_capacity(limits::STORE_HEAD_BYTES as usize, Stream::new(file));
        let applied = snapshot::read_header(&mut head)?.applied;
        let (database, position, time) = (applied.database, applied.position, applied.time);
        Ok(Backup { key: key.to_owned(), bytes, database, position, time })
    }

    /// Its file.
    ///
    /// # Errors
    /// `NotFound`; those of the place, as [`Store::list`].
    pub fn open(&self, key: &str) -> Result<Arc<dyn DiskFile>> {
        if is_key(key) { self.shelf.open(key) } else { Err(missing()) }
    }

    /// Makes one of all that is now. Takes as long as the disk and the place, for a thread that may wait; no write waits.
    /// `ends` cuts it short.
    ///
    /// # Errors
    /// `Conflict` with code `backup_exists`; `Invalid` for a bad name; `NoSpace`; the disk's; those of the place, as
    /// [`Store::list`].
    pub fn take(&self, core: &Core, key: &str, ends: &dyn Fn() -> bool) -> Result<Backup> {
        let part = self.part(key)?;
        core.dump(&part.path, ends)?;
        self.shelf.keep(&part.path, key, ends)?;
        self.find(key)
    }

    /// Begins to take one from outside.
    ///
    /// # Errors
    /// As [`Store::take`].
    pub fn receive(&self, key: &str) -> Result<Incoming> {
        let part = self.part(key)?;
        let file = self.disk.open(&part.path, Open::CreateNew).map_err(io)?;
        Ok(Incoming { store: self.clone(), key: key.to_owned(), part, file, at: 0 })
    }

    /// Removes one.
    ///
    /// # Errors
    /// `NotFound`; those of the place, as [`Store::list`].
    pub fn remove(&self, key: &str) -> Result<()> {
        if is_key(key) { self.shelf.remove(key) } else { Err(missing()) }
    }

    /// Copies one to a file, synced.
    ///
    /// # Errors
    /// `NotFound`; `NoSpace`; the disk's; those of the place, as [`Store::list`].
    pub fn copy(&self, key: &str, to: &Path) -> Result<()> {
        copy(&*self.disk, &self.open(key)?, to)
    }

    /// Where one is written that is to have that name.
    fn part(&self, key: &str) -> Result<Part> {
        if !is_key(key) {
            let message = format!("a backup's name has 1 to {KEY_BYTES_MAX} characters of A-Z a-z 0-9 @ _ - .");
            return Err(Error::invalid("the backup can't have that name").fault("name", "bad_name", message));
        }
        match self.shelf.open(key) {
            Ok(_) => Err(Error::new(Kind::Conflict, "there is a backup of that name").code("backup_exists")),
            Err(error) if error.kind() == Kind::NotFound => {
                Ok(Part { disk: self.disk.clone(), path: self.dir.join(format!("{key}{PART}")) })
            }
            Err(error) => Err(error),
        }
    }
}

impl Incoming {
    /// The next bytes of it.
    ///
    /// # Errors
    /// `NoSpace` where the disk would be left with too little; the disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Store { disk, dir, .. } = &self.store;
        if disk.free_bytes(dir).map_err(io)? < limits::SPOOL_HEADROOM_BYTES + bytes.len() as u64 {
            return Err(Error::new(Kind::NoSpace, "the disk has too little room for the backup"));
        }
        self.file.write_at(self.at, bytes).map_err(io)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// It is all there: it is read through, and gets its name. `ends` cuts it short.
    ///
    /// # Errors
    /// `Unprocessable` with code `bad_backup` for what is no whole snapshot; the disk's; those of the place, as
    /// [`Store::list`].
    pub fn finish(self, ends: &dyn Fn() -> bool) -> Result<Backup> {
        self.file.sync_data().map_err(io)?;
        snapshot::verify(&mut BufReader::new(Stream::new(self.file.clone()))).map_err(|error| {
            Error::new(Kind::Unprocessable, format!("it is no backup: {}", error.message())).code("bad_backup")
        })?;
        self.store.shelf.keep(&self.part.path, &self.key, ends)?;
        self.store.find(&self.key)
    }
}

/// Copies a file to another, which is made anew and synced.
pub(super) fn copy(disk: &dyn Disk, from: &Arc<dyn DiskFile>, to: &Path) -> Result<()> {
    match disk.remove(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let (mut at, len) = (0, from.len().map_err(io)?);
    let folder = to.parent().unwrap_or(Path::new("."));
    if disk.free_bytes(folder).map_err(io)? < len + limits::SPOOL_HEADROOM_BYTES {
        return Err(Error::new(Kind::NoSpace, "the disk has too little room for a copy of the backup"));
    }
    let file = disk.open(to, Open::CreateNew).map_err(io)?;
    let mut piece = vec![0; limits::SNAPSHOT_PIECE_BYTES];
    while at < len {
        let bytes = (len - at).min(piece.len() as u64) as usize;
        from.read_at(at, &mut piece[..bytes]).and_then(|()| file.write_at(at, &piece[..bytes])).map_err(io)?;
        at += bytes as u64;
    }
    file.sync_data().map_err(io)
}

pub(super) fn missing() -> Error {
    Error::new(Kind::NotFound, "there is no such backup")
}

fn io(error: std::io::Error) -> Error {
    Error::io("a backup", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for good in ["a", "@auto_20261130T101500Z.snap", "pb_backup.zip", "A-z_0.9"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "ä", "x.part", &"x".repeat(101)] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
