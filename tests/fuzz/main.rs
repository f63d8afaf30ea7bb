//! Inputs as an enemy would send them: whatever the bytes are, nothing panics and nothing hangs. Each target is tried
//! for some time with inputs made from valid ones; those that it accepts are made further ones from.

mod lines;
mod mutate;
#[path = "../support/naive.rs"]
mod naive;
#[path = "../expr/random.rs"]
#[expect(dead_code, reason = "shared with another binary")]
mod random;
mod server;
mod stored;
#[path = "../support/mod.rs"]
mod support;
mod texts;
#[path = "../expr/world.rs"]
#[expect(dead_code, reason = "shared with another binary")]
mod world;
/// Where the shared files look for it.
use support::rng;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mutate::Corpus;
use support::results;
use support::rng::Rng;

/// Time after which one input hangs. Long, since many things run on the machine that runs this.
const HANGS: Duration = Duration::from_secs(5);

/// What is being tried since when.
type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Tries a target, which says whether it accepted an input, as long as this run has for one.
fn fuzz(name: &str, mut corpus: Corpus, mut target: impl FnMut(&[u8]) -> bool) {
    let (seed, started) = (results::seed(), Instant::now());
    let time = Duration::from_secs(results::size(1, 20, 600));
    let mut rng = Rng::new(seed);
    let (current, done) = (Current::default(), Arc::new(AtomicBool::new(false)));
    let watch = watch(name, seed, started, &current, &done);
    let (mut tried, mut accepted) = (0, 0);
    // What is valid has to be taken, or nothing is shown by what is made of it.
    let valid: Vec<Vec<u8>> = corpus.inputs.clone();
    let mut given = valid.into_iter();
    while started.elapsed() < time || given.len() > 0 {
        let input = given.next().unwrap_or_else(|| corpus.next(&mut rng));
        *current.lock().expect("no one panics with it") = Some((Instant::now(), input.clone()));
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        *current.lock().expect("no one panics with it") = None;
        tried += 1;
        match outcome {
            Ok(true) => {
                accepted += 1;
                if rng.once_in(8) {
                    corpus.keep(&mut rng, input);
                }
            }
            Ok(false) => {}
            Err(_) => {
                results::record("F15", tried, 1, started, seed);
                panic!("{}", told(name, seed, "panics", &input));
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    watch.join().expect("the watch does not panic");
    results::record("F15", tried, 0, started, seed);
    assert!(accepted > 0, "{name} accepts nothing of {tried} inputs, the valid ones among them");
}

/// Ends the process when one input takes too long: a thread that hangs can't be ended.
fn watch(
    name: &str,
    seed: u64,
    started: Instant,
    current: &Current,
    done: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let (name, current, done) = (name.to_owned(), current.clone(), done.clone());
    std::thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            let hanging = current.lock().expect("no one panics with it").clone();
            if let Some((_, input)) = hanging.filter(|(since, _)| since.elapsed() > HANGS) {
                results::record("F15", 1, 1, started, seed);
                let told = told(&name, seed, "hangs", &input);
                // The test's own output would be kept back.
                let _ = std::io::stderr().write_all(told.as_bytes());
                std::process::exit(101);
            }
        }
    })
}

fn told(name: &str, seed: u64, what: &str, input: &[u8]) -> String {
    let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\nMILLPOND_SEED={seed}: {name} {what} on\n{hex}\n{:?}\n", String::from_utf8_lossy(input))
}
