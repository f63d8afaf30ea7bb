//! The calls under `/api/collections`: definitions.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::http::answer::{asker, caller, gone, json, text, with_body};
use crate::http::idempotency::{of_commit, once};
use crate::http::params::Params;
use crate::http::records::paging;
use crate::http::request::{accepts, accepts_json, min_seq, path_part};
use crate::http::{App, Refusal};
use crate::limits;
use crate::service::Paging;
use crate::service::collections::CollectionsRequest;

type Answer = Result<Response, Refusal>;

/// Place of the name in the path.
const NAME: usize = 2;

/// `GET /api/collections`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    let params = Params::read(request.uri().query(), &["filter", "sort", "page", "perPage", "skipTotal"])?;
    let paging = paging(&params)?;
    let paging = Paging { per_page: paging.per_page.min(limits::PAGE_MAX), ..paging };
    let (filter, sort, min) = (params.filled("filter"), params.filled("sort"), min_seq(request.headers())?);
    let wanted = CollectionsRequest { filter, sort, paging, min };
    Ok(json(app.service.list_collections(caller(request.extensions()), wanted).await?))
}

/// `GET /api/collections/{name}`
pub(super) async fn view(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &[])?;
    let name = path_part(request.uri().path(), NAME)?;
    let min = min_seq(request.headers())?;
    Ok(json(app.service.view_collection(caller(request.extensions()), &name, min).await?))
}

/// `GET /api/collections/{name}/schema`
pub(super) async fn schema(State(app): State<App>, request: Request) -> Answer {
    const KIND: &str = "application/schema+json";
    accepts(request.headers(), KIND)?;
    Params::read(request.uri().query(), &[])?;
    let name = path_part(request.uri().path(), NAME)?;
    let min = min_seq(request.headers())?;
    let asker = asker(&app, request.extensions(), request.method(), request.uri().query());
    let mut response = json(app.service.create_schema(&asker, &name, min).await?);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(KIND));
    Ok(response)
}

/// `POST /api/collections`
pub(super) async fn create(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let caller = caller(&head.extensions);
    let once = once(&app, &caller, &head, &body)?;
    let made = app.service.create_collection(caller, &body, once).await?;
    let mut response = json(made.body);
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(LOCATION, text(format!("/api/collections/{}", made.name)));
    Ok(of_commit(response, made.commit))
}

/// `PATCH /api/collections/{name}`
pub(super) async fn change(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let name = path_part(head.uri.path(), NAME)?;
    let caller = caller(&head.extensions);
    let once = once(&app, &caller, &head, &body)?;
    let changed = app.service.change_collection(caller, &name, &body, once).await?;
    Ok(of_commit(json(changed.body), changed.commit))
}

/// `PUT /api/collections/import`
pub(super) async fn import(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let caller = caller(&head.extensions);
    let once = once(&app, &caller, &head, &body)?;
    let (commit, told) = app.service.import_collections(caller, &body, once).await?;
    Ok(of_commit(json(told), commit))
}

/// `DELETE /api/collections/{name}`
pub(super) async fn drop(State(app): State<App>, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    Params::read(head.uri.query(), &[])?;
    let name = path_part(head.uri.path(), NAME)?;
    let caller = caller(&head.extensions);
    let once = once(&app, &caller, &head, &[])?;
    Ok(gone(app.service.drop_collection(caller, &name, once).await?))
}

/// `DELETE /api/collections/{name}/truncate`
pub(super) async fn truncate(State(app): State<App>, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    Params::read(head.uri.query(), &[])?;
    let name = path_part(head.uri.path(), NAME)?;
    let caller = caller(&head.extensions);
    let once = once(&app, &caller, &head, &[])?;
    Ok(gone(app.service.truncate_collection(caller, &name, once).await?))
}
