//! `POST …/{collection}/import`: records as NDJSON or CSV, of any length: the body is handed on as it comes, and no more
//! of it is asked for than there is room for. One that is `atomic` may bear an `Idempotency-Key`; any other is many
//! commits, and no answer to all of them can be kept with one.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, watch};

use crate::error::{Error, Kind, Result};
use crate::http::answer::{asker, caller, json, position};
use crate::http::coding;
use crate::http::conditions::refuse;
use crate::http::idempotency::{KEY, claim, of_commit};
use crate::http::inbound::Pieces;
use crate::http::params::{Params, wrong};
use crate::http::problem::Done;
use crate::http::realtime::credential;
use crate::http::request::{SEQ, accepts_json, media_type, path_part};
use crate::http::{App, Refusal};
use crate::limits;
use crate::model::lines::Form;
use crate::service::import::{Ended, Piece, Terms};
use crate::service::once::Commit;

/// `POST …/import`
pub(super) async fn import(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let terms = terms(&head)?;
    let collection = path_part(head.uri.path(), 2)?;
    let asker = asker(&app, &head.extensions, &head.method, head.uri.query());
    let claim = claim(&app, &caller(&head.extensions), &head, name(terms.form))?;
    let import = app.service.import(&asker, &collection, terms, claim)?.known_by(credential(&head.headers));
    let (sender, pieces) = mpsc::channel(limits::IMPORT_QUEUE);
    let feeding = feed(Pieces::new(body, limits::BODY_WAIT_MAX), sender, app.stopping.clone());
    let (_, done) = tokio::join!(feeding, import.run_apart(pieces));
    match done {
        Ok(report) => {
            let commit = Commit { position: report.position, replayed: report.replayed };
            Ok(of_commit(json(Body::from(report.to_json().to_string())), commit))
        }
        Err(ended) => Ok(broken_off(*ended)),
    }
}

/// What can be refused before the body is read.
fn terms(head: &Parts) -> Result<Terms> {
    accepts_json(&head.headers)?;
    refuse(&head.headers, &[IF_MATCH, IF_NONE_MATCH])?;
    coding::refuse_coded(&head.headers)?;
    let params = Params::read(head.uri.query(), &["mode", "atomic"])?;
    let upsert = match params.filled("mode") {
        None | Some("insert") => false,
        Some("upsert") => true,
        Some(_) => return Err(wrong("mode", "must be insert or upsert")),
    };
    let atomic = params.switch("atomic")?;
    if head.headers.contains_key(KEY) && !atomic {
        let message =
            "an import with an Idempotency-Key must be one transaction: ask with atomic=true, or without the key";
        return Err(Error::invalid(message).code("bad_condition"));
    }
    Ok(Terms { form: form(&head.headers)?, upsert, atomic })
}

fn name(form: Form) -> &'static str {
    match form {
        Form::Ndjson => "ndjson",
        Form::Csv => "csv",
    }
}

/// What the body says that it is. One that says nothing is refused, as everywhere.
fn form(headers: &HeaderMap) -> Result<Form> {
    match media_type(headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes)).as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Form::Ndjson),
        "text/csv" => Ok(Form::Csv),
        _ => {
            let message =
                "the body must be lines of JSON, with Content-Type: application/x-ndjson, or CSV, with text/csv";
            Err(Error::new(Kind::UnsupportedMedia, message))
        }
    }
}

/// Hands the body on until its end, or until nobody takes it any more.
async fn feed(mut body: Pieces, to: mpsc::Sender<Piece>, mut stopping: watch::Receiver<bool>) {
    loop {
        let next = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err(stop()),
            () = to.closed() => return,
            next = body.next() => next,
        };
        let (piece, last) = match next {
            Ok(Some(bytes)) => (Piece::Bytes(bytes), false),
            Ok(None) => (Piece::End, true),
            Err(error) => (Piece::Broken(error), true),
        };
        if to.send(piece).await.is_err() || last {
            return;
        }
    }
}

fn stop() -> Error {
    Error::new(Kind::Unavailable, "the server is stopping").code("stopping")
}

/// The answer to one that ended early: why, and what was done before.
fn broken_off(ended: Ended) -> Response {
    let Ended { error, report } = ended;
    let mut response = Refusal::from(error).into_response();
    if report.created + report.updated > 0 {
        response.headers_mut().insert(SEQ, position(report.position));
    }
    // Faults of columns have names of their own, and nothing was done before them.
    let told = report.lines > 0
        || response.extensions().get::<Refusal>().is_some_and(|Refusal(error)| error.field_faults().is_empty());
    if told {
        response.extensions_mut().insert(Done(report.to_json()));
    }
    response
}
