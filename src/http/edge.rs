//! What every request goes through, once: its id, its caller, the route table, a panic's net, an error's answer.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderValue, Method, Request, Response};
use axum::response::IntoResponse;
use tower::Service as _;

use crate::error::{Error, Kind, Result};
use crate::http::accept::Answer;
use crate::http::auth;
use crate::http::inbound::Inbound;
use crate::http::problem::{self, Refusal};
use crate::http::request::{REQUEST_ID, request_id};
use crate::service::{Caller, Service};

/// The route table with what stands around it.
#[derive(Clone)]
pub(super) struct Edge {
    pub(super) router: Router,
    pub(super) service: Service,
}

impl Answer for Edge {
    async fn answer(&self, mut request: Request<Inbound>, peer: SocketAddr) -> Response<Body> {
        let id = request_id(request.headers());
        let told = (request.method().clone(), request.uri().path_and_query().cloned());
        let response = match self.caller(&request, peer) {
            Err(error) => Refusal(Arc::new(error)).into_response(),
            Ok(caller) => {
                if caller.is_known() {
                    request.extensions_mut().insert(caller);
                }
                match caught(self.router.clone().call(request)).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(panic) => Refusal(Arc::new(from_panic(&*panic))).into_response(),
                }
            }
        };
        finish(response, id, told.0, told.1.as_ref().map_or("", |path| path.path()))
    }
}

impl Edge {
    /// Who sends a request: by its token, if it bears one, else by where it comes from.
    fn caller(&self, request: &Request<Inbound>, peer: SocketAddr) -> Result<Caller> {
        let headers = request.headers();
        let by_place = || self.service.caller(peer.ip(), headers.get(HOST).map(HeaderValue::as_bytes));
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

/// Gives the answer its request id and a refusal its body, and tells the log.
fn finish(mut response: Response<Body>, id: HeaderValue, method: Method, path: &str) -> Response<Body> {
    if let Some(Refusal(error)) = response.extensions_mut().remove::<Refusal>() {
        problem::log(&error, &id, method.as_str(), path);
        response = problem::answer(response, &error, &id);
    } else {
        tracing::debug!(request_id = ?id, %method, path, status = response.status().as_u16(), "answered");
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Runs a future to its end or its panic.
async fn caught<F: Future>(future: F) -> std::result::Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    // After a panic the future is dropped unpolled: nobody sees what it left half done.
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn from_panic(panic: &(dyn Any + Send)) -> Error {
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
