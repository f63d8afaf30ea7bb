//! Which topics a change is for: by its collection, and among those of single records by its id. A change that nobody
//! listens to costs a lookup, however many listen to others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::topic::{Held, Key, Topic};
use super::{Bell, Lens, Of};
use crate::core::Published;
use crate::id::{CollectionId, Mark, RecordId, Seq};

/// All topics of the bus, and who watches which record.
#[derive(Debug)]
pub(super) struct Index {
    /// The schema that the topics are of.
    schema: Seq,
    /// The last change that is being routed, or was: a topic that comes now gets those behind it.
    pub(super) promised: Mark,
    topics: HashMap<Key, Weak<Topic>>,
    collections: HashMap<CollectionId, Topics>,
    /// Bells to be rung when a record changes, whatever it is.
    watched: HashMap<(CollectionId, RecordId), Vec<Weak<Notify>>>,
    held: Held,
}

#[derive(Debug, Default)]
struct Topics {
    of_all: Vec<Weak<Topic>>,
    of_one: HashMap<RecordId, Vec<Weak<Topic>>>,
}

impl Index {
    /// Without topics, at a view.
    pub(super) fn new(view: &Published, held: Held) -> Index {
        Index {
            schema: view.schema.version(),
            promised: view.position.into(),
            topics: HashMap::new(),
            collections: HashMap::new(),
            watched: HashMap::new(),
            held,
        }
    }

    /// Begins anew at a view: every topic gets nothing any more, and is given back to be told.
    pub(super) fn begin_at(&mut self, view: &Published) -> Vec<Arc<Topic>> {
        let closed = self.topics.drain().filter_map(|(_, topic)| topic.upgrade()).collect();
        self.collections.clear();
        self.schema = view.schema.version();
        self.promised = view.position.into();
        closed
    }

    /// The topic of that lens, made where there is none. One of an older schema gets nothing: its listeners find that it
    /// is to be made anew.
    pub(super) fn join(&mut self, of: Of, name: bytes::Bytes, lens: Arc<dyn Lens>) -> Arc<Topic> {
        let schema = lens.schema();
        let key = Key { of, schema, lens: name };
        if let Some(topic) = self.topics.get(&key).and_then(Weak::upgrade) {
            return topic;
        }
        if schema < self.schema {
            let topic = Topic::new(key, lens, self.promised, self.held.clone());
            topic.close();
            return Arc::new(topic);
        }
        // Those that the bus held when their last listener went.
        if self.topics.len() == self.topics.capacity() {
            self.retain(|topic| topic.strong_count() > 0);
        }
        let topic = Arc::new(Topic::new(key.clone(), lens, self.promised, self.held.clone()));
        let topics = self.collections.entry(key.of.collection).or_default();
        let among = match &key.of.id {
            None => &mut topics.of_all,
            Some(id) => topics.of_one.entry(id.clone()).or_default(),
        };
        put(among, Arc::downgrade(&topic));
        self.topics.insert(key, Arc::downgrade(&topic));
        topic
    }

    /// Forgets a topic that nobody listens to.
    pub(super) fn leave(&mut self, key: &Key) {
        if self.topics.get(key).is_some_and(|topic| topic.strong_count() == 0) {
            self.topics.remove(key);
        }
        let Some(topics) = self.collections.get_mut(&key.of.collection) else { return };
        match &key.of.id {
            None => topics.of_all.retain(|topic| topic.strong_count() > 0),
            Some(id) => {
                if let Some(among) = topics.of_one.get_mut(id) {
                    among.retain(|topic| topic.strong_count() > 0);
                    if among.is_empty() {
                        topics.of_one.remove(id);
                    }
                }
            }
        }
    }

    /// Has a bell rung when a record changes.
    pub(super) fn watch(&mut self, collection: CollectionId, id: RecordId, bell: &Bell) {
        put(self.watched.entry((collection, id)).or_default(), Arc::downgrade(bell));
    }

    /// Has it rung for that no more.
    pub(super) fn unwatch(&mut self, collection: CollectionId, id: &RecordId, bell: &Bell) {
        let key = (collection, id.clone());
        if let Some(bells) = self.watched.get_mut(&key) {
            bells.retain(|other| other.strong_count() > 0 && other.as_ptr() != Arc::as_ptr(bell));
            if bells.is_empty() {
                self.watched.remove(&key);
            }
        }
    }

    /// The topics that a record's change is for.
    pub(super) fn of_record(&self, collection: CollectionId, id: &RecordId) -> impl Iterator<Item = Arc<Topic>> {
        let topics = self.collections.get(&collection);
        let of_one = topics.and_then(|topics| topics.of_one.get(id)).into_iter().flatten();
        topics.into_iter().flat_map(|topics| &topics.of_all).chain(of_one).filter_map(Weak::upgrade)
    }

    /// All topics of a collection.
    pub(super) fn of_collection(&self, collection: CollectionId) -> impl Iterator<Item = Arc<Topic>> {
        let topics = self.collections.get(&collection).into_iter();
        topics.flat_map(|topics| topics.of_all.iter().chain(topics.of_one.values().flatten())).filter_map(Weak::upgrade)
    }

    /// The bells of those who watch a record.
    pub(super) fn watchers(&self, collection: CollectionId, id: &RecordId) -> impl Iterator<Item = Bell> {
        // Few records are watched, those of callers: most changes are of others.
        let watched = if self.watched.is_empty() { None } else { self.watched.get(&(collection, id.clone())) };
        watched.into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// Goes over to a schema: topics of others get nothing any more, and are given back to be told.
    pub(super) fn move_to(&mut self, schema: Seq) -> Vec<Arc<Topic>> {
        if schema == self.schema {
            return Vec::new();
        }
        self.schema = schema;
        let closed =
            self.topics.values().filter_map(Weak::upgrade).filter(|topic| topic.key.schema != schema).collect();
        self.retain(|topic| topic.upgrade().is_some_and(|topic| topic.key.schema == schema));
        closed
    }

    fn retain(&mut self, stays: impl Fn(&Weak<Topic>) -> bool) {
        self.topics.retain(|_, topic| stays(topic));
        self.collections.retain(|_, topics| {
            topics.of_all.retain(&stays);
            topics.of_one.retain(|_, among| {
                among.retain(&stays);
                !among.is_empty()
            });
            !topics.of_all.is_empty() || !topics.of_one.is_empty()
        });
    }

    /// Topics that somebody listens to.
    pub(super) fn len(&self) -> usize {
        self.topics.values().filter(|topic| topic.strong_count() > 0).count()
    }
}

/// Adds one; those that went are dropped when as many have come.
fn put<T>(among: &mut Vec<Weak<T>>, one: Weak<T>) {
    if among.len() == among.capacity() {
        among.retain(|other| other.strong_count() > 0);
    }
    among.push(one);
}
