//! How handlers are getting on. Superusers only; what handlers are is records of `_handlers`.

use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::service::{Caller, Service, access};

impl Service {
    /// `{"cursor", "lag", "inFlight", "acknowledged", "failed", "lastError"}` of a handler: where it goes on after a restart,
    /// how many entries of the log lie before it, and since the server started how many writes it made and how often it
    /// failed.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`; the state's.
    pub fn handler_status(&self, caller: Caller, id: &str) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let missing = || Error::new(Kind::NotFound, "there is no such handler");
        let id = RecordId::new(id).map_err(|_| missing())?;
        let (cursor, counts) = self.0.handlers.status(&id)?.ok_or_else(missing)?;
        let reached = counts.reached.unwrap_or(cursor).max(cursor);
        let lag = self.core().view().position.seq.0.saturating_sub(reached.whole().0);
        let status = json!({
            "cursor": cursor.to_string(), "lag": lag, "inFlight": counts.in_flight,
            "acknowledged": counts.acknowledged, "failed": counts.failed, "lastError": counts.last_error,
        });
        Ok(status.to_string().into_bytes())
    }
}
