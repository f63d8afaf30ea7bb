//! Waiting for what comes by itself.

use std::time::{Duration, Instant};

/// Time after which what has not come counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never comes: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
