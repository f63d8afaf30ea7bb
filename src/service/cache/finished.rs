//! Finished records, from which lists are composed by copying: neither the row is read nor its JSON written again.
//!
//! Invariant: as one view has it. What was made from a view at `s` is the same in a view at `v` if the record's slot and
//! the definitions' are at most the smaller of the two.

use bytes::Bytes;

use super::tier::{Tier, Weigh};
use crate::core::{Slot, Slots};
use crate::id::{CollectionId, RecordId, Seq};
use crate::limits;
use crate::model::mask::{Mask, Part};
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::state::query::Maker;

/// A record's JSON.
#[derive(Clone, Debug)]
pub(super) struct Body {
    json: Bytes,
    /// Of the row: a page is bounded by those.
    row_bytes: u32,
    /// Of the view that it was read from.
    made: Seq,
}

impl Weigh for Body {
    fn bytes(&self) -> usize {
        self.json.len()
    }
}

/// Makes the pages of one list out of finished records.
pub(in crate::service) struct Finishing<'c> {
    tier: &'c Tier<Body>,
    slots: &'c Slots,
    collection: &'c Collection,
    mask: &'c Mask,
    at: Seq,
    /// Its beginning says whose record and which parts; the id follows.
    key: Vec<u8>,
    head: usize,
    room: Vec<u8>,
}

impl<'c> Finishing<'c> {
    pub(super) fn new(
        tier: &'c Tier<Body>,
        slots: &'c Slots,
        collection: &'c Collection,
        mask: &'c Mask,
        at: Seq,
    ) -> Finishing<'c> {
        let key = head(collection, mask);
        Finishing { tier, slots, collection, mask, at, head: key.len(), key, room: Vec::new() }
    }

    fn set_key(&mut self, id: &RecordId) {
        self.key.truncate(self.head);
        self.key.extend_from_slice(id.as_str().as_bytes());
    }
}

/// Bytes that a part of a mask takes in a key: its kind, and the field's id.
const PART_BYTES: usize = 1 + size_of::<u32>();

/// Collection (`u32`), whether hidden fields are shown and whether parts were chosen (a byte), how many (`u32`) and which.
fn head(collection: &Collection, mask: &Mask) -> Vec<u8> {
    let Mask { hidden, fields } = mask;
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&collection.id.0.to_le_bytes());
    key.push(u8::from(*hidden) | u8::from(fields.is_some()) << 1);
    let parts = fields.as_deref().unwrap_or_default();
    key.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    for part in parts {
        let (kind, field) = match part {
            Part::Id => (0, 0),
            Part::CollectionId => (1, 0),
            Part::CollectionName => (2, 0),
            Part::Field(id) => (3, id.0),
        };
        key.push(kind);
        key.extend_from_slice(&field.to_le_bytes());
    }
    key
}

/// The collection and the id of a key.
pub(super) fn whose(key: &[u8]) -> Option<(CollectionId, &str)> {
    let (collection, rest) = key.split_first_chunk()?;
    let (parts, rest) = rest.get(1..)?.split_first_chunk()?;
    let id = rest.get(PART_BYTES * u32::from_le_bytes(*parts) as usize..)?;
    Some((CollectionId(u32::from_le_bytes(*collection)), std::str::from_utf8(id).ok()?))
}

impl Maker for Finishing<'_> {
    type Item = Bytes;

    fn known(&mut self, id: &RecordId) -> Option<(Bytes, usize)> {
        self.set_key(id);
        let body = self.tier.get(&self.key)?;
        let needs = [Slot::DEFINITIONS, Slot::of_record(self.collection.id, id)];
        if !self.slots.hold(&needs, body.made.min(self.at)) {
            return None;
        }
        self.tier.hit();
        Some((body.json, body.row_bytes as usize))
    }

    fn made(&mut self, record: Record, row_bytes: usize) -> Bytes {
        self.tier.miss();
        self.room.clear();
        pipeline::format_record(self.collection, &record, self.mask, &mut self.room);
        let json = Bytes::copy_from_slice(&self.room);
        if let (true, Ok(row_bytes)) = (json.len() <= limits::CACHE_RECORD_BYTES_MAX, u32::try_from(row_bytes)) {
            self.set_key(&record.id);
            self.tier.put(self.key.as_slice().into(), Body { json: json.clone(), row_bytes, made: self.at });
        }
        json
    }
}
