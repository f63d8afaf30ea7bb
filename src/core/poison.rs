//! The end of the right to write: set once, never lifted, and the process ends by it.
//!
//! Invariant: after a failed sync nothing is known of the log's end, so nothing more is decided, answered or published
//! in this process; the next one recovers from what is on disk.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::error::Kind;

/// Shared by the writer, the applier, and the server that must stop when it is set.
#[derive(Clone, Debug, Default)]
pub struct Poison(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cause: OnceLock<(Kind, String)>,
    set: Notify,
}

impl Poison {
    /// Not set.
    pub fn new() -> Poison {
        Poison::default()
    }

    /// Sets it; the first cause stays.
    pub fn set(&self, kind: Kind, cause: impl Into<String>) {
        let cause = cause.into();
        tracing::error!(%cause, "no more writes: the process has to end and recover");
        if self.0.cause.set((kind, cause)).is_ok() {
            self.0.set.notify_waiters();
        }
    }

    /// Why, when it is set.
    pub fn cause(&self) -> Option<(Kind, &str)> {
        self.0.cause.get().map(|(kind, cause)| (*kind, cause.as_str()))
    }

    /// Returns when it is set.
    pub async fn wait(&self) {
        let set = self.0.set.notified();
        tokio::pin!(set);
        set.as_mut().enable();
        if self.cause().is_none() {
            set.await;
        }
    }
}
