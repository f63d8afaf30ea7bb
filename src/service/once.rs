//! Writes with an idempotency key: how one is known again, and who may do it now.
//!
//! The log decides whether a write was done. What is here only spares its way there: an answer that is kept is given
//! before anything of the request is judged, as what it was judged by may have changed since; and of two requests at
//! once with one key the second is sent away rather than kept waiting. After a crash nobody is at it.
//!
//! A body that is read as it comes is known by its hash only at its end: its key is claimed before, so that nobody else
//! begins meanwhile, and what there is to do is told after.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::model::command::{Command, Committed};
use crate::model::once::{Fingerprint, Keep, Once};
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
#[derive(Clone, Debug, Default)]
pub(super) struct Running(Arc<Mutex<BTreeSet<Fingerprint>>>);

/// A key that is held: until this is dropped nobody else gets it.
#[derive(Debug)]
struct Held {
    key: Fingerprint,
    running: Running,
}

/// The leave to do something, under its key if it has one.
pub(super) struct Turn(Option<(Once, Held)>);

/// What there is to do for a request.
pub(super) enum Begun {
    /// All of it.
    Now(Turn),
    /// Nothing but to answer.
    Before(Committed),
}

/// A request with a key whose body is still to be read.
#[derive(Debug)]
pub struct Claim {
    key: Fingerprint,
    /// Of what is known of it.
    said: Box<blake3::Hasher>,
    /// Of its body so far.
    body: Box<blake3::Hasher>,
    /// `None` while another has it, for which an answer is kept already.
    held: Option<Held>,
    known: bool,
}

impl Service {
    /// A request's identity. No two callers share one.
    pub fn once(&self, caller: &Caller, keyed: Keyed<'_>) -> Once {
        let (key, body) = self.identity(caller, keyed);
        Once { key, body: ended(&body) }
    }

    fn identity(&self, caller: &Caller, keyed: Keyed<'_>) -> (Fingerprint, blake3::Hasher) {
        let who = caller.principal();
        let key = fingerprint(&[who.as_bytes(), keyed.method.as_bytes(), keyed.path.as_bytes(), keyed.key]);
        let mut body = blake3::Hasher::new();
        // A body may hold a password, and its fingerprint stands in the log: without the secret nobody can try for it.
        add(&mut body, self.0.secret.bytes());
        keyed.parts.iter().for_each(|part| add(&mut body, part));
        (key, body)
    }

    /// Holds the key of a request whose body is still to be read; `keyed` has all but that.
    ///
    /// # Errors
    /// `Conflict` with code `idempotency_running` while somebody is at it, or the state's.
    pub fn claim(&self, caller: &Caller, keyed: Keyed<'_>) -> Result<Claim> {
        let (key, said) = self.identity(caller, keyed);
        let held = self.0.running.take(key);
        let now = self.core().clock().now();
        // Read behind that, as in `begin`.
        let kept = state::answer(&self.core().view().stack, key)?;
        let known = kept.is_some_and(|answer| !state::is_over_age(answer.time, now));
        if held.is_none() && !known {
            return Err(busy());
        }
        Ok(Claim { key, said: Box::new(said), body: Box::default(), held, known })
    }

    /// Whether a request is still to be done.
    ///
    /// # Errors
    /// `Unprocessable` with code `idempotency_mismatch` for a key of something else, `Conflict` with code
    /// `idempotency_running` while somebody is at it, or the state's.
    pub(super) fn begin(&self, once: Option<Once>) -> Result<Begun> {
        let Some(once) = once else { return Ok(Begun::Now(Turn(None))) };
        self.begin_holding(once, self.0.running.take(once.key))
    }

    /// The same for a body that has been read.
    ///
    /// # Errors
    /// As [`Service::begin`].
    pub(super) fn begin_claimed(&self, claim: Option<Claim>) -> Result<Begun> {
        let Some(Claim { key, mut said, body, held, .. }) = claim else { return Ok(Begun::Now(Turn(None))) };
        add(&mut said, body.finalize().as_bytes());
        let once = Once { key, body: ended(&said) };
        // What was known when it was claimed may be over its age by now.
        self.begin_holding(once, held.or_else(|| self.0.running.take(key)))
    }

    fn begin_holding(&self, once: Once, held: Option<Held>) -> Result<Begun> {
        // Read behind the key's being held: whoever held it before has published.
        if let Some(committed) = state::answered(&self.core().view().stack, once, self.core().clock().now())? {
            return Ok(Begun::Before(committed));
        }
        held.map(|held| Begun::Now(Turn(Some((once, held))))).ok_or_else(busy)
    }
}

fn busy() -> Error {
    let message = "a request with this Idempotency-Key is being done: ask again for its answer";
    Error::new(Kind::Conflict, message).code("idempotency_running")
}

impl Claim {
    /// Whether an answer is kept for the key: nothing is to be judged before the body is compared.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Some more of the body.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.body.update(bytes);
    }
}

impl Running {
    fn take(&self, key: Fingerprint) -> Option<Held> {
        let is_free = self.0.lock().insert(key);
        // Not made where it is not free: its end would set free what another holds.
        is_free.then(|| Held { key, running: self.clone() })
    }
}

impl Turn {
    /// A command to be submitted in this turn, all of whose answer is kept.
    pub(super) fn command(&self, command: Command) -> Command {
        self.keeping(Keep::All, command)
    }

    /// A command to be submitted in this turn, of whose answer so much is kept.
    pub(super) fn keeping(&self, keep: Keep, command: Command) -> Command {
        match &self.0 {
            Some((once, _)) => Command::Once(*once, keep, Box::new(command)),
            None => command,
        }
    }

    /// Whether an answer is to be kept.
    pub(super) fn is_keyed(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.running.0.lock().remove(&self.key);
    }
}

/// Of several texts, none of which runs into the next.
fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = blake3::Hasher::new();
    parts.iter().for_each(|part| add(&mut hash, part));
    ended(&hash)
}

fn add(hash: &mut blake3::Hasher, part: &[u8]) {
    hash.update(&(part.len() as u64).to_le_bytes());
    hash.update(part);
}

fn ended(hash: &blake3::Hasher) -> Fingerprint {
    let mut bytes = [0; 16];
    hash.finalize_xof().fill(&mut bytes);
    Fingerprint(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_turn_at_a_time() {
        let running = Running::default();
        let [one, two] = [1, 2].map(|key| Fingerprint([key; 16]));
        let turn = running.take(one).expect("free");
        assert!(running.take(one).is_none());
        assert!(running.take(two).is_some());
        drop(turn);
        let turn = running.take(one).expect("free again");
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
