//! What a handler of kind `webhook`, or a job, says of where and how it sends.
//!
//! Whether an address may be connected to is not judged here but when it is connected to: a name may come to mean another.

use serde_json::Value as Json;

use super::read::Stored;
use super::{Secret, Webhook};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::value::Value;

/// Headers that the server makes itself, or that are of the connection and not of the message.
const RESERVED: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
];

/// What a definition says of a webhook.
#[derive(Debug, Default)]
pub(in crate::model) struct Said<'a> {
    /// Before the names of what has faults: `task.webhook.`.
    pub(in crate::model) path: &'a str,
    pub(in crate::model) url: Option<&'a str>,
    pub(in crate::model) secret: Option<&'a str>,
    pub(in crate::model) headers: Option<Json>,
    pub(in crate::model) timeout_seconds: Option<u64>,
}

impl<'a> Said<'a> {
    /// Of a record of `_handlers`.
    pub(super) fn by(stored: Stored<'a>) -> Said<'a> {
        let timeout_seconds = match stored.get("timeout") {
            Value::Int(seconds) => u64::try_from(*seconds).ok(),
            _ => None,
        };
        let (url, secret) = (stored.text("url"), stored.text("secret"));
        Said { path: "", url, secret, headers: stored.json("headers"), timeout_seconds }
    }

    /// `None` only with a fault.
    pub(in crate::model) fn read(self, faults: &mut Faults) -> Option<Webhook> {
        let (url, secret) = (self.url(faults), self.secret(faults));
        let headers = self.headers(faults);
        let timeout_seconds = self.timeout_seconds.unwrap_or(limits::HANDLER_TIMEOUT_SECONDS);
        Some(Webhook { url: url?, secret: secret?, headers, timeout_seconds })
    }

    fn url(&self, faults: &mut Faults) -> Option<url::Url> {
        let path = format!("{}url", self.path);
        let Some(text) = self.url else {
            faults.add(path, "required", "is where messages are sent");
            return None;
        };
        match url::Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                faults.add(path, "invalid", "begins with http:// or https:// and names a host");
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                faults.add(path, "invalid", "has no user and no password: send an authorization header");
            }
            Ok(url) if url.fragment().is_some() => {
                faults.add(path, "invalid", "has no fragment: it would not be sent");
            }
            Ok(url) => return Some(url),
            Err(error) => faults.add(path, "invalid", error.to_string()),
        }
        None
    }

    fn secret(&self, faults: &mut Faults) -> Option<Secret> {
        let Some(text) = self.secret else {
            faults.add("secret", "required", "signs what is sent: whsec_ and the base64 of 24 to 64 random bytes");
            return None;
        };
        let secret = Secret::read(text);
        if secret.is_none() {
            faults.add("secret", "invalid", "is whsec_ and the base64 of 24 to 64 bytes");
        }
        secret
    }

    fn headers(&self, faults: &mut Faults) -> Vec<(Box<str>, Box<str>)> {
        let object = match &self.headers {
            None | Some(Json::Null) => return Vec::new(),
            Some(Json::Object(object)) if object.len() <= limits::HANDLER_HEADERS_MAX => object,
            Some(_) => {
                let message = format!("is an object of at most {} texts by their names", limits::HANDLER_HEADERS_MAX);
                faults.add(format!("{}headers", self.path), "invalid", message);
                return Vec::new();
            }
        };
        let mut headers = Vec::with_capacity(object.len());
        for (name, value) in object {
            let path = format!("{}headers.{name}", self.path);
            let lower = name.to_ascii_lowercase();
            if !is_token(name) {
                faults.add(path, "invalid", "is no name of a header");
            } else if RESERVED.contains(&&*lower) || lower.starts_with("webhook-") {
                faults.add(path, "not_here", "is a header of the server's own");
            } else if let Some(value) = value.as_str().filter(|value| is_value(value)) {
                headers.push((lower.into(), value.into()));
            } else {
                faults.add(path, "invalid", "is a text of visible ASCII characters and spaces");
            }
        }
        headers
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX && name.bytes().all(is_token)
}

fn is_value(value: &str) -> bool {
    value.len() <= limits::HANDLER_HEADER_BYTES_MAX && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
