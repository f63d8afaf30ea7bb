//! What the disk gives: 16 KB written and made durable on a zero-filled file, one after another, as a log does it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::report::Row;
use crate::{Bench, Outcome};

const BLOCK: usize = 16 << 10;
const FILE_BYTES: u64 = 64 << 20;

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let seconds = if bench.quick { 2 } else { 5 };
    let latency = appends(Duration::from_secs(seconds))?;
    let per_second = latency.count() as f64 / seconds as f64;
    bench.appends_per_second = Some(per_second);
    bench.report.add(Row::new("raw append of 16 KB + fdatasync", per_second, "1/s"));
    bench.report.add(Row::new("  median", latency.within_ms(0.5), "ms"));
    bench.report.add(Row::new("  p99", latency.within_ms(0.99), "ms"));
    Ok(())
}

fn appends(time: Duration) -> Outcome<Histogram> {
    let dir = crate::folder()?;
    let mut file = OpenOptions::new().create_new(true).read(true).write(true).open(dir.path().join("segment"))?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    let block = vec![b'x'; BLOCK];
    let mut latency = Histogram::default();
    let end = Instant::now() + time;
    for at in (0..FILE_BYTES).step_by(BLOCK).cycle() {
        let began = Instant::now();
        if began >= end {
            break;
        }
        file.write_all_at(&block, at)?;
        file.sync_data()?;
        latency.record(began.elapsed());
    }
    Ok(latency)
}
