//! Orders to the writer that are no client's commands: to log what another server has logged, to begin an epoch, to take no
//! more writes, to leave the folder as it is for the next start to make another one of it.
//!
//! Invariant: an order is carried out between two batches and answered when it is on disk, as commands are.

use std::path::Path;

use tokio::sync::oneshot;

use super::applier::Durable;
use super::desk::{outcome_unknown, refuse_orders, stopping};
use super::{Core, Role, Writer, plant, rejoin};
use crate::disk::Disk;
use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::log;
use crate::time::Millis;

/// What is asked of the writer.
#[derive(Debug)]
pub(super) enum Order {
    /// To log these frames as they are.
    Ingest(Vec<u8>),
    /// To begin an epoch of its own, whose counter is over this one.
    Begin(u32),
    /// To log nothing of its own any more.
    Yield(Role),
    /// To log nothing more, as the next start makes the folder another one.
    Leave(Leaving),
}

/// What the next start does before it reads anything.
#[derive(Debug)]
pub(super) enum Leaving {
    /// A follower cuts its log behind this entry.
    Cut(log::Origin),
    /// A follower is made of its primary's snapshot.
    Plant(plant::Note),
    /// A primary is made of a backup, and begins an epoch.
    Restore(plant::Note),
}

impl Leaving {
    /// Who may.
    fn role(&self) -> Role {
        match self {
            Leaving::Cut(_) | Leaving::Plant(_) => Role::Follower,
            Leaving::Restore(_) => Role::Primary,
        }
    }

    fn note(&self, now: Position, ground: &Ground<'_>) -> Result<()> {
        let Ground { disk, dir, .. } = ground;
        match self {
            Leaving::Cut(last) => rejoin::sow(*disk, dir, *last),
            Leaving::Plant(note) => note.store(*disk, dir),
            Leaving::Restore(note) => note.begin_above(now.epoch.counter).store(*disk, dir),
        }
    }

    fn forget(&self, ground: &Ground<'_>) -> Result<()> {
        match self {
            Leaving::Cut(_) => rejoin::forget(ground.disk, ground.dir),
            Leaving::Plant(_) | Leaving::Restore(_) => plant::forget(ground.disk, ground.dir),
        }
    }
}

/// The code of tables that are durably behind the entry at which the log was to be cut.
pub(super) const PAST_THE_FORK: &str = "past_the_fork";

/// What orders are about beside the writer.
pub(super) struct Ground<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) dir: &'a Path,
    pub(super) durable: &'a Durable,
}

/// An order waiting for its outcome.
#[derive(Debug)]
pub(super) struct Ordered {
    pub(super) order: Order,
    pub(super) answer: oneshot::Sender<Result<Position>>,
}

impl Ordered {
    /// Carries it out.
    ///
    /// # Errors
    /// The log can no longer be trusted: the outcome is unknown.
    pub(super) fn obey(self, writer: &mut Writer, now: Millis, ground: &Ground<'_>) -> Result<()> {
        let durable = ground.durable;
        let done = match self.order {
            Order::Ingest(frames) => writer.ingest(&frames),
            Order::Begin(above) => {
                let begun = begun(writer, above, now, ground);
                // What a primary has logged is never cut off by itself.
                if matches!(begun, Ok(Ok(_))) {
                    durable.hold(false);
                }
                begun
            }
            Order::Yield(role) => {
                durable.hold(true);
                Ok(writer.give_way(role))
            }
            Order::Leave(leaving) => left(writer, &leaving, ground),
        };
        let (outcome, fatal) = match done {
            Ok(outcome) => (outcome, None),
            Err(error) => (Err(outcome_unknown()), Some(error)),
        };
        // Whoever hung up is not told.
        let _ = self.answer.send(outcome);
        fatal.map_or(Ok(()), Err)
    }
}

/// What would go with the folder is not begun. What goes on from the log as it is must not find it cut.
fn begun(writer: &mut Writer, above: u32, now: Millis, ground: &Ground<'_>) -> Result<Result<Position>> {
    if writer.roles().is_leaving() {
        let message =
            "the server is about to start again on a backup, a snapshot or an older part of its log: wait for that";
        return Ok(Err(Error::new(Kind::Conflict, message).code("follower_not_whole")));
    }
    if let Err(error) = rejoin::forget(ground.disk, ground.dir) {
        return Ok(Err(error));
    }
    let begun = match writer.begin(above, now)? {
        Err(error) if error.kind() == Kind::NoSpace && writer.give_up_ballast() => writer.begin(above, now)?,
        begun => begun,
    };
    // One that was restored and then fenced has begun nothing yet: now it has, and the next start must not make it anew.
    if begun.is_ok() {
        plant::forget(ground.disk, ground.dir)?;
    }
    Ok(begun)
}

/// Logs nothing more, once it is noted what the next start does. The inner error is a refusal: nothing has changed.
///
/// # Errors
/// A note may be there that is not to be: what would be logged from here on would go with it.
fn left(writer: &mut Writer, leaving: &Leaving, ground: &Ground<'_>) -> Result<Result<Position>> {
    let (role, durable) = (leaving.role(), ground.durable);
    if writer.role() != role || writer.roles().is_leaving() {
        return Ok(Err(if role == Role::Primary { writer.role().refusal() } else { not_a_follower() }));
    }
    let was_held = durable.is_held();
    if let Leaving::Cut(last) = leaving {
        durable.hold(true);
        if durable.get() > last.position.seq {
            durable.hold(was_held);
            return Ok(Err(Error::new(Kind::Conflict, "the tables are durably past the fork").code(PAST_THE_FORK)));
        }
    }
    if let Err(error) = leaving.note(writer.position(), ground) {
        leaving.forget(ground)?;
        durable.hold(was_held);
        return Ok(Err(error));
    }
    writer.roles().leave();
    if role == Role::Primary {
        writer.set_role(Role::Fenced);
    }
    Ok(Ok(writer.position()))
}

impl Core {
    /// Logs frames that another server has logged, as [`crate::log::Reader::ship`] gave them there, and publishes what they
    /// do. Returns the last position.
    ///
    /// # Errors
    /// `Conflict` with code `diverged` for what does not go on from this log's end; `Damaged` for what is no entry, or none
    /// that fits this state; `NoSpace`; `Conflict` with code `not_a_follower`: nothing was logged. `OutcomeUnknown`.
    pub async fn ingest(&self, frames: Vec<u8>) -> Result<Position> {
        self.order(Order::Ingest(frames)).await
    }

    /// Begins an epoch of this server, whose counter is over `above` and over that of the last entry: from here on it is the
    /// primary. Returns the position of the entry that says so.
    ///
    /// # Errors
    /// `Conflict` with code `follower_not_whole` when the next start makes the folder another one; `NoSpace`;
    /// `OutcomeUnknown`.
    pub async fn begin(&self, above: u32) -> Result<Position> {
        self.order(Order::Begin(above)).await
    }

    /// Takes no more writes: those that were asked before are done or refused. Returns the last position.
    ///
    /// # Errors
    /// `Unavailable` when the server stops.
    pub async fn give_way(&self, role: Role) -> Result<Position> {
        self.order(Order::Yield(role)).await
    }

    pub(super) async fn order(&self, order: Order) -> Result<Position> {
        let (answer, outcome) = oneshot::channel();
        let mut ordered = Ordered { order, answer };
        let (orders, late) = self.orders();
        while let Err(error) = orders.try_send(ordered) {
            ordered = match error {
                crossbeam_channel::TrySendError::Full(ordered) if !self.is_ended() => ordered,
                _ => return Err(stopping()),
            };
            tokio::time::sleep(super::threads::ROOM_TICK).await;
        }
        // Either the writer's last look at its orders finds it, or this finds that it has looked.
        if self.is_ended() {
            refuse_orders(late);
        }
        outcome.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// What is said to frames that come to a server which does not follow.
pub(super) fn not_a_follower() -> Error {
    Error::new(Kind::Conflict, "this server follows none").code("not_a_follower")
}
