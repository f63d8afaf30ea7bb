//! What stands around each call that writes: on a follower it is passed on to the primary, and answered when this server's
//! own copy has it; on a primary it is answered when so many followers have it as the settings want.
//!
//! Invariant: a write that was not sent is refused with 421, and nothing was changed. One that bears an `Idempotency-Key` is
//! sent again when the connection breaks off, and done once. Any other that was sent and not answered has an unknown outcome,
//! and is never sent twice. None is given a key here: what is kept for those would push out the clients' own.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Body as _;
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::http::answer::text;
use crate::http::edge::Address;
use crate::http::idempotency::KEY;
use crate::http::inbound::gather;
use crate::http::rates::FORWARDED;
use crate::http::request::{REQUEST_ID, SEQ};
use crate::http::{App, Refusal};
use crate::id::Position;
use crate::limits;
use crate::outbound::Peer;
use crate::service::replication::Role;

/// How often a request was passed on.
const HOPS: HeaderName = HeaderName::from_static("millpond-hops");
/// Set where every caller of the server that passes it on is a superuser there.
const DEV: HeaderName = HeaderName::from_static("millpond-dev");
/// Set where this server's own copy has not come so far yet.
const LAGGING: HeaderName = HeaderName::from_static("millpond-lagging");
/// How many followers have a write on their disks.
const REPLICATED: HeaderName = HeaderName::from_static("millpond-replicated");

/// What is between two servers and no third (RFC 9110, section 7.6.1), and what this server does itself.
const OWN: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HOST,
    EXPECT,
    ACCEPT_ENCODING,
];

/// Around each call that writes. `once`: whether it takes an `Idempotency-Key`.
pub(super) async fn write(State((app, once)): State<(App, bool)>, request: Request, next: Next) -> Response {
    let role = app.service.role();
    if role != Role::Primary {
        return match passed_on(&app, role, once, request).await {
            Ok(response) => response,
            Err(error) => Refusal::from(error).into_response(),
        };
    }
    let response = next.run(request).await;
    if app.service.waits_for_followers() { replicated(&app, response).await } else { response }
}

/// Answers when enough followers have it.
async fn replicated(app: &App, mut response: Response) -> Response {
    let Some(position) = position(response.headers()) else { return response };
    match app.service.replicated(position).await {
        Ok(None) => response,
        Ok(Some(count)) => {
            response.headers_mut().insert(REPLICATED, HeaderValue::from(count));
            response
        }
        Err(error) => {
            let seq = response.headers().get(SEQ).cloned();
            let mut response = Refusal::from(error).into_response();
            response.headers_mut().extend(seq.map(|seq| (SEQ, seq)));
            response
        }
    }
}

/// Whether a request was passed on by a server that knows its callers by what they show: then it does not come from this
/// machine, whatever address it comes from.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.contains_key(HOPS) && !headers.contains_key(DEV)
}

fn position(headers: &HeaderMap) -> Option<Position> {
    headers.get(SEQ)?.to_str().ok()?.parse().ok()
}

async fn passed_on(app: &App, role: Role, once: bool, request: Request) -> Result<Response> {
    let Some(primary) = app.service.writes_go_to() else { return Err(role.refusal()) };
    let hops = request.headers().get(HOPS).and_then(|hops| hops.to_str().ok()?.parse::<u8>().ok()).unwrap_or(0);
    if hops >= limits::FORWARD_HOPS {
        let message = "the request was passed on from server to server too often: they follow each other";
        return Err(Error::new(Kind::Misdirected, message).code("too_many_hops"));
    }
    let peer = Peer::new(&primary).map_err(|_| role.refusal())?;
    let request = for_primary(&peer, (hops + 1, app.service.is_dev()), request)?;
    // Who passes it on last asks again, so that it is not asked for by each on the way.
    let is_kept = once && hops == 0 && request.headers().contains_key(KEY);
    let bytes_max = app.body_bytes_max.max(limits::TRANSACTION_BODY_BYTES_MAX);
    let fits = request.body().size_hint().upper().is_some_and(|bytes| bytes <= bytes_max as u64);
    let answer = if is_kept && fits {
        let (head, body) = request.into_parts();
        let body = gather(body, bytes_max, limits::BODY_TIME_MAX).await?;
        sent_until_answered(&peer, &head, &body).await?
    } else {
        sent(&peer, request).await?
    };
    let mut response = without_own(answer);
    if response.status().is_success()
        && let Some(position) = position(response.headers())
        && !app.service.catches_up(position, limits::FORWARD_WAIT).await
    {
        response.headers_mut().insert(LAGGING, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// Sends what bears a key, again when the connection breaks off: the primary answers what it answered, or does it now.
///
/// # Errors
/// As [`sent`]; one that was sent is not told not to have been.
async fn sent_until_answered(peer: &Peer, head: &Parts, body: &Bytes) -> Result<Response> {
    let until = Instant::now() + limits::FORWARD_TIME;
    let request = || Request::from_parts(head.clone(), Body::from(body.clone()));
    let unknown = match sent(peer, request()).await {
        Err(error) if error.kind() == Kind::OutcomeUnknown => error,
        answered => return answered,
    };
    for _ in 1..limits::FORWARD_TRIES {
        // A primary that is being started anew, or is still at the first one.
        tokio::time::sleep(limits::FORWARD_PAUSE).await;
        let again = tokio::time::timeout_at(until, async { decided(sent(peer, request()).await).await });
        match again.await {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(answer),
            Err(_) => break,
        }
    }
    Err(unknown)
}

/// An answer that tells what became of a write, or would have: none that was given before the primary had looked at its key.
async fn decided(answered: Result<Response>) -> Option<Response> {
    let answer = answered.ok()?;
    match answer.status() {
        StatusCode::CONFLICT => {
            let (head, body) = answer.into_parts();
            let body = gather(body, limits::FORWARD_REFUSAL_BYTES, limits::FORWARD_TIME).await.ok()?;
            let problem: serde_json::Value = serde_json::from_slice(&body).ok()?;
            (problem["code"] != "idempotency_running").then(|| Response::from_parts(head, Body::from(body)))
        }
        StatusCode::BAD_REQUEST
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::PRECONDITION_FAILED
        | StatusCode::UNPROCESSABLE_ENTITY => Some(answer),
        status => status.is_success().then_some(answer),
    }
}

/// # Errors
/// `Misdirected` where it was not sent; `OutcomeUnknown` where it was and there is no answer.
async fn sent(peer: &Peer, request: Request) -> Result<Response> {
    let away = |why: String| {
        Error::new(Kind::Misdirected, format!("the primary {} can't be reached: {why}", peer.url()))
            .code("primary_away")
    };
    let connected = tokio::time::timeout(limits::FORWARD_WAIT, peer.open()).await;
    let line = connected.map_err(|_| away("it does not answer".to_owned()))?.map_err(away)?;
    let time =
        if request.uri().path().ends_with("/import") { limits::IMPORT_FORWARD_TIME } else { limits::FORWARD_TIME };
    let unknown = |why: String| {
        Error::new(Kind::OutcomeUnknown, format!("the primary was asked, and its answer is missing: {why}"))
    };
    let answered = tokio::time::timeout(time, line.ask_once(request)).await;
    let answer = answered.map_err(|_| unknown("it takes too long".to_owned()))?;
    Ok(answer.map_err(unknown)?.map(Body::new))
}

fn for_primary(peer: &Peer, (hops, dev): (u8, bool), request: Request) -> Result<Request> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    head.uri = Uri::from(path);
    head.version = axum::http::Version::HTTP_11;
    for name in OWN {
        head.headers.remove(name);
    }
    let host = HeaderValue::try_from(peer.host());
    let host = host.map_err(|_| Error::internal("the primary's name makes no header"))?;
    head.headers.insert(HOST, host);
    head.headers.insert(HOPS, HeaderValue::from(u16::from(hops)));
    if dev {
        head.headers.insert(DEV, HeaderValue::from_static("1"));
    }
    // Only what this server believes itself: the primary may trust it, and must not trust by that what anybody says.
    head.headers.remove(FORWARDED);
    if let Some(Address(client)) = head.extensions.get() {
        head.headers.insert(FORWARDED, text(client.to_string()));
    }
    // What this server knows of the request is no header's.
    head.extensions.clear();
    Ok(Request::from_parts(head, body))
}

fn without_own(mut response: Response) -> Response {
    for name in OWN.into_iter().chain([REQUEST_ID]) {
        response.headers_mut().remove(name);
    }
    response
}
