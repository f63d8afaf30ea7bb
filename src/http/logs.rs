//! The calls under `/api/logs`: lines about requests. Superusers only.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::http::answer::{caller, json};
use crate::http::params::Params;
use crate::http::records::paging;
use crate::http::request::{accepts_json, path_part};
use crate::http::{App, Refusal};
use crate::service::logs::LogsRequest;

type Answer = Result<Response, Refusal>;

/// Place of the line's id in the path.
const ID: usize = 2;

/// `GET /api/logs`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    let params = Params::read(request.uri().query(), &["filter", "sort", "fields", "page", "perPage", "skipTotal"])?;
    let (filter, sort, fields) = (params.filled("filter"), params.filled("sort"), params.filled("fields"));
    let wanted = LogsRequest { filter, sort, fields, paging: paging(&params)? };
    Ok(json(app.service.list_lines(caller(request.extensions()), wanted).await?))
}

/// `GET /api/logs/{id}`
pub(super) async fn view(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    let params = Params::read(request.uri().query(), &["fields"])?;
    let id = path_part(request.uri().path(), ID)?;
    Ok(json(app.service.view_line(caller(request.extensions()), &id, params.filled("fields")).await?))
}

/// `GET /api/logs/stats`
pub(super) async fn stats(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    let params = Params::read(request.uri().query(), &["filter"])?;
    Ok(json(app.service.count_lines(caller(request.extensions()), params.filled("filter")).await?))
}
