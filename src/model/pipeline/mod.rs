//! What a client sends becomes values, and values become what a client is sent: one file a stage.
//!
//! ```text
//! body ─▶ validate ─▶ sanitize ─▶ parse ─▶ transform ─▶ Op ─▶ [core::decide: merge, enrich, check] ─▶ Record ─▶ format
//!         is it JSON,  trim, nfc   typed,   by field id,       defaults, dates, computed;              JSON bytes
//!         known names              in range  required, size    required, size, checks
//! ```
//!
//! The first four run on the request's side against one version of a collection and need nothing but the body; every
//! fault of it is in the one error they give, in the order of the body, then what is missing. What needs the stored
//! record runs inside the order of writes, in `core::decide`, by [`adjust`], [`Writing`] and [`check`].

mod adjust;
mod body;
mod bounds;
mod cells;
mod check;
mod conform;
mod enrich;
mod format;
mod parse;
mod password;
mod reshape;
mod sanitize;
mod transform;
mod validate;

#[cfg(test)]
mod tests;

pub use adjust::{adjust, adjusted};
pub use body::Body;
pub use cells::{Columns, Row, format_header, format_row};
pub use check::check;
pub(crate) use check::is_empty;
pub(crate) use conform::conform;
pub use enrich::Writing;
pub(crate) use format::{format_head, member};
pub use format::{format_record, write_value};
pub(crate) use parse::{date, number, parse};
pub use password::{NewPassword, new_password, set_secrets};
pub use reshape::converted;
pub(crate) use validate::RESERVED_KEYS;

use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::model::command::{Condition, Op};
use crate::model::faults::Faults;
use crate::model::json::{self, Member};
use crate::model::schema::Collection;

const REFUSED: &str = "the body has faults";

/// A body that makes a record. `id` is the id it gets if it names none. To a client that sees no hidden fields
/// (`sees_hidden`) they are unknown, but for those that a body can't do without.
///
/// # Errors
/// `Invalid` with all faults of the body; `TooLarge` over `limits::RECORD_BYTES_MAX`.
pub fn create(collection: &Collection, body: &[u8], id: RecordId, sees_hidden: bool) -> Result<Op> {
    let mut faults = Faults::default();
    let members = json::members(json::checked_text(body)?)?;
    let valid = validate::validate(
        collection,
        members,
        validate::Id::Chosen,
        validate::Purpose::Whole,
        sees_hidden,
        &mut faults,
    );
    let fields = transform::whole(collection, &valid, body.len(), &mut faults)?;
    password::require(collection, &valid, &mut faults);
    faults.into_result(REFUSED)?;
    Ok(Op::Create { id: valid.id.unwrap_or(id), fields })
}

/// A body that is a whole record: `id` is that of the path, if the path has one, else the body's, else `fallback`.
///
/// # Errors
/// As [`create`]; also `Invalid` with code `bad_id`, and a fault where the body's id is another than the path's.
pub fn put(
    collection: &Collection,
    id: Option<&str>,
    body: &[u8],
    if_match: Option<Condition>,
    create_only: bool,
    fallback: RecordId,
    sees_hidden: bool,
) -> Result<Op> {
    let path_id = id.map(RecordId::new).transpose()?;
    let rule = path_id.as_ref().map_or(validate::Id::Chosen, validate::Id::Given);
    let mut faults = Faults::default();
    let members = json::members(json::checked_text(body)?)?;
    let valid = validate::validate(collection, members, rule, validate::Purpose::Whole, sees_hidden, &mut faults);
    let fields = transform::whole(collection, &valid, body.len(), &mut faults)?;
    faults.into_result(REFUSED)?;
    let id = path_id.or(valid.id).unwrap_or(fallback);
    Ok(Op::Put { id, fields, if_match, create_only })
}

/// A body that is a JSON Merge Patch (RFC 7396) of the record `id`, in which a key may also be `field+`, `+field` or
/// `field-`: a change of what is stored.
///
/// # Errors
/// As [`create`].
pub fn merge(
    collection: &Collection,
    id: &RecordId,
    body: &[u8],
    if_match: Option<Condition>,
    sees_hidden: bool,
) -> Result<Op> {
    let mut faults = Faults::default();
    let members = json::members(json::checked_text(body)?)?;
    let valid = validate::validate(
        collection,
        members,
        validate::Id::Given(id),
        validate::Purpose::Patch,
        sees_hidden,
        &mut faults,
    );
    let (patch, merges, adjusts) = transform::patch(collection, &valid, &mut faults);
    faults.into_result(REFUSED)?;
    Ok(Op::Merge { id: id.clone(), patch, merges, adjusts, if_match })
}

/// A line of an import, by its members, that makes a record or (`upsert`) replaces the one with its id. What the server
/// sets by itself may stand in it, as in an export, and is passed over. `bytes` is its length, `id` the id of a record
/// that it names none for.
///
/// # Errors
/// As [`create`].
pub fn line(
    collection: &Collection,
    members: Vec<Member<'_>>,
    bytes: usize,
    upsert: bool,
    id: RecordId,
    sees_hidden: bool,
) -> Result<Op> {
    let mut faults = Faults::default();
    let (rule, purpose) = (validate::Id::Chosen, validate::Purpose::Line);
    let valid = validate::validate(collection, members, rule, purpose, sees_hidden, &mut faults);
    let fields = transform::whole(collection, &valid, bytes, &mut faults)?;
    if !upsert {
        password::require(collection, &valid, &mut faults);
    }
    faults.into_result("the line has faults")?;
    let id = valid.id.unwrap_or(id);
    if upsert { Ok(Op::Put { id, fields, if_match: None, create_only: false }) } else { Ok(Op::Create { id, fields }) }
}

/// Of a record whose encoded fields are over `limits::RECORD_BYTES_MAX`.
fn too_large() -> Error {
    let max = crate::limits::RECORD_BYTES_MAX;
    Error::new(crate::error::Kind::TooLarge, format!("a record has at most {max} bytes"))
}
