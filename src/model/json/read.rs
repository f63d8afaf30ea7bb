//! Reading: a body's text, the members of an object, the compact form of any value. Never makes a tree of values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::limits;

/// One member of an object: its key, and its value as text of JSON.
pub type Member<'a> = (Cow<'a, str>, &'a str);

/// What is wrong with a value that is well-formed JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Stable word for programs.
    pub code: &'static str,
    /// Sentence for people.
    pub message: String,
}

impl Flaw {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Flaw {
        Flaw { code, message: message.into() }
    }
}

/// The body as text that is safe to recurse into.
///
/// # Errors
/// `Invalid` with code `bad_json` where it is not UTF-8, `too_deep` over `limits::JSON_DEPTH_MAX`, with the position.
pub fn checked_text(body: &[u8]) -> Result<&str> {
    checked_text_at(body, 1)
}

/// The same of a part of a body, which begins in that line of it: faults name the line of the whole.
///
/// # Errors
/// As there.
pub fn checked_text_at(body: &[u8], first_line: u64) -> Result<&str> {
    let place = |at| {
        let (line, column) = place(body, at);
        (line as u64 + first_line - 1, column)
    };
    let text = std::str::from_utf8(body).map_err(|error| {
        let (line, column) = place(error.valid_up_to());
        Error::invalid(format!("the body is not UTF-8: line {line} column {column}")).code("bad_json")
    })?;
    match too_deep(body) {
        None => Ok(text),
        Some(at) => {
            let (line, column) = place(at);
            let message = format!(
                "the body is nested deeper than {} levels at line {line} column {column}",
                limits::JSON_DEPTH_MAX
            );
            Err(Error::invalid(message).code("too_deep"))
        }
    }
}

/// Where nesting first passes the bound. Agrees with a parser up to the first syntax error, where that one stops.
fn too_deep(body: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'"' => {
                at += 1;
                while at < body.len() && body[at] != b'"' {
                    at += if body[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > limits::JSON_DEPTH_MAX {
                    return Some(at);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Line and column, from 1, of a byte.
fn place(body: &[u8], at: usize) -> (usize, usize) {
    let before = &body[..at];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    (1 + before.iter().filter(|b| **b == b'\n').count(), 1 + at - line_start)
}

/// The members of the one object that `text` is, in its order, duplicates included: the caller knows which keys are
/// the same to it.
///
/// # Errors
/// `Invalid`: code `bad_json` with line and column, `not_an_object` for another value.
pub fn members(text: &str) -> Result<Vec<Member<'_>>> {
    members_at(text, 1)
}

/// The same of a part of a body, which begins in that line of it.
///
/// # Errors
/// As there, with the line of the whole.
pub fn members_at(text: &str, first_line: u64) -> Result<Vec<Member<'_>>> {
    match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => Ok(members.0),
        Err(error) if error.is_data() => Err(Error::invalid("the body must be a JSON object").code("not_an_object")),
        Err(error) => {
            let said = error.to_string();
            let (line, column) = (error.line() as u64, error.column());
            let what = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said);
            let line = line + first_line - 1;
            let message = format!("the body is not valid JSON: {what} at line {line} column {column}");
            Err(Error::invalid(message).code("bad_json"))
        }
    }
}

/// The elements of an array as texts; `None` for another value.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// The first elements of an array as texts: up to `max`, and one more where there are more. `None` for another value.
pub fn elements_up_to(text: &str, max: usize) -> Option<Vec<&str>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_seq(FirstElements(max)).ok()
}

struct FirstElements(usize);

impl<'de> Visitor<'de> for FirstElements {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() <= self.0
            && let Some(item) = seq.next_element::<&RawValue>()?
        {
            items.push(item.get());
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(items)
    }
}

/// The characters of a JSON string; `None` for another value or where an escape is no character.
pub fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The whole number that a JSON number is, exactly: `1`, `1.0` and `1e3` are whole, `1.5` is not.
///
/// # Errors
/// `not_whole`, or `out_of_range` past 64 bits.
pub fn whole(number: &str) -> Result<i64, Flaw> {
    if let Ok(int) = number.parse() {
        return Ok(int);
    }
    let out_of_range = || Flaw::new("out_of_range", "whole numbers run from -2^63 to 2^63-1");
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        // An exponent too long to read is as good as a huge one of its sign.
        Some((mantissa, text)) => {
            (mantissa, text.parse().unwrap_or(if text.starts_with('-') { -1_000_000_000 } else { 1_000_000_000 }))
        }
        None => (number, 0i64),
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (int, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{int}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let zeros = (digits.len() - significant.len()) as i64;
    let shift = exponent.saturating_sub(fraction.len() as i64).saturating_add(zeros);
    if shift < 0 {
        return Err(Flaw::new("not_whole", "must be a whole number"));
    }
    let significant = significant.trim_start_matches('0');
    if shift > 19 || significant.len() > 19 {
        return Err(out_of_range());
    }
    format!("{sign}{significant}{}", "0".repeat(shift as usize)).parse().map_err(|_| out_of_range())
}

/// Appends `text`, which must be well-formed JSON within the depth bound, without white space. Numbers keep their
/// text, strings are escaped no more than needed.
///
/// # Errors
/// `duplicate_key`, `bad_text` for an escape that is no character, `out_of_range` for a number past a float.
pub fn compact(text: &str, out: &mut String) -> Result<(), Flaw> {
    Walk { text, at: 0, out }.value()
}

/// A walk over well-formed text: what stands where is known from its first byte.
struct Walk<'a, 'o> {
    text: &'a str,
    at: usize,
    out: &'o mut String,
}

impl<'a> Walk<'a, '_> {
    fn value(&mut self) -> Result<(), Flaw> {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string().map(drop),
            _ => self.word(),
        }
    }

    /// The next byte that is no white space; a closing bracket past the end, so that every loop ends.
    fn peek(&mut self) -> u8 {
        let rest = &self.text.as_bytes()[self.at..];
        let space = rest.iter().take_while(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t')).count();
        self.at += space;
        rest.get(space).copied().unwrap_or(b'}')
    }

    fn push(&mut self, byte: u8) {
        self.out.push(char::from(byte));
        self.at += 1;
    }

    fn object(&mut self) -> Result<(), Flaw> {
        self.push(b'{');
        let mut keys: Vec<Cow<'a, str>> = Vec::new();
        loop {
            match self.peek() {
                b'"' => {
                    keys.push(self.string()?);
                    self.peek();
                    self.push(b':');
                    self.value()?;
                }
                b',' => self.push(b','),
                _ => break,
            }
        }
        self.push(b'}');
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(Flaw::new("duplicate_key", format!("the key {:?} stands twice in an object", pair[0]))),
        }
    }

    fn array(&mut self) -> Result<(), Flaw> {
        self.push(b'[');
        loop {
            match self.peek() {
                b']' | b'}' => break,
                b',' => self.push(b','),
                _ => self.value()?,
            }
        }
        self.push(b']');
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Flaw> {
        let rest = &self.text[self.at..];
        let mut end = 1;
        while end < rest.len() && rest.as_bytes()[end] != b'"' {
            end += if rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
        }
        let raw = rest.get(..=end).unwrap_or(rest);
        self.at += raw.len();
        let text = text_of(raw).ok_or_else(|| Flaw::new("bad_text", "an escape is not a character"))?;
        match &text {
            Cow::Borrowed(_) => self.out.push_str(raw),
            Cow::Owned(text) => super::write::push_text(self.out, text),
        }
        Ok(text)
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), Flaw> {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t'));
        let word = &rest[..end.unwrap_or(rest.len())];
        // Nothing shorter than 300 digits without an exponent is past a float.
        let suspect = word.len() > 300 || word.contains(['e', 'E']);
        if suspect && word.parse::<f64>().is_ok_and(f64::is_infinite) {
            return Err(Flaw::new("out_of_range", "a number is too large"));
        }
        self.out.push_str(word);
        self.at += word.len();
        Ok(())
    }
}

/// The members of an object, for serde.
struct Members<'a>(Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(16);
        while let Some(Key(key)) = map.next_key()? {
            members.push((key, map.next_value::<&RawValue>()?.get()));
        }
        Ok(Members(members))
    }
}

/// A key, borrowed where it bears no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(text: &str) -> Result<String, &'static str> {
        let mut out = String::new();
        compact(text, &mut out).map(|()| out).map_err(|flaw| flaw.code)
    }

    #[test]
    fn compact_text_keeps_every_value_and_no_white_space() {
        let table = [
            (" 1.50 ", Ok("1.50")),
            ("12345678901234567890123", Ok("12345678901234567890123")),
            ("{ \"a\" : [ 1 , 2 , { } ] , \"b\" : \"x y\" }", Ok(r#"{"a":[1,2,{}],"b":"x y"}"#)),
            (r#""\u0041\n\u00e9""#, Ok("\"A\\n\u{e9}\"")),
            (r#""\ud83d\ude00""#, Ok("\"\u{1f600}\"")),
            ("[]", Ok("[]")),
            ("\ttrue\n", Ok("true")),
            (r#"{"a":1,"a":2}"#, Err("duplicate_key")),
            (r#"{"a":1,"\u0061":2}"#, Err("duplicate_key")),
            (r#"[{"x":{"a":1,"b":3,"a":2}}]"#, Err("duplicate_key")),
            (r#""\ud800""#, Err("bad_text")),
            ("[1e400]", Err("out_of_range")),
        ];
        for (text, expected) in table {
            assert_eq!(compacted(text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn no_more_elements_are_kept_than_asked_for() {
        let table = [
            ("[]", Some(vec![])),
            ("[1,[2]]", Some(vec!["1", "[2]"])),
            ("[1,[2],3]", Some(vec!["1", "[2]", "3"])),
            ("[1,[2],3,4,{}]", Some(vec!["1", "[2]", "3"])),
            ("{}", None),
            ("7", None),
        ];
        for (text, expected) in table {
            assert_eq!(elements_up_to(text, 2), expected, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_exact() {
        let table = [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("-0.0", Ok(0)),
            ("0e999", Ok(0)),
            ("1.0", Ok(1)),
            ("1e3", Ok(1000)),
            ("1.25E2", Ok(125)),
            ("100e-2", Ok(1)),
            ("9007199254740993.0", Ok(9_007_199_254_740_993)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("9223372036854775807.0", Ok(i64::MAX)),
            ("922337203685477580.7e1", Ok(i64::MAX)),
            ("9223372036854775808.0", Err("out_of_range")),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err("out_of_range")),
            ("1e19", Err("out_of_range")),
            ("1e400", Err("out_of_range")),
            ("1e99999999999999999999", Err("out_of_range")),
            ("1e-99999999999999999999", Err("not_whole")),
            ("1.5", Err("not_whole")),
            ("1e-1", Err("not_whole")),
        ];
        for (text, expected) in table {
            assert_eq!(whole(text).map_err(|flaw| flaw.code), expected, "{text}");
        }
    }

    #[test]
    fn a_malformed_body_is_refused_with_its_position() {
        let table: [(&[u8], &str, &str); 9] = [
            (b"", "bad_json", "line 1 column 0"),
            (b"{\"a\":1,}", "bad_json", "line 1 column 8"),
            (b"{\"a\":1} x", "bad_json", "line 1 column 9"),
            (b"{\n\"a\": NaN}", "bad_json", "line 2 column 6"),
            (b"{\"a\":\"\x01\"}", "bad_json", "line 1"),
            (b"{\"a\":\n\"\xff\"}", "bad_json", "line 2 column 2"),
            (b"[1]", "not_an_object", "object"),
            (b"\"a\"", "not_an_object", "object"),
            (b"null", "not_an_object", "object"),
        ];
        for (body, code, place) in table {
            let error = checked_text(body).and_then(members).expect_err("refused");
            assert_eq!(error.code_str(), code, "{error}");
            assert!(error.message().contains(place), "{error}");
        }
    }

    #[test]
    fn nesting_is_bounded_before_anything_recurses() {
        let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(checked_text(nest(limits::JSON_DEPTH_MAX).as_bytes()).is_ok());
        for hostile in [nest(limits::JSON_DEPTH_MAX + 1), nest(10_000), "{\"a\":".repeat(10_000)] {
            assert_eq!(checked_text(hostile.as_bytes()).expect_err("refused").code_str(), "too_deep");
        }
        let in_text = format!("\"\\\"{}\"", "[".repeat(1_000));
        assert!(checked_text(in_text.as_bytes()).is_ok(), "brackets in a text are no nesting");
    }
}
