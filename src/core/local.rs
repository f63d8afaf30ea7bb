//! The local snapshot: one file beside the tables, from which they are rebuilt where the log does not reach back.
//!
//! Invariants: it has its name only when it is whole and synced, so a crash leaves the one before or the new one; it
//! holds a state that the log has durably, and the log is kept from there on.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ballast::has_headroom;
use super::names::Names;
use crate::disk::{Disk, DiskFile, Open, Stream};
use crate::error::{Error, Kind, Result};
use crate::id::Seq;
use crate::limits;
use crate::model::schema::Schema;
use crate::state::snapshot::{self, Header};
use crate::state::{self, Applied, BaseView};

const FILE: &str = "snapshot";
/// Name of a snapshot that is being written.
const FILE_NEW: &str = "snapshot.new";
/// Bytes read or written at once.
const PIECE_BYTES: usize = 256 << 10;

/// A snapshot that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry that is in it.
    pub seq: Seq,
    /// Its file's size, bytes.
    pub bytes: u64,
}

/// Where a folder's snapshot is.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// The snapshot of a folder, by its header; its content is not looked at.
///
/// # Errors
/// `Damaged` or `Unprocessable` for one that can't be read, the disk's.
pub fn find(disk: &dyn Disk, dir: &Path) -> Result<Option<Snapshot>> {
    let Some(file) = open(disk, dir)? else { return Ok(None) };
    let bytes = file.len().map_err(io_error)?;
    let header = snapshot::read_header(&mut reading(file)).map_err(|error| naming(dir, error))?;
    Ok(Some(Snapshot { seq: header.applied.position.seq, bytes }))
}

/// Reads the snapshot of a folder from begin to end.
///
/// # Errors
/// As [`find`]. `Gone` when there is none.
pub fn verify(disk: &dyn Disk, dir: &Path) -> Result<Header> {
    verify_until(disk, dir, &|| false)
}

/// The same, unless `ends` says that there is no time for it: then it is not known whether it is whole.
///
/// # Errors
/// As [`verify`]; `Unavailable` when it had to end.
pub(super) fn verify_until(disk: &dyn Disk, dir: &Path, ends: &dyn Fn() -> bool) -> Result<Header> {
    let stream = Stream::new(open(disk, dir)?.ok_or_else(none)?);
    let mut reader = BufReader::with_capacity(PIECE_BYTES, Ending { stream, ends });
    snapshot::verify(&mut reader).map_err(|error| naming(dir, error))
}

/// Makes the tables of a folder from its snapshot. They must not be open.
///
/// # Errors
/// As [`verify`]; then the tables are as they were.
pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Header> {
    let file = open(disk, dir)?.ok_or_else(none)?;
    snapshot::load(disk, dir, &mut reading(file)).map_err(|error| naming(dir, error))
}

/// Removes what a snapshot that was cut short left behind.
pub(super) fn remove_leftover(disk: &dyn Disk, dir: &Path) -> Result<()> {
    match disk.remove(&dir.join(FILE_NEW)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error)),
        _ => Ok(()),
    }
}

/// Puts a snapshot of `view` in the place of the one before, unless `ends` says that there is no time for it or the
/// disk is short of room.
///
/// # Errors
/// The base's; `NoSpace`; `Internal` when it had to end, or of the disk: the one before is still there.
/// `OutcomeUnknown` when its name could not be made durable.
pub(super) fn write(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    names: &Names,
    view: &BaseView,
    ends: &dyn Fn() -> bool,
) -> Result<Snapshot> {
    remove_leftover(&**disk, dir)?;
    let new = dir.join(FILE_NEW);
    let schema = state::schema_of(view)?;
    let written = fill(disk, dir, &new, (view, &schema, view.applied()), ends).and_then(|snapshot| {
        names.place(&**disk, dir, &new, &path(dir))?;
        Ok(snapshot)
    });
    written.inspect_err(|_| {
        if let Err(error) = remove_leftover(&**disk, dir) {
            tracing::debug!(%error, "a snapshot that came to nothing stays until the next start");
        }
    })
}

/// Writes a snapshot of what is given to a new file, synced, whose name is not yet.
///
/// # Errors
/// As [`write`].
pub(super) fn fill(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    new: &Path,
    (read, schema, applied): (&dyn state::Read, &Schema, Applied),
    ends: &dyn Fn() -> bool,
) -> Result<Snapshot> {
    let file = disk.open(new, Open::CreateNew).map_err(io_error)?;
    let paced = Paced { stream: Stream::new(file.clone()), file, disk: &**disk, dir, ends, synced: 0 };
    let mut out = BufWriter::with_capacity(PIECE_BYTES, paced);
    let header = snapshot::write(read, schema, applied, &mut out)?;
    let paced = out.into_inner().map_err(|error| io_error(error.into_error()))?;
    paced.file.sync_data().map_err(io_error)?;
    Ok(Snapshot { seq: header.applied.position.seq, bytes: paced.stream.at() })
}

/// Writes in small pieces, so that neither the log's syncs nor a stop wait long for it, and only while there is room.
struct Paced<'a> {
    stream: Stream,
    file: Arc<dyn DiskFile>,
    disk: &'a dyn Disk,
    dir: &'a Path,
    ends: &'a dyn Fn() -> bool,
    /// Bytes that are on the medium.
    synced: u64,
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.ends)() {
            return Err(io::Error::other("there is no time left for it"));
        }
        if !has_headroom(self.disk, self.dir) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.stream.write(bytes)?;
        if self.stream.at() - self.synced >= limits::BASE_WRITE_BACK_BYTES {
            self.file.sync_data()?;
            self.synced = self.stream.at();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads as long as there is time.
struct Ending<'a> {
    stream: Stream,
    ends: &'a dyn Fn() -> bool,
}

impl Read for Ending<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if (self.ends)() {
            let late = Error::new(Kind::Unavailable, "there is no time left for it");
            // Not by a kind that is taken for altered bytes.
            return Err(io::Error::new(io::ErrorKind::TimedOut, late));
        }
        self.stream.read(into)
    }
}

fn open(disk: &dyn Disk, dir: &Path) -> Result<Option<Arc<dyn DiskFile>>> {
    match disk.open(&path(dir), Open::Read) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(error)),
    }
}

pub(super) fn reading(file: Arc<dyn DiskFile>) -> BufReader<Stream> {
    BufReader::with_capacity(PIECE_BYTES, Stream::new(file))
}

fn none() -> Error {
    Error::new(Kind::Gone, "there is no snapshot")
}

fn naming(dir: &Path, error: Error) -> Error {
    let what = format!("{}: {}", path(dir).display(), error.message());
    Error::new(error.kind(), what).source(error)
}

fn io_error(error: io::Error) -> Error {
    Error::io("the snapshot", error)
}
