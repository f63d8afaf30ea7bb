//! Lists by their plans: which index is taken, what is read, what is refused. That any plan yields the right records is
//! shown in `lists`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Kind;
use crate::id::{CollectionId, IndexId, RecordId, Seq};
use crate::limits;
use crate::model::change::Change;
use crate::model::expr::{Program, Scope};
use crate::model::guard::{Guard, Rows};
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::query::Query;
use crate::model::schema::{Collection, Schema};
use crate::model::sort;
use crate::model::value::Value;
use crate::state::query::{Budget, Order, Page, Walk, list};
use crate::state::stack::{Read, Scan, Stack};
use crate::state::tests::fixture::{Dice, History, NAME};
use crate::time::Millis;

fn budget() -> Budget {
    Budget::new(1_000_000, Instant::now() + Duration::from_secs(60))
}

fn condition(schema: &Schema, collection: &Collection, text: &str) -> Option<Predicate> {
    if text.is_empty() {
        return None;
    }
    let scope = Scope { schema, collection, callers: &[], sees_hidden: true };
    let program = Program::condition(scope, text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    Some(Predicate { program: Arc::new(program), request: Arc::new(Request::at(Millis(0))), sight: Sight::All })
}

fn query(history: &History, filter: &str, sort: &str) -> Query {
    let collection = &history.collection;
    Query {
        collection: CollectionId(1),
        schema: Seq(1),
        guard: Guard::for_superuser(),
        filter: condition(&history.schema, collection, filter),
        sort: sort::parse(collection, sort, true).unwrap(),
        after: None,
        offset: 0,
        limit: 1_000,
        count: true,
    }
}

fn filled(what: &str, seed: u64) -> History {
    let mut dice = Dice::new(what, seed);
    let mut history = History::new(seed);
    (0..80).for_each(|_| history.step(&mut dice));
    assert!(history.records.len() > 60);
    history
}

fn ids(page: &Page) -> Vec<RecordId> {
    page.records.iter().map(|record| record.id.clone()).collect()
}

/// The plan on one line: each walk as `index =equal fields ~range <backwards xstretches`, then what it comes to.
fn way(history: &History, page: &Page) -> String {
    let plan = &page.plan;
    let walks = plan.walks.iter().map(|walk| {
        let index = walk.index.and_then(|id| history.collection.index(id)).map_or("rows", |index| &index.name);
        let mut text = index.to_owned();
        if walk.equal_fields > 0 {
            text += &format!(" ={}", walk.equal_fields);
        }
        text += if walk.ranged { " ~" } else { "" };
        text += if walk.backwards { " <" } else { "" };
        if walk.stretches() != 1 {
            text += &format!(" x{}", walk.stretches());
        }
        text
    });
    let walks = walks.collect::<Vec<_>>().join(" | ");
    let order = match plan.order {
        Order::Sorted => "sorted",
        Order::Merged => "merged",
        Order::Walked => "walked",
    };
    format!("{walks}: {order}{}", if plan.covered { ", covered" } else { "" })
}

#[test]
fn the_planner_takes_equalities_then_a_range_then_an_order() {
    let table = [
        ("", "", "rows: walked, covered"),
        ("", "-id", "rows <: walked, covered"),
        ("", "name", "name: walked, covered"),
        ("", "-name", "name <: walked, covered"),
        ("", "-whole", "whole: walked, covered"),
        ("", "whole", "whole <: walked, covered"),
        ("", "real", "rows: sorted, covered"),
        ("name = 'a'", "", "name =1: walked, covered"),
        ("name = null", "", "name =1: walked, covered"),
        ("flag = true", "-real", "flag_real =1: walked, covered"),
        ("flag", "real", "flag_real =1 <: walked, covered"),
        ("!flag", "flag,real", "flag_real ~ x2: sorted, covered"),
        ("flag = true && real < 1", "name", "flag_real =1 ~: sorted, covered"),
        ("date = null && name = 'a' && whole < 1", "whole", "date_name_whole =2 ~: walked, covered"),
        ("name = 'a' && real < 1", "", "name =1: walked"),
        ("id = 'a' && name = 'a'", "-real", "rows =1: walked"),
        ("id > 'a'", "", "rows ~: walked, covered"),
        ("id in ['a', 'b']", "-id", "rows =1 < x2: walked, covered"),
        ("name in ['a', 'b']", "name", "name =1 x2: walked, covered"),
        ("name in ['a', 'b']", "", "name =1 x2: merged, covered"),
        ("name = 'a' || name = 'b'", "", "name =1 x2: merged, covered"),
        ("flag in [true, false]", "-real", "flag_real =1 x2: merged, covered"),
        ("flag in [true, false] && real > 0", "-real", "flag_real =1 ~ x2: merged, covered"),
        ("flag = true && (real < 1 || real > 5)", "-real", "flag_real =1 ~ x2: walked, covered"),
        ("whole > 0 && whole <= 2", "-whole", "whole ~: walked, covered"),
        ("whole > 0.5 && whole != 2", "-whole", "whole ~ x2: walked, covered"),
        ("startsWith(name, 'a')", "name", "name ~: walked, covered"),
        ("name = 'a' || owner = 'b'", "", "name =1 | _rel_owner =1: merged, covered"),
        ("name = 'a' || real = 1", "name", "name: walked"),
        ("flag = true && (name = 'a' || owner = 'b')", "-real", "flag_real =1: walked"),
        ("tags = 'x'", "", "tags =1: walked"),
        ("tags ?= 'x'", "", "tags =1: walked, covered"),
        ("tags ?= 'x'", "-id", "tags =1 <: walked, covered"),
        ("'x' in tags", "real", "tags =1: sorted, covered"),
        ("tags in ['x', 'y']", "", "tags =1 x2: merged"),
        ("tags ?> 'x'", "", "tags ~: sorted, covered"),
        ("tags ?= 'x' && name = 'a'", "", "name =1: walked"),
        ("name = 'a' && name = 'b'", "", ": walked, covered"),
        ("name = 'a' && 1 = 2", "", ": walked, covered"),
        ("name = 'a' || 1 = 1", "", "rows: walked, covered"),
        ("name = @request.auth.id", "", ": walked, covered"),
    ];
    let history = filled("plans", 3);
    let wrong: Vec<_> = table
        .iter()
        .filter_map(|(filter, sort, expected)| {
            let page = list(&history.stack, &history.schema, &query(&history, filter, sort), &mut budget()).unwrap();
            let way = way(&history, &page);
            (way != *expected).then(|| format!("{filter} by {sort}: {way} for {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_relation_is_followed_from_the_far_side() {
    let history = filled("relations", 4);
    let page = |text: &str| list(&history.stack, &history.schema, &query(&history, text, ""), &mut budget()).unwrap();
    let near = page("owner.name = 'zz'");
    assert!(near.plan.steps.iter().any(|step| step.index.as_deref() == Some("name") && step.found.is_some()));
    assert!(near.plan.walks.iter().all(|walk| walk.index == Some(IndexId(6)) || walk.index.is_none()), "{near:?}");
    let far = page("things1_via_owner.name ?= 'zz'");
    assert!(far.plan.walks.iter().all(|walk| walk.index.is_none()), "by their ids: {far:?}");
    // An index that is held to a value is good enough.
    assert!(page("owner.name = 'zz' && name = 'a'").plan.steps.is_empty());
}

#[test]
fn a_plan_has_its_bounds() {
    let mut history = filled("bounds", 5);
    let (collection, generation) = (history.collection.id, history.collection.generation);
    let many = limits::RELATED_IDS_MAX + 1;
    let make = |n: usize| Change::Created {
        collection,
        generation,
        id: RecordId::new(&format!("many{n}")).unwrap(),
        after: [(NAME, Value::text(if n == 0 { "one" } else { "many" }))].into_iter().collect(),
    };
    history.commit((0..=many).map(make).collect());
    let sorted = |text: &str, sort: &str| {
        list(&history.stack, &history.schema, &query(&history, text, sort), &mut budget()).unwrap()
    };
    let page = |text: &str| sorted(text, "");
    let walks = |text: &str| {
        let page = page(text);
        (page.plan.walks.len(), page.plan.walks.iter().map(Walk::stretches).sum::<usize>(), page.plan.order)
    };
    let any_of = |count: usize| (0..count).map(|n| format!("'x{n}'")).collect::<Vec<_>>().join(",");
    let merged = limits::PLAN_MERGED_MAX;
    assert_eq!(walks(&format!("name in [{}]", any_of(merged))), (1, merged, Order::Merged));
    assert_eq!(walks(&format!("name in [{}]", any_of(merged + 1))), (1, merged + 1, Order::Sorted));
    let (most, all) = (limits::PLAN_WALKS_MAX, "rows: walked");
    let numbers = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let sets = |count: usize| format!("date = null && name in [{}] && whole in [{}]", any_of(40), numbers(count));
    let stretches = |count: usize| sorted(&sets(count), "real").plan.walks[0].stretches();
    assert_eq!(stretches(most / 40), most);
    assert!(stretches(most / 40 + 1) < most, "by another index, or with the last field left to be asked");
    let branches = |count: usize| (0..count).map(|n| format!("(name='x{n}'&&real>{n})")).collect::<Vec<_>>().join("||");
    assert_eq!(walks(&branches(limits::PLAN_BRANCHES_MAX)).0, limits::PLAN_BRANCHES_MAX);
    assert_eq!(way(&history, &page(&branches(limits::PLAN_BRANCHES_MAX + 1))), all);
    let few = page("owner.name = 'one'");
    assert_eq!(few.plan.steps[0].found, Some(1));
    let found = page("owner.name = 'many'");
    assert_eq!((found.plan.steps[0].found, way(&history, &found).as_str()), (None, all));
    let lookups = |count: usize| {
        let branches: Vec<_> = (0..count).map(|n| format!("owner.name='x{n}'")).collect();
        page(&branches.join("||")).plan.steps.len()
    };
    assert_eq!(lookups(limits::PLAN_LOOKUPS_MAX), limits::PLAN_LOOKUPS_MAX);
    assert_eq!(lookups(limits::PLAN_LOOKUPS_MAX + 1), 0);
}

#[test]
fn of_two_ways_the_one_with_fewer_entries_is_taken() {
    let history = filled("ways", 6);
    let few = query(&history, "whole = 1 && name > ''", "");
    let page = list(&history.stack, &history.schema, &few, &mut budget()).unwrap();
    assert_eq!(way(&history, &page), "whole =1 <: walked");
    let many = Query { count: false, limit: 2, ..query(&history, "name != null", "-whole") };
    let page = list(&history.stack, &history.schema, &many, &mut budget()).unwrap();
    assert_eq!(way(&history, &page), "whole: walked", "a page of two in order beats sorting nearly all");
    assert!(page.plan.probed > 2 && page.plan.probed <= history.records.len());
}

#[test]
fn a_page_and_its_count_read_no_more_than_they_must() {
    let history = filled("reads", 8);
    let records = history.records.len();
    let run = |query: &Query| list(&history.stack, &history.schema, query, &mut budget()).unwrap();
    let mut first = query(&history, "", "name");
    first.limit = 5;
    let page = run(&first);
    assert_eq!((page.rows_read, page.total), (6, Some(records)), "an unfiltered count is the tally's");
    first.count = false;
    assert_eq!(run(&first).rows_read, 6, "one more, to know whether there are more");
    first.after = run(&first).more;
    assert_eq!(run(&first).rows_read, 6, "what lies before a cursor is not walked again");
}

/// A state that counts the rows that are looked up by id.
struct Counting<'a>(&'a Stack, std::cell::Cell<usize>);

impl Read for Counting<'_> {
    fn get(&self, key: &[u8]) -> crate::error::Result<Option<bytes::Bytes>> {
        self.1.set(self.1.get() + 1);
        self.0.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8], backwards: bool) -> crate::error::Result<Scan<'a>> {
        self.0.scan(from, to, backwards)
    }
}

#[test]
fn a_count_by_an_index_that_covers_the_filter_reads_no_rows_but_the_pages() {
    let history = filled("counts", 11);
    let run = |query: &Query| {
        let state = Counting(&history.stack, Default::default());
        let page = list(&state, &history.schema, query, &mut budget()).unwrap();
        (page, state.1.get())
    };
    let matching = |text: &str| {
        let page = list(&history.stack, &history.schema, &query(&history, text, ""), &mut budget()).unwrap();
        page.records.len()
    };
    for (filter, sort) in [("flag = true", "-real"), ("flag = true && real < 2", "real"), ("name >= 'a'", "-name")] {
        let mut query = query(&history, filter, sort);
        let matches = matching(filter);
        assert!(matches > 4, "{filter}");
        query.limit = 3;
        query.offset = 1;
        let (page, rows) = run(&query);
        assert!(page.plan.covered && page.plan.order == Order::Walked, "{filter}");
        assert_eq!((page.total, page.rows_read, rows), (Some(matches), matches, 3), "{filter}");
    }
    // What the index does not decide, the rows must.
    let (page, rows) = run(&query(&history, "flag = true && date != null", ""));
    assert!(!page.plan.covered && rows >= page.rows_read && rows > 0);
}

#[test]
fn a_list_that_would_take_too_much_memory_is_refused_with_a_way_out() {
    let history = filled("memory", 12);
    let run = |query: &Query, mut budget: Budget| list(&history.stack, &history.schema, query, &mut budget);
    let refused = |query: &Query, budget: Budget, way: &str| {
        let error = run(query, budget).unwrap_err();
        assert_eq!((error.kind(), error.code_str()), (Kind::Unprocessable, "query_too_large"));
        assert!(error.message().contains(way), "{error}");
    };
    let mut sorted = query(&history, "", "-real");
    let page = |bytes| Budget { page_bytes: bytes, ..budget() };
    let sort = |bytes| Budget { sort_bytes: bytes, ..budget() };
    refused(&sorted, sort(1_000), "index");
    refused(&sorted, page(1_000), "perPage");
    refused(&query(&history, "", ""), page(1_000), "perPage");
    refused(&query(&history, "name != null", ""), page(1_000), "perPage");
    refused(&query(&history, "tags ?> 'w'", ""), sort(1_000), "several ways");
    // What is thrown out of the heap again is given back, whatever order the rows come in.
    for order in ["-real", "real"] {
        sorted.sort = sort::parse(&history.collection, order, true).unwrap();
        sorted.limit = 1_000;
        let all = ids(&run(&sorted, budget()).unwrap());
        sorted.limit = 3;
        let first = ids(&run(&sorted, Budget { page_bytes: 1_000, ..sort(400) }).unwrap());
        assert_eq!(first, all[..3]);
    }
}

#[test]
fn the_memory_of_a_list_has_its_bounds() {
    let whole = budget();
    assert_eq!((whole.sort_bytes, whole.page_bytes), (limits::SORT_BYTES_MAX, limits::PAGE_BYTES_MAX));
}

#[test]
fn a_query_over_its_budget_is_refused_with_a_way_out() {
    let history = filled("budget", 9);
    let scan = query(&history, "real < 0", "");
    let run = |mut budget: Budget| list(&history.stack, &history.schema, &scan, &mut budget);
    let records = history.records.len();
    let enough = Budget { rows: records, ..budget() };
    let page = run(enough.clone()).unwrap();
    assert_eq!(page.rows_read, records);
    for short in [
        Budget { rows: records - 1, ..enough },
        Budget { rows: 256 * 1_000, deadline: Instant::now() - Duration::from_millis(1), ..budget() },
    ] {
        let refused = run(short).unwrap_err();
        assert_eq!((refused.kind(), refused.code_str()), (Kind::Unprocessable, "query_too_large"));
        assert!(refused.message().contains("index"));
    }
}

#[test]
fn a_list_obeys_its_guard_and_its_schema() {
    let history = History::new(10);
    let mut forbidden = query(&history, "", "");
    let run = |query: &Query| list(&history.stack, &history.schema, query, &mut budget()).unwrap_err();
    forbidden.guard = Guard::for_caller(true, [const { Rows::None }; 5]);
    assert_eq!(run(&forbidden).kind(), Kind::Forbidden);
    forbidden.guard = Guard::for_caller(false, [const { Rows::None }; 5]);
    assert_eq!(run(&forbidden).kind(), Kind::Unauthenticated);
    let mut stale = query(&history, "", "");
    stale.schema = Seq(0);
    assert_eq!(run(&stale).code_str(), "stale_schema");
    stale.collection = CollectionId(2);
    assert_eq!(run(&stale).kind(), Kind::NotFound);
}
