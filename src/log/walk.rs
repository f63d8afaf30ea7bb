//! Walking a segment's frames in order, and judging where they end: a clean end, a torn tail or damage.
//!
//! Pure: works on the bytes of one segment. Invariant: a frame counts only if every frame before it does, since its
//! chain covers them; what is behind a bad frame may be evidence (a durable mark), never an entry.

use std::ops::Range;

use super::frame::{self, Frame, Kind, Parsed};
use super::segment::{self, Header};
use crate::error::{Error, Result};
use crate::id::{Chain, Epoch, Position, Seq};
use crate::time::Millis;

/// Where a walk stands: after the frames that it has passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Offset of the next frame.
    pub(super) at: usize,
    /// The last entry.
    pub(super) last: Position,
    /// Its time; zero before the first.
    pub(super) time: Millis,
    /// The chain after it.
    pub(super) chain: Chain,
    salt: u64,
}

/// What a walk came upon.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// The next entry.
    Entry(Frame, &'a [u8]),
    /// A durable mark.
    Mark(Frame),
    /// The end, and why.
    End(End),
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Zeros, or the file's end just behind the last frame.
    Zeros,
    /// Something else than the next frame.
    Bad(&'static str),
    /// A frame of a newer format.
    Newer(u8),
}

impl Walk {
    /// A walk at the first frame of a segment.
    pub(super) fn new(header: &Header) -> Walk {
        let last = Position { epoch: header.epoch, seq: header.before_first() };
        Walk { at: segment::HEADER, last, time: Millis::default(), chain: header.chain, salt: header.salt() }
    }

    /// Passes the next frame of `bytes`, which are the whole segment's.
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let rest = bytes.get(self.at..).unwrap_or_default();
        let (frame, payload) = match frame::parse(rest) {
            Parsed::Whole(frame, payload) => (frame, payload),
            Parsed::Zeros => return Step::End(End::Zeros),
            Parsed::Short(_) if rest.iter().all(|b| *b == 0) => return Step::End(End::Zeros),
            Parsed::Short(_) => return Step::End(End::Bad("the frame is longer than the file")),
            Parsed::Bad(why) => return Step::End(End::Bad(why)),
            Parsed::Newer(version) => return Step::End(End::Newer(version)),
        };
        if let Err(why) = self.follows(&frame, payload) {
            return Step::End(End::Bad(why));
        }
        self.at += frame::size(payload.len());
        match frame.kind {
            Kind::Mark => Step::Mark(frame),
            Kind::Entry => {
                (self.last, self.time, self.chain) = (frame.position, frame.time, frame.chain);
                Step::Entry(frame, payload)
            }
        }
    }

    fn follows(&self, frame: &Frame, payload: &[u8]) -> Result<(), &'static str> {
        let Position { epoch, seq } = frame.position;
        if frame.kind == Kind::Mark {
            let agrees = (frame.salt, seq, frame.chain, payload) == (self.salt, self.last.seq, self.chain, &[][..]);
            return if agrees { Ok(()) } else { Err("a durable mark does not agree with the entries before it") };
        }
        if seq != self.last.seq.next() {
            return Err("the entry's seq does not follow the one before");
        }
        if epoch.counter < self.last.epoch.counter {
            return Err("the entry's epoch is lower than the one before");
        }
        if frame.chain != frame::chain_after(self.chain, frame.position, frame.time, payload) {
            return Err("the entry's chain does not follow from the one before");
        }
        Ok(())
    }
}

/// What was cut off the end of the log: the traces of a batch that was never confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment's file name.
    pub segment: String,
    /// Where the cut begins in it, bytes.
    pub offset: u64,
    /// The first entry that is no more.
    pub seq: Seq,
    /// From the cut to the last byte that was not zero.
    pub bytes: u64,
    /// What stood there.
    pub why: &'static str,
}

/// The last segment, judged.
#[derive(Debug)]
pub(super) struct Tail {
    /// After its last entry.
    pub(super) end: Walk,
    /// Where its entries stand, adjacent ones together.
    pub(super) entries: Vec<Range<usize>>,
    pub(super) cut: Option<Cut>,
}

/// Judges the last segment, and calls `each` at its begin and after every entry. `witness` is a seq that is known from
/// elsewhere to have been durable.
///
/// # Errors
/// `Damaged` when the entries end before the witness or a durable mark in the segment, wherever it stands.
pub(super) fn judge_tail(
    name: &str,
    header: &Header,
    bytes: &[u8],
    witness: Seq,
    mut each: impl FnMut(&Walk),
) -> Result<Tail> {
    let mut walk = Walk::new(header);
    each(&walk);
    let mut entries: Vec<Range<usize>> = Vec::new();
    let why = loop {
        let from = walk.at;
        match walk.step(bytes) {
            Step::Mark(_) => {}
            Step::Entry(..) => {
                each(&walk);
                match entries.last_mut() {
                    Some(range) if range.end == from => range.end = walk.at,
                    _ => entries.push(from..walk.at),
                }
            }
            Step::End(End::Newer(version)) => return Err(segment::newer(name, u32::from(version))),
            Step::End(End::Zeros) => break None,
            Step::End(End::Bad(why)) => break Some(why),
        }
    };
    // Marks that the walk passed agree with it; only those behind its end can ask for more.
    let marked = frame::highest_mark(bytes, walk.at, walk.salt).unwrap_or_default().max(header.durable);
    if walk.last.seq < witness.max(marked) {
        return Err(ends_too_early(name, &walk, why, witness, marked));
    }
    let rest = bytes.get(walk.at..).unwrap_or_default();
    let cut = rest.iter().rposition(|b| *b != 0).map(|last| Cut {
        segment: name.to_owned(),
        offset: walk.at as u64,
        seq: walk.last.seq.next(),
        bytes: last as u64 + 1,
        why: why.unwrap_or("zeros, and more behind them"),
    });
    Ok(Tail { end: walk, entries, cut })
}

fn ends_too_early(name: &str, walk: &Walk, why: Option<&str>, witness: Seq, marked: Seq) -> Error {
    let who = if marked >= witness { "a mark in the segment" } else { "the state kept beside the log" };
    let what = why.unwrap_or("the log ends there");
    let known = witness.max(marked);
    let what = format!("{what}, while {who} shows that entries up to seq {known} were durable");
    segment::damaged(name, walk.at as u64, walk.last.seq.next(), &what)
}

/// Verifies a segment that another follows, frame by frame; calls `each` at its begin and after every entry.
///
/// # Errors
/// `Damaged` for anything but whole frames up to where the next one begins.
pub(super) fn check_sealed(
    name: &str,
    header: &Header,
    bytes: &[u8],
    next: &Header,
    mut each: impl FnMut(&Walk),
) -> Result<()> {
    let mut walk = Walk::new(header);
    each(&walk);
    let end = loop {
        match walk.step(bytes) {
            Step::End(end) => break end,
            Step::Mark(_) => {}
            Step::Entry(..) => each(&walk),
        }
    };
    sealed_end(name, &walk, end, next)
}

/// Judges where a segment ended that another follows.
///
/// # Errors
/// `Damaged` unless it ended just where the next begins.
pub(super) fn sealed_end(name: &str, walk: &Walk, end: End, next: &Header) -> Result<()> {
    let what = match end {
        End::Newer(version) => return Err(segment::newer(name, u32::from(version))),
        _ if walk.last.seq == next.before_first() && walk.chain == next.chain => return Ok(()),
        _ if walk.last.seq == next.before_first() => "the next segment continues another history",
        End::Bad(why) => why,
        End::Zeros => "its entries end before the next segment begins",
    };
    let what = format!("{what}; segment {} follows, so all before it was durable", segment::name_of(next.first));
    Err(segment::damaged(name, walk.at as u64, walk.last.seq.next(), &what))
}

/// Verifies by headers alone that one segment follows another.
///
/// # Errors
/// `Damaged` when one is missing between them or they are of different databases.
pub(super) fn check_follows(before: &Header, next: &Header) -> Result<()> {
    let name = segment::name_of(next.first);
    let bad = |what: String| Err(segment::damaged(&name, 0, next.first, &what));
    if next.previous != before.first {
        let (missing, found) = (segment::name_of(next.previous), segment::name_of(before.first));
        return bad(format!("it continues segment {missing}, which is missing; before it stands {found}"));
    }
    if next.database != before.database {
        return bad("it belongs to another database than the segment before it".to_owned());
    }
    let lower = |a: Epoch, b: Epoch| a.counter < b.counter;
    if lower(next.epoch, before.epoch) {
        return bad("its epoch is lower than that of the segment before it".to_owned());
    }
    Ok(())
}
