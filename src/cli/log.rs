//! `millpond log print` and `log tail`: the write log as JSON lines, read without changing it, also while it is written.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::{Folder, Log, LogCommand};
use super::{say, trace};
use crate::core;
use crate::disk::RealDisk;
use crate::error::{Error, Result};
use crate::id::Seq;
use crate::log::{self, Logged};

/// How often a tail looks for more.
const TAIL_PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(log: &Log) -> Result<()> {
    match &log.what {
        LogCommand::Print { folder, from, limit } => print(&dir(folder)?, *from, limit.unwrap_or(usize::MAX)),
        LogCommand::Tail { folder, lines } => tail(&dir(folder)?, *lines),
    }
}

fn dir(folder: &Folder) -> Result<std::path::PathBuf> {
    let settings = folder.settings()?;
    trace(&settings)?;
    let dir = core::log_dir(&settings.data);
    if dir.is_dir() { Ok(dir) } else { Err(Error::invalid(format!("data: there is no log in {}", dir.display()))) }
}

fn print(dir: &Path, from: u64, limit: usize) -> Result<()> {
    let mut left = limit;
    for logged in log::scan(Arc::new(RealDisk), dir)? {
        let logged = logged?;
        if logged.position.seq.0 < from {
            continue;
        }
        if left == 0 {
            break;
        }
        left -= 1;
        show(&logged)?;
    }
    Ok(())
}

/// The server writes while this reads: an entry that is not whole yet ends a look, and the next look finds it.
fn tail(dir: &Path, lines: usize) -> Result<()> {
    let mut last = VecDeque::with_capacity(lines);
    let mut seen = Seq::ZERO;
    for logged in log::scan(Arc::new(RealDisk), dir)? {
        let Ok(logged) = logged else { break };
        seen = logged.position.seq;
        last.push_back(logged);
        if last.len() > lines {
            last.pop_front();
        }
    }
    last.iter().try_for_each(show)?;
    loop {
        std::thread::sleep(TAIL_PAUSE);
        for logged in log::scan_from(Arc::new(RealDisk), dir, seen)? {
            let Ok(logged) = logged else { break };
            seen = logged.position.seq;
            show(&logged)?;
        }
    }
}

fn show(logged: &Logged) -> Result<()> {
    let changes = serde_json::to_value(&logged.entry.changes)
        .map_err(|error| Error::internal("an entry has no JSON form").source(error))?;
    let line = json!({
        "position": logged.position.to_string(),
        "time": logged.time.to_string(),
        "chain": logged.chain.to_string(),
        "bytes": logged.bytes,
        "changes": changes,
    });
    say(format_args!("{line}"));
    Ok(())
}
