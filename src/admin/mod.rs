//! Floor 6, the admin page: its files, built into the binary, under `/_/`. It knows no data and no caller: what the page
//! shows it asks of the API, with the token of whoever signed in.
//!
//! Invariant: the page runs nothing and asks nothing that isn't this server's (`POLICY`), so no file has markup or a script
//! in a place where the policy would have to allow more.

mod files;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use xxhash_rust::xxh3::xxh3_64;

use files::{FILES, File};

/// Where the page is.
const PLACE: &str = "/_/";

/// Where the reference of the API is: the same files show it, from `/api/openapi.json`.
const DOCS: &str = "/api/docs";

/// Only what this server serves: no inline script or style, no frame around the page, no form that leaves it, and no text
/// that becomes markup.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// A route for each file. Any other path below is nothing, like everywhere.
pub fn router() -> Router {
    let add = |router: Router, file: &'static File| {
        let tag = tag(file);
        let answer = move |headers: HeaderMap| std::future::ready(answer(file, &tag, &headers));
        router.route(&path(file), get(answer))
    };
    let moved = || std::future::ready((StatusCode::PERMANENT_REDIRECT, [(LOCATION, PLACE)]));
    FILES.iter().fold(Router::new().route("/_", get(moved)), add)
}

/// Paths of the files, as the router has them.
pub fn paths() -> Vec<String> {
    FILES.iter().map(path).collect()
}

fn path(file: &File) -> String {
    match file.name {
        "index.html" => PLACE.to_owned(),
        "docs.html" => DOCS.to_owned(),
        other => format!("{PLACE}{other}"),
    }
}

/// A file's version: the hash of what is in it.
fn tag(file: &File) -> String {
    format!("\"{:016x}\"", xxh3_64(file.content.as_bytes()))
}

fn answer(file: &'static File, tag: &str, headers: &HeaderMap) -> Response {
    let is_fresh = headers.get_all(IF_NONE_MATCH).iter().any(|given| names(given, tag));
    let mut response = if is_fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, file.kind())], file.content).into_response()
    };
    let mut put = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
    // Asked for anew each time, by its tag: a new binary's page is never mixed with an old one's.
    put(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    put(ETAG, HeaderValue::from_str(tag).expect("a hash in quotes makes a header"));
    put(CONTENT_SECURITY_POLICY, POLICY);
    put(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    put(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Whether `If-None-Match` names a tag, also in the form that it has in a coding: `"…+gzip"`.
fn names(given: &HeaderValue, tag: &str) -> bool {
    let opaque = tag.trim_matches('"');
    let is_it = |one: &str| {
        let one = one.trim().trim_start_matches("W/").trim_matches('"');
        one == "*" || one.split('+').next() == Some(opaque)
    };
    given.to_str().is_ok_and(|given| given.split(',').any(is_it))
}
