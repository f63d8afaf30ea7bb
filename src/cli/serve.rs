//! `millpond serve`.

use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{say, trace};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::server::Server;

pub(super) fn run(settings: Settings) -> Result<()> {
    trace(&settings)?;
    let dev = settings.dev;
    serve(Server::start(settings)?, move |address| {
        say(format_args!("millpond serves http://{address}"));
        if dev {
            say(format_args!("every caller on this machine is a superuser (--dev)"));
        }
    })
}

/// Serves until a signal; `ready` prints what a person or a script waits for.
pub(super) fn serve(server: Server, ready: impl FnOnce(SocketAddr) + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal("no runtime").source(error))?;
    runtime.block_on(async move {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| Error::io("SIGTERM", error))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Error::io("SIGINT", error))?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let (told, address) = oneshot::channel();
        tokio::spawn(async move {
            if let Ok(address) = address.await {
                ready(address);
            }
        });
        let position = server.serve(told, stop).await?;
        tracing::info!(%position, "stopped; everything up to here is on disk");
        Ok(())
    })
}
