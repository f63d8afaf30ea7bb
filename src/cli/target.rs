//! What a command works on: a stopped server's folder, by the same service that HTTP calls, or a running server.

use std::sync::Arc;

use super::args::Target;
use super::remote::Remote;
use super::trace;
use crate::core::{self, Core, Role};
use crate::disk::RealDisk;
use crate::error::{Error, Result};
use crate::server::Server;
use crate::service::Service;
use crate::time::Clock;

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

/// Does something with the core of a folder that no server has open. Nothing is written there but what recovery asks for.
///
/// # Errors
/// As [`with_service`].
pub(super) fn with_core(target: &Target, work: impl FnOnce(&Core) -> Result<()>) -> Result<()> {
    let settings = target.folder.settings()?;
    trace(&settings)?;
    if !settings.data.is_dir() {
        return Err(Error::invalid(format!("data: {} is not a folder", settings.data.display())));
    }
    let still = core::Settings { role: Role::Fenced, ..core::Settings::of(&settings) };
    let (core, threads) = core::start(Arc::new(RealDisk), &settings.data, &still, Clock::System)?;
    let done = work(&core);
    drop(core);
    done.and_then(|()| threads.stop().map(drop))
}

/// # Errors
/// `Internal` when the system gives none.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::internal("no runtime").source(error))
}
