//! The streams that are open: found by their clients' ids, so many and no more, in all and for one caller.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Listener;
use crate::error::{Error, Kind, Result};
use crate::id::Mark;
use crate::limits;
use crate::service::{Caller, Service, ids};

/// All of them; clones are the same.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Streams(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    count: usize,
    given: u64,
    of_one: HashMap<String, usize>,
    by_client: HashMap<Box<str>, Named>,
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
    /// For whom it counts.
    whom: Mutex<Option<String>>,
    client: Mutex<Option<Box<str>>>,
}

impl Streams {
    /// # Errors
    /// As [`Service::listener`].
    pub(super) fn enter(&self, caller: &Caller) -> Result<Entered> {
        let mut open = self.0.lock();
        if open.count >= limits::STREAMS_MAX {
            return Err(Error::new(Kind::Unavailable, "too many streams are open").code("too_many_streams"));
        }
        let whom = open.count_for(caller)?;
        open.count += 1;
        open.given += 1;
        let number = open.given;
        drop(open);
        Ok(Entered { streams: self.clone(), number, whom: Mutex::new(whom), client: Mutex::default() })
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().count
    }
}

impl Open {
    /// Counts one more for a caller who is known; those who may do all are not counted.
    fn count_for(&mut self, caller: &Caller) -> Result<Option<String>> {
        if !caller.is_known() || caller.is_unlimited() {
            return Ok(None);
        }
        let whom = caller.principal();
        let count = self.of_one.entry(whom.clone()).or_default();
        if *count >= limits::STREAMS_OF_ONE_MAX {
            let message = format!("a caller has at most {} streams", limits::STREAMS_OF_ONE_MAX);
            return Err(Error::new(Kind::RateLimited, message).code("too_many_streams"));
        }
        *count += 1;
        Ok(Some(whom))
    }

    fn count_off(&mut self, whom: &str) {
        if let Some(count) = self.of_one.get_mut(whom) {
            *count -= 1;
            if *count == 0 {
                self.of_one.remove(whom);
            }
        }
    }
}

impl Entered {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Counts it for another caller from now on.
    ///
    /// # Errors
    /// As [`Streams::enter`].
    pub(super) fn become_of(&self, streams: &Streams, caller: &Caller) -> Result<()> {
        let mut whom = self.whom.lock();
        let mut open = streams.0.lock();
        if whom.as_deref() == Some(&caller.principal()) {
            return Ok(());
        }
        let now = open.count_for(caller)?;
        if let Some(before) = std::mem::replace(&mut *whom, now) {
            open.count_off(&before);
        }
        Ok(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock();
        open.count -= 1;
        if let Some(whom) = self.whom.get_mut().take() {
            open.count_off(&whom);
        }
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
        self.0.streams.0.lock().by_client.insert(client.clone(), named);
        *listener.entered.client.lock() = Some(client.clone());
        Ok(client)
    }

    /// The stream of an id, and, until it is [`Service::stream_begun`], where its client was left before.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn stream_of(&self, client: &str) -> Result<(Arc<Listener>, Option<Mark>)> {
        let mut open = self.0.streams.0.lock();
        let found = open.by_client.get_mut(client).and_then(|named| Some((named.listener.upgrade()?, named.from)));
        found.ok_or_else(|| Error::new(Kind::NotFound, "there is no such stream").code("no_stream"))
    }

    /// The stream goes on from where its client was left: what comes later begins at its own time.
    pub fn stream_begun(&self, client: &str) {
        if let Some(named) = self.0.streams.0.lock().by_client.get_mut(client) {
            named.from = None;
        }
    }
}
