//! A write that is done once, however often it is asked for: by what it is known, and what is kept of its answer.
//!
//! A stored format (postcard), as `change` is: variants are appended, never reordered or altered. An answer is kept as
//! facts, never as bytes for a client: it is written out anew for whoever asks again, as it may be seen then.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::{CollectionId, Position, Seq};
use crate::model::record::Record;
use crate::time::Millis;

/// A write's identity: who asked for what under which key, and with which body. Made by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// Of the caller, the method, the path and the key.
    pub key: Fingerprint,
    /// Of the body, and of all else that has a say in what is written.
    pub body: Fingerprint,
}

/// The first 128 bits of a cryptographic hash: nobody makes two texts of one. Hexadecimal where people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// How much of an answer is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Each write's record, and the definition.
    All,
    /// How many records were made and changed: of a transaction that is answered by that.
    Counts,
    /// The definition, if one was made, and what an import of definitions said that it changes, as JSON.
    Told(Box<str>),
}

/// What is kept of an answer: enough to give it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// When it was given, as the log has it.
    pub time: Millis,
    /// What was asked for.
    pub body: Fingerprint,
    /// The commit.
    pub position: Position,
    /// One for each write, in order; none of a collection that went.
    pub parts: Vec<Part>,
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// The record was made, as it was then.
    Created(CollectionId, Record),
    /// The record was changed or was already so, as it was then.
    Updated(CollectionId, Record),
    /// The record went.
    Gone(CollectionId),
    /// The collection was defined: the version and the text of its definition.
    Defined(CollectionId, Seq, String),
    /// In the place of all writes: how many records were made, how many were there.
    Counts(u64, u64),
    /// What an import of definitions changed, as JSON.
    Told(String),
}

/// What the log says of an answer that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Who asked for what under which key.
    pub key: Fingerprint,
    /// With which body.
    pub body: Fingerprint,
    /// When.
    pub time: Millis,
    /// What the answer says, one for each write; nothing of a collection that went.
    pub kept: Vec<Kept>,
    /// What it counts for among those that are kept, bytes.
    pub bytes: u64,
    /// All that was ever kept before it, bytes.
    pub before: u64,
    /// Answers that are kept no more: the entries that kept them, and their keys.
    pub forgotten: Vec<(Seq, Fingerprint)>,
    /// The entry with the oldest answer that is kept now.
    pub oldest: Seq,
}

/// What is kept of one write, as the log says it: what its own entry tells anyway is named by its place in there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kept {
    /// What the entry's change with this number made or changed: a record, or a definition.
    Change(u32),
    /// A record that was not changed, as it was.
    Record(CollectionId, Record),
    /// A record went.
    Gone(CollectionId),
    /// A definition that was not changed: its version and its text.
    Definition(CollectionId, Seq, String),
    /// In the place of all writes: how many records were made, how many were there.
    Counts(u64, u64),
    /// What an import of definitions changed, as JSON.
    Told(String),
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 16]>::deserialize(deserializer).map(Fingerprint);
        }
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).map_err(de::Error::custom)?;
        Ok(Fingerprint(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, NodeId, RecordId};
    use crate::model::value::Fields;

    #[test]
    fn a_fingerprint_reads_back_in_both_forms() {
        let one = Fingerprint([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        let text = serde_json::to_string(&one).expect("JSON");
        assert_eq!(text, "\"000102030405060708090a0b0c0d0eff\"");
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).expect("its own text"), one);
        let bytes = postcard::to_stdvec(&one).expect("bytes");
        assert_eq!(bytes, one.0);
        assert_eq!(postcard::from_bytes::<Fingerprint>(&bytes).expect("its own bytes"), one);
    }

    fn record() -> Record {
        let epoch = Epoch { counter: 1, node: NodeId(7) };
        let id = RecordId::new("a").expect("an id");
        Record { id, version: Position { epoch, seq: Seq(9) }, fields: Fields::new() }
    }

    /// By its bytes and back.
    fn assert_stored<T: Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(one: &T, hex: &str) {
        let bytes = postcard::to_stdvec(one).expect("bytes");
        let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, hex.replace(' ', ""));
        assert_eq!(&postcard::from_bytes::<T>(&bytes).expect("its own bytes"), one);
    }

    #[test]
    fn what_is_stored_keeps_its_form() {
        let (five, text) = (CollectionId(5), "{}".to_owned());
        let (key, body) = (Fingerprint([1; 16]), Fingerprint([2; 16]));
        let kept = vec![
            Kept::Change(300),
            Kept::Record(five, record()),
            Kept::Gone(five),
            Kept::Definition(five, Seq(9), text.clone()),
            Kept::Counts(300, 1),
            Kept::Told(text.clone()),
        ];
        let forgotten = vec![(Seq(8), Fingerprint([3; 16]))];
        let time = Millis(3);
        let remembered = Remembered { key, body, time, kept, bytes: 600, before: 0, forgotten, oldest: Seq(9) };
        let hex = [
            "01".repeat(16),
            "02".repeat(16),
            "06 06 00ac02 0105016101070900 0205 030509027b7d 04ac0201 05027b7d d804 00 01 08".to_owned(),
            "03".repeat(16),
            "09".to_owned(),
        ];
        assert_stored(&remembered, &hex.concat());
        let parts = vec![
            Part::Created(five, record()),
            Part::Updated(five, record()),
            Part::Gone(five),
            Part::Defined(five, Seq(9), text.clone()),
            Part::Counts(300, 1),
            Part::Told(text),
        ];
        let answer = Answer { time, body, position: record().version, parts };
        let rest = "010709 06 0005016101070900 0105016101070900 0205 030509027b7d 04ac0201 05027b7d";
        assert_stored(&answer, &["06", &"02".repeat(16), rest].concat());
    }
}
