//! A follower is made of its primary's snapshot: fetched in pieces into its folder, verified, and then the server starts
//! again on it.
//!
//! Invariant: a connection that is cut off costs no more than a piece; nothing of the folder is given up before the
//! snapshot is whole.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;

use super::link::{Ask, UNREACHABLE};
use super::message::{Taken, same_format};
use super::{Link, Means};
use crate::core::{self, Core, Reign};
use crate::disk::Open;
use crate::error::{Error, Kind, Result};
use crate::limits;

/// How often a piece is asked for again.
const TRIES: u32 = 10;

/// Fetches a snapshot and lays it down, for the next start.
///
/// # Errors
/// The primary's, or the disk's; nothing has changed then, and it can be tried again.
pub(super) async fn fetch(core: &Core, link: &mut Link, means: &Means) -> Result<()> {
    let (disk, dir) = core.folder();
    if core.is_leaving() {
        return Ok(());
    }
    let body = ask(link, Method::POST, "/api/replication/snapshot", limits::SNAPSHOT_TAKING).await?;
    let taken: Taken = serde_json::from_slice(&body)
        .map_err(|error| Error::damaged("what came from the primary is no snapshot").source(error))?;
    same_format(taken.format)?;
    tracing::info!(position = %taken.position, bytes = taken.bytes, "fetching a snapshot");
    let path = core::incoming(dir);
    let io = |error| Error::io(path.display(), error);
    match disk.remove(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    if disk.free_bytes(dir).map_err(io)? < taken.bytes + limits::SPOOL_HEADROOM_BYTES {
        return Err(Error::new(Kind::NoSpace, "the disk has too little room for a snapshot"));
    }
    let file = disk.open(&path, Open::CreateNew).map_err(io)?;
    let mut at = 0;
    while at < taken.bytes {
        let piece = piece(link, &taken.id, at).await?;
        if piece.is_empty() {
            return Err(Error::damaged("the primary's snapshot ended early"));
        }
        file.write_at(at, &piece).map_err(io)?;
        at += piece.len() as u64;
    }
    // It goes by itself where this is not heard.
    let _ = ask(link, Method::DELETE, &format!("/api/replication/snapshot/{}", taken.id), limits::REPLICA_TIME).await;
    (means.keep_secret)(&taken.secret)?;
    let header = core.sow().await?;
    if let Err(error) = Reign::amend(core, |known| known.broken = false) {
        tracing::warn!(%error, "it stays noted that this folder has to be made anew");
    }
    tracing::info!(position = %header.applied.position, "the snapshot is whole: the server starts again on it");
    Ok(())
}

async fn piece(link: &mut Link, id: &str, at: u64) -> Result<Bytes> {
    let path = format!("/api/replication/snapshot/{id}?from={at}");
    let mut pause = Duration::from_millis(100);
    for _ in 1..TRIES {
        match ask(link, Method::GET, &path, limits::REPLICA_TIME).await {
            Err(error) if error.code_str() == UNREACHABLE => tokio::time::sleep(pause).await,
            answered => return answered,
        }
        pause = (pause * 2).min(limits::REPLICA_PAUSE_MAX);
    }
    ask(link, Method::GET, &path, limits::REPLICA_TIME).await
}

async fn ask(link: &mut Link, method: Method, path: &str, time: Duration) -> Result<Bytes> {
    let bytes_max = limits::SNAPSHOT_PIECE_BYTES + 1024;
    link.ask(Ask { method, path, body: Bytes::new(), bytes_max, time }).await
}
