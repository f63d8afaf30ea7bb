//! Requests to a bucket: signed, sent over a connection that is kept, tried again where that can help. They are made on
//! threads that may wait, each over a runtime of its own, so that nothing of the server's waits with them.
//!
//! Invariants: each try has its time; of an answer no more than a bound is read; whoever stops waits for none of it; of what
//! a bucket answers only a code is shown, for its texts hold what was signed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::answer;
use super::sign::{self, Signer, Unsigned};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::outbound::{self, Line, Peer};
use crate::time::Clock;

/// Bytes of a refusal that is read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Connections that are kept while nobody asks.
const IDLE_MAX: usize = 2;
/// How often it is looked whether all has to end.
const TICK: Duration = Duration::from_millis(20);

/// Whether all has to end.
pub(in crate::backup) type Ends = Arc<dyn Fn() -> bool + Send + Sync>;

/// The way to a bucket.
pub(super) struct Wire {
    peer: Peer,
    /// Before each key; empty where the host's name says which bucket it is.
    base: String,
    signer: Signer,
    clock: Clock,
    ends: Ends,
    idle: Mutex<Vec<Session>>,
}

/// A request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Of the object; none for the bucket.
    pub(super) key: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Beside those that every request has.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: Bytes,
    /// Bytes of the answer at most.
    pub(super) bytes_max: usize,
}

/// A success.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A connection, and what drives it while somebody waits for an answer.
struct Session {
    runtime: Option<Runtime>,
    line: Option<Line>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A resolver that hangs is not waited for.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("peer", &self.peer).field("signer", &self.signer).finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(peer: Peer, base: String, signer: Signer, clock: Clock, ends: Ends) -> Wire {
        Wire { peer, base, signer, clock, ends, idle: Mutex::default() }
    }

    /// What ends all of its requests.
    pub(super) fn ends(&self) -> &dyn Fn() -> bool {
        &*self.ends
    }

    /// Asks, as often as it helps.
    ///
    /// # Errors
    /// `Unavailable` with code `store_away` where the bucket is not there, breaks off or has no time, `store_refused` where it
    /// says no; `NotFound`; `Conflict` for another object than `if-match` names; `Damaged` for a range of an empty one.
    pub(super) fn ask(&self, ask: &Ask<'_>, ends: &dyn Fn() -> bool) -> Result<Answer> {
        let time = limits::STORE_TIME * 2 + time_for(ask.body.len().max(ask.bytes_max));
        let mut session = self.session()?;
        let (mut pause, mut tries, began) = (limits::STORE_PAUSE, 0, Instant::now());
        loop {
            let kept = session.line.is_some();
            let why = match self.once(&mut session, ask, time, ends)? {
                Ok(done) => {
                    self.put_back(session);
                    return done;
                }
                Err(why) => why,
            };
            session.line = None;
            // The other side may have closed what was kept, and that says nothing.
            tries += u32::from(!kept);
            if tries >= limits::STORE_TRIES || began.elapsed() >= limits::STORE_PATIENCE {
                return Err(self.away(&why));
            }
            tracing::debug!(store = self.peer.host(), why, "a request to the backup store is made again");
            if !kept {
                wait(pause, ends)?;
                pause *= 2;
            }
        }
    }

    /// Asks once, whoever stops, for a short time only.
    ///
    /// # Errors
    /// As [`Wire::ask`].
    pub(super) fn ask_shortly(&self, ask: &Ask<'_>) -> Result<()> {
        let mut session = self.session()?;
        let done = self.once(&mut session, ask, limits::STORE_ABORT_TIME, &|| false)?;
        done.unwrap_or_else(|why| Err(self.away(&why))).map(drop)
    }

    fn session(&self) -> Result<Session> {
        if let Some(session) = self.idle.lock().pop() {
            return Ok(session);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::internal("no runtime for the backup store").source(error))?;
        Ok(Session { runtime: Some(runtime), line: None })
    }

    fn put_back(&self, session: Session) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(session);
        }
    }

    /// One try: what came of it, or why it may be made again.
    fn once(
        &self,
        session: &mut Session,
        ask: &Ask<'_>,
        time: Duration,
        ends: &dyn Fn() -> bool,
    ) -> Result<Result<Result<Answer>, String>> {
        let request = self.request(ask)?;
        let Session { runtime: Some(runtime), line } = session else {
            return Err(Error::internal("a connection to the backup store has nothing to drive it"));
        };
        let answered = runtime.block_on(async {
            tokio::select! {
                answer = self.answered(line, request, (time_for(ask.body.len()), ask.bytes_max)) => Ok(answer),
                () = tokio::time::sleep(time) => Ok(Err("it does not answer in time".to_owned())),
                () = told(ends) => Err(stopping()),
            }
        })?;
        Ok(answered.and_then(|Answer { status, headers, body }| {
            if status.is_success() {
                return Ok(Ok(Answer { status, headers, body }));
            }
            let code = answer::element(&body, "Error").and_then(|error| error.get("Code").cloned()).unwrap_or_default();
            let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
            let passing = matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504) || code == "RequestTimeout";
            if passing {
                Err(format!("it answers {} {code}", status.as_u16()))
            } else {
                Ok(Err(self.refused(status, &code)))
            }
        }))
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>> {
        let key = if ask.key.is_empty() { "" } else { "/" };
        let path = sign::path(&format!("{}{key}{}", self.base, ask.key));
        let path = if path.is_empty() { "/" } else { &*path };
        let query = sign::query(ask.query);
        let (host, body, at) = (self.peer.host(), sign::digest(&ask.body), sign::stamp(self.clock.now()));
        let signed = [("host", &*host), ("x-amz-content-sha256", &*body), ("x-amz-date", &*at)];
        let unsigned = Unsigned { method: ask.method.as_str(), path, query: &query, headers: &signed, body: &body };
        let authorization = self.signer.authorization(&at, &unsigned)?;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(target)
            .header(HOST, &host)
            .header(USER_AGENT, outbound::USER_AGENT)
            .header(AUTHORIZATION, authorization);
        for (name, value) in signed.iter().skip(1).chain(ask.headers) {
            request = request.header(*name, *value);
        }
        let made = request.body(Full::new(ask.body.clone()));
        made.map_err(|error| Error::internal("a request to the backup store that can't be").source(error))
    }

    async fn answered(
        &self,
        line: &mut Option<Line>,
        request: Request<Full<Bytes>>,
        (sending, bytes_max): (Duration, usize),
    ) -> Result<Answer, String> {
        let late = || "it does not answer in time".to_owned();
        let head = async {
            let mut open = match line.take() {
                Some(line) => line,
                None => self.peer.open().await?,
            };
            let answer = open.ask(request).await?;
            Ok::<_, String>((open, answer))
        };
        let (open, answer) = tokio::time::timeout(limits::STORE_TIME + sending, head).await.map_err(|_| late())??;
        let (head, mut body) = answer.into_parts();
        let bytes_max = if head.status.is_success() { bytes_max } else { REFUSAL_BYTES_MAX };
        let mut whole = BytesMut::new();
        while let Some(frame) = tokio::time::timeout(limits::STORE_TIME, body.frame()).await.map_err(|_| late())? {
            let Ok(data) = frame.map_err(|error| format!("its answer broke off: {error}"))?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > bytes_max {
                return Err("its answer is too long".to_owned());
            }
            whole.extend_from_slice(&data);
        }
        *line = Some(open);
        Ok(Answer { status: head.status, headers: head.headers, body: whole.freeze() })
    }

    fn away(&self, why: &str) -> Error {
        let message = format!("the backup store at {} can't be reached: {why}", self.peer.host());
        Error::new(Kind::Unavailable, message).code("store_away")
    }

    /// What it says no to: its answer's status, and its code.
    pub(super) fn refused(&self, status: StatusCode, code: &str) -> Error {
        match (status.as_u16(), code) {
            (404, "NoSuchKey" | "") => Error::new(Kind::NotFound, "there is no such backup"),
            (412, _) => Error::new(Kind::Conflict, "the backup was replaced while it was read").code("backup_changed"),
            (416, _) => Error::damaged("the backup is empty"),
            (status, code) => {
                let message = format!("the backup store at {} refuses: {status} {code}", self.peer.host());
                Error::new(Kind::Unavailable, message).code("store_refused")
            }
        }
    }
}

/// How long so many bytes take at most.
fn time_for(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / limits::STORE_RATE_BYTES)
}

async fn told(ends: &dyn Fn() -> bool) {
    while !ends() {
        tokio::time::sleep(TICK).await;
    }
}

fn wait(pause: Duration, ends: &dyn Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < pause {
        if ends() {
            return Err(stopping());
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

fn stopping() -> Error {
    Error::new(Kind::Unavailable, "the server is stopping").code("stopping")
}
