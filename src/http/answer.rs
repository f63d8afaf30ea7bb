//! What handlers share: who calls, the body of a write, and the answers they give.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::error::Result;
use crate::http::coding;
use crate::http::conditions::fresh_copy;
use crate::http::idempotency::of_commit;
use crate::http::request::{accepts_json, decoded, expect_json};
use crate::http::{App, Refusal};
use crate::id::Position;
use crate::limits;
use crate::model::predicate::QueryPairs;
use crate::service::cache::{Answer, Found, Origin};
use crate::service::once::Commit;
use crate::service::records::no_record;
use crate::service::writes::Stored;
use crate::service::{Asker, Caller};

/// The caller that `edge` found.
pub(super) fn caller(extensions: &Extensions) -> Caller {
    extensions.get().cloned().unwrap_or(Caller::Anonymous)
}

/// The caller of a request with what it says.
pub(super) fn asker(app: &App, extensions: &Extensions, method: &Method, query: Option<&str>) -> Asker {
    let method = METHODS.iter().find(|known| method.as_str() == **known).copied().unwrap_or_default();
    app.service.asker(caller(extensions), method, query_pairs(query))
}

/// What a rule may know a request's method by.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"];

/// A query string for the rules that ask for it; whether it is well formed is each call's own question.
pub(super) fn query_pairs(query: Option<&str>) -> QueryPairs {
    QueryPairs::of(query.unwrap_or_default(), pairs)
}

fn pairs(query: &str) -> Vec<(Box<str>, Box<str>)> {
    let read = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name, true)?.into(), decoded(value, true)?.into()))
    };
    query.split('&').filter(|pair| !pair.is_empty()).filter_map(read).collect()
}

/// A request that bears JSON, read to its end: its head and its body.
///
/// # Errors
/// `NotAcceptable`, `UnsupportedMedia`, or as [`coding::read`].
pub(super) async fn with_body(app: &App, request: Request) -> Result<(axum::http::request::Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    accepts_json(&head.headers)?;
    expect_json(&head.headers)?;
    let body = coding::read(&head.headers, body, app.body_bytes_max, limits::BODY_TIME_MAX).await?;
    Ok((head, body))
}

/// 200 with JSON.
pub(super) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// How the cache took part in an answer (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What was read: 200, 304 when the client has it, or the refusal of what is not there.
///
/// # Errors
/// `Invalid` for a condition that is none.
pub(super) fn read(answer: Answer, headers: &HeaderMap) -> Result<Response> {
    let mut response = match answer.found {
        Some(found) => found_response(found, headers)?,
        None => Refusal::from(no_record()).into_response(),
    };
    let status = match answer.origin {
        Origin::Memory => "millpond; hit",
        Origin::Second => "millpond; hit; detail=l2",
        Origin::Store => "millpond; fwd=miss",
    };
    response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(status));
    Ok(response)
}

fn found_response(found: Found, headers: &HeaderMap) -> Result<Response> {
    let Found { body, tag } = found;
    let Some(tag) = tag else { return Ok(json(body)) };
    let tag = HeaderValue::from_maybe_shared(tag).expect("visible ASCII makes a header");
    let fresh = fresh_copy(headers, tag.to_str().unwrap_or_default())?;
    let mut response = if fresh.is_some() { empty(StatusCode::NOT_MODIFIED) } else { json(body) };
    response.headers_mut().insert(ETAG, fresh.map_or(tag, text));
    Ok(response)
}

/// A record that was written: 201 with its place, or 200.
pub(super) fn stored(stored: &Stored) -> Response {
    let shown = &stored.shown;
    let mut response = json(shown.body());
    let headers = response.headers_mut();
    headers.insert(ETAG, text(shown.tag()));
    if stored.created {
        let place = format!("/api/collections/{}/records/{}", shown.collection(), shown.id());
        headers.insert(LOCATION, text(place));
        *response.status_mut() = StatusCode::CREATED;
    }
    of_commit(response, stored.commit)
}

/// 204 after a removal.
pub(super) fn gone(commit: Commit) -> Response {
    of_commit(empty(StatusCode::NO_CONTENT), commit)
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A header of names, ids and positions, whose alphabets are all of visible ASCII.
pub(super) fn text(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("visible ASCII makes a header")
}

pub(super) fn position(position: Position) -> HeaderValue {
    text(position.to_string())
}
