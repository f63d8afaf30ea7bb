//! A base that is being made: under another name, until it is whole and synced. For a new folder, a snapshot, or the
//! copy of a base that has grown too large.
//!
//! Invariant: redb refuses for ever a file whose very first commit was cut off, so nothing has the base's name before it
//! is durable; what was begun and not placed counts for nothing, and a start removes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, Durability};

use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::limits;
use crate::state::backend::{Backend, Lent, Shared};
use crate::state::base::{self, Applied, Base, Handle, Pairs, TABLE};
use crate::state::key;
use crate::state::layer::Layer;

/// Name of a base that is being made.
const FILE_NEW: &str = "base.new";

/// A base without its name.
pub struct Filling {
    pub(super) handle: Arc<Handle>,
    pub(super) shared: Arc<Shared>,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) backend: Arc<Backend>,
    pub(super) applied: Applied,
    path: PathBuf,
}

impl Filling {
    /// Begins one in a folder. It holds nothing.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin(disk: &dyn Disk, dir: &Path, cache_bytes: usize, applied: Applied) -> Result<Filling> {
        Filling::remove_leftover(disk, dir)?;
        let path = dir.join(FILE_NEW);
        let io = |error| Error::io(path.display(), error);
        let file = disk.open(&path, Open::CreateNew).map_err(io)?;
        let shared = Arc::new(Shared::default());
        shared.leave_unsynced();
        let backend = Arc::new(Backend::new(file.clone(), shared.clone()).map_err(io)?);
        let lent = Lent(backend.clone());
        let database = base::guarded(&shared, || {
            Ok(Database::builder().set_cache_size(cache_bytes).create_with_backend(lent)?)
        })?;
        let handle = Arc::new(Handle::new(database, &shared));
        Ok(Filling { handle, shared, file, backend, applied, path })
    }

    /// Puts about `bytes` of keys and values in, which come in order; whether there were so many.
    ///
    /// # Errors
    /// Those of `pairs`, or the disk's.
    pub fn insert(&mut self, pairs: &mut Pairs<'_>, bytes: usize) -> Result<bool> {
        let (mut left, mut cut_short, mut more) = (bytes, None, true);
        self.write(false, |table| {
            while left > 0 {
                match pairs.next() {
                    Some(Ok((key, value))) => {
                        left = left.saturating_sub(key.len() + value.len() + 1);
                        table.insert(&key[..], &value[..])?;
                    }
                    Some(Err(error)) => {
                        cut_short = Some(error);
                        break;
                    }
                    None => {
                        more = false;
                        break;
                    }
                }
            }
            Ok(())
        })?;
        match cut_short {
            Some(error) => Err(error),
            None => self.push().map(|()| more),
        }
    }

    /// Folds a layer in, and the position it reaches.
    ///
    /// # Errors
    /// The disk's.
    pub fn apply(&mut self, layer: &Layer, applied: Applied) -> Result<()> {
        self.applied = applied;
        self.write(false, |table| base::put_layer(table, layer))?;
        self.push()
    }

    /// What it holds.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// Its name for now, to be given its own by whoever holds a sealed one.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what one that came to nothing left behind.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove_leftover(disk: &dyn Disk, dir: &Path) -> Result<()> {
        let path = dir.join(FILE_NEW);
        match disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path.display(), error)),
            _ => Ok(()),
        }
    }

    /// Makes all of it durable, as a base is after a checkpoint.
    ///
    /// # Errors
    /// The disk's.
    pub fn seal(&mut self) -> Result<()> {
        self.shared.sync_from_now_on();
        self.write(true, |_| Ok(()))
    }

    /// Pushes to the medium what is much, so that the seal has little left to do.
    fn push(&self) -> Result<()> {
        let pushed = self.shared.write_back(&*self.file, limits::BASE_WRITE_BACK_BYTES);
        pushed.map_err(|error| Error::io(self.path.display(), error))
    }

    fn write(&mut self, quick_repair: bool, fill: impl FnOnce(&mut base::Table<'_>) -> base::Outcome) -> Result<()> {
        let applied = self.applied;
        self.handle.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_quick_repair(quick_repair);
            {
                let mut table = transaction.open_table(TABLE)?;
                table.insert(key::FORMAT, &base::FORMAT_VERSION.to_be_bytes()[..])?;
                fill(&mut table)?;
                base::put_applied(&mut table, applied)?;
            }
            Ok(transaction.commit()?)
        })
    }
}

impl std::fmt::Debug for Filling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filling").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// Makes a whole base and gives it the name of the folder's.
pub(super) fn create(disk: &dyn Disk, dir: &Path, applied: Applied, pairs: &mut Pairs<'_>) -> Result<()> {
    let mut filling = Filling::begin(disk, dir, limits::BASE_CACHE_BYTES, applied)?;
    while filling.insert(pairs, limits::COMPACT_PIECE_BYTES)? {}
    filling.seal()?;
    let Filling { handle, path, .. } = filling;
    handle.close()?;
    let io = |error| Error::io(path.display(), error);
    disk.rename(&path, &Base::path(dir)).map_err(io)?;
    disk.sync_dir(dir).map_err(io)
}
