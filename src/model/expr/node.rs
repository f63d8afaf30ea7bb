//! The compiled form: a tree of nodes in which names are ids, literals have their types, patterns are ready, and what is
//! constant has been evaluated.

use crate::id::{CollectionId, FieldId};
use crate::model::pattern::Pattern;
use crate::model::query::Comparator;
use crate::model::value::Value;

use super::functions::Function;
use super::like::Like;
use super::tree::{Arithmetic, Sign};
use super::types::Scalar;

/// A compiled part.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Constant(Value),
    /// From the record that is looked at, or from the one before the update.
    Track(From, Track),
    /// From the caller's own record, by the collection that it lies in; its id, where none is named.
    Caller(Box<[(CollectionId, Track)]>),
    Body(Box<str>, Keys),
    Query(Box<str>),
    Method,
    Lookup(Box<Lookup>),
    Moment(Moment),
    List(Box<[Node]>),
    Not(Box<Node>),
    All(Box<[Node]>),
    Any(Box<[Node]>),
    /// A field of one value against a constant of its own type: by far the most frequent.
    Test(FieldId, Comparator, Value),
    Compare(Box<Compare>),
    IsNull {
        of: Box<Node>,
        any: bool,
        negated: bool,
    },
    Like(Box<LikeTest>),
    /// One value among constants, which are sorted.
    OneOf(Box<Node>, Box<[Value]>),
    In(Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Chain(Box<Node>, Box<[(Arithmetic, Node)]>),
    Call(Function, Box<[Node]>),
    Matches(Box<Node>, Box<Pattern>),
    IsSetInBody(Box<str>),
    IsSetInQuery(Box<str>),
    Changed(FieldId),
    ChangedByBody(Box<str>, FieldId),
    /// A text of the request as what it is compared with.
    Read(Scalar, Box<Node>),
}

/// Names into json, or an element's number.
pub(super) type Keys = Box<[Box<str>]>;

/// Which image of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Row,
    Old,
}

/// A way from a record to a value: over relations, to a field, into its json.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Track {
    pub(super) hops: Box<[Hop]>,
    pub(super) end: End,
    pub(super) keys: Keys,
    /// Whether a hop may lead to more than one record.
    pub(super) many: bool,
}

/// A step from a record to others.
#[derive(Clone, Debug, PartialEq)]
pub enum Hop {
    /// Over a relation to the records that it names.
    To {
        /// The relation.
        field: FieldId,
        /// Where those lie.
        collection: CollectionId,
    },
    /// To the records whose relation names this one.
    From {
        /// Where those lie.
        collection: CollectionId,
        /// Their relation.
        field: FieldId,
    },
}

/// Where a track ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Field(FieldId),
    Id,
    /// `collectionId`, `collectionName`.
    Constant(Value),
}

#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) collection: CollectionId,
    pub(super) key: Node,
    pub(super) track: Track,
}

#[derive(Clone, Debug)]
pub(super) struct Compare {
    pub(super) comparator: Comparator,
    pub(super) any: bool,
    /// Whether two lists are compared as wholes.
    pub(super) whole: bool,
    pub(super) left: Node,
    pub(super) right: Node,
}

#[derive(Clone, Debug)]
pub(super) struct LikeTest {
    pub(super) left: Node,
    pub(super) sign: Sign,
    pub(super) any: bool,
    /// Whether the elements of a list are asked one by one.
    pub(super) spread: bool,
    pub(super) pattern: LikePattern,
}

#[derive(Clone, Debug)]
pub(super) enum LikePattern {
    Ready(Like),
    Made(Node),
}

/// `@now` and the names made from it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Now,
    Yesterday,
    Tomorrow,
    Second,
    Minute,
    Hour,
    Weekday,
    Day,
    Month,
    Year,
    TodayStart,
    TodayEnd,
    MonthStart,
    MonthEnd,
    YearStart,
    YearEnd,
}

impl Track {
    /// The field of the record itself that it begins with, if it is one.
    pub(super) fn first_field(&self) -> Option<FieldId> {
        match (self.hops.first(), &self.end) {
            (Some(Hop::To { field, .. }), _) | (None, End::Field(field)) => Some(*field),
            _ => None,
        }
    }

    /// A field of the record itself, whole.
    pub(super) fn plain(&self) -> Option<FieldId> {
        match self.end {
            End::Field(field) if self.hops.is_empty() && self.keys.is_empty() => Some(field),
            _ => None,
        }
    }
}

impl Node {
    pub(super) fn constant(&self) -> Option<&Value> {
        match self {
            Node::Constant(value) => Some(value),
            _ => None,
        }
    }
}
