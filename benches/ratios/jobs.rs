//! A job that updates many records while clients write: how long it takes, and what the writers notice of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::quiet::{CONNECTIONS, Quiet};
use crate::report::{Limit, Row, thousands};
use crate::{Bench, LARGE, Outcome, SMALL, answer};

/// Time that the job may take.
const PATIENCE: Duration = Duration::from_secs(900);

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let records = if bench.quick { SMALL } else { LARGE };
    let server = bench.server(records)?;
    let address = server.process.address;
    let mut without = Quiet::default();
    without.stretch(server)?;
    let job = json!({"name": "touch", "source": {"collection": "orders"}, "task": {"update": {"total": "total + 1"}}});
    answer::must(address, "POST", "/api/collections/_jobs/records", &job.to_string())?;
    let alone = updated(address, || Ok(()))?;
    let (mut meanwhile, mut creates, mut stretches) = (Histogram::default(), 0.0, 0.0);
    let job = updated(address, || {
        let (during, _) = server.create(CONNECTIONS, Duration::from_secs(1), u64::MAX)?;
        meanwhile.add(&during.latency);
        creates += during.per_second();
        stretches += 1.0;
        Ok(())
    })?;
    without.stretch(server)?;
    let (quiet, p99) = (without.latency.within_ms(0.99), meanwhile.within_ms(0.99));
    let what = format!("records updated by a job, of {}", thousands(alone.records));
    bench.report.add(Row::new(what, alone.per_second(), "1/s"));
    bench.report.add(Row::new("  while 64 clients create", job.per_second(), "1/s"));
    let row = Row::new("  creates meanwhile", creates / stretches, "1/s");
    bench.report.add(row.against("without", without.per_second()));
    bench.report.add(Row::new("  p99 of a create meanwhile", p99, "ms").against("without", quiet));
    bench.report.add(Row::new("  p99 over that without", p99 / quiet, "").limit(Limit::AtMost(2.0)));
    Ok(())
}

struct Updated {
    records: u64,
    seconds: f64,
}

impl Updated {
    fn per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }
}

/// Runs the job to its end, doing something else meanwhile.
fn updated(address: std::net::SocketAddr, mut meanwhile: impl FnMut() -> Outcome<()>) -> Outcome<Updated> {
    let began = Instant::now();
    let run: Value = serde_json::from_slice(&answer::must(address, "POST", "/api/jobs/touch/run", "{}")?)?;
    let target = format!("/api/collections/_runs/records/{}", run["id"].as_str().ok_or("no id")?);
    loop {
        let run: Value = serde_json::from_slice(&answer::must(address, "GET", &target, "")?)?;
        if run["active"].is_null() {
            if run["state"] != "done" || run["failed"] != 0 {
                return Err(format!("the run ends as {run}").into());
            }
            let records = run["done"].as_u64().ok_or("no count")?;
            return Ok(Updated { records, seconds: began.elapsed().as_secs_f64() });
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the run is not over within {PATIENCE:?}: {run}").into());
        }
        meanwhile()?;
        std::thread::sleep(Duration::from_millis(20));
    }
}
