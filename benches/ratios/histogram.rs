//! Latencies in buckets of at most 3 % width: fixed in size, cheap to fill. The greatest is kept exactly.

use std::time::Duration;

/// Buckets for each power of two of nanoseconds.
const PARTS: usize = 32;
const BUCKETS: usize = 64 * PARTS;

pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    worst: Duration,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], count: 0, worst: Duration::ZERO }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(ns)] += 1;
        self.count += 1;
        self.worst = self.worst.max(latency);
    }

    /// Adds what another has seen.
    pub(crate) fn add(&mut self, other: &Histogram) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.worst = self.worst.max(other.worst);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn worst_ms(&self) -> f64 {
        self.worst.as_secs_f64() * 1e3
    }

    /// The latency, in milliseconds, that `share` of all stay within.
    pub(crate) fn within_ms(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return (end_of(bucket) as f64 / 1e6).min(self.worst_ms());
            }
        }
        self.worst_ms()
    }
}

fn bucket_of(ns: u64) -> usize {
    let power = 63 - (ns | PARTS as u64).leading_zeros() as usize;
    let shift = power - PARTS.trailing_zeros() as usize;
    (shift + 1) * PARTS + ((ns >> shift) as usize - PARTS)
}

/// The least number of nanoseconds beyond a bucket.
fn end_of(bucket: usize) -> u64 {
    let (shift, part) = (bucket / PARTS, bucket % PARTS);
    match shift {
        0 => part as u64 + 1,
        shift => ((PARTS + part + 1) as u64) << (shift - 1),
    }
}
