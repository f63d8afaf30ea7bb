//! HTML as a row of texts and tags, read as the standard's tokenizer reads it. Comments, doctypes and whatever a
//! browser would not show (`<script>…</script>`) are left out.

/// Elements whose content is no markup to a browser, or not to be shown.
const HIDDEN: [&str; 9] = ["script", "style", "iframe", "noembed", "noframes", "noscript", "xmp", "title", "textarea"];

/// Attributes of one tag that are kept: the list of what is allowed is shorter.
const ATTRIBUTES_MAX: usize = 32;

/// A piece of HTML.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text with its character references.
    Text(&'a str),
    /// A start tag: its name in lower case, its attributes as they stand there.
    Open(String, Vec<(&'a str, &'a str)>),
    /// An end tag: its name in lower case.
    Close(String),
}

/// The tokens of a text.
pub(super) struct Tokens<'a>(pub(super) &'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let end = self.0.find('<').unwrap_or(self.0.len());
            if end > 0 {
                return Some(Token::Text(self.take(end)));
            }
            match self.0.as_bytes() {
                [] => return None,
                [_, b, ..] if b.is_ascii_alphabetic() => {
                    self.take(1);
                    let (name, attributes) = self.tag()?;
                    self.hide(&name);
                    return Some(Token::Open(name, attributes));
                }
                [_, b'/', b, ..] if b.is_ascii_alphabetic() => {
                    self.take(2);
                    return Some(Token::Close(self.tag()?.0));
                }
                [_, b'!', b'-', b'-', ..] => self.comment(),
                [_, b'!' | b'?', ..] | [_, b'/', _, ..] => self.through(">"),
                _ => return Some(Token::Text(self.take(1))),
            }
        }
    }
}

impl<'a> Tokens<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest;
        taken
    }

    /// Goes on behind `end`, or to the end.
    fn through(&mut self, end: &str) {
        let at = self.0.find(end).map_or(self.0.len(), |at| at + end.len());
        self.take(at);
    }

    fn comment(&mut self) {
        self.take("<!--".len());
        for short in [">", "->"] {
            if self.0.starts_with(short) {
                self.take(short.len());
                return;
            }
        }
        let is_end = |at: &usize| self.0[..*at].ends_with("--") || self.0[..*at].ends_with("--!");
        let end = self.0.match_indices('>').map(|(at, _)| at).find(is_end);
        self.take(end.map_or(self.0.len(), |at| at + 1));
    }

    /// Name and attributes of a tag; `None` where it has no end, and then all of it is gone.
    fn tag(&mut self) -> Option<(String, Vec<(&'a str, &'a str)>)> {
        let is_end = |c: char| is_space(c) || matches!(c, '/' | '>');
        let name = self.take(self.0.find(is_end).unwrap_or(self.0.len())).to_ascii_lowercase();
        let mut attributes = Vec::new();
        loop {
            self.0 = self.0.trim_start_matches(|c| is_space(c) || c == '/');
            if let Some(rest) = self.0.strip_prefix('>') {
                self.0 = rest;
                return Some((name, attributes));
            }
            let attribute = self.attribute()?;
            if attributes.len() < ATTRIBUTES_MAX {
                attributes.push(attribute);
            }
        }
    }

    /// A name, and a value if there is one.
    fn attribute(&mut self) -> Option<(&'a str, &'a str)> {
        // A name may begin with `=`, so something is taken each time.
        let first = self.0.chars().next()?.len_utf8();
        let is_end = |c: char| is_space(c) || matches!(c, '/' | '>' | '=');
        let end = self.0[first..].find(is_end).map(|at| first + at)?;
        let name = self.take(end);
        self.0 = self.0.trim_start_matches(is_space);
        let Some(rest) = self.0.strip_prefix('=') else { return Some((name, "")) };
        self.0 = rest.trim_start_matches(is_space);
        let value = match self.0.as_bytes().first()? {
            quote @ (b'"' | b'\'') => {
                self.take(1);
                let value = self.take(self.0.find(char::from(*quote))?);
                self.take(1);
                value
            }
            _ => self.take(self.0.find(|c| is_space(c) || c == '>')?),
        };
        Some((name, value))
    }

    /// Goes on at the end tag of an element whose content is hidden.
    fn hide(&mut self, name: &str) {
        if !HIDDEN.contains(&name) {
            return;
        }
        let is_end = |at: usize| {
            let tag = &self.0.as_bytes()[at..];
            let behind = 2 + name.len();
            tag.get(1) == Some(&b'/')
                && tag.get(2..behind).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
                && tag.get(behind).is_some_and(|b| matches!(b, b'/' | b'>') || is_space(char::from(*b)))
        };
        let end = self.0.match_indices('<').map(|(at, _)| at).find(|at| is_end(*at));
        self.take(end.unwrap_or(self.0.len()));
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}
