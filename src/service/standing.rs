//! Who the caller of a stream or an import is, looked at again whenever it may have changed: what goes on for long is never
//! another's than today's.
//!
//! Invariant: a standing that was renewed at a position holds until a slot of its own moves past it or its time is over.

use std::sync::Arc;

use crate::core::Slot;
use crate::error::Result;
use crate::id::{CollectionId, RecordId, Seq};
use crate::service::access::Caller;
use crate::service::auth::API_KEYS;
use crate::service::{Asker, Service};
use crate::time::Millis;

/// A caller with what it showed.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    caller: Caller,
    /// What it is known by: a token or a key. Nobody has none, nor has who sits on the machine in `dev` mode.
    credential: Option<Arc<[u8]>>,
    /// The view that it was looked at by.
    renewed: Seq,
    /// What it depends on.
    slots: Vec<Slot>,
}

impl Standing {
    pub(super) fn new(service: &Service, caller: Caller, credential: Option<Arc<[u8]>>) -> Standing {
        // When it was found is not known here: whatever has moved makes it be looked at again.
        let mut standing = Standing { caller, credential, renewed: Seq::ZERO, slots: Vec::new() };
        standing.slots = standing.slots(service);
        standing
    }

    fn slots(&self, service: &Service) -> Vec<Slot> {
        self.records(service).iter().map(|(of, id)| Slot::of_record(*of, id)).collect()
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether it was shown by a token or a key.
    pub(super) fn is_shown(&self) -> bool {
        self.credential.is_some()
    }

    /// When it is over, if ever.
    pub(super) fn expires(&self) -> Option<Millis> {
        self.caller.expires()
    }

    /// The records that it stands and falls with.
    pub(super) fn records(&self, service: &Service) -> Vec<(CollectionId, RecordId)> {
        let mut records: Vec<_> =
            self.caller.record().into_iter().map(|(of, record)| (of, record.id.clone())).collect();
        if let Caller::Key(key) = &self.caller
            && let Some(keys) = service.core().view().schema.find(API_KEYS)
        {
            records.push((keys.id, key.id.clone()));
        }
        records
    }

    /// Looks again, if there is reason to; whether the caller is another than before, be it only its record.
    ///
    /// # Errors
    /// `Unauthenticated` when it is over.
    pub(super) fn renew(&mut self, service: &Service) -> Result<bool> {
        let Some(credential) = &self.credential else { return Ok(false) };
        let slots = service.core().slots();
        let moved = !slots.hold(&self.slots, self.renewed) || slots.changed(Slot::DEFINITIONS) > self.renewed;
        let over = self.expires().is_some_and(|until| until <= service.core().clock().now());
        if !moved && !over {
            return Ok(false);
        }
        // Before it is looked at: what changes meanwhile is seen the next time.
        let at = service.core().view().position.seq;
        let caller = service.caller_of_token(credential)?;
        self.renewed = at;
        let other = caller != self.caller;
        self.caller = caller;
        if other {
            // A key may act for another now.
            self.slots = self.slots(service);
        }
        Ok(other)
    }

    /// The caller with a request's words, for the rules that ask for them.
    pub(super) fn asker(&self, service: &Service, query: &[(Box<str>, Box<str>)]) -> Asker {
        service.asker(self.caller.clone(), "GET", query.to_vec().into())
    }
}
