//! Markup taken away, so that a plain text is left.

use std::borrow::Cow;

use super::entities::{character, decode};
use super::tokens::{Token, Tokens};

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 22] = [
    "address",
    "article",
    "blockquote",
    "dd",
    "div",
    "dl",
    "dt",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "p",
    "pre",
    "section",
    "tr",
];

/// The text of some HTML: without tags, comments, scripts and styles, its character references as characters, a new
/// line where a block begins or ends. What would read as a tag afterwards, like the text `&lt;b&gt;`, stays escaped.
pub fn strip(html: &str) -> Cow<'_, str> {
    if !html.contains(['<', '&', '\0']) {
        return Cow::Borrowed(html);
    }
    let mut text = String::with_capacity(html.len());
    let mut line_due = false;
    for token in Tokens(html) {
        match token {
            Token::Text(piece) => {
                if line_due && !text.is_empty() && !text.ends_with('\n') && !piece.starts_with('\n') {
                    text.push('\n');
                }
                line_due = false;
                decode(piece, &mut text);
            }
            Token::Open(name, _) if name == "br" => text.push('\n'),
            Token::Open(name, _) | Token::Close(name) => line_due |= BLOCKS.contains(&&*name),
        }
    }
    Cow::Owned(escaped(&text))
}

/// Escapes what reads as the beginning of a tag, and what reads as a character reference: so nothing is taken for
/// markup that was none.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let opens = |next: &u8| next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?');
        out.push_str(match rest.as_bytes() {
            [b'<', next, ..] if opens(next) => "&lt;",
            [b'<', ..] => "<",
            _ if character(rest).is_some() => "&amp;",
            _ => "&",
        });
        rest = &rest[1..];
    }
    out.push_str(rest);
    out
}
