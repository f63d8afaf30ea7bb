//! `GET /api/ws`: requests and streams over one WebSocket (RFC 6455), as JSON texts.
//!
//! A request is `{"id", "op", …}` and is answered by `{"id", "status", "body"}`; what is listened to comes as
//! `{"sub", "seq", "action", "record"}`. What `ops` makes of a request on records goes the way of any request over HTTP, by
//! the same route table, so rules, errors and limits are the same. Invariant: one task reads and writes, and takes no more
//! than it can give: a client that does not read is sent nothing, and costs what its socket holds.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::SinkExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::error::{Error, Kind, Result};
use crate::http::connection::{Place, told as stopped};
use crate::http::edge::Address;
use crate::http::inner::Reply;
use crate::http::ops::{self, Op};
use crate::http::params::Params;
use crate::http::realtime::{counted, shown};
use crate::http::{App, Refusal};
use crate::id::Mark;
use crate::limits;
use crate::live::{Event, Happened, Tell};
use crate::model::json::write_text;
use crate::service::Caller;
use crate::service::listen::{Begin, Form, Listener, Next, Notice, Snapshot, Subscription};

/// Close codes (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;

/// `GET /api/ws`
pub(super) async fn open(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (mut parts, _) = request.into_parts();
    if !is_own_page(&app, &parts) {
        let message = "pages of this origin are not let in: name it in cors_origins";
        return Err(Error::new(Kind::Forbidden, message).code("foreign_origin").into());
    }
    let query = parts.uri.query().map(str::to_owned);
    let params = Params::read(query.as_deref(), &["token"])?;
    let (caller, credential) = shown(&app, &params, &parts.extensions, &parts.headers)?;
    let address = parts.extensions.get::<Address>().copied();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|rejection| {
        Error::invalid(format!("this path takes WebSockets only: {rejection}")).code("not_a_websocket")
    })?;
    let counted_for = counted(&app, &parts.extensions);
    let listener = app.service.listener(Form::Socket, caller.clone(), credential.as_deref(), counted_for)?;
    let session = Session {
        app,
        listener,
        ambient: caller,
        credential: credential.map(Arc::from),
        address: address.map(|Address(ip)| ip),
        snapshots: VecDeque::new(),
        _place: parts.extensions.remove::<Place>(),
    };
    let upgrade = upgrade
        .max_message_size(limits::WS_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::WS_MESSAGE_BYTES_MAX)
        // A buffer of its own for each idle one would be most of what it takes.
        .read_buffer_size(limits::WS_READ_BYTES);
    Ok(upgrade.on_upgrade(|socket| session.run(socket)))
}

/// Whether a browser that sends this request does so for a page of this server or of an origin that is let in; whoever is
/// no browser says nothing of an origin.
fn is_own_page(app: &App, parts: &Parts) -> bool {
    let headers: &HeaderMap = &parts.headers;
    let Some(origin) = headers.get(ORIGIN).map(HeaderValue::as_bytes) else { return true };
    let host = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| headers.get(HOST).map(HeaderValue::as_bytes));
    let page = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    (page.is_some() && page == host) || app.cors.allowed(headers).is_some()
}

/// One WebSocket.
struct Session {
    app: App,
    listener: Arc<Listener>,
    /// Who it is without having shown anything.
    ambient: Caller,
    credential: Option<Arc<[u8]>>,
    address: Option<IpAddr>,
    /// Records that are sent before anything else is.
    snapshots: VecDeque<Begun>,
    /// Its connection's, which it goes on with.
    _place: Option<Place>,
}

/// Something that begins with the records as they are.
struct Begun {
    sub: Arc<str>,
    stage: Stage,
}

enum Stage {
    /// They are being read: the request of this id is not answered yet. Some of what the client has may be out of date.
    Asked {
        id: String,
        is_reset: bool,
        taking: Pin<Box<dyn Future<Output = Result<Snapshot>> + Send>>,
    },
    Sending(Snapshot),
}

/// Why it ends: a close code and a word.
type End = (u16, &'static str);

type Sent = std::result::Result<(), axum::Error>;

impl Session {
    async fn run(mut self, mut socket: WebSocket) {
        let end = self.serve(&mut socket).await;
        if let Some((code, reason)) = end {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            // Whether it is still heard is the client's business.
            let _ = timeout(limits::STREAM_STOP_TIME_MAX, socket.send(Message::Close(Some(frame)))).await;
        }
    }

    /// Until the client goes, or there is a reason to end.
    async fn serve(&mut self, socket: &mut WebSocket) -> Option<End> {
        let mut work: JoinSet<Vec<u8>> = JoinSet::new();
        let mut ping = interval_at(Instant::now() + self.app.heartbeat, self.app.heartbeat);
        // Sending may take longer than that: the client has its whole time to answer after it.
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = self.app.stopping.clone();
        let mut heard = true;
        let end = loop {
            let busy = work.len() >= limits::WS_REQUESTS_MAX;
            // What changes comes behind the records that it is a change of.
            let is_beginning = self.snapshots.front().is_some_and(|begun| matches!(begun.stage, Stage::Sending(_)));
            let mut telling = stopping.clone();
            let out = &mut telling;
            let sent = tokio::select! {
                () = stopped(&mut stopping) => break Some((GOING_AWAY, "stopping")),
                Some(done) = work.join_next(), if !work.is_empty() => match done {
                    Ok(answer) => send(socket, vec![answer], out).await,
                    Err(error) => {
                        tracing::error!(%error, "a request over a WebSocket panicked");
                        Ok(())
                    }
                },
                records = next_of(&self.listener, &mut self.snapshots), if !self.snapshots.is_empty() => match records {
                    Ok(texts) => send(socket, texts, out).await,
                    Err(error) if error.kind() == Kind::Unauthenticated => break Some((POLICY, "token_ended")),
                    Err(error) => {
                        tracing::error!(%error, "a snapshot could not be sent");
                        break Some((GOING_AWAY, "snapshot_failed"));
                    }
                },
                next = self.listener.next(), if !is_beginning => match next {
                    Next::Events(events) => send(socket, texts(&events), out).await,
                    Next::Reset(notice) => send(socket, vec![reset(&notice)], out).await,
                    Next::Ended(Some(_)) => break Some((POLICY, "token_ended")),
                    Next::Ended(None) => break Some((GOING_AWAY, "stopping")),
                },
                message = socket.recv(), if !busy => match message {
                    Some(Ok(message)) => {
                        heard = true;
                        match message {
                            Message::Text(text) => {
                                let texts = self.asked(text.as_str(), &mut work);
                                send(socket, texts, out).await
                            }
                            Message::Binary(_) => {
                                let error = Error::invalid("a message is a text of JSON").code("bad_message");
                                send(socket, vec![ops::answer("null", &Reply::refused(&error))], out).await
                            }
                            Message::Close(_) => return None,
                            Message::Ping(_) | Message::Pong(_) => Ok(()),
                        }
                    }
                    Some(Err(_)) | None => return None,
                },
                _ = ping.tick() => {
                    // While nothing is read of it, nothing can be heard.
                    if !std::mem::take(&mut heard) && !busy {
                        return None;
                    }
                    in_time(socket.send(Message::Ping(Bytes::new())), out).await
                }
            };
            if sent.is_err() {
                return None;
            }
        };
        // What was begun is answered.
        while let Some(done) = work.join_next().await {
            if let Ok(answer) = done
                && send(socket, vec![answer], &mut stopping).await.is_err()
            {
                return None;
            }
        }
        end
    }

    /// Does what a message asks for, or has it done beside; what is sent at once.
    fn asked(&mut self, text: &str, work: &mut JoinSet<Vec<u8>>) -> Vec<Vec<u8>> {
        let (id, op) = ops::read(text);
        let done = match op {
            Ok(Op::Call(mut call)) => match self.caller() {
                Ok(caller) => {
                    // Where it is passed on to another server, it shows itself there.
                    if let Some(Ok(shown)) = self.credential.as_deref().map(HeaderValue::from_bytes) {
                        call.headers.insert(AUTHORIZATION, shown);
                    }
                    let (app, address) = (self.app.clone(), self.address);
                    work.spawn(async move {
                        let reply = crate::http::inner::call(&app, caller, address, call).await;
                        ops::answer(&id, &reply)
                    });
                    return Vec::new();
                }
                Err(error) => Err(error),
            },
            Ok(op) => self.done(&id, op),
            Err(error) => Err(error),
        };
        done.unwrap_or_else(|error| vec![ops::answer(&id, &Reply::refused(&error))])
    }

    /// Who asks, as it is at this moment.
    fn caller(&self) -> Result<Caller> {
        match &self.credential {
            Some(credential) => self.app.service.caller_of_token(credential),
            None => Ok(self.ambient.clone()),
        }
    }

    /// Does what is about the stream itself; its answer, if there is one yet, and what comes with it.
    fn done(&mut self, id: &str, op: Op) -> Result<Vec<Vec<u8>>> {
        let answer = |body| vec![ops::answer(id, &Reply::done(body))];
        match op {
            Op::Ping | Op::Call(_) => Ok(answer(Vec::new())),
            Op::Auth { token } => {
                let caller = self.app.service.caller_of_token(token.as_bytes())?;
                self.listener.bind(caller, Some(token.as_bytes()))?;
                self.credential = Some(token.as_bytes().into());
                Ok(answer(Vec::new()))
            }
            Op::Unsubscribe { sub } => {
                let mut texts = self.forget_snapshot(&sub);
                if !self.listener.unsubscribe(&sub) && texts.is_empty() {
                    return Err(Error::new(Kind::NotFound, "nothing is listened to by that name").code("no_sub"));
                }
                texts.append(&mut answer(Vec::new()));
                Ok(texts)
            }
            Op::Subscribe { mut subscription, since, snapshot } => {
                if subscription.name.is_empty() {
                    subscription.name = id.trim_matches('"').into();
                }
                self.subscribe(id, *subscription, since, snapshot)
            }
        }
    }

    /// Listens to something, in the place of what was listened to by its name. `since` goes before `snapshot`, as far as
    /// the log reaches back.
    fn subscribe(
        &mut self,
        id: &str,
        subscription: Subscription,
        since: Option<Mark>,
        snapshot: bool,
    ) -> Result<Vec<Vec<u8>>> {
        let sub: Arc<str> = Arc::from(&*subscription.name);
        let begin = since.map_or(Begin::Now, Begin::Behind);
        let lost = match (since.is_some() || !snapshot).then(|| self.listener.subscribe(subscription.clone(), begin)) {
            Some(Ok(())) => {
                let mut texts = self.forget_snapshot(&sub);
                texts.push(ops::answer(id, &Reply::done(named(&sub))));
                if let Some(mark) = since.filter(|_| snapshot) {
                    texts.push(text(Some(&sub), &mark.to_string(), "ready", b"null", None));
                }
                return Ok(texts);
            }
            Some(Err(error)) if !snapshot || error.kind() != Kind::Gone => return Err(error),
            lost => lost.is_some(),
        };
        let others = self.snapshots.iter().filter(|begun| begun.sub != sub).count();
        if others >= limits::WS_SNAPSHOTS_MAX {
            let message = "snapshots asked for before are still being sent";
            return Err(Error::new(Kind::RateLimited, message).code("too_many_snapshots"));
        }
        let texts = self.forget_snapshot(&sub);
        let listener = self.listener.clone();
        let taking = Box::pin(async move { listener.subscribe_with_snapshot(vec![subscription]).await });
        self.snapshots.push_back(Begun { sub, stage: Stage::Asked { id: id.to_owned(), is_reset: lost, taking } });
        Ok(texts)
    }

    /// Sends no more of what something began with; the answer to whom that was still owed.
    fn forget_snapshot(&mut self, sub: &str) -> Vec<Vec<u8>> {
        let (gone, stay): (VecDeque<Begun>, VecDeque<Begun>) =
            std::mem::take(&mut self.snapshots).into_iter().partition(|begun| *begun.sub == *sub);
        self.snapshots = stay;
        let owed = gone.into_iter().filter_map(|begun| match begun.stage {
            Stage::Asked { id, .. } => Some(id),
            Stage::Sending(_) => None,
        });
        let error = Error::new(Kind::Conflict, "another request took this one's place").code("replaced");
        owed.map(|id| ops::answer(&id, &Reply::refused(&error))).collect()
    }
}

/// `{"sub"}`
fn named(sub: &str) -> Vec<u8> {
    let mut out = b"{\"sub\":".to_vec();
    write_text(&mut out, sub);
    out.push(b'}');
    out
}

/// The next records of the first snapshot, or that they are all there, or that they are no longer what the caller may
/// see. Nothing is lost when it is dropped.
async fn next_of(listener: &Listener, snapshots: &mut VecDeque<Begun>) -> Result<Vec<Vec<u8>>> {
    let Some(Begun { sub, stage }) = snapshots.front_mut() else { return Ok(Vec::new()) };
    let snapshot = match stage {
        Stage::Sending(snapshot) => snapshot,
        Stage::Asked { id, is_reset, taking } => {
            let taken = taking.await;
            let mut texts = Vec::new();
            match taken {
                Ok(snapshot) => {
                    texts.push(ops::answer(id, &Reply::done(named(sub))));
                    if *is_reset {
                        let mark = snapshot.mark.to_string();
                        texts.push(text(Some(sub), &mark, "reset", b"null", Some("log_trimmed")));
                    }
                    *stage = Stage::Sending(snapshot);
                }
                Err(error) => {
                    texts.push(ops::answer(id, &Reply::refused(&error)));
                    listener.unsubscribe(sub);
                    snapshots.pop_front();
                }
            }
            return Ok(texts);
        }
    };
    let records = snapshot.next().await?;
    let mark = snapshot.mark.to_string();
    if !listener.may_give(snapshot)? {
        let reset = text(Some(sub), &mark, "reset", b"null", Some("changed"));
        snapshots.pop_front();
        return Ok(vec![reset]);
    }
    if records.is_empty() {
        let ready = text(Some(sub), &mark, "ready", b"null", None);
        snapshots.pop_front();
        return Ok(vec![ready]);
    }
    let each = records.iter().map(|(_, record)| text(Some(sub), &mark, Happened::Enter.name(), record, None));
    Ok(each.collect())
}

async fn send(socket: &mut WebSocket, texts: Vec<Vec<u8>>, stopping: &mut watch::Receiver<bool>) -> Sent {
    let sending = async {
        for text in texts {
            // It is made of JSON's texts.
            let text = String::from_utf8(text).map_err(axum::Error::new)?;
            socket.feed(Message::Text(text.into())).await?;
        }
        // All of them are written at once.
        socket.flush().await
    };
    in_time(sending, stopping).await
}

/// Sends, but at the stop to no client that does not read.
async fn in_time(sending: impl Future<Output = Sent>, stopping: &mut watch::Receiver<bool>) -> Sent {
    let stopped = async {
        stopped(stopping).await;
        sleep(limits::STREAM_STOP_TIME_MAX).await;
    };
    tokio::select! {
        biased;
        sent = sending => sent,
        () = stopped => Err(axum::Error::new(Error::new(Kind::Unavailable, "the server is stopping"))),
    }
}

fn texts(events: &[(Arc<str>, Arc<Event>)]) -> Vec<Vec<u8>> {
    events.iter().map(|(sub, event)| told(sub, event)).collect()
}

fn told(sub: &str, event: &Event) -> Vec<u8> {
    match &event.what {
        Tell::Record(told) => text(Some(sub), &event.mark_text, told.action.name(), &told.record, None),
        Tell::Emptied => text(Some(sub), &event.mark_text, "reset", b"null", Some("truncated")),
    }
}

fn reset(notice: &Notice) -> Vec<u8> {
    text(notice.subscription.as_deref(), &notice.mark.to_string(), "reset", b"null", Some(notice.reason))
}

fn text(sub: Option<&str>, mark: &str, action: &str, record: &[u8], reason: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + mark.len() + record.len());
    out.extend_from_slice(b"{\"sub\":");
    match sub {
        Some(sub) => write_text(&mut out, sub),
        None => out.extend_from_slice(b"null"),
    }
    for (name, value) in [("seq", mark), ("action", action)] {
        out.extend_from_slice(format!(",\"{name}\":\"{value}\"").as_bytes());
    }
    if let Some(reason) = reason {
        out.extend_from_slice(format!(",\"reason\":\"{reason}\"").as_bytes());
    }
    out.extend_from_slice(b",\"record\":");
    out.extend_from_slice(record);
    out.push(b'}');
    out
}
