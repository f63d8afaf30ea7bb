//! Which parts of a record an answer holds: what the caller may see, and of that what was asked for. The order of an
//! answer is the definition's. How one is made from a request is `look`'s.
//!
//! Invariant: a hidden field is shown only by a mask with `hidden`, whatever `fields` names.

use serde::{Deserialize, Serialize};

use crate::id::FieldId;
use crate::model::schema::Field;

/// A choice of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Whether hidden fields are among them: superusers only.
    pub hidden: bool,
    /// The parts asked for; `None` for all.
    pub fields: Option<Vec<Part>>,
}

/// A part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// `id`.
    Id,
    /// `collectionId`.
    CollectionId,
    /// `collectionName`.
    CollectionName,
    /// A field.
    Field(FieldId),
}

impl Mask {
    /// All that a caller sees.
    pub fn all(hidden: bool) -> Mask {
        Mask { hidden, fields: None }
    }

    /// Leaves of it only what names a record.
    pub fn hide_fields(&mut self) {
        let names = [Part::Id, Part::CollectionId, Part::CollectionName];
        self.fields = Some(names.into_iter().filter(|part| self.shows(*part)).collect());
    }

    /// Whether a part that is never hidden is shown.
    pub fn shows(&self, part: Part) -> bool {
        self.fields.as_ref().is_none_or(|parts| parts.contains(&part))
    }

    /// Whether a field is shown.
    pub fn shows_field(&self, field: &Field) -> bool {
        field.is_seen(self.hidden) && self.shows(Part::Field(field.id))
    }
}
