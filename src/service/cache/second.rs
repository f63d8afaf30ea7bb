//! The second tier: finished answers in a Redis that several servers share, behind the first in memory and before the store.
//!
//! Invariant: what is found is what the asker's own view gives, byte for byte, whoever wrote it and whenever.
//!
//! - **The key names what the answer follows from** (`key`): the question and who may share it, all definitions, and the
//!   rows of each collection that it depends on by their number and digest, as the asker's view has them. All of that is
//!   content, none of it a time or a place: a primary and a follower at one position have the same keys (their digests are
//!   compared at every heartbeat), one that lags has those of the state it shows, and what another history put there (one
//!   before a restore, of a primary that is none any more, of a copy) is found only where its rows and definitions are the
//!   same. What depends on one record of its own is asked for with that record.
//! - **It is checked when it is read**: the value bears the position that it was made at. If that is behind the asker's, it
//!   must be of the asker's history, and no change since that this server has seen may have touched what it follows from: so
//!   nobody gains by writing rows whose digest comes to that of others.
//! - **Only who has the database's secret can have written it**: key and value go by keyed hashes. What is garbage, cut off,
//!   of another key, of another version of this program, or made up is not used.
//! - **Its put follows its look**: an answer is kept under the key that was asked for only if nothing that it depends on has
//!   changed from then until it was made, whatever view it was made from.
//!
//! Nothing is kept that follows from the server's own collections. Servers that share a Redis run one version of the program.
//!
//! Dropping goes by generations: a random word for each collection beside the values, read with them; a value bears those
//! that it was looked for under. A drop while Redis is away leaves this server without the tier for those collections until
//! the words are written.

mod envelope;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use super::invalidate::Named;
use super::{Found, Needs, Question};
use crate::core::{Published, Slot, Slots};
use crate::id::{CollectionId, DatabaseId, Position};
use crate::limits;
use crate::meter::Counter;
use crate::model::record::Record;
use crate::outbound::redis::{Redis, Size};
use crate::service::{Secret, ids};
use envelope::{Inside, Seal};
use key::Keys;

/// Words of generations that are written one by one; for more, all go.
const PARTS_MAX: usize = 16;

/// The tier.
#[derive(Debug)]
pub(in crate::service) struct Second {
    redis: Redis,
    slots: Arc<Slots>,
    keys: Keys,
    seal: Seal,
    /// What was dropped here and is not known to be dropped there, each with the number of its drop.
    dropped: Mutex<BTreeMap<Part, u64>>,
    telling: Arc<tokio::sync::Mutex<()>>,
    hits: Counter,
    misses: Counter,
    /// Values that were not what they should be.
    refused: Counter,
}

/// What has a generation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    All,
    Of(CollectionId),
}

/// A question as it is put to the tier.
#[derive(Debug)]
pub(in crate::service) struct Sought {
    key: Box<[u8]>,
    /// Names of the generations' words.
    words: Vec<Box<[u8]>>,
    needs: Box<[Slot]>,
    view: Arc<Published>,
}

/// What the tier had not, and may be given.
#[derive(Debug)]
pub(in crate::service) struct Ticket {
    key: Box<[u8]>,
    generation: u64,
    at: Position,
}

/// What it counts, and what Redis says of itself.
#[derive(Clone, Copy, Debug)]
pub struct SecondFigures {
    /// `None` while it does not answer.
    pub size: Option<Size>,
    /// Asked for and found good.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
    /// Found and not used: garbage, or dropped meanwhile.
    pub refused: u64,
    /// Whether it is connected to.
    pub up: bool,
    /// As the meters of [`Redis`].
    pub late: u64,
    /// The same.
    pub faults: u64,
    /// The same.
    pub skipped: u64,
    /// The same.
    pub written: u64,
    /// The same.
    pub dropped: u64,
}

impl Second {
    /// # Errors
    /// Why an address is none, for people, without it.
    pub(super) fn validate(url: &str) -> Result<(), String> {
        Redis::new(url).map(drop)
    }

    /// The tier at an address, for the servers of one database.
    ///
    /// # Errors
    /// For people, without the address.
    pub(super) fn new(url: &str, database: DatabaseId, secret: &Secret, slots: Arc<Slots>) -> Result<Second, String> {
        Ok(Second {
            redis: Redis::new(url)?,
            slots,
            keys: Keys::new(database, secret.bytes()),
            seal: Seal::new(secret.bytes()),
            dropped: Mutex::default(),
            telling: Arc::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            refused: Counter::default(),
        })
    }

    /// How a question is put; `None` where it is not to be, or the tier rests. `own` is the one record that is needed by
    /// itself.
    pub(super) fn sought(
        self: &Arc<Second>,
        question: &Question<'_>,
        needs: &Needs,
        view: &Arc<Published>,
        own: Option<(CollectionId, &Record)>,
    ) -> Option<Sought> {
        if !self.redis.is_ready() {
            return None;
        }
        let sharing = needs.sharing()?;
        let (key, collections) = self.keys.of(&question.identity(sharing)?, needs, view, own)?;
        if self.is_dropping(&collections) {
            self.tell_behind();
            return None;
        }
        let parts = std::iter::once(Part::All).chain(collections.into_iter().map(Part::Of));
        let words = parts.map(|part| self.word(part)).collect();
        Some(Sought { key, words, needs: needs.slots().into(), view: view.clone() })
    }

    /// What the tier has; else what may be given to it, where it said that it has nothing.
    pub(super) async fn look(&self, sought: Sought) -> Result<Found, Option<Ticket>> {
        let Sought { key, words, needs, view } = sought;
        let asked: Vec<&[u8]> = std::iter::once(&*key).chain(words.iter().map(|word| &**word)).collect();
        let values = self.redis.read(&asked).await.ok_or(None)?;
        let (value, words) = values.split_first().ok_or(None)?;
        let generation = generation(words);
        if let Some(value) = value {
            match self.seal.open(&key, value) {
                Some(inside) if inside.generation == generation && self.is_of(&view, &needs, inside.made) => {
                    self.hits.add(1);
                    return Ok(inside.found);
                }
                _ => self.refused.add(1),
            }
        } else {
            self.misses.add(1);
        }
        Err(Some(Ticket { key, generation, at: view.position }))
    }

    /// Whether what was made at a position can be what a view gives.
    fn is_of(&self, view: &Published, needs: &[Slot], made: Position) -> bool {
        // A server that is ahead shows what this one will: by the key, what both have is the same.
        let is_ahead = made.seq > view.position.seq && made.epoch == view.position.epoch;
        is_ahead || (view.knows(made).unwrap_or(false) && self.slots.hold(needs, made.seq))
    }

    /// Keeps an answer behind its caller's back, if it is the one that was looked for.
    pub(super) fn put(&self, ticket: Ticket, needs: &[Slot], found: &Found) {
        let Ticket { key, generation, at } = ticket;
        if self.slots.hold(needs, at.seq) {
            let value = self.seal.close(&key, &Inside { generation, made: at, found: found.clone() });
            self.redis.write(key, value, limits::L2_KEEP);
        }
    }

    /// Notes that what shows something of what is named is not to be used.
    pub(super) fn drop_named(&self, named: &Named) {
        let mut dropped = self.dropped.lock();
        let number = dropped.values().max().map_or(0, |last| last + 1);
        match named.collections() {
            Some(all) if dropped.len() + all.len() <= PARTS_MAX => {
                dropped.extend(all.into_iter().map(|of| (Part::Of(of), number)));
            }
            _ => {
                dropped.insert(Part::All, number);
            }
        }
    }

    fn is_dropping(&self, collections: &[CollectionId]) -> bool {
        let dropped = self.dropped.lock();
        !dropped.is_empty()
            && (dropped.contains_key(&Part::All) || collections.iter().any(|of| dropped.contains_key(&Part::Of(*of))))
    }

    /// Tells the other servers what was dropped here.
    pub(super) async fn tell(&self) {
        let _telling = self.telling.lock().await;
        self.tell_all().await;
    }

    async fn tell_all(&self) {
        let parts: Vec<(Part, u64)> = self.dropped.lock().iter().map(|(part, number)| (*part, *number)).collect();
        for (part, number) in parts {
            let Ok(word) = ids::random::<8>() else { return };
            // For longer than anything from before it.
            if !self.redis.set(&self.word(part), &word, 2 * limits::L2_KEEP).await {
                return;
            }
            let mut dropped = self.dropped.lock();
            if dropped.get(&part) == Some(&number) {
                dropped.remove(&part);
            }
        }
    }

    fn tell_behind(self: &Arc<Second>) {
        let Ok(telling) = self.telling.clone().try_lock_owned() else { return };
        let this = self.clone();
        tokio::spawn(async move {
            this.tell_all().await;
            drop(telling);
        });
    }

    fn word(&self, part: Part) -> Box<[u8]> {
        match part {
            Part::All => self.keys.word("all"),
            Part::Of(collection) => self.keys.word(&collection.to_string()),
        }
    }

    /// What it counted.
    pub(super) fn figures(&self) -> SecondFigures {
        let meters = self.redis.meters();
        SecondFigures {
            size: None,
            hits: self.hits.get(),
            misses: self.misses.get(),
            refused: self.refused.get(),
            up: self.redis.is_up(),
            late: meters.late.get(),
            faults: meters.faults.get(),
            skipped: meters.skipped.get(),
            written: meters.written.get(),
            dropped: meters.dropped.get(),
        }
    }

    /// The same, and what Redis says of itself.
    pub(super) async fn sized(&self) -> SecondFigures {
        let size = self.redis.size().await;
        SecondFigures { size, ..self.figures() }
    }
}

/// The generation that some words come to.
fn generation(words: &[Option<Bytes>]) -> u64 {
    let mut hash = Xxh3::new();
    for word in words {
        let word = word.as_deref().unwrap_or_default();
        hash.update(&(word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    hash.digest()
}
