//! Nanoseconds of an evaluation over a record of 20 fields, and microseconds to compile what is hostile.
//!
//! Each line is the best of several rounds, since what disturbs a measurement only ever adds to it.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use millpond::id::CollectionId;
use millpond::model::definition;
use millpond::model::expr::{Input, NoRelations, Program, Row, Scope};
use millpond::model::schema::{Collection, Schema};
use millpond::model::value::{Fields, Value};
use millpond::time::Millis;

fn collection() -> Collection {
    let mut fields: Vec<String> = (0..14).map(|n| format!(r#"{{"name": "f{n}", "type": "text"}}"#)).collect();
    fields.extend([
        r#"{"name": "status", "type": "select", "values": ["new", "paid"]}"#.to_owned(),
        r#"{"name": "total", "type": "number"}"#.to_owned(),
        r#"{"name": "n", "type": "number", "integer": true}"#.to_owned(),
        r#"{"name": "at", "type": "date"}"#.to_owned(),
        r#"{"name": "tags", "type": "select", "values": ["a", "b", "c"], "maxSelect": 3}"#.to_owned(),
        r#"{"name": "meta", "type": "json"}"#.to_owned(),
    ]);
    let body = format!(r#"{{"name": "orders", "fields": [{}]}}"#, fields.join(","));
    let mut collection = definition::parse(&Schema::default(), body.as_bytes(), Millis(0)).expect("a sound definition");
    definition::number(&mut collection, CollectionId(1));
    collection
}

fn record(collection: &Collection) -> Fields {
    let id = |name: &str| collection.field(name).expect("a field").id;
    let mut fields: Fields =
        (0..14).map(|n| (id(&format!("f{n}")), Value::text(format!("Some text number {n}, not too short")))).collect();
    fields.set(id("status"), Value::text("paid"));
    fields.set(id("total"), Value::Number(120.5));
    fields.set(id("n"), Value::Int(7));
    fields.set(id("at"), Value::Date(Millis(1_700_000_000_000)));
    fields.set(id("tags"), Value::List(vec![Value::text("a"), Value::text("b")]));
    fields.set(id("meta"), Value::Json(r#"{"a":{"b":[1,2,3]},"c":"x"}"#.into()));
    fields
}

const EVALUATED: &[&str] = &[
    "total > 100 && status = 'paid'",
    "total > 100 && status = 'new' || n in [1, 3, 5, 7] && at < @now",
    "tags ?= 'b'",
    "f3 ~ 'NUMBER 3'",
    "f3 ~ 'some%short'",
    "matches(f3, 'number [0-9]+')",
    "lower(f3) = 'x'",
    "round(total * 0.25, 2) > 30",
    "meta.a.b.2 = 3",
    "date(at) = '2023-11-14'",
];

fn main() {
    let collection = collection();
    let mut schema = Schema::default();
    schema.put(collection.clone());
    let scope = Scope { schema: &schema, collection: &collection, callers: &[], sees_hidden: false };
    let fields = record(&collection);
    let row = Row { id: "o1", fields: &fields };
    let input = Input::at(Millis(1_750_000_000_000));
    println!("evaluate, record of {} fields", fields.len());
    for text in EVALUATED {
        let program = Program::condition(scope, text).expect("sound");
        let nanos = best(20, || {
            let started = Instant::now();
            for _ in 0..20_000 {
                let holds = program.holds(black_box(row), black_box(&input), &NoRelations);
                assert!(black_box(holds).is_ok());
            }
            started.elapsed().as_nanos() as f64 / 20_000.0
        });
        println!("{nanos:8.1} ns  {text}");
    }
    println!("compile and evaluate what is hostile, 3,500 bytes");
    for (name, text) in hostile() {
        let mut outcome = String::new();
        let micros = best(5, || {
            let started = Instant::now();
            outcome = match Program::condition(scope, &text) {
                Ok(program) => format!("{:?}", program.holds(row, &input, &NoRelations)),
                Err(fault) => {
                    format!("column {}: {}", fault.at + 1, fault.message.chars().take(60).collect::<String>())
                }
            };
            started.elapsed().as_nanos() as f64 / 1e3
        });
        println!("{micros:8.1} us  {name}: {outcome}");
    }
}

fn hostile() -> Vec<(&'static str, String)> {
    let fill = |unit: &str, by: &str| {
        let mut text = unit.to_owned();
        while text.len() + by.len() + unit.len() <= 3_500 {
            text.push_str(by);
            text.push_str(unit);
        }
        text
    };
    let regexes = |pattern: &str| vec![format!("matches(f1, '{pattern}')"); 8].join(" || ");
    vec![
        ("1+1+…", fill("1", "+").replacen("1+1", "n=1", 1)),
        ("n=1||n=1…", fill("n=1", "||")),
        ("((((…", "(".repeat(3_500)),
        ("depth 1,000", format!("{}n=1{}", "(".repeat(1_000), ")".repeat(1_000))),
        ("!!!!…", "!".repeat(3_500)),
        ("-!-!…", "-!".repeat(1_750)),
        ("a~'%a%a…'", format!("f1 ~ '{}'", "%t".repeat(1_700))),
        ("f1~'x'||…", fill("f1~'x'", "||")),
        ("names", fill("zzz", "||")),
        ("n in […]", format!("n in [{}]", (0..700).map(|n| n.to_string()).collect::<Vec<_>>().join(","))),
        ("f1+f1+…", fill("f1", "+").replacen("f1+f1", "f1~f1", 1)),
        ("regex (a+)+$", regexes("(a+)+$")),
        (r"regex \w{100}", regexes(r"\w{100}")),
        (r"regex ((\w{10}){10}){10}", regexes(r"((\w{10}){10}){10}")),
        (r"regex (x+x+)+y", regexes(r"(x+x+)+y")),
        (r"regex [a-z]{1,200}…", regexes(r"[a-z]{1,200}[0-9]{1,200}")),
    ]
}

fn best(rounds: usize, mut measure: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| measure()).fold(f64::INFINITY, f64::min)
}
