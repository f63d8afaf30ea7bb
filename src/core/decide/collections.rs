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
use crate::model::once::Kept;
use crate::model::schema::{Collection, FieldKind, Schema};
use crate::state;

/// A new collection: gives it its id, checks its name against others and that its relations' targets are still there.
pub(super) fn define(draft: &mut Draft<'_>, wanted: &Collection) -> Result<()> {
    if draft.schema.iter().count() >= limits::COLLECTIONS_MAX {
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
    collection.id = CollectionId(draft.schema.last_collection.0 + 1);
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
    let at = draft.changes.len() as u32;
    draft.keep(|| Kept::Change(at));
    draft.changes.push(Change::Defined { collection: collection.id, definition });
    draft.committed.collection = Some(Box::new(collection));
    Ok(())
}

/// Whether a definition's expressions and output fit the schema as it is now: what they reach over may have gone since
/// they were read. The collections that are there already are none the worse for a new one.
fn compiles(schema: &Schema, collection: &Collection) -> Result<()> {
    let mut with_it = schema.clone();
    with_it.put(collection.clone());
    let Err(flawed) = Compiled::new(&with_it, collection) else { return Ok(()) };
    let error = Error::new(Kind::Conflict, "what the definition's expressions read has changed").code("stale_schema");
    Err(flawed.iter().fold(error, |error, flaw| error.fault(&*flaw.path, "bad_expression", flaw.message())))
}

/// Drops a collection, unless another one's relation points at it or an expression looks at its records.
pub(super) fn drop(draft: &mut Draft<'_>, id: CollectionId) -> Result<()> {
    let collection: &Arc<Collection> =
        draft.schema.get(id).ok_or_else(|| Error::new(Kind::NotFound, "there is no such collection"))?;
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
