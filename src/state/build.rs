//! Building an index: how far it has come, and what the next rows bring.
//!
//! Rows are taken in the order of their ids. Behind the last one taken a row may lack entries; up to it none does.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::id::{CollectionId, Generation, IndexId, RecordId};
use crate::limits;
use crate::model::record::Record;
use crate::model::schema::{Collection, Duplicate, Index};
use crate::model::value::{Fields, Value};
use crate::state::stack::Read;
use crate::state::{key, lookup, row};

/// How far an index has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows that were looked at.
    pub rows: u64,
    /// The last of them.
    pub through: Option<RecordId>,
}

impl Progress {
    /// The rows (`u64`, big-endian), then the id of the last.
    pub(super) fn encode(&self) -> Bytes {
        let id = self.through.as_ref().map_or("", |id| id.as_str());
        [&self.rows.to_be_bytes()[..], id.as_bytes()].concat().into()
    }

    fn decode(bytes: &[u8]) -> Result<Progress> {
        let wrong = || Error::damaged("the progress of an index can't be decoded");
        let (rows, id) = bytes.split_at_checked(8).ok_or_else(wrong)?;
        let through = if id.is_empty() { None } else { Some(key::id(id).ok_or_else(wrong)?) };
        Ok(Progress { rows: u64::from_be_bytes(rows.try_into().map_err(|_| wrong())?), through })
    }
}

/// An index that is being built, or [`is_reshape`].
///
/// # Errors
/// The base's, or `Damaged`.
pub fn building(read: &dyn Read) -> Result<Option<(CollectionId, Generation, IndexId)>> {
    let (from, to) = key::progresses();
    match read.scan(&from, &to, false)?.next() {
        Some(pair) => key::split_index(pair?.key()).map(Some),
        None => Ok(None),
    }
}

/// Whether what is being built is no index but a staged definition.
pub fn is_reshape(index: IndexId) -> bool {
    index == key::RESHAPE
}

/// How far a staged definition has come; `None` where there is none.
///
/// # Errors
/// As [`building`].
pub fn reshaped(read: &dyn Read, collection: CollectionId, generation: Generation) -> Result<Option<Progress>> {
    progress(read, collection, generation, key::RESHAPE)
}

/// The next records behind `from`, in the order of their ids, and whether no more are left: at most `rows_max`, and
/// `bytes_max` bytes, but for the last one's.
///
/// # Errors
/// As [`building`].
pub fn next_records(
    read: &dyn Read,
    collection: &Collection,
    from: Option<&RecordId>,
    rows_max: usize,
    bytes_max: usize,
) -> Result<(Vec<Record>, bool)> {
    let (begin, to) = rows_behind(collection, from);
    let (mut records, mut bytes) = (Vec::new(), 0);
    for pair in read.scan(&begin, &to, false)? {
        let pair = pair?;
        if records.len() == rows_max || bytes >= bytes_max {
            return Ok((records, false));
        }
        bytes += pair.value().len();
        let (version, fields) = row::decode(pair.value())?;
        records.push(Record { id: key::row_id(pair.key())?, version, fields });
    }
    Ok((records, true))
}

/// The keys of the rows behind one.
fn rows_behind(collection: &Collection, from: Option<&RecordId>) -> (Vec<u8>, Vec<u8>) {
    let (begin, to) = key::rows(collection.id, collection.generation);
    match from {
        Some(id) => (key::behind(&key::row(collection.id, collection.generation, id)), to),
        None => (begin, to),
    }
}

/// How far an index has come; `None` where it isn't being built.
///
/// # Errors
/// As [`building`].
pub fn progress(
    read: &dyn Read,
    collection: CollectionId,
    generation: Generation,
    index: IndexId,
) -> Result<Option<Progress>> {
    let stored = read.get(&key::progress(collection, generation, index))?;
    stored.map(|bytes| Progress::decode(&bytes)).transpose()
}

/// What rows bring to an index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brought {
    /// How far it has come with them.
    pub progress: Progress,
    /// The keys of their entries.
    pub keys: Vec<Vec<u8>>,
    /// Bytes of the rows and the keys.
    pub bytes: usize,
    /// Whether no row is left.
    pub done: bool,
    /// Who has the same values, of a unique index; some of them.
    pub duplicates: Vec<Duplicate>,
    /// Whose texts are too long for an index; some of them.
    pub too_long: Vec<RecordId>,
}

impl Brought {
    /// Whether they allow the index.
    pub fn is_sound(&self) -> bool {
        self.duplicates.is_empty() && self.too_long.is_empty()
    }
}

/// What the next rows behind `from` bring: at most `rows_max` rows and keys and `bytes_max` bytes, but for the last row's.
///
/// # Errors
/// As [`building`].
pub fn next_rows(
    read: &dyn Read,
    collection: &Collection,
    index: &Index,
    from: Progress,
    rows_max: usize,
    bytes_max: usize,
) -> Result<Brought> {
    let (begin, to) = rows_behind(collection, from.through.as_ref());
    let rows_end = from.rows + rows_max as u64;
    let mut brought = Brought { progress: from, ..Brought::default() };
    let mut seen = BTreeMap::new();
    for pair in read.scan(&begin, &to, false)? {
        let pair = pair?;
        if brought.progress.rows == rows_end || brought.keys.len() >= rows_max || brought.bytes >= bytes_max {
            return Ok(brought);
        }
        let id = key::row_id(pair.key())?;
        let (_, fields) = row::decode(pair.value())?;
        brought.bytes += pair.value().len();
        one_row(read, collection, index, &id, &fields, &mut seen, &mut brought)?;
        brought.progress = Progress { rows: brought.progress.rows + 1, through: Some(id) };
    }
    brought.done = true;
    Ok(brought)
}

/// `seen` is who has which values of the rows before.
fn one_row(
    read: &dyn Read,
    collection: &Collection,
    index: &Index,
    id: &RecordId,
    fields: &Fields,
    seen: &mut BTreeMap<Vec<u8>, RecordId>,
    brought: &mut Brought,
) -> Result<()> {
    let is_long = |value: &Value| value.as_text().is_some_and(|text| text.len() > limits::INDEXED_TEXT_BYTES_MAX);
    if index.fields.iter().any(|part| fields.get(part.field).each().iter().any(is_long)) {
        if brought.too_long.len() < limits::INDEX_FLAWS_MAX {
            brought.too_long.push(id.clone());
        }
        return Ok(());
    }
    if index.unique && index.fields.iter().all(|part| !fields.get(part.field).is_null()) {
        for values in key::index_values(collection, index, fields) {
            let holder = match seen.get(&values) {
                Some(holder) => Some(holder.clone()),
                None => lookup::holder(read, index, values.clone(), Some(id))?,
            };
            match holder {
                Some(holder) if brought.duplicates.len() < limits::INDEX_FLAWS_MAX => {
                    brought.duplicates.push(duplicate(index, fields, holder, id));
                }
                Some(_) => {}
                None => drop(seen.insert(values, id.clone())),
            }
        }
    }
    let Brought { keys, bytes, .. } = brought;
    key::each_entry(collection, index, id, fields, &mut Vec::with_capacity(64), |come| {
        *bytes += come.len();
        keys.push(come.to_vec());
    });
    Ok(())
}

/// Two records that have the same values in an index, those of `fields`.
pub fn duplicate(index: &Index, fields: &Fields, holder: RecordId, other: &RecordId) -> Duplicate {
    let values = index.fields.iter().map(|part| fields.get(part.field).clone());
    Duplicate { values: values.collect(), ids: [holder, other.clone()] }
}
