//! JSON Merge Patch (RFC 7396) from text to text, in time linear in both: it runs inside the order of writes. Members
//! that the patch doesn't name keep their exact text.

use std::borrow::Cow;

use super::read::text_of;
use super::write::push_text;

/// `old` with `patch` merged into it; both are compact JSON as [`super::compact`] makes it, within the depth bound and
/// without duplicate keys. Null in the patch removes a member; anything but an object replaces.
pub fn merge_json(old: Option<&str>, patch: &str) -> String {
    let mut out = String::with_capacity(old.map_or(0, str::len) + patch.len());
    let old = old.map(|text| Reader { text, at: 0 }.node());
    merge(old.as_ref(), &Reader { text: patch, at: 0 }.node(), &mut out);
    out
}

/// A value as far as merging looks into it.
enum Node<'a> {
    /// Anything but an object, as it stands.
    Leaf(&'a str),
    /// With its own text, for where nothing in it changes.
    Object(&'a str, Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    fn is_null(&self) -> bool {
        matches!(self, Node::Leaf("null"))
    }
}

fn merge(old: Option<&Node<'_>>, patch: &Node<'_>, out: &mut String) {
    let changes = match patch {
        Node::Leaf(text) => return out.push_str(text),
        Node::Object(_, changes) => changes,
    };
    let members = match old {
        Some(Node::Object(_, members)) => members.as_slice(),
        _ => &[],
    };
    let mut by_key: Vec<(&str, &Node<'_>, bool)> = changes.iter().map(|(key, node)| (&**key, node, false)).collect();
    by_key.sort_unstable_by_key(|(key, ..)| *key);
    let mut object = ObjectWriter::begin(out);
    for (key, value) in members {
        match by_key.binary_search_by_key(&&**key, |(key, ..)| *key) {
            Err(_) => object.member(key).push_str(match value {
                Node::Leaf(text) | Node::Object(text, _) => text,
            }),
            Ok(at) => {
                let change = by_key[at].1;
                by_key[at].2 = true;
                if !change.is_null() {
                    merge(Some(value), change, object.member(key));
                }
            }
        }
    }
    for (key, change) in changes {
        let done = by_key.binary_search_by_key(&&**key, |(key, ..)| *key).is_ok_and(|at| by_key[at].2);
        if !done && !change.is_null() {
            merge(None, change, object.member(key));
        }
    }
    object.end();
}

struct ObjectWriter<'o> {
    out: &'o mut String,
    separator: char,
}

impl<'o> ObjectWriter<'o> {
    fn begin(out: &'o mut String) -> ObjectWriter<'o> {
        ObjectWriter { out, separator: '{' }
    }

    /// Writes a key; its value is for the caller to write.
    fn member(&mut self, key: &str) -> &mut String {
        self.out.push(self.separator);
        self.separator = ',';
        push_text(self.out, key);
        self.out.push(':');
        self.out
    }

    fn end(self) {
        if self.separator == '{' {
            self.out.push('{');
        }
        self.out.push('}');
    }
}

/// A walk over compact JSON, which is well-formed.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn node(&mut self) -> Node<'a> {
        let start = self.at;
        if self.byte() != Some(b'{') {
            self.skip();
            return Node::Leaf(&self.text[start..self.at]);
        }
        let mut members = Vec::new();
        self.at += 1;
        while self.byte() == Some(b'"') {
            let key_start = self.at;
            self.skip_string();
            let key = text_of(&self.text[key_start..self.at]).unwrap_or_default();
            self.at += 1; // the colon
            members.push((key, self.node()));
            if self.byte() == Some(b',') {
                self.at += 1;
            }
        }
        self.at = (self.at + 1).min(self.text.len());
        Node::Object(&self.text[start..self.at], members)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Past one value that is no object.
    fn skip(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => self.skip_string(),
                b',' | b'}' | b']' if depth == 0 => return,
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b']' | b'}' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.byte() {
            self.at += 1;
            match byte {
                b'"' => return,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }
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
    fn texts_with_signs_of_json_in_them_are_left_whole() {
        let old = r#"{"a\"}{":["]\\",{"x":"}"}],"b":"{\"","c":{"d":"é","e":[[],{}]}}"#;
        let patch = r#"{"c":{"d":"\"","f":[null,{"g":null}]},"b":null}"#;
        let expected = r#"{"a\"}{":["]\\",{"x":"}"}],"c":{"d":"\"","e":[[],{}],"f":[null,{"g":null}]}}"#;
        assert_eq!(merge_json(Some(old), patch), expected);
    }

    #[test]
    fn members_that_are_not_named_keep_their_digits() {
        let old = r#"{"n":123456789012345678901234567890,"f":1.10}"#;
        assert_eq!(merge_json(Some(old), r#"{"a\"b":1}"#), format!(r#"{},"a\"b":1}}"#, &old[..old.len() - 1]));
    }
}
