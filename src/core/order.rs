//! Orders to the writer that are no client's commands: to log what another server has logged, to begin an epoch, to take no
//! more writes, to have the log cut at the next start.
//!
//! Invariant: an order is carried out between two batches and answered when it is on disk, as commands are.

use std::path::Path;

use tokio::sync::oneshot;

use super::desk::{outcome_unknown, refuse_orders, stopping};
use super::{Core, Role, Writer, rejoin};
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
    /// To log nothing more, as the next start cuts the log behind this entry.
    Cut(log::Origin),
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
    pub(super) fn obey(self, writer: &mut Writer, now: Millis, folder: (&dyn Disk, &Path)) -> Result<()> {
        let (disk, dir) = folder;
        let done = match self.order {
            Order::Ingest(frames) => writer.ingest(&frames),
            // What goes on from the log as it is must not find it cut.
            Order::Begin(above) => match rejoin::forget(disk, dir) {
                Ok(()) => writer.begin(above, now),
                Err(error) => Ok(Err(error)),
            },
            Order::Yield(role) => Ok(writer.give_way(role)),
            Order::Cut(last) => Ok(writer.leave(|| rejoin::sow(disk, dir, last))),
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
    /// `NoSpace`; `OutcomeUnknown`.
    pub async fn begin(&self, above: u32) -> Result<Position> {
        let begun = self.order(Order::Begin(above)).await?;
        self.hold_tables(false);
        Ok(begun)
    }

    /// Takes no more writes: those that were asked before are done or refused. Returns the last position.
    ///
    /// # Errors
    /// `Unavailable` when the server stops.
    pub async fn give_way(&self, role: Role) -> Result<Position> {
        let was = self.role();
        self.hold_tables(true);
        self.order(Order::Yield(role)).await.inspect_err(|_| self.hold_tables(was != Role::Primary))
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
