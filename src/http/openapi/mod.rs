//! `GET /api/openapi.json` and `GET /api/types.d.ts`: what the API is, for people and for programs that write clients.
//!
//! The document is made of the table of calls (`calls.json`, which a test holds to the route table), of what they share
//! (`components.json`), and of the collections that the caller may be told of. It knows nothing that isn't in these.

mod calls;
mod document;
mod example;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;

use crate::http::answer::{caller, json};
use crate::http::params::Params;
use crate::http::request::{accepts, accepts_json};
use crate::http::{App, Refusal};

/// `GET /api/openapi.json`
pub(super) async fn openapi(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &[])?;
    let described = app.service.described(&caller(request.extensions()));
    let document = document::document(&described);
    let mut response = json(serde_json::to_vec(&document).expect("texts and numbers always make JSON"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /api/types.d.ts`
pub(super) async fn types(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    const KIND: &str = "text/plain";
    accepts(request.headers(), KIND)?;
    Params::read(request.uri().query(), &[])?;
    let mut response = Response::new(app.service.types(&caller(request.extensions()))?.into());
    // What browsers show as text; the media type of TypeScript is that of a kind of video.
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
