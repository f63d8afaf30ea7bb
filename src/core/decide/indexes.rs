//! Decisions about indexes: which begin, what the next rows bring to one that is built, and which can't be.
//!
//! The order of the log decides: a unique index that is being built refuses no write. A write that gives two records the
//! same values, or a row that is met with values that another has, ends the build, and the definition says why.

use super::Draft;
use super::collections::defined;
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Generation, IndexId, RecordId};
use crate::limits;
use crate::model::change::Change;
use crate::model::pipeline;
use crate::model::schema::{Collection, Duplicate, Index, IndexField, IndexState};
use crate::model::value::Value;
use crate::state::{self, Brought, Progress};

/// What a definition's new indexes begin with: of few rows all at once, as changes that follow the definition; of many
/// as a build.
///
/// # Errors
/// `Unprocessable` with code `not_unique` or `too_long_for_index` where few rows don't allow one; the state's.
pub(super) fn begin(draft: &mut Draft<'_>, current: &Collection, next: &mut Collection) -> Result<Vec<Change>> {
    let rows = state::tally(draft.state()?, current.id, current.generation)?.count;
    let fresh: Vec<usize> =
        (0..next.indexes.len()).filter(|at| current.index(next.indexes[*at].id).is_none()).collect();
    let (mut changes, mut refusal) = (Vec::new(), None);
    let mut bytes_left = limits::ENTRY_BYTES_PIECE;
    for at in fresh {
        if rows > limits::INDEX_AT_ONCE_ROWS as u64 {
            next.indexes[at].state = IndexState::Building;
            continue;
        }
        let index = &next.indexes[at];
        let rows_max = limits::INDEX_AT_ONCE_ROWS;
        let brought = state::next_rows(draft.state()?, next, index, Progress::default(), rows_max, bytes_left)?;
        if !brought.is_sound() {
            refusal = Some(refused(refusal, next, index, &brought));
        } else if brought.done {
            bytes_left = bytes_left.saturating_sub(brought.bytes);
            changes.extend(backfilled(next, index.id, brought));
        } else {
            next.indexes[at].state = IndexState::Building;
        }
    }
    refusal.map_or(Ok(changes), Err)
}

/// The next rows of an index that is being built; with the last of them it is ready. Nothing, if it isn't being built.
pub(super) fn backfill(
    draft: &mut Draft<'_>,
    collection: CollectionId,
    generation: Generation,
    index: IndexId,
) -> Result<()> {
    let Some(collection) = draft.schema.get(collection).filter(|known| known.generation == generation).cloned() else {
        return Ok(());
    };
    let Some(index) = collection.index(index).filter(|index| index.is_building()) else { return Ok(()) };
    let from = state::progress(draft.state()?, collection.id, generation, index.id)?.unwrap_or_default();
    let (rows, bytes) = (limits::ENTRY_CHANGES_PIECE, limits::ENTRY_BYTES_PIECE);
    let brought = state::next_rows(draft.state()?, &collection, index, from, rows, bytes)?;
    if !brought.is_sound() {
        let Brought { duplicates, too_long, .. } = brought;
        let failed = IndexState::Failed { duplicates, too_long };
        return draft.push(defined(&with(&collection, [(index.id, failed)]))?);
    }
    let (id, done) = (index.id, brought.done);
    if let Some(change) = backfilled(&collection, id, brought) {
        draft.push(change)?;
    }
    if done {
        draft.push(defined(&with(&collection, [(id, IndexState::Ready)]))?)?;
    }
    Ok(())
}

/// The change that gives rows their entries; none where there were no rows.
fn backfilled(collection: &Collection, index: IndexId, brought: Brought) -> Option<Change> {
    let Brought { progress: Progress { rows, through }, keys, .. } = brought;
    let (collection, generation) = (collection.id, collection.generation);
    Some(Change::Backfilled { collection, generation, index, through: through?, rows, keys })
}

/// A definition with other states of some of its indexes.
fn with(collection: &Collection, states: impl IntoIterator<Item = (IndexId, IndexState)>) -> Collection {
    let mut next = collection.clone();
    for (id, state) in states {
        for index in next.indexes.iter_mut().filter(|index| index.id == id) {
            index.state = state.clone();
        }
    }
    next
}

/// Fails the indexes in which the writes of this entry have left two records with the same values.
pub(super) fn fail_doubled(draft: &mut Draft<'_>) -> Result<()> {
    let doubled = std::mem::take(&mut draft.doubled);
    let mut states: Vec<(CollectionId, IndexId, Vec<Duplicate>)> = Vec::new();
    for (id, index_id, record) in doubled {
        let Some(collection) = draft.schema.get(id).cloned() else { continue };
        let Some(index) = collection.index(index_id) else { continue };
        let Some(duplicate) = duplicate(draft, &collection, index, &record)? else { continue };
        match states.last_mut().filter(|(last, index, _)| (*last, *index) == (id, index_id)) {
            Some((.., duplicates)) if duplicates.len() < limits::INDEX_FLAWS_MAX => duplicates.push(duplicate),
            Some(_) => {}
            None => states.push((id, index_id, vec![duplicate])),
        }
    }
    for of_one in states.chunk_by(|a, b| a.0 == b.0) {
        let Some(collection) = draft.schema.get(of_one[0].0).cloned() else { continue };
        let failed = of_one.iter().map(|(_, index, duplicates)| {
            (*index, IndexState::Failed { duplicates: duplicates.clone(), too_long: Vec::new() })
        });
        draft.push(defined(&with(&collection, failed))?)?;
    }
    Ok(())
}

/// Who has the same values as a record, as the whole entry leaves it.
fn duplicate(
    draft: &mut Draft<'_>,
    collection: &Collection,
    index: &Index,
    record: &RecordId,
) -> Result<Option<Duplicate>> {
    let state = draft.state()?;
    let Some(stored) = state::record(state, collection, record)? else { return Ok(None) };
    let holder = state::unique_holder(state, collection, index, &stored.fields, record)?;
    Ok(holder.map(|holder| state::duplicate(index, &stored.fields, holder, record)))
}

/// Adds to a refusal what rows say against an index.
fn refused(refusal: Option<Error>, collection: &Collection, index: &Index, brought: &Brought) -> Error {
    let at = collection.indexes.iter().position(|other| other.id == index.id).unwrap_or_default();
    let path = format!("indexes.{at}");
    let code = if brought.duplicates.is_empty() { "too_long_for_index" } else { "not_unique" };
    let error = refusal.unwrap_or_else(|| {
        Error::new(Kind::Unprocessable, "the records that are there don't allow the index").code(code)
    });
    let doubles = brought.duplicates.iter().map(|Duplicate { values, ids: [one, other] }| {
        ("not_unique", format!("the records {one} and {other} both have {}", told(collection, index, values)))
    });
    let max = limits::INDEXED_TEXT_BYTES_MAX;
    let long = brought
        .too_long
        .iter()
        .map(|id| ("too_long_for_index", format!("the record {id} has a text of over {max} bytes")));
    doubles.chain(long).fold(error, |error, (code, message)| error.fault(path.clone(), code, message))
}

/// Values as an answer names them: `name "x", n 3`.
fn told(collection: &Collection, index: &Index, values: &[Value]) -> String {
    let one = |(part, value): (&IndexField, &Value)| {
        let mut json = Vec::new();
        pipeline::write_value(value, &mut json);
        let name = collection.field_by_id(part.field).map_or("", |field| &field.name);
        format!("{name} {}", String::from_utf8_lossy(&json))
    };
    index.fields.iter().zip(values).map(one).collect::<Vec<_>>().join(", ")
}
