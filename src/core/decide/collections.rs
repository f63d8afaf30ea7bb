//! Decisions about collections: define, redefine, drop, and the piecewise removal of what is no longer read.
//!
//! Invariant: what stands in a schema compiles against it, before and after each of them.

use std::sync::Arc;

use super::{Draft, indexes};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, Generation, IndexId};
use crate::limits;
use crate::model::change::Change;
use crate::model::compiled::Compiled;
use crate::model::definition;
use crate::model::mask::Part;
use crate::model::schema::{Collection, FieldKind, IndexState, Schema, Shadow};
use crate::state;

/// A new collection: gives it its id, checks its name against others and that its relations' targets are still there.
pub(super) fn define(draft: &mut Draft<'_>, wanted: &Collection) -> Result<()> {
    if draft.schema.iter().filter(|other| !other.id.is_own()).count() >= limits::COLLECTIONS_MAX {
        return Err(Error::new(
            Kind::Unprocessable,
            format!("a database has at most {} collections", limits::COLLECTIONS_MAX),
        ));
    }
    name_is_free(draft.schema, wanted)?;
    let mut collection = wanted.clone();
    collection.id = next_id(draft.schema, &collection.name);
    collection.generation = Generation(1);
    collection.version = draft.position.seq;
    collection.created = draft.now;
    collection.updated = draft.now;
    collection.defined = draft.position.seq;
    let id = collection.id;
    definition::number(&mut collection, id);
    targets_are_there(draft.schema, &collection)?;
    compiles(draft.schema, &collection)?;
    draft.changes.push(defined(&collection)?);
    draft.committed.collection = Some(Box::new(collection));
    Ok(())
}

fn name_is_free(schema: &Schema, wanted: &Collection) -> Result<()> {
    if schema.iter().any(|other| other.name == wanted.name && other.id != wanted.id) {
        return Err(Error::new(Kind::Conflict, format!("there is a collection named {} already", wanted.name))
            .code("exists")
            .fault("name", "unique", "the name is taken"));
    }
    Ok(())
}

pub(super) fn targets_are_there(schema: &Schema, collection: &Collection) -> Result<()> {
    for field in &collection.fields {
        let FieldKind::Relation { collection: target, .. } = field.kind else { continue };
        if target != collection.id && schema.get(target).is_none() {
            return Err(Error::new(Kind::Conflict, "a relation points at a collection that is gone").fault(
                field.name.clone(),
                "relation_missing",
                "its collection does not exist",
            ));
        }
    }
    Ok(())
}

/// A new definition in the place of the one it was made from. What is the server's own stays as it is.
pub(super) fn redefine(draft: &mut Draft<'_>, wanted: &Collection) -> Result<()> {
    let current = draft.schema.get(wanted.id).ok_or_else(no_collection)?.clone();
    is_made_from(&current, wanted)?;
    let mut next = replaceable(draft.schema, &current, wanted)?;
    next.updated = current.updated;
    next.defined = current.defined;
    for index in &mut next.indexes {
        index.state = current.index(index.id).map_or_else(IndexState::default, |known| known.state.clone());
    }
    if next == *current {
        draft.committed.collection = Some(Box::new(next));
        return Ok(());
    }
    next.version = draft.position.seq;
    next.updated = draft.now;
    next.defined = draft.position.seq;
    shown_elsewhere(draft.schema, &current, &next, &[])?;
    let filled = indexes::begin(draft, &current, &mut next)?;
    draft.push(defined(&next)?)?;
    for change in filled {
        draft.push(change)?;
    }
    draft.committed.collection = Some(Box::new(next));
    Ok(())
}

/// Whether a definition was made from the present one, whose ids it goes on from.
pub(super) fn is_made_from(current: &Collection, wanted: &Collection) -> Result<()> {
    if current.version == wanted.version {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, "the collection's definition has changed").code("stale_schema"))
}

/// A definition that may take the place of the present one, as far as other definitions go; with what is the server's own.
///
/// # Errors
/// `Conflict`, with code `changing` where another is staged, `exists`, `stale_schema` where it no longer compiles, or
/// `referred_to` with the path of another collection's expression that would no longer compile.
pub(super) fn replaceable(schema: &Schema, current: &Collection, wanted: &Collection) -> Result<Collection> {
    not_own(current)?;
    same_kind(current, wanted)?;
    if current.staged.is_some() {
        let message = format!("{} is changing already: its records are being seen to", current.name);
        return Err(Error::new(Kind::Conflict, message).code("changing"));
    }
    name_is_free(schema, wanted)?;
    targets_are_there(schema, wanted)?;
    let mut next = wanted.clone();
    next.generation = current.generation;
    next.created = current.created;
    next.last_field = next.last_field.max(current.last_field);
    next.last_index = next.last_index.max(current.last_index);
    compiles(schema, &next)?;
    others_compile(schema, &next)?;
    Ok(next)
}

/// # Errors
/// `Unprocessable` for a type that moves, or a field that an auth collection would not have any more.
pub(super) fn same_kind(current: &Collection, wanted: &Collection) -> Result<()> {
    if current.kind == wanted.kind && wanted.auth_fields().is_some() == current.auth_fields().is_some() {
        return Ok(());
    }
    let error = Error::new(Kind::Unprocessable, "a collection's type never changes");
    Err(error.fault("type", "read_only", "never changes"))
}

/// Other collections' definitions that show fields of this one by their ids, where those move with the new definition.
///
/// # Errors
/// `Conflict` with code `referred_to` and the path where one shows a field that would be gone, or hidden.
pub(super) fn shown_elsewhere(
    schema: &Schema,
    current: &Collection,
    next: &Collection,
    shadows: &[Shadow],
) -> Result<Vec<Collection>> {
    let mut moved = Vec::new();
    for other in schema.iter().filter(|other| other.id != current.id) {
        let mut new = (**other).clone();
        shows(&mut new, current.id, next, shadows)?;
        if let Some(staged) = &mut new.staged {
            shows(&mut staged.collection, current.id, next, shadows)?;
        }
        if new != **other {
            moved.push(new);
        }
    }
    Ok(moved)
}

/// Gives the parts that a definition shows of `target` their new ids.
fn shows(other: &mut Collection, target: CollectionId, next: &Collection, shadows: &[Shadow]) -> Result<()> {
    let points_there: Vec<FieldId> = other.relations_to(target).map(|(field, _)| field.id).collect();
    for embed in other.output.embed.iter_mut().filter(|embed| points_there.contains(&embed.field)) {
        for part in &mut embed.parts {
            let Part::Field(id) = part else { continue };
            if let Some(shadow) = shadows.iter().find(|shadow| shadow.replaces == Some(*id)) {
                *id = shadow.field;
            }
            if next.field_by_id(*id).is_none_or(|field| field.hidden) {
                let message = format!("the output of {} shows a field that would be gone or hidden", other.name);
                let error = Error::new(Kind::Conflict, message).code("referred_to");
                return Err(error.fault(format!("{}.output", other.name), "referred_to", "shows that field"));
            }
        }
    }
    Ok(())
}

/// Whether what other collections' expressions read of a collection is still there with its new definition.
fn others_compile(schema: &Schema, collection: &Collection) -> Result<()> {
    let mut with_it = schema.clone();
    with_it.put(collection.clone());
    for other in schema.iter().filter(|other| other.id != collection.id) {
        if schema.compiled(other)?.reaches(other, collection.id).is_none() {
            continue;
        }
        if let Err(flawed) = Compiled::new(&with_it, other) {
            let path = flawed.first().map_or("", |flaw| &flaw.path);
            let message = format!("{path} of {} reads what would no longer be there", other.name);
            let error = Error::new(Kind::Conflict, message).code("referred_to");
            return Err(flawed.iter().fold(error, |error, flaw| {
                error.fault(format!("{}.{}", other.name, flaw.path), "bad_expression", flaw.message())
            }));
        }
    }
    Ok(())
}

/// # Errors
/// `Conflict` for one of the server's own: what it holds decides who may what.
pub(super) fn not_own(collection: &Collection) -> Result<()> {
    if !collection.id.is_own() {
        return Ok(());
    }
    let message = format!("{} is the server's own and stays as it is", collection.name);
    Err(Error::new(Kind::Conflict, message).code("own_collection"))
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
    let collection: &Arc<Collection> = draft.schema.get(id).ok_or_else(no_collection)?;
    not_own(collection)?;
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
    unread_by_staged(draft.schema, id)?;
    draft.changes.push(Change::Dropped { collection: id, definition: to_json(collection)? });
    Ok(())
}

/// Whether a collection may go for all that definitions on their way say. One that can't be any more says nothing.
pub(super) fn unread_by_staged(schema: &Schema, id: CollectionId) -> Result<()> {
    for (other, staged) in schema.iter().filter_map(|other| Some((other, other.staged.as_ref()?))) {
        let points = staged.collection.relations_to(id).next().is_some();
        let reads = || schema.compiled_staged(staged).is_ok_and(|all| all.reaches(&staged.collection, id).is_some());
        if other.id != id && (points || reads()) {
            let message = format!("it can't go while {} is being changed to read it", other.name);
            return Err(Error::new(Kind::Conflict, message).code("referred_to"));
        }
    }
    Ok(())
}

/// The next keys of a generation, or of an index, that is no longer read.
pub(super) fn reclaim(
    draft: &mut Draft<'_>,
    collection: CollectionId,
    generation: Generation,
    index: Option<IndexId>,
    after: Option<&[u8]>,
) -> Result<()> {
    let max = draft.pieces.rows;
    let (keys, done) = state::reclaimable(draft.state()?, collection, generation, index, after, max)?;
    draft.changes.push(match index {
        Some(index) => Change::Unindexed { collection, generation, index, keys, done },
        None => Change::Reclaimed { collection, generation, keys, done },
    });
    Ok(())
}

/// The change that puts a definition in its place.
pub(super) fn defined(collection: &Collection) -> Result<Change> {
    Ok(Change::Defined { collection: collection.id, definition: to_json(collection)? })
}

pub(super) fn to_json(collection: &Collection) -> Result<String> {
    serde_json::to_string(collection).map_err(|error| Error::internal("a definition has no JSON form").source(error))
}

pub(super) fn no_collection() -> Error {
    Error::new(Kind::NotFound, "there is no such collection")
}
