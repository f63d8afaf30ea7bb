//! Places for long works, so many and no more: a caller that finds none is told to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many places.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<AtomicUsize>);

/// One that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(super) fn new(count: usize) -> Places {
        Places(Arc::new(AtomicUsize::new(count)))
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// One of them, if one is free.
    pub(super) fn take(&self) -> Option<Place> {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        taken.is_ok().then(|| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_holder_has_gone() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some() && places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
    }
}
