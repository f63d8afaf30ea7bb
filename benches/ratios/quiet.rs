//! What creates cost while nothing else goes on, before and after something that does.

use std::time::Duration;

use crate::Outcome;
use crate::histogram::Histogram;
use crate::millpond::Millpond;

/// Clients of the creates.
pub(crate) const CONNECTIONS: usize = 64;
/// Length of one stretch of them.
const STRETCH: Duration = Duration::from_secs(5);

/// The stretches so far.
#[derive(Default)]
pub(crate) struct Quiet {
    pub(crate) latency: Histogram,
    per_second: f64,
    stretches: f64,
}

impl Quiet {
    /// One more.
    pub(crate) fn stretch(&mut self, server: &mut Millpond) -> Outcome<()> {
        let (creates, _) = server.create(CONNECTIONS, STRETCH, u64::MAX)?;
        self.latency.add(&creates.latency);
        self.per_second += creates.per_second();
        self.stretches += 1.0;
        Ok(())
    }

    /// Creates a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.per_second / self.stretches
    }
}
