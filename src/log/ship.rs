//! Entries as they stand in the log, to be carried to another server and written there byte for byte.
//!
//! A shipment is whole frames, one behind the other, without the durable marks between them, which are each server's own.
//! Invariant: what [`unpack`] gives is whole by its checksums; whether it goes on from where a log ends is for that log's
//! [`Writer`](super::Writer) to judge.

use super::frame::{self, Frame, Kind as FrameKind, Parsed};
use super::segment;
use super::{Reader, decode};
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, Position, Seq};
use crate::model::change::Entry;
use crate::time::Millis;

/// An entry that another server has logged.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// Its place in the history.
    pub position: Position,
    /// When it was decided.
    pub time: Millis,
    /// Hash over it and all before it.
    pub chain: Chain,
    /// What it says, encoded.
    pub payload: Vec<u8>,
    /// The same.
    pub entry: Entry,
}

/// What a server that holds an entry knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Its place; seq 0 for none.
    pub position: Position,
    /// Hash over it and all before it.
    pub chain: Chain,
    /// When it was decided.
    pub time: Millis,
}

impl Witness {
    fn of(frame: &Frame) -> Witness {
        let Frame { position, chain, time, .. } = *frame;
        Witness { position, chain, time }
    }
}

/// Frames on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shipment {
    /// As they stand in the log, one behind the other.
    pub frames: Vec<u8>,
    /// Of the last of them.
    pub last: Option<Witness>,
}

impl Reader {
    /// The frames behind `after`, up to about `max_bytes` of payload but at least one; none when there are none yet. Reads the
    /// segments, so it may wait for the disk.
    ///
    /// # Errors
    /// `Gone` when the entry behind `after` is no longer kept; `Damaged` with the place; the disk's.
    pub fn ship(&self, after: Seq, max_bytes: usize) -> Result<Shipment> {
        let mut shipment = Shipment::default();
        self.walk(after.next(), self.position().seq, max_bytes, &mut |frame, payload| {
            frame::push(&mut shipment.frames, frame, payload);
            shipment.last = Some(Witness::of(frame));
            Ok(())
        })?;
        Ok(shipment)
    }

    /// What this log knows of an entry that it holds, or of the one just before its first; `None` past its end.
    ///
    /// # Errors
    /// As [`Reader::ship`].
    pub fn witness(&self, seq: Seq) -> Result<Option<Witness>> {
        if seq > self.position().seq {
            return Ok(None);
        }
        let first = self.first_seq();
        if seq.next() == first {
            let header = segment::load_header(&*self.0.disk, &self.0.dir, &segment::name_of(first))?;
            let position = Position { epoch: header.epoch, seq };
            return Ok(Some(Witness { position, chain: header.chain, time: Millis::default() }));
        }
        let mut found = None;
        self.walk(seq, seq, 0, &mut |frame, _| {
            found = Some(Witness::of(frame));
            Ok(())
        })?;
        Ok(found)
    }

    /// Bytes of the segments behind the one that holds `seq`: at least what a server that has come so far still lacks, to
    /// about a segment.
    pub fn bytes_behind(&self, seq: Seq) -> u64 {
        let segments = self.0.segments.read().clone();
        let behind = segments.into_iter().filter(|first| *first > seq.next());
        let bytes =
            |first| segment::load_header(&*self.0.disk, &self.0.dir, &segment::name_of(first)).map_or(0, |h| h.bytes);
        behind.map(bytes).sum()
    }
}

/// The entries of a shipment.
///
/// # Errors
/// `Damaged` for anything but whole frames of entries; `Unprocessable` with code `newer_format`.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Shipped>> {
    let mut shipped = Vec::new();
    each(bytes, |frame, payload| {
        let Frame { position, time, chain, .. } = *frame;
        shipped.push(Shipped { position, time, chain, payload: payload.to_vec(), entry: decode(payload)? });
        Ok(())
    })?;
    Ok(shipped)
}

/// Bytes of a frame that are looked at by [`peek`].
pub const FRAME_HEAD: usize = frame::HEADER;

/// What the head of a frame says of its entry; `None` for what is none.
pub fn peek(head: &[u8; FRAME_HEAD]) -> Option<Witness> {
    frame::parse_header(head).ok().filter(|frame| frame.kind == FrameKind::Entry).map(|frame| Witness::of(&frame))
}

/// Bytes of the whole frames that `bytes` begins with, and what is known of the last of them.
pub fn whole(bytes: &[u8]) -> (usize, Option<Witness>) {
    let (mut at, mut last) = (0, None);
    while let Parsed::Whole(frame, payload) = frame::parse(&bytes[at..])
        && frame.kind == FrameKind::Entry
    {
        at += frame::size(payload.len());
        last = Some(Witness::of(&frame));
    }
    (at, last)
}

/// The frames of a shipment one by one, as they are.
pub fn split(mut bytes: &[u8]) -> impl Iterator<Item = Result<(Witness, &[u8])>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let Parsed::Whole(frame, payload) = frame::parse(bytes) else {
            bytes = &[];
            return Some(Err(broken("it is cut short")));
        };
        let (one, rest) = bytes.split_at(frame::size(payload.len()));
        bytes = rest;
        Some(Ok((Witness::of(&frame), one)))
    })
}

/// What is known of the last entry of a shipment; nothing is decoded.
///
/// # Errors
/// As [`unpack`].
pub fn last_of(bytes: &[u8]) -> Result<Option<Witness>> {
    let mut last = None;
    each(bytes, |frame, _| {
        last = Some(Witness::of(frame));
        Ok(())
    })?;
    Ok(last)
}

fn each(mut bytes: &[u8], mut take: impl FnMut(&Frame, &[u8]) -> Result<()>) -> Result<()> {
    while !bytes.is_empty() {
        let (frame, payload) = match frame::parse(bytes) {
            Parsed::Whole(frame, payload) if frame.kind == FrameKind::Entry => (frame, payload),
            Parsed::Newer(version) => {
                let message = format!("an entry of format {version} came, and this server knows {}", frame::VERSION);
                return Err(Error::new(Kind::Unprocessable, message).code("newer_format"));
            }
            Parsed::Bad(why) => return Err(broken(why)),
            _ => return Err(broken("it is cut short")),
        };
        take(&frame, payload)?;
        bytes = &bytes[frame::size(payload.len())..];
    }
    Ok(())
}

fn broken(why: &str) -> Error {
    Error::damaged(format!("what came from the other server is no entry of a log: {why}"))
}
