//! Decisions about collections: define, drop, and the piecewise removal of what is dropped.
//!
//! Invariant: what stands in a schema compiles against it, before and after each of them.

use std::sync::Arc;

use super::Draft;
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Generation};
use crate::limits;
use crate::model::change::Change;
use crate::model::compiled::Compiled;
use crate::model::schema::{Collection, FieldKind, Schema};
use crate::state;

/// A new collection: gives it its id, checks its name against others and that its relations' targets are still there.
pub(super) fn define(draft: &mut Draft<'_>, wanted: &Collection) -> Result<()> {
    if draft.schema.iter().filter(|other| !other.id.is_own()).count() >= limits::COLLECTIONS_MAX {
        return Err(Error::new(
            Kind::Unprocessable,
            format!("a database has at most {} collections", limits::COLLECTIONS_MAX),
        ));
    }
    if draft.schema.iter().any(|other| other.name == wanted.name) {
        return Err(Error::new(Kind::Conflict, format!("there is a collection named {} already", wanted.name))
            .code("exists")
            .fault("name", "unique", "the name is taken"));
    }
    let mut collection = wanted.clone();
    collection.id = next_id(draft.schema, &collection.name);
    collection.generation = Generation(1);
    collection.version = draft.position.seq;
    collection.created = draft.now;
    collection.updated = draft.now;
    for field in &mut collection.fields {
        let FieldKind::Relation { collection: target, .. } = &mut field.kind else { continue };
        // 0 is how a definition names itself, before it has an id.
        if *target == CollectionId(0) {
            *target = collection.id;
        } else if draft.schema.get(*target).is_none() {
            return Err(Error::new(Kind::Conflict, "a relation points at a collection that is gone").fault(
                field.name.clone(),
                "relation_missing",
                "its collection does not exist",
            ));
        }
    }
    compiles(draft.schema, &collection)?;
    let definition = to_json(&collection)?;
    draft.changes.push(Change::Defined { collection: collection.id, definition });
    draft.committed.collection = Some(Box::new(collection));
    Ok(())
}

/// An id that was never given out, of the server's own range where the name is.
fn next_id(schema: &Schema, name: &str) -> CollectionId {
    if !name.starts_with('_') {
        return CollectionId(schema.last_collection.0 + 1);
    }
    // None of them is ever dropped.
    let last = schema.iter().map(|collection| collection.id).filter(|id| id.is_own()).max();
    last.map_or(CollectionId::OWN_FIRST, |last| CollectionId(last.0 + 1))
}

/// Whether a definition's expressions and output fit the schema as it is now: what they reach over may have gone since
/// they were read. The collections that are there already are none the worse for a new one, unless callers come from it.
fn compiles(schema: &Schema, collection: &Collection) -> Result<()> {
    let mut with_it = schema.clone();
    with_it.put(collection.clone());
    if let Err(flawed) = Compiled::new(&with_it, collection) {
        let error =
            Error::new(Kind::Conflict, "what the definition's expressions read has changed").code("stale_schema");
        return Err(flawed
            .iter()
            .fold(error, |error, flaw| error.fault(&*flaw.path, "bad_expression", flaw.message())));
    }
    if collection.auth_fields().is_some() { callers_fit(&with_it, &collection.name) } else { Ok(()) }
}

/// Whether what all definitions say of their callers still has a meaning, in a schema to which `moved` came or from which
/// it went.
fn callers_fit(schema: &Schema, moved: &str) -> Result<()> {
    for other in schema.iter().filter(|other| &*other.name != moved) {
        let Err(flawed) = Compiled::new(schema, other) else { continue };
        let path = flawed.first().map_or("", |flaw| &flaw.path);
        let message = format!("{path} of {} asks for what callers of {moved} have", other.name);
        return Err(Error::new(Kind::Conflict, message).code("referred_to"));
    }
    Ok(())
}

/// Drops a collection, unless another one's relation points at it or an expression looks at its records.
pub(super) fn drop(draft: &mut Draft<'_>, id: CollectionId) -> Result<()> {
    let collection: &Arc<Collection> =
        draft.schema.get(id).ok_or_else(|| Error::new(Kind::NotFound, "there is no such collection"))?;
    if id.is_own() {
        let message = format!("{} is the server's own and can't go", collection.name);
        return Err(Error::new(Kind::Conflict, message).code("own_collection"));
    }
    if let Some((other, field, _)) = draft.schema.pointing_at(id).find(|(other, ..)| other.id != id) {
        return Err(Error::new(
            Kind::Conflict,
            format!("{} can't go while the relation {}.{} points at it", collection.name, other.name, field.name),
        )
        .code("referred_to"));
    }
    for other in draft.schema.iter().filter(|other| other.id != id) {
        if let Some(path) = draft.schema.compiled(other)?.reaches(other, id) {
            let message = format!("{} can't go while {path} of {} reads its records", collection.name, other.name);
            return Err(Error::new(Kind::Conflict, message).code("referred_to"));
        }
    }
    if collection.auth_fields().is_some() {
        let mut without = draft.schema.clone();
        without.remove(id);
        callers_fit(&without, &collection.name)?;
    }
    draft.changes.push(Change::Dropped { collection: id, definition: to_json(collection)? });
    Ok(())
}

/// The next keys of a generation that is no longer read.
pub(super) fn reclaim(
    draft: &mut Draft<'_>,
    collection: CollectionId,
    generation: Generation,
    after: Option<&[u8]>,
) -> Result<()> {
    let max = limits::ENTRY_CHANGES_PIECE;
    let (keys, done) = state::reclaimable(draft.state()?, collection, generation, after, max)?;
    draft.changes.push(Change::Reclaimed { collection, generation, keys, done });
    Ok(())
}

fn to_json(collection: &Collection) -> Result<String> {
    serde_json::to_string(collection).map_err(|error| Error::internal("a definition has no JSON form").source(error))
}
