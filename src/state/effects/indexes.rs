//! What entries do to the entries of indexes that come, are built, and go.
//!
//! An index that is built gets from a write what a ready one would get: of a row that the build hasn't reached, what
//! stays as it was follows with the row. So a row behind the build may lack entries, and none has one too many.

use bytes::Bytes;

use super::Work;
use crate::error::Result;
use crate::id::{CollectionId, Generation, IndexId, RecordId};
use crate::model::schema::{Collection, Index, IndexState};
use crate::state::build::Progress;
use crate::state::key;

impl Work<'_> {
    /// A definition takes the place of another of the same filling: what is no longer kept is garbage.
    pub(super) fn redefined(&mut self, old: &Collection, new: &Collection) -> Result<()> {
        let (id, generation) = (old.id, old.generation);
        for index in &old.indexes {
            let now = new.index(index.id);
            let kept = now.is_some_and(Index::is_kept);
            if kept && !index.is_kept() {
                return Err(self.contradicts(&format!("it keeps the index {} of collection {id} again", index.name)));
            }
            if index.is_building() && !now.is_some_and(Index::is_building) {
                self.put(&key::progress(id, generation, index.id), None);
            }
            if index.is_kept() && !kept {
                self.put(&key::garbage_index(id, generation, index.id), Some(Bytes::new()));
            }
        }
        Ok(())
    }

    /// Notes where the builds begin that a definition asks for.
    pub(super) fn begin_builds(&mut self, old: Option<&Collection>, new: &Collection) {
        let old = old.filter(|old| old.generation == new.generation);
        for index in new.indexes.iter().filter(|index| index.is_building()) {
            if !old.and_then(|old| old.index(index.id)).is_some_and(Index::is_building) {
                let begin = Progress::default().encode();
                self.put(&key::progress(new.id, new.generation, index.id), Some(begin));
            }
        }
    }

    /// A filling goes, and with it what was built for it.
    pub(super) fn end_builds(&mut self, collection: &Collection) {
        for index in collection.indexes.iter().filter(|index| index.is_building()) {
            self.put(&key::progress(collection.id, collection.generation, index.id), None);
        }
    }

    /// Rows that were there before an index got their entries.
    pub(super) fn backfilled(
        &mut self,
        collection: &Collection,
        index: IndexId,
        through: &RecordId,
        rows: u64,
        keys: &[Vec<u8>],
    ) -> Result<()> {
        let (id, generation) = (collection.id, collection.generation);
        let defined_here = collection.version == self.position.seq;
        match collection.index(index).map(|index| &index.state) {
            Some(IndexState::Building) => {
                let progress = Progress { rows, through: Some(through.clone()) }.encode();
                self.put(&key::progress(id, generation, index), Some(progress));
            }
            Some(IndexState::Ready) if defined_here => {}
            _ => {
                return Err(
                    self.contradicts(&format!("it fills the index {index} of collection {id}, not being built"))
                );
            }
        }
        for come in keys {
            if !key::is_of_index(come, id, generation, index) {
                return Err(self.contradicts("it fills an index with a key of something else"));
            }
            self.put(come, Some(Bytes::new()));
        }
        Ok(())
    }

    /// Entries of an index that is no longer kept went.
    pub(super) fn unindexed(
        &mut self,
        id: CollectionId,
        generation: Generation,
        index: IndexId,
        keys: &[Vec<u8>],
        done: bool,
    ) -> Result<()> {
        let in_use = self.schema().get(id).is_some_and(|collection| {
            let kept = || collection.index(index).is_some_and(Index::is_kept);
            collection.generation < generation || collection.generation == generation && kept()
        });
        if in_use {
            return Err(self.contradicts(&format!("it empties the index {index} of collection {id}, in use")));
        }
        for gone in keys {
            if !key::is_of_index(gone, id, generation, index) {
                return Err(self.contradicts("it empties an index of a key of something else"));
            }
            self.put(gone, None);
        }
        if done {
            self.put(&key::garbage_index(id, generation, index), None);
        }
        Ok(())
    }
}
