//! Reads of one record, held against a bare hyper server that answers as many bytes.

use std::time::Duration;

use crate::load::Plan;
use crate::millpond::Millpond;
use crate::pairs::{self, Compared, Side};
use crate::process::Process;
use crate::report::{Limit, Row, thousands};
use crate::{Bench, Outcome, SMALL, answer, hello, millpond, orders};

pub(crate) const CONNECTIONS: usize = 64;

/// Records that are asked for again and again, few enough for all their answers to be kept.
const HOT: u64 = 10_000;

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let Compared { ours, theirs, ratio } = against_hello(bench, |plan| Plan { request: orders::read(HOT), ..plan })?;
    bench.report.add(Row::new("bare hyper hello, 64 connections", theirs.per_second, "1/s"));
    bench.report.add(Row::new("  server CPU each", theirs.cpu_us, "µs"));
    let row =
        Row::new(format!("point reads of {} records, cached, 64 connections", thousands(HOT)), ours.per_second, "1/s");
    bench.report.add(row.paired("hello", theirs.per_second, ratio).limit(Limit::Ratio(0.85)));
    bench.report.add(Row::new("  server CPU each", ours.cpu_us, "µs").limit(Limit::AtMost(11.0)));
    bench.report.add(Row::new("  p99", ours.p99_ms, "ms").against("hello", theirs.p99_ms));
    let cached = bench.server.replace(Millpond::uncached()?);
    let measured = uncached(bench);
    bench.server = cached;
    measured
}

fn uncached(bench: &mut Bench) -> Outcome<()> {
    let filled = bench.server(SMALL)?.filled;
    let Compared { ours, theirs, ratio } = against_hello(bench, |plan| Plan { request: orders::read(filled), ..plan })?;
    let row = Row::new("point reads, uncached, 64 connections", ours.per_second, "1/s");
    bench.report.add(row.paired("hello", theirs.per_second, ratio).limit(Limit::Ratio(0.7)));
    bench.report.add(Row::new("  server CPU each", ours.cpu_us, "µs").against("hello", theirs.cpu_us));
    bench.report.add(Row::new("  p99", ours.p99_ms, "ms").against("hello", theirs.p99_ms));
    Ok(())
}

/// The server and hello in turn, each under 64 connections; `complete` says what the server is asked.
pub(crate) fn against_hello(bench: &mut Bench, complete: impl FnOnce(Plan) -> Plan) -> Outcome<Compared> {
    let server = bench.server(SMALL)?.process.address;
    let hello = match bench.hello.take() {
        Some(hello) => hello,
        None => start_hello(server)?,
    };
    let hello = &*bench.hello.insert(hello);
    let server = &bench.server.as_ref().ok_or("no server")?.process;
    let ours = complete(millpond::plan(server, CONNECTIONS, 200));
    let theirs = Plan { request: orders::read(SMALL), ..millpond::plan(hello, CONNECTIONS, 200) };
    in_turn(bench.quick, (server, ours), (hello, theirs))
}

/// A server and its reference in turn, each with its plan.
pub(crate) fn in_turn(quick: bool, ours: (&Process, Plan), theirs: (&Process, Plan)) -> Outcome<Compared> {
    let (pairs, time) = if quick { (3, 1) } else { (5, 2) };
    let time = Duration::from_secs(time);
    let [ours, theirs] = [ours, theirs].map(|(process, plan)| Side { plan: Plan { time, ..plan }, process });
    pairs::compare(pairs, ours, theirs)
}

/// A hello as long as a record of the server.
fn start_hello(server: std::net::SocketAddr) -> Outcome<Process> {
    let record = answer::must(server, "GET", &orders::first(), "")?;
    hello::start(record.len())
}
