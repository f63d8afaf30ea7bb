//! Which pages of other origins a browser lets read the answers (the Fetch standard's CORS protocol).
//!
//! It protects the browser's user, not the server: who is no browser is not asked. Credentials that a browser adds by
//! itself are never allowed; a page has to send its token.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::config::Settings;
use crate::http::encode::vary;
use crate::limits;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, PUT, DELETE");
/// What a page may send beyond what it may send to anybody.
const SENT: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Content-Encoding, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, \
     Millpond-Min-Seq, X-Request-Id",
);
/// What a page may read beyond what it may read of anybody.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "ETag, Location, Millpond-Seq, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Cache-Status, Allow",
);
const ANY: HeaderValue = HeaderValue::from_static("*");
const ORIGIN_NAME: HeaderValue = HeaderValue::from_static("Origin");

/// The origins that are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cors {
    None,
    Any,
    Of(Vec<HeaderValue>),
}

impl Cors {
    /// As set; `Settings::validate` has seen to it that each is an origin.
    pub(super) fn new(settings: &Settings) -> Cors {
        let origins = &settings.cors_origins;
        if origins.iter().any(|origin| origin == "*") {
            Cors::Any
        } else if origins.is_empty() {
            Cors::None
        } else {
            Cors::Of(origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect())
        }
    }

    /// What `Access-Control-Allow-Origin` says to a request, if anything.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if matches!(self, Cors::None) {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        match self {
            Cors::None => None,
            Cors::Any => Some(ANY),
            Cors::Of(origins) => origins.iter().find(|known| *known == origin).cloned(),
        }
    }

    /// Says on an answer who may read it.
    pub(super) fn mark(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
        if let Cors::Of(_) = self {
            vary(headers, ORIGIN_NAME);
        }
        if let Some(allowed) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
        }
    }
}

/// Whether a browser asks by this request whether its page may send another one.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that, the same for every path: which exist is not told.
pub(super) fn preflight(allowed: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if allowed {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(limits::PREFLIGHT_AGE_MAX.as_secs()));
    }
    response
}
