//! What stands around each call that writes: on a follower it is passed on to the primary, and answered when this server's
//! own copy has it; on a primary it is answered when so many followers have it as the settings want.
//!
//! Invariant: a write that was not sent is refused with 421, and nothing was changed; one that was sent and not answered has
//! an unknown outcome, and is never sent twice.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use crate::error::{Error, Kind, Result};
use crate::http::request::{REQUEST_ID, SEQ};
use crate::http::{App, Refusal};
use crate::id::Position;
use crate::limits;
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

/// Around each call that writes.
pub(super) async fn write(State(app): State<App>, request: Request, next: Next) -> Response {
    let role = app.service.role();
    if role != Role::Primary {
        return match passed_on(&app, role, request).await {
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

async fn passed_on(app: &App, role: Role, request: Request) -> Result<Response> {
    let Some(primary) = app.service.writes_go_to() else { return Err(role.refusal()) };
    let hops = request.headers().get(HOPS).and_then(|hops| hops.to_str().ok()?.parse::<u8>().ok()).unwrap_or(0);
    if hops >= limits::FORWARD_HOPS {
        let message = "the request was passed on from server to server too often: they follow each other";
        return Err(Error::new(Kind::Misdirected, message).code("too_many_hops"));
    }
    let url = Url::parse(&primary).map_err(|_| role.refusal())?;
    let answer = sent(&url, (hops + 1, app.service.is_dev()), request).await?;
    let mut response = without_own(answer);
    if response.status().is_success()
        && let Some(position) = position(response.headers())
        && !app.service.catches_up(position, limits::FORWARD_WAIT).await
    {
        response.headers_mut().insert(LAGGING, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// # Errors
/// `Misdirected` where it was not sent; `OutcomeUnknown` where it was and there is no answer.
async fn sent(url: &Url, passed: (u8, bool), request: Request) -> Result<Response> {
    let away = |why: String| {
        Error::new(Kind::Misdirected, format!("the primary {url} can't be reached: {why}")).code("primary_away")
    };
    let connected = tokio::time::timeout(limits::FORWARD_WAIT, connect(url)).await;
    let stream = connected.map_err(|_| away("it does not answer".to_owned()))?.map_err(away)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut requests, connection) = handshake.map_err(|error| away(error.to_string()))?;
    // Until its answer has ended: that is read by whoever reads this one's.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let time =
        if request.uri().path().ends_with("/import") { limits::IMPORT_FORWARD_TIME } else { limits::FORWARD_TIME };
    let request = for_primary(url, passed, request)?;
    let unknown = |why: String| {
        Error::new(Kind::OutcomeUnknown, format!("the primary was asked, and its answer is missing: {why}"))
    };
    let answered = tokio::time::timeout(time, requests.send_request(request)).await;
    let answer = answered.map_err(|_| unknown("it takes too long".to_owned()))?;
    Ok(answer.map_err(|error| unknown(error.to_string()))?.map(Body::new))
}

async fn connect(url: &Url) -> std::result::Result<TcpStream, String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host, url.port_or_known_default().unwrap_or(80))).await;
    let stream = stream.map_err(|error| error.to_string())?;
    // A request is one write or two.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn for_primary(url: &Url, (hops, dev): (u8, bool), request: Request) -> Result<Request> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    head.uri = Uri::from(path);
    head.version = axum::http::Version::HTTP_11;
    for name in OWN {
        head.headers.remove(name);
    }
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let host = HeaderValue::try_from(host).map_err(|_| Error::internal("the primary's name makes no header"))?;
    head.headers.insert(HOST, host);
    head.headers.insert(HOPS, HeaderValue::from(u16::from(hops)));
    if dev {
        head.headers.insert(DEV, HeaderValue::from_static("1"));
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
