//! Backups: made by hand and by the clock, fetched, brought, put in the place of what is there. Superusers only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::backup::{Archive, Archived, Backup, Incoming, Store};
use crate::config::Settings;
use crate::core::{self, Core, Role};
use crate::disk::DiskFile;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::service::places::{Place, Places};
use crate::service::{Caller, Service, access};
use crate::time::Millis;

/// How the names begin of those that the clock made: only they are removed by it.
const BY_CLOCK: &str = "@auto_";
/// How often it is looked whether one is due.
const TICK: Duration = Duration::from_millis(250);
/// Pause after one that came to nothing.
const RETRY_TICKS: u32 = 240;

/// What a server keeps of backups.
#[derive(Debug)]
pub(super) struct Backups {
    store: Store,
    /// One is made, brought or put back at a time.
    places: Places,
    archive: Option<Archive>,
    /// Between two that the clock makes; 0 for none.
    hours: u32,
    /// Its thread ends before the core does.
    _clock: Option<ByClock>,
}

impl Backups {
    /// # Errors
    /// The disk's; `Internal` when the system gives no thread.
    pub(super) fn start(core: &Core, settings: &Settings) -> Result<Backups> {
        let (store, places) = (Store::of(core, settings.bucket()?)?, Places::new(1));
        let archive = settings.archive.clone().map(|dir| Archive::start(core.clone(), dir)).transpose()?;
        let hours = settings.backup_hours;
        let clock = (hours > 0).then(|| {
            let due = Due { every_ms: i64::from(hours) * 3_600_000, keep: settings.backups_keep };
            ByClock::start(core.clone(), store.clone(), places.clone(), due)
        });
        Ok(Backups { store, places, archive, hours, _clock: clock.transpose()? })
    }

    /// How far the archive has come, if there is one.
    pub(super) fn archived(&self) -> Option<Archived> {
        self.archive.as_ref().map(Archive::archived)
    }

    /// How often one is made by the clock, hours; 0 for never.
    pub(super) fn hours(&self) -> u32 {
        self.hours
    }

    /// Begins one as the clock does.
    ///
    /// # Errors
    /// `Unavailable` with code `busy`; `Internal` when the system gives no thread.
    pub(super) fn make_now(&self, core: &Core) -> Result<()> {
        let place = self.place()?;
        let (core, store) = (core.clone(), self.store.clone());
        let work = move || {
            let _place = place;
            let name = name_at(core.clock().now());
            match store.take(&core, &name, &|| core.is_stopping()) {
                Ok(made) => tracing::info!(key = made.key, position = %made.position, "a backup is made"),
                Err(error) => tracing::error!(%error, "no backup could be made"),
            }
        };
        let thread = std::thread::Builder::new().name("backup".to_owned()).spawn(work);
        thread.map(drop).map_err(|error| Error::internal("no thread for a backup").source(error))
    }

    fn place(&self) -> Result<Place> {
        let busy = || Error::new(Kind::Unavailable, "a backup is being made or brought already").code("busy");
        self.places.take().ok_or_else(busy)
    }
}

/// When one is due, and how many of them are kept.
#[derive(Clone, Copy, Debug)]
struct Due {
    every_ms: i64,
    keep: usize,
}

/// Makes backups by the clock.
#[derive(Debug)]
struct ByClock {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ByClock {
    fn start(core: Core, store: Store, places: Places, due: Due) -> Result<ByClock> {
        let over = Arc::<AtomicBool>::default();
        let ended = over.clone();
        let thread = std::thread::Builder::new().name("backups".to_owned()).spawn(move || {
            let ends = || ended.load(Ordering::Relaxed) || core.is_stopping();
            let mut newest = None;
            while !ends() {
                let mut ticks = 1;
                if let Err(error) = due.tend(&core, &store, &places, &mut newest, &ends) {
                    tracing::error!(%error, "no backup could be made");
                    ticks = RETRY_TICKS;
                }
                for _ in 0..ticks {
                    if !ends() {
                        std::thread::sleep(TICK);
                    }
                }
            }
        });
        let thread = thread.map_err(|error| Error::internal("no thread for backups").source(error))?;
        Ok(ByClock { over, thread: Some(thread) })
    }
}

impl Drop for ByClock {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic ends only itself.
            let _ = thread.join();
        }
    }
}

impl Due {
    /// Makes one if it is due, and removes those that are too many. `newest` is the last that was seen: as long as that is
    /// young enough, the store is not asked.
    fn tend(
        self,
        core: &Core,
        store: &Store,
        places: &Places,
        newest: &mut Option<String>,
        ends: &dyn Fn() -> bool,
    ) -> Result<()> {
        let now = core.clock().now();
        let (name, last_due) = (name_at(now), name_at(Millis(now.0 - self.every_ms)));
        if newest.as_ref().is_some_and(|newest| (&last_due..=&name).contains(&newest)) {
            return Ok(());
        }
        // Another one is being made: then soon.
        let Some(_place) = places.take() else { return Ok(()) };
        // A bucket may have those of other databases, which are theirs to make and to remove.
        let own = store.list()?.into_iter().filter(|backup| backup.database == core.identity().database);
        let mut own: Vec<String> = own.map(|backup| backup.key).collect();
        // A clock that was ahead once must not hold back those to come.
        own.retain(|key| key.starts_with(BY_CLOCK) && *key <= name);
        own.sort_unstable();
        newest.clone_from(&own.last().cloned());
        if own.last().is_some_and(|last| *last > last_due) {
            return Ok(());
        }
        let made = store.take(core, &name, ends)?;
        tracing::info!(key = made.key, position = %made.position, bytes = made.bytes, "a backup is made");
        own.push(name.clone());
        *newest = Some(name);
        for key in own.iter().rev().skip(self.keep.max(1)) {
            store.remove(key)?;
        }
        Ok(())
    }
}

/// The name of one that is made at a moment: in the order of time.
fn name_at(at: Millis) -> String {
    format!("{BY_CLOCK}{}.snap", digits(&at.text()[..19]))
}

fn digits(text: &[u8]) -> String {
    text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect()
}

/// `POST /api/backups`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Make {
    name: Option<String>,
}

/// A file on its way out: a backup, or what a run exported.
#[derive(Debug)]
pub struct Outgoing {
    file: Arc<dyn DiskFile>,
    /// Its size.
    pub bytes: u64,
}

impl Outgoing {
    /// All of a file.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn of(file: Arc<dyn DiskFile>) -> Result<Outgoing> {
        let bytes = file.len().map_err(|error| Error::io("a file to be sent", error))?;
        Ok(Outgoing { file, bytes })
    }

    /// The next bytes behind `at`. Reads the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, at: u64) -> Result<Bytes> {
        let left = self.bytes.saturating_sub(at).min(limits::SNAPSHOT_PIECE_BYTES as u64);
        let mut bytes = vec![0; left as usize];
        self.file.read_at(at, &mut bytes).map_err(|error| Error::io("a file to be sent", error))?;
        Ok(bytes.into())
    }
}

/// Where a backup is brought to.
#[derive(Debug)]
pub struct Landing {
    store: Store,
    core: Core,
    place: Place,
}

impl Landing {
    /// Begins to take it.
    ///
    /// # Errors
    /// As [`Service::make_backup`], but for who asks.
    pub async fn begin(self, key: &str) -> Result<Upload> {
        let Landing { store, core, place } = self;
        let key = key.to_owned();
        blocking(move || Ok(Upload { incoming: store.receive(&key)?, core, _place: place })).await
    }
}

/// A backup on its way in.
#[derive(Debug)]
pub struct Upload {
    incoming: Incoming,
    core: Core,
    _place: Place,
}

impl Upload {
    /// The next bytes of it. Writes to the disk.
    ///
    /// # Errors
    /// `NoSpace`; the disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.incoming.write(bytes)
    }

    /// All of it has come: it is read through and has its name.
    ///
    /// # Errors
    /// `Unprocessable` with code `bad_backup`; the disk's.
    pub fn finish(self) -> Result<()> {
        self.incoming.finish(&|| self.core.is_stopping()).map(drop)
    }
}

impl Service {
    /// Those that are there, the newest first, as PocketBase lists them; `modified` is the time of the last entry in it.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; the disk's.
    pub async fn backups(&self, caller: Caller) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let store = self.0.backups.store.clone();
        let list = blocking(move || store.list()).await?;
        let shown = list.into_iter().map(|Backup { key, bytes, position, time, .. }| {
            let modified = String::from_utf8_lossy(&time.text()).into_owned();
            json!({"key": key, "size": bytes, "modified": modified, "position": position.to_string()})
        });
        Ok(shown.collect::<serde_json::Value>().to_string().into_bytes())
    }

    /// Makes one of all that is now; no write waits for it.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `Invalid` for a bad name; `Conflict` with code `backup_exists`; `Unavailable` with code
    /// `busy`; `NoSpace`.
    pub async fn make_backup(&self, caller: Caller, body: &[u8]) -> Result<()> {
        access::superuser(caller)?;
        let read = |error: serde_json::Error| Error::invalid(format!("the body can't be read: {error}"));
        let Make { name } =
            if body.is_empty() { Make::default() } else { serde_json::from_slice(body).map_err(read)? };
        let now = self.core().clock().now();
        let named = name.filter(|name| !name.is_empty());
        let key = named.unwrap_or_else(|| format!("backup_{}.snap", digits(&now.text()[..23])));
        let place = self.0.backups.place()?;
        let (core, store) = (self.core().clone(), self.0.backups.store.clone());
        blocking(move || {
            let _place = place;
            store.take(&core, &key, &|| core.is_stopping())
        })
        .await
        .map(drop)
    }

    /// One of them, to be sent.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`.
    pub async fn send_backup(&self, caller: Caller, key: &str) -> Result<Outgoing> {
        access::superuser(caller)?;
        let (store, key) = (self.0.backups.store.clone(), key.to_owned());
        blocking(move || Outgoing::of(store.open(&key)?)).await
    }

    /// Room for one from outside.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `Unavailable` with code `busy`.
    pub fn receive_backup(&self, caller: Caller) -> Result<Landing> {
        access::superuser(caller)?;
        let place = self.0.backups.place()?;
        Ok(Landing { store: self.0.backups.store.clone(), core: self.core().clone(), place })
    }

    /// Removes one.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`.
    pub async fn drop_backup(&self, caller: Caller, key: &str) -> Result<()> {
        access::superuser(caller)?;
        let (store, key) = (self.0.backups.store.clone(), key.to_owned());
        blocking(move || store.remove(&key)).await
    }

    /// Puts one in the place of all that is there: it is read through, and then the server starts again on it, in an epoch of
    /// its own. What was written since the backup goes; followers are made anew, and streams begin anew.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`; `Misdirected` on a follower; `Unprocessable` with code `other_database`;
    /// `Damaged` for one that is not whole: then nothing has changed.
    pub async fn restore_backup(&self, caller: Caller, key: &str) -> Result<()> {
        access::superuser(caller)?;
        let role = self.role();
        if role != Role::Primary {
            return Err(role.refusal());
        }
        let (found, named) = (self.0.backups.store.clone(), key.to_owned());
        let backup = blocking(move || found.find(&named)).await?;
        if backup.database != self.core().identity().database {
            let message = "the backup is another database's: `millpond restore` makes a folder of it";
            return Err(Error::new(Kind::Unprocessable, message).code("other_database"));
        }
        let place = self.0.backups.place()?;
        let (service, store, key) = (self.clone(), self.0.backups.store.clone(), key.to_owned());
        // All of it, also where the caller hangs up meanwhile: what is half done would be left to nobody.
        blocking(move || {
            let (_place, core) = (place, service.core());
            let (disk, dir) = core.folder();
            let incoming = core::incoming(dir);
            let copied = store.copy(&key, &incoming);
            // From then on no write is answered that would not be there after it.
            let sown = copied.and_then(|()| block_on(core.sow_restored()));
            if sown.is_err()
                && let Err(error) = disk.remove(&incoming)
            {
                tracing::warn!(%error, "the copy of a backup that was not restored stays");
            }
            sown?;
            tracing::warn!(key, position = %backup.position, "a backup takes the place of what was there");
            service.start_again_now();
            Ok(())
        })
        .await
    }

    /// How far the archive of the log has come, if there is one.
    pub fn archived(&self) -> Option<Archived> {
        self.0.backups.archived()
    }
}

/// Waits on a thread that may.
fn block_on<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Handle::current().block_on(call)
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|error| Error::internal("work on a backup was cut short").source(error))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::is_key;

    #[test]
    fn names_by_the_clock_are_in_the_order_of_time() {
        let name = name_at(Millis(1_700_000_000_000));
        assert_eq!(name, "@auto_20231114221320.snap");
        assert!(is_key(&name) && name < name_at(Millis(1_700_000_001_000)));
    }
}
