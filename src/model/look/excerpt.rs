//! `note:excerpt(80,true)`: the beginning of what a text or a rich text says, without its markup.

use crate::model::html;
use crate::model::json::write_text;

/// How much of a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// Characters at most.
    pub(super) max: usize,
    /// Whether three dots say that there is more.
    pub(super) ellipsis: bool,
}

impl Excerpt {
    /// Reads `excerpt(80)` or `excerpt(80,true)`.
    pub(super) fn parse(text: &str) -> Option<Excerpt> {
        let inside = text.trim().strip_prefix("excerpt(")?.strip_suffix(')')?;
        let (max, ellipsis) = match inside.split_once(',') {
            None => (inside, false),
            Some((max, flag)) => match flag.trim() {
                "true" | "1" => (max, true),
                "false" | "0" | "" => (max, false),
                _ => return None,
            },
        };
        let max = max.trim().parse().ok().filter(|max| *max > 0)?;
        Some(Excerpt { max, ellipsis })
    }

    /// Appends the excerpt as a JSON text.
    pub(super) fn write(self, text: &str, out: &mut Vec<u8>) {
        write_text(out, &html::excerpt(text, self.max, self.ellipsis));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_says_how_long() {
        let cut = |max, ellipsis| Some(Excerpt { max, ellipsis });
        let table = [
            ("excerpt(80)", cut(80, false)),
            ("excerpt( 80 , true )", cut(80, true)),
            ("excerpt(1,0)", cut(1, false)),
            ("excerpt()", None),
            ("excerpt(0)", None),
            ("excerpt(-1)", None),
            ("excerpt(1,2,3)", None),
            ("excerpt(1,maybe)", None),
            ("excerpt", None),
            ("lower", None),
        ];
        for (text, expected) in table {
            assert_eq!(Excerpt::parse(text), expected, "{text}");
        }
    }
}
