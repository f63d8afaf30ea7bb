//! What a message over a WebSocket asks for: `{"id", "op", …}`, and the text of its answer.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::error::Result;
use crate::http::idempotency::KEY;
use crate::http::inner::{Call, Reply};
use crate::http::request::MIN_SEQ;
use crate::id::{Mark, RecordId};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json::{checked_text, members, text_of, write_i64};
use crate::model::look::Wanted;
use crate::service::listen::Subscription;

/// What is asked for.
#[derive(Debug)]
pub(super) enum Op {
    Ping,
    Auth {
        token: Box<str>,
    },
    Subscribe {
        subscription: Box<Subscription>,
        since: Option<Mark>,
        snapshot: bool,
    },
    Unsubscribe {
        sub: Box<str>,
    },
    /// As over HTTP.
    Call(Call),
}

/// What may stand in a message beside `id` and `op`, as its text.
type Given<'a> = Vec<(&'a str, &'a str)>;

/// The id of a message as its JSON, `null` where it has none, and what it asks for.
pub(super) fn read(text: &str) -> (String, Result<Op>) {
    let members = match checked_text(text.as_bytes()).and_then(members) {
        Ok(members) => members,
        Err(error) => return ("null".to_owned(), Err(error)),
    };
    let id = members.iter().find(|(key, _)| *key == "id").map_or("null", |(_, raw)| *raw);
    let plain = id.len() <= limits::NAME_BYTES_MAX && !id.starts_with(['{', '[']);
    let mut faults = Faults::default();
    if !plain {
        faults.add("id", "wrong_type", "must be a number or a short text");
    }
    let op = of(&members.iter().map(|(key, raw)| (&**key, *raw)).collect(), &mut faults);
    let op = faults.into_result("the message has faults").and(op);
    (if plain { id.to_owned() } else { "null".to_owned() }, op)
}

fn of(given: &Given<'_>, faults: &mut Faults) -> Result<Op> {
    let op = text(given, "op", faults).unwrap_or_default();
    let known: &[&str] = match &*op {
        "ping" => &[],
        "auth" => &["token"],
        "subscribe" => &["sub", "collection", "record", "filter", "fields", "expand", "embed", "since", "snapshot"],
        "unsubscribe" => &["sub"],
        "list" => &["collection", "query", "headers"],
        "get" | "delete" => &["collection", "record", "query", "headers"],
        "create" => &["collection", "query", "headers", "body"],
        "update" => &["collection", "record", "query", "headers", "body"],
        "batch" => &["headers", "body"],
        _ => {
            let ops = "auth, batch, create, delete, get, list, ping, subscribe, unsubscribe or update";
            faults.add("op", "bad_op", format!("must be {ops}"));
            return Ok(Op::Ping);
        }
    };
    for (at, (key, _)) in given.iter().enumerate() {
        if !["id", "op"].contains(key) && !known.contains(key) {
            faults.add(
                key.chars().take(limits::NAME_BYTES_MAX).collect::<String>(),
                "unknown_field",
                "is not known here",
            );
        } else if given[..at].iter().any(|(before, _)| before == key) {
            faults.add(*key, "duplicate_key", "stands twice in the message");
        }
        if faults.full() {
            return Ok(Op::Ping);
        }
    }
    let need = |name: &'static str, faults: &mut Faults| match text(given, name, faults) {
        Some(text) if !text.is_empty() => text,
        _ => {
            faults.add(name, "required", "is required");
            "".into()
        }
    };
    Ok(match &*op {
        "ping" => Op::Ping,
        "auth" => Op::Auth { token: need("token", faults) },
        "unsubscribe" => Op::Unsubscribe { sub: need("sub", faults) },
        "subscribe" => subscribe(given, need("collection", faults), faults)?,
        "batch" => Op::Call(call(given, Method::POST, "/api/batch".to_owned(), faults)),
        name => {
            let mut path = format!("/api/collections/{}/records", escaped(&need("collection", faults)));
            if known.contains(&"record") {
                path.push('/');
                path.push_str(&escaped(&need("record", faults)));
            }
            let method = match name {
                "create" => Method::POST,
                "update" => Method::PATCH,
                "delete" => Method::DELETE,
                _ => Method::GET,
            };
            Op::Call(call(given, method, path, faults))
        }
    })
}

fn subscribe(given: &Given<'_>, collection: Box<str>, faults: &mut Faults) -> Result<Op> {
    let record = match text(given, "record", faults).as_deref() {
        None | Some("*") => None,
        Some(id) => RecordId::new(id).map_err(|error| faults.add("record", "bad_id", error.message())).ok(),
    };
    let since = text(given, "since", faults).and_then(|since| {
        since
            .parse()
            .map_err(|_| faults.add("since", "bad_position", "must be a position that this server gave out"))
            .ok()
    });
    let snapshot = match raw(given, "snapshot") {
        None | Some("false" | "null") => false,
        Some("true") => true,
        Some(_) => {
            faults.add("snapshot", "wrong_type", "must be true or false");
            false
        }
    };
    let [fields, expand, embed] = ["fields", "expand", "embed"].map(|name| text(given, name, faults));
    let wanted = Wanted { fields: fields.as_deref(), expand: expand.as_deref(), embed: embed.as_deref() };
    let subscription = Subscription {
        name: text(given, "sub", faults).unwrap_or_default(),
        collection,
        record,
        filter: text(given, "filter", faults).filter(|filter| !filter.is_empty()),
        wanted: wanted.into(),
        query: Vec::new(),
    };
    Ok(Op::Subscribe { subscription: Box::new(subscription), since, snapshot })
}

fn call(given: &Given<'_>, method: Method, path: String, faults: &mut Faults) -> Call {
    let mut target = path;
    for (at, (key, value)) in object(given, "query", faults).into_iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(&escaped(&key));
        target.push('=');
        target.push_str(&escaped(&value));
    }
    let mut headers = HeaderMap::new();
    for (key, value) in object(given, "headers", faults) {
        let known: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, KEY, MIN_SEQ];
        let name = known.into_iter().find(|name| key.eq_ignore_ascii_case(name.as_str()));
        match (name, HeaderValue::from_str(&value)) {
            (Some(name), Ok(value)) => drop(headers.insert(name, value)),
            (None, _) => faults.add(format!("headers.{key}"), "unknown_field", "means nothing here"),
            (_, Err(_)) => faults.add(format!("headers.{key}"), "wrong_type", "must be the text of a header"),
        }
    }
    let body = raw(given, "body").map(|body| body.as_bytes().to_vec()).unwrap_or_default();
    Call { method, target, headers, body: body.into() }
}

fn raw<'a>(given: &Given<'a>, name: &str) -> Option<&'a str> {
    given.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw)
}

fn text(given: &Given<'_>, name: &'static str, faults: &mut Faults) -> Option<Box<str>> {
    let raw = raw(given, name).filter(|raw| *raw != "null")?;
    let text = text_of(raw).map(|text| Box::from(&*text));
    if text.is_none() {
        faults.add(name, "wrong_type", "must be a text");
    }
    text
}

/// The members of an object, numbers and switches as they are written.
fn object(given: &Given<'_>, name: &'static str, faults: &mut Faults) -> Vec<(String, String)> {
    let Some(raw) = raw(given, name).filter(|raw| *raw != "null") else { return Vec::new() };
    let Ok(members) = members(raw) else {
        faults.add(name, "wrong_type", "must be an object");
        return Vec::new();
    };
    let value = |raw: &str| text_of(raw).map_or_else(|| raw.to_owned(), std::borrow::Cow::into_owned);
    members.iter().map(|(key, raw)| (key.to_string(), value(raw))).collect()
}

/// A text as a part of an address.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `{"id", "status", "body"}`, of a write also `seq`, of one record `etag`.
pub(super) fn answer(id: &str, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + reply.body.len());
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"status\":");
    write_i64(&mut out, reply.status.as_u16().into());
    for (name, value) in [("seq", &reply.seq), ("etag", &reply.etag)] {
        if let Some(value) = value {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            crate::model::json::write_text(&mut out, value);
        }
    }
    out.extend_from_slice(b",\"body\":");
    out.extend_from_slice(if reply.body.is_empty() { b"null" } else { &reply.body });
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_the_same_request_over_http_is() {
        let table = [
            (
                r#"{"id":1,"op":"list","collection":"a","query":{"filter":"n > 1","perPage":2}}"#,
                "GET",
                "/api/collections/a/records?filter=n%20%3E%201&perPage=2",
            ),
            (
                r#"{"id":"x","op":"get","collection":"a/b","record":"../c"}"#,
                "GET",
                "/api/collections/a%2Fb/records/..%2Fc",
            ),
            (r#"{"op":"create","collection":"a","body":{"n":1}}"#, "POST", "/api/collections/a/records"),
            (r#"{"op":"update","collection":"a","record":"r","body":{}}"#, "PATCH", "/api/collections/a/records/r"),
            (r#"{"op":"delete","collection":"a","record":"r"}"#, "DELETE", "/api/collections/a/records/r"),
            (r#"{"op":"batch","body":{"requests":[]}}"#, "POST", "/api/batch"),
        ];
        for (text, method, target) in table {
            let (_, op) = read(text);
            let Ok(Op::Call(call)) = op else { panic!("{text}: {op:?}") };
            assert_eq!((call.method.as_str(), call.target.as_str()), (method, target), "{text}");
        }
    }

    #[test]
    fn what_a_message_gets_wrong_is_named() {
        let table = [
            ("[]", "null", "bad_json"),
            (r#"{"id":7,"op":"fly"}"#, "7", "bad_op"),
            (r#"{"id":7}"#, "7", "bad_op"),
            (r#"{"id":{},"op":"ping"}"#, "null", "wrong_type"),
            (r#"{"id":7,"op":"get","collection":"a"}"#, "7", "required"),
            (r#"{"id":7,"op":"get","collection":"a","record":5}"#, "7", "wrong_type"),
            (r#"{"id":7,"op":"ping","body":1}"#, "7", "unknown_field"),
            (r#"{"id":7,"op":"list","collection":"a","headers":{"Cookie":"x"}}"#, "7", "unknown_field"),
            (r#"{"id":7,"op":"subscribe","collection":"a","since":"yesterday"}"#, "7", "bad_position"),
            (r#"{"id":7,"op":"subscribe","collection":"a","snapshot":1}"#, "7", "wrong_type"),
        ];
        for (text, id, code) in table {
            let (found, op) = read(text);
            let error = op.expect_err(text);
            let codes: Vec<_> = error.field_faults().iter().map(|fault| &*fault.code).collect();
            assert_eq!(found, id, "{text}");
            assert!(
                codes.contains(&code) || error.code_str() == code || code == "bad_json",
                "{text}: {error} {codes:?}"
            );
        }
    }
}
