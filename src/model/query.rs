//! A query as the service asks it and as the planner carries it out. Pure values; running one is `state::query`.

use std::cmp::Ordering;

use crate::id::{CollectionId, FieldId, IndexId, Seq};
use crate::model::guard::Guard;
use crate::model::value::Value;

/// A list request against one schema version.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Of which collection.
    pub collection: CollectionId,
    /// The definition that names were resolved with.
    pub schema: Seq,
    /// What the caller may see.
    pub guard: Guard,
    /// All of these hold.
    pub filter: Vec<Comparison>,
    /// In this order, then by id, in the direction of the last of them; by id ascending if there is none.
    pub sort: Vec<SortKey>,
    /// Matches to leave out first.
    pub offset: usize,
    /// Records wanted at most, 1 to `limits::PAGE_MAX`.
    pub limit: usize,
    /// Whether all matches are counted.
    pub count: bool,
}

/// `field op value`. With null only [`Comparator::Equal`] and [`Comparator::NotEqual`] can be true.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What is looked at.
    pub operand: Operand,
    /// How.
    pub comparator: Comparator,
    /// A literal, already of the operand's type.
    pub value: Value,
}

/// What a record is compared or sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The record's id.
    Id,
    /// A field.
    Field(FieldId),
}

/// The plain comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparator {
    /// Whether it is true of two values that stand in this order.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Comparator::Equal => order.is_eq(),
            Comparator::NotEqual => order.is_ne(),
            Comparator::Less => order.is_lt(),
            Comparator::LessOrEqual => order.is_le(),
            Comparator::Greater => order.is_gt(),
            Comparator::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// One part of a sort order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// By what.
    pub operand: Operand,
    /// Greatest first.
    pub descending: bool,
}

/// How a query is carried out, as `explain` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The index that is walked; `None` walks the rows by id.
    pub index: Option<IndexId>,
    /// How many leading fields of the index are fixed by an equality.
    pub equal_fields: usize,
    /// Whether the field after them is bounded by a range.
    pub ranged: bool,
    /// Whether the walk goes backwards.
    pub backwards: bool,
    /// Whether the walk yields the wanted order, so that nothing is sorted.
    pub ordered: bool,
    /// Whether index and range decide all of the filter, so that no row is read to count.
    pub covered: bool,
}
