//! Lists of twenty by an index, in a small and in a large collection; and the counting of a large part of it.

use std::time::Duration;

use crate::load::Plan;
use crate::pairs::{self, Compared, Side};
use crate::reads::against_hello;
use crate::report::{Limit, Row, thousands};
use crate::{Bench, LARGE, Outcome, SMALL, answer, orders};

pub(crate) fn small(bench: &mut Bench) -> Outcome<()> {
    lists(bench, SMALL)?;
    counted(bench)
}

pub(crate) fn large(bench: &mut Bench) -> Outcome<()> {
    if bench.quick { Ok(()) } else { lists(bench, LARGE) }
}

fn lists(bench: &mut Bench, records: u64) -> Outcome<()> {
    let server = bench.server(records)?;
    let records = thousands(server.acknowledged());
    let path = "/api/collections/orders/records?filter=customer%3D%27c0001%27&sort=-placed&perPage=20&skipTotal=1";
    let page: serde_json::Value = serde_json::from_slice(&answer::must(server.process.address, "GET", path, "")?)?;
    let items = page["items"].as_array().map_or(0, Vec::len);
    if items != 20 {
        return Err(format!("a list has {items} records, not 20").into());
    }
    let Compared { ours, theirs, ratio } = against_hello(bench, |plan| Plan { request: orders::list(), ..plan })?;
    let row = Row::new(format!("list of 20 by an index, {records} records, 64 connections"), ours.per_second, "1/s");
    bench.report.add(row.paired("hello", theirs.per_second, ratio).limit(Limit::Ratio(0.3)));
    bench.report.add(Row::new("  server CPU each", ours.cpu_us, "µs").limit(Limit::AtMost(45.0)));
    bench.report.add(Row::new("  p99", ours.p99_ms, "ms").against("hello", theirs.p99_ms));
    // No answer is kept, but the records are, where they have room.
    let Compared { ours, theirs, ratio } = against_hello(bench, |plan| Plan { request: orders::new_list(), ..plan })?;
    let row = Row::new(format!("  each with a new filter text, {records} records"), ours.per_second, "1/s");
    bench.report.add(row.paired("hello", theirs.per_second, ratio).limit(Limit::Ratio(0.3)));
    bench.report.add(Row::new("  server CPU each", ours.cpu_us, "µs").limit(Limit::AtMost(45.0)));
    Ok(())
}

fn counted(bench: &mut Bench) -> Outcome<()> {
    let server = bench.server(SMALL)?;
    let matches = server.total(orders::PAID)?;
    let plan = Plan { request: orders::counted(), time: Duration::from_secs(1), ..server.plan(1, 200) };
    let one = pairs::alone(3, Side { plan, process: &server.process })?;
    let row = Row::new(format!("list with totalItems over {matches} matches, first time"), one.p50_ms, "ms");
    bench.report.add(row.limit(Limit::AtMost(3.0)));
    bench.report.add(Row::new("  server CPU each", one.cpu_us, "µs"));
    Ok(())
}
