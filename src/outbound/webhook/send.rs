//! One message sent: HTTP/1.1 over a connection that is kept for the next.
//!
//! Invariants: all of it, from the name to the last byte of the answer, ends within the handler's timeout; of an answer no
//! more than a bound is read, and its status counts; no redirect is followed; the handler's headers replace none of the
//! server's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::Message;
use super::sign::signature;
use crate::limits;
use crate::model::handler::Webhook;
use crate::outbound::{self, Dialer, Line};

/// How long a connection without a message is kept: less than receivers usually keep one.
const IDLE: Duration = Duration::from_secs(4);

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people; nothing of what the receiver said but its status.
    pub message: String,
    /// The receiver wants no more messages (410).
    pub gone: bool,
    /// How long it asks to be left alone.
    pub asked: Option<Duration>,
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure { message, gone: false, asked: None }
    }
}

/// Sends messages to one receiver.
#[derive(Debug)]
pub struct Sender {
    webhook: Webhook,
    dialer: Arc<Dialer>,
    resolving: Arc<Semaphore>,
    idle: Mutex<Vec<(Line, Instant)>>,
}

impl Sender {
    /// To the receiver of a webhook.
    pub fn new(webhook: Webhook, dialer: Arc<Dialer>) -> Sender {
        Sender { webhook, dialer, resolving: Arc::new(Semaphore::new(1)), idle: Mutex::default() }
    }

    /// Sends a message at a time (seconds since 1970).
    ///
    /// # Errors
    /// Anything but an answer of the class 2xx in time.
    pub async fn send(&self, message: &Message, now_s: u64) -> Result<(), Failure> {
        let timeout = Duration::from_secs(self.webhook.timeout_seconds);
        let until = tokio::time::Instant::now() + timeout;
        let late = || Failure::from(format!("no answer within {} s", timeout.as_secs()));
        let asked = tokio::time::timeout_at(until, self.ask(message, now_s));
        let (line, answer) = asked.await.map_err(|_| late())??;
        let outcome = judge(&answer);
        // Whatever comes of the rest: the status has been told.
        if let Ok(true) = tokio::time::timeout_at(until, read_rest(answer)).await {
            self.keep(line);
        }
        outcome
    }

    /// The head of the answer. A kept connection may be one that the receiver has closed meanwhile: then another.
    async fn ask(&self, message: &Message, now_s: u64) -> Result<(Line, Response<Incoming>), Failure> {
        if let Some(mut line) = self.kept() {
            let request = self.request(message, now_s)?;
            if let Ok(answer) = line.ask(request).await {
                return Ok((line, answer));
            }
        }
        let mut line = Line::open(&self.dialer, &self.webhook.url, &self.resolving).await?;
        let answer = line.ask(self.request(message, now_s)?).await?;
        Ok((line, answer))
    }

    fn kept(&self) -> Option<Line> {
        let mut idle = self.idle.lock();
        idle.retain(|(line, since)| since.elapsed() < IDLE && !line.is_closed());
        let at = idle.iter().rposition(|(line, _)| line.is_ready())?;
        Some(idle.swap_remove(at).0)
    }

    fn keep(&self, line: Line) {
        let mut idle = self.idle.lock();
        if !line.is_closed() && idle.len() < limits::HANDLER_DELIVERIES_MAX {
            idle.push((line, Instant::now()));
        }
    }

    fn request(&self, message: &Message, now_s: u64) -> Result<Request<Full<Bytes>>, Failure> {
        let url = &self.webhook.url;
        let signature = signature(&self.webhook.secret, &message.id, now_s, &message.body)
            .map_err(|error| Failure::from(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(outbound::USER_AGENT));
        for (name, value) in &self.webhook.headers {
            let name = HeaderName::try_from(&**name).map_err(|error| error.to_string())?;
            headers.insert(name, value_of(value)?);
        }
        headers.insert(HOST, value_of(&outbound::host_of(url))?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", value_of(&message.id)?);
        headers.insert("webhook-timestamp", HeaderValue::from(now_s));
        headers.insert("webhook-signature", value_of(&signature)?);
        let request =
            Request::builder().method(Method::POST).uri(outbound::path_of(url)).body(Full::new(message.body.clone()));
        let mut request = request.map_err(|error| format!("no such request: {error}"))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn value_of(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text).map_err(|error| error.to_string().into())
}

fn judge(answer: &Response<Incoming>) -> Result<(), Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let more = if status.is_redirection() { ": no redirect is followed" } else { "" };
    let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(Failure {
        message: format!("the answer is {status}{more}"),
        gone: status == StatusCode::GONE,
        asked: asked.map(Duration::from_secs),
    })
}

/// Whether the answer has ended within its bound, so that its connection may be used again.
async fn read_rest(answer: Response<Incoming>) -> bool {
    let mut body = answer.into_body();
    let mut left = limits::HANDLER_ANSWER_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let bytes = frame.ok().map(|frame| frame.data_ref().map_or(0, Bytes::len));
        match bytes.and_then(|bytes| left.checked_sub(bytes)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}
