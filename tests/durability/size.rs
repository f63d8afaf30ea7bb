//! How much is run: a tenth at a developer's desk, the whole figure in CI, ten times that before a release.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The number of cases for a figure whose CI size is `ci`.
pub fn cases(ci: u64) -> u64 {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "false");
    if set("MILLPOND_RELEASE_RUN") {
        ci * 10
    } else if set("CI") {
        ci
    } else {
        ci / 10
    }
}

/// `MILLPOND_SEED`, or one from the clock; printed, so that a failure can be run again.
pub fn seed(test: &str) -> u64 {
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    let seed = std::env::var("MILLPOND_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(fresh);
    eprintln!("{test}: MILLPOND_SEED={seed}");
    seed
}

/// Runs `case(0)…case(n - 1)` on all cores; panics with the first failure's text.
pub fn on_all_cores(n: u64, case: impl Fn(u64) -> Result<(), String> + Sync) {
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let failure = std::sync::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= n {
                        break;
                    }
                    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(at)));
                    let failed = match run {
                        Ok(Ok(())) => continue,
                        Ok(Err(text)) => text,
                        Err(panic) => panic
                            .downcast_ref::<String>()
                            .cloned()
                            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                            .unwrap_or_else(|| "a panic without words".to_owned()),
                    };
                    failure.lock().expect("unpoisoned").get_or_insert(format!("case {at}: {failed}"));
                    next.store(n, Ordering::Relaxed);
                }
            });
        }
    });
    if let Some(text) = failure.into_inner().expect("unpoisoned") {
        panic!("{text}");
    }
}
