//! The calls under `/api/handlers`: how a handler is getting on, and sending again. Superusers only.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::http::answer::{caller, json, with_body};
use crate::http::params::Params;
use crate::http::request::{accepts_json, path_part};
use crate::http::{App, Refusal};

/// Place of the handler's id in the path.
const ID: usize = 2;

/// `GET /api/handlers/{id}/status`
pub(super) async fn status(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &[])?;
    let id = path_part(request.uri().path(), ID)?;
    Ok(json(app.service.handler_status(caller(request.extensions()), &id).await?))
}

/// `POST /api/handlers/{id}/redeliver`
pub(super) async fn redeliver(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let id = path_part(head.uri.path(), ID)?;
    Ok(json(app.service.redeliver(caller(&head.extensions), &id, &body).await?))
}
