//! The expression language: text becomes tokens, tokens become a tree. What names mean and which types fit is for those
//! who use the tree; this folder knows no collection.
//!
//! Known so far are comparisons of two terms, joined by `&&` or `and`, with parentheses. Every other form of the
//! language is recognised and refused by name, with its place, so that no text changes its meaning later.

mod lex;
mod parse;

pub use parse::parse;

use std::borrow::Cow;

use crate::model::query::Comparator;

/// A tree. Its depth is at most `limits::EXPRESSION_DEPTH_MAX`.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr<'a> {
    /// All hold.
    All(Vec<Expr<'a>>),
    /// `left comparator right`.
    Compare {
        /// Before the operator.
        left: Term<'a>,
        /// The operator.
        comparator: Comparator,
        /// Behind it.
        right: Term<'a>,
    },
}

/// A name or a literal, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Term<'a> {
    /// Its first byte in the text, from 0.
    pub at: usize,
    /// Which.
    pub kind: TermKind<'a>,
}

/// What a term is.
#[derive(Clone, Debug, PartialEq)]
pub enum TermKind<'a> {
    /// A plain name.
    Name(&'a str),
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other number; finite.
    Number(f64),
    /// A text, its escapes resolved.
    Text(Cow<'a, str>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Why a text is no expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The byte, from 0.
    pub at: usize,
    /// Sentence for people.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Fault {
        Fault { at, message: message.into() }
    }
}
