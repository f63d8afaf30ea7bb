//! Filters made to cost as much as they can: each is answered, as a list or as the client's fault, and the server
//! lives. What each took is printed, not judged: how fast is a question for the benchmarks.

use std::time::Instant;

use crate::ask::encoded;
use crate::support::http::Client;
use crate::support::results;
use crate::support::server::Running;

const RECORDS: usize = 1_000;
const FILTER_BYTES: usize = 3_500;
const NOTES: &str = r#"{"name":"notes","fields":[{"name":"note","type":"text"},{"name":"n","type":"number","integer":true},{"name":"m","type":"number","integer":true},{"name":"to","type":"relation","collection":"notes"},{"name":"data","type":"json"},{"name":"tags","type":"select","values":["a","b","c"],"maxSelect":3}],"indexes":[{"name":"n","fields":["n"]},{"name":"mn","fields":["m","-n"]}]}"#;

/// A filter, and whether it is one, where that is certain.
struct Hostile {
    name: &'static str,
    filter: String,
    sound: Option<bool>,
}

/// A text as often as it fits into a filter.
fn filled(text: &str) -> String {
    text.repeat(FILTER_BYTES / text.len())
}

fn joined(count: usize, by: &str, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(by)
}

fn deep(times: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

fn hostile(name: &'static str, filter: impl Into<String>, sound: impl Into<Option<bool>>) -> Hostile {
    Hostile { name, filter: filter.into(), sound: sound.into() }
}

/// Signs without end, and nesting.
fn shapes() -> Vec<Hostile> {
    vec![
        hostile("3,500 bytes of !", filled("!"), false),
        hostile("3,500 bytes of (", filled("("), false),
        hostile("3,500 bytes of -", filled("-"), false),
        hostile("3,500 bytes of -!", filled("-!"), false),
        hostile("3,500 bytes of '", filled("'"), None),
        hostile("3,500 bytes of [", filled("["), false),
        hostile("3,500 bytes of a.", filled("a."), false),
        hostile("3,500 bytes of digits", filled("9"), false),
        hostile("3,501 bytes", format!("n = 1{}", " ".repeat(3_496)), false),
        hostile("1,000 parentheses", deep(1_000, "(", "n=1", ")"), false),
        hostile("1,000 not", deep(1_000, "!", "(n=1)", ""), None),
        hostile("60 parentheses", deep(60, "(", "n=1", ")"), true),
        hostile("30 not", deep(30, "!(", "n=1", ")"), true),
        hostile("60 abs", deep(60, "abs(", "n", ")") + " = 1", true),
        hostile("55 lower", deep(55, "lower(", "note", ")") + " = 'a'", true),
    ]
}

/// What a careless matcher is lost in.
fn patterns() -> Vec<Hostile> {
    vec![
        hostile("3,400 % of ~", format!("note ~ '{}'", "%".repeat(3_400)), true),
        hostile("~ '%a%a%a…b'", format!("note ~ '{}b'", "%a".repeat(1_000)), true),
        hostile("10 forms of ~", joined(10, "||", |at| format!("note ~ '{}{at}'", "%a".repeat(120))), true),
        hostile("130 forms of ~", joined(130, "||", |at| format!("note ~ 'a%{at}%b'")), true),
        hostile("(a+)+$", "matches(note, '(a+)+$')", true),
        hostile("(a|a)*b", "matches(note, '(a|a)*b')", true),
        hostile("(.*)(.*)…x$", format!("matches(note, '{}x$')", "(.*)".repeat(8)), true),
        hostile("a{1000}{1000}", "matches(note, 'a{1000}{1000}')", false),
        hostile("\\w{200}", "matches(note, '\\\\w{200}')", None),
        hostile("\\pL{100}", "matches(note, '^\\\\pL{100}$')", None),
        hostile("8 regular expressions", joined(8, "||", |at| format!("matches(note, '(a+)+{at}$')")), true),
        hostile("90 regular expressions", joined(90, "||", |at| format!("matches(note,'(a+)+{at}$')")), false),
    ]
}

/// What a careless planner is lost in.
fn many() -> Vec<Hostile> {
    let list = |count: usize| joined(count, ",", |at| (at * 3 % 997).to_string());
    vec![
        hostile("in 800 numbers", format!("n in [{}]", list(800)), true),
        hostile("in 800 numbers, of no index", format!("n + 0 in [{}]", list(800)), true),
        hostile("in 600 texts", format!("note in [{}]", joined(600, ",", |at| format!("'{at}'"))), true),
        hostile("400 or of =", joined(400, "||", |at| format!("n={at}")), true),
        hostile("600 or of =", joined(600, "||", |at| format!("n={}", at % 10)), true),
        hostile("500 or of >", joined(500, "||", |at| format!("n>{}", 990 + at % 10)), true),
        hostile("250 or of ranges", joined(250, "||", |at| format!("n>{at}&&m<9")), true),
        hostile("600 and of >", joined(600, "&&", |at| format!("n>{}", at % 10)), true),
        hostile("and of or of and", joined(60, "&&", |at| format!("(n={at}||(m>{at}&&(n<9||m=1))||n!=3)")), true),
        hostile("and of 100 or", joined(100, "&&", |at| format!("(n={at}||m={at})")), true),
    ]
}

/// Much work for each record.
fn work() -> Vec<Hostile> {
    vec![
        hostile("5 relations", "to.to.to.to.to.n = 5", true),
        hostile("8 relations", "to.to.to.to.to.to.to.to.n = 5", false),
        hostile("there and back", "to.notes_via_to.to.notes_via_to.n ?= 5", None),
        hostile("back 6 times", "notes_via_to.".repeat(6) + "n ?= 5", None),
        hostile("90 sums over the way back", joined(90, "+", |_| "sum(notes_via_to.n)".into()) + " > 1", None),
        hostile("100 paths into json", joined(100, "||", |at| format!("data.a.b.c.{at} = {at}")), true),
        hostile("100 paths into a list", joined(100, "||", |at| format!("data.list.x = {at}")), true),
        hostile("800 times", joined(800, "*", |_| "n".into()) + " > 1", true),
        hostile("300 texts in one", format!("len({}) > 1", joined(300, "+", |_| "note".into())), true),
    ]
}

#[test]
fn every_hostile_filter_is_answered() {
    let server = Running::start();
    let mut client = Client::new(server.address);
    let made = client.json("POST", "/api/collections", NOTES).expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    fill(&mut client);
    let mut wrong = Vec::new();
    for Hostile { name, filter, sound } in [shapes(), patterns(), many(), work()].into_iter().flatten() {
        let mut slowest = (0.0f64, "");
        for more in ["", "&sort=-note&perPage=1", "&sort=m,n&perPage=500", "&skipTotal=1&sort=id"] {
            let started = Instant::now();
            let path = format!("/api/collections/notes/records?fields=id&filter={}{more}", encoded(&filter));
            let answer = client.get(&path).unwrap_or_else(|error| panic!("{name}{more}: {error}"));
            let millis = started.elapsed().as_secs_f64() * 1e3;
            if millis > slowest.0 {
                slowest = (millis, more);
            }
            let answered = [200, 400, 422].contains(&answer.status);
            if !answered || sound.is_some_and(|sound| (answer.status == 200) != sound) {
                wrong.push(format!("{name}{more}: {} {}", answer.status, answer.text()));
            }
        }
        results::note(&format!("{:8.1} ms  {name}  {}", slowest.0, slowest.1));
    }
    assert!(wrong.is_empty(), "not answered as they must be:\n{}", wrong.join("\n"));
    assert_eq!(client.get("/livez").expect("an answer").status, 200);
}

/// A thousand notes, each pointing at an earlier one, all of them with texts that a bad matcher would be lost in.
fn fill(client: &mut Client) {
    for at in 0..RECORDS {
        let to = if at == 0 { "null".to_owned() } else { format!("\"r{}\"", at / 3) };
        let note = format!("{}{}", "a".repeat(at % 60 + 20), if at % 7 == 0 { "" } else { "!" });
        let body = format!(
            r#"{{"id":"r{at}","note":"{note}","n":{at},"m":{},"to":{to},"data":{{"a":{{"b":{{"c":[{at}]}}}},"list":[{{"x":{at}}},{{"x":1}}]}},"tags":["a","c"]}}"#,
            at % 10
        );
        let answer = client.json("POST", "/api/collections/notes/records", &body).expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}
