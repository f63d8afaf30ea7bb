//! Every frame of every segment, verified, without changing anything: for `millpond log print` and `check`.
//!
//! Never used by a server: it reads what is not visible yet, and what recovery would cut.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Logged;
use super::segment::{self, Header};
use super::walk::{self, Cut, Step, Walk};
use crate::disk::Disk;
use crate::error::Result;
use crate::id::{Chain, DatabaseId, Position, Seq};

/// Something found in the log, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanned {
    /// The segment's file name.
    pub segment: String,
    /// Its place there, bytes.
    pub offset: u64,
    /// What it is.
    pub what: What,
}

/// What is found in a log.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A segment begins.
    Segment {
        /// Whose log it is.
        database: DatabaseId,
        /// Its first entry.
        first: Seq,
        /// Its size, bytes.
        bytes: u64,
        /// The chain before its first entry.
        chain: Chain,
    },
    /// An entry.
    Entry(Arc<Logged>),
    /// All up to there was durable when this was written.
    Mark(Position),
    /// The log ends here, with traces of a batch behind it that a start would cut off.
    Cut(Cut),
}

/// Walks a log from its oldest segment; ends after the first error.
#[derive(Debug)]
pub struct Scan {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    names: std::vec::IntoIter<String>,
    current: Option<Current>,
    ended: bool,
}

#[derive(Debug)]
struct Current {
    name: String,
    header: Header,
    bytes: Vec<u8>,
    walk: Walk,
}

/// Reads the log in `dir` from its oldest segment on.
///
/// # Errors
/// The disk's, when the folder cannot be listed.
pub fn scan(disk: Arc<dyn Disk>, dir: &Path) -> Result<Scan> {
    let names = segment::list(&*disk, dir)?.into_iter();
    Ok(Scan { disk, dir: dir.to_owned(), names, current: None, ended: false })
}

/// The first entry that the log in `dir` keeps; `None` where there is no log.
///
/// # Errors
/// As [`scan`].
pub fn first_seq(disk: &dyn Disk, dir: &Path) -> Result<Option<Seq>> {
    Ok(segment::list(disk, dir)?.first().and_then(|name| segment::first_of(name)))
}

/// As [`scan`], from the segment on that `seq` is in, or would be in.
///
/// # Errors
/// As [`scan`].
pub fn scan_from(disk: Arc<dyn Disk>, dir: &Path, seq: Seq) -> Result<Scan> {
    let mut names = segment::list(&*disk, dir)?;
    let before = names.iter().filter(|name| segment::first_of(name).is_some_and(|first| first <= seq)).count();
    names.drain(..before.saturating_sub(1));
    Ok(Scan { disk, dir: dir.to_owned(), names: names.into_iter(), current: None, ended: false })
}

impl Scan {
    fn advance(&mut self) -> Result<Option<Scanned>> {
        let Some(current) = &mut self.current else {
            return self.names.next().map(|name| self.begin(name, None)).transpose();
        };
        let offset = current.walk.at as u64;
        let what = match current.walk.step(&current.bytes) {
            Step::Mark(frame) => What::Mark(frame.position),
            Step::Entry(frame, payload) => {
                let seq = frame.position.seq;
                let entry = super::decode(payload)
                    .map_err(|error| segment::damaged(&current.name, offset, seq, error.message()).source(error))?;
                What::Entry(Logged::new(&frame, payload, entry))
            }
            Step::End(end) => {
                let Some(before) = self.current.take() else { return Ok(None) };
                return match self.names.next() {
                    None => before.finish(),
                    Some(name) => self.begin(name, Some((before, end))).map(Some),
                };
            }
        };
        Ok(Some(Scanned { segment: current.name.clone(), offset, what }))
    }

    /// Begins a segment, which must follow the one before.
    fn begin(&mut self, name: String, before: Option<(Current, walk::End)>) -> Result<Scanned> {
        let (header, bytes) = segment::load(&*self.disk, &self.dir, &name)?;
        if let Some((before, end)) = before {
            walk::check_follows(&before.header, &header)?;
            walk::sealed_end(&before.name, &before.walk, end, &header)?;
        }
        let Header { database, first, chain, .. } = header;
        let what = What::Segment { database, first, bytes: header.bytes, chain };
        self.current = Some(Current { name: name.clone(), walk: Walk::new(&header), header, bytes });
        Ok(Scanned { segment: name, offset: 0, what })
    }
}

impl Current {
    /// Judges the end of the last segment.
    fn finish(self) -> Result<Option<Scanned>> {
        let tail = walk::judge_tail(&self.name, &self.header, &self.bytes, Seq::ZERO, |_| {})?;
        Ok(tail.cut.map(|cut| Scanned { offset: cut.offset, segment: self.name, what: What::Cut(cut) }))
    }
}

impl Iterator for Scan {
    type Item = Result<Scanned>;

    fn next(&mut self) -> Option<Result<Scanned>> {
        if self.ended {
            return None;
        }
        let found = self.advance();
        self.ended =
            !matches!(found, Ok(Some(Scanned { what: What::Segment { .. } | What::Entry(_) | What::Mark(_), .. })));
        found.transpose()
    }
}
