//! An empty folder's first start, up to the first answer; and what the server then holds while idle.

use std::thread;
use std::time::{Duration, Instant};

use crate::millpond::Millpond;
use crate::pairs::median;
use crate::report::{Limit, Row};
use crate::{Bench, Outcome, answer};

const STARTS: usize = 11;
/// Time until memory is looked at.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let mut times = Vec::with_capacity(STARTS);
    let mut idle = None;
    for _ in 0..STARTS {
        let began = Instant::now();
        let server = Millpond::empty()?;
        answer::must(server.process.address, "GET", "/api/health", "")?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        if idle.is_none() {
            thread::sleep(IDLE);
            idle = Some(server.process.resident_bytes()?);
        }
    }
    let row = Row::new("start of an empty folder to the first answer", median(times), "ms");
    bench.report.add(row.limit(Limit::AtMost(20.0)));
    if let Some(bytes) = idle {
        let row = Row::new("memory when idle", bytes as f64 / (1 << 20) as f64, "MiB");
        bench.report.add(row.limit(Limit::AtMost(30.0)));
    }
    Ok(())
}
