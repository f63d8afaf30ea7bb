//! Followers: what one costs its primary, how far it is behind at full write load, how long it takes to be made, and to
//! catch up.
//!
//! Load generator, primary and follower share the machine's cores, so a rate of all three is not one of each alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::histogram::Histogram;
use crate::millpond::Millpond;
use crate::report::{Limit, Row, thousands};
use crate::{Bench, LARGE, Outcome, SMALL, answer};

const CONNECTIONS: usize = 64;
/// Time within which a follower has to come to be level.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let (records, time) = if bench.quick { (SMALL, 3) } else { (LARGE, 10) };
    let time = Duration::from_secs(time);
    let server = bench.server(records)?;
    let (alone, _) = server.create(CONNECTIONS, time, u64::MAX)?;
    let alone_p99 = alone.latency.within_ms(0.99);

    // Made while the primary is written to at full speed.
    let folder = crate::folder()?;
    let began = Instant::now();
    let follower = server.follower(folder.path())?;
    let (during, _) = server.create(CONNECTIONS, time, u64::MAX)?;
    let level = level(server, follower.address)?;
    let made = began.elapsed().as_secs_f64();
    let mut rows = vec![
        Row::new(format!("a follower of {} records made, under writes", thousands(records)), made, "s"),
        Row::new("  level after the writes", level.as_secs_f64(), "s"),
        Row::new("  creates meanwhile", during.per_second(), "1/s").against("alone", alone.per_second()),
        Row::new("  their p99", during.latency.within_ms(0.99), "ms")
            .against("alone", alone_p99)
            .limit(Limit::AtMost(2.0 * alone_p99)),
    ];

    // Behind at full load.
    let over = AtomicBool::new(false);
    let (primary, at) = (server.process.address, follower.address);
    let (lags, with) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| lags(primary, at, &over).map_err(|error| error.to_string()));
        let with = server.create(CONNECTIONS, time, u64::MAX);
        over.store(true, Ordering::Relaxed);
        (watching.join().expect("no panic"), with)
    });
    let ((with, _), lags) = (with?, lags?);
    rows.push(Row::new("creates with a follower", with.per_second(), "1/s").against("alone", alone.per_second()));
    rows.push(Row::new("  it is behind, p50", lags.within_ms(0.5), "ms"));
    rows.push(Row::new("  it is behind, p99", lags.within_ms(0.99), "ms").limit(Limit::AtMost(100.0)));

    // Away and back.
    self::level(server, follower.address)?;
    follower.kill();
    let before = seq(primary)?;
    server.create(CONNECTIONS, time, u64::MAX)?;
    let missed = seq(primary)? - before;
    let began = Instant::now();
    let follower = server.follower(folder.path())?;
    self::level(server, follower.address)?;
    let took = began.elapsed().as_secs_f64();
    rows.push(Row::new(
        format!("catching up with {} entries, with its start", thousands(missed)),
        missed as f64 / took,
        "1/s",
    ));
    follower.kill();
    rows.into_iter().for_each(|row| bench.report.add(row));
    Ok(())
}

fn status(address: SocketAddr) -> Outcome<Value> {
    Ok(serde_json::from_slice(&answer::must(address, "GET", "/api/replication", "")?)?)
}

fn seq(address: SocketAddr) -> Outcome<u64> {
    status(address)?["seq"].as_u64().ok_or_else(|| "a server without a position".into())
}

/// Waits until a follower has all that the server has: how long that took.
fn level(server: &Millpond, follower: SocketAddr) -> Outcome<Duration> {
    let (began, wanted) = (Instant::now(), seq(server.process.address)?);
    while began.elapsed() < PATIENCE {
        // While it starts again on its snapshot, nobody answers.
        if status(follower).is_ok_and(|status| status["state"] == "following" && status["seq"].as_u64() >= Some(wanted))
        {
            return Ok(began.elapsed());
        }
        std::thread::sleep(PAUSE);
    }
    Err("a follower never came to be level".into())
}

/// How long it takes until a follower has what the primary has at a moment, moment by moment.
fn lags(primary: SocketAddr, follower: SocketAddr, over: &AtomicBool) -> Outcome<Histogram> {
    let mut lags = Histogram::default();
    while !over.load(Ordering::Relaxed) {
        let wanted = seq(primary)?;
        let began = Instant::now();
        while seq(follower)? < wanted && began.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
        }
        lags.record(began.elapsed());
        std::thread::sleep(10 * PAUSE);
    }
    Ok(lags)
}
