//! The follower's thread: pulls, has what came logged, compares digests; makes the folder anew where that is the only way.
//! Once this server is the primary it tells those who may not know.
//!
//! Invariants: what is asked from is what was logged, so nothing is skipped and nothing comes twice; while the primary can't
//! be reached the pauses grow, with jitter, and this server goes on answering what it has.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use parking_lot::Mutex;

use super::link::Ask;
use super::message::{FORMAT, Pull, Pulled, differ};
use super::shipper::{self, TRIMMED};
use super::standing::State;
use super::{Link, Standing, aside, bootstrap};
use crate::core::{Core, Reign, Rejoined, Role};
use crate::error::{Error, Kind, Result};
use crate::id::{Position, Seq};
use crate::limits;
use crate::log::{self, Witness};

/// What a follower works with that is not its own to make.
pub struct Means {
    /// Its primary.
    pub primary: String,
    /// What it was told to follow, which may have sent it on.
    pub follow: String,
    /// What it shows there.
    pub token: String,
    /// Where it is reached itself.
    pub url: Option<String>,
    /// Keeps what tokens are signed with, as the primary said it.
    pub keep_secret: Box<KeepSecret>,
}

type KeepSecret = dyn Fn(&str) -> Result<()> + Send + Sync;

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means").field("primary", &self.primary).finish_non_exhaustive()
    }
}

/// The handle; its thread ends when it is dropped, or when the core tells its consumers to.
#[derive(Debug)]
pub struct Tail {
    over: Arc<AtomicBool>,
    /// Where it was told that the primary is now.
    moved: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Tail {
    /// Starts following.
    ///
    /// # Errors
    /// `Invalid` for a bad URL; `Internal` when the system gives no thread.
    pub fn start(core: Core, standing: Arc<Standing>, means: Means) -> Result<Tail> {
        let link = Link::new(&means.primary, &means.token)?;
        let (over, moved) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Option<String>>>::default());
        let follower = Follower { core, standing, means, link, over: over.clone(), moved: moved.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::internal("no runtime").source(error))?;
        let thread = std::thread::Builder::new().name("replica".to_owned()).spawn(move || {
            runtime.block_on(follower.run());
        });
        let thread = thread.map_err(|error| Error::internal("no thread for a follower").source(error))?;
        Ok(Tail { over, moved, thread: Some(thread) })
    }

    /// Goes on at another primary.
    pub fn move_to(&self, primary: String) {
        *self.moved.lock() = Some(primary);
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic ends only itself.
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Follower {
    core: Core,
    standing: Arc<Standing>,
    means: Means,
    link: Link,
    over: Arc<AtomicBool>,
    moved: Arc<Mutex<Option<String>>>,
}

/// How often it is looked whether the thread shall end.
const TICK: Duration = Duration::from_millis(20);

fn goes_on(over: &AtomicBool, core: &Core) -> bool {
    !over.load(Ordering::Relaxed) && !core.is_stopping() && core.role() == Role::Follower
}

/// Why following came to an end for now.
enum Trouble {
    /// It can be tried again after a pause.
    Later(Error),
    /// What the primary keeps begins behind this server.
    Behind,
    /// This server's history, or its tables, are not the primary's.
    Diverged(String, Option<Fork>),
    /// It can't go on until somebody does something.
    Lost(String),
    /// Another server is the primary.
    Moved(String),
}

/// Where this server has left the primary's history.
struct Fork {
    /// The last entry that both have.
    seq: Seq,
    /// What the primary signs tokens with.
    secret: Option<String>,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = limits::REPLICA_PAUSE;
        while self.goes_on() {
            let began = std::time::Instant::now();
            let over = self.ended();
            // What is on the way is of no use at the end, and nothing is lost with it.
            let met = tokio::select! {
                () = over => return,
                met = self.follow_and_meet() => met,
            };
            match met {
                Ok(true) => return self.standing.start_again(),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "this follower could not be made anew yet");
                    self.away(&error);
                }
            }
            // What held for a while was no failure of the last try.
            pause = if began.elapsed() > limits::REPLICA_PAUSE_MAX { limits::REPLICA_PAUSE } else { pause };
            self.sleep(jittered(pause)).await;
            pause = (pause * 2).min(limits::REPLICA_PAUSE_MAX);
        }
    }

    fn goes_on(&self) -> bool {
        goes_on(&self.over, &self.core)
    }

    /// Resolves when this server follows no more.
    fn ended(&self) -> impl Future<Output = ()> + use<> {
        let (over, core) = (self.over.clone(), self.core.clone());
        async move {
            while goes_on(&over, &core) {
                tokio::time::sleep(TICK).await;
            }
        }
    }

    async fn follow_and_meet(&mut self) -> Result<bool> {
        match self.follow().await {
            Ok(()) => Ok(false),
            Err(trouble) => self.meet(trouble).await,
        }
    }

    async fn sleep(&self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while self.goes_on() && tokio::time::Instant::now() < until {
            tokio::time::sleep(TICK.min(time)).await;
        }
    }

    fn away(&self, error: &Error) {
        if self.standing.serves().is_ok() {
            self.standing.set(State::Away(error.message().to_owned()));
        }
    }

    /// Does what there is to do about it; whether the server has to start again.
    async fn meet(&mut self, trouble: Trouble) -> Result<bool> {
        let fork = match trouble {
            Trouble::Later(error) => {
                tracing::debug!(%error, "the primary can't be followed now");
                self.away(&error);
                return Ok(false);
            }
            Trouble::Lost(why) => {
                tracing::error!(why, "this server can't follow");
                self.standing.set(State::Diverged(why));
                return Ok(false);
            }
            Trouble::Moved(primary) if self.means.url.as_ref() == Some(&primary) => {
                self.away(&Error::new(
                    Kind::Unavailable,
                    "the server that is followed says that this one is the primary",
                ));
                return Ok(false);
            }
            Trouble::Moved(primary) => {
                tracing::info!(primary, "another server is the primary now");
                self.link = Link::new(&primary, &self.means.token)?;
                self.standing.follows(primary.clone());
                let epoch = self.core.view().position.epoch.counter;
                let followed = Some(self.means.follow.clone());
                Reign::note(&self.core, Role::Follower, epoch, followed, Some(primary))?;
                return Ok(false);
            }
            Trouble::Behind => {
                if self.core.view().position.seq > Seq::ZERO {
                    self.standing.set(State::Behind);
                }
                None
            }
            Trouble::Diverged(why, fork) => {
                tracing::error!(why, "this follower is made anew");
                self.standing.set(State::Diverged(why));
                // A start in between must not forget it.
                let mut was_broken = false;
                Reign::amend(&self.core, |known| was_broken = std::mem::replace(&mut known.broken, true))?;
                // Tables that are not what they should be are no place to go on from.
                fork.map(|fork| (fork, was_broken))
            }
        };
        if let Some((Fork { seq, secret }, was_broken)) = fork {
            aside::set_aside(&self.core, seq)?;
            if let Some(secret) = secret.filter(|_| !was_broken) {
                (self.means.keep_secret)(&secret)?;
                Reign::amend(&self.core, |known| known.rejoined = Some(Rejoined::Cut))?;
                // The last of it: from then on nothing may be logged before the next start.
                if self.core.sow_cut(seq).await? {
                    tracing::warn!(
                        fork = seq.0,
                        "this server goes on from its own tables: its log is cut where it left"
                    );
                    return Ok(true);
                }
            }
            Reign::amend(&self.core, |known| known.rejoined = Some(Rejoined::Bootstrap))?;
        }
        bootstrap::fetch(&self.core, &mut self.link, &self.means).await?;
        Ok(true)
    }

    /// Until there is trouble, or this server follows no more.
    async fn follow(&mut self) -> Result<(), Trouble> {
        let mut at = self.core.view().witness();
        let mut given = self.pull(at, at.position).await?;
        while self.goes_on() {
            let Pulled { head, frames } = given;
            let last = log::last_of(&frames).map_err(broken)?.unwrap_or(at);
            let fleet = head.fleet.clone();
            if self.standing.heard(head.now, head.time, at.position, head.fleet) {
                Reign::amend(&self.core, |known| known.fleet = fleet).map_err(Trouble::Later)?;
            }
            let core = self.core.clone();
            let ingested = ingest(&core, frames);
            // While there is more than came, it is asked for meanwhile.
            if last.position.seq < head.now.seq && last.position.seq > at.position.seq {
                let acked = at.position;
                let (done, next) = tokio::join!(ingested, self.pull(last, acked));
                done?;
                given = next?;
            } else {
                ingested.await?;
                self.standing.reached(last.position);
                let same = match head.digests {
                    Some(digests) => self.compare(head.now, &digests)?,
                    None => false,
                };
                // What was found to differ is good again only when it was found to be the same.
                if same || !matches!(self.standing.state(), State::Diverged(_)) {
                    self.standing.set(State::Following);
                }
                given = self.pull(last, last.position).await?;
            }
            at = last;
        }
        Ok(())
    }

    async fn pull(&mut self, after: Witness, acked: Position) -> Result<Pulled, Trouble> {
        if let Some(moved) = self.moved.lock().take() {
            return Err(Trouble::Moved(moved));
        }
        let identity = self.core.identity();
        let pull = Pull {
            format: FORMAT,
            database: identity.database,
            node: identity.node,
            after: after.position,
            chain: after.chain,
            acked,
            url: self.means.url.clone(),
        };
        let body = serde_json::to_vec(&pull).map_err(|error| later("no JSON", error.to_string()))?;
        let bytes_max = limits::SHIPMENT_BYTES_MAX + (8 << 20);
        let path = "/api/replication/pull";
        let ask = Ask { method: Method::POST, path, body: body.into(), bytes_max, time: limits::REPLICA_TIME };
        let answer: Result<Bytes> = self.link.ask(ask).await;
        let pulled = answer.and_then(|answer| Pulled::read(&answer)).map_err(|error| match error.code_str() {
            TRIMMED => Trouble::Behind,
            "other_database" if after.position.seq == Seq::ZERO => Trouble::Behind,
            "other_database" => {
                Trouble::Lost("this folder holds another database: follow with an empty one".to_owned())
            }
            _ => Trouble::Later(error),
        })?;
        if let Some(primary) = pulled.head.moved {
            return Err(Trouble::Moved(primary));
        }
        let (own, theirs) = (after.position.epoch, pulled.head.now.epoch);
        match pulled.head.fork {
            None => {
                // The primary has all that this server has: nothing of it will have to be cut off.
                self.core.release_tables();
                Ok(pulled)
            }
            Some(seq) if own.counter < theirs.counter => {
                let why = format!("entry {} of this server is not in the primary's history", after.position);
                Err(Trouble::Diverged(why, Some(Fork { seq, secret: pulled.head.secret })))
            }
            // It may be about to take this one's place: until it has begun an epoch, nothing here is given up.
            Some(_) if own.counter > theirs.counter || (own == theirs && after.position.seq > pulled.head.now.seq) => {
                let theirs = pulled.head.now;
                Err(later("what this server follows is behind it", format!("it stands at {theirs}")))
            }
            Some(_) => Err(Trouble::Lost(
                "this server and the one it follows were both primaries in one epoch: decide for one, and give the other an \
                 empty folder"
                    .to_owned(),
            )),
        }
    }

    /// Whether all is the same as at the primary; false where that can't be told now.
    ///
    /// # Errors
    /// `Diverged`, naming the collection.
    fn compare(&self, at: Position, theirs: &super::message::Digests) -> Result<bool, Trouble> {
        let view = self.core.view();
        if view.position != at {
            return Ok(false);
        }
        let ours = shipper::digests(&view).map_err(Trouble::Later)?;
        let Some(difference) = differ(&ours, theirs) else { return Ok(true) };
        let name = view.schema.get(difference.collection).map(|collection| collection.name.to_string());
        let name = name.unwrap_or_else(|| difference.collection.to_string());
        Err(Trouble::Diverged(format!("the collection {name} is not what it is at the primary, at {at}"), None))
    }
}

async fn ingest(core: &Core, frames: Vec<u8>) -> Result<(), Trouble> {
    if frames.is_empty() {
        return Ok(());
    }
    match core.ingest(frames).await {
        Ok(_) => Ok(()),
        // What is on the way when this server becomes the primary.
        Err(error) if error.code_str() == "not_a_follower" => Err(Trouble::Later(error)),
        Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Conflict) => {
            Err(Trouble::Diverged(error.message().to_owned(), None))
        }
        Err(error) => Err(Trouble::Later(error)),
    }
}

fn broken(error: Error) -> Trouble {
    Trouble::Later(error)
}

fn later(what: &str, why: String) -> Trouble {
    Trouble::Later(Error::new(Kind::Unavailable, format!("{what}: {why}")))
}

/// Between half of it and all of it, so that those who lost a primary together don't come back together.
fn jittered(pause: Duration) -> Duration {
    // Seeded by the system, each time anew.
    let random = RandomState::new().build_hasher().finish() % 256;
    pause / 2 + pause / 2 * (random as u32) / 255
}
