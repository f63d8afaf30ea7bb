//! A server killed before its first checkpoint by bytes: it starts by replaying all the log it has.

use std::time::Duration;

use crate::millpond::Millpond;
use crate::report::{Limit, Row, thousands};
use crate::{Bench, Outcome};

/// Log to replay, bytes, in full and quick: less than brings a checkpoint.
const LOG_BYTES: [u64; 2] = [50 << 20, 20 << 20];
const PIECE: u64 = 10_000;
const PIECES_MAX: usize = 50;
const CONNECTIONS: usize = 64;

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let log_bytes = LOG_BYTES[usize::from(bench.quick)];
    let mut server = Millpond::defined()?;
    for _ in 0..PIECES_MAX {
        server.create(CONNECTIONS, Duration::from_secs(30), PIECE)?;
        if server.log_bytes()? >= log_bytes {
            break;
        }
    }
    let (mib, wanted) = (server.log_bytes()? as f64 / (1 << 20) as f64, server.acknowledged());
    let (server, took) = server.restart()?;
    let cpu = server.process.cpu_seconds()?;
    let found = server.total("")?;
    if found != wanted {
        return Err(format!("{wanted} records were acknowledged, {found} are there after kill -9").into());
    }
    let seconds = took.as_secs_f64();
    let row = Row::new(format!("replay of {mib:.0} MiB of log, {} records", thousands(wanted)), mib / seconds, "MiB/s");
    bench.report.add(row.limit(Limit::AtLeast(30.0)));
    bench.report.add(Row::new("  for each second of CPU", mib / cpu, "MiB"));
    bench.report.add(Row::new("  start after kill -9, for each 100 MiB of log", seconds * 100.0 / mib, "s"));
    let row = Row::new("  start after kill -9, all of it", seconds, "s");
    bench.report.add(row.limit(Limit::AtMost(3.0)));
    Ok(())
}
