//! New ids: lower-case Crockford base32 of 48 bits of time and 80 random bits (the shape of a ULID), 26 characters, so
//! that ids made later sort later and none is guessed or met twice.

use std::cell::RefCell;

use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::time::Millis;

/// No i, l, o, u: nothing to misread.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARS: usize = 26;
/// Of random bytes kept by a thread.
const STOCK_BYTES: usize = 640;

/// An id for a record that is made at `now`.
///
/// # Errors
/// `Internal` when the system gives no random bytes.
pub fn record_id(now: Millis) -> Result<RecordId> {
    let mut random = [0; 16];
    STOCK.with_borrow_mut(|stock| stock.draw(&mut random[6..]))?;
    RecordId::new(ulid(now, u128::from_be_bytes(random), &mut [0; ID_CHARS]))
}

/// A random word of 8 letters, to tell this process's request ids from others'.
///
/// # Errors
/// `Internal` when the system gives no random bytes.
pub fn word() -> Result<[u8; 8]> {
    let mut word = [0; 8];
    fill(&mut word)?;
    Ok(word.map(|byte| LETTERS[usize::from(byte) % LETTERS.len()]))
}

/// A secret that can't be guessed: 256 random bits in 52 letters.
///
/// # Errors
/// `Internal` when the system gives no random bytes.
pub(super) fn secret() -> Result<String> {
    let mut letters = [0; 52];
    for half in letters.chunks_exact_mut(26) {
        base32(u128::from_be_bytes(random()?), half);
    }
    Ok(letters.map(char::from).iter().collect())
}

/// Bytes that can't be guessed.
///
/// # Errors
/// `Internal` when the system gives no random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Writes a number in base 32, most significant letter first.
pub fn base32(mut number: u128, into: &mut [u8]) {
    for place in into.iter_mut().rev() {
        *place = LETTERS[(number & 31) as usize];
        number >>= 5;
    }
}

/// Random bytes of the system, asked for many at once: a call for each id costs as much as the rest of it.
struct Stock {
    bytes: [u8; STOCK_BYTES],
    used: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; STOCK_BYTES], used: STOCK_BYTES }) };
}

impl Stock {
    /// Bytes that were never drawn before.
    fn draw(&mut self, into: &mut [u8]) -> Result<()> {
        if STOCK_BYTES - self.used < into.len() {
            fill(&mut self.bytes)?;
            self.used = 0;
        }
        let end = self.used + into.len();
        into.copy_from_slice(&self.bytes[self.used..end]);
        self.used = end;
        Ok(())
    }
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| Error::internal("the system gives no random bytes").source(error.to_string()))
}

/// `random` has its low 80 bits set at most.
fn ulid(now: Millis, random: u128, into: &mut [u8; ID_CHARS]) -> &str {
    let time = u128::from(now.0.max(0).unsigned_abs()) & ((1 << 48) - 1);
    base32((time << 80) | random, into);
    std::str::from_utf8(into).expect("letters and digits are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let made = |at| record_id(Millis(at)).expect("random bytes");
        assert_eq!(made(0).as_str().len(), ID_CHARS);
        assert_ne!(made(5), made(5));
        let mut last = made(0);
        for at in [1, 31, 32, 1_000_000, 1_700_000_000_000, (1 << 48) - 1] {
            let id = made(at);
            assert!(id > last, "{id} is not after {last}");
            last = id;
        }
    }

    #[test]
    fn an_id_is_that_of_the_ulid_text() {
        // The time of the example in the ULID specification: 01ARYZ6S41.
        assert_eq!(ulid(Millis(1_469_918_176_385), 0, &mut [0; ID_CHARS]), "01aryz6s410000000000000000");
        assert_eq!(ulid(Millis((1 << 48) - 1), (1 << 80) - 1, &mut [0; ID_CHARS]), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_eq!(ulid(Millis(1), 1, &mut [0; ID_CHARS]), "00000000010000000000000001");
    }
}
