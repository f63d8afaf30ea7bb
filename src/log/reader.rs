//! Reading the log at one's own position: the newest entries from the ring, older ones from the segments.
//!
//! Invariant: never past the visible seq, so what is being written is never looked at; a slow reader costs nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Logged;
use super::frame::{self, Frame, Kind as FrameKind, Parsed};
use super::ring::{Place, Shared};
use super::segment;
use crate::disk::{DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::id::{Position, Seq};

/// Read ahead in a segment, bytes.
const CHUNK: usize = 64 << 10;

/// A reader of the log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader(pub(super) Arc<Shared>);

impl Reader {
    /// The last visible entry.
    pub fn position(&self) -> Position {
        self.0.visible()
    }

    /// The first entry that is kept (the next one to be written, in an empty log).
    pub fn first_seq(&self) -> Seq {
        *self.0.segments.read().first().expect("a log has a segment")
    }

    /// The entries after `after`, oldest first, up to about `max_bytes` of payload but at least one; none when there
    /// are none yet.
    ///
    /// # Errors
    /// `Gone` when the entry after `after` is no longer kept; `Damaged` with the place; the disk's.
    pub fn read_from(&self, after: Seq, max_bytes: usize) -> Result<Vec<Arc<Logged>>> {
        let visible = self.position().seq;
        if after >= visible {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.0.newest(after, max_bytes) {
            return Ok(entries);
        }
        let mut entries = Vec::new();
        self.walk(after.next(), visible, max_bytes, &mut |frame, payload| {
            entries.push(Logged::new(frame, payload, super::decode(payload)?));
            Ok(())
        })?;
        Ok(entries)
    }

    /// Hands `take` the frames from `next` to `to` as they stand in the segments, up to about `max_bytes` of payload but at
    /// least one.
    pub(super) fn walk(&self, next: Seq, to: Seq, max_bytes: usize, take: &mut Take<'_>) -> Result<()> {
        let mut wanted = Wanted { next, to, bytes: max_bytes, any: false, take };
        while wanted.more() {
            self.read_segment(&mut wanted)?;
        }
        Ok(())
    }

    /// The entries after `after` up to about `max_bytes` of payload, if they are still in memory; the disk is never read.
    pub fn newest(&self, after: Seq, max_bytes: usize) -> Option<Vec<Arc<Logged>>> {
        self.0.newest(after, max_bytes)
    }

    /// Waits until an entry after `seq` is visible, or for `timeout`; returns the visible seq. Blocks the thread.
    pub fn wait_past(&self, seq: Seq, timeout: Duration) -> Seq {
        self.0.wait_past(seq, timeout)
    }

    /// The visible seq, to be awaited.
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.0.watch()
    }

    /// Reads on in the segment that holds the next wanted entry, to its end at most.
    fn read_segment(&self, wanted: &mut Wanted<'_>) -> Result<()> {
        let (first, end) = self.segment_of(wanted.next)?;
        let name = segment::name_of(first);
        let file = match self.0.disk.open(&self.0.dir.join(&name), Open::Read) {
            // Trimmed since it was looked up.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(gone(wanted.next)),
            opened => opened.map_err(|error| segment::io_error("opening", &name, error))?,
        };
        let offset = self.0.place(wanted.next, first).map_or(segment::HEADER as u64, |place| place.offset);
        let mut frames = Frames::new(&name, &*file, offset)?;
        while wanted.more() && end.is_none_or(|end| wanted.next < end) {
            let at = frames.offset();
            frames.next(wanted.next, |frame, payload| wanted.take(&name, at, frame, payload))?;
        }
        if end.is_none_or(|end| wanted.next < end) {
            self.0.remember(Place { seq: wanted.next, segment: first, offset: frames.offset() });
        }
        Ok(())
    }

    /// The first seq of the segment that holds `seq`, and of the one behind it.
    fn segment_of(&self, seq: Seq) -> Result<(Seq, Option<Seq>)> {
        let segments = self.0.segments.read();
        match segments.partition_point(|first| *first <= seq) {
            0 => Err(gone(seq)),
            behind => Ok((segments[behind - 1], segments.get(behind).copied())),
        }
    }
}

/// Takes a frame and its payload.
pub(super) type Take<'a> = dyn FnMut(&Frame, &[u8]) -> Result<()> + 'a;

/// What a reader is still to be given.
struct Wanted<'a> {
    next: Seq,
    to: Seq,
    bytes: usize,
    /// Whether something was given.
    any: bool,
    take: &'a mut Take<'a>,
}

impl Wanted<'_> {
    fn more(&self) -> bool {
        self.next <= self.to && (!self.any || self.bytes > 0)
    }

    fn take(&mut self, name: &str, offset: u64, frame: &Frame, payload: &[u8]) -> Result<()> {
        if frame.kind == FrameKind::Mark || frame.position.seq < self.next {
            return Ok(());
        }
        if frame.position.seq > self.next {
            return Err(segment::damaged(name, offset, self.next, "another entry stands there"));
        }
        (self.take)(frame, payload)
            .map_err(|error| segment::damaged(name, offset, self.next, error.message()).source(error))?;
        self.any = true;
        self.bytes = self.bytes.saturating_sub(payload.len());
        self.next = self.next.next();
        Ok(())
    }
}

/// The frames of one segment from an offset on, read in chunks.
struct Frames<'a> {
    name: &'a str,
    file: &'a dyn DiskFile,
    len: u64,
    /// Where `chunk` begins in the file.
    start: u64,
    /// Where the next frame begins in `chunk`.
    at: usize,
    chunk: Vec<u8>,
}

impl<'a> Frames<'a> {
    fn new(name: &'a str, file: &'a dyn DiskFile, offset: u64) -> Result<Frames<'a>> {
        let len = file.len().map_err(|error| segment::io_error("reading", name, error))?;
        Ok(Frames { name, file, len, start: offset, at: 0, chunk: Vec::new() })
    }

    fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// Hands the next frame to `take`; `seq` is the entry that is looked for, for the message.
    fn next(&mut self, seq: Seq, take: impl FnOnce(&Frame, &[u8]) -> Result<()>) -> Result<()> {
        let mut needs = frame::HEADER;
        loop {
            if self.chunk.len() - self.at < needs {
                self.load(seq, needs)?;
            }
            let offset = self.offset();
            let why = match frame::parse(&self.chunk[self.at..]) {
                Parsed::Whole(frame, payload) => {
                    self.at += frame::size(payload.len());
                    return take(&frame, payload);
                }
                Parsed::Short(more) => {
                    needs = more;
                    continue;
                }
                Parsed::Newer(version) => return Err(segment::newer(self.name, u32::from(version))),
                Parsed::Zeros => "the log ends there, and entries that were written after it are missing",
                Parsed::Bad(why) => why,
            };
            return Err(segment::damaged(self.name, offset, seq, why));
        }
    }

    /// Loads a chunk that begins with the next frame and holds at least `needs` bytes of it.
    fn load(&mut self, seq: Seq, needs: usize) -> Result<()> {
        let from = self.offset();
        let left = self.len.saturating_sub(from);
        if left < needs as u64 {
            return Err(segment::damaged(self.name, from, seq, "the file ends within the frame"));
        }
        (self.start, self.at) = (from, 0);
        self.chunk.resize(left.min(needs.max(CHUNK) as u64) as usize, 0);
        let read = self.file.read_at(from, &mut self.chunk);
        read.map_err(|error| segment::io_error("reading", self.name, error))
    }
}

fn gone(seq: Seq) -> Error {
    Error::new(Kind::Gone, format!("the log no longer holds entry {seq}"))
}
