//! Interleaved pairs: ours, theirs, ours, theirs, so that what else the machine does falls on both. A pair's ratio is
//! its own; of all pairs the medians are told.

use std::time::Duration;

use crate::Outcome;
use crate::load::{self, Plan};
use crate::process::Process;

/// One side: the load on it, and the process whose CPU time counts.
pub(crate) struct Side<'a> {
    pub(crate) plan: Plan,
    pub(crate) process: &'a Process,
}

/// Medians of one side.
pub(crate) struct Medians {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) worst_ms: f64,
}

/// Medians of both, and of the pairs' ratios of requests a second, ours to theirs.
pub(crate) struct Compared {
    pub(crate) ours: Medians,
    pub(crate) theirs: Medians,
    pub(crate) ratio: f64,
}

/// Time that a side runs unmeasured at first.
const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) fn compare<'a>(pairs: usize, mut ours: Side<'a>, mut theirs: Side<'a>) -> Outcome<Compared> {
    for side in [&mut ours, &mut theirs] {
        let measured = load::run(&Plan { time: WARM_UP, ..side.plan.clone() })?;
        side.plan.first += measured.answered;
    }
    let (mut our_slices, mut their_slices) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        our_slices.push(slice(&mut ours)?);
        their_slices.push(slice(&mut theirs)?);
    }
    let ratios = our_slices.iter().zip(&their_slices).map(|(our, their)| our.per_second / their.per_second);
    let ratio = median(ratios.collect());
    Ok(Compared { ours: medians(&our_slices), theirs: medians(&their_slices), ratio })
}

/// One side alone, as `compare` takes it.
pub(crate) fn alone(slices: usize, mut side: Side<'_>) -> Outcome<Medians> {
    let measured = load::run(&Plan { time: WARM_UP, ..side.plan.clone() })?;
    side.plan.first += measured.answered;
    let slices: Outcome<Vec<_>> = (0..slices).map(|_| slice(&mut side)).collect();
    Ok(medians(&slices?))
}

fn slice(side: &mut Side<'_>) -> Outcome<Medians> {
    let cpu = side.process.cpu_seconds()?;
    let measured = load::run(&side.plan)?;
    let cpu = side.process.cpu_seconds()? - cpu;
    side.plan.first += measured.answered;
    Ok(Medians {
        per_second: measured.per_second(),
        cpu_us: cpu * 1e6 / measured.answered as f64,
        p50_ms: measured.latency.within_ms(0.5),
        p99_ms: measured.latency.within_ms(0.99),
        worst_ms: measured.latency.worst_ms(),
    })
}

fn medians(slices: &[Medians]) -> Medians {
    let of = |what: fn(&Medians) -> f64| median(slices.iter().map(what).collect());
    Medians {
        per_second: of(|slice| slice.per_second),
        cpu_us: of(|slice| slice.cpu_us),
        p50_ms: of(|slice| slice.p50_ms),
        p99_ms: of(|slice| slice.p99_ms),
        worst_ms: slices.iter().map(|slice| slice.worst_ms).fold(0.0, f64::max),
    }
}

/// The middle one; of an even number the upper of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
