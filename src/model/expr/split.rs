//! A condition's parts as they stand in its text, for whoever has to say which of them does not hold.

use super::lex::{Token, TokenKind, lex};

/// What a condition is made of, at its top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts<'a> {
    /// It has no parts.
    One(&'a str),
    /// All of these must hold.
    All(Vec<&'a str>),
    /// Any of these must hold.
    Any(Vec<&'a str>),
}

/// The parts of a condition, without parentheses around all of it. What is no expression has none.
pub fn parts(text: &str) -> Parts<'_> {
    let text = text.trim();
    let Ok(tokens) = lex(text) else { return Parts::One(text) };
    for (sign, word) in [("||", "or"), ("&&", "and")] {
        let parts = cut(text, &tokens, sign, word);
        if parts.len() > 1 {
            return if word == "or" { Parts::Any(parts) } else { Parts::All(parts) };
        }
    }
    match within(text, &tokens) {
        Some(inner) => parts(inner),
        None => Parts::One(text),
    }
}

/// What stands between the signs that are in no bracket.
fn cut<'a>(text: &'a str, tokens: &[Token<'a>], sign: &str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0usize);
    for token in tokens {
        match token.kind {
            TokenKind::Sign("(" | "[") => depth += 1,
            TokenKind::Sign(")" | "]") => depth = depth.saturating_sub(1),
            TokenKind::Sign(found) | TokenKind::Name(found) if depth == 0 && (found == sign || found == word) => {
                parts.push(text[from..token.at].trim());
                from = token.at + found.len();
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

/// What is in the parentheses around all of a text.
fn within<'a>(text: &'a str, tokens: &[Token<'a>]) -> Option<&'a str> {
    let mut depth = 0usize;
    let last = tokens.len().checked_sub(1)?;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Sign("(") => depth += 1,
            TokenKind::Sign(")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && at < last {
            return None;
        }
    }
    let closes = tokens[last].kind == TokenKind::Sign(")");
    (closes && tokens[0].kind == TokenKind::Sign("(")).then(|| &text[tokens[0].at + 1..tokens[last].at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_cut_where_it_is_joined() {
        let all = |parts: &[&'static str]| Parts::All(parts.to_vec());
        let any = |parts: &[&'static str]| Parts::Any(parts.to_vec());
        let table = [
            ("a = 1", Parts::One("a = 1")),
            (" a = 1 && b = 2 ", all(&["a = 1", "b = 2"])),
            ("a = 1 and b = 2 && c", all(&["a = 1", "b = 2", "c"])),
            ("a && b || c", any(&["a && b", "c"])),
            ("(a || b) && c", all(&["(a || b)", "c"])),
            ("((a || b))", any(&["a", "b"])),
            ("(a) && (b)", all(&["(a)", "(b)"])),
            ("!(a && b)", Parts::One("!(a && b)")),
            ("a in [1, 2] or b = 'x || y'", any(&["a in [1, 2]", "b = 'x || y'"])),
            ("len(a && b)", Parts::One("len(a && b)")),
            ("a // && not this\n&& b", all(&["a // && not this", "b"])),
            ("", Parts::One("")),
            ("'", Parts::One("'")),
            ("()", Parts::One("")),
            (")(", Parts::One(")(")),
        ];
        for (text, expected) in table {
            assert_eq!(parts(text), expected, "{text}");
        }
    }
}
