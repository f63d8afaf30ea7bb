//! What every request goes through, once: its id, its caller, the kept answers or the route table, a panic's net, an
//! error's answer.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, STRICT_TRANSPORT_SECURITY, UPGRADE};
use axum::http::{HeaderValue, Method, Request, Response};
use axum::response::IntoResponse;
use hyper::body::Body as _;
use tower::Service as _;

use crate::config::{Level, Net};
use crate::error::{Error, Kind, Result};
use crate::http::accept::Answer;
use crate::http::auth;
use crate::http::cors::{self, Cors};
use crate::http::forward::is_from_elsewhere;
use crate::http::inbound::Inbound;
use crate::http::meters::Meters;
use crate::http::problem::{self, Refusal};
use crate::http::rates::{self, Rates};
use crate::http::realtime::Waited;
use crate::http::records::words;
use crate::http::request::{REQUEST_ID, accepts_json, asks_min_seq, request_id};
use crate::http::told::{Asked, Outcome};
use crate::http::{answer, coding, encode};
use crate::service::cache::Question;
use crate::service::replication::Role;
use crate::service::{Caller, Service};

/// Where the paths of reads begin whose answers are kept.
const READS: &str = "/api/collections/";

/// What is told its caller's address, beside WebSockets.
const STREAMS: [&str; 2] = ["/api/realtime", "/api/changes"];

/// Where the paths begin that tell of the server itself.
const FOR_ITSELF: [&str; 4] = ["/livez", "/readyz", "/metrics", "/api/replication"];

/// The route table with what stands around it.
#[derive(Clone)]
pub(super) struct Edge {
    pub(super) router: Router,
    pub(super) service: Service,
    pub(super) cors: Cors,
    pub(super) meters: Arc<Meters>,
    pub(super) slow: Option<Duration>,
    pub(super) rates: Option<Arc<Rates>>,
    pub(super) proxies: Arc<[Net]>,
    /// What `Strict-Transport-Security` says, where it says something.
    pub(super) hsts: Option<HeaderValue>,
}

/// Where a request comes from that goes on for long, or may be passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) IpAddr);

impl Answer for Edge {
    async fn answer(&self, request: Request<Inbound>, peer: SocketAddr) -> Response<Body> {
        let timed = self.meters.begin(request.uri().path());
        let id = request_id(request.headers());
        let mut asked = Asked::of(&request, id, self.service.keeps_line(Level::Error));
        let (coding, allowed) = (coding::wanted(request.headers()), self.cors.allowed(request.headers()));
        let address = rates::client(peer.ip(), request.headers(), &self.proxies);
        let caller = self.caller(&request, address);
        asked.by(caller.as_ref().ok(), peer.ip(), address);
        let rates = self.rates.as_deref();
        // Who shows a bad token is nobody, and may be guessing.
        let whom = caller.as_ref().unwrap_or(&Caller::Anonymous);
        let counted = rates.and_then(|rates| rates.count(self.meters.class(timed.route), whom, address));
        let response = if cors::is_preflight(&request) {
            cors::preflight(allowed.is_some())
        } else if let Some(Err(error)) = counted.as_ref().map(|counted| counted.allow()) {
            self.meters.limited.add(1);
            Refusal(Arc::new(error)).into_response()
        } else {
            match caller.and_then(|caller| self.serves(&request).map(|()| caller)) {
                Err(error) => Refusal(Arc::new(error)).into_response(),
                Ok(caller) => self.answered(request, caller, address).await,
            }
        };
        let (response, error) = finish(response, &asked.id);
        let response = if asked.method == Method::HEAD { without_body(response) } else { response };
        let mut response = encode::encoded(response, coding).await;
        self.cors.mark(response.headers_mut(), allowed);
        if let Some(hsts) = &self.hsts {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if let Some(counted) = counted {
            counted.mark(response.headers_mut());
        }
        let route = self.meters.name(timed.route);
        let time = timed.end(response.status());
        let waited = response.extensions().get::<Waited>().is_some();
        let slow = !waited && self.slow.is_some_and(|slow| time >= slow);
        asked.tell(&self.service, Outcome { status: response.status(), error: error.as_deref(), route, time, slow });
        response
    }
}

impl Edge {
    async fn answered(&self, mut request: Request<Inbound>, caller: Caller, address: IpAddr) -> Response<Body> {
        if let Some(kept) = self.kept(&request, &caller) {
            return kept;
        }
        if caller.is_known() {
            request.extensions_mut().insert(caller);
        }
        let is_long = request.headers().contains_key(UPGRADE) || STREAMS.contains(&request.uri().path());
        if is_long || !(request.method().is_safe() || self.service.role() == Role::Primary) {
            request.extensions_mut().insert(Address(address));
        }
        self.routed(request).await
    }

    /// A follower that is being made answers for nothing but itself.
    fn serves(&self, request: &Request<Inbound>) -> Result<()> {
        let served = self.service.serves();
        let path = request.uri().path();
        if served.is_ok() || FOR_ITSELF.iter().any(|begin| path.starts_with(begin)) { Ok(()) } else { served }
    }

    /// The kept answer to a read, where there is one and nothing is asked of it that its handler has to look at.
    fn kept(&self, request: &Request<Inbound>, caller: &Caller) -> Option<Response<Body>> {
        let (uri, headers) = (request.uri(), request.headers());
        if request.method() != Method::GET || !uri.path().starts_with(READS) || asks_min_seq(headers) {
            return None;
        }
        accepts_json(headers).ok()?;
        let answer = self.service.kept(&Question::new(caller, "GET", words(uri)))?;
        answer::read(answer, headers).ok()
    }

    async fn routed(&self, request: Request<Inbound>) -> Response<Body> {
        match caught(self.router.clone().call(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => Refusal(Arc::new(from_panic(&*panic))).into_response(),
        }
    }
}

impl Edge {
    /// Who sends a request: by its token, if it bears one, else by where it comes from.
    fn caller(&self, request: &Request<Inbound>, address: IpAddr) -> Result<Caller> {
        let headers = request.headers();
        let by_place = || match is_from_elsewhere(headers) {
            true => Caller::Anonymous,
            false => self.service.caller(address, host(request)),
        };
        match headers.get(AUTHORIZATION).filter(|given| !given.is_empty()) {
            None => Ok(by_place()),
            Some(given) => match self.service.caller_of_token(given.as_bytes()) {
                Err(error) if error.kind() == Kind::Unauthenticated && auth::is_open(request.uri().path()) => {
                    Ok(by_place())
                }
                found => found,
            },
        }
    }
}

/// Gives the answer its request id and a refusal its body; the error that it tells of.
fn finish(mut response: Response<Body>, id: &HeaderValue) -> (Response<Body>, Option<Arc<Error>>) {
    let error = response.extensions_mut().remove::<Refusal>().map(|Refusal(error)| error);
    if let Some(error) = &error {
        response = problem::answer(response, error, id);
    }
    response.headers_mut().insert(REQUEST_ID, id.clone());
    (response, error)
}

/// Whom the request means: what its target names goes before `Host` (RFC 9112, section 3.2.2), and HTTP/2 has no other.
fn host<B>(request: &Request<B>) -> Option<&[u8]> {
    let said = || request.headers().get(HOST).map(HeaderValue::as_bytes);
    request.uri().host().map(str::as_bytes).or_else(said)
}

/// The answer to HEAD: its body is measured and left out. HTTP/2 has nobody else to do so.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}

/// Runs a future to its end or its panic.
pub(super) async fn caught<F: Future>(future: F) -> std::result::Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    // After a panic the future is dropped unpolled: nobody sees what it left half done.
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

pub(super) fn from_panic(panic: &(dyn Any + Send)) -> Error {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Error::internal(format!("a handler panicked: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_a_value_passes() {
        assert_eq!(caught(async { 7 }).await.expect("no panic"), 7);
        let panic = caught(async { panic!("told {}", "so") }).await.expect_err("a panic");
        assert_eq!(from_panic(&*panic).message(), "a handler panicked: told so");
    }
}
