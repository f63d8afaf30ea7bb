//! `millpond collections export` and `apply`: definitions as one JSON file, out of and into a stopped server's folder or a
//! running server.

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};

use super::args::{Collections, CollectionsCommand};
use super::remote::{self, Outgoing, Remote};
use super::say;
use super::target::{runtime, with_service};
use crate::error::{Error, Result};
use crate::service::collections::CollectionsRequest;
use crate::service::{Caller, Paging, Service};

/// Definitions that are asked for at once: far fewer bytes than an answer may have.
const DEFINITIONS: usize = 200;

/// Where definitions are.
enum Place<'a> {
    Folder(&'a Service),
    Server(&'a Remote),
}

pub(super) fn run(collections: &Collections) -> Result<()> {
    match &collections.what {
        CollectionsCommand::Export { target, file } => {
            let text = match target.remote()? {
                Some(remote) => runtime()?.block_on(export(&Place::Server(&remote)))?,
                None => with_service(target, |service| runtime()?.block_on(export(&Place::Folder(service))))?,
            };
            match file {
                None => say(format_args!("{text}")),
                Some(file) => std::fs::write(file, text + "\n").map_err(|error| Error::io(file.display(), error))?,
            }
        }
        CollectionsCommand::Apply { target, file, dry_run, delete_missing } => {
            let body = read(file, *dry_run, *delete_missing)?;
            let told = match target.remote()? {
                Some(remote) => runtime()?.block_on(apply(&remote, body))?,
                None => with_service(target, |service| {
                    let (_, told) = runtime()?.block_on(service.import_collections(Caller::Superuser, &body, None))?;
                    parsed(&told)
                })?,
            };
            say(format_args!("{}", pretty(&told)?));
        }
    }
    Ok(())
}

/// A page of definitions.
async fn page(place: &Place<'_>, page: usize) -> Result<Value> {
    match place {
        Place::Folder(service) => {
            let paging = Paging { page, per_page: DEFINITIONS, count: false };
            let wanted = CollectionsRequest { filter: None, sort: None, paging, min: None };
            parsed(&service.list_collections(Caller::Superuser, wanted).await?)
        }
        Place::Server(remote) => {
            let path = format!("/api/collections?page={page}&perPage={}&skipTotal=1", DEFINITIONS);
            remote::json(remote.send(Method::GET, &path, None, Outgoing::empty()).await?).await
        }
    }
}

async fn apply(remote: &Remote, body: Vec<u8>) -> Result<Value> {
    let body = Outgoing::whole(body);
    remote::json(remote.send(Method::PUT, "/api/collections/import", Some("application/json"), body).await?).await
}

/// All definitions, as `apply` takes them.
async fn export(place: &Place<'_>) -> Result<String> {
    let mut items = Vec::new();
    for number in 1.. {
        let Value::Object(mut whole) = page(place, number).await? else { break };
        let Some(Value::Array(found)) = whole.shift_remove("items") else { break };
        let more = found.len() == DEFINITIONS;
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

fn pretty(body: &Value) -> Result<String> {
    serde_json::to_string_pretty(body).map_err(|error| Error::internal("an answer has no JSON form").source(error))
}
