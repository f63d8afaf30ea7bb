//! One read for many equal questions at once: the first makes the answer, the others wait for it, and no others do.
//!
//! Invariant: nobody waits for what is not on its way. A flight ends with its leader, however that ends, and who waited
//! looks for the kept answer as anyone does: it is good only if it holds then. A flight is joined once, so what is never
//! kept, or changes too fast to be, is read by each at the same time rather than in turn.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::limits;

/// Those on their way, by key.
#[derive(Debug, Default)]
pub(in crate::service) struct Flights(Mutex<HashMap<Box<[u8]>, watch::Receiver<bool>>>);

/// A part in a flight.
#[derive(Debug)]
pub(in crate::service) enum Joined<'f> {
    /// The first.
    Leader(Leader<'f>),
    /// One that waits.
    Waiting(watch::Receiver<bool>),
    /// Too many are on their way: each reads by itself.
    Alone,
}

/// How a flight ended, for those that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Ended {
    /// Its leader has made the answer, or knows that there is none to keep.
    Done,
    /// Its leader's caller has gone.
    Left,
}

/// Who makes the answer. Dropped, the flight is over.
#[derive(Debug)]
pub(in crate::service) struct Leader<'f> {
    flights: &'f Flights,
    key: Box<[u8]>,
    told: watch::Sender<bool>,
}

impl Flights {
    /// Joins the flight for a key, or begins it.
    pub(in crate::service) fn join(&self, key: Box<[u8]>) -> Joined<'_> {
        let mut flights = self.0.lock();
        if let Some(waiting) = flights.get(&key) {
            return Joined::Waiting(waiting.clone());
        }
        if flights.len() >= limits::CACHE_FLIGHTS_MAX {
            return Joined::Alone;
        }
        let (told, waiting) = watch::channel(false);
        flights.insert(key.clone(), waiting);
        Joined::Leader(Leader { flights: self, key, told })
    }

    /// Waits for the end of a flight.
    pub(in crate::service) async fn ended(mut waiting: watch::Receiver<bool>) -> Ended {
        match waiting.wait_for(|done| *done).await {
            Ok(_) => Ended::Done,
            Err(_) => Ended::Left,
        }
    }
}

impl Leader<'_> {
    /// The answer is there, or an error: those that wait go on.
    pub(in crate::service) fn done(self) {
        // Nobody may be waiting.
        let _ = self.told.send(true);
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.flights.0.lock().remove(&self.key);
    }
}
