//! The route table: every path and method that is served, on one screen.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{delete, get, post, put};

use crate::error::{Error, Kind};
use crate::http::problem::Refusal;
use crate::http::rates::Class;
use crate::http::{App, batch, cache, collections, export, health, import, meters, records};

/// The paths of the table, by which requests are counted and limited.
pub(super) const PATHS: &[(&str, Class)] = &[
    ("/livez", Class::Free),
    ("/readyz", Class::Free),
    ("/metrics", Class::Plain),
    ("/api/health", Class::Free),
    ("/api/collections", Class::Plain),
    ("/api/collections/import", Class::Plain),
    ("/api/collections/{collection}", Class::Plain),
    ("/api/collections/{collection}/schema", Class::Plain),
    ("/api/collections/{collection}/auth-with-password", Class::Login),
    ("/api/collections/{collection}/records", Class::Plain),
    ("/api/collections/{collection}/truncate", Class::Plain),
    ("/api/collections/{collection}/records/{id}", Class::Plain),
    ("/api/collections/{collection}/import", Class::Plain),
    ("/api/collections/{collection}/export", Class::Plain),
    ("/api/batch", Class::Plain),
    ("/api/cache", Class::Plain),
    ("/api/cache/invalidate", Class::Plain),
];

/// The table over one application.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(meters::metrics))
        .route("/api/health", get(health::health))
        .route("/api/collections", get(collections::list).post(collections::create))
        .route("/api/collections/import", put(collections::import))
        .route(
            "/api/collections/{collection}",
            get(collections::view).patch(collections::change).delete(collections::drop),
        )
        .route("/api/collections/{collection}/schema", get(collections::schema))
        .route("/api/collections/{collection}/truncate", delete(collections::truncate))
        .route("/api/collections/{collection}/records", get(records::list).post(records::create).put(records::put))
        .route(
            "/api/collections/{collection}/records/{id}",
            get(records::view).patch(records::merge).put(records::put).delete(records::delete),
        )
        .route("/api/collections/{collection}/import", post(import::import))
        .route("/api/collections/{collection}/export", get(export::export))
        .route("/api/batch", post(batch::batch))
        .route("/api/cache", get(cache::figures))
        .route("/api/cache/invalidate", post(cache::invalidate))
        .method_not_allowed_fallback(no_method)
        .fallback(no_path)
        .with_state(app)
}

/// `OPTIONS *` asks for the server as a whole.
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
