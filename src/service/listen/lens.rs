//! How one caller sees the changes of a collection: its rule and filter asked of the record before and after, its look
//! applied to what it may see.
//!
//! Invariants: what a lens tells is by the definitions and the other records of the view it is given; a record that went
//! out of outlook is named and nothing more; a change that moves nothing which the caller sees is not told.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::target::Subscription;
use crate::core::{Published, RecordChange, Slot};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, RecordId, Seq};
use crate::limits;
use crate::live::{Happened, Lens, Of, Told};
use crate::model::expr::Row;
use crate::model::guard::{Action, Guard};
use crate::model::look::{Look, Nothing};
use crate::model::mask::Part;
use crate::model::predicate::{Predicate, Request};
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::Fields;
use crate::service::Asker;
use crate::service::cache::{Needs, Question};
use crate::service::lists::Kept;
use crate::service::relations::{Allowance, Relations};
use crate::state;
use crate::time::Clock;

/// One caller's view of what it listens to, by one version of the schema.
#[derive(Debug)]
pub(in crate::service) struct Outlook {
    lists: Arc<Kept>,
    clock: Clock,
    asker: Asker,
    subscription: Arc<Subscription>,
    schema: Seq,
    collection: Arc<Collection>,
    action: Action,
    /// What it asks when nothing in it depends on the time.
    terms: Terms,
    timed: bool,
    needs: Box<[Slot]>,
    /// What tells it from others; `None` where it is like no other.
    name: Option<Bytes>,
}

/// What is asked of a record, and how it is shown.
#[derive(Debug)]
struct Terms {
    guard: Guard,
    filter: Option<Predicate>,
    look: Look,
    /// Of a record that is named only.
    named: Look,
}

impl Outlook {
    /// # Errors
    /// `NotFound` without the collection; `Invalid` for what is asked; by the rule, where it allows no record at all and
    /// `strict` says that this is a fault.
    pub(super) fn new(
        lists: &Arc<Kept>,
        clock: &Clock,
        view: &Published,
        asker: &Asker,
        subscription: &Arc<Subscription>,
        collection: CollectionId,
        strict: bool,
    ) -> Result<Outlook> {
        let schema = &view.schema;
        let gone = || Error::new(Kind::NotFound, "there is no such collection");
        let collection = schema.get(collection).ok_or_else(gone)?.clone();
        let action = if subscription.record.is_some() { Action::View } else { Action::List };
        let terms = Terms::new(lists, view, asker, subscription, &collection)?;
        if strict {
            terms.guard.allow(action)?;
        }
        let mut needs = Needs::new();
        needs.rule(&terms.guard, action);
        terms.filter.iter().for_each(|filter| needs.predicate(filter));
        needs.look(&terms.look, view, asker)?;
        let words = format!("{:?}", (&subscription.filter, &subscription.wanted, &subscription.query));
        let name = Question::of(asker, &words).key(needs.sharing_at_once()).map(Bytes::from);
        Ok(Outlook {
            lists: lists.clone(),
            clock: clock.clone(),
            asker: asker.clone(),
            subscription: subscription.clone(),
            schema: schema.version(),
            collection,
            action,
            terms,
            timed: needs.is_timed(),
            needs: needs.into_slots(),
            name,
        })
    }

    /// What it is of.
    pub(super) fn of(&self) -> Of {
        Of { collection: self.collection.id, id: self.subscription.record.clone() }
    }

    /// What tells it from others; `None` where it is like no other.
    pub(super) fn name(&self) -> Option<Bytes> {
        self.name.clone()
    }

    pub(super) fn collection(&self) -> &Arc<Collection> {
        &self.collection
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.terms.guard
    }

    pub(super) fn filter(&self) -> Option<&Predicate> {
        self.terms.filter.as_ref()
    }

    /// Whether a record is seen.
    ///
    /// # Errors
    /// Of the state.
    pub(super) fn shows(&self, view: &Published, record: &Record) -> Result<bool> {
        self.terms.sees(view, self.action, &record.id, &record.fields)
    }

    /// Appends a record as it is seen.
    ///
    /// # Errors
    /// Of the state.
    pub(super) fn show(&self, view: &Published, record: &Record, out: &mut Vec<u8>) -> Result<()> {
        self.terms.show(view, &self.asker, &self.collection, record, out)
    }

    /// What is told of a change under these terms.
    fn told(&self, view: &Published, terms: &Terms, change: &RecordChange<'_>) -> Result<Option<Told>> {
        let (before, after) = (change.before(), change.after());
        let sees = |fields: Option<&Fields>| match fields {
            Some(fields) => terms.sees(view, self.action, change.id, fields),
            None => Ok(false),
        };
        let was = sees(before.as_deref())?;
        let is = sees(after)?;
        let action = match (before.is_some(), after.is_some(), was, is) {
            (false, true, _, true) => Happened::Create,
            (true, true, true, true) if !self.is_moved(terms, change) => return Ok(None),
            (true, true, true, true) => Happened::Update,
            (true, true, false, true) => Happened::Enter,
            (true, true, true, false) => Happened::Leave,
            (true, false, true, _) => Happened::Delete,
            _ => return Ok(None),
        };
        let (fields, look) = match (action, after) {
            (Happened::Create | Happened::Update | Happened::Enter, Some(after)) => (after.clone(), &terms.look),
            _ => (Fields::new(), &terms.named),
        };
        let record = Record { id: change.id.clone(), version: change.position, fields };
        let mut out = Vec::with_capacity(256);
        if look.is_plain() {
            look.write(&self.collection, &record, &mut Nothing, &mut out)?;
        } else {
            terms.show(view, &self.asker, &self.collection, &record, &mut out)?;
        }
        Ok(Some(Told { action, record: out.into() }))
    }

    /// Whether a field that the caller may see is not what it was.
    fn is_moved(&self, terms: &Terms, change: &RecordChange<'_>) -> bool {
        let hidden = terms.guard.is_superuser();
        let seen = |id| self.collection.field_by_id(id).is_some_and(|field| field.is_seen(hidden));
        change.moved().is_some_and(|moved| moved.iter().any(|(id, _)| seen(*id)))
    }
}

impl Lens for Outlook {
    fn schema(&self) -> Seq {
        self.schema
    }

    fn needs(&self) -> &[Slot] {
        &self.needs
    }

    fn tell(&self, view: &Published, change: &RecordChange<'_>) -> Option<Told> {
        let told = if self.timed {
            let request = Request { now: self.clock.now(), ..(*self.asker.request).clone() };
            let asker = Asker { caller: self.asker.caller.clone(), request: request.into() };
            Terms::new(&self.lists, view, &asker, &self.subscription, &self.collection)
                .and_then(|terms| self.told(view, &terms, change))
        } else {
            self.told(view, &self.terms, change)
        };
        told.unwrap_or_else(|error| {
            // What can't be judged is not shown.
            match error.kind() {
                Kind::Unprocessable => tracing::debug!(%error, of = ?self.of(), "a change could not be judged"),
                _ => tracing::error!(%error, of = ?self.of(), "a change could not be judged"),
            }
            None
        })
    }
}

impl Terms {
    fn new(
        lists: &Kept,
        view: &Published,
        asker: &Asker,
        subscription: &Subscription,
        collection: &Collection,
    ) -> Result<Terms> {
        let guard = asker.guard(&view.schema, collection)?;
        let hidden = guard.is_superuser();
        let filter = match &subscription.filter {
            Some(text) => lists.filter(asker, &view.schema, collection, text, hidden)?,
            None => None,
        };
        let look = Look::new(&view.schema, collection, subscription.wanted.get(), hidden)?;
        let mut named = look.clone();
        named.hide_fields();
        // Whatever is asked for, it is named.
        if let Some(parts) = named.mask.fields.as_mut().filter(|parts| !parts.contains(&Part::Id)) {
            parts.push(Part::Id);
        }
        Ok(Terms { guard, filter, look, named })
    }

    fn sees(&self, view: &Published, action: Action, id: &RecordId, fields: &Fields) -> Result<bool> {
        let (stack, schema) = (&view.stack, &view.schema);
        if !state::permits(stack, schema, &self.guard, action, id, fields)? {
            return Ok(false);
        }
        match &self.filter {
            None => Ok(true),
            Some(filter) => state::holds(stack, schema, filter, Row { id: id.as_str(), fields }, &filter.input()),
        }
    }

    /// Appends a record with its related ones; with ids in their place where they would be too many.
    fn show(
        &self,
        view: &Published,
        asker: &Asker,
        collection: &Collection,
        record: &Record,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        let deadline = Instant::now() + limits::EVENT_RELATED_TIME_MAX;
        let mut allowance = Allowance::new(limits::INLINE_ROWS_MAX, deadline);
        match self.look.write(collection, record, &mut Relations::new(view, asker, &mut allowance), out) {
            Err(error) if error.kind() == Kind::Unprocessable => {
                out.truncate(start);
                let mut plain = self.look.clone();
                plain.forget_relations();
                plain.write(collection, record, &mut Nothing, out)
            }
            done => done,
        }
    }
}
