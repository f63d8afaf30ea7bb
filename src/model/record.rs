//! A record as it is read: its id, its version and its fields.

use serde::{Deserialize, Serialize};

use crate::id::{Position, RecordId};
use crate::model::value::Fields;

/// One record of a collection at one position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Unique in its collection.
    pub id: RecordId,
    /// The entry that wrote it: its `ETag`.
    pub version: Position,
    /// Its values.
    pub fields: Fields,
}
