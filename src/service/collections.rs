//! Calls on collections: list, read, create, change, empty, drop. Superusers only, but for the schema of a create body.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, IndexId, Position};
use crate::model::command::{Command, Committed};
use crate::model::definition::{self, Built, Import, Redefinition, Rows};
use crate::model::expr::{Exhausted, Input, NoRelations, Row};
use crate::model::guard::Action;
use crate::model::once::{Keep, Once};
use crate::model::schema::{Collection, Staged};
use crate::model::value::{Fields, Value};
use crate::service::lists::offset;
use crate::service::once::{Begun, Commit, Turn};
use crate::service::records::find;
use crate::service::shape::Shape;
use crate::service::writes::STALE_TRIES;
use crate::service::{Asker, Caller, Paging, Service, access, output, report};
use crate::state;

/// What a definition has to be filtered and sorted by, beside its id.
const NAMES: &str = r#"{"name":"_collections","fields":[{"name":"rowid","type":"number","integer":true},
    {"name":"name","type":"text"},{"name":"type","type":"text"},{"name":"system","type":"bool"},
    {"name":"created","type":"date"},{"name":"updated","type":"date"}]}"#;

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::new(NAMES));

/// A definition as an expression sees it.
fn names(collection: &Collection) -> (String, Fields) {
    let mut fields = Fields::new();
    let values = [
        Value::Int(collection.id.0.into()),
        Value::Text(collection.name.clone()),
        Value::Text(collection.kind.name().into()),
        Value::Bool(collection.id.is_own()),
        Value::Date(collection.created),
        Value::Date(collection.updated),
    ];
    for (id, value) in (1..).map(FieldId).zip(values) {
        fields.set(id, value);
    }
    (collection.id.to_string(), fields)
}

/// A list of definitions, as asked for.
#[derive(Clone, Copy, Debug)]
pub struct CollectionsRequest<'a> {
    /// The condition that they meet.
    pub filter: Option<&'a str>,
    /// Their order; that in which they were made where there is none.
    pub sort: Option<&'a str>,
    /// Which of them.
    pub paging: Paging,
    /// What the view must have reached.
    pub min: Option<Position>,
}

/// A collection that was made or changed.
#[derive(Debug)]
pub struct Defined {
    /// When.
    pub commit: Commit,
    /// Its name.
    pub name: Box<str>,
    /// Its definition as JSON.
    pub body: Vec<u8>,
}

impl Service {
    /// A page of definitions as JSON.
    ///
    /// # Errors
    /// `Unauthenticated`; `Invalid` for the page, or with code `bad_filter` or `bad_sort`; `min` not reached.
    pub async fn list_collections(&self, caller: Caller, request: CollectionsRequest<'_>) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let CollectionsRequest { filter, sort, paging, min } = request;
        let (filter, order, skip) = (SHAPE.filter(filter)?, SHAPE.order(sort)?, offset(paging)?);
        let view = self.view(min).await?;
        let (schema, input) = (&view.schema, Input::at(self.core().clock().now()));
        let mut found = Vec::new();
        for collection in schema.iter() {
            let (id, fields) = names(collection);
            let row = Row { id: &id, fields: &fields };
            let holds = filter.as_ref().map(|filter| filter.holds(row, &input, &NoRelations));
            if holds.unwrap_or(Ok(true)).map_err(Exhausted::error)? {
                found.push((order.keys(row)?, collection));
            }
        }
        found.sort_by(|(a, _), (b, _)| order.compare(a, b));
        let total = paging.count.then_some(found.len());
        let page: Vec<&Arc<Collection>> =
            found.into_iter().map(|(_, collection)| collection).skip(skip).take(paging.per_page).collect();
        let write = |collection: &&Arc<Collection>, out: &mut Vec<u8>| {
            definition::format(schema, collection, &self.built(&view, collection)?, out);
            Ok(())
        };
        output::page(paging, total, &page, write, None, b"")
    }

    /// One definition as JSON.
    ///
    /// # Errors
    /// `Unauthenticated`; `NotFound`; `min` not reached.
    pub async fn view_collection(&self, caller: Caller, name: &str, min: Option<Position>) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let view = self.view(min).await?;
        let collection = find(&view.schema, name)?;
        let mut out = Vec::with_capacity(1_024);
        definition::format(&view.schema, collection, &self.built(&view, collection)?, &mut out);
        Ok(out)
    }

    /// As [`built`], and how far the index has come that the collection is searched by.
    fn built(&self, view: &Published, collection: &Collection) -> Result<BTreeMap<IndexId, Built>> {
        let mut built = built(view, collection)?;
        if collection.search.is_some() && !self.0.search.is_ready(collection) {
            let of = state::tally(&view.stack, collection.id, collection.generation)?.count;
            let (rows, _) = self.0.search.progress(collection.id).unwrap_or_default();
            built.insert(definition::SEARCHED, Built { rows: rows.min(of), of });
        }
        Ok(built)
    }

    /// The JSON Schema of a body that makes a record, for whoever may make one.
    ///
    /// # Errors
    /// `NotFound`; `Unauthenticated` or `Forbidden` by the create rule; `min` not reached.
    pub async fn create_schema(&self, asker: &Asker, name: &str, min: Option<Position>) -> Result<Vec<u8>> {
        let view = self.view(min).await?;
        let collection = find(&view.schema, name)?;
        let guard = asker.guard(&view.schema, collection)?;
        guard.allow(Action::Create)?;
        let mut out = Vec::with_capacity(1_024);
        definition::json_schema(&view.schema, collection, guard.is_superuser(), &mut out);
        Ok(out)
    }

    /// Makes a collection from a definition; with `once`, unless that was done before.
    ///
    /// # Errors
    /// `Unauthenticated`; `Unprocessable` or `Conflict` for its key; `Invalid` with all faults of the definition;
    /// `Conflict` for a name that is taken; or the core's.
    pub async fn create_collection(&self, caller: Caller, body: &[u8], once: Option<Once>) -> Result<Defined> {
        access::superuser(caller)?;
        let committed = match self.begin(once)? {
            Begun::Now(turn) => self.define(body, &turn).await?,
            Begun::Before(committed) => committed,
        };
        let commit = Commit::of(&committed);
        let made = committed.collection.ok_or_else(|| Error::internal("a definition was answered without one"))?;
        // Published before it is answered, so the names that its relations point at are there.
        let body = format(&self.core().view(), &made)?;
        Ok(Defined { commit, name: made.name, body })
    }

    /// What a definition reads of others may move before it is decided: then it is read again.
    async fn define(&self, body: &[u8], turn: &Turn) -> Result<Committed> {
        for _ in 0..STALE_TRIES {
            let wanted = definition::parse(&self.core().view().schema, body, self.core().clock().now())?;
            match self.core().submit(turn.command(Command::Define(Box::new(wanted)))).await {
                Err(error) if error.code_str() == "stale_schema" => {}
                outcome => return outcome,
            }
        }
        Err(unsettled())
    }

    /// Changes a collection's definition. Where its records are many and have to be seen to, the answer waits for that;
    /// nobody who goes away stops it.
    ///
    /// # Errors
    /// `Unauthenticated`; `NotFound`; `Invalid` with all faults; `Conflict` for a name that is taken, for another
    /// collection that needs what would go, or while another change is on its way (`changing`); `Unprocessable` where a
    /// field can't have its new type or a record is in the way; or the core's.
    pub async fn change_collection(
        &self,
        caller: Caller,
        name: &str,
        body: &[u8],
        once: Option<Once>,
    ) -> Result<Defined> {
        access::superuser(caller)?;
        let turn = match self.begin(once)? {
            Begun::Now(turn) => turn,
            Begun::Before(committed) => return self.settled(committed).await,
        };
        for _ in 0..STALE_TRIES {
            let view = self.core().view();
            let stored = find(&view.schema, name)?;
            let change = definition::change(&view.schema, stored, body, self.core().clock().now())?;
            match self.core().submit(turn.command(command(change))).await {
                Err(error) if error.code_str() == "stale_schema" => {}
                outcome => return self.settled(outcome?).await,
            }
        }
        Err(unsettled())
    }

    /// Waits until a definition that was staged has taken its place, or has come to nothing.
    async fn settled(&self, committed: Committed) -> Result<Defined> {
        let commit = Commit::of(&committed);
        let made = committed.collection.ok_or_else(|| Error::internal("a definition was answered without one"))?;
        let mut view = self.core().view();
        if made.staged.is_none() {
            let body = format(&view, &made)?;
            return Ok(Defined { commit, name: made.name, body });
        }
        loop {
            let gone = || Error::new(Kind::NotFound, "the collection was dropped while it changed");
            let found = view.schema.get(made.id).ok_or_else(gone)?;
            if found.staged.is_none() {
                return match &found.refused {
                    Some(refused) => Err(refused.error()),
                    None => {
                        let body = format(&view, found)?;
                        let commit = Commit { position: view.position, ..commit };
                        Ok(Defined { commit, name: found.name.clone(), body })
                    }
                };
            }
            view = self.core().past(view.position).await?;
        }
    }

    /// Brings collections to what a list of definitions says; the answer lists what changes, or would. What asks nothing of
    /// rows is done in one transaction, then each definition whose records have to be seen to, one after the other. With
    /// `once` the answer is kept with the last of these, so where it is kept all of them were done; a dry run keeps none.
    ///
    /// # Errors
    /// As [`Service::create_collection`] and [`Service::change_collection`]; one that is met while records are seen to
    /// leaves what was done before it: the same import again goes on from there.
    pub async fn import_collections(
        &self,
        caller: Caller,
        body: &[u8],
        once: Option<Once>,
    ) -> Result<(Commit, Vec<u8>)> {
        access::superuser(caller)?;
        let turn = match self.begin(once)? {
            Begun::Now(turn) => turn,
            Begun::Before(committed) => return self.told_again(committed).await,
        };
        'anew: for _ in 0..STALE_TRIES {
            let view = self.core().view();
            let import = definition::import(&view.schema, body, self.core().clock().now())?;
            let told = report::told(&view.schema, &import);
            let mut commit = Commit { position: view.position, replayed: false };
            if import.dry_run {
                return Ok((commit, told.into_bytes()));
            }
            let mut commands = commands(import, turn.is_keyed());
            let last = commands.pop();
            let last = last.map(|last| turn.keeping(Keep::Told(told.as_str().into()), last));
            for (at, command) in commands.into_iter().chain(last).enumerate() {
                let committed = match self.core().submit(command).await {
                    // Of it nothing was done yet.
                    Err(error) if error.code_str() == "stale_schema" && at == 0 => continue 'anew,
                    outcome => outcome?,
                };
                if committed.replayed.is_some() {
                    return self.told_again(committed).await;
                }
                commit = self.commit_settled(committed).await?;
            }
            return Ok((commit, told.into_bytes()));
        }
        Err(unsettled())
    }

    /// The answer to an import of definitions that was done before.
    async fn told_again(&self, mut committed: Committed) -> Result<(Commit, Vec<u8>)> {
        let told = committed.told.take().ok_or_else(|| Error::internal("an import was kept without what it told"))?;
        let commit = self.commit_settled(committed).await?;
        Ok((commit, told.into_string().into_bytes()))
    }

    /// The commit of what needs not have made a definition.
    async fn commit_settled(&self, committed: Committed) -> Result<Commit> {
        match committed.collection {
            Some(_) => Ok(self.settled(committed).await?.commit),
            None => Ok(Commit::of(&committed)),
        }
    }

    /// Drops a collection with its records; with `once`, unless that was done before.
    ///
    /// # Errors
    /// `Unauthenticated`; `Unprocessable` or `Conflict` for its key; `NotFound`; `Conflict` while another collection's
    /// relation points at it; or the core's.
    pub async fn drop_collection(&self, caller: Caller, name: &str, once: Option<Once>) -> Result<Commit> {
        access::superuser(caller)?;
        self.of_collection(name, once, Command::Drop).await
    }

    /// Removes all records of a collection, and what other collections' relations say goes with them. Returns the commit;
    /// of an empty collection the position that was read.
    ///
    /// # Errors
    /// `Unauthenticated`; `NotFound`; `Conflict` while records of another collection need them; or the core's.
    pub async fn truncate_collection(&self, caller: Caller, name: &str, once: Option<Once>) -> Result<Commit> {
        access::superuser(caller)?;
        self.of_collection(name, once, Command::Truncate).await
    }

    /// Does something to a collection that is answered by no more than the commit.
    async fn of_collection(
        &self,
        name: &str,
        once: Option<Once>,
        command: impl FnOnce(CollectionId) -> Command,
    ) -> Result<Commit> {
        let committed = match self.begin(once)? {
            Begun::Now(turn) => {
                let id = find(&self.core().view().schema, name)?.id;
                self.core().submit(turn.command(command(id))).await?
            }
            Begun::Before(committed) => committed,
        };
        Ok(Commit::of(&committed))
    }
}

/// What carries an import out, in order; where it does nothing and its answer is to be kept, that.
fn commands(import: Import, keyed: bool) -> Vec<Command> {
    let (long, at_once): (Vec<_>, Vec<_>) = import.changed.into_iter().partition(|change| change.rows != Rows::Unseen);
    let import = Import { changed: at_once, ..import };
    let applies = !import.is_empty() || (keyed && long.is_empty());
    let apply = applies.then(|| Command::Apply(Box::new(import)));
    apply.into_iter().chain(long.into_iter().map(command)).collect()
}

/// What carries a change out.
fn command(change: Redefinition) -> Command {
    let Redefinition { collection, rows, shadows } = change;
    match rows {
        Rows::Unseen => Command::Redefine(Box::new(collection)),
        Rows::Checked | Rows::Converted => Command::Stage(Box::new(Staged { collection, shadows })),
    }
}

fn unsettled() -> Error {
    Error::new(Kind::Unavailable, "other collections' definitions keep changing").code("stale_schema")
}

fn format(view: &Published, collection: &Collection) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1_024);
    definition::format(&view.schema, collection, &built(view, collection)?, &mut out);
    Ok(out)
}

/// How far the indexes have come that are being built.
fn built(view: &Published, collection: &Collection) -> Result<BTreeMap<IndexId, Built>> {
    let mut built = BTreeMap::new();
    for index in collection.indexes.iter().filter(|index| index.is_building()) {
        let (id, generation) = (collection.id, collection.generation);
        let of = state::tally(&view.stack, id, generation)?.count;
        let progress = state::progress(&view.stack, id, generation, index.id)?.unwrap_or_default();
        // Rows that were looked at may have gone since.
        built.insert(index.id, Built { rows: progress.rows.min(of), of });
    }
    if collection.staged.is_some() {
        let of = state::tally(&view.stack, collection.id, collection.generation)?.count;
        let progress = state::reshaped(&view.stack, collection.id, collection.generation)?.unwrap_or_default();
        built.insert(definition::STAGED, Built { rows: progress.rows.min(of), of });
    }
    Ok(built)
}
