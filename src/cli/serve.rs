//! `millpond serve`.

use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{say, trace};
use crate::config::Settings;
use crate::core::Role;
use crate::error::{Error, Result};
use crate::limits;
use crate::server::Server;

/// `first` are the address and the password of the superuser that is made where there is none yet.
pub(super) fn run(settings: Settings, first: Option<(String, String)>) -> Result<()> {
    trace(&settings)?;
    let (dev, scheme) = (settings.dev, settings.scheme());
    let server = Server::start(settings)?;
    let setup = match begin(&server, dev, first) {
        Ok(setup) => setup,
        Err(error) => {
            server.stop()?;
            return Err(error);
        }
    };
    serve(server, move |address| {
        say(format_args!("millpond serves {scheme}://{address}"));
        if dev {
            say(format_args!("every caller on this machine is a superuser (--dev)"));
        }
        if let Some(token) = setup {
            let minutes = limits::SETUP_TIME_MAX.as_secs() / 60;
            say(format_args!(
                "there is no superuser yet; this link makes the first one, once, within {minutes} minutes:"
            ));
            say(format_args!("  {scheme}://{address}/_/#setup/{token}"));
        }
    })
}

/// Makes the first superuser, or a token by which it can be made.
fn begin(server: &Server, dev: bool, first: Option<(String, String)>) -> Result<Option<String>> {
    let service = server.service();
    // Who follows has its primary's superusers.
    if service.role() != Role::Primary {
        return Ok(None);
    }
    match first {
        Some((email, password)) if !service.has_superuser()? => {
            server.wait_for(service.create_superuser(&email, &password))?;
            Ok(None)
        }
        None if !dev => service.open_setup(),
        _ => Ok(None),
    }
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
