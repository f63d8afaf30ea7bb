//! Second stage: a text is cleaned before it is looked at, by the steps of its field, in their order.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::model::schema::Sanitizer;

/// The text after all steps; borrowed where nothing had to change.
pub(super) fn sanitize<'a>(steps: &[Sanitizer], mut text: Cow<'a, str>) -> Cow<'a, str> {
    for step in steps {
        text = match step {
            Sanitizer::Trim => trim(text),
            // ASCII is in every normal form.
            Sanitizer::Nfc if text.is_ascii() || is_nfc(&text) => text,
            Sanitizer::Nfc => Cow::Owned(text.nfc().collect()),
            Sanitizer::Lower | Sanitizer::Collapse | Sanitizer::StripHtml | Sanitizer::SafeHtml => text,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_in_the_order_of_the_steps() {
        use Sanitizer::{Nfc, Trim};
        let table: [(&[Sanitizer], &str, &str); 5] = [
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
