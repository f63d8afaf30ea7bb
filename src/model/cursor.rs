//! A cursor's text: where a page ended, bound to the list that it was a page of.
//!
//! ```text
//! base64url, no padding, of:  01 | hash of the list (u64) | mark
//! ```
//!
//! The mark is the state's. Nothing in a cursor is secret or trusted: it says no more than a place in an order, and what
//! is seen there is decided anew.

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};
use crate::limits;
use crate::model::schema::Collection;

const VERSION: u8 = 0x01;
const HEAD: usize = 9;

/// A list that pages are asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed(u64);

impl Listed {
    /// The records of a collection as it was last defined, by these texts.
    pub fn new(collection: &Collection, filter: Option<&str>, sort: Option<&str>, search: Option<&str>) -> Listed {
        let mut hash = Xxh3::new();
        hash.update(&collection.id.0.to_le_bytes());
        hash.update(&collection.generation.0.to_le_bytes());
        hash.update(&collection.defined.0.to_le_bytes());
        for text in [filter, sort].map(Option::unwrap_or_default) {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        if let Some(text) = search {
            hash.update(b"search");
            hash.update(text.as_bytes());
        }
        Listed(hash.digest())
    }

    /// The cursor that leads on from a mark.
    pub fn cursor(self, mark: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(HEAD + mark.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.0.to_be_bytes());
        bytes.extend_from_slice(mark);
        encode(&bytes)
    }

    /// The mark of a cursor.
    ///
    /// # Errors
    /// `Invalid` with code `bad_cursor` for what is no cursor, or one of another list.
    pub fn mark(self, cursor: &str) -> Result<Box<[u8]>> {
        let bytes = if cursor.len() <= limits::CURSOR_BYTES_MAX { decode(cursor) } else { None };
        let bad = |reason: &str| Error::invalid(format!("cursor: {reason}")).code("bad_cursor");
        match bytes.as_deref().map(|bytes| bytes.split_at_checked(HEAD)) {
            Some(Some(([VERSION, hash @ ..], mark))) if *hash == self.0.to_be_bytes() => Ok(mark.into()),
            Some(Some(([VERSION, ..], _))) => {
                Err(bad("it is of another list: collection, filter, sort and search must be as they were"))
            }
            _ => Err(bad("this is none")),
        }
    }
}

/// RFC 4648, section 5.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}

/// Of each text that decodes, only that which [`encode`] makes.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for letter in group {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        let whole = bits.to_be_bytes();
        let (used, rest) = whole[1..].split_at(group.len() - 1);
        if group.len() == 1 || rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(used);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition;
    use crate::model::schema::Schema;
    use crate::time::Millis;

    #[test]
    fn base64_is_that_of_the_rfc_without_padding() {
        let table = [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, text) in table {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode(&[0xFB, 0xFF]), "-_8");
        for wrong in ["A", "Zh", "Zm9", "Zg==", "Z g", "Zm9vY", "\u{e9}", "Zm+v"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_cursor_is_of_one_list_only() {
        let body = br#"{"name": "c", "fields": [{"name": "n", "type": "number"}]}"#;
        let collection = definition::parse(&Schema::default(), body, Millis(0)).expect("sound");
        let listed = Listed::new(&collection, Some("n = 1"), Some("n"), None);
        let cursor = listed.cursor(b"mark");
        assert_eq!(&*listed.mark(&cursor).expect("its own"), b"mark");
        let mut refilled = collection.clone();
        refilled.generation.0 += 1;
        let mut redefined = collection.clone();
        redefined.defined.0 += 1;
        let others = [
            Listed::new(&collection, Some("n = 2"), Some("n"), None),
            Listed::new(&collection, Some("n = 1n"), None, None),
            Listed::new(&collection, Some("n = 1"), Some("-n"), None),
            Listed::new(&collection, Some("n = 1"), Some("n"), Some("x")),
            Listed::new(&refilled, Some("n = 1"), Some("n"), None),
            Listed::new(&redefined, Some("n = 1"), Some("n"), None),
        ];
        let mut indexed = collection.clone();
        indexed.version.0 += 1;
        assert_eq!(Listed::new(&indexed, Some("n = 1"), Some("n"), None), listed, "an index was built");
        for other in others {
            assert_eq!(other.mark(&cursor).expect_err("another's").code_str(), "bad_cursor");
        }
        let long = "A".repeat(limits::CURSOR_BYTES_MAX + 1);
        for wrong in ["", "x", "AQ", &cursor[..8], &format!("{cursor}="), &format!("B{}", &cursor[1..]), &long] {
            assert_eq!(listed.mark(wrong).expect_err("no cursor").code_str(), "bad_cursor", "{wrong}");
        }
    }
}
