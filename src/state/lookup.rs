//! Reading single things from the state: a record, the schema, a tally, who holds a unique key, who points at whom.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::id::{CollectionId, FieldId, Generation, IndexId, RecordId, Seq};
use crate::model::record::Record;
use crate::model::schema::{Collection, Index, Schema};
use crate::model::value::{Fields, Value};
use crate::state::stack::Read;
use crate::state::tally::Tally;
use crate::state::{key, row};

/// A record.
///
/// # Errors
/// `Damaged` for a row that cannot be decoded, or the base's.
pub fn record(read: &dyn Read, collection: &Collection, id: &RecordId) -> Result<Option<Record>> {
    match read.get(&key::row(collection.id, collection.generation, id))? {
        Some(bytes) => {
            let (version, fields) = row::decode(&bytes)?;
            Ok(Some(Record { id: id.clone(), version, fields }))
        }
        None => Ok(None),
    }
}

/// Whether a record is there; its bytes are not decoded.
///
/// # Errors
/// The base's.
pub fn exists(read: &dyn Read, collection: &Collection, id: &RecordId) -> Result<bool> {
    Ok(read.get(&key::row(collection.id, collection.generation, id))?.is_some())
}

/// The number and digest of a filling's rows.
///
/// # Errors
/// As [`record`].
pub fn tally(read: &dyn Read, collection: CollectionId, generation: Generation) -> Result<Tally> {
    match read.get(&key::tally(collection, generation))? {
        Some(bytes) => Tally::decode(&bytes),
        None => Ok(Tally::default()),
    }
}

/// All definitions.
///
/// # Errors
/// As [`record`], for a definition that cannot be read.
pub fn schema_of(read: &dyn Read) -> Result<Schema> {
    let mut schema = Schema::default();
    let (from, to) = key::definitions();
    for pair in read.scan(&from, &to, false)? {
        let pair = pair?;
        let id = key::split_definition(pair.key())?;
        let unreadable = || Error::damaged(format!("the stored definition of collection {id} is malformed"));
        let (version, text) = pair.value().split_at_checked(8).ok_or_else(unreadable)?;
        let text = std::str::from_utf8(text).map_err(|_| unreadable())?;
        let mut collection = definition(id, text)?;
        collection.version = Seq(u64::from_be_bytes(version.try_into().map_err(|_| unreadable())?));
        schema.put(collection);
    }
    if let Some(last) = read.get(key::LAST_COLLECTION)? {
        let last = <[u8; 4]>::try_from(&last[..]).map_err(|_| Error::damaged("a counter is malformed"))?;
        schema.last_collection = schema.last_collection.max(CollectionId(u32::from_be_bytes(last)));
    }
    Ok(schema)
}

/// Reads a definition's text, as it stands in the log.
pub(super) fn definition(id: CollectionId, text: &str) -> Result<Collection> {
    let collection: Collection = serde_json::from_str(text)
        .map_err(|error| Error::damaged(format!("the definition of collection {id} can't be read")).source(error))?;
    match collection.indexes.iter().find(|index| index.fields.is_empty()) {
        Some(index) => Err(Error::damaged(format!("the index {} of collection {id} has no field", index.name))),
        None if collection.id != id => {
            Err(Error::damaged(format!("the definition of collection {id} says it is {}", collection.id)))
        }
        None => Ok(collection),
    }
}

/// A definition's value: the version (`u64`, big-endian), then its text.
pub(super) fn stored_definition(version: Seq, text: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(8 + text.len());
    bytes.extend_from_slice(&version.0.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

/// The record other than `own` that has the same values in an index; none if one of the values is null. Of an index
/// over a list: that has an element in common.
///
/// # Errors
/// As [`record`].
pub fn unique_holder(
    read: &dyn Read,
    collection: &Collection,
    index: &Index,
    fields: &Fields,
    own: &RecordId,
) -> Result<Option<RecordId>> {
    first_holder(read, collection, index, fields, Some(own))
}

/// The record that has a value in the index over one field alone which bears that field's name; none where the collection has
/// no such index.
///
/// # Errors
/// As [`record`].
pub fn found_as(read: &dyn Read, collection: &Collection, name: &str, value: Value) -> Result<Option<RecordId>> {
    let index = collection.indexes.iter().find(|index| &*index.name == name);
    let Some((field, index)) = collection.field(name).zip(index) else { return Ok(None) };
    found_by(read, collection, index, &[(field.id, value)].into_iter().collect())
}

/// The record that has these values in an index; none if one of the values is null.
///
/// # Errors
/// As [`record`].
pub fn found_by(read: &dyn Read, collection: &Collection, index: &Index, fields: &Fields) -> Result<Option<RecordId>> {
    first_holder(read, collection, index, fields, None)
}

fn first_holder(
    read: &dyn Read,
    collection: &Collection,
    index: &Index,
    fields: &Fields,
    own: Option<&RecordId>,
) -> Result<Option<RecordId>> {
    if index.fields.iter().any(|part| fields.get(part.field).is_null()) {
        return Ok(None);
    }
    for values in key::index_values(collection, index, fields) {
        if let Some(holder) = holder(read, index, values, own)? {
            return Ok(Some(holder));
        }
    }
    Ok(None)
}

/// The first record other than `own` whose entry in an index begins with these values.
pub(super) fn holder(
    read: &dyn Read,
    index: &Index,
    values: Vec<u8>,
    own: Option<&RecordId>,
) -> Result<Option<RecordId>> {
    let (from, to) = key::range(values);
    for pair in read.scan(&from, &to, false)? {
        let id = key::entry_id(pair?.key(), index)?;
        if own != Some(&id) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The ids of the first `limit` records of `pointing` whose relation `field` holds `target`.
///
/// # Errors
/// As [`record`]; `Internal` if the field has no index of its own, as every relation has.
pub fn referrers(
    read: &dyn Read,
    pointing: &Collection,
    field: FieldId,
    target: &RecordId,
    limit: usize,
) -> Result<Vec<RecordId>> {
    each_referrer(read, pointing, field, target)?.take(limit).collect()
}

/// The same one by one, all of them.
pub(super) fn each_referrer<'a>(
    read: &'a dyn Read,
    pointing: &'a Collection,
    field: FieldId,
    target: &RecordId,
) -> Result<impl Iterator<Item = Result<RecordId>> + 'a> {
    let index = pointing.relation_index(field);
    let index = index.ok_or_else(|| Error::internal(format!("no index over the relation {field}")))?;
    let mut values = key::entry_head(pointing, index.id);
    key::push_value(&mut values, &Value::text(target.as_str()), index.fields[0].descending);
    let (from, to) = key::range(values);
    Ok(read.scan(&from, &to, false)?.map(|pair| key::entry_id(pair?.key(), index)))
}

/// The ids of the first `limit` records whose relation `field` holds anything.
///
/// # Errors
/// As [`referrers`].
pub fn all_referrers(
    read: &dyn Read,
    pointing: &Collection,
    field: FieldId,
    limit: usize,
) -> Result<BTreeSet<RecordId>> {
    let index = pointing.relation_index(field);
    let index = index.ok_or_else(|| Error::internal(format!("no index over the relation {field}")))?;
    let (mut from, to) = key::entries_of(pointing.id, pointing.generation, index.id);
    // Null stands first: the server's own indexes ascend.
    key::push_value(&mut from, &Value::Null, false);
    let mut found = BTreeSet::new();
    for pair in read.scan(&key::after(&from), &to, false)? {
        if found.len() == limit {
            break;
        }
        found.insert(key::entry_id(pair?.key(), index)?);
    }
    Ok(found)
}

/// A filling whose keys are still to be reclaimed, or an index of one.
///
/// # Errors
/// As [`record`].
pub fn garbage(read: &dyn Read) -> Result<Option<(CollectionId, Generation, Option<IndexId>)>> {
    let (from, to) = key::garbage_marks();
    match read.scan(&from, &to, false)?.next() {
        Some(pair) => key::split_garbage(pair?.key()).map(Some),
        None => Ok(None),
    }
}

/// At most `max` keys of a filling, or of an index of it, and whether those are all that are left. `after` is the last
/// key that went before, if it is known: without it each piece steps over the tombstones of all earlier ones.
///
/// # Errors
/// As [`record`].
pub fn reclaimable(
    read: &dyn Read,
    collection: CollectionId,
    generation: Generation,
    index: Option<IndexId>,
    after: Option<&[u8]>,
    max: usize,
) -> Result<(Vec<Vec<u8>>, bool)> {
    let ranges = match index {
        Some(index) => vec![key::entries_of(collection, generation, index)],
        None => vec![key::rows(collection, generation), key::entries(collection, generation)],
    };
    let mut keys = Vec::new();
    for (from, to) in ranges {
        let from = after.map_or(from.clone(), |after| from.max(key::behind(after)));
        for pair in read.scan(&from, &to, false)? {
            let pair = pair?;
            if keys.len() == max {
                return Ok((keys, false));
            }
            keys.push(pair.key().to_vec());
        }
    }
    Ok((keys, true))
}
