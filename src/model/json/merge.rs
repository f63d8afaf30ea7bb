//! JSON Merge Patch (RFC 7396) from text to text: members that the patch doesn't name keep their exact text.

use super::read::Members;
use super::write::push_text;

/// `old` with `patch` merged into it; both are compact JSON that was read by this server, so within the depth bound
/// and without duplicate keys. Null in the patch removes a member; anything but an object replaces.
pub fn merge_json(old: Option<&str>, patch: &str) -> String {
    let mut out = String::with_capacity(old.map_or(0, str::len) + patch.len());
    merge(old, patch, &mut out);
    out
}

fn merge(old: Option<&str>, patch: &str, out: &mut String) {
    let Some(changes) = object(patch) else {
        out.push_str(patch);
        return;
    };
    let members = old.and_then(object).unwrap_or_default();
    let mut changes: Vec<Option<(Key<'_>, &str)>> = changes.into_iter().map(Some).collect();
    let mut by_key: Vec<usize> = (0..changes.len()).collect();
    by_key.sort_unstable_by(|a, b| key(&changes[*a]).cmp(key(&changes[*b])));
    let mut comma = "";
    let mut put = |name: &str, out: &mut String| {
        out.push_str(comma);
        comma = ",";
        push_text(out, name);
        out.push(':');
    };
    out.push('{');
    for (name, value) in &members {
        let found = by_key.binary_search_by(|at| key(&changes[*at]).cmp(name)).ok();
        match found.map(|found| by_key[found]) {
            None => {
                put(name, out);
                out.push_str(value);
            }
            Some(at) => {
                let change = changes[at].as_ref().map_or("null", |(_, change)| change);
                if change != "null" {
                    put(name, out);
                    merge(Some(value), change, out);
                }
                // The name stays for the search; the null says that it is done.
                changes[at] = changes[at].take().map(|(name, _)| (name, "null"));
            }
        }
    }
    for (name, change) in changes.iter().flatten().filter(|(_, change)| *change != "null") {
        put(name, out);
        merge(None, change, out);
    }
    out.push('}');
}

type Key<'a> = std::borrow::Cow<'a, str>;

fn key<'a>(change: &'a Option<(Key<'_>, &str)>) -> &'a str {
    change.as_ref().map_or("", |(name, _)| name)
}

/// The members of an object, `None` for another value.
fn object(text: &str) -> Option<Vec<(Key<'_>, &str)>> {
    if !text.starts_with('{') {
        return None;
    }
    serde_json::from_str::<Members<'_>>(text).ok().map(|members| members.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patch_does_what_its_rfc_shows() {
        // The table of RFC 7396, appendix A.
        let table = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ];
        for (old, patch, expected) in table {
            assert_eq!(merge_json(Some(old), patch), expected, "{old} {patch}");
        }
        assert_eq!(merge_json(None, r#"{"a":1,"b":null}"#), r#"{"a":1}"#);
    }

    #[test]
    fn members_that_are_not_named_keep_their_digits() {
        let old = r#"{"n":123456789012345678901234567890,"f":1.10}"#;
        assert_eq!(merge_json(Some(old), r#"{"a\"b":1}"#), format!(r#"{},"a\"b":1}}"#, &old[..old.len() - 1]));
    }
}
