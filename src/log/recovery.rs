//! Opening a log: verify, cut or refuse, rewrite the tail, serve.
//!
//! Invariant: nothing is served from bytes that this start did not sync itself. After a failed sync the page cache may
//! show what the medium does not have; so the last segment's entries are written into a new file, synced and put in
//! its place. A power loss anywhere in here leaves a folder that opens to the same entries.

use std::path::Path;
use std::sync::Arc;

use super::reader::Reader;
use super::ring::Shared;
use super::segment::{self, Header};
use super::spare::{self, Spares};
use super::walk::{self, Cut, Walk};
use super::writer::{self, Writer};
use super::{Genesis, Settings};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::id::{Chain, DatabaseId, Epoch, Position, Seq};
use crate::time::Millis;

/// What opening a log has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Whose log it is.
    pub database: DatabaseId,
    /// The first entry that is kept (the next one to be written, in an empty log).
    pub first: Seq,
    /// The last entry; seq 0 in an empty log.
    pub last: Position,
    /// The latest time of the entries from the witness's segment on; zero if there are none.
    pub time: Millis,
    /// The chain after the last entry.
    pub chain: Chain,
    /// The chain after the witness, to be compared with what the witness knows.
    pub chain_at_witness: Chain,
    /// What was cut off the end, if anything.
    pub cut: Option<Cut>,
    /// Segments of the log.
    pub segments: usize,
}

/// What was found out about a folder before anything in it was changed.
struct Found {
    headers: Vec<Header>,
    tail: walk::Tail,
    tail_bytes: Vec<u8>,
    chain_at_witness: Chain,
    time: Millis,
}

/// Opens the log in `dir`, or begins one there. `witness` is a seq that is known to have been durable: what the state
/// beside the log has applied. Entries after it are verified now, older segments by their headers.
///
/// # Errors
/// `Damaged`, with nothing changed, for damage at or before the witness or a durable mark, a missing segment, a newer
/// format; `NoSpace`; the disk's.
pub fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    settings: Settings,
    genesis: Genesis,
    witness: Seq,
) -> Result<(Writer, Reader, Recovery)> {
    disk.create_dir_all(dir).map_err(|error| Error::io(format_args!("making {}", dir.display()), error))?;
    let names = segment::list(&*disk, dir)?;
    let found = if names.is_empty() { begin(genesis, witness)? } else { examine(&*disk, dir, &names, witness)? };
    remove_leftovers(&*disk, dir)?;

    let walk::Tail { end, entries, cut } = found.tail;
    if let Some(Cut { segment, offset, seq, bytes, why }) = &cut {
        tracing::warn!(%segment, offset, seq = seq.0, bytes, why, "cut a torn batch, never confirmed, off the log");
    }
    let last_header = *found.headers.last().expect("a log has a segment");
    let frames: Vec<&[u8]> = entries.into_iter().map(|range| &found.tail_bytes[range]).collect();
    let bytes = segment::bytes_for(settings.first_segment_bytes, frames.iter().map(|piece| piece.len()).sum());
    let rewritten = rewrite(&*disk, dir, Header { bytes, durable: end.last.seq, ..last_header }, &frames);
    let tail = rewritten.map_err(|error| segment::io_error("writing", &segment::name_of(last_header.first), error))?;

    let segments: Vec<Seq> = found.headers.iter().map(|header| header.first).collect();
    let recovery = Recovery {
        database: last_header.database,
        first: segments[0],
        last: end.last,
        time: found.time,
        chain: end.chain,
        chain_at_witness: found.chain_at_witness,
        cut,
        segments: segments.len(),
    };
    let spares = Spares::new(disk.clone(), dir, settings.segment_bytes);
    let shared = Shared::new(disk, dir.to_owned(), &settings, segments, end.last);
    let writer = Writer::new(shared.clone(), spares, tail, end.last, end.chain);
    Ok((writer, Reader(shared), recovery))
}

/// Where a log begins that goes on from a state which another server's log made.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Whose log it is.
    pub database: DatabaseId,
    /// The last entry that is in the state.
    pub position: Position,
    /// The chain after it.
    pub chain: Chain,
}

/// Removes the log in `dir`, if there is one, and begins another there, whose first entry follows `origin`. A power loss
/// leaves no segment, or those that there were up to one of them, or the new one.
///
/// # Errors
/// `NoSpace`; the disk's.
pub fn plant(disk: &dyn Disk, dir: &Path, settings: Settings, origin: Origin) -> Result<()> {
    disk.create_dir_all(dir).map_err(|error| Error::io(format_args!("making {}", dir.display()), error))?;
    remove_leftovers(disk, dir)?;
    // The newest first: what is left is always a log.
    for name in segment::list(disk, dir)?.iter().rev() {
        disk.remove(&dir.join(name)).map_err(|error| segment::io_error("removing", name, error))?;
        disk.sync_dir(dir).map_err(|error| segment::io_error("removing", name, error))?;
    }
    let Origin { database, position, chain } = origin;
    let header = Header {
        database,
        epoch: position.epoch,
        first: position.seq.next(),
        previous: Seq::ZERO,
        bytes: segment::bytes_for(settings.first_segment_bytes, 0),
        chain,
        durable: position.seq,
    };
    let begun = rewrite(disk, dir, header, &[]);
    begun.map_err(|error| segment::io_error("writing", &segment::name_of(header.first), error))?;
    Ok(())
}

fn begin(genesis: Genesis, witness: Seq) -> Result<Found> {
    if witness > Seq::ZERO {
        return Err(Error::damaged(format!(
            "the log's segments are missing, while the state kept beside the log has applied entries up to seq \
             {witness}. Nothing was changed. Restore the folder from a copy of it or a backup"
        )));
    }
    let header = Header {
        database: genesis.database,
        epoch: Epoch { counter: 1, node: genesis.node },
        first: Seq(1),
        previous: Seq::ZERO,
        bytes: 0,
        chain: Chain::default(),
        durable: Seq::ZERO,
    };
    let tail = walk::Tail { end: Walk::new(&header), entries: Vec::new(), cut: None };
    Ok(Found {
        headers: vec![header],
        tail,
        tail_bytes: Vec::new(),
        chain_at_witness: header.chain,
        time: Millis::default(),
    })
}

/// Verifies a folder, and changes nothing.
fn examine(disk: &dyn Disk, dir: &Path, names: &[String], witness: Seq) -> Result<Found> {
    let headers = names.iter().map(|name| segment::load_header(disk, dir, name)).collect::<Result<Vec<Header>>>()?;
    headers.windows(2).try_for_each(|pair| walk::check_follows(&pair[0], &pair[1]))?;
    if witness < headers[0].before_first() {
        let what = format!("the log begins here, and the entries from seq {} on are missing", witness.next());
        return Err(segment::damaged(&names[0], 0, headers[0].first, &what));
    }
    // The segment that holds the witness, or the first of all.
    let from = headers.partition_point(|header| header.first <= witness).saturating_sub(1);
    let (mut chain_at_witness, mut time) = (None, Millis::default());
    let mut each = |walk: &Walk| {
        time = time.max(walk.time);
        if walk.last.seq == witness {
            chain_at_witness = Some(walk.chain);
        }
    };
    let last = headers.len() - 1;
    for at in from..last {
        let (_, bytes) = segment::load(disk, dir, &names[at])?;
        walk::check_sealed(&names[at], &headers[at], &bytes, &headers[at + 1], &mut each)?;
    }
    let (header, tail_bytes) = segment::load(disk, dir, &names[last])?;
    let tail = walk::judge_tail(&names[last], &header, &tail_bytes, witness, &mut each)?;
    let chain_at_witness = chain_at_witness.expect("the walk passed the witness, or was refused");
    Ok(Found { headers, tail, tail_bytes, chain_at_witness, time })
}

pub(super) fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let listed = disk.list(dir).map_err(|error| Error::io(format_args!("listing {}", dir.display()), error))?;
    for name in listed.iter().filter(|name| spare::is_leftover(name)) {
        disk.remove(&dir.join(name)).map_err(|error| Error::io(format_args!("removing {name}"), error))?;
    }
    Ok(())
}

/// Puts the last segment's entries into a new synced file of its name, whose header says that they are durable.
pub(super) fn rewrite(disk: &dyn Disk, dir: &Path, header: Header, frames: &[&[u8]]) -> std::io::Result<writer::Tail> {
    let path = dir.join(segment::name_of(header.first));
    let tmp = path.with_extension("tmp");
    let at = segment::HEADER as u64 + frames.iter().map(|piece| piece.len() as u64).sum::<u64>();
    let write = || {
        let file = segment::create(disk, &tmp, at, header.bytes)?;
        file.write_at(0, &header.encode())?;
        let mut offset = segment::HEADER as u64;
        for piece in frames {
            file.write_at(offset, piece)?;
            offset += piece.len() as u64;
        }
        file.sync_data()?;
        disk.rename(&tmp, &path)?;
        Ok(file)
    };
    let file = write().inspect_err(|_: &std::io::Error| spare::discard(disk, &tmp))?;
    disk.sync_dir(dir)?;
    Ok(writer::Tail { file, header, at })
}
