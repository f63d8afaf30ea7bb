//! Dropping what is kept, by key or pattern, at a superuser's word. Nothing kept is ever stale, so this frees room and
//! proves a point, no more.
//!
//! It drops entries by what they depend on, rather than to move slots: a slot over the newest position
//! would leave what is read next without a place until something is written.

use std::collections::{BTreeSet, HashSet};

use super::{Cache, finished};
use crate::core::Slot;
use crate::error::Result;
use crate::id::{CollectionId, RecordId};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json::{checked_text, elements_up_to, members, text_of};
use crate::model::schema::Schema;

/// What keys and patterns name, as it is looked for: the time that dropping takes does not depend on how many there are.
#[derive(Debug, Default)]
pub(in crate::service) struct Named {
    /// `*`
    everything: bool,
    /// `orders/*`
    collections: HashSet<CollectionId>,
    /// `orders/ID`
    records: HashSet<(CollectionId, RecordId)>,
    /// Those that an answer depends on which shows something of it, or may.
    slots: HashSet<Slot>,
}

/// One of them.
enum One {
    Everything,
    Collection(CollectionId),
    Record(CollectionId, RecordId),
}

/// Reads `{"keys": ["orders/ID"], "patterns": ["orders/*", "*"]}`. A collection that is not there is no fault: nothing of
/// it is kept.
///
/// # Errors
/// `Invalid` with all faults of the body.
pub(in crate::service) fn named(schema: &Schema, body: &[u8]) -> Result<Named> {
    let mut faults = Faults::default();
    let (mut keys, mut patterns) = (None, None);
    for (name, raw) in members(checked_text(body)?)? {
        let (into, read): (_, fn(&Schema, &str) -> Read) = match &*name {
            "keys" => (&mut keys, key),
            "patterns" => (&mut patterns, pattern),
            other => {
                let shown: String = other.chars().take(limits::NAME_BYTES_MAX).collect();
                faults.add(shown, "unknown_field", "is not known here");
                if faults.full() {
                    break;
                }
                continue;
            }
        };
        if into.replace(list(schema, &name, raw, read, &mut faults)).is_some() {
            faults.add(name, "duplicate_key", "stands twice in the body");
        }
    }
    if keys.is_none() && patterns.is_none() && faults.is_empty() {
        faults.add("keys", "required", "keys or patterns must say what is to be dropped");
    }
    faults.into_result("the body has faults")?;
    let mut named = Named::default();
    keys.into_iter().chain(patterns).flatten().for_each(|one| named.add(one));
    Ok(named)
}

/// What one text names: nothing where there is no such collection; an error says what it should be.
type Read = std::result::Result<Option<One>, &'static str>;

fn list(schema: &Schema, name: &str, raw: &str, read: fn(&Schema, &str) -> Read, faults: &mut Faults) -> Vec<One> {
    let Some(items) = elements_up_to(raw, limits::INVALIDATE_MAX) else {
        faults.add(name, "wrong_type", "must be a list of texts");
        return Vec::new();
    };
    if items.len() > limits::INVALIDATE_MAX {
        faults.add(name, "too_many", format!("must have {} items at most", limits::INVALIDATE_MAX));
        return Vec::new();
    }
    let mut named = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        match text_of(item).ok_or("must be a text").and_then(|text| read(schema, &text)) {
            Ok(found) => named.extend(found),
            Err(why) => faults.add(format!("{name}.{at}"), "bad_key", why),
        }
        if faults.full() {
            break;
        }
    }
    named
}

fn key(schema: &Schema, text: &str) -> Read {
    const WHY: &str = "must be a collection and a record's id, such as orders/o1";
    let (collection, id) = text.split_once('/').ok_or(WHY)?;
    let id = RecordId::new(id).map_err(|_| WHY)?;
    Ok(schema.find(collection).map(|collection| One::Record(collection.id, id)))
}

fn pattern(schema: &Schema, text: &str) -> Read {
    match text.split_once('/') {
        None if text == "*" => Ok(Some(One::Everything)),
        Some((collection, "*")) => Ok(schema.find(collection).map(|collection| One::Collection(collection.id))),
        _ => Err("must be * or a collection and *, such as orders/*"),
    }
}

/// What patterns and keys name; one that names nothing is left out.
pub(in crate::service) fn of_patterns(schema: &Schema, patterns: &[Box<str>]) -> Named {
    let mut named = Named::default();
    for text in patterns {
        let found = pattern(schema, text).or_else(|_| key(schema, text));
        found.into_iter().flatten().for_each(|one| named.add(one));
    }
    named
}

impl Named {
    fn add(&mut self, one: One) {
        match one {
            One::Everything => self.everything = true,
            One::Collection(id) => {
                self.collections.insert(id);
                self.slots.insert(Slot::of_collection(id));
            }
            One::Record(collection, id) => {
                self.slots.extend([Slot::of_record(collection, &id), Slot::of_collection(collection)]);
                self.records.insert((collection, id));
            }
        }
    }

    /// The collections of which something is named; `None` for all that there are.
    pub(super) fn collections(&self) -> Option<BTreeSet<CollectionId>> {
        let of_records = self.records.iter().map(|(of, _)| *of);
        (!self.everything).then(|| self.collections.iter().copied().chain(of_records).collect())
    }

    /// Whether an answer about `of` goes.
    fn takes_answer(&self, of: CollectionId, needs: &[Slot]) -> bool {
        self.everything || self.collections.contains(&of) || needs.iter().any(|need| self.slots.contains(need))
    }

    /// Whether a finished record goes.
    fn takes_record(&self, key: &[u8]) -> bool {
        let is_named = || {
            let Some((of, id)) = finished::whose(key) else { return true };
            self.collections.contains(&of)
                || (!self.records.is_empty() && RecordId::new(id).is_ok_and(|id| self.records.contains(&(of, id))))
        };
        self.everything || is_named()
    }
}

impl Cache {
    /// Drops what shows something of what is named: answers, and finished records. How many.
    pub(in crate::service) fn drop_named(&self, named: &Named) -> usize {
        if let Some(second) = &self.second {
            second.drop_named(named);
        }
        let answers = self.answers.drop_where(|_, kept| named.takes_answer(kept.of, &kept.needs));
        let records = self.finished.drop_where(|key, _| named.takes_record(key));
        answers + records
    }
}
