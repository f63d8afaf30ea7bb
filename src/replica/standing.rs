//! How a follower stands to its primary: whether it may answer, and how far it is behind.
//!
//! Invariant: what it answers is always some state that its primary had; where it is not known to be, it answers nothing.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{Error, Kind, Result};
use crate::id::Position;
use crate::time::Millis;

/// What a follower is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has nothing yet, and is being made of its primary's snapshot.
    #[default]
    Empty,
    /// It follows.
    Following,
    /// It can't reach its primary, or is refused there.
    Away(String),
    /// What its primary keeps begins behind it: it is being made anew, and answers what it has.
    Behind,
    /// Its tables are not its primary's, or its history is another: it answers nothing until it is made anew.
    Diverged(String),
}

impl State {
    /// Its word in answers.
    pub fn word(&self) -> &'static str {
        match self {
            State::Empty => "empty",
            State::Following => "following",
            State::Away(_) => "away",
            State::Behind => "behind",
            State::Diverged(_) => "diverged",
        }
    }

    /// Why, where there is more to say.
    pub fn why(&self) -> Option<&str> {
        match self {
            State::Away(why) | State::Diverged(why) => Some(why),
            _ => None,
        }
    }
}

/// How far a follower is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Entries.
    pub records: u64,
    /// Since its own state was its primary's, as far as it knows.
    pub time: Duration,
}

/// The handle; shared by the tail and all who ask.
#[derive(Debug)]
pub struct Standing {
    now: Mutex<Now>,
    again: Notify,
}

#[derive(Debug)]
struct Now {
    state: State,
    /// The primary's last entry, as last heard.
    primary: Position,
    /// When this server's state was the primary's last.
    level: Instant,
    /// The last word of the primary, and what its clock said.
    heard: Option<(Instant, Millis)>,
    /// Other followers of the same primary.
    fleet: Vec<String>,
    /// Where the primary is.
    url: String,
}

impl Standing {
    /// That of a server which begins to follow `url`: in what state it is, and which other followers it knows of.
    pub fn new(state: State, url: String, fleet: Vec<String>) -> Standing {
        let now = Now { state, primary: Position::default(), level: Instant::now(), heard: None, fleet, url };
        Standing { now: Mutex::new(now), again: Notify::new() }
    }

    /// What it is at.
    pub fn state(&self) -> State {
        self.now.lock().state.clone()
    }

    /// # Errors
    /// `Unavailable` with code `bootstrapping` or `diverged`, when it may answer nothing.
    pub fn serves(&self) -> Result<()> {
        match &self.now.lock().state {
            State::Empty => Err(Error::new(Kind::Unavailable, "this follower is being made").code("bootstrapping")),
            State::Diverged(_) => {
                Err(Error::new(Kind::Unavailable, "this follower is being made anew").code("diverged"))
            }
            _ => Ok(()),
        }
    }

    /// How far it is behind, with its own last entry.
    pub fn lag(&self, own: Position) -> Lag {
        let now = self.now.lock();
        Lag { records: now.primary.seq.0.saturating_sub(own.seq.0), time: now.level.elapsed() }
    }

    /// The primary's last entry as last heard.
    pub fn primary(&self) -> Position {
        self.now.lock().primary
    }

    /// How long ago the primary was heard.
    pub fn silent(&self) -> Option<Duration> {
        self.now.lock().heard.map(|(at, _)| at.elapsed())
    }

    /// Where the primary is.
    pub fn url(&self) -> String {
        self.now.lock().url.clone()
    }

    pub(super) fn follows(&self, url: String) {
        self.now.lock().url = url;
    }

    /// Other followers of the same primary, by their URLs.
    pub fn fleet(&self) -> Vec<String> {
        self.now.lock().fleet.clone()
    }

    /// Resolves when the server has to start again, on what lies in its folder now.
    pub async fn again(&self) {
        self.again.notified().await;
    }

    pub(super) fn start_again(&self) {
        self.again.notify_one();
    }

    pub(super) fn set(&self, state: State) {
        let mut now = self.now.lock();
        if now.state.word() != state.word() {
            let why = state.why().unwrap_or_default();
            tracing::info!(state = state.word(), why, "this follower's standing has changed");
        }
        now.state = state;
    }

    /// The primary was heard: its last entry, its clock; `own` is this server's.
    /// Whether other followers are known than before.
    pub(super) fn heard(&self, primary: Position, time: Millis, own: Position, fleet: Vec<String>) -> bool {
        let mut now = self.now.lock();
        let other = now.fleet != fleet;
        let at = Instant::now();
        (now.primary, now.heard, now.fleet) = (primary, Some((at, time)), fleet);
        if own.seq >= primary.seq {
            now.level = at;
        }
        other
    }

    /// This server has come to `own`.
    pub(super) fn reached(&self, own: Position) {
        let mut now = self.now.lock();
        if own.seq >= now.primary.seq {
            now.level = Instant::now();
        }
    }
}
