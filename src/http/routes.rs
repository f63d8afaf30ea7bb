//! The route table: every path and method that is served, on one screen.

use axum::Router;
use axum::routing::{delete, get, post, put};

use crate::error::{Error, Kind};
use crate::http::problem::Refusal;
use crate::http::{App, batch, collections, health, records};

/// The table over one application.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
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
        .route("/api/batch", post(batch::batch))
        .method_not_allowed_fallback(no_method)
        .fallback(no_path)
        .with_state(app)
}

async fn no_path() -> Refusal {
    Error::new(Kind::NotFound, "there is nothing at this path").into()
}

async fn no_method() -> Refusal {
    Error::new(Kind::MethodNotAllowed, "this path does not take this method").into()
}
