//! Lists: choosing how to walk (`plan`) and walking (`list`).
//!
//! The order of a list is total: the sort keys, then the record id in the direction of the last sort key (ascending if
//! there is none). An index's entries end in ids of the direction of its last field, so a walk in either direction
//! yields such an order whole.
//!
//! Invariant: a query is run only under its guard, and never reads more rows than its budget.

mod list;
mod plan;

pub use list::{Budget, Page, list};
pub use plan::plan;
