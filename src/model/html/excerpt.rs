//! The beginning of what some HTML says, cut as PocketBase cuts it.

use super::entities::decode;
use super::tokens::{Token, Tokens};

/// Elements whose content says nothing, beside those that `tokens` leaves out.
const SILENT: [&str; 11] =
    ["head", "applet", "object", "svg", "picture", "dialog", "template", "button", "form", "select", "option"];

/// Elements that stand in a line, or of which nothing is left; any other one begins and ends a word.
const INLINE: [&str; 27] = [
    "a", "abbr", "acronym", "b", "bdo", "big", "br", "cite", "code", "em", "embed", "i", "iframe", "img", "input",
    "label", "q", "script", "small", "span", "strike", "strong", "style", "sub", "sup", "textarea", "time",
];

/// At most `max` characters of the text of some HTML: without markup, each run of white space as one space. With
/// `ellipsis` three dots say that there is more.
pub fn excerpt(html: &str, max: usize, ellipsis: bool) -> String {
    let mut said = Said { text: String::new(), chars: 0 };
    let mut silent: Option<String> = None;
    let mut decoded = String::new();
    for token in Tokens(html) {
        if said.chars > max.saturating_add(1) {
            break;
        }
        match (&silent, token) {
            (Some(name), Token::Close(closed)) if *name == closed => silent = None,
            (Some(_), _) => {}
            (None, Token::Text(piece)) => {
                decoded.clear();
                decode(piece, &mut decoded);
                decoded.chars().for_each(|c| said.push(c));
            }
            (None, Token::Open(name, _)) if SILENT.contains(&&*name) => silent = Some(name),
            (None, Token::Open(name, _) | Token::Close(name)) => {
                if !INLINE.contains(&&*name) {
                    said.push(' ');
                }
            }
        }
    }
    said.cut(max, ellipsis)
}

/// Text with single spaces, none at its beginning.
struct Said {
    text: String,
    chars: usize,
}

impl Said {
    fn push(&mut self, c: char) {
        let space = matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
        if space && (self.text.is_empty() || self.text.ends_with(' ')) {
            return;
        }
        self.text.push(if space { ' ' } else { c });
        self.chars += 1;
    }

    fn cut(mut self, max: usize, ellipsis: bool) -> String {
        self.text.truncate(self.text.trim_end().len());
        if let Some((end, _)) = self.text.char_indices().nth(max) {
            self.text.truncate(end);
            self.text.truncate(self.text.trim_end().len());
            if ellipsis {
                self.text.push_str("...");
            }
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn an_excerpt_is_what_a_text_says_without_its_markup() {
        let table = [
            ("plain text", 100, "plain text"),
            ("plain text", 5, "plain"),
            ("plain text", 6, "plain"),
            ("plain text", 7, "plain t"),
            ("  a \n\t b  ", 100, "a b"),
            ("<p>one</p><p>two</p>", 100, "one two"),
            ("<p>one</p><p>two</p>", 4, "one"),
            ("<b>one</b>two", 100, "onetwo"),
            ("a<br>b", 100, "ab"),
            ("<p>a<script>alert('</p>')</script>b</p>", 100, "ab"),
            ("x<style>p { }</STYLE >y", 100, "xy"),
            ("x<svg><p>no</p></svg>y", 100, "xy"),
            ("x<img src='>'>y", 100, "xy"),
            ("x<script>never closed", 100, "x"),
            ("a < b && c > d", 100, "a < b && c > d"),
            ("a &lt;b&gt; &amp;&#228;&#xe4;&nope;", 100, "a <b> &ää&nope;"),
            ("<!-- no -->yes<!doctype html>", 100, "yes"),
            ("<a href=\"x>y\">link</a>", 100, "link"),
            ("<p", 100, ""),
            ("<", 100, "<"),
            ("äöü", 2, "äö"),
            ("", 3, ""),
        ];
        for (html, max, expected) in table {
            assert_eq!(excerpt(html, max, false), expected, "{html:?}");
        }
        assert_eq!(excerpt("one two", 3, true), "one...");
        assert_eq!(excerpt("one two ", 7, true), "one two");
    }
}
