//! Character references: `&amp;`, `&#38;`, `&#x26;`. Those of Latin-1 and of typography are known by name.

/// From 160 on.
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy",
    "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm",
    "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig",
    "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve",
    "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN",
    "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc",
    "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml",
    "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

const OTHERS: [(&str, char); 21] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("euro", '€'),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("bull", '•'),
    ("trade", '™'),
    ("minus", '−'),
    ("larr", '←'),
    ("rarr", '→'),
    ("ensp", '\u{2002}'),
];

/// The longest reference that is looked at, bytes.
const REFERENCE_BYTES_MAX: usize = 32;

/// What stands between `&` and `;` at the beginning of a text, if it has the form of a reference.
pub(super) fn reference(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('&')?;
    let end = inner.bytes().take(REFERENCE_BYTES_MAX).position(|b| b == b';')?;
    let inner = &inner[..end];
    let digits = |text: &str, is: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(is);
    let well_formed = match inner.strip_prefix('#') {
        None => digits(inner, u8::is_ascii_alphanumeric) && inner.starts_with(|c: char| c.is_ascii_alphabetic()),
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => digits(hex, u8::is_ascii_hexdigit),
            None => digits(number, u8::is_ascii_digit),
        },
    };
    well_formed.then_some(inner)
}

/// The character at the beginning of a text as a reference that is known, and its length in bytes.
pub(super) fn character(text: &str) -> Option<(char, usize)> {
    let inner = reference(text)?;
    let found = match inner.strip_prefix('#') {
        None => named(inner)?,
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            code.ok().and_then(char::from_u32).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    };
    Some((found, inner.len() + 2))
}

fn named(name: &str) -> Option<char> {
    if let Some((_, found)) = OTHERS.iter().find(|(known, _)| *known == name) {
        return Some(*found);
    }
    let at = LATIN_1.iter().position(|known| *known == name)?;
    char::from_u32(160 + u32::try_from(at).ok()?)
}

/// Appends a text with every known reference as its character. NUL, which no browser shows, is left out.
pub(super) fn decode(mut text: &str, out: &mut String) {
    while let Some(at) = text.find(['&', '\0']) {
        out.push_str(&text[..at]);
        text = &text[at..];
        let (found, length) = match character(text) {
            Some((found, length)) => (Some(found), length),
            None => (text.starts_with('&').then_some('&'), 1),
        };
        out.extend(found);
        text = &text[length..];
    }
    out.push_str(text);
}
