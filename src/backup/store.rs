//! The folder of backups: one snapshot a file.
//!
//! Invariant: a file has its name only when it is whole and synced, and read through once where it came from outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::Core;
use crate::disk::{Disk, DiskFile, Open, Stream};
use crate::error::{Error, Kind, Result};
use crate::id::{DatabaseId, Position};
use crate::limits;
use crate::state::snapshot;
use crate::time::Millis;

const FOLDER: &str = "backups";
/// How the name of one ends that is not whole yet.
const PART: &str = ".part";
/// Bytes of a name at most.
const KEY_BYTES_MAX: usize = 100;

/// The folder.
#[derive(Clone, Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// A backup that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub key: String,
    /// Its file's size.
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
    file: Arc<dyn DiskFile>,
    at: u64,
    done: bool,
}

/// Whether a text may be a backup's name: `A-Z a-z 0-9 @ _ - .`, 100 at most, not hidden.
pub fn is_key(text: &str) -> bool {
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && !text.starts_with('.') && !text.ends_with(PART);
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@_-.".contains(&byte))
}

impl Store {
    /// The one beside a server's data.
    ///
    /// # Errors
    /// The disk's.
    pub fn of(core: &Core) -> Result<Store> {
        let (disk, dir) = core.folder();
        let store = Store { disk: disk.clone(), dir: dir.join(FOLDER) };
        store.disk.create_dir_all(&store.dir).map_err(io)?;
        for name in store.disk.list(&store.dir).map_err(io)?.iter().filter(|name| name.ends_with(PART)) {
            store.disk.remove(&store.dir.join(name)).map_err(io)?;
        }
        Ok(store)
    }

    /// A folder of backups, to be read only.
    pub fn at(disk: Arc<dyn Disk>, dir: PathBuf) -> Store {
        Store { disk, dir }
    }

    /// Those that are there, the newest first. One that can't be read is left out, with a line in the log.
    ///
    /// # Errors
    /// The disk's.
    pub fn list(&self) -> Result<Vec<Backup>> {
        let names = self.disk.list(&self.dir).map_err(io)?;
        let mut found = Vec::new();
        for key in names.into_iter().filter(|name| is_key(name)) {
            match self.find(&key) {
                Ok(backup) => found.push(backup),
                Err(error) => tracing::warn!(key, %error, "a backup can't be read"),
            }
        }
        found.sort_by(|one, other| (other.time, &other.key).cmp(&(one.time, &one.key)));
        Ok(found)
    }

    /// One of them, by its header.
    ///
    /// # Errors
    /// `NotFound`; `Damaged`; the disk's.
    pub fn find(&self, key: &str) -> Result<Backup> {
        let file = self.open(key)?;
        let bytes = file.len().map_err(io)?;
        let applied = snapshot::read_header(&mut Stream::new(file))?.applied;
        let (database, position, time) = (applied.database, applied.position, applied.time);
        Ok(Backup { key: key.to_owned(), bytes, database, position, time })
    }

    /// Its file.
    ///
    /// # Errors
    /// `NotFound`; the disk's.
    pub fn open(&self, key: &str) -> Result<Arc<dyn DiskFile>> {
        let missing = || Error::new(Kind::NotFound, "there is no such backup");
        if !is_key(key) {
            return Err(missing());
        }
        match self.disk.open(&self.dir.join(key), Open::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing()),
            opened => opened.map_err(io),
        }
    }

    /// Makes one of all that is now. Takes as long as the disk, for a thread that may wait; no write waits. `ends` cuts it
    /// short.
    ///
    /// # Errors
    /// `Conflict` with code `backup_exists`; `Invalid` for a bad name; `NoSpace`; the disk's.
    pub fn take(&self, core: &Core, key: &str, ends: &dyn Fn() -> bool) -> Result<Backup> {
        let part = self.part(key)?;
        core.dump(&part, ends)?;
        self.place(&part, key)?;
        self.find(key)
    }

    /// Begins to take one from outside.
    ///
    /// # Errors
    /// As [`Store::take`].
    pub fn receive(&self, key: &str) -> Result<Incoming> {
        let part = self.part(key)?;
        let file = self.disk.open(&part, Open::CreateNew).map_err(io)?;
        Ok(Incoming { store: self.clone(), key: key.to_owned(), file, at: 0, done: false })
    }

    /// Removes one.
    ///
    /// # Errors
    /// `NotFound`; the disk's.
    pub fn remove(&self, key: &str) -> Result<()> {
        self.open(key)?;
        self.disk.remove(&self.dir.join(key)).and_then(|()| self.disk.sync_dir(&self.dir)).map_err(io)
    }

    /// Copies one to a file, synced.
    ///
    /// # Errors
    /// `NotFound`; `NoSpace`; the disk's.
    pub fn copy(&self, key: &str, to: &Path) -> Result<()> {
        copy(&*self.disk, &self.open(key)?, to)
    }

    /// Where one is written that is to have that name.
    fn part(&self, key: &str) -> Result<PathBuf> {
        if !is_key(key) {
            let message = format!("a backup's name has 1 to {KEY_BYTES_MAX} characters of A-Z a-z 0-9 @ _ - .");
            return Err(Error::invalid("the backup can't have that name").fault("name", "bad_name", message));
        }
        if self.disk.exists(&self.dir.join(key)).map_err(io)? {
            return Err(Error::new(Kind::Conflict, "there is a backup of that name").code("backup_exists"));
        }
        Ok(self.dir.join(format!("{key}{PART}")))
    }

    fn place(&self, part: &Path, key: &str) -> Result<()> {
        self.disk.rename(part, &self.dir.join(key)).and_then(|()| self.disk.sync_dir(&self.dir)).map_err(io)
    }
}

impl Incoming {
    /// The next bytes of it.
    ///
    /// # Errors
    /// `NoSpace` where the disk would be left with too little; the disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.store.disk.free_bytes(&self.store.dir).map_err(io)? < limits::SPOOL_HEADROOM_BYTES + bytes.len() as u64
        {
            return Err(Error::new(Kind::NoSpace, "the disk has too little room for the backup"));
        }
        self.file.write_at(self.at, bytes).map_err(io)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// It is all there: it is read through, and gets its name.
    ///
    /// # Errors
    /// `Unprocessable` with code `bad_backup` for what is no whole snapshot; the disk's.
    pub fn finish(mut self) -> Result<Backup> {
        self.file.sync_data().map_err(io)?;
        snapshot::verify(&mut std::io::BufReader::new(Stream::new(self.file.clone()))).map_err(|error| {
            Error::new(Kind::Unprocessable, format!("it is no backup: {}", error.message())).code("bad_backup")
        })?;
        self.store.place(&self.path(), &self.key)?;
        self.done = true;
        self.store.find(&self.key)
    }

    fn path(&self) -> PathBuf {
        self.store.dir.join(format!("{}{PART}", self.key))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.done {
            // What stays goes at the next start.
            let _ = self.store.disk.remove(&self.path());
        }
    }
}

/// Copies a file to another, which is made anew and synced.
pub(super) fn copy(disk: &dyn Disk, from: &Arc<dyn DiskFile>, to: &Path) -> Result<()> {
    match disk.remove(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let file = disk.open(to, Open::CreateNew).map_err(io)?;
    let (mut at, len) = (0, from.len().map_err(io)?);
    let mut piece = vec![0; limits::SNAPSHOT_PIECE_BYTES];
    while at < len {
        let bytes = (len - at).min(piece.len() as u64) as usize;
        from.read_at(at, &mut piece[..bytes]).and_then(|()| file.write_at(at, &piece[..bytes])).map_err(io)?;
        at += bytes as u64;
    }
    file.sync_data().map_err(io)
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
