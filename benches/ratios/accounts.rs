//! What an account costs: reads of one record with a token, under a rule that asks who reads; and logins. Held against a
//! bare hyper server that answers as many bytes.

use std::rc::Rc;
use std::time::Duration;

use ::millpond::limits::{PASSWORD_MEMORY_KIB, PASSWORD_PASSES, PASSWORD_THREADS};

use crate::load::{self, Plan};
use crate::millpond::Millpond;
use crate::pairs::Compared;
use crate::process::Process;
use crate::reads::{CONNECTIONS, in_turn};
use crate::report::{Limit, Row, thousands};
use crate::template::Template;
use crate::{Bench, Outcome, SMALL, answer, hello, orders};

/// Records that are read, few enough for all their answers to be kept.
const OWNED: u64 = 10_000;
/// Time that filling them in, and reading each once, may take.
const FILL_TIME: Duration = Duration::from_secs(60);
const LOGIN: &str = "/api/collections/people/auth-with-password";

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let quick = bench.quick;
    let server = bench.server(SMALL)?;
    let token = ready(server)?;
    let body = answer::must(server.process.address, "GET", &orders::first_owned(), "")?;
    let hello = hello::start(body.len())?;
    // From here on no read is the first of its record.
    let each = Plan { request: orders::each_owned(&token), requests: OWNED, time: FILL_TIME, ..server.plan(64, 200) };
    load::run(&each)?;
    let cached = reads(quick, server, &token, &hello)?;
    let (login, compared) = logins(quick, server)?;
    let uncached = Millpond::uncached()?;
    let token = ready(&uncached)?;
    let read = reads(quick, &uncached, &token, &hello)?;

    add(
        bench,
        format!("reads of {} with token and rule, cached, 64 connections", thousands(OWNED)),
        &cached,
        Some(0.7),
    );
    add(bench, "reads with token and rule, uncached, 64 connections".to_owned(), &read, None);
    add(bench, format!("logins, {PASSWORD_THREADS} connections"), &compared, None);
    bench.report.add(Row::new("  p50", compared.ours.p50_ms, "ms").against("hello", compared.theirs.p50_ms));
    bench.report.note(format!(
        "a login takes one argon2id of {PASSWORD_MEMORY_KIB} KiB, {PASSWORD_PASSES} passes, 1 lane; {PASSWORD_THREADS} are made \
         at once; its answer has {login} bytes"
    ));
    Ok(())
}

fn add(bench: &mut Bench, what: String, Compared { ours, theirs, ratio }: &Compared, least: Option<f64>) {
    let row = Row::new(what, ours.per_second, "1/s").paired("hello", theirs.per_second, *ratio);
    bench.report.add(match least {
        Some(least) => row.limit(Limit::Ratio(least)),
        None => row,
    });
    bench.report.add(Row::new("  server CPU each", ours.cpu_us, "µs").against("hello", theirs.cpu_us));
    bench.report.add(Row::new("  p99", ours.p99_ms, "ms").against("hello", theirs.p99_ms));
}

/// Both sides get the same requests, the token in them.
fn reads(quick: bool, server: &Millpond, token: &str, hello: &Process) -> Outcome<Compared> {
    let request = orders::read_owned(OWNED, token);
    let theirs = Plan { request: Rc::clone(&request), ..crate::millpond::plan(hello, CONNECTIONS, 200) };
    in_turn(quick, (&server.process, Plan { request, ..server.plan(CONNECTIONS, 200) }), (hello, theirs))
}

/// As many at once as are hashed at once: none waits for another. With the bytes of an answer.
fn logins(quick: bool, server: &Millpond) -> Outcome<(usize, Compared)> {
    let body = credentials("ada");
    let bytes = answer::must(server.process.address, "POST", LOGIN, &body)?.len();
    let hello = hello::start(bytes)?;
    let request = orders::post_to(LOGIN, Template::default().text(&body));
    let plan = Plan { request, ..server.plan(PASSWORD_THREADS, 200) };
    let theirs = Plan { request: orders::read(SMALL), ..crate::millpond::plan(&hello, PASSWORD_THREADS, 200) };
    Ok((bytes, in_turn(quick, (&server.process, plan), (&hello, theirs))?))
}

/// Makes two accounts and the records of the first; its token. The other one is told that there are none.
fn ready(server: &Millpond) -> Outcome<String> {
    let address = server.process.address;
    answer::must(address, "POST", "/api/collections", r#"{"name":"people","type":"auth"}"#)?;
    let mut tokens = Vec::new();
    for name in ["ada", "bob"] {
        let account = format!(r#"{{"id":"{name}","email":"{name}@example.com","password":"correct horse"}}"#);
        answer::must(address, "POST", "/api/collections/people/records", &account)?;
        let granted: serde_json::Value =
            serde_json::from_slice(&answer::must(address, "POST", LOGIN, &credentials(name))?)?;
        tokens.push(granted["token"].as_str().ok_or("a login without a token")?.to_owned());
    }
    answer::must(address, "POST", "/api/collections", &orders::owned())?;
    let fill =
        Plan { request: orders::fill_owned("ada"), requests: OWNED, time: FILL_TIME, ..server.plan(CONNECTIONS, 201) };
    let filled = load::run(&fill)?.answered;
    if filled < OWNED {
        return Err(format!("only {filled} of {OWNED} records filled in").into());
    }
    load::run(&Plan { request: orders::each_owned(&tokens[1]), requests: 1, ..server.plan(1, 404) })?;
    Ok(tokens.swap_remove(0))
}

fn credentials(name: &str) -> String {
    format!(r#"{{"identity":"{name}@example.com","password":"correct horse"}}"#)
}
