//! The cache in front of reads: finished answers by what was asked, and under lists finished records by id.
//!
//! Invariants: never stale, by the change slots of `core` (the proof stands there). An answer is kept only with all that
//! it depends on (`needs`), and is shared only by callers for whom the guard and every expression give the same
//! (`question`). What is over a bound, or depends on the clock, isn't kept.
//!
//! What is kept is plain data (texts, bytes, a Seq, slots that mean the same on every server of a version), and its key
//! says all that an answer depends on beside the state: a second tier behind this one puts the database's id before the
//! key, and looks at the slots in the same way.

mod finished;
mod flights;
#[cfg(test)]
mod fresh;
mod invalidate;
mod needs;
mod question;
#[cfg(test)]
mod tests;
mod tier;

use std::sync::Arc;

use bytes::Bytes;

use crate::core::{Slot, Slots};
use crate::error::Result;
use crate::id::{CollectionId, Seq};
use crate::limits;
use crate::model::mask::Mask;
use crate::model::schema::{Collection, Schema};
use crate::service::{Caller, Service, access};

pub(super) use finished::Finishing;
pub(super) use flights::{Ended, Flights, Joined};
pub(super) use needs::Needs;
pub use question::Question;
use tier::{Figures, Tier, Weigh};

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `None`: there is no such record, for this caller.
    pub found: Option<Found>,
    /// Whether it was kept from before.
    pub hit: bool,
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
        })
    }

    /// The answer to a question, if one is kept that holds now. Only hits are counted.
    pub(super) fn find(&self, question: &Question<'_>) -> Option<Answer> {
        let kept = question.keys().find_map(|key| self.answers.get(&key).filter(|kept| self.holds(kept)))?;
        self.answers.hit();
        Some(Answer { found: kept.found.clone(), hit: true })
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

    /// Keeps an answer that was made from a view at `made`, if it has a place, and says that it was not kept before.
    pub(super) fn keep(&self, place: Option<Place>, made: Seq, found: Option<&Found>) {
        self.answers.miss();
        let bytes = found.map_or(0, |found| found.body.len());
        let Some(Place { key, of, needs }) = place else { return };
        if bytes > limits::CACHE_ANSWER_BYTES_MAX {
            return;
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

    fn figures(&self) -> [(&'static str, Figures); 2] {
        [("answers", self.answers.figures()), ("records", self.finished.figures())]
    }
}

impl Service {
    /// The tiers with their figures as JSON; none where the settings leave the cache no room.
    ///
    /// # Errors
    /// `Unauthenticated` for anybody but a superuser.
    pub fn cache_figures(&self, caller: Caller) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let tiers = self.0.cache.as_ref().map(|cache| cache.figures());
        let mut out = b"{\"tiers\":[".to_vec();
        for (at, (name, figures)) in tiers.into_iter().flatten().enumerate() {
            let Figures { entries, bytes, bytes_max, hits, misses } = figures;
            let comma = if at > 0 { "," } else { "" };
            let tier = format!(
                "{comma}{{\"name\":\"{name}\",\"entries\":{entries},\"bytes\":{bytes},\"bytesMax\":{bytes_max},\
                 \"hits\":{hits},\"misses\":{misses}}}"
            );
            out.extend_from_slice(tier.as_bytes());
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    /// Drops kept answers by `{"keys": ["orders/ID"], "patterns": ["orders/*"]}`: how many, as JSON.
    ///
    /// # Errors
    /// `Unauthenticated` for anybody but a superuser; `Invalid` with all faults of the body.
    pub fn invalidate_cache(&self, caller: Caller, body: &[u8]) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let named = invalidate::named(&self.core().view().schema, body)?;
        let entries = self.0.cache.as_ref().map_or(0, |cache| cache.drop_named(&named));
        Ok(format!("{{\"entries\":{entries}}}").into_bytes())
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
