//! Floor 5, the service: what a caller may do, and how an answer is made. Knows nothing of HTTP.
//!
//! A call's way: [`access`] makes the caller's guard for the collection; the model's pipeline turns the input into a
//! command or a query that carries it; the core decides or the state answers; `output` writes the JSON. Before a read
//! stands the [`cache`]: what was answered before and still holds is answered again.
//!
//! Invariants: only [`access`] makes a guard; a read uses one published view from beginning to end.

pub mod access;
pub mod aggregate;
pub mod auth;
pub mod backups;
pub mod batch;
pub mod cache;
pub mod collections;
pub mod described;
mod explain;
pub mod export;
pub mod figures;
#[cfg(test)]
mod fixture;
pub mod handlers;
pub mod ids;
pub mod import;
pub mod jobs;
pub mod listen;
pub mod lists;
pub mod logs;
pub mod once;
mod output;
mod places;
pub mod records;
mod relations;
pub mod replication;
mod report;
mod scan_pool;
pub mod search;
mod shape;
mod spool;
mod standing;
#[cfg(test)]
mod tests;
mod totals;
pub mod writes;

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Settings;
use crate::core::{Core, Published};
use crate::error::Result;
use crate::handlers::Handlers;
use crate::id::Position;
use crate::jobs::Jobs;
use crate::limits;
use crate::live::Bus;
use crate::model::predicate::{QueryPairs, Request};
use crate::outbound::Dialer;
use crate::search::Search;
use crate::time::Millis;

pub use access::{Asker, Caller};
pub use auth::Secret;
use auth::{Cost, Setup};
use backups::Backups;
use cache::{Answer, Cache, Question};
use places::Places;
use replication::Replication;
use scan_pool::ScanPool;
use spool::Spools;

/// The handle to all calls: cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Their threads end before those that they give work to, and before the core.
    _jobs: Jobs,
    core: Core,
    dev: bool,
    secret: Secret,
    cost: Cost,
    setup: Setup,
    pool: ScanPool,
    passwords: ScanPool,
    lists: Arc<lists::Kept>,
    running: once::Running,
    bus: Bus,
    /// Its threads end before the core does.
    handlers: Handlers,
    replication: Replication,
    backups: Backups,
    /// Time that a round of looking all over takes; 0 for never.
    scrub_hours: u32,
    /// So does its thread.
    search: Search,
    streams: listen::Streams,
    imports: Places,
    aggregates: Places,
    remotes: aggregate::Remotes,
    /// Dead letters that are sent again.
    redeliveries: Places,
    exports: Places,
    spools: Spools,
    /// `None` where the settings leave it no room.
    cache: Option<Arc<Cache>>,
    /// `None` where the settings keep no lines about requests.
    logs: Option<Arc<logs::Logs>>,
    started: Millis,
}

/// A page of a list, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Which, from 1.
    pub page: usize,
    /// How many on each, from 1; more than `limits::PAGE_MAX` gives that many.
    pub per_page: usize,
    /// Whether all are to be counted.
    pub count: bool,
}

impl Service {
    /// Refuses settings of the service that can never work, before anything is opened.
    ///
    /// # Errors
    /// `Invalid`, naming the setting.
    pub fn validate(settings: &Settings) -> Result<()> {
        Cache::validate(settings)
    }

    /// The service over a core, with its scan threads. They end when the last clone is dropped.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread; the disk's.
    pub fn new(core: Core, settings: &Settings, secret: Secret) -> Result<Service> {
        let cache = Cache::of(&core, settings, &secret)?.map(Arc::new);
        let dialer = Arc::new(Dialer::new(settings.webhook_private_addresses));
        let lists = Arc::new(lists::Kept::new(cache.clone()));
        let (pool, aggregates) = (ScanPool::start()?, Places::new(limits::AGGREGATES_MAX));
        let jobs = jobs::means(&core, dialer.clone(), lists.clone(), pool.hands(), aggregates.clone());
        Ok(Service(Arc::new(Inner {
            dev: settings.dev,
            cost: Cost::of(settings.password_memory_kib),
            setup: Setup::default(),
            pool,
            passwords: ScanPool::for_passwords()?,
            lists,
            bus: Bus::start(core.clone())?,
            search: Search::start(core.clone())?,
            handlers: Handlers::start(core.clone(), handlers::means(&core, dialer.clone(), cache.clone()))?,
            _jobs: Jobs::start(core.clone(), jobs)?,
            remotes: aggregate::Remotes::new(dialer),
            cache,
            replication: Replication::start(&core, settings, &secret)?,
            backups: Backups::start(&core, settings)?,
            scrub_hours: settings.scrub_hours,
            secret,
            streams: listen::Streams::new(limits::STREAMS_MAX, settings.connections_per_address),
            imports: Places::new(limits::IMPORTS_MAX),
            aggregates,
            redeliveries: Places::new(limits::HANDLER_DELIVERIES_MAX),
            exports: Places::new(limits::EXPORTS_MAX),
            running: once::Running::default(),
            spools: Spools::open(&core)?,
            logs: logs::Logs::start(&core, settings)?.map(Arc::new),
            started: core.clock().now(),
            core,
        })))
    }

    /// Whether every caller on this machine is a superuser.
    pub fn is_dev(&self) -> bool {
        self.0.dev
    }

    /// When the server started, seconds since 1970.
    pub fn started_s(&self) -> u64 {
        self.0.started.seconds()
    }

    /// Who sends a request: its peer's address and what it says in `Host`.
    pub fn caller(&self, peer: IpAddr, host: Option<&[u8]>) -> Caller {
        access::caller(self.0.dev, peer, host)
    }

    /// The same for a form, which a page sends without asking: by its `Origin`.
    pub fn caller_of_form(&self, caller: Caller, origin: Option<&[u8]>) -> Caller {
        access::caller_of_form(caller, origin)
    }

    /// A caller with what its request says: its method, and its query string.
    pub fn asker(&self, caller: Caller, method: &'static str, query: QueryPairs) -> Asker {
        let now = self.core().clock().now();
        let principal = caller.record();
        Asker { caller, request: Arc::new(Request { now, method, principal, query }) }
    }

    /// The answer to a question that was asked before, if it holds now.
    pub fn kept(&self, question: &Question<'_>) -> Option<Answer> {
        self.0.cache.as_ref()?.find(question)
    }

    /// The position that is read now.
    pub fn position(&self) -> Position {
        self.core().view().position
    }

    /// # Errors
    /// `Unavailable` when no writes can be taken, so that no requests should be sent here.
    pub fn ready(&self) -> Result<()> {
        match self.core().poison().cause() {
            None => self.is_level(),
            Some(_) => Err(crate::error::Error::new(crate::error::Kind::Unavailable, "the server is about to restart")),
        }
    }

    fn core(&self) -> &Core {
        &self.0.core
    }

    /// The view to read: the newest, or one at `min` or later.
    async fn view(&self, min: Option<Position>) -> Result<Arc<Published>> {
        match min {
            None => Ok(self.core().view()),
            Some(position) => self.core().reached(position).await,
        }
    }
}
