//! What was asked, and by whom: the key under which an answer is kept.
//!
//! Invariant: two requests have a key in common only if the same answer is right for both: same words, same method, and
//! either the same caller, or an answer that was found to be the same for all callers of a kind.

use std::sync::Arc;

use crate::id::CollectionId;
use crate::model::record::Record;
use crate::service::access::Kin;
use crate::service::{Asker, Caller};

/// A read as it was asked. The words are the request's own, not yet understood: only what was understood once is kept.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// `None` for one that nothing kept is for.
    kin: Option<Kin>,
    /// The caller's own record, as it was when the caller was found.
    own: Option<(CollectionId, Arc<Record>)>,
    method: &'static str,
    words: &'a str,
}

/// A question with all that tells it from others, on every server.
pub(super) struct Identity {
    /// As in this server's memory.
    pub(super) key: Vec<u8>,
    /// The caller's own record, where the answer is that caller's alone: a version says what is in it within one history.
    pub(super) own: Option<(CollectionId, Arc<Record>)>,
}

/// Who may be given an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Sharing {
    /// All callers of a kind.
    Kin,
    /// This caller with this very record.
    Own,
}

impl<'a> Question<'a> {
    /// What a caller asks with these words: path and query as they came.
    pub fn new(caller: &Caller, method: &'static str, words: &'a str) -> Question<'a> {
        Question { kin: caller.kin(), own: caller.record(), method, words }
    }

    /// What `asker` asks with these words.
    pub fn of(asker: &Asker, words: &'a str) -> Question<'a> {
        let own = asker.request.principal.clone();
        Question { kin: asker.caller.kin(), own, method: asker.request.method, words }
    }

    /// Where an answer to it may lie, the likelier place first.
    pub(super) fn keys(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        [Sharing::Kin, Sharing::Own].into_iter().filter_map(|sharing| self.key(sharing))
    }

    /// What it is for those who share its answer.
    pub(super) fn identity(&self, sharing: Sharing) -> Option<Identity> {
        let own = self.own.clone().filter(|_| sharing == Sharing::Own);
        Some(Identity { key: self.key(sharing)?, own })
    }

    /// Where its answer lies for those who share it; `None` where nothing kept is for the caller.
    pub(in crate::service) fn key(&self, sharing: Sharing) -> Option<Vec<u8>> {
        let mut key = Vec::with_capacity(48 + self.words.len());
        key.push(self.kin? as u8);
        match (sharing, &self.own) {
            (Sharing::Kin, _) => key.push(0),
            (Sharing::Own, None) => key.push(1),
            (Sharing::Own, Some((collection, record))) => {
                let (id, version) = (record.id.as_str(), record.version);
                key.push(2);
                key.extend_from_slice(&collection.0.to_le_bytes());
                for number in [version.seq.0, version.epoch.counter.into(), version.epoch.node.0.into()] {
                    key.extend_from_slice(&number.to_le_bytes());
                }
                key.push(id.len() as u8);
                key.extend_from_slice(id.as_bytes());
            }
        }
        key.extend_from_slice(self.method.as_bytes());
        key.push(b' ');
        key.extend_from_slice(self.words.as_bytes());
        Some(key)
    }
}
