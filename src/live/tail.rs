//! One listener's place: for each thing it listens to a mark, moved on as it takes what lies behind.
//!
//! Invariant: no seat's mark ever goes back, and all that a tail gives at once lies behind what it gave before; so a client
//! that holds the mark of the last event it has seen has seen all before it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::topic::{Event, Taken, Tell, Topic};
use super::{Bell, Bus, Lens, Of};
use crate::core::{Changed, Core, Ended, Keeps, Published, What, changes};
use crate::error::Error;
use crate::id::{Generation, Mark, Position, Seq};
use crate::limits;

/// Which seat of a tail: the listener's own number.
pub type SeatId = u64;

/// What is listened to, and how far it was taken.
#[derive(Clone, Debug)]
pub struct Seat {
    id: SeatId,
    topic: Arc<Topic>,
    at: Mark,
    /// The filling of the collection at that mark, if it is known.
    generation: Option<Generation>,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Tail {
    bus: Bus,
    bell: Bell,
    seats: Vec<Seat>,
}

/// Events in the order of their marks, each with the seat that it is for.
pub type Events = Vec<(SeatId, Arc<Event>)>;

/// What was there to be taken.
#[derive(Debug)]
pub enum Gathered {
    /// These, maybe none: the rest is still to come.
    Events(Events),
    /// Some of it is not in memory: it is to be read.
    Behind(Reading),
    /// What is listened to is to be seated anew.
    Stale,
}

/// Why a tail can't go on from where it is.
#[derive(Debug)]
pub enum Lost {
    /// A definition moved: what is listened to is to be seated anew.
    Stale,
    /// What comes next is no longer kept, or its place is not in this history.
    Gone,
    /// The server stops.
    Stopping,
    /// The log could not be read.
    Failed(Error),
}

impl Tail {
    /// One that listens to nothing yet.
    pub fn new(bus: Bus, bell: Bell) -> Tail {
        Tail { bus, bell, seats: Vec::new() }
    }

    /// Takes a seat behind `at`, or, where there is one of this id, has it go on by another lens. `generation` is the
    /// filling of the collection there, if that is known.
    pub fn seat(
        &mut self,
        id: SeatId,
        of: Of,
        name: Bytes,
        lens: Arc<dyn Lens>,
        at: Mark,
        generation: Option<Generation>,
    ) {
        let topic = self.bus.join(of, name, lens, &self.bell);
        match self.seats.iter_mut().find(|seat| seat.id == id) {
            Some(seat) => {
                let old = std::mem::replace(&mut seat.topic, topic);
                self.bus.leave(old, &self.bell);
            }
            None => self.seats.push(Seat { id, topic, at, generation }),
        }
    }

    /// How far a seat was taken, and the filling of its collection there.
    pub fn place(&self, id: SeatId) -> Option<(Mark, Option<Generation>)> {
        self.seats.iter().find(|seat| seat.id == id).map(|seat| (seat.at, seat.generation))
    }

    /// Gives a seat up.
    pub fn unseat(&mut self, id: SeatId) {
        if let Some(at) = self.seats.iter().position(|seat| seat.id == id) {
            self.bus.leave(self.seats.swap_remove(at).topic, &self.bell);
        }
    }

    /// Moves all seats to a place: what lies before it is not told any more.
    pub fn skip_to(&mut self, view: &Published) {
        for seat in &mut self.seats {
            seat.at = seat.at.max(view.position.into());
            // Another epoch's marks stand in no order with this one's.
            seat.at.position.epoch = view.position.epoch;
            seat.generation = view.schema.get(seat.topic.of().collection).map(|collection| collection.generation);
        }
    }

    /// The place behind which nothing has been taken; `None` without a seat.
    pub fn at(&self) -> Option<Mark> {
        self.seats.iter().map(|seat| seat.at).min()
    }

    /// What lies behind the seats' marks, of about that many bytes at most but at least all of one change.
    pub fn gather(&mut self, bytes_max: usize) -> Gathered {
        // Before it is looked whether a topic is closed, as a topic is closed before this moves past what it lacks.
        let routed = self.bus.routed();
        if self.seats.iter().any(|seat| seat.topic.is_closed()) {
            return Gathered::Stale;
        }
        let slots = self.bus.core().slots();
        let mut found = Vec::new();
        for seat in &self.seats {
            let lens = &seat.topic.lens;
            match seat.topic.take(seat.at, routed, |judged| slots.hold(lens.needs(), judged)) {
                Taken::Events(events) => found.extend(events.into_iter().map(|event| (seat.id, event))),
                Taken::Missing if seat.at >= routed && seat.topic.is_apart() => {}
                Taken::Missing => {
                    return Gathered::Behind(self.read_ahead());
                }
            }
        }
        found.sort_by_key(|(id, event)| (event.mark, *id));
        let through = cut(&mut found, bytes_max).unwrap_or(routed);
        self.move_to(through);
        Gathered::Events(found)
    }

    /// What lies behind the seats' marks, to be read from the log: for who can't wait until it comes by itself.
    pub fn read_ahead(&self) -> Reading {
        Reading { core: self.bus.core().clone(), seats: self.seats.clone(), begun: None }
    }

    /// Takes what was read, but for seats that were given up meanwhile.
    pub fn adopt(&mut self, read: Read) -> Events {
        let Read { mut events, through, seats } = read;
        let same = |seat: &Seat| {
            seats.iter().find(|other| other.id == seat.id).filter(|other| Arc::ptr_eq(&other.topic, &seat.topic))
        };
        events.retain(|(id, event)| {
            self.seats.iter().any(|seat| seat.id == *id && seat.at < event.mark && same(seat).is_some())
        });
        for seat in &mut self.seats {
            if let Some(read) = same(seat) {
                seat.at = seat.at.max(through);
                seat.generation = read.generation;
            }
        }
        events
    }

    fn move_to(&mut self, through: Mark) {
        for seat in &mut self.seats {
            seat.at = seat.at.max(through);
        }
    }

    /// A permit to read the log: few listeners do so at once, the others wait for their turn.
    pub fn turns(&self) -> Arc<tokio::sync::Semaphore> {
        self.bus.shared().reading.clone()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        for seat in std::mem::take(&mut self.seats) {
            self.bus.leave(seat.topic, &self.bell);
        }
    }
}

/// Leaves of events no more than so many bytes, but all of the first change; the mark that they reach up to where
/// something was cut off.
fn cut(events: &mut Events, bytes_max: usize) -> Option<Mark> {
    let mut bytes = 0;
    let over = events.iter().position(|(_, event)| {
        bytes += event.bytes();
        bytes > bytes_max
    })?;
    let last = events[over.saturating_sub(1)].1.mark;
    events.truncate(events.partition_point(|(_, event)| event.mark <= last));
    Some(last)
}

/// What is to be read from the log, on a thread that may wait for the disk.
#[derive(Debug)]
pub struct Reading {
    core: Core,
    seats: Vec<Seat>,
    /// The change that was begun with, for so many seats, and what it is for those.
    begun: Option<(Mark, usize, Events)>,
}

/// What one turn came to.
#[derive(Debug)]
pub enum Step {
    /// A piece, maybe without events.
    Done(Read),
    /// One change takes longer than a turn: it is gone on with in the next.
    Begun(Reading),
}

/// What was read.
#[derive(Debug)]
pub struct Read {
    events: Events,
    through: Mark,
    seats: Vec<Seat>,
}

impl Reading {
    /// Reads and judges the next piece of the log, for all seats together: as much as is bounded in bytes and in time.
    ///
    /// # Errors
    /// The place is lost.
    pub fn step(mut self) -> Result<Step, Lost> {
        let until = Instant::now() + limits::LIVE_READ_TIME;
        let from = self.seats.iter().map(|seat| seat.at).min().ok_or(Lost::Gone)?;
        let position = Position { seq: from.whole(), ..from.position };
        let mut consumer = self.core.consumer(position, Keeps::Nothing)?;
        let batch = consumer.next_batch(limits::LIVE_READ_BYTES)?;
        // Newer than all of the batch.
        let view = self.core.view();
        if self.seats.iter().any(|seat| seat.topic.lens.schema() != view.schema.version()) {
            return Err(Lost::Stale);
        }
        let (mut events, mut through, mut bytes) = (Vec::new(), from, 0);
        for changed in batch.iter().flat_map(|logged| changes(logged)).filter(|changed| changed.mark > from) {
            let (judged, mut found) = match self.begun.take() {
                Some((mark, judged, found)) if mark == changed.mark => (judged, found),
                _ => (0, Events::new()),
            };
            for number in judged..self.seats.len() {
                let seat = &mut self.seats[number];
                if seat.at >= changed.mark {
                    continue;
                }
                if let Some(what) = seat.judge(&view, &changed) {
                    let event = Event::new(changed.mark, what, view.position.seq);
                    bytes += event.bytes();
                    found.push((seat.id, event));
                }
                if Instant::now() < until || number + 1 == self.seats.len() {
                    continue;
                }
                self.begun = Some((changed.mark, number + 1, found));
                // What was read before it is given first: it is then begun with anew.
                return Ok(if through > from { self.read(events, through) } else { Step::Begun(self) });
            }
            events.append(&mut found);
            through = through.max(changed.mark);
            if bytes >= limits::LIVE_READ_BYTES || Instant::now() >= until {
                return Ok(self.read(events, through));
            }
        }
        let end = batch.last().map_or(from, |last| last.position.into());
        Ok(self.read(events, through.max(end)))
    }

    fn read(self, events: Events, through: Mark) -> Step {
        Step::Done(Read { events, through, seats: self.seats })
    }
}

impl Seat {
    fn judge(&mut self, view: &Published, changed: &Changed<'_>) -> Option<Tell> {
        let of = self.topic.of();
        match &changed.what {
            What::Record(change) if change.collection == of.collection => {
                self.generation = Some(change.generation);
                let wanted = of.id.as_ref().is_none_or(|id| id == change.id);
                if wanted { self.topic.lens.tell(view, change).map(Tell::Record) } else { None }
            }
            What::Defined(collection, generation) if *collection == of.collection => {
                // Where it is not known what was before, it is safe to say that it went.
                let before = self.generation.replace(*generation).unwrap_or(Generation(1));
                (before != *generation).then_some(Tell::Emptied)
            }
            // Whoever listens to a collection that went is told by whoever knows it by its name.
            What::Record(_) | What::Defined(..) | What::Dropped(_) => None,
        }
    }
}

impl From<Ended> for Lost {
    fn from(ended: Ended) -> Lost {
        match ended {
            Ended::Trimmed(_) | Ended::Reset => Lost::Gone,
            Ended::Stopping => Lost::Stopping,
            Ended::Failed(error) => Lost::Failed(error),
        }
    }
}

/// Before everything that can be told.
pub fn beginning(view: &Published) -> Mark {
    Position { seq: Seq::ZERO, ..view.position }.into()
}
