//! The key of an answer: a keyed hash over all that the answer follows from, as one view has it.
//!
//! ```text
//! millpond: | database | :a: | hash       an answer
//! millpond: | database | :g: | part       the word of a generation
//!
//! hash of: version of the values, version of the program
//!          digest of all definitions
//!          for each collection that is needed: its id, generation, number of rows, digest of the rows
//!          for the record that is needed by itself: its collection, id, version and fields
//!          who may share it, with the caller's own record where that counts; method, path and query
//! ```
//!
//! Every part has a fixed length or is told its length. Invariant: what a slot of `needs` stands for is in the hash, or
//! there is no key.

use crate::core::{Published, Slot};
use crate::id::{CollectionId, DatabaseId};
use crate::model::record::Record;
use crate::service::cache::Needs;
use crate::service::cache::question::Identity;
use crate::state;

/// Moves with what is hashed, and with the form of the values.
const FORMAT: u8 = 1;
/// Another program may write other bytes for the same.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Makes keys.
#[derive(Clone)]
pub(super) struct Keys {
    hash: [u8; blake3::KEY_LEN],
    /// What all of a database begin with.
    head: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(database: DatabaseId, secret: &[u8]) -> Keys {
        let hash = blake3::derive_key("millpond: keys of the second tier of the cache", secret);
        let of = blake3::keyed_hash(&hash, &database.0.to_le_bytes());
        Keys { hash, head: format!("millpond:{}", &of.to_hex()[..16]) }
    }

    pub(super) fn word(&self, part: &str) -> Box<[u8]> {
        format!("{}:g:{part}", self.head).into_bytes().into()
    }

    /// The key of the answer to a question in a view, and the collections that it follows from; `None` where that can't be
    /// told, or one of them is the server's own.
    pub(super) fn of(
        &self,
        question: &Identity,
        needs: &Needs,
        view: &Published,
        own: Option<(CollectionId, &Record)>,
    ) -> Option<(Box<[u8]>, Vec<CollectionId>)> {
        let mut hash = blake3::Hasher::new_keyed(&self.hash);
        hash.update(&[FORMAT]);
        add(&mut hash, PROGRAM.as_bytes());
        hash.update(&view.schema.digest());
        let mut collections = needs.collections().to_vec();
        for id in &collections {
            // Of one that is not there the definitions say so.
            let Some(collection) = view.schema.get(*id) else { continue };
            let tally = state::tally(&view.stack, collection.id, collection.generation).ok()?;
            hash.update(&[1]);
            hash.update(&collection.id.0.to_le_bytes());
            hash.update(&collection.generation.0.to_le_bytes());
            hash.update(&tally.count.to_le_bytes());
            hash.update(&tally.digest.to_le_bytes());
        }
        let known = own.map(|(collection, record)| Slot::of_record(collection, &record.id));
        if needs.slots().iter().any(|slot| slot.is_of_record() && Some(*slot) != known) {
            return None;
        }
        if let Some((collection, record)) = own {
            hash.update(&[2]);
            hash.update(&collection.0.to_le_bytes());
            add_record(&mut hash, record)?;
            if !collections.contains(&collection) {
                collections.push(collection);
            }
        }
        // What the server keeps for itself is nobody else's to keep.
        if collections.iter().any(|id| id.is_own()) {
            return None;
        }
        hash.update(&[3]);
        add(&mut hash, &question.key);
        if let Some((_, record)) = &question.own {
            add_record(&mut hash, record)?;
        }
        Some((format!("{}:a:{}", self.head, hash.finalize().to_hex()).into_bytes().into(), collections))
    }
}

fn add(hash: &mut blake3::Hasher, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn add_record(hash: &mut blake3::Hasher, record: &Record) -> Option<()> {
    add(hash, record.id.as_str().as_bytes());
    add(hash, &postcard::to_stdvec(&record.version).ok()?);
    add(hash, &postcard::to_stdvec(&record.fields).ok()?);
    Some(())
}
