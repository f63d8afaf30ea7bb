//! The server: builds the floors bottom-up, owns every thread, stops them top-down.
//!
//! Start: folder lock, base, log, replay, writer and applier threads, secret, service, its own collections, listener. Stop: no new connections,
//! requests in flight are answered, the writer's queue is drained, the base made durable, the log's end marked.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::admin;
use crate::config::Settings;
use crate::core::{self, Core, Role, Threads};
use crate::disk::RealDisk;
use crate::error::{Error, Result};
use crate::http::{self, Tls};
use crate::id::Position;
use crate::service::{Secret, Service, replication};
use crate::time::Clock;

/// A server that is not yet listening: what is loaded into it now is there for the first request.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    core: Core,
    threads: Threads,
    service: Service,
}

impl Server {
    /// Opens the folder and starts the core.
    ///
    /// # Errors
    /// The settings', the folder's, the log's and the base's.
    pub fn start(settings: Settings) -> Result<Server> {
        settings.validate()?;
        Service::validate(&settings)?;
        let role = replication::role_at_start(&RealDisk, Path::new(&settings.data), &settings)?;
        let core_settings = core::Settings { role, ..core::Settings::of(&settings) };
        let (core, threads) =
            core::start(Arc::new(RealDisk), Path::new(&settings.data), &core_settings, Clock::System)?;
        let secret = Secret::of_folder(&RealDisk, Path::new(&settings.data))?;
        let service = Service::new(core.clone(), &settings, secret)?;
        let server = Server { settings, core, threads, service };
        // A follower's own collections are its primary's.
        if role != Role::Primary {
            return Ok(server);
        }
        match server.wait_for(server.service.define_own()) {
            Ok(()) => Ok(server),
            Err(error) => {
                server.stop()?;
                Err(error)
            }
        }
    }

    /// Runs a call of the service to its end, where there is no runtime.
    ///
    /// # Errors
    /// The call's.
    pub fn wait_for<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.map_err(|error| Error::internal("no runtime").source(error))?.block_on(call)
    }

    /// The service, to work with it before or beside HTTP.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The core below the service.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Serves until `stop` resolves or the core can't go on; `ready` is told the address once requests are taken.
    /// Returns the last durable position.
    ///
    /// # Errors
    /// The address can't be bound, the certificate can't be read, or what made the core end by itself.
    pub async fn serve(self, ready: oneshot::Sender<SocketAddr>, stop: impl Future<Output = ()>) -> Result<Position> {
        let mut server = self;
        let opened = match Tls::open(&server.settings) {
            Ok(tls) => bind(server.settings.listen).await.map(|listener| (listener, tls)),
            Err(error) => Err(error),
        };
        let (listener, tls) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                server.end().await?;
                return Err(error);
            }
        };
        let address = listener.local_addr().map_err(|error| Error::io("the listener", error))?;
        // It stays, so that who connects between two rounds waits and is not refused.
        let listener = listener.into_std().map_err(|error| Error::io("the listener", error))?;
        // Nobody has to wait for the news.
        let _ = ready.send(address);
        let mut stop = pin!(stop);
        loop {
            let again = server.serve_round(&listener, tls.clone(), stop.as_mut()).await?;
            let settings = server.settings.clone();
            let position = server.end().await?;
            if !again {
                return Ok(position);
            }
            tracing::info!("starting again on what lies in the folder now");
            let started = tokio::task::spawn_blocking(|| Server::start(settings)).await;
            server = started.map_err(|error| Error::internal("a start was cut short").source(error))??;
        }
    }

    /// Serves until there is a reason to end; whether that is to start again.
    async fn serve_round(
        &self,
        listener: &std::net::TcpListener,
        tls: Option<Arc<Tls>>,
        stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool> {
        let listener = listener.try_clone().and_then(TcpListener::from_std);
        let listener = listener.map_err(|error| Error::io("the listener", error))?;
        let (poison, service) = (self.core.poison().clone(), self.service.clone());
        let again = Arc::new(AtomicBool::new(false));
        let found = again.clone();
        let stop = async move {
            tokio::select! {
                () = stop => tracing::info!("stopping: requests in flight are answered"),
                () = poison.wait() => tracing::error!("stopping: the core can't go on"),
                () = service.start_again() => found.store(true, Ordering::Relaxed),
            }
        };
        http::serve(self.service.clone(), (listener, tls), &self.settings, admin::router(), stop).await;
        Ok(again.load(Ordering::Relaxed))
    }

    async fn end(self) -> Result<Position> {
        stop_core(self.core, self.service, self.threads).await
    }

    /// Stops without ever having listened.
    ///
    /// # Errors
    /// What made the core end by itself.
    pub fn stop(self) -> Result<Position> {
        self.core.end_consumers();
        drop((self.core, self.service));
        self.threads.stop()
    }
}

async fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| Error::io(format!("the address {listen}"), error))
}

/// The core's end waits for its disk, so it is given a thread that may block.
async fn stop_core(core: Core, service: Service, threads: Threads) -> Result<Position> {
    core.end_consumers();
    drop((core, service));
    tokio::task::spawn_blocking(move || threads.stop())
        .await
        .map_err(|error| Error::internal("the core's end was cut short").source(error))?
}
