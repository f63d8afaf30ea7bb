//! What servers are to each other: how this one stands, what a follower asks of it, becoming the primary and ceasing to be
//! it. Superusers only, without the limits of a key: a follower sees everything.

mod promotion;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use crate::config::Settings;
pub use crate::core::Role;
use crate::core::{Core, Reign, Rejoined};
use crate::disk::Disk;
use crate::error::{Error, Kind, Result};
use crate::id::{Position, Seq};
use crate::replica::{
    FORMAT, Fleet, Head, Means, Member, Pull, Pulled, Snapshots, Standing, State, Tail, Taken, shipper,
};
use crate::service::figures::Replicas;
use crate::service::{Caller, Secret, Service, access};

/// How often it is looked for followers that are silent.
const SWEEP: Duration = Duration::from_secs(5);

/// This server among others.
#[derive(Debug)]
pub(super) struct Replication {
    fleet: Arc<Fleet>,
    snapshots: Arc<Snapshots>,
    /// Of one that began as a follower.
    standing: Option<Arc<Standing>>,
    /// Its thread ends before the core does.
    tail: Option<Tail>,
    /// Whom it was told to follow, and whom it follows.
    follow: Option<String>,
    primary: Mutex<Option<String>>,
    token: Option<String>,
    url: Option<String>,
    ready_lag: Duration,
    sync: usize,
    sync_time: Duration,
    again: Notify,
}

impl Replication {
    /// Begins to follow where the settings say so and the server has not been promoted since.
    ///
    /// # Errors
    /// `Invalid` for a setting; `Internal` when the system gives no thread; the disk's.
    pub(super) fn start(core: &Core, settings: &Settings, secret: &Secret) -> Result<Replication> {
        let (disk, dir) = core.folder();
        let (_, primary) =
            Reign::role(Reign::load(&**disk, dir)?, settings.follow.as_deref(), settings.token.is_some());
        let mut replication = Replication {
            fleet: Arc::default(),
            snapshots: Arc::new(Snapshots::open(core.clone())?),
            standing: None,
            tail: None,
            follow: settings.follow.clone(),
            primary: Mutex::new(primary.clone()),
            token: settings.token.clone(),
            url: settings.advertise.clone(),
            ready_lag: Duration::from_secs(settings.ready_lag_s.into()),
            sync: settings.sync_followers,
            sync_time: Duration::from_millis(settings.sync_followers_ms),
            again: Notify::new(),
        };
        if core.role() == Role::Follower {
            let primary = primary.ok_or_else(|| Error::internal("a follower without a primary"))?;
            let known = Reign::load(&**disk, dir)?;
            let state = match &known {
                _ if core.view().position.seq == Seq::ZERO => State::Empty,
                Some(known) if known.broken => State::Diverged("it was found not to be what its primary is".to_owned()),
                _ => State::Away("not reached yet".to_owned()),
            };
            let fleet = known.map_or_else(Vec::new, |known| known.fleet);
            let standing = Arc::new(Standing::new(state, primary.clone(), fleet));
            let (disk, dir, known) = (disk.clone(), dir.to_owned(), secret.clone());
            let keep = move |said: &str| known.keep_another(&*disk, &dir, said);
            let means = Means {
                primary,
                follow: settings.follow.clone().unwrap_or_default(),
                token: settings.token.clone().unwrap_or_default(),
                url: settings.advertise.clone(),
                keep_secret: Box::new(keep),
            };
            let (epoch, primary) = (core.view().position.epoch.counter, means.primary.clone());
            Reign::note(core, Role::Follower, epoch, settings.follow.clone(), Some(primary))?;
            replication.tail = Some(Tail::start(core.clone(), standing.clone(), means)?);
            replication.standing = Some(standing);
        }
        sweep(&replication.fleet, &replication.snapshots)?;
        Ok(replication)
    }

    fn follows(&self, role: Role) -> Option<&Arc<Standing>> {
        self.standing.as_ref().filter(|_| role == Role::Follower)
    }
}

/// Now and then gives up what is kept for those who ask no more. It ends with what it sweeps.
fn sweep(fleet: &Arc<Fleet>, snapshots: &Arc<Snapshots>) -> Result<()> {
    let (fleet, snapshots) = (Arc::downgrade(fleet), Arc::downgrade(snapshots));
    let thread = std::thread::Builder::new().name("replicas".to_owned()).spawn(move || {
        while let (Some(fleet), Some(snapshots)) = (fleet.upgrade(), snapshots.upgrade()) {
            fleet.sweep();
            snapshots.sweep();
            drop((fleet, snapshots));
            std::thread::sleep(SWEEP);
        }
    });
    thread.map(drop).map_err(|error| Error::internal("no thread for replicas").source(error))
}

/// What a server's log takes at its start, by its settings and by what became of it since they were set.
///
/// # Errors
/// `Damaged` for a note that can't be read; the disk's.
pub fn role_at_start(disk: &dyn Disk, dir: &Path, settings: &Settings) -> Result<Role> {
    Ok(Reign::role(Reign::load(disk, dir)?, settings.follow.as_deref(), settings.token.is_some()).0)
}

impl Service {
    /// What this server is to its log.
    pub fn role(&self) -> Role {
        self.core().role()
    }

    /// Resolves when the server has to start again on what lies in its folder now.
    pub async fn start_again(&self) {
        let replication = &self.0.replication;
        match &replication.standing {
            None => replication.again.notified().await,
            Some(standing) => {
                tokio::select! {
                    () = standing.again() => {}
                    () = replication.again.notified() => {}
                }
            }
        }
    }

    /// Has the server start again on what lies in its folder now.
    pub(super) fn start_again_now(&self) {
        self.0.replication.again.notify_one();
    }

    /// Whether it may answer reads at all.
    ///
    /// # Errors
    /// `Unavailable` while a follower is made, or made anew because it is not what its primary is.
    pub fn serves(&self) -> Result<()> {
        match self.0.replication.follows(self.role()) {
            Some(standing) => standing.serves(),
            None => Ok(()),
        }
    }

    /// Whether it is near enough to its primary to be sent requests.
    ///
    /// # Errors
    /// `Unavailable`, saying how far it is behind.
    pub(super) fn is_level(&self) -> Result<()> {
        let role = self.role();
        if role == Role::Fenced {
            return Err(Error::new(Kind::Unavailable, "another server is the primary").code("fenced"));
        }
        let Some(standing) = self.0.replication.follows(role) else { return Ok(()) };
        standing.serves()?;
        let lag = standing.lag(self.core().view().position);
        if lag.time > self.0.replication.ready_lag {
            let message = format!("this follower is {} s behind its primary", lag.time.as_secs());
            return Err(Error::new(Kind::Unavailable, message).code("lagging"));
        }
        Ok(())
    }

    /// Where writes go, if not here.
    pub fn writes_go_to(&self) -> Option<String> {
        match self.role() {
            Role::Primary => None,
            Role::Follower => self.0.replication.standing.as_ref().map(|standing| standing.url()),
            Role::Fenced => self.0.replication.primary.lock().clone(),
        }
    }

    /// Waits until this server's own copy has a position, for a little while; whether it has.
    pub async fn catches_up(&self, position: Position, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.core().reached(position)).await, Ok(Ok(_)))
    }

    /// How many followers have a write on their disks, where the settings want that before it is answered.
    ///
    /// # Errors
    /// `OutcomeUnknown` with code `not_replicated` where they are too few in time.
    pub async fn replicated(&self, position: Position) -> Result<Option<usize>> {
        let Replication { fleet, sync, sync_time, .. } = &self.0.replication;
        if *sync == 0 {
            return Ok(None);
        }
        let count = fleet.replicated(position, *sync, *sync_time).await;
        if count >= *sync {
            return Ok(Some(count));
        }
        let message =
            format!("the write is on this server's disk at {position}, and on those of {count} followers of {sync}");
        Err(Error::new(Kind::OutcomeUnknown, message).code("not_replicated"))
    }

    /// Whether writes wait for followers.
    pub fn waits_for_followers(&self) -> bool {
        self.0.replication.sync > 0
    }

    /// How this server stands: `role`, `epoch`, `position`, `seq`, `chain`, `digest` (of all rows), `archive` if the log is copied out, on a primary
    /// `followers`, each with `acked` and its lag in `records`, `bytes` and `seconds`; on a follower `primary`, `state`,
    /// its own lag, and `rejoined`: how it came back last after it had left the primary's history (`cut`, `bootstrap`).
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; the state's.
    pub fn replication_status(&self, caller: Caller) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let (core, replication, role) = (self.core(), &self.0.replication, self.role());
        let view = core.view();
        let position = view.position;
        let digests = shipper::digests(&view)?;
        let digest = digests.iter().fold(0u128, |sum, (_, _, tally)| sum.wrapping_add(tally.digest));
        let mut status = json!({
            "role": role.word(), "node": format!("{:08x}", core.identity().node.0),
            "database": format!("{:032x}", core.identity().database.0),
            "epoch": position.epoch.counter, "position": position.to_string(), "seq": position.seq.0,
            "chain": view.chain.to_string(), "digest": format!("{digest:032x}"),
            "first": core.log().first_seq().0, "url": replication.url, "syncFollowers": replication.sync,
        });
        if let Some(archived) = self.archived() {
            status["archive"] = json!({"position": archived.position.to_string(), "error": archived.error});
        }
        if let Some(primary) = self.writes_go_to() {
            status["primary"] = json!(primary);
        }
        if let Some(standing) = replication.follows(role) {
            let (state, lag) = (standing.state(), standing.lag(position));
            status["state"] = json!(state.word());
            status["why"] = json!(state.why());
            status["lag"] = json!({"records": lag.records, "seconds": lag.time.as_secs_f64()});
            status["fleet"] = json!(standing.fleet());
            let (disk, dir) = core.folder();
            let rejoined = Reign::load(&**disk, dir)?.and_then(|known| known.rejoined);
            status["rejoined"] = json!(rejoined.map(Rejoined::word));
        } else {
            status["followers"] = self.followers(position)?;
        }
        Ok(status.to_string().into_bytes())
    }

    /// The same in few words, for whoever watches.
    pub(super) fn replicas(&self) -> Replicas {
        let (position, role) = (self.core().view().position, self.role());
        let standing = self.0.replication.follows(role);
        let behind = |member: Member| (member.node, position.seq.0.saturating_sub(member.acked.seq.0));
        Replicas {
            role,
            lag: standing.map(|standing| standing.lag(position)),
            followers: self.0.replication.fleet.members().into_iter().map(behind).collect(),
        }
    }

    fn followers(&self, position: Position) -> Result<Json> {
        let core = self.core();
        let members = self.0.replication.fleet.members().into_iter().map(|member| {
            let records = position.seq.0.saturating_sub(member.acked.seq.0);
            let bytes = if records == 0 { 0 } else { core.log().bytes_behind(member.acked.seq) };
            // The age of the first entry that it lacks.
            let next = (records > 0).then(|| core.log().witness(member.acked.seq.next()).ok().flatten()).flatten();
            let now = core.clock().now();
            let seconds = next.map_or(0.0, |next| now.0.saturating_sub(next.time.0).max(0) as f64 / 1_000.0);
            json!({
                "node": format!("{:08x}", member.node.0), "url": member.url, "acked": member.acked.to_string(),
                "seq": member.acked.seq.0, "silentSeconds": member.silent.as_secs_f64(),
                "lag": {"records": records, "bytes": bytes, "seconds": seconds},
            })
        });
        Ok(members.collect())
    }

    /// What a follower asks for: what comes after its place.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; as [`shipper::pull`].
    pub async fn pull(&self, caller: Caller, body: &[u8]) -> Result<Bytes> {
        access::superuser(caller)?;
        let pull: Pull = serde_json::from_slice(body)
            .map_err(|error| Error::invalid(format!("the body is no request of a follower: {error}")))?;
        let core = self.core();
        if pull.database == core.identity().database {
            self.heard_of(pull.after.epoch, None).await?;
        }
        // What it took last it gives to whoever lacks it, before it sends them on.
        if self.role() == Role::Fenced && pull.after.seq >= core.view().position.seq {
            let primary = self.writes_go_to();
            let missing = || Error::new(Kind::Misdirected, "another server is the primary").code("not_the_primary");
            let moved = Some(primary.ok_or_else(missing)?);
            let head = Head { moved, ..Head::new(core.view().position, core.clock().now()) };
            return Pulled { head, frames: Vec::new() }.write();
        }
        let mut pulled = shipper::pull(core, &self.0.replication.fleet, pull).await?;
        pulled.head.secret = pulled.head.fork.map(|_| self.0.secret.told());
        pulled.write()
    }

    /// Takes a snapshot for a follower.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `Unavailable` with code `busy`; `NoSpace`.
    pub async fn take_snapshot(&self, caller: Caller) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        self.serves()?;
        let snapshots = self.0.replication.snapshots.clone();
        let taken = tokio::task::spawn_blocking(move || snapshots.take()).await;
        let (id, bytes, position) =
            taken.map_err(|error| Error::internal("a snapshot was cut short").source(error))??;
        let taken = Taken { format: FORMAT, id, bytes, position, secret: self.0.secret.told() };
        serde_json::to_vec(&taken).map_err(|error| Error::internal("no JSON").source(error))
    }

    /// A piece of it.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`.
    pub async fn read_snapshot(&self, caller: Caller, id: &str, from: u64) -> Result<Bytes> {
        access::superuser(caller)?;
        let (snapshots, id) = (self.0.replication.snapshots.clone(), id.to_owned());
        let read = tokio::task::spawn_blocking(move || snapshots.read(&id, from)).await;
        read.map_err(|error| Error::internal("a snapshot was cut short").source(error))?
    }

    /// It is fetched.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`.
    pub fn drop_snapshot(&self, caller: Caller, id: &str) -> Result<()> {
        access::superuser(caller)?;
        self.0.replication.snapshots.done(id);
        Ok(())
    }
}
