//! What handlers read from a request's line and headers: its id, the parts of its path, media types.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, Kind, Result};
use crate::id::{Mark, Position};
use crate::service::ids;

/// Both ways: the client's own id, or ours.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The position of a commit, on every answer to a write.
pub(super) const SEQ: HeaderName = HeaderName::from_static("millpond-seq");
/// The position a read waits for.
pub(super) const MIN_SEQ: HeaderName = HeaderName::from_static("millpond-min-seq");

/// A client's own request id, bytes at most.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The request's id: the client's own if it is 1 to 64 of `A-Z a-z 0-9 _ -`, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    match headers.get(REQUEST_ID) {
        Some(given) if is_sane(given.as_bytes()) => given.clone(),
        _ => new_request_id(),
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A random word for this process and a count: unique without asking the system each time.
pub(super) fn new_request_id() -> HeaderValue {
    /// Without random bytes the ids are only less distinct from those of other processes.
    static PROCESS: LazyLock<[u8; 8]> = LazyLock::new(|| ids::word().unwrap_or(*b"00000000"));
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let mut id = [0; 21];
    id[..8].copy_from_slice(&*PROCESS);
    ids::base32(COUNT.fetch_add(1, Ordering::Relaxed).into(), &mut id[8..]);
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&id)).expect("letters and digits make a header")
}

/// The `number`-th part of the path, decoded. The path has been matched by the route table, so the part is there.
///
/// # Errors
/// `Invalid` for an escape that is none, or that does not give UTF-8.
pub(super) fn path_part(path: &str, number: usize) -> Result<std::borrow::Cow<'_, str>> {
    let part = path.split('/').nth(number + 1).unwrap_or_default();
    decoded(part, false).ok_or_else(|| Error::invalid("the path holds a broken escape").code("bad_path"))
}

/// Undoes percent-escapes, strictly: `None` for a broken one or for bytes that are no UTF-8.
pub(super) fn decoded(text: &str, plus_is_space: bool) -> Option<std::borrow::Cow<'_, str>> {
    let plain = |byte: u8| byte != b'%' && (byte != b'+' || !plus_is_space);
    if text.bytes().all(plain) {
        return Some(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push((high * 16 + low) as u8);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().map(Into::into)
}

/// # Errors
/// `UnsupportedMedia` unless the body says that it is JSON. One that says nothing is refused too: a browser sends such
/// a body for any page to any server without asking, and a JSON one only after asking.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<()> {
    let given = media_type(headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes));
    if ["application/json", "application/merge-patch+json"].contains(&given.as_str()) {
        return Ok(());
    }
    Err(Error::new(Kind::UnsupportedMedia, "the body must be JSON, with Content-Type: application/json"))
}

/// The media type of a body without its parameters, in lower case; empty where there is none.
pub(super) fn media_type(content_type: Option<&[u8]>) -> String {
    let essence = content_type.unwrap_or_default().split(|byte| *byte == b';').next().unwrap_or_default();
    String::from_utf8_lossy(essence.trim_ascii()).to_ascii_lowercase()
}

/// # Errors
/// `NotAcceptable` when `Accept` is there and leaves no room for JSON.
pub(super) fn accepts_json(headers: &HeaderMap) -> Result<()> {
    accepts(headers, "application/json")
}

/// As [`accepts_json`], for a kind of JSON with a name of its own, or another type.
///
/// # Errors
/// As there.
pub(super) fn accepts(headers: &HeaderMap, kind: &'static str) -> Result<()> {
    let takes = |range| takes(range, kind);
    let mut lines = headers.get_all(ACCEPT).iter().peekable();
    if lines.peek().is_none() || lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(takes)) {
        return Ok(());
    }
    Err(Error::new(Kind::NotAcceptable, format!("only {kind} can be served")))
}

/// Whether one media range of `Accept` takes a type with a weight over 0. Who takes JSON takes every kind of it.
fn takes(range: &[u8], kind: &str) -> bool {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let essence = parts.next().unwrap_or_default();
    let family = kind.split('/').next().unwrap_or_default();
    let general = if family == "application" { "application/json" } else { kind };
    let all = format!("{family}/*");
    let ranges = [&b"*/*"[..], all.as_bytes(), general.as_bytes(), kind.as_bytes()];
    let refused = |part: &[u8]| {
        let weight = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="));
        weight.is_some_and(|weight| !weight.is_empty() && weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
    };
    ranges.iter().any(|known| essence.eq_ignore_ascii_case(known)) && !parts.any(refused)
}

/// Whether the request has a `Millpond-Min-Seq`.
pub(super) fn asks_min_seq(headers: &HeaderMap) -> bool {
    headers.contains_key(MIN_SEQ)
}

/// `Millpond-Min-Seq`.
///
/// # Errors
/// `Invalid` for what is no position.
pub(super) fn min_seq(headers: &HeaderMap) -> Result<Option<Position>> {
    let Some(given) = headers.get(MIN_SEQ) else { return Ok(None) };
    // What a stream gives out names a place within an entry.
    given.to_str().unwrap_or_default().parse().map(|mark: Mark| Some(mark.position))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header"))])
    }

    #[test]
    fn a_sane_request_id_is_kept_and_others_are_replaced() {
        for sane in ["a", "A-z_09", &"x".repeat(64)] {
            assert_eq!(request_id(&headers(REQUEST_ID, sane)), sane);
        }
        for other in ["", "a b", "<x>", "ä", &"x".repeat(65)] {
            let id = request_id(&headers(REQUEST_ID, other));
            assert_ne!(id, other);
            assert!(is_sane(id.as_bytes()), "{id:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn path_parts_are_decoded_strictly() {
        let table = [
            ("/api/collections/a%2Fb/records", Some("a/b")),
            ("/api/collections/%C3%A4/records", Some("ä")),
            ("/api/collections/a+b/records", Some("a+b")),
            ("/api/collections/a%2/records", None),
            ("/api/collections/%zz/records", None),
            ("/api/collections/%+1/records", None),
            ("/api/collections/%ff/records", None),
        ];
        for (path, expected) in table {
            assert_eq!(path_part(path, 2).ok().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn only_json_bodies_are_taken() {
        for good in ["application/json", "Application/JSON ; charset=utf-8", "application/merge-patch+json"] {
            assert!(expect_json(&headers(CONTENT_TYPE, good)).is_ok(), "{good}");
        }
        for bad in ["", "text/plain", "application/jsonp", "application/x-www-form-urlencoded", "json"] {
            assert!(expect_json(&headers(CONTENT_TYPE, bad)).is_err(), "{bad}");
        }
        assert!(expect_json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn json_is_served_only_where_it_is_accepted() {
        assert!(accepts_json(&HeaderMap::new()).is_ok());
        for good in ["*/*", "text/html, */*;q=0.8", "application/json", "APPLICATION/*", "application/json; q=0.1"] {
            assert!(accepts_json(&headers(ACCEPT, good)).is_ok(), "{good}");
        }
        for bad in ["text/html", "application/json;q=0", "application/json; q=0.000, text/*", "application/xml", ""] {
            assert!(accepts_json(&headers(ACCEPT, bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_minimum_is_a_position_or_refused() {
        assert_eq!(min_seq(&HeaderMap::new()).expect("none"), None);
        let given = min_seq(&headers(MIN_SEQ, "1-0000000a-7")).expect("a position").expect("given");
        assert_eq!(given.to_string(), "1-0000000a-7");
        for bad in ["", "7", "1-a-7", "ä"] {
            assert!(min_seq(&headers(MIN_SEQ, bad)).is_err(), "{bad}");
        }
    }
}
