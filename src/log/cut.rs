//! Taking entries off a log's end that another history has in their place: a server's own, which nobody else has.
//!
//! Invariant: the entry behind which it is cut is found and its chain compared before anything goes; the newest goes first,
//! so that what a power loss leaves is always a log, and one that is cut to the same by doing it again.

use std::path::Path;

use super::recovery::{remove_leftovers, rewrite};
use super::segment::{self, Header};
use super::walk::{Step, Walk};
use super::{Origin, Settings};
use crate::disk::Disk;
use crate::error::{Error, Result};

/// Removes all entries behind `last` from the log in `dir`, which must not be open.
///
/// # Errors
/// `Damaged`, with nothing changed, where the log has no such entry; `NoSpace`; the disk's.
pub fn cut(disk: &dyn Disk, dir: &Path, settings: Settings, last: Origin) -> Result<()> {
    let missing = |why: &str| Error::damaged(format!("the log can't be cut behind {}: {why}", last.position));
    remove_leftovers(disk, dir)?;
    let names = segment::list(disk, dir)?;
    let mut keep = names.len();
    // The first of all may begin just behind the entry.
    while keep > 1 && segment::load_header(disk, dir, &names[keep - 1])?.first > last.position.seq {
        keep -= 1;
    }
    let name = keep.checked_sub(1).map(|at| &names[at]).ok_or_else(|| missing("there is none"))?;
    let (header, bytes) = segment::load(disk, dir, name)?;
    let mut walk = Walk::new(&header);
    let mut frames: Vec<&[u8]> = Vec::new();
    while walk.last.seq < last.position.seq {
        let from = walk.at;
        match walk.step(&bytes) {
            Step::Mark(_) => {}
            Step::Entry(..) => frames.push(&bytes[from..walk.at]),
            Step::End(_) => return Err(missing("it ends before it")),
        }
    }
    if (header.database, walk.last, walk.chain) != (last.database, last.position, last.chain) {
        return Err(missing("it has another entry there"));
    }
    for name in names[keep..].iter().rev() {
        let gone = disk.remove(&dir.join(name)).and_then(|()| disk.sync_dir(dir));
        gone.map_err(|error| segment::io_error("removing", name, error))?;
    }
    let length = frames.iter().map(|frame| frame.len()).sum();
    let bytes = segment::bytes_for(settings.first_segment_bytes, length);
    let header = Header { bytes, durable: last.position.seq, ..header };
    rewrite(disk, dir, header, &frames).map(drop).map_err(|error| segment::io_error("writing", name, error))
}
