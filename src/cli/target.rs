//! What a command works on: a stopped server's folder, by the same service that HTTP calls, or a running server.

use super::args::Target;
use super::remote::Remote;
use super::trace;
use crate::error::{Error, Result};
use crate::server::Server;
use crate::service::Service;

impl Target {
    /// The running server, if one is named.
    ///
    /// # Errors
    /// As [`Remote::new`].
    pub(super) fn remote(&self) -> Result<Option<Remote>> {
        self.url.as_ref().map(|url| Remote::new(url, self.token.clone())).transpose()
    }
}

/// Does something with the service of a folder that no server has open.
///
/// # Errors
/// `Invalid` for what is no folder; as [`Server::start`] and its stop; those of `work`.
pub(super) fn with_service<T>(target: &Target, work: impl FnOnce(&Service) -> Result<T>) -> Result<T> {
    let settings = target.folder.settings()?;
    trace(&settings)?;
    if !settings.data.is_dir() {
        return Err(Error::invalid(format!("data: {} is not a folder", settings.data.display())));
    }
    let server = Server::start(settings)?;
    let done = work(server.service());
    let stopped = server.stop();
    done.and_then(|done| stopped.map(|_| done))
}

/// # Errors
/// `Internal` when the system gives none.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::internal("no runtime").source(error))
}
