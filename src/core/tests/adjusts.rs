//! Adding to a stored value and taking from it: what comes of it, what is refused, and that none of it is lost.

use std::sync::Arc;

use super::fixture::{NOW, Stepped, stored};
use crate::error::Kind;
use crate::id::Seq;
use crate::limits;
use crate::model::command::{Command, Op};
use crate::model::expr::{Program, Scope};
use crate::model::guard::{Action, Guard, Rows};
use crate::model::predicate::{Predicate, Request, Sight};

const TALLIES: &str = r#"{"name":"tallies","fields":[
    {"name":"n","type":"number","integer":true},
    {"name":"low","type":"number","integer":true,"min":0,"max":10},
    {"name":"f","type":"number","max":100},
    {"name":"must","type":"select","values":["a","b","c"],"maxSelect":2,"required":true},
    {"name":"few","type":"select","values":["a","b","c"],"maxSelect":3,"minSelect":1},
    {"name":"to","type":"relation","collection":"tallies","maxSelect":3,"onDelete":"setNull"},
    {"name":"data","type":"json"}]}"#;

fn filled() -> Stepped {
    let mut core = Stepped::with(&[TALLIES]);
    core.fill(&[
        ("tallies", r#"{"id":"a","n":1,"low":3,"f":0.5,"must":["a"],"few":["a","b"],"to":["a"]}"#),
        ("tallies", r#"{"id":"b","must":["b"]}"#),
    ]);
    core
}

/// What a patch makes of the record, or its refusal's kind, code, and faults.
fn patched(core: &mut Stepped, record: &str, body: &str) -> String {
    let before = core.view().position;
    let merge = core.merge("tallies", record, body, None);
    match core.write(&[("tallies", merge)]) {
        Ok(committed) if committed.position == before => "same".to_owned(),
        Ok(_) => core.shown("tallies", record),
        Err(refusal) => {
            let faults = refusal.field_faults().iter().map(|fault| format!(" {}:{}", fault.field, fault.code));
            format!("{:?} {}{}", refusal.kind(), refusal.code_str(), faults.collect::<String>())
        }
    }
}

#[test]
fn a_stored_value_is_added_to_and_taken_from() {
    let rest_a = |n: &str, low: &str, f: &str| format!(r#"n={n} low={low} f={f} must=["a"] few=["a","b"] to=["a"]"#);
    let refused = |faults: &str| format!("Unprocessable out_of_range {faults}");
    let lists = |must: &str, few: &str, to: &str| format!(r#"n=1 low=3 f=0.5 must={must} few={few} to={to}"#);
    let table = [
        ("a", r#"{"n+":2}"#, rest_a("3", "3", "0.5")),
        ("a", r#"{"+n":2,"low-":3,"f-":1}"#, rest_a("3", "0", "-0.5")),
        ("a", r#"{"n+":9223372036854775806}"#, rest_a("9223372036854775807", "3", "0.5")),
        ("a", r#"{"n+":9223372036854775807}"#, refused("n:out_of_range")),
        ("a", r#"{"n-":-9223372036854775808}"#, refused("n:out_of_range")),
        ("b", r#"{"n-":-9223372036854775808}"#, refused("n:out_of_range")),
        ("b", r#"{"n+":-9223372036854775808}"#, r#"n=-9223372036854775808 must=["b"]"#.to_owned()),
        // Null counts as nothing.
        ("b", r#"{"low+":1,"f-":1.5}"#, r#"low=1 f=-1.5 must=["b"]"#.to_owned()),
        ("b", r#"{"n+":0,"f-":0}"#, r#"n=0 f=0 must=["b"]"#.to_owned()),
        ("b", r#"{"few+":"c","to+":["a","b"]}"#, r#"must=["b"] few=["c"] to=["a","b"]"#.to_owned()),
        // The bounds are the result's, all of them in one answer.
        ("a", r#"{"low+":7}"#, rest_a("1", "10", "0.5")),
        ("a", r#"{"low+":8}"#, refused("low:too_large")),
        ("a", r#"{"low-":4,"f+":100,"n+":1}"#, refused("low:too_small f:too_large")),
        ("a", r#"{"f-":1e308}"#, rest_a("1", "3", "-1e+308")),
        ("a", r#"{"must+":["b","c"]}"#, refused("must:too_many")),
        ("a", r#"{"must-":"a"}"#, refused("must:required")),
        ("a", r#"{"few-":["a","b"],"low+":9}"#, refused("few:too_few low:too_large")),
        // A list keeps its order and has each value once.
        ("a", r#"{"few+":["b","c"]}"#, lists(r#"["a"]"#, r#"["a","b","c"]"#, r#"["a"]"#)),
        ("a", r#"{"+few":["c","b"]}"#, lists(r#"["a"]"#, r#"["c","b","a"]"#, r#"["a"]"#)),
        ("a", r#"{"few-":["a","c"],"+must":"b"}"#, lists(r#"["b","a"]"#, r#"["b"]"#, r#"["a"]"#)),
        ("a", r#"{"to-":"a"}"#, lists(r#"["a"]"#, r#"["a","b"]"#, "[]")),
        ("a", r#"{"to+":"none"}"#, "Conflict relation_missing to:relation_missing".to_owned()),
        // What changes nothing writes nothing.
        ("a", r#"{"n+":0,"few+":"a","to-":"b"}"#, "same".to_owned()),
        ("b", r#"{"to-":"a","few-":["a"]}"#, "same".to_owned()),
        ("gone", r#"{"n+":1}"#, "NotFound not_found".to_owned()),
    ];
    for (record, body, expected) in table {
        let mut core = filled();
        assert_eq!(patched(&mut core, record, body), expected, "{record} {body}");
        core.assert_one_state(Seq(2));
    }
}

#[test]
fn floats_never_become_infinite() {
    let mut core = filled();
    assert!(patched(&mut core, "a", r#"{"f-":1.7e308}"#).contains("f=-1.7"));
    assert_eq!(patched(&mut core, "a", r#"{"f-":1.7e308}"#), "Unprocessable out_of_range f:out_of_range");
}

#[test]
fn no_increment_is_lost() {
    let mut core = filled();
    let increment = core.command(&[("tallies", core.merge("tallies", "a", r#"{"n+":1}"#, None))]);
    let both = core.command(&[
        ("tallies", core.merge("tallies", "a", r#"{"n+":10}"#, None)),
        ("tallies", core.merge("tallies", "a", r#"{"n-":3}"#, None)),
    ]);
    let commands = vec![increment.clone(), both, increment];
    let outcomes = core.writer.commit(&commands, NOW).unwrap();
    let last = outcomes.last().unwrap().as_ref().unwrap();
    let n = core.collection("tallies").field("n").unwrap().id;
    let shown = format!("{:?}", stored(&last.writes[0]).fields.get(n));
    assert_eq!(shown, "Int(10)", "1 + 1 + 10 - 3 + 1");
    core.assert_one_state(Seq(2));
}

#[test]
fn a_rule_sees_what_a_change_comes_to() {
    for (body, allowed) in [
        (r#"{"low+":1}"#, true),
        (r#"{"low+":2}"#, false),
        (r#"{"low-":1}"#, true),
        (r#"{"low":4}"#, true),
        // Refused by the rule, not by the bound: a caller learns nothing of what it may not change.
        (r#"{"low+":8}"#, false),
        (r#"{"low+":9223372036854775807}"#, false),
    ] {
        let mut core = filled();
        let view = core.view();
        let collection = core.collection("tallies");
        let scope = Scope { schema: &view.schema, collection: &collection, callers: &[], sees_hidden: true };
        let program = Arc::new(Program::condition(scope, "@request.body.low < 5").unwrap());
        let request = Arc::new(Request::at(NOW));
        let rule = Rows::Where(Box::new(Predicate { program, request, sight: Sight::All }));
        let mut rows = [const { Rows::All }; 5];
        rows[Action::Update as usize] = rule;
        let Command::Write(mut writes) = core.command(&[("tallies", core.merge("tallies", "a", body, None))]) else {
            panic!("a write")
        };
        writes[0].guard = Guard::for_caller(true, rows);
        let outcome = core.submit(Command::Write(writes)).map_err(|refusal| refusal.kind());
        assert_eq!(outcome.err(), (!allowed).then_some(Kind::Forbidden), "{body}");
    }
}

#[test]
fn a_refusal_says_which_write_it_is_about() {
    let mut core = filled();
    let good = core.merge("tallies", "a", r#"{"n+":1}"#, None);
    let bad = core.merge("tallies", "a", r#"{"low+":8}"#, None);
    for at in 0..3 {
        let mut writes: Vec<(&str, Op)> = vec![("tallies", good.clone()); 3];
        writes[at].1 = bad.clone();
        assert_eq!(core.write(&writes).unwrap_err().write(), Some(at));
    }
    assert_eq!(core.write(&[]).unwrap().writes, []);
}

#[test]
fn the_answer_of_a_transaction_is_bounded() {
    let mut core = Stepped::with(&[r#"{"name":"notes","fields":[{"name":"text","type":"text","max":2000000}]}"#]);
    let text = "x".repeat(1_900_000);
    core.fill(&[("notes", &format!(r#"{{"id":"n","text":"{text}"}}"#))]);
    let nothing = core.merge("notes", "n", "{}", None);
    let fits = limits::TRANSACTION_ANSWER_BYTES_MAX / text.len();
    core.write(&vec![("notes", nothing.clone()); fits]).unwrap();
    let refusal = core.write(&vec![("notes", nothing); fits + 1]).unwrap_err();
    assert_eq!((refusal.kind(), refusal.write()), (Kind::TooLarge, Some(fits)));
}
