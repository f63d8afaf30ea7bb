//! Many independent cases on all cores.

use std::sync::atomic::{AtomicU64, Ordering};

/// Runs `case(0)…case(n - 1)` on all cores; panics with the first failure's text.
pub(crate) fn on_all_cores(n: u64, case: impl Fn(u64) -> Result<(), String> + Sync) {
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
