//! Writes with an idempotency key: how one is known again, and who may do it now.
//!
//! The log decides whether a write was done. What is here only spares its way there: an answer that is kept is given
//! before anything of the request is judged, as what it was judged by may have changed since; and of two requests at
//! once with one key the second is sent away rather than kept waiting. After a crash nobody is at it.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::model::command::{Command, Committed};
use crate::model::once::{Fingerprint, Once};
use crate::service::{Caller, Service};
use crate::state;

/// When something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The commit; where nothing changed, what was read.
    pub position: Position,
    /// Whether it had been done before, and was not done again.
    pub replayed: bool,
}

impl Commit {
    pub(super) fn of(committed: &Committed) -> Commit {
        Commit { position: committed.position, replayed: committed.replayed.is_some() }
    }
}

/// What tells a request with a key from others.
#[derive(Clone, Copy, Debug)]
pub struct Keyed<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, as it was sent.
    pub path: &'a str,
    /// Its key.
    pub key: &'a [u8],
    /// Its body, and all else that has a say in what is written.
    pub parts: &'a [&'a [u8]],
}

/// The keys that somebody is at; at most one for each request in flight.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<BTreeSet<Fingerprint>>);

/// The leave to do something, under its key if it has one. Until it is dropped nobody else gets it.
pub(super) struct Turn<'a>(Option<(Once, &'a Running)>);

/// What there is to do for a request.
pub(super) enum Begun<'a> {
    /// All of it.
    Now(Turn<'a>),
    /// Nothing but to answer.
    Before(Committed),
}

impl Service {
    /// A request's identity. No two callers share one.
    pub fn once(&self, caller: &Caller, keyed: Keyed<'_>) -> Once {
        let who = caller.principal();
        let key = fingerprint(&[who.as_bytes(), keyed.method.as_bytes(), keyed.path.as_bytes(), keyed.key]);
        // A body may hold a password, and its fingerprint stands in the log: without the secret nobody can try for it.
        let parts: Vec<&[u8]> = std::iter::once(self.0.secret.bytes()).chain(keyed.parts.iter().copied()).collect();
        Once { key, body: fingerprint(&parts) }
    }

    /// Whether a request is still to be done.
    ///
    /// # Errors
    /// `Unprocessable` with code `idempotency_mismatch` for a key of something else, `Conflict` with code
    /// `idempotency_running` while somebody is at it, or the state's.
    pub(super) fn begin(&self, once: Option<Once>) -> Result<Begun<'_>> {
        let Some(once) = once else { return Ok(Begun::Now(Turn(None))) };
        let running = &self.0.running;
        let turn = running.take(once);
        // Read behind that: whoever had the turn before has published.
        if let Some(committed) = state::answered(&self.core().view().stack, once, self.core().clock().now())? {
            return Ok(Begun::Before(committed));
        }
        turn.map(Begun::Now).ok_or_else(|| {
            let message = "a request with this Idempotency-Key is being done: ask again for its answer";
            Error::new(Kind::Conflict, message).code("idempotency_running")
        })
    }
}

impl Running {
    fn take(&self, once: Once) -> Option<Turn<'_>> {
        let is_free = self.0.lock().insert(once.key);
        // Not made where it is not free: its end would set free what another holds.
        is_free.then(|| Turn(Some((once, self))))
    }
}

impl Turn<'_> {
    /// A command to be submitted in this turn.
    pub(super) fn command(&self, command: Command) -> Command {
        match self.0 {
            Some((once, _)) => Command::Once(once, Box::new(command)),
            None => command,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some((once, running)) = self.0 {
            running.0.lock().remove(&once.key);
        }
    }
}

/// Of several texts, none of which runs into the next.
fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    hash.finalize_xof().fill(&mut bytes);
    Fingerprint(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(key: u8) -> Once {
        Once { key: Fingerprint([key; 16]), body: Fingerprint([0; 16]) }
    }

    #[test]
    fn a_key_has_one_turn_at_a_time() {
        let running = Running::default();
        let turn = running.take(once(1)).expect("free");
        assert!(running.take(once(1)).is_none());
        assert!(running.take(once(2)).is_some());
        drop(turn);
        let turn = running.take(once(1)).expect("free again");
        drop(turn);
        assert!(running.0.lock().is_empty());
    }

    #[test]
    fn no_part_runs_into_the_next() {
        let all = [
            fingerprint(&[b"ab", b"c"]),
            fingerprint(&[b"a", b"bc"]),
            fingerprint(&[b"abc"]),
            fingerprint(&[b"abc", b""]),
            fingerprint(&[]),
        ];
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        // Stored: it may never change.
        assert_eq!(fingerprint(&[b"", b"POST", b"/api/batch", b"key"]).to_string(), "982d33bcfd00ce6e7d760c9c92003c42");
    }
}
