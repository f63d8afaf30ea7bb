//! `millpond backup`, `restore` and `verify`: a folder or a running server as one file, a folder made of it, and whether it
//! is whole.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use tokio::sync::mpsc;

use super::args::{Backup, Restore as Args, Verify};
use super::remote::{Outgoing, Remote};
use super::target::{runtime, with_core};
use super::{say, trace};
use crate::backup::{self, Restore, Store, Until};
use crate::config::{Bucket, Hidden, Settings};
use crate::core;
use crate::disk::{Disk, DiskFile, Open, RealDisk, Stream};
use crate::error::{Error, Kind, Result};
use crate::id::Seq;
use crate::state::snapshot;
use crate::time::Millis;

pub(super) fn backup(args: &Backup) -> Result<()> {
    if args.file.exists() {
        let message = format!("{} is there already", args.file.display());
        return Err(Error::new(Kind::Conflict, message).code("backup_exists"));
    }
    let part = args.file.with_extension("part");
    let made = match args.target.remote()? {
        Some(remote) => runtime()?.block_on(fetch(&remote, &part)),
        None => with_core(&args.target, |core| core.dump(&part, &|| false).map(drop)),
    };
    let placed = made.and_then(|()| look(&part)).and_then(|told| {
        std::fs::rename(&part, &args.file).map_err(|error| Error::io(args.file.display(), error)).map(|()| told)
    });
    let told = placed.inspect_err(|_| {
        // Nothing whole is lost by it.
        let _ = std::fs::remove_file(&part);
    })?;
    say(format_args!("{} holds {told}", args.file.display()));
    Ok(())
}

/// Has a running server make one, fetches it, and has it removed there.
async fn fetch(remote: &Remote, part: &Path) -> Result<()> {
    let name = format!("@cli_{}.snap", std::process::id());
    let body = serde_json::json!({ "name": name }).to_string();
    let (sender, pieces) = mpsc::channel(1);
    // There is room for the one piece.
    let _ = sender.try_send(Ok(Bytes::from(body)));
    drop(sender);
    remote.send(Method::POST, "/api/backups", Some("application/json"), Outgoing::new(pieces)).await?;
    let path = format!("/api/backups/{name}");
    let fetched = download(remote, &path, part).await;
    let removed = remote.send(Method::DELETE, &path, None, Outgoing::empty()).await;
    fetched.and(removed.map(drop))
}

async fn download(remote: &Remote, path: &str, part: &Path) -> Result<()> {
    use std::io::Write;
    let io = |error| Error::io(part.display(), error);
    let mut body = remote.send(Method::GET, path, None, Outgoing::empty()).await?.into_body();
    let mut file = std::fs::File::create(part).map_err(io)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::new(Kind::Unavailable, format!("the server broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            file.write_all(&data).map_err(io)?;
        }
    }
    file.sync_data().map_err(io)
}

pub(super) fn verify(args: &Verify) -> Result<()> {
    let mut settings = args.folder.settings()?;
    args.keys.over(&mut settings);
    let told = match bucket(&args.file, &settings)? {
        None => look(&args.file)?,
        Some(bucket) => read_through(object(&bucket)?.ok_or_else(|| none_of(&args.file))?)?,
    };
    say(format_args!("{} is whole: {told}", args.file.display()));
    Ok(())
}

/// Reads one through; what is in it, in words.
fn look(path: &Path) -> Result<String> {
    read_through(open(path)?)
}

fn open(path: &Path) -> Result<Arc<dyn DiskFile>> {
    RealDisk.open(path, Open::Read).map_err(|error| Error::io(path.display(), error))
}

fn read_through(file: Arc<dyn DiskFile>) -> Result<String> {
    let header = snapshot::verify(&mut std::io::BufReader::with_capacity(1 << 20, Stream::new(file)))?;
    let records: u64 = header.tallies.iter().map(|(_, _, tally)| tally.count).sum();
    let collections = header.tallies.len();
    let position = header.applied.position;
    let time = String::from_utf8_lossy(&header.applied.time.text()).into_owned();
    Ok(format!("{records} records in {collections} collections, up to {position} of {time}"))
}

pub(super) fn restore(args: &Args) -> Result<()> {
    let mut settings = args.folder.settings()?;
    args.keys.over(&mut settings);
    trace(&settings)?;
    let until = args.at.as_deref().map_or(Ok(Until::End), read_until)?;
    if args.at.is_some() && args.archive.is_none() {
        return Err(Error::invalid("at: it needs --archive, the folder of the log behind the backup"));
    }
    let (name, backup) = pick(&args.from, until, &settings)?;
    let what = Restore { backup, archive: args.archive.clone(), until };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let restored = backup::restore(&disk, Path::new(&settings.data), &core::Settings::of(&settings), &what)?;
    say(format_args!(
        "{} is restored from {name} (up to {}) to {}; it goes on from {}",
        settings.data.display(),
        restored.backup,
        restored.last,
        restored.begun
    ));
    Ok(())
}

/// The backup that a path names, or the newest below it that is not past the moment; and how it is called.
fn pick(from: &Path, until: Until, settings: &Settings) -> Result<(String, Arc<dyn DiskFile>)> {
    let bucket = bucket(from, settings)?;
    let one = match &bucket {
        Some(bucket) => object(bucket)?,
        None if !from.is_dir() => Some(open(from)?),
        None => None,
    };
    if let Some(file) = one {
        return Ok((from.display().to_string(), file));
    }
    let store = match bucket {
        Some(bucket) => Store::of_bucket(Arc::new(RealDisk), bucket)?,
        None => Store::at(Arc::new(RealDisk), from.to_owned()),
    };
    let fits = |backup: &backup::Backup| match until {
        Until::End => true,
        Until::Seq(seq) => backup.position.seq <= seq,
        Until::Time(time) => backup.time <= time,
    };
    let found = store.list()?.into_iter().find(fits).ok_or_else(|| none_of(from))?;
    let file = store.open(&found.key)?;
    Ok((format!("{} of {}", found.key, from.display()), file))
}

fn none_of(from: &Path) -> Error {
    Error::new(Kind::NotFound, format!("{} has no backup of that moment or before", from.display()))
}

/// A bucket with who asks it.
type Asked = (Bucket, String, Hidden);

/// The bucket that a path means, if it means one.
fn bucket(path: &Path, settings: &Settings) -> Result<Option<Asked>> {
    let text = path.to_str().filter(|text| text.starts_with("s3://"));
    let settings = Settings { backup_store: text.map(str::to_owned), ..settings.clone() };
    settings.bucket()
}

/// The backup that a bucket's prefix names, if there is one.
fn object((bucket, key, secret): &Asked) -> Result<Option<Arc<dyn DiskFile>>> {
    let path = bucket.prefix.trim_end_matches('/');
    let (prefix, name) = path.rsplit_once('/').map_or(("", path), |(prefix, name)| (prefix, name));
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let above = Bucket { prefix, ..bucket.clone() };
    match Store::of_bucket(Arc::new(RealDisk), (above, key.clone(), secret.clone()))?.open(name) {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// A number of an entry, or a time.
fn read_until(text: &str) -> Result<Until> {
    if let Ok(seq) = text.parse() {
        return Ok(Until::Seq(Seq(seq)));
    }
    let bad =
        || Error::invalid(format!("at: {text:?} is neither an entry's number nor a time such as 2026-11-30 10:15:00"));
    Millis::parse(text).map(Until::Time).ok_or_else(bad)
}
