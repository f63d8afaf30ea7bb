//! The calls under `/api/collections/{collection}/records`.

use axum::extract::{Request, State};
use axum::http::Uri;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::response::Response;

use crate::http::answer::{asker, gone, read, stored, with_body};
use crate::http::conditions::{create_only, if_match, refuse};
use crate::http::idempotency::once;
use crate::http::params::{Params, wrong};
use crate::http::request::{accepts_json, min_seq, path_part};
use crate::http::{App, Refusal};
use crate::limits;
use crate::model::look::Wanted;
use crate::service::cache::Question;
use crate::service::lists::ListRequest;
use crate::service::search::Searched;
use crate::service::writes::{Ask, Deed};
use crate::service::{Asker, Paging};

type Answer = Result<Response, Refusal>;

/// Places of the collection and of the record's id in the path.
const COLLECTION: usize = 2;
const ID: usize = 4;

const LIST_PARAMS: [&str; 13] = [
    "filter",
    "sort",
    "page",
    "perPage",
    "cursor",
    "skipTotal",
    "fields",
    "expand",
    "embed",
    "search",
    "highlight",
    "facets",
    "explain",
];

fn asking(app: &App, request: &Request) -> Asker {
    asker(app, request.extensions(), request.method(), request.uri().query())
}

fn asked(app: &App, head: &Parts) -> Asker {
    asker(app, &head.extensions, &head.method, head.uri.query())
}

/// `GET …/records`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    let (uri, headers) = (request.uri(), request.headers());
    accepts_json(headers)?;
    let params = Params::read(uri.query(), &LIST_PARAMS)?;
    let wanted = ListRequest {
        filter: params.filled("filter"),
        sort: params.filled("sort"),
        wanted: wanted(&params),
        paging: paging(&params)?,
        cursor: params.filled("cursor"),
        search: searched(&params)?,
        explain: params.switch("explain")?,
        min: min_seq(headers)?,
    };
    let collection = path_part(uri.path(), COLLECTION)?;
    let asker = asking(&app, &request);
    let question = Question::of(&asker, words(uri));
    let page = app.service.list_records(&asker, &question, &collection, wanted).await?;
    Ok(read(page, headers)?)
}

/// `search`, and what goes with it.
fn searched<'a>(params: &'a Params<'_>) -> crate::error::Result<Option<Searched<'a>>> {
    let (highlight, facets) = (params.filled("highlight"), params.filled("facets"));
    match params.get("search") {
        Some(text) if !text.trim().is_empty() => Ok(Some(Searched { text, highlight, facets })),
        // A search box that is empty asks for the list as it is.
        Some(_) => Ok(None),
        None if highlight.is_some() => Err(wrong("highlight", "goes with search")),
        None if facets.is_some() => Err(wrong("facets", "goes with search")),
        None => Ok(None),
    }
}

/// What is asked, in the request's own words: of equal ones the answer may be kept.
pub(super) fn words(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// `page`, `perPage` and `skipTotal` of a list.
pub(super) fn paging(params: &Params<'_>) -> crate::error::Result<Paging> {
    Ok(Paging {
        page: params.number("page", 1)?,
        per_page: params.number("perPage", limits::PAGE_DEFAULT)?,
        count: !params.switch("skipTotal")?,
    })
}

/// `fields`, `expand` and `embed`; an empty `embed` says something.
pub(super) fn wanted<'a>(params: &'a Params<'_>) -> Wanted<'a> {
    Wanted { fields: params.filled("fields"), expand: params.filled("expand"), embed: params.get("embed") }
}

/// `GET …/records/{id}`
pub(super) async fn view(State(app): State<App>, request: Request) -> Answer {
    let (uri, headers) = (request.uri(), request.headers());
    accepts_json(headers)?;
    let params = showing(uri.query())?;
    let (collection, id) = (path_part(uri.path(), COLLECTION)?, path_part(uri.path(), ID)?);
    let (asker, min) = (asking(&app, &request), min_seq(headers)?);
    let question = Question::of(&asker, words(uri));
    let found = app.service.view_record(&asker, &question, &collection, &id, wanted(&params), min).await?;
    Ok(read(found, headers)?)
}

/// What a call on one record may say of how it is shown.
pub(super) fn showing(query: Option<&str>) -> crate::error::Result<Params<'_>> {
    Params::read(query, &["fields", "expand", "embed"])
}

/// `POST …/records`
pub(super) async fn create(State(app): State<App>, request: Request) -> Answer {
    refuse(request.headers(), &[IF_MATCH, IF_NONE_MATCH])?;
    let (head, body) = with_body(&app, request).await?;
    let params = showing(head.uri.query())?;
    let collection = path_part(head.uri.path(), COLLECTION)?;
    let (asker, wanted) = (asked(&app, &head), wanted(&params));
    let once = once(&app, &asker.caller, &head, &body)?;
    let deed = Deed::Create { body: &body };
    let made = app.service.store_record(Ask { asker: &asker, collection: &collection, wanted, deed }, once).await?;
    Ok(stored(&made))
}

/// `PATCH …/records/{id}`
pub(super) async fn merge(State(app): State<App>, request: Request) -> Answer {
    refuse(request.headers(), &[IF_NONE_MATCH])?;
    let condition = if_match(request.headers())?;
    let (head, body) = with_body(&app, request).await?;
    let params = showing(head.uri.query())?;
    let (collection, id) = (path_part(head.uri.path(), COLLECTION)?, path_part(head.uri.path(), ID)?);
    let (asker, wanted) = (asked(&app, &head), wanted(&params));
    let once = once(&app, &asker.caller, &head, &body)?;
    let deed = Deed::Merge { id: &id, body: &body, if_match: condition };
    let changed = app.service.store_record(Ask { asker: &asker, collection: &collection, wanted, deed }, once).await?;
    Ok(stored(&changed))
}

/// `PUT …/records/{id}`, and `PUT …/records` with the id in the body.
pub(super) async fn put(State(app): State<App>, request: Request) -> Answer {
    let (condition, only_create) = (if_match(request.headers())?, create_only(request.headers())?);
    let (head, body) = with_body(&app, request).await?;
    let params = showing(head.uri.query())?;
    let path = head.uri.path();
    let collection = path_part(path, COLLECTION)?;
    let id = if path.split('/').nth(ID + 1).is_some() { Some(path_part(path, ID)?) } else { None };
    let (asker, wanted) = (asked(&app, &head), wanted(&params));
    let once = once(&app, &asker.caller, &head, &body)?;
    let deed = Deed::Put { id: id.as_deref(), body: &body, if_match: condition, create_only: only_create };
    let put = app.service.store_record(Ask { asker: &asker, collection: &collection, wanted, deed }, once).await?;
    Ok(stored(&put))
}

/// `DELETE …/records/{id}`
pub(super) async fn delete(State(app): State<App>, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    refuse(&head.headers, &[IF_NONE_MATCH])?;
    Params::read(head.uri.query(), &[])?;
    let condition = if_match(&head.headers)?;
    let (collection, id) = (path_part(head.uri.path(), COLLECTION)?, path_part(head.uri.path(), ID)?);
    let asker = asked(&app, &head);
    let once = once(&app, &asker.caller, &head, &[])?;
    Ok(gone(app.service.delete_record(&asker, &collection, &id, condition, once).await?))
}
