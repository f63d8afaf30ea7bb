//! One record for a caller: reading it, and what every call on records shares.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Position, RecordId, Seq};
use crate::limits;
use crate::model::guard::Action;
use crate::model::json::write_text;
use crate::model::look::{Look, Nothing, OwnedWanted, Targets, Wanted};
use crate::model::mask::Part;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::service::cache::{Answer, Cache, Found, Looked, Needs, Origin, Question, Ticket};
use crate::service::relations::{Allowance, OVER, Relations};
use crate::service::{Asker, Service};
use crate::state;

/// Bytes set aside for a record: most fit.
const BODY_BYTES: usize = 512;

/// A record for a caller.
#[derive(Clone, Debug)]
pub struct Shown {
    collection: Arc<Collection>,
    record: Record,
    look: Look,
    /// Written already, where it is more than the record and its mask.
    body: Option<Bytes>,
}

impl Shown {
    /// A record as it looks. One that shows related records is to be given them by [`Shown::relate`].
    pub(super) fn new(collection: Arc<Collection>, record: Record, look: Look) -> Shown {
        Shown { collection, record, look, body: None }
    }

    /// Writes the body of one whose look is not plain, with its related records.
    ///
    /// # Errors
    /// As [`Look::write`].
    pub(super) fn relate(&mut self, targets: &mut dyn Targets) -> Result<()> {
        let mut out = Vec::with_capacity(BODY_BYTES);
        self.look.write(&self.collection, &self.record, targets, &mut out)?;
        self.body = Some(out.into());
        Ok(())
    }

    /// Writes it with relations as ids, for an answer that must be given and would be too large.
    fn unrelated(&mut self) -> Result<()> {
        self.look.forget_relations();
        self.relate(&mut Nothing)
    }

    /// Adds to the body what is shown once and stored nowhere.
    pub(super) fn reveal(&mut self, name: &str, text: &str) {
        let mut out = Vec::from(self.body());
        out.pop();
        let start = 1;
        pipeline::member(&mut out, start, name);
        write_text(&mut out, text);
        out.push(b'}');
        self.body = Some(out.into());
    }

    /// Whether its body waits for [`Shown::relate`].
    pub(super) fn is_open(&self) -> bool {
        self.body.is_none() && !self.look.is_plain()
    }

    /// What `If-Match` compares.
    pub fn version(&self) -> Position {
        self.record.version
    }

    /// What the answer depends on beside the record: `None` for the record as all see it under the definition that it
    /// was written under. With related records that is the whole body, since their versions say nothing of who may see
    /// them.
    pub fn representation(&self) -> Option<u64> {
        if let Some(body) = &self.body {
            return Some(xxh3_64(body));
        }
        let mask = &self.look.mask;
        let hidden = mask.hidden && self.collection.fields.iter().any(|field| field.hidden);
        let redefined = self.collection.version > self.record.version.seq;
        if mask.fields.is_none() && !hidden && !redefined {
            return None;
        }
        let mut hash = Xxh3::new();
        hash.update(&self.collection.version.0.to_le_bytes());
        let parts = [Part::Id, Part::CollectionId, Part::CollectionName];
        hash.update(&parts.map(|part| u8::from(mask.shows(part))));
        for field in self.collection.fields.iter().filter(|field| mask.shows_field(field)) {
            hash.update(&field.id.0.to_le_bytes());
        }
        Some(u64::from(hash.digest() as u32))
    }

    /// The entity tag, with its quotes: `"` version `"`, or `"` version `~` hash `"` where the answer is more than the
    /// record as all see it.
    pub fn tag(&self) -> String {
        tag(self.version(), self.representation())
    }

    /// Its id.
    pub fn id(&self) -> &RecordId {
        &self.record.id
    }

    /// The name of its collection.
    pub fn collection(&self) -> &str {
        &self.collection.name
    }

    /// As JSON.
    pub fn body(&self) -> Bytes {
        self.body.clone().unwrap_or_else(|| {
            let mut out = Vec::with_capacity(BODY_BYTES);
            pipeline::format_record(&self.collection, &self.record, &self.look.mask, &mut out);
            out.into()
        })
    }
}

impl Service {
    /// One record; nothing where it is absent or hidden from the caller. `question` is the request as it came.
    ///
    /// # Errors
    /// `NotFound` for the collection; `Invalid` for the id or what is wanted; `Unprocessable` for too many related
    /// records; by its rule; `min` not reached.
    pub async fn view_record(
        &self,
        asker: &Asker,
        question: &Question<'_>,
        collection: &str,
        id: &str,
        wanted: Wanted<'_>,
        min: Option<Position>,
    ) -> Result<Answer> {
        let view = self.view(min).await?;
        // Behind `min`: what is kept and holds now holds there.
        if let Some(answer) = self.kept(question) {
            return Ok(answer);
        }
        let mut viewed = find_in(&view, asker, collection, id, wanted)?;
        let mut ticket = None;
        if let Some(shown) = viewed.shown.as_ref().filter(|shown| shown.is_open()) {
            let own = Some(&shown.record);
            ticket = match self.look_further(question, viewed.of, Some(&viewed.needs), &view, own).await {
                Looked::Found(answer) => return Ok(answer),
                Looked::Open(ticket) => ticket,
            };
        }
        match viewed.relate(&view, asker, Allowance::inline) {
            Err(error) if error.code_str() == OVER => {}
            done => return done.map(|()| self.answered(question, viewed, ticket)),
        }
        // As with a list: no view is held while it waits for a thread.
        drop(view);
        let deadline = Instant::now() + limits::QUERY_TIME_MAX;
        let (core, asker, collection, id) = (self.core().clone(), asker.clone(), collection.to_owned(), id.to_owned());
        let wanted = OwnedWanted::from(wanted);
        let work = move || {
            let full = || Allowance::new(limits::RELATED_READS_MAX, deadline);
            let view = core.view();
            let mut viewed = find_in(&view, &asker, &collection, &id, wanted.get())?;
            viewed.relate(&view, &asker, full)?;
            Ok(viewed)
        };
        let viewed = self.0.pool.run(deadline, work).await?;
        Ok(self.answered(question, viewed, ticket))
    }

    /// The answer from what was read, which is kept for the next who asks.
    fn answered(&self, question: &Question<'_>, viewed: Viewed, ticket: Option<Ticket>) -> Answer {
        let Viewed { shown, of, needs, at } = viewed;
        let found = shown.map(|shown| Found { body: shown.body(), tag: Some(shown.tag().into()) });
        if let Some(cache) = &self.0.cache {
            cache.keep(Cache::place(question, of, needs), at, found.as_ref(), ticket);
        }
        Answer { found, origin: Origin::Store }
    }

    /// Gives records that were written, each with its caller, their related ones as they are now. What would be too large
    /// is left as ids: it was written, so there must be an answer.
    ///
    /// # Errors
    /// Of the state.
    pub(super) async fn relate_written(&self, written: Vec<(&Asker, &mut Shown)>) -> Result<()> {
        let mut open: Vec<_> = written.into_iter().filter(|(_, shown)| shown.is_open()).collect();
        let pairs = open.iter_mut().map(|(asker, shown)| (*asker, &mut **shown));
        if relate_all(&self.core().view(), pairs, Allowance::inline())? {
            return Ok(());
        }
        let mut copies: Vec<(Asker, Shown)> =
            open.iter().map(|(asker, shown)| ((*asker).clone(), (**shown).clone())).collect();
        let deadline = Instant::now() + limits::QUERY_TIME_MAX;
        let core = self.core().clone();
        let work = move || {
            let pairs = copies.iter_mut().map(|(asker, shown)| (&*asker, shown));
            relate_all(&core.view(), pairs, Allowance::new(limits::RELATED_READS_MAX, deadline))?;
            Ok(copies)
        };
        match self.0.pool.run(deadline, work).await {
            Ok(related) => open.iter_mut().zip(related).for_each(|((_, shown), (_, related))| **shown = related),
            // No thread is free for it.
            Err(error) if error.kind() == Kind::Unavailable => {}
            Err(error) => return Err(error),
        }
        open.into_iter().filter(|(_, shown)| shown.is_open()).try_for_each(|(_, shown)| shown.unrelated())
    }
}

#[cfg(test)]
impl Service {
    /// What a record with its related ones depends on, and the record.
    pub(super) fn needs_of_record(
        &self,
        asker: &Asker,
        collection: &str,
        id: &str,
        wanted: Wanted<'_>,
    ) -> Option<(CollectionId, Needs, Option<Record>)> {
        let viewed = find_in(&self.core().view(), asker, collection, id, wanted).ok()?;
        let shown = viewed.shown.filter(Shown::is_open)?;
        Some((viewed.of, viewed.needs, Some(shown.record)))
    }
}

/// Relates those that are open, in their order; whether all could be within the allowance.
fn relate_all<'a>(
    view: &Published,
    written: impl Iterator<Item = (&'a Asker, &'a mut Shown)>,
    mut allowance: Allowance,
) -> Result<bool> {
    for (asker, shown) in written.filter(|(_, shown)| shown.is_open()) {
        match shown.relate(&mut Relations::new(view, asker, &mut allowance)) {
            // Over a bound, this one's or one of a rule's.
            Err(error) if error.kind() == Kind::Unprocessable => return Ok(false),
            done => done?,
        }
    }
    Ok(true)
}

/// A record that was looked for, with what the outcome depends on.
struct Viewed {
    shown: Option<Shown>,
    of: CollectionId,
    needs: Needs,
    /// Of the view that was read.
    at: Seq,
}

impl Viewed {
    /// Writes what is shown beside the record, where something is.
    fn relate(&mut self, view: &Published, asker: &Asker, allowance: impl FnOnce() -> Allowance) -> Result<()> {
        match self.shown.as_mut().filter(|shown| shown.is_open()) {
            Some(shown) => shown.relate(&mut Relations::new(view, asker, &mut allowance())),
            None => Ok(()),
        }
    }
}

/// A record, not yet related.
fn find_in(view: &Published, asker: &Asker, collection: &str, id: &str, wanted: Wanted<'_>) -> Result<Viewed> {
    let collection = find(&view.schema, collection)?;
    let guard = asker.guard(&view.schema, collection)?;
    guard.allow(Action::View)?;
    let look = Look::new(&view.schema, collection, wanted, guard.is_superuser())?;
    let id = RecordId::new(id)?;
    let mut needs = Needs::new();
    needs.record(collection.id, &id);
    needs.rule(&guard, Action::View);
    needs.look(&look, view, asker)?;
    let mut viewed = Viewed { shown: None, of: collection.id, needs, at: view.position.seq };
    let Some(record) = state::record(&view.stack, collection, &id)? else { return Ok(viewed) };
    if !state::permits(&view.stack, &view.schema, &guard, Action::View, &record.id, &record.fields)? {
        return Ok(viewed);
    }
    viewed.shown = Some(Shown::new(collection.clone(), record, look));
    Ok(viewed)
}

/// The text of an entity tag.
pub(crate) fn tag(version: Position, representation: Option<u64>) -> String {
    match representation {
        None => format!("\"{version}\""),
        Some(hash) => format!("\"{version}~{hash:08x}\""),
    }
}

pub(super) fn find<'a>(schema: &'a Schema, name: &str) -> Result<&'a Arc<Collection>> {
    schema.find(name).ok_or_else(|| Error::new(Kind::NotFound, "there is no such collection"))
}

/// What a caller is told of a record that is absent or hidden.
pub fn no_record() -> Error {
    Error::new(Kind::NotFound, "there is no such record")
}
