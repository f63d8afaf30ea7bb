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
        let mut members = self.members.lock();
        let now = Instant::now();
        members.retain(|_, kept| now - kept.heard < limits::FOLLOWER_FORGOTTEN);
        for kept in members.values_mut().filter(|kept| now - kept.heard > limits::FOLLOWER_LEASE) {
            kept.lease = None;
        }
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
        let moved = kept.member.acked != pull.acked;
        kept.member.acked = pull.acked;
        match &kept.lease {
            Some(lease) => lease.advance(pull.acked.seq.next()),
            None => kept.lease = Some(leases.take(pull.acked.seq.next())),
        }
        let due = kept.told.1.is_none_or(|told| now - told >= limits::REPLICA_BEAT);
        let known = (kept.given == (pull.after, pull.chain), due);
        drop(members);
        if moved {
            self.moved.send_modify(|count| *count += 1);
        }
        Ok(known)
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

    /// Where the others are reached.
    pub fn urls(&self, but: NodeId) -> Vec<String> {
        let members = self.members.lock();
        let others = members.values().filter(|kept| kept.member.node != but);
        others.filter_map(|kept| kept.member.url.clone()).collect()
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
