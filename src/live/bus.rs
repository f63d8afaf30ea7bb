//! The bus: one thread that follows the log, has each change judged once for each topic it is for, and rings bells.
//!
//! Bells are rung at once where they were not rung lately. Else they wait until those who were rung can have sent what
//! they had, and what comes meanwhile goes out with it: under load a socket is written to once for several events.
//!
//! Invariants: what lies up to [`Bus::routed`] is in the rings of all topics that were there before it was read; a topic
//! is judged by views of its own schema only; a lens that takes too long is asked by its listeners, not here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::index::Index;
use super::topic::{Event, Held, Tell, Topic};
use super::{Bell, Lens, Of};
use crate::core::{Changed, Consumer, Core, Ended, Keeps, Published, RecordChange, What, changes};
use crate::error::{Error, Result};
use crate::id::{CollectionId, Mark, Position, RecordId};
use crate::limits;
use crate::log::Logged;
use crate::meter::Counter;

/// How often the thread looks at what it holds while nothing comes.
const TICK: Duration = Duration::from_millis(500);

/// The handle; the thread ends when the last clone is dropped, or when the core tells its consumers to.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: Core,
    index: Mutex<Index>,
    /// The last entry of which every topic has what is for it.
    routed: Mutex<Position>,
    held: Held,
    over: AtomicBool,
    /// Listeners that may read the log at once.
    pub(super) reading: Arc<Semaphore>,
    meters: Meters,
}

/// What is counted of live streams.
#[derive(Debug, Default)]
pub struct Meters {
    /// Changes that were judged for a topic.
    pub judged: Counter,
    /// Events that were given to listeners.
    pub told: Counter,
    /// Turns in which a listener read the log, as what it wanted was not in memory.
    pub read: Counter,
    /// Times that a listener was told that what it has is out of date.
    pub reset: Counter,
    /// Streams that ended as their caller's token or account did.
    pub ended: Counter,
}

impl Bus {
    /// Starts the thread; it begins behind the newest entry.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn start(core: Core) -> Result<Bus> {
        let view = core.view();
        let held = Held::default();
        let consumer = core
            .consumer(view.position, Keeps::Nothing)
            .map_err(|ended| Error::internal(format!("the log can't be followed: {ended:?}")))?;
        let shared = Arc::new(Shared {
            core,
            index: Mutex::new(Index::new(&view, held.clone())),
            routed: Mutex::new(view.position),
            held,
            over: AtomicBool::new(false),
            reading: Arc::new(Semaphore::new(limits::LIVE_READERS)),
            meters: Meters::default(),
        });
        drop(view);
        let router = Router { shared: shared.clone(), consumer, warm: VecDeque::new(), rung: Rung::default() };
        let thread = std::thread::Builder::new().name("live".to_owned()).spawn(move || router.run());
        let thread = thread.map_err(|error| Error::internal("no thread for live streams").source(error))?;
        Ok(Bus(Arc::new(Inner { shared, thread: Some(thread) })))
    }

    /// The core that it follows.
    pub fn core(&self) -> &Core {
        &self.0.shared.core
    }

    /// The topic of a lens, whose ring holds what comes from now on. `name` tells the lens from all others of the same
    /// schema.
    pub(super) fn join(&self, of: Of, name: Bytes, lens: Arc<dyn Lens>, bell: &Bell) -> Arc<Topic> {
        let topic = self.0.shared.index.lock().join(of, name, lens);
        topic.listen(bell);
        topic
    }

    /// Gives a topic back, for which the bell was to be rung.
    pub(super) fn leave(&self, topic: Arc<Topic>, bell: &Bell) {
        topic.forget(bell);
        let key = topic.key.clone();
        drop(topic);
        self.0.shared.index.lock().leave(&key);
    }

    /// Has a bell rung whenever a record changes, for as long as the bell is there.
    pub fn watch(&self, collection: CollectionId, id: RecordId, bell: &Bell) {
        self.0.shared.index.lock().watch(collection, id, bell);
    }

    /// Has it rung for that no more.
    pub fn unwatch(&self, collection: CollectionId, id: &RecordId, bell: &Bell) {
        self.0.shared.index.lock().unwatch(collection, id, bell);
    }

    /// Up to which entry every topic has what is for it.
    pub fn routed(&self) -> Mark {
        (*self.0.shared.routed.lock()).into()
    }

    /// What is counted.
    pub fn meters(&self) -> &Meters {
        &self.0.shared.meters
    }

    /// Topics that are listened to, and bytes that their rings hold.
    pub fn figures(&self) -> (usize, usize) {
        (self.0.shared.index.lock().len(), self.0.shared.held.get())
    }

    /// Begins anew behind the newest entry, as if what comes next for it were not kept any more.
    #[cfg(test)]
    pub(super) fn pass_by(&self) {
        let shared = self.0.shared.clone();
        let consumer = shared.core.consumer(shared.core.view().position, Keeps::Nothing).expect("the newest is there");
        let router = Router { shared, consumer, warm: VecDeque::new(), rung: Rung::default() };
        router.skip(&Ended::Trimmed(crate::id::Seq(1))).expect("it goes on");
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // It holds views of the base, which has to be free of readers at its end.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of live streams panicked");
        }
    }
}

/// The thread's own.
struct Router {
    shared: Arc<Shared>,
    consumer: Consumer,
    /// Topics whose rings hold something, by when they were first filled.
    warm: VecDeque<(Instant, Weak<Topic>)>,
    rung: Rung,
}

impl Router {
    fn run(mut self) {
        loop {
            let more = match self.consumer.wait(self.rung.wait()) {
                Ok(more) => more,
                Err(ended) => return told(&ended),
            };
            if self.shared.over.load(Ordering::Acquire) {
                return;
            }
            self.cool();
            self.rung.ring_if_due();
            if !more {
                continue;
            }
            match self.consumer.next_batch(limits::LIVE_BATCH_BYTES) {
                Ok(batch) => {
                    self.route(&batch);
                    self.rung.ring_if_due();
                }
                // It was so far behind that the log went, or the disk failed: each listener finds what it can for itself.
                Err(ended @ (Ended::Trimmed(_) | Ended::Failed(_))) => match self.skip(&ended) {
                    Ok(consumer) => self.consumer = consumer,
                    Err(ended) => return told(&ended),
                },
                Err(ended) => return told(&ended),
            }
        }
    }

    /// Begins anew behind the newest entry: the rings hold nothing that they should.
    fn skip(&self, why: &Ended) -> std::result::Result<Consumer, Ended> {
        let shared = &self.shared;
        let view = shared.core.view();
        tracing::warn!(?why, "live streams begin anew behind the newest entry: each sees to itself up to there");
        let closed = shared.index.lock().begin_at(&view);
        closed.iter().for_each(|topic| shut(topic));
        *shared.routed.lock() = view.position;
        shared.core.consumer(view.position, Keeps::Nothing)
    }

    fn route(&mut self, batch: &[Arc<Logged>]) {
        let shared = self.shared.clone();
        let Some(last) = batch.last() else { return };
        // Newer than all of the batch: what it says is judged by the rules of now.
        let view = shared.core.view();
        let closed = {
            let mut index = shared.index.lock();
            index.promised = last.position.into();
            index.move_to(view.schema.version())
        };
        let now = Instant::now();
        let (until, end) = (now + limits::LIVE_ROUTE_TIME, Mark::from(last.position));
        let mut left = HashSet::new();
        // Found for each change by itself: a batch may have many changes, each for many topics. A topic made meanwhile holds
        // what comes behind the batch.
        for Changed { mark, what, .. } in batch.iter().flat_map(|logged| changes(logged)) {
            match what {
                What::Record(change) => {
                    let (topics, watchers) = {
                        let index = shared.index.lock();
                        let topics: Vec<_> = index.of_record(change.collection, change.id).collect();
                        (topics, index.watchers(change.collection, change.id).collect::<Vec<_>>())
                    };
                    watchers.into_iter().for_each(|bell| self.rung.bell(bell));
                    for topic in topics {
                        let address = Arc::as_ptr(&topic).addr();
                        // What few listen to is judged for them alone: where that takes too long all others wait for it.
                        if !left.contains(&address) && Instant::now() >= until && topic.is_for_few() {
                            topic.begin_behind(end);
                            left.insert(address);
                        }
                        if !topic.is_apart() && !left.contains(&address) {
                            self.judge(&topic, &view, (mark, &change), now);
                        }
                        self.rung.topic(&topic);
                    }
                }
                // What it does to the records is told by the log alone.
                What::Defined(collection, _) => {
                    let topics: Vec<_> = shared.index.lock().of_collection(collection).collect();
                    for topic in topics {
                        if !left.contains(&Arc::as_ptr(&topic).addr()) {
                            topic.begin_behind(mark);
                        }
                        self.rung.topic(&topic);
                    }
                }
                What::Dropped(_) => {}
            }
        }
        drop(view);
        closed.iter().for_each(|topic| shut(topic));
        *shared.routed.lock() = last.position;
    }

    fn judge(&mut self, topic: &Arc<Topic>, view: &Published, (mark, change): (Mark, &RecordChange<'_>), now: Instant) {
        let began = Instant::now();
        self.shared.meters.judged.add(1);
        // A fault in one listener's expressions is no fault of all others.
        let told = catch_unwind(AssertUnwindSafe(|| topic.lens.tell(view, change)));
        let Ok(told) = told else {
            tracing::error!(of = ?topic.of(), "a listener's filter or rule panicked: it is asked apart");
            return topic.set_apart();
        };
        if topic.was_slow(began.elapsed() > limits::LIVE_JUDGE_TIME_MAX) {
            tracing::debug!(of = ?topic.of(), "a listener's filter or rule takes long: it is asked apart");
            return topic.set_apart();
        }
        let Some(told) = told else { return };
        topic.push(now, Event::new(mark, Tell::Record(told), view.position.seq));
        self.warm.push_back((now, Arc::downgrade(topic)));
    }

    /// Empties rings of what whoever listens has taken by now, or takes from the log.
    fn cool(&mut self) {
        let now = Instant::now();
        while let Some((since, _)) = self.warm.front()
            && now.duration_since(*since) >= limits::LIVE_RING_AGE
        {
            if let Some(topic) = self.warm.pop_front().and_then(|(_, topic)| topic.upgrade()) {
                topic.forget_older(now, limits::LIVE_RING_AGE);
            }
        }
    }
}

/// What is to be rung, each once.
#[derive(Default)]
struct Rung {
    topics: HashMap<usize, Weak<Topic>>,
    bells: HashMap<usize, Bell>,
    /// Not before that.
    due: Option<Instant>,
}

impl Rung {
    fn topic(&mut self, topic: &Arc<Topic>) {
        self.topics.entry(Arc::as_ptr(topic).addr()).or_insert_with(|| Arc::downgrade(topic));
    }

    fn bell(&mut self, bell: Bell) {
        self.bells.entry(Arc::as_ptr(&bell).addr()).or_insert(bell);
    }

    fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.bells.is_empty()
    }

    /// How long nothing is to be done, if nothing comes.
    fn wait(&self) -> Duration {
        let due = self.due.filter(|_| !self.is_empty());
        due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()).min(TICK))
    }

    fn ring_if_due(&mut self) {
        let now = Instant::now();
        if self.is_empty() || self.due.is_some_and(|due| now < due) {
            return;
        }
        let topics = self.topics.drain().filter_map(|(_, topic)| topic.upgrade());
        let of_topics: usize = topics.map(|topic| topic.ring_bells()).sum();
        let rung = of_topics + self.bells.len();
        self.bells.drain().for_each(|(_, bell)| bell.notify_one());
        let pause = limits::LIVE_SEND_TIME.saturating_mul(u32::try_from(rung).unwrap_or(u32::MAX));
        self.due = Some(now + pause.min(limits::LIVE_PAUSE_MAX));
    }
}

fn shut(topic: &Topic) {
    topic.close();
    // How many they are is of no interest.
    let _ = topic.ring_bells();
}

fn told(ended: &Ended) {
    if !matches!(ended, Ended::Stopping) {
        tracing::error!(?ended, "live streams get nothing any more");
    }
}
