//! The streams that are open: found by their clients' ids, so many and no more, in all, for one caller and for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Listener;
use crate::error::{Error, Kind, Result};
use crate::id::Mark;
use crate::limits;
use crate::service::{Caller, Service, ids};

/// All of them; clones are the same.
#[derive(Clone, Debug)]
pub(in crate::service) struct Streams {
    open: Arc<Mutex<Open>>,
    /// In all, and of one address.
    most: usize,
    of_address: usize,
    snapshots: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    of_form: [usize; Form::ALL.len()],
    given: u64,
    of_one: HashMap<Whom, usize>,
    by_client: HashMap<Box<str>, Named>,
    /// Of those who have snapshots read, or wait for it.
    snapshots: HashMap<Whom, Weak<Semaphore>>,
}

/// Leave to read a snapshot, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _among_own: Option<OwnedSemaphorePermit>,
    _among_all: OwnedSemaphorePermit,
}

/// How a stream is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As server-sent events.
    Events,
    /// Over a WebSocket.
    Socket,
    /// As one page.
    Page,
}

impl Form {
    /// All of them, in their order.
    pub const ALL: [Form; 3] = [Form::Events, Form::Socket, Form::Page];

    /// As figures name it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Events => "sse",
            Form::Socket => "websocket",
            Form::Page => "changes",
        }
    }
}

/// For whom a stream counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whom {
    /// An account or a key.
    Principal(String),
    /// Where it comes from.
    Address(IpAddr),
}

/// A stream that has a client's id.
#[derive(Debug)]
struct Named {
    listener: Weak<Listener>,
    /// Where its client was left the last time: what it listens to first goes on from there.
    from: Option<Mark>,
}

/// One of the open streams, until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    streams: Streams,
    number: u64,
    form: Form,
    address: Option<IpAddr>,
    /// For whom it counts.
    whom: Mutex<Vec<Whom>>,
    client: Mutex<Option<Box<str>>>,
}

impl Streams {
    /// So many and no more, in all and of one address.
    pub(in crate::service) fn new(most: usize, of_address: usize) -> Streams {
        Streams {
            open: Arc::default(),
            most,
            of_address,
            snapshots: Arc::new(Semaphore::new(limits::LIVE_SNAPSHOTS_MAX)),
        }
    }

    /// # Errors
    /// As [`Service::listener`].
    pub(super) fn enter(&self, form: Form, caller: &Caller, address: Option<IpAddr>) -> Result<Entered> {
        let mut open = self.open.lock();
        if open.count >= self.most {
            return Err(Error::new(Kind::Unavailable, "too many streams are open").code("too_many_streams"));
        }
        let whom = self.count_for(&mut open, caller, address)?;
        open.count += 1;
        open.of_form[form as usize] += 1;
        open.given += 1;
        let number = open.given;
        drop(open);
        Ok(Entered { streams: self.clone(), number, form, address, whom: Mutex::new(whom), client: Mutex::default() })
    }

    /// Waits until no snapshot is being read, or for a while: their views keep the tables open.
    pub(in crate::service) async fn snapshots_ended(&self) {
        let all = u32::try_from(limits::LIVE_SNAPSHOTS_MAX).unwrap_or(u32::MAX);
        if timeout(limits::STREAM_STOP_TIME_MAX, self.snapshots.acquire_many(all)).await.is_err() {
            tracing::warn!("a snapshot is still being read");
        }
    }

    /// Those of each form.
    pub(super) fn count(&self) -> [usize; Form::ALL.len()] {
        self.open.lock().of_form
    }

    /// Counts one more, for who it is and for where it comes from; those who may do all are not counted.
    fn count_for(&self, open: &mut Open, caller: &Caller, address: Option<IpAddr>) -> Result<Vec<Whom>> {
        if caller.is_unlimited() {
            return Ok(Vec::new());
        }
        let principal = caller.is_known().then(|| Whom::Principal(caller.principal()));
        let all: Vec<Whom> = principal.into_iter().chain(address.map(Whom::Address)).collect();
        for whom in &all {
            let (who, most) = match whom {
                Whom::Principal(_) => ("a caller", limits::STREAMS_OF_ONE_MAX),
                Whom::Address(_) => ("an address", self.of_address),
            };
            if open.of_one.get(whom).is_some_and(|count| *count >= most) {
                let message = format!("{who} has at most {most} streams");
                return Err(Error::new(Kind::RateLimited, message).code("too_many_streams"));
            }
        }
        open.count_on(&all);
        Ok(all)
    }
}

impl Open {
    fn count_on(&mut self, all: &[Whom]) {
        for whom in all {
            *self.of_one.entry(whom.clone()).or_default() += 1;
        }
    }

    fn snapshots_of(&mut self, whom: Whom) -> Arc<Semaphore> {
        if self.snapshots.len() == self.snapshots.capacity() {
            self.snapshots.retain(|_, turns| turns.strong_count() > 0);
        }
        if let Some(turns) = self.snapshots.get(&whom).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::new(Semaphore::new(limits::LIVE_SNAPSHOTS_OF_ONE));
        self.snapshots.insert(whom, Arc::downgrade(&turns));
        turns
    }

    fn count_off(&mut self, all: &[Whom]) {
        for whom in all {
            if let Some(count) = self.of_one.get_mut(whom) {
                *count -= 1;
                if *count == 0 {
                    self.of_one.remove(whom);
                }
            }
        }
    }
}

impl Entered {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Leave to read a snapshot: first among the caller's own, so that one with many takes no others' places.
    ///
    /// # Errors
    /// `Unavailable` where it does not come in time.
    pub(super) async fn snapshot_turn(&self) -> Result<Turn> {
        let own = {
            let whom = self.whom.lock().first().cloned();
            whom.map(|whom| self.streams.open.lock().snapshots_of(whom))
        };
        let waiting = async {
            let own = match own {
                Some(own) => own.acquire_owned().await.ok(),
                None => None,
            };
            let all = self.streams.snapshots.clone().acquire_owned().await.ok()?;
            Some(Turn { _among_own: own, _among_all: all })
        };
        let turn = timeout(limits::QUERY_TIME_MAX, waiting).await.ok().flatten();
        turn.ok_or_else(|| Error::new(Kind::Unavailable, "too many snapshots are waiting").code("queue_full"))
    }

    /// Counts it for another caller from now on.
    ///
    /// # Errors
    /// As [`Streams::enter`].
    pub(super) fn become_of(&self, caller: &Caller) -> Result<()> {
        let mut whom = self.whom.lock();
        let mut open = self.streams.open.lock();
        open.count_off(&whom);
        match self.streams.count_for(&mut open, caller, self.address) {
            Ok(now) => *whom = now,
            Err(error) => {
                open.count_on(&whom);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        open.count -= 1;
        open.of_form[self.form as usize] -= 1;
        open.count_off(self.whom.get_mut());
        if let Some(client) = self.client.get_mut().take() {
            open.by_client.remove(&client);
        }
    }
}

impl Service {
    /// Gives a stream an id by which its client names it: whoever knows it may say what is sent there. `from` is where the
    /// client was left by a stream before.
    ///
    /// # Errors
    /// `Internal` when the system gives no random bytes.
    pub fn name_stream(&self, listener: &Arc<Listener>, from: Option<Mark>) -> Result<Box<str>> {
        let client: Box<str> = ids::secret()?.into();
        let named = Named { listener: Arc::downgrade(listener), from };
        self.0.streams.open.lock().by_client.insert(client.clone(), named);
        *listener.entered.client.lock() = Some(client.clone());
        Ok(client)
    }

    /// The stream of an id, and, until it is [`Service::stream_begun`], where its client was left before.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn stream_of(&self, client: &str) -> Result<(Arc<Listener>, Option<Mark>)> {
        let mut open = self.0.streams.open.lock();
        let found = open.by_client.get_mut(client).and_then(|named| Some((named.listener.upgrade()?, named.from)));
        found.ok_or_else(|| Error::new(Kind::NotFound, "there is no such stream").code("no_stream"))
    }

    /// The stream goes on from where its client was left: what comes later begins at its own time.
    pub fn stream_begun(&self, client: &str) {
        if let Some(named) = self.0.streams.open.lock().by_client.get_mut(client) {
            named.from = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_streams_and_no_more() {
        let streams = Streams::new(3, 1);
        let enter = |form, caller: &Caller, address: Option<[u8; 4]>| {
            streams.enter(form, caller, address.map(IpAddr::from)).map_err(|error| error.kind())
        };
        let first = enter(Form::Events, &Caller::Anonymous, Some([192, 0, 2, 1])).expect("a place");
        assert_eq!(enter(Form::Socket, &Caller::Anonymous, Some([192, 0, 2, 1])).err(), Some(Kind::RateLimited));
        let second = enter(Form::Socket, &Caller::Superuser, Some([192, 0, 2, 1])).expect("a place");
        let third = enter(Form::Page, &Caller::Anonymous, None).expect("a place");
        assert_eq!(streams.count(), [1, 1, 1]);
        assert_eq!(enter(Form::Events, &Caller::Superuser, None).err(), Some(Kind::Unavailable));
        drop((second, third));
        // Who shows later that it may do all gives its address's place back; who is refused as another stays who it was.
        first.become_of(&Caller::Superuser).expect("is not counted");
        let other = enter(Form::Events, &Caller::Anonymous, Some([192, 0, 2, 1])).expect("a place");
        assert_eq!(first.become_of(&Caller::Anonymous).map_err(|error| error.kind()), Err(Kind::RateLimited));
        drop((first, other));
        assert!(streams.open.lock().of_one.is_empty() && streams.count() == [0; 3]);
    }

    #[tokio::test]
    async fn one_caller_with_many_snapshots_leaves_others_their_turn() {
        let streams = Streams::new(100, 100);
        let of = |last| Some(IpAddr::from([192, 0, 2, last]));
        let enter = |last| streams.enter(Form::Events, &Caller::Anonymous, of(last)).expect("a place");
        let greedy: Vec<Entered> = (0..20).map(|_| enter(1)).collect();
        let mut turns = Vec::new();
        let mut waiting = Vec::new();
        for entered in &greedy {
            let mut turn = Box::pin(entered.snapshot_turn());
            match std::future::poll_fn(|cx| std::task::Poll::Ready(turn.as_mut().poll(cx))).await {
                std::task::Poll::Ready(turn) => turns.push(turn.expect("a turn")),
                std::task::Poll::Pending => waiting.push(turn),
            }
        }
        assert_eq!((turns.len(), waiting.len()), (limits::LIVE_SNAPSHOTS_OF_ONE, 20 - limits::LIVE_SNAPSHOTS_OF_ONE));
        let others: Vec<Entered> = (2..2 + (limits::LIVE_SNAPSHOTS_MAX - turns.len()) as u8).map(enter).collect();
        let mut theirs = Vec::new();
        for entered in &others {
            theirs.push(entered.snapshot_turn().await.expect("a turn"));
        }
        // One that is done leaves its place to the next of its own, and at the end nothing is left.
        turns.pop();
        turns.push(waiting.remove(0).await.expect("a turn"));
        drop((turns, waiting, theirs));
        streams.snapshots_ended().await;
        assert_eq!(streams.snapshots.available_permits(), limits::LIVE_SNAPSHOTS_MAX);
    }
}
