//! Entity tags and the conditions on them (RFC 9110, sections 8.8.3 and 13.1).
//!
//! A tag is `"` version `"`, or `"` version `~` hash `"` where the answer is more than the record as all see it; of an answer
//! that is sent in a coding, `+` and the coding's name follow. `If-Match` looks at the version alone, since it guards the
//! record; `If-None-Match` at all but the coding, since it guards a copy, which is good in whichever coding it was kept.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};

use crate::error::{Error, Result};
use crate::http::coding;
use crate::id::Position;
use crate::model::command::Condition;

/// Tags of one condition at most: more has no honest use.
const TAGS_MAX: usize = 100;

/// A condition's right-hand side.
#[derive(Debug, PartialEq, Eq)]
enum Tags<'a> {
    Any,
    Some(Vec<Tag<'a>>),
}

#[derive(Debug, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    opaque: &'a str,
}

/// `If-Match` of a write. Weak tags and tags of others match no version; garbage is an error.
///
/// # Errors
/// `Invalid` for what is neither `*` nor a list of tags.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Condition>> {
    Ok(tags(headers, &IF_MATCH)?.map(|tags| match tags {
        Tags::Any => Condition::Exists,
        Tags::Some(tags) => Condition::Versions(tags.iter().filter_map(Tag::version).collect()),
    }))
}

/// `If-None-Match: *` of a write that creates or replaces: whether it may only create.
///
/// # Errors
/// `Invalid` for anything but `*`.
pub(super) fn create_only(headers: &HeaderMap) -> Result<bool> {
    match tags(headers, &IF_NONE_MATCH)? {
        None => Ok(false),
        Some(Tags::Any) => Ok(true),
        Some(Tags::Some(_)) => Err(bad(&IF_NONE_MATCH, "on a PUT it can only be *")),
    }
}

/// # Errors
/// `Invalid` when a condition is given that the call has no sense for: silently ignored it would be a lost guard.
pub(super) fn refuse(headers: &HeaderMap, names: &[HeaderName]) -> Result<()> {
    match names.iter().find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(bad(name, "this call does not know it")),
    }
}

/// The tag of the client's copy, if that is the one with `etag` or the same in a coding, so that 304 is the answer.
///
/// # Errors
/// `Invalid` for what is neither `*` nor a list of tags.
pub(super) fn fresh_copy(headers: &HeaderMap, etag: &str) -> Result<Option<String>> {
    let opaque = etag.trim_matches('"');
    Ok(match tags(headers, &IF_NONE_MATCH)? {
        None => None,
        Some(Tags::Any) => Some(etag.to_owned()),
        Some(Tags::Some(tags)) => {
            tags.iter().find(|tag| tag.uncoded() == opaque).map(|tag| format!("\"{}\"", tag.opaque))
        }
    })
}

fn bad(name: &HeaderName, why: &str) -> Error {
    Error::invalid(format!("{name}: {why}")).code("bad_condition")
}

fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<Tags<'a>>> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(bad(name, "given twice"));
    }
    let text = line.to_str().map_err(|_| bad(name, "not ASCII"))?.trim();
    if text == "*" {
        return Ok(Some(Tags::Any));
    }
    list(text).map(|tags| Some(Tags::Some(tags))).ok_or_else(|| bad(name, "must be * or a list of entity tags"))
}

fn list(text: &str) -> Option<Vec<Tag<'_>>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if opaque.bytes().any(|byte| byte <= b' ') || tags.len() == TAGS_MAX {
            return None;
        }
        tags.push(Tag { weak, opaque });
        match after.trim_start() {
            "" => return Some(tags),
            more => rest = more.strip_prefix(',')?.trim_start(),
        }
    }
}

impl Tag<'_> {
    /// Without the coding.
    fn uncoded(&self) -> &str {
        let known = |(before, name): &(&str, &str)| !before.is_empty() && coding::is_known(name);
        self.opaque.rsplit_once('+').filter(known).map_or(self.opaque, |(before, _)| before)
    }

    fn version(&self) -> Option<Position> {
        let version = self.uncoded().split('~').next().unwrap_or_default();
        if self.weak { None } else { version.parse().ok() }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const VERSION: &str = "1-0000000a-7";

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header"))])
    }

    #[test]
    fn if_match_looks_at_the_version() {
        let version: Position = VERSION.parse().expect("a position");
        let table = [
            ("*", Condition::Exists),
            ("\"1-0000000a-7\"", Condition::Versions(vec![version])),
            ("\"1-0000000a-7~0badcafe\"", Condition::Versions(vec![version])),
            ("\"1-0000000a-7+gzip\"", Condition::Versions(vec![version])),
            ("\"1-0000000a-7~0badcafe+zstd\"", Condition::Versions(vec![version])),
            ("\"1-0000000a-7+br\"", Condition::Versions(vec![])),
            ("\"+gzip\"", Condition::Versions(vec![])),
            ("\"x\" , \"1-0000000a-7\"", Condition::Versions(vec![version])),
            ("W/\"1-0000000a-7\"", Condition::Versions(vec![])),
            ("\"\"", Condition::Versions(vec![])),
        ];
        for (text, expected) in table {
            assert_eq!(if_match(&headers(IF_MATCH, text)).expect(text), Some(expected), "{text}");
        }
        assert_eq!(if_match(&HeaderMap::new()).expect("none"), None);
    }

    #[test]
    fn garbage_is_no_condition() {
        for text in ["", "x", "\"x", "x\"", "\"x\" \"y\"", "\"x\",", ",\"x\"", "w/\"x\"", "*, \"x\"", "\"a b\"", "ä"] {
            assert!(if_match(&headers(IF_MATCH, text)).is_err(), "{text:?}");
            assert!(fresh_copy(&headers(IF_NONE_MATCH, text), "\"x\"").is_err(), "{text:?}");
        }
        let many = vec!["\"x\""; TAGS_MAX + 1].join(",");
        assert!(if_match(&headers(IF_MATCH, &many)).is_err());
    }

    #[test]
    fn a_copy_is_fresh_by_its_whole_tag() {
        let version: Position = VERSION.parse().expect("a position");
        let tag = crate::service::records::tag(version, Some(0x00ca_fe00));
        assert_eq!(tag, "\"1-0000000a-7~00cafe00\"");
        for (text, fresh) in [
            ("*", Some(&*tag)),
            ("\"1-0000000a-7~00cafe00\"", Some(&*tag)),
            ("W/\"1-0000000a-7~00cafe00\"", Some(&*tag)),
            ("\"1-0000000a-7\"", None),
            ("\"1-0000000a-7+gzip\"", None),
            ("\"other\", \"1-0000000a-7~00cafe00\"", Some(&*tag)),
            ("\"1-0000000a-7~00cafe00+gzip\"", Some("\"1-0000000a-7~00cafe00+gzip\"")),
            ("\"1-0000000a-7~00cafe00+br\"", None),
        ] {
            let found = fresh_copy(&headers(IF_NONE_MATCH, text), &tag).expect(text);
            assert_eq!(found.as_deref(), fresh, "{text}");
        }
    }

    #[test]
    fn a_put_creates_only_when_told_so() {
        assert!(create_only(&headers(IF_NONE_MATCH, "*")).expect("a star"));
        assert!(!create_only(&HeaderMap::new()).expect("none"));
        assert!(create_only(&headers(IF_NONE_MATCH, "\"x\"")).is_err());
        assert!(refuse(&headers(IF_MATCH, "*"), &[IF_MATCH]).is_err());
        assert!(refuse(&headers(IF_MATCH, "*"), &[IF_NONE_MATCH]).is_ok());
    }
}
