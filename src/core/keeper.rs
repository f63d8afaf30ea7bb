//! The keeper: trims the log, takes the local snapshots that a trim needs, and looks both over. In small steps, on a thread of its own;
//! neither the writer nor the applier waits for it.
//!
//! Invariant: the log goes only up to where both the tables' last durable commit and a whole, synced snapshot reach, so
//! a damaged base can always be rebuilt. What fails here without touching the log is tried again later.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::applier::Durable;
use super::chores::Chores;
use super::leases::Leases;
use super::local::{self, Snapshot};
use super::names::Names;
use super::pace::Pace;
use super::retention::{self, Keep, Needs};
use super::{Applier, Published, Settings, Writer};
use crate::disk::Disk;
use crate::error::{Kind, Result};
use crate::id::Seq;
use crate::log;
use crate::model::handler::{HANDLERS, is_enabled};
use crate::state;
use crate::time::Millis;

/// Pause after something that failed.
const RETRY: Duration = Duration::from_secs(30);

/// Owner of the log's begin and of the local snapshot.
#[derive(Debug)]
pub struct Keeper {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    names: Names,
    keep: Keep,
    trimmer: log::Trimmer,
    published: Arc<ArcSwap<Published>>,
    durable: Durable,
    leases: Leases,
    chores: Chores,
    snapshot: Option<Snapshot>,
    scrub: log::Scrub,
    pace: Pace,
    /// After a failure: when to try again.
    rest_until: Option<Instant>,
}

impl Keeper {
    /// Keeps the log of an opened folder.
    ///
    /// # Errors
    /// The disk's. A snapshot that can't be read is no error: another one is due.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: &Settings,
        (trimmer, scrub): (log::Trimmer, log::Scrub),
        writer: &Writer,
        applier: &Applier,
    ) -> Result<Keeper> {
        let snapshot = match local::find(&*disk, dir) {
            Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Unprocessable) => {
                tracing::error!(%error, "the snapshot can't be used: another one is taken");
                None
            }
            found => found?,
        };
        Ok(Keeper {
            disk,
            dir: dir.to_owned(),
            names: applier.names(),
            keep: settings.keep,
            trimmer,
            published: writer.published(),
            durable: applier.durable_mark(),
            leases: Leases::default(),
            chores: applier.chores(),
            snapshot,
            scrub,
            pace: Pace::new(settings.scrub),
            rest_until: None,
        })
    }

    /// Who still needs the log.
    pub fn leases(&self) -> Leases {
        self.leases.clone()
    }

    /// The snapshot that is there.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.snapshot
    }

    /// Does one thing of what there is to do, if any; whether it did. `ends` cuts a long one short.
    ///
    /// # Errors
    /// The log or a folder can no longer be trusted: the process has to end.
    pub fn step(&mut self, now: Millis, ends: &dyn Fn() -> bool) -> Result<bool> {
        if self.chores.log().begins() {
            self.scrub.restart();
        }
        if self.chores.log().is_on() {
            if self.scrub(ends) {
                self.chores.log().end();
            }
            return Ok(true);
        }
        let asked = self.chores.take_trim();
        if !asked && self.rest_until.is_some_and(|until| Instant::now() < until) {
            return Ok(false);
        }
        self.rest_until = None;
        match self.try_step(now, asked, ends) {
            Err(error) if error.kind() == Kind::OutcomeUnknown => Err(error),
            Err(error) => {
                if !ends() {
                    tracing::warn!(%error, "the log could not be trimmed: it is tried again later");
                }
                self.rest_until = Some(Instant::now() + RETRY);
                Ok(false)
            }
            done => done,
        }
    }

    fn try_step(&mut self, now: Millis, asked: bool, ends: &dyn Fn() -> bool) -> Result<bool> {
        // What goes follows in the next steps.
        if asked && self.take_snapshot(ends)? {
            return Ok(true);
        }
        let segments = self.trimmer.segments()?;
        let safe = self.snapshot.map_or(Seq::ZERO, |snapshot| snapshot.seq.min(self.durable.get()));
        let handlers = handlers_floor(&self.published.load())?;
        let leased = self.leases.floor().into_iter().chain(handlers).min();
        let needs = Needs { safe, leased, now };
        let keep_from = retention::keep_from(&segments, &self.keep, &needs);
        if self.trimmer.trim_one(keep_from)? {
            tracing::debug!(keep_from = keep_from.0, "a segment of the log is trimmed");
            return Ok(true);
        }
        if retention::snapshot_due(&segments, &self.keep, self.snapshot.as_ref()) && self.take_snapshot(ends)? {
            return Ok(true);
        }
        // A segment or the snapshot at a time.
        let all = self.scrub.segments() as u64 + 1;
        if self.pace.due(all, 1, 1, Instant::now()).is_some() {
            self.scrub(ends);
        }
        Ok(false)
    }

    /// Verifies the next old segment, or, after the last of them, the snapshot. Damage is told, and the server goes on:
    /// nothing that it answers comes from there, and what reads there verifies it again. A damaged snapshot is replaced.
    /// `ends` cuts that short, and then nothing is said of it. Whether that was the end of a round.
    pub fn scrub(&mut self, ends: &dyn Fn() -> bool) -> bool {
        match self.scrub.step() {
            Ok(true) => return false,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "an old segment of the log can't be read; the tables are not touched by it");
                return false;
            }
        }
        if self.snapshot.is_some()
            && let Err(error) = local::verify_until(&*self.disk, &self.dir, ends)
        {
            if error.kind() == Kind::Unavailable {
                return false;
            }
            tracing::error!(%error, "the snapshot can't be used: another one is taken");
            self.snapshot = None;
        }
        true
    }

    /// Of the base alone: what lies above it comes from the log. The view is let go when it is written.
    fn take_snapshot(&mut self, ends: &dyn Fn() -> bool) -> Result<bool> {
        let view = self.published.load().stack.base.clone();
        let seq = view.applied().position.seq;
        if self.snapshot.is_some_and(|last| last.seq >= seq) || seq == Seq::ZERO {
            return Ok(false);
        }
        let began = Instant::now();
        let snapshot = local::write(&self.disk, &self.dir, &self.names, &view, ends)?;
        let ms = began.elapsed().as_millis() as u64;
        tracing::debug!(seq = snapshot.seq.0, bytes = snapshot.bytes, ms, "a local snapshot is taken");
        self.snapshot = Some(snapshot);
        Ok(true)
    }
}

/// The first entry that an enabled handler still needs. It is looked for here, and not leased by those who carry handlers
/// out, so that none that begins, fails or is tried again is without it for a moment.
fn handlers_floor(view: &Published) -> Result<Option<Seq>> {
    let Some(own) = view.schema.find(HANDLERS) else { return Ok(None) };
    let mut floor = None;
    for pair in state::cursors(&view.stack)? {
        let (id, cursor) = pair?;
        let record = state::record(&view.stack, own, &id)?;
        if record.is_some_and(|record| is_enabled(own, &record.fields)) {
            floor = floor.into_iter().chain([cursor.whole().next()]).min();
        }
    }
    Ok(floor)
}
