//! Text to tokens, each with its place. Knows the signs of the language, not what they mean.

use std::borrow::Cow;

use super::Fault;

/// A token with its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    /// First byte.
    pub(super) at: usize,
    /// Which.
    pub(super) kind: TokenKind<'a>,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind<'a> {
    /// A name with its path: letters, digits and `_ . @ :`.
    Name(&'a str),
    /// Digits, perhaps with a fraction and an exponent; no sign.
    Number(&'a str),
    /// Its characters.
    Text(Cow<'a, str>),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longest first: a sign is the longest that stands there.
const SIGNS: [&str; 34] = [
    "?!=", "?!~", "?>=", "?<=", "?==", "&&", "||", "==", "!=", "!~", ">=", "<=", "?=", "?~", "?>", "?<", "=", "<", ">",
    "~", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "?", "&", "|",
];

/// All tokens of a text; `// …` up to the line's end is a comment.
///
/// # Errors
/// A text without end, a character that begins no token, a number that runs into a name.
pub(super) fn lex(text: &str) -> Result<Vec<Token<'_>>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = match first {
            space if space.is_whitespace() => {
                at += space.len_utf8();
                continue;
            }
            '/' if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '\'' | '"' => quoted(rest, first).ok_or_else(|| Fault::new(at, "this text has no end"))?,
            '0'..='9' => number(rest).ok_or_else(|| Fault::new(at, "not a number"))?,
            // A path behind a closing parenthesis begins with its dot.
            'a'..='z' | 'A'..='Z' | '_' | '@' | '.' => {
                let length = rest.bytes().position(|b| !is_name_byte(b)).unwrap_or(rest.len());
                (TokenKind::Name(&rest[..length]), length)
            }
            other => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (TokenKind::Sign(sign), sign.len()),
                None => return Err(Fault::new(at, format!("{other:?} means nothing here"))),
            },
        };
        tokens.push(Token { at, kind });
        at += length;
    }
    Ok(tokens)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'@' | b':')
}

/// Digits, then perhaps `.` and digits, then perhaps an exponent.
fn number(rest: &str) -> Option<(TokenKind<'_>, usize)> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + signed);
        if exponent > 0 {
            length += 1 + signed + exponent;
        }
    }
    let runs_on = bytes.get(length).is_some_and(|b| is_name_byte(*b));
    (!runs_on).then(|| (TokenKind::Number(&rest[..length]), length))
}

/// A text in quotes. A backslash makes of a quote or a backslash the character itself, of `n`, `r` and `t` the control
/// characters; before anything else it stays, so that `'\d+'` and `'50\%'` are what they look like.
fn quoted(rest: &str, quote: char) -> Option<(TokenKind<'_>, usize)> {
    let end = rest[1..].find([quote, '\\'])? + 1;
    if rest[end..].starts_with(quote) {
        return Some((TokenKind::Text(Cow::Borrowed(&rest[1..end])), end + 1));
    }
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            char if char == quote => return Some((TokenKind::Text(Cow::Owned(text)), at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                plain @ ('\'' | '"' | '\\') => text.push(plain),
                other => text.extend(['\\', other]),
            },
            other => text.push(other),
        }
    }
    None
}
