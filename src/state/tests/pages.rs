//! Cursors where the ground moves between two pages, and where they are made up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use crate::id::{FieldId, RecordId};
use crate::limits;
use crate::model::change::Change;
use crate::model::expr::{Program, Scope};
use crate::model::guard::{Guard, Rows};
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::query::{Operand, Query, SortKey};
use crate::model::value::{Fields, Value};
use crate::state::query::{Budget, Page, list};
use crate::state::tests::fixture::{FLAG, History, JSON, NAME, OWNER, REAL, WHOLE};
use crate::time::Millis;

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn created(history: &History, name: &str, fields: &[(FieldId, Value)]) -> Change {
    let (collection, generation) = (history.collection.id, history.collection.generation);
    let after: Fields = fields.iter().cloned().collect();
    Change::Created { collection, generation, id: id(name), after }
}

fn predicate(history: &History, text: &str) -> Predicate {
    let scope = Scope { schema: &history.schema, collection: &history.collection, callers: &[], sees_hidden: true };
    let program = Program::condition(scope, text).unwrap();
    Predicate { program: Arc::new(program), request: Arc::new(Request::at(Millis(0))), sight: Sight::All }
}

fn query(history: &History, by: FieldId) -> Query {
    Query {
        collection: history.collection.id,
        schema: history.collection.version,
        guard: Guard::for_superuser(),
        filter: None,
        sort: vec![SortKey { operand: Operand::Field(by), descending: false }],
        after: None,
        offset: 0,
        limit: 1,
        count: false,
    }
}

fn page(history: &History, query: &Query) -> Page {
    let mut budget = Budget::new(1_000, Instant::now() + Duration::from_secs(60));
    list(&history.stack, &history.schema, query, &mut budget).unwrap()
}

fn ids(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.id.as_str()).collect()
}

#[test]
fn a_page_goes_on_in_its_order_when_one_record_is_left_that_its_relations_lead_to() {
    let mut history = History::new(1);
    let points = |history: &History, name: &str, at: &str| {
        created(history, name, &[(OWNER, Value::text(at)), (WHOLE, Value::Int(5))])
    };
    let changes = vec![
        created(&history, "c", &[(REAL, Value::Number(1.0))]),
        created(&history, "b", &[(REAL, Value::Number(2.0))]),
        points(&history, "x1", "c"),
        points(&history, "x2", "b"),
    ];
    history.commit(changes);
    let mut query = query(&history, REAL);
    query.filter = Some(predicate(&history, "things1_via_owner.whole ?= 5"));
    let first = page(&history, &query);
    assert_eq!(ids(&first), ["c"]);

    let (collection, generation) = (history.collection.id, history.collection.generation);
    let before = [(OWNER, Value::text("c")), (WHOLE, Value::Int(5))].into_iter().collect();
    let since = crate::id::Seq(history.seq);
    history.commit(vec![Change::Deleted { collection, generation, id: id("x1"), before, since }]);
    query.after = first.more;
    let second = page(&history, &query);
    assert_eq!(ids(&second), ["b"], "by {:?}", second.plan);
}

#[test]
fn a_made_up_cursor_tells_nothing_of_a_record_that_a_rule_hides() {
    let mut history = History::new(2);
    let secret = format!("m{}", "x".repeat(5_000));
    let changes = vec![
        created(&history, "hidden", &[(NAME, Value::text(secret.clone())), (FLAG, Value::Bool(false))]),
        created(&history, "a", &[(NAME, Value::text("a")), (FLAG, Value::Bool(true))]),
        created(&history, "z", &[(NAME, Value::text("z")), (FLAG, Value::Bool(true))]),
    ];
    history.commit(changes);
    let rows = || Rows::Where(Box::new(predicate(&history, "flag = true")));
    let mut query = query(&history, NAME);
    query.guard = Guard::for_caller(true, [rows(), rows(), rows(), rows(), rows()]);
    // What a mark of the hidden record's place would be, if its name were this, and beginning before all names.
    let guess = |name: &str| {
        let mut place = vec![0x05];
        place.extend_from_slice(name.as_bytes());
        place.extend_from_slice(&[0x00, 0x01]);
        place.extend_from_slice(b"hidden");
        [&[0x01, 6], &b"hidden"[..], &xxh3_128(&place).to_be_bytes()].concat().into_boxed_slice()
    };
    let mut shown = Vec::new();
    for name in [secret.as_str(), "another"] {
        query.after = Some(guess(name));
        shown.push(ids(&page(&history, &query)).join(","));
    }
    assert_eq!(shown[0], shown[1], "the right guess is answered otherwise than a wrong one");
    // The one who sees it goes on behind it.
    query.guard = Guard::for_superuser();
    query.after = Some(guess(&secret));
    assert_eq!(ids(&page(&history, &query)), ["z"]);
}

#[test]
fn time_counts_in_planning_and_for_long_rows_too() {
    let late = |history: &History, query: &Query| {
        // Of so many the first is not one at which every walk looks at the clock.
        let mut budget = Budget::new(1_000, Instant::now() - Duration::from_millis(1));
        list(&history.stack, &history.schema, query, &mut budget).map(|page| ids(&page).join(","))
    };
    let mut history = History::new(3);
    let mut query = query(&history, WHOLE);
    assert_eq!(late(&history, &query).unwrap(), "", "nothing takes no time");
    query.filter = Some(predicate(&history, "real = 1 || name = 'a'"));
    assert_eq!(late(&history, &query).unwrap_err().code_str(), "query_too_large", "branches are planned");
    query.filter = Some(predicate(&history, "owner.name = 'a'"));
    assert_eq!(late(&history, &query).unwrap_err().code_str(), "query_too_large", "relations are looked up");

    query.filter = None;
    let changes = vec![created(&history, "a", &[(JSON, Value::Json("1".into()))])];
    history.commit(changes);
    assert_eq!(late(&history, &query).unwrap(), "a", "a short row is a step");
    let long = format!("\"{}\"", "x".repeat(20_000));
    let changes = vec![created(&history, "b", &[(JSON, Value::Json(long.into())), (WHOLE, Value::Int(1))])];
    history.commit(changes);
    query.sort[0].descending = true;
    assert_eq!(late(&history, &query).unwrap_err().code_str(), "query_too_large", "a long row is many");
}

#[test]
fn a_referrer_counts_behind_however_many_that_are_hidden() {
    let mut history = History::new(4);
    let hidden = limits::EXPRESSION_STEPS_MAX / 50 + 100;
    let owner = (OWNER, Value::text("t"));
    let mut changes = vec![created(&history, "t", &[])];
    changes.extend((0..hidden).map(|at| created(&history, &format!("x{at}"), std::slice::from_ref(&owner))));
    changes.push(created(&history, "z", &[owner, (FLAG, Value::Bool(true)), (WHOLE, Value::Int(5))]));
    history.commit(changes);
    let rows = || Rows::Where(Box::new(predicate(&history, "flag = true")));
    let guard = Guard::for_caller(true, [rows(), rows(), rows(), rows(), rows()]);
    let mut query = query(&history, WHOLE);
    let filter = predicate(&history, "things1_via_owner.whole ?= 5");
    query.filter = Some(Predicate { sight: Sight::Guarded(Arc::from([(history.collection.id, guard)])), ..filter });
    let mut budget = Budget::new(100_000, Instant::now() + Duration::from_secs(60));
    let page = list(&history.stack, &history.schema, &query, &mut budget).unwrap();
    assert_eq!(ids(&page), ["t"], "by {:?}", page.plan);
}
