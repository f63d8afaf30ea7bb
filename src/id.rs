//! Newtypes for the numbers that travel: positions in the log, and the ids of collections, fields, indexes, records.
//!
//! No bare integer stands for one of these in a public signature. Ids are stable for ever: a rename changes a name,
//! never an id.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Number of an entry in the log: 1 is the first, 0 is "before everything". No gaps.
    Seq(u64)
);
number!(
    /// Identity of one server folder, random at its creation.
    NodeId(u32)
);
number!(
    /// A collection's id, from 1, never used twice.
    CollectionId(u32)
);
number!(
    /// A field's id within its collection, from 1, never used twice.
    FieldId(u32)
);
number!(
    /// An index's id within its collection, from 1, never used twice.
    IndexId(u32)
);
number!(
    /// Which filling of a collection a key belongs to: truncate and drop begin a new one.
    Generation(u32)
);
number!(
    /// Random identity of a database; a follower shares its primary's.
    DatabaseId(u128)
);

impl CollectionId {
    /// The first id of the server's own collections, whose names begin with `_`. They have a range of their own, so that
    /// those that a client defines are numbered the same whichever of them a server has.
    pub const OWN_FIRST: CollectionId = CollectionId(1 << 31);

    /// Whether it is one of the server's own collections.
    pub fn is_own(self) -> bool {
        self >= CollectionId::OWN_FIRST
    }
}

impl Seq {
    /// Before the first entry.
    pub const ZERO: Seq = Seq(0);

    /// The entry after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }

    /// The entry before this one; zero stays.
    #[must_use]
    pub fn before(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }
}

/// A reign of one primary: a counter and the node that began it. Equal counters of two nodes are a divergence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Counts up at each promotion and restore, from 1.
    pub counter: u32,
    /// Who began it.
    pub node: NodeId,
}

/// A place in a history: the entry `seq`, written in `epoch`.
///
/// Its text is opaque to clients: epoch counter, node and seq, such as `1-9f3ac2d1-42`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The epoch that the entry was written in.
    pub epoch: Epoch,
    /// The entry's number.
    pub seq: Seq,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}-{}", self.epoch.counter, self.epoch.node.0, self.seq)
    }
}

impl FromStr for Position {
    type Err = Error;

    /// # Errors
    /// `Invalid` for a text that this server never makes (also one with leading zeros or signs).
    fn from_str(text: &str) -> Result<Position> {
        let read = || {
            let mut parts = text.splitn(3, '-');
            let counter = parts.next()?.parse().ok()?;
            let node = NodeId(u32::from_str_radix(parts.next()?, 16).ok()?);
            let seq = Seq(parts.next()?.parse().ok()?);
            Some(Position { epoch: Epoch { counter, node }, seq })
        };
        match read() {
            Some(position) if position.to_string() == text => Ok(position),
            _ => Err(bad_position()),
        }
    }
}

fn bad_position() -> Error {
    Error::invalid("not a position that this kind of server gives out").code("bad_position")
}

/// A place in the stream of changes: behind one change of an entry, or behind all of it. What whoever follows the changes
/// holds, and begins behind again.
///
/// Its text is that of the position, with `.` and the number of the change where more of the entry follow, such as
/// `1-9f3ac2d1-42.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The entry.
    pub position: Position,
    /// Which of its changes, from 0; `None` for all of them.
    pub change: Option<u32>,
}

impl Mark {
    /// What marks of one history are ordered by.
    fn order(&self) -> (Seq, u32) {
        (self.position.seq, self.change.unwrap_or(u32::MAX))
    }

    /// The entry behind which everything is still to come.
    pub fn whole(&self) -> Seq {
        match self.change {
            None => self.position.seq,
            Some(_) => self.position.seq.before(),
        }
    }
}

/// Of one history.
impl PartialOrd for Mark {
    fn partial_cmp(&self, other: &Mark) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Of one history.
impl Ord for Mark {
    fn cmp(&self, other: &Mark) -> Ordering {
        self.order().cmp(&other.order()).then(self.position.epoch.cmp(&other.position.epoch))
    }
}

impl From<Position> for Mark {
    fn from(position: Position) -> Mark {
        Mark { position, change: None }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        match self.change {
            Some(change) => write!(f, ".{change}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Mark {
    type Err = Error;

    /// # Errors
    /// As of a [`Position`].
    fn from_str(text: &str) -> Result<Mark> {
        let Some((position, change)) = text.split_once('.') else { return text.parse().map(|at: Position| at.into()) };
        let position = position.parse()?;
        match change.parse::<u32>() {
            Ok(number) if number.to_string() == change => Ok(Mark { position, change: Some(number) }),
            _ => Err(bad_position()),
        }
    }
}

/// Hash over a frame and all frames before it: equal chains at one [`Seq`] mean an equal history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chain(pub u128);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A record's id: 1 to 100 bytes of `A-Z a-z 0-9 _ - .`; unique within its collection. Cloning is cheap.
///
/// Invariant: holds only texts of that alphabet, so it needs no escaping in a key, a path or JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(Arc<str>);

impl RecordId {
    /// # Errors
    /// `Invalid` with code `bad_id` for an empty or long text, or another character; `.` and `..` too, as they mean
    /// something else in a path.
    pub fn new(text: &str) -> Result<RecordId> {
        let fits = (1..=limits::RECORD_ID_BYTES_MAX).contains(&text.len());
        let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if fits && clean && text != "." && text != ".." {
            Ok(RecordId(text.into()))
        } else {
            Err(Error::invalid(format!(
                "an id has 1 to {} characters of A-Z a-z 0-9 _ - .",
                limits::RECORD_ID_BYTES_MAX
            ))
            .code("bad_id"))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RecordId {
    type Error = Error;

    fn try_from(text: String) -> Result<RecordId> {
        RecordId::new(&text)
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> String {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_from_its_text() {
        let position = Position { epoch: Epoch { counter: 3, node: NodeId(0x9f3a) }, seq: Seq(u64::MAX) };
        assert_eq!(position.to_string().parse::<Position>().expect("own text"), position);
        for bad in
            ["", "1", "1-2", "1-00000002-", "01-00000002-3", "1-2-3", "1-00000002-+3", "1-0000000G-3", "-1-00000002-3"]
        {
            assert!(bad.parse::<Position>().is_err(), "{bad:?} was taken for a position");
        }
    }

    #[test]
    fn marks_read_back_and_stand_in_the_order_of_the_changes() {
        let position = |seq| Position { epoch: Epoch { counter: 1, node: NodeId(7) }, seq: Seq(seq) };
        let within = |seq, change| Mark { position: position(seq), change: Some(change) };
        let order =
            [Mark::from(position(1)), within(2, 0), within(2, 1), within(2, 10), position(2).into(), within(3, 0)];
        assert!(order.is_sorted_by(|a, b| a < b));
        for mark in order {
            assert_eq!(mark.to_string().parse::<Mark>().expect("own text"), mark);
        }
        assert_eq!((within(2, 0).whole(), Mark::from(position(2)).whole()), (Seq(1), Seq(2)));
        for bad in ["1-00000007-2.", "1-00000007-2.01", "1-00000007-2.x", "1-00000007-2.+1", ".1", "1-00000007-2.1.1"] {
            assert!(bad.parse::<Mark>().is_err(), "{bad:?} was taken for a mark");
        }
    }

    #[test]
    fn a_record_id_keeps_to_its_alphabet() {
        for good in ["a", "A-z_0.9", &"x".repeat(100)] {
            assert!(RecordId::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "a/b", "ä", "a b", "a\0", &"x".repeat(101)] {
            assert!(RecordId::new(bad).is_err(), "{bad:?}");
        }
    }
}
