//! Loads: each write judged by itself inside one entry.

use std::sync::Arc;

use super::fixture::{Stepped, id};
use crate::limits;
use crate::model::command::{Command, Committed, Loaded, Op, Write};
use crate::model::guard::Guard;
use crate::model::value::Value;

const THINGS: &str = r#"{"name":"things","fields":[
    {"name":"code","type":"text"},{"name":"n","type":"number","integer":true},
    {"name":"to","type":"relation","collection":"things"},{"name":"note","type":"text","max":1000000}],
    "indexes":[{"name":"code","fields":["code"],"unique":true}],
    "checks":[{"name":"small","expr":"n = null || n < 10","message":"too big"}]}"#;

fn writes(core: &Stepped, ops: Vec<Op>) -> Arc<[Write]> {
    let collection = core.collection("things");
    let write = |op| Write { collection: collection.id, schema: collection.version, guard: Guard::for_server(), op };
    ops.into_iter().map(write).collect()
}

fn load(core: &mut Stepped, writes: &Arc<[Write]>, from: usize) -> (Committed, Loaded) {
    let committed = core.submit(Command::Load { writes: writes.clone(), from }).expect("a load is never refused");
    let loaded = *committed.loaded.clone().expect("what became of it");
    (committed, loaded)
}

fn refused(loaded: &Loaded) -> Vec<(usize, &str)> {
    loaded.refused.iter().map(|(at, refusal)| (*at, refusal.code)).collect()
}

#[test]
fn a_refused_write_leaves_nothing_and_the_others_stand() {
    let mut core = Stepped::with(&[THINGS]);
    let ops = [
        r#"{"id":"a","code":"1"}"#,
        r#"{"id":"b","code":"1"}"#,
        r#"{"id":"c","code":"2","to":"b"}"#,
        r#"{"id":"d","code":"3","to":"a"}"#,
        r#"{"id":"e","n":10}"#,
        r#"{"id":"a"}"#,
        r#"{"id":"b","code":"2","to":"d"}"#,
    ];
    let ops: Vec<Op> = ops.iter().map(|body| core.create("things", body)).collect();
    let writes = writes(&core, ops);
    let before = core.view().position.seq;
    let (committed, loaded) = load(&mut core, &writes, 0);
    assert_eq!(committed.position.seq.0, before.0 + 1, "one entry");
    let expected = [(1, "unique"), (2, "relation_missing"), (4, "check"), (5, "exists")];
    assert_eq!(refused(&loaded), expected, "each behind those before it, as far as they stand");
    assert_eq!((loaded.decided, loaded.created, loaded.updated), (7, 3, 0));
    for (name, there) in [("a", true), ("b", true), ("c", false), ("d", true), ("e", false)] {
        assert_eq!(core.record("things", name).is_some(), there, "{name}");
    }
}

#[test]
fn what_nothing_comes_of_logs_nothing() {
    let mut core = Stepped::with(&[THINGS]);
    core.fill(&[("things", r#"{"id":"a","n":1}"#)]);
    let ops = vec![core.create("things", r#"{"id":"a"}"#), core.put("things", "a", r#"{"n":1}"#, None, false)];
    let writes = writes(&core, ops);
    let before = core.view().position;
    let (committed, loaded) = load(&mut core, &writes, 0);
    assert_eq!(committed.position, before);
    assert_eq!((refused(&loaded), loaded.updated), (vec![(0, "exists")], 1), "what is so already counts as done");
}

#[test]
fn a_later_write_replaces_what_an_earlier_one_made() {
    let mut core = Stepped::with(&[THINGS]);
    let put = |core: &Stepped, id, body| core.put("things", id, body, None, false);
    let ops = vec![put(&core, "a", r#"{"n":1}"#), put(&core, "a", r#"{"n":10}"#), put(&core, "a", r#"{"n":2}"#)];
    let writes = writes(&core, ops);
    let (_, loaded) = load(&mut core, &writes, 0);
    assert_eq!((loaded.created, loaded.updated, refused(&loaded)), (1, 1, vec![(1, "check")]));
    let n = core.collection("things").field("n").expect("a field").id;
    assert_eq!(core.record("things", "a").expect("there").fields.get(n), &Value::Int(2));
}

#[test]
fn a_load_ends_before_its_entry_is_full_and_goes_on_in_the_next() {
    let mut core = Stepped::with(&[THINGS]);
    let long = "x".repeat(limits::ENTRY_BYTES_PIECE / 2);
    let ops = (0..5).map(|at| core.create("things", &format!(r#"{{"id":"r{at}","note":"{long}"}}"#))).collect();
    let writes = writes(&core, ops);
    let (mut from, mut ends) = (0, Vec::new());
    while from < writes.len() {
        let (_, loaded) = load(&mut core, &writes, from);
        assert!(refused(&loaded).is_empty(), "none is refused for what the others take");
        from = loaded.decided;
        ends.push(from);
    }
    assert_eq!(ends, [2, 4, 5]);
    let many = (0..=limits::ENTRY_CHANGES_PIECE).map(|at| core.create("things", &format!(r#"{{"id":"s{at}"}}"#)));
    let many = self::writes(&core, many.collect());
    let (_, loaded) = load(&mut core, &many, 0);
    assert_eq!(loaded.decided, limits::ENTRY_CHANGES_PIECE);
}

#[test]
fn a_load_ends_where_its_steps_run_short_and_refuses_none_for_it() {
    const LENGTH: usize = 1_900_000;
    let costly = r#"{"name":"things","fields":[{"name":"to","type":"relation","collection":"things"},
        {"name":"t","type":"text","max":2000000},{"name":"n","type":"number"}],
        "checks":[{"name":"k","expr":"to = null || to.n = 1","message":"m"}]}"#;
    let mut core = Stepped::with(&[costly]);
    core.fill(&[("things", &format!(r#"{{"id":"a","n":1,"t":"{}"}}"#, "x".repeat(LENGTH)))]);
    let most = limits::TRANSACTION_STEPS_MAX / (LENGTH / 64);
    let ops = (0..most + 10).map(|at| core.create("things", &format!(r#"{{"id":"r{at}","to":"a"}}"#))).collect();
    let writes = writes(&core, ops);
    let (_, first) = load(&mut core, &writes, 0);
    assert!(refused(&first).is_empty() && (most - 2..=most).contains(&first.decided), "{first:?}");
    let (_, rest) = load(&mut core, &writes, first.decided);
    assert_eq!((refused(&rest), rest.decided), (vec![], most + 10));
}

#[test]
fn a_load_against_another_definition_does_nothing() {
    let mut core = Stepped::with(&[THINGS]);
    let ops = vec![core.create("things", r#"{"id":"a"}"#)];
    let mut stale = writes(&core, ops).to_vec();
    stale[0].schema.0 -= 1;
    let outcome = core.submit(Command::Load { writes: stale.into(), from: 0 });
    assert_eq!(outcome.expect_err("stale").code_str(), "stale_schema");
}

#[test]
fn a_load_neither_changes_nor_deletes() {
    let mut core = Stepped::with(&[THINGS]);
    core.fill(&[("things", r#"{"id":"a"}"#)]);
    let writes = writes(&core, vec![Op::Delete { id: id("a"), if_match: None }]);
    assert!(core.submit(Command::Load { writes, from: 0 }).is_err());
    assert!(core.record("things", "a").is_some());
}
