//! Counters that anyone may add to and one place reads: what `/metrics` is made of.
//!
//! Plain atomics without order between them: a reader may see one number a moment older than another. Nothing here
//! waits, allocates or knows how it is shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it has come to.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets of a histogram but the last, which has no bound.
pub const BUCKETS: usize = 20;

/// How often values fell between bounds that double; the sum of them all.
#[derive(Debug)]
pub struct Histogram {
    /// The first bound, as a power of two.
    first: u32,
    buckets: [AtomicU64; BUCKETS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Of times, microseconds: bounds from 32 µs to 16.8 s.
    pub const fn of_times() -> Histogram {
        Histogram::from(5)
    }

    /// Of numbers: bounds from 1 to 524,288.
    pub const fn of_numbers() -> Histogram {
        Histogram::from(0)
    }

    const fn from(first: u32) -> Histogram {
        Histogram { first, buckets: [const { AtomicU64::new(0) }; BUCKETS + 1], sum: AtomicU64::new(0) }
    }

    /// Counts one value.
    pub fn put(&self, value: u64) {
        let power = u64::BITS - value.saturating_sub(1).leading_zeros();
        let at = (power.saturating_sub(self.first) as usize).min(BUCKETS);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts one time.
    pub fn put_time(&self, time: Duration) {
        self.put(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// The greatest value of a bucket; `None` for the last.
    pub fn bound(&self, bucket: usize) -> Option<u64> {
        (bucket < BUCKETS).then(|| 1 << (self.first + bucket as u32))
    }

    /// How often, for each bucket.
    pub fn counts(&self) -> [u64; BUCKETS + 1] {
        self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed))
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// The memory of this process that is in RAM, bytes; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let numbers = Histogram::of_numbers();
        for value in [0, 1, 2, 3, 4, 5, 524_288, 524_289, u64::MAX >> 1] {
            numbers.put(value);
        }
        let counts = numbers.counts();
        assert_eq!((counts[0], counts[1], counts[2], counts[3]), (2, 1, 2, 1));
        assert_eq!((counts[BUCKETS - 1], counts[BUCKETS]), (1, 2));
        assert_eq!((numbers.bound(0), numbers.bound(19), numbers.bound(20)), (Some(1), Some(524_288), None));
        let times = Histogram::of_times();
        for micros in [0, 32, 33, 64, 65, 16_777_216, 16_777_217] {
            times.put_time(Duration::from_micros(micros));
        }
        let counts = times.counts();
        assert_eq!((counts[0], counts[1], counts[2], counts[BUCKETS - 1], counts[BUCKETS]), (2, 2, 1, 1, 1));
        assert_eq!(times.bound(0), Some(32));
    }

    #[test]
    fn the_process_knows_its_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
