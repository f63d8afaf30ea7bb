//! `POST /api/aggregate`, and `GET …/records/aggregate` for one source.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::error::Error;
use crate::http::answer::{asker, read, with_body};
use crate::http::params::Params;
use crate::http::records::words;
use crate::http::request::{accepts_json, min_seq, path_part};
use crate::http::{App, Refusal};
use crate::model::aggregate::{self, Texts};
use crate::service::aggregate::HOPS;
use crate::service::cache::Question;

/// Place of the collection in the path.
const COLLECTION: usize = 2;

const PARAMS: [&str; 9] = ["group", "values", "filter", "having", "sort", "limit", "timeout", "partial", "explain"];

/// `POST /api/aggregate`
pub(super) async fn of_sources(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let wanted = Arc::new(aggregate::read(&body)?);
    let is_asked_by_another = head.headers.contains_key(HOPS);
    if let Some(source) = wanted.sources.iter().find(|source| is_asked_by_another && source.remote.is_some()) {
        let (field, message) =
            (format!("sources.{}.url", source.name), "one server asks another, and that one no further");
        return Err(Error::invalid(message).code("too_many_hops").fault(field, "too_many_hops", message).into());
    }
    let asker = asker(&app, &head.extensions, &head.method, head.uri.query());
    // It was read, so it is text.
    let words = format!("{}\n{}", words(&head.uri), String::from_utf8_lossy(&body));
    let question = Question::of(&asker, &words);
    let answer = app.service.aggregate(&asker, &question, wanted, min_seq(&head.headers)?).await?;
    Ok(read(answer, &head.headers)?)
}

/// `GET …/records/aggregate`
pub(super) async fn of_one(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    accepts_json(headers)?;
    let params = Params::read(uri.query(), &PARAMS)?;
    let texts = Texts {
        group: params.filled("group"),
        values: params.filled("values"),
        filter: params.filled("filter"),
        having: params.filled("having"),
        sort: params.filled("sort"),
        timeout: params.filled("timeout"),
        limit: params.number("limit", usize::MAX)?,
        partial: params.switch("partial")?,
        explain: params.switch("explain")?,
    };
    let wanted = Arc::new(aggregate::of_texts(&path_part(uri.path(), COLLECTION)?, texts)?);
    let asker = asker(&app, request.extensions(), request.method(), uri.query());
    let question = Question::of(&asker, words(uri));
    let answer = app.service.aggregate(&asker, &question, wanted, min_seq(headers)?).await?;
    Ok(read(answer, headers)?)
}
