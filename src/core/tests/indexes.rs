//! Indexes that come to a filled collection, are built while it is written to, fail, and go.

use std::time::Instant;

use super::fixture::{Stepped, add_index, id, refused};
use crate::core::Outcome;
use crate::core::decide::Pieces;
use crate::disk::sim::SimDisk;
use crate::error::{Error, Kind};
use crate::id::{IndexId, Seq};
use crate::limits;
use crate::model::change::Change;
use crate::model::command::{Command, Op};
use crate::model::guard::Guard;
use crate::model::query::Query;
use crate::model::schema::{Collection, Duplicate, IndexState};
use crate::model::sort;
use crate::model::value::Value;
use crate::state::query::{Budget, list};
use crate::state::{self, Progress};

const THINGS: &str = r#"{"name":"things","fields":[{"name":"name","type":"text"},
    {"name":"n","type":"number","integer":true},{"name":"tags","type":"select","values":["x","y","z"],"maxSelect":3},
    {"name":"long","type":"text"}]}"#;
/// Everything is built in pieces of two rows.
const SMALL: Pieces = Pieces { at_once: 0, rows: 2, bytes: 1 << 20 };

fn refusal(outcome: Outcome) -> Error {
    outcome.expect_err("refused")
}

fn code(outcome: Outcome) -> String {
    let error = refusal(outcome);
    refused(error.kind(), error.code_str())
}

/// Things `r0`, `r1`, … with these bodies.
fn filled(pieces: Pieces, bodies: &[&str]) -> Stepped {
    let mut core = Stepped::open_with(&SimDisk::new(1), pieces).unwrap();
    core.define(THINGS);
    for (at, body) in bodies.iter().enumerate() {
        create(&mut core, &format!("r{at}"), body).unwrap();
    }
    core
}

fn create(core: &mut Stepped, id: &str, body: &str) -> Outcome {
    let op = core.create("things", &format!(r#"{{"id":"{id}",{body}}}"#));
    core.write(&[("things", op)])
}

fn add(core: &mut Stepped, fields: &[&str], unique: bool) -> Outcome {
    core.redefine("things", |next| add_index(next, "added", fields, unique))
}

fn state_of(core: &Stepped) -> IndexState {
    core.collection("things").indexes.iter().find(|index| &*index.name == "added").unwrap().state.clone()
}

fn duplicates(core: &Stepped) -> Vec<Duplicate> {
    match state_of(core) {
        IndexState::Failed { duplicates, too_long } => {
            assert_eq!(too_long, []);
            duplicates
        }
        other => panic!("{other:?}"),
    }
}

fn last_entry(core: &Stepped) -> Vec<Change> {
    core.entries().last().unwrap().entry.changes.clone()
}

fn work_off(core: &mut Stepped) -> usize {
    (0..10_000).take_while(|_| core.work()).count()
}

/// The entries of all indexes of a collection, whoever they are of.
fn entries(core: &Stepped, collection: &Collection) -> usize {
    let mut head = vec![3];
    head.extend(collection.id.0.to_be_bytes());
    core.keys().keys().filter(|key| key.starts_with(&head)).count()
}

/// The ids by `n`, and whether an index was walked.
fn by_n(core: &Stepped) -> (Vec<String>, bool) {
    let (view, collection) = (core.view(), core.collection("things"));
    let query = Query {
        collection: collection.id,
        schema: collection.version,
        guard: Guard::for_server(),
        filter: None,
        sort: sort::parse(&collection, "n", true).unwrap(),
        after: None,
        offset: 0,
        limit: 100,
        count: true,
    };
    let mut budget = Budget::new(1_000, Instant::now() + limits::QUERY_TIME_MAX);
    let page = list(&view.stack, &view.schema, &query, &mut budget).unwrap();
    let ids = page.records.iter().map(|record| record.id.to_string()).collect();
    (ids, page.plan.walks[0].index.is_some())
}

#[test]
fn an_index_of_few_rows_is_built_in_the_entry_that_defines_it() {
    let mut core = filled(Pieces::default(), &[r#""n":3"#, r#""n":1"#, r#""n":2"#]);
    add(&mut core, &["n"], true).unwrap();
    let changes = last_entry(&core);
    let [Change::Defined { .. }, Change::Backfilled { rows: 3, keys, .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(keys.len(), 3);
    assert_eq!(state_of(&core), IndexState::Ready);
    assert!(!core.work(), "nothing is left to do");
    assert_eq!(by_n(&core), (vec!["r1".to_owned(), "r2".to_owned(), "r0".to_owned()], true));
    assert_eq!(code(create(&mut core, "r3", r#""n":2"#)), "Conflict unique");
    core.assert_one_state(Seq(4));
}

#[test]
fn an_index_of_no_rows_is_ready_with_its_definition() {
    let mut core = filled(SMALL, &[]);
    add(&mut core, &["n"], true).unwrap();
    assert!(matches!(&last_entry(&core)[..], [Change::Defined { .. }]));
    assert_eq!(state_of(&core), IndexState::Ready);
}

#[test]
fn few_rows_that_do_not_allow_an_index_refuse_it() {
    let twins = [r#""name":"a","n":1"#, r#""name":"b","n":1"#, r#""name":"a","n":1"#, r#""n":1"#, r#""n":1"#];
    let mut core = filled(Pieces::default(), &twins);
    let error = refusal(add(&mut core, &["name", "n"], true));
    assert_eq!((error.kind(), error.code_str()), (Kind::Unprocessable, "not_unique"));
    let faults: Vec<_> = error.field_faults().iter().map(|fault| (&*fault.field, &*fault.message)).collect();
    assert_eq!(faults, [("indexes.0", r#"the records r0 and r2 both have name "a", n 1"#)]);
    assert_eq!(refusal(add(&mut core, &["n"], true)).field_faults().len(), 4, "each but the first");
    add(&mut core, &["name", "n"], false).unwrap();

    let long = "x".repeat(limits::INDEXED_TEXT_BYTES_MAX + 1);
    create(&mut core, "long", &format!(r#""long":"{long}""#)).unwrap();
    let error = refusal(core.redefine("things", |next| add_index(next, "second", &["long"], false)));
    assert_eq!((error.kind(), error.code_str()), (Kind::Unprocessable, "too_long_for_index"));
    assert!(error.field_faults()[0].message.contains("the record long"), "{error:?}");
}

#[test]
fn no_more_than_some_flaws_are_named() {
    let same: Vec<&str> = vec![r#""n":1"#; limits::INDEX_FLAWS_MAX + 5];
    let mut core = filled(Pieces::default(), &same);
    assert_eq!(refusal(add(&mut core, &["n"], true)).field_faults().len(), limits::INDEX_FLAWS_MAX);
    let mut core = filled(Pieces { rows: 100, ..SMALL }, &same);
    add(&mut core, &["n"], true).unwrap();
    assert!(core.work());
    assert_eq!(duplicates(&core).len(), limits::INDEX_FLAWS_MAX);
}

#[test]
fn more_rows_than_are_done_at_once_are_built_in_pieces() {
    let mut core = filled(Pieces::default(), &[]);
    let writes: Vec<(&str, Op)> = (0..limits::INDEX_AT_ONCE_ROWS)
        .map(|n| ("things", core.create("things", &format!(r#"{{"id":"r{n:04}","n":{n}}}"#))))
        .collect();
    core.write(&writes).unwrap();
    add(&mut core, &["n"], true).unwrap();
    assert_eq!(state_of(&core), IndexState::Ready, "just as many as are done at once");
    core.redefine("things", |next| next.indexes.clear()).unwrap();
    create(&mut core, "one-more", r#""n":-1"#).unwrap();
    add(&mut core, &["n"], true).unwrap();
    assert_eq!(state_of(&core), IndexState::Building);
    work_off(&mut core);
    assert_eq!(state_of(&core), IndexState::Ready);
    let pieces = core.entries();
    let pieces = pieces.iter().flat_map(|logged| &logged.entry.changes).filter_map(|change| match change {
        Change::Backfilled { keys, .. } => Some(keys.len()),
        _ => None,
    });
    assert_eq!(pieces.clone().next(), Some(limits::INDEX_AT_ONCE_ROWS));
    assert!(pieces.clone().skip(1).all(|keys| keys <= limits::WORK_ROWS_PIECE), "no piece holds the writer long");
    assert_eq!(pieces.sum::<usize>(), 2 * limits::INDEX_AT_ONCE_ROWS + 1);
    core.assert_one_state(Seq(4));
}

#[test]
fn a_piece_is_bounded_in_bytes_and_keys_too() {
    let long = format!(r#""long":"{}","tags":["x","y","z"]"#, "x".repeat(900));
    let mut core = filled(Pieces { at_once: 0, rows: 100, bytes: 2_000 }, &[&*long; 7]);
    add(&mut core, &["long"], false).unwrap();
    // A row and its key are somewhat under 2,000 bytes: two of them are over.
    assert_eq!(work_off(&mut core), 4);
    let mut core = filled(Pieces { at_once: 0, rows: 4, bytes: 1 << 20 }, &[&*long; 7]);
    add(&mut core, &["tags"], false).unwrap();
    assert_eq!(work_off(&mut core), 4, "three keys each: two rows a piece");
    // Few rows of many bytes aren't done at once either.
    let mut core = filled(Pieces { at_once: 10, rows: 10, bytes: 2_000 }, &[&*long; 7]);
    add(&mut core, &["long"], false).unwrap();
    assert_eq!(state_of(&core), IndexState::Building);
}

#[test]
fn a_build_goes_on_among_writes_and_after_restarts() {
    let bodies = ["3", "1", "4", "1", "5", "9", "2"].map(|n| format!(r#""n":{n},"tags":["x","z"]"#));
    let mut core = filled(SMALL, &bodies.each_ref().map(|body| &**body));
    add(&mut core, &["-n"], false).unwrap();
    assert_eq!(state_of(&core), IndexState::Building);
    let (view, things) = (core.view(), core.collection("things"));
    let index = things.indexes.last().unwrap().id;
    let progress = |core: &Stepped| state::progress(&core.view().stack, things.id, things.generation, index).unwrap();
    assert_eq!(progress(&core), Some(Progress::default()));
    assert!(!by_n(&core).1, "it is not used before it is ready: {:?}", view.position);
    assert!(core.work());
    assert_eq!(progress(&core), Some(Progress { rows: 2, through: Some(id("r1")) }));
    // Behind the build, before it, and new on both sides.
    for (record, body) in [("r0", r#"{"n":7}"#), ("r5", r#"{"n":8}"#), ("r6", r#"{"name":"other"}"#)] {
        let op = core.merge("things", record, body, None);
        core.write(&[("things", op)]).unwrap();
    }
    core.write(&[("things", Op::Delete { id: id("r1"), if_match: None })]).unwrap();
    core.write(&[("things", Op::Delete { id: id("r4"), if_match: None })]).unwrap();
    create(&mut core, "a", r#""n":0"#).unwrap();
    create(&mut core, "z", r#""n":6"#).unwrap();
    core.flush();
    let disk = core.close();
    let mut core = Stepped::open_with(&disk, SMALL).unwrap();
    assert_eq!(progress(&core), Some(Progress { rows: 2, through: Some(id("r1")) }), "a restart goes on");
    assert!(core.work());
    let mut core = Stepped::open_with(&core.disk.crash(1), SMALL).unwrap();
    assert_eq!(progress(&core).map(|progress| progress.rows), Some(4), "so does a start after a crash");
    work_off(&mut core);
    assert_eq!(state_of(&core), IndexState::Ready);
    assert_eq!(progress(&core), None);
    assert_eq!(by_n(&core), (["a", "r3", "r6", "r2", "z", "r0", "r5"].map(str::to_owned).to_vec(), true));
    core.assert_one_state(Seq(10));
}

#[test]
fn a_write_that_doubles_values_fails_a_build_and_is_not_refused() {
    let mut core = filled(SMALL, &[r#""n":1"#, r#""n":2"#, r#""n":3"#, r#""n":4"#]);
    add(&mut core, &["n"], true).unwrap();
    core.work();
    create(&mut core, "twin", r#""n":2"#).unwrap();
    let changes = last_entry(&core);
    assert!(matches!(&changes[..], [Change::Created { .. }, Change::Defined { .. }]), "{changes:?}");
    let expected = Duplicate { values: vec![Value::Int(2)], ids: [id("r1"), id("twin")] };
    assert_eq!(duplicates(&core), [expected]);
    create(&mut core, "later", r#""n":2"#).unwrap();
    assert!(matches!(&last_entry(&core)[..], [Change::Created { .. }]), "it is not kept any more");
    work_off(&mut core);
    assert_eq!(entries(&core, &core.collection("things")), 0, "its entries went");
    assert!(!by_n(&core).1, "it is not used");
    // One that failed doesn't bound what may be written; taken out, it leaves nothing behind.
    core.redefine("things", |next| next.indexes.clear()).unwrap();
    assert!(!core.work());
    core.assert_one_state(Seq(7));
}

#[test]
fn a_row_with_the_values_of_another_fails_a_build() {
    let twins = [r#""n":1"#, r#""n":2"#, r#""n":3"#, r#""n":2"#];
    let mut core = filled(SMALL, &twins);
    add(&mut core, &["n"], true).unwrap();
    core.work();
    assert_eq!(state_of(&core), IndexState::Building);
    core.work();
    let expected = Duplicate { values: vec![Value::Int(2)], ids: [id("r1"), id("r3")] };
    assert_eq!(duplicates(&core), [expected], "met in different pieces");
    work_off(&mut core);
    assert_eq!(entries(&core, &core.collection("things")), 0);

    // A write doubles a row that the build has not reached: only the row's turn shows it.
    let mut core = filled(SMALL, &[r#""n":1"#, r#""n":2"#, r#""n":3"#]);
    add(&mut core, &["n"], true).unwrap();
    create(&mut core, "z", r#""n":3"#).unwrap();
    assert_eq!(state_of(&core), IndexState::Building);
    core.work();
    core.work();
    let expected = Duplicate { values: vec![Value::Int(3)], ids: [id("z"), id("r2")] };
    assert_eq!(duplicates(&core), [expected]);
}

#[test]
fn a_text_too_long_for_an_index_fails_a_build() {
    let mut core = filled(SMALL, &[r#""n":1"#]);
    let long = "x".repeat(limits::INDEXED_TEXT_BYTES_MAX + 1);
    create(&mut core, "long", &format!(r#""long":"{long}""#)).unwrap();
    add(&mut core, &["long"], false).unwrap();
    core.work();
    assert_eq!(state_of(&core), IndexState::Failed { duplicates: Vec::new(), too_long: vec![id("long")] });
    assert!(!core.collection("things").indexes[0].is_kept());
    create(&mut core, "longer", &format!(r#""long":"{long}""#)).unwrap();
}

#[test]
fn values_that_are_doubled_within_one_transaction_only_fail_nothing() {
    let mut core = filled(SMALL, &[r#""n":1"#, r#""n":2"#, r#""n":3"#]);
    add(&mut core, &["n"], true).unwrap();
    core.work();
    let swap = [
        ("things", core.merge("things", "r0", r#"{"n":2}"#, None)),
        ("things", core.merge("things", "r1", r#"{"n":1}"#, None)),
    ];
    core.write(&swap).unwrap();
    let and_gone = [
        ("things", core.create("things", r#"{"id":"x","n":1}"#)),
        ("things", Op::Delete { id: id("x"), if_match: None }),
    ];
    core.write(&and_gone).unwrap();
    assert_eq!(state_of(&core), IndexState::Building);
    // The first holder goes, a second one stays.
    let between = [
        ("things", core.create("things", r#"{"id":"a","n":9}"#)),
        ("things", core.create("things", r#"{"id":"b","n":9}"#)),
        ("things", core.create("things", r#"{"id":"c","n":9}"#)),
        ("things", Op::Delete { id: id("a"), if_match: None }),
    ];
    core.write(&between).unwrap();
    let found = duplicates(&core);
    assert!(found.iter().all(|one| !one.ids.contains(&id("a"))) && !found.is_empty(), "{found:?}");
}

#[test]
fn nulls_are_never_the_same() {
    let mut core = filled(SMALL, &[r#""name":"a""#, r#""name":"b""#, r#""name":"c""#]);
    add(&mut core, &["n", "name"], true).unwrap();
    create(&mut core, "twin", r#""name":"a""#).unwrap();
    work_off(&mut core);
    assert_eq!(state_of(&core), IndexState::Ready);
}

#[test]
fn an_index_that_goes_leaves_entries_that_are_removed_in_pieces() {
    let bodies = vec![r#""n":1,"tags":["x","y"]"#; 7];
    let mut core = filled(SMALL, &bodies);
    core.redefine("things", |next| {
        add_index(next, "stays", &["n"], false);
        add_index(next, "goes", &["tags"], false);
    })
    .unwrap();
    work_off(&mut core);
    let things = core.collection("things");
    assert_eq!(entries(&core, &things), 21);
    core.redefine("things", |next| drop(next.indexes.pop())).unwrap();
    assert_eq!(
        state::garbage(&core.view().stack).unwrap(),
        Some((things.id, things.generation, Some(IndexId(2)))),
        "{things:?}"
    );
    assert!(core.work());
    let mut core = Stepped::open_with(&core.disk.crash(2), SMALL).unwrap();
    assert_eq!(work_off(&mut core), 6, "14 keys by two");
    assert_eq!(entries(&core, &core.collection("things")), 7);
    // Its id is not used again.
    add(&mut core, &["tags"], false).unwrap();
    assert_eq!(core.collection("things").indexes.last().unwrap().id, IndexId(3));
    core.assert_one_state(Seq(12));
}

#[test]
fn what_is_being_built_goes_with_its_index_its_filling_and_its_collection() {
    let build = || {
        let mut core = filled(SMALL, &[r#""n":1"#, r#""n":2"#, r#""n":3"#, r#""n":4"#]);
        add(&mut core, &["n"], true).unwrap();
        core.work();
        core
    };
    let mut core = build();
    core.redefine("things", |next| next.indexes.clear()).unwrap();
    work_off(&mut core);
    assert_eq!(entries(&core, &core.collection("things")), 0);

    let mut core = build();
    let things = core.collection("things");
    core.submit(Command::Truncate(things.id)).unwrap();
    assert_eq!(state_of(&core), IndexState::Ready, "of no rows there is nothing to build");
    create(&mut core, "a", r#""n":1"#).unwrap();
    assert_eq!(code(create(&mut core, "b", r#""n":1"#)), "Conflict unique");
    work_off(&mut core);
    assert_eq!(entries(&core, &things), 1);
    core.assert_one_state(Seq(8));

    let mut core = build();
    // An index that goes just before leaves a mark of its own.
    core.redefine("things", |next| {
        next.indexes.clear();
        add_index(next, "other", &["name"], false);
    })
    .unwrap();
    core.submit(Command::Drop(core.collection("things").id)).unwrap();
    work_off(&mut core);
    assert_eq!(core.keys().len(), 1, "only the counter of collections is left");
    core.assert_one_state(Seq(7));
}

#[test]
fn what_is_decided_of_an_index_that_is_gone_is_nothing() {
    let mut core = filled(SMALL, &[r#""n":1"#, r#""n":2"#]);
    add(&mut core, &["n"], true).unwrap();
    let piece = core.writer.work().unwrap().unwrap();
    let things = core.collection("things").id;
    let mut next = (*core.collection("things")).clone();
    next.indexes.clear();
    let now = core.now;
    let commands = [Command::Redefine(Box::new(next)), piece.clone(), Command::Drop(things), piece];
    let outcomes = core.writer.commit(&commands, now).unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(last_entry(&core).len(), 1);
}

#[test]
fn works_take_turns() {
    let mut core = filled(SMALL, &[r#""n":1"#; 9]);
    core.redefine("things", |next| add_index(next, "goes", &["n"], false)).unwrap();
    work_off(&mut core);
    core.redefine("things", |next| {
        next.indexes.clear();
        add_index(next, "added", &["n"], false);
    })
    .unwrap();
    let begun = core.entries().len();
    (0..4).for_each(|_| assert!(core.work()));
    let entries = core.entries();
    let builds = entries[begun..].iter().filter(|one| matches!(one.entry.changes[0], Change::Backfilled { .. }));
    assert_eq!(builds.count(), 2);
}

#[test]
fn a_definition_in_the_place_of_another_keeps_what_is_the_servers() {
    let mut core = filled(SMALL, &[r#""n":1"#, r#""n":1"#, r#""n":3"#]);
    add(&mut core, &["n"], true).unwrap();
    let (before, made) = (core.view().position, core.collection("things"));
    assert_eq!(core.redefine("things", |_| ()).unwrap().position, before, "nothing changes, nothing is logged");
    core.now.0 += 5;
    // What it says of the states of indexes, of the filling and of times is not its to say.
    core.redefine("things", |next| {
        next.rules.list = Some("".into());
        next.indexes[0].state = IndexState::Ready;
        next.generation.0 += 1;
        next.created.0 += 1;
        next.last_index.0 = 0;
    })
    .unwrap();
    let now = core.collection("things");
    assert_eq!(now.rules.list.as_deref(), Some(""));
    assert_eq!(state_of(&core), IndexState::Building);
    assert_eq!((now.generation, now.created, now.last_index), (made.generation, made.created, made.last_index));
    assert_eq!((now.updated, now.version), (core.now, core.view().position.seq));
    // What the server finds out moves the version, not what a client sees of when it changed.
    work_off(&mut core);
    let failed = core.collection("things");
    assert!(failed.version > now.version && failed.updated == now.updated);

    let mut stale = (*made).clone();
    stale.name = "other".into();
    assert_eq!(code(core.submit(Command::Redefine(Box::new(stale)))), "Conflict stale_schema");
    core.redefine("things", |next| next.name = "items".into()).unwrap();
    assert!(core.view().schema.find("things").is_none() && core.record("items", "r0").is_some());
    core.define(THINGS);
    assert_eq!(code(core.redefine("items", |next| next.name = "things".into())), "Conflict exists");
    core.assert_one_state(Seq(6));
}

#[test]
fn a_definition_takes_nothing_that_others_expressions_read() {
    let mut core = Stepped::with(&[
        r#"{"name":"users","fields":[{"name":"name","type":"text"},{"name":"age","type":"number"}]}"#,
        r#"{"name":"notes","fields":[{"name":"user","type":"relation","collection":"users"}],"viewRule":"user.name = 'x'"}"#,
        r#"{"name":"more","fields":[{"name":"n","type":"number"}],"listRule":"n > 1"}"#,
    ]);
    let error = refusal(core.redefine("users", |next| drop(next.fields.remove(0))));
    assert_eq!((error.kind(), error.code_str()), (Kind::Conflict, "referred_to"));
    assert_eq!(error.field_faults()[0].field, "notes.viewRule");
    assert_eq!(code(core.redefine("more", |next| drop(next.fields.remove(0)))), "Conflict stale_schema");
    core.redefine("users", |next| drop(next.fields.remove(1))).unwrap();
    core.redefine("users", |next| next.name = "people".into()).unwrap();
    core.assert_one_state(Seq(4));
}
