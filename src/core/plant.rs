//! Making a folder of a snapshot: a new follower's, one that lost touch with its primary's history, a restored backup's.
//!
//! ```text
//! snapshot.incoming   whole, verified, synced
//! planting.json       from here on the folder is what the snapshot says, whatever else lies in it
//! ```
//!
//! Invariants: until the note is there, nothing of the folder is touched; once it is, every start goes on until the folder
//! is made, and only then the note goes. A power loss anywhere leads to the old folder or the new one. Of a running server the
//! writer makes the note, and logs nothing behind it: nothing that was answered goes with the folder unless it was given up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::order::{Leaving, Order};
use super::{Core, Identity, Lease, Settings, local, log_dir, notes};
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::id::{Chain, DatabaseId, Position};
use crate::log::{self, Witness};
use crate::state::snapshot::{self, Header};
use crate::state::{Applied, Base};

const NOTE: &str = "planting.json";
const INCOMING: &str = "snapshot.incoming";

/// What is to be done with a snapshot that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    database: DatabaseId,
    position: Position,
    chain: Chain,
    /// An epoch is begun behind it, whose counter is over this one.
    pub(super) begins_above: Option<u32>,
}

/// A snapshot that was taken of a running server.
#[derive(Debug)]
pub struct Dump {
    /// What it says of itself.
    pub header: Header,
    /// Its file's size, bytes.
    pub bytes: u64,
    /// The log is kept from there on.
    pub lease: Lease,
}

/// Where a snapshot is put that a folder is to be made of.
pub fn incoming(dir: &Path) -> PathBuf {
    dir.join(INCOMING)
}

/// Has the next start make the folder of the snapshot that lies at [`incoming`]. It is read from begin to end and synced
/// first.
///
/// # Errors
/// `Damaged` or `Unprocessable` for a snapshot that is not whole; the disk's: then nothing has changed.
pub fn sow(disk: &dyn Disk, dir: &Path) -> Result<Header> {
    let (header, note) = verified(disk, dir)?;
    note.store(disk, dir)?;
    Ok(header)
}

/// What has come, when it is whole and synced, and what is to be done with it.
fn verified(disk: &dyn Disk, dir: &Path) -> Result<(Header, Note)> {
    let path = incoming(dir);
    let file = disk.open(&path, Open::Write).map_err(|error| Error::io(path.display(), error))?;
    file.sync_data().map_err(|error| Error::io(path.display(), error))?;
    let header = snapshot::verify(&mut local::reading(file))?;
    let note = Note::of(header.applied);
    Ok((header, note))
}

impl Note {
    /// That of a snapshot which is of that moment.
    pub(super) fn of(applied: Applied) -> Note {
        let Applied { database, position, chain, .. } = applied;
        Note { database, position, chain, begins_above: None }
    }

    /// With an epoch begun behind it, whose counter is over this one: what is written there is another history than that of
    /// the server which the snapshot is of.
    pub(super) fn begin_above(self, above: u32) -> Note {
        Note { begins_above: Some(above), ..self }
    }

    /// From here on the next start makes the folder.
    pub(super) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        notes::store(disk, dir, NOTE, self)
    }
}

/// Makes the folder that a note asks for, if there is one. The note goes by [`forget`], when the folder has been opened.
///
/// # Errors
/// `Damaged` for a note or a snapshot that can't be read; the disk's.
pub(super) fn go_on(
    disk: &dyn Disk,
    dir: &Path,
    settings: &Settings,
    node: impl FnOnce() -> Result<Identity>,
) -> Result<Option<Note>> {
    let Some(note) = notes::load::<Note>(disk, dir, NOTE)? else { return Ok(None) };
    let (from, to) = (incoming(dir), local::path(dir));
    if disk.exists(&from).map_err(note_error)? {
        disk.rename(&from, &to).and_then(|()| disk.sync_dir(dir)).map_err(note_error)?;
    }
    let position = note.position;
    match local::find(disk, dir)? {
        Some(snapshot) if snapshot.seq == position.seq => {}
        _ => {
            return Err(Error::damaged(format!(
                "the snapshot that the folder is to be made of is missing: remove {}",
                dir.join(NOTE).display()
            )));
        }
    }
    tracing::info!(%position, "the folder is made of a snapshot");
    notes::remove(disk, dir, &Base::path(dir))?;
    let origin = log::Origin { database: note.database, position, chain: note.chain };
    log::plant(disk, &log_dir(dir), settings.log, origin)?;
    Identity { database: note.database, ..node()? }.write(disk, dir)?;
    Ok(Some(note))
}

/// The folder is made, or is not to be.
pub(super) fn forget(disk: &dyn Disk, dir: &Path) -> Result<()> {
    notes::remove(disk, dir, &dir.join(NOTE))
}

impl Core {
    /// The same of the folder of a running follower, which logs nothing more from then on.
    ///
    /// # Errors
    /// As [`sow`]; `Conflict` with code `not_a_follower` for a server that follows none.
    pub async fn sow(&self) -> Result<Header> {
        let (disk, dir) = self.folder();
        let (header, note) = verified(&**disk, dir)?;
        self.order(Order::Leave(Leaving::Plant(note))).await?;
        Ok(header)
    }

    /// The same of a running primary, which takes no more writes from then on, and begins an epoch behind the snapshot at its
    /// next start, if it is the primary then.
    ///
    /// # Errors
    /// As [`sow`]; `Misdirected` for a server that is no primary.
    pub async fn sow_restored(&self) -> Result<Header> {
        let (disk, dir) = self.folder();
        let (header, note) = verified(&**disk, dir)?;
        self.order(Order::Leave(Leaving::Restore(note))).await?;
        Ok(header)
    }

    /// Writes all that is now to a new file, synced. The view is let go when it is written. `ends` cuts it short.
    ///
    /// # Errors
    /// `NoSpace`; the base's; `Internal` when it had to end, or of the disk.
    pub fn dump(&self, to: &Path, ends: &dyn Fn() -> bool) -> Result<Dump> {
        let (disk, dir) = self.folder();
        let view = self.view();
        let seq = view.position.seq;
        let lease = self.leases().take(seq.next());
        let Witness { position, chain, time } = view.witness();
        let applied = Applied { database: self.identity().database, position, chain, time };
        let filled = local::fill(&Arc::clone(disk), dir, to, (&view.stack, &view.schema, applied), ends);
        let snapshot = filled.inspect_err(|_| {
            if let Err(error) = disk.remove(to) {
                tracing::debug!(%error, "a snapshot that came to nothing stays");
            }
        })?;
        let header = Header::of(&view.stack, &view.schema, applied)?;
        Ok(Dump { header, bytes: snapshot.bytes, lease })
    }
}

fn note_error(error: io::Error) -> Error {
    Error::io("making a folder of a snapshot", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, NodeId, Seq};

    /// A start may find a note that another version left.
    #[test]
    fn a_note_keeps_its_bytes_and_is_read_from_them() {
        let position = Position { epoch: Epoch { counter: 3, node: NodeId(0x9f3a) }, seq: Seq(u64::MAX) };
        let note = |begins_above| Note { database: DatabaseId(u128::MAX - 1), position, chain: Chain(7), begins_above };
        let text = |above: &str| {
            format!(
                r#"{{"database":340282366920938463463374607431768211454,"position":{{"epoch":{{"counter":3,"node":40762}},"seq":18446744073709551615}},"chain":7,"begins_above":{above}}}"#
            )
        };
        let table = [(None, text("null")), (Some(2), text("2"))];
        for (begins_above, bytes) in table {
            assert_eq!(serde_json::to_string(&note(begins_above)).unwrap(), bytes);
            assert_eq!(serde_json::from_str::<Note>(&bytes).unwrap(), note(begins_above));
        }
    }
}
