//! The route table: every path and method that is served, on one screen.

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::error::{Error, Kind};
use crate::http::problem::Refusal;
use crate::http::{App, auth, batch, collections, health, records};

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
}

use Effect::{Grants, Reads, Writes};

type Row = (Method, &'static str, Effect, MethodRouter<App>);

fn table() -> Vec<Row> {
    const COLLECTIONS: &str = "/api/collections";
    const COLLECTION: &str = "/api/collections/{collection}";
    const RECORDS: &str = "/api/collections/{collection}/records";
    const RECORD: &str = "/api/collections/{collection}/records/{id}";
    vec![
        (Method::GET, "/livez", Reads, get(health::live)),
        (Method::GET, "/readyz", Reads, get(health::ready)),
        (Method::GET, "/api/health", Reads, get(health::health)),
        (Method::POST, "/api/setup", Grants, post(auth::set_up)),
        (Method::GET, COLLECTIONS, Reads, get(collections::list)),
        (Method::POST, COLLECTIONS, Writes, post(collections::create)),
        (Method::GET, COLLECTION, Reads, get(collections::view)),
        (Method::DELETE, COLLECTION, Writes, delete(collections::drop)),
        (Method::GET, "/api/collections/{collection}/schema", Reads, get(collections::schema)),
        (Method::GET, "/api/collections/{collection}/auth-methods", Reads, get(auth::methods)),
        (Method::POST, "/api/collections/{collection}/auth-with-password", Grants, post(auth::with_password)),
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
        (Method::POST, "/api/batch", Writes, post(batch::batch)),
    ]
}

/// All of them, in the order of the table.
pub fn endpoints() -> Vec<Endpoint> {
    table().into_iter().map(|(method, path, effect, _)| Endpoint { method, path, effect }).collect()
}

/// The table over one application.
pub(super) fn router(app: App) -> Router {
    let add = |router: Router<App>, (_, path, _, handler): Row| router.route(path, handler);
    let router = table().into_iter().fold(Router::new(), add);
    router.method_not_allowed_fallback(no_method).fallback(no_path).with_state(app)
}

async fn no_path() -> Refusal {
    Error::new(Kind::NotFound, "there is nothing at this path").into()
}

async fn no_method() -> Refusal {
    Error::new(Kind::MethodNotAllowed, "this path does not take this method").into()
}
