//! Copying the base into a smaller file while it is written and read.
//!
//! A [`Copier`], on a thread of its own, fills a new file from one view, then folds in the layers that the applier has
//! taken in since, as they wait between the two. When hardly one is left the applier folds in the rest and moves over.
//! Invariants: the file has the base's name only once it is whole, durable and where the base is; what waits is bounded,
//! past it the attempt is given up; nobody waits for the copy.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use super::ballast::has_headroom;
use super::{Applier, Flushed};
use crate::disk::Disk;
use crate::error::{Kind, Result};
use crate::limits;
use crate::state::{Applied, Base, BaseView, Filling, Layer, ScrubPlace};

/// When a base is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact {
    /// Size of its file from which it is looked at, bytes.
    pub bytes_min: u64,
    /// Time between two looks.
    pub pause: Duration,
    /// Log applied between two looks, as a part of the file's size: 16 is a sixteenth. The content can't have shrunk by
    /// very much more.
    pub log_part: u64,
    /// Layers that may wait for a copy, bytes.
    pub layers_bytes_max: usize,
}

impl Default for Compact {
    fn default() -> Compact {
        Compact {
            bytes_min: limits::COMPACT_BYTES_MIN,
            pause: limits::COMPACT_PAUSE,
            log_part: limits::COMPACT_LOG_PART,
            layers_bytes_max: limits::COMPACT_LAYERS_BYTES_MAX,
        }
    }
}

/// What is known of the base's growth.
#[derive(Debug)]
pub(super) struct Growth {
    when: Compact,
    /// Log applied since the last look, bytes.
    log_bytes: u64,
    looked: Option<Instant>,
    /// The file's size after the last copy: without growth since, there is nothing to win.
    copied_bytes: u64,
}

impl Growth {
    pub(super) fn new(when: Compact) -> Growth {
        Growth { when, log_bytes: 0, looked: None, copied_bytes: 0 }
    }

    pub(super) fn applied(&mut self, log_bytes: u64) {
        self.log_bytes += log_bytes;
    }

    /// Whether a look at a base of that size may be worth its reads.
    pub(super) fn due(&self, file_bytes: u64) -> bool {
        file_bytes >= self.when.bytes_min.max(self.copied_bytes + 1)
            && self.log_bytes >= file_bytes / self.when.log_part
            && self.looked.is_none_or(|at| at.elapsed() >= self.when.pause)
    }

    fn look(&mut self) {
        (self.log_bytes, self.looked) = (0, Some(Instant::now()));
    }
}

/// Whether a file is beyond twice what `pairs_bytes` of keys and values take in a new one, where pages are two thirds
/// full.
fn is_worth_it(file_bytes: u64, pairs_bytes: u64) -> bool {
    file_bytes > 2 * (pairs_bytes + pairs_bytes / 2)
}

/// The layers that wait for a copy.
#[derive(Debug)]
struct Waiting {
    layers: VecDeque<(Arc<Layer>, Applied)>,
    bytes: usize,
    given_up: bool,
}

/// The applier's hold on a copy that is being made.
#[derive(Debug)]
pub(super) struct Followed {
    waiting: Arc<Mutex<Waiting>>,
    bytes_max: usize,
}

impl Followed {
    /// Has a layer that the base has taken in folded into the copy too.
    pub(super) fn add(&self, layer: &Arc<Layer>, applied: Applied) {
        let mut waiting = self.waiting.lock();
        waiting.bytes += layer.bytes();
        waiting.layers.push_back((layer.clone(), applied));
        if waiting.bytes > self.bytes_max {
            waiting.give_up();
        }
    }

    /// The layers that are left; `None` when the attempt was given up.
    fn rest(&self) -> Option<VecDeque<(Arc<Layer>, Applied)>> {
        let mut waiting = self.waiting.lock();
        (!waiting.given_up).then(|| std::mem::take(&mut waiting.layers))
    }
}

impl Waiting {
    fn give_up(&mut self) {
        (self.layers, self.bytes, self.given_up) = (VecDeque::new(), 0, true);
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.waiting.lock().give_up();
    }
}

/// Makes the copy, in steps.
#[derive(Debug)]
pub struct Copier {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    cache_bytes: usize,
    file_bytes: u64,
    work: Work,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug)]
enum Work {
    /// Adding up what there is, up to a key.
    Measure { view: Arc<BaseView>, after: Vec<u8>, bytes: u64 },
    /// Copying it, up to a key.
    Fill { view: Arc<BaseView>, after: Vec<u8>, filling: Box<Filling> },
    /// Following the base.
    Follow { filling: Box<Filling> },
}

/// Where a copier is after a step.
#[derive(Debug)]
pub enum Copying {
    /// There is more to do.
    More(Copier),
    /// The applier may move over.
    Done(Box<Filling>),
    /// There is little to win, no room, or the base is written too fast.
    GivenUp(&'static str),
}

impl Copier {
    /// One piece of the work.
    ///
    /// # Errors
    /// The base's and the disk's: the copy is nothing then, the base as it was.
    pub fn step(self) -> Result<Copying> {
        let Copier { disk, dir, cache_bytes, file_bytes, work, waiting } = self;
        if waiting.lock().given_up {
            return Ok(Copying::GivenUp("the base is written faster than it is copied"));
        }
        if !has_headroom(&*disk, &dir) {
            return Ok(Copying::GivenUp("the disk is short of room"));
        }
        let work = match work {
            Work::Measure { view, mut after, mut bytes } => match measure(&view, &mut after, &mut bytes)? {
                true => Work::Measure { view, after, bytes },
                false if !is_worth_it(file_bytes, bytes) => return Ok(Copying::GivenUp("there is little to win")),
                false => {
                    let filling = Filling::begin(&*disk, &dir, cache_bytes, view.applied())?;
                    Work::Fill { view, after: Vec::new(), filling: Box::new(filling) }
                }
            },
            Work::Fill { view, mut after, mut filling } => match fill(&view, &mut after, &mut filling)? {
                true => Work::Fill { view, after, filling },
                false => Work::Follow { filling },
            },
            Work::Follow { mut filling } => {
                let next = {
                    let mut waiting = waiting.lock();
                    let next = waiting.layers.pop_front();
                    waiting.bytes -= next.as_ref().map_or(0, |(layer, _)| layer.bytes());
                    next
                };
                let Some((layer, applied)) = next else { return Ok(Copying::Done(filling)) };
                filling.apply(&layer, applied)?;
                Work::Follow { filling }
            }
        };
        Ok(Copying::More(Copier { disk, dir, cache_bytes, file_bytes, work, waiting }))
    }
}

/// Adds up a piece; whether there is more.
fn measure(view: &BaseView, after: &mut Vec<u8>, bytes: &mut u64) -> Result<bool> {
    /// Of redb for each pair.
    const PAIR: u64 = 8;
    let mut left = limits::COMPACT_PIECE_BYTES;
    for pair in view.pairs(after)? {
        let (key, value) = pair?;
        let size = key.len() + value.len();
        *bytes += size as u64 + PAIR;
        left = left.saturating_sub(size);
        if left == 0 {
            *after = key;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies a piece; whether there is more.
fn fill(view: &BaseView, after: &mut Vec<u8>, filling: &mut Filling) -> Result<bool> {
    let mut last = Vec::new();
    let mut pairs = view.pairs(after)?.inspect(|pair| {
        if let Ok((key, _)) = pair {
            last.clone_from(key);
        }
    });
    let more = filling.insert(&mut pairs, limits::COMPACT_PIECE_BYTES)?;
    *after = last;
    Ok(more)
}

impl Applier {
    /// Begins a copy of the base, if it may be worth it and there is room.
    pub fn begin_copy(&mut self) -> Option<Copier> {
        let file_bytes = self.base.file_bytes();
        if self.copy.is_some() || !self.growth.due(file_bytes) {
            return None;
        }
        self.growth.look();
        // At most half of the file is copied, and the headroom stays free.
        let room = self.disk.free_bytes(&self.dir).map_or(0, |free| free.saturating_sub(limits::DISK_HEADROOM_BYTES));
        if room < file_bytes / 2 {
            return None;
        }
        let waiting = Arc::new(Mutex::new(Waiting { layers: VecDeque::new(), bytes: 0, given_up: false }));
        self.copy = Some(Followed { waiting: waiting.clone(), bytes_max: self.growth.when.layers_bytes_max });
        let work = Work::Measure { view: self.base.view(), after: Vec::new(), bytes: 0 };
        let (disk, dir, cache_bytes) = (self.disk.clone(), self.dir.clone(), self.cache_bytes);
        Some(Copier { disk, dir, cache_bytes, file_bytes, work, waiting })
    }

    /// Moves over to a copy that is done: folds in what it lacks and gives it the base's name. The new base to be read;
    /// `None` when it was given up meanwhile, or came to nothing: the base is as it was.
    ///
    /// # Errors
    /// `OutcomeUnknown`: it is not known which of the two has the name, so the base may not be written to any more.
    pub fn end_copy(&mut self, mut filling: Filling) -> Result<Option<Flushed>> {
        let Some(rest) = self.copy.take().and_then(|copy| copy.rest()) else {
            self.drop_copy("the base is written faster than it is copied");
            return Ok(None);
        };
        let began = Instant::now();
        let done = rest.iter().try_for_each(|(layer, applied)| filling.apply(layer, *applied));
        if let Err(error) = done.and_then(|()| filling.seal()) {
            drop(filling);
            self.drop_copy(error.message());
            return Ok(None);
        }
        let before = self.base.file_bytes();
        let (disk, dir, names) = (&*self.disk, &self.dir, &self.names);
        if let Err(error) = self.base.move_to(filling, |path| names.place(disk, dir, path, &Base::path(dir))) {
            if error.kind() == Kind::OutcomeUnknown {
                return Err(error);
            }
            tracing::warn!(%error, "the tables' file could not be compacted");
            self.drop_copy(error.message());
            return Ok(None);
        }
        self.durable.set(self.applied);
        self.log_bytes = 0;
        self.growth.copied_bytes = self.base.file_bytes();
        self.scrub = ScrubPlace::default();
        let ms = began.elapsed().as_millis() as u64;
        tracing::info!(before, after = self.growth.copied_bytes, ms, "the tables' file is compacted");
        Ok(Some(Flushed { base: self.base.view(), applied: self.applied, folded: false }))
    }

    /// Gives a copy up and removes what there is of it.
    pub fn drop_copy(&mut self, why: &str) {
        self.copy = None;
        tracing::debug!(why, "the tables' file is not compacted");
        if let Err(error) = Filling::remove_leftover(&*self.disk, &self.dir) {
            tracing::debug!(%error, "a copy of the tables that came to nothing stays until the next start");
        }
    }
}

/// A copier on its thread.
#[derive(Debug, Default)]
pub(super) struct Compactor(Option<(JoinHandle<()>, Receiver<Result<Copying>>)>);

impl Compactor {
    /// Begins a copy when one is due, moves over to one that is done. A new base to be read, if there is one.
    pub(super) fn tend(&mut self, applier: &mut Applier) -> Result<Option<Flushed>> {
        let Some((_, ended)) = &self.0 else {
            self.0 = applier.begin_copy().and_then(run);
            if self.0.is_none() {
                applier.copy = None;
            }
            return Ok(None);
        };
        let Ok(outcome) = ended.try_recv() else { return Ok(None) };
        self.join();
        match outcome {
            Ok(Copying::Done(filling)) => return applier.end_copy(*filling),
            Ok(Copying::GivenUp(why)) => applier.drop_copy(why),
            Ok(Copying::More(_)) => applier.drop_copy("it was cut short"),
            Err(error) => {
                tracing::warn!(%error, "the tables' file could not be compacted");
                applier.drop_copy(error.message());
            }
        }
        Ok(None)
    }

    /// Ends a copy that is being made.
    pub(super) fn end(&mut self, applier: &mut Applier) {
        if self.0.is_some() {
            // The copier sees it at its next step.
            applier.copy = None;
            self.join();
            applier.drop_copy("the server stops");
        }
    }

    fn join(&mut self) {
        if let Some((thread, _)) = self.0.take() {
            // A panic in it has cost a copy that is not the base.
            let _ = thread.join();
        }
    }
}

fn run(copier: Copier) -> Option<(JoinHandle<()>, Receiver<Result<Copying>>)> {
    let (ended_in, ended_out) = bounded(1);
    let copy = move || {
        let mut at = Ok(Copying::More(copier));
        while let Ok(Copying::More(copier)) = at {
            at = copier.step();
        }
        // Nobody waits for it any more: it is dropped.
        let _ = ended_in.send(at);
    };
    let thread = std::thread::Builder::new().name("compactor".to_owned()).spawn(copy).ok()?;
    Some((thread, ended_out))
}
