//! How long answers took, counted by many at once: percentiles to within a hundredth, in memory that does not grow.
//!
//! Microseconds are counted in 64 steps for each doubling, so a bucket is at most a 64th wide; the largest is kept as it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps of each doubling, as a power of two.
const STEPS_LOG: u32 = 6;
/// Doublings beyond the first steps: up to 2^36 µs, which is 19 hours.
const DOUBLINGS: usize = 30;
const BUCKETS: usize = (DOUBLINGS + 1) << STEPS_LOG;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Latency {
    buckets: Box<[AtomicU64]>,
    max_us: AtomicU64,
}

impl Latency {
    pub(super) fn new() -> Latency {
        Latency { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max_us: AtomicU64::new(0) }
    }

    pub(super) fn put(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_micros(self.max_us.load(Ordering::Relaxed))
    }

    /// The time that so many of a thousand stay within; no longer than the longest.
    pub(super) fn within(&self, per_mille: u64) -> Duration {
        let wanted = (self.count() * per_mille).div_ceil(1_000);
        let mut seen = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= wanted && seen > 0 {
                return Duration::from_micros(upper(at)).min(self.max());
            }
        }
        self.max()
    }
}

fn bucket(us: u64) -> usize {
    let doubling = us.checked_ilog2().unwrap_or(0).saturating_sub(STEPS_LOG);
    let at = ((doubling as usize) << STEPS_LOG) + (us >> doubling) as usize;
    at.min(BUCKETS - 1)
}

/// The largest number of microseconds that a bucket holds.
fn upper(bucket: usize) -> u64 {
    let doubling = (bucket >> STEPS_LOG).saturating_sub(1);
    let step = (bucket - (doubling << STEPS_LOG)) as u64;
    ((step + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_without_gaps_and_a_64th_wide() {
        let mut last = 0;
        for us in 0..1_000_000 {
            let at = bucket(us);
            assert!(at == last || at == last + 1, "{us}");
            assert!(us <= upper(at) && upper(at) - us <= us / 64, "{us} counts as {}", upper(at));
            last = at;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_numbers_and_the_longest_is_exact() {
        let latency = Latency::new();
        assert_eq!((latency.within(500), latency.count()), (Duration::ZERO, 0));
        for us in 1..=10_000 {
            latency.put(Duration::from_micros(us));
        }
        for (per_mille, exact) in [(500, 5_000), (900, 9_000), (990, 9_900), (999, 9_990)] {
            let told = latency.within(per_mille).as_micros();
            assert!((exact..=exact + exact / 64).contains(&told), "{per_mille}: {told}");
        }
        assert_eq!((latency.count(), latency.max()), (10_000, Duration::from_micros(10_000)));
        assert_eq!(latency.within(1_000), latency.max());
    }
}
