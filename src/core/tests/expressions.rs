//! What is evaluated where a write is decided: rules on rows, defaults, computed fields, checks, and that no definition
//! loses what its expressions look at.

use std::sync::Arc;

use super::fixture::{NOW, Stepped, id, refused, stored};
use crate::core::Outcome;
use crate::error::Kind;
use crate::id::{CollectionId, Position};
use crate::model::command::{Command, Op, Write};
use crate::model::guard::{Action, Guard, Rows};
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::record::Record;
use crate::model::value::Fields;
use crate::time::Millis;

const USERS: &str = r#"{"name":"users","fields":[{"name":"name","type":"text"},
    {"name":"team","type":"relation","collection":"users","onDelete":"setNull"},{"name":"vip","type":"bool"}]}"#;

const ORDERS: &str = r#"{"name":"orders","fields":[
    {"name":"user","type":"relation","collection":"users","onDelete":"setNull"},
    {"name":"owner","type":"text","default":"@request.auth.id"},
    {"name":"price","type":"number","default":10},
    {"name":"total","type":"number","default":{"expr":"price * 2"}},
    {"name":"gross","type":"number","computed":"total + vat"},
    {"name":"vat","type":"number","computed":"round(total * 0.25, 2)"},
    {"name":"buyer","type":"text","computed":"user.name"},
    {"name":"boss","type":"relation","collection":"users","onDelete":"setNull","computed":"user.team"},
    {"name":"day","type":"date","default":{"expr":"addDays(@now, 1)"}},
    {"name":"status","type":"select","values":["new","paid"],"default":"new"},
    {"name":"touched","type":"autodate","onUpdate":true}
],"checks":[
    {"name":"paid_has_total","expr":"status != 'paid' || total > 0","message":"a paid order needs a total","field":"total"},
    {"name":"stays_paid","expr":"!(@old.status = 'paid') || status = 'paid'","message":"what is paid stays paid"}
]}"#;

/// Two users, of whom `b` is in the team of `a`; one order of `b`.
fn filled() -> Stepped {
    let mut core = Stepped::with(&[USERS, ORDERS]);
    core.fill(&[
        ("users", r#"{"id":"a","name":"Ann","vip":true}"#),
        ("users", r#"{"id":"b","name":"Bob","team":"a"}"#),
    ]);
    core.fill(&[("orders", r#"{"id":"o","user":"b","total":100}"#)]);
    core
}

fn merge(core: &mut Stepped, name: &str, record: &str, body: &str) -> Outcome {
    let op = core.merge(name, record, body, None);
    core.write(&[(name, op)])
}

fn put(core: &mut Stepped, name: &str, record: &str, body: &str) -> Outcome {
    let op = core.put(name, record, body, None, false);
    core.write(&[(name, op)])
}

fn create(core: &mut Stepped, name: &str, body: &str) -> Outcome {
    let op = core.create(name, body);
    core.write(&[(name, op)])
}

fn delete(core: &mut Stepped, name: &str, record: &str) -> Outcome {
    core.write(&[(name, Op::Delete { id: id(record), if_match: None })])
}

/// A refusal with its faults: `Unprocessable computed vat:too_large`.
pub(super) fn refusal(outcome: Outcome) -> String {
    let error = outcome.expect_err("refused");
    let faults = error.field_faults().iter().map(|fault| format!(" {}:{}", fault.field, fault.code));
    faults.fold(refused(error.kind(), error.code_str()), |all, fault| all + &fault)
}

/// A caller whose own record is `caller`, by the rules of the collection.
fn guard(core: &Stepped, name: &str, caller: Option<&str>) -> Guard {
    let view = core.view();
    let collection = core.collection(name);
    let compiled = view.schema.compiled(&collection).unwrap();
    let principal = caller.map(|caller| {
        let record = Record { id: id(caller), version: Position::default(), fields: Fields::new() };
        (CollectionId(99), Arc::new(record))
    });
    let request = Arc::new(Request { principal, ..Request::at(NOW) });
    let rows = [Action::List, Action::View, Action::Create, Action::Update, Action::Delete].map(|action| {
        match (collection.rules.of(action), compiled.rule(action)) {
            (Some(_), Some(program)) => Rows::Where(Box::new(Predicate {
                program: program.clone(),
                request: request.clone(),
                sight: Sight::All,
            })),
            (Some(_), None) => Rows::All,
            (None, _) => Rows::None,
        }
    });
    Guard::for_caller(caller.is_some(), rows).compiled_by(&view.schema).of_request(request)
}

pub(super) fn write_as(core: &mut Stepped, caller: Option<&str>, name: &str, op: Op) -> Outcome {
    write_all_as(core, caller, name, vec![op])
}

pub(super) fn write_all_as(core: &mut Stepped, caller: Option<&str>, name: &str, ops: Vec<Op>) -> Outcome {
    let command = command_as(core, caller, name, ops);
    core.submit(command)
}

pub(super) fn command_as(core: &Stepped, caller: Option<&str>, name: &str, ops: Vec<Op>) -> Command {
    let collection = core.collection(name);
    let guard = guard(core, name, caller);
    let write = |op| Write { collection: collection.id, schema: collection.version, guard: guard.clone(), op };
    Command::Write(ops.into_iter().map(write).collect())
}

#[test]
fn what_is_computed_follows_what_it_reads_at_every_write() {
    let mut core = filled();
    let day = Millis(NOW.0 + 86_400_000).to_string();
    let order = |rest: &str| format!(r#"{rest} day="{day}" status="new""#);
    assert_eq!(
        core.shown("orders", "o"),
        order(r#"user="b" price=10 total=100 gross=125 vat=25 buyer="Bob" boss="a""#)
    );
    create(&mut core, "orders", r#"{"id":"p"}"#).unwrap();
    assert_eq!(core.shown("orders", "p"), order("price=10 total=20 gross=25 vat=5"), "a default reads the record");
    core.now = Millis(NOW.0 + 5);
    let touched = core.now.to_string();

    merge(&mut core, "orders", "o", r#"{"total":200}"#).unwrap();
    let expected = order(r#"user="b" price=10 total=200 gross=250 vat=50 buyer="Bob" boss="a""#);
    assert_eq!(core.shown("orders", "o"), format!(r#"{expected} touched="{touched}""#));

    // A copy is as of the write.
    merge(&mut core, "users", "b", r#"{"name":"Rob"}"#).unwrap();
    assert!(core.shown("orders", "o").contains(r#"buyer="Bob""#));
    merge(&mut core, "orders", "o", r#"{"total":null}"#).unwrap();
    let expected = order(r#"user="b" price=10 buyer="Rob" boss="a""#);
    assert_eq!(core.shown("orders", "o"), format!(r#"{expected} touched="{touched}""#), "null reckons to null");

    put(&mut core, "orders", "o", r#"{"user":"a","price":3}"#).unwrap();
    let later = Millis(core.now.0 + 86_400_000).to_string();
    let expected = format!(
        r#"user="a" price=3 total=6 gross=7.5 vat=1.5 buyer="Ann" day="{later}" status="new" touched="{touched}""#
    );
    assert_eq!(core.shown("orders", "o"), expected);
    core.assert_one_state(crate::id::Seq(5));
}

#[test]
fn what_changes_nothing_writes_nothing_though_a_copy_is_old() {
    let mut core = filled();
    merge(&mut core, "users", "b", r#"{"name":"Rob"}"#).unwrap();
    let before = core.view().position;
    let body =
        format!(r#"{{"user":"b","price":10,"total":100,"status":"new","day":"{}"}}"#, Millis(NOW.0 + 86_400_000));
    for outcome in [
        merge(&mut core, "orders", "o", "{}"),
        merge(&mut core, "orders", "o", r#"{"total":100}"#),
        put(&mut core, "orders", "o", &body),
    ] {
        outcome.unwrap();
        assert_eq!(core.view().position, before);
    }
    assert!(core.shown("orders", "o").contains(r#"buyer="Bob""#));
}

#[test]
fn a_deletion_is_followed_by_what_reads_the_relation() {
    let mut core = filled();
    delete(&mut core, "users", "a").unwrap();
    assert_eq!(core.shown("users", "b"), r#"name="Bob""#);
    assert!(!core.shown("orders", "o").contains("boss"), "a computed relation loses what is gone");
    assert!(core.shown("orders", "o").contains(r#"buyer="Bob""#));
    delete(&mut core, "users", "b").unwrap();
    assert!(!core.shown("orders", "o").contains("buyer"), "{}", core.shown("orders", "o"));
    core.assert_one_state(crate::id::Seq(4));
}

#[test]
fn a_record_that_cannot_be_without_a_relation_keeps_its_target() {
    let kept = |rest: &str| {
        let needs = format!(
            r#"{{"name":"needs","fields":[{{"name":"user","type":"relation","collection":"users","onDelete":"setNull"}}{rest}}}"#
        );
        let mut core = Stepped::with(&[USERS, &needs]);
        core.fill(&[("users", r#"{"id":"a","name":"Ann"}"#), ("needs", r#"{"id":"n","user":"a"}"#)]);
        let outcome = refusal(delete(&mut core, "users", "a"));
        assert_eq!(core.shown("users", "a"), r#"name="Ann""#);
        outcome
    };
    let needed = "Conflict referred_to";
    assert_eq!(kept(r#"],"checks":[{"name":"has","expr":"user != null","message":"m"}]"#), needed);
    assert_eq!(kept(r#",{"name":"n","type":"text","required":true,"computed":"user.name"}]"#), needed);
    assert_eq!(kept(r#",{"name":"n","type":"number","min":1,"computed":"if(user = null, 0, 1)"}]"#), needed);
}

#[test]
fn what_the_request_says_may_be_a_default() {
    let mut core = filled();
    let collection = core.collection("orders");
    let owned = |core: &mut Stepped, record: &str, caller: Option<&str>| {
        let op = core.create("orders", &format!(r#"{{"id":"{record}"}}"#));
        let request = Arc::new(Request {
            principal: caller.map(|caller| {
                let record = Record { id: id(caller), version: Position::default(), fields: Fields::new() };
                (CollectionId(99), Arc::new(record))
            }),
            ..Request::at(NOW)
        });
        let guard = Guard::for_superuser().of_request(request);
        let write = Write { collection: collection.id, schema: collection.version, guard, op };
        core.submit(Command::Write(vec![write])).unwrap();
        core.shown("orders", record)
    };
    assert!(owned(&mut core, "x", Some("ann")).starts_with(r#"owner="ann""#));
    assert!(owned(&mut core, "y", None).starts_with("price"));
}

#[test]
fn what_is_computed_fits_its_field_or_is_refused() {
    let table = [
        // field, body, what is shown or refused
        (r#""type":"number","integer":true,"computed":"n / 2""#, r#"{"n":4}"#, "f=2"),
        (r#""type":"number","integer":true,"computed":"n / 2""#, r#"{"n":3}"#, "Unprocessable computed f:not_whole"),
        (r#""type":"number","integer":true,"computed":"i""#, r#"{"i":9007199254740993}"#, "f=9007199254740993"),
        (r#""type":"number","computed":"i""#, r#"{"i":7}"#, "f=7"),
        (r#""type":"number","computed":"n / 0""#, r#"{"n":3}"#, ""),
        (r#""type":"number","max":5,"computed":"n""#, r#"{"n":5}"#, "f=5"),
        (r#""type":"number","max":5,"computed":"n""#, r#"{"n":6}"#, "Unprocessable computed f:too_large"),
        (r#""type":"text","max":3,"computed":"t""#, r#"{"t":"abcd"}"#, "Unprocessable computed f:too_long"),
        (r#""type":"text","sanitize":["trim","lower"],"computed":"t + '!'""#, r#"{"t":" AB"}"#, r#"f="ab!""#),
        (r#""type":"text","pattern":"^a","computed":"t""#, r#"{"t":"b"}"#, "Unprocessable computed f:pattern"),
        (r#""type":"text","required":true,"computed":"t""#, "{}", "Unprocessable computed f:required"),
        (r#""type":"text","required":true,"computed":"trim(t)""#, r#"{"t":" "}"#, "Unprocessable computed f:required"),
        (r#""type":"editor","computed":"t""#, r#"{"t":"<b onclick=x>a</b><script>b</script>"}"#, r#"f="<b>a</b>""#),
        (r#""type":"email","computed":"t""#, r#"{"t":"a@example.org"}"#, r#"f="a@example.org""#),
        (r#""type":"email","computed":"t""#, r#"{"t":"a"}"#, "Unprocessable computed f:not_an_email"),
        (r#""type":"url","computed":"'https://example.org/' + t""#, r#"{"t":"a"}"#, r#"f="https://example.org/a""#),
        (r#""type":"url","computed":"t""#, r#"{"t":"javascript:x"}"#, "Unprocessable computed f:not_a_url"),
        (r#""type":"select","values":["a","b"],"computed":"t""#, r#"{"t":"b"}"#, r#"f="b""#),
        (
            r#""type":"select","values":["a","b"],"computed":"t""#,
            r#"{"t":"c"}"#,
            "Unprocessable computed f:not_a_value",
        ),
        (r#""type":"relation","collection":"c","computed":"t""#, r#"{"t":"a b"}"#, "Unprocessable computed f:bad_id"),
        (
            r#""type":"relation","collection":"c","computed":"t""#,
            r#"{"t":"nope"}"#,
            "Conflict relation_missing f:relation_missing",
        ),
        (r#""type":"relation","collection":"c","computed":"id""#, "{}", r#"f="x""#),
        (r#""type":"bool","computed":"n > 1""#, r#"{"n":2}"#, "f=true"),
        (r#""type":"bool","computed":"j.flag""#, r#"{"j":{"flag":true}}"#, "f=true"),
        (r#""type":"bool","computed":"j.flag""#, r#"{"j":{"flag":1}}"#, "Unprocessable computed f:wrong_type"),
        (
            r#""type":"date","computed":"j.at""#,
            r#"{"j":{"at":"2001-02-28T12:00:00+02:00"}}"#,
            r#"f="2001-02-28 10:00:00.000Z""#,
        ),
        (r#""type":"date","computed":"j.at""#, r#"{"j":{"at":"soon"}}"#, "Unprocessable computed f:not_a_date"),
        (r#""type":"date","max":"2000-01-01","computed":"@now""#, "{}", "Unprocessable computed f:too_late"),
        (r#""type":"json","computed":"l""#, r#"{"l":["a","b"]}"#, r#"f=["a","b"]"#),
        (r#""type":"json","computed":"t""#, r#"{"t":"a\"b"}"#, r#"f="a\"b""#),
        (r#""type":"json","maxSize":3,"computed":"n""#, r#"{"n":1234}"#, "Unprocessable computed f:too_long"),
        (r#""type":"geoPoint","computed":"j.at""#, r#"{"j":{"at":{"lat":1,"lon":2}}}"#, r#"f={"lon":2,"lat":1}"#),
        (
            r#""type":"geoPoint","computed":"j.at""#,
            r#"{"j":{"at":{"lat":91,"lon":2}}}"#,
            "Unprocessable computed f:out_of_range",
        ),
        (r#""type":"geoPoint","computed":"j.at""#, r#"{"j":{"at":[1,2]}}"#, "Unprocessable computed f:wrong_type"),
        (r#""type":"select","values":["a","b"],"maxSelect":2,"computed":"l""#, r#"{"l":["b","a"]}"#, r#"f=["b","a"]"#),
        (
            r#""type":"select","values":["a"],"maxSelect":2,"computed":"l""#,
            r#"{"l":["b","a"]}"#,
            "Unprocessable computed f:not_a_value",
        ),
        (
            r#""type":"select","values":["a","b"],"maxSelect":2,"minSelect":2,"computed":"l""#,
            r#"{"l":["b"]}"#,
            "Unprocessable computed f:too_few",
        ),
        (
            r#""type":"select","values":["a","b"],"maxSelect":2,"computed":"j.l""#,
            r#"{"j":{"l":["b","b",null,"a"]}}"#,
            "Unprocessable computed f:wrong_type",
        ),
        (
            r#""type":"select","values":["a","b"],"maxSelect":2,"computed":"j.l""#,
            r#"{"j":{"l":["b","b","a"]}}"#,
            r#"f=["b","a"]"#,
        ),
        (r#""type":"text","default":{"expr":"n"}"#, "{}", "bad"),
        (r#""type":"text","required":true,"default":{"expr":"t"}"#, "{}", "Invalid invalid f:required"),
        (r#""type":"number","max":5,"default":{"expr":"n"}"#, r#"{"n":6}"#, "Unprocessable computed f:too_large"),
        (r#""type":"number","max":5,"default":{"expr":"n"}"#, r#"{"n":6,"f":1}"#, "f=1"),
        (r#""type":"text","default":"@request.method""#, "{}", r#"f="""#),
    ];
    for (field, body, expected) in table {
        let definition = format!(
            r#"{{"name":"c","fields":[{{"name":"n","type":"number"}},{{"name":"i","type":"number","integer":true}},
            {{"name":"t","type":"text"}},{{"name":"j","type":"json"}},
            {{"name":"l","type":"select","values":["a","b"],"maxSelect":2}},{{"name":"f",{field}}}]}}"#
        );
        let core = Stepped::new();
        if expected == "bad" {
            let parsed = crate::model::definition::parse(&core.view().schema, definition.as_bytes(), NOW);
            assert_eq!(parsed.expect_err("refused").kind(), Kind::Invalid, "{field}");
            continue;
        }
        let mut core = Stepped::with(&[&definition]);
        let body = body.replacen('{', r#"{"id":"x","#, 1).replace(",}", "}");
        match create(&mut core, "c", &body) {
            Ok(_) => {
                let shown = core.shown("c", "x");
                let found = shown.find("f=").map_or("", |at| &shown[at..]);
                assert_eq!(found, expected, "{field} {body}");
            }
            refused => assert_eq!(refusal(refused), expected, "{field} {body}"),
        }
    }
}

#[test]
fn a_long_computed_text_stands_in_no_index() {
    let mut core = Stepped::with(&[r#"{"name":"c","fields":[{"name":"t","type":"text"},
        {"name":"f","type":"text","computed":"t + '!'"}],"indexes":[{"name":"f","fields":["f"],"unique":true}]}"#]);
    let body = |length: usize| format!(r#"{{"t":"{}"}}"#, "x".repeat(length));
    let most = crate::limits::INDEXED_TEXT_BYTES_MAX;
    let mut make = |record: &str, length: usize| {
        let op = core.create("c", &body(length));
        let Op::Create { fields, .. } = op else { panic!("a create") };
        core.write(&[("c", Op::Create { id: id(record), fields })])
    };
    assert_eq!(refusal(make("a", most)), "Unprocessable computed f:too_long_for_index");
    make("a", most - 1).unwrap();
    assert_eq!(refusal(make("b", most - 1)), "Conflict unique f:unique", "a computed value may be unique");
}

#[test]
fn checks_hold_of_every_record_as_it_would_be_stored() {
    let mut core = filled();
    let table = [
        (r#"{"status":"paid","total":0}"#, "Unprocessable check total:paid_has_total"),
        (r#"{"status":"paid","total":null}"#, "Unprocessable check total:paid_has_total"),
        (r#"{"status":"paid"}"#, ""),
        (r#"{"status":"new","total":0}"#, "Unprocessable check stays_paid:stays_paid"),
        (r#"{"status":null}"#, "Unprocessable check stays_paid:stays_paid"),
        (r#"{"status":null,"total":0}"#, "Unprocessable check total:paid_has_total stays_paid:stays_paid"),
        (r#"{"total":0}"#, "Unprocessable check total:paid_has_total"),
        (r#"{"total":1}"#, ""),
    ];
    for (body, expected) in table {
        match merge(&mut core, "orders", "o", body) {
            Ok(_) => assert_eq!("", expected, "{body}"),
            refused => assert_eq!(refusal(refused), expected, "{body}"),
        }
    }
    let error = put(&mut core, "orders", "o", r#"{"status":"new"}"#).unwrap_err();
    assert_eq!(error.message(), "what is paid stays paid");
    let error = create(&mut core, "orders", r#"{"status":"paid","price":0}"#).unwrap_err();
    assert_eq!(error.message(), "a paid order needs a total");
    let error = merge(&mut core, "orders", "o", r#"{"status":null,"total":0}"#).unwrap_err();
    assert_eq!(error.message(), "a paid order needs a total; what is paid stays paid");
    create(&mut core, "orders", r#"{"id":"q","status":"paid"}"#).unwrap();
}

const RULED: &str = r#"{"name":"ruled","fields":[
    {"name":"owner","type":"text","default":"@request.auth.id"},
    {"name":"n","type":"number"},
    {"name":"double","type":"number","max":100,"computed":"n * 2"},
    {"name":"open","type":"bool"},
    {"name":"locked","type":"bool"}
],"viewRule":"owner = @request.auth.id || open = true","createRule":"owner = @request.auth.id && double < 50",
"updateRule":"owner = @request.auth.id && !(locked = true) && (@request.body.locked:isset = false || n > 5)",
"deleteRule":"owner = @request.auth.id && n > 5"}"#;

#[test]
fn a_create_rule_sees_the_record_as_it_would_be_stored() {
    let mut core = Stepped::with(&[RULED]);
    let table = [
        (Some("ann"), r#"{"n":1}"#, ""),
        (Some("ann"), r#"{"n":25}"#, "Forbidden forbidden"),
        (None, r#"{"n":1}"#, "Unauthenticated unauthenticated"),
        (Some("ann"), r#"{"n":1,"owner":"bob"}"#, "Forbidden forbidden"),
        // Who may not create is told no more than that.
        (Some("bob"), r#"{"n":51,"owner":"ann"}"#, "Forbidden forbidden"),
        (Some("ann"), r#"{"n":51}"#, "Forbidden forbidden"),
        (Some("bob"), r#"{"id":"taken","n":1,"owner":"ann"}"#, "Forbidden forbidden"),
        (Some("ann"), r#"{"id":"taken","n":1}"#, "Conflict exists id:unique"),
    ];
    let op = core.create("ruled", r#"{"id":"taken"}"#);
    core.write(&[("ruled", op)]).unwrap();
    for (caller, body, expected) in table {
        for by_put in [false, true] {
            let op = if by_put && !body.contains("taken") {
                core.put("ruled", "put", body, None, true)
            } else {
                core.create("ruled", body)
            };
            match write_as(&mut core, caller, "ruled", op) {
                Ok(committed) => {
                    assert_eq!("", expected, "{body}");
                    let made = stored(&committed.writes[0]).id.clone();
                    delete(&mut core, "ruled", made.as_str()).unwrap();
                }
                refused => assert_eq!(refusal(refused), expected, "{body}"),
            }
        }
    }
}

#[test]
fn update_and_delete_rules_see_the_stored_record_and_the_change() {
    let merge = |record: &'static str, body: &'static str| (record, Some(body), false);
    let put = |record: &'static str, body: &'static str| (record, Some(body), true);
    let delete = |record: &'static str| (record, None, false);
    let table = [
        ("ann", merge("a", r#"{"n":2}"#), ""),
        ("bob", merge("a", r#"{"n":2}"#), "NotFound not_found"),
        ("bob", merge("open", r#"{"n":2}"#), "Forbidden forbidden"),
        // It is the stored one that says whose it is.
        ("bob", merge("a", r#"{"owner":"bob"}"#), "NotFound not_found"),
        ("ann", merge("a", r#"{"owner":"bob"}"#), ""),
        ("ann", merge("locked", r#"{"n":2}"#), "Forbidden forbidden"),
        ("ann", merge("locked", r#"{"locked":false}"#), "Forbidden forbidden"),
        ("ann", merge("a", r#"{"locked":true}"#), "Forbidden forbidden"),
        ("ann", merge("six", r#"{"locked":true}"#), ""),
        ("ann", merge("nope", r#"{"n":1}"#), "NotFound not_found"),
        ("ann", put("a", r#"{"owner":"ann","n":3}"#), ""),
        ("ann", put("a", r#"{"owner":"ann","locked":true}"#), "Forbidden forbidden"),
        // What a replacement leaves out, it empties: that is a change as well.
        ("ann", put("unlocked", r#"{"owner":"ann","n":3}"#), "Forbidden forbidden"),
        ("ann", put("a", r#"{"n":51}"#), "Unprocessable computed double:too_large"),
        // As if there were nothing: which may not be created.
        ("bob", put("a", r#"{"n":51}"#), "Forbidden forbidden"),
        ("bob", put("a", r#"{"n":1}"#), "NotFound not_found"),
        ("ann", delete("a"), "Forbidden forbidden"),
        ("bob", delete("a"), "NotFound not_found"),
        ("bob", delete("open"), "Forbidden forbidden"),
        ("ann", delete("six"), ""),
    ];
    for (caller, (record, body, by_put), expected) in table {
        let mut core = Stepped::with(&[RULED]);
        core.fill(&[
            ("ruled", r#"{"id":"a","owner":"ann","n":1}"#),
            ("ruled", r#"{"id":"open","owner":"ann","open":true}"#),
            ("ruled", r#"{"id":"six","owner":"ann","n":6}"#),
            ("ruled", r#"{"id":"locked","owner":"ann","locked":true}"#),
            ("ruled", r#"{"id":"unlocked","owner":"ann","n":1,"locked":false}"#),
        ]);
        let op = match body {
            None => Op::Delete { id: id(record), if_match: None },
            Some(body) if by_put => core.put("ruled", record, body, None, false),
            Some(body) => core.merge("ruled", record, body, None),
        };
        match write_as(&mut core, Some(caller), "ruled", op) {
            Ok(_) => assert_eq!("", expected, "{caller} {record} {body:?}"),
            refused => assert_eq!(refusal(refused), expected, "{caller} {record} {body:?}"),
        }
    }
}

#[test]
fn one_transaction_reads_what_it_has_written() {
    let mut core = filled();
    let writes = [
        ("users", core.create("users", r#"{"id":"c","name":"Cid"}"#)),
        ("orders", core.create("orders", r#"{"id":"x","user":"c"}"#)),
        ("users", core.merge("users", "c", r#"{"name":"Sid"}"#, None)),
        ("orders", core.create("orders", r#"{"id":"y","user":"c"}"#)),
    ];
    core.write(&writes).unwrap();
    assert!(core.shown("orders", "x").contains(r#"buyer="Cid""#));
    assert!(core.shown("orders", "y").contains(r#"buyer="Sid""#));
}

#[test]
fn a_lookup_copies_what_it_finds() {
    let mut core = Stepped::with(&[
        USERS,
        r#"{"name":"calls","fields":[{"name":"from","type":"text"},
            {"name":"name","type":"text","computed":"lookup('users', from).name"}]}"#,
    ]);
    core.fill(&[("users", r#"{"id":"a","name":"Ann"}"#)]);
    core.fill(&[("calls", r#"{"id":"1","from":"a"}"#), ("calls", r#"{"id":"2","from":"nobody"}"#)]);
    assert_eq!(core.shown("calls", "1"), r#"from="a" name="Ann""#);
    assert_eq!(core.shown("calls", "2"), r#"from="nobody""#);
}

#[test]
fn a_collection_stays_while_an_expression_looks_at_it() {
    let table = [
        (r#""fields":[{"name":"u","type":"text","computed":"lookup('users', id).name"}]"#, "fields.0.computed"),
        (r#""fields":[{"name":"u","type":"text","default":{"expr":"lookup('users', id).name"}}]"#, "fields.0.default"),
        (
            r#""fields":[],"checks":[{"name":"a","expr":"lookup('users', id).vip = true","message":"m"}]"#,
            "checks.0.expr",
        ),
        (r#""fields":[],"updateRule":"lookup('users', @request.auth.id).vip = true""#, "updateRule"),
    ];
    for (rest, path) in table {
        let looks = format!(r#"{{"name":"looks",{rest}}}"#);
        let mut core = Stepped::with(&[USERS, &looks]);
        let users = core.collection("users").id;
        let error = core.submit(Command::Drop(users)).unwrap_err();
        assert_eq!(refused(error.kind(), error.code_str()), "Conflict referred_to", "{rest}");
        assert!(error.message().contains(path) && error.message().contains("looks"), "{error}");
        let looks = core.collection("looks").id;
        core.submit(Command::Drop(looks)).unwrap();
        core.submit(Command::Drop(users)).unwrap();
    }
    // The way back over a relation of another collection.
    let mut core = Stepped::with(&[USERS, ORDERS]);
    let wanted = core.wanted(
        r#"{"name":"top","fields":[{"name":"u","type":"relation","collection":"users"}],
        "checks":[{"name":"a","expr":"u.orders_via_user.total ?> 1","message":"m"}]}"#,
    );
    let mut other = Stepped::with(&[USERS, ORDERS]);
    let orders = core.collection("orders").id;
    core.submit(Command::Drop(orders)).unwrap();
    let error = core.submit(Command::Define(Box::new(wanted.clone()))).unwrap_err();
    assert_eq!(refused(error.kind(), error.code_str()), "Conflict stale_schema");
    assert_eq!(error.field_faults()[0].field, "checks.0.expr");
    other.submit(Command::Define(Box::new(wanted))).unwrap();
    let orders = other.collection("orders").id;
    assert_eq!(refusal(other.submit(Command::Drop(orders))), "Conflict referred_to");
}

#[test]
fn an_evaluation_that_takes_too_long_is_refused() {
    let searches: Vec<String> = (0..10).map(|n| format!("contains(t, 'a{n}')")).collect();
    let searches = searches.join(" || ");
    let text = r#"{"name":"t","type":"text","max":2000000}"#;
    let computed = format!(r#"{{"name":"c","fields":[{text},{{"name":"f","type":"bool","computed":"{searches}"}}]}}"#);
    let checked =
        format!(r#"{{"name":"c","fields":[{text}],"checks":[{{"name":"a","expr":"!({searches})","message":"m"}}]}}"#);
    for definition in [computed, checked] {
        let mut core = Stepped::with(&[&definition]);
        let long = format!(r#"{{"t":"{}"}}"#, "x".repeat(1_900_000));
        assert_eq!(refusal(create(&mut core, "c", &long)), "Unprocessable too_costly");
        create(&mut core, "c", r#"{"t":"x"}"#).unwrap();
    }
}
