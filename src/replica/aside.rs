//! What only this server had, set aside before it takes another history: a folder `diverged-POSITION` with a log of those
//! entries in it, to be read with `millpond log print`.
//!
//! Invariant: it is whole and synced before anything of the server's own is given up; done again, it is the same.

use std::path::PathBuf;
use std::sync::Arc;

use crate::core::{Core, log_dir};
use crate::error::{Error, Kind, Result};
use crate::id::Seq;
use crate::limits;
use crate::log::{self, Genesis, Origin};

/// Sets the entries behind `fork` aside; the folder, if there are any.
///
/// # Errors
/// `Gone` where the log does not reach back to the fork; `NoSpace`; the disk's.
pub(super) fn set_aside(core: &Core, fork: Seq) -> Result<Option<PathBuf>> {
    let own = core.view().position;
    let fork = fork.max(core.log().first_seq().before());
    if own.seq <= fork {
        return Ok(None);
    }
    let (disk, dir) = core.folder();
    let aside = dir.join(format!("diverged-{own}"));
    let identity = core.identity();
    let witness = core.log().witness(fork)?.ok_or_else(|| Error::internal("the log has no such entry"))?;
    let origin = Origin { database: identity.database, position: witness.position, chain: witness.chain };
    let free = disk.free_bytes(dir).map_err(|error| Error::io(dir.display(), error))?;
    let needed = core.log().bytes_behind(fork) + log::Settings::default().segment_bytes;
    if free < needed + limits::SPOOL_HEADROOM_BYTES {
        return Err(Error::new(Kind::NoSpace, "the disk has too little room to set aside what only this server has"));
    }
    disk.create_dir_all(&aside).map_err(|error| Error::io(aside.display(), error))?;
    let folder = log_dir(&aside);
    log::plant(&**disk, &folder, log::Settings::default(), origin)?;
    let genesis = Genesis { database: identity.database, node: identity.node };
    let (mut writer, _, _) = log::open(Arc::clone(disk), &folder, log::Settings::default(), genesis, fork)?;
    let mut after = fork;
    while after < own.seq {
        let shipment = core.log().ship(after, limits::SHIPMENT_BYTES)?;
        for shipped in log::unpack(&shipment.frames)? {
            after = shipped.position.seq;
            writer.stage_shipped(&shipped, Arc::new(shipped.entry.clone()))?;
        }
        writer.commit()?;
        writer.publish();
    }
    writer.close()?;
    disk.sync_dir(dir).map_err(|error| Error::io(aside.display(), error))?;
    tracing::warn!(folder = %aside.display(), %own, fork = fork.0, "what only this server had is set aside");
    Ok(Some(aside))
}
