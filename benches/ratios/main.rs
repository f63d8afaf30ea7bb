//! `cargo bench`: what Millpond does, as ratios to what the machine can do, held against the design's limits.
//!
//! The server is the real binary in its own process, spoken to over loopback; its references (a bare hyper server, a
//! Redis where there is one, raw appends, redb alone) run in the same minutes, in turn with it where a ratio is at
//! stake. `cargo bench -- [names…] [--quick]`; the lines go to `target/bench-results.json` too.
#![expect(clippy::print_stderr, reason = "a bench that fails says so")]

mod accounts;
mod aggregates;
mod answer;
mod base;
mod builds;
mod creates;
mod disk;
mod followers;
mod handlers;
mod hello;
mod histogram;
mod imports;
mod jobs;
mod lists;
mod live;
mod load;
mod millpond;
mod orders;
mod pairs;
mod process;
mod queries;
mod quiet;
mod reads;
mod redis;
mod replay;
mod report;
mod search;
mod second;
mod stalls;
mod start;
mod template;

use std::path::Path;
use std::process::ExitCode;

use tempfile::TempDir;

use crate::millpond::Millpond;
use crate::process::Process;
use crate::report::Report;

/// Anything that ends a bench: it is printed, and the other benches go on.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Records in the small and in the large collection.
const SMALL: u64 = 100_000;
const LARGE: u64 = 1_000_000;

/// What the benches share: one server that grows from small to large, and the references.
pub(crate) struct Bench {
    quick: bool,
    report: Report,
    server: Option<Millpond>,
    hello: Option<Process>,
    appends_per_second: Option<f64>,
}

type Run = fn(&mut Bench) -> Outcome<()>;

/// Every bench in its order: those of a small collection come before the ones that make it large.
const ALL: &[(&str, Run)] = &[
    ("start", start::run),
    ("disk", disk::run),
    ("base", base::run),
    ("live", live::run),
    ("aggregates", aggregates::run),
    ("handlers", handlers::run),
    ("reads", reads::run),
    ("reads", accounts::run),
    ("lists", lists::small),
    ("queries", queries::small),
    ("creates", creates::run),
    ("stalls", stalls::small),
    ("lists", lists::large),
    ("queries", queries::large),
    ("stalls", stalls::large),
    ("jobs", jobs::run),
    ("builds", builds::run),
    ("imports", imports::run),
    ("followers", followers::run),
    ("search", search::run),
    ("second", second::run),
    ("replay", replay::run),
];

impl Bench {
    /// The server, with at least `records` in its collection.
    fn server(&mut self, records: u64) -> Outcome<&mut Millpond> {
        let mut server = match self.server.take() {
            Some(server) => server,
            None => Millpond::defined()?,
        };
        server.fill(records)?;
        Ok(self.server.insert(server))
    }
}

/// The build's folder, on the disk that is measured.
fn target() -> &'static Path {
    let inside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    inside.parent().unwrap_or(inside)
}

/// A folder that goes when it is dropped.
pub(crate) fn folder() -> Outcome<TempDir> {
    std::fs::create_dir_all(env!("CARGO_TARGET_TMPDIR"))?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let ended = match arguments.as_slice() {
        [first, bytes] if first == hello::ARGUMENT => bytes.parse().map_err(Into::into).and_then(hello::serve),
        _ => benches(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn benches(arguments: &[String]) -> Outcome<()> {
    let (flags, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|(known, _)| known != *name)) {
        return Err(format!("no bench is called {unknown}").into());
    }
    if let Some(unknown) = flags.iter().find(|flag| **flag != "--quick") {
        return Err(format!("unknown flag {unknown}").into());
    }
    let quick = !flags.is_empty();
    let mut bench = Bench { quick, report: Report::new(), server: None, hello: None, appends_per_second: None };
    let mut failed = Vec::new();
    for (name, run) in ALL.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        if let Err(error) = run(&mut bench) {
            eprintln!("{name}: {error}");
            failed.push(*name);
        }
    }
    bench.report.close(target(), quick)?;
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}
