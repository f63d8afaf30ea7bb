//! Dropping what is kept, by key or pattern, at a superuser's word. Nothing kept is ever stale, so this frees room and
//! proves a point, no more.
//!
//! It drops entries by what they depend on, rather than to move slots: a slot over the newest position
//! would leave what is read next without a place until something is written.

use super::{Cache, finished};
use crate::core::Slot;
use crate::error::Result;
use crate::id::{CollectionId, RecordId};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json::{checked_text, elements_up_to, members, text_of};
use crate::model::schema::Schema;

/// What a key or a pattern names.
pub(in crate::service) enum Named {
    /// `*`
    Everything,
    /// `orders/*`
    Collection(CollectionId),
    /// `orders/ID`
    Record(CollectionId, RecordId),
}

/// Reads `{"keys": ["orders/ID"], "patterns": ["orders/*", "*"]}`. A collection that is not there is no fault: nothing of
/// it is kept.
///
/// # Errors
/// `Invalid` with all faults of the body.
pub(in crate::service) fn named(schema: &Schema, body: &[u8]) -> Result<Vec<Named>> {
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
    Ok(keys.into_iter().chain(patterns).flatten().collect())
}

/// What one text names: nothing where there is no such collection; an error says what it should be.
type Read = std::result::Result<Option<Named>, &'static str>;

fn list(schema: &Schema, name: &str, raw: &str, read: fn(&Schema, &str) -> Read, faults: &mut Faults) -> Vec<Named> {
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
    Ok(schema.find(collection).map(|collection| Named::Record(collection.id, id)))
}

fn pattern(schema: &Schema, text: &str) -> Read {
    match text.split_once('/') {
        None if text == "*" => Ok(Some(Named::Everything)),
        Some((collection, "*")) => Ok(schema.find(collection).map(|collection| Named::Collection(collection.id))),
        _ => Err("must be * or a collection and *, such as orders/*"),
    }
}

impl Named {
    /// Whether an answer about `of` shows something of it, or may.
    fn is_in(&self, of: CollectionId, needs: &[Slot]) -> bool {
        match self {
            Named::Everything => true,
            Named::Collection(id) => of == *id || needs.contains(&Slot::of_collection(*id)),
            Named::Record(collection, id) => {
                let slots = [Slot::of_record(*collection, id), Slot::of_collection(*collection)];
                slots.iter().any(|slot| needs.contains(slot))
            }
        }
    }
}

impl Cache {
    /// Drops what shows something of what is named: answers, and finished records. How many.
    pub(in crate::service) fn drop_named(&self, named: &[Named]) -> usize {
        let answers = self.answers.drop_where(|_, kept| named.iter().any(|one| one.is_in(kept.of, &kept.needs)));
        let records = self.finished.drop_where(|key, _| {
            named.iter().any(|one| match one {
                Named::Everything => true,
                Named::Collection(id) => finished::is_of(key, *id, None),
                Named::Record(collection, id) => finished::is_of(key, *collection, Some(id)),
            })
        });
        answers + records
    }
}
