//! What handlers share: who calls, the body of a write, and the answers they give.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use crate::error::Result;
use crate::http::conditions::etag;
use crate::http::inbound::gather;
use crate::http::request::{SEQ, accepts_json, expect_json};
use crate::http::{App, Refusal};
use crate::id::Position;
use crate::limits;
use crate::service::Caller;
use crate::service::records::{Shown, Stored};

/// The caller that `edge` found.
pub(super) fn caller(extensions: &Extensions) -> Caller {
    extensions.get().copied().unwrap_or(Caller::Anonymous)
}

/// A request that bears JSON, read to its end: its head and its body.
///
/// # Errors
/// `NotAcceptable`, `UnsupportedMedia`, or as [`gather`].
pub(super) async fn with_body(app: &App, request: Request) -> Result<(axum::http::request::Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    accepts_json(&head.headers)?;
    expect_json(&head.headers)?;
    let body = gather(body, app.body_bytes_max, limits::BODY_TIME_MAX).await?;
    Ok((head, body))
}

/// 200 with JSON.
pub(super) fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A record: 200, or 304 when the client has it.
///
/// # Errors
/// `Invalid` for a condition that is none.
pub(super) fn shown(shown: &Shown, headers: &HeaderMap) -> Result<Response> {
    let etag = etag(shown.version(), shown.representation());
    let fresh = super::conditions::copy_is_fresh(headers, &etag)?;
    let mut response = if fresh { empty(StatusCode::NOT_MODIFIED) } else { json(shown.body()) };
    response.headers_mut().insert(ETAG, text(etag));
    Ok(response)
}

/// A record that was written: 201 with its place, or 200.
pub(super) fn stored(stored: &Stored) -> Response {
    let shown = &stored.shown;
    let mut response = json(shown.body());
    let headers = response.headers_mut();
    headers.insert(ETAG, text(etag(shown.version(), shown.representation())));
    headers.insert(SEQ, position(stored.position));
    if stored.created {
        let place = format!("/api/collections/{}/records/{}", shown.collection(), shown.id());
        headers.insert(LOCATION, text(place));
        *response.status_mut() = StatusCode::CREATED;
    }
    response
}

/// 204 after a removal.
pub(super) fn gone(at: Position) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(SEQ, position(at));
    response
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
