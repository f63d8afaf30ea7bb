//! The types of the language, and which fit together.

use std::fmt;

use crate::model::schema::FieldKind;

/// What a value is, or each of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Nothing but null.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A moment.
    Date,
    /// Not known before it is there: json, and what a request brings.
    Any,
}

/// How many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// One.
    One,
    /// A list that can be compared as a whole.
    Whole,
    /// A list whose elements are compared one by one: `:each`, or a path through a list.
    Spread,
}

/// A type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    /// Of each element.
    pub of: Scalar,
    /// How many.
    pub many: Many,
}

impl Type {
    pub(super) const NULL: Type = Type::one(Scalar::Null);
    pub(super) const BOOL: Type = Type::one(Scalar::Bool);
    pub(super) const NUMBER: Type = Type::one(Scalar::Number);
    pub(super) const TEXT: Type = Type::one(Scalar::Text);
    pub(super) const DATE: Type = Type::one(Scalar::Date);
    pub(super) const ANY: Type = Type::one(Scalar::Any);

    pub(super) const fn one(of: Scalar) -> Type {
        Type { of, many: Many::One }
    }

    pub(super) fn is_one(self) -> bool {
        self.many == Many::One
    }

    /// The type of a field's value.
    pub(super) fn of_field(kind: &FieldKind) -> Type {
        let of = match kind {
            FieldKind::Text { .. }
            | FieldKind::Select { .. }
            | FieldKind::Relation { .. }
            | FieldKind::Email {}
            | FieldKind::Url {}
            | FieldKind::Password { .. }
            | FieldKind::Secret {}
            | FieldKind::Editor { .. } => Scalar::Text,
            FieldKind::Number { .. } => Scalar::Number,
            FieldKind::Bool {} => Scalar::Bool,
            FieldKind::Date { .. } | FieldKind::Autodate { .. } => Scalar::Date,
            FieldKind::Json { .. } | FieldKind::GeoPoint {} => Scalar::Any,
        };
        Type { of, many: if kind.is_list() { Many::Whole } else { Many::One } }
    }

    /// Whether a value of this type may stand where one such `wanted` is taken.
    pub(super) fn fits(self, wanted: Scalar) -> bool {
        self.is_one() && self.of.fits(wanted)
    }
}

impl Scalar {
    pub(crate) fn fits(self, wanted: Scalar) -> bool {
        self == wanted || wanted == Scalar::Any || matches!(self, Scalar::Any | Scalar::Null)
    }

    /// The one type of values of both, if there is one.
    pub(crate) fn joined(self, other: Scalar) -> Option<Scalar> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Scalar::Null, known) | (known, Scalar::Null) => Some(known),
            (Scalar::Any, _) | (_, Scalar::Any) => Some(Scalar::Any),
            _ => None,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scalar::Null => "null",
            Scalar::Bool => "true or false",
            Scalar::Number => "a number",
            Scalar::Text => "a text",
            Scalar::Date => "a date",
            Scalar::Any => "any value",
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, list) = match self.of {
            Scalar::Null => ("null", "a list"),
            Scalar::Bool => ("true or false", "a list of true or false"),
            Scalar::Number => ("a number", "a list of numbers"),
            Scalar::Text => ("a text", "a list of texts"),
            Scalar::Date => ("a date", "a list of dates"),
            Scalar::Any => ("any value", "a list"),
        };
        f.write_str(if self.is_one() { one } else { list })
    }
}
