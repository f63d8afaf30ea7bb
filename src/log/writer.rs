//! The end of the log: batches, group commit, marks, rotation.
//!
//! Invariants: one batch, one write, one sync, and it begins with a mark of what was durable before it; a segment gets
//! its name only when its header and first batch are synced; nothing is visible before [`Writer::publish`]. After an
//! error that leaves the outcome open the writer is poisoned: it never writes or syncs again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame::{self, Frame, Kind as FrameKind};
use super::ring::Shared;
use super::scrub::Scrub;
use super::segment::{self, Header};
use super::spare::{self, Preparer, Spare, Spares};
use super::trim::Trimmer;
use super::{Logged, Shipped, outcome_unknown};
use crate::disk::DiskFile;
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, Epoch, Position, Seq};
use crate::model::change::Entry;
use crate::time::Millis;

/// The log's end; one owner.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    spares: Arc<Spares>,
    tail: Tail,
    /// The last committed entry.
    position: Position,
    chain: Chain,
    /// The highest seq that a durable mark names.
    marked: Seq,
    /// The batch being built: a mark, then frames; its memory is used again.
    batch: Vec<u8>,
    /// The entries of that batch.
    staged: Vec<Arc<Logged>>,
    /// Committed entries that are not visible yet.
    committed: Vec<Arc<Logged>>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) header: Header,
    /// Where the next batch goes.
    pub(super) at: u64,
}

/// Where a rotation failed.
enum Rotation {
    /// Before the new segment had its name: it is no part of the log.
    Before(io::Error),
    /// After: it may be one.
    After(io::Error),
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        spares: Arc<Spares>,
        tail: Tail,
        position: Position,
        chain: Chain,
    ) -> Writer {
        Writer {
            shared,
            spares,
            tail,
            position,
            chain,
            marked: position.seq,
            batch: Vec::new(),
            staged: Vec::new(),
            committed: Vec::new(),
        }
    }

    /// The last committed entry.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The position of the next entry to be staged.
    pub fn next(&self) -> Position {
        let last = self.last_staged().0;
        Position { seq: last.seq.next(), ..last }
    }

    /// The last entry that is staged or committed, and the chain after it.
    fn last_staged(&self) -> (Position, Chain) {
        self.staged.last().map_or((self.position, self.chain), |logged| (logged.position, logged.chain))
    }

    /// The chain after the last committed entry.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The epoch that entries are written in.
    pub fn epoch(&self) -> Epoch {
        self.position.epoch
    }

    /// Bytes of the batch being built.
    pub fn staged_bytes(&self) -> usize {
        self.batch.len()
    }

    /// Makes spare segments for this writer.
    pub fn preparer(&self) -> Preparer {
        self.spares.preparer()
    }

    /// Removes this log's oldest segments.
    pub fn trimmer(&self) -> Trimmer {
        Trimmer::new(self.shared.clone())
    }

    /// Verifies this log's old segments.
    pub fn scrub(&self) -> Scrub {
        Scrub::new(self.shared.clone())
    }

    /// Adds an entry to the batch being built. `payload` is [`super::encode`] of `entry`.
    pub fn stage(&mut self, time: Millis, entry: Arc<Entry>, payload: &[u8]) -> Position {
        self.stage_in(self.next().epoch, time, entry, payload)
    }

    /// The same for the first entry of an epoch, whose counter must be higher than that of the last.
    pub fn stage_in(&mut self, epoch: Epoch, time: Millis, entry: Arc<Entry>, payload: &[u8]) -> Position {
        let (last, before) = self.last_staged();
        let position = Position { epoch, seq: last.seq.next() };
        let chain = frame::chain_after(before, position, time, payload);
        self.push(position, time, chain, entry, payload);
        position
    }

    /// Adds an entry as another server has logged it.
    ///
    /// # Errors
    /// `Conflict` with code `diverged` for one that does not go on from the last: its seq, its epoch or its chain.
    pub fn stage_shipped(&mut self, shipped: &Shipped, entry: Arc<Entry>) -> Result<()> {
        let Shipped { position, time, chain, payload, .. } = shipped;
        let (last, before) = self.last_staged();
        let Position { epoch, seq } = *position;
        let rises = epoch == last.epoch || epoch.counter > last.epoch.counter || last.seq == Seq::ZERO;
        if seq != last.seq.next() || !rises || frame::chain_after(before, *position, *time, payload) != *chain {
            let message = format!("entry {position} does not go on from {last}, where this log ends");
            return Err(Error::new(Kind::Conflict, message).code("diverged"));
        }
        self.push(*position, *time, *chain, entry, payload);
        Ok(())
    }

    fn push(&mut self, position: Position, time: Millis, chain: Chain, entry: Arc<Entry>, payload: &[u8]) {
        if self.batch.is_empty() {
            let mark = self.mark_frame();
            frame::push(&mut self.batch, &mark, &[]);
        }
        frame::push(&mut self.batch, &Frame { kind: FrameKind::Entry, position, time, chain, salt: 0 }, payload);
        let bytes = payload.len() as u32;
        self.staged.push(Arc::new(Logged { position, time, chain, bytes, entry }));
    }

    /// Drops the batch that is being built.
    pub fn unstage(&mut self) {
        self.batch.clear();
        self.staged.clear();
    }

    /// Makes the batch durable: one write and one sync. After `Ok` its entries are committed, to be published.
    ///
    /// # Errors
    /// `NoSpace`: no room for a segment; nothing was written and the batch is dropped, the writer goes on. All others
    /// poison the writer: `OutcomeUnknown` when the batch may be on disk, and for every call after that.
    pub fn commit(&mut self) -> Result<()> {
        self.check()?;
        let Some(last) = self.staged.last().map(|logged| (logged.position, logged.chain)) else { return Ok(()) };
        let end = self.tail.at + (self.batch.len() + frame::MARK) as u64;
        let done = if end <= self.tail.header.bytes { self.append() } else { self.rotate() };
        self.batch.clear();
        if let Err(error) = done {
            self.staged.clear();
            return Err(error);
        }
        self.marked = self.position.seq;
        (self.position, self.chain) = last;
        self.committed.append(&mut self.staged);
        Ok(())
    }

    /// Makes committed entries visible to readers, and wakes those who wait.
    pub fn publish(&mut self) {
        self.shared.publish(self.committed.drain(..));
    }

    /// Marks the log's end as durable, when idle: damage to the last batch is then told from a torn one. Nothing to do
    /// when it is marked.
    ///
    /// # Errors
    /// `OutcomeUnknown`: the writer is poisoned.
    pub fn mark(&mut self) -> Result<()> {
        self.check()?;
        if self.marked == self.position.seq {
            return Ok(());
        }
        let mut mark = Vec::with_capacity(frame::MARK);
        frame::push(&mut mark, &self.mark_frame(), &[]);
        // Room for one mark is left behind each batch.
        let written = self.tail.file.write_at(self.tail.at, &mark).and_then(|()| self.tail.file.sync_data());
        written.map_err(|error| self.poison("marking the end of the log", error))?;
        self.tail.at += mark.len() as u64;
        self.marked = self.position.seq;
        Ok(())
    }

    /// Marks the end and lets the log go.
    ///
    /// # Errors
    /// As [`Writer::mark`]; what was committed is durable all the same.
    pub fn close(mut self) -> Result<()> {
        self.mark()
    }

    fn mark_frame(&self) -> Frame {
        let salt = self.tail.header.salt();
        Frame { kind: FrameKind::Mark, position: self.position, time: Millis::default(), chain: self.chain, salt }
    }

    fn append(&mut self) -> Result<()> {
        let written = self.tail.file.write_at(self.tail.at, &self.batch).and_then(|()| self.tail.file.sync_data());
        written.map_err(|error| self.poison("writing to the log", error))?;
        self.tail.at += self.batch.len() as u64;
        Ok(())
    }

    /// Begins a new segment with the batch in it. All before is synced, so the segment bears witness of that.
    fn rotate(&mut self) -> Result<()> {
        let spare = self.spares.take(self.batch.len()).map_err(|error| self.refuse("making a log segment", error))?;
        // A segment without an entry is not followed but replaced: the new one has its name.
        let first = self.position.seq.next();
        let replaces = first == self.tail.header.first;
        let header = Header {
            database: self.tail.header.database,
            epoch: self.position.epoch,
            first,
            previous: if replaces { self.tail.header.previous } else { self.tail.header.first },
            bytes: spare.bytes,
            chain: self.chain,
            durable: self.next().seq.before(),
        };
        match self.begin_segment(&header, &spare) {
            Ok(()) => {}
            Err(Rotation::Before(error)) => {
                spare::discard(&*self.shared.disk, &spare.path);
                return Err(self.refuse("beginning a log segment", error));
            }
            Err(Rotation::After(error)) => return Err(self.poison("beginning a log segment", error)),
        }
        let at = (segment::HEADER + self.batch.len() - frame::MARK) as u64;
        if !replaces {
            self.shared.segments.write().push(first);
        }
        self.tail = Tail { file: spare.file, header, at };
        Ok(())
    }

    fn begin_segment(&self, header: &Header, spare: &Spare) -> Result<(), Rotation> {
        let path: PathBuf = self.shared.dir.join(segment::name_of(header.first));
        let _names = self.shared.names.lock();
        if self.shared.is_poisoned() {
            return Err(Rotation::Before(io::Error::other("the log's folder could not be synced")));
        }
        let write = || {
            spare.file.write_at(0, &header.encode())?;
            // Without its mark, which is of the segment before: the header says what was durable.
            spare.file.write_at(segment::HEADER as u64, &self.batch[frame::MARK..])?;
            spare.file.sync_data()?;
            self.shared.disk.rename(&spare.path, &path)
        };
        write().map_err(Rotation::Before)?;
        self.shared.disk.sync_dir(&self.shared.dir).map_err(Rotation::After)
    }

    /// An error before anything of the batch was part of the log: a full disk leaves the writer as it was.
    fn refuse(&self, doing: &str, error: io::Error) -> Error {
        let refused = Error::io(doing, error);
        if refused.kind() == Kind::NoSpace {
            return refused;
        }
        self.shared.poison();
        outcome_unknown(doing).source(refused)
    }

    fn poison(&self, doing: &str, error: io::Error) -> Error {
        self.shared.poison();
        outcome_unknown(doing).source(error)
    }

    fn check(&self) -> Result<()> {
        if self.shared.is_poisoned() { Err(outcome_unknown("an earlier write to the log")) } else { Ok(()) }
    }
}
