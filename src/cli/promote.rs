//! `millpond promote`: a follower becomes the primary.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use super::args::Promote;
use super::target::runtime;
use super::{say, trace};
use crate::core::{self, Core, Reign, Role};
use crate::disk::RealDisk;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::replica::Link;
use crate::replica::link::Ask;
use crate::time::Clock;

pub(super) fn run(promote: &Promote) -> Result<()> {
    match &promote.target.url {
        Some(url) => ask(url, promote),
        None => folder(promote),
    }
}

fn ask(url: &str, promote: &Promote) -> Result<()> {
    let mut link = Link::new(url, promote.target.token.as_deref().unwrap_or_default())?;
    let body = Bytes::from(json!({"force": promote.force}).to_string());
    let ask = Ask {
        method: Method::POST,
        path: "/api/replication/promote",
        body,
        bytes_max: 1 << 20,
        time: limits::FORWARD_TIME,
    };
    let answer = runtime()?.block_on(link.ask(ask))?;
    say(format_args!("{}", String::from_utf8_lossy(&answer)));
    Ok(())
}

/// Of a stopped server nobody can be asked: it is its operator's word that no other has more.
fn folder(promote: &Promote) -> Result<()> {
    let settings = promote.target.folder.settings()?;
    trace(&settings)?;
    let dir = Path::new(&settings.data);
    let known = Reign::load(&RealDisk, dir)?;
    let follows = matches!(&known, Some(Reign { role: Role::Follower | Role::Fenced, .. }));
    if !follows && !promote.force {
        let message =
            format!("{} is no follower's folder; with --force it begins an epoch all the same", dir.display());
        return Err(Error::new(Kind::Conflict, message).code("not_a_follower"));
    }
    let open = core::Settings { role: Role::Fenced, ..core::Settings::of(&settings) };
    let (core, threads) = core::start(Arc::new(RealDisk), dir, &open, Clock::System)?;
    let begun = begin(&core, known);
    drop(core);
    threads.stop()?;
    say(format_args!("{}", begun?));
    Ok(())
}

fn begin(core: &Core, known: Option<Reign>) -> Result<String> {
    let above = known.as_ref().map_or(0, |known| known.epoch);
    let begun = runtime()?.block_on(core.begin(above))?;
    Reign::note(core, Role::Primary, begun.epoch.counter, known.and_then(|known| known.followed), None)?;
    Ok(format!("the folder is the primary's from {begun} on"))
}
