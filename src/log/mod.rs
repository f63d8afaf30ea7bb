//! Floor 2, the write log: a write is finished when its entry is on disk here; all else is derived from it.
//!
//! A log is a folder of segments of frames (`segment`, `frame`). One [`Writer`] appends whole batches, each with one
//! sync; [`Reader`]s pull entries at their own position, from the `ring` of the newest or from the segments, and are
//! woken when the visible seq moves. `recovery` opens a folder: it verifies, cuts a torn tail, refuses damage
//! (`walk` judges which is which), and rewrites the tail into a new synced file before anything is served. A
//! [`Trimmer`] removes the oldest segments, a [`Scrub`] reads them all now and then. `ship` carries entries to another
//! server's log. [`scan`] reads a folder without changing it. Nothing above this folder knows about files.
//!
//! Invariants: only what a sync covered is ever visible; seqs have no gaps; an error of the disk while a batch is
//! written poisons the writer for good; the log never reads a clock nor knows what an entry means.

mod cut;
mod frame;
mod reader;
mod recovery;
mod ring;
mod scan;
mod scrub;
mod segment;
mod ship;
mod spare;
#[cfg(test)]
mod tests;
mod trim;
mod walk;
mod writer;

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::id::{Chain, DatabaseId, NodeId, Position};
use crate::limits;
use crate::model::change::Entry;
use crate::time::Millis;

pub use cut::cut;
pub use reader::Reader;
pub use recovery::{Origin, Recovery, open, plant};
pub use scan::{Scan, Scanned, What, first_seq, scan, scan_from};
pub use scrub::Scrub;
pub use ship::{FRAME_HEAD, Shipment, Shipped, Witness, last_of, peek, split, unpack, whole};
pub use spare::Preparer;
pub use trim::{Segment, Trimmer};
pub use walk::Cut;
pub use writer::Writer;

/// An entry of the log, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Its place in the history.
    pub position: Position,
    /// When it was decided.
    pub time: Millis,
    /// Hash over it and all before it.
    pub chain: Chain,
    /// Its payload, bytes.
    pub bytes: u32,
    /// What it says.
    pub entry: Arc<Entry>,
}

impl Logged {
    fn new(frame: &frame::Frame, payload: &[u8], entry: Entry) -> Arc<Logged> {
        let frame::Frame { position, time, chain, .. } = *frame;
        Arc::new(Logged { position, time, chain, bytes: payload.len() as u32, entry: Arc::new(entry) })
    }
}

/// Sizes of a log.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A segment's size, bytes.
    pub segment_bytes: u64,
    /// The size of the segment that a start opens, bytes.
    pub first_segment_bytes: u64,
    /// Newest decoded entries kept in memory, entries.
    pub ring_entries: usize,
    /// The same, bytes of payload.
    pub ring_bytes: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            segment_bytes: limits::SEGMENT_BYTES,
            first_segment_bytes: limits::SEGMENT_FIRST_BYTES,
            ring_entries: limits::RING_ENTRIES,
            ring_bytes: limits::RING_BYTES,
        }
    }
}

/// What a folder without a log begins with: epoch 1 of `node`, seq 1 next.
#[derive(Clone, Copy, Debug)]
pub struct Genesis {
    /// The new database.
    pub database: DatabaseId,
    /// The server that begins it.
    pub node: NodeId,
}

/// An entry's payload, as [`Writer::stage`] takes it.
///
/// # Errors
/// As [`encode_into`].
pub fn encode(entry: &Entry) -> Result<Vec<u8>> {
    let mut payload = Vec::new();
    encode_into(entry, &mut payload)?;
    Ok(payload)
}

/// An entry's payload in place of what `payload` held, to use its memory again.
///
/// # Errors
/// `TooLarge` over `limits::ENTRY_CHANGES_MAX` changes or `limits::ENTRY_BYTES_MAX` bytes.
pub fn encode_into(entry: &Entry, payload: &mut Vec<u8>) -> Result<()> {
    let too_large = |what: String| Err(Error::new(Kind::TooLarge, format!("the transaction has {what}")));
    payload.clear();
    if entry.counted() > limits::ENTRY_CHANGES_MAX {
        return too_large(format!("{} changes, at most {}", entry.counted(), limits::ENTRY_CHANGES_MAX));
    }
    *payload = postcard::to_extend(entry, std::mem::take(payload))
        .map_err(|error| Error::internal("an entry could not be encoded").source(error))?;
    if payload.len() > limits::ENTRY_BYTES_MAX {
        return too_large(format!("{} bytes, at most {}", payload.len(), limits::ENTRY_BYTES_MAX));
    }
    Ok(())
}

/// The entry of a payload.
///
/// # Errors
/// `Damaged` when it is not one, whole.
pub fn decode(payload: &[u8]) -> Result<Entry> {
    match postcard::take_from_bytes(payload) {
        Ok((entry, [])) => Ok(entry),
        Ok(_) => Err(Error::damaged("an entry's payload is longer than the entry")),
        Err(error) => Err(Error::damaged("an entry's payload cannot be decoded").source(error)),
    }
}

fn outcome_unknown(doing: &str) -> Error {
    Error::new(Kind::OutcomeUnknown, format!("{doing} failed: whether the write is on disk shows at the next start"))
}
