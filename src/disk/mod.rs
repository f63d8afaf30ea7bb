//! The file seam: everything that touches a disk goes through [`Disk`], so that tests can put a simulated one below.
//!
//! `real` is the operating system; `sim` is a seeded simulator of power loss, torn, dropped and reordered writes, lost
//! renames, full disks, I/O errors and bit flips. Assumptions about the medium, which both share: a write may reach
//! the disk in any order and in 512-byte pieces until `sync_data` of its file returns; a created, renamed or removed
//! name is on disk only after `sync_dir` of its folder; synced bytes stay.

mod real;
pub mod sim;
mod stream;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use real::RealDisk;
pub use stream::Stream;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must exist; for reading only.
    Read,
    /// It must exist; for reading and writing.
    Write,
    /// It must not exist.
    CreateNew,
}

/// A folder tree on a disk.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Opens a file. A name that `CreateNew` makes is durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, or the system's.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// The names of the plain files in a folder, sorted.
    ///
    /// # Errors
    /// `NotFound`, or the system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Whether a file or folder of that name is there.
    ///
    /// # Errors
    /// The system's.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Makes a folder and those above it, durably.
    ///
    /// # Errors
    /// The system's.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file within its folder, replacing what has the new name. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, or the system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, or the system's.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the folder's names durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written to the disk that holds `dir`.
    ///
    /// # Errors
    /// The system's.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Takes the folder for this process until the lock is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another process has it.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file, read and written by position from any thread.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before, or the system's.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file where needed. After an error any part may have been written.
    ///
    /// # Errors
    /// `StorageFull`, or the system's.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// The file's length, bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds nothing.
    ///
    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts, or grows with zeros.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns when all that was written and the length are on the medium. After an error nothing is known of any
    /// write since the last success, and asking again proves nothing.
    ///
    /// # Errors
    /// The system's.
    fn sync_data(&self) -> io::Result<()>;
}

/// A folder held for this process; dropped, it is free.
pub trait DiskLock: Send + Sync + std::fmt::Debug {}

/// The whole content of a file.
///
/// # Errors
/// As [`Disk::open`] and [`DiskFile::read_at`].
pub fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Puts `bytes` under a name so that a crash leaves the old content or the new, never a part: tmp, sync, rename, sync
/// of the folder.
///
/// # Errors
/// The disk's; the old content stays.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let tmp: PathBuf = path.with_extension("tmp");
    match disk.remove(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&tmp, Open::CreateNew)?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    disk.rename(&tmp, path)?;
    disk.sync_dir(dir)
}
