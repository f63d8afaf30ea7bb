//! What a write tells of what its caller can't see, and leaves of it: hidden fields, hidden records; and how much one
//! transaction may have evaluated.

use std::sync::Arc;
use std::time::Instant;

use super::expressions::{command_as, refusal, write_all_as, write_as};
use super::fixture::{NOW, Stepped, id};
use crate::core::Outcome;
use crate::limits;
use crate::model::command::{Command, Condition, Op};
use crate::model::definition;
use crate::model::expr::{Program, Scope};
use crate::model::guard::{Action, Guard, Rows};
use crate::model::pipeline;
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::query::Query;
use crate::model::schema::{Collection, Staged};
use crate::model::sort;
use crate::state::query::{Budget, Page, list};

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

#[test]
fn a_computed_list_around_its_own_past_grows_no_deeper_than_a_body_may_be() {
    const NESTED: &str = r#"{"name":"c","fields":[
        {"name":"n","type":"number"},{"name":"j","type":"json","computed":"[@old.j, n]"}]}"#;
    let mut core = Stepped::with(&[NESTED]);
    core.fill(&[("c", r#"{"id":"a","n":0}"#)]);
    let refused = (1..1_000).find_map(|n| {
        let op = core.merge("c", "a", &format!(r#"{{"n":{n}}}"#), None);
        let outcome = core.write(&[("c", op)]);
        outcome.is_err().then(|| (n, refusal(outcome)))
    });
    let (depth, refused) = refused.expect("refused at last");
    assert_eq!(refused, "Unprocessable computed j:too_deep");
    assert!(depth <= limits::JSON_DEPTH_MAX + 1, "{depth}");
}

#[test]
fn long_rows_that_a_rule_reads_count_by_their_length() {
    const PAIR: &str = r#"{"name":"c","fields":[{"name":"to","type":"relation","collection":"c"},
        {"name":"t","type":"text","max":2000000},{"name":"n","type":"number"}],"createRule":"to.n = 1"}"#;
    let mut core = Stepped::with(&[PAIR]);
    let length = 1_900_000;
    core.fill(&[("c", &format!(r#"{{"id":"a","n":1,"t":"{}"}}"#, "x".repeat(length)))]);
    let most = limits::TRANSACTION_STEPS_MAX / (length / 64);
    let writes = |core: &Stepped, count: usize| {
        let op = |n: usize| core.create("c", &format!(r#"{{"id":"n{n}","to":"a"}}"#));
        (0..count).map(op).collect::<Vec<_>>()
    };
    let over = writes(&core, most + 1);
    assert_eq!(refusal(write_all_as(&mut core, None, "c", over)), "Unprocessable too_costly");
    let within = writes(&core, most - 1);
    write_all_as(&mut core, None, "c", within).unwrap();
}

#[test]
fn a_cursor_tells_nothing_of_a_record_that_its_caller_may_not_list() {
    const LONG: &str = r#"{"name":"c","fields":[{"name":"t","type":"text","max":6000},{"name":"open","type":"bool"}]}"#;
    let mut core = Stepped::with(&[LONG]);
    let start = "x".repeat(5_500);
    for name in ["a", "b", "c"] {
        core.fill(&[("c", &format!(r#"{{"id":"{name}","t":"{start}{name}","open":{}}}"#, name != "b"))]);
    }
    let (view, collection) = (core.view(), core.collection("c"));
    let list = |guard: Guard, after: Option<Box<[u8]>>, limit: usize| {
        let query = Query {
            collection: collection.id,
            schema: collection.version,
            guard,
            filter: None,
            sort: sort::parse(&collection, "t", false).unwrap(),
            after,
            offset: 0,
            limit,
            count: false,
        };
        let mut budget = Budget::new(1_000, Instant::now() + limits::QUERY_TIME_MAX);
        list(&view.stack, &view.schema, &query, &mut budget).unwrap()
    };
    let ids = |page: &Page| page.records.iter().map(|record| record.id.to_string()).collect::<Vec<_>>();
    let mark = list(Guard::for_server(), None, 2).more.unwrap();
    assert_eq!(ids(&list(Guard::for_server(), Some(mark.clone()), 9)), ["c"], "where it may be looked at, it leads on");
    // One that says something else of where the record stands, as a guess would.
    let mut other = mark.clone();
    other[3] ^= 1;
    let scope = Scope { schema: &view.schema, collection: &collection, callers: &[], sees_hidden: true };
    let rule = Arc::new(Program::condition(scope, "open = true").unwrap());
    let [right, wrong] = [mark, other].map(|mark| {
        let predicate = Predicate { program: rule.clone(), request: Arc::new(Request::at(NOW)), sight: Sight::All };
        let mut rows = [const { Rows::None }; 5];
        rows[Action::List as usize] = Rows::Where(Box::new(predicate));
        ids(&list(Guard::for_caller(false, rows), Some(mark), 9))
    });
    assert_eq!(right, wrong);
    assert_eq!(right, ["a", "c"]);
}

#[test]
fn a_rule_is_compiled_again_where_what_it_looks_at_elsewhere_has_changed() {
    let orgs = |of: &str| format!(r#"{{"name":"orgs","fields":[{{"name":"name","type":{of}}}]}}"#);
    let notes = r#"{"name":"notes","fields":[{"name":"org","type":"relation","collection":"orgs"}],
        "createRule":"org.name = 'x'","viewRule":""}"#;
    let mut core = Stepped::with(&[&orgs(r#""text""#), notes]);
    core.fill(&[("orgs", r#"{"id":"o","name":"x"}"#)]);
    let make = |core: &Stepped, id: &str| vec![core.create("notes", &format!(r#"{{"id":"{id}","org":"o"}}"#))];
    let queued = command_as(&core, None, "notes", make(&core, "a"));
    let (before, version) = (core.collection("orgs"), core.collection("notes").version);
    let next = orgs(r#""select","values":["x","y"]"#);
    let change = definition::change(&core.view().schema, &before, next.as_bytes(), NOW).unwrap();
    let staged = Staged { collection: change.collection, shadows: change.shadows };
    core.submit(Command::Stage(Box::new(staged))).unwrap();
    let field = |of: &Collection| of.field("name").unwrap().id;
    assert_ne!(field(&core.collection("orgs")), field(&before), "the field has another id");
    assert_eq!(core.collection("notes").version, version, "its own collection did not move");
    assert_eq!(refusal(core.submit(queued)), "Conflict stale_schema");
    let again = command_as(&core, None, "notes", make(&core, "a"));
    core.submit(again).unwrap();
    core.fill(&[("orgs", r#"{"id":"o2","name":"y"}"#)]);
    let other = vec![core.create("notes", r#"{"id":"b","org":"o2"}"#)];
    assert_eq!(refusal(write_all_as(&mut core, None, "notes", other)), "Unauthenticated unauthenticated");
}
