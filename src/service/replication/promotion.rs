//! Becoming the primary, and ceasing to be it.
//!
//! Invariants: without `force` no server becomes the primary while one that it knows of is ahead or can't be asked; the old
//! primary, where it can be reached, takes no more writes before the new one takes its first; a server that has heard of a
//! higher epoch of its database takes none.
//!
//! Without a quorum this can't be more than that: a primary that can't be reached goes on taking writes until it hears.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::core::{Reign, Role};
use crate::error::{Error, Kind, Result};
use crate::id::{Epoch, NodeId, Position};
use crate::limits;
use crate::replica::Link;
use crate::replica::link::{Ask, UNREACHABLE};
use crate::service::{Caller, Inner, Service, access};

/// How often a server that may not know of the new primary is told.
const HERALD_PAUSE: Duration = Duration::from_secs(2);
/// How long it is tried: after that it hears of it when it is asked for something.
const HERALD_TIME: Duration = Duration::from_secs(24 * 3_600);

/// The code of a fence that comes from a lower epoch.
const NEWER: &str = "newer_epoch";

const FENCE: &str = "/api/replication/fence";

/// `POST /api/replication/promote`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Promote {
    force: bool,
}

/// `POST /api/replication/fence`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fence {
    /// In hexadecimal.
    database: String,
    /// The counter of the epoch that has begun, or is to begin.
    epoch: u32,
    /// Who begins it: of two with one counter the higher counts.
    node: NodeId,
    /// Where its primary is.
    #[serde(default)]
    url: Option<String>,
}

impl Service {
    /// Makes this follower the primary.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `Conflict`, with codes `not_a_follower`, `follower_not_whole`, `follower_ahead`,
    /// `follower_unreachable`, `behind_the_primary`; with `{"force": true}` only the first two; `OutcomeUnknown`.
    pub async fn promote(&self, caller: Caller, body: &[u8]) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let read = |error: serde_json::Error| Error::invalid(format!("the body can't be read: {error}"));
        let Promote { force } =
            if body.is_empty() { Promote::default() } else { serde_json::from_slice(body).map_err(read)? };
        if self.role() == Role::Primary {
            return Err(conflict("not_a_follower", "this server is the primary"));
        }
        if self.role() == Role::Fenced && !force {
            let message = "another server has become the primary: with force this one becomes it all the same";
            return Err(conflict("fenced", message));
        }
        let (disk, dir) = self.core().folder();
        if self.core().is_leaving() {
            let message = "the server is about to start again on a backup or a snapshot: wait for that";
            return Err(conflict("follower_not_whole", message));
        }
        self.serves().map_err(|error| conflict("follower_not_whole", error.message()))?;
        let others = self.0.replication.standing.as_ref().map(|standing| standing.fleet()).unwrap_or_default();
        if !force {
            for url in &others {
                self.ask_follower(url).await?;
            }
        }
        let noted = Reign::load(&**disk, dir)?.map_or(0, |known| known.epoch);
        let above = self.core().view().position.epoch.counter.max(noted);
        let primary = self.writes_go_to();
        let fenced = match &primary {
            Some(primary) => self.fence_primary(primary, above + 1, force).await?,
            None => 0,
        };
        if !force {
            // From here on they acknowledge nothing to the old primary that this server has not.
            for url in &others {
                self.fence_follower(url, above + 1).await?;
            }
        }
        let begun = self.core().begin(above.max(fenced)).await?;
        let followed = self.0.replication.follow.clone();
        Reign::note(self.core(), Role::Primary, begun.epoch.counter, followed, None)?;
        tracing::warn!(position = %begun, "this server is the primary now");
        for url in primary.into_iter().chain(others).filter(|url| !url.is_empty()) {
            self.herald(url, begun);
        }
        self.define_own().await?;
        Ok(json!({"role": "primary", "epoch": begun.epoch.counter, "position": begun.to_string()})
            .to_string()
            .into_bytes())
    }

    /// A follower of the same primary follows this server from here on, and is not ahead.
    async fn fence_follower(&self, url: &str, epoch: u32) -> Result<()> {
        let told = self.ask(url, Method::POST, FENCE, self.fence(epoch)).await.map_err(|error| {
            conflict("follower_unreachable", &format!("the follower {url} can't be told: {}", error.message()))
        })?;
        let last: Option<Position> = told["position"].as_str().and_then(|text| text.parse().ok());
        let own = self.core().view().position;
        match last {
            Some(last) if last.seq <= own.seq => Ok(()),
            _ => Err(conflict("follower_ahead", &format!("the follower {url} has more than this one: promote it"))),
        }
    }

    /// A follower of the same primary must not be ahead.
    async fn ask_follower(&self, url: &str) -> Result<()> {
        if url.is_empty() {
            let message = "the primary has a follower that can't be asked how far it is, as it says no `advertise`";
            return Err(conflict("follower_unreachable", message));
        }
        let answer = self.ask(url, Method::GET, "/api/replication", Bytes::new()).await;
        let status = answer.map_err(|error| {
            let message = format!("the follower {url} can't be asked how far it is: {}", error.message());
            conflict("follower_unreachable", &message)
        })?;
        let (theirs, own) = (status["seq"].as_u64().unwrap_or(u64::MAX), self.core().view().position.seq.0);
        if theirs > own {
            let message = format!("the follower {url} has {} entries more than this one: promote it", theirs - own);
            return Err(conflict("follower_ahead", &message));
        }
        Ok(())
    }

    /// The old primary takes no more writes, and this server has all that it took. The counter of its epoch; 0 where it
    /// can't be reached.
    async fn fence_primary(&self, url: &str, epoch: u32, force: bool) -> Result<u32> {
        let status = match self.ask(url, Method::POST, FENCE, self.fence(epoch)).await {
            Ok(status) => status,
            Err(error) if error.code_str() == UNREACHABLE || force => {
                tracing::warn!(%error, "the old primary can't be told: it is told as soon as it can be reached");
                return Ok(0);
            }
            Err(error) => return Err(conflict("primary_refuses", error.message())),
        };
        // It may have started again since it was first told, and follow this server already.
        let ours = self.0.replication.url.as_ref();
        let follows =
            status["role"] == "follower" && ours.is_some() && status["primary"].as_str() == ours.map(|url| &**url);
        if status["role"] != "fenced" && !follows && !force {
            return Err(conflict("primary_refuses", "what this server follows is itself no primary: promote there"));
        }
        let last: Option<Position> = status["position"].as_str().and_then(|text| text.parse().ok());
        let last = last.ok_or_else(|| conflict("primary_refuses", "the old primary does not say where it ends"))?;
        if !self.catches_up(last, limits::MIN_SEQ_WAIT).await && !force {
            let message =
                format!("the old primary has stopped at {last}, and this server has not all of it yet: ask again");
            return Err(conflict("behind_the_primary", &message));
        }
        Ok(last.epoch.counter)
    }

    fn fence(&self, epoch: u32) -> Bytes {
        let identity = self.core().identity();
        let (database, node) = (format!("{:032x}", identity.database.0), identity.node);
        json!({"database": database, "epoch": epoch, "node": node, "url": self.0.replication.url}).to_string().into()
    }

    async fn ask(&self, url: &str, method: Method, path: &str, body: Bytes) -> Result<Json> {
        ask(url, self.0.replication.token.as_deref().unwrap_or_default(), method, path, body).await
    }

    /// Tells a server of the new primary until it has heard.
    fn herald(&self, url: String, begun: Position) {
        let epoch = begun.epoch.counter;
        let (fence, token) = (self.fence(epoch), self.0.replication.token.clone().unwrap_or_default());
        // It must hold up no stop.
        let service = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let until = tokio::time::Instant::now() + HERALD_TIME;
            while tokio::time::Instant::now() < until {
                match ask(&url, &token, Method::POST, FENCE, fence.clone()).await {
                    Ok(_) => return,
                    // It began an epoch too, and its own counts.
                    Err(error) if error.code_str() == NEWER => {
                        if let Some(service) = service.upgrade().map(Service)
                            && let Err(error) = service.yield_to(&url).await
                        {
                            tracing::warn!(%error, url, "it can't be told yet which of two primaries counts");
                        }
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(HERALD_PAUSE).await;
                let is_of_now = |service: Arc<Inner>| {
                    !service.core.is_stopping() && service.core.view().position.epoch.counter == epoch
                };
                if !service.upgrade().is_some_and(is_of_now) {
                    return;
                }
            }
        });
    }

    /// Takes no more writes where the server at `url` is the primary of a higher epoch.
    async fn yield_to(&self, url: &str) -> Result<()> {
        let status = self.ask(url, Method::GET, "/api/replication", Bytes::new()).await?;
        let position: Option<Position> = status["position"].as_str().and_then(|text| text.parse().ok());
        match position {
            Some(position) if status["role"] == "primary" => self.heard_of(position.epoch, Some(url.to_owned())).await,
            _ => Ok(()),
        }
    }

    /// Another server of this database has begun an epoch, or is about to. Answers where this one ends.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `Invalid` for the body; `Conflict` with code `other_database` or `newer_epoch`.
    pub async fn be_fenced(&self, caller: Caller, body: &[u8]) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let read = |error: serde_json::Error| Error::invalid(format!("the body can't be read: {error}"));
        let Fence { database, epoch, node, url } = serde_json::from_slice(body).map_err(read)?;
        if database != format!("{:032x}", self.core().identity().database.0) {
            return Err(conflict("other_database", "this server has another database"));
        }
        let own = self.core().view().position.epoch;
        let theirs = Epoch { counter: epoch, node };
        if epoch < own.counter || (theirs <= own && self.role() == Role::Primary) {
            return Err(conflict(NEWER, &format!("this server's epoch is {}", own.counter)));
        }
        match (&self.0.replication.tail, url) {
            (Some(tail), Some(url)) if self.role() == Role::Follower => {
                if self.writes_go_to().as_ref() != Some(&url) {
                    tail.move_to(url);
                }
            }
            (_, url) => self.heard_of(theirs, url).await?,
        }
        let position = self.core().view().position;
        let (role, primary) = (self.role().word(), self.writes_go_to());
        Ok(json!({"role": role, "position": position.to_string(), "primary": primary}).to_string().into_bytes())
    }

    /// What follows from another server's epoch.
    pub(super) async fn heard_of(&self, theirs: Epoch, primary: Option<String>) -> Result<()> {
        let replication = &self.0.replication;
        if theirs <= self.core().view().position.epoch {
            return Ok(());
        }
        let epoch = theirs.counter;
        match (self.role(), primary) {
            (Role::Primary, primary) => {
                let position = self.core().give_way(Role::Fenced).await?;
                tracing::warn!(%position, epoch, "another server is the primary: this one takes no more writes");
                // With a token it can follow by itself; its settings need not say whom.
                Reign::note(self.core(), Role::Fenced, epoch, replication.follow.clone(), primary.clone())?;
                replication.primary.lock().clone_from(&primary);
                if primary.is_some() && replication.token.is_some() {
                    replication.again.notify_one();
                }
            }
            (Role::Fenced, Some(primary)) => {
                Reign::note(self.core(), Role::Fenced, epoch, replication.follow.clone(), Some(primary.clone()))?;
                *replication.primary.lock() = Some(primary);
                if replication.token.is_some() {
                    replication.again.notify_one();
                }
            }
            // It goes where its primary goes.
            (Role::Follower, _) | (_, None) => {}
        }
        Ok(())
    }
}

async fn ask(url: &str, token: &str, method: Method, path: &str, body: Bytes) -> Result<Json> {
    let mut link = Link::new(url, token)?;
    let time = limits::REPLICA_TIME;
    let answer = link.ask(Ask { method, path, body, bytes_max: 1 << 20, time }).await?;
    serde_json::from_slice(&answer).map_err(|error| Error::invalid(format!("{url} answers no JSON: {error}")))
}

fn conflict(code: &'static str, message: &str) -> Error {
    Error::new(Kind::Conflict, message).code(code)
}
