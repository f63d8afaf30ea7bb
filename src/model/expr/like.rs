//! `~`: whether a text contains another, or has its form where that has `%` in it. Letters of ASCII match in both cases.
//!
//! Takes time linear in the text: a piece is searched for by the standard library's two-way search, never again from a
//! place before the last match.

use std::borrow::Cow;

/// A pattern, made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Like {
    /// What has to be there, in order, in lower case.
    pieces: Box<[Box<str>]>,
    /// Whether the text begins with the first.
    from_start: bool,
    /// Whether it ends with the last.
    to_end: bool,
}

impl Like {
    /// A text without `%` is searched for anywhere; `%` stands for any characters, `\%` for itself.
    pub(super) fn new(text: &str) -> Like {
        let mut pieces: Vec<Box<str>> = Vec::new();
        let mut piece = String::new();
        let (mut wild, mut from_start, mut to_end) = (false, true, true);
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' => piece.push(chars.next_if(|next| matches!(next, '%' | '\\')).unwrap_or('\\')),
                '%' => {
                    from_start &= wild || !piece.is_empty();
                    (wild, to_end) = (true, false);
                    if !piece.is_empty() {
                        pieces.push(std::mem::take(&mut piece).into());
                    }
                    continue;
                }
                other => piece.push(other.to_ascii_lowercase()),
            }
            to_end = true;
        }
        if !piece.is_empty() {
            pieces.push(piece.into());
        }
        Like { pieces: pieces.into(), from_start: wild && from_start, to_end: wild && to_end }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let lower: Cow<'_, str> = if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        let mut rest: &str = &lower;
        let mut pieces = &*self.pieces;
        if self.from_start {
            let Some((first, others)) = pieces.split_first() else { return false };
            let Some(after) = rest.strip_prefix(&**first) else { return false };
            (rest, pieces) = (after, others);
        }
        if self.to_end {
            // The only piece may stand at both ends: then nothing may be left between them.
            let Some((last, others)) = pieces.split_last() else { return rest.is_empty() };
            let Some(before) = rest.strip_suffix(&**last) else { return false };
            (rest, pieces) = (before, others);
        }
        for piece in pieces {
            let Some(at) = rest.find(&**piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}
