//! Records as rows of a table (CSV), both ways. A cell becomes the text of a JSON value and goes the way of every other;
//! so what holds of a body holds of a row.
//!
//! By the type of its field: texts, ids, dates as they are; numbers, `true` and `false` as JSON has them; lists, json
//! and points as JSON, and a list also as its elements with `;` between them. An empty cell is null, and in quotes the
//! empty text where the field holds texts.

use crate::error::{Error, FieldFault, Result};
use crate::limits;
use crate::model::json::{self, Flaw, Member, write_text};
use crate::model::lines::Cells;
use crate::model::mask::{Mask, Part};
use crate::model::record::Record;
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::Value;

use super::format::write_value;
use super::validate::column;

/// What the columns of a table mean under one definition.
#[derive(Debug)]
pub struct Columns<'a> {
    columns: Vec<(&'a str, Meaning<'a>)>,
}

#[derive(Clone, Copy, Debug)]
enum Meaning<'a> {
    Id,
    Field(&'a Field),
    /// What the server sets, and what names the collection.
    PassedOver,
}

/// The values of a row as texts of JSON, each behind the one before.
#[derive(Debug, Default)]
pub struct Row {
    text: String,
    /// Where each ends, and of which column it is.
    ends: Vec<(usize, usize)>,
}

impl<'a> Columns<'a> {
    /// By the names in a table's first row. `sees_hidden` as elsewhere.
    ///
    /// # Errors
    /// `Invalid` with code `bad_columns` and each name that no field has, or one that another column has too.
    pub fn new(collection: &'a Collection, names: &'a [String], sees_hidden: bool) -> Result<Columns<'a>> {
        let mut columns: Vec<(&str, Meaning<'_>)> = Vec::with_capacity(names.len());
        let mut faults = Vec::new();
        for name in names {
            let meaning = match (name.as_str(), column(collection, name, sees_hidden)) {
                ("id", _) => Meaning::Id,
                (_, Ok(Some(field))) if !field.is_set_by_server() => Meaning::Field(field),
                (_, Ok(_)) => Meaning::PassedOver,
                (_, Err(())) => {
                    fault(&mut faults, name, "unknown_field", format!("{} has no such field", collection.name));
                    continue;
                }
            };
            if columns.iter().any(|(other, known)| other == name || known.is_same(meaning)) {
                fault(&mut faults, name, "duplicate_key", "is about the same field as another column".to_owned());
            }
            columns.push((name, meaning));
        }
        if faults.is_empty() {
            return Ok(Columns { columns });
        }
        let names: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        let message = format!("the table has columns that can't be taken: {}", names.join(", "));
        Err(Error::invalid(message).code("bad_columns").faults(faults))
    }

    /// The members of a row, as a body would have them, with their texts in `row`.
    ///
    /// # Errors
    /// `Invalid` for cells of another number than the columns', and with all that are no JSON where that is asked for.
    pub fn members<'r>(&'r self, cells: Cells<'_>, row: &'r mut Row) -> Result<Vec<Member<'r>>> {
        row.text.clear();
        row.ends.clear();
        if cells.len() != self.columns.len() {
            let message = format!("the row has {} cells and the table {} columns", cells.len(), self.columns.len());
            return Err(Error::invalid(message).code("bad_row"));
        }
        let mut faults = Vec::new();
        for (at, ((name, meaning), (cell, quoted))) in self.columns.iter().zip(cells.iter()).enumerate() {
            let Ok(cell) = std::str::from_utf8(cell) else {
                fault(&mut faults, name, "bad_text", "is not UTF-8".to_owned());
                continue;
            };
            let start = row.text.len();
            match meaning {
                Meaning::PassedOver => {}
                Meaning::Id if cell.is_empty() => {}
                Meaning::Id => quote(&mut row.text, cell),
                Meaning::Field(field) => {
                    if let Err(flaw) = field.write_json(cell, quoted, &mut row.text) {
                        fault(&mut faults, name, flaw.code, flaw.message);
                    }
                }
            }
            if row.text.len() > start {
                row.ends.push((at, row.text.len()));
            }
        }
        if !faults.is_empty() {
            return Err(Error::invalid("the line has faults").faults(faults));
        }
        let text = &row.text;
        let members = row.ends.iter().scan(0, |from, (at, end)| {
            let start = std::mem::replace(from, *end);
            Some((self.columns[*at].0.into(), &text[start..*end]))
        });
        Ok(members.collect())
    }
}

impl Meaning<'_> {
    fn is_same(self, other: Meaning<'_>) -> bool {
        match (self, other) {
            (Meaning::Id, Meaning::Id) => true,
            (Meaning::Field(one), Meaning::Field(other)) => one.id == other.id,
            _ => false,
        }
    }
}

fn fault(faults: &mut Vec<FieldFault>, name: &str, code: &'static str, message: String) {
    if faults.len() < limits::FAULTS_MAX {
        let field = name.chars().take(limits::NAME_BYTES_MAX).collect();
        faults.push(FieldFault { field, code: code.into(), message });
    }
}

impl Field {
    /// Appends what a cell says as a text of JSON; nothing of one that says nothing.
    fn write_json(&self, cell: &str, quoted: bool, out: &mut String) -> Result<(), Flaw> {
        let is_text = matches!(self.kind, FieldKind::Text { .. } | FieldKind::Editor { .. });
        if cell.is_empty() && !(is_text && quoted) {
            return Ok(());
        }
        let trimmed = cell.trim_ascii();
        match &self.kind {
            FieldKind::Number { .. } if is_number(trimmed) => out.push_str(trimmed),
            FieldKind::Bool {} if trimmed.eq_ignore_ascii_case("true") => out.push_str("true"),
            FieldKind::Bool {} if trimmed.eq_ignore_ascii_case("false") => out.push_str("false"),
            FieldKind::Json { .. } | FieldKind::GeoPoint {} => out.push_str(checked(trimmed)?),
            kind if kind.is_list() && trimmed.starts_with('[') => out.push_str(checked(trimmed)?),
            kind if kind.is_list() => list(trimmed, out),
            // A number or a switch that is none is said to be a text, and refused as one.
            _ => quote(out, cell),
        }
        Ok(())
    }
}

/// One value of JSON, within the bound of nesting.
fn checked(cell: &str) -> Result<&str, Flaw> {
    let flaw = |error: &dyn std::fmt::Display| Flaw::new("bad_json", format!("must be JSON: {error}"));
    json::checked_text(cell.as_bytes()).map_err(|error| flaw(&error.message()))?;
    serde_json::from_str::<&serde_json::value::RawValue>(cell).map(|raw| raw.get()).map_err(|error| flaw(&error))
}

/// Whether a text is a number as JSON has them.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// `a;b` as a list of texts.
fn list(cell: &str, out: &mut String) {
    for (at, item) in cell.split(';').enumerate() {
        out.push(if at == 0 { '[' } else { ',' });
        quote(out, item.trim_ascii());
    }
    out.push(']');
}

fn quote(out: &mut String, text: &str) {
    let mut bytes = std::mem::take(out).into_bytes();
    write_text(&mut bytes, text);
    *out = String::from_utf8(bytes).expect("a text and its quotes are UTF-8");
}

/// Appends a table's first row: the parts that `mask` shows, as [`format_row`] writes them.
pub fn format_header(collection: &Collection, mask: &Mask, out: &mut Vec<u8>) {
    let names = HEAD.iter().filter(|(part, _)| mask.shows(*part)).map(|(_, name)| *name);
    let fields = collection.fields.iter().filter(|field| mask.shows_field(field)).map(|field| &*field.name);
    for (at, name) in names.chain(fields).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

const HEAD: [(Part, &str); 3] =
    [(Part::Id, "id"), (Part::CollectionId, "collectionId"), (Part::CollectionName, "collectionName")];

/// Appends a record as a row, in the order of the definition.
pub fn format_row(collection: &Collection, record: &Record, mask: &Mask, out: &mut Vec<u8>) {
    let start = out.len();
    let mut first = true;
    let mut next = |out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
    };
    for (part, _) in HEAD.iter().filter(|(part, _)| mask.shows(*part)) {
        next(out);
        match part {
            Part::CollectionId => json::write_i64(out, i64::from(collection.id.0)),
            Part::CollectionName => out.extend_from_slice(collection.name.as_bytes()),
            _ => out.extend_from_slice(record.id.as_str().as_bytes()),
        }
    }
    let mut json = Vec::new();
    for field in collection.fields.iter().filter(|field| mask.shows_field(field)) {
        next(out);
        match record.fields.get(field.id) {
            Value::Null => {}
            Value::Text(text) => cell(text.as_bytes(), out),
            Value::Json(text) => cell(text.as_bytes(), out),
            Value::Date(at) => out.extend_from_slice(&at.text()),
            value @ (Value::Bool(_) | Value::Int(_) | Value::Number(_)) => write_value(value, out),
            value @ (Value::List(_) | Value::Point(..)) => {
                json.clear();
                write_value(value, &mut json);
                cell(&json, out);
            }
        }
    }
    if out.len() == start {
        // A row must not look like a blank line.
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

/// In quotes where it must, and where it would look like nothing.
fn cell(text: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: &u8| !matches!(byte, b'"' | b',' | b'\r' | b'\n');
    if !text.is_empty() && text.iter().all(plain) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
