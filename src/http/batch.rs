//! `POST /api/batch`: writes to records as one transaction, as JSON or as PocketBase's clients send it, in a form.
//!
//! Each request inside is what it would be alone: its method, its url with its parameters, its body, and of its headers
//! `If-Match` and `If-None-Match`. The others are not looked at: one caller sends them all, by the batch's own token. Only an
//! `Idempotency-Key` is refused there: it is the batch's, which is done as one.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::header::{IF_MATCH, IF_NONE_MATCH, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use crate::error::{Error, Result};
use crate::http::answer::{caller, json, query_pairs};
use crate::http::coding;
use crate::http::conditions::{create_only, if_match, refuse};
use crate::http::idempotency::{KEY, of_commit, once};
use crate::http::params::Params;
use crate::http::records::{showing, wanted};
use crate::http::request::{accepts_json, decoded, expect_json};
use crate::http::{App, Refusal, multipart};
use crate::limits;
use crate::model::command::Condition;
use crate::model::faults::Faults;
use crate::model::json::{checked_text, elements_up_to, members, text_of, write_i64};
use crate::service::batch::{Batch, failed, too_many};
use crate::service::writes::{Ask, Deed, Done};
use crate::service::{Asker, Caller};

/// `POST /api/batch`
pub(super) async fn batch(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let boundary = check_head(&head)?;
    let bytes_max = app.body_bytes_max.max(limits::TRANSACTION_BODY_BYTES_MAX);
    let body = coding::read(&head.headers, body, bytes_max, limits::BODY_TIME_MAX).await?;
    let payload = boundary.map_or(Ok(&*body), |boundary| multipart::payload(&body, boundary))?;
    let caller = caller_of(&app, &head, boundary.is_some());
    let once = once(&app, &caller, &head, payload)?;
    let written = each(&requests(payload)?, |raw| Written::read(raw))?;
    let inner = each(&written, |written| Inner::of(&app, &caller, written))?;
    let asks: Vec<Ask<'_>> = inner.iter().map(Inner::ask).collect();
    let batch = app.service.batch(&asks, once).await?;
    Ok(of_commit(json(answers(&batch)), batch.commit))
}

/// What can be refused before the body is read. The boundary, if it is a form.
fn check_head(head: &Parts) -> Result<Option<&str>> {
    accepts_json(&head.headers)?;
    refuse(&head.headers, &[IF_MATCH, IF_NONE_MATCH])?;
    Params::read(head.uri.query(), &[])?;
    let boundary = multipart::boundary(&head.headers)?;
    if boundary.is_none() {
        expect_json(&head.headers)?;
    }
    Ok(boundary)
}

/// Who sends a request, which may be a form's.
pub(super) fn caller_of(app: &App, head: &Parts, form: bool) -> Caller {
    let caller = caller(&head.extensions);
    if !form {
        return caller;
    }
    let origin = head.headers.get(ORIGIN).map(HeaderValue::as_bytes);
    app.service.caller_of_form(caller, origin)
}

/// What `make` gives for all of them, or the refusals of those that it refuses, as far as `limits::FAULTS_MAX`.
fn each<'a, T, M>(of: &'a [T], make: impl Fn(&'a T) -> Result<M>) -> Result<Vec<M>> {
    let mut made = Vec::with_capacity(of.len());
    let mut refused = Vec::new();
    for (at, one) in of.iter().enumerate() {
        match make(one) {
            Ok(one) => made.push(one),
            Err(error) => refused.push((at, error)),
        }
        if refused.len() >= limits::FAULTS_MAX {
            break;
        }
    }
    if refused.is_empty() { Ok(made) } else { Err(failed(refused)) }
}

/// The texts of the requests in `{"requests": […]}`.
fn requests(payload: &[u8]) -> Result<Vec<&str>> {
    let mut faults = Faults::default();
    let mut found = None;
    for (key, raw) in members(checked_text(payload)?)? {
        match &*key {
            "requests" if found.is_some() => faults.add("requests", "duplicate_key", "stands twice in the body"),
            "requests" => match elements_up_to(raw, limits::TRANSACTION_WRITES_MAX) {
                Some(elements) => found = Some(elements),
                None => faults.add("requests", "wrong_type", "must be a list"),
            },
            other => unknown(other, &mut faults),
        }
        if faults.full() {
            break;
        }
    }
    let found = found.unwrap_or_default();
    if found.is_empty() && faults.is_empty() {
        faults.add("requests", "required", "must have at least one request");
    }
    faults.into_result("the batch has faults")?;
    if found.len() > limits::TRANSACTION_WRITES_MAX { Err(too_many()) } else { Ok(found) }
}

fn unknown(key: &str, faults: &mut Faults) {
    let shown: String = key.chars().take(limits::NAME_BYTES_MAX).collect();
    faults.add(shown, "unknown_field", "is not known here");
}

/// A request inside, as it is written.
struct Written<'a> {
    method: Cow<'a, str>,
    url: Cow<'a, str>,
    /// Those that mean something.
    headers: HeaderMap,
    /// Text of JSON; `null` where there is none.
    body: &'a str,
}

impl<'a> Written<'a> {
    fn read(raw: &'a str) -> Result<Written<'a>> {
        let mut faults = Faults::default();
        let (mut method, mut url, mut headers, mut body) = (None, None, None, None);
        for (key, raw) in members(raw)? {
            let twice = match &*key {
                "method" => method.replace(a_text(&key, raw, &mut faults)).is_some(),
                "url" => url.replace(a_text(&key, raw, &mut faults)).is_some(),
                "headers" => headers.replace(conditions(raw, &mut faults)).is_some(),
                "body" => body.replace(raw).is_some(),
                other => {
                    unknown(other, &mut faults);
                    false
                }
            };
            if twice {
                faults.add(key, "duplicate_key", "stands twice in the request");
            }
            if faults.full() {
                break;
            }
        }
        for (name, given) in [("method", &method), ("url", &url)] {
            if given.is_none() {
                faults.add(name, "required", "is required");
            }
        }
        faults.into_result("the request has faults")?;
        let (method, url) = (method.unwrap_or_default(), url.unwrap_or_default());
        Ok(Written { method, url, headers: headers.unwrap_or_default(), body: body.unwrap_or("null") })
    }
}

fn a_text<'a>(key: &str, raw: &'a str, faults: &mut Faults) -> Cow<'a, str> {
    text_of(raw).unwrap_or_else(|| {
        faults.add(key, "wrong_type", "must be a text");
        Cow::Borrowed("")
    })
}

/// The conditions among a request's headers.
fn conditions(raw: &str, faults: &mut Faults) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if raw == "null" {
        return headers;
    }
    let Ok(members) = members(raw) else {
        faults.add("headers", "wrong_type", "must be an object of texts");
        return headers;
    };
    for (key, raw) in members {
        if key.eq_ignore_ascii_case(KEY.as_str()) {
            // Left unseen it would be a guard that is none.
            faults.add(
                format!("headers.{key}"),
                "misplaced",
                "the batch as a whole can have one, as a header of its own",
            );
        }
        let Some(name) = [IF_MATCH, IF_NONE_MATCH].into_iter().find(|name| key.eq_ignore_ascii_case(name.as_str()))
        else {
            continue;
        };
        match text_of(raw).and_then(|value| HeaderValue::from_str(&value).ok()) {
            Some(value) => drop(headers.append(name, value)),
            None => faults.add(format!("headers.{key}"), "wrong_type", "must be the text of a header"),
        }
    }
    headers
}

/// A request inside, understood.
struct Inner<'a> {
    asker: Asker,
    collection: Cow<'a, str>,
    call: Call<'a>,
    params: Params<'a>,
    if_match: Option<Condition>,
    create_only: bool,
    body: &'a [u8],
}

/// What it asks for, of which record.
enum Call<'a> {
    Create,
    Merge(Cow<'a, str>),
    Put(Option<Cow<'a, str>>),
    Delete(Cow<'a, str>),
}

impl<'a> Call<'a> {
    /// By its method and the id of its url. The method is given back as the rules know it.
    fn of(method: &str, id: Option<Cow<'a, str>>) -> Result<(&'static str, Call<'a>)> {
        match (method, id) {
            ("POST", None) => Ok(("POST", Call::Create)),
            ("PATCH", Some(id)) => Ok(("PATCH", Call::Merge(id))),
            ("PUT", id) => Ok(("PUT", Call::Put(id))),
            ("DELETE", Some(id)) => Ok(("DELETE", Call::Delete(id))),
            ("POST" | "PATCH" | "DELETE", _) => Err(nowhere()),
            _ => Err(wrong("method", "bad_method", "must be POST, PATCH, PUT or DELETE")),
        }
    }

    /// The conditions that it has no sense for.
    fn refused_headers(&self) -> &'static [HeaderName] {
        const BOTH: [HeaderName; 2] = [IF_NONE_MATCH, IF_MATCH];
        match self {
            Call::Create => &BOTH,
            Call::Merge(_) | Call::Delete(_) => &BOTH[..1],
            Call::Put(_) => &[],
        }
    }
}

impl<'a> Inner<'a> {
    fn of(app: &App, caller: &Caller, written: &'a Written<'a>) -> Result<Inner<'a>> {
        let (path, query) = match written.url.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*written.url, None),
        };
        let (collection, id) = place(path).ok_or_else(nowhere)?;
        let (method, call) = Call::of(&written.method, id)?;
        refuse(&written.headers, call.refused_headers())?;
        let params = match call {
            Call::Delete(_) => Params::read(query, &[])?,
            Call::Create | Call::Merge(_) | Call::Put(_) => showing(query)?,
        };
        // A client that always sends a body sends an empty one.
        let empty = |body| body == "null" || members(body).is_ok_and(|found| found.is_empty());
        if matches!(call, Call::Delete(_)) && !empty(written.body) {
            return Err(wrong("body", "bad_body", "must be empty for a DELETE"));
        }
        let (if_match, create_only) = (if_match(&written.headers)?, create_only(&written.headers)?);
        let asker = app.service.asker(caller.clone(), method, query_pairs(query));
        Ok(Inner { asker, collection, call, params, if_match, create_only, body: written.body.as_bytes() })
    }

    fn ask(&self) -> Ask<'_> {
        let (body, if_match) = (self.body, self.if_match.clone());
        let deed = match &self.call {
            Call::Create => Deed::Create { body },
            Call::Merge(id) => Deed::Merge { id, body, if_match },
            Call::Put(id) => Deed::Put { id: id.as_deref(), body, if_match, create_only: self.create_only },
            Call::Delete(id) => Deed::Delete { id, if_match },
        };
        Ask { asker: &self.asker, collection: &self.collection, wanted: wanted(&self.params), deed }
    }
}

/// The collection and the record's id of `/api/collections/{collection}/records[/{id}]`; a client may leave out the
/// first slash.
fn place(path: &str) -> Option<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    let rest = path.strip_prefix('/').unwrap_or(path).strip_prefix("api/collections/")?;
    let (collection, rest) = rest.split_once('/')?;
    let id = match rest.strip_prefix("records")? {
        "" => None,
        rest => Some(rest.strip_prefix('/').filter(|id| !id.is_empty() && !id.contains('/'))?),
    };
    let id = match id {
        None => None,
        Some(id) => Some(decoded(id, false)?),
    };
    Some((decoded(collection, false)?, id))
}

fn nowhere() -> Error {
    let message =
        "must be /api/collections/{collection}/records for POST and PUT, or …/records/{id} for PATCH, PUT and DELETE";
    wrong("url", "bad_url", message)
}

fn wrong(field: &'static str, code: &'static str, message: &str) -> Error {
    Error::invalid(format!("{field} {message}")).code(code).fault(field, code, message)
}

/// `[{status, body}]`, each as its request alone would be answered; null where that has no body.
fn answers(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 512 * batch.done.len());
    for (at, done) in batch.done.iter().enumerate() {
        let (status, body) = match done {
            Done::Stored(stored) if stored.created => (StatusCode::CREATED, Some(&stored.shown)),
            Done::Stored(stored) => (StatusCode::OK, Some(&stored.shown)),
            Done::Gone => (StatusCode::NO_CONTENT, None),
        };
        out.extend_from_slice(if at == 0 { b"[{\"status\":" } else { b",{\"status\":" });
        write_i64(&mut out, status.as_u16().into());
        out.extend_from_slice(b",\"body\":");
        match body {
            Some(shown) => out.extend_from_slice(&shown.body()),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_collection_and_maybe_a_record() {
        let table = [
            ("/api/collections/a/records", Some(("a", None))),
            ("api/collections/a/records/b", Some(("a", Some("b")))),
            ("/api/collections/%61/records/b%2Fc", Some(("a", Some("b/c")))),
            ("/api/collections/a/records/", None),
            ("/api/collections/a/records/b/", None),
            ("/api/collections/a/records/b/c", None),
            ("/api/collections/a/recordsb", None),
            ("/api/collections/a", None),
            ("//api/collections/a/records", None),
            ("https://there.example/api/collections/a/records", None),
            ("/api/collections/%zz/records", None),
            ("/api/collections/a/records/%ff", None),
            ("/api/batch", None),
            ("", None),
        ];
        for (path, expected) in table {
            let found = place(path);
            let found = found.as_ref().map(|(collection, id)| (&**collection, id.as_deref()));
            assert_eq!(found, expected, "{path}");
        }
    }
}
