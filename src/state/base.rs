//! The base: the bottom layer, in redb, on a backend that checks what it reads. One table of byte keys and values.
//!
//! Invariants: one owner writes, by `&mut self`; what a transaction applies and the position it reaches are in the same
//! transaction; no error or panic of redb passes as an answer. A base that failed is never written again: its backend
//! refuses, since redb writes when it is dropped.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::{AccessGuard, Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, DatabaseId, Position};
use crate::limits;
use crate::state::backend::{Backend, Shared};
use crate::state::key;
use crate::state::layer::Layer;
use crate::state::warm::{FlushNumber, Warm};
use crate::time::Millis;

/// Name of the base's file.
const FILE: &str = "base";
/// Name of a base that is being made.
const FILE_NEW: &str = "base.new";
/// Name of a base that was found damaged; the one before it is replaced.
const FILE_ASIDE: &str = "base.damaged";
const FORMAT_VERSION: u32 = 1;
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("state");

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

/// Keys and values to fill a base with.
pub type Pairs<'a> = dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> + 'a;

/// The bottom layer.
pub struct Base {
    /// `None` once closed.
    database: Option<Database>,
    shared: Arc<Shared>,
    file: Arc<dyn DiskFile>,
    view: Arc<BaseView>,
}

/// The base at one moment: a read transaction with its table open. Reading never blocks. Held for long it keeps redb
/// from using freed pages again.
pub struct BaseView {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    applied: Applied,
    shared: Arc<Shared>,
    warm: Arc<Warm>,
    flush: FlushNumber,
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
            create(disk, dir, Applied::default(), &mut std::iter::empty())?;
        }
        // A making that was cut short.
        remove_if_there(disk, &dir.join(FILE_NEW))?;
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
        create(disk, dir, applied, pairs)
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
            for (key, value) in layer.iter() {
                match value {
                    Some(value) => drop(table.insert(&key[..], &value[..])?),
                    None => drop(table.remove(&key[..])?),
                }
            }
            put_applied(table, applied)
        })
    }

    /// Makes all that was applied durable, so that a crash afterwards needs no repair.
    ///
    /// # Errors
    /// As [`Base::apply`].
    pub fn checkpoint(&mut self) -> Result<()> {
        let applied = self.view.applied;
        self.write(self.view.flush, Durability::Immediate, |table| put_applied(table, applied))
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

    /// Bytes written to the file since the last checkpoint.
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
        let database = self.database.take();
        let _: Result<()> = guarded(&self.shared, || {
            drop(database);
            Ok(())
        });
    }

    fn write(
        &mut self,
        flush: FlushNumber,
        durability: Durability,
        fill: impl FnOnce(&mut Table<'_>) -> Outcome,
    ) -> Result<()> {
        let Some(database) = &self.database else {
            return Err(Error::internal("the base is closed"));
        };
        let result = guarded(&self.shared, || {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(durability)?;
            transaction.set_quick_repair(matches!(durability, Durability::Immediate));
            fill(&mut transaction.open_table(TABLE)?)?;
            transaction.commit()?;
            BaseView::of(database, &self.shared, &self.view.warm, flush)
        });
        match result {
            Ok(view) => self.view = Arc::new(view),
            Err(error) => {
                self.shared.refuse();
                return Err(error);
            }
        }
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
        if self.database.is_some() {
            self.shut(false);
        }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("applied", &self.view.applied).finish_non_exhaustive()
    }
}

type Table<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;
type Outcome = std::result::Result<(), redb::Error>;

fn put_applied(table: &mut Table<'_>, applied: Applied) -> Outcome {
    // A postcard of plain numbers into a growing buffer has no way to fail.
    let bytes = postcard::to_stdvec(&applied).unwrap_or_default();
    table.insert(key::APPLIED, &bytes[..])?;
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
    let backend = Backend::new(file.clone(), shared.clone()).map_err(io)?;
    let opened = guarded(&shared, || {
        let database = Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)?;
        let warm = Arc::new(Warm::new((cache_bytes / 2).min(limits::BASE_ROWS_BYTES)));
        let view = BaseView::of(&database, &shared, &warm, FlushNumber::default())?;
        Ok((database, view))
    });
    match opened {
        Ok((database, view)) => Ok(Base { database: Some(database), shared, file, view: Arc::new(view) }),
        Err(error) => {
            shared.refuse();
            Err(error)
        }
    }
}

/// Makes a base under another name and gives it its own when it is whole: redb refuses for ever a file whose very first
/// commit was cut off.
fn create(disk: &dyn Disk, dir: &Path, applied: Applied, pairs: &mut Pairs<'_>) -> Result<()> {
    let new: PathBuf = dir.join(FILE_NEW);
    let io = |error| Error::io(new.display(), error);
    remove_if_there(disk, &new)?;
    let file = disk.open(&new, Open::CreateNew).map_err(io)?;
    let shared = Arc::new(Shared::default());
    shared.leave_unsynced();
    let backend = Backend::new(file.clone(), shared.clone()).map_err(io)?;
    let mut cut_short = None;
    let filled = guarded(&shared, || {
        let database = Database::builder().set_cache_size(limits::BASE_CACHE_BYTES).create_with_backend(backend)?;
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(TABLE)?;
            table.insert(key::FORMAT, &FORMAT_VERSION.to_be_bytes()[..])?;
            put_applied(&mut table, applied)?;
            for pair in pairs {
                match pair {
                    Ok((key, value)) => drop(table.insert(&key[..], &value[..])?),
                    Err(error) => {
                        cut_short = Some(error);
                        break;
                    }
                }
            }
        }
        if cut_short.is_some() {
            shared.refuse();
            return Ok(());
        }
        transaction.commit()?;
        Ok(database.close()?)
    });
    if let Some(error) = cut_short {
        return Err(error);
    }
    filled?;
    file.sync_data().map_err(io)?;
    disk.rename(&new, &dir.join(FILE)).map_err(io)?;
    disk.sync_dir(dir).map_err(io)
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path.display(), error)),
        _ => Ok(()),
    }
}

impl BaseView {
    fn of(
        database: &Database,
        shared: &Arc<Shared>,
        warm: &Arc<Warm>,
        flush: FlushNumber,
    ) -> std::result::Result<BaseView, redb::Error> {
        let transaction: ReadTransaction = database.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        let applied = match table.get(key::APPLIED)? {
            Some(bytes) => postcard::from_bytes(bytes.value()).ok(),
            None => None,
        };
        let applied = applied.ok_or_else(|| redb::Error::Corrupted("no applied position".to_owned()))?;
        Ok(BaseView { table, applied, shared: shared.clone(), warm: warm.clone(), flush })
    }

    /// How far it reaches.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let is_row = key::is_row(key);
        if is_row && let Some(value) = self.warm.get(key, self.flush) {
            return Ok(Some(value));
        }
        let read = || Ok(self.table.get(key)?.map(|value| Bytes::copy_from_slice(value.value())));
        let value = guarded(&self.shared, read)?;
        if is_row && let Some(value) = &value {
            self.warm.keep(key, self.flush, value);
        }
        Ok(value)
    }

    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Result<BaseRange> {
        let range = guarded(&self.shared, || Ok(self.table.range::<&[u8]>(from..to)?))?;
        Ok(BaseRange { range, shared: self.shared.clone() })
    }
}

impl fmt::Debug for BaseView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseView").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// A part of the base, from either end.
pub(super) struct BaseRange {
    range: redb::Range<'static, &'static [u8], &'static [u8]>,
    shared: Arc<Shared>,
}

impl BaseRange {
    pub(super) fn step(&mut self, backwards: bool) -> Result<Option<BasePair>> {
        let range = &mut self.range;
        guarded(&self.shared, || {
            let next = if backwards { range.next_back() } else { range.next() };
            Ok(next.transpose()?.map(|(key, value)| BasePair { key, value }))
        })
    }
}

/// A key and its value on a page of the base.
pub(super) struct BasePair {
    key: AccessGuard<'static, &'static [u8]>,
    value: AccessGuard<'static, &'static [u8]>,
}

impl BasePair {
    pub(super) fn key(&self) -> &[u8] {
        self.key.value()
    }

    pub(super) fn value(&self) -> &[u8] {
        self.value.value()
    }
}

/// Runs redb and gives its errors our meaning. A panic in it (it asserts what it reads from its pages) is damage.
fn guarded<T>(shared: &Shared, run: impl FnOnce() -> std::result::Result<T, redb::Error>) -> Result<T> {
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
