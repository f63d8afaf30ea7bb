//! A server in the test's own process, on a free port and in a folder of its own, gone at the end.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use millpond::config::Settings;
use millpond::core::Core;
use millpond::id::Position;
use millpond::server::Server;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    pub core: Core,
    pub folder: TempDir,
    /// Of the link that makes the first superuser, where there is none and `dev` is off.
    pub setup: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<millpond::error::Result<Position>>>,
}

impl Running {
    /// Starts one whose every caller is a superuser, but for those that send a foreign `Host`.
    pub fn start() -> Running {
        Running::start_in(tempfile::tempdir().expect("a folder"))
    }

    /// Starts one in a folder that may hold data already.
    pub fn start_in(folder: TempDir) -> Running {
        Running::start_with(folder, |_| {})
    }

    /// The same with some settings changed.
    pub fn start_with(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Running {
        Running::start_for(folder, change, None)
    }

    /// The same, with a superuser of that address and password.
    pub fn start_for(folder: TempDir, change: impl FnOnce(&mut Settings), superuser: Option<(&str, &str)>) -> Running {
        let mut settings = Settings {
            data: folder.path().join("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dev: true,
            ..Settings::default()
        };
        change(&mut settings);
        let dev = settings.dev;
        let server = Server::start(settings).expect("the server starts");
        if let Some((email, password)) = superuser {
            server.wait_for(server.service().create_superuser(email, password)).expect("a superuser");
        }
        let setup = if dev { None } else { server.service().open_setup().expect("a token or none") };
        let core = server.core().clone();
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(server.serve(ready, async {
                let _ = stopped.await;
            }))
        });
        let address = address.blocking_recv().expect("the server listens");
        Running { address, core, folder, setup, stop: Some(stop), thread: Some(thread) }
    }

    /// Stops it; the last durable position, and its folder.
    pub fn stop(mut self) -> (Position, TempDir) {
        let position = self.end().expect("a clean end");
        let kept = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        (position, kept)
    }

    fn end(&mut self) -> millpond::error::Result<Position> {
        // It may have ended by itself.
        let _ = self.stop.take().expect("stopped once").send(());
        self.thread.take().expect("stopped once").join().expect("the server does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.stop.is_some() && !std::thread::panicking() {
            self.end().expect("a clean end");
        }
    }
}
