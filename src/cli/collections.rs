//! `millpond collections export` and `apply`: definitions as one JSON file, out of and into a stopped server's folder.

use std::path::Path;

use serde_json::{Value, json};

use super::args::{Collections, CollectionsCommand, Folder};
use super::{say, trace};
use crate::error::{Error, Result};
use crate::limits;
use crate::server::Server;
use crate::service::{Caller, Paging, Service};

pub(super) fn run(collections: &Collections) -> Result<()> {
    match &collections.what {
        CollectionsCommand::Export { folder, file } => with(folder, async |service| {
            let text = export(service).await?;
            match file {
                None => say(format_args!("{text}")),
                Some(file) => std::fs::write(file, text + "\n").map_err(|error| Error::io(file.display(), error))?,
            }
            Ok(())
        }),
        CollectionsCommand::Apply { folder, file, dry_run, delete_missing } => {
            let body = read(file, *dry_run, *delete_missing)?;
            with(folder, async |service| {
                let (_, told) = service.import_collections(Caller::Superuser, &body).await?;
                say(format_args!("{}", pretty(&told)?));
                Ok(())
            })
        }
    }
}

/// Does something with the collections of a folder that no server has open.
fn with(folder: &Folder, work: impl AsyncFnOnce(&Service) -> Result<()>) -> Result<()> {
    let settings = folder.settings()?;
    trace(&settings)?;
    if !settings.data.is_dir() {
        return Err(Error::invalid(format!("data: {} is not a folder", settings.data.display())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal("no runtime").source(error))?;
    let server = Server::start(settings)?;
    let done = runtime.block_on(work(server.service()));
    let stopped = server.stop();
    done.and(stopped.map(drop))
}

/// All definitions, as `apply` takes them.
async fn export(service: &Service) -> Result<String> {
    let mut items = Vec::new();
    for page in 1.. {
        let paging = Paging { page, per_page: limits::PAGE_MAX, count: false };
        let body = service.list_collections(Caller::Superuser, paging, None).await?;
        let Value::Object(mut whole) = parsed(&body)? else { break };
        let Some(Value::Array(found)) = whole.shift_remove("items") else { break };
        let more = found.len() == limits::PAGE_MAX;
        items.extend(found);
        if !more {
            break;
        }
    }
    let whole = json!({"collections": items});
    serde_json::to_string_pretty(&whole).map_err(|error| Error::internal("definitions have no JSON form").source(error))
}

/// What `export` wrote, or a list of definitions, as the body of an import.
fn read(file: &Path, dry_run: bool, delete_missing: bool) -> Result<Vec<u8>> {
    let text = std::fs::read(file).map_err(|error| Error::invalid(format!("{}: {error}", file.display())))?;
    let whole: Value =
        serde_json::from_slice(&text).map_err(|error| Error::invalid(format!("{}: {error}", file.display())))?;
    let collections = match whole {
        Value::Object(mut map) => map.shift_remove("collections").unwrap_or(Value::Null),
        list => list,
    };
    let body = json!({"collections": collections, "dryRun": dry_run, "deleteMissing": delete_missing});
    Ok(body.to_string().into_bytes())
}

fn parsed(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|error| Error::internal("an answer is no JSON").source(error))
}

fn pretty(body: &[u8]) -> Result<String> {
    serde_json::to_string_pretty(&parsed(body)?)
        .map_err(|error| Error::internal("an answer has no JSON form").source(error))
}
