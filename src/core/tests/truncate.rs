//! Collections that are emptied, and what the relations of others say to it.

use super::fixture::{Stepped, id, refused};
use crate::core::Outcome;
use crate::id::{CollectionId, Generation, Seq};
use crate::limits;
use crate::model::change::Change;
use crate::model::command::{Command, Op};
use crate::state;

const A: &str = r#"{"name":"a","fields":[{"name":"n","type":"number"},{"name":"peer","type":"relation","collection":"a"}],
    "indexes":[{"name":"n","fields":["n"]}]}"#;
const B: &str = r#"{"name":"b","fields":[
    {"name":"casc","type":"relation","collection":"a","onDelete":"cascade"},
    {"name":"cascs","type":"relation","collection":"a","onDelete":"cascade","maxSelect":4},
    {"name":"opt","type":"relation","collection":"a","onDelete":"setNull"},
    {"name":"opts","type":"relation","collection":"a","onDelete":"setNull","maxSelect":4},
    {"name":"rest","type":"relation","collection":"a"},
    {"name":"copy","type":"number","computed":"opt.n"},
    {"name":"same","type":"relation","collection":"a","onDelete":"setNull","computed":"opt"}]}"#;
const C: &str = r#"{"name":"c","fields":[
    {"name":"b","type":"relation","collection":"b","onDelete":"cascade"},
    {"name":"must","type":"relation","collection":"a","onDelete":"setNull"}],
    "checks":[{"name":"must","expr":"must != null","message":"is needed"}]}"#;

fn truncate(core: &mut Stepped, name: &str) -> Outcome {
    let id = core.collection(name).id;
    core.submit(Command::Truncate(id))
}

fn code(outcome: Outcome) -> String {
    let error = outcome.expect_err("refused");
    refused(error.kind(), error.code_str())
}

/// What became of `a`, with two records in it that point at each other, and these.
fn emptied(there: &[(&str, &str)]) -> (Stepped, String) {
    let mut core = Stepped::with(&[A, B, C]);
    core.fill(&[("a", r#"{"id":"a1","n":1,"peer":"a1"}"#), ("a", r#"{"id":"a2","n":2,"peer":"a1"}"#)]);
    core.fill(there);
    let keys = core.keys();
    let outcome = truncate(&mut core, "a");
    let told = match outcome {
        Ok(_) => "emptied".to_owned(),
        Err(error) => {
            assert_eq!(core.keys(), keys);
            refused(error.kind(), error.code_str())
        }
    };
    core.assert_one_state(Seq(4));
    (core, told)
}

#[test]
fn an_emptied_collection_is_as_new_and_its_keys_go_in_pieces() {
    let mut core = Stepped::with(&[A]);
    let empty = core.keys().len();
    core.fill(&[("a", r#"{"id":"a1","n":1,"peer":"a1"}"#), ("a", r#"{"id":"a2","n":2}"#)]);
    let before = core.collection("a");
    truncate(&mut core, "a").unwrap();
    let after = core.collection("a");
    assert_eq!(after.generation, Generation(before.generation.0 + 1));
    assert_eq!((after.updated, &after.fields), (before.updated, &before.fields));
    assert_eq!(core.shown("a", "a1"), "gone");
    core.fill(&[("a", r#"{"id":"a1","n":5}"#)]);
    assert_eq!(core.shown("a", "a1"), "n=5");
    assert!(core.work(), "there is something to remove");
    while core.work() {}
    assert_eq!(state::garbage(&core.view().stack).unwrap(), None);
    assert_eq!(core.keys().len(), empty + 4, "a row, an entry of two indexes, a tally");
    let position = truncate(&mut core, "a").unwrap().position;
    assert_eq!(truncate(&mut core, "a").unwrap().position, position, "an empty one stays as it is");
    assert_eq!(code(core.submit(Command::Truncate(CollectionId(9)))), "NotFound not_found");
    core.assert_one_state(Seq(3));
}

#[test]
fn what_was_checked_before_is_refused_after() {
    let mut core = Stepped::with(&[A]);
    core.fill(&[("a", r#"{"id":"a1"}"#)]);
    let create = core.command(&[("a", core.create("a", r#"{"id":"x"}"#))]);
    let (id, now) = (core.collection("a").id, core.now);
    let outcomes = core.writer.commit(&[Command::Truncate(id), create], now).unwrap();
    assert_eq!(outcomes[1].as_ref().unwrap_err().code_str(), "stale_schema");
}

#[test]
fn each_relation_says_what_it_would_to_a_deletion() {
    let (core, told) =
        emptied(&[("b", r#"{"id":"b1","casc":"a1","rest":"a2"}"#), ("b", r#"{"id":"b2","cascs":["a2"]}"#)]);
    assert_eq!(told, "emptied", "what goes with it refuses nothing");
    assert_eq!((core.shown("b", "b1"), core.shown("b", "b2")), ("gone".to_owned(), "gone".to_owned()));

    let (core, told) = emptied(&[("b", r#"{"id":"b","opt":"a1","opts":["a2","a1"]}"#)]);
    assert_eq!((&*told, &*core.shown("b", "b")), ("emptied", ""), "nor its copies are left");

    assert_eq!(emptied(&[("b", r#"{"id":"b","rest":"a1"}"#)]).1, "Conflict referred_to");
    assert_eq!(emptied(&[("c", r#"{"id":"c","must":"a1"}"#)]).1, "Conflict referred_to", "it can't be without");

    // In a second step: `c` goes with `b`, unless it keeps it.
    let b = ("b", r#"{"id":"b","casc":"a1"}"#);
    let (core, told) = emptied(&[b, ("c", r#"{"id":"c","b":"b","must":"a1"}"#)]);
    assert_eq!(told, "Conflict referred_to", "as a deletion: {}", core.shown("c", "c"));
    let mut core = Stepped::with(&[A, B, C]);
    core.fill(&[("a", r#"{"id":"a1"}"#), ("a", r#"{"id":"a2"}"#), b]);
    core.define(r#"{"name":"d","fields":[{"name":"b","type":"relation","collection":"b","onDelete":"cascade"}]}"#);
    core.fill(&[("d", r#"{"id":"d","b":"b"}"#)]);
    truncate(&mut core, "a").unwrap();
    assert_eq!((core.shown("b", "b"), core.shown("d", "d")), ("gone".to_owned(), "gone".to_owned()));
    core.assert_one_state(Seq(6));
}

#[test]
fn what_is_computed_over_an_emptied_collection_sees_none_of_it() {
    let mut core = Stepped::with(&[
        A,
        r#"{"name":"e","fields":[{"name":"opt","type":"relation","collection":"a","onDelete":"setNull"},
            {"name":"next","type":"relation","collection":"e"},
            {"name":"far","type":"number","computed":"next.opt.n"}]}"#,
    ]);
    core.fill(&[("a", r#"{"id":"a1","n":7}"#), ("e", r#"{"id":"e2","opt":"a1"}"#)]);
    core.fill(&[("e", r#"{"id":"e1","opt":"a1","next":"e2"}"#)]);
    assert_eq!(core.shown("e", "e1"), r#"opt="a1" next="e2" far=7"#);
    truncate(&mut core, "a").unwrap();
    assert_eq!((core.shown("e", "e1"), core.shown("e", "e2")), (r#"next="e2""#.to_owned(), String::new()));
}

#[test]
fn records_that_go_with_it_are_bounded() {
    let mut core = Stepped::with(&[A, B]);
    core.fill(&[("a", r#"{"id":"a1"}"#)]);
    let create = |core: &mut Stepped, numbers: std::ops::Range<usize>| {
        let writes: Vec<(&str, Op)> =
            numbers.map(|n| ("b", core.create("b", &format!(r#"{{"id":"b{n}","casc":"a1"}}"#)))).collect();
        // Not by `submit`: its look at the whole state after each would take long.
        let (command, now) = (core.command(&writes), core.now);
        core.writer.commit(&[command], now).unwrap().pop().unwrap().unwrap();
    };
    let most = limits::ENTRY_CHANGES_MAX - 1;
    create(&mut core, 0..most / 2);
    create(&mut core, most / 2..most + 1);
    let error = truncate(&mut core, "a").unwrap_err();
    assert_eq!(refused(error.kind(), error.code_str()), "Conflict referred_to");
    assert!(error.message().contains("truncate b first"), "{error:?}");
    core.write(&[("b", Op::Delete { id: id("b0"), if_match: None })]).unwrap();
    truncate(&mut core, "a").unwrap();
    let entries = core.entries();
    let changes = &entries.last().unwrap().entry.changes;
    assert_eq!(changes.len(), limits::ENTRY_CHANGES_MAX);
    assert!(matches!(changes[0], Change::Defined { .. }));
    truncate(&mut core, "b").unwrap();
}
