//! A request carried out on the threads of the scan pool: its sources are cut into pieces, and a thread that has nothing to
//! do takes one, or half of what another is walking.
//!
//! Invariants: no thread waits for another: who is at work looks now and then whether a thread is free, and calls it to
//! what is left; one that comes late finds nothing. The worker that ends last tells the answer. A caller that has gone, or a deadline that is past, ends all of
//! them within a few hundred rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::answer;
use super::resolve::Resolved;
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Seq};
use crate::limits;
use crate::model::aggregate::{Aggregation, Table};
use crate::service::cache::Needs;
use crate::service::places::Place;
use crate::service::relations::OVER as OVER_BUDGET;
use crate::service::scan_pool::Hands;
use crate::state::aggregate::{self, Groups, Held, Range, Source, Watch, Way};

/// A request that is carried out.
pub(super) struct Run {
    resolved: Resolved,
    request: Arc<Aggregation>,
    deadline: Instant,
    hands: Hands,
    rows: AtomicUsize,
    held: Held,
    /// Set when nobody waits for it any more.
    over: Arc<AtomicBool>,
    /// Set when the work that it is a part of is to end.
    ends: Arc<AtomicBool>,
    sources: Vec<State>,
    work: Mutex<Work>,
    told: Mutex<Option<oneshot::Sender<Result<Ended>>>>,
    _place: Place,
}

/// What it has come to.
pub(super) struct Done {
    pub(super) body: Vec<u8>,
    /// Of which collection it is kept.
    pub(super) of: CollectionId,
    /// What it depends on; `None` where it is not to be kept.
    pub(super) needs: Option<Needs>,
    /// Of the view that was read.
    pub(super) at: Seq,
}

/// A run that has ended.
pub(super) enum Ended {
    /// With its answer.
    Told(Done),
    /// For what is still to come of other servers.
    Waiting(Arc<Run>),
}

/// How a source was carried out.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) index: Option<Box<str>>,
    pub(super) index_only: bool,
    /// Rows and entries that were looked at.
    pub(super) rows: usize,
    /// Pieces that it was walked in.
    pub(super) pieces: usize,
}

/// One source on its way.
#[derive(Default)]
struct State {
    groups: Mutex<Groups>,
    failed: Mutex<Option<Error>>,
    way: Mutex<Option<Arc<Way>>>,
    rows: AtomicUsize,
    pieces: AtomicUsize,
}

/// What nobody has taken yet, and how many are at work.
struct Work {
    left: Vec<Piece>,
    workers: usize,
}

/// A part of the work.
enum Piece {
    /// A source that is to be planned.
    Source(usize),
    /// A range of one; all of it, where it can't be cut.
    Range(usize, Arc<Way>, Option<Range>),
}

/// Ends a run when it is dropped.
pub(super) struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Caller {
    /// One that waits, and what tells that it does not any more.
    pub(super) fn new() -> (Caller, Arc<AtomicBool>) {
        let over = Arc::new(AtomicBool::new(false));
        (Caller(over.clone()), over)
    }
}

impl Run {
    /// Carries a request out from the thread that this is called on; `told` hears what comes of it.
    pub(super) fn start(
        resolved: Resolved,
        request: Arc<Aggregation>,
        deadline: Instant,
        hands: Hands,
        (over, ends): (Arc<AtomicBool>, Arc<AtomicBool>),
        (told, place): (oneshot::Sender<Result<Ended>>, Place),
    ) {
        let count = resolved.sources.len();
        // The first is taken first.
        let left = (0..count).rev().filter(|at| resolved.sources[*at].is_some()).map(Piece::Source).collect();
        let run = Arc::new(Run {
            resolved,
            request,
            deadline,
            hands,
            rows: AtomicUsize::new(limits::QUERY_ROWS_MAX),
            held: Held::default(),
            over,
            ends,
            sources: (0..count).map(|_| State::default()).collect(),
            work: Mutex::new(Work { left, workers: 0 }),
            told: Mutex::new(Some(told)),
            _place: place,
        });
        if run.work.lock().left.is_empty() {
            run.tell(|| Ok(Ended::Waiting(run.clone())));
        }
        run.work();
    }

    /// Works until nothing is left to take; the last to end tells the answer.
    fn work(self: &Arc<Run>) {
        let mut next = self.begin();
        while let Some(piece) = next {
            self.call_others();
            let source = match &piece {
                Piece::Source(source) | Piece::Range(source, ..) => *source,
            };
            let done = catch_unwind(AssertUnwindSafe(|| self.carry_out(piece)));
            match done.unwrap_or_else(|_| Err(Error::internal("an aggregate panicked"))) {
                Err(error) if self.request.partial => {
                    self.sources[source].failed.lock().get_or_insert(error);
                }
                Err(error) => self.tell(|| Err(error)),
                Ok(()) => {}
            }
            next = self.next();
        }
    }

    fn begin(&self) -> Option<Piece> {
        let mut work = self.work.lock();
        let piece = work.left.pop()?;
        work.workers += 1;
        Some(piece)
    }

    fn next(self: &Arc<Run>) -> Option<Piece> {
        let mut work = self.work.lock();
        if !self.is_over()
            && let Some(piece) = work.left.pop()
        {
            return Some(piece);
        }
        work.workers -= 1;
        if work.workers == 0 && work.left.is_empty() {
            drop(work);
            let run = self.clone();
            match self.resolved.sources.iter().all(Option::is_some) {
                true => self.tell(|| answer::of(&run, Vec::new()).map(Ended::Told)),
                false => self.tell(|| Ok(Ended::Waiting(run))),
            }
        }
        None
    }

    /// Tells what came of it, if nobody has, and that it is over.
    fn tell(&self, outcome: impl FnOnce() -> Result<Ended>) {
        let Some(told) = self.told.lock().take() else { return };
        let outcome = catch_unwind(AssertUnwindSafe(outcome));
        // A caller that has gone is no fault.
        let _ = told.send(outcome.unwrap_or_else(|_| Err(Error::internal("an aggregate panicked"))));
        self.over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.ends.load(Ordering::Relaxed)
    }

    /// Gives a free thread a worker, if there is something to take.
    fn call_others(self: &Arc<Run>) {
        if self.hands.are_free() && !self.work.lock().left.is_empty() {
            let run = self.clone();
            self.hands.give(move || run.work());
        }
    }

    fn carry_out(self: &Arc<Run>, piece: Piece) -> Result<()> {
        match piece {
            Piece::Source(source) => self.planned(source),
            Piece::Range(source, way, range) => self.scanned(source, &way, range.as_ref()),
        }
    }

    fn planned(self: &Arc<Run>, number: usize) -> Result<()> {
        let (Some(source), state) = (&self.resolved.sources[number], &self.sources[number]) else { return Ok(()) };
        let stack = &self.resolved.view.stack;
        if aggregate::counted(stack, source, &self.held, &mut state.groups.lock())? {
            return Ok(());
        }
        let way = aggregate::way(stack, source, self.rows.load(Ordering::Relaxed), self.deadline);
        let way = Arc::new(way.map_err(|error| self.late(error))?);
        *state.way.lock() = Some(way.clone());
        let mut pieces: Vec<Piece> =
            way.ranges.iter().map(|range| Piece::Range(number, way.clone(), Some(range.clone()))).collect();
        if way.is_whole() {
            pieces.push(Piece::Range(number, way.clone(), None));
        }
        pieces.reverse();
        self.work.lock().left.append(&mut pieces);
        Ok(())
    }

    fn scanned(self: &Arc<Run>, number: usize, way: &Arc<Way>, range: Option<&Range>) -> Result<()> {
        let (Some(source), state) = (&self.resolved.sources[number], &self.sources[number]) else { return Ok(()) };
        if state.failed.lock().is_some() {
            return Ok(());
        }
        state.pieces.fetch_add(1, Ordering::Relaxed);
        let mut groups = Groups::default();
        let watch = Watching { run: self, number, way };
        let budget = aggregate::Bounds { deadline: self.deadline, held: &self.held, watch: &watch };
        aggregate::scan(&self.resolved.view.stack, source, way, range, &budget, &mut groups)
            .map_err(|error| self.late(error))?;
        // Merged with no lock held: what others put there meanwhile is taken and merged as well.
        loop {
            let mut kept = state.groups.lock();
            if kept.is_empty() {
                *kept = groups;
                return Ok(());
            }
            let others = std::mem::take(&mut *kept);
            drop(kept);
            groups.merge(&source.grouping, others, &self.held)?;
        }
    }

    /// What went wrong when the time was over went wrong by that.
    fn late(&self, error: Error) -> Error {
        if error.code_str() == OVER_BUDGET && Instant::now() > self.deadline { too_late() } else { error }
    }

    /// What came of each source of this server, in the order of the request, and how it was carried out; none of those that
    /// are not this server's.
    pub(super) fn outcomes(&self) -> Vec<Option<(Result<Table>, Told)>> {
        let outcome = |(source, state): (&Option<Source>, &State)| {
            let source = source.as_ref()?;
            let groups = std::mem::take(&mut *state.groups.lock());
            let table = match state.failed.lock().take() {
                Some(error) => Err(error),
                None => groups.finish(&source.grouping, &source.input(), &self.held),
            };
            let (index, index_only) = state.way.lock().as_ref().map_or((None, true), |way| way.explained());
            let index = index.and_then(|id| {
                let collection = source.schema.get(source.query.collection)?;
                Some(collection.index(id)?.name.clone())
            });
            let (rows, pieces) = (state.rows.load(Ordering::Relaxed), state.pieces.load(Ordering::Relaxed));
            Some((table, Told { index, index_only, rows, pieces }))
        };
        self.resolved.sources.iter().zip(&self.sources).map(outcome).collect()
    }

    pub(super) fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    pub(super) fn request(&self) -> &Aggregation {
        &self.request
    }
}

/// The refusal of what takes too long.
pub(super) fn too_late() -> Error {
    Error::new(Kind::Timeout, "it took longer than it may: give it more time, by timeout, or less to do")
}

/// A worker on a range of a source.
struct Watching<'r> {
    run: &'r Arc<Run>,
    number: usize,
    way: &'r Arc<Way>,
}

impl Watch for Watching<'_> {
    fn came(&self, rows: usize) -> Result<()> {
        self.run.sources[self.number].rows.fetch_add(rows, Ordering::Relaxed);
        // Each scan's own allowance ends at what was left when it began; together they end here.
        let spent = self.run.rows.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(rows));
        if spent.is_err() {
            let message =
                "the aggregate looks at too many rows: add an index over the fields of its filter, or narrow it";
            return Err(Error::new(Kind::Unprocessable, message).code(OVER_BUDGET));
        }
        if self.run.is_over() {
            // Nobody hears it.
            return Err(Error::new(Kind::Timeout, "the caller has gone"));
        }
        Ok(())
    }

    fn left(&self) -> usize {
        self.run.rows.load(Ordering::Relaxed)
    }

    fn is_shared(&self) -> bool {
        self.run.hands.are_free()
    }

    fn give(&self, range: Range) {
        let piece = Piece::Range(self.number, self.way.clone(), Some(range));
        self.run.work.lock().left.push(piece);
        self.run.call_others();
    }
}
