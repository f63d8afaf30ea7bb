//! `millpond check`: everything a stopped server's folder claims, verified. Opens it as a start does, recovery and
//! replay included.

use std::sync::Arc;

use super::{say, trace};
use crate::config::Settings;
use crate::core;
use crate::disk::RealDisk;
use crate::error::{Error, Result};
use crate::log;
use crate::state;

pub(super) fn run(settings: &Settings) -> Result<()> {
    trace(settings)?;
    let dir = &settings.data;
    if !dir.is_dir() {
        return Err(Error::invalid(format!("data: {} is not a folder", dir.display())));
    }
    let mut entries = 0u64;
    for found in log::scan(Arc::new(RealDisk), &core::log_dir(dir))? {
        let found = found?;
        match found.what {
            log::What::Entry(_) => entries += 1,
            log::What::Cut(cut) => say(format_args!("log: a torn tail in {}, to be cut: {cut:?}", found.segment)),
            _ => {}
        }
    }
    say(format_args!("log: {entries} entries, each with its checksum and chain"));
    let core_settings = core::Settings { cache_bytes: settings.base_cache_bytes, ..core::Settings::default() };
    let opened = core::open(Arc::new(RealDisk), dir, &core_settings)?;
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
