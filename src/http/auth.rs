//! The calls by which a caller shows who it is, and what a superuser may ask of others' rights.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use crate::http::answer::{asker, json, with_body};
use crate::http::inbound::gather;
use crate::http::params::Params;
use crate::http::records::wanted;
use crate::http::request::{accepts_json, expect_json, path_part};
use crate::http::{App, Refusal};
use crate::limits;
use crate::model::look::{OwnedWanted, Wanted};
use crate::service::Asker;

type Answer = Result<Response, Refusal>;

/// Places of the collection and of what stands behind the call's name in the path.
const COLLECTION: usize = 2;
const ID: usize = 4;

/// What may be said of how the record is shown.
const SHOWING: [&str; 3] = ["fields", "expand", "embed"];

/// Whether a path is one of those that take no notice of a token: a client may come to them because its own is over.
pub(super) fn is_open(path: &str) -> bool {
    let open = ["/livez", "/readyz", "/api/health", "/api/setup"];
    open.contains(&path) || path.ends_with("/auth-with-password") || path.ends_with("/auth-methods")
}

fn asked(app: &App, head: &Parts) -> Asker {
    asker(app, &head.extensions, &head.method, head.uri.query())
}

/// What is asked of the record. PocketBase's clients name parts of the whole answer in `fields`, as in
/// `*,record.expand.user.name`; the token is always there.
fn shown(params: &Params<'_>) -> OwnedWanted {
    let of_record = |part: &str| match part.trim() {
        "token" => None,
        "record" => Some("*".to_owned()),
        part => Some(part.strip_prefix("record.").unwrap_or(part).to_owned()),
    };
    let asked = wanted(params);
    let fields: Vec<String> = asked.fields.unwrap_or_default().split(',').filter_map(of_record).collect();
    let fields = fields.join(",");
    Wanted { fields: Some(&*fields).filter(|fields| !fields.is_empty()), ..asked }.into()
}

/// `GET …/auth-methods`
pub(super) async fn methods(State(app): State<App>, request: Request) -> Answer {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &["fields"])?;
    let collection = path_part(request.uri().path(), COLLECTION)?;
    Ok(json(app.service.auth_methods(&collection)?))
}

/// `POST …/auth-with-password`
pub(super) async fn with_password(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_body(&app, request).await?;
    let params = Params::read(head.uri.query(), &SHOWING)?;
    let collection = path_part(head.uri.path(), COLLECTION)?;
    let asker = asked(&app, &head);
    let granted = app.service.auth_with_password(&asker, &collection, &body, shown(&params).get()).await?;
    Ok(json(granted.body()))
}

/// `POST …/auth-refresh`
pub(super) async fn refresh(State(app): State<App>, request: Request) -> Answer {
    let (head, _) = with_any_body(&app, request).await?;
    let params = Params::read(head.uri.query(), &SHOWING)?;
    let collection = path_part(head.uri.path(), COLLECTION)?;
    let granted = app.service.auth_refresh(&asked(&app, &head), &collection, shown(&params).get()).await?;
    Ok(json(granted.body()))
}

/// `POST …/impersonate/{id}`
pub(super) async fn impersonate(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_any_body(&app, request).await?;
    let params = Params::read(head.uri.query(), &SHOWING)?;
    let (collection, id) = (path_part(head.uri.path(), COLLECTION)?, path_part(head.uri.path(), ID)?);
    let asker = asked(&app, &head);
    let granted = app.service.impersonate(&asker, &collection, &id, &body, shown(&params).get()).await?;
    Ok(json(granted.body()))
}

/// `POST /api/setup`
pub(super) async fn set_up(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let mut response = json(app.service.set_up(&body).await?.body());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `POST …/explain-access`
pub(super) async fn explain(State(app): State<App>, request: Request) -> Answer {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let collection = path_part(head.uri.path(), COLLECTION)?;
    Ok(json(app.service.explain_access(&asked(&app, &head), &collection, &body)?))
}

/// A request whose body may be missing.
async fn with_any_body(app: &App, request: Request) -> Result<(Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    accepts_json(&head.headers)?;
    let body = gather(body, app.body_bytes_max, limits::BODY_TIME_MAX).await?;
    if !body.is_empty() {
        expect_json(&head.headers)?;
    }
    Ok((head, body))
}
