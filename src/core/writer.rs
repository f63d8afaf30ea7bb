//! The writer: decides, logs, publishes. It owns the log's end and the fresh layer.
//!
//! Invariant: a view is published and a command answered only after the sync that covers it; a refused command leaves
//! no trace. This is the machine without its thread, so that a simulator can step it; `threads` drives it in a server.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::ballast::Ballast;
use super::decide::{Decision, Pieces, decide};
use super::role::Roles;
use super::{Flush, Flushed, Meters, Published, Role, Slots};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, DatabaseId, Generation, IndexId, NodeId, Position};
use crate::limits;
use crate::log;
use crate::model::change::{Change, Entry};
use crate::model::command::{Command, Committed, Op};
use crate::model::schema::Schema;
use crate::state::{self, Applied, Layer, Stack};
use crate::time::Millis;

/// What became of a command.
pub type Outcome = Result<Committed>;

/// Owner of the log's end and of the fresh layer.
#[derive(Debug)]
pub struct Writer {
    log: log::Writer,
    published: Arc<ArcSwap<Published>>,
    slots: Arc<Slots>,
    /// The state with the batch that is being built; equal to the published one between batches.
    stack: Stack,
    schema: Arc<Schema>,
    /// Bytes of log in the fresh layer.
    log_bytes: u64,
    /// At which it is frozen: few records that are overwritten make a small layer of much log.
    freeze_log_bytes: u64,
    /// When the fresh layer got its first write.
    fresh_since: Option<Instant>,
    /// The last entry's time: those to come are never earlier.
    last_time: Millis,
    database: DatabaseId,
    ballast: Ballast,
    pieces: Pieces,
    /// The last key that was reclaimed, and of which filling or index: the next piece goes on behind it.
    reclaimed: Option<(Garbage, Vec<u8>)>,
    /// Which of its own works the writer looks for first: they take turns.
    builds_first: bool,
    /// Whether a definition moved since such a work was last looked for.
    moved: bool,
    meters: Arc<Meters>,
    roles: Roles,
    node: NodeId,
}

/// A filling that is no longer read, or an index of one.
type Garbage = (CollectionId, Generation, Option<IndexId>);

/// What recovery and replay left.
#[derive(Debug)]
pub(super) struct Start {
    /// The state at the log's end.
    pub published: Published,
    /// Bytes of log in the fresh layer.
    pub log_bytes: u64,
    /// How long works are cut.
    pub pieces: Pieces,
    /// What the server is to its log, and who it is.
    pub role: (Role, NodeId),
    /// At which it is frozen.
    pub freeze_log_bytes: u64,
}

/// A decided command of the batch that is being built.
pub(super) struct Staged {
    pub(super) entry: Arc<Entry>,
    pub(super) payload: Vec<u8>,
}

impl Writer {
    /// Continues a recovered log with the state that was replayed from it.
    pub(super) fn new(log: log::Writer, database: DatabaseId, start: Start, ballast: Ballast) -> Writer {
        let Start { published: start, log_bytes, freeze_log_bytes, pieces, role } = start;
        let (stack, schema, last_time) = (start.stack.clone(), start.schema.clone(), start.time);
        let fresh_since = (!stack.fresh.is_empty()).then(Instant::now);
        let published = Arc::new(ArcSwap::from_pointee(start));
        Writer {
            log,
            published,
            slots: Arc::default(),
            stack,
            schema,
            log_bytes,
            freeze_log_bytes,
            fresh_since,
            last_time,
            database,
            ballast,
            pieces,
            reclaimed: None,
            builds_first: false,
            moved: true,
            meters: Arc::default(),
            roles: Roles::new(role.0),
            node: role.1,
        }
    }

    pub(super) fn roles(&self) -> Roles {
        self.roles.clone()
    }

    pub(super) fn role(&self) -> Role {
        self.roles.now()
    }

    /// There may be works that a primary before has left.
    pub(super) fn set_role(&mut self, role: Role) {
        self.roles.set(role);
        self.moved = true;
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(super) fn last_time(&self) -> Millis {
        self.last_time
    }

    pub(super) fn log_mut(&mut self) -> &mut log::Writer {
        &mut self.log
    }

    pub(super) fn has_headroom(&self) -> bool {
        self.ballast.has_headroom()
    }

    pub(super) fn give_up_ballast(&mut self) -> bool {
        self.ballast.release()
    }

    /// Folds an entry's effects into the batch.
    pub(super) fn fold(&mut self, effects: state::Effects) -> Result<()> {
        if let Some(schema) = &effects.schema {
            self.schema = Arc::new(schema.clone());
            self.moved = true;
        }
        self.stack.apply(effects)
    }

    /// What it counts.
    pub fn meters(&self) -> Arc<Meters> {
        self.meters.clone()
    }

    /// Where readers find the newest view.
    pub fn published(&self) -> Arc<ArcSwap<Published>> {
        self.published.clone()
    }

    /// Where readers find what changed when.
    pub fn slots(&self) -> Arc<Slots> {
        self.slots.clone()
    }

    /// Decides each command against the state that those before it leave, logs what is decided with one sync, and
    /// publishes. One outcome for each command, in order.
    ///
    /// # Errors
    /// The log can no longer be trusted: whatever was staged has an unknown outcome and the process has to end.
    pub fn commit(&mut self, commands: &[Command], now: Millis) -> Result<Vec<Outcome>> {
        let role = self.role();
        if role != Role::Primary {
            return Ok(commands.iter().map(|_| Err(role.refusal())).collect());
        }
        let now = now.max(self.last_time);
        let headroom = self.ballast.has_headroom();
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut staged: Vec<Staged> = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(self.stage(command, now, headroom, &mut staged)?);
        }
        match self.log_batch(&staged, now) {
            Ok(()) => {
                self.publish(now, &staged);
                self.count(&staged, &outcomes);
                Ok(outcomes)
            }
            Err(error) if error.kind() == Kind::NoSpace => {
                self.forget_batch();
                Ok(commands.iter().map(|command| self.without_space(command, now)).collect())
            }
            Err(error) => Err(error),
        }
    }

    /// What there is to say to a command that nothing can be written for: the answer that is kept for its key, if one is.
    fn without_space(&self, command: &Command, now: Millis) -> Outcome {
        match command {
            Command::Once(once, ..) => state::answered(&self.stack, *once, now)?.ok_or_else(no_space),
            _ => Err(no_space()),
        }
    }

    fn count(&self, staged: &[Staged], outcomes: &[Outcome]) {
        let refused = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        self.meters.refused.add(refused as u64);
        self.meters.committed.add((outcomes.len() - refused) as u64);
        self.meters.batch.put(outcomes.len() as u64);
        self.meters.logged_bytes.add(staged.iter().map(|one| one.payload.len() as u64).sum());
    }

    /// Decides one command and folds its effects into the batch. A refusal is an outcome; an error is one after which
    /// the batch is no longer whole.
    fn stage(&mut self, command: &Command, now: Millis, headroom: bool, staged: &mut Vec<Staged>) -> Result<Outcome> {
        if !headroom && !frees_space(command) {
            return Ok(self.without_space(command, now));
        }
        let position = self.log.next();
        let decided = decide(&self.schema, &self.stack, position, command, now, self.pieces).and_then(|decision| {
            let payload = log::encode(&decision.entry)?;
            Ok((decision, payload))
        });
        let (Decision { entry, committed }, payload) = match decided {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if entry.changes.is_empty() {
            return Ok(Ok(committed));
        }
        let effects = state::effects(&self.schema, position, &entry)?;
        self.fold(effects)?;
        let entry = Arc::new(entry);
        let logged = self.log.stage(now, entry.clone(), &payload);
        debug_assert_eq!(logged, position, "an entry is logged at the position it was decided for");
        if let Some((garbage, keys)) = entry.changes.last().and_then(reclaimed) {
            self.reclaimed = keys.last().map(|key| (garbage, key.clone()));
        }
        staged.push(Staged { entry, payload });
        Ok(Ok(committed))
    }

    /// Makes the staged entries durable, giving up the ballast if that is what it takes.
    fn log_batch(&mut self, staged: &[Staged], now: Millis) -> Result<()> {
        if staged.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let done = self.log.commit();
        self.meters.sync.put_time(began.elapsed());
        match done {
            Err(error) if error.kind() == Kind::NoSpace && self.ballast.release() => {
                for one in staged {
                    self.log.stage(now, one.entry.clone(), &one.payload);
                }
                self.log.commit()
            }
            done => done,
        }
    }

    /// The change slots, the view, then the position: whoever finds the second finds the first, whoever is woken by the
    /// third finds both.
    pub(super) fn publish(&mut self, now: Millis, staged: &[Staged]) {
        if staged.is_empty() {
            return;
        }
        self.last_time = self.last_time.max(now);
        self.log_bytes += staged.iter().map(|one| one.payload.len() as u64).sum::<u64>();
        self.fresh_since.get_or_insert_with(Instant::now);
        let position = self.log.position();
        for one in staged {
            self.slots.note(&one.entry, position.seq);
        }
        self.show();
        self.log.publish();
    }

    fn show(&self) {
        let (position, chain, time) = (self.log.position(), self.log.chain(), self.last_time);
        let view = Published { position, chain, time, schema: self.schema.clone(), stack: self.stack.clone() };
        self.published.store(Arc::new(view));
    }

    /// Back to the last published state: nothing of the batch was written.
    pub(super) fn forget_batch(&mut self) {
        let published = self.published.load();
        self.stack = published.stack.clone();
        self.schema = published.schema.clone();
        // A piece of it may be among what was not written.
        self.reclaimed = None;
    }

    /// Freezes the fresh layer when it is big or old enough (or `now`, if not empty) and the last frozen one is back.
    pub fn freeze(&mut self, now: bool) -> Option<Flush> {
        let since = self.fresh_since?;
        let due = now
            || self.stack.fresh.bytes() >= limits::FRESH_BYTES_FREEZE
            || self.log_bytes >= self.freeze_log_bytes
            || since.elapsed() >= limits::FRESH_AGE_FREEZE;
        if !due || self.stack.frozen.is_some() {
            return None;
        }
        let layer = Arc::new(std::mem::take(&mut self.stack.fresh));
        self.stack.frozen = Some(layer.clone());
        self.fresh_since = None;
        let position = self.log.position();
        self.show();
        let applied = Applied { database: self.database, position, chain: self.log.chain(), time: self.last_time };
        Some(Flush { layer, applied, log_bytes: std::mem::take(&mut self.log_bytes) })
    }

    /// Reads from the new base on; the layer that is in it goes.
    pub fn adopt(&mut self, flushed: Flushed) {
        debug_assert!(flushed.applied <= self.log.position().seq, "the base is never ahead of the log");
        self.stack.base = flushed.base;
        if flushed.folded {
            self.stack.frozen = None;
        }
        self.show();
    }

    /// Whether the layers in memory have reached their bound: the applier must come first.
    pub fn is_full(&self) -> bool {
        let frozen = self.stack.frozen.as_ref().map_or(0, |layer: &Arc<Layer>| layer.bytes());
        self.stack.frozen.is_some() && self.stack.fresh.bytes() + frozen >= limits::LAYERS_BYTES_MAX
    }

    /// Whether there is another layer to freeze before the applier has taken the last one.
    pub fn is_behind(&self) -> bool {
        self.stack.frozen.is_some() && self.stack.fresh.bytes() >= limits::FRESH_BYTES_FREEZE
    }

    /// Whether a frozen layer is on its way.
    pub fn is_flushing(&self) -> bool {
        self.stack.frozen.is_some()
    }

    /// Whether no write waits in the fresh layer.
    pub fn is_clean(&self) -> bool {
        self.fresh_since.is_none()
    }

    /// What to do when there is nothing to do: mark the log's end durable, see to the ballast.
    ///
    /// # Errors
    /// The log can no longer be trusted.
    pub fn idle(&mut self) -> Result<()> {
        self.ballast.restore();
        self.log.mark()
    }

    /// Whether a definition moved since [`Writer::work`] was last asked: there may be more for it to do.
    pub fn may_have_work(&self) -> bool {
        self.moved
    }

    /// The next piece of the server's own works, if there is any: keys of what is no longer read to be removed, rows to
    /// get their entries in an index that is being built or be seen to for a staged definition. What is to be done is found in the state, so a restart goes on.
    ///
    /// # Errors
    /// The state's.
    pub fn work(&mut self) -> Result<Option<Command>> {
        self.moved = false;
        // A follower's are in what it is sent.
        if self.role() != Role::Primary {
            return Ok(None);
        }
        self.builds_first = !self.builds_first;
        let (build, reclaim) = (self.build()?, self.reclaim()?);
        Ok(if self.builds_first { build.or(reclaim) } else { reclaim.or(build) })
    }

    /// Whether there are answers past their age, to be forgotten.
    ///
    /// # Errors
    /// The state's.
    pub fn has_old_answers(&self, now: Millis) -> Result<bool> {
        if self.role() != Role::Primary {
            return Ok(false);
        }
        let oldest = state::answers(&self.stack)?.oldest;
        let line = state::lines(&self.stack, oldest)?.next().transpose()?;
        Ok(line.is_some_and(|line| state::is_over_age(line.time, now)))
    }

    fn build(&self) -> Result<Option<Command>> {
        let building = state::building(&self.stack)?;
        Ok(building.map(|(collection, generation, index)| {
            if state::is_reshape(index) {
                Command::Reshape { collection, generation }
            } else {
                Command::Backfill { collection, generation, index }
            }
        }))
    }

    fn reclaim(&self) -> Result<Option<Command>> {
        let garbage = state::garbage(&self.stack)?;
        Ok(garbage.map(|garbage| {
            let (collection, generation, index) = garbage;
            let last = self.reclaimed.as_ref().filter(|last| last.0 == garbage);
            Command::Reclaim { collection, generation, index, after: last.map(|last| last.1.clone()) }
        }))
    }

    /// The last durable position.
    pub fn position(&self) -> Position {
        self.log.position()
    }

    /// Marks the end and closes the log.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(self) -> Result<()> {
        self.log.close()
    }
}

/// What is let through on a full disk: it makes room in the end.
fn frees_space(command: &Command) -> bool {
    match command.deed() {
        Command::Write(writes) => writes.iter().all(|write| matches!(write.op, Op::Delete { .. })),
        Command::Drop(_) | Command::Truncate(_) | Command::Reclaim { .. } | Command::Forget => true,
        Command::Define(_)
        | Command::Redefine(_)
        | Command::Load { .. }
        | Command::Stage(_)
        | Command::Apply(_)
        | Command::Backfill { .. }
        | Command::Reshape { .. }
        | Command::Advance(_)
        | Command::Rewind(_)
        | Command::Work(_)
        | Command::Once(..) => false,
    }
}

/// What a change has reclaimed, and which keys of it.
fn reclaimed(change: &Change) -> Option<(Garbage, &[Vec<u8>])> {
    match change {
        Change::Reclaimed { collection, generation, keys, .. } => Some(((*collection, *generation, None), keys)),
        Change::Unindexed { collection, generation, index, keys, .. } => {
            Some(((*collection, *generation, Some(*index)), keys))
        }
        _ => None,
    }
}

fn no_space() -> Error {
    Error::new(Kind::NoSpace, "the disk is full: nothing was changed; reads and deletes go on")
}
