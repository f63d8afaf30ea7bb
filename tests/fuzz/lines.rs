//! Lines of an import: split, and read against a definition.

use millpond::id::{CollectionId, RecordId};
use millpond::model::lines::{Form, Piece, Splitter, Text};
use millpond::model::pipeline::{self, Columns, Row};
use millpond::model::schema::{Collection, Schema};
use millpond::model::{definition, json};
use millpond::time::Millis;

use crate::fuzz;
use crate::mutate::Corpus;

const THINGS: &str = r#"{"name":"things","fields":[{"name":"text","type":"text","max":90,"aliases":["t"]},{"name":"total","type":"number"},{"name":"count","type":"number","integer":true},{"name":"flag","type":"bool"},{"name":"at","type":"date"},{"name":"one","type":"select","values":["x","y"]},{"name":"many","type":"select","values":["x","y"],"maxSelect":2},{"name":"data","type":"json"},{"name":"place","type":"geoPoint"},{"name":"made","type":"autodate","onCreate":true}]}"#;

fn things() -> Collection {
    let mut made = definition::parse(&Schema::default(), THINGS.as_bytes(), Millis(0)).expect("a sound definition");
    definition::number(&mut made, CollectionId(1));
    made
}

/// The lines of a text that comes in two parts.
fn split(form: Form, bytes: &[u8]) -> Vec<Piece> {
    let mut splitter = Splitter::new(form);
    let (mut pieces, mut piece) = (Vec::new(), Piece::default());
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for mut part in [first, second] {
        while !part.is_empty() {
            let taken = splitter.feed(part, &mut piece);
            part = &part[taken..];
            if piece.is_full() {
                pieces.push(std::mem::take(&mut piece));
            }
        }
    }
    splitter.finish(&mut piece);
    pieces.push(piece);
    pieces
}

fn fallback() -> RecordId {
    RecordId::new("made").expect("an id")
}

const LINES: &[&str] = &[
    "{\"id\":\"a\",\"text\":\"x\",\"count\":1}\n{\"t\":\"y\",\"many\":[\"x\"]}\r\n\n{\"data\":{\"a\":[1]},\"place\":{\"lon\":1,\"lat\":2}}",
    "\u{feff}{\"flag\":true,\"at\":\"2001-02-03\",\"made\":\"2001-02-03\"}\n{}\n",
];
const LINE_WORDS: &[&str] =
    &["{", "}", "\n", "\r\n", "\"", "\\u", "\"id\":", "\"text\":", ",", "[", "]", "null", "\u{feff}"];

#[test]
fn no_lines_panic_or_hang() {
    let things = things();
    fuzz("lines", Corpus::new(LINES, LINE_WORDS), |bytes| {
        let mut any = false;
        for piece in &split(Form::Ndjson, bytes) {
            for line in piece.lines() {
                let Ok(Text::Json(text)) = line.text else { continue };
                let Ok(checked) = json::checked_text_at(text, line.number) else { continue };
                let Ok(members) = json::members_at(checked, line.number) else { continue };
                any |= pipeline::line(&things, members, text.len(), true, fallback(), true).is_ok();
            }
        }
        any
    });
}

const TABLES: &[&str] = &[
    "id,text,total,many\r\na,\"b \"\"c\"\"\nd\",1.5,x;y\r\n,,,\"[\"\"x\"\"]\"\r\n",
    "\u{feff}t,count,flag,at,one,data,place,made\nx,1,TRUE,2001-02-03,x,\"{\"\"a\"\":1}\",\"{\"\"lon\"\":1,\"\"lat\"\":2}\",\n\"\",,,,,,,",
];
const TABLE_WORDS: &[&str] =
    &[",", "\"", "\"\"", "\n", "\r\n", "\r", ";", "[", "]", "{", "}", "text", "id", "true", "null", "\u{feff}"];

#[test]
fn no_table_panics_or_hangs() {
    let things = things();
    fuzz("a table", Corpus::new(TABLES, TABLE_WORDS), |bytes| {
        let mut pieces = split(Form::Csv, bytes);
        let Some(first) = pieces[0].split_first() else { return false };
        let Some(Text::Cells(names)) = first.line(0).and_then(|line| line.text.ok()) else { return false };
        let names: Vec<String> = names.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        let Ok(columns) = Columns::new(&things, &names, true) else { return false };
        let (mut any, mut row) = (false, Row::default());
        for line in pieces.iter().flat_map(Piece::lines) {
            let Ok(Text::Cells(cells)) = line.text else { continue };
            let Ok(members) = columns.members(cells, &mut row) else { continue };
            for (_, value) in &members {
                assert!(serde_json::from_str::<&serde_json::value::RawValue>(value).is_ok(), "{value:?} is no JSON");
            }
            any |= pipeline::line(&things, members, cells.bytes(), false, fallback(), true).is_ok();
        }
        any
    });
}
