//! The tree of an expression, as it was written: names are not resolved, types not known.
//!
//! Invariant: its depth is bounded by `limits::EXPRESSION_DEPTH_MAX`, since what can be repeated at one level (`&&`,
//! `||`, sums, products) stands in one node. So those who walk it may recurse.

use std::borrow::Cow;

use crate::model::query::Comparator;

/// A part of an expression, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr<'a> {
    /// The byte, from 0, of its operator; of its first character where it has none.
    pub at: usize,
    /// Which.
    pub kind: ExprKind<'a>,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other number; finite, zero without a sign.
    Number(f64),
    /// A text, its escapes resolved.
    Text(Cow<'a, str>),
    /// `[a, b]`
    List(Vec<Expr<'a>>),
    /// A name with its path and modifier.
    Name(Name<'a>),
    /// `name(arguments)`, perhaps with a path behind it.
    Call {
        /// The function's name.
        name: &'a str,
        /// In order.
        arguments: Vec<Expr<'a>>,
        /// Behind the parenthesis: `.state`, without its dot.
        path: Option<Name<'a>>,
    },
    /// `!a`
    Not(Box<Expr<'a>>),
    /// `-a`
    Negate(Box<Expr<'a>>),
    /// `a && b && …`
    All(Vec<Expr<'a>>),
    /// `a || b || …`
    Any(Vec<Expr<'a>>),
    /// `a = b` and its like.
    Compare {
        /// Before the operator.
        left: Box<Expr<'a>>,
        /// Which.
        sign: Sign,
        /// With a `?` before it: any element will do.
        any: bool,
        /// Behind it.
        right: Box<Expr<'a>>,
    },
    /// `a in b`
    In {
        /// Before the operator.
        left: Box<Expr<'a>>,
        /// Behind it.
        right: Box<Expr<'a>>,
    },
    /// `a + b - c …` or `a * b / c …`: one level of arithmetic, from the left.
    Chain {
        /// The first.
        first: Box<Expr<'a>>,
        /// The others, each with its operator and that one's place.
        rest: Vec<(usize, Arithmetic, Expr<'a>)>,
    },
}

/// `user.name:lower`
#[derive(Clone, Debug, PartialEq)]
pub struct Name<'a> {
    /// Its first byte in the text, from 0.
    pub at: usize,
    /// Names joined by dots, none of them empty.
    pub path: &'a str,
    /// Behind a colon.
    pub modifier: Option<Modifier>,
}

/// What may stand behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modifier {
    /// `:lower`
    Lower,
    /// `:length`
    Length,
    /// `:isset`
    IsSet,
    /// `:changed`
    Changed,
    /// `:each`
    Each,
}

impl Modifier {
    /// The one that a word is.
    pub fn named(word: &str) -> Option<Modifier> {
        Some(match word {
            "lower" => Modifier::Lower,
            "length" => Modifier::Length,
            "isset" => Modifier::IsSet,
            "changed" => Modifier::Changed,
            "each" => Modifier::Each,
            _ => return None,
        })
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// By their order.
    Order(Comparator),
    /// `~`: the text contains the other, or has its form with `%`.
    Like,
    /// `!~`
    NotLike,
}

/// An operator of arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`, also of texts.
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}
