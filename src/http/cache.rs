//! The calls under `/api/cache`: how it is used, and dropping what is kept. Superusers only.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::http::answer::{caller, json, with_body};
use crate::http::params::Params;
use crate::http::request::accepts_json;
use crate::http::{App, Refusal};

type Answer = Result<Response, Refusal>;

/// `GET /api/cache`
pub(super) async fn figures(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &[])?;
    Ok(json(app.service.cache_figures(caller(request.extensions())).await?))
}

/// `POST /api/cache/invalidate`
pub(super) async fn invalidate(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    Ok(json(app.service.invalidate_cache(caller(&head.extensions), &body).await?))
}
