//! Floor 2, an engine: the journal, lines about what was asked of the server, for `/api/logs`. It stands beside the write
//! log and has no part in it: nothing is rebuilt from it, and nothing waits for it.
//!
//! ```text
//! journal/00001843….lines     MPLINES1 | length u32, crc32c u32, line in postcard | length …
//! ```
//!
//! Lines are only added at one end and dropped at the other, so they lie in plain files, named by their first line, that
//! come and go whole: nothing is rewritten, and room goes back to the disk at once. A tree would have to be repaired after a
//! crash and would panic on a flipped bit; here a bad checksum ends a file early.
//!
//! Invariants: whoever puts a line neither waits nor fails; a line that meets a full queue, a full disk or a failing one is
//! dropped and counted; one thread (`keeper`) writes; nothing is synced, so that a power loss may take the newest lines;
//! numbers grow, over restarts and losses too.

mod file;
mod keeper;
mod line;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::limits;
use crate::meter::Counter;
use crate::time::{Clock, Millis};

use file::Held;
use keeper::{Keeper, Message};
pub use line::{Entry, Line, LineId};

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest lines, so many.
    pub lines: u64,
    /// Those that are not older.
    pub age: Duration,
}

/// What the journal counts.
#[derive(Debug, Default)]
pub struct Meters {
    /// Lines that were written.
    pub lines: Counter,
    /// Lines that were not: the queue or the disk was full, or the disk failed.
    pub dropped: Counter,
    /// Files of which a part, or all, could not be read.
    pub damaged: Counter,
}

/// What the keeper and the readers both see.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    keep: Keep,
    clock: Clock,
    /// Oldest first; of the last one as much as is written.
    files: Mutex<Vec<Held>>,
    meters: Meters,
}

impl Shared {
    /// Lines older than this are as good as gone.
    fn since(&self) -> Millis {
        let age = i64::try_from(self.keep.age.as_millis()).unwrap_or(i64::MAX);
        Millis(self.clock.now().0.saturating_sub(age))
    }
}

/// The journal of a folder. When it is dropped, what was put is written first.
#[derive(Debug)]
pub struct Journal {
    /// Taken at the drop, so that the keeper sees the end.
    queue: Option<Sender<Message>>,
    keeper: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Journal {
    /// The journal in a folder's folder of its own, which is looked into when the first line comes or is asked for.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn start(disk: Arc<dyn Disk>, dir: &Path, keep: Keep, clock: Clock) -> Result<Journal> {
        let (dir, files, meters) = (dir.join("journal"), Mutex::default(), Meters::default());
        let shared = Arc::new(Shared { disk, dir, keep, clock, files, meters });
        let (queue, messages) = bounded(limits::JOURNAL_QUEUE);
        let keeper = Keeper::new(shared.clone());
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let keeper = thread.spawn(move || keeper.run(&messages));
        let keeper = keeper.map_err(|error| Error::internal("no thread for the journal").source(error))?;
        Ok(Journal { queue: Some(queue), keeper: Some(keeper), shared })
    }

    /// Puts a line, if there is room for it in the queue.
    pub fn put(&self, entry: Entry) {
        let queue = self.queue.as_ref().expect("taken only at the drop");
        let fits = entry.message.len() + entry.data.len() + limits::JOURNAL_LINE_BYTES_MAX / 16
            <= limits::JOURNAL_LINE_BYTES_MAX;
        if !fits || queue.try_send(Message::Put(entry)).is_err() {
            self.shared.meters.dropped.add(1);
        }
    }

    /// Shows lines to `visit`, newest first, all that were put before, until it breaks.
    ///
    /// # Errors
    /// Those of `visit`. Of the disk's there are none: what can't be read is not there.
    pub fn visit(&self, visit: &mut dyn FnMut(Line) -> Result<ControlFlow<()>>) -> Result<()> {
        self.settle();
        let (files, since) = (self.shared.files.lock().clone(), self.shared.since());
        let mut left = self.shared.keep.lines;
        for held in files.iter().rev() {
            for line in self.read(held).into_iter().rev() {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                if line.at >= since && visit(line)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What it counts.
    pub fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Waits until what was put is written, but not for ever: a disk may hang.
    fn settle(&self) {
        let queue = self.queue.as_ref().expect("taken only at the drop");
        let (done, settled) = bounded(1);
        if queue.send_timeout(Message::Settle(done), limits::JOURNAL_WAIT).is_ok() {
            // Too late is as good as never: what is there is shown.
            let _ = settled.recv_timeout(limits::JOURNAL_WAIT);
        }
    }

    /// The lines of a file, oldest first; none of one that was dropped meanwhile.
    fn read(&self, held: &Held) -> Vec<Line> {
        let path = self.shared.dir.join(held.name());
        let read = || {
            let file = self.shared.disk.open(&path, Open::Read)?;
            let mut bytes = vec![0; usize::try_from(held.bytes).map_err(std::io::Error::other)?];
            file.read_at(0, &mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => file::lines(&bytes).0,
            Err(error) => {
                let error: std::io::Error = error;
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.shared.meters.damaged.add(1);
                    tracing::warn!(%error, path = %path.display(), "lines of the journal can't be read");
                }
                Vec::new()
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(keeper) = self.keeper.take() {
            // What it could not write it has told.
            let _ = keeper.join();
        }
    }
}
