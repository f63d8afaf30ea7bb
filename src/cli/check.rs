//! `millpond check`: everything a stopped server's folder claims, verified. Opens it as a start does, recovery and
//! replay included.

use std::path::Path;
use std::sync::Arc;

use super::{say, trace};
use crate::config::Settings;
use crate::core;
use crate::disk::RealDisk;
use crate::error::{Error, Kind, Result};
use crate::log;
use crate::state;

pub(super) fn run(settings: &Settings) -> Result<()> {
    trace(settings)?;
    let dir = &settings.data;
    if !dir.is_dir() {
        return Err(Error::invalid(format!("data: {} is not a folder", dir.display())));
    }
    let (mut entries, mut range) = (0u64, None);
    for found in log::scan(Arc::new(RealDisk), &core::log_dir(dir))? {
        let found = found?;
        match found.what {
            log::What::Entry(logged) => {
                entries += 1;
                let last = logged.position;
                range = Some((range.map_or(last, |(first, _)| first), last));
            }
            log::What::Cut(cut) => say(format_args!("log: a torn tail in {}, to be cut: {cut:?}", found.segment)),
            _ => {}
        }
    }
    match range {
        None => say(format_args!("log: no entries")),
        Some((first, last)) => {
            say(format_args!("log: {entries} entries, {first} to {last}, each with its checksum and chain"));
        }
    }
    check_snapshot(dir)?;
    // It begins nothing and ends nothing that a start of the server would.
    let still = core::Settings { role: core::Role::Fenced, ..core::Settings::of(settings) };
    let opened = core::open(Arc::new(RealDisk), dir, &still)?;
    let published = opened.writer.published().load_full();
    let report = match state::check(&published.stack, &published.schema) {
        Ok(report) => report,
        Err(error) => {
            drop(published);
            // Sets damaged tables aside: what was met here must not be met by the next start.
            opened.applier.close(false)?;
            return Err(error);
        }
    };
    for problem in &report.problems {
        say(format_args!("problem: {problem}"));
    }
    for (collection, _, tally) in &report.tallies {
        let name = published.schema.get(*collection).map_or("", |collection| &collection.name);
        say(format_args!("{name}: {} records, digest {:032x}", tally.count, tally.digest));
    }
    if report.answers > 0 {
        say(format_args!("{} answers kept for their idempotency keys", report.answers));
    }
    say(format_args!("position {}, {} entries replayed", published.position, opened.replayed));
    drop(published);
    opened.applier.close(true)?;
    opened.writer.close()?;
    if report.problem_count == 0 {
        say(format_args!("all is well"));
        Ok(())
    } else {
        Err(Error::damaged(format!(
            "{} problems: move the tables' file away, and the next start builds it anew from the log",
            report.problem_count
        )))
    }
}

/// The snapshot is read to its end: the tables may have to be rebuilt from it.
fn check_snapshot(dir: &Path) -> Result<()> {
    match core::local::verify(&RealDisk, dir) {
        Ok(header) => {
            let rows: u64 = header.tallies.iter().map(|(_, _, tally)| tally.count).sum();
            say(format_args!("snapshot: {rows} records at {}", header.applied.position));
            Ok(())
        }
        Err(error) if error.kind() == Kind::Gone => {
            say(format_args!("snapshot: none; one is taken before the log is trimmed"));
            Ok(())
        }
        // A server takes another one as long as its tables are whole.
        Err(error) => {
            say(format_args!("problem: {error}. The next start of a server takes another one"));
            Err(error)
        }
    }
}
