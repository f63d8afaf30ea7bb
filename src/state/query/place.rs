//! Where a record comes in an order: bytes that order as the sort keys and the id do, which is the last of them.
//!
//! What a cursor holds of it, the mark:
//!
//! ```text
//! 00 | place
//! 01 | length of id | id | xxh3_128 of place | first bytes of place      where the place is long
//! ```
//!
//! A long place is found again by its record, as long as that stands where it stood and the caller may see it; else the
//! list goes on from the first bytes, which may show again what lies behind them, but leaves nothing out. A mark may be
//! anyone's making: one of a record that a rule hides must not tell whether it has guessed that record's values.

use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::query::{Operand, SortKey};
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::{Fields, Value};
use crate::state::stack::Read;
use crate::state::{key, lookup};

const WHOLE: u8 = 0x00;
const CUT: u8 = 0x01;

/// The sort keys up to the id, which is put behind them where they lack it.
pub(in crate::state) fn total_order(sort: &[SortKey]) -> Vec<SortKey> {
    let mut order: Vec<SortKey> = Vec::with_capacity(sort.len() + 1);
    for part in sort {
        if !order.iter().any(|earlier| earlier.operand == part.operand) {
            order.push(*part);
        }
        if part.operand == Operand::Id {
            return order;
        }
    }
    let descending = sort.last().is_some_and(|last| last.descending);
    order.push(SortKey { operand: Operand::Id, descending });
    order
}

/// Writes a record's place over what is in `bytes`. Returns where the id begins.
pub(super) fn write(bytes: &mut Vec<u8>, order: &[SortKey], id: &RecordId, fields: &Fields) -> usize {
    bytes.clear();
    let mut id_at = 0;
    for part in order {
        match part.operand {
            Operand::Id => {
                id_at = bytes.len();
                key::push_id(bytes, id, part.descending);
            }
            Operand::Field(field) => key::push_value(bytes, fields.get(field), part.descending),
        }
    }
    id_at
}

/// What one value of a place is, in its direction.
pub(super) fn piece(part: SortKey, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    match (part.operand, value.as_text().map(RecordId::new)) {
        (Operand::Id, Some(Ok(id))) => key::push_id(&mut bytes, &id, part.descending),
        _ => key::push_value(&mut bytes, value, part.descending),
    }
    bytes
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::state) struct Resume {
    place: Vec<u8>,
    /// Whether it is a record's whole place, which itself is left out.
    whole: bool,
}

impl Resume {
    /// Whether a record at this place is still to come.
    pub(super) fn is_before(&self, place: &[u8]) -> bool {
        if self.whole { place > &self.place[..] } else { place >= &self.place[..] }
    }

    /// The whole place, by the parts of the order: what a walk can begin behind.
    pub(super) fn pieces(&self, order: &[SortKey]) -> Option<Vec<&[u8]>> {
        if self.whole { split(&self.place, order) } else { None }
    }
}

fn split<'p>(place: &'p [u8], order: &[SortKey]) -> Option<Vec<&'p [u8]>> {
    let mut pieces = Vec::with_capacity(order.len());
    let mut rest = place;
    for part in order {
        if part.operand == Operand::Id {
            key::last_id(rest, part.descending).ok()?;
            pieces.push(rest);
            break;
        }
        let behind = key::skip_value(rest, part.descending)?;
        pieces.push(&rest[..rest.len() - behind.len()]);
        rest = behind;
    }
    Some(pieces)
}

/// What a cursor keeps of a place.
pub(super) fn mark(place: &[u8], id: &RecordId) -> Box<[u8]> {
    if place.len() <= limits::CURSOR_PLACE_BYTES_MAX {
        return [&[WHOLE], place].concat().into();
    }
    let id = id.as_str().as_bytes();
    // An id is far shorter than 256 bytes.
    let head = [CUT, id.len() as u8];
    let hash = xxh3_128(place).to_be_bytes();
    [&head, id, &hash, &place[..limits::CURSOR_PLACE_BYTES_MAX - 256]].concat().into()
}

/// Where a mark leads. `sees` says whether the caller may see a record.
///
/// # Errors
/// `Invalid` with code `bad_cursor` for bytes that [`mark`] didn't make for such an order; those of the base and of
/// `sees`.
pub(super) fn resume(
    read: &dyn Read,
    collection: &Collection,
    order: &[SortKey],
    mark: &[u8],
    sees: impl FnOnce(&Record) -> Result<bool>,
) -> Result<Resume> {
    let bad = || Error::invalid("cursor: this is no cursor of such a list").code("bad_cursor");
    match mark.split_first() {
        Some((&WHOLE, place)) => {
            split(place, order).ok_or_else(bad)?;
            Ok(Resume { place: place.to_vec(), whole: true })
        }
        Some((&CUT, rest)) => {
            let (len, rest) = rest.split_first().ok_or_else(bad)?;
            let (id, rest) = rest.split_at_checked(usize::from(*len)).ok_or_else(bad)?;
            let (hash, start) = rest.split_at_checked(16).ok_or_else(bad)?;
            let id = key::id(id).ok_or_else(bad)?;
            if let Some(record) = lookup::record(read, collection, &id)?
                && sees(&record)?
            {
                let mut place = Vec::new();
                write(&mut place, order, &id, &record.fields);
                if xxh3_128(&place).to_be_bytes() == hash {
                    return Ok(Resume { place, whole: true });
                }
            }
            Ok(Resume { place: start.to_vec(), whole: false })
        }
        _ => Err(bad()),
    }
}
