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
//! 07 | collection | generation | index                   how far an index has come that is being built
//! ```
//!
//! Numbers are big-endian `u32`. An index value orders as [`Value::order`] does, ends by itself, and is inverted bit by
//! bit where the index descends:
//!
//! ```text
//! 01                       null
//! 02 | 00 or 01            bool
//! 03 | floor f64 | u16     number: the greatest f64 not above it, and what a whole number is beyond that
//! 04 | i64                 date
//! 05 | bytes | 00 01       text, 00 written as 00 FF
//! 06 | values… | 00        list   ┐
//! 07 | bytes | 00 01       json   ├ in sort orders only: definitions keep them out of indexes
//! 08 | f64 | u16 | f64 …   point  ┘
//! ```
//!
//! The record id at the end of an index entry follows the direction of the index's last field: plain bytes, or inverted
//! ones with an FF behind them. So a walk that yields equal values yields their ids in the direction of the last field.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::{CollectionId, Generation, IndexId, RecordId};
use crate::model::schema::{Collection, Field, Index};
use crate::model::value::{Fields, Value};

const LOCAL: u8 = 0x00;
const DEFINITION: u8 = 0x01;
const ROW: u8 = 0x02;
const ENTRY: u8 = 0x03;
const TALLY: u8 = 0x04;
const GARBAGE: u8 = 0x05;
const COUNTER: u8 = 0x06;
const PROGRESS: u8 = 0x07;

/// Applied position of a base; local to a server, so not part of a snapshot.
pub(super) const APPLIED: &[u8] = &[LOCAL, 0x01];
/// Format version of a base.
pub(super) const FORMAT: &[u8] = &[LOCAL, 0x02];
/// Highest collection id ever given out.
pub(super) const LAST_COLLECTION: &[u8] = &[COUNTER, 0x01];
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

/// Appends a value so that bytes order as [`Value::order`] does, or the other way round.
pub(super) fn push_value(key: &mut Vec<u8>, value: &Value, descending: bool) {
    let start = key.len();
    push_ascending(key, value);
    if descending {
        key[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn push_ascending(key: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => key.push(0x01),
        Value::Bool(flag) => key.extend_from_slice(&[0x02, u8::from(*flag)]),
        Value::Int(whole) => push_number(key, 0x03, floor_of(*whole)),
        Value::Number(number) => push_number(key, 0x03, (*number, 0)),
        Value::Date(at) => {
            key.push(0x04);
            key.extend_from_slice(&(at.0 as u64 ^ 1 << 63).to_be_bytes());
        }
        Value::Text(text) => push_text(key, 0x05, text),
        Value::List(items) => {
            key.push(0x06);
            items.iter().for_each(|item| push_ascending(key, item));
            key.push(0x00);
        }
        Value::Json(text) => push_text(key, 0x07, text),
        Value::Point(longitude, latitude) => {
            push_number(key, 0x08, (*longitude, 0));
            push_number(key, 0x08, (*latitude, 0));
        }
    }
}

fn push_text(key: &mut Vec<u8>, tag: u8, text: &str) {
    key.push(tag);
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == 0) {
        key.extend_from_slice(&rest[..at]);
        key.extend_from_slice(&[0x00, 0xFF]);
        rest = &rest[at + 1..];
    }
    key.extend_from_slice(rest);
    key.extend_from_slice(&[0x00, 0x01]);
}

fn push_number(key: &mut Vec<u8>, tag: u8, (floor, beyond): (f64, u16)) {
    // Adding zero takes the sign from a zero.
    let bits = (floor + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    key.push(tag);
    key.extend_from_slice(&ordered.to_be_bytes());
    key.extend_from_slice(&beyond.to_be_bytes());
}

/// The greatest `f64` that is not above a whole number, and how far below it lies: at most 1,023, as a neighbouring
/// `f64` below 2^63 is at most 1,024 away.
fn floor_of(whole: i64) -> (f64, u16) {
    let near = whole as f64;
    let floor = if near as i128 > i128::from(whole) { near.next_down() } else { near };
    (floor, (i128::from(whole) - floor as i128) as u16)
}

/// What lies behind the value that `bytes` begin with.
pub(super) fn skip_value(bytes: &[u8], descending: bool) -> Option<&[u8]> {
    let flip = if descending { 0xFF } else { 0x00 };
    let len = match bytes.first()? ^ flip {
        0x01 => 1,
        0x02 => 2,
        0x03 => 11,
        0x04 => 9,
        0x08 => 22,
        0x05 => {
            let mut at = 1;
            loop {
                at += bytes.get(at..)?.iter().position(|byte| byte ^ flip == 0)?;
                if bytes.get(at + 1)? ^ flip == 0x01 {
                    break at + 2;
                }
                at += 2;
            }
        }
        _ => return None,
    };
    bytes.get(len..)
}
