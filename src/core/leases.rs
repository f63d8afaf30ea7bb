//! Who still needs which entries of the log: followers, the archive. Each holds a lease. (What handlers need stands in the
//! state, and the keeper looks there.)
//!
//! Invariant: within the log's bound of bytes nothing is trimmed that a lease names; past it a lease protects nothing,
//! and its holder finds that the log begins behind its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::id::Seq;

/// All leases of one log; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    given: u64,
    from: BTreeMap<u64, Seq>,
}

/// Keeps the log from an entry on; dropped, it keeps nothing.
#[derive(Debug)]
pub struct Lease {
    leases: Leases,
    number: u64,
}

impl Leases {
    /// Keeps the log from `from` on.
    #[must_use]
    pub fn take(&self, from: Seq) -> Lease {
        let mut held = self.0.lock();
        held.given += 1;
        let number = held.given;
        held.from.insert(number, from);
        Lease { leases: self.clone(), number }
    }

    /// The first entry that any lease still needs.
    pub fn floor(&self) -> Option<Seq> {
        self.0.lock().from.values().min().copied()
    }
}

impl Lease {
    /// What lies before `from` is not needed any more. An earlier one than before changes nothing.
    pub fn advance(&self, from: Seq) {
        if let Some(held) = self.leases.0.lock().from.get_mut(&self.number) {
            *held = from.max(*held);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.0.lock().from.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_kept_for_the_lease_that_is_furthest_back() {
        let leases = Leases::default();
        assert_eq!(leases.floor(), None);
        let (slow, fast) = (leases.take(Seq(5)), leases.clone().take(Seq(9)));
        assert_eq!(leases.floor(), Some(Seq(5)));
        slow.advance(Seq(20));
        assert_eq!(leases.floor(), Some(Seq(9)));
        drop(fast);
        assert_eq!(leases.floor(), Some(Seq(20)));
        drop(slow);
        assert_eq!(leases.floor(), None);
    }
}
