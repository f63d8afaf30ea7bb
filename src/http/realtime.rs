//! The calls under `/api/realtime`: a stream by one call, or as PocketBase's clients have it, first the stream, then what
//! it is for; and `GET /api/changes`, the same as pages.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use crate::error::{Error, Kind, Result};
use crate::http::answer::{asker, caller, json, position, text, with_body};
use crate::http::connection::told;
use crate::http::edge::Address;
use crate::http::events::{self, Stream, Way, connected, heartbeat, ready_frame, reset_frame};
use crate::http::params::{Params, wrong};
use crate::http::request::{SEQ, accepts, accepts_json, decoded};
use crate::http::{App, Refusal};
use crate::id::Mark;
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json::{checked_text, elements_up_to, members, text_of, write_text};
use crate::model::look::Wanted;
use crate::service::Caller;
use crate::service::listen::changes::{ChangesRequest, Since};
use crate::service::listen::{Begin, Form, Notice, Subscription};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Set on an answer that was waited for on purpose: it is not slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited;

/// What a client shows itself by.
pub(super) fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).filter(|given| !given.is_empty())
}

/// Who opens a stream, and what it showed for that: what stands in the address, or in a header.
///
/// # Errors
/// `Unauthenticated` for a token in the address that is not good.
pub(super) fn shown(
    app: &App,
    params: &Params<'_>,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Result<(Caller, Option<Vec<u8>>)> {
    match params.filled("token") {
        Some(token) => {
            let (caller, usual) = app.service.caller_of_stream_token(token)?;
            Ok((caller, Some(usual.into_bytes())))
        }
        None => Ok((caller(extensions), credential(headers).map(<[u8]>::to_vec))),
    }
}

/// `GET /api/realtime`
pub(super) async fn connect(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    accepts(headers, events::KIND)?;
    let known = ["subscribe", "filter", "since", "snapshot", "token", "fields", "expand", "embed"];
    let params = Params::read(uri.query(), &known)?;
    let (caller, credential) = shown(&app, &params, request.extensions(), headers)?;
    let listener =
        app.service.listener(Form::Events, caller, credential.as_deref(), counted(&app, request.extensions()))?;
    // What a client of another kind of server was given last is no mark of ours.
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse::<Mark>().ok());
    let stopping = app.stopping.clone();
    let (way, heartbeat_time) = (Way::Plain, app.heartbeat);
    let mut stream = Stream { listener, way, first: Vec::new(), snapshot: None, stopping, heartbeat_time };
    let Some(wanted) = params.filled("subscribe") else {
        let alone = ["filter", "since", "snapshot", "fields", "expand", "embed"];
        if let Some(name) = alone.into_iter().find(|name| params.get(name).is_some()) {
            return Err(wrong(name, "goes with subscribe").into());
        }
        stream.way = Way::Named;
        stream.first = connected(&app.service.name_stream(&stream.listener, last)?);
        // A browser that comes again says what it was given last: from the beginning that is a place.
        stream.first.extend(heartbeat(last.unwrap_or_else(|| stream.listener.at())));
        return Ok(stream.response());
    };
    let since = params.filled("since").map(|text| text.parse::<Mark>().map_err(|_| bad_since())).transpose()?;
    let subscriptions = subscriptions(wanted, &params, uri.query())?;
    let (snapshot, mut stopping) = (params.switch("snapshot")?, app.stopping.clone());
    tokio::select! {
        begun = begin(&mut stream, subscriptions, last.or(since), snapshot) => begun?,
        () = told(&mut stopping) => return Err(is_stopping().into()),
    }
    Ok(stream.response())
}

/// The address that a stream counts for, if for any.
pub(super) fn counted(app: &App, extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Address>().and_then(|Address(address)| app.crowd.counted(*address))
}

fn is_stopping() -> Error {
    Error::new(Kind::Unavailable, "the server is stopping").code("stopping")
}

/// Has a stream of one call listen, from where it was left or from now.
async fn begin(
    stream: &mut Stream,
    subscriptions: Vec<Subscription>,
    from: Option<Mark>,
    snapshot: bool,
) -> Result<()> {
    let listener = &stream.listener;
    if let Some(mark) = from {
        match listener.subscribe_to_all(subscriptions.clone(), Begin::Behind(mark)) {
            Ok(()) => {
                stream.first = if snapshot { ready_frame(mark) } else { heartbeat(mark) };
                return Ok(());
            }
            Err(error) if error.kind() == Kind::Gone => {}
            Err(error) => return Err(error),
        }
    }
    if snapshot {
        stream.snapshot = Some(listener.subscribe_with_snapshot(subscriptions).await?);
    } else {
        listener.subscribe_to_all(subscriptions, Begin::Now)?;
    }
    let mark = stream.snapshot.as_ref().map_or_else(|| listener.at(), |snapshot| snapshot.mark);
    if from.is_some() {
        let notice = Notice { subscription: None, reason: "log_trimmed", mark, last: false };
        reset_frame(&notice, &mut stream.first);
    } else if !snapshot {
        stream.first = heartbeat(mark);
    }
    Ok(())
}

/// `orders/*,users/ID`, each with what the other parameters say.
fn subscriptions(wanted: &str, params: &Params<'_>, query: Option<&str>) -> Result<Vec<Subscription>> {
    let look = Wanted { fields: params.filled("fields"), expand: params.filled("expand"), embed: params.get("embed") };
    let query = crate::http::answer::query_pairs(query);
    // A token is nobody's to ask a rule for; and those who differ only in where they begin see the same.
    let own = ["token", "subscribe", "since", "snapshot"];
    let pairs: Vec<_> = query.get().iter().filter(|(name, _)| !own.contains(&&**name)).cloned().collect();
    let one = |place: &str| {
        let subscription = Subscription::of(place.trim())?;
        let filter = params.filled("filter").map(Box::from);
        Ok(Subscription { filter, wanted: look.into(), query: pairs.clone(), ..subscription })
    };
    wanted.split(',').map(one).collect()
}

/// `POST /api/realtime`
pub(super) async fn subscribe(State(app): State<App>, request: Request) -> Result<StatusCode, Refusal> {
    let (head, body) = with_body(&app, request).await?;
    Params::read(head.uri.query(), &[])?;
    let (client, subscriptions) = asked(&body)?;
    let (listener, from) = app.service.stream_of(&client)?;
    let caller = caller(&head.extensions);
    if caller != Caller::Anonymous || listener.caller() != Caller::Anonymous {
        listener.bind(caller, credential(&head.headers))?;
    }
    let begin = from.map_or(Begin::Now, Begin::Behind);
    match listener.subscribe_to_all(subscriptions.clone(), begin) {
        // Of a client that was away for too long.
        Err(error) if from.is_some() && error.kind() == Kind::Gone => {
            listener.subscribe_to_all(subscriptions, Begin::Now)?;
            listener.tell_reset();
        }
        done => done?,
    }
    app.service.stream_begun(&client);
    Ok(StatusCode::NO_CONTENT)
}

/// `{clientId, subscriptions}`
fn asked(body: &[u8]) -> Result<(Box<str>, Vec<Subscription>)> {
    let mut faults = Faults::default();
    let (mut client, mut wanted) = (None, None);
    for (key, raw) in members(checked_text(body)?)? {
        match &*key {
            "clientId" => match text_of(raw) {
                Some(text) => client = Some(Box::from(&*text)),
                None => faults.add("clientId", "wrong_type", "must be a text"),
            },
            "subscriptions" => match elements_up_to(raw, limits::SUBSCRIPTIONS_MAX) {
                Some(found) if found.len() <= limits::SUBSCRIPTIONS_MAX => wanted = Some(found),
                Some(_) => {
                    let message = format!("has at most {} items", limits::SUBSCRIPTIONS_MAX);
                    faults.add("subscriptions", "too_many_subscriptions", message);
                }
                None => faults.add("subscriptions", "wrong_type", "must be a list"),
            },
            other => faults.add(other.chars().take(64).collect::<String>(), "unknown_field", "is not known here"),
        }
        if faults.full() {
            break;
        }
    }
    if client.is_none() && faults.is_empty() {
        faults.add("clientId", "required", "is required");
    }
    let mut subscriptions = Vec::new();
    for (at, raw) in wanted.unwrap_or_default().into_iter().enumerate() {
        let path = format!("subscriptions.{at}");
        let Some(text) = text_of(raw) else {
            faults.add(path, "wrong_type", "must be a text");
            continue;
        };
        match Subscription::read(&text, |escaped| decoded(escaped, true).map(std::borrow::Cow::into_owned)) {
            Ok(subscription) => subscriptions.push(subscription),
            Err(error) => faults.add(path, error.code_str(), error.message()),
        }
        if faults.full() {
            break;
        }
    }
    faults.into_result("the body has faults")?;
    Ok((client.unwrap_or_default(), subscriptions))
}

/// `POST /api/realtime/token`
pub(super) async fn token(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    accepts_json(request.headers())?;
    Params::read(request.uri().query(), &[])?;
    let token = app.service.stream_token(&caller(request.extensions()))?;
    let mut out = b"{\"token\":".to_vec();
    write_text(&mut out, &token);
    out.push(b'}');
    Ok(json(out))
}

/// `GET /api/changes`
pub(super) async fn changes(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    const NDJSON: &str = "application/x-ndjson";
    let (uri, headers) = (request.uri(), request.headers());
    accepts(headers, NDJSON)?;
    let params = Params::read(uri.query(), &["since", "limit", "collections", "filter", "wait"])?;
    let since = match params.filled("since") {
        None => None,
        Some("now") => Some(Since::Now),
        Some(text) => Some(Since::Mark(text.parse().map_err(|_| bad_since())?)),
    };
    let collections: Vec<&str> = params.filled("collections").map_or(Vec::new(), |names| names.split(',').collect());
    if collections.len() > limits::SUBSCRIPTIONS_MAX {
        return Err(wrong("collections", "names too many").into());
    }
    let limit = params.number("limit", limits::CHANGES_PAGE_DEFAULT)?.min(limits::CHANGES_PAGE_MAX);
    let wait = params.filled("wait").map_or(Ok(Duration::ZERO), seconds)?;
    let asker = asker(&app, request.extensions(), request.method(), uri.query());
    let wanted = ChangesRequest { since, limit, collections: &collections, filter: params.filled("filter"), wait };
    let address = counted(&app, request.extensions());
    let mut stopping = app.stopping.clone();
    let page = tokio::select! {
        page = app.service.changes(&asker, credential(headers), address, wanted) => page?,
        () = told(&mut stopping) => return Err(is_stopping().into()),
    };
    let mut response = Response::new(page.body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    let next = if page.next.change.is_none() { position(page.next.position) } else { text(page.next.to_string()) };
    response.headers_mut().insert(SEQ, next);
    if !wait.is_zero() {
        response.extensions_mut().insert(Waited);
    }
    Ok(response)
}

/// `30s` or `30`
fn seconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let fits = (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse().map(Duration::from_secs) {
        Ok(wait) if fits && wait <= limits::CHANGES_WAIT_MAX => Ok(wait),
        _ => Err(wrong("wait", &format!("must be seconds, {} at most", limits::CHANGES_WAIT_MAX.as_secs()))),
    }
}

fn bad_since() -> Error {
    wrong("since", "must be a position that this server gave out")
}
