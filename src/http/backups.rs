//! The calls under `/api/backups`, in PocketBase's shape, and the token by which a browser fetches one. Superusers only.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::{Error, Kind, Result};
use crate::http::answer::{caller, json, text};
use crate::http::batch::caller_of;
use crate::http::coding;
use crate::http::form::Form;
use crate::http::inbound::Pieces;
use crate::http::params::Params;
use crate::http::realtime::{Waited, shown};
use crate::http::request::{accepts_json, media_type, path_part};
use crate::http::{App, Refusal, multipart};
use crate::limits;
use crate::service::backups::{Landing, Outgoing};

/// Place of a backup's name in the path.
const KEY: usize = 2;
/// The field of a form that bears a backup.
const FILE: &str = "file";

/// `GET /api/backups`
pub(super) async fn list(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &["fields"])?;
    Ok(json(app.service.backups(caller(request.extensions())).await?))
}

/// `POST /api/backups`: answered when it is made.
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = coding::read(&head.headers, body, app.body_bytes_max, limits::BODY_TIME_MAX).await?;
    app.service.make_backup(caller(&head.extensions), &body).await?;
    Ok(done())
}

/// `POST /api/backups/upload`: the file of any length, as the body with `?name=NAME`, or as PocketBase's clients send it, in
/// the field `file` of a form, by the name it has there.
pub(super) async fn upload(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let params = Params::read(head.uri.query(), &["name"])?;
    let boundary = multipart::boundary(&head.headers)?;
    let caller = caller_of(&app, &head, boundary.is_some());
    let landing = app.service.receive_backup(caller)?;
    coding::refuse_coded(&head.headers)?;
    let pieces = Pieces::new(body, limits::BODY_WAIT_MAX);
    match boundary {
        Some(boundary) => of_form(landing, Form::new(pieces, boundary), params.filled("name")).await?,
        None => of_body(landing, pieces, &head, params.filled("name")).await?,
    }
    Ok(done())
}

async fn of_body(landing: Landing, mut pieces: Pieces, head: &Parts, name: Option<&str>) -> Result<(), Refusal> {
    let mut upload = landing.begin(name.unwrap_or_default()).await?;
    if media_type(head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes)) != "application/octet-stream" {
        let message = "the body is the backup's file, with Content-Type: application/octet-stream, or a form with it";
        return Err(Error::new(Kind::UnsupportedMedia, message).into());
    }
    while let Some(piece) = pieces.next().await? {
        upload = on_disk(move || upload.write(&piece).map(|()| upload)).await?;
    }
    Ok(on_disk(move || upload.finish()).await?)
}

/// Nothing is kept before the whole form has come.
async fn of_form(landing: Landing, mut form: Form, name: Option<&str>) -> Result<(), Refusal> {
    let missing = || {
        let message = "the form has no field file with the backup";
        Error::invalid(message).code("required").fault("file", "required", "is required")
    };
    let part = form.next().await?.ok_or_else(missing)?;
    let (FILE, Some(filename)) = (&*part.name, &part.filename) else { return Err(misplaced(&part.name).into()) };
    let mut upload = landing.begin(name.unwrap_or(filename)).await?;
    while let Some(piece) = form.piece().await? {
        upload = on_disk(move || upload.write(&piece).map(|()| upload)).await?;
    }
    match form.next().await? {
        Some(part) => Err(misplaced(&part.name).into()),
        None => Ok(on_disk(move || upload.finish()).await?),
    }
}

fn misplaced(name: &str) -> Error {
    let name: String = name.chars().take(limits::NAME_BYTES_MAX).collect();
    let why = "the form has the field file, with a file, and nothing else";
    Error::invalid(format!("the part {name:?} has no place: {why}")).code("unknown_part").fault(
        name,
        "unknown_part",
        why,
    )
}

/// `GET /api/backups/{key}?token=`
pub(super) async fn download(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let params = Params::read(request.uri().query(), &["token"])?;
    let (caller, _) = shown(&app, &params, request.extensions(), request.headers())?;
    let key = path_part(request.uri().path(), KEY)?;
    let outgoing = app.service.send_backup(caller, &key).await?;
    Ok(sent(&key, "application/octet-stream", outgoing))
}

/// A file on its way, by a name that needs no escape.
pub(super) fn sent(name: &str, kind: &'static str, outgoing: Outgoing) -> Response {
    let mut response = Response::new(Body::new(Sent { outgoing: Arc::new(outgoing), at: 0, reading: None }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_DISPOSITION, text(format!("attachment; filename=\"{name}\"")));
    response
}

/// `DELETE /api/backups/{key}`
pub(super) async fn remove(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let key = path_part(request.uri().path(), KEY)?;
    app.service.drop_backup(caller(request.extensions()), &key).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/backups/{key}/restore`: answered when the server is about to start again on it.
pub(super) async fn restore(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let key = path_part(request.uri().path(), KEY)?;
    app.service.restore_backup(caller(request.extensions()), &key).await?;
    Ok(done())
}

fn done() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(Waited);
    response
}

async fn on_disk<T: Send + 'static>(run: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(run).await.map_err(|error| Error::internal("a backup was cut short").source(error))?
}

/// A backup on its way out: read as the client takes it, on threads that may wait for the disk.
struct Sent {
    outgoing: Arc<Outgoing>,
    at: u64,
    reading: Option<JoinHandle<Result<Bytes>>>,
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.at == self.outgoing.bytes {
            return Poll::Ready(None);
        }
        let (at, outgoing) = (self.at, self.outgoing.clone());
        let reading = self.reading.get_or_insert_with(|| spawn_blocking(move || outgoing.read(at)));
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let bytes = read.map_err(|error| Error::internal("a backup was not read").source(error))??;
        self.at += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.outgoing.bytes
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.outgoing.bytes - self.at)
    }
}
