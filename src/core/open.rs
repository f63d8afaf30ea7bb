//! Opening a folder: identity, base, log, and the replay of what the base does not have yet.
//!
//! Invariant: replay is the same `effects` and `apply` that the writer uses, from the base's last durable commit on; it
//! decides nothing. Where the base comes from is `rebuild`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ballast::Ballast;
use super::decide::Pieces;
use super::rebuild::Folder;
use super::writer::Start;
use super::{Applier, Compact, Keep, Keeper, Published, Role, Writer};
use super::{plant, rejoin};
use crate::config;
use crate::disk::{self, Disk, DiskLock};
use crate::error::{Error, Kind, Result};
use crate::id::{DatabaseId, NodeId, Seq};
use crate::limits;
use crate::log;
use crate::state::{self, Applied, Base, Stack};

/// Version of the folder's layout; a newer one is refused.
const FORMAT: u32 = 1;
const IDENTITY_FILE: &str = "identity.json";
/// Bytes of log read at once by replay.
const REPLAY_BYTES: usize = 4 << 20;

/// What an operator or a test may choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// redb's page cache, bytes.
    pub cache_bytes: usize,
    /// What is kept to be given up when the disk is full, bytes.
    pub ballast_bytes: u64,
    /// How long works are cut.
    pub pieces: Pieces,
    /// The log's own.
    pub log: log::Settings,
    /// How much of the log is kept.
    pub keep: Keep,
    /// When the base's file is compacted.
    pub compact: Compact,
    /// Time in which everything is read and verified; zero is never.
    pub scrub: Duration,
    /// Identity of a new folder; random if absent.
    pub genesis: Option<log::Genesis>,
    /// What the server is to its log.
    pub role: Role,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            cache_bytes: limits::BASE_CACHE_BYTES,
            ballast_bytes: limits::BALLAST_BYTES,
            pieces: Pieces::default(),
            log: log::Settings::default(),
            keep: Keep::default(),
            compact: Compact::default(),
            scrub: hours(limits::SCRUB_HOURS),
            genesis: None,
            role: Role::Primary,
        }
    }
}

impl Settings {
    /// Those of a server.
    pub fn of(server: &config::Settings) -> Settings {
        let config::Settings { base_cache_bytes, log_keep_hours, log_max_bytes, scrub_hours, .. } = *server;
        // Of a small log too some segments can go while others stay.
        let segment_bytes = limits::SEGMENT_BYTES.min(log_max_bytes / 8);
        let log = log::Settings {
            segment_bytes,
            first_segment_bytes: limits::SEGMENT_FIRST_BYTES.min(segment_bytes),
            ..log::Settings::default()
        };
        let keep = Keep { log_keep: hours(log_keep_hours), log_max_bytes };
        let scrub = hours(scrub_hours);
        Settings { cache_bytes: base_cache_bytes, log, keep, scrub, ..Settings::default() }
    }
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(3_600 * u64::from(hours))
}

/// An open database, its parts not yet on their threads.
#[derive(Debug)]
pub struct Opened {
    /// Decides, logs, publishes.
    pub writer: Writer,
    /// Folds layers into the base.
    pub applier: Applier,
    /// Prepares the log's next segments.
    pub preparer: log::Preparer,
    /// Trims the log.
    pub keeper: Keeper,
    /// For consumers.
    pub reader: log::Reader,
    /// What recovery found.
    pub recovery: log::Recovery,
    /// Entries that were replayed.
    pub replayed: u64,
    /// Who this server is.
    pub identity: Identity,
    /// Held as long as the database is open.
    pub lock: Box<dyn DiskLock>,
}

/// Who a folder's server is; written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of the folder's layout.
    pub format: u32,
    /// The database; shared with followers.
    pub database: DatabaseId,
    /// This folder.
    pub node: NodeId,
}

/// Opens or creates a database in `dir`.
///
/// # Errors
/// `Unavailable` with code `folder_in_use`; `Damaged` with place and remedy; `Invalid` with code `newer_format`; the
/// disk's.
pub fn open(disk: Arc<dyn Disk>, dir: &Path, settings: &Settings) -> Result<Opened> {
    disk.create_dir_all(dir).map_err(|error| Error::io(format!("the folder {}", dir.display()), error))?;
    let lock = lock(&*disk, dir)?;
    let log_dir = log_dir(dir);
    disk.create_dir_all(&log_dir).map_err(|error| Error::io("the log's folder", error))?;
    let planted = plant::go_on(&*disk, dir, settings, || identity(&*disk, dir, settings.genesis))?;
    let identity = identity(&*disk, dir, settings.genesis)?;

    let mut ballast = Ballast::new(disk.clone(), dir, settings.ballast_bytes)?;
    let is_left = match &planted {
        Some(_) => rejoin::forget(&*disk, dir).map(|()| false)?,
        None => match rejoin::go_on(&*disk, dir, settings) {
            // A segment is written anew, which takes some room.
            Err(error) if error.kind() == Kind::NoSpace && ballast.release() => rejoin::go_on(&*disk, dir, settings)?,
            done => done?,
        },
    };
    let folder = Folder { disk: &disk, dir, settings, database: identity.database };
    let engines = match Engines::open(&folder, &identity, &mut ballast)? {
        Ok(engines) => engines,
        Err(damaged) => {
            tracing::error!("the tables are damaged: they are set aside and built anew from the log");
            folder.set_aside(damaged)?;
            Engines::open(&folder, &identity, &mut ballast)?.map_err(|_| {
                Error::damaged("the tables are damaged again after they were built anew: look after the disk")
            })?
        }
    };
    let Engines { base, log: (log_writer, reader, recovery), applied, replayed } = engines;
    let Replayed { published, applied: last, durable, flushed, log_bytes } = replayed;
    let entries = recovery.last.seq.0 - applied.position.seq.0;
    let applier = Applier::new(base, disk.clone(), dir, settings, durable, flushed);
    // What is to be cut must not come into the tables for good.
    applier.durable_mark().hold(is_left);
    let freeze_log_bytes = settings.keep.checkpoint_log_bytes();
    let pieces = settings.pieces;
    let role = (settings.role, identity.node);
    let start = Start { published, log_bytes, freeze_log_bytes, pieces, role };
    let (preparer, trimmer, scrub) = (log_writer.preparer(), log_writer.trimmer(), log_writer.scrub());
    let mut writer = Writer::new(log_writer, identity.database, start, ballast);
    if let Some(planted) = planted {
        match (planted.begins_above, settings.role) {
            (Some(above), Role::Primary) => {
                writer.begin(above, last.time)??;
                plant::forget(&*disk, dir)?;
            }
            // It logs nothing, and has yet to begin its epoch when it is the primary again.
            (Some(_), Role::Fenced) => {}
            _ => plant::forget(&*disk, dir)?,
        }
    }
    let keeper = Keeper::new(disk, dir, settings, (trimmer, scrub), &writer, &applier)?;
    Ok(Opened { writer, applier, preparer, keeper, reader, recovery, replayed: entries, identity, lock })
}

/// The base and the log of a folder, joined.
struct Engines {
    base: Base,
    log: (log::Writer, log::Reader, log::Recovery),
    /// Where the base stood before the replay.
    applied: Applied,
    replayed: Replayed,
}

impl Engines {
    /// The second `Err` is a base that was found damaged only while it was used.
    fn open(
        folder: &Folder<'_>,
        identity: &Identity,
        ballast: &mut Ballast,
    ) -> Result<std::result::Result<Engines, Base>> {
        let Folder { disk, dir, settings, .. } = folder;
        let genesis = log::Genesis { database: identity.database, node: identity.node };
        let (mut base, applied) = folder.base(ballast)?;
        let open_log = || log::open((*disk).clone(), &log_dir(dir), settings.log, genesis, applied.position.seq);
        let log = match open_log() {
            // Its last segment is written anew, which takes some room.
            Err(error) if error.kind() == Kind::NoSpace && ballast.release() => open_log()?,
            opened => opened?,
        };
        check_history(&log.2, identity, applied)?;
        let applied = Applied { database: identity.database, ..applied };
        match replay(&log.1, &log.2, &mut base, applied) {
            Err(error) if error.kind() == Kind::Damaged && base.is_damaged() => Ok(Err(base)),
            replayed => Ok(Ok(Engines { base, log, applied, replayed: replayed? })),
        }
    }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>> {
    disk.lock(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::new(
            Kind::Unavailable,
            format!("the folder {} is in use by another process: stop it, or choose another folder", dir.display()),
        )
        .code("folder_in_use"),
        _ => Error::io(format!("the lock of {}", dir.display()), error),
    })
}

fn identity(disk: &dyn Disk, dir: &Path, genesis: Option<log::Genesis>) -> Result<Identity> {
    let path = dir.join(IDENTITY_FILE);
    let there = disk.exists(&path).map_err(|error| Error::io("the folder's identity", error))?;
    if there {
        let bytes = disk::read_all(disk, &path).map_err(|error| Error::io("the folder's identity", error))?;
        return read_identity(&bytes, &path);
    }
    let genesis = match genesis {
        Some(genesis) => genesis,
        None => log::Genesis {
            database: DatabaseId(u128::from_le_bytes(random()?)),
            node: NodeId(u32::from_le_bytes(random()?)),
        },
    };
    let identity = Identity { format: FORMAT, database: genesis.database, node: genesis.node };
    identity.write(disk, dir)?;
    Ok(identity)
}

impl Identity {
    pub(super) fn write(self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(&self).map_err(|error| Error::internal("no JSON").source(error))?;
        disk::replace_file(disk, &dir.join(IDENTITY_FILE), &bytes)
            .map_err(|error| Error::io("the folder's identity", error))
    }
}

fn read_identity(bytes: &[u8], path: &Path) -> Result<Identity> {
    /// What every version of the file has.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let damaged = |error: serde_json::Error| {
        Error::damaged(format!("{} is not readable: restore it from a backup", path.display())).source(error)
    };
    let Version { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > FORMAT {
        return Err(Error::invalid(format!(
            "the folder has format {format}, this program knows {FORMAT}: run a newer version of it"
        ))
        .code("newer_format"));
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal("the system gives no random bytes").source(error.to_string()))?;
    Ok(bytes)
}

/// Base and log must belong together and tell one history: the chain at the base's position is the log's.
fn check_history(recovery: &log::Recovery, identity: &Identity, applied: Applied) -> Result<()> {
    if recovery.database != identity.database {
        return Err(Error::damaged("the log belongs to another database: put the folder's own log back"));
    }
    if recovery.chain_at_witness == applied.chain {
        return Ok(());
    }
    Err(Error::damaged(format!(
        "the tables stand at {} of another history than the log's: move the tables' file away to build it anew",
        applied.position
    )))
}

/// What a replay leaves.
#[derive(Debug)]
struct Replayed {
    published: Published,
    applied: Applied,
    /// Up to where the base has it durably.
    durable: Seq,
    /// Up to where the base has it.
    flushed: Seq,
    /// Bytes of log in the fresh layer.
    log_bytes: u64,
}

/// Folds the log from the base's position up to its end in, as the writer and the applier do it: into layers, and the
/// layers into the base.
fn replay(reader: &log::Reader, recovery: &log::Recovery, base: &mut Base, applied: Applied) -> Result<Replayed> {
    let view = base.view();
    let schema = Arc::new(state::schema_of(&*view)?);
    let seq = applied.position.seq;
    let Applied { position, chain, time, .. } = applied;
    let published = Published { position, chain, time, schema, stack: Stack::new(view) };
    let mut replayed = Replayed { published, applied, durable: seq, flushed: seq, log_bytes: 0 };
    let mut undurable_bytes = 0;
    while replayed.applied.position.seq < recovery.last.seq {
        for logged in reader.read_from(replayed.applied.position.seq, REPLAY_BYTES)? {
            replayed.fold(&logged)?;
        }
        if replayed.published.stack.fresh.bytes() >= limits::FRESH_BYTES_FREEZE {
            undurable_bytes += replayed.log_bytes;
            replayed.flush(base)?;
        }
        if undurable_bytes >= limits::CHECKPOINT_LOG_BYTES {
            base.checkpoint()?;
            replayed.durable = replayed.flushed;
            undurable_bytes = 0;
        }
    }
    let Applied { chain, time, .. } = replayed.applied;
    replayed.published = Published { position: recovery.last, chain, time, ..replayed.published };
    Ok(replayed)
}

impl Replayed {
    fn fold(&mut self, logged: &log::Logged) -> Result<()> {
        let effects = state::effects(&self.published.schema, logged.position, &logged.entry)?;
        if let Some(schema) = &effects.schema {
            self.published.schema = Arc::new(schema.clone());
        }
        self.published.stack.apply(effects)?;
        self.log_bytes += u64::from(logged.bytes);
        self.applied = Applied { position: logged.position, chain: logged.chain, time: logged.time, ..self.applied };
        Ok(())
    }

    fn flush(&mut self, base: &mut Base) -> Result<()> {
        let layer = std::mem::take(&mut self.published.stack.fresh);
        base.apply(&layer, self.applied)?;
        self.published.stack.base = base.view();
        self.flushed = self.applied.position.seq;
        self.log_bytes = 0;
        Ok(())
    }
}

/// Where a folder's files are, for tools that read them without opening the database.
pub fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}
