//! `sort=-created,name`: the order of a list. Ties are broken by id, so an order by `id` alone is the default.

use crate::error::{Error, Result};
use crate::limits;
use crate::model::query::{Operand, SortKey};
use crate::model::schema::{Collection, FieldKind};

/// Reads a sort order; an empty text is none. `sees_hidden` says whether the caller may know of hidden fields.
///
/// # Errors
/// `Invalid` with code `bad_sort`: an unknown or hidden name (the same error), one named twice, a list or `json` field,
/// more than `limits::INDEX_FIELDS_MAX` names.
pub fn parse(collection: &Collection, text: &str, sees_hidden: bool) -> Result<Vec<SortKey>> {
    let mut keys: Vec<SortKey> = Vec::new();
    if text.trim().is_empty() {
        return Ok(keys);
    }
    for part in text.split(',').map(str::trim) {
        if keys.len() == limits::INDEX_FIELDS_MAX {
            return Err(refused(format!("has at most {} names", limits::INDEX_FIELDS_MAX)));
        }
        let (descending, name) = match part.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, part.strip_prefix('+').unwrap_or(part)),
        };
        let operand = operand(collection, name, sees_hidden)?;
        if keys.iter().any(|key| key.operand == operand) {
            return Err(refused(format!("{name:?} is named twice")));
        }
        keys.push(SortKey { operand, descending });
    }
    Ok(keys)
}

fn operand(collection: &Collection, name: &str, sees_hidden: bool) -> Result<Operand> {
    if name == "id" {
        return Ok(Operand::Id);
    }
    if name.starts_with('@') {
        return Err(refused("names that begin with @ are not known yet"));
    }
    let Some(field) = collection.field(name).filter(|field| field.is_seen(sees_hidden)) else {
        let shown: String = name.chars().take(limits::NAME_BYTES_MAX).collect();
        return Err(refused(format!("there is no {shown:?}")));
    };
    if field.kind.is_list() || matches!(field.kind, FieldKind::Json { .. }) {
        return Err(refused(format!("{name:?} is a list or json and has no order")));
    }
    Ok(Operand::Field(field.id))
}

fn refused(reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("sort: {reason}")).code("bad_sort")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FieldId;
    use crate::model::definition;
    use crate::model::schema::Schema;
    use crate::time::Millis;

    #[test]
    fn an_order_is_read_or_refused() {
        let fields: Vec<String> = (0..9).map(|n| format!(r#"{{"name": "f{n}", "type": "bool"}}"#)).collect();
        let body = format!(
            r#"{{"name": "c", "fields": [{}, {{"name": "h", "type": "text", "hidden": true}},
            {{"name": "j", "type": "json"}}, {{"name": "l", "type": "select", "values": ["a"], "maxSelect": 2}}]}}"#,
            fields.join(",")
        );
        let collection = definition::parse(&Schema::default(), body.as_bytes(), Millis(0)).expect("sound");
        let key = |operand, descending| SortKey { operand, descending };
        let (first, second) = (Operand::Field(FieldId(1)), Operand::Field(FieldId(2)));
        let table = [
            ("", vec![]),
            ("f0", vec![key(first, false)]),
            ("-f0, +f1,id", vec![key(first, true), key(second, false), key(Operand::Id, false)]),
            ("-id", vec![key(Operand::Id, true)]),
        ];
        for (text, expected) in table {
            assert_eq!(parse(&collection, text, false).expect("an order"), expected, "{text:?}");
        }
        for text in ["nope", "h", "j", "l", "f0,-f0", "f0,,f1", "--f0", "@random", "f0,f1,f2,f3,f4,f5,f6,f7,f8"] {
            let error = parse(&collection, text, false).expect_err(text);
            assert_eq!(error.code_str(), "bad_sort");
        }
        let hidden = parse(&collection, "h", false).expect_err("hidden").to_string();
        let unknown = parse(&collection, "g", false).expect_err("unknown").to_string();
        assert_eq!(hidden.replace("\"h\"", "\"g\""), unknown, "a hidden field must look like an unknown one");
        assert!(parse(&collection, "h", true).is_ok());
    }
}
