//! Second stage: a text is cleaned before it is looked at, by the steps of its field, in their order.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::model::html;
use crate::model::schema::Sanitizer;

/// The text after all steps; borrowed where nothing had to change.
pub(super) fn sanitize<'a>(steps: &[Sanitizer], mut text: Cow<'a, str>) -> Cow<'a, str> {
    for step in steps {
        text = match step {
            Sanitizer::Trim => trim(text),
            // ASCII is in every normal form.
            Sanitizer::Nfc if text.is_ascii() || is_nfc(&text) => text,
            Sanitizer::Nfc => Cow::Owned(text.nfc().collect()),
            Sanitizer::Lower if !text.chars().any(char::is_uppercase) => text,
            Sanitizer::Lower => Cow::Owned(text.to_lowercase()),
            Sanitizer::Collapse => collapse(text),
            Sanitizer::StripHtml => changed(text, html::strip),
            Sanitizer::SafeHtml => changed(text, html::safe),
        };
    }
    text
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Runs of white space as one space each.
fn collapse(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut before = false;
    let is_loose = |c: char| {
        let space = c.is_whitespace();
        let loose = space && (before || c != ' ');
        before = space;
        loose
    };
    if !text.contains(is_loose) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !c.is_whitespace() => out.push(c),
            _ if out.ends_with(' ') => {}
            _ => out.push(' '),
        }
    }
    Cow::Owned(out)
}

/// What a step makes of a text, borrowed from where the text was if it left it as it is.
fn changed<'a>(text: Cow<'a, str>, step: impl Fn(&str) -> Cow<'_, str>) -> Cow<'a, str> {
    match step(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(new) => Cow::Owned(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_in_the_order_of_the_steps() {
        use Sanitizer::{Collapse, Lower, Nfc, SafeHtml, StripHtml, Trim};
        let table: [(&[Sanitizer], &str, &str); 24] = [
            (&[Lower], "plain", "plain"),
            (&[Lower], "ÄBc İ ΑΣ", "äbc i\u{307} ας"),
            (&[Collapse], "a b c", "a b c"),
            (&[Collapse], " a  b ", " a b "),
            (&[Collapse], "a\tb\r\n c\u{a0}\u{3000}d", "a b c d"),
            (&[Collapse], " \n ", " "),
            (&[Trim, Collapse], " \n a \n b ", "a b"),
            (&[StripHtml], "a < b && c > d", "a < b && c > d"),
            (&[StripHtml], "<p>Tom &amp; <b>Ann</b></p>", "Tom & Ann"),
            (&[StripHtml, Trim], "<p> a </p>", "a"),
            (&[Trim, StripHtml], "<p> a </p>", " a "),
            (&[StripHtml, Lower], "<B>ÄÖ</B>", "äö"),
            (&[SafeHtml], "plain", "plain"),
            (&[SafeHtml], "<b onclick=x>a</b><script>b</script>", "<b>a</b>"),
            (&[SafeHtml, StripHtml], "<b>a</b>", "a"),
            (&[Collapse, SafeHtml], "<p>a \n b", "<p>a b</p>"),
            (&[Nfc, SafeHtml], "<p>e\u{301}</p>", "<p>\u{e9}</p>"),
            (&[Lower, SafeHtml], "<P>A", "<p>a</p>"),
            (&[Trim, Nfc, Lower, Collapse, StripHtml], " <i>E\u{301}</i>  X ", "\u{e9} x"),
            (&[], " e\u{301} ", " e\u{301} "),
            (&[Trim], "\u{a0}\t a b \n", "a b"),
            (&[Nfc], " e\u{301} ", " \u{e9} "),
            (&[Trim, Nfc], " e\u{301} ", "\u{e9}"),
            (&[Nfc], "plain", "plain"),
        ];
        for (steps, text, expected) in table {
            assert_eq!(sanitize(steps, Cow::Borrowed(text)), expected);
            assert_eq!(sanitize(steps, Cow::Owned(text.to_owned())), expected);
        }
    }
}
