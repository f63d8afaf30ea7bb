//! Definitions that change at random while records are written, in pieces, with restarts between them. What comes of it is
//! what a naive model makes of the records as JSON, and a change is refused where a record stands against it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::fixture::{Stepped, rounds};
use crate::core::decide::Pieces;
use crate::disk::sim::Rng;
use crate::error::{Error, Kind};
use crate::id::Seq;
use crate::limits;
use crate::model::command::{Command, Op};
use crate::model::definition::{self, Rows};
use crate::model::pipeline;
use crate::model::schema::Staged;

type Records = BTreeMap<String, Map<String, Json>>;

/// Shapes that the collection may have: of `n` its type, then whether there is a `state`, a list of links, a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    n: &'static str,
    state: bool,
    list: bool,
    bound: bool,
    required: bool,
}

const FIRST: Shape = Shape { n: "number", state: false, list: false, bound: false, required: false };
const TYPES: [&str; 4] = ["number", "whole", "text", "json"];

fn body(shape: Shape) -> String {
    let mut n = match shape.n {
        "whole" => json!({"name": "n", "type": "number", "integer": true}),
        kind => json!({"name": "n", "type": kind}),
    };
    if shape.bound && matches!(shape.n, "number" | "whole") {
        n["max"] = json!(50);
    }
    let is_number = matches!(shape.n, "number" | "whole");
    let mut fields = vec![
        n,
        json!({"name": "code", "type": "text"}),
        json!({"name": "link", "type": "relation", "collection": "things", "onDelete": "setNull",
               "maxSelect": if shape.list { 3 } else { 1 }}),
        json!({"name": "note", "type": "text", "required": shape.required, "default": shape.required.then_some("none")}),
    ];
    if is_number {
        fields.push(json!({"name": "twice", "type": "number", "computed": "n * 2"}));
    }
    if shape.state {
        fields.push(json!({"name": "state", "type": "select", "values": ["new", "old"], "default": "new"}));
    }
    let mut indexes = vec![json!({"name": "code", "fields": ["code"], "unique": true})];
    if shape.n != "json" {
        indexes.push(json!({"name": "by_n", "fields": ["n", "code"]}));
    }
    json!({"name": "things", "fields": fields, "indexes": indexes}).to_string()
}

/// The number that a record's `n` stands for in any of the shapes.
fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// What the records become in another shape, by the rules as the contract tells them; `None` where one can't.
fn reshaped(records: &Records, from: Shape, to: Shape) -> Option<Records> {
    let mut after = Records::new();
    for (id, record) in records {
        let mut record = record.clone();
        record.remove("twice");
        if let Some(n) = record.get("n").cloned() {
            let is_text = n.is_string();
            let now = match to.n {
                _ if from.n == to.n => n.clone(),
                "text" if is_text => n.clone(),
                // What stands in json is no text but where it is one.
                "text" if from.n == "json" => return None,
                "text" => json!(n.to_string()),
                // In json a text stays a text.
                "json" => n.clone(),
                _ if from.n == "json" && is_text => return None,
                _ => {
                    let float = number(&n)?;
                    if float.fract() == 0.0 { json!(float as i64) } else { json!(float) }
                }
            };
            if to.n == "whole" && number(&now)?.fract() != 0.0 {
                return None;
            }
            record.insert("n".to_owned(), now);
        }
        finish(&mut record, Some(from), to)?;
        after.insert(id.clone(), record);
    }
    Some(after)
}

/// What follows from a record's own fields in a shape; `None` where it is not allowed.
fn finish(record: &mut Map<String, Json>, from: Option<Shape>, to: Shape) -> Option<()> {
    let is_number = matches!(to.n, "number" | "whole");
    if let Some(n) = record.get("n").and_then(number).filter(|_| is_number) {
        if to.bound && n > 50.0 {
            return None;
        }
        let twice = n * 2.0;
        record.insert("twice".to_owned(), if twice.fract() == 0.0 { json!(twice as i64) } else { json!(twice) });
    }
    if let Some(from) = from {
        match record.remove("link") {
            Some(Json::Array(ids)) if !to.list && ids.len() > 1 => return None,
            Some(Json::Array(mut ids)) if !to.list => drop(ids.pop().map(|id| record.insert("link".to_owned(), id))),
            Some(link) if to.list && !from.list => drop(record.insert("link".to_owned(), json!([link]))),
            Some(link) => drop(record.insert("link".to_owned(), link)),
            None => {}
        }
        if !to.state {
            record.remove("state");
        } else if !from.state {
            record.insert("state".to_owned(), json!("new"));
        }
    } else if to.state && !record.contains_key("state") {
        record.insert("state".to_owned(), json!("new"));
    }
    if to.required && !record.contains_key("note") {
        record.insert("note".to_owned(), json!("none"));
    }
    Some(())
}

struct Run {
    core: Stepped,
    rng: Rng,
    pieces: Pieces,
    records: Records,
    shape: Shape,
    made: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = Rng::new(seed);
        let pieces = Pieces { at_once: rng.below(8) as usize, rows: 1 + rng.below(7) as usize, bytes: 1 << 20 };
        let core = Stepped::open_with(&crate::disk::sim::SimDisk::new(seed), pieces).unwrap();
        let mut run = Run { core, rng, pieces, records: Records::new(), shape: FIRST, made: 0 };
        run.core.define(&body(FIRST));
        run
    }

    /// A record's own fields in the present shape.
    fn fields(&mut self) -> Map<String, Json> {
        let mut fields = Map::new();
        let n = if self.rng.chance(20) { json!(self.rng.below(90) as f64 + 0.5) } else { json!(self.rng.below(90)) };
        let wild = self.rng.chance(3);
        let n = match self.shape.n {
            "whole" => json!(self.rng.below(90)),
            "text" if wild => json!("many"),
            "text" => json!(n.to_string()),
            _ => n,
        };
        if !self.rng.chance(15) {
            let within = !self.shape.bound || !matches!(self.shape.n, "number" | "whole");
            fields.insert("n".to_owned(), if within || number(&n) <= Some(50.0) { n } else { json!(7) });
        }
        let code = self.rng.below(1 << 40);
        fields.insert("code".to_owned(), json!(format!("c{code}")));
        if self.rng.chance(50) {
            fields.insert("note".to_owned(), json!("x"));
        }
        let ids: Vec<String> = self.records.keys().cloned().collect();
        if !ids.is_empty() && self.rng.chance(40) {
            let mut pick = || json!(ids[self.rng.below(ids.len() as u64) as usize]);
            let (one, other) = (pick(), pick());
            let link = match self.shape.list {
                false => one,
                true if one == other || self.rng.chance(80) => json!([one]),
                true => json!([one, other]),
            };
            fields.insert("link".to_owned(), link);
        }
        fields
    }

    fn write(&mut self) {
        let known: Vec<String> = self.records.keys().cloned().collect();
        let pick = (!known.is_empty()).then(|| known[self.rng.below(known.len() as u64) as usize].clone());
        let (roll, shape) = (self.rng.below(10), self.shape);
        match (roll, pick) {
            (0..=1, Some(id)) => {
                let op = Op::Delete { id: super::fixture::id(&id), if_match: None };
                self.core.write(&[("things", op)]).unwrap();
                self.records.remove(&id);
                for record in self.records.values_mut() {
                    unlink(record, &id);
                }
            }
            (2..=5, Some(id)) => {
                let mut record = self.fields();
                let text = Json::Object(record.clone()).to_string();
                let op = self.core.put("things", &id, &text, None, false);
                if self.core.write(&[("things", op)]).is_ok() {
                    finish(&mut record, None, shape).unwrap();
                    self.records.insert(id, record);
                }
            }
            _ => {
                self.made += 1;
                let id = format!("r{:05}", self.rng.below(100_000));
                let mut record = self.fields();
                let mut text = record.clone();
                text.insert("id".to_owned(), json!(id));
                let op = self.core.create("things", &Json::Object(text).to_string());
                match self.core.write(&[("things", op)]) {
                    Ok(_) => {
                        finish(&mut record, None, shape).unwrap();
                        self.records.insert(id, record);
                    }
                    Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
                }
            }
        }
    }

    /// Changes the definition; the records as they must be if it comes to something, up to writes meanwhile.
    fn change(&mut self, to: Shape) -> Result<bool, Error> {
        let stored = self.core.collection("things");
        let change = definition::change(&self.core.view().schema, &stored, body(to).as_bytes(), self.core.now)?;
        let command = match change.rows {
            Rows::Unseen => Command::Redefine(Box::new(change.collection)),
            _ => Command::Stage(Box::new(Staged { collection: change.collection, shadows: change.shadows })),
        };
        let made = self.core.submit(command)?.collection.unwrap();
        Ok(made.staged.is_some())
    }

    fn restart(&mut self) {
        if self.rng.chance(50) {
            self.core.flush();
        }
        let disk = self.core.disk.clone();
        let core = std::mem::replace(&mut self.core, Stepped::new());
        core.close();
        self.core = Stepped::open_with(&disk, self.pieces).unwrap();
    }

    fn step(&mut self) {
        let (from, to) = (self.shape, self.another());
        match self.change(to) {
            Err(error) => {
                assert!(matches!(error.kind(), Kind::Unprocessable), "{from:?} to {to:?}: {error}");
                assert!(self.stands_against(from, to), "{from:?} to {to:?}: {error}");
            }
            Ok(false) => self.flipped(from, to),
            Ok(true) => {
                while self.core.collection("things").staged.is_some() {
                    match self.rng.below(10) {
                        0..=2 => self.write(),
                        3 if self.rng.chance(20) => self.restart(),
                        _ => drop(self.core.work()),
                    }
                }
                match &self.core.collection("things").refused {
                    None => self.flipped(from, to),
                    // What stood against it may have been written since, or gone since.
                    Some(refused) => assert!(refused.record.is_some(), "{from:?} to {to:?}: {refused:?}"),
                }
            }
        }
        self.compare();
    }

    fn stands_against(&self, from: Shape, to: Shape) -> bool {
        reshaped(&self.records, from, to).is_none()
    }

    fn flipped(&mut self, from: Shape, to: Shape) {
        let after = reshaped(&self.records, from, to);
        self.records = after.unwrap_or_else(|| panic!("{from:?} became {to:?}, against a record"));
        self.shape = to;
    }

    fn another(&mut self) -> Shape {
        let mut to = self.shape;
        for _ in 0..=self.rng.below(2) {
            match self.rng.below(6) {
                0 | 1 => to.n = TYPES[self.rng.below(4) as usize],
                2 => to.state = !to.state,
                3 => to.list = !to.list,
                4 => to.bound = !to.bound,
                _ => to.required = !to.required,
            }
        }
        to
    }

    fn compare(&mut self) {
        let things = self.core.collection("things");
        let (records, done) =
            crate::state::next_records(&self.core.view().stack, &things, None, 10_000, 1 << 30).unwrap();
        assert!(done);
        let mut seen = Records::new();
        for record in records {
            let mut shown = Map::new();
            for field in &things.fields {
                let mut out = Vec::new();
                pipeline::write_value(record.fields.get(field.id), &mut out);
                let value: Json = serde_json::from_slice(&out).unwrap();
                if !value.is_null() {
                    shown.insert(field.name.to_string(), value);
                }
            }
            seen.insert(record.id.to_string(), shown);
        }
        for (id, record) in &seen {
            assert_eq!(Some(record), self.records.get(id), "{id} in {:?}", self.shape);
        }
        assert_eq!(seen.len(), self.records.len());
    }
}

/// Takes an id out of a record's links.
fn unlink(record: &mut Map<String, Json>, id: &str) {
    match record.get_mut("link") {
        Some(Json::Array(ids)) => {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                record.remove("link");
            }
        }
        Some(link) if link == id => drop(record.remove("link")),
        _ => {}
    }
}

#[test]
fn records_become_what_a_new_definition_makes_of_them_whatever_is_written_meanwhile() {
    for seed in 1..=rounds(20, 200) {
        println!("seed {seed}");
        let mut run = Run::new(seed);
        for _ in 0..20 {
            run.write();
        }
        for _ in 0..12 {
            run.step();
            for _ in 0..4 {
                run.write();
            }
            run.compare();
        }
        while run.core.work() {}
        run.compare();
        let at = run.core.view().position.seq.0 / 2;
        run.core.assert_one_state(Seq(at));
    }
}

/// Twenty records in the first shape, seen to in pieces of two.
fn filled() -> Run {
    let pieces = Pieces { at_once: 0, rows: 8, bytes: 1 << 20 };
    let core = Stepped::open_with(&crate::disk::sim::SimDisk::new(1), pieces).unwrap();
    let mut run = Run { core, rng: Rng::new(1), pieces, records: Records::new(), shape: FIRST, made: 0 };
    run.core.define(&body(FIRST));
    for at in 10..30 {
        let text = format!(r#"{{"id":"r{at}","n":{at},"code":"c{at}"}}"#);
        run.core.fill(&[("things", &text)]);
    }
    run
}

#[test]
fn a_write_that_a_staged_definition_does_not_allow_ends_it() {
    let mut run = filled();
    assert!(run.change(Shape { n: "whole", bound: true, ..FIRST }).unwrap());
    let staged = run.core.collection("things").staged.clone().unwrap();
    assert!(run.core.work());
    let op = run.core.merge("things", "r11", r#"{"n":60.5}"#, None);
    run.core.write(&[("things", op)]).unwrap();
    let things = run.core.collection("things");
    let refused = things.refused.clone().unwrap();
    assert_eq!((refused.record.unwrap().as_str(), &*refused.field, &*refused.code), ("r11", "n", "not_whole"));
    assert!(things.staged.is_none());
    assert_eq!(things.last_field, staged.collection.last_field, "what was given out is not given out again");
    assert_eq!(things.last_index, staged.collection.last_index);
    assert_eq!(run.core.shown("things", "r11"), "n=60.5 code=\"c11\" twice=121");
    while run.core.work() {}
    run.core.assert_one_state(Seq(25));
}

#[test]
fn one_change_is_staged_at_a_time() {
    let mut run = filled();
    assert!(run.change(Shape { n: "text", ..FIRST }).unwrap());
    assert_eq!(run.change(Shape { n: "json", ..FIRST }).unwrap_err().code_str(), "changing");
    assert_eq!(run.core.redefine("things", |things| things.staged = None).unwrap_err().code_str(), "changing");
}

#[test]
fn a_truncate_puts_a_staged_definition_in_its_place() {
    let mut run = filled();
    assert!(run.change(Shape { n: "text", ..FIRST }).unwrap());
    assert!(run.core.work());
    let things = run.core.collection("things").id;
    run.core.submit(Command::Truncate(things)).unwrap();
    let things = run.core.collection("things");
    assert_eq!((things.staged.is_some(), things.field("n").unwrap().kind.name()), (false, "text"));
    while run.core.work() {}
    run.core.fill(&[("things", r#"{"id":"r1","n":"one","code":"c"}"#)]);
    run.core.assert_one_state(Seq(20));
}

/// A record of so many bytes takes steps of whoever reads it.
const LONG: usize = 1_900_000;

/// Things that point at others; then also with a field that is computed so.
fn stage_computed(core: &mut Stepped, computed: &str) {
    let fields = r#"{"name":"to","type":"relation","collection":"things"},{"name":"t","type":"text","max":2000000},
        {"name":"n","type":"number"}"#;
    core.define(&format!(r#"{{"name":"things","fields":[{fields}]}}"#));
    core.fill(&[("things", &format!(r#"{{"id":"a","n":1,"t":"{}"}}"#, "X".repeat(LONG)))]);
    let next = format!(r#"{{"fields":[{fields},{computed}]}}"#);
    let stored = core.collection("things");
    let change = definition::change(&core.view().schema, &stored, next.as_bytes(), core.now).unwrap();
    let staged = Staged { collection: change.collection, shadows: change.shadows };
    core.submit(Command::Stage(Box::new(staged))).unwrap();
    assert!(core.collection("things").staged.is_some());
}

fn unhurried() -> Stepped {
    let pieces = Pieces { at_once: 0, rows: 8, bytes: 1 << 20 };
    Stepped::open_with(&crate::disk::sim::SimDisk::new(1), pieces).unwrap()
}

#[test]
fn a_transaction_that_costs_too_much_to_follow_is_refused_and_ends_no_staged_definition() {
    let mut core = unhurried();
    stage_computed(&mut core, r#"{"name":"twice","type":"number","computed":"to.n * 2"}"#);
    let most = limits::TRANSACTION_STEPS_MAX / (LONG / 64);
    let ops: Vec<Op> =
        (0..most + 10).map(|at| core.create("things", &format!(r#"{{"id":"r{at}","to":"a"}}"#))).collect();
    let all: Vec<(&str, Op)> = ops.iter().map(|op| ("things", op.clone())).collect();
    assert_eq!(core.write(&all).unwrap_err().code_str(), "too_costly");
    assert!(core.collection("things").staged.is_some(), "no record is to blame");
    core.write(&all[..most / 2]).unwrap();
    // Of a load those are written that can be.
    let Command::Write(writes) = core.command(&all) else { panic!("writes") };
    let loaded = core.submit(Command::Load { writes: writes.into(), from: most / 2 }).unwrap().loaded.unwrap();
    assert!(loaded.refused.is_empty() && loaded.decided < most + 10, "{loaded:?}");
    core.write(&all[loaded.decided..]).unwrap();
    while core.work() {}
    let things = core.collection("things");
    assert_eq!((&things.staged, &things.refused), (&None, &None));
    for at in [0, most / 2, most + 9] {
        assert_eq!(core.shown("things", &format!("r{at}")), r#"to="a" twice=2"#);
    }
}

#[test]
fn a_record_that_can_never_follow_a_staged_definition_ends_it() {
    let mut core = unhurried();
    let lower = format!("{}t{}", "lower(".repeat(8), ")".repeat(8));
    stage_computed(&mut core, &format!(r#"{{"name":"low","type":"text","computed":"{lower}"}}"#));
    let create = core.create("things", &format!(r#"{{"id":"b","t":"{}"}}"#, "X".repeat(LONG)));
    core.write(&[("things", create)]).unwrap();
    let refused = core.collection("things").refused.clone().unwrap();
    assert_eq!((refused.record.unwrap().as_str(), &*refused.code), ("b", "too_costly"));
}
