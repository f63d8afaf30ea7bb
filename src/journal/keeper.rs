//! The thread that writes the journal: it takes what is in the queue, writes it in one go, and drops what is too old or too
//! many.
//!
//! Invariant: it ends only with the journal. After an error it lets the file be, drops lines for a while, and begins a new
//! one.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::disk::{DiskFile, Open, read_all};
use crate::limits;
use crate::time::Millis;

use super::Shared;
use super::file::{self, Held, MAGIC};
use super::line::{Entry, Line, LineId};

/// What the keeper is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A line.
    Put(Entry),
    /// Say when everything before is written.
    Settle(Sender<()>),
}

pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Whether the folder was looked into.
    opened: bool,
    /// The last of the files, to write on.
    file: Option<Arc<dyn DiskFile>>,
    last: LineId,
    /// Until then nothing is tried.
    paused: Option<Instant>,
    lines: Vec<Entry>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Keeper {
        Keeper { shared, opened: false, file: None, last: LineId::default(), paused: None, lines: Vec::new() }
    }

    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        loop {
            match queue.recv_timeout(limits::JOURNAL_TRIM_PAUSE) {
                Ok(first) => self.take(first, queue),
                Err(RecvTimeoutError::Timeout) => self.attempt(|_| Ok(())),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A message and what stands behind it.
    fn take(&mut self, first: Message, queue: &Receiver<Message>) {
        let mut waiting = Vec::new();
        let more = queue.try_iter().take(limits::JOURNAL_BATCH - 1);
        for message in std::iter::once(first).chain(more) {
            match message {
                Message::Put(entry) => self.lines.push(entry),
                Message::Settle(done) => waiting.push(done),
            }
        }
        self.attempt(Keeper::write);
        for done in waiting {
            // Who asked may have gone.
            let _ = done.try_send(());
        }
    }

    /// Does something with the folder, and trims it. Lines that are left are dropped.
    fn attempt(&mut self, work: impl FnOnce(&mut Keeper) -> io::Result<()>) {
        if self.paused.is_none_or(|until| Instant::now() >= until) {
            self.paused = None;
            let done = self.open().and_then(|()| work(self)).and_then(|()| self.trim());
            if let Err(error) = done {
                let path = self.shared.dir.display();
                tracing::warn!(%error, %path, "the journal can't be written; its lines are dropped for a while");
                self.file = None;
                self.paused = Some(Instant::now() + limits::JOURNAL_PAUSE);
            }
        }
        self.shared.meters.dropped.add(self.lines.len() as u64);
        self.lines.clear();
    }

    fn write(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let (disk, dir) = (&self.shared.disk, &self.shared.dir);
        if disk.free_bytes(dir)? < limits::DISK_HEADROOM_BYTES {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk has too little room left"));
        }
        let mut bytes = Vec::new();
        let (mut last, mut newest) = (self.last, Millis::MIN);
        let mut first = None;
        for entry in &self.lines {
            last = last.next(entry.at);
            first.get_or_insert(last);
            newest = newest.max(entry.at);
            file::push(&mut bytes, &Line::new(last, entry.clone()));
        }
        // Also where it fails: a part of them may have reached the disk.
        self.last = last;
        let (file, mut held) = self.room(first.unwrap_or(last))?;
        file.write_at(held.bytes, &bytes)?;
        let count = self.lines.len() as u64;
        held.bytes += bytes.len() as u64;
        held.lines += count;
        held.newest = held.newest.max(newest);
        if let Some(known) = self.shared.files.lock().last_mut() {
            *known = held;
        }
        self.shared.meters.lines.add(count);
        self.lines.clear();
        Ok(())
    }

    /// The file to write on, a new one where there is none or it is full; `first` is the next line's number.
    fn room(&mut self, first: LineId) -> io::Result<(Arc<dyn DiskFile>, Held)> {
        let most = (self.shared.keep.lines / limits::JOURNAL_FILES).max(1);
        let last = self.shared.files.lock().last().copied();
        if let (Some(file), Some(held)) = (&self.file, last)
            && held.bytes < limits::JOURNAL_FILE_BYTES
            && held.lines < most
        {
            return Ok((file.clone(), held));
        }
        let held = Held::empty(first);
        let file = self.shared.disk.open(&self.shared.dir.join(held.name()), Open::CreateNew)?;
        file.write_at(0, MAGIC)?;
        self.file = Some(file.clone());
        self.shared.files.lock().push(held);
        Ok((file, held))
    }

    /// Removes the oldest files as long as enough is left without them, or none of their lines is young enough.
    fn trim(&mut self) -> io::Result<()> {
        let since = self.shared.since();
        loop {
            let gone = {
                let mut files = self.shared.files.lock();
                let total: u64 = files.iter().map(|held| held.lines).sum();
                match files.first() {
                    Some(held) if total - held.lines >= self.shared.keep.lines || held.newest < since => {
                        files.remove(0)
                    }
                    _ => return Ok(()),
                }
            };
            if self.shared.files.lock().is_empty() {
                self.file = None;
            }
            self.shared.disk.remove(&self.shared.dir.join(gone.name()))?;
        }
    }

    /// Looks into the folder, once. What is no file of lines goes; of one that is damaged the sound beginning stays.
    fn open(&mut self) -> io::Result<()> {
        if self.opened {
            return Ok(());
        }
        let (disk, dir) = (self.shared.disk.clone(), self.shared.dir.clone());
        disk.create_dir_all(&dir)?;
        let mut files = Vec::new();
        for name in disk.list(&dir)? {
            let Some(first) = file::first_of(&name) else { continue };
            let path = dir.join(&name);
            let read = read_all(&*disk, &path);
            let (lines, end) = read.as_ref().map(|bytes| file::lines(bytes)).unwrap_or_default();
            let whole = read.as_ref().is_ok_and(|bytes| bytes.len() == end);
            if !whole {
                self.shared.meters.damaged.add(1);
                tracing::warn!(path = %path.display(), lines = lines.len(), "a file of the journal is damaged: its beginning is kept");
            }
            let Some(last) = lines.last() else {
                disk.remove(&path)?;
                continue;
            };
            self.last = self.last.max(last.id);
            let newest = lines.iter().map(|line| line.at).max().unwrap_or(Millis::MIN);
            files.push((Held { first, lines: lines.len() as u64, bytes: end as u64, newest }, whole));
        }
        // Behind damage nothing is written.
        if let Some((held, true)) = files.last() {
            self.file = Some(disk.open(&dir.join(held.name()), Open::Write)?);
        }
        *self.shared.files.lock() = files.into_iter().map(|(held, _)| held).collect();
        self.opened = true;
        Ok(())
    }
}
