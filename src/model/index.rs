//! Secondary indexes as they are defined, and how far each has come.
//!
//! An index of a filled collection is built while writes go on: every write sees to it from the definition on, the rows
//! that were there before follow in pieces. A ready one has the entries of every row; one that failed has none.

use serde::{Deserialize, Serialize};

use crate::id::{FieldId, IndexId, RecordId};
use crate::model::value::Value;

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Stable for ever.
    pub id: IndexId,
    /// As in the definition. Those that the server keeps for relations are named `_rel_` and the field's name, that of an
    /// auth collection's addresses `_email`.
    pub name: Box<str>,
    /// In order. A list field stands alone: one entry for each distinct element.
    pub fields: Vec<IndexField>,
    /// No two records with equal values; records with a null among them are exempt.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
    /// Kept by the server: not part of the definition.
    #[serde(default, skip_serializing_if = "is_false")]
    pub system: bool,
    /// How far it has come; the server's alone.
    #[serde(default, skip_serializing_if = "IndexState::is_ready")]
    pub state: IndexState,
}

/// One field of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexField {
    /// Which.
    pub field: FieldId,
    /// Greatest first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub descending: bool,
}

/// How far an index has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum IndexState {
    /// It has the entries of every row.
    #[default]
    Ready,
    /// Writes see to it; the rows that were there before follow.
    Building,
    /// The rows don't allow it: it is neither kept nor used, and stays so until it is taken out.
    Failed {
        /// Of a unique one: who has the same values. At most `limits::INDEX_FLAWS_MAX`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        duplicates: Vec<Duplicate>,
        /// Records with a text that is longer than `limits::INDEXED_TEXT_BYTES_MAX`. As many at most.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        too_long: Vec<RecordId>,
    },
}

/// Two records with the same values in a unique index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplicate {
    /// The values, in the order of the index's fields.
    pub values: Vec<Value>,
    /// Who has them.
    pub ids: [RecordId; 2],
}

impl Index {
    /// Whether it has the entries of every row: what a plan or a promise may rest on.
    pub fn is_ready(&self) -> bool {
        self.state.is_ready()
    }

    /// Whether its entries are being made of the rows that were there before it.
    pub fn is_building(&self) -> bool {
        self.state == IndexState::Building
    }

    /// Whether writes see to its entries.
    pub fn is_kept(&self) -> bool {
        !matches!(self.state, IndexState::Failed { .. })
    }
}

impl IndexState {
    fn is_ready(&self) -> bool {
        *self == IndexState::Ready
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
