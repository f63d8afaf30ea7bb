//! The primary's side of a pull: what comes after a follower's place, or why nothing can.
//!
//! Invariant: stateless but for the fleet's notes: a request that is cut off is asked again.

use std::time::Duration;

use crate::core::{Core, Published};
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, CollectionId, Generation, Position, Seq};
use crate::limits;
use crate::replica::message::{Head, Pulled, same_format};
use crate::replica::{Fleet, Pull};
use crate::state::{self, Tally};

/// The code of a place behind which the log is no longer kept.
pub const TRIMMED: &str = "log_trimmed";

/// What comes after the follower's place; waits a beat for it. It may read the disk.
///
/// # Errors
/// `Gone` with code `log_trimmed`; `Conflict` with code `other_database`;
/// `Unprocessable` with code `newer_format`; `Unavailable`.
pub async fn pull(core: &Core, fleet: &Fleet, pull: Pull) -> Result<Pulled> {
    same_format(pull.format)?;
    if pull.database != core.identity().database {
        let message = "the follower has the log of another database";
        return Err(Error::new(Kind::Conflict, message).code("other_database"));
    }
    if pull.node == core.identity().node {
        let message =
            "a server can't follow itself, nor a copy of its folder another: give the copy an identity of its own";
        return Err(Error::new(Kind::Conflict, message).code("itself"));
    }
    if pull.acked.seq > pull.after.seq {
        return Err(Error::invalid("a follower has on its disk no more than it was given"));
    }
    let (known, due) = fleet.heard(&pull, core.leases())?;
    if !known {
        let (reading, pull) = (core.clone(), pull.clone());
        let fork = blocking(move || left_at(&reading, pull.after, pull.chain)).await?;
        if fork.is_some() {
            fleet.left(pull.node);
            let head = Head { fork, ..Head::new(core.view().position, core.clock().now()) };
            return Ok(Pulled { head, frames: Vec::new() });
        }
    }
    fleet.acked(pull.node, pull.acked);
    wait(core, pull.after.seq).await;
    let view = core.view();
    let (reading, after) = (core.clone(), pull.after.seq);
    let shipment = blocking(move || reading.log().ship(after, limits::SHIPMENT_BYTES).map_err(trimmed)).await?;
    let (to, chain) = shipment.last.map_or((pull.after, pull.chain), |last| (last.position, last.chain));
    let digests = (due && to == view.position).then(|| digests(&view)).transpose()?;
    fleet.given(pull.node, to, chain, digests.is_some());
    let head = Head { digests, fleet: fleet.urls(pull.node), ..Head::new(view.position, core.clock().now()) };
    Ok(Pulled { head, frames: shipment.frames })
}

/// Until there is something behind `after`, or for a beat.
async fn wait(core: &Core, after: Seq) {
    let mut seq = core.log().watch();
    let beat: Duration = limits::REPLICA_BEAT;
    let waited = tokio::time::timeout(beat, seq.wait_for(|seq| *seq > after)).await;
    // A beat without news is news; a log that ends is seen by the next request.
    drop(waited);
}

/// The tallies of a view.
///
/// # Errors
/// The base's.
pub fn digests(view: &Published) -> Result<Vec<(CollectionId, Generation, Tally)>> {
    let mut digests = Vec::new();
    for collection in view.schema.iter() {
        let tally = state::tally(&view.stack, collection.id, collection.generation)?;
        if tally != Tally::default() {
            digests.push((collection.id, collection.generation, tally));
        }
    }
    Ok(digests)
}

/// Where a server that stands at `after` has left this history; `None` where it is in it.
///
/// # Errors
/// `Gone` with code `log_trimmed` where that can't be told any more.
fn left_at(core: &Core, after: Position, chain: Chain) -> Result<Option<Seq>> {
    let view = core.view();
    if after.seq == Seq::ZERO {
        return Ok(None);
    }
    if !view.knows(after)? {
        return fork(&view, after).map(Some);
    }
    if after == view.position {
        return Ok((view.chain != chain).then_some(Seq::ZERO));
    }
    match core.log().witness(after.seq).map_err(trimmed)? {
        Some(witness) if witness.chain == chain => Ok(None),
        _ => Ok(Some(Seq::ZERO)),
    }
}

/// The last entry that a server which stands at `after` has in common with this history: where the epoch ended here that it
/// is in; zero where this history does not have that.
fn fork(view: &Published, after: Position) -> Result<Seq> {
    let ended = state::ended(&view.stack)?;
    let same = ended.iter().find(|last| last.epoch == after.epoch).map(|last| last.seq);
    let now = (view.position.epoch == after.epoch).then_some(view.position.seq);
    Ok(same.or(now).unwrap_or(Seq::ZERO))
}

fn trimmed(error: Error) -> Error {
    if error.kind() == Kind::Gone { error.code(TRIMMED) } else { error }
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|error| Error::internal("a read of the log was cut short").source(error))?
}
