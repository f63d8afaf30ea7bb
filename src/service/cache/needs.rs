//! What an answer depends on beside its question: the slots of the state, the clock, the caller.
//!
//! Invariant: collected from the guards and programs that make the answer, whatever they are, so that a rule, a filter or
//! a look that reaches further is seen here without being named.

use crate::core::{Published, Slot};
use crate::error::Result;
use crate::id::{CollectionId, RecordId};
use crate::limits;
use crate::model::expr::Uses;
use crate::model::guard::{Action, Guard, Rows};
use crate::model::look::Look;
use crate::model::predicate::{Predicate, Sight};
use crate::service::Asker;

use super::question::Sharing;

/// Collected while an answer is made ready.
#[derive(Clone, Debug)]
pub(in crate::service) struct Needs {
    slots: Vec<Slot>,
    /// Those whose records are among the slots all together.
    collections: Vec<CollectionId>,
    clock: bool,
    request: bool,
}

impl Needs {
    /// The definitions, as everything does.
    pub(in crate::service) fn new() -> Needs {
        let mut slots = Vec::with_capacity(4);
        slots.push(Slot::DEFINITIONS);
        Needs { slots, collections: Vec::new(), clock: false, request: false }
    }

    /// One record, also where it is not there.
    pub(in crate::service) fn record(&mut self, collection: CollectionId, id: &RecordId) {
        self.slot(Slot::of_record(collection, id));
    }

    /// Any of a collection's records.
    pub(in crate::service) fn collection(&mut self, id: CollectionId) {
        if !self.collections.contains(&id) {
            self.collections.push(id);
            self.slot(Slot::of_collection(id));
        }
    }

    /// What the rule of an action asks for.
    pub(in crate::service) fn rule(&mut self, guard: &Guard, action: Action) {
        if let Rows::Where(rule) = guard.rows(action) {
            self.predicate(rule);
        }
    }

    /// What a condition asks for, and the view rules of the records that its author may look at.
    pub(in crate::service) fn predicate(&mut self, predicate: &Predicate) {
        self.uses(predicate.program.uses());
        if let Sight::Guarded(guards) = &predicate.sight {
            guards.iter().for_each(|(_, guard)| self.rule(guard, Action::View));
        }
    }

    /// What an expression asks for, of records that are seen already.
    pub(in crate::service) fn uses(&mut self, uses: &Uses) {
        // Fields are the records' own, which their slots stand for.
        let Uses { clock, request, body, old, fields: _, collections } = uses;
        self.clock |= clock;
        self.request |= request | body | old;
        collections.iter().for_each(|id| self.collection(*id));
    }

    /// The records that a look shows beside its own, as far as this caller may view them.
    ///
    /// # Errors
    /// As [`Asker::guard`].
    pub(in crate::service) fn look(&mut self, look: &Look, view: &Published, asker: &Asker) -> Result<()> {
        if look.is_plain() {
            return Ok(());
        }
        for id in look.targets() {
            self.collection(id);
            if let Some(target) = view.schema.get(id) {
                self.rule(&asker.guard(&view.schema, target)?, Action::View);
            }
        }
        Ok(())
    }

    fn slot(&mut self, slot: Slot) {
        if !self.slots.contains(&slot) {
            self.slots.push(slot);
        }
    }

    /// Who may be given the answer; `None` if nobody may be given it again.
    pub(super) fn sharing(&self) -> Option<Sharing> {
        if self.clock || self.slots.len() > limits::CACHE_NEEDS_MAX {
            return None;
        }
        Some(if self.request { Sharing::Own } else { Sharing::Kin })
    }

    /// Whether it is another at another time.
    pub(in crate::service) fn is_timed(&self) -> bool {
        self.clock
    }

    /// Who may be told the same at one moment.
    pub(in crate::service) fn sharing_at_once(&self) -> Sharing {
        if self.request { Sharing::Own } else { Sharing::Kin }
    }

    pub(super) fn collections(&self) -> &[CollectionId] {
        &self.collections
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(in crate::service) fn into_slots(self) -> Box<[Slot]> {
        self.slots.into()
    }
}
