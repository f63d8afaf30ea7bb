//! What a run measured: one line of JSON for each test that shows a figure of the README, and the size a run has.
//!
//! The lines are appended to `target/results/F3.json` and the like; `tests/run` begins with an empty folder and ends
//! with `tests/figures.rs`, which reads them. Unit tests take this file in by its path, test binaries by `mod support`.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "which part is unused differs from binary to binary"
)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the lines are.
pub fn folder() -> PathBuf {
    match std::env::var_os("MILLPOND_RESULTS") {
        Some(folder) => folder.into(),
        None => match option_env!("CARGO_TARGET_TMPDIR") {
            Some(folder) => Path::new(folder).with_file_name("results"),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/results"),
        },
    }
}

/// Records that `figure` was shown `n` times and did not hold `failures` times. Call it before asserting that none did.
pub fn record(figure: &str, n: u64, failures: u64, started: Instant, seed: u64) {
    let seconds = started.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "figure": figure, "n": n, "failures": failures, "seconds": (seconds * 10.0).round() / 10.0, "seed": seed,
    });
    let folder = folder();
    std::fs::create_dir_all(&folder).expect("a folder for results");
    let path = folder.join(format!("{figure}.json"));
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a file for results");
    file.write_all(format!("{line}\n").as_bytes()).expect("room for a line");
}

/// Prints what was measured and is judged by nobody.
pub fn note(text: &str) {
    println!("{text}");
}

/// The size that this run has of the three that a figure can have.
pub fn size<T>(quick: T, ci: T, release: T) -> T {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "0" && value != "false");
    if set("MILLPOND_RELEASE_RUN") {
        release
    } else if set("CI") {
        ci
    } else {
        quick
    }
}

/// This run's seed: `MILLPOND_SEED`, or a new one. Printed, so that a failing test shows it.
pub fn seed() -> u64 {
    let seed = match std::env::var("MILLPOND_SEED") {
        Ok(seed) => seed.parse().expect("MILLPOND_SEED is a number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
            now.as_nanos() as u64 % 1_000_000_007
        }
    };
    println!("MILLPOND_SEED={seed}");
    seed
}
