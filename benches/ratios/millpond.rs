//! The server under test: the real binary on a folder of its own, and what can be seen of it from outside.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Outcome;
use crate::answer;
use crate::load::{self, Measured, Plan, Protocol};
use crate::orders;
use crate::process::Process;

/// Connections that fill a collection.
const FILLERS: usize = 64;
/// Time that filling may take.
const FILL_TIME: Duration = Duration::from_secs(240);

pub(crate) struct Millpond {
    pub(crate) process: Process,
    dir: TempDir,
    /// Records filled in with known ids.
    pub(crate) filled: u64,
    /// Records created beside them: their numbers go on from here, so that no two are the same.
    created: u64,
    cache: Cache,
}

/// Whether it keeps answers, as it does by default.
#[derive(Clone, Copy)]
enum Cache {
    Kept,
    None,
}

impl Millpond {
    /// An empty server on a fresh folder.
    pub(crate) fn empty() -> Outcome<Millpond> {
        Millpond::with(Cache::Kept)
    }

    fn with(cache: Cache) -> Outcome<Millpond> {
        let dir = crate::folder()?;
        Ok(Millpond { process: serve(dir.path(), cache)?, dir, filled: 0, created: 0, cache })
    }

    /// A server with the collection, empty.
    pub(crate) fn defined() -> Outcome<Millpond> {
        Millpond::empty()?.define()
    }

    /// The same without its cache.
    pub(crate) fn uncached() -> Outcome<Millpond> {
        Millpond::with(Cache::None)?.define()
    }

    fn define(self) -> Outcome<Millpond> {
        answer::must(self.process.address, "POST", "/api/collections", orders::DEFINITION)?;
        Ok(self)
    }

    /// Fills in records with known ids until it has at least `records` in all.
    pub(crate) fn fill(&mut self, records: u64) -> Outcome<()> {
        let missing = records.saturating_sub(self.acknowledged());
        if missing == 0 {
            return Ok(());
        }
        let plan = Plan {
            request: orders::fill(),
            first: self.filled,
            requests: missing,
            time: FILL_TIME,
            ..self.plan(FILLERS, 201)
        };
        let measured = load::run(&plan)?;
        self.filled += measured.answered;
        if measured.answered < missing {
            return Err(format!("only {} of {missing} records filled in, in {FILL_TIME:?}", measured.answered).into());
        }
        Ok(())
    }

    /// A load of creates: as many as `requests`, for `time`. With the server's CPU time, seconds.
    pub(crate) fn create(&mut self, connections: usize, time: Duration, requests: u64) -> Outcome<(Measured, f64)> {
        let plan = Plan {
            request: orders::create(),
            first: (1 << 40) + self.created,
            requests,
            time,
            ..self.plan(connections, 201)
        };
        let cpu = self.process.cpu_seconds()?;
        let measured = load::run(&plan)?;
        self.created += measured.answered;
        Ok((measured, self.process.cpu_seconds()? - cpu))
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A plan of HTTP requests to it, to be completed.
    pub(crate) fn plan(&self, connections: usize, status: u16) -> Plan {
        plan(&self.process, connections, status)
    }

    /// A server that follows it, on another folder.
    pub(crate) fn follower(&self, dir: &Path) -> Outcome<Process> {
        let mut command = serving(dir, self.cache);
        command.args(["--follow", &format!("http://{}", self.process.address)]);
        Process::announced(command)
    }

    /// How many records it says there are, under a filter.
    pub(crate) fn total(&self, filter: &str) -> Outcome<u64> {
        let body = answer::must(self.process.address, "GET", &orders::total(filter), "")?;
        let list: serde_json::Value = serde_json::from_slice(&body)?;
        list["totalItems"].as_u64().ok_or_else(|| "a list without its total".into())
    }

    /// All the records it has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.filled + self.created
    }

    /// Kills it and starts it again on its folder: how long that took until it took requests.
    pub(crate) fn restart(self) -> Outcome<(Millpond, Duration)> {
        let Millpond { process, dir, filled, created, cache } = self;
        process.kill();
        let began = Instant::now();
        let process = serve(dir.path(), cache)?;
        Ok((Millpond { process, dir, filled, created, cache }, began.elapsed()))
    }

    /// Bytes of log in the folder, without the zeros prepared behind its end.
    pub(crate) fn log_bytes(&self) -> Outcome<u64> {
        let mut bytes = 0;
        for item in fs::read_dir(self.dir.path().join("log"))? {
            let path = item?.path();
            if path.extension().is_some_and(|end| end == "log") {
                bytes += used_bytes(&path)?;
            }
        }
        Ok(bytes)
    }
}

/// A plan of HTTP requests to a server, to be completed.
pub(crate) fn plan(process: &Process, connections: usize, status: u16) -> Plan {
    Plan {
        address: process.address,
        protocol: Protocol::Http(status),
        request: orders::create(),
        connections,
        time: Duration::from_secs(1),
        requests: u64::MAX,
        first: 0,
    }
}

fn serve(dir: &Path, cache: Cache) -> Outcome<Process> {
    Process::announced(serving(dir, cache))
}

fn serving(dir: &Path, cache: Cache) -> Command {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data").arg(dir).args(["--listen", "127.0.0.1:0", "--dev", "--log-level", "warn"]);
    command.arg("--webhook-private-addresses");
    if let Cache::None = cache {
        command.args(["--cache-bytes", "0"]);
    }
    command
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_millpond"))
}

/// A file's length without the zeros at its end. A segment that is trimmed meanwhile counts as nothing.
fn used_bytes(path: &Path) -> Outcome<u64> {
    let Ok(file) = File::open(path) else { return Ok(0) };
    let mut end = file.metadata()?.len();
    let mut block = [0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|byte| *byte != 0) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
