//! A topic: what one lens tells of one collection or record, kept for a short while for those who listen.
//!
//! Invariant of a ring: it holds every event of its topic behind its `from`. Whoever is before that goes to the log.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Lens, Told};
use crate::id::{CollectionId, Mark, RecordId, Seq};
use crate::limits;

/// Rung when a listener may have something to take. One that is rung while nobody waits stays rung.
pub type Bell = Arc<Notify>;

/// Whose changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Of {
    /// The collection.
    pub collection: CollectionId,
    /// The record; `None` for all of them.
    pub id: Option<RecordId>,
}

/// Something to be told.
#[derive(Debug)]
pub struct Event {
    /// Behind it.
    pub mark: Mark,
    /// The same as text.
    pub mark_text: Box<str>,
    /// What.
    pub what: Tell,
    /// The view that it was judged by.
    judged: Seq,
    /// As most who are told of it are sent it.
    sent: OnceLock<Bytes>,
}

/// What an event tells.
#[derive(Debug)]
pub enum Tell {
    /// Of one record.
    Record(Told),
    /// All records of the collection went at once.
    Emptied,
}

impl Event {
    pub(super) fn new(mark: Mark, what: Tell, judged: Seq) -> Arc<Event> {
        let mark_text = mark.to_string().into();
        Arc::new(Event { mark, mark_text, what, judged, sent: OnceLock::new() })
    }

    /// The bytes that it is sent as, which whoever sends it first makes for all.
    pub fn sent_as(&self, make: impl FnOnce(&Event) -> Bytes) -> Bytes {
        self.sent.get_or_init(|| make(self)).clone()
    }

    /// Of memory, about: the record as it is and as it is sent.
    pub fn bytes(&self) -> usize {
        let record = if let Tell::Record(told) = &self.what { told.record.len() } else { 0 };
        size_of::<Event>() + 3 * self.mark_text.len() + 2 * record
    }
}

/// Same collection, same lens: same events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) of: Of,
    pub(super) schema: Seq,
    /// What tells its lens from others.
    pub(super) lens: Bytes,
}

/// Bytes that all rings hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Topic {
    pub(super) key: Key,
    pub(super) lens: Arc<dyn Lens>,
    /// Its lens takes so long that each listener has to see to itself.
    apart: AtomicBool,
    /// How often in a row it took so long.
    slow: AtomicU32,
    /// It gets nothing any more.
    closed: AtomicBool,
    ring: Mutex<Ring>,
    bells: Mutex<Vec<Weak<Notify>>>,
    held: Held,
}

#[derive(Debug)]
struct Ring {
    from: Mark,
    events: VecDeque<(Instant, Arc<Event>)>,
    bytes: usize,
}

/// What a ring has for a listener.
pub(super) enum Taken {
    /// These, maybe none.
    Events(Vec<Arc<Event>>),
    /// Not all that it needs.
    Missing,
}

impl Topic {
    /// One whose ring holds what comes behind `from`.
    pub(super) fn new(key: Key, lens: Arc<dyn Lens>, from: Mark, held: Held) -> Topic {
        let ring = Ring { from, events: VecDeque::new(), bytes: 0 };
        Topic {
            key,
            lens,
            apart: AtomicBool::new(false),
            slow: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            ring: Mutex::new(ring),
            bells: Mutex::default(),
            held,
        }
    }

    /// Whose changes it tells of.
    pub fn of(&self) -> &Of {
        &self.key.of
    }

    pub(super) fn listen(&self, bell: &Bell) {
        let mut bells = self.bells.lock();
        // Those that went are forgotten when as many have come.
        if bells.len() == bells.capacity() {
            bells.retain(|bell| bell.strong_count() > 0);
        }
        bells.push(Arc::downgrade(bell));
    }

    /// Whether there are so few who listen that it is of no use to judge a change once for all of them.
    pub(super) fn is_for_few(&self) -> bool {
        self.bells.lock().len() < limits::LIVE_SHARED_MIN
    }

    /// Rings this bell once less often.
    pub(super) fn forget(&self, bell: &Bell) {
        let mut bells = self.bells.lock();
        if let Some(at) = bells.iter().position(|other| other.as_ptr() == Arc::as_ptr(bell)) {
            bells.swap_remove(at);
        }
    }

    /// What came up to a mark is in the log, and has to be read there.
    pub(super) fn begin_behind(&self, mark: Mark) {
        let mut ring = self.ring.lock();
        while !ring.events.is_empty() {
            ring.forget_first(&self.held);
        }
        ring.from = mark;
    }

    /// How many there are.
    pub(super) fn ring_bells(&self) -> usize {
        let mut gone = false;
        let mut bells = self.bells.lock();
        for bell in bells.iter() {
            match bell.upgrade() {
                Some(bell) => bell.notify_one(),
                None => gone = true,
            }
        }
        if gone {
            bells.retain(|bell| bell.strong_count() > 0);
        }
        bells.len()
    }

    /// Notes whether its lens took long; whether it does so again and again. Once may be the machine's doing.
    pub(super) fn was_slow(&self, is_slow: bool) -> bool {
        if !is_slow {
            self.slow.store(0, Ordering::Relaxed);
            return false;
        }
        self.slow.fetch_add(1, Ordering::Relaxed) + 1 >= limits::LIVE_SLOW_MAX
    }

    /// Nobody shall have it judged for all any more.
    pub(super) fn set_apart(&self) {
        self.apart.store(true, Ordering::Release);
    }

    pub(super) fn is_apart(&self) -> bool {
        self.apart.load(Ordering::Acquire)
    }

    /// Nothing comes any more: whoever listens has to come anew.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn push(&self, now: Instant, event: Arc<Event>) {
        let bytes = event.bytes();
        let mut ring = self.ring.lock();
        ring.events.push_back((now, event));
        ring.bytes += bytes;
        let all = self.held.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        while ring.events.len() > limits::LIVE_RING_EVENTS
            || ring.bytes > limits::LIVE_RING_BYTES
            || (all > limits::LIVE_RINGS_BYTES && !ring.events.is_empty())
        {
            ring.forget_first(&self.held);
        }
    }

    /// Forgets what is as old as that; whether something is left.
    pub(super) fn forget_older(&self, now: Instant, age: Duration) -> bool {
        let mut ring = self.ring.lock();
        while ring.events.front().is_some_and(|(since, _)| now.duration_since(*since) >= age) {
            ring.forget_first(&self.held);
        }
        !ring.events.is_empty()
    }

    /// The events behind `after` up to `through`, if it holds them all and `holds` says that none has to be judged again.
    pub(super) fn take(&self, after: Mark, through: Mark, holds: impl Fn(Seq) -> bool) -> Taken {
        let ring = self.ring.lock();
        if ring.from > after || self.is_apart() {
            return Taken::Missing;
        }
        let begin = ring.events.partition_point(|(_, event)| event.mark <= after);
        let wanted = ring.events.range(begin..).map(|(_, event)| event).take_while(|event| event.mark <= through);
        let events: Vec<_> = wanted.cloned().collect();
        if events.iter().all(|event| holds(event.judged)) { Taken::Events(events) } else { Taken::Missing }
    }
}

impl Ring {
    fn forget_first(&mut self, held: &Held) {
        if let Some((_, event)) = self.events.pop_front() {
            self.from = event.mark;
            self.bytes -= event.bytes();
            held.0.fetch_sub(event.bytes(), Ordering::Relaxed);
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.ring.get_mut().bytes, Ordering::Relaxed);
    }
}
