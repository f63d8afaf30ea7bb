//! A list is what filtering and sorting all records yields, whatever way the planner chose.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::error::Kind;
use crate::id::{CollectionId, FieldId, IndexId, RecordId, Seq};
use crate::model::guard::{Guard, Rows};
use crate::model::query::{Comparator, Comparison, Operand, Plan, Query, SortKey};
use crate::model::value::{Fields, Value};
use crate::state::query::{Budget, Page, list, plan};
use crate::state::tests::fixture::{DATE, Dice, FLAG, History, NAME, REAL, SCALARS, WHOLE, things};

const COMPARATORS: [Comparator; 6] = [
    Comparator::Equal,
    Comparator::NotEqual,
    Comparator::Less,
    Comparator::LessOrEqual,
    Comparator::Greater,
    Comparator::GreaterOrEqual,
];

fn budget() -> Budget {
    Budget { rows: 1_000_000, deadline: Instant::now() + Duration::from_secs(60) }
}

fn query(filter: Vec<Comparison>, sort: Vec<SortKey>) -> Query {
    Query {
        collection: CollectionId(1),
        schema: Seq(1),
        guard: Guard::for_superuser(),
        filter,
        sort,
        offset: 0,
        limit: 1_000,
        count: true,
    }
}

fn is(field: FieldId, comparator: Comparator, value: Value) -> Comparison {
    Comparison { operand: Operand::Field(field), comparator, value }
}

fn by(field: FieldId, descending: bool) -> SortKey {
    SortKey { operand: Operand::Field(field), descending }
}

/// Written apart from the planner's own: what the contract says of comparisons.
fn true_of(record: (&RecordId, &Fields), one: &Comparison) -> bool {
    let id = Value::text(record.0.as_str());
    let value = match one.operand {
        Operand::Id => &id,
        Operand::Field(field) => record.1.get(field),
    };
    match (value.is_null(), one.value.is_null(), one.comparator) {
        (true, true, comparator) => comparator == Comparator::Equal,
        (false, true, comparator) => comparator == Comparator::NotEqual,
        (true, false, _) => false,
        (false, false, comparator) => match value.order(&one.value) {
            Ordering::Less => {
                matches!(comparator, Comparator::Less | Comparator::LessOrEqual | Comparator::NotEqual)
            }
            Ordering::Equal => {
                matches!(comparator, Comparator::Equal | Comparator::LessOrEqual | Comparator::GreaterOrEqual)
            }
            Ordering::Greater => {
                matches!(comparator, Comparator::Greater | Comparator::GreaterOrEqual | Comparator::NotEqual)
            }
        },
    }
}

fn naive(history: &History, query: &Query) -> Vec<RecordId> {
    let mut matches: Vec<(&RecordId, &Fields)> = history
        .records
        .iter()
        .map(|(id, (_, fields))| (id, fields))
        .filter(|record| query.filter.iter().all(|one| true_of(*record, one)))
        .collect();
    let turn = |order: Ordering, descending: bool| if descending { order.reverse() } else { order };
    matches.sort_by(|a, b| {
        for part in &query.sort {
            let order = match part.operand {
                Operand::Id => a.0.cmp(b.0),
                Operand::Field(field) => a.1.get(field).order(b.1.get(field)),
            };
            if order.is_ne() {
                return turn(order, part.descending);
            }
        }
        turn(a.0.cmp(b.0), query.sort.last().is_some_and(|last| last.descending))
    });
    matches.into_iter().map(|(id, _)| id.clone()).collect()
}

fn ids(page: &Page) -> Vec<RecordId> {
    page.records.iter().map(|record| record.id.clone()).collect()
}

fn random(dice: &mut Dice) -> Query {
    let mut filter = Vec::new();
    for _ in 0..dice.roll(4) {
        let comparator = if dice.roll(2) == 0 { Comparator::Equal } else { *dice.pick(&COMPARATORS) };
        if dice.roll(8) == 0 {
            let value = Value::text(dice.id().as_str());
            filter.push(Comparison { operand: Operand::Id, comparator, value });
        } else {
            let field = *dice.pick(&SCALARS);
            filter.push(is(field, comparator, dice.value(field)));
        }
    }
    let mut sort = Vec::new();
    for _ in 0..dice.roll(4) {
        let operand = if dice.roll(8) == 0 { Operand::Id } else { Operand::Field(*dice.pick(&SCALARS)) };
        sort.push(SortKey { operand, descending: dice.roll(2) == 0 });
    }
    let mut query = query(filter, sort);
    query.offset = dice.roll(6) as usize;
    query.limit = 1 + dice.roll(40) as usize;
    query.count = dice.roll(2) == 0;
    query
}

#[test]
fn a_list_is_what_filtering_and_sorting_everything_yields() {
    let mut ways = BTreeSet::new();
    for seed in 0..6 {
        let mut dice = Dice::new("lists", seed);
        let mut history = History::new(seed);
        for _ in 0..60 {
            history.step(&mut dice);
            history.churn(&mut dice);
        }
        for _ in 0..1_500 {
            let query = random(&mut dice);
            let all = naive(&history, &query);
            let page = list(&history.stack, &history.schema, &query, &mut budget()).unwrap();
            let expected: Vec<_> = all.iter().skip(query.offset).take(query.limit).cloned().collect();
            assert_eq!(ids(&page), expected, "{query:?} by {:?}", page.plan);
            assert_eq!(page.total, query.count.then_some(all.len()), "{query:?} by {:?}", page.plan);
            for record in &page.records {
                let (version, fields) = &history.records[&record.id];
                assert_eq!((&record.version, &record.fields), (version, fields));
            }
            let Plan { index, ranged, backwards, ordered, covered, .. } = page.plan;
            ways.insert((index, ranged, backwards, ordered, covered));
        }
    }
    assert!(ways.len() > 40, "only {} ways of walking were met: {ways:?}", ways.len());
}

#[test]
fn the_planner_takes_equalities_then_a_range_then_an_order() {
    let equal = |field, value| is(field, Comparator::Equal, value);
    let text = || Value::text("a");
    let less = |field, value| is(field, Comparator::Less, value);
    let way = |index: Option<u32>, equal_fields, ranged, backwards, ordered, covered| Plan {
        index: index.map(IndexId),
        equal_fields,
        ranged,
        backwards,
        ordered,
        covered,
    };
    let id = |comparator| Comparison { operand: Operand::Id, comparator, value: text() };
    let table = [
        (vec![], vec![], way(None, 0, false, false, true, true)),
        (vec![], vec![SortKey { operand: Operand::Id, descending: true }], way(None, 0, false, true, true, true)),
        (vec![], vec![by(NAME, false)], way(Some(1), 0, false, false, true, true)),
        (vec![], vec![by(NAME, true)], way(Some(1), 0, false, true, true, true)),
        (vec![], vec![by(WHOLE, true)], way(Some(2), 0, false, false, true, true)),
        (vec![], vec![by(WHOLE, false)], way(Some(2), 0, false, true, true, true)),
        (vec![], vec![by(REAL, false)], way(None, 0, false, false, false, true)),
        (vec![equal(NAME, text())], vec![], way(Some(1), 1, false, false, true, true)),
        (vec![equal(FLAG, Value::Bool(true))], vec![by(REAL, true)], way(Some(3), 1, false, false, true, true)),
        (vec![equal(FLAG, Value::Bool(true))], vec![by(REAL, false)], way(Some(3), 1, false, true, true, true)),
        (
            vec![equal(FLAG, Value::Bool(true)), less(REAL, Value::Number(1.0))],
            vec![by(NAME, false)],
            way(Some(3), 1, true, false, false, true),
        ),
        (
            vec![equal(DATE, Value::Null), equal(NAME, text()), less(WHOLE, Value::Int(1))],
            vec![by(WHOLE, false)],
            way(Some(4), 2, true, false, true, true),
        ),
        (vec![equal(NAME, text()), less(REAL, Value::Number(1.0))], vec![], way(Some(1), 1, false, false, true, false)),
        (
            vec![id(Comparator::Equal), equal(NAME, text())],
            vec![by(REAL, true)],
            way(None, 1, false, false, true, false),
        ),
        (vec![id(Comparator::Greater)], vec![], way(None, 0, true, false, true, true)),
    ];
    let collection = things(1, 1);
    for (filter, sort, expected) in table {
        let query = query(filter, sort);
        assert_eq!(plan(&collection, &query), expected, "{query:?}");
    }
}

#[test]
fn a_page_and_its_count_read_no_more_than_they_must() {
    let mut dice = Dice::new("reads", 8);
    let mut history = History::new(8);
    (0..80).for_each(|_| history.step(&mut dice));
    let records = history.records.len();
    assert!(records > 60);
    let run = |query: &Query| list(&history.stack, &history.schema, query, &mut budget()).unwrap();

    let mut first = query(vec![], vec![by(NAME, false)]);
    first.limit = 5;
    let page = run(&first);
    assert_eq!((page.rows_read, page.total), (5, Some(records)), "an unfiltered count is the tally's");
    first.count = false;
    assert_eq!(run(&first).rows_read, 5);
}

#[test]
fn a_query_over_its_budget_is_refused_with_a_way_out() {
    let mut dice = Dice::new("budget", 9);
    let mut history = History::new(9);
    (0..80).for_each(|_| history.step(&mut dice));
    let scan = query(vec![is(REAL, Comparator::Less, Value::Number(0.0))], vec![]);
    let run = |mut budget: Budget| list(&history.stack, &history.schema, &scan, &mut budget);
    let records = history.records.len();
    let enough = Budget { rows: records, ..budget() };
    let page = run(enough.clone()).unwrap();
    assert_eq!(page.rows_read, records);
    for short in [
        Budget { rows: records - 1, ..enough },
        Budget { rows: 256 * 1_000, deadline: Instant::now() - Duration::from_millis(1) },
    ] {
        let refused = run(short).unwrap_err();
        assert_eq!((refused.kind(), refused.code_str()), (Kind::Unprocessable, "query_too_large"));
        assert!(refused.message().contains("index"));
    }
}

#[test]
fn a_list_obeys_its_guard_and_its_schema() {
    let history = History::new(10);
    let mut forbidden = query(vec![], vec![]);
    let run = |query: &Query| list(&history.stack, &history.schema, query, &mut budget()).unwrap_err();
    forbidden.guard = Guard::for_caller(true, [const { Rows::None }; 5]);
    assert_eq!(run(&forbidden).kind(), Kind::Forbidden);
    forbidden.guard = Guard::for_caller(false, [const { Rows::None }; 5]);
    assert_eq!(run(&forbidden).kind(), Kind::Unauthenticated);
    let mut stale = query(vec![], vec![]);
    stale.schema = Seq(0);
    assert_eq!(run(&stale).code_str(), "stale_schema");
    stale.collection = CollectionId(2);
    assert_eq!(run(&stale).kind(), Kind::NotFound);
}
