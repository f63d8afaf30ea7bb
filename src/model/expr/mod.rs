//! The expression language, for filters, rules, checks and computed fields: text becomes tokens (`lex`), tokens a tree
//! (`parse`, `tree`); with a [`Scope`] names and types are checked and the tree becomes a [`Program`] (`compile`,
//! `names`, `functions`), which evaluates a stored record as it is, without making JSON of it (`eval`, `track`, `call`).
//! Texts that come again are compiled once ([`Programs`]).
//!
//! Invariants. Pure: time, request and other records come in with [`Input`] and [`Relations`]. Bounded: text and nesting
//! when read, steps when evaluated. A comparison is true or false, never neither: with null all are false but `= null`
//! and `!= null`, and so `!` of one is true; a condition that is null does not hold.

mod cache;
mod call;
mod compile;
mod dates;
mod dig;
mod eval;
mod functions;
mod input;
mod lex;
mod like;
mod names;
mod node;
mod operand;
mod parse;
mod program;
mod shape;
mod spans;
mod split;
mod track;
mod tree;
mod types;

#[cfg(test)]
mod tests;

pub use cache::Programs;
pub use input::{Caller, Exhausted, Input, NoRelations, Relations, Row, Scope};
pub use node::Hop;
pub use operand::elements;
pub use parse::parse;
pub use program::{Program, Uses};
pub use shape::Shape;
pub use spans::{Cut, Span, Spans};
pub use split::{Parts, parts};
pub use tree::{Arithmetic, Expr, ExprKind, Modifier, Name, Sign};
pub use types::{Many, Scalar, Type};

use crate::error::Error;

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

    /// As an answer about the input called `what`: `Invalid` with that code, the place as a column from 1.
    pub fn error(&self, what: &str, code: &'static str) -> Error {
        Error::invalid(format!("{what}: column {}: {}", self.at + 1, self.message)).code(code)
    }
}
