//! The streams that are open: found by their clients' ids, so many and no more, in all, for one caller and for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

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
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    given: u64,
    of_one: HashMap<Whom, usize>,
    by_client: HashMap<Box<str>, Named>,
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
    address: Option<IpAddr>,
    /// For whom it counts.
    whom: Mutex<Vec<Whom>>,
    client: Mutex<Option<Box<str>>>,
}

impl Streams {
    /// So many and no more, in all and of one address.
    pub(in crate::service) fn new(most: usize, of_address: usize) -> Streams {
        Streams { open: Arc::default(), most, of_address }
    }

    /// # Errors
    /// As [`Service::listener`].
    pub(super) fn enter(&self, caller: &Caller, address: Option<IpAddr>) -> Result<Entered> {
        let mut open = self.open.lock();
        if open.count >= self.most {
            return Err(Error::new(Kind::Unavailable, "too many streams are open").code("too_many_streams"));
        }
        let whom = self.count_for(&mut open, caller, address)?;
        open.count += 1;
        open.given += 1;
        let number = open.given;
        drop(open);
        Ok(Entered { streams: self.clone(), number, address, whom: Mutex::new(whom), client: Mutex::default() })
    }

    pub(super) fn len(&self) -> usize {
        self.open.lock().count
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
