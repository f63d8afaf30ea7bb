//! Writes to records: create, patch, put, delete. One alone is a transaction of one; `batch` has those of many.
//!
//! A write is checked against the definition of the view it began with; when that has moved by the time it is decided,
//! it is checked again against the new one, a few times at most.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::command::{Command, Committed, Condition, Op, STALE_SCHEMA, Write, Written};
use crate::model::guard::{Action, Guard};
use crate::model::look::{Look, Wanted};
use crate::model::once::Once;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::service::auth::Revealed;
use crate::service::once::{Begun, Commit};
use crate::service::records::{Shown, find};
use crate::service::{Asker, Service, ids};
use crate::state;

/// How often a write is checked anew because its collection's definition moved.
pub(super) const STALE_TRIES: usize = 3;

/// One write as a caller asks for it.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Who asks, with what the request says.
    pub asker: &'a Asker,
    /// The collection's name or id.
    pub collection: &'a str,
    /// What the answer is to show of the record.
    pub wanted: Wanted<'a>,
    /// What is to be done.
    pub deed: Deed<'a>,
}

/// What is to be done to a record. A body is JSON, an id is as the client gave it.
#[derive(Clone, Debug)]
pub enum Deed<'a> {
    /// Makes one from a body.
    Create {
        /// All of it.
        body: &'a [u8],
    },
    /// Puts a merge patch over one.
    Merge {
        /// Which.
        id: &'a str,
        /// The patch.
        body: &'a [u8],
        /// Refused with 412 unless it holds.
        if_match: Option<Condition>,
    },
    /// Creates or replaces one.
    Put {
        /// Which; `None` for that of the body.
        id: Option<&'a str>,
        /// All of it.
        body: &'a [u8],
        /// Refused with 412 unless it holds.
        if_match: Option<Condition>,
        /// Refused with 412 if there is one.
        create_only: bool,
    },
    /// Removes one, with what its relations' definitions say goes along.
    Delete {
        /// Which.
        id: &'a str,
        /// Refused with 412 unless it holds.
        if_match: Option<Condition>,
    },
}

impl Deed<'_> {
    /// Which of the rules may allow it. Which one it is to be, `decide` sees from the record.
    fn actions(&self) -> &'static [Action] {
        match self {
            Deed::Create { .. } => &[Action::Create],
            Deed::Merge { .. } => &[Action::Update],
            Deed::Put { .. } => &[Action::Create, Action::Update],
            Deed::Delete { .. } => &[Action::Delete],
        }
    }
}

/// A record that was written.
#[derive(Debug)]
pub struct Stored {
    /// When.
    pub commit: Commit,
    /// Whether it did not exist before.
    pub created: bool,
    /// As it is now.
    pub shown: Shown,
}

/// What became of one write of a transaction.
#[derive(Debug)]
pub enum Done {
    /// The record is there.
    Stored(Box<Stored>),
    /// The record is gone.
    Gone,
}

impl Done {
    fn is_new(&self) -> bool {
        matches!(self, Done::Stored(stored) if stored.created)
    }
}

/// Why nothing of a transaction was done.
pub(super) enum Refused {
    /// No write is to blame, or all.
    Whole(Error),
    /// These writes are, by their numbers.
    Parts(Vec<(usize, Error)>),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        match error.write() {
            Some(at) => Refused::Parts(vec![(at, error)]),
            None => Refused::Whole(error),
        }
    }
}

impl Refused {
    /// Of a transaction of one write: that one's own.
    fn alone(self) -> Error {
        match self {
            Refused::Whole(error) => error,
            Refused::Parts(parts) => parts
                .into_iter()
                .next()
                .map_or_else(|| Error::internal("a write was refused without a reason"), |(_, error)| error),
        }
    }
}

/// How the record of an answer is shown.
struct Answer {
    collection: Arc<Collection>,
    look: Look,
}

impl Service {
    /// Makes, changes or replaces one record; with `once`, unless that was done before.
    ///
    /// # Errors
    /// `Unprocessable` or `Conflict` for its key; `Invalid` with all faults of the body; `NotFound`; `Precondition`;
    /// `Conflict`; `Unprocessable`; by its rule; or the core's.
    pub async fn store_record(&self, ask: Ask<'_>, once: Option<Once>) -> Result<Stored> {
        let (_, mut done) = self.write_all(std::slice::from_ref(&ask), once).await.map_err(Refused::alone)?;
        match done.pop() {
            Some(Done::Stored(stored)) => Ok(*stored),
            Some(Done::Gone) | None => Err(Error::internal("a write was answered as something else")),
        }
    }

    /// Removes a record; with `once`, unless that was done before.
    ///
    /// # Errors
    /// `Unprocessable` or `Conflict` for its key; `NotFound`; `Precondition`; `Conflict` while others need it; by its
    /// rule; or the core's.
    pub async fn delete_record(
        &self,
        asker: &Asker,
        collection: &str,
        id: &str,
        if_match: Option<Condition>,
        once: Option<Once>,
    ) -> Result<Commit> {
        let ask = Ask { asker, collection, wanted: Wanted::default(), deed: Deed::Delete { id, if_match } };
        let (commit, _) = self.write_all(std::slice::from_ref(&ask), once).await.map_err(Refused::alone)?;
        Ok(commit)
    }

    /// All of them in one transaction, or none; with `once`, unless that was done before. What becomes of each, in order.
    pub(super) async fn write_all(&self, asks: &[Ask<'_>], once: Option<Once>) -> Result<(Commit, Vec<Done>), Refused> {
        let turn = match self.begin(once)? {
            Begun::Now(turn) => turn,
            Begun::Before(committed) => return Ok(self.answer_again(asks, committed).await?),
        };
        for _ in 0..STALE_TRIES {
            let view = self.core().view();
            let (mut writes, looks) = self.prepare_all(&view.schema, asks)?;
            let keys = self.seal(&view, &mut writes).await?;
            if let (Some(_), Some((at, _))) = (once, keys.first()) {
                return Err(Refused::Parts(vec![(*at, shown_once())]));
            }
            drop(view);
            match self.core().submit(turn.command(Command::Write(writes))).await {
                Err(error) if error.code_str() == STALE_SCHEMA => {}
                Err(error) => return Err(error.into()),
                Ok(committed) if committed.replayed.is_some() => return Ok(self.answer_again(asks, committed).await?),
                Ok(committed) => return Ok(self.answer(asks, looks, committed, keys).await?),
            }
        }
        Err(Refused::Whole(keeps_changing()))
    }

    /// All that can be told of the writes without the records. Every one of them is looked at, so that one answer names
    /// the faults of all, up to `limits::FAULTS_MAX`.
    fn prepare_all(&self, schema: &Schema, asks: &[Ask<'_>]) -> Result<(Vec<Write>, Vec<Answer>), Refused> {
        let (mut writes, mut looks) = (Vec::with_capacity(asks.len()), Vec::with_capacity(asks.len()));
        let (mut refused, mut faults) = (Vec::new(), 0);
        for (at, ask) in asks.iter().enumerate() {
            match self.prepare(schema, ask) {
                Ok((write, look)) if refused.is_empty() => {
                    writes.push(write);
                    looks.push(look);
                }
                Ok(_) => {}
                Err(error) => {
                    faults += error.field_faults().len().max(1);
                    refused.push((at, error));
                }
            }
            if faults >= limits::FAULTS_MAX {
                break;
            }
        }
        if refused.is_empty() { Ok((writes, looks)) } else { Err(Refused::Parts(refused)) }
    }

    /// The caller must be allowed at least one of the deed's actions.
    fn prepare(&self, schema: &Schema, ask: &Ask<'_>) -> Result<(Write, Answer)> {
        let collection = find(schema, ask.collection)?.clone();
        let guard = ask.asker.guard(schema, &collection)?;
        allow_one(&guard, ask.deed.actions())?;
        let look = Look::new(schema, &collection, ask.wanted, guard.is_superuser())?;
        let op = self.op(&collection, &ask.deed, guard.is_superuser())?;
        let write = Write { collection: collection.id, schema: collection.version, guard, op };
        Ok((write, Answer { collection, look }))
    }

    fn op(&self, collection: &Collection, deed: &Deed<'_>, sees_hidden: bool) -> Result<Op> {
        match deed {
            Deed::Create { body } => pipeline::create(collection, body, self.new_id()?, sees_hidden),
            Deed::Merge { id, body, if_match } => {
                pipeline::merge(collection, &RecordId::new(id)?, body, if_match.clone(), sees_hidden)
            }
            Deed::Put { id, body, if_match, create_only } => {
                pipeline::put(collection, *id, body, if_match.clone(), *create_only, self.new_id()?, sees_hidden)
            }
            Deed::Delete { id, if_match } => Ok(Op::Delete { id: RecordId::new(id)?, if_match: if_match.clone() }),
        }
    }

    /// What each caller is told of its write.
    async fn answer(
        &self,
        asks: &[Ask<'_>],
        looks: Vec<Answer>,
        committed: Committed,
        keys: Revealed,
    ) -> Result<(Commit, Vec<Done>)> {
        let commit = Commit::of(&committed);
        let mut done = Vec::with_capacity(asks.len());
        for ((ask, Answer { collection, mut look }), written) in asks.iter().zip(looks).zip(committed.writes) {
            let (created, record) = match written {
                Written::Created(record) => (true, record),
                // What a caller put there itself it knows; of what was there before it learns nothing by changing it.
                Written::Updated(record) => {
                    if !self.may_view(ask.asker, &collection, &record)? {
                        look.hide_fields();
                    }
                    (false, record)
                }
                Written::Deleted => {
                    done.push(Done::Gone);
                    continue;
                }
            };
            let shown = Shown::new(collection, record, look);
            done.push(Done::Stored(Box::new(Stored { commit, created, shown })));
        }
        self.relate_done(asks, &mut done).await?;
        for (at, key) in keys {
            if let Some(Done::Stored(stored)) = done.get_mut(at).filter(|done| done.is_new()) {
                stored.shown.reveal("key", &key);
            }
        }
        Ok((commit, done))
    }

    /// The same of what was done before: the records as they were written, by the definitions, rules and looks of now.
    async fn answer_again(&self, asks: &[Ask<'_>], committed: Committed) -> Result<(Commit, Vec<Done>)> {
        let commit = Commit::of(&committed);
        let schema = self.core().view().schema.clone();
        let collections = committed.replayed.unwrap_or_default();
        let mut done = Vec::with_capacity(asks.len());
        for ((ask, collection), written) in asks.iter().zip(collections).zip(committed.writes) {
            let (created, record) = match written {
                Written::Created(record) => (true, record),
                Written::Updated(record) => (false, record),
                Written::Deleted => {
                    done.push(Done::Gone);
                    continue;
                }
            };
            let collection = schema.get(collection).ok_or_else(collection_gone)?.clone();
            let look = self.look_again(&schema, &collection, ask, &record)?;
            let shown = Shown::new(collection, record, look);
            done.push(Done::Stored(Box::new(Stored { commit, created, shown })));
        }
        self.relate_done(asks, &mut done).await?;
        Ok((commit, done))
    }

    /// How a record is shown that was written before. What the request wants of it may be unknown by now: then it wants
    /// nothing, as there must be an answer. Also who made it has to be allowed to view it: nobody may be somebody else.
    fn look_again(&self, schema: &Schema, collection: &Collection, ask: &Ask<'_>, record: &Record) -> Result<Look> {
        let hidden = ask.asker.guard(schema, collection)?.is_superuser();
        let look = Look::new(schema, collection, ask.wanted, hidden);
        let mut look = look.or_else(|_| Look::new(schema, collection, Wanted::default(), hidden))?;
        if !self.may_view(ask.asker, collection, record)? {
            look.hide_fields();
        }
        Ok(look)
    }

    /// Gives the answers that show related records what they show.
    async fn relate_done(&self, asks: &[Ask<'_>], done: &mut [Done]) -> Result<()> {
        let open = asks.iter().zip(done).filter_map(|(ask, done)| match done {
            Done::Stored(stored) if stored.shown.is_open() => Some((ask.asker, &mut stored.shown)),
            _ => None,
        });
        let open: Vec<_> = open.collect();
        if open.is_empty() { Ok(()) } else { self.relate_written(open).await }
    }

    /// Whether the caller may view a record as it stands now.
    fn may_view(&self, asker: &Asker, collection: &Collection, record: &Record) -> Result<bool> {
        let view = self.core().view();
        // It may have been dropped since: its rules are not to be read without it, and the write is done.
        let Some(collection) = view.schema.get(collection.id) else { return Ok(false) };
        let guard = asker.guard(&view.schema, collection)?;
        state::permits(&view.stack, &view.schema, &guard, Action::View, &record.id, &record.fields)
    }

    fn new_id(&self) -> Result<RecordId> {
        ids::record_id(self.core().clock().now())
    }
}

/// An answer that is given again could not show the key, of which only a hash is kept.
fn shown_once() -> Error {
    let message = "an API key is shown once, so its create takes no Idempotency-Key: if the answer is lost, delete the \
                   record and make another";
    Error::invalid(message).code("key_shown_once")
}

fn collection_gone() -> Error {
    Error::new(Kind::Gone, "the write was done; its collection is gone since").code("collection_gone")
}

/// Where a definition moved at every try.
pub(super) fn keeps_changing() -> Error {
    Error::new(Kind::Unavailable, "the collection's definition keeps changing").code(STALE_SCHEMA)
}

/// # Errors
/// The refusal of the last of them, where none is allowed on any row.
pub(super) fn allow_one(guard: &Guard, actions: &[Action]) -> Result<()> {
    let mut refusal = Ok(());
    for action in actions {
        refusal = guard.allow(*action);
        if refusal.is_ok() {
            break;
        }
    }
    refusal
}
