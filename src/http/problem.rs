//! Errors as a client sees them: `application/problem+json` (RFC 9457).
//!
//! The one match from a kind to a status is [`status`]. What is ours to answer for tells nothing of the inside: the
//! message and its causes go to the log, under the request id that the body names.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::config::Level;
use crate::error::{Error, FieldFault, Kind};
use crate::http::coding::{self, UNKNOWN_CODING};
use crate::limits;

/// What a handler hands back for an error; `edge` turns it into the answer, as only it knows the request id.
#[derive(Clone)]
pub(crate) struct Refusal(pub(crate) Arc<Error>);

/// What stands in the body's `data` in the place of the fields: what a call had done when it ended.
#[derive(Clone)]
pub(crate) struct Done(pub(crate) serde_json::Value);

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal(Arc::new(error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.0.kind());
        response.extensions_mut().insert(self);
        response
    }
}

/// The status of a kind of error.
pub(crate) fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Kind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Gone => StatusCode::GONE,
        Kind::Precondition => StatusCode::PRECONDITION_FAILED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable | Kind::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Damaged | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What is said in place of a message that could tell of the inside.
fn public_detail(error: &Error) -> &str {
    match error.kind() {
        Kind::Damaged | Kind::Internal => "Something went wrong here. The request id leads to the cause in the log.",
        Kind::OutcomeUnknown => {
            "The write may or may not have been kept. Ask again with its Idempotency-Key; without one, look first."
        }
        Kind::NoSpace => "The disk is full. Nothing was changed; reads and deletes go on.",
        _ => error.message(),
    }
}

/// A code may name an inside too: of [`Kind::Internal`] and [`Kind::Damaged`] only one word is said.
fn public_code(error: &Error) -> &str {
    match error.kind() {
        Kind::Damaged | Kind::Internal => Kind::Internal.code(),
        _ => error.code_str(),
    }
}

/// The answer to a request that ended in `error`. `response` is the handler's: headers it bears (`Allow`) are kept.
pub(crate) fn answer(mut response: Response, error: &Error, request_id: &HeaderValue) -> Response {
    let status = status(error.kind());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // axum has counted the handler's empty body; hyper counts the new one.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    match status {
        // A write of unknown outcome is not to be repeated blindly.
        StatusCode::SERVICE_UNAVAILABLE if error.kind() == Kind::OutcomeUnknown => {}
        // What another run of the same request is at will be there soon.
        StatusCode::CONFLICT if error.code_str() != "idempotency_running" => {}
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => {
            headers.insert(RETRY_AFTER, HeaderValue::from(limits::RETRY_AFTER_SECONDS));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE if error.code_str() == UNKNOWN_CODING => {
            headers.insert(ACCEPT_ENCODING, coding::KNOWN);
        }
        _ => debug_assert!(status != StatusCode::METHOD_NOT_ALLOWED || headers.contains_key(ALLOW)),
    }
    // The router has measured the empty body that stood here.
    headers.remove(CONTENT_LENGTH);
    let done = response.extensions_mut().remove::<Done>();
    *response.body_mut() = Body::from(body(error, request_id, done.as_ref()));
    response
}

/// The body of the answer alone.
pub(super) fn body(error: &Error, request_id: &HeaderValue, done: Option<&Done>) -> Vec<u8> {
    let mut problem = Problem::of(error, request_id.to_str().unwrap_or_default());
    if let Some(Done(done)) = done {
        problem.data = Whose::Done(done);
    }
    serde_json::to_vec(&problem).expect("texts and numbers always make JSON")
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    message: &'a str,
    data: Whose<'a>,
}

impl<'a> Problem<'a> {
    fn of(error: &'a Error, request_id: &'a str) -> Problem<'a> {
        let detail = public_detail(error);
        let status = status(error.kind());
        let faults = Faults(error.field_faults());
        let parts = error.parts();
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            code: public_code(error),
            request_id,
            message: detail,
            data: if parts.is_empty() {
                Whose::Fields(faults)
            } else {
                Whose::Parts { requests: Parts(parts, request_id) }
            },
        }
    }
}

/// Who is to blame: fields, or requests of a batch; or what was done before it.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Whose<'a> {
    Fields(Faults<'a>),
    Parts { requests: Parts<'a> },
    Done(&'a serde_json::Value),
}

/// The requests of a batch that can't be done, by their numbers; under `response` what each alone would have answered.
struct Parts<'a>(&'a [(usize, Error)], &'a str);

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Part<'a> {
            code: &'a str,
            message: &'a str,
            response: Problem<'a>,
        }
        let Parts(parts, request_id) = *self;
        serializer.collect_map(parts.iter().map(|(at, error)| {
            let response = Problem::of(error, request_id);
            (at, Part { code: response.code, message: response.detail, response })
        }))
    }
}

/// Faults as an object by field; of several for one field the first is said, as JSON has no place for two.
struct Faults<'a>(&'a [FieldFault]);

impl Serialize for Faults<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Fault<'a> {
            code: &'a str,
            message: &'a str,
        }
        let mut map = serializer.serialize_map(None)?;
        for (at, fault) in self.0.iter().enumerate() {
            if !self.0[..at].iter().any(|earlier| earlier.field == fault.field) {
                map.serialize_entry(&fault.field, &Fault { code: &fault.code, message: &fault.message })?;
            }
        }
        map.end()
    }
}

/// How grave it is that a request ended so: ours is an error, a caller's own for information.
pub(crate) fn level(error: &Error) -> Level {
    match error.kind() {
        Kind::Unavailable => Level::Warn,
        kind if status(kind).is_server_error() => Level::Error,
        _ => Level::Info,
    }
}

/// What an error says with all its causes.
pub(crate) fn told(error: &Error) -> String {
    format!("{error}{}", causes(error))
}

fn causes(error: &Error) -> String {
    let mut chain = String::new();
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        // Writing to a String can't fail.
        let _ = write!(chain, "; because: {cause}");
        below = cause.source();
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 21] = [
        Kind::Invalid,
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::NotAcceptable,
        Kind::RequestTimeout,
        Kind::Conflict,
        Kind::Gone,
        Kind::Precondition,
        Kind::TooLarge,
        Kind::UnsupportedMedia,
        Kind::Misdirected,
        Kind::Unprocessable,
        Kind::RateLimited,
        Kind::Internal,
        Kind::Damaged,
        Kind::Unavailable,
        Kind::OutcomeUnknown,
        Kind::Timeout,
        Kind::NoSpace,
    ];

    #[test]
    fn every_kind_has_its_status() {
        let table: Vec<String> = KINDS
            .into_iter()
            .map(|kind| format!("{} {} {}", status(kind), kind.code(), public_code(&Error::new(kind, ""))))
            .collect();
        let golden = [
            "400 Bad Request invalid invalid",
            "401 Unauthorized unauthenticated unauthenticated",
            "403 Forbidden forbidden forbidden",
            "404 Not Found not_found not_found",
            "405 Method Not Allowed method_not_allowed method_not_allowed",
            "406 Not Acceptable not_acceptable not_acceptable",
            "408 Request Timeout request_timeout request_timeout",
            "409 Conflict conflict conflict",
            "410 Gone gone gone",
            "412 Precondition Failed precondition_failed precondition_failed",
            "413 Payload Too Large too_large too_large",
            "415 Unsupported Media Type unsupported_media_type unsupported_media_type",
            "421 Misdirected Request misdirected misdirected",
            "422 Unprocessable Entity unprocessable unprocessable",
            "429 Too Many Requests rate_limited rate_limited",
            "500 Internal Server Error internal internal",
            "500 Internal Server Error damaged internal",
            "503 Service Unavailable unavailable unavailable",
            "503 Service Unavailable outcome_unknown outcome_unknown",
            "504 Gateway Timeout timeout timeout",
            "507 Insufficient Storage no_space no_space",
        ];
        assert_eq!(table, golden);
    }

    #[test]
    fn a_body_names_every_fault_and_the_request() {
        let error = Error::invalid("two fields are wrong")
            .fault("total", "wrong_type", "must be a \"number\"")
            .fault("items.0", "required", "is missing")
            .fault("total", "second", "is not said");
        let body = String::from_utf8(body(&error, &HeaderValue::from_static("r-1"), None)).expect("text");
        let golden = concat!(
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"two fields are wrong","#,
            r#""code":"invalid","requestId":"r-1","message":"two fields are wrong","#,
            r#""data":{"total":{"code":"wrong_type","message":"must be a \"number\""},"#,
            r#""items.0":{"code":"required","message":"is missing"}}}"#
        );
        assert_eq!(body, golden);
    }

    #[test]
    fn what_is_ours_tells_nothing_of_the_inside() {
        let secret = "/var/secret/segment-9";
        for kind in [Kind::Internal, Kind::Damaged, Kind::OutcomeUnknown, Kind::NoSpace] {
            let cause = std::io::Error::other("cause of the secret");
            let error = Error::new(kind, secret).code("secret").source(cause);
            let body = String::from_utf8(body(&error, &HeaderValue::from_static("r-1"), None)).expect("text");
            assert!(!body.contains("/var") && !body.contains("cause of"), "{body}");
            assert_eq!(causes(&error), "; because: cause of the secret");
        }
    }

    #[test]
    fn an_answer_bears_the_headers_of_its_status() {
        let id = HeaderValue::from_static("r-1");
        let header = |kind, name| {
            let error = Error::new(kind, "x");
            let response = answer(Response::new(Body::empty()), &error, &id);
            response.headers().get(name).map(|value| value.to_str().expect("ascii").to_owned())
        };
        assert_eq!(header(Kind::Unavailable, RETRY_AFTER).as_deref(), Some("1"));
        assert_eq!(header(Kind::OutcomeUnknown, RETRY_AFTER), None);
        assert_eq!(header(Kind::Conflict, RETRY_AFTER), None);
        let running = Error::new(Kind::Conflict, "x").code("idempotency_running");
        assert!(answer(Response::new(Body::empty()), &running, &id).headers().contains_key(RETRY_AFTER));
        assert_eq!(header(Kind::RateLimited, RETRY_AFTER).as_deref(), Some("1"));
        assert_eq!(header(Kind::Unauthenticated, WWW_AUTHENTICATE).as_deref(), Some("Bearer"));
        assert_eq!(header(Kind::Invalid, RETRY_AFTER), None);
        assert_eq!(header(Kind::Invalid, CONTENT_TYPE).as_deref(), Some("application/problem+json"));
    }
}
