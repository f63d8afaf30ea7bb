//! Writing values as JSON straight into bytes. On the path of every read: no tree, no formatting machinery.

use std::io::Write as _;

use crate::time::Millis;

/// Writes a string with its quotes.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a Vec takes all that is written");
    }
}

/// The same, into a text.
pub(super) fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("any text is JSON"));
}

/// Whether nothing in it needs an escape: eight bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // High bit of each byte that is below `n` (n <= 128); exact as to whether there is any.
    fn below(word: u64, n: u64) -> u64 {
        word.wrapping_sub(ONES * n) & !word & HIGH
    }
    let (words, tail) = bytes.as_chunks::<8>();
    let plain_words = words.iter().all(|word| {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        below(word, 0x20) | quote | backslash == 0
    });
    plain_words && tail.iter().all(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\'))
}

/// Writes a whole number.
pub fn write_i64(out: &mut Vec<u8>, number: i64) {
    serde_json::to_writer(out, &number).expect("a Vec takes all that is written");
}

/// Writes the shortest text that reads back as `number`, whole ones without a fraction. JSON has no text for what is
/// not finite, and no [`crate::model::value::Value`] holds such.
pub fn write_f64(out: &mut Vec<u8>, number: f64) {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if number.trunc() == number && number.abs() < TWO_63 {
        write_i64(out, number as i64);
    } else {
        serde_json::to_writer(out, &number).expect("a Vec takes all that is written");
    }
}

/// Writes a moment as a string.
pub fn write_date(out: &mut Vec<u8>, at: Millis) {
    out.push(b'"');
    out.write_all(&at.text()).expect("a Vec takes all that is written");
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn numbers_are_written_short_and_whole_ones_without_a_fraction() {
        let table = [
            (0.0, "0"),
            (-0.0, "0"),
            (5.0, "5"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1.5e300, "1.5e+300"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ];
        for (number, expected) in table {
            assert_eq!(written(|out| write_f64(out, number)), expected);
        }
    }

    #[test]
    fn every_byte_that_needs_an_escape_is_seen_at_every_place() {
        for length in 0..20 {
            for at in 0..length {
                for byte in (0u8..=0x22).chain([0x5b, 0x5c, 0x5d, 0x7f]) {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    let text = String::from_utf8(bytes).expect("ASCII");
                    let expected = serde_json::to_string(&text).expect("any text is JSON");
                    assert_eq!(written(|out| write_text(out, &text)), expected);
                }
            }
        }
        assert_eq!(written(|out| write_text(out, "ä\u{1f600}üöäßßß")), "\"ä\u{1f600}üöäßßß\"");
    }
}
