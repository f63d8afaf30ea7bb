//! An "or" as several walks: one for each branch, held to the branch and to what holds beside it.

use crate::error::Result;
use crate::limits;
use crate::model::query::SortKey;
use crate::model::schema::Collection;

use super::candidates::{self, Candidate};
use super::facts::{Fact, Facts, bit};
use super::{Order, Planner};

impl Planner<'_> {
    /// The walks of a fact with branches; `None` where one of them would walk everything.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub(super) fn union(
        &self,
        collection: &Collection,
        facts: &Facts<'_>,
        at: usize,
        order: &[SortKey],
    ) -> Result<Option<Candidate>> {
        let Fact::Branches(branches) = facts.get(at) else { return Ok(None) };
        if branches.len() > limits::PLAN_BRANCHES_MAX {
            return Ok(None);
        }
        let beside = facts.without(at);
        let mut union =
            Candidate { walks: Vec::new(), order: Order::Merged, covered: true, repeats: true, used: bit(at) };
        for branch in *branches {
            // There may be hundreds of such facts, and each branch is held against each index.
            self.allowance.in_time()?;
            let mut facts = beside.clone();
            if !facts.add(branch.parts()) || !self.add_relations(collection, &mut facts)? {
                continue;
            }
            let ways = candidates::by_indexes(collection, &facts, order);
            let best = ways.into_iter().filter(Candidate::is_narrow).max_by_key(Candidate::rank);
            let Some(best) = best else { return Ok(None) };
            union.order = union.order.min(best.order);
            union.covered &= best.covered;
            union.walks.extend(best.walks);
        }
        if union.stretches() > limits::PLAN_WALKS_MAX {
            return Ok(None);
        }
        if union.stretches() > limits::PLAN_MERGED_MAX {
            union.order = Order::Sorted;
        }
        Ok(Some(union))
    }
}
