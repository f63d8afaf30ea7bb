//! An index built on many records while clients write: how long it takes, and what the writers notice of it.

use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::quiet::{CONNECTIONS, Quiet};
use crate::report::{Limit, Row, thousands};
use crate::{Bench, LARGE, Outcome, SMALL, answer};

const COLLECTION: &str = "/api/collections/orders";
/// Time that a build may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let records = if bench.quick { SMALL } else { LARGE };
    let server = bench.server(records)?;
    let address = server.process.address;
    // What the load costs by itself, before and after.
    let mut without = Quiet::default();
    without.stretch(server)?;
    let held = server.acknowledged();
    let mut wanted: serde_json::Value = serde_json::from_slice(&answer::must(address, "GET", COLLECTION, "")?)?;
    let mut indexes = wanted["indexes"].take();
    let list = indexes.as_array_mut().ok_or("no indexes")?;
    list.push(serde_json::json!({"name": "by_note", "fields": ["note"]}));
    let began = Instant::now();
    answer::must(address, "PATCH", COLLECTION, &serde_json::json!({ "indexes": indexes }).to_string())?;
    let announced = began.elapsed();
    let (mut meanwhile, mut worst_p99, mut creates, mut stretches) = (Histogram::default(), 0.0_f64, 0.0, 0.0);
    while building(address)? {
        if began.elapsed() > PATIENCE {
            return Err(format!("an index of {held} records is not built within {PATIENCE:?}").into());
        }
        let (during, _) = server.create(CONNECTIONS, Duration::from_secs(1), u64::MAX)?;
        meanwhile.add(&during.latency);
        worst_p99 = worst_p99.max(during.latency.within_ms(0.99));
        creates += during.per_second();
        stretches += 1.0;
    }
    let seconds = began.elapsed().as_secs_f64();
    without.stretch(server)?;
    let (quiet_creates, quiet) = (without.per_second(), without.latency.within_ms(0.99));
    bench.report.add(Row::new(format!("index built on {} records under load", thousands(held)), seconds, "s"));
    bench.report.add(Row::new("  its PATCH was answered in", announced.as_secs_f64() * 1e3, "ms"));
    if stretches > 0.0 {
        let row = Row::new("  creates meanwhile", creates / stretches, "1/s");
        bench.report.add(row.against("without", quiet_creates));
        let p99 = meanwhile.within_ms(0.99);
        bench.report.add(Row::new("  p99 of a create meanwhile", p99, "ms").against("without", quiet));
        bench.report.add(Row::new("  p99 over that without", p99 / quiet, "").limit(Limit::AtMost(2.0)));
        bench.report.add(Row::new("  p99 in the worst second", worst_p99, "ms").against("without", quiet));
        let row = Row::new("  worst create meanwhile", meanwhile.worst_ms(), "ms");
        bench.report.add(row.against("without", without.latency.worst_ms()));
    }
    Ok(())
}

fn building(address: std::net::SocketAddr) -> Outcome<bool> {
    let definition: serde_json::Value = serde_json::from_slice(&answer::must(address, "GET", COLLECTION, "")?)?;
    let indexes = definition["indexes"].as_array().ok_or("no indexes")?;
    let index = indexes.iter().find(|index| index["name"] == "by_note").ok_or("the index is not there")?;
    match index["state"].as_str() {
        Some("failed") => Err("the index failed".into()),
        state => Ok(state == Some("building")),
    }
}
