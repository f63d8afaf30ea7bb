//! The followers that a primary knows of: who they are, how far each has come, the lease that keeps the log for it.
//!
//! Invariant: bounded; one that has not been heard of for a while keeps nothing, and later is forgotten.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::core::{Lease, Leases};
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, NodeId, Position, Seq};
use crate::limits;
use crate::replica::Pull;

/// All that are known.
#[derive(Debug)]
pub struct Fleet {
    members: Mutex<BTreeMap<NodeId, Kept>>,
    /// Counts up whenever one has come further.
    moved: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    member: Member,
    heard: Instant,
    lease: Option<Lease>,
    /// What it was given last, so that it need not be looked up whether it is in its history.
    given: (Position, Chain),
    /// The last entry for which it was told the digests, and when.
    told: (Seq, Option<Instant>),
}

/// A follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub node: NodeId,
    /// Where it is reached.
    pub url: Option<String>,
    /// The last entry that it has on its disk.
    pub acked: Position,
    /// How long ago it was heard of.
    pub silent: Duration,
}

impl Default for Fleet {
    fn default() -> Fleet {
        Fleet { members: Mutex::default(), moved: watch::Sender::new(0) }
    }
}

impl Fleet {
    /// A follower asks. Whether the place it asks from is known to be in this history, and whether it wants digests.
    ///
    /// # Errors
    /// `Unavailable` with code `too_many_followers`.
    pub fn heard(&self, pull: &Pull, leases: &Leases) -> Result<(bool, bool)> {
        self.sweep();
        let mut members = self.members.lock();
        let now = Instant::now();
        if !members.contains_key(&pull.node) && members.len() >= limits::FOLLOWERS_MAX {
            let message = format!("there are {} followers already", limits::FOLLOWERS_MAX);
            return Err(Error::new(Kind::Unavailable, message).code("too_many_followers"));
        }
        let kept = members.entry(pull.node).or_insert_with(|| Kept {
            member: Member { node: pull.node, url: None, acked: Position::default(), silent: Duration::ZERO },
            heard: now,
            lease: None,
            given: Default::default(),
            told: (Seq::ZERO, None),
        });
        (kept.heard, kept.member.url) = (now, pull.url.clone());
        // Whatever it comes to: what it asks for has to be there a moment later.
        kept.lease.get_or_insert_with(|| leases.take(pull.acked.seq.next()));
        let due = kept.told.1.is_none_or(|told| now - told >= limits::REPLICA_BEAT);
        Ok((kept.given == (pull.after, pull.chain), due))
    }

    /// It stands in this history, and has it up to there on its disk.
    pub fn acked(&self, node: NodeId, acked: Position) {
        let mut members = self.members.lock();
        let Some(kept) = members.get_mut(&node) else { return };
        if kept.member.acked == acked {
            return;
        }
        kept.member.acked = acked;
        if let Some(lease) = &kept.lease {
            lease.advance(acked.seq.next());
        }
        drop(members);
        self.moved.send_modify(|count| *count += 1);
    }

    /// It stands in another history: it has nothing of this one until it has been made anew.
    pub fn left(&self, node: NodeId) {
        if let Some(kept) = self.members.lock().get_mut(&node) {
            (kept.member.acked, kept.given, kept.lease) = (Position::default(), Default::default(), None);
        }
    }

    /// Gives up what is kept for those that have been silent for long.
    pub fn sweep(&self) {
        let mut members = self.members.lock();
        members.retain(|_, kept| kept.heard.elapsed() < limits::FOLLOWER_FORGOTTEN);
        for kept in members.values_mut().filter(|kept| kept.heard.elapsed() > limits::FOLLOWER_LEASE) {
            kept.lease = None;
        }
    }

    /// It is given frames up to there, and the digests of that if `told`.
    pub fn given(&self, node: NodeId, to: Position, chain: Chain, told: bool) {
        if let Some(kept) = self.members.lock().get_mut(&node) {
            kept.given = (to, chain);
            if told {
                kept.told = (to.seq, Some(Instant::now()));
            }
        }
    }

    /// All that are known.
    pub fn members(&self) -> Vec<Member> {
        let now = Instant::now();
        let member = |kept: &Kept| Member { silent: now - kept.heard, ..kept.member.clone() };
        self.members.lock().values().map(member).collect()
    }

    /// Where the others are reached; empty for one that does not say.
    pub fn urls(&self, but: NodeId) -> Vec<String> {
        let members = self.members.lock();
        let others = members.values().filter(|kept| kept.member.node != but);
        others.map(|kept| kept.member.url.clone().unwrap_or_default()).collect()
    }

    /// How many have an entry on their disks, counted until there are `wanted` or the time is over.
    pub async fn replicated(&self, position: Position, wanted: usize, within: Duration) -> usize {
        let mut moved = self.moved.subscribe();
        let until = tokio::time::Instant::now() + within;
        loop {
            let count = self.count(position.seq);
            if count >= wanted {
                return count;
            }
            match tokio::time::timeout_at(until, moved.changed()).await {
                Ok(Ok(())) => {}
                _ => return self.count(position.seq),
            }
        }
    }

    fn count(&self, seq: Seq) -> usize {
        self.members.lock().values().filter(|kept| kept.member.acked.seq >= seq).count()
    }
}
