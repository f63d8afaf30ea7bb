//! Removing the oldest segments, beside the writer: it never waits for an unlink, but for the moment of one when it
//! begins a segment.
//!
//! Invariants: one segment at a time, and its name is durably gone before the next goes, so that a power loss never
//! leaves a hole; the newest segment stays. What may go is not judged here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::{self, Frame};
use super::ring::Shared;
use super::segment;
use crate::disk::Open;
use crate::error::Result;
use crate::id::Seq;
use crate::time::Millis;

/// A segment, as whoever trims must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first entry (the next one to be written, in an empty log).
    pub first: Seq,
    /// Its file's size, bytes.
    pub bytes: u64,
    /// The time of its first entry; `None` when there is none yet or it can't be read.
    pub time: Option<Millis>,
}

/// Removes segments; for a thread of its own.
#[derive(Debug)]
pub struct Trimmer {
    shared: Arc<Shared>,
    /// What is known of those that another follows: they change no more.
    sealed: BTreeMap<Seq, Segment>,
}

impl Trimmer {
    pub(super) fn new(shared: Arc<Shared>) -> Trimmer {
        Trimmer { shared, sealed: BTreeMap::new() }
    }

    /// The segments, oldest first; never none.
    ///
    /// # Errors
    /// The disk's.
    pub fn segments(&mut self) -> Result<Vec<Segment>> {
        let firsts = self.shared.segments.read().clone();
        self.sealed = self.sealed.split_off(&firsts[0]);
        let newest = firsts.len() - 1;
        let mut segments = Vec::with_capacity(firsts.len());
        for (at, first) in firsts.into_iter().enumerate() {
            let known = self.sealed.get(&first).copied();
            let segment = match known {
                Some(segment) => segment,
                None => self.look(first)?,
            };
            if at < newest {
                self.sealed.insert(first, segment);
            }
            segments.push(segment);
        }
        Ok(segments)
    }

    /// Removes the oldest segment, if it lies entirely before `keep_from` and is not the only one; says whether it did.
    ///
    /// # Errors
    /// The disk's, when it could not be removed. A folder that can't be synced is `OutcomeUnknown` and poisons the log.
    pub fn trim_one(&mut self, keep_from: Seq) -> Result<bool> {
        let _names = self.shared.names.lock();
        if self.shared.is_poisoned() {
            return Err(super::outcome_unknown("an earlier write to the log"));
        }
        let first = match self.shared.segments.read()[..] {
            [first, second, ..] if second <= keep_from => first,
            _ => return Ok(false),
        };
        let name = segment::name_of(first);
        let removed = self.shared.disk.remove(&self.shared.dir.join(&name));
        removed.map_err(|error| segment::io_error("removing", &name, error))?;
        self.shared.segments.write().remove(0);
        self.shared.disk.sync_dir(&self.shared.dir).map_err(|error| {
            self.shared.poison();
            super::outcome_unknown("syncing the log's folder").source(error)
        })?;
        Ok(true)
    }

    /// Size and first entry of a segment. One that was made anew meanwhile is read as it is now.
    fn look(&self, first: Seq) -> Result<Segment> {
        let name = segment::name_of(first);
        let io = |error| segment::io_error("reading", &name, error);
        let file = self.shared.disk.open(&self.shared.dir.join(&name), Open::Read).map_err(io)?;
        let bytes = file.len().map_err(io)?;
        let mut head = [0; frame::HEADER];
        file.read_at(segment::HEADER as u64, &mut head).map_err(io)?;
        let time = match frame::parse_header(&head) {
            Ok(Frame { position, time, .. }) if position.seq == first => Some(time),
            _ => None,
        };
        Ok(Segment { first, bytes, time })
    }
}
