//! Reading what nobody reads: old segments, one after the other, before their damage is met by someone who needs them.
//!
//! Invariant: changes nothing. Only segments that another follows: what is being written is never looked at.

use std::sync::Arc;

use super::ring::Shared;
use super::segment;
use super::walk;
use crate::error::Result;
use crate::id::Seq;

/// Where a round through the segments is.
#[derive(Debug)]
pub struct Scrub {
    shared: Arc<Shared>,
    /// The first entry of the segment to be read next, or of one before it that is gone.
    next: Seq,
}

impl Scrub {
    pub(super) fn new(shared: Arc<Shared>) -> Scrub {
        Scrub { shared, next: Seq::ZERO }
    }

    /// How many segments a round has.
    pub fn segments(&self) -> usize {
        self.shared.segments.read().len() - 1
    }

    /// The next call begins a round.
    pub fn restart(&mut self) {
        self.next = Seq::ZERO;
    }

    /// Verifies the next segment, frame by frame, by checksum and chain, and that the one behind it follows. False at
    /// the end of a round; the next call begins another.
    ///
    /// # Errors
    /// `Damaged` with the place, the disk's; the next call goes on behind it.
    pub fn step(&mut self) -> Result<bool> {
        let pair = {
            let segments = self.shared.segments.read();
            let at = segments.partition_point(|first| *first < self.next);
            segments.get(at).copied().zip(segments.get(at + 1).copied())
        };
        let Some((first, behind)) = pair else {
            self.next = Seq::ZERO;
            return Ok(false);
        };
        self.next = behind;
        match self.verify(first, behind) {
            // Trimmed while it was read.
            Err(_) if !self.shared.segments.read().contains(&first) => Ok(true),
            verified => verified.map(|()| true),
        }
    }

    fn verify(&self, first: Seq, behind: Seq) -> Result<()> {
        let Shared { disk, dir, .. } = &*self.shared;
        let (name, next) = (segment::name_of(first), segment::name_of(behind));
        let next = segment::load_header(&**disk, dir, &next)?;
        let (header, bytes) = segment::load(&**disk, dir, &name)?;
        walk::check_follows(&header, &next)?;
        walk::check_sealed(&name, &header, &bytes, &next, |_| {})
    }
}
