//! Jobs: when they were last due, and that a write of a run that is refused leaves nothing.

use super::expressions::refusal;
use super::fixture::*;
use crate::id::RecordId;
use crate::model::command::{Command, Committed, Op, Piece, Step, Write};
use crate::model::definition;
use crate::model::guard::Guard;
use crate::model::job::{self, ACTIVE, JOBS, RUNS};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

const PARENTS: &str = r#"{"name":"parents","fields":[{"name":"n","type":"number","integer":true}]}"#;
const CHILDREN: &str = r#"{"name":"children","fields":[
    {"name":"of","type":"relation","collection":"parents","onDelete":"cascade"}]}"#;
const PETS: &str = r#"{"name":"pets","fields":[
    {"name":"of","type":"relation","collection":"children","onDelete":"restrict"}]}"#;
const JOB: &str = r#"{"id":"j","name":"j","source":{"collection":"parents"},"task":{"delete":{}}"#;

fn core() -> Stepped {
    let mut core = Stepped::with(&[PARENTS, CHILDREN, PETS]);
    for text in job::definitions() {
        let own = definition::parse_own(&core.view().schema, text.as_bytes(), NOW).unwrap();
        core.submit(Command::Define(Box::new(own))).unwrap();
    }
    let op = core.create(JOBS, &format!("{JOB}}}"));
    core.write(&[(JOBS, op)]).unwrap();
    core
}

fn begin(core: &mut Stepped) {
    let runs = core.collection(RUNS);
    let values = [
        ("job", Value::text("j")),
        ("name", Value::text("j")),
        (ACTIVE, Value::text("j")),
        ("state", Value::text("running")),
    ];
    let fields: Fields = values.into_iter().map(|(name, value)| (runs.field(name).unwrap().id, value)).collect();
    core.write(&[(RUNS, Op::Create { id: id("run"), fields })]).unwrap();
}

fn value(core: &Stepped, collection: &str, record: &str, name: &str) -> Value {
    let field = core.collection(collection).field(name).unwrap().id;
    core.record(collection, record).unwrap().fields.get(field).clone()
}

fn work(core: &mut Stepped, ids: &[&str]) -> Committed {
    let (parents, version) = (core.collection("parents"), core.record(RUNS, "run").unwrap().version);
    let step = |id: RecordId| {
        let op = Op::Delete { id: id.clone(), if_match: None };
        let write = Write { collection: parents.id, schema: parents.version, guard: Guard::for_server(), op };
        Step { id, write: Ok(write) }
    };
    let steps = ids.iter().map(|text| step(id(text))).collect();
    let piece = Piece { run: id("run"), version, steps, sets: Vec::new(), stops: false, ends: Vec::new() };
    core.submit(Command::Work(Box::new(piece))).unwrap()
}

#[test]
fn when_a_job_was_last_due_goes_only_further_on() {
    let mut core = core();
    assert_eq!(value(&core, JOBS, "j", "scheduled"), Value::Date(NOW), "it counts from when it was made");
    let field = core.collection(JOBS).field("scheduled").unwrap().id;
    let later = Value::Date(Millis(NOW.0 + 5_000));
    let moves = |value: &Value| Op::Merge {
        id: id("j"),
        patch: vec![(field, value.clone())],
        merges: Vec::new(),
        adjusts: Vec::new(),
        if_match: None,
    };
    core.write(&[(JOBS, moves(&later))]).unwrap();
    for back in [Value::Null, Value::Date(NOW)] {
        core.write(&[(JOBS, moves(&back))]).unwrap();
        assert_eq!(value(&core, JOBS, "j", "scheduled"), later);
    }
    let whole = core.put(JOBS, "j", &format!("{JOB},\"keep\":7}}"), None, false);
    core.write(&[(JOBS, whole)]).unwrap();
    assert_eq!((value(&core, JOBS, "j", "scheduled"), value(&core, JOBS, "j", "keep")), (later, Value::Int(7)));
}

#[test]
fn a_write_that_is_refused_leaves_nothing_and_holds_up_no_other() {
    let mut core = core();
    for parent in ["a", "b", "c"] {
        for (collection, body) in [
            ("parents", format!(r#"{{"id":"{parent}"}}"#)),
            ("children", format!(r#"{{"id":"{parent}1","of":"{parent}"}}"#)),
        ] {
            let op = core.create(collection, &body);
            core.write(&[(collection, op)]).unwrap();
        }
    }
    // Its child would go, and may not.
    let op = core.create("pets", r#"{"id":"cat","of":"b1"}"#);
    core.write(&[("pets", op)]).unwrap();
    begin(&mut core);
    let committed = work(&mut core, &["a", "b", "c", "gone"]);
    let loaded = committed.loaded.unwrap();
    assert_eq!((loaded.decided, loaded.updated, loaded.refused.len()), (4, 2, 1));
    let left = |collection: &str, record: &str| core.record(collection, record).is_some();
    assert!(left("parents", "b") && left("children", "b1") && !left("parents", "a") && !left("children", "c1"));
    assert_eq!(
        (value(&core, RUNS, "run", "done"), value(&core, RUNS, "run", "failed")),
        (Value::Int(2), Value::Int(1))
    );
    assert!(!value(&core, RUNS, "run", "faults").is_null());
    let at = core.view().position.seq;
    core.assert_one_state(at);
}

#[test]
fn a_job_goes_with_its_runs_and_not_while_one_is_under_way() {
    let mut core = core();
    begin(&mut core);
    let go = || Op::Delete { id: id("j"), if_match: None };
    assert_eq!(refusal(core.write(&[(JOBS, go())])), "Conflict run_active");
    assert_eq!(refusal(core.write(&[(RUNS, Op::Delete { id: id("run"), if_match: None })])), "Conflict run_active");
    let active = core.collection(RUNS).field(ACTIVE).unwrap().id;
    let ends = Op::Merge {
        id: id("run"),
        patch: vec![(active, Value::Null)],
        merges: Vec::new(),
        adjusts: Vec::new(),
        if_match: None,
    };
    core.write(&[(RUNS, ends)]).unwrap();
    core.write(&[(JOBS, go())]).unwrap();
    assert!(core.record(RUNS, "run").is_none());
}
