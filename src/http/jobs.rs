//! The calls under `/api/jobs`, `/api/runs` and, as PocketBase has them, `/api/crons`. Superusers only.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::http::answer::{caller, json};
use crate::http::backups::sent;
use crate::http::params::Params;
use crate::http::request::{accepts_json, path_part};
use crate::http::{App, Refusal};

/// Place of the name or the id in the path.
const NAME: usize = 2;

type Answer = Result<Response, Refusal>;

/// `POST /api/jobs/{name}/run`: answered when it is begun.
pub(super) async fn run(State(app): State<App>, request: Request) -> Answer {
    Params::read(request.uri().query(), &[])?;
    let name = path_part(request.uri().path(), NAME)?;
    let run = app.service.run_job(caller(request.extensions()), &name).await?;
    let mut answer = json(run);
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

/// `POST /api/runs/{id}/cancel`
pub(super) async fn cancel(State(app): State<App>, request: Request) -> Answer {
    Params::read(request.uri().query(), &[])?;
    let id = path_part(request.uri().path(), NAME)?;
    Ok(json(app.service.cancel_run(caller(request.extensions()), &id).await?))
}

/// `GET /api/runs/{id}/file`: what a run exported.
pub(super) async fn file(State(app): State<App>, request: Request) -> Answer {
    Params::read(request.uri().query(), &[])?;
    let id = path_part(request.uri().path(), NAME)?;
    let (name, outgoing) = app.service.send_export(caller(request.extensions()), &id)?;
    let kind = if name.ends_with("csv") { "text/csv" } else { "application/x-ndjson" };
    Ok(sent(&name, kind, outgoing))
}

/// `GET /api/crons`
pub(super) async fn crons(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &["fields"])?;
    Ok(json(app.service.crons(caller(request.extensions()))?))
}

/// `POST /api/crons/{id}`: answered when it is begun.
pub(super) async fn run_cron(State(app): State<App>, request: Request) -> Answer {
    Params::read(request.uri().query(), &[])?;
    let name = path_part(request.uri().path(), NAME)?;
    app.service.run_cron(caller(request.extensions()), &name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
