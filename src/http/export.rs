//! `GET …/{collection}/export`: records as NDJSON or CSV, written down first and then sent at the client's pace.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::{Error, Result};
use crate::http::answer::{asker, position, text};
use crate::http::params::{Params, wrong};
use crate::http::request::{SEQ, accepts, min_seq, path_part};
use crate::http::{App, Refusal};
use crate::model::lines::Form;
use crate::service::export::{Export, ExportRequest};

/// `GET …/export`
pub(super) async fn export(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    let params = Params::read(uri.query(), &["format", "filter", "fields"])?;
    let (form, kind, ending) = match params.filled("format") {
        None | Some("ndjson") => (Form::Ndjson, "application/x-ndjson", "ndjson"),
        Some("csv") => (Form::Csv, "text/csv", "csv"),
        Some(_) => return Err(wrong("format", "must be ndjson or csv").into()),
    };
    accepts(headers, kind)?;
    let collection = path_part(uri.path(), 2)?;
    let asker = asker(&app, request.extensions(), request.method(), uri.query());
    let (filter, fields) = (params.filled("filter"), params.filled("fields"));
    let wanted = ExportRequest { form, filter, fields, min: min_seq(headers)? };
    let export = app.service.export(&asker, &collection, wanted).await?;
    let at = position(export.position);
    // A collection's name is one of letters, digits and underscores.
    let name = format!("attachment; filename=\"{}.{ending}\"", export.collection);
    let mut response = Response::new(Body::new(Outbound::new(export)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_DISPOSITION, text(name));
    headers.insert(SEQ, at);
    Ok(response)
}

/// An export on its way out: read from its file as the client takes it, on threads that may wait for the disk.
struct Outbound {
    export: Option<Arc<Export>>,
    at: u64,
    len: u64,
    reading: Option<JoinHandle<Result<Bytes>>>,
}

impl Outbound {
    fn new(export: Export) -> Outbound {
        let len = export.bytes();
        Outbound { export: Some(Arc::new(export)), at: 0, len, reading: None }
    }
}

impl hyper::body::Body for Outbound {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.at == self.len {
            return Poll::Ready(None);
        }
        let at = self.at;
        let Some(export) = self.export.clone() else { return Poll::Ready(None) };
        let reading = self.reading.get_or_insert_with(|| spawn_blocking(move || export.read(at)));
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let bytes = read.map_err(|error| Error::internal("an export's file was not read").source(error))??;
        self.at += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.len
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len - self.at)
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        // The file goes with it, and a long one takes the disk some time.
        let export = self.export.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(export));
        }
    }
}
