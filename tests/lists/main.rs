//! Lists from end to end against a full scan: over records, definitions, filters, sorts and rules made at random, what
//! the server answers by pages and by cursor is what looking at every record gives, in the same order and number; and an
//! aggregate is what a plain loop over them gives.

mod ask;
mod definitions;
mod filters;
mod hostile;
mod model;
#[path = "../support/naive.rs"]
mod naive;
mod round;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod totals;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use round::Round;
use support::http::Client;
use support::results;
use support::rng::Rng;
use support::server::Running;

const THREADS: u64 = 2;
/// Cases over the same definitions.
const CASES_OF_A_ROUND: u64 = 400;

#[test]
fn a_list_is_what_a_full_scan_gives() {
    all("L1", results::size(10_000, 100_000, 1_000_000), |round, cases| round.run(cases));
}

#[test]
fn an_aggregate_is_what_a_naive_loop_gives() {
    all("A1", results::size(1_000, 10_000, 100_000), |round, cases| round.aggregate(cases));
}

/// So many cases on all threads, and what came of them as a figure.
fn all(figure: &str, cases: u64, each: fn(&mut Round<'_>, u64) -> Result<(), String>) {
    let (seed, started) = (results::seed(), Instant::now());
    let failed = AtomicBool::new(false);
    let outcomes: Vec<(u64, Option<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let failed = &failed;
                scope.spawn(move || run(seed.wrapping_add(thread << 32), cases.div_ceil(THREADS), failed, each))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread's own panic")).collect()
    });
    let done = outcomes.iter().map(|(done, _)| done).sum();
    let failures: Vec<&String> = outcomes.iter().filter_map(|(_, failure)| failure.as_ref()).collect();
    results::record(figure, done, failures.len() as u64, started, seed);
    if let Some(failure) = failures.first() {
        panic!("MILLPOND_SEED={seed}\n{failure}");
    }
}

/// Rounds until so many cases are done; how many were, and what went wrong.
fn run(
    seed: u64,
    cases: u64,
    failed: &AtomicBool,
    each: fn(&mut Round<'_>, u64) -> Result<(), String>,
) -> (u64, Option<String>) {
    let server = Running::start();
    let mut client = Client::new(server.address);
    let mut rng = Rng::new(seed);
    let mut done = 0;
    while done < cases && !failed.load(Ordering::Relaxed) {
        let wanted = CASES_OF_A_ROUND.min(cases - done);
        let round = Round::new(&mut client, server.address, Rng::new(rng.next()));
        if let Err(failure) = round.and_then(|mut round| each(&mut round, wanted)) {
            failed.store(true, Ordering::Relaxed);
            return (done, Some(failure));
        }
        done += wanted;
    }
    (done, None)
}
