//! A request that comes from inside, over a WebSocket: through the same route table as any other, counted by the same
//! limits, and answered by what its answer over HTTP says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use tower::Service as _;

use crate::config::Level;
use crate::error::{Error, Kind};
use crate::http::App;
use crate::http::edge::{caught, from_panic};
use crate::http::problem::{self, Refusal};
use crate::http::rates::Class;
use crate::http::request::{SEQ, new_request_id};
use crate::http::told::{Asked, Outcome};
use crate::service::Caller;

/// Whose requests they are counted and told as.
const ROUTE: &str = "/api/ws";

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// JSON; empty for none.
    pub(super) body: Bytes,
}

/// Its answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// JSON; empty for none.
    pub(super) body: Bytes,
    /// The position of a write.
    pub(super) seq: Option<Box<str>>,
    /// The version of a record.
    pub(super) etag: Option<Box<str>>,
}

impl Reply {
    /// It was done.
    pub(super) fn done(body: Vec<u8>) -> Reply {
        let status = if body.is_empty() { StatusCode::NO_CONTENT } else { StatusCode::OK };
        Reply { status, body: body.into(), seq: None, etag: None }
    }

    /// It was not.
    pub(super) fn refused(error: &Error) -> Reply {
        let id = new_request_id();
        if problem::level(error) == Level::Error {
            tracing::error!(request_id = ?id, path = ROUTE, "{}", problem::told(error));
        }
        Reply {
            status: problem::status(error.kind()),
            body: problem::body(error, &id, None).into(),
            seq: None,
            etag: None,
        }
    }
}

/// Asks it.
pub(super) async fn call(app: &App, caller: Caller, address: Option<IpAddr>, call: Call) -> Reply {
    let (id, began) = (new_request_id(), Instant::now());
    let request = match request(call, &caller) {
        Ok(request) => request,
        Err(error) => return Reply::refused(&error),
    };
    let mut asked = Asked::of(&request, id.clone(), app.service.keeps_line(Level::Error));
    if let Some(address) = address {
        asked.by(Some(&caller), address, address);
    }
    let response = match routed(app, &caller, address, request).await {
        Ok(response) => response,
        Err(error) => Refusal(Arc::new(error)).into_response(),
    };
    let refusal = response.extensions().get::<Refusal>().cloned();
    let response = match &refusal {
        Some(Refusal(error)) => problem::answer(response, error, &id),
        None => response,
    };
    let error = refusal.as_ref().map(|Refusal(error)| &**error);
    let done = Outcome { status: response.status(), error, route: ROUTE, time: began.elapsed(), slow: false };
    asked.tell(&app.service, done);
    let (head, body) = response.into_parts();
    let word = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(Box::from);
    match body.collect().await {
        Ok(body) => Reply { status: head.status, body: body.to_bytes(), seq: word(SEQ), etag: word(ETAG) },
        Err(error) => Reply::refused(&Error::internal("an answer could not be read").source(error)),
    }
}

fn request(call: Call, caller: &Caller) -> Result<Request<Body>, Error> {
    let mut request = Request::builder().method(call.method).uri(call.target);
    if !call.body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let mut request = request
        .body(Body::from(call.body))
        .map_err(|error| Error::invalid("there is no such address").code("bad_path").source(error))?;
    request.headers_mut().extend(call.headers);
    if caller.is_known() {
        request.extensions_mut().insert(caller.clone());
    }
    Ok(request)
}

async fn routed(
    app: &App,
    caller: &Caller,
    address: Option<IpAddr>,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    if let (Some(rates), Some(address)) = (&app.rates, address)
        && let Some(counted) = rates.count(Class::Plain, caller, address)
    {
        counted.allow()?;
    }
    let router = app.router.lock().clone();
    let mut router = router.ok_or_else(|| Error::new(Kind::Unavailable, "the server is stopping").code("stopping"))?;
    match caught(router.call(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(never)) => match never {},
        Err(panic) => Err(from_panic(&*panic)),
    }
}
