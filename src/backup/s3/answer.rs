//! What S3 answers in XML, as far as it is read: elements without children, by name. No DTD is looked at, and an entity that
//! is not XML's own is a fault.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// Each element of that name: the texts of its children that have none of their own, by their names. `None` for what is no
/// XML.
pub(super) fn elements(body: &[u8], name: &str) -> Option<Vec<HashMap<String, String>>> {
    let mut reader = Reader::from_reader(body);
    let mut found = Vec::new();
    // The way from the root, and what was read of the innermost.
    let (mut path, mut text): (Vec<String>, String) = (Vec::new(), String::new());
    let mut leaf = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                path.push(String::from_utf8(start.local_name().as_ref().to_vec()).ok()?);
                (leaf, text) = (true, String::new());
                if path.last()? == name {
                    found.push(HashMap::new());
                }
            }
            Event::End(_) => {
                let ended = path.pop()?;
                if leaf && path.last().is_some_and(|parent| parent == name) {
                    found.last_mut()?.insert(ended, std::mem::take(&mut text));
                }
                leaf = false;
            }
            Event::Text(part) => text.push_str(&part.decode().ok()?),
            Event::CData(part) => text.push_str(&part.decode().ok()?),
            Event::GeneralRef(part) => match part.resolve_char_ref().ok()? {
                Some(character) => text.push(character),
                None => text.push_str(resolve_predefined_entity(&part.decode().ok()?)?),
            },
            Event::Eof => return path.is_empty().then_some(found),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// The only element of that name.
pub(super) fn element(body: &[u8], name: &str) -> Option<HashMap<String, String>> {
    elements(body, name)?.into_iter().next()
}

/// A text as XML has it.
pub(super) fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated>
            <Contents><Key>a/@x&amp;y.snap</Key><ETag>&quot;e&#49;&quot;</ETag><Size>7</Size>
              <Owner><ID>someone</ID></Owner><Note/></Contents>
            <Contents><Size>8</Size><Key><![CDATA[b]]></Key></Contents>
            <NextContinuationToken>1/2+3=</NextContinuationToken></ListBucketResult>"#;
        let list = element(body, "ListBucketResult").unwrap();
        assert_eq!((&*list["IsTruncated"], &*list["NextContinuationToken"]), ("true", "1/2+3="));
        let found = elements(body, "Contents").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((&*found[0]["Key"], &*found[0]["ETag"], &*found[0]["Size"]), ("a/@x&y.snap", "\"e1\"", "7"));
        assert!(!found[0].contains_key("ID"));
        assert_eq!(found[1]["Key"], "b");
        assert_eq!(element(body, "Error"), None);
    }

    #[test]
    fn what_is_no_xml_is_none() {
        for body in ["<a><b></a>", "<a>&unknown;</a>", "<a>", "</a>"] {
            assert_eq!(elements(body.as_bytes(), "a"), None, "{body}");
        }
        assert_eq!(escaped("\"a&b\""), "&quot;a&amp;b&quot;");
    }
}
