//! Aggregates over records: a source planned (`way`), its ranges of keys walked (`scan`), what is measured kept by groups
//! (`groups`, `accumulate`, `exact`), and the groups of several ranges brought together.
//!
//! A source may be walked in any number of pieces, on any threads: each puts what it meets into [`Groups`] of its own, and
//! those merge. Invariant: what comes of it is the same however it was cut, to the last bit.

mod accumulate;
mod exact;
mod groups;
mod scan;
mod way;

use std::sync::Arc;

use crate::model::aggregate::Grouping;
use crate::model::expr::Input;
use crate::model::predicate::{Request, Sight};
use crate::model::query::Query;
use crate::model::schema::Schema;

pub use groups::{Groups, Held};
pub use scan::{Bounds, Watch, counted, scan};
pub use way::{Range, Way, way};

/// A source resolved against one view.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which records; what it says of sort and page means nothing here.
    pub query: Query,
    /// All definitions, as they were when it was compiled.
    pub schema: Arc<Schema>,
    /// What is made of them.
    pub grouping: Grouping,
    /// What its expressions may ask for.
    pub request: Arc<Request>,
    /// What they may look at of other records.
    pub sight: Sight,
}

impl Source {
    /// What its expressions are evaluated with.
    pub fn input(&self) -> Input<'_> {
        self.request.input(self.request.now, &[])
    }
}
