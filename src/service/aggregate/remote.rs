//! Sources on other servers, each asked as a request of its own.
//!
//! Invariants: only a superuser names one (`resolve`), and the server connects to addresses that are not open to all only
//! where its settings allow it; a server that is asked by another asks no further one, so that none are asked in a
//! circle; of an answer no more than a bound is read, and in no more time than is left.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use tokio::sync::Semaphore;

use super::run::too_late;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::aggregate::{Source, Table, failed};
use crate::outbound::{self, Dialer, Line};

/// Says to a server that it is asked by another.
pub const HOPS: &str = "millpond-hops";

/// Names that are resolved at once.
const RESOLVING: usize = 4;
/// Characters that are shown of what another server says.
const SAID_CHARS: usize = 300;

/// How other servers are reached.
#[derive(Debug)]
pub(in crate::service) struct Remotes {
    dialer: Arc<Dialer>,
    resolving: Arc<Semaphore>,
}

impl Remotes {
    pub(in crate::service) fn new(dialer: Arc<Dialer>) -> Remotes {
        Remotes { dialer, resolving: Arc::new(Semaphore::new(RESOLVING)) }
    }

    /// What a source on another server comes to.
    ///
    /// # Errors
    /// `Timeout`, with code `source_failed` where it was not the time that it failed by.
    pub(super) async fn ask(&self, source: &Source, deadline: Instant) -> Result<Table> {
        let end = tokio::time::Instant::from_std(deadline);
        tokio::time::timeout_at(end, self.answer(source, deadline)).await.unwrap_or_else(|_| Err(too_late()))
    }

    async fn answer(&self, source: &Source, deadline: Instant) -> Result<Table> {
        let url = source.endpoint().ok_or_else(|| failed("it has no address"))?;
        let mut line = Line::open(&self.dialer, &url, &self.resolving).await.map_err(|why| failed(&why))?;
        let body = source.request(deadline.saturating_duration_since(Instant::now()));
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = outbound::path_of(&url).parse().map_err(|_| failed("its address is none"))?;
        let headers = request.headers_mut();
        let value = |text: &str| HeaderValue::try_from(text).map_err(|_| failed("its address or token is none"));
        headers.insert(HOST, value(&outbound::host_of(&url))?);
        headers.insert(USER_AGENT, HeaderValue::from_static(outbound::USER_AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(HOPS, HeaderValue::from_static("1"));
        if let Some(token) = source.remote.as_ref().and_then(|remote| remote.token.as_deref()) {
            let mut token = value(token)?;
            token.set_sensitive(true);
            headers.insert(AUTHORIZATION, token);
        }
        let answer = line.ask(request).await.map_err(|why| failed(&why))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), limits::AGGREGATE_REMOTE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed(&format!("its answer can't be read: {error}")))?.to_bytes();
        if status == StatusCode::OK { source.table(&body) } else { Err(refused(status, &body)) }
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Error {
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = said.as_ref().and_then(|said| said["message"].as_str()).unwrap_or_default();
    let said: String = said.chars().take(SAID_CHARS).collect();
    failed(&format!("it answers {status}{}{said}", if said.is_empty() { "" } else { ": " }))
}
