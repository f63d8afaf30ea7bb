//! Handlers: what may be one, and that what they write and how far they have come are one.

use super::expressions::refusal;
use super::fixture::*;
use crate::core::Outcome;
use crate::id::{Mark, Position, Seq};
use crate::model::command::{Advance, Command, Derived, Op, Refusal, Rewind, Way, Write};
use crate::model::definition;
use crate::model::guard::Guard;
use crate::model::handler::{self, HANDLERS};
use crate::model::value::Value;
use crate::state;

const ORDERS: &str = r#"{"name":"orders","fields":[{"name":"total","type":"number"},{"name":"customer","type":"text"},
    {"name":"paid","type":"bool"}]}"#;
const SUMS: &str = r#"{"name":"sums","fields":[{"name":"total","type":"number","required":true},
    {"name":"last","type":"text"},{"name":"tags","type":"select","maxSelect":3,"values":["a","b","c"]}]}"#;
const NOTES: &str = r#"{"name":"notes","fields":[{"name":"text","type":"text"}]}"#;
const PEOPLE: &str = r#"{"name":"people","type":"auth","fields":[]}"#;

/// 24 bytes in base64.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

fn core() -> Stepped {
    let mut core = Stepped::with(&[ORDERS, SUMS, NOTES, PEOPLE]);
    for text in handler::definitions() {
        let own = definition::parse_own(&core.view().schema, text.as_bytes(), NOW).unwrap();
        core.submit(Command::Define(Box::new(own))).unwrap();
    }
    core
}

fn save(core: &mut Stepped, body: &str) -> Outcome {
    let op = core.create(HANDLERS, body);
    core.write(&[(HANDLERS, op)])
}

/// A handler `id` of kind `collection`.
fn feeding(id: &str, from: &str, to: &str) -> String {
    let set = if to == "sums" { r#"{"total+":"1"}"# } else { r#"{"text":"id"}"# };
    format!(r#"{{"id":"{id}","name":"{id}","kind":"collection","collections":["{from}"],"target":"{to}","set":{set}}}"#)
}

fn cursor(core: &Stepped, handler: &str) -> Option<Mark> {
    state::cursor(&core.view().stack, &id(handler)).unwrap()
}

#[test]
fn what_is_saved_can_be_carried_out() {
    let mut core = core();
    let good = [
        format!(r#""kind":"webhook","collections":["orders"],"url":"https://example.com/in","secret":"{SECRET}""#),
        format!(
            r#""kind":"webhook","collections":["orders","sums"],"filter":"total > 10","actions":["update"],"timeout":15,
            "url":"http://example.com:8080/in?a=b","secret":"{SECRET}","headers":{{"Authorization":"Bearer x"}}"#
        ),
        r#""kind":"collection","collections":["orders"],"target":"sums","key":"customer","filter":"@old.paid != paid",
            "set":{"total+":"total","last":"id","tags+":"'a'"}"#
            .to_owned(),
        r#""kind":"collection","collections":["orders","people"],"target":"notes","set":{"text":"collectionName + ':' + id"}"#
            .to_owned(),
        r#""kind":"cache","collections":["orders"],"patterns":["orders/*"]"#.to_owned(),
    ];
    for (at, text) in good.iter().enumerate() {
        save(&mut core, &format!(r#"{{"id":"h{at}","name":"h",{text}}}"#))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let hook = |more: &str| format!(r#""kind":"webhook","collections":["orders"],{more}"#);
    let sum = |more: &str| format!(r#""kind":"collection","collections":["orders"],"target":"sums",{more}"#);
    let bad = [
        (r#""kind":"cache","collections":["orders"]"#.to_owned(), "patterns:required"),
        (r#""kind":"cache","collections":[],"patterns":["*"]"#.to_owned(), "collections:invalid"),
        (r#""kind":"cache","collections":"orders","patterns":["*"]"#.to_owned(), "collections:invalid"),
        (r#""kind":"cache","collections":["orders",7],"patterns":["*"]"#.to_owned(), "collections.1:invalid"),
        (r#""kind":"cache","collections":["nowhere"],"patterns":["*"]"#.to_owned(), "collections.0:unknown_collection"),
        (r#""kind":"cache","collections":["1"],"patterns":["*"]"#.to_owned(), "collections.0:unknown_collection"),
        (r#""kind":"cache","collections":["_handlers"],"patterns":["*"]"#.to_owned(), "collections.0:not_here"),
        (r#""kind":"cache","collections":["orders","orders"],"patterns":["*"]"#.to_owned(), "collections.1:duplicate"),
        (r#""kind":"cache","collections":["orders"],"patterns":["*",""]"#.to_owned(), "patterns.1:invalid"),
        (
            r#""kind":"cache","collections":["orders"],"patterns":["*"],"url":"https://example.com","target":"sums""#
                .to_owned(),
            "url:not_here target:not_here",
        ),
        (hook(r#""filter":"1""#), "filter:bad_expression url:required secret:required"),
        (hook(&format!(r#""url":"https://me:pw@example.com/","secret":"{SECRET}""#)), "url:invalid"),
        (hook(&format!(r#""url":"https://example.com/#a","secret":"{SECRET}""#)), "url:invalid"),
        (hook(r#""url":"https://example.com/","secret":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX""#), "secret:invalid"),
        (hook(r#""url":"https://example.com/","secret":"whsec_AAECAwQF""#), "secret:invalid"),
        (
            hook(&format!(
                r#""url":"https://example.com/","secret":"{SECRET}",
                "headers":{{"Host":"a","Webhook-Id":"b","a b":"c","x":"\r\n","y":1,"z":"z"}}"#
            )),
            "headers.Host:not_here headers.Webhook-Id:not_here headers.a b:invalid headers.x:invalid headers.y:invalid",
        ),
        (sum(r#""set":{}"#), "set:required"),
        (sum(r#""set":{"total":1}"#), "set.total:invalid"),
        (sum(r#""set":{"total":"nothing"}"#), "set.total:bad_expression"),
        (sum(r#""set":{"total":"customer"}"#), "set.total:bad_expression"),
        (sum(r#""set":{"total":"@request.query.a"}"#), "set.total:bad_expression"),
        (sum(r#""set":{"last+":"customer"}"#), "set.last+:not_here"),
        (sum(r#""set":{"other":"customer","total":"total"}"#), "set.other:unknown_field"),
        (sum(r#""set":{"total":"total"},"key":"total""#), "key:bad_expression"),
        (
            r#""kind":"collection","collections":["orders"],"target":"people","set":{"email":"id"}"#.to_owned(),
            "target:not_here",
        ),
        (
            r#""kind":"collection","collections":["orders"],"target":"nowhere","set":{"a":"id"}"#.to_owned(),
            "target:unknown_collection",
        ),
        (r#""kind":"collection","collections":["orders"],"set":{"a":"id"}"#.to_owned(), "target:required"),
        // Compiled for each collection: of notes there is no total.
        (
            r#""kind":"collection","collections":["orders","notes"],"target":"sums","set":{"total":"total"}"#
                .to_owned(),
            "set.total:bad_expression",
        ),
    ];
    for (text, faults) in bad {
        let body = format!(r#"{{"id":"bad","name":"h",{text}}}"#);
        assert_eq!(refusal(save(&mut core, &body)), format!("Invalid invalid {faults}"), "{text}");
    }
    let wrong = core.merge(HANDLERS, "h1", r#"{"filter":"total >"}"#, None);
    assert_eq!(
        refusal(core.write(&[(HANDLERS, wrong)])),
        "Invalid invalid filter:bad_expression filter:bad_expression"
    );
    let right = core.merge(HANDLERS, "h1", r#"{"filter":"total > 1 && total < 5","enabled":false}"#, None);
    core.write(&[(HANDLERS, right)]).unwrap();
}

#[test]
fn a_fault_in_an_expression_says_where_and_of_which_collection() {
    let mut core = core();
    let body =
        r#"{"name":"h","kind":"cache","patterns":["*"],"collections":["sums","orders"],"filter":"total > 1 && paid"}"#;
    let error = save(&mut core, body).unwrap_err();
    let [fault] = error.field_faults() else { panic!("{error}") };
    assert_eq!(fault.message, "column 14: there is no field \"paid\" (of sums)");
}

#[test]
fn handlers_never_write_in_a_circle() {
    let mut core = core();
    core.define(r#"{"name":"third","fields":[{"name":"text","type":"text"}]}"#);
    assert_eq!(
        refusal(save(&mut core, &feeding("self", "notes", "notes"))),
        "Conflict handler_circle target:handler_circle"
    );
    save(&mut core, &feeding("a", "orders", "notes")).unwrap();
    save(&mut core, &feeding("b", "notes", "third")).unwrap();
    let closing = r#"{"id":"c","name":"c","kind":"collection","collections":["third"],"target":"orders","set":{"customer":"id"}}"#;
    let error = save(&mut core, closing).unwrap_err();
    assert_eq!(error.field_faults()[0].message, "what it writes would come back to it, over orders, notes, third");
    // One that takes another way may be saved, and not be turned into one that closes the circle.
    save(&mut core, &feeding("c", "third", "sums")).unwrap();
    let turned = core.merge(HANDLERS, "c", r#"{"target":"orders","set":{"customer":"id"}}"#, None);
    assert_eq!(refusal(core.write(&[(HANDLERS, turned)])), "Conflict handler_circle target:handler_circle");
    // Nor are two that would close it together.
    let writes = [
        (HANDLERS, core.merge(HANDLERS, "b", r#"{"collections":["sums"]}"#, None)),
        (HANDLERS, core.merge(HANDLERS, "c", r#"{"collections":["third"],"target":"sums"}"#, None)),
    ];
    assert_eq!(refusal(core.write(&writes)), "Conflict handler_circle target:handler_circle");
}

#[test]
fn a_handler_begins_behind_itself_and_leaves_nothing() {
    let mut core = core();
    let made = save(&mut core, &feeding("a", "orders", "sums")).unwrap().position;
    assert_eq!(cursor(&core, "a"), Some(made.into()));
    let rename = core.merge(HANDLERS, "a", r#"{"name":"other","enabled":false}"#, None);
    core.write(&[(HANDLERS, rename)]).unwrap();
    assert_eq!(cursor(&core, "a"), Some(made.into()), "what is changed stays where it is");
    let both = [
        (HANDLERS, Op::Delete { id: id("a"), if_match: None }),
        (HANDLERS, core.create(HANDLERS, &feeding("a", "orders", "notes"))),
    ];
    let again = core.write(&both).unwrap().position;
    assert_eq!(cursor(&core, "a"), Some(again.into()));
    core.write(&[(HANDLERS, Op::Delete { id: id("a"), if_match: None })]).unwrap();
    assert_eq!(cursor(&core, "a"), None);
    core.assert_one_state(again.seq);
}

#[test]
fn a_handler_whose_target_is_gone_is_disabled_and_deleted_and_not_enabled() {
    let mut core = core();
    save(&mut core, &feeding("a", "orders", "notes")).unwrap();
    let notes = core.collection("notes").id;
    core.submit(Command::Drop(notes)).unwrap();
    let faulty = "Invalid invalid target:unknown_collection";
    let change = |core: &mut Stepped, body: &str| {
        let op = core.merge(HANDLERS, "a", body, None);
        core.write(&[(HANDLERS, op)])
    };
    assert_eq!(refusal(change(&mut core, r#"{"name":"b"}"#)), faulty);
    assert_eq!(refusal(change(&mut core, r#"{"enabled":false,"name":"b"}"#)), faulty, "only as it is");
    change(&mut core, r#"{"enabled":false}"#).unwrap();
    assert_eq!(refusal(change(&mut core, r#"{"enabled":true}"#)), faulty);
    change(&mut core, r#"{"target":"sums","set":{"text":null,"total+":"1"},"enabled":true}"#).unwrap();
    core.submit(Command::Drop(core.collection("sums").id)).unwrap();
    let last = core.write(&[(HANDLERS, Op::Delete { id: id("a"), if_match: None })]).unwrap().position;
    assert_eq!(cursor(&core, "a"), None);
    core.assert_one_state(last.seq);
}

#[test]
fn only_what_may_be_done_twice_goes_back() {
    let mut core = core();
    save(&mut core, &feeding("a", "orders", "sums")).unwrap();
    let made = save(&mut core, r#"{"id":"b","name":"b","kind":"cache","collections":["orders"],"patterns":["*"]}"#);
    let made = Mark::from(made.unwrap().position);
    let rewind = |handler: &str, seq: u64| {
        let to = Mark::from(Position { seq: Seq(seq), ..made.position });
        Command::Rewind(Rewind { handler: id(handler), to })
    };
    assert_eq!(refusal(core.submit(rewind("a", 1))), "Unprocessable exactly_once");
    assert_eq!(refusal(core.submit(rewind("c", 1))), "NotFound not_found");
    assert_eq!(refusal(core.submit(rewind("b", made.position.seq.0 + 1))), "Conflict handler_moved");
    let last = core.submit(rewind("b", 2)).unwrap().position;
    assert_eq!(cursor(&core, "b").map(|mark| mark.position.seq), Some(Seq(2)));
    core.assert_one_state(last.seq);
}

#[test]
fn a_handler_stays_of_its_kind() {
    let mut core = core();
    let made = save(&mut core, &feeding("a", "orders", "notes")).unwrap().position;
    let drops = r#""kind":"cache","patterns":["*"],"target":null,"set":null"#;
    for more in ["", r#","enabled":false"#] {
        let other = core.merge(HANDLERS, "a", &format!("{{{drops}{more}}}"), None);
        assert_eq!(refusal(core.write(&[(HANDLERS, other)])), "Unprocessable unprocessable kind:read_only");
    }
    let whole = r#"{"id":"a","name":"a","kind":"cache","collections":["orders"],"patterns":["*"]}"#;
    let put = core.put(HANDLERS, "a", whole, None, false);
    assert_eq!(refusal(core.write(&[(HANDLERS, put)])), "Unprocessable unprocessable kind:read_only");
    assert_eq!(cursor(&core, "a"), Some(made.into()));
    // Another handler of that id begins behind itself.
    let both = [(HANDLERS, Op::Delete { id: id("a"), if_match: None }), (HANDLERS, core.create(HANDLERS, whole))];
    let again = core.write(&both).unwrap().position;
    assert_eq!(cursor(&core, "a"), Some(again.into()));
}

/// One that adds to the sum `s`, making it where it is not there.
fn adding(core: &Stepped, by: i64) -> Derived {
    let sums = core.collection("sums");
    let write = |op| Write { collection: sums.id, schema: sums.version, guard: Guard::for_server(), op };
    let total = sums.field("total").unwrap().id;
    let by = Value::Number(by as f64);
    let adjusts = vec![crate::model::command::Adjust { field: total, way: Way::Add, by: by.clone() }];
    let fields = [(total, by)].into_iter().collect();
    Derived {
        create: Ok(write(Op::Create { id: id("s"), fields })),
        merge: Some(write(Op::Merge { id: id("s"), patch: vec![], merges: vec![], adjusts, if_match: None })),
    }
}

fn advance(core: &Stepped, from: Mark, to: Mark, writes: Vec<Derived>) -> Command {
    let version = core.record(HANDLERS, "a").map_or_else(Position::default, |record| record.version);
    Command::Advance(Box::new(Advance { handler: id("a"), version, from, to, writes }))
}

#[test]
fn what_a_handler_writes_is_written_exactly_once() {
    let mut core = core();
    let made: Mark = save(&mut core, &feeding("a", "orders", "sums")).unwrap().position.into();
    let order = core.fill(&[("orders", r#"{"id":"o","total":5}"#)]).position;
    let to = Mark { position: order, change: Some(0) };
    let first = advance(&core, made, to, vec![adding(&core, 5), adding(&core, 2)]);
    core.submit(first.clone()).unwrap();
    assert_eq!((core.shown("sums", "s").as_str(), cursor(&core, "a")), ("total=7", Some(to)));
    // Whoever comes second, after a restart or beside it, writes nothing.
    assert_eq!(refusal(core.submit(first.clone())), "Conflict handler_moved");
    core.flush();
    let mut core = Stepped::open(&core.disk.fork(5)).unwrap();
    assert_eq!(refusal(core.submit(first)), "Conflict handler_moved");
    assert_eq!((core.shown("sums", "s").as_str(), cursor(&core, "a")), ("total=7", Some(to)));
    let next = advance(&core, to, order.into(), vec![adding(&core, 1)]);
    core.submit(next).unwrap();
    assert_eq!((core.shown("sums", "s").as_str(), cursor(&core, "a")), ("total=8", Some(order.into())));
    core.assert_one_state(Seq(order.seq.0));
}

#[test]
fn a_target_that_is_gone_is_no_fault_of_the_change() {
    let mut core = core();
    let made: Mark = save(&mut core, &feeding("a", "orders", "sums")).unwrap().position.into();
    let order: Mark = core.fill(&[("orders", r#"{"id":"o","total":5}"#)]).position.into();
    let both = adding(&core, 5);
    let new = Derived { merge: None, ..both.clone() };
    core.submit(Command::Drop(core.collection("sums").id)).unwrap();
    for derived in [both, new] {
        assert_eq!(refusal(core.submit(advance(&core, made, order, vec![derived]))), "Conflict handler_moved");
    }
    assert_eq!(cursor(&core, "a"), Some(made));
}

#[test]
fn a_handler_stays_where_it_is_unless_all_is_written() {
    let mut core = core();
    let made: Mark = save(&mut core, &feeding("a", "orders", "sums")).unwrap().position.into();
    let order: Mark = core.fill(&[("orders", r#"{"id":"o","total":5}"#)]).position.into();
    // The second finds the record of the first there.
    let again = Derived { merge: None, ..adding(&core, 5) };
    let refused = core.submit(advance(&core, made, order, vec![adding(&core, 5), again])).unwrap_err();
    assert_eq!((refused.code_str(), refused.write()), ("exists", Some(1)));
    let version = core.record(HANDLERS, "a").unwrap().version;
    let stale = Advance { handler: id("a"), version, from: made, to: order, writes: vec![adding(&core, 5)] };
    let rename = core.merge(HANDLERS, "a", r#"{"name":"other"}"#, None);
    core.write(&[(HANDLERS, rename)]).unwrap();
    assert_eq!(refusal(core.submit(Command::Advance(Box::new(stale)))), "Conflict handler_moved");
    let ahead = Mark::from(Position { seq: Seq(core.view().position.seq.0 + 1), ..core.view().position });
    for (from, to) in [(made, ahead), (order, made), (made, made)] {
        assert_eq!(refusal(core.submit(advance(&core, from, to, vec![]))), "Internal internal");
    }
    assert_eq!((core.shown("sums", "s").as_str(), cursor(&core, "a")), ("gone", Some(made)));
    let empty = advance(&core, made, order, vec![]);
    core.submit(empty).unwrap();
    core.write(&[(HANDLERS, Op::Delete { id: id("a"), if_match: None })]).unwrap();
    assert_eq!(
        refusal(core.submit(advance(&core, order, core.view().position.into(), vec![]))),
        "Conflict handler_moved"
    );
}

#[test]
fn what_can_not_be_made_is_refused_only_where_nothing_is_there() {
    let mut core = core();
    let made: Mark = save(&mut core, &feeding("a", "orders", "sums")).unwrap().position.into();
    let order: Mark = core.fill(&[("orders", r#"{"id":"o","total":5}"#)]).position.into();
    let fault = crate::error::Error::invalid("the body has faults").fault("last", "required", "is required");
    let only_there = Derived { create: Err(Refusal::of(fault).unwrap()), ..adding(&core, 5) };
    let refused = core.submit(advance(&core, made, order, vec![only_there.clone()])).unwrap_err();
    assert_eq!((refused.write(), refused.to_string().as_str()), (Some(0), "the body has faults; last: is required"));
    core.fill(&[("sums", r#"{"id":"s","total":1}"#)]);
    core.submit(advance(&core, made, order, vec![only_there.clone()])).unwrap();
    assert_eq!(core.shown("sums", "s"), "total=6");
    // What another definition was found to lack says nothing about this one.
    core.write(&[("sums", Op::Delete { id: id("s"), if_match: None })]).unwrap();
    core.redefine("sums", |sums| add_index(sums, "by_last", &["last"], false)).unwrap();
    let next = core.view().position.into();
    core.define(r#"{"name":"more","fields":[]}"#);
    assert_eq!(refusal(core.submit(advance(&core, order, next, vec![only_there]))), "Conflict stale_schema");
}
