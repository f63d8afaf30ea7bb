//! Decisions about single records and transactions of them: what is accepted, what is refused with which kind and code,
//! and what is then there.

use super::fixture::{NOW, Stepped, id, stored, told};
use crate::core::decide::decide;
use crate::error::Kind;
use crate::id::{Epoch, NodeId, Position, Seq};
use crate::limits;
use crate::model::change::Change;
use crate::model::command::{Command, Condition, Op};
use crate::model::guard::{Guard, Rows};
use crate::model::value::Value;
use crate::time::Millis;

const THINGS: &str = r#"{"name":"things","fields":[{"name":"name","type":"text"},
    {"name":"kind","type":"text","default":"plain"},{"name":"n","type":"number","integer":true},
    {"name":"must","type":"text","required":true,"default":"m"},{"name":"data","type":"json","maxSize":40},
    {"name":"made","type":"autodate","onCreate":true},{"name":"changed","type":"autodate","onCreate":true,"onUpdate":true}],
    "indexes":[{"name":"one","fields":["name"],"unique":true},{"name":"two","fields":["kind","-n"],"unique":true}]}"#;
const LINKS: &str = r#"{"name":"links","fields":[{"name":"to","type":"relation","collection":"things"},
    {"name":"all","type":"relation","collection":"things","maxSelect":5},
    {"name":"next","type":"relation","collection":"links"}]}"#;

/// A condition of a case, by what it is to the record there.
#[derive(Clone, Copy)]
enum If {
    No,
    Star,
    /// The record's version.
    Right,
    /// Two versions, the second one right.
    OneRight,
    /// An earlier version.
    Wrong,
    /// The right number of another history.
    Foreign,
}

#[derive(Clone, Copy)]
enum Ask {
    Create(&'static str, &'static str),
    Merge(&'static str, &'static str, &'static str, If),
    Put(&'static str, &'static str, &'static str, If),
    PutNew(&'static str, &'static str, &'static str),
    Delete(&'static str, &'static str, If),
}

use Ask::{Create, Delete, Merge, Put, PutNew};

/// `a` and `b` in `things`, `l` in `links` that points at both.
fn filled() -> Stepped {
    let mut core = Stepped::with(&[THINGS, LINKS]);
    core.fill(&[
        ("things", r#"{"id":"a","name":"ann","n":1,"data":{"x":1,"y":{"z":2}}}"#),
        ("things", r#"{"id":"b","name":"bob","n":2}"#),
    ]);
    core.fill(&[("links", r#"{"id":"l","to":"a","all":["a","b"]}"#)]);
    core.now = Millis(NOW.0 + 1_000);
    core
}

fn condition(core: &Stepped, collection: &str, record: &str, which: If) -> Option<Condition> {
    let version = core.record(collection, record).map_or(Position::default(), |record| record.version);
    let earlier = Position { seq: version.seq.before(), ..version };
    match which {
        If::No => None,
        If::Star => Some(Condition::Exists),
        If::Right => Some(Condition::Versions(vec![version])),
        If::OneRight => Some(Condition::Versions(vec![earlier, version])),
        If::Wrong => Some(Condition::Versions(vec![earlier])),
        If::Foreign => {
            let epoch = Epoch { counter: 9, node: NodeId(9) };
            Some(Condition::Versions(vec![Position { epoch, ..version }]))
        }
    }
}

fn op(core: &Stepped, ask: Ask) -> (&'static str, Op) {
    match ask {
        Create(collection, body) => (collection, core.create(collection, body)),
        Merge(collection, record, body, when) => {
            (collection, core.merge(collection, record, body, condition(core, collection, record, when)))
        }
        Put(collection, record, body, when) => {
            (collection, core.put(collection, record, body, condition(core, collection, record, when), false))
        }
        PutNew(collection, record, body) => (collection, core.put(collection, record, body, None, true)),
        Delete(collection, record, when) => {
            (collection, Op::Delete { id: id(record), if_match: condition(core, collection, record, when) })
        }
    }
}

/// A transaction, what is told of it, and records as they are then: collection, id, what it holds.
type Case<'a> = (&'a [Ask], &'a str, &'a [(&'a str, &'a str, &'a str)]);

/// Each case against the same beginning.
fn play(cases: &[Case<'_>]) {
    for (asks, expected, looks) in cases {
        let mut core = filled();
        let before = core.view().position;
        let keys = core.keys();
        let writes: Vec<(&str, Op)> = asks.iter().map(|ask| op(&core, *ask)).collect();
        let outcome = core.write(&writes);
        let about = format!("{writes:?}");
        assert_eq!(told(&core, before, &outcome), *expected, "{about}");
        if outcome.is_err() || *expected == "same" {
            assert_eq!(core.keys(), keys, "nothing is changed by {about}");
        }
        for (collection, record, shown) in *looks {
            let dates = |shown: &str| shown.split(" made=").next().unwrap().to_owned();
            assert_eq!(dates(&core.shown(collection, record)), *shown, "{collection} {record} after {about}");
        }
        core.assert_one_state(Seq(3));
    }
}

#[test]
fn a_record_is_created_once() {
    play(&[
        (&[Create("things", r#"{"id":"c"}"#)], "created", &[("things", "c", r#"kind="plain" must="m""#)]),
        (&[Create("things", r#"{"id":"a","name":"x"}"#)], "Conflict exists", &[]),
        (&[Create("things", r#"{"id":"c"}"#), Create("things", r#"{"id":"c"}"#)], "Conflict exists", &[]),
        (
            &[Delete("links", "l", If::No), Delete("things", "a", If::No), Create("things", r#"{"id":"a"}"#)],
            "deleted deleted created",
            &[("things", "a", r#"kind="plain" must="m""#)],
        ),
        // The same id in two collections is two records.
        (&[Create("links", r#"{"id":"a"}"#)], "created", &[]),
    ]);
}

#[test]
fn conditions_are_judged_against_the_version_that_is_there() {
    let merge = |when| Merge("things", "a", r#"{"n":7}"#, when);
    let put = |when| Put("things", "a", r#"{"name":"ann","n":7}"#, when);
    let delete = |when| Delete("links", "l", when);
    let no = "Precondition precondition_failed";
    for ask in [merge as fn(If) -> Ask, put, delete] {
        let done = if matches!(ask(If::No), Delete(..)) { "deleted" } else { "updated" };
        for (when, expected) in [
            (If::No, done),
            (If::Star, done),
            (If::Right, done),
            (If::OneRight, done),
            (If::Wrong, no),
            (If::Foreign, no),
        ] {
            play(&[(&[ask(when)], expected, &[])]);
        }
    }
    play(&[
        (&[Merge("things", "none", "{}", If::No)], "NotFound not_found", &[]),
        (&[Merge("things", "none", "{}", If::Star)], "NotFound not_found", &[]),
        (&[Delete("things", "none", If::Star)], "NotFound not_found", &[]),
        (&[Put("things", "none", "{}", If::Star)], no, &[]),
        (&[Put("things", "none", "{}", If::Wrong)], no, &[]),
        (&[PutNew("things", "none", "{}")], "created", &[]),
        (&[PutNew("things", "a", "{}")], no, &[]),
        // What would change nothing is refused all the same.
        (&[Merge("things", "a", "{}", If::Wrong)], no, &[]),
        // The first write of the transaction gives the record a version that the second does not name.
        (&[merge(If::Right), merge(If::Right)], no, &[]),
        (&[merge(If::No), Merge("things", "a", r#"{"n":8}"#, If::Star)], "updated updated", &[]),
    ]);
}

#[test]
fn what_changes_nothing_writes_nothing() {
    play(&[
        (&[Merge("things", "a", "{}", If::No)], "same", &[]),
        (&[Merge("things", "a", r#"{"name":"ann","n":1}"#, If::Right)], "same", &[]),
        (&[Merge("things", "a", r#"{"data":{"x":1}}"#, If::No)], "same", &[]),
        (&[Merge("things", "a", r#"{"data":{"none":null}}"#, If::No)], "same", &[]),
        (&[Put("things", "b", r#"{"name":"bob","n":2}"#, If::No)], "same", &[]),
        (&[Put("things", "b", r#"{"name":"bob","n":2,"kind":"plain","must":"m"}"#, If::Right)], "same", &[]),
        (&[Put("links", "l", r#"{"to":"a","all":["a","b"]}"#, If::No)], "same", &[]),
        (&[Merge("things", "a", "{}", If::No), Merge("things", "b", "{}", If::No)], "same", &[]),
    ]);
    let mut core = filled();
    let before = core.record("things", "a").unwrap();
    let merge = core.merge("things", "a", "{}", None);
    let outcome = core.write(&[("things", merge)]).unwrap();
    assert_eq!(stored(&outcome.writes[0]), &before, "the answer is the record as it is, with its version");
}

#[test]
fn a_merge_goes_field_by_field_and_into_json() {
    play(&[
        (
            &[Merge("things", "a", r#"{"n":null,"data":{"y":{"z":null,"w":3}}}"#, If::No)],
            "updated",
            &[("things", "a", r#"name="ann" kind="plain" must="m" data={"x":1,"y":{"w":3}}"#)],
        ),
        (
            &[Merge("things", "a", r#"{"data":[1]}"#, If::No)],
            "updated",
            &[("things", "a", r#"name="ann" kind="plain" n=1 must="m" data=[1]"#)],
        ),
        (
            &[Merge("things", "b", r#"{"data":{"x":1,"y":null}}"#, If::No)],
            "updated",
            &[("things", "b", r#"name="bob" kind="plain" n=2 must="m" data={"x":1}"#)],
        ),
        // Null is null: a default is for what is created or replaced.
        (
            &[Merge("things", "a", r#"{"kind":null}"#, If::No)],
            "updated",
            &[("things", "a", r#"name="ann" n=1 must="m" data={"x":1,"y":{"z":2}}"#)],
        ),
        // Each patch fits its field; together they don't.
        (
            &[
                Merge("things", "b", r#"{"data":{"one":"0123456789abcd"}}"#, If::No),
                Merge("things", "b", r#"{"data":{"two":"0123456789abcd"}}"#, If::No),
            ],
            "Invalid invalid",
            &[],
        ),
    ]);
    let mut core = filled();
    let must = core.collection("things").field("must").unwrap().id;
    let emptied =
        Op::Merge { id: id("a"), patch: vec![(must, Value::Null)], merges: vec![], adjusts: vec![], if_match: None };
    let refusal = core.write(&[("things", emptied)]).unwrap_err();
    assert_eq!(
        (refusal.kind(), &*refusal.field_faults()[0].code),
        (Kind::Invalid, "required"),
        "merged, it is looked at"
    );
}

#[test]
fn a_put_replaces_all_but_what_the_server_sets() {
    let mut core = filled();
    let dates = |core: &Stepped, record: &str| {
        let things = core.collection("things");
        let fields = core.record("things", record).unwrap().fields;
        ["made", "changed"].map(|name| fields.get(things.field(name).unwrap().id).clone())
    };
    let later = Value::Date(core.now);
    let put = core.put("things", "a", r#"{"n":5,"must":"given"}"#, None, false);
    core.write(&[("things", put)]).unwrap();
    assert!(core.shown("things", "a").starts_with(r#"kind="plain" n=5 must="given" made="#), "what is not said goes");
    assert_eq!(dates(&core, "a"), [Value::Date(NOW), later.clone()], "onCreate stays, onUpdate moves");
    let put = core.put("things", "new", "{}", None, false);
    core.write(&[("things", put)]).unwrap();
    assert_eq!(dates(&core, "new"), [later.clone(), later.clone()]);
    let merge = core.merge("things", "b", r#"{"n":9}"#, None);
    core.write(&[("things", merge)]).unwrap();
    assert_eq!(dates(&core, "b"), [Value::Date(NOW), later]);
    core.assert_one_state(Seq(4));
}

#[test]
fn time_never_goes_back() {
    let mut core = filled();
    let merge = core.merge("things", "a", r#"{"n":5}"#, None);
    core.write(&[("things", merge)]).unwrap();
    core.now = Millis(0);
    let create = core.create("things", r#"{"id":"early"}"#);
    core.write(&[("things", create)]).unwrap();
    let times: Vec<Millis> = core.entries().iter().map(|logged| logged.time).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn unique_values_stand_alone() {
    let taken = "Conflict unique";
    play(&[
        (&[Create("things", r#"{"id":"c","name":"ann"}"#)], taken, &[]),
        (&[Merge("things", "b", r#"{"name":"ann"}"#, If::No)], taken, &[]),
        (&[Put("things", "b", r#"{"name":"ann"}"#, If::No)], taken, &[]),
        // Null is exempt, alone or among several.
        (&[Create("things", r#"{"id":"c"}"#), Create("things", r#"{"id":"d"}"#)], "created created", &[]),
        (&[Create("things", r#"{"id":"c","n":2}"#)], taken, &[]),
        (&[Create("things", r#"{"id":"c","n":2,"kind":"other"}"#)], "created", &[]),
        // Its own values are no other's.
        (&[Merge("things", "a", r#"{"name":"ann","n":3}"#, If::No)], "updated", &[]),
        // Within one transaction each write sees those before it, and nobody sees those after.
        (&[Create("things", r#"{"id":"c","name":"x"}"#), Create("things", r#"{"id":"d","name":"x"}"#)], taken, &[]),
        (
            &[Merge("things", "a", r#"{"name":"x"}"#, If::No), Create("things", r#"{"id":"c","name":"ann"}"#)],
            "updated created",
            &[],
        ),
        (&[Delete("things", "b", If::No), Create("things", r#"{"id":"c","name":"bob"}"#)], "Conflict referred_to", &[]),
        (
            &[
                Delete("links", "l", If::No),
                Delete("things", "b", If::No),
                Create("things", r#"{"id":"c","name":"bob"}"#),
            ],
            "deleted deleted created",
            &[],
        ),
        (
            &[Merge("things", "a", r#"{"name":"bob"}"#, If::No), Merge("things", "b", r#"{"name":"ann"}"#, If::No)],
            taken,
            &[],
        ),
        (
            &[
                Merge("things", "a", r#"{"name":null}"#, If::No),
                Merge("things", "b", r#"{"name":"ann"}"#, If::No),
                Merge("things", "a", r#"{"name":"bob"}"#, If::No),
            ],
            "updated updated updated",
            &[("things", "b", r#"name="ann" kind="plain" n=2 must="m""#)],
        ),
    ]);
    let mut core = filled();
    let create = core.create("things", r#"{"id":"c","name":"ann","n":2}"#);
    let refusal = core.write(&[("things", create)]).unwrap_err();
    let fields: Vec<&str> = refusal.field_faults().iter().map(|fault| &*fault.field).collect();
    assert_eq!(fields, ["name", "kind", "n"], "every index that refuses names its fields");
}

#[test]
fn one_batch_sees_its_earlier_commands() {
    let mut core = filled();
    let create = |body| core.command(&[("things", core.create("things", body))]);
    let commands = [
        create(r#"{"id":"c","name":"x"}"#),
        create(r#"{"id":"d","name":"x"}"#),
        create(r#"{"id":"c"}"#),
        create(r#"{"id":"d","name":"y"}"#),
    ];
    let before = core.view().position.seq.0;
    let outcomes = core.writer.commit(&commands, NOW).unwrap();
    let told: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(committed) => format!("{}", committed.position.seq.0 - before),
            Err(refusal) => refusal.code_str().to_owned(),
        })
        .collect();
    assert_eq!(told, ["1", "unique", "exists", "2"]);
    core.assert_one_state(Seq(before + 1));
}

#[test]
fn relations_point_at_records() {
    let gone = "Conflict relation_missing";
    play(&[
        (&[Create("links", r#"{"id":"m","to":"none"}"#)], gone, &[]),
        (&[Create("links", r#"{"id":"m","all":["a","none"]}"#)], gone, &[]),
        (&[Merge("links", "l", r#"{"to":"none"}"#, If::No)], gone, &[]),
        (&[Put("links", "l", r#"{"next":"none"}"#, If::No)], gone, &[]),
        (&[Create("links", r#"{"id":"m","to":"b","next":"l"}"#)], "created", &[]),
        // A record may point at itself, also as it comes to be.
        (&[Create("links", r#"{"id":"m","next":"m"}"#)], "created", &[("links", "m", r#"next="m""#)]),
        (&[Merge("links", "l", r#"{"next":"l"}"#, If::No)], "updated", &[]),
        // Its own id in another collection is another record.
        (&[Create("links", r#"{"id":"m","to":"m"}"#)], gone, &[]),
        (&[Create("things", r#"{"id":"m"}"#), Create("links", r#"{"id":"m","to":"m"}"#)], "created created", &[]),
        (&[Create("links", r#"{"id":"m","to":"m"}"#), Create("things", r#"{"id":"m"}"#)], gone, &[]),
        (
            &[
                Merge("links", "l", r#"{"to":null,"all":null}"#, If::No),
                Delete("things", "a", If::No),
                Create("links", r#"{"id":"m","to":"a"}"#),
            ],
            gone,
            &[],
        ),
    ]);
    let mut core = filled();
    let create = core.create("links", r#"{"id":"m","to":"x","all":["y","a","z"],"next":"w"}"#);
    let refusal = core.write(&[("links", create)]).unwrap_err();
    let fields: Vec<&str> = refusal.field_faults().iter().map(|fault| &*fault.field).collect();
    assert_eq!(fields, ["to", "all", "all", "next"], "all faults at once");
}

#[test]
fn input_checked_against_another_definition_is_stale() {
    let mut core = filled();
    let Command::Write(mut writes) = core.command(&[("things", core.create("things", r#"{"id":"c"}"#))]) else {
        panic!("a write")
    };
    writes[0].schema = Seq(writes[0].schema.0 + 1);
    let refusal = core.submit(Command::Write(writes.clone())).unwrap_err();
    assert_eq!((refusal.kind(), refusal.code_str()), (Kind::Conflict, "stale_schema"));
    writes[0].collection.0 = 99;
    assert_eq!(core.submit(Command::Write(writes)).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_guard_is_obeyed_action_by_action() {
    // In the order of the actions: list, view, create, update, delete.
    let only = |at: usize| {
        let mut rows = [const { Rows::None }; 5];
        rows[at] = Rows::All;
        rows
    };
    let asks = [
        (Create("things", r#"{"id":"c"}"#), 2),
        (Merge("things", "a", r#"{"n":9}"#, If::No), 3),
        (Put("things", "c", "{}", If::No), 2),
        (Put("things", "a", "{}", If::No), 3),
        (Delete("links", "l", If::No), 4),
    ];
    for (ask, needs) in asks {
        for allowed in 0..5 {
            for known in [true, false] {
                let mut core = filled();
                let Command::Write(mut writes) = core.command(&[op(&core, ask)]) else { panic!("a write") };
                writes[0].guard = Guard::for_caller(known, only(allowed));
                let outcome = core.submit(Command::Write(writes)).map_err(|refusal| refusal.kind());
                let refusal = if known { Kind::Forbidden } else { Kind::Unauthenticated };
                assert_eq!(outcome.err(), (allowed != needs).then_some(refusal), "action {needs}, allowed {allowed}");
            }
        }
    }
}

#[test]
fn a_transaction_is_bounded_in_changes_and_bytes() {
    let mut core = Stepped::with(&[r#"{"name":"notes","fields":[{"name":"text","type":"text","max":2000000}]}"#]);
    let create = |core: &Stepped, n: usize, text: usize| {
        ("notes", core.create("notes", &format!(r#"{{"id":"n{n}","text":"{}"}}"#, "x".repeat(text))))
    };
    let most: Vec<(&str, Op)> = (0..limits::ENTRY_CHANGES_MAX).map(|n| create(&core, n, 1)).collect();
    let mut more = most.clone();
    more.push(create(&core, most.len(), 1));
    let refusal = core.write(&more).unwrap_err();
    assert_eq!(refusal.kind(), Kind::TooLarge);
    assert!(refusal.message().contains("10000 records"), "{refusal}");
    assert_eq!(core.write(&most).unwrap().writes.len(), limits::ENTRY_CHANGES_MAX);

    let big: Vec<(&str, Op)> = (20_000..20_009).map(|n| create(&core, n, 1_990_000)).collect();
    let refusal = core.write(&big).unwrap_err();
    assert_eq!(refusal.kind(), Kind::TooLarge);
    assert!(refusal.message().contains("16 MiB"), "{refusal}");
    core.write(&big[..8]).unwrap();
    core.assert_one_state(Seq(2));
}

#[test]
fn what_is_decided_follows_from_the_arguments_alone() {
    let core = filled();
    let command = core.command(&[
        op(&core, Merge("things", "a", r#"{"n":5,"data":{"q":[]}}"#, If::Right)),
        op(&core, Delete("links", "l", If::No)),
        op(&core, Delete("things", "a", If::No)),
    ]);
    let view = core.view();
    let position = Position { seq: view.position.seq.next(), ..view.position };
    let decided = || decide(&view.schema, &view.stack, position, &command, NOW, Default::default()).unwrap();
    let first = decided();
    assert_eq!(first, decided());
    let [Change::Updated { after, .. }, Change::Deleted { .. }, Change::Deleted { before, since, .. }] =
        &first.entry.changes[..]
    else {
        panic!("{:?}", first.entry)
    };
    assert_eq!((before, *since), (after, position.seq), "a deletion says what was there at its turn");
}
