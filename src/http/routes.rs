//! The route table: every path and method that is served, on one screen.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::error::{Error, Kind};
use crate::http::problem::Refusal;
use crate::http::rates::Class;
use crate::http::{
    App, aggregate, auth, backups, batch, cache, collections, export, forward, handlers, health, import, jobs, logs,
    meters, openapi, realtime, records, replication, ws,
};

/// A path with a method that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// In capitals.
    pub method: Method,
    /// With `{collection}` and the like for what differs.
    pub path: &'static str,
    /// What it may leave changed.
    pub effect: Effect,
}

/// What a call may leave changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Reads,
    /// Records or definitions.
    Writes,
    /// Nothing that is stored: it gives a token to whoever shows a password or may have one.
    Grants,
    /// Nothing that is stored: it has what is kept in memory worked out anew.
    Forgets,
    /// Nothing that is stored: what is sent on a stream.
    Listens,
    /// Files beside the records, and what servers are to each other.
    Servers,
}

use Effect::{Forgets, Grants, Listens, Reads, Servers, Writes};

type Row = (Method, &'static str, Effect, MethodRouter<App>);

/// What asks whether the server is well: never refused by a rate limit.
const FREE: [&str; 3] = ["/livez", "/readyz", HEALTH];
/// What a secret is shown to, which somebody could be guessing.
const LOGINS: [&str; 2] = [SETUP, WITH_PASSWORD];

const HEALTH: &str = "/api/health";
const SETUP: &str = "/api/setup";
const WITH_PASSWORD: &str = "/api/collections/{collection}/auth-with-password";
const RECORDS: &str = "/api/collections/{collection}/records";
const RECORD: &str = "/api/collections/{collection}/records/{id}";
const AGGREGATE: &str = "/api/collections/{collection}/records/aggregate";
const BATCH: &str = "/api/batch";
/// Where an `Idempotency-Key` makes sure of any write that it is done once.
const ONCE: [&str; 4] = [RECORDS, RECORD, AGGREGATE, BATCH];

fn table() -> Vec<Row> {
    const COLLECTIONS: &str = "/api/collections";
    const COLLECTION: &str = "/api/collections/{collection}";
    const REALTIME: &str = "/api/realtime";
    const BACKUP: &str = "/api/backups/{key}";
    const SNAPSHOT: &str = "/api/replication/snapshot/{id}";
    vec![
        (Method::GET, "/livez", Reads, get(health::live)),
        (Method::GET, "/readyz", Reads, get(health::ready)),
        (Method::GET, "/metrics", Reads, get(meters::metrics)),
        (Method::GET, HEALTH, Reads, get(health::health)),
        (Method::GET, "/api/openapi.json", Reads, get(openapi::openapi)),
        (Method::GET, "/api/types.d.ts", Reads, get(openapi::types)),
        (Method::POST, SETUP, Grants, post(auth::set_up)),
        (Method::GET, COLLECTIONS, Reads, get(collections::list)),
        (Method::POST, COLLECTIONS, Writes, post(collections::create)),
        (Method::PUT, "/api/collections/import", Writes, put(collections::import)),
        (Method::GET, COLLECTION, Reads, get(collections::view)),
        (Method::PATCH, COLLECTION, Writes, patch(collections::change)),
        (Method::DELETE, COLLECTION, Writes, delete(collections::drop)),
        (Method::GET, "/api/collections/{collection}/schema", Reads, get(collections::schema)),
        (Method::DELETE, "/api/collections/{collection}/truncate", Writes, delete(collections::truncate)),
        (Method::GET, "/api/collections/{collection}/auth-methods", Reads, get(auth::methods)),
        (Method::POST, WITH_PASSWORD, Grants, post(auth::with_password)),
        (Method::POST, "/api/collections/{collection}/auth-refresh", Grants, post(auth::refresh)),
        (Method::POST, "/api/collections/{collection}/impersonate/{id}", Grants, post(auth::impersonate)),
        (Method::POST, "/api/collections/{collection}/explain-access", Reads, post(auth::explain)),
        (Method::GET, RECORDS, Reads, get(records::list)),
        (Method::POST, RECORDS, Writes, post(records::create)),
        (Method::PUT, RECORDS, Writes, put(records::put)),
        (Method::GET, RECORD, Reads, get(records::view)),
        (Method::PATCH, RECORD, Writes, patch(records::merge)),
        (Method::PUT, RECORD, Writes, put(records::put)),
        (Method::DELETE, RECORD, Writes, delete(records::delete)),
        (Method::GET, AGGREGATE, Reads, get(aggregate::of_one)),
        // A record may have that id: it is read by a list.
        (Method::PATCH, AGGREGATE, Writes, patch(records::merge)),
        (Method::PUT, AGGREGATE, Writes, put(records::put)),
        (Method::DELETE, AGGREGATE, Writes, delete(records::delete)),
        (Method::POST, "/api/aggregate", Reads, post(aggregate::of_sources)),
        (Method::POST, "/api/collections/{collection}/import", Writes, post(import::import)),
        (Method::GET, "/api/collections/{collection}/export", Reads, get(export::export)),
        (Method::POST, BATCH, Writes, post(batch::batch)),
        (Method::GET, "/api/logs", Reads, get(logs::list)),
        (Method::GET, "/api/logs/stats", Reads, get(logs::stats)),
        (Method::GET, "/api/logs/{id}", Reads, get(logs::view)),
        (Method::GET, REALTIME, Reads, get(realtime::connect)),
        (Method::POST, REALTIME, Listens, post(realtime::subscribe)),
        (Method::POST, "/api/realtime/token", Grants, post(realtime::token)),
        (Method::GET, "/api/ws", Reads, get(ws::open)),
        (Method::GET, "/api/changes", Reads, get(realtime::changes)),
        (Method::GET, "/api/handlers/{id}/status", Reads, get(handlers::status)),
        (Method::POST, "/api/handlers/{id}/redeliver", Writes, post(handlers::redeliver)),
        (Method::POST, "/api/jobs/{name}/run", Writes, post(jobs::run)),
        (Method::POST, "/api/runs/{id}/cancel", Writes, post(jobs::cancel)),
        (Method::GET, "/api/runs/{id}/file", Servers, get(jobs::file)),
        (Method::GET, "/api/crons", Reads, get(jobs::crons)),
        (Method::POST, "/api/crons/{id}", Writes, post(jobs::run_cron)),
        (Method::GET, "/api/backups", Reads, get(backups::list)),
        (Method::POST, "/api/backups", Servers, post(backups::create)),
        (Method::POST, "/api/backups/upload", Servers, post(backups::upload)),
        (Method::GET, BACKUP, Reads, get(backups::download)),
        (Method::DELETE, BACKUP, Servers, delete(backups::remove)),
        (Method::POST, "/api/backups/{key}/restore", Servers, post(backups::restore)),
        (Method::POST, "/api/files/token", Grants, post(realtime::token)),
        (Method::GET, "/api/replication", Reads, get(replication::status)),
        (Method::POST, "/api/replication/pull", Servers, post(replication::pull)),
        (Method::POST, "/api/replication/snapshot", Servers, post(replication::take_snapshot)),
        (Method::GET, SNAPSHOT, Servers, get(replication::read_snapshot)),
        (Method::DELETE, SNAPSHOT, Servers, delete(replication::drop_snapshot)),
        (Method::POST, "/api/replication/fence", Servers, post(replication::fence)),
        (Method::POST, "/api/replication/promote", Servers, post(replication::promote)),
        (Method::GET, "/api/cache", Reads, get(cache::figures)),
        (Method::POST, "/api/cache/invalidate", Forgets, post(cache::invalidate)),
    ]
}

/// All of them, in the order of the table.
pub fn endpoints() -> Vec<Endpoint> {
    table().into_iter().map(|(method, path, effect, _)| Endpoint { method, path, effect }).collect()
}

/// The paths of the table, each once, by which requests are counted and limited.
pub(super) fn paths() -> Vec<(&'static str, Class)> {
    let mut paths: Vec<(&str, Class)> = Vec::new();
    for (_, path, ..) in table() {
        if paths.iter().all(|(known, _)| *known != path) {
            let class = match path {
                _ if FREE.contains(&path) => Class::Free,
                _ if LOGINS.contains(&path) => Class::Login,
                _ => Class::Plain,
            };
            paths.push((path, class));
        }
    }
    paths
}

/// The table over one application, and `pages` beside it.
pub(super) fn router(app: App, pages: Router) -> Router {
    let add = |router: Router<App>, (_, path, effect, handler): Row| {
        let writes = effect == Effect::Writes || path == SETUP;
        let state = (app.clone(), ONCE.contains(&path));
        let handler = if writes { handler.layer(from_fn_with_state(state, forward::write)) } else { handler };
        router.route(path, handler)
    };
    let router = table().into_iter().fold(Router::new(), add).merge(pages.with_state(()));
    router.method_not_allowed_fallback(no_method).fallback(no_path).with_state(app)
}

async fn no_path(method: Method, uri: Uri) -> Result<StatusCode, Refusal> {
    if method == Method::OPTIONS && uri.path() == "*" {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Error::new(Kind::NotFound, "there is nothing at this path").into())
}

/// The router says in `Allow` which methods the path takes: that is the whole answer to `OPTIONS`.
async fn no_method(method: Method) -> Result<StatusCode, Refusal> {
    if method == Method::OPTIONS {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Error::new(Kind::MethodNotAllowed, "this path does not take this method").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_class_and_those_that_take_a_secret_are_logins() {
        let paths = paths();
        let of = |class| paths.iter().filter(|(_, one)| *one == class).map(|(path, _)| *path).collect::<Vec<_>>();
        assert_eq!(of(Class::Free), FREE);
        assert_eq!(of(Class::Login), LOGINS);
        let all: std::collections::BTreeSet<&str> = endpoints().iter().map(|endpoint| endpoint.path).collect();
        assert_eq!((paths.len(), paths.iter().all(|(path, _)| all.contains(path))), (all.len(), true));
    }
}
