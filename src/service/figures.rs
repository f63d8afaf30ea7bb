//! How the server is, for whoever watches it: the core's figures, and what the service keeps itself.

use crate::core::{Figures, Meters, Role};
use crate::error::Result;
use crate::id::{NodeId, RecordId};
use crate::limits;
use crate::replica::Lag;
use crate::search;
use crate::service::cache::CacheFigures;
use crate::service::listen::Form;
use crate::service::{Caller, Service, access};

/// How the service is at one moment.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The core's own.
    pub core: Figures,
    /// Queries that wait for a scan thread.
    pub scans_queued: usize,
    /// Aggregates that are carried out.
    pub aggregates: usize,
    /// Totals of lists that are kept.
    pub totals_kept: usize,
    /// Of the cache, where there is one.
    pub cache: Option<CacheFigures>,
    /// This server among others.
    pub replicas: Replicas,
    /// Of the indexes that are searched.
    pub search: search::Figures,
    /// Streams that are open, of each form.
    pub streams: [usize; Form::ALL.len()],
    /// Things that are listened to, each once for all who see it alike.
    pub topics: usize,
    /// What is held for those who are about to take it, bytes.
    pub topic_bytes: usize,
    /// Handlers, by their ids.
    pub handlers: Vec<(RecordId, HandlerFigures)>,
}

/// How this server stands among others.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// What it is to its log.
    pub role: Role,
    /// How far a follower is behind.
    pub lag: Option<Lag>,
    /// The followers of a primary, and how many entries each has not on its disk.
    pub followers: Vec<(NodeId, u64)>,
}

/// How one handler is getting on.
#[derive(Clone, Copy, Debug)]
pub struct HandlerFigures {
    /// Writes, messages and drops that were made since the server started.
    pub acknowledged: u64,
    /// Those that failed.
    pub failed: u64,
    /// Entries of the log that it has not dealt with.
    pub lag: u64,
}

impl Service {
    /// How it is now; for superusers, or for anybody where `open`.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`.
    pub fn watched(&self, caller: Caller, open: bool) -> Result<Watched> {
        if !open {
            access::superuser(caller)?;
        }
        let (topics, topic_bytes) = self.0.bus.figures();
        Ok(Watched {
            core: self.core().figures(),
            scans_queued: self.0.pool.queued(),
            aggregates: limits::AGGREGATES_MAX - self.0.aggregates.free(),
            totals_kept: self.0.lists.totals(),
            cache: self.0.cache.as_ref().map(|cache| cache.figures()),
            replicas: self.replicas(),
            search: self.0.search.figures(),
            streams: self.streams(),
            topics,
            topic_bytes,
            handlers: self.handler_figures()?,
        })
    }

    /// What is counted of streams.
    pub fn live_meters(&self) -> &crate::live::Meters {
        self.0.bus.meters()
    }

    fn handler_figures(&self) -> Result<Vec<(RecordId, HandlerFigures)>> {
        let figures = self.0.handlers.all()?.into_iter().map(|(id, cursor, counts)| {
            let lag = self.lag(cursor, &counts);
            (id, HandlerFigures { acknowledged: counts.acknowledged, failed: counts.failed, lag })
        });
        Ok(figures.collect())
    }

    /// What the core counts.
    pub fn meters(&self) -> &Meters {
        self.core().meters()
    }
}
