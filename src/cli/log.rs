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
use crate::log::{self, Logged, Scanned, What};

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
    for found in log::scan_from(Arc::new(RealDisk), dir, Seq(from))? {
        let Scanned { segment, offset, what } = found?;
        match what {
            What::Entry(logged) if logged.position.seq.0 >= from && left > 0 => {
                left -= 1;
                show(&logged)?;
            }
            What::Cut(cut) => {
                say(format_args!("{}", json!({"segment": segment, "offset": offset, "cut": format!("{cut:?}")})))
            }
            _ => {}
        }
    }
    Ok(())
}

/// The server writes while this reads: an entry that is not whole yet ends a look, and the next look finds it.
fn tail(dir: &Path, lines: usize) -> Result<()> {
    let mut last = VecDeque::with_capacity(lines);
    let mut seen = Seq::ZERO;
    look(dir, &mut seen, |logged| {
        last.push_back(logged);
        if last.len() > lines {
            last.pop_front();
        }
        Ok(())
    })?;
    last.iter().try_for_each(|logged| show(logged))?;
    loop {
        std::thread::sleep(TAIL_PAUSE);
        look(dir, &mut seen, |logged| show(&logged))?;
    }
}

/// Hands on the whole entries past `seen`.
fn look(dir: &Path, seen: &mut Seq, mut each: impl FnMut(Arc<Logged>) -> Result<()>) -> Result<()> {
    for found in log::scan_from(Arc::new(RealDisk), dir, seen.next())? {
        let Ok(found) = found else { break };
        if let What::Entry(logged) = found.what
            && logged.position.seq > *seen
        {
            *seen = logged.position.seq;
            each(logged)?;
        }
    }
    Ok(())
}

/// How the secrets begin that the server makes itself: hashes of passwords and keys, token keys.
const SECRETS: [&str; 3] = ["$argon2id$", "$sha256$", "$key$"];

/// Leaves of secrets only what kind they are of: what is printed is copied about.
fn veil(json: &mut serde_json::Value) {
    use serde_json::Value;
    match json {
        Value::String(text) => {
            if let Some(kind) = SECRETS.iter().find(|kind| text.starts_with(**kind)) {
                *text = format!("{kind}…");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(veil),
        Value::Object(members) => members.values_mut().for_each(veil),
        _ => {}
    }
}

fn show(logged: &Logged) -> Result<()> {
    let mut changes = serde_json::to_value(&logged.entry.changes)
        .map_err(|error| Error::internal("an entry has no JSON form").source(error))?;
    veil(&mut changes);
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
