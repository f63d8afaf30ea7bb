//! Markup made harmless: what a rich-text editor makes stays, what runs, loads code or styles the page goes.

use std::borrow::Cow;

use super::entities::{decode, reference};
use super::tokens::{Token, Tokens};

/// The elements that stay, with their attributes beside those that all may have.
pub(super) const ELEMENTS: [(&str, &[&str]); 56] = [
    ("a", &["href", "target"]),
    ("abbr", &[]),
    ("address", &[]),
    ("article", &[]),
    ("b", &[]),
    ("blockquote", &["cite"]),
    ("br", &[]),
    ("caption", &[]),
    ("cite", &[]),
    ("code", &[]),
    ("col", &["span"]),
    ("colgroup", &["span"]),
    ("dd", &[]),
    ("del", &["cite"]),
    ("details", &[]),
    ("div", &[]),
    ("dl", &[]),
    ("dt", &[]),
    ("em", &[]),
    ("figcaption", &[]),
    ("figure", &[]),
    ("footer", &[]),
    ("h1", &[]),
    ("h2", &[]),
    ("h3", &[]),
    ("h4", &[]),
    ("h5", &[]),
    ("h6", &[]),
    ("header", &[]),
    ("hr", &[]),
    ("i", &[]),
    ("img", &["src", "alt", "width", "height"]),
    ("ins", &["cite"]),
    ("kbd", &[]),
    ("li", &["value"]),
    ("mark", &[]),
    ("ol", &["start"]),
    ("p", &[]),
    ("pre", &[]),
    ("q", &["cite"]),
    ("s", &[]),
    ("section", &[]),
    ("small", &[]),
    ("span", &[]),
    ("strike", &[]),
    ("strong", &[]),
    ("sub", &[]),
    ("summary", &[]),
    ("sup", &[]),
    ("table", &[]),
    ("tbody", &[]),
    ("td", &["colspan", "rowspan"]),
    ("th", &["colspan", "rowspan"]),
    ("tr", &[]),
    ("u", &[]),
    ("ul", &[]),
];

/// Attributes that every element may have: text, and no more.
pub(super) const ATTRIBUTES: [&str; 3] = ["title", "lang", "dir"];

/// Elements without content.
const VOID: [&str; 4] = ["br", "col", "hr", "img"];

/// Elements that end where another of the same begins right in them.
const SELF_ENDING: [&str; 7] = ["p", "li", "dt", "dd", "tr", "td", "th"];

/// Where a link or an image may lead, beside a place on the same site.
pub(super) const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

/// Elements in one another: no editor makes more, and each end tag looks through all that are open.
const DEPTH_MAX: usize = 64;

/// The HTML with only elements and attributes that do no harm, each element closed. Text stays, also that of elements
/// that go, but for scripts and styles.
pub fn safe(html: &str) -> Cow<'_, str> {
    if !html.contains(['<', '>', '&', '\0']) {
        return Cow::Borrowed(html);
    }
    let mut writer = Writer { out: String::with_capacity(html.len()), open: Vec::new() };
    for token in Tokens(html) {
        match token {
            Token::Text(text) => writer.text(text),
            Token::Open(name, attributes) => writer.open(&name, &attributes),
            Token::Close(name) => writer.close(&name),
        }
    }
    while writer.end_one() {}
    Cow::Owned(writer.out)
}

struct Writer {
    out: String,
    open: Vec<&'static str>,
}

impl Writer {
    /// Character references stay as they are: in a text none of them is ever markup.
    fn text(&mut self, text: &str) {
        for (at, c) in text.char_indices() {
            match c {
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '&' if reference(&text[at..]).is_none() => self.out.push_str("&amp;"),
                '\0' => {}
                c => self.out.push(c),
            }
        }
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let Some((name, own)) = ELEMENTS.iter().find(|(known, _)| *known == name) else { return };
        if self.open.last() == Some(name) && SELF_ENDING.contains(name) {
            self.end_one();
        }
        let is_void = VOID.contains(name);
        if !is_void && self.open.len() >= DEPTH_MAX {
            return;
        }
        self.out.push('<');
        self.out.push_str(name);
        for allowed in own.iter().chain(&ATTRIBUTES) {
            let given = attributes.iter().find(|(given, _)| given.eq_ignore_ascii_case(allowed));
            if let Some(value) = given.and_then(|(_, raw)| value(allowed, raw)) {
                self.attribute(allowed, &value);
            }
        }
        if *name == "a" {
            self.attribute("rel", "noopener noreferrer");
        }
        self.out.push('>');
        if !is_void {
            self.open.push(name);
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        for c in value.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '"' => self.out.push_str("&quot;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    /// Ends an element and those in it that are still open; one that is not open has no end.
    fn close(&mut self, name: &str) {
        if self.open.contains(&name) {
            while self.open.last().is_some_and(|last| *last != name) {
                self.end_one();
            }
            self.end_one();
        }
    }

    fn end_one(&mut self) -> bool {
        let Some(name) = self.open.pop() else { return false };
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        true
    }
}

/// An attribute's value, if it is one that may stand there.
fn value(name: &str, raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    decode(raw, &mut text);
    match name {
        "href" | "src" | "cite" => link(&text),
        "target" => (text == "_blank").then_some(text),
        "dir" => matches!(&*text, "ltr" | "rtl" | "auto").then_some(text),
        "width" | "height" | "colspan" | "rowspan" | "span" | "start" | "value" => {
            let number = text.strip_suffix('%').unwrap_or(&text);
            let is_number = (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            is_number.then_some(text)
        }
        _ => Some(text),
    }
}

/// A URL as a browser reads it, which leaves out white space and control characters; `None` with a scheme of no good.
fn link(text: &str) -> Option<String> {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    let clean = clean.trim();
    let head = clean.split(['/', '?', '#']).next().unwrap_or_default();
    let harmless = match head.split_once(':') {
        None => true,
        Some((scheme, _)) => SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)),
    };
    harmless.then(|| clean.to_owned())
}
