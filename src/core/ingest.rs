//! What the writer does by order: it logs what another server has decided, and begins and ends its own reign.
//!
//! Invariant: frames of another server go through the same effects, layers and group commit as the server's own; nothing
//! of them is judged again, but for whether they go on from here.

use std::sync::Arc;

use super::order::not_a_follower;
use super::writer::Staged;
use super::{Role, Writer};
use crate::error::{Error, Kind, Result};
use crate::id::{Epoch, Position};
use crate::log::{self, Shipped};
use crate::model::change::{Change, Entry};
use crate::state;
use crate::time::Millis;

impl Writer {
    /// Logs frames as they are, with one sync, and publishes what they do. The inner error is a refusal: nothing was logged.
    ///
    /// # Errors
    /// The log can no longer be trusted.
    pub fn ingest(&mut self, frames: &[u8]) -> Result<Result<Position>> {
        if self.role() != Role::Follower {
            return Ok(Err(not_a_follower()));
        }
        if self.roles().is_leaving() {
            return Ok(Err(Error::new(Kind::Unavailable, "the server is about to start again")));
        }
        if !self.has_headroom() {
            return Ok(Err(Error::new(Kind::NoSpace, "the disk is full: the primary is followed when there is room")));
        }
        let shipped = match log::unpack(frames) {
            Ok(shipped) => shipped,
            Err(error) => return Ok(Err(error)),
        };
        let logged = match self.ingest_all(&shipped)? {
            Err(error) if error.kind() == Kind::NoSpace && self.give_up_ballast() => self.ingest_all(&shipped)?,
            logged => logged,
        };
        Ok(logged.map(|()| self.position()))
    }

    fn ingest_all(&mut self, shipped: &[Shipped]) -> Result<Result<()>> {
        let mut staged = Vec::with_capacity(shipped.len());
        for one in shipped {
            if let Err(error) = self.ingest_one(one, &mut staged) {
                self.unstage();
                return Ok(Err(error));
            }
        }
        let time = shipped.iter().map(|one| one.time).max().unwrap_or_default();
        self.finish(time, &staged)
    }

    fn ingest_one(&mut self, shipped: &Shipped, staged: &mut Vec<Staged>) -> Result<()> {
        let entry = Arc::new(shipped.entry.clone());
        self.log_mut().stage_shipped(shipped, entry.clone())?;
        let effects = state::effects(self.schema(), shipped.position, &entry)?;
        self.fold(effects)?;
        staged.push(Staged { entry, payload: shipped.payload.clone() });
        Ok(())
    }

    /// Begins an epoch of this server's own and is the primary from here on. The inner error is a refusal.
    ///
    /// # Errors
    /// The log can no longer be trusted.
    pub fn begin(&mut self, above: u32, now: Millis) -> Result<Result<Position>> {
        let now = now.max(self.last_time());
        let before = self.position();
        let counter = before.epoch.counter.max(above) + 1;
        let epoch = Epoch { counter, node: self.node() };
        let entry = Arc::new(Entry { changes: vec![Change::Began { before }] });
        let payload = log::encode(&entry)?;
        let position = self.log_mut().stage_in(epoch, now, entry.clone(), &payload);
        let effects = state::effects(self.schema(), position, &entry)?;
        self.fold(effects)?;
        // Whoever sees the entry finds the role.
        let was = self.role();
        self.set_role(Role::Primary);
        let begun = self.finish(now, &[Staged { entry, payload }])?;
        if begun.is_err() {
            self.set_role(was);
        }
        Ok(begun.map(|()| position))
    }

    /// Is no primary from here on. Returns the last position.
    pub fn give_way(&mut self, role: Role) -> Result<Position> {
        self.set_role(role);
        Ok(self.position())
    }

    /// Makes what is staged durable and publishes it; the inner error says that there was no room, and nothing is staged.
    fn finish(&mut self, time: Millis, staged: &[Staged]) -> Result<Result<()>> {
        if staged.is_empty() {
            return Ok(Ok(()));
        }
        match self.log_mut().commit() {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::NoSpace => {
                self.unstage();
                return Ok(Err(error));
            }
            Err(error) => return Err(error),
        }
        self.publish(time, staged);
        Ok(Ok(()))
    }

    fn unstage(&mut self) {
        self.log_mut().unstage();
        self.forget_batch();
    }
}
