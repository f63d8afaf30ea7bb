//! A layer: changes to the state that lie above the base, in memory. A persistent ordered map, so that a clone is a
//! snapshot at no cost.
//!
//! A key without a value is a tombstone: the key is deleted, whatever lower layers say.

use std::ops::Bound;

use bytes::Bytes;
use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;

use crate::state::key::Key;

/// An iterator over a part of a layer.
pub(super) type LayerRange<'a> = RangedIter<'a, Key, Option<Bytes>, DefaultSharedPtr>;

/// Changes above the base. Cloning is O(1).
#[derive(Clone, Debug, Default)]
pub struct Layer {
    map: OrdMap<Key, Option<Bytes>>,
    bytes: usize,
}

impl Layer {
    /// A layer without any change.
    pub fn new() -> Layer {
        Layer::default()
    }

    /// Bytes of the keys and values in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys it says something about.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Sets a key's value, or deletes the key.
    pub fn put(&mut self, key: Key, value: Option<Bytes>) {
        let value_bytes = value.as_ref().map_or(0, Bytes::len);
        self.bytes += key.len() + value_bytes;
        let key_bytes = key.len();
        if let Some(old) = self.map.insert(key, value) {
            self.bytes -= key_bytes + old.as_ref().map_or(0, Bytes::len);
        }
    }

    /// What it says of a key: `None` nothing, `Some(None)` that it is deleted.
    pub fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.map.get(key)
    }

    /// All of it, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Option<Bytes>)> {
        self.map.iter()
    }

    /// The keys from `from` to before `to`, from either end.
    pub fn range<'a>(
        &'a self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&'a Key, &'a Option<Bytes>)> + use<'a> {
        self.bounded(from, to)
    }

    pub(super) fn bounded(&self, from: &[u8], to: &[u8]) -> LayerRange<'_> {
        self.map.range::<_, [u8]>((Bound::Included(from), Bound::Excluded(to)))
    }
}
