//! Lists from end to end against a full scan: over records, definitions, filters, sorts and rules made at random, what
//! the server answers by pages and by cursor is what looking at every record gives, in the same order and number.

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
    let (seed, started) = (results::seed(), Instant::now());
    let cases: u64 = results::size(10_000, 100_000, 1_000_000);
    let failed = AtomicBool::new(false);
    let outcomes: Vec<(u64, Option<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let failed = &failed;
                scope.spawn(move || run(seed.wrapping_add(thread << 32), cases.div_ceil(THREADS), failed))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread's own panic")).collect()
    });
    let done = outcomes.iter().map(|(done, _)| done).sum();
    let failures: Vec<&String> = outcomes.iter().filter_map(|(_, failure)| failure.as_ref()).collect();
    results::record("L1", done, failures.len() as u64, started, seed);
    if let Some(failure) = failures.first() {
        panic!("MILLPOND_SEED={seed}\n{failure}");
    }
}

/// Rounds until so many cases are done; how many were, and what went wrong.
fn run(seed: u64, cases: u64, failed: &AtomicBool) -> (u64, Option<String>) {
    let server = Running::start();
    let mut client = Client::new(server.address);
    let mut rng = Rng::new(seed);
    let mut done = 0;
    while done < cases && !failed.load(Ordering::Relaxed) {
        let wanted = CASES_OF_A_ROUND.min(cases - done);
        let round = Round::new(&mut client, server.address, Rng::new(rng.next()));
        if let Err(failure) = round.and_then(|mut round| round.run(wanted)) {
            failed.store(true, Ordering::Relaxed);
            return (done, Some(failure));
        }
        done += wanted;
    }
    (done, None)
}
