//! Requests as they are read and checked, and tables as they are merged and told.

use super::*;
use crate::error::Error;
use crate::limits;
use crate::model::definition;
use crate::model::expr::{Input, Scope};
use crate::model::schema::{Collection, Schema};
use crate::time::Millis;

fn faults(error: &Error) -> Vec<(&str, &str)> {
    error.field_faults().iter().map(|fault| (fault.field.as_str(), &*fault.code)).collect()
}

fn orders() -> (Schema, Collection) {
    let schema = Schema::default();
    let body = br#"{"name":"orders","fields":[{"name":"status","type":"text"},{"name":"total","type":"number"},
        {"name":"at","type":"date"},{"name":"tags","type":"select","values":["a","b"],"maxSelect":2},
        {"name":"secret","type":"number","hidden":true},{"name":"data","type":"json"}]}"#;
    let collection = definition::parse(&schema, body, Millis(0)).expect("sound");
    (schema, collection)
}

/// Names with texts.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Sources of these names, each with its keys and values.
fn request(sources: &[(&str, Pairs<'_>, Pairs<'_>)]) -> Aggregation {
    fn named<'a>(list: &'a [(&str, &str)]) -> impl Iterator<Item = Named> + 'a {
        list.iter().map(|(name, text)| Named { name: (*name).into(), text: (*text).into() })
    }
    let source = |(name, group, values): &(&str, Pairs<'_>, Pairs<'_>)| Source {
        group: named(group).collect(),
        values: named(values).collect(),
        ..Source::named(name)
    };
    Aggregation { sources: sources.iter().map(source).collect(), ..Aggregation::default() }
}

#[test]
fn the_contract_s_example_is_read() {
    let body = br#"{"sources": {
       "sales":  {"collection": "orders", "filter": "status = 'paid'", "group": {"day": "date(created)", "user": "user"}, "values": {"revenue": "sum(total)", "n": "count()"}},
       "people": {"collection": "users", "values": {"name": "any(name)"}, "group": {"user": "id"}}},
     "merge": {"join": ["user"], "kind": "left"}, "select": {"name": "people.name", "day": "sales.day", "revenue": "sales.revenue"},
     "sort": "-revenue", "limit": 100, "timeout": "2s"}"#;
    let read = read(body).expect("sound");
    assert_eq!(read.sources.len(), 2);
    assert_eq!(read.sources[0].filter.as_deref(), Some("status = 'paid'"));
    assert_eq!(read.sources[0].group[1], Named { name: "user".into(), text: "user".into() });
    assert_eq!(read.merge, Merge::Join { keys: vec!["user".into()], kind: Join::Left });
    assert_eq!((read.sort, read.limit), (vec![("revenue".into(), true)], 100));
    assert_eq!((read.timeout, read.select.len()), (Duration::from_secs(2), 3));
}

#[test]
fn every_fault_of_a_request_is_named_by_its_path() {
    let table: &[(&str, &[(&str, &str)])] = &[
        ("{}", &[("sources", "required")]),
        (r#"{"sources":{}}"#, &[("sources", "required")]),
        (r#"{"sources":5,"nope":1}"#, &[("sources", "wrong_type"), ("nope", "unknown_field")]),
        (
            r#"{"sources":{"1":{"collection":"a","filter":5,"values":{"n":"count()"}}}}"#,
            &[("sources.1", "bad_name"), ("sources.1.filter", "wrong_type")],
        ),
        (
            r#"{"sources":{"a":{"group":{"k":"x"},"values":{"k":"count()"},"url":"ftp://x"}}}"#,
            &[
                ("sources.a.url", "invalid"),
                ("sources.a.collection", "required"),
                ("sources.a.values.k", "duplicate_key"),
            ],
        ),
        (r#"{"sources":{"a":{"collection":"c"}}}"#, &[("sources.a.values", "required")]),
        (
            r#"{"sources":{"a":{"collection":"c","group":{"k":"x"},"token":"t"},"b":{"collection":"c","group":{"k":"x"},"url":"http://u:p@h"},"c":{"collection":"c","group":{"k":"x"},"url":"http://h","token":"a b"}},"merge":"union"}"#,
            &[("sources.a.token", "invalid"), ("sources.b.url", "invalid"), ("sources.c.token", "invalid")],
        ),
        (r#"{"sources":{"a":{"collection":"c","values":{"n":"count()"}},"a":{}}}"#, &[("sources.a", "duplicate_key")]),
        (
            r#"{"sources":{"a":{"collection":"c","values":{"n":"count()"}},"b":{"collection":"c","values":{"n":"count()"}}}}"#,
            &[("merge", "required")],
        ),
        (
            r#"{"sources":{"a":{"collection":"c","values":{"n":"count()"}}},"merge":{"join":["k"],"kind":"left"}}"#,
            &[("merge.join", "unknown_key")],
        ),
        (
            r#"{"sources":{"a":{"collection":"c","values":{"n":"count()"}}},"merge":{"kind":"outer"}}"#,
            &[("merge.kind", "invalid")],
        ),
        (r#"{"sources":{"a":{"collection":"c","values":{"n":"count()"}}},"merge":{}}"#, &[("merge.join", "required")]),
        (
            r#"{"sources":{"a":{"collection":"c","values":{"n":"count()"}}},"limit":0,"timeout":"1h","sort":"n,-n","partial":1}"#,
            &[("limit", "wrong_type"), ("timeout", "invalid"), ("sort", "invalid"), ("partial", "wrong_type")],
        ),
        (r#"{"sources":{"a":{"collection":"c","values":{"n":"count()"}}},"timeout":"11s"}"#, &[("timeout", "invalid")]),
    ];
    for (body, expected) in table {
        let error = read(body.as_bytes()).expect_err(body);
        assert_eq!(faults(&error), *expected, "{body}");
    }
    assert_eq!(read(b"[]").expect_err("no object").code_str(), "not_an_object");
}

#[test]
fn a_union_is_said_in_any_way() {
    for merge in [r#""union""#, r#"{"kind":"union"}"#, r#"{"union":true}"#] {
        let body = format!(r#"{{"sources":{{"a":{{"collection":"c","values":{{"n":"count()"}}}}}},"merge":{merge}}}"#);
        assert_eq!(read(body.as_bytes()).expect("sound").merge, Merge::Union, "{merge}");
    }
}

#[test]
fn what_is_bounded_is_refused_past_its_bound() {
    let many = |count: usize, each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<Vec<_>>().join(",");
    let source = |at: usize| format!(r#""s{at}":{{"collection":"c","values":{{"n":"count()"}}}}"#);
    let sources = |count| format!(r#"{{"sources":{{{}}},"merge":"union"}}"#, many(count, &source));
    assert!(read(sources(limits::AGGREGATE_SOURCES_MAX).as_bytes()).is_ok());
    let error = read(sources(limits::AGGREGATE_SOURCES_MAX + 1).as_bytes()).expect_err("too many");
    assert!(faults(&error).contains(&("sources", "too_many")));
    let value = |at: usize| format!(r#""n{at}":"count()""#);
    let values = |count| format!(r#"{{"sources":{{"s":{{"collection":"c","values":{{{}}}}}}}}}"#, many(count, &value));
    assert!(read(values(limits::AGGREGATE_NAMES_MAX).as_bytes()).is_ok());
    let error = read(values(limits::AGGREGATE_NAMES_MAX + 1).as_bytes()).expect_err("too many");
    assert_eq!(faults(&error), [("sources.s.values", "too_many")]);
    let (schema, collection) = orders();
    let scope = Scope { schema: &schema, collection: &collection, callers: &[], sees_hidden: false };
    let sums = |count| (0..count).map(|at| format!("sum(total+{at})")).collect::<Vec<_>>().join("+");
    let measured = |count| Grouping::new(scope, &request(&[("s", &[], &[("n", &sums(count))])]).sources[0], "");
    assert_eq!(measured(limits::AGGREGATE_MEASURES_MAX).expect("so many").measures.len(), 64);
    assert!(measured(limits::AGGREGATE_MEASURES_MAX + 1).expect_err("too many").message().contains("64 measures"));
}

#[test]
fn texts_of_a_query_are_cut_at_commas_and_named_by_what_they_say() {
    let table = [
        ("status", &[("status", "status")][..]),
        ("day:date(at),user", &[("day", "date(at)"), ("user", "user")]),
        ("date(at), user.name", &[("date_at", "date(at)"), ("user_name", "user.name")]),
        ("count(total),sum(total)", &[("count_total", "count(total)"), ("sum_total", "sum(total)")]),
        ("percentile(total, 95)", &[("percentile_total_95", "percentile(total, 95)")]),
        ("tags:each", &[("tags_each", "tags:each")]),
        ("tag:tags:each", &[("tag", "tags:each")]),
        ("l:lower(status)", &[("l", "lower(status)")]),
        ("status:lower", &[("status_lower", "status:lower")]),
        (r#"x:if(status = 'a,b', ",", 1)"#, &[("x", r#"if(status = 'a,b', ",", 1)"#)]),
        (r#"{"a":"x","b":"y"}"#, &[("a", "x"), ("b", "y")]),
    ];
    for (text, expected) in table {
        let read = of_texts("c", Texts { group: Some(text), limit: usize::MAX, ..Texts::default() }).expect(text);
        let found: Vec<_> = read.sources[0].group.iter().map(|one| (&*one.name, &*one.text)).collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(read.sources[0].values, [Named { name: "count".into(), text: "count()".into() }]);
    }
    for (text, code) in
        [("a,a", "duplicate_key"), ("a,,b", "bad_name"), ("+", "bad_name"), ("a,count()", "duplicate_key")]
    {
        let error = of_texts("c", Texts { group: Some(text), limit: 1, ..Texts::default() }).expect_err(text);
        assert_eq!(faults(&error)[0].1, code, "{text}");
    }
}

#[test]
fn a_value_is_measures_and_what_is_worked_out_of_them() {
    let (schema, collection) = orders();
    let scope = Scope { schema: &schema, collection: &collection, callers: &[], sees_hidden: false };
    let row = |text: &str, measures: &[Value]| {
        let grouping = Grouping::new(scope, &request(&[("s", &[], &[("v", text)])]).sources[0], "")?;
        assert_eq!(grouping.measures.len(), measures.len(), "{text}");
        Ok::<_, Error>(grouping.finishing.row(vec![], measures, &Input::at(Millis(0)))?.expect("kept").remove(0))
    };
    assert_eq!(row("sum(total)", &[Value::Int(6)]).expect("sound"), Value::Int(6));
    assert_eq!(row("sum(total)/count()", &[Value::Int(6), Value::Int(4)]).expect("sound"), Value::Number(1.5));
    assert_eq!(row("min(sum(total), 5)", &[Value::Int(6)]).expect("sound"), Value::Int(5));
    assert_eq!(row("round(avg(total * 2), 1) + 1", &[Value::Number(1.26)]).expect("sound"), Value::Number(2.3));
    assert_eq!(row("if(count() > 1, 'many', 'few')", &[Value::Int(2)]).expect("sound"), Value::text("many"));
    for (bad, says) in [
        ("total", "one of them is any"),
        ("sum(status)", "numbers are wanted here, not a text"),
        ("sum(total) + total", "one of them is any"),
        ("sum(secret)", "there is no"),
        ("sum(nope)", "there is no"),
        ("percentile(total, 101)", "0 to 100"),
        ("percentile(total, total)", "0 to 100"),
        ("median(1)", "there is no function"),
        ("sum(total) + any(status)", "arithmetic"),
        ("sum(sum(total)", "column 15"),
        ("", "column 1"),
    ] {
        let error = row(bad, &[]).expect_err(bad);
        assert!(error.message().contains(says), "{bad}: {error}");
        assert_eq!(faults(&error), [("values.v", "bad_expression")], "{bad}");
    }
}

#[test]
fn a_hidden_field_is_an_unknown_one_wherever_it_stands() {
    let (schema, collection) = orders();
    let scope = Scope { schema: &schema, collection: &collection, callers: &[], sees_hidden: false };
    let told = |name: &str| {
        [
            request(&[("s", &[("k", name)], &[])]),
            request(&[("s", &[], &[("v", &format!("max({name})"))])]),
            request(&[("s", &[("k", &format!("if(status = '', {name}, 0)"))], &[])]),
        ]
        .map(|one| Grouping::new(scope, &one.sources[0], "").expect_err("unknown").to_string().replace(name, "NAME"))
    };
    assert_eq!(told("secret"), told("terces"));
}

fn table(columns: &[(&str, Type)], rows: &[&[Value]]) -> Table {
    let columns = columns.iter().map(|(name, is)| Column { name: (*name).into(), is: *is }).collect();
    Table { columns, rows: rows.iter().map(|row| row.to_vec()).collect() }
}

fn one(of: crate::model::expr::Scalar) -> Type {
    Type { of, many: crate::model::expr::Many::One }
}

/// What is told of two tables, as JSON.
fn told(request: &Aggregation, tables: &[Table]) -> Result<String, String> {
    let columns: Vec<&[Column]> = tables.iter().map(|table| &table.columns[..]).collect();
    let selection = Selection::new(request, &columns).map_err(|error| error.message().to_owned())?;
    let tables: Vec<Option<Table>> = tables.iter().cloned().map(Some).collect();
    let answer = selection.answer(&tables, &Input::at(Millis(0))).map_err(|error| error.message().to_owned())?;
    let mut out = Vec::new();
    answer.write(&mut out);
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn tables_are_joined_by_keys_and_told_by_names() {
    use crate::model::expr::Scalar::{Number, Text};
    let text = |text: &str| Value::text(text);
    let sales = table(
        &[("user", one(Text)), ("n", one(Number))],
        &[&[Value::Null, Value::Int(1)], &[text("a"), Value::Int(2)], &[text("b"), Value::Int(3)]],
    );
    let people = table(
        &[("user", one(Text)), ("n", one(Number)), ("name", one(Text))],
        &[
            &[Value::Null, Value::Int(7), text("?")],
            &[text("b"), Value::Int(8), text("B")],
            &[text("c"), Value::Int(9), text("C")],
        ],
    );
    let tables = [sales, people];
    let asked = |kind: Option<Join>, select: &[(&str, &str)], sort: &str| {
        let mut asked = request(&[
            ("sales", &[("user", "user")], &[("n", "count()")]),
            ("people", &[("user", "id")], &[("n", "count()"), ("name", "any(name)")]),
        ]);
        if let Some(kind) = kind {
            asked.merge = Merge::Join { keys: vec!["user".into()], kind };
        }
        asked.select = select.iter().map(|(name, text)| Named { name: (*name).into(), text: (*text).into() }).collect();
        asked.sort = sort
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| (name.trim_start_matches('-').into(), name.starts_with('-')))
            .collect();
        asked
    };
    let all = |kind| told(&asked(Some(kind), &[], ""), &tables).expect("told");
    let null = r#"{"user":null,"sales.n":1,"people.n":7,"name":"?"}"#;
    let a = r#"{"user":"a","sales.n":2,"people.n":null,"name":null}"#;
    let b = r#"{"user":"b","sales.n":3,"people.n":8,"name":"B"}"#;
    let c = r#"{"user":"c","sales.n":null,"people.n":9,"name":"C"}"#;
    assert_eq!(all(Join::Inner), format!(r#""items":[{null},{b}],"totalItems":2"#));
    assert_eq!(all(Join::Left), format!(r#""items":[{null},{a},{b}],"totalItems":3"#));
    assert_eq!(all(Join::Full), format!(r#""items":[{null},{a},{b},{c}],"totalItems":4"#));
    assert_eq!(
        told(&asked(None, &[], ""), &tables).expect("told"),
        r#""items":[{"user":null,"n":1,"name":null},{"user":"a","n":2,"name":null},{"user":"b","n":3,"name":null},{"user":null,"n":7,"name":"?"},{"user":"b","n":8,"name":"B"},{"user":"c","n":9,"name":"C"}],"totalItems":6"#
    );
    let mut some = asked(
        Some(Join::Full),
        &[("who", "coalesce(name, user)"), ("sum", "coalesce(sales.n, 0) + coalesce(people.n, 0)")],
        "-sum",
    );
    some.limit = 2;
    assert_eq!(
        told(&some, &tables).expect("told"),
        r#""items":[{"who":"B","sum":11},{"who":"C","sum":9}],"totalItems":4"#
    );
    some.having = Some("user != null && people.n = null".into());
    assert_eq!(told(&some, &tables).expect("told"), r#""items":[{"who":"a","sum":2}],"totalItems":1"#);
    for (select, sort, says) in [
        ("n", "", "several sources have \"n\""),
        ("nope", "", "there is no \"nope\""),
        ("sales.nope", "", "there is no \"sales.nope\""),
        ("nobody.n", "", "there is no \"nobody.n\""),
        ("name + sales.n", "", "arithmetic"),
        ("lookup('users', user).name", "", "there is no collection"),
        ("name", "nope", "there is no \"nope\" in what is told"),
    ] {
        let refused = told(&asked(Some(Join::Inner), &[("x", select)], sort), &tables).expect_err(select);
        assert!(refused.contains(says), "{select}: {refused}");
    }
}

#[test]
fn keys_that_can_t_be_equal_are_not_joined_and_rows_are_bounded() {
    use crate::model::expr::Scalar::{Date, Number, Text};
    let key: &[(&str, &str)] = &[("k", "k")];
    let mut asked = request(&[("a", key, &[]), ("b", key, &[])]);
    asked.merge = Merge::Join { keys: vec!["k".into()], kind: Join::Inner };
    let of = |is, rows: &[&[Value]]| table(&[("k", one(is))], rows);
    let refused = told(&asked, &[of(Text, &[]), of(Date, &[])]).expect_err("never equal");
    assert_eq!(refused, "merge.join: \"k\" is a date in b, which is never equal to a text");
    let same: Vec<[Value; 1]> = vec![[Value::Int(1)]; 400];
    let same: Vec<&[Value]> = same.iter().map(|row| &row[..]).collect();
    let refused = told(&asked, &[of(Number, &same), of(Number, &same)]).expect_err("too many");
    assert!(refused.contains("more than 100000 rows"), "{refused}");
}

#[test]
fn a_remote_source_is_asked_as_it_was_and_its_token_is_not_shown() {
    let body = br#"{"sources":{"s":{"url":"https://other.example/base/","token":"mp_secret","collection":"orders","filter":"n > 1","group":{"user":"user"},"values":{"n":"count()"},"having":"n > 2"}}}"#;
    let source = read(body).expect("sound").sources.remove(0);
    assert!(!format!("{source:?}").contains("mp_secret"));
    let asked = source.request(Duration::from_millis(1_500));
    let expected = r#"{"sources":{"s":{"collection":"orders","filter":"n > 1","group":{"user":"user"},"values":{"n":"count()"},"having":"n > 2"}},"timeout":"1500ms"}"#;
    assert_eq!(asked, expected);
    let again = read(asked.as_bytes()).expect("a request that is read again").sources.remove(0);
    assert_eq!(Source { remote: source.remote.clone(), ..again }, source);
    assert_eq!(source.endpoint().expect("remote").as_str(), "https://other.example/base/api/aggregate");
}

#[test]
fn what_another_server_answers_is_a_table_or_is_refused() {
    let source = request(&[("s", &[("k", "k")], &[("n", "count()")])]).sources.remove(0);
    let table = source
        .table(br#"{"items":[{"k":"a","n":1},{"k":null,"n":2.5},{"n":9223372036854775807,"k":["x",{"y": 1}]}],"totalItems":3}"#)
        .expect("a table");
    let list = Value::List(vec![Value::text("x"), Value::Json(r#"{"y":1}"#.into())]);
    let expected = [
        vec![Value::text("a"), Value::Int(1)],
        vec![Value::Null, Value::Number(2.5)],
        vec![list, Value::Int(i64::MAX)],
    ];
    assert_eq!(table.rows, expected);
    for bad in ["", "[]", "{}", r#"{"items":5}"#, r#"{"items":[5]}"#, r#"{"items":[{"k":1e999,"n":1}]}"#] {
        assert!(source.table(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn dates_of_another_server_meet_dates_of_this_one() {
    use crate::model::expr::Scalar::{Any, Date};
    let key: &[(&str, &str)] = &[("k", "k")];
    let mut asked = request(&[("a", key, &[]), ("b", key, &[])]);
    asked.merge = Merge::Join { keys: vec!["k".into()], kind: Join::Inner };
    let mut far = table(&[("k", one(Any))], &[&[Value::text("2001-01-01 00:00:00.000Z")], &[Value::text("x")]]);
    let near = table(&[("k", one(Date))], &[&[Value::Date(Millis::parse("2001-01-01").expect("a date"))]]);
    let selection = Selection::new(&asked, &[&near.columns, &far.columns]).expect("sound");
    selection.read_dates(1, &mut far);
    let answer = selection.answer(&[Some(near), Some(far)], &Input::at(Millis(0))).expect("told");
    assert_eq!(answer.total, 1);
}
