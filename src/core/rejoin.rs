//! Going on in another history from where this server has left it: what only its log has is cut off, and its tables, which
//! have not come so far durably, go on from there.
//!
//! ```text
//! rejoining.json   from here on the log is what it was up to that entry, whatever else lies in it
//! ```
//!
//! Invariants: what is cut off was set aside before; the writer makes the note and logs nothing behind it, so that nothing
//! acknowledged goes with the cut; beginning an epoch on a folder that was left so removes the note first. While it is there the
//! tables are not made durable any more, and a follower's next start cuts the log before it reads it, or, where the tables have
//! come further all the same, forgets the note. A power loss anywhere leads to the old log or the cut one.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::order::{Leaving, Order, PAST_THE_FORK};
use super::{Core, Reign, Role, Settings, local, log_dir, notes};
use crate::disk::Disk;
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, DatabaseId, Position, Seq};
use crate::log;
use crate::state::Base;

const NOTE: &str = "rejoining.json";

/// Behind which entry the log is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    database: DatabaseId,
    position: Position,
    chain: Chain,
    /// Some of what lies behind it may be gone already: every start goes on with that.
    #[serde(default)]
    begun: bool,
}

impl Note {
    fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        notes::store(disk, dir, NOTE, self)
    }
}

impl Core {
    /// Has the next start go on from the entry `fork`, if the tables are not durably past it and the log has it; whether it
    /// will. What lies behind it goes. From then on nothing is logged.
    ///
    /// # Errors
    /// `Conflict` with code `not_a_follower`; the log's, the disk's: then nothing has changed.
    pub async fn sow_cut(&self, fork: Seq) -> Result<bool> {
        let witness = match self.log().witness(fork) {
            Err(error) if error.kind() == Kind::Gone => None,
            found => found?,
        };
        let Some(log::Witness { position, chain, .. }) = witness.filter(|_| fork > Seq::ZERO) else { return Ok(false) };
        let last = log::Origin { database: self.identity().database, position, chain };
        match self.order(Order::Leave(Leaving::Cut(last))).await {
            Err(error) if error.code_str() == PAST_THE_FORK => Ok(false),
            left => left.map(|_| true),
        }
    }
}

/// Has the next start of a follower cut the log behind an entry of it.
pub(super) fn sow(disk: &dyn Disk, dir: &Path, last: log::Origin) -> Result<()> {
    let log::Origin { database, position, chain } = last;
    Note { database, position, chain, begun: false }.store(disk, dir)
}

/// Cuts the log as a note asks for, if there is one. Where that can't be, the log stays, and what this server is to its
/// primary is noted: it takes a snapshot of it. Who does not follow goes on with what was begun, and begins nothing: a primary
/// keeps its log as it is and forgets the note, and another server leaves both as they are. Whether the note is still there.
///
/// # Errors
/// `Damaged` for a note that can't be read; `NoSpace`; the disk's.
pub(super) fn go_on(disk: &dyn Disk, dir: &Path, settings: &Settings) -> Result<bool> {
    let Some(note) = notes::load::<Note>(disk, dir, NOTE)? else { return Ok(false) };
    match settings.role {
        Role::Primary if !note.begun => return forget(disk, dir).map(|()| false),
        Role::Fenced if !note.begun => return Ok(true),
        _ => {}
    }
    let position = note.position;
    let failed = match cut(disk, dir, settings, note) {
        Err(error) if error.kind() == Kind::Damaged => Some(error),
        done => done.map(|()| None)?,
    };
    match &failed {
        // The follower that it is makes a new folder.
        Some(error) => {
            tracing::error!(%error, %position, "the log is not cut where this server left its primary's history")
        }
        None => {
            tracing::warn!(%position, "the log is cut where this server left its primary's history, and goes on there")
        }
    }
    if let Some(known) = Reign::load(disk, dir)? {
        Reign { broken: failed.is_some(), ..known }.store(disk, dir)?;
    }
    forget(disk, dir).map(|()| false)
}

fn cut(disk: &dyn Disk, dir: &Path, settings: &Settings, note: Note) -> Result<()> {
    let Note { database, position, chain, .. } = note;
    if !joins(disk, dir, settings, position.seq)? {
        return Err(Error::damaged("the tables don't go on from there"));
    }
    Note { begun: true, ..note }.store(disk, dir)?;
    // A snapshot holds what goes; the next one is taken of what comes.
    if local::find(disk, dir).map_or(true, |found| found.is_some_and(|snapshot| snapshot.seq > position.seq)) {
        notes::remove(disk, dir, &local::path(dir))?;
    }
    log::cut(disk, &log_dir(dir), settings.log, log::Origin { database, position, chain })
}

/// Forgets a note, if there is one: the folder is made of a snapshot, or its server goes on from the log as it is.
pub(super) fn forget(disk: &dyn Disk, dir: &Path) -> Result<()> {
    notes::remove(disk, dir, &dir.join(NOTE))
}

/// Whether the tables are sound, not past the entry, and reach to the log's begin: then they need nothing else.
fn joins(disk: &dyn Disk, dir: &Path, settings: &Settings, fork: Seq) -> Result<bool> {
    let opened = match Base::open(disk, dir, settings.cache_bytes) {
        Err(error) if error.kind() == Kind::Damaged => return Ok(false),
        opened => opened?,
    };
    let seq = opened.applied.position.seq;
    opened.base.close(false)?;
    let first = log::first_seq(disk, &log_dir(dir))?;
    Ok(seq <= fork && first.is_some_and(|first| first <= seq.next()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, NodeId};

    #[test]
    fn a_note_keeps_its_bytes_and_is_read_from_them() {
        let position = Position { epoch: Epoch { counter: 3, node: NodeId(0x9f3a) }, seq: Seq(7) };
        let note = Note { database: DatabaseId(u128::MAX - 1), position, chain: Chain(9), begun: true };
        let text = "{\"database\":340282366920938463463374607431768211454,\"position\":{\"epoch\":{\"counter\":3,\"node\":40762},\"seq\":7},\"chain\":9,\"begun\":true}";
        assert_eq!(serde_json::to_string(&note).unwrap(), text);
        assert_eq!(serde_json::from_str::<Note>(text).unwrap(), note);
    }
}
