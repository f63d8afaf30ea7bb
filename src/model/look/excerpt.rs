//! `note:excerpt(80,true)`: the beginning of what a text or a rich text says, without its markup, as PocketBase cuts it.
//!
//! A reader of tags, not of documents: it never says that something is safe, its result is written as a JSON text.

use crate::model::json::write_text;

/// Elements whose content says nothing.
const SILENT: [&str; 18] = [
    "head", "style", "script", "iframe", "embed", "applet", "object", "svg", "img", "picture", "dialog", "template",
    "button", "form", "textarea", "input", "select", "option",
];

/// Elements that stand in a line; any other one begins and ends a word.
const INLINE: [&str; 21] = [
    "a", "abbr", "acronym", "b", "bdo", "big", "br", "button", "cite", "code", "em", "i", "label", "q", "small",
    "span", "strong", "strike", "sub", "sup", "time",
];

/// Silent elements that have no end tag.
const VOID: [&str; 3] = ["embed", "img", "input"];

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
        write_text(out, &self.cut(text));
    }

    fn cut(self, html: &str) -> String {
        let mut said = said(html, self.max.saturating_add(2));
        said.truncate(said.trim_end().len());
        if let Some((end, _)) = said.char_indices().nth(self.max) {
            said.truncate(end);
            said.truncate(said.trim_end().len());
            if self.ellipsis {
                said.push_str("...");
            }
        }
        said
    }
}

/// What a text says, up to some characters, each run of white space as one space, none at the beginning.
fn said(html: &str, max: usize) -> String {
    let mut words = Words { text: String::new(), chars: 0 };
    let mut rest = html;
    while words.chars < max
        && let Some(c) = rest.chars().next()
    {
        if c == '<'
            && let Some((tag, behind)) = tag(rest)
        {
            rest = behind;
            if SILENT.contains(&&*tag.name) {
                rest = if tag.opens { behind_element(behind, &tag.name) } else { behind };
            } else if !INLINE.contains(&&*tag.name) && !tag.name.is_empty() {
                words.push(' ');
            }
            continue;
        }
        let (c, behind) = if c == '&' { entity(rest) } else { (c, &rest[c.len_utf8()..]) };
        words.push(c);
        rest = behind;
    }
    words.text
}

struct Words {
    text: String,
    chars: usize,
}

impl Words {
    fn push(&mut self, c: char) {
        let space = matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
        if space && (self.text.is_empty() || self.text.ends_with(' ')) {
            return;
        }
        self.text.push(if space { ' ' } else { c });
        self.chars += 1;
    }
}

/// A tag; a comment or declaration is one without a name.
struct Tag {
    name: String,
    opens: bool,
}

/// The tag that `text` begins with, and what follows it; `None` for a `<` that is one of the text.
fn tag(text: &str) -> Option<(Tag, &str)> {
    let behind = |at: Option<usize>, skip: usize| at.map_or("", |at| &text[at + skip..]);
    let nameless = Tag { name: String::new(), opens: false };
    if text.starts_with("<!--") {
        return Some((nameless, behind(text.find("-->"), 3)));
    }
    let inside = &text[1..];
    let (opens, inside) = match inside.strip_prefix('/') {
        Some(inside) => (false, inside),
        None => (true, inside),
    };
    match inside.chars().next()? {
        'a'..='z' | 'A'..='Z' => {}
        '!' | '?' => return Some((nameless, behind(text.find('>'), 1))),
        _ => return None,
    }
    let end = inside.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(inside.len());
    let name = inside[..end].to_ascii_lowercase();
    Some((Tag { name, opens }, behind_attributes(&inside[end..])))
}

/// What follows the `>` of a tag: one in quotes is an attribute's.
fn behind_attributes(text: &str) -> &str {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return &text[at + 1..],
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    ""
}

/// What follows the end tag of an element.
fn behind_element<'t>(text: &'t str, name: &str) -> &'t str {
    if VOID.contains(&name) {
        return text;
    }
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at..];
        match tag(rest) {
            Some((tag, behind)) if tag.name == name => return behind,
            _ => rest = &rest[2..],
        }
    }
    ""
}

/// The character that a reference such as `&amp;` or `&#8211;` stands for, and what follows it; an unknown one is text.
fn entity(text: &str) -> (char, &str) {
    const LONGEST: usize = 10;
    const NAMED: [(&str, char); 12] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", '\u{a0}'),
        ("ndash", '\u{2013}'),
        ("mdash", '\u{2014}'),
        ("hellip", '\u{2026}'),
        ("copy", '\u{a9}'),
        ("euro", '\u{20ac}'),
        ("shy", '\u{ad}'),
    ];
    let plain = ('&', &text[1..]);
    let Some(end) = text.bytes().take(LONGEST).position(|byte| byte == b';') else { return plain };
    let (name, behind) = (&text[1..end], &text[end + 1..]);
    let found = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => number.parse().ok(),
            };
            code.and_then(char::from_u32).filter(|c| !c.is_control() || c.is_ascii_whitespace())
        }
        None => NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c),
    };
    found.map_or(plain, |c| (c, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_what_a_text_says_without_its_markup() {
        let table = [
            ("plain text", 100, "plain text"),
            ("plain text", 5, "plain"),
            ("plain text", 6, "plain"),
            ("plain text", 7, "plain t"),
            ("  a \n\t b  ", 100, "a b"),
            ("<p>one</p><p>two</p>", 100, "one two"),
            ("<b>one</b>two", 100, "onetwo"),
            ("a<br>b", 100, "ab"),
            ("<p>a<script>alert('</p>')</script>b</p>", 100, "ab"),
            ("x<style>p { }</STYLE >y", 100, "xy"),
            ("x<img src='>'>y", 100, "xy"),
            ("x<script>never closed", 100, "x"),
            ("a < b && c > d", 100, "a < b && c > d"),
            ("a &lt;b&gt; &amp;&#228;&#xe4;&nope; &#0;", 100, "a <b> &ää&nope; &#0;"),
            ("<!-- no -->yes<!doctype html>", 100, "yes"),
            ("<a href=\"x>y\">link</a>", 100, "link"),
            ("<p", 100, ""),
            ("<", 100, "<"),
            ("äöü", 2, "äö"),
            ("", 3, ""),
        ];
        for (html, max, expected) in table {
            assert_eq!(Excerpt { max, ellipsis: false }.cut(html), expected, "{html:?}");
        }
        assert_eq!(Excerpt { max: 3, ellipsis: true }.cut("one two"), "one...");
        assert_eq!(Excerpt { max: 7, ellipsis: true }.cut("one two "), "one two");
    }

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
