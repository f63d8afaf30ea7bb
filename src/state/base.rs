//! The base: the bottom layer, in redb, on a backend that checks what it reads. One table of byte keys and values.
//!
//! Invariants: one owner writes, by `&mut self`; what a transaction applies and the position it reaches are in the same
//! transaction; no error or panic of redb passes as an answer. A base that failed is never written again: its backend
//! refuses, since redb writes when it is dropped.

mod view;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, Durability, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, DatabaseId, Position};
use crate::limits;
use crate::state::backend::{BLOCK, Backend, Lent, Shared};
use crate::state::filling::{self, Filling};
use crate::state::key;
use crate::state::layer::Layer;
use crate::state::warm::{FlushNumber, Warm};
use crate::time::Millis;

pub use view::BaseView;
pub(super) use view::{BasePair, BaseRange};

/// Name of the base's file.
const FILE: &str = "base";
/// Name of a base that was found damaged; the one before it is replaced.
const FILE_ASIDE: &str = "base.damaged";
pub(super) const FORMAT_VERSION: u32 = 1;
pub(super) const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("state");

/// The entry up to which the log is in a base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Whose log; 0 in a base that has seen none.
    pub database: DatabaseId,
    /// The entry.
    pub position: Position,
    /// The chain up to it.
    pub chain: Chain,
    /// Its time.
    pub time: Millis,
}

/// A base and how far it had durably come.
#[derive(Debug)]
pub struct Opened {
    /// The base.
    pub base: Base,
    /// What it holds.
    pub applied: Applied,
}

/// Where a round through a base is: first all of its blocks as they lie, then all of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubPlace {
    /// The next block; `None` when all were read.
    block: Option<u64>,
    /// The last key.
    after: Vec<u8>,
}

impl Default for ScrubPlace {
    fn default() -> ScrubPlace {
        ScrubPlace { block: Some(0), after: Vec::new() }
    }
}

/// Keys and values to fill a base with.
pub type Pairs<'a> = dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> + 'a;

/// The bottom layer.
pub struct Base {
    handle: Arc<Handle>,
    shared: Arc<Shared>,
    file: Arc<dyn DiskFile>,
    backend: Arc<Backend>,
    view: Arc<BaseView>,
}

/// redb's hold on a file.
pub(super) struct Handle {
    /// `None` once closed.
    database: Mutex<Option<Database>>,
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(database: Database, shared: &Arc<Shared>) -> Handle {
        Handle { database: Mutex::new(Some(database)), shared: shared.clone() }
    }

    /// Runs redb on it. After an error it refuses all that would change it.
    pub(super) fn with<T>(&self, run: impl FnOnce(&Database) -> std::result::Result<T, redb::Error>) -> Result<T> {
        let database = self.database.lock();
        let Some(database) = &*database else {
            return Err(Error::internal("the base is closed"));
        };
        guarded(&self.shared, || run(database)).inspect_err(|_| self.shared.refuse())
    }

    /// Closes it, whoever still reads there.
    pub(super) fn close(&self) -> Result<()> {
        let database = self.database.lock().take();
        guarded(&self.shared, || Ok(database.map_or(Ok(()), Database::close)?))
    }
}

impl Drop for Handle {
    /// What was not closed was not meant to be: redb writes when it is dropped.
    fn drop(&mut self) {
        if self.database.get_mut().is_some() {
            self.shared.refuse();
            // It refuses: its end has nothing to say.
            let _ = self.close();
        }
    }
}

impl Base {
    /// Opens the base in a folder, after a crash too, or makes an empty one there.
    ///
    /// # Errors
    /// `Damaged` for a file that is not what was written: it must be rebuilt. `NoSpace` and `Internal` of the disk;
    /// `Unprocessable` for a newer format.
    pub fn open(disk: &dyn Disk, dir: &Path, cache_bytes: usize) -> Result<Opened> {
        let path = dir.join(FILE);
        if !disk.exists(&path).map_err(|error| Error::io(path.display(), error))? {
            filling::create(disk, dir, Applied::default(), &mut std::iter::empty())?;
        }
        Filling::remove_leftover(disk, dir)?;
        let mut base = open_file(disk, &path, cache_bytes)?;
        let applied = base.check_format().inspect_err(|_| base.shut(false))?;
        Ok(Opened { base, applied })
    }

    /// Makes the base of a folder anew, from all the keys of a state. A crash leaves the old one or the new one. The
    /// base must not be open.
    ///
    /// # Errors
    /// Those of `pairs`, or the disk's; then the old base is untouched.
    pub fn rebuild(disk: &dyn Disk, dir: &Path, applied: Applied, pairs: &mut Pairs<'_>) -> Result<()> {
        filling::create(disk, dir, applied, pairs)
    }

    /// Goes on in a sealed copy, once `place` has given it this base's name. It must hold what this one does. Views of this one
    /// can be read as before; its file goes with the last of them.
    ///
    /// # Errors
    /// The disk's, or those of `place`: this one goes on as it was, unless they say that nobody knows which of the two a
    /// start will find; each is right.
    pub fn move_to(&mut self, copy: Filling, place: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if copy.applied() != self.view.applied {
            return Err(Error::internal("a copy of the base is not where the base is"));
        }
        let (warm, flush) = (&self.view.warm, self.view.flush);
        let view = BaseView::of(&copy.handle, &copy.shared, warm, flush)?;
        place(copy.path())?;
        self.shared.refuse();
        let Filling { handle, shared, file, backend, .. } = copy;
        (self.handle, self.shared, self.view) = (handle, shared, Arc::new(view));
        (self.file, self.backend) = (file, backend);
        Ok(())
    }

    /// Verifies a few blocks of the file, and reads on in the keys with what is not in memory. True at the end of a
    /// round.
    ///
    /// # Errors
    /// `Damaged`, as whoever reads there is told; the disk's.
    pub fn scrub(&self, at: &mut ScrubPlace, bytes: usize) -> Result<bool> {
        if let Some(block) = at.block {
            let next = self.backend.scrub(block, (bytes as u64).div_ceil(BLOCK));
            at.block = next.map_err(|error| Error::io("the base", error))?;
            return Ok(false);
        }
        let mut left = bytes;
        for pair in self.view.pairs(&at.after)? {
            let (key, value) = pair?;
            left = left.saturating_sub(key.len() + value.len() + 1);
            if left == 0 {
                at.after = key;
                return Ok(false);
            }
        }
        *at = ScrubPlace::default();
        Ok(true)
    }

    /// Bytes of its file.
    pub fn file_bytes(&self) -> u64 {
        self.file.len().unwrap_or(0)
    }

    /// Gives the base's file of a folder another name, so that the next [`Base::open`] makes an empty one. An open base
    /// goes on with the file it has.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_aside(disk: &dyn Disk, dir: &Path) -> Result<()> {
        let (path, aside) = (dir.join(FILE), dir.join(FILE_ASIDE));
        let io = |error| Error::io(path.display(), error);
        if disk.exists(&path).map_err(io)? {
            disk.rename(&path, &aside).map_err(io)?;
            disk.sync_dir(dir).map_err(io)?;
        }
        Ok(())
    }

    /// Where the base of a folder is.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// What can be read now.
    pub fn view(&self) -> Arc<BaseView> {
        self.view.clone()
    }

    /// Writes a layer and the position it reaches, in one transaction, without making it durable.
    ///
    /// # Errors
    /// `NoSpace`, `Damaged`, `Internal`. After one the base must be closed with `ok: false` and opened again: its last
    /// durable state is whole.
    pub fn apply(&mut self, layer: &Layer, applied: Applied) -> Result<()> {
        let flush = self.view.flush.next();
        for (key, _) in layer.iter().filter(|(key, _)| key::is_row(key)) {
            self.view.warm.change(key, flush);
        }
        self.write(flush, Durability::None, |table| {
            put_layer(table, layer)?;
            put_applied(table, applied)
        })
    }

    /// Makes all that was applied durable, so that a crash afterwards needs no repair.
    ///
    /// # Errors
    /// As [`Base::apply`].
    pub fn checkpoint(&mut self) -> Result<()> {
        let applied = self.view.applied;
        self.write(self.view.flush, Durability::Immediate, |table| put_applied(table, applied))?;
        self.shared.forget_dirty();
        Ok(())
    }

    /// Pushes what was applied to the medium when it is over `limits::BASE_WRITE_BACK_BYTES`. It is not durable by that,
    /// but the next checkpoint has less to do at once.
    ///
    /// # Errors
    /// As [`Base::apply`].
    pub fn write_back(&mut self) -> Result<()> {
        let pushed = self.shared.write_back(&*self.file, limits::BASE_WRITE_BACK_BYTES);
        pushed.map_err(|error| {
            self.shared.refuse();
            Error::io("the base", error)
        })
    }

    /// Bytes written to the file since the last checkpoint; what redb still holds back, within its cache, is not in it.
    pub fn dirty_bytes(&self) -> u64 {
        self.shared.dirty_bytes()
    }

    /// Whether a block read was not what was written.
    pub fn is_damaged(&self) -> bool {
        self.shared.is_damaged()
    }

    /// Closes the file. With `ok` all that was applied is made durable; without, the file is not touched again, as it
    /// must be after any error.
    ///
    /// # Errors
    /// As [`Base::apply`].
    pub fn close(mut self, ok: bool) -> Result<()> {
        let ok = ok && !self.is_damaged();
        let result = if ok { self.checkpoint() } else { Ok(()) };
        self.shut(ok && result.is_ok());
        result
    }

    fn shut(&mut self, ok: bool) {
        if !ok {
            self.shared.refuse();
        }
        // Its errors were met before, or are those of a file that may not be written.
        let _ = self.handle.close();
    }

    fn write(
        &mut self,
        flush: FlushNumber,
        durability: Durability,
        fill: impl FnOnce(&mut Table<'_>) -> Outcome,
    ) -> Result<()> {
        self.handle.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(durability)?;
            transaction.set_quick_repair(matches!(durability, Durability::Immediate));
            fill(&mut transaction.open_table(TABLE)?)?;
            Ok(transaction.commit()?)
        })?;
        let view = BaseView::of(&self.handle, &self.shared, &self.view.warm, flush);
        self.view = Arc::new(view.inspect_err(|_| self.shared.refuse())?);
        Ok(())
    }

    fn check_format(&self) -> Result<Applied> {
        let stored = self.view.value(key::FORMAT)?;
        match stored.as_deref().map(<[u8; 4]>::try_from) {
            Some(Ok(version)) if u32::from_be_bytes(version) == FORMAT_VERSION => Ok(self.view.applied),
            Some(Ok(version)) => Err(Error::new(
                Kind::Unprocessable,
                format!(
                    "the base has format {}; this program knows {FORMAT_VERSION}: run the program that wrote it",
                    u32::from_be_bytes(version)
                ),
            )
            .code("unknown_format")),
            _ => Err(Error::damaged("the base has no format version")),
        }
    }
}

impl Drop for Base {
    /// A base that was not closed was not meant to be: what is not durable comes again from the log.
    fn drop(&mut self) {
        self.shut(false);
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("applied", &self.view.applied).finish_non_exhaustive()
    }
}

pub(super) type Table<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;
pub(super) type Outcome = std::result::Result<(), redb::Error>;

pub(super) fn put_applied(table: &mut Table<'_>, applied: Applied) -> Outcome {
    // A postcard of plain numbers into a growing buffer has no way to fail.
    let bytes = postcard::to_stdvec(&applied).unwrap_or_default();
    table.insert(key::APPLIED, &bytes[..])?;
    Ok(())
}

pub(super) fn put_layer(table: &mut Table<'_>, layer: &Layer) -> Outcome {
    for (key, value) in layer.iter() {
        match value {
            Some(value) => drop(table.insert(&key[..], &value[..])?),
            None => drop(table.remove(&key[..])?),
        }
    }
    Ok(())
}

fn open_file(disk: &dyn Disk, path: &Path, cache_bytes: usize) -> Result<Base> {
    let io = |error| Error::io(path.display(), error);
    let file = disk.open(path, Open::Write).map_err(io)?;
    // redb would begin anew.
    if file.is_empty().map_err(io)? {
        return Err(Error::damaged(format!("{} is empty; rebuild it from a snapshot and the log", path.display())));
    }
    let shared = Arc::new(Shared::default());
    let backend = Arc::new(Backend::new(file.clone(), shared.clone()).map_err(io)?);
    let lent = Lent(backend.clone());
    let opened = guarded(&shared, || Ok(Database::builder().set_cache_size(cache_bytes).create_with_backend(lent)?));
    let handle = Arc::new(Handle::new(opened.inspect_err(|_| shared.refuse())?, &shared));
    let warm = Arc::new(Warm::new((cache_bytes / 2).min(limits::BASE_ROWS_BYTES)));
    let view = BaseView::of(&handle, &shared, &warm, FlushNumber::default())?;
    Ok(Base { handle, shared, file, backend, view: Arc::new(view) })
}

/// Runs redb and gives its errors our meaning. A panic in it (it asserts what it reads from its pages) is damage.
pub(super) fn guarded<T>(shared: &Shared, run: impl FnOnce() -> std::result::Result<T, redb::Error>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(meaning(shared, error)),
        Err(_) => {
            shared.mark_damaged();
            Err(Error::damaged(
                "the base is not what was written: redb gave up on it; rebuild it from a snapshot and the log",
            ))
        }
    }
}

fn meaning(shared: &Shared, error: redb::Error) -> Error {
    let malformed = match &error {
        redb::Error::Io(error) => matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
        redb::Error::Corrupted(_) | redb::Error::TableDoesNotExist(_) | redb::Error::UpgradeRequired(_) => true,
        _ => false,
    };
    if malformed || shared.is_damaged() {
        shared.mark_damaged();
        let what = format!("the base is not what was written ({error}); rebuild it from a snapshot and the log");
        return Error::damaged(what).source(error);
    }
    match error {
        redb::Error::Io(error) => Error::io("the base", error),
        error => Error::internal(format!("the base: {error}")).source(error),
    }
}
