//! Reading the base at one moment: single values, parts of it from either end.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::{Applied, Handle, TABLE, guarded};
use crate::error::Result;
use crate::state::backend::Shared;
use crate::state::key;
use crate::state::warm::{FlushNumber, Warm};

/// The base at one moment: a read transaction with its table open. Reading never blocks. Held for long it keeps redb
/// from using freed pages again.
pub struct BaseView {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(super) applied: Applied,
    shared: Arc<Shared>,
    pub(super) warm: Arc<Warm>,
    pub(super) flush: FlushNumber,
    /// The file is read as long as there is a view of it, also when the base lies in another by then.
    _handle: Arc<Handle>,
}

impl BaseView {
    pub(super) fn of(
        handle: &Arc<Handle>,
        shared: &Arc<Shared>,
        warm: &Arc<Warm>,
        flush: FlushNumber,
    ) -> Result<BaseView> {
        let (table, applied) = handle.with(|database| {
            let transaction: ReadTransaction = database.begin_read()?;
            let table = transaction.open_table(TABLE)?;
            let applied = match table.get(key::APPLIED)? {
                Some(bytes) => postcard::from_bytes(bytes.value()).ok(),
                None => None,
            };
            let applied = applied.ok_or_else(|| redb::Error::Corrupted("no applied position".to_owned()))?;
            Ok((table, applied))
        })?;
        let (shared, warm, _handle) = (shared.clone(), warm.clone(), handle.clone());
        Ok(BaseView { table, applied, shared, warm, flush, _handle })
    }

    /// How far it reaches.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// The keys that are the same on every server, with their values, in order, behind `after`.
    ///
    /// # Errors
    /// `Damaged` or `Internal`.
    pub fn pairs(&self, after: &[u8]) -> Result<impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> + use<>> {
        let (first, end) = key::SHARED;
        let mut range = self.range(after.max(first), end)?;
        let after = after.to_vec();
        let next = move || match range.step(false) {
            Ok(pair) => pair.map(|pair| Ok((pair.key().to_vec(), pair.value().to_vec()))),
            Err(error) => Some(Err(error)),
        };
        Ok(std::iter::from_fn(next).skip_while(move |pair| pair.as_ref().is_ok_and(|(key, _)| *key == after)))
    }

    pub(in crate::state) fn value(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let is_row = key::is_row(key);
        if is_row && let Some(value) = self.warm.get(key, self.flush) {
            return Ok(Some(value));
        }
        let read = || Ok(self.table.get(key)?.map(|value| Bytes::copy_from_slice(value.value())));
        let value = guarded(&self.shared, read)?;
        if is_row && let Some(value) = &value {
            self.warm.keep(key, self.flush, value);
        }
        Ok(value)
    }

    pub(in crate::state) fn range(&self, from: &[u8], to: &[u8]) -> Result<BaseRange> {
        let range = guarded(&self.shared, || Ok(self.table.range::<&[u8]>(from..to)?))?;
        Ok(BaseRange { range, shared: self.shared.clone() })
    }
}

impl fmt::Debug for BaseView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseView").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// A part of the base, from either end.
pub(in crate::state) struct BaseRange {
    range: redb::Range<'static, &'static [u8], &'static [u8]>,
    shared: Arc<Shared>,
}

impl BaseRange {
    pub(in crate::state) fn step(&mut self, backwards: bool) -> Result<Option<BasePair>> {
        let range = &mut self.range;
        guarded(&self.shared, || {
            let next = if backwards { range.next_back() } else { range.next() };
            Ok(next.transpose()?.map(|(key, value)| BasePair { key, value }))
        })
    }
}

/// A key and its value on a page of the base.
pub(in crate::state) struct BasePair {
    key: AccessGuard<'static, &'static [u8]>,
    value: AccessGuard<'static, &'static [u8]>,
}

impl BasePair {
    pub(in crate::state) fn key(&self) -> &[u8] {
        self.key.value()
    }

    pub(in crate::state) fn value(&self) -> &[u8] {
        self.value.value()
    }
}
