//! What a collection shows of itself while its definition changes: a core stepped by hand, so that each piece is seen.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::core::decide::Pieces;
use crate::core::{self, Opened};
use crate::disk::sim::SimDisk;
use crate::id::RecordId;
use crate::model::command::Write;
use crate::model::pipeline;
use crate::time::Millis;

const NOW: Millis = Millis(1_700_000_000_000);
const THINGS: &str = r#"{"name":"things","fields":[{"name":"n","type":"number","integer":true}],
    "indexes":[{"name":"n","fields":["n"]}]}"#;

struct Stepped(Opened);

impl Stepped {
    /// Two rows a piece, and none at once.
    fn new() -> Stepped {
        let pieces = Pieces { at_once: 0, rows: 8, bytes: 1 << 20 };
        let settings = core::Settings { pieces, ballast_bytes: 4_096, ..core::Settings::default() };
        let opened = core::open(Arc::new(SimDisk::new(1)), Path::new("/data"), &settings).unwrap();
        let mut stepped = Stepped(opened);
        let view = stepped.view();
        let wanted = definition::parse(&view.schema, THINGS.as_bytes(), NOW).unwrap();
        stepped.commit(Command::Define(Box::new(wanted)));
        stepped
    }

    fn view(&self) -> Arc<Published> {
        self.0.writer.published().load_full()
    }

    fn commit(&mut self, command: Command) {
        self.0.writer.commit(&[command], NOW).unwrap().remove(0).unwrap();
    }

    fn create(&mut self, id: &str, n: &Json) {
        let view = self.view();
        let things = view.schema.find("things").unwrap();
        let id = RecordId::new(id).unwrap();
        let op = pipeline::create(things, json!({"n": n}).to_string().as_bytes(), id, true).unwrap();
        self.commit(Command::Write(vec![Write {
            collection: things.id,
            schema: things.version,
            guard: access::for_server(),
            op,
        }]));
    }

    /// Asks for a change as a client does; it has begun.
    fn change(&mut self, field: &Json) {
        let view = self.view();
        let body = json!({"fields": [field]}).to_string();
        let change =
            definition::change(&view.schema, view.schema.find("things").unwrap(), body.as_bytes(), NOW).unwrap();
        self.commit(command(change));
    }

    /// The next piece of the change; what is reclaimed comes between.
    fn work(&mut self) {
        loop {
            let next = self.0.writer.work().unwrap().expect("there is more to do");
            let is_piece = matches!(next, Command::Reshape { .. });
            self.commit(next);
            if is_piece {
                return;
            }
        }
    }

    /// What a client sees of the collection: the type of `n`, and what is said of a change.
    fn shown(&self) -> Json {
        let view = self.view();
        let whole: Json = serde_json::from_slice(&format(&view, view.schema.find("things").unwrap()).unwrap()).unwrap();
        let mut shown = json!({"n": whole["fields"][0]["type"], "indexes": whole["indexes"].as_array().unwrap().len()});
        for key in ["changing", "refused"] {
            if let Some(value) = whole.get(key) {
                shown[key] = value.clone();
            }
        }
        shown
    }
}

#[test]
fn a_collection_shows_how_far_a_change_has_come_and_why_it_came_to_nothing() {
    let mut core = Stepped::new();
    for n in 0..5 {
        core.create(&format!("r{n}"), &json!(n));
    }
    let before = json!({"n": "number", "indexes": 1});
    let changing = |n: &str, rows: u64, of: u64| json!({"n": n, "indexes": 1, "changing": {"rows": rows, "of": of}});
    assert_eq!(core.shown(), before);
    core.change(&json!({"name": "n", "type": "text"}));
    assert_eq!(core.shown(), changing("number", 0, 5));
    core.work();
    assert_eq!(core.shown(), changing("number", 2, 5));
    // One behind what was seen to is taken as the definition that holds has it.
    core.create("s", &json!(7));
    assert_eq!(core.shown(), changing("number", 2, 6));
    core.work();
    assert_eq!(core.shown(), changing("number", 4, 6));
    core.work();
    let text = json!({"n": "text", "indexes": 1});
    assert_eq!(core.shown(), text);

    core.create("r3x", &json!("many"));
    core.change(&json!({"name": "n", "type": "number", "integer": true}));
    core.work();
    assert_eq!(core.shown(), changing("text", 2, 7));
    core.work();
    core.work();
    let mut refused = text.clone();
    let shown = core.shown();
    refused["refused"] = shown["refused"].clone();
    assert_eq!(shown, refused, "all is as before, and says why");
    let why = &shown["refused"];
    assert_eq!((&why["record"], &why["field"]), (&json!("r3x"), &json!("n")), "{why}");
    assert!(why["message"].as_str().is_some_and(|message| !message.is_empty()), "{why}");

    core.change(&json!({"name": "n", "type": "text", "pattern": "^[a-z0-9]+$"}));
    assert_eq!(core.shown(), changing("text", 0, 7), "the reason goes with the next change");
    while core.shown().get("changing").is_some() {
        core.work();
    }
    assert_eq!(core.shown(), text);
}
