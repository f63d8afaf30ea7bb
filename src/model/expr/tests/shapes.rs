//! What a planner is told: where the records of a condition lie, and whether that decides it.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::model::query::{Comparator, Operand};
use crate::model::value::NULL;

/// `status {"paid"}` is one value, `(` and `)` leave the bound out, `Over(user: …)` is what a relation leads to; in
/// angles is what is not all that is asked.
fn shown(collection: &Collection, world: &World, shape: &Shape) -> String {
    let of = |operand: &Operand| match operand {
        Operand::Id => "id".to_owned(),
        Operand::Field(id) => collection.field_by_id(*id).expect("a field").name.to_string(),
    };
    let joined = |parts: &[Shape], sign: &str| {
        let parts: Vec<_> = parts.iter().map(|part| shown(collection, world, part)).collect();
        format!("({})", parts.join(sign))
    };
    match shape {
        Shape::Always => "always".to_owned(),
        Shape::Never => "never".to_owned(),
        Shape::All(parts) => joined(parts, " & "),
        Shape::Any(parts) => joined(parts, " | "),
        Shape::Within { operand, spans } => format!("{} {}", of(operand), of_spans(spans)),
        Shape::Element { field, spans, exact } => {
            let text = format!("{}: {}", of(&Operand::Field(*field)), of_spans(spans));
            if *exact { text } else { format!("<{text}>") }
        }
        Shape::Over { hop, shape } => {
            let (name, far) = match hop {
                Hop::To { field, collection: far } => (of(&Operand::Field(*field)), far),
                Hop::From { collection, .. } => ("via".to_owned(), collection),
            };
            let far = world.schema.get(*far).expect("a collection");
            format!("Over({name}: {})", shown(far, world, shape))
        }
        Shape::Opaque => "open".to_owned(),
    }
}

fn of_spans(spans: &Spans) -> String {
    let value = |value: &Value| match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Int(int) => int.to_string(),
        Value::Number(number) => format!("{number:?}"),
        Value::Date(at) => format!("@{}", at.0),
        other => format!("{other:?}").to_lowercase(),
    };
    let one = |span: &Span| {
        if let Some(point) = span.point() {
            return format!("{{{}}}", value(point));
        }
        let from = match &span.from {
            Cut::Least => "(".to_owned(),
            Cut::Below(from) => format!("[{}", value(from)),
            Cut::Above(from) => format!("({}", value(from)),
            Cut::Greatest => "?".to_owned(),
        };
        let to = match &span.to {
            Cut::Greatest => ")".to_owned(),
            Cut::Below(to) => format!("{})", value(to)),
            Cut::Above(to) => format!("{}]", value(to)),
            Cut::Least => "?".to_owned(),
        };
        format!("{from}..{to}")
    };
    spans.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn of_text(world: &World, text: &str) -> Shape {
    let users = [world.schema.find("users").expect("users").clone()];
    let collection = world.schema.find("orders").expect("orders");
    let scope = Scope { schema: &world.schema, collection, callers: &users, sees_hidden: false };
    let program = Program::condition(scope, text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    let fields = world.records.get(&(users[0].id, "u2".to_owned())).expect("a user");
    let caller = Caller { collection: users[0].id, record: Row { id: "u2", fields } };
    let query = [("n".into(), "7".into()), ("s".into(), "x".into())];
    let input = Input { caller: Some(caller), query: &query, method: "GET", ..Input::at(NOW) };
    program.shape(&world.schema, collection, &input, world)
}

#[test]
fn a_condition_says_where_its_records_lie() {
    let table = [
        ("status = 'paid'", r#"status {"paid"}"#),
        ("'paid' = status", r#"status {"paid"}"#),
        ("status = null", "status {null}"),
        ("status != null", "status (null..)"),
        ("status != 'paid'", r#"status (null.."paid") ("paid"..)"#),
        ("!(status = 'paid')", r#"status (.."paid") ("paid"..)"#),
        ("total > 10", "total (10.0..)"),
        ("10 >= total", "total (null..10.0]"),
        ("total > 10 && total <= 20", "total (10.0..20.0]"),
        ("total > 10 && total < 10", "never"),
        ("total < 10 || total > 20", "total (null..10.0) (20.0..)"),
        ("!(total < 10 || total > 20)", "total (..null] [10.0..20.0]"),
        ("total = 1 || total in [2, 3]", "total {1.0} {2.0} {3.0}"),
        ("!(total in [2])", "total (..2.0) (2.0..)"),
        ("n > 1.5 && n < 4.5", "n [2..4]"),
        ("n = 1.5", "never"),
        ("n != 1.5", "n (null..)"),
        ("n in [1, 2.5, 3.0]", "n {1} {3}"),
        ("total > 9007199254740993", "total [9007199254740994.0..)"),
        ("n > 1e30", "never"),
        ("n < 1e30", "n (null..)"),
        ("active", "active {bool(true)}"),
        ("!active", "active (..bool(true)) (bool(true)..)"),
        ("at >= '2001-01-01'", "at [@978307200000..)"),
        ("at < @now", "at (null..@1709212455016)"),
        ("at > @todayStart && at < addDays(@now, 1)", "at (@1709164800000..@1709298855016)"),
        ("at = @request.query.s", "never"),
        ("user = @request.auth.id", r#"user {"u2"}"#),
        ("user = @request.auth.boss", r#"user {"u1"}"#),
        ("note = @request.auth.boss.name", r#"note {"Ann"}"#),
        ("note = lookup('users', 'u1').name", r#"note {"Ann"}"#),
        ("n > @request.query.n", "n (7..)"),
        ("note = @request.query.nope", "never"),
        ("@request.auth.id != '' && n = 1", "n {1}"),
        ("@request.auth.id = '' && n = 1", "never"),
        ("@request.method = 'GET' || n = 1", "always"),
        ("collectionName = 'orders'", "always"),
        ("id = 'o1' || id > 'o5'", r#"id {"o1"} ("o5"..)"#),
        ("id = null", "never"),
        ("tags = 'a'", r#"<tags: {"a"}>"#),
        ("tags ?= 'a'", r#"tags: {"a"}"#),
        ("tags ?> 'a'", r#"tags: ("a"..)"#),
        ("'a' in tags", r#"tags: {"a"}"#),
        ("contains(tags, 'a')", r#"tags: {"a"}"#),
        ("tags in ['a', 'b']", r#"<tags: {"a"} {"b"}>"#),
        ("tags ?= ['a', 'b']", r#"tags: {"a"} {"b"}"#),
        ("tags ?= 'a' && tags ?= 'b'", r#"(tags: {"a"} & tags: {"b"})"#),
        ("tags = ['a', 'b']", "open"),
        ("tags = null", "open"),
        ("!(tags ?= 'a')", "open"),
        ("tags != 'a'", r#"<tags: (null.."a") ("a"..)>"#),
        ("startsWith(note, 'ab')", r#"note ["ab".."ac")"#),
        ("startsWith(note, @request.query.s)", r#"note ["x".."y")"#),
        ("!startsWith(note, 'ab')", r#"note (.."ab") ["ac"..)"#),
        ("note ~ 'ab%'", "open"),
        ("contains(note, 'a')", "open"),
        ("endsWith(note, 'a')", "open"),
        ("lower(note) = 'a'", "open"),
        ("note:lower = 'a'", "open"),
        ("total = n", "open"),
        ("total + 1 > 2", "open"),
        ("meta.a = 1", "open"),
        ("meta = 1", "open"),
        ("tags.0 = 'a'", "open"),
        ("user.name = 'Ann'", r#"Over(user: name {"Ann"})"#),
        ("user.boss.name = 'Ann'", r#"Over(user: Over(boss: name {"Ann"}))"#),
        ("user.name = null", "open"),
        ("!(user.name = 'Ann')", "open"),
        ("user.roles ?= 'admin'", r#"Over(user: <roles: {"admin"}>)"#),
        ("items.price > 5", "Over(items: price (5.0..))"),
        ("items.maker.age ?< 30", "Over(items: Over(maker: age (null..30)))"),
        ("user.orders_via_user.n ?= 1", "Over(user: Over(via: n {1}))"),
        ("items ?= 'p1'", r#"items: {"p1"}"#),
        ("status = 'paid' || user.name = 'Ann'", r#"(Over(user: name {"Ann"}) | status {"paid"})"#),
        ("status = 'paid' && (n = 1 || total = 2)", r#"(status {"paid"} & (n {1} | total {2.0}))"#),
        ("status = 'paid' || total = n", "open"),
        ("status = 'paid' && total = n", r#"(status {"paid"} & open)"#),
        ("!(status = 'paid' && n = 1)", r#"(status (.."paid") ("paid"..) | n (..1) (1..))"#),
    ];
    let world = World::new();
    let collection = world.schema.find("orders").expect("orders");
    let wrong: Vec<_> = table
        .iter()
        .map(|(text, expected)| (text, shown(collection, &world, &of_text(&world, text)), expected))
        .filter(|(_, shape, expected)| shape != *expected)
        .map(|(text, shape, expected)| format!("{text}: {shape} for {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn many_parts_make_a_shape_of_bounded_size_in_little_time() {
    let world = World::new();
    let unequal: Vec<_> = (0..400).map(|n| format!("n!={n}")).collect();
    let Shape::All(parts) = of_text(&world, &unequal.join("&&")) else { panic!("parts are left open") };
    assert!(parts.contains(&Shape::Opaque) && parts.len() == 2);
    let equal: Vec<_> = (0..500).map(|n| format!("n={n}")).collect();
    let Shape::Within { spans, .. } = of_text(&world, &equal.join("||")) else { panic!("one operand") };
    assert_eq!((spans.len(), spans.hull().len()), (500, 1));
}

fn contains(spans: &Spans, value: &Value) -> bool {
    let after = |cut: &Cut| match cut {
        Cut::Least => true,
        Cut::Below(bound) => value.order(bound).is_ge(),
        Cut::Above(bound) => value.order(bound).is_gt(),
        Cut::Greatest => false,
    };
    spans.iter().any(|span| after(&span.from) && !after(&span.to))
}

const SIGNS: [(&str, Comparator); 6] = [
    ("=", Comparator::Equal),
    ("!=", Comparator::NotEqual),
    ("<", Comparator::Less),
    ("<=", Comparator::LessOrEqual),
    (">", Comparator::Greater),
    (">=", Comparator::GreaterOrEqual),
];

fn holds_by(comparator: Comparator, order: Ordering) -> bool {
    match comparator {
        Comparator::Equal => order.is_eq(),
        Comparator::NotEqual => order.is_ne(),
        Comparator::Less => order.is_lt(),
        Comparator::LessOrEqual => order.is_le(),
        Comparator::Greater => order.is_gt(),
        Comparator::GreaterOrEqual => order.is_ge(),
    }
}

/// Of a comparison of one field; every bound must be of the stored kind.
fn spans_of(world: &World, text: &str, kind: &Value) -> Spans {
    match of_text(world, text) {
        Shape::Never => Spans::none(),
        Shape::Always => Spans::none().complement(),
        Shape::Within { spans, .. } => {
            for cut in spans.iter().flat_map(|span| [&span.from, &span.to]) {
                if let Cut::Below(value) | Cut::Above(value) = cut {
                    let same = std::mem::discriminant(value) == std::mem::discriminant(kind);
                    assert!(same || value.is_null(), "{text}: {value:?}");
                }
            }
            spans
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// Whole numbers around those where a float ends to hold each.
fn whole() -> impl Strategy<Value = i64> {
    let edges = [0, 1, -1, 1 << 53, -(1 << 53), i64::MAX, i64::MIN, 1 << 62];
    prop_oneof![
        any::<i64>(),
        (0..edges.len(), -3i64..=3).prop_map(move |(at, by)| edges[at].saturating_add(by)),
        -20i64..20,
    ]
}

fn floating() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |n| n.is_finite()),
        (whole(), -2i64..=2).prop_map(|(int, by)| (int as f64) + (by as f64) / 2.0),
    ]
    .prop_map(|n| n + 0.0)
}

proptest! {
    #[test]
    fn a_moved_literal_means_the_same_for_whole_fields(literal in floating(), stored in whole()) {
        let world = World::new();
        let literal_text = format!("{literal:?}");
        // The cast saturates, so the greatest and the least are among these.
        let near = literal as i64;
        for (sign, comparator) in SIGNS {
            let spans = spans_of(&world, &format!("n {sign} {literal_text}"), &Value::Int(0));
            prop_assert!(!contains(&spans, &NULL));
            for stored in [stored, near, near.saturating_add(1), near.saturating_sub(1)].map(Value::Int) {
                let exact = stored.order(&Value::Number(literal));
                prop_assert_eq!(contains(&spans, &stored), holds_by(comparator, exact), "{} {:?}", sign, stored);
                prop_assert_eq!(contains(&spans.complement(), &stored), !holds_by(comparator, exact));
            }
        }
    }

    #[test]
    fn a_moved_literal_means_the_same_for_floating_fields(literal in whole(), stored in floating()) {
        let world = World::new();
        for (sign, comparator) in SIGNS {
            let spans = spans_of(&world, &format!("{literal} {sign} total"), &Value::Number(0.0));
            for stored in [stored, literal as f64, (literal as f64).next_up(), (literal as f64).next_down()] {
                let stored = Value::Number(stored + 0.0);
                let exact = Value::Int(literal).order(&stored);
                prop_assert_eq!(contains(&spans, &stored), holds_by(comparator, exact), "{} {:?}", sign, stored);
            }
        }
    }

    #[test]
    fn sets_of_spans_are_sets(points in prop::collection::vec((0i64..12, 0i64..12, 0usize..6), 1..8)) {
        let sets: Vec<Spans> = points.iter().map(|(a, b, sign)| {
            let one = Spans::by(SIGNS[*sign].1, Value::Int(*a));
            if a < b { one } else { one.intersection(&Spans::by(Comparator::LessOrEqual, Value::Int(*a + *b))) }
        }).collect();
        let union = Spans::union(sets.iter().cloned());
        let common = sets.iter().skip(1).fold(sets[0].clone(), |common, set| common.intersection(set));
        let values = (-1..26).map(Value::Int).chain([Value::Null]);
        for value in values {
            prop_assert_eq!(contains(&union, &value), sets.iter().any(|set| contains(set, &value)));
            prop_assert_eq!(contains(&common, &value), sets.iter().all(|set| contains(set, &value)));
            prop_assert_eq!(contains(&union.complement(), &value), !contains(&union, &value));
        }
        for set in [&union, &common, &union.complement()] {
            let spans: Vec<&Span> = set.iter().collect();
            prop_assert!(spans.windows(2).all(|two| two[0].to != two[1].from));
        }
    }

    #[test]
    fn a_prefix_holds_what_begins_so(prefix in "[ab\u{D7FF}\u{10FFFF}]{0,4}", text in "[ab\u{D7FF}\u{E000}\u{10FFFF}]{0,6}") {
        let spans = Spans::prefix(&prefix);
        prop_assert_eq!(contains(&spans, &Value::text(&*text)), text.starts_with(&prefix));
        let longer = format!("{prefix}{text}");
        prop_assert!(contains(&spans, &Value::text(longer)));
    }
}
