//! The language of a search: words of which each must be there, `"a phrase"`, `-not`, `field:word`.
//!
//! ```text
//! search = part { white-space part }
//! part   = [ "-" ] [ name ":" ] ( '"' … '"' | anything but white space )
//! ```
//!
//! Whatever is no part of the language is words: nothing but an unknown field is refused, so a search box may send what
//! was typed. What is cut into several words (`e-mail`) is as many parts, or after `-` a phrase. The last word may be the
//! beginning of one. Words of five letters may be mistyped in one place, of nine in two; those with digits in none.
//!
//! Invariant: at most `limits::SEARCH_PARTS_MAX` words, in time linear in the text.

use std::borrow::Cow;

use super::text::{Analyzer, composed};
use crate::error::{Error, Result};
use crate::limits;

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Of which each must hold.
    pub(super) parts: Vec<Part>,
}

/// A condition on a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Whether it must not hold.
    pub(super) not: bool,
    /// In which field, by its place among those that may be named; any, without one.
    pub(super) field: Option<usize>,
    /// What is to be there.
    pub(super) what: What,
}

/// What is to be in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A word, or one that it is the beginning of, or one that is as far from it; `typed` is it with its accents.
    Word { text: String, typed: String, begins: bool, typos: u8 },
    /// Words one after the other.
    Phrase(Vec<String>),
}

/// Reads a search over fields of these names.
///
/// # Errors
/// `Invalid` with code `bad_search`: a name of no field that may be searched, too long, or too many words.
pub(super) fn parse(text: &str, fields: &[&str]) -> Result<Asked> {
    if text.len() > limits::SEARCH_BYTES_MAX {
        return Err(bad(format!("has at most {} bytes", limits::SEARCH_BYTES_MAX)));
    }
    let text = composed(Cow::Borrowed(text));
    let mut plain = Analyzer::plain();
    let mut asked = Asked::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (not, behind) = match rest.strip_prefix('-') {
            Some(behind) if behind.starts_with(|c: char| !c.is_whitespace()) => (true, behind),
            _ => (false, rest),
        };
        let (field, behind) = match name(behind) {
            Some((name, behind)) => match fields.iter().position(|known| *known == name) {
                Some(at) => (Some(at), behind),
                None => {
                    let shown: String = name.chars().take(limits::NAME_BYTES_MAX).collect();
                    return Err(bad(format!("there is no field {shown:?} to search in")));
                }
            },
            None => (None, behind),
        };
        if let Some(quoted) = behind.strip_prefix('"') {
            let (inside, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
            let phrase: Vec<String> = plain.words(inside).into_iter().map(|word| word.text).collect();
            if !phrase.is_empty() {
                asked.parts.push(Part { not, field, what: What::Phrase(phrase) });
            }
            rest = behind.trim_start();
        } else {
            let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
            let piece = &behind[..end];
            let found = plain.words(piece);
            rest = behind[end..].trim_start();
            if not && found.len() > 1 {
                let phrase = found.into_iter().map(|word| word.text).collect();
                asked.parts.push(Part { not, field, what: What::Phrase(phrase) });
            } else {
                let last = if rest.is_empty() && !not { found.len().checked_sub(1) } else { None };
                asked.parts.extend(found.into_iter().enumerate().map(|(at, word)| {
                    let typos = if not { 0 } else { typos(&word.text) };
                    let (text, typed) = (word.text, piece[word.bytes].to_owned());
                    Part { not, field, what: What::Word { text, typed, begins: last == Some(at), typos } }
                }));
            }
        }
        let count: usize = asked.parts.iter().map(Part::words).sum();
        if count > limits::SEARCH_PARTS_MAX {
            return Err(bad(format!("has at most {} words", limits::SEARCH_PARTS_MAX)));
        }
    }
    Ok(asked)
}

impl Part {
    fn words(&self) -> usize {
        match &self.what {
            What::Word { .. } => 1,
            What::Phrase(words) => words.len(),
        }
    }
}

/// `name:` with something behind it. What begins a link is none.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, behind) = text.split_once(':')?;
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_name = letters && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let says = behind.starts_with(|c: char| !c.is_whitespace()) && !behind.starts_with("//");
    (is_name && says).then_some((name, behind))
}

/// Letters that may be wrong.
fn typos(word: &str) -> u8 {
    match word.chars().count() {
        _ if word.chars().any(char::is_numeric) => 0,
        0..5 => 0,
        5..9 => 1,
        _ => 2,
    }
}

fn bad(reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("search: {reason}")).code("bad_search")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts in short: `!` not, `0:` in the first field, `*` begins, `~1` typos.
    fn short(text: &str) -> String {
        let asked = parse(text, &["note", "buyer"]).expect("a search");
        let part = |part: &Part| {
            let field = part.field.map(|at| format!("{at}:")).unwrap_or_default();
            let what = match &part.what {
                What::Word { text, begins, typos, .. } => {
                    let typos = if *typos > 0 { format!("~{typos}") } else { String::new() };
                    format!("{text}{}{typos}", if *begins { "*" } else { "" })
                }
                What::Phrase(words) => format!("{words:?}"),
            };
            format!("{}{field}{what}", if part.not { "!" } else { "" })
        };
        asked.parts.iter().map(part).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_search_is_read() {
        let table = [
            ("", ""),
            (" \t", ""),
            ("Red fox", "red fox*"),
            ("house 12345", "house~1 12345*"),
            ("elephants fox", "elephants~2 fox*"),
            ("foxes ", "foxes*~1"),
            ("\"red fox\" den", r#"["red", "fox"] den*"#),
            ("red \"fox", r#"red ["fox"]"#),
            ("red -fox", "red !fox"),
            ("-fox red", "!fox red*"),
            ("-\"red fox\" den", r#"!["red", "fox"] den*"#),
            ("-e-mail", r#"!["e", "mail"]"#),
            ("e-mail", "e mail*"),
            ("note:fox buyer:\"a b\" -note:x", r#"0:fox 1:["a", "b"] !0:x"#),
            ("note: fox", "note fox*"),
            ("12:30 http://x.y", "12 30 http x y*"),
            ("- -- \" \"\" !!", ""),
            ("note:\"\" red", "red*"),
        ];
        for (text, expected) in table {
            assert_eq!(short(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_unknown_field_and_what_is_too_much_are_refused() {
        let refused = |text: &str| parse(text, &["note"]).expect_err(text).code_str();
        assert_eq!(refused("nope:x"), "bad_search");
        assert_eq!(refused("-nope:x"), "bad_search");
        assert_eq!(refused(&"x".repeat(limits::SEARCH_BYTES_MAX + 1)), "bad_search");
        assert_eq!(refused(&"x ".repeat(limits::SEARCH_PARTS_MAX + 1)), "bad_search");
        assert_eq!(refused(&format!("\"{}\"", "x ".repeat(limits::SEARCH_PARTS_MAX + 1))), "bad_search");
        assert!(parse(&"x ".repeat(limits::SEARCH_PARTS_MAX), &[]).is_ok());
    }
}
