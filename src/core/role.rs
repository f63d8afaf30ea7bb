//! Whether this server's log takes writes of its own, or those of another server, or none.
//!
//! Invariant: only the writer's thread changes it, between two batches: what a primary was asked before is decided, what
//! comes after is refused.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::{Error, Kind};

/// What a server is to its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It decides and logs.
    #[default]
    Primary,
    /// It logs what its primary has logged.
    Follower,
    /// It was a primary, and another server is it now: it logs nothing.
    Fenced,
}

impl Role {
    /// Its word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Follower => "follower",
            Role::Fenced => "fenced",
        }
    }

    /// What a write is told that comes to a server which takes none.
    pub fn refusal(self) -> Error {
        let (message, code) = match self {
            Role::Primary => return Error::internal("a primary takes writes"),
            Role::Follower => ("this server follows another, which it can't reach: writes go there", "follower"),
            Role::Fenced => ("another server has become the primary: writes go there", "fenced"),
        };
        Error::new(Kind::Misdirected, message).code(code)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The role as all see it, and whether the next start makes the folder another one; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Roles(Arc<(watch::Sender<Role>, AtomicBool)>);

impl Roles {
    pub(super) fn new(role: Role) -> Roles {
        Roles(Arc::new((watch::Sender::new(role), AtomicBool::new(false))))
    }

    pub(super) fn now(&self) -> Role {
        *self.0.0.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Role> {
        self.0.0.subscribe()
    }

    pub(super) fn set(&self, role: Role) {
        self.0.0.send_replace(role);
    }

    /// Whether what is logged now would go.
    pub(super) fn is_leaving(&self) -> bool {
        self.0.1.load(Ordering::SeqCst)
    }

    pub(super) fn leave(&self) {
        self.0.1.store(true, Ordering::SeqCst);
    }
}
