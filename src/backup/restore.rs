//! A folder made of a backup and, where there is an archive, of the log behind it up to a moment.
//!
//! Where the archive has two histories behind an entry (something was restored there before) it goes on with the later
//! epoch, unless that began only after the moment that is asked for. Invariants: the folder must be empty; until it is
//! whole, its note of the role says that it takes no writes, and whoever starts it is told so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Part, parts};
use super::store::copy;
use crate::core::{self, Opened, Reign, Role};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Kind, Result};
use crate::id::{Position, Seq};
use crate::limits;
use crate::log::{self, Witness};
use crate::state::snapshot;
use crate::time::Millis;

/// Up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All that there is.
    End,
    /// An entry.
    Seq(Seq),
    /// The last entry that was written by then.
    Time(Millis),
}

/// What a folder is to be made of.
#[derive(Clone, Debug)]
pub struct Restore {
    /// A snapshot.
    pub backup: Arc<dyn DiskFile>,
    /// A folder of the log behind it.
    pub archive: Option<PathBuf>,
    /// Up to where of that.
    pub until: Until,
}

/// What it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The last entry of the backup.
    pub backup: Position,
    /// The last entry of the old history that is in it.
    pub last: Position,
    /// The entry that begins the new one.
    pub begun: Position,
}

/// Makes the folder `dir`.
///
/// # Errors
/// `Conflict` with code `folder_not_empty`; `Invalid` with code `before_the_backup` for a moment before the backup,
/// `not_archived` for an entry behind the archive's end; `Damaged` for a backup or an archive that is not whole; the disk's.
pub fn restore(disk: &Arc<dyn Disk>, dir: &Path, settings: &core::Settings, what: &Restore) -> Result<Restored> {
    let io = |error| Error::io(dir.display(), error);
    disk.create_dir_all(dir).map_err(io)?;
    if !disk.list(dir).map_err(io)?.is_empty() {
        let message = format!("{} is not empty: name a new folder", dir.display());
        return Err(Error::new(Kind::Conflict, message).code("folder_not_empty"));
    }
    let applied = snapshot::read_header(&mut crate::disk::Stream::new(what.backup.clone()))?.applied;
    let before = match what.until {
        Until::End => false,
        Until::Seq(seq) => seq < applied.position.seq,
        Until::Time(time) => time < applied.time,
    };
    if before {
        let message = format!("the backup holds all up to {} already: take an older one", applied.position);
        return Err(Error::invalid(message).code("before_the_backup"));
    }
    let note = |role, epoch| {
        let (fleet, broken, rejoined) = (Vec::new(), false, None);
        Reign { role, epoch, followed: None, primary: None, fleet, broken, rejoined }.store(&**disk, dir)
    };
    note(Role::Fenced, applied.position.epoch.counter)?;
    copy(&**disk, &what.backup, &core::incoming(dir))?;
    core::sow(&**disk, dir)?;
    let follow = core::Settings { role: Role::Follower, ..settings.clone() };
    let Opened { mut writer, mut applier, lock, .. } = core::open(disk.clone(), dir, &follow)?;
    let mut newest = applied.position.epoch.counter;
    if let Some(archive) = &what.archive {
        let mut ranked = Vec::new();
        for part in parts(&**disk, archive, Some(applied.database))? {
            let (all, by_then) = part.epochs(&**disk, what.until)?;
            newest = newest.max(all);
            ranked.push((by_then, part));
        }
        replay(&**disk, ranked, what.until, &mut writer, &mut applier)?;
    }
    let last = writer.position();
    if let Until::Seq(seq) = what.until
        && last.seq < seq
    {
        return Err(Error::invalid(format!("the backup and the archive end at {last}")).code("not_archived"));
    }
    let begun = writer.begin(newest, applied.time)??;
    while let Some(flush) = writer.freeze(true) {
        writer.adopt(applier.apply(&flush)?);
    }
    applier.close(true)?;
    writer.close()?;
    note(Role::Primary, begun.epoch.counter)?;
    drop(lock);
    Ok(Restored { backup: applied.position, last, begun })
}

/// Logs what the archive has behind the writer's end: its files, each with the highest epoch that it came into by then.
fn replay(
    disk: &dyn Disk,
    mut fitting: Vec<(u32, Part)>,
    until: Until,
    writer: &mut core::Writer,
    applier: &mut core::Applier,
) -> Result<()> {
    fitting.retain(|(_, part)| part.first.is_some_and(|first| !until.is_before(&first)));
    // The later history first. One that was cut begins as early.
    fitting.sort_by_key(|(epoch, part)| std::cmp::Reverse((*epoch, part.before.position.seq)));
    let mut at = writer.position().seq;
    loop {
        for (epoch, part) in &fitting {
            if part.before.position.seq > at {
                continue;
            }
            // Where a later history leaves this one, it goes on in that.
            let later = fitting.iter().filter(|(other, part)| other > epoch && part.before.position.seq > at);
            let through = later.map(|(_, other)| other.before.position.seq).min();
            log_part(&part.frames(disk)?, until, through, writer, applier)?;
            if writer.position().seq > at {
                break;
            }
        }
        if writer.position().seq == at {
            // What is there and fits, and can't be reached, is told.
            let behind = fitting.iter().any(|(_, part)| part.before.position.seq > at);
            return if behind { Err(gap(at)) } else { Ok(()) };
        }
        at = writer.position().seq;
    }
}

/// Logs the frames that go on from the writer's end, up to the moment and up to `through`.
fn log_part(
    frames: &[u8],
    until: Until,
    through: Option<Seq>,
    writer: &mut core::Writer,
    applier: &mut core::Applier,
) -> Result<()> {
    let at = writer.position().seq;
    let mut group: Vec<u8> = Vec::new();
    let mut all = log::split(frames).peekable();
    while let Some(split) = all.next() {
        let (witness, frame) = split?;
        let over = until.is_before(&witness) || through.is_some_and(|through| witness.position.seq > through);
        if !over && witness.position.seq > at {
            group.extend_from_slice(frame);
        }
        if over || all.peek().is_none() || group.len() >= limits::SHIPMENT_BYTES {
            match writer.ingest(&std::mem::take(&mut group))? {
                Ok(_) => {}
                // Of another history.
                Err(error) if error.code_str() == "diverged" => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(flush) = writer.freeze(false) {
                writer.adopt(applier.apply(&flush)?);
            }
        }
        if over {
            return Ok(());
        }
    }
    Ok(())
}

fn gap(at: Seq) -> Error {
    let message =
        format!("the archive has nothing that goes on from entry {at}, and more behind it: restore to there with --at");
    Error::damaged(message).code("archive_gap")
}

impl Until {
    /// Whether an entry lies behind it.
    pub(super) fn is_before(self, entry: &Witness) -> bool {
        match self {
            Until::End => false,
            Until::Seq(seq) => entry.position.seq > seq,
            Until::Time(time) => entry.time > time,
        }
    }
}
