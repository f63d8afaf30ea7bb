//! Last stage: a record as JSON, straight from its values into bytes. On the path of every read.
//!
//! Names and ids need no escaping: their alphabets hold nothing that JSON escapes.

use crate::model::json::{write_date, write_f64, write_i64, write_text};
use crate::model::mask::{Mask, Part};
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::Value;

/// Appends the record as an object: its id, its collection's id and name, its fields in the order of the definition,
/// null where absent, as far as `mask` shows them.
pub fn format_record(collection: &Collection, record: &Record, mask: &Mask, out: &mut Vec<u8>) {
    let start = format_head(collection, record, mask, out);
    for field in &collection.fields {
        if mask.shows_field(field) {
            member(out, start, &field.name);
            write_value(record.fields.get(field.id), out);
        }
    }
    out.push(b'}');
}

/// Appends the object's beginning, up to its fields; where its members begin.
pub(crate) fn format_head(collection: &Collection, record: &Record, mask: &Mask, out: &mut Vec<u8>) -> usize {
    out.push(b'{');
    let start = out.len();
    if mask.shows(Part::Id) {
        member(out, start, "id");
        quoted(out, record.id.as_str());
    }
    if mask.shows(Part::CollectionId) {
        member(out, start, "collectionId");
        out.push(b'"');
        write_i64(out, i64::from(collection.id.0));
        out.push(b'"');
    }
    if mask.shows(Part::CollectionName) {
        member(out, start, "collectionName");
        quoted(out, &collection.name);
    }
    start
}

/// Appends one value as JSON.
pub fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_i64(out, *number),
        Value::Number(number) => write_f64(out, *number),
        Value::Text(text) => write_text(out, text),
        Value::Date(at) => write_date(out, *at),
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Point(lon, lat) => {
            out.extend_from_slice(b"{\"lon\":");
            write_f64(out, *lon);
            out.extend_from_slice(b",\"lat\":");
            write_f64(out, *lat);
            out.push(b'}');
        }
    }
}

/// Appends the key of a member, and the comma before it. `start` is where the members begin.
pub(crate) fn member(out: &mut Vec<u8>, start: usize, name: &str) {
    if out.len() > start {
        out.push(b',');
    }
    quoted(out, name);
    out.push(b':');
}

fn quoted(out: &mut Vec<u8>, plain: &str) {
    out.push(b'"');
    out.extend_from_slice(plain.as_bytes());
    out.push(b'"');
}
