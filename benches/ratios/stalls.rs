//! Creates for long enough to pass several checkpoints: nobody may wait for one.

use std::time::Duration;

use crate::report::{Limit, Row, thousands};
use crate::{Bench, LARGE, Outcome, SMALL};

const CONNECTIONS: usize = 64;
/// Log after which the server makes its base durable, bytes.
const CHECKPOINT_BYTES: f64 = (64 << 20) as f64;
/// Creates from which a record's bytes of log are known.
const PROBE: u64 = 5_000;
/// Bytes of log of a record, if the log was trimmed under the probe.
const RECORD_BYTES: f64 = 180.0;

pub(crate) fn small(bench: &mut Bench) -> Outcome<()> {
    let (checkpoints, time) = if bench.quick { (1.1, 25) } else { (3.2, 100) };
    stalls(bench, SMALL, 45.0, checkpoints, Duration::from_secs(time))
}

pub(crate) fn large(bench: &mut Bench) -> Outcome<()> {
    if bench.quick {
        return Ok(());
    }
    stalls(bench, LARGE, 50.0, 3.2, Duration::from_secs(100))?;
    let server = bench.server.take().ok_or("no server")?;
    let wanted = server.acknowledged();
    let (server, took) = server.restart()?;
    let row = Row::new(format!("start after kill -9, {} records", thousands(wanted)), took.as_secs_f64(), "s");
    bench.report.add(row.limit(Limit::AtMost(3.0)));
    bench.server = Some(server);
    Ok(())
}

fn stalls(bench: &mut Bench, records: u64, cpu_us: f64, checkpoints: f64, time: Duration) -> Outcome<()> {
    let server = bench.server(records)?;
    let from = server.acknowledged();
    let before = server.log_bytes()? as f64;
    server.create(CONNECTIONS, time, PROBE)?;
    let grown = (server.log_bytes()? as f64 - before) / PROBE as f64;
    let record_bytes = if grown > 100.0 { grown } else { RECORD_BYTES };
    let creates = (checkpoints * CHECKPOINT_BYTES / record_bytes) as u64;
    let (measured, cpu) = server.create(CONNECTIONS, time, creates)?;
    let passed = measured.answered as f64 * record_bytes / CHECKPOINT_BYTES;
    let what = format!("creates through {passed:.1} checkpoints, from {} records", thousands(from));
    bench.report.add(Row::new(what, measured.per_second(), "1/s"));
    let each = cpu * 1e6 / measured.answered as f64;
    bench.report.add(Row::new("  server CPU each", each, "µs").limit(Limit::AtMost(cpu_us)));
    bench.report.add(Row::new("  p50", measured.latency.within_ms(0.5), "ms"));
    bench.report.add(Row::new("  p99", measured.latency.within_ms(0.99), "ms").limit(Limit::AtMost(8.0)));
    bench.report.add(Row::new("  p99.9", measured.latency.within_ms(0.999), "ms"));
    bench.report.add(Row::new("  worst stall", measured.latency.worst_ms(), "ms"));
    Ok(())
}
