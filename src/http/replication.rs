//! The calls under `/api/replication`: how servers stand to each other, and what they ask each other for. Superusers only.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::answer::{caller, json, with_body};
use crate::http::coding;
use crate::http::params::{Params, wrong};
use crate::http::realtime::Waited;
use crate::http::request::{accepts_json, path_part};
use crate::http::{App, Refusal};
use crate::limits;

/// Place of a snapshot's id in the path.
const ID: usize = 3;

/// `GET /api/replication`
pub(super) async fn status(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &[])?;
    Ok(json(app.service.replication_status(caller(request.extensions()))?))
}

/// `POST /api/replication/pull`: what comes after a follower's place; waits a moment for it.
pub(super) async fn pull(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = with_body(&app, request).await?;
    let mut response = bytes(app.service.pull(caller(&head.extensions), &body).await?);
    response.extensions_mut().insert(Waited);
    Ok(response)
}

/// `POST /api/replication/snapshot`
pub(super) async fn take_snapshot(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let mut response = json(app.service.take_snapshot(caller(request.extensions())).await?);
    response.extensions_mut().insert(Waited);
    Ok(response)
}

/// `GET /api/replication/snapshot/{id}?from=BYTES`
pub(super) async fn read_snapshot(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let params = Params::read(request.uri().query(), &["from"])?;
    let from = params.filled("from").unwrap_or("0");
    let from = from.parse().map_err(|_| wrong("from", "must be a number of bytes"))?;
    let id = path_part(request.uri().path(), ID)?;
    Ok(bytes(app.service.read_snapshot(caller(request.extensions()), &id, from).await?))
}

/// `DELETE /api/replication/snapshot/{id}`
pub(super) async fn drop_snapshot(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let id = path_part(request.uri().path(), ID)?;
    app.service.drop_snapshot(caller(request.extensions()), &id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/replication/promote`
pub(super) async fn promote(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    accepts_json(&head.headers)?;
    let body = coding::read(&head.headers, body, app.body_bytes_max, limits::BODY_TIME_MAX).await?;
    Ok(json(app.service.promote(caller(&head.extensions), &body).await?))
}

/// `POST /api/replication/fence`
pub(super) async fn fence(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = with_body(&app, request).await?;
    Ok(json(app.service.be_fenced(caller(&head.extensions), &body).await?))
}

fn bytes(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}
