//! Choosing where to walk.
//!
//! Rule and filter become one shape (`model::expr::Shape`), whose parts all hold: the facts. A **candidate** is a way to
//! meet all records that may match, each fact either used by it or left to be asked of the records:
//!
//! - an index (`candidates`): its leading fields held to single values, several of them as several stretches, then the
//!   next field held to spans; or all of it, where its order is the wanted one;
//! - the rows by id, likewise;
//! - several of these joined (`union`), one for each branch of an "or";
//! - what a relation leads to (`relations`) is looked up first, by an index over there, to a bounded number of ids; these
//!   then are a fact about the relation's field. It is tried only where no index is held to a single value without it.
//!
//! One candidate is better than another at once if it uses the same facts and more, its order is no worse, and it leaves
//! nothing open that the other decides. Where several are left their entries are counted, up to a bound, and rows are
//! the price: of a walk in another order all of its range; of one in the wanted order what fills a page, which is the
//! share of the records that match at most. The bound is the root of (records wanted × records there are), within
//! `limits::PLAN_PROBE`: with more entries than that a walk in the wanted order is the cheaper one, if matches lie
//! anywhere in it, and counting never costs more than the walk that it decides on.

mod bounds;
mod candidates;
mod choose;
mod facts;
mod relations;
mod union;

use std::cell::{Cell, RefCell};

use crate::error::Result;
use crate::id::IndexId;
use crate::limits;
use crate::model::expr::Shape;
use crate::model::query::{Operand, SortKey};
use crate::model::schema::{Collection, Schema};
use crate::model::value::Value;
use crate::state::related::Allowance;
use crate::state::stack::Read;

use candidates::Candidate;
use facts::Facts;

/// How a query is carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where is walked; nowhere, if nothing can match.
    pub walks: Vec<Walk>,
    /// How the wanted order comes about.
    pub order: Order,
    /// Whether the walks decide rule and filter, so that no row is read to know.
    pub covered: bool,
    /// Whether a record may be met more than once.
    pub repeats: bool,
    /// What was looked up over relations before.
    pub steps: Vec<Step>,
    /// Entries that were counted to choose.
    pub probed: usize,
}

/// How the wanted order comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// All matches are sorted.
    Sorted,
    /// Each stretch yields it, and they are merged.
    Merged,
    /// One stretch after the other yields it.
    Walked,
}

/// A walk along one index, or the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    /// The index; `None` walks the rows by id.
    pub index: Option<IndexId>,
    /// How many leading fields are held to single values.
    pub equal_fields: usize,
    /// Whether the field after them is held to spans.
    pub ranged: bool,
    /// Whether it goes backwards.
    pub backwards: bool,
    /// What is the same for all matches.
    pub(super) fixed: Vec<(Operand, Value)>,
    /// Its stretches, in the order in which they are walked.
    pub(in crate::state) stretches: Vec<Stretch>,
}

impl Walk {
    /// How many stretches it has.
    pub fn stretches(&self) -> usize {
        self.stretches.len()
    }
}

/// A range of keys.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::state) struct Stretch {
    pub(in crate::state) from: Vec<u8>,
    pub(in crate::state) to: Vec<u8>,
    /// What is the same for all matches in it, besides what is for all of the walk.
    pub(super) fixed: Vec<(Operand, Value)>,
}

/// Records looked up on the far side of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Of that collection, by name.
    pub collection: Box<str>,
    /// By that index's name; `None` by id.
    pub index: Option<Box<str>>,
    /// How many; `None` where there were too many to go on with.
    pub found: Option<usize>,
}

/// What is wanted of a list.
pub(in crate::state) struct Wanted<'a> {
    pub(in crate::state) order: &'a [SortKey],
    /// Matches to be met before it ends; all of them, if they are counted.
    pub(in crate::state) rows: usize,
    pub(in crate::state) count: bool,
}

/// Plans over one view.
pub(in crate::state) struct Planner<'a> {
    pub(super) read: &'a dyn Read,
    pub(super) schema: &'a Schema,
    pub(super) allowance: &'a Allowance,
    pub(super) steps: RefCell<Vec<Step>>,
    /// Lookups over relations that may still be tried.
    lookups: Cell<usize>,
}

impl<'a> Planner<'a> {
    pub(in crate::state) fn new(read: &'a dyn Read, schema: &'a Schema, allowance: &'a Allowance) -> Planner<'a> {
        let lookups = Cell::new(limits::PLAN_LOOKUPS_MAX);
        Planner { read, schema, allowance, steps: RefCell::default(), lookups }
    }

    /// How to carry out a list of the records of a shape.
    ///
    /// # Errors
    /// Those of the base; `Unprocessable` over the allowance.
    pub(in crate::state) fn plan(&self, collection: &Collection, shape: &Shape, wanted: &Wanted<'_>) -> Result<Plan> {
        let candidates = match shape {
            Shape::Never => vec![Candidate::nowhere()],
            shape => {
                let mut facts = Facts::of(shape.parts());
                if self.add_relations(collection, &mut facts)? {
                    self.candidates(collection, &facts, wanted.order)?
                } else {
                    vec![Candidate::nowhere()]
                }
            }
        };
        let (best, probed) = self.choose(collection, candidates, wanted)?;
        let Candidate { walks, order, covered, repeats, .. } = best;
        Ok(Plan { walks, order, covered, repeats, steps: self.steps.take(), probed })
    }

    /// All that are worth a thought: of two that use the same facts, one.
    fn candidates(&self, collection: &Collection, facts: &Facts<'_>, order: &[SortKey]) -> Result<Vec<Candidate>> {
        let mut candidates = candidates::by_indexes(collection, facts, order);
        // A union is no better than a walk that is held to single values already.
        if !candidates.iter().any(|one| one.equal_fields() > 0) {
            for at in facts.branchings() {
                if let Some(union) = self.union(collection, facts, at, order)? {
                    candidates.push(union);
                }
            }
        }
        Ok(candidates::undominated(candidates))
    }
}
