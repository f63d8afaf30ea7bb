//! Lists: choosing where to walk (`plan`), walking there (`walk`), and making a page of what is met (`list`). What search
//! finds is asked the same (`among`).
//!
//! The order of a list is total: the sort keys, then the record id in the direction of the last sort key (ascending if
//! there is none). An index's entries end in ids of the direction of its last field, so a walk in either direction
//! yields such an order whole. A record's `place` in it is bytes, which a cursor holds: a page goes on behind a place,
//! not behind a number of records.
//!
//! Invariants: a query is run only under its guard, and never reads more rows than its budget; whatever the plan, the
//! records are those of which rule and filter hold.

mod among;
mod list;
mod place;
mod plan;
mod walk;

pub use among::{Among, among};
pub(super) use list::Asked;
pub use list::{Budget, Maker, Page, each, each_behind, is_match, list, list_of};
pub(super) use place::total_order;
pub use plan::{Order, Plan, Step, Walk};
pub(super) use plan::{Planner, Stretch, Wanted};
pub(super) use walk::{Ground, Matches, Stored};
