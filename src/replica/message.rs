//! What a follower asks and what it is told. Requests are JSON; an answer is a JSON head and, behind it, frames:
//!
//! ```text
//! head bytes u32, big-endian | head, JSON | frames of the log, as one zstd frame where the head says so
//! ```
//!
//! Invariant: nothing is trusted before it is measured: a head and what is unpacked have their bounds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::id::{Chain, CollectionId, DatabaseId, Generation, NodeId, Position, Seq};
use crate::limits;
use crate::state::Tally;
use crate::time::Millis;

/// Version of all that is said here. Another one is refused by both sides.
pub const FORMAT: u32 = 2;
/// A head's bytes at most: the digests of some thousand collections.
const HEAD_BYTES_MAX: usize = 4 << 20;
/// Frames that are fewer bytes are not packed.
const PACK_BYTES: usize = 1 << 10;
/// Of zstd: the fastest, since the primary's cores have writes to take.
const PACK_LEVEL: i32 = 1;

/// What a follower asks for: all that comes after its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose log it has.
    pub database: DatabaseId,
    /// Who it is.
    pub node: NodeId,
    /// The last entry that it has been given.
    pub after: Position,
    /// The chain after that.
    pub chain: Chain,
    /// The last entry that it has on its disk.
    pub acked: Position,
    /// Where its clients and other servers reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The tally of each filling.
pub(super) type Digests = Vec<(CollectionId, Generation, Tally)>;

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`FORMAT`].
    pub format: u32,
    /// The primary's last entry.
    pub now: Position,
    /// The primary's clock.
    pub time: Millis,
    /// Whether the frames are packed.
    pub packed: bool,
    /// Bytes of the frames when they are unpacked.
    pub bytes: usize,
    /// What the state has to be once these frames are in it, if they lead to the primary's last entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digests: Option<Vec<(CollectionId, Generation, Tally)>>,
    /// The last entry that the follower has in common with the primary, where it stands in another history: nothing comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Seq>,
    /// What tokens are signed with, at a fork: whoever goes on from there needs the primary's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Where the primary is, where it is another server: nothing comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
    /// Other followers that the primary knows of, by their URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fleet: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What is said of it.
    pub head: Head,
    /// Frames of the log, unpacked.
    pub frames: Vec<u8>,
}

/// A snapshot that was taken for a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// [`FORMAT`].
    pub format: u32,
    /// What to ask for it by.
    pub id: String,
    /// Its file's size, bytes.
    pub bytes: u64,
    /// The last entry that is in it.
    pub position: Position,
    /// What tokens are signed with, hexadecimal.
    pub secret: String,
}

/// Where two states differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// In which filling.
    pub collection: CollectionId,
    /// Of which generation.
    pub generation: Generation,
}

/// The first filling that is not the same in both; one that is not listed is empty.
pub(super) fn differ(ours: &Digests, theirs: &Digests) -> Option<Difference> {
    let missing = |(collection, generation, tally): &(CollectionId, Generation, Tally), others: &Digests| {
        let other = others.iter().find(|other| (other.0, other.1) == (*collection, *generation));
        *tally != other.map_or(Tally::default(), |other| other.2)
    };
    let found = theirs.iter().find(|one| missing(one, ours)).or_else(|| ours.iter().find(|one| missing(one, theirs)));
    found.map(|(collection, generation, _)| Difference { collection: *collection, generation: *generation })
}

impl Head {
    /// That of an answer without frames.
    pub fn new(now: Position, time: Millis) -> Head {
        let (packed, bytes, digests, fork, secret, moved, fleet) = (false, 0, None, None, None, None, Vec::new());
        Head { format: FORMAT, now, time, packed, bytes, digests, fork, secret, moved, fleet }
    }
}

impl Pulled {
    /// As it is sent.
    ///
    /// # Errors
    /// `Internal` when it can't be written.
    pub fn write(mut self) -> Result<Bytes> {
        let ours = |error: String| Error::internal("an answer to a follower").source(error);
        self.head.bytes = self.frames.len();
        self.head.packed = self.frames.len() >= PACK_BYTES;
        let head = serde_json::to_vec(&self.head).map_err(|error| ours(error.to_string()))?;
        let mut out = Vec::with_capacity(4 + head.len() + self.frames.len());
        out.extend_from_slice(&(head.len() as u32).to_be_bytes());
        out.extend_from_slice(&head);
        if self.head.packed {
            let packed = zstd::bulk::compress(&self.frames, PACK_LEVEL).map_err(|error| ours(error.to_string()))?;
            out.extend_from_slice(&packed);
        } else {
            out.extend_from_slice(&self.frames);
        }
        Ok(out.into())
    }

    /// Reads what was sent.
    ///
    /// # Errors
    /// `Damaged` for anything else; `Unprocessable` with code `newer_format`.
    pub fn read(bytes: &[u8]) -> Result<Pulled> {
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| broken("it is cut short"))?;
        let len = u32::from_be_bytes(*len) as usize;
        if len > HEAD_BYTES_MAX {
            return Err(broken("its head is too long"));
        }
        let (head, rest) = rest.split_at_checked(len).ok_or_else(|| broken("it is cut short"))?;
        let format: Format = serde_json::from_slice(head).map_err(|error| broken("no head").source(error))?;
        same_format(format.format)?;
        let head: Head = serde_json::from_slice(head).map_err(|error| broken("no head").source(error))?;
        if head.bytes > limits::SHIPMENT_BYTES_MAX {
            return Err(broken("it is too long"));
        }
        let frames = if head.packed {
            zstd::bulk::decompress(rest, head.bytes).map_err(|error| broken("it can't be unpacked").source(error))?
        } else {
            rest.to_vec()
        };
        if frames.len() != head.bytes {
            return Err(broken("it is cut short"));
        }
        Ok(Pulled { head, frames })
    }
}

/// What every version of a message has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// # Errors
/// `Unprocessable` with code `newer_format` for another than this server's.
pub(super) fn same_format(format: u32) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    let message = format!("the other server replicates in format {format}, this one in {FORMAT}: run the same version");
    Err(Error::new(Kind::Unprocessable, message).code("newer_format"))
}

fn broken(why: &str) -> Error {
    Error::damaged(format!("what came from the primary is no answer of one: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;

    fn head() -> Head {
        let now = Position { epoch: Epoch { counter: 2, node: NodeId(9) }, seq: Seq(42) };
        let tally = Tally { count: 3, digest: u128::MAX - 1 };
        let digests = Some(vec![(CollectionId(1), Generation(2), tally)]);
        let fleet = vec!["http://127.0.0.1:1".to_owned()];
        Head { digests, fleet, ..Head::new(now, Millis(1_700_000_000_000)) }
    }

    #[test]
    fn an_answer_reads_back_and_no_cut_or_flip_makes_a_panic() {
        for len in [0, 10, 5_000] {
            let frames: Vec<u8> = (0..len).map(|n| (n % 7) as u8).collect();
            let bytes = Pulled { head: head(), frames: frames.clone() }.write().expect("written");
            let read = Pulled::read(&bytes).expect("read");
            assert_eq!((read.frames, read.head.now, read.head.digests), (frames, head().now, head().digests));
            for at in 0..bytes.len().min(600) {
                assert!(Pulled::read(&bytes[..at]).is_err(), "cut at {at}");
                let mut bent = bytes.to_vec();
                bent[at] ^= 0x11;
                let _ = Pulled::read(&bent);
            }
        }
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let bytes =
            Pulled { head: Head { format: FORMAT + 1, ..head() }, frames: Vec::new() }.write().expect("written");
        assert_eq!(Pulled::read(&bytes).expect_err("newer").code_str(), "newer_format");
    }

    #[test]
    fn states_differ_where_a_tally_does_and_an_empty_filling_is_none() {
        let one = |count| (CollectionId(1), Generation(1), Tally { count, digest: 5 });
        let empty = (CollectionId(2), Generation(1), Tally::default());
        assert_eq!(differ(&vec![one(1)], &vec![one(1), empty]), None);
        assert_eq!(differ(&vec![one(1), empty], &vec![one(1)]), None);
        let found = Some(Difference { collection: CollectionId(1), generation: Generation(1) });
        assert_eq!(differ(&vec![one(1)], &vec![one(2)]), found);
        assert_eq!(differ(&vec![], &vec![one(2)]), found);
        assert_eq!(differ(&vec![one(2)], &vec![]), found);
    }
}
