//! What readers see: one position, its schema and its state, published together by the writer alone.
//!
//! Invariant: always durable. A reader takes the newest one and lets it go within seconds: it pins a redb read
//! transaction, and pages that it pins can't be used again.

use std::sync::Arc;

use crate::error::Result;
use crate::id::{Chain, Position};
use crate::log::Witness;
use crate::model::schema::Schema;
use crate::state::{self, Stack};
use crate::time::Millis;

/// The database at one position.
#[derive(Clone, Debug)]
pub struct Published {
    /// The last entry that is in it.
    pub position: Position,
    /// The log's chain up to it.
    pub chain: Chain,
    /// Its time.
    pub time: Millis,
    /// The collections.
    pub schema: Arc<Schema>,
    /// Rows, index entries and all else.
    pub stack: Stack,
}

impl Published {
    /// What is known of its last entry; the log itself may show it only a moment later.
    pub fn witness(&self) -> Witness {
        Witness { position: self.position, chain: self.chain, time: self.time }
    }

    /// Whether its history has a position.
    ///
    /// # Errors
    /// Those of the base.
    pub fn knows(&self, position: Position) -> Result<bool> {
        state::knows(&self.stack, self.position, position)
    }
}
