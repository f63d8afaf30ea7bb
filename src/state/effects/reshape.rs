//! What entries do while a definition is staged: rows get its new fields beside those they have, its own indexes get
//! their entries.
//!
//! An index that only a staged definition has is one that is being built: what a row behind the progress lacks, it gets
//! when it is rewritten.

use bytes::Bytes;

use super::Work;
use crate::error::Result;
use crate::id::{FieldId, Position, RecordId};
use crate::model::schema::Collection;
use crate::model::value::{Fields, Value};
use crate::state::build::Progress;
use crate::state::key;
use crate::state::row;
use crate::state::tally::hash;

impl Work<'_> {
    /// A definition takes the place of another of the same filling: a staged one begins, or it ends.
    pub(super) fn restaged(&mut self, old: &Collection, new: &Collection) {
        let progress = key::progress(old.id, old.generation, key::RESHAPE);
        match (&old.staged, &new.staged) {
            (None, Some(_)) => self.put(&progress, Some(Progress::default().encode())),
            (Some(_), None) => {
                self.put(&progress, None);
                for (_, index) in old.staged_indexes().filter(|(_, index)| new.index(index.id).is_none()) {
                    self.put(&key::garbage_index(old.id, old.generation, index.id), Some(Bytes::new()));
                }
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    /// A record got what a staged definition adds to it.
    pub(super) fn rewritten(
        &mut self,
        collection: &Collection,
        id: &RecordId,
        after: &Fields,
        image: &[(FieldId, Value)],
        version: Position,
    ) -> Result<()> {
        let (own, generation) = (collection.id, collection.generation);
        if collection.staged.is_none() {
            return Err(
                self.contradicts(&format!("it rewrites a record of collection {own}, which has nothing staged"))
            );
        }
        let before = after.rewound(image);
        let encoded = row::encode(version, after)?;
        let was = hash(id, &row::encode_fields(&before)?);
        let delta = self.delta(collection);
        delta.subtract(was);
        delta.add(hash(id, encoded.fields()));
        self.put(&key::row(own, generation, id), Some(encoded.into_bytes()));
        for (of, index) in collection.staged_indexes() {
            let new = key::index_entries(of, index, id, after);
            for gone in key::index_entries(of, index, id, &before).iter().filter(|key| !new.contains(key)) {
                self.put(gone, None);
            }
            for come in &new {
                self.put(come, Some(Bytes::new()));
            }
        }
        Ok(())
    }

    /// The rows up to one were seen to.
    pub(super) fn progressed(&mut self, collection: &Collection, through: &RecordId, rows: u64) -> Result<()> {
        if collection.staged.is_none() {
            return Err(
                self.contradicts(&format!("it sees to rows of collection {}, which has nothing staged", collection.id))
            );
        }
        let progress = Progress { rows, through: Some(through.clone()) }.encode();
        self.put(&key::progress(collection.id, collection.generation, key::RESHAPE), Some(progress));
        Ok(())
    }
}
