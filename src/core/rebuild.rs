//! The base of a folder as a start finds it, or a new one in its place: from the log, or from the local snapshot and
//! the log after it.
//!
//! Invariant: the base that is handed on joins the log, or there is none: a gap is refused with its remedy.

use std::path::Path;
use std::sync::Arc;

use super::Settings;
use super::ballast::Ballast;
use super::local::{self, Snapshot};
use crate::disk::Disk;
use crate::error::{Error, Kind, Result};
use crate::id::{DatabaseId, Seq};
use crate::log;
use crate::state::{Applied, Base};

/// A folder whose base is wanted.
pub(super) struct Folder<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) dir: &'a Path,
    pub(super) settings: &'a Settings,
    pub(super) database: DatabaseId,
}

impl Folder<'_> {
    /// The base, and what it holds.
    ///
    /// # Errors
    /// `Damaged`, naming the remedy, when the tables can't be rebuilt; the disk's.
    pub(super) fn base(&self, ballast: &mut Ballast) -> Result<(Base, Applied)> {
        local::remove_leftover(&**self.disk, self.dir)?;
        let (base, applied) = self.open_or_empty()?;
        let Some(first) = log::first_seq(&**self.disk, &super::log_dir(self.dir))? else { return Ok((base, applied)) };
        let joins = applied.position.seq.next() >= first;
        if joins && applied.position.seq > Seq::ZERO {
            return Ok((base, applied));
        }
        // Empty tables: the snapshot saves the replay of what is in it, even where the log goes back to its begin.
        let why = match self.snapshot_from(first) {
            Ok(snapshot) => {
                base.close(false)?;
                match self.load(snapshot, ballast) {
                    Err(error) if joins && error.kind() == Kind::Damaged => {
                        tracing::error!(%error, "the tables are built anew from the log alone");
                        return self.open();
                    }
                    Err(error) if error.kind() == Kind::Damaged => error,
                    loaded => return loaded,
                }
            }
            Err(_) if joins => return Ok((base, applied)),
            Err(why) => why,
        };
        let (from, message) = (applied.position.seq, why.message());
        let what = format!(
            "the tables hold everything up to seq {from}, the log begins at seq {first}, and what lies between is lost: \
             {message}. Restore the folder from a copy of it or a backup"
        );
        Err(Error::damaged(what).source(why))
    }

    /// Gives damaged tables another name, so that the next look makes new ones.
    pub(super) fn set_aside(&self, damaged: Base) -> Result<()> {
        // It is damaged: what its end has to say is no news.
        let _ = damaged.close(false);
        Base::set_aside(&**self.disk, self.dir)
    }

    fn open(&self) -> Result<(Base, Applied)> {
        let opened = Base::open(&**self.disk, self.dir, self.settings.cache_bytes)?;
        Ok((opened.base, opened.applied))
    }

    fn open_or_empty(&self) -> Result<(Base, Applied)> {
        match self.open() {
            Err(error) if error.kind() == Kind::Damaged => {
                tracing::error!(%error, "the tables are damaged: they are set aside and built anew from the log");
                Base::set_aside(&**self.disk, self.dir)?;
                self.open()
            }
            opened => opened,
        }
    }

    /// The snapshot, if the log goes on from it or from before it; `first` is its first entry.
    fn snapshot_from(&self, first: Seq) -> Result<Snapshot> {
        match local::find(&**self.disk, self.dir)? {
            Some(snapshot) if snapshot.seq.next() >= first => Ok(snapshot),
            Some(snapshot) => Err(Error::damaged(format!("the snapshot reaches only to seq {}", snapshot.seq))),
            None => Err(Error::damaged("there is no snapshot that holds it")),
        }
    }

    /// Puts what the snapshot holds in the place of the base.
    fn load(&self, snapshot: Snapshot, ballast: &mut Ballast) -> Result<(Base, Applied)> {
        let header = match local::load(&**self.disk, self.dir) {
            Err(error) if error.kind() == Kind::NoSpace && ballast.release() => local::load(&**self.disk, self.dir)?,
            loaded => loaded?,
        };
        if header.applied.database != self.database {
            // Away with it: the next start must not take it for this folder's.
            Base::set_aside(&**self.disk, self.dir)?;
            return Err(Error::damaged("the snapshot is another database's"));
        }
        tracing::warn!(seq = snapshot.seq.0, "the tables are built anew from the snapshot and the log after it");
        self.open()
    }
}
