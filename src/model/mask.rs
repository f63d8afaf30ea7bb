//! Which parts of a record an answer holds: what the caller may see, and of that what was asked for.
//!
//! Invariant: a hidden field is shown only by a mask with `hidden`, whatever `fields` names.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::FieldId;
use crate::model::schema::{Collection, Field};

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

    /// Reads `fields=a,b`; `*` is all, and so is an empty text. The order of an answer is the definition's.
    ///
    /// # Errors
    /// `Invalid` with code `bad_fields`, the same for an unknown name as for one that is hidden from the caller.
    pub fn parse(collection: &Collection, text: &str, hidden: bool) -> Result<Mask> {
        let mut parts = Vec::new();
        let mut all = text.trim().is_empty();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let part = match name {
                "*" => {
                    all = true;
                    continue;
                }
                "id" => Part::Id,
                "collectionId" => Part::CollectionId,
                "collectionName" => Part::CollectionName,
                name => match collection.field(name).filter(|field| hidden || !field.hidden) {
                    Some(field) => Part::Field(field.id),
                    None => return Err(unknown(name)),
                },
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        Ok(Mask { hidden, fields: if all { None } else { Some(parts) } })
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
        (self.hidden || !field.hidden) && self.shows(Part::Field(field.id))
    }
}

fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(crate::limits::NAME_BYTES_MAX).collect();
    Error::invalid(format!("fields: there is no {shown:?}")).code("bad_fields")
}
