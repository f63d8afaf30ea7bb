//! A query as the service asks it. Pure values; planning and running one is `state::query`.

use std::cmp::Ordering;

use crate::id::{CollectionId, FieldId, Seq};
use crate::model::guard::Guard;
use crate::model::predicate::Predicate;
use crate::model::schema::Collection;

/// A list request against one schema version.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Of which collection.
    pub collection: CollectionId,
    /// The definition that names were resolved with.
    pub schema: Seq,
    /// What the caller may see.
    pub guard: Guard,
    /// What holds of each; all, if there is none.
    pub filter: Option<Predicate>,
    /// In this order, then by id, in the direction of the last of them; by id ascending if there is none.
    pub sort: Vec<SortKey>,
    /// Behind this place, which a page of the same query ended at.
    pub after: Option<Box<[u8]>>,
    /// Matches to leave out first.
    pub offset: usize,
    /// Records wanted at most, 1 to `limits::PAGE_MAX`.
    pub limit: usize,
    /// Whether all matches are counted.
    pub count: bool,
}

impl Query {
    /// For all records of a collection of which a filter holds, by id.
    pub fn of_all(collection: &Collection, guard: Guard, filter: Option<Predicate>) -> Query {
        Query {
            collection: collection.id,
            schema: collection.version,
            guard,
            filter,
            sort: Vec::new(),
            after: None,
            offset: 0,
            limit: usize::MAX,
            count: false,
        }
    }
}

/// What a record is compared or sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// `10 < total` is `total > 10`.
    #[must_use]
    pub fn mirrored(self) -> Comparator {
        match self {
            Comparator::Less => Comparator::Greater,
            Comparator::LessOrEqual => Comparator::GreaterOrEqual,
            Comparator::Greater => Comparator::Less,
            Comparator::GreaterOrEqual => Comparator::LessOrEqual,
            same => same,
        }
    }

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
