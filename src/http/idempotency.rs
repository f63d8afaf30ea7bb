//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a write that bears it is done once.
//!
//! What tells a write from another: caller, method, path and key name it; the body, the conditions and the parameters
//! that have a say in what is written must then be the same. What only says how the answer looks may differ.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use crate::error::{Error, Result};
use crate::http::App;
use crate::http::request::SEQ;
use crate::limits;
use crate::model::once::Once;
use crate::service::Caller;
use crate::service::once::{Claim, Commit, Keyed};

/// Of a request.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Of an answer to what had been done before: `true`.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Parameters that say how an answer looks.
const LOOKS: [&str; 3] = ["fields", "expand", "embed"];

/// What a write is to be known by, if it bears a key.
///
/// # Errors
/// `Invalid` with code `bad_idempotency_key` for what is none.
pub(super) fn once(app: &App, caller: &Caller, head: &Parts, body: &[u8]) -> Result<Option<Once>> {
    keyed(head, body, |keyed| Ok(app.service.once(caller, keyed)))
}

/// The same of a write whose body is read as it comes; `form` is what the body is.
///
/// # Errors
/// As [`once`]; `Conflict` while somebody is at it.
pub(super) fn claim(app: &App, caller: &Caller, head: &Parts, form: &str) -> Result<Option<Claim>> {
    keyed(head, form.as_bytes(), |keyed| app.service.claim(caller, keyed))
}

fn keyed<T>(head: &Parts, last: &[u8], then: impl FnOnce(Keyed<'_>) -> Result<T>) -> Result<Option<T>> {
    let Some(key) = key(&head.headers)? else { return Ok(None) };
    let condition = |name| head.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    let query = said(head.uri.query().unwrap_or_default());
    let parts = [condition(&IF_MATCH), condition(&IF_NONE_MATCH), query.as_bytes(), last];
    let (method, path) = (head.method.as_str(), head.uri.path());
    then(Keyed { method, path, key, parts: &parts }).map(Some)
}

/// The parameters of a query that say more than how the answer looks.
fn said(query: &str) -> String {
    let looks = |pair: &&str| LOOKS.contains(&pair.split('=').next().unwrap_or_default());
    query.split('&').filter(|pair| !looks(pair)).collect::<Vec<_>>().join("&")
}

/// The key: visible ASCII, as it is or, as the draft has it, in quotes.
fn key(headers: &HeaderMap) -> Result<Option<&[u8]>> {
    let mut lines = headers.get_all(KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let given = line.as_bytes().trim_ascii();
    let key = given.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(given);
    let fits = (1..=limits::IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len());
    let clean = key.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    if lines.next().is_none() && fits && clean {
        return Ok(Some(key));
    }
    let max = limits::IDEMPOTENCY_KEY_BYTES_MAX;
    let message = format!("Idempotency-Key must be given once, 1 to {max} visible ASCII characters without \" and \\");
    Err(Error::invalid(message).code("bad_idempotency_key"))
}

/// An answer to a write, with what is said of its commit.
pub(super) fn of_commit(mut response: Response, commit: Commit) -> Response {
    let headers = response.headers_mut();
    headers.insert(SEQ, super::answer::position(commit.position));
    if commit.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |value: &&str| (KEY, HeaderValue::from_bytes(value.as_bytes()).expect("a header"));
        values.iter().map(value).fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
    }

    #[test]
    fn a_key_is_visible_ascii_or_refused() {
        let longest = "x".repeat(255);
        for (text, expected) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("\"8e03978e\"", "8e03978e"),
            (" a ", "a"),
            ("~!{}", "~!{}"),
            (&longest, &longest),
            (&format!("\"{longest}\""), &longest),
        ] {
            assert_eq!(key(&headers(&[text])).expect(text), Some(expected.as_bytes()), "{text}");
        }
        assert_eq!(key(&HeaderMap::new()).expect("none"), None);
        let long = "x".repeat(256);
        for bad in ["", "\"\"", "\"", "a b", "\"a b\"", "a\"b", "\"a", "a\"", "a\\b", "ä", "a\tb", &long] {
            assert_eq!(key(&headers(&[bad])).expect_err(bad).code_str(), "bad_idempotency_key", "{bad}");
        }
        assert!(key(&headers(&["a", "a"])).is_err());
    }

    #[test]
    fn only_what_says_more_than_the_look_counts() {
        let table = [
            ("", ""),
            ("fields=id&expand=user", ""),
            ("mode=upsert&fields=id", "mode=upsert"),
            ("fieldsy=1&embed", "fieldsy=1"),
        ];
        for (query, expected) in table {
            assert_eq!(said(query), expected, "{query}");
        }
    }
}
