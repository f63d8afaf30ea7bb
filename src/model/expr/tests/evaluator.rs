//! What expressions give of a record, and what a hostile one costs.

use super::*;
use crate::limits;

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Number(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::Date(at) => at.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Json(text) => format!("json {text}"),
        Value::Point(longitude, latitude) => format!("point {longitude} {latitude}"),
    }
}

fn given(world: &World, text: &str) -> String {
    match world.value(text) {
        Ok(value) => shown(&value),
        Err(fault) => format!("column {}: {}", fault.at + 1, fault.message),
    }
}

fn assert_given<const N: usize>(table: [(&str, &str); N]) {
    let world = World::new();
    assert_rows(table.map(|(text, expected)| (text, given(&world, text), expected)));
}

#[test]
fn comparisons_of_one_value() {
    assert_given([
        ("status = 'paid'", "true"),
        ("'paid' = status", "true"),
        ("status != 'paid'", "false"),
        ("status > 'new'", "true"),
        ("total > 100 && status = 'paid'", "true"),
        ("total = 120.5 && 120 < total && 121 >= total", "true"),
        ("n = 7 && n = 7.0 && n > 6.5 && n < 7.5", "true"),
        ("active = true && active != false && active", "true"),
        ("!active || !(n = 7)", "false"),
        ("at = '2001-01-01' && at < @now", "true"),
        ("'2001-01-01 00:00:00.001' > at", "true"),
        ("id = 'o1' && collectionName = 'orders'", "true"),
        ("n in [1, 7] && n not in [1, 2]", "true"),
        ("status in ['new'] || n in [7.5]", "false"),
        ("at in ['2001-01-01']", "true"),
        ("total > n && n < total", "true"),
    ]);
}

#[test]
fn with_null_only_equal_and_not_equal_to_null_are_true() {
    assert_given([
        ("empty = null", "true"),
        ("empty != null", "false"),
        ("status = null", "false"),
        ("null != status", "true"),
        ("null = null", "true"),
        ("empty = 'x' || empty != 'x' || nothing > 1 || nothing <= 1", "false"),
        ("empty = secret2 || true", "column 9: there is no field \"secret2\""),
        ("nothing = nothing", "false"),
        ("!(empty = 'x')", "true"),
        ("empty ~ '' || empty !~ 'x'", "false"),
        ("empty in ['x']", "false"),
        ("nothing + 1", "null"),
        ("nothing + 1 > 0", "false"),
        ("nothing + 1 = null", "true"),
        ("1 / 0", "null"),
        ("total > 1 / 0 || total != 1 / 0", "false"),
        ("lower(empty)", "null"),
        ("len(empty)", "0"),
        ("coalesce(nothing, n)", "7"),
        ("if(nothing > 1, 'a', 'b')", "'b'"),
        ("@request.body.nope = null", "true"),
        ("user.boss.boss.name = null", "true"),
        ("none = null && count(none) = 0 && none:length = 0", "true"),
    ]);
}

#[test]
fn comparisons_of_lists() {
    assert_given([
        ("tags ?= 'a' && tags ?!= 'a' && tags ?> 'a'", "true"),
        ("tags ?= 'c'", "false"),
        ("tags = ['a', 'b']", "true"),
        ("tags = ['b', 'a'] || tags = ['a']", "false"),
        ("tags != ['a']", "true"),
        ("tags ?= ['b', 'z']", "true"),
        ("tags = 'a'", "false"),
        ("tags:each >= 'a' && tags:each != 'c'", "true"),
        ("tags:each = 'a'", "false"),
        ("tags ~ 'b' && tags !~ 'c'", "true"),
        ("tags:each ~ 'b'", "false"),
        ("tags ?~ 'b' && tags ?!~ 'b'", "true"),
        ("tags in ['a', 'b', 'c']", "true"),
        ("tags in ['a']", "false"),
        ("'a' in tags && 'c' not in tags", "true"),
        ("tags.0 = 'a' && tags.1 = 'b' && tags.2 = null", "true"),
        ("tags = null || tags ?= null", "false"),
        ("tags != null && tags ?!= null", "true"),
        ("none ?= 'a' || none = 'a' || none != 'a' || none:each != 'a'", "false"),
        ("'b' ?= tags", "true"),
        ("status ?= 'paid'", "true"),
    ]);
}

#[test]
fn paths_lead_through_relations_and_into_json() {
    assert_given([
        ("user.name", "'Bob'"),
        ("user.boss.name = 'Ann' && user.boss.age > user.age", "true"),
        ("user.id = user", "true"),
        ("user.boss.roles ?= 'admin'", "true"),
        ("items.price", "[2.5, 10.0]"),
        ("items.price > 2 && items.title ~ 'n'", "true"),
        ("items.price > 5", "false"),
        ("items.price ?> 5", "true"),
        ("items.title ~ 'pen'", "false"),
        ("items.title ?~ 'pen'", "true"),
        ("items.maker.name", "['Bob', 'Ann']"),
        ("items.maker.boss.name", "['Ann', null]"),
        ("items.maker.boss.name != null", "false"),
        ("items = ['p1', 'p2'] && items.id in ['p1', 'p2', 'p3']", "true"),
        ("items.id = 'p1'", "false"),
        ("items:length", "2"),
        ("user.products_via_maker.title", "['Pen']"),
        ("user.orders_via_user.id ?= id", "true"),
        ("user.users_via_boss = null", "true"),
        ("lookup('users', 'u1').name", "'Ann'"),
        ("lookup('users', user).boss.name:lower", "'ann'"),
        ("lookup('users', 'u9').name", "null"),
        ("meta.k.x.0 + meta.k.x.1", "3.5"),
        ("meta.k.x.2 = 'three' && meta.k.x.3 = null && meta.k.x.4", "true"),
        ("meta.k.x.2 > 5 || meta.k.x.2 = 5", "false"),
        ("meta.k.x.2 != 5", "true"),
        ("meta.tags ?= 'z' && meta.tags ~ 'z'", "true"),
        ("meta.tags = ['a', 'z']", "true"),
        ("meta.tags:length", "2"),
        ("meta.items.q ?> 4 && sum(meta.items.q) = 6", "true"),
        ("meta.big", "9007199254740993"),
        ("meta.big = 9007199254740992", "false"),
        ("meta.nope.x = null", "true"),
        ("meta.k", r#"json {"x":[1,2.5,"three",null,true]}"#),
        ("contains(meta.tags, 'z')", "true"),
    ]);
}

#[test]
fn the_request_and_the_old_record_are_seen() {
    assert_given([
        ("@request.method", "'PATCH'"),
        ("@request.auth.id = 'u1' && @request.auth.name = 'Ann'", "true"),
        ("@request.auth.roles ?= 'admin' && @request.auth.collectionName = 'users'", "true"),
        ("user.boss = @request.auth.id", "true"),
        ("@request.auth.boss.name = null", "true"),
        ("@request.body.total", "120.5"),
        ("@request.body.n = null && @request.body.n:isset", "true"),
        ("@request.body.nope:isset", "false"),
        ("@request.body.status:changed", "true"),
        ("@request.body.total:changed", "false"),
        ("@request.body.n:changed", "true"),
        ("@request.body.note:changed", "false"),
        ("@request.body.extra.a ?= 2", "true"),
        ("@request.query.min:isset && !@request.query.max:isset", "true"),
        ("total > @request.query.min", "true"),
        ("@request.query.min > total", "false"),
        ("note ~ @request.query.q", "true"),
        ("@old.status = 'new' && status:changed && note:changed && !n:changed", "true"),
        ("@old.note = null", "true"),
        ("n:isset && !empty:isset", "true"),
        ("@now = '2024-02-29 13:14:15.016Z' && @todayStart <= now() && @hour = 13", "true"),
    ]);
}

#[test]
fn texts_are_matched() {
    assert_given([
        ("note ~ 'pens'", "true"),
        ("note ~ 'two%off'", "true"),
        ("note ~ 'pens%'", "false"),
        (r"note ~ '50\%'", "true"),
        ("note !~ 'cup'", "true"),
        ("note:lower = 'two pens, 50% off' && note:length = 17", "true"),
        ("at ~ '2001-01' && total ~ 120 && active ~ 'tru'", "true"),
        (r"matches(note, '^Two\s\w+, \d+%')", "true"),
        ("matches(empty, '.*')", "false"),
        ("contains(note, 'Pens') && !contains(note, 'pens')", "true"),
        ("startsWith(note, 'Two') && endsWith(note, 'off')", "true"),
        ("lower('ÄB') + upper('ß') + trim(' x ')", "'äbSSx'"),
        ("status + '-' + note", "'paid-Two Pens, 50% off'"),
    ]);
}

#[test]
fn functions_and_arithmetic() {
    assert_given([
        ("1 + 2 * 3 - 4", "3"),
        ("(1 + 2) * 3 % 4", "1"),
        ("7 / 2", "3.5"),
        ("-7 % 4", "-3"),
        ("7.5 % 2", "1.5"),
        ("5 % 0", "null"),
        ("9223372036854775807 + 1", "9.223372036854776e18"),
        ("9223372036854775807 + 0", "9223372036854775807"),
        ("-9223372036854775808 % -1", "0"),
        ("-(0 - 9223372036854775807 - 1)", "9.223372036854776e18"),
        ("0 * -1.5", "0.0"),
        ("1e308 * 10", "null"),
        ("round(total * 0.25, 2)", "30.13"),
        ("round(2.5)", "3.0"),
        ("round(-2.5)", "-3.0"),
        ("round(1250, -2)", "1300"),
        ("round(-1250, -2)", "-1300"),
        ("round(1234.5, -2)", "1200.0"),
        ("round(9223372036854775807, -2)", "9223372036854775800"),
        ("round(9223372036854775807, -1)", "9.223372036854776e18"),
        ("abs(-5) + abs(2.5)", "7.5"),
        ("min(3, n, 5.5)", "3"),
        ("max(items.price)", "10.0"),
        ("max('b', status)", "'paid'"),
        ("min(at, @now) = at", "true"),
        ("min(none)", "null"),
        ("sum(items.price)", "12.5"),
        ("sum([1, 2, 3])", "6"),
        ("sum(none.x)", "column 5: none is a list of texts and has no parts"),
        ("avg(items.price)", "6.25"),
        ("avg(meta.nope)", "null"),
        ("sum(meta.nope)", "0"),
        ("count(items.price) + count(status) + len(tags)", "5"),
        ("len('äö')", "2"),
        ("if(total > 100, 'big', 'small')", "'big'"),
        ("coalesce(empty, nothing2, 'x')", "column 17: there is no field \"nothing2\""),
        ("coalesce(empty, status, 'x')", "'paid'"),
        ("date(at)", "'2001-01-01'"),
        ("date(@now) = '2024-02-29'", "true"),
        ("year(@now) * 10000 + month(@now) * 100 + day(@now)", "20240229"),
        ("hour('2001-01-01 23:59')", "23"),
        ("addDays('2024-02-28', 2)", "2024-03-01 00:00:00.000Z"),
        ("addDays(at, 0.5)", "2001-01-01 12:00:00.000Z"),
        ("addDays(at, 1e300)", "null"),
        ("round(geoDistance(13.4, 52.5, 2.35, 48.85))", "877.0"),
        ("geoDistance(0, 0, 180, 0) > 20015", "true"),
        ("contains([1, 2], 2.0)", "true"),
    ]);
}

#[test]
fn another_image_of_the_record_gives_another_value() {
    let world = World::new();
    let program = world.compile("n > 5 && user.name = 'Bob'", false).expect("sound");
    let input = Input::at(NOW);
    let holds = |fields: &Fields| program.holds(Row { id: "x", fields }, &input, &world).expect("few steps");
    assert!(holds(&world.fields("orders", "o1")));
    assert!(!holds(&Fields::new()));
}

#[test]
fn a_rule_without_a_caller_does_not_hold() {
    let world = World::new();
    let order = world.fields("orders", "o1");
    for text in ["@request.auth.id != ''", "user.boss = @request.auth.id", "@request.auth.roles ?= 'admin'"] {
        let program = world.compile(text, false).expect("sound");
        let row = Row { id: "o1", fields: &order };
        assert_eq!(program.holds(row, &Input::at(NOW), &world), Ok(false), "{text}");
    }
}

#[test]
fn an_evaluation_has_a_bounded_number_of_steps() {
    let mut world = World::new();
    let ids: Vec<String> = (0..1_000).map(|n| format!("m{n}")).collect();
    for id in &ids {
        world.put("products", id, [("price", Value::Int(1)), ("maker", Value::text("u1"))]);
    }
    let list = Value::List(ids.iter().map(|id| Value::text(id.as_str())).collect());
    let long = "x".repeat(1 << 20);
    world.put("orders", "big", [("items", list), ("note", Value::text(long))]);
    let fields = world.fields("orders", "big");
    let holds = |text: &str| {
        let program = world.compile(text, false).expect("sound");
        program.holds(Row { id: "big", fields: &fields }, &Input::at(NOW), &world)
    };
    assert_eq!(holds("items.price = 1 && items.maker.name = 'Ann'"), Ok(true), "a list of the largest size is fine");
    assert_eq!(holds("items.maker.products_via_maker.price ?= 2"), Err(Exhausted));
    assert_eq!(holds("items = items && items ?= 'm999'"), Ok(true));
    assert_eq!(holds("items ?= items"), Err(Exhausted), "a million pairs are not");
    let often = |what: &str, count: usize| vec![what; count].join(" || ");
    assert_eq!(holds(&often("note ~ 'y'", 5)), Ok(false));
    assert_eq!(holds(&often("note ~ 'y'", 100)), Err(Exhausted));
    assert_eq!(holds(&format!("len({}) > 0", vec!["note"; 100].join(" + "))), Err(Exhausted));
    assert_eq!(Exhausted.error().code_str(), "too_costly");
    assert_eq!(limits::EXPRESSION_STEPS_MAX, 200_000, "what the table above was made for");
}
