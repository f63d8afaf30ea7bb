//! The one encoder of keys. Nothing else in the crate writes or cuts a key's bytes.
//!
//! ```text
//! 00 | which                                             local to this server: applied position, format
//! 01 | collection                                        definition
//! 02 | collection | generation | record id               row
//! 03 | collection | generation | index | values | id     index entry, empty value
//! 04 | collection | generation                           tally
//! 05 | collection | generation                           garbage: a filling that is no longer read
//! 05 | collection | generation | index                   garbage: an index that is no longer kept
//! 06 | which                                             counter
//! 07 | collection | generation | index                   how far an index has come that is being built; 0: a staged definition
//! 08 | fingerprint of an idempotency key                 answer that is kept for it
//! 09 | entry, u64                                        the answer that it kept: the oldest come first
//! 0a | record id                                         how far a handler has come
//! 0b | entry, u64                                        the epoch that ended before the entry
//! ```
//!
//! Numbers are big-endian `u32`. The bytes of an index value, which order as values do, are [`values`]'s.
//!
//! The record id at the end of an index entry follows the direction of the index's last field: plain bytes, or inverted
//! ones with an FF behind them. So a walk that yields equal values yields their ids in the direction of the last field.

mod values;

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::{CollectionId, Generation, IndexId, RecordId, Seq};
use crate::model::once::Fingerprint;
use crate::model::schema::{Collection, Field, Index};
use crate::model::value::{Fields, Value};

pub(super) use values::{push_value, read_value, skip_value};

const LOCAL: u8 = 0x00;
const DEFINITION: u8 = 0x01;
const ROW: u8 = 0x02;
const ENTRY: u8 = 0x03;
const TALLY: u8 = 0x04;
const GARBAGE: u8 = 0x05;
const COUNTER: u8 = 0x06;
const PROGRESS: u8 = 0x07;
const ANSWER: u8 = 0x08;
const KEPT: u8 = 0x09;
const CURSOR: u8 = 0x0a;
const BEGAN: u8 = 0x0b;

/// Applied position of a base; local to a server, so not part of a snapshot.
pub(super) const APPLIED: &[u8] = &[LOCAL, 0x01];
/// Format version of a base.
pub(super) const FORMAT: &[u8] = &[LOCAL, 0x02];
/// Highest collection id ever given out.
pub(super) const LAST_COLLECTION: &[u8] = &[COUNTER, 0x01];
/// What is kept of answers in all.
pub(super) const ANSWERS: &[u8] = &[COUNTER, 0x02];
/// First key that is the same on every server, and the end of all keys.
pub(super) const SHARED: (&[u8], &[u8]) = (&[DEFINITION], &[0xFF]);

/// Whether a key is a row's.
pub(super) fn is_row(key: &[u8]) -> bool {
    key.first() == Some(&ROW)
}

/// Bytes of a key before the record id of a row.
const ROW_HEAD: usize = 9;
/// Bytes of a key before the values of an index entry.
const ENTRY_HEAD: usize = 13;

/// A key. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

fn filling(kind: u8, collection: CollectionId, generation: Generation) -> [u8; ROW_HEAD] {
    let mut key = [kind; ROW_HEAD];
    key[1..5].copy_from_slice(&collection.0.to_be_bytes());
    key[5..].copy_from_slice(&generation.0.to_be_bytes());
    key
}

fn of_index(kind: u8, collection: CollectionId, generation: Generation, index: IndexId) -> [u8; ENTRY_HEAD] {
    let mut key = [kind; ENTRY_HEAD];
    key[..ROW_HEAD].copy_from_slice(&filling(kind, collection, generation));
    key[ROW_HEAD..].copy_from_slice(&index.0.to_be_bytes());
    key
}

/// The key of a definition.
pub(super) fn definition(collection: CollectionId) -> [u8; 5] {
    let mut key = [DEFINITION; 5];
    key[1..].copy_from_slice(&collection.0.to_be_bytes());
    key
}

/// From the first definition to behind the last.
pub(super) fn definitions() -> ([u8; 1], [u8; 1]) {
    ([DEFINITION], [DEFINITION + 1])
}

/// The key of an answer.
pub(super) fn answer(key: Fingerprint) -> [u8; 17] {
    let mut bytes = [ANSWER; 17];
    bytes[1..].copy_from_slice(&key.0);
    bytes
}

/// From the first answer to behind the last.
pub(super) fn answers() -> ([u8; 1], [u8; 1]) {
    ([ANSWER], [ANSWER + 1])
}

/// What an answer's key is the key of.
pub(super) fn split_answer(key: &[u8]) -> Result<Fingerprint> {
    key.get(1..).and_then(|bytes| bytes.try_into().ok()).map(Fingerprint).ok_or_else(|| malformed(key))
}

/// The key of what an entry kept.
pub(super) fn kept(entry: Seq) -> [u8; 9] {
    let mut key = [KEPT; 9];
    key[1..].copy_from_slice(&entry.0.to_be_bytes());
    key
}

/// From what an entry kept, or a later one, to behind the last.
pub(super) fn kept_from(entry: Seq) -> ([u8; 9], [u8; 1]) {
    (kept(entry), [KEPT + 1])
}

/// The entry that kept something.
pub(super) fn split_kept(key: &[u8]) -> Result<Seq> {
    let bytes = key.get(1..).and_then(|bytes| bytes.try_into().ok());
    bytes.map(|bytes| Seq(u64::from_be_bytes(bytes))).ok_or_else(|| malformed(key))
}

/// The key of a handler's cursor.
pub(super) fn cursor(handler: &RecordId) -> Vec<u8> {
    [&[CURSOR], handler.as_str().as_bytes()].concat()
}

/// From the first cursor to behind the last.
pub(super) fn cursors() -> ([u8; 1], [u8; 1]) {
    ([CURSOR], [CURSOR + 1])
}

/// The handler of a cursor's key.
pub(super) fn split_cursor(key: &[u8]) -> Result<RecordId> {
    key.get(1..).and_then(id).ok_or_else(|| malformed(key))
}

/// The key of what is known of an entry that began an epoch.
pub(super) fn began(first: Seq) -> [u8; 9] {
    let mut key = [BEGAN; 9];
    key[1..].copy_from_slice(&first.0.to_be_bytes());
    key
}

/// From the first that lies behind an entry to behind the last.
pub(super) fn began_behind(seq: Seq) -> ([u8; 9], [u8; 1]) {
    (began(seq.next()), [BEGAN + 1])
}

/// The entry of such a key.
pub(super) fn split_began(key: &[u8]) -> Result<Seq> {
    let seq = key.get(1..).and_then(|seq| seq.try_into().ok());
    seq.map(|seq| Seq(u64::from_be_bytes(seq))).ok_or_else(|| malformed(key))
}

/// The key of a tally.
pub(super) fn tally(collection: CollectionId, generation: Generation) -> [u8; ROW_HEAD] {
    filling(TALLY, collection, generation)
}

/// The key of a filling's garbage mark.
pub(super) fn garbage(collection: CollectionId, generation: Generation) -> [u8; ROW_HEAD] {
    filling(GARBAGE, collection, generation)
}

/// The key of an index's garbage mark.
pub(super) fn garbage_index(collection: CollectionId, generation: Generation, index: IndexId) -> [u8; ENTRY_HEAD] {
    of_index(GARBAGE, collection, generation, index)
}

/// From the first garbage mark to behind the last.
pub(super) fn garbage_marks() -> ([u8; 1], [u8; 1]) {
    ([GARBAGE], [GARBAGE + 1])
}

/// What a garbage mark's key names.
pub(super) fn split_garbage(key: &[u8]) -> Result<(CollectionId, Generation, Option<IndexId>)> {
    if key.len() == ROW_HEAD {
        let (collection, generation) = split_filling(key)?;
        return Ok((collection, generation, None));
    }
    let (collection, generation, index) = split_index(key)?;
    Ok((collection, generation, Some(index)))
}

/// What stands in the place of an index where it is rows that are seen to for a staged definition: ids of indexes begin
/// at 1.
pub(super) const RESHAPE: IndexId = IndexId(0);

/// The key of how far an index has come.
pub(super) fn progress(collection: CollectionId, generation: Generation, index: IndexId) -> [u8; ENTRY_HEAD] {
    of_index(PROGRESS, collection, generation, index)
}

/// From the first of these keys to behind the last.
pub(super) fn progresses() -> ([u8; 1], [u8; 1]) {
    ([PROGRESS], [PROGRESS + 1])
}

/// What a key names that ends with an index.
pub(super) fn split_index(key: &[u8]) -> Result<(CollectionId, Generation, IndexId)> {
    match key.split_at_checked(ROW_HEAD) {
        Some((head, index)) if index.len() == 4 => {
            let (collection, generation) = split_filling(head)?;
            Ok((collection, generation, IndexId(number(index))))
        }
        _ => Err(malformed(key)),
    }
}

/// What a filling's garbage mark's or a tally's key names.
pub(super) fn split_filling(key: &[u8]) -> Result<(CollectionId, Generation)> {
    match (key.get(1..5), key.get(5..ROW_HEAD)) {
        (Some(collection), Some(generation)) if key.len() == ROW_HEAD => {
            Ok((CollectionId(number(collection)), Generation(number(generation))))
        }
        _ => Err(malformed(key)),
    }
}

/// The collection of a definition's key.
pub(super) fn split_definition(key: &[u8]) -> Result<CollectionId> {
    match key.get(1..) {
        Some(id) if id.len() == 4 => Ok(CollectionId(number(id))),
        _ => Err(malformed(key)),
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn malformed(key: &[u8]) -> Error {
    Error::damaged(format!("a key of the state is malformed: {}", key.escape_ascii()))
}

/// The key of a row.
pub(super) fn row(collection: CollectionId, generation: Generation, id: &RecordId) -> Vec<u8> {
    let mut key = Vec::with_capacity(ROW_HEAD + id.as_str().len());
    set_row(&mut key, collection, generation, id);
    key
}

/// Writes the key of a row over what is in `key`.
pub(super) fn set_row(key: &mut Vec<u8>, collection: CollectionId, generation: Generation, id: &RecordId) {
    key.clear();
    key.extend_from_slice(&filling(ROW, collection, generation));
    key.extend_from_slice(id.as_str().as_bytes());
}

/// From the first row of a filling to behind the last.
pub(super) fn rows(collection: CollectionId, generation: Generation) -> (Vec<u8>, Vec<u8>) {
    range(filling(ROW, collection, generation).to_vec())
}

/// From the first index entry of a filling to behind the last.
pub(super) fn entries(collection: CollectionId, generation: Generation) -> (Vec<u8>, Vec<u8>) {
    range(filling(ENTRY, collection, generation).to_vec())
}

/// From the first entry of an index to behind the last.
pub(super) fn entries_of(collection: CollectionId, generation: Generation, index: IndexId) -> (Vec<u8>, Vec<u8>) {
    range(of_index(ENTRY, collection, generation, index).to_vec())
}

/// Whether a key is an entry of that index.
pub(super) fn is_of_index(key: &[u8], collection: CollectionId, generation: Generation, index: IndexId) -> bool {
    key.starts_with(&of_index(ENTRY, collection, generation, index))
}

/// Whether a key is a row or an index entry of that filling.
pub(super) fn is_of_filling(key: &[u8], collection: CollectionId, generation: Generation) -> bool {
    key.starts_with(&filling(ROW, collection, generation)) || key.starts_with(&filling(ENTRY, collection, generation))
}

/// From the first row to behind the last tally: what belongs to fillings.
pub(super) fn fillings() -> (Vec<u8>, Vec<u8>) {
    (vec![ROW], vec![TALLY + 1])
}

/// The filling of a row, entry or tally, and what all its keys of that kind begin with.
pub(super) fn filling_of(key: &[u8]) -> Result<(Vec<u8>, CollectionId, Generation)> {
    let head = key.get(..ROW_HEAD).ok_or_else(|| malformed(key))?;
    let (collection, generation) = split_filling(head)?;
    Ok((head.to_vec(), collection, generation))
}

/// The record id of a row's key.
pub(super) fn row_id(key: &[u8]) -> Result<RecordId> {
    key.get(ROW_HEAD..).and_then(id).ok_or_else(|| malformed(key))
}

/// A record id as it stands at a key's end.
pub(super) fn id(bytes: &[u8]) -> Option<RecordId> {
    std::str::from_utf8(bytes).ok().and_then(|text| RecordId::new(text).ok())
}

/// The record id of an index entry's key: what lies behind the index's values.
pub(super) fn entry_id(key: &[u8], index: &Index) -> Result<RecordId> {
    let mut rest = key.get(ENTRY_HEAD..).ok_or_else(|| malformed(key))?;
    for field in &index.fields {
        rest = skip_value(rest, field.descending).ok_or_else(|| malformed(key))?;
    }
    last_id(rest, ends_descending(index)).map_err(|_| malformed(key))
}

/// The values of an index entry's key, each handed to `each` with its place in the index, and the record's id. Those that
/// `wanted` does not name are passed by.
pub(super) fn split_entry(
    key: &[u8],
    index: &Index,
    wanted: impl Fn(usize) -> bool,
    mut each: impl FnMut(usize, Value),
) -> Result<RecordId> {
    let mut rest = key.get(ENTRY_HEAD..).ok_or_else(|| malformed(key))?;
    for (at, field) in index.fields.iter().enumerate() {
        if wanted(at) {
            let (value, behind) = read_value(rest, field.descending).ok_or_else(|| malformed(key))?;
            each(at, value);
            rest = behind;
        } else {
            rest = skip_value(rest, field.descending).ok_or_else(|| malformed(key))?;
        }
    }
    last_id(rest, ends_descending(index)).map_err(|_| malformed(key))
}

/// The record id that [`push_id`] wrote.
pub(super) fn last_id(bytes: &[u8], descending: bool) -> Result<RecordId> {
    if !descending {
        return id(bytes).ok_or_else(|| malformed(bytes));
    }
    let plain: Option<Vec<u8>> = bytes.strip_suffix(&[0xFF]).map(|rest| rest.iter().map(|byte| !byte).collect());
    plain.as_deref().and_then(id).ok_or_else(|| malformed(bytes))
}

/// Whether the ids of equal values come in descending order.
pub(super) fn ends_descending(index: &Index) -> bool {
    index.fields.last().is_some_and(|field| field.descending)
}

/// Appends a record id as the last part of an order.
pub(super) fn push_id(key: &mut Vec<u8>, id: &RecordId, descending: bool) {
    let id = id.as_str().as_bytes();
    if descending {
        key.extend(id.iter().map(|byte| !byte));
        key.push(0xFF);
    } else {
        key.extend_from_slice(id);
    }
}

/// The index of an entry's key.
pub(super) fn entry_index(key: &[u8]) -> Result<IndexId> {
    key.get(ROW_HEAD..ENTRY_HEAD).map(|id| IndexId(number(id))).ok_or_else(|| malformed(key))
}

/// What all entries of an index begin with.
pub(super) fn entry_head(collection: &Collection, index: IndexId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    push_entry_head(&mut key, collection, index);
    key
}

fn push_entry_head(key: &mut Vec<u8>, collection: &Collection, index: IndexId) {
    key.extend_from_slice(&of_index(ENTRY, collection.id, collection.generation, index));
}

/// The range of all keys that begin with `prefix`, which holds a byte other than FF.
pub(super) fn range(prefix: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let end = after(&prefix);
    (prefix, end)
}

/// The least key behind one: ids are not ended by anything.
pub(super) fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The least key behind all that begin with `prefix`.
pub(super) fn after(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xFF).map_or(0, |at| at + 1);
    let mut end = prefix[..kept].to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// Calls `each` with the key of every entry that a record has in an index: one, but for a list field. `key` is room to
/// work in, so that a write with many entries allocates once.
pub(super) fn each_entry(
    collection: &Collection,
    index: &Index,
    id: &RecordId,
    fields: &Fields,
    key: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]),
) {
    let descending = ends_descending(index);
    each_values(collection, index, fields, key, |key| {
        push_id(key, id, descending);
        each(key);
    });
}

/// The keys of the entries that a record has in an index.
pub(super) fn index_entries(collection: &Collection, index: &Index, id: &RecordId, fields: &Fields) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    each_entry(collection, index, id, fields, &mut Vec::with_capacity(64), |key| keys.push(key.to_vec()));
    keys
}

/// The same without the record's id: what all records with these values share.
pub(super) fn index_values(collection: &Collection, index: &Index, fields: &Fields) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    each_values(collection, index, fields, &mut Vec::with_capacity(64), |key| keys.push(key.clone()));
    keys
}

fn each_values(
    collection: &Collection,
    index: &Index,
    fields: &Fields,
    key: &mut Vec<u8>,
    mut each: impl FnMut(&mut Vec<u8>),
) {
    key.clear();
    push_entry_head(key, collection, index.id);
    if let [only] = index.fields.as_slice() {
        let value = fields.get(only.field);
        let is_list = |field: &Field| field.kind.is_list();
        if matches!(value, Value::List(_)) || value.is_null() && collection.field_by_id(only.field).is_some_and(is_list)
        {
            let head = key.len();
            let items = value.each();
            for (_, item) in items.iter().enumerate().filter(|(at, item)| !items[..*at].contains(item)) {
                key.truncate(head);
                push_value(key, item, only.descending);
                each(key);
            }
            return;
        }
    }
    for field in &index.fields {
        push_value(key, fields.get(field.field), field.descending);
    }
    each(key);
}
