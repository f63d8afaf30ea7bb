//! Durable creates, one at a time and 64 at once, held against the disk and against a Redis that syncs as often.

use std::time::Duration;

use crate::load::{Plan, Protocol};
use crate::pairs::{self, Compared, Medians, Side};
use crate::report::{Limit, Row};
use crate::{Bench, Outcome, SMALL, orders, redis};

const CONNECTIONS: usize = 64;

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let (pairs, time) = if bench.quick { (3, 2) } else { (5, 3) };
    let time = Duration::from_secs(time);
    let server = bench.server(SMALL)?;
    let (one, cpu) = server.create(1, time, u64::MAX)?;
    let mut row = Row::new("durable creates, 1 connection", one.per_second(), "1/s");
    if let Some(appends) = bench.appends_per_second {
        row = row.against("raw append", appends);
    }
    bench.report.add(row);
    bench.report.add(Row::new("  server CPU each", cpu * 1e6 / one.answered as f64, "µs"));
    bench.report.add(Row::new("  p50", one.latency.within_ms(0.5), "ms"));
    bench.report.add(Row::new("  p99", one.latency.within_ms(0.99), "ms"));
    bench.report.add(Row::new("  worst", one.latency.worst_ms(), "ms"));

    let server = bench.server(SMALL)?;
    let plan = Plan { request: orders::create(), time, first: 1 << 41, ..server.plan(CONNECTIONS, 201) };
    let ours = Side { plan: plan.clone(), process: &server.process };
    if !redis::present() {
        let ours = pairs::alone(3, ours)?;
        bench.report.note("no redis-server on this machine: creates have no reference");
        many(bench, ours, |row| row);
        return Ok(());
    }
    let redis = redis::start()?;
    let theirs =
        Plan { address: redis.process.address, protocol: Protocol::Redis, request: redis::set(), first: 0, ..plan };
    let theirs = Side { plan: theirs, process: &redis.process };
    let Compared { ours, theirs, ratio } = pairs::compare(pairs, ours, theirs)?;
    bench.report.add(Row::new("Redis SET, appendfsync always, 64 connections", theirs.per_second, "1/s"));
    bench.report.add(Row::new("  server CPU each", theirs.cpu_us, "µs"));
    many(bench, ours, |row| row.paired("Redis", theirs.per_second, ratio).limit(Limit::Ratio(0.6)));
    Ok(())
}

fn many(bench: &mut Bench, ours: Medians, refer: impl FnOnce(Row) -> Row) {
    bench.report.add(refer(Row::new("durable creates, 64 connections", ours.per_second, "1/s")));
    bench.report.add(Row::new("  server CPU each", ours.cpu_us, "µs").limit(Limit::AtMost(45.0)));
    bench.report.add(Row::new("  p50", ours.p50_ms, "ms"));
    bench.report.add(Row::new("  p99", ours.p99_ms, "ms"));
    bench.report.add(Row::new("  worst", ours.worst_ms, "ms"));
}
