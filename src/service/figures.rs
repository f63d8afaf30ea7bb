//! How the server is, for whoever watches it: the core's figures, and what the service keeps itself.

use crate::core::{Figures, Meters};
use crate::error::Result;
use crate::service::{Caller, Service, access};

/// How the service is at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// The core's own.
    pub core: Figures,
    /// Queries that wait for a scan thread.
    pub scans_queued: usize,
    /// Totals of lists that are kept.
    pub totals_kept: usize,
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
        Ok(Watched {
            core: self.core().figures(),
            scans_queued: self.0.pool.queued(),
            totals_kept: self.0.lists.totals(),
        })
    }

    /// What the core counts.
    pub fn meters(&self) -> &Meters {
        self.core().meters()
    }
}
