//! What a write tells of what its caller can't see, and leaves of it: hidden fields, hidden records; and how much one
//! transaction may have evaluated.

use super::expressions::{refusal, write_as};
use super::fixture::{Stepped, id};
use crate::core::Outcome;
use crate::limits;
use crate::model::command::{Condition, Op};
use crate::model::pipeline;

const SECRETS: &str = r#"{"name":"c","fields":[
    {"name":"name","type":"text"},
    {"name":"secret","type":"text","hidden":true},
    {"name":"key","type":"text","hidden":true,"computed":"lower(name)"},
    {"name":"pin","type":"text","hidden":true,"required":true}
],"indexes":[{"name":"key","fields":["key"],"unique":true}],
"checks":[{"name":"pinned","expr":"pin != name","message":"a pin is no name","field":"pin"}],
"viewRule":"","createRule":"","updateRule":"@request.body.secret:isset = false && @request.body.pin:isset = false"}"#;

/// A replacement by nobody, as the pipeline takes it.
fn put(core: &mut Stepped, record: &str, body: &str, if_match: Option<Condition>, new: bool) -> Outcome {
    let op = pipeline::put(&core.collection("c"), Some(record), body.as_bytes(), if_match, new, id("made"), false);
    write_as(core, None, "c", op.unwrap())
}

#[test]
fn a_replacement_leaves_what_its_caller_cannot_see() {
    let mut core = Stepped::with(&[SECRETS]);
    core.fill(&[("c", r#"{"id":"a","name":"Ann","secret":"s","pin":"1"}"#)]);
    // A body must have a pin, since it may be of a new record.
    put(&mut core, "a", r#"{"name":"Eve","pin":"2"}"#, None, false).unwrap();
    assert_eq!(core.shown("c", "a"), r#"name="Eve" secret="s" key="eve" pin="1""#);
    let before = core.view().position;
    put(&mut core, "a", r#"{"name":"Eve","pin":"3"}"#, None, false).unwrap();
    assert_eq!(core.view().position, before, "nothing that it could change was changed");
    put(&mut core, "b", r#"{"name":"Bob","pin":"2"}"#, None, false).unwrap();
    assert_eq!(core.shown("c", "b"), r#"name="Bob" key="bob" pin="2""#, "a new one begins with it");
    // One that sees them says what they are.
    let op = core.put("c", "a", r#"{"name":"Eve","pin":"4"}"#, None, false);
    core.write(&[("c", op)]).unwrap();
    assert_eq!(core.shown("c", "a"), r#"name="Eve" key="eve" pin="4""#);
    core.assert_one_state(crate::id::Seq(3));
}

#[test]
fn a_refusal_names_no_hidden_field() {
    let mut core = Stepped::with(&[SECRETS]);
    core.fill(&[("c", r#"{"id":"a","name":"Ann","pin":"1"}"#)]);
    let table = [
        (r#"{"name":"ANN","pin":"1"}"#, "Conflict unique", " key:unique"),
        (r#"{"name":"1","pin":"1"}"#, "Unprocessable check", " pin:pinned"),
    ];
    for (body, expected, faults) in table {
        let op = core.create("c", body);
        assert_eq!(refusal(write_as(&mut core, None, "c", op.clone())), expected, "{body}");
        assert_eq!(refusal(core.write(&[("c", op)])), format!("{expected}{faults}"), "{body}");
    }
}

#[test]
fn a_replacement_tells_no_record_that_is_not_there_from_one_that_is_not_seen() {
    let rules = [r#""name != 'x'""#, r#""@request.method = 'nothing'""#, r#""""#, "null"];
    let mut compared = 0;
    for create in rules {
        for update in [r#""name = 'never'""#, "null"] {
            let mut core = Stepped::with(&[&format!(
                r#"{{"name":"c","fields":[{{"name":"name","type":"text"}}],"checks":[{{"name":"y","expr":"name != 'y'","message":"m"}}],
                "viewRule":"name = 'never'","createRule":{create},"updateRule":{update}}}"#
            )]);
            core.fill(&[("c", r#"{"id":"there","name":"a"}"#)]);
            let version = core.view().position;
            for body in [r#"{"name":"a"}"#, r#"{"name":"x"}"#, r#"{"name":"y"}"#, "{}"] {
                for condition in [None, Some(Condition::Exists), Some(Condition::Versions(vec![version]))] {
                    for new in [false, true] {
                        let what = format!("{create} {update} {body} {condition:?} {new}");
                        let there = refusal(put(&mut core, "there", body, condition.clone(), new));
                        match put(&mut core, "gone", body, condition.clone(), new) {
                            // Who may create sees that it is taken, by any way.
                            Ok(_) => {
                                core.write(&[("c", Op::Delete { id: id("gone"), if_match: None })]).unwrap();
                            }
                            gone => {
                                compared += 1;
                                assert_eq!(there, refusal(gone), "{what}");
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn what_one_transaction_evaluates_is_bounded() {
    let searches: Vec<String> = (0..20).map(|n| format!("contains(t, 'a{n}')")).collect();
    let mut core = Stepped::with(&[&format!(
        r#"{{"name":"text","fields":[{{"name":"t","type":"text","max":2000000}},{{"name":"n","type":"number"}}],
        "checks":[{{"name":"a","expr":"!({})","message":"m"}}]}}"#,
        searches.join(" || ")
    )]);
    let long = "x".repeat(100_000);
    core.fill(&[("text", &format!(r#"{{"id":"a","t":"{long}"}}"#))]);
    let most = limits::TRANSACTION_STEPS_MAX / (searches.len() * (long.len() / 64));
    let writes = |core: &Stepped, count: usize| {
        let op = |n: usize| ("text", core.merge("text", "a", &format!(r#"{{"n":{n}}}"#), None));
        (0..count).map(op).collect::<Vec<_>>()
    };
    let over = writes(&core, most + 1);
    assert_eq!(refusal(core.write(&over)), "Unprocessable too_costly");
    let within = writes(&core, most - 1);
    core.write(&within).unwrap();
}
