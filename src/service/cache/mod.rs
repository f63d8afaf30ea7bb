//! The cache in front of reads: finished answers by what was asked, and under lists finished records by id.
//!
//! Invariants: never stale, by the change slots of `core` (the proof stands there). An answer is kept only with all that
//! it depends on (`needs`), and is shared only by callers for whom the guard and every expression give the same
//! (`question`). What is over a bound, or depends on the clock, isn't kept.
//!
//! Behind it lies, where the settings name one, a tier that several servers share (`second`), whose proof is its own: a
//! miss in memory is asked for there before the answer is made, and what is made is kept in both.

mod figures;
mod finished;
mod flights;
#[cfg(test)]
mod fresh;
mod invalidate;
mod needs;
mod question;
mod second;
#[cfg(test)]
mod tests;
mod tier;

use std::sync::Arc;

use bytes::Bytes;

use crate::config::Settings;
use crate::core::{Core, Published, Slot, Slots};
use crate::error::{Error, Result};
use crate::id::{CollectionId, Seq};
use crate::limits;
use crate::model::mask::Mask;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::service::{Secret, Service};

pub use figures::CacheFigures;
pub(super) use finished::Finishing;
pub(super) use flights::{Ended, Flights, Joined, Leader};
pub(super) use needs::Needs;
pub use question::Question;
use second::Second;
pub(super) use second::Ticket;
use tier::{Tier, Weigh};

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `None`: there is no such record, for this caller.
    pub found: Option<Found>,
    /// Who had it.
    pub origin: Origin,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was made.
    Store,
    /// It was kept in this server's memory.
    Memory,
    /// It was kept in the second tier.
    Second,
}

impl Answer {
    /// Whether it was kept from before.
    pub fn is_hit(&self) -> bool {
        self.origin != Origin::Store
    }
}

/// What was found, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// JSON.
    pub body: Bytes,
    /// The entity tag with its quotes, of one record.
    pub tag: Option<Bytes>,
}

/// A kept answer.
#[derive(Clone, Debug)]
struct Kept {
    /// The collection that was asked.
    of: CollectionId,
    found: Option<Found>,
    /// Of the view that it was made from.
    made: Seq,
    needs: Box<[Slot]>,
}

/// Where an answer is to be kept, and with what.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Box<[u8]>,
    of: CollectionId,
    needs: Box<[Slot]>,
}

/// Both tiers in memory, and who waits for what.
#[derive(Debug)]
pub(super) struct Cache {
    slots: Arc<Slots>,
    answers: Tier<Arc<Kept>>,
    finished: Tier<finished::Body>,
    pub(super) flights: Flights,
    second: Option<Arc<Second>>,
}

/// What came of asking the second tier.
#[derive(Debug)]
pub(super) enum Looked {
    /// It had it.
    Found(Answer),
    /// It is to be made; and may be kept there, where it was asked.
    Open(Option<Ticket>),
}

impl Cache {
    /// Room for so many bytes in all; `None` for none.
    pub(super) fn new(bytes: usize, slots: Arc<Slots>) -> Option<Cache> {
        let half = bytes / 2;
        (half > 0).then(|| Cache {
            slots,
            answers: Tier::new(half),
            finished: Tier::new(half),
            flights: Flights::default(),
            second: None,
        })
    }

    /// Whether the settings can be kept to, before anything is opened for them.
    ///
    /// # Errors
    /// `Invalid` for a second tier whose address is none.
    pub(super) fn validate(settings: &Settings) -> Result<()> {
        settings.l2_cache.as_deref().map_or(Ok(()), |url| Second::validate(url).map_err(wrong_address))
    }

    /// As the settings have it.
    ///
    /// # Errors
    /// `Invalid` for a second tier whose address is none.
    pub(super) fn of(core: &Core, settings: &Settings, secret: &Secret) -> Result<Option<Cache>> {
        let Some(mut cache) = Cache::new(settings.cache_bytes, core.slots().clone()) else { return Ok(None) };
        if let Some(url) = &settings.l2_cache {
            let second = Second::new(url, core.identity().database, secret, core.slots().clone());
            cache.second = Some(Arc::new(second.map_err(wrong_address)?));
        }
        Ok(Some(cache))
    }

    /// The answer to a question, if one is kept that holds now. Only hits are counted.
    pub(super) fn find(&self, question: &Question<'_>) -> Option<Answer> {
        let kept = question.keys().find_map(|key| self.answers.get(&key).filter(|kept| self.holds(kept)))?;
        self.answers.hit();
        Some(Answer { found: kept.found.clone(), origin: Origin::Memory })
    }

    fn holds(&self, kept: &Kept) -> bool {
        self.slots.hold(&kept.needs, kept.made)
    }

    /// Where an answer about a collection with these needs belongs; `None` if it may not be kept. Known before it is
    /// made.
    pub(super) fn place(question: &Question<'_>, of: CollectionId, needs: Needs) -> Option<Place> {
        let sharing = needs.sharing()?;
        let key: Box<[u8]> = question.key(sharing)?.into();
        (key.len() <= limits::CACHE_QUESTION_BYTES_MAX).then(|| Place { key, of, needs: needs.into_slots() })
    }

    /// Keeps an answer that was made from a view at `made`, if it has a place, and says that it was not kept before. With
    /// a ticket it is kept in the second tier too.
    pub(super) fn keep(&self, place: Option<Place>, made: Seq, found: Option<&Found>, ticket: Option<Ticket>) {
        self.answers.miss();
        let bytes = found.map_or(0, |found| found.body.len());
        let Some(Place { key, of, needs }) = place else { return };
        if bytes > limits::CACHE_ANSWER_BYTES_MAX {
            return;
        }
        if let (Some(second), Some(ticket), Some(found)) = (&self.second, ticket, found) {
            second.put(ticket, &needs, found);
        }
        // What was made may lie in more room than it takes.
        let exact = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let found = found.map(|found| Found { body: exact(&found.body), tag: found.tag.as_ref().map(exact) });
        self.answers.put(key, Arc::new(Kept { of, found, made, needs }));
    }

    /// Finished records of lists of a view at `at`, as one mask shows them.
    pub(super) fn finishing<'c>(&'c self, collection: &'c Collection, mask: &'c Mask, at: Seq) -> Finishing<'c> {
        Finishing::new(&self.finished, &self.slots, collection, mask, at)
    }
}

fn wrong_address(why: String) -> Error {
    Error::invalid(format!("l2_cache: {why}"))
}

impl Service {
    /// Asks the second tier, if there is one, for the answer that a view gives to a question about a collection. `own` is
    /// the record that is needed by itself. Waits for `limits::L2_READ_TIME` at most.
    pub(super) async fn look_further(
        &self,
        question: &Question<'_>,
        of: CollectionId,
        needs: Option<&Needs>,
        view: &Arc<Published>,
        own: Option<&Record>,
    ) -> Looked {
        let tiers = self.0.cache.as_deref().and_then(|cache| Some((cache, cache.second.as_ref()?)));
        let Some(((cache, second), needs)) = tiers.zip(needs) else { return Looked::Open(None) };
        let own = own.map(|record| (of, record));
        let Some(sought) = second.sought(question, needs, view, own) else { return Looked::Open(None) };
        match second.look(sought).await {
            Ok(found) => {
                cache.keep(Cache::place(question, of, needs.clone()), view.position.seq, Some(&found), None);
                Looked::Found(Answer { found: Some(found), origin: Origin::Second })
            }
            Err(ticket) => Looked::Open(ticket),
        }
    }
}

impl Cache {
    /// Drops what patterns and keys (`*`, `orders/*`, `orders/ID`) name; what names nothing drops nothing.
    pub(super) fn drop_patterns(&self, schema: &Schema, patterns: &[Box<str>]) {
        self.drop_named(&invalidate::of_patterns(schema, patterns));
    }
}

impl Weigh for Arc<Kept> {
    fn bytes(&self) -> usize {
        let found = self.found.as_ref().map_or(0, |found| found.body.len() + found.tag.as_ref().map_or(0, Bytes::len));
        size_of::<Kept>() + found + size_of_val(&*self.needs)
    }
}
