//! The price of what is left to choose from.

use crate::error::Result;
use crate::limits;
use crate::model::query::Operand;
use crate::model::schema::Collection;
use crate::state::lookup;

use super::candidates::Candidate;
use super::{Order, Planner, Wanted};

/// Candidates whose entries are counted.
const COUNTED_MAX: usize = 4;

impl Planner<'_> {
    /// The cheapest, and how many entries were counted to know.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub(super) fn choose(
        &self,
        collection: &Collection,
        mut candidates: Vec<Candidate>,
        wanted: &Wanted<'_>,
    ) -> Result<(Candidate, usize)> {
        if candidates.len() <= 1 {
            return Ok((candidates.pop().unwrap_or_else(Candidate::nowhere), 0));
        }
        let tally = lookup::tally(self.read, collection.id, collection.generation)?;
        let all = usize::try_from(tally.count).unwrap_or(usize::MAX);
        let (least, most) = limits::PLAN_PROBE;
        let cap = ((wanted.rows as f64 * all as f64).sqrt() as usize).clamp(least, most);
        candidates.sort_by_key(|one| std::cmp::Reverse(one.rank()));
        // The narrow ones come first. Few of them are worth counting; the others need none.
        let narrow = candidates.iter().take_while(|one| one.is_narrow()).count();
        candidates.drain(narrow.min(COUNTED_MAX)..narrow);
        let (mut probed, mut matches) = (0, all);
        let mut entries = Vec::with_capacity(candidates.len());
        for one in &candidates {
            let counted = if one.is_narrow() { self.probe(one, cap)? } else { all };
            probed += if one.is_narrow() { counted } else { 0 };
            // Behind the bound may be anything. The worst of it is assumed of a walk that would end early.
            let unknown = counted == cap && one.is_narrow();
            let worst = unknown && one.order > Order::Sorted && !wanted.count;
            entries.push(Entries { counted: if worst { all } else { counted }, unknown });
            matches = matches.min(counted);
        }
        let matches = matches.max(1);
        let price = |(one, entries): (&Candidate, Entries)| price(one, entries, matches, wanted);
        let prices: Vec<f64> = candidates.iter().zip(entries).map(price).collect();
        let best = (0..candidates.len()).min_by(|a, b| prices[*a].total_cmp(&prices[*b])).unwrap_or(0);
        Ok((candidates.swap_remove(best), probed))
    }

    /// Entries of a candidate's stretches, `cap` at most.
    fn probe(&self, candidate: &Candidate, cap: usize) -> Result<usize> {
        let mut counted = 0;
        for stretch in candidate.walks.iter().flat_map(|walk| &walk.stretches) {
            for pair in self.read.scan(&stretch.from, &stretch.to, false)?.take(cap - counted) {
                pair?;
                counted += 1;
            }
            self.allowance.in_time()?;
            if counted >= cap {
                break;
            }
        }
        Ok(counted)
    }
}

/// How many entries a candidate has, as far as is known.
#[derive(Clone, Copy)]
struct Entries {
    counted: usize,
    /// Whether there may be more.
    unknown: bool,
}

/// In rows: an entry without its row is a fraction of one, the beginning of a scan some.
fn price(candidate: &Candidate, entries: Entries, matches: usize, wanted: &Wanted<'_>) -> f64 {
    const ENTRY: f64 = 0.2;
    const SCAN: f64 = 3.0;
    const SORTED: f64 = 1.2;
    let Entries { counted, unknown } = entries;
    let entries = counted as f64;
    let by_id = wanted.order.first().is_some_and(|part| part.operand == Operand::Id);
    let each = if candidate.covered { ENTRY } else { 1.0 };
    let scans = SCAN * candidate.stretches() as f64;
    match candidate.order {
        // More of them than were counted: dear enough to lose against a walk that yields the order.
        Order::Sorted if unknown => scans + entries * SORTED,
        Order::Sorted => scans + entries * if candidate.covered && by_id { 2.0 * ENTRY } else { SORTED },
        _ if wanted.count => scans + entries * each,
        _ => {
            let share = if candidate.covered { 1.0 } else { entries / matches as f64 };
            scans + entries.min(wanted.rows as f64 * share.max(1.0))
        }
    }
}
