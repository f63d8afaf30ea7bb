//! A compiled expression, ready to be evaluated over any number of records from any thread.

use crate::id::{CollectionId, FieldId};
use crate::limits;
use crate::model::query;
use crate::model::value::Value;

use super::compile::Compiler;
use super::eval::Machine;
use super::input::{Exhausted, Input, Relations, Row, Scope};
use super::node::{End, From, Node};
use super::tree::Expr;
use super::types::{Scalar, Type};
use super::{Fault, parse};

/// A compiled expression. It belongs to the schema that it was compiled with: field ids stand in it, not names.
#[derive(Clone, Debug)]
pub struct Program {
    root: Node,
    is: Type,
    uses: Uses,
    /// Regular expressions in it.
    patterns: usize,
}

/// What an expression depends on beside the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `@now` and the names made from it: the result may not be kept.
    pub clock: bool,
    /// `@request.…`
    pub request: bool,
    /// `@request.body.…`
    pub body: bool,
    /// `@old.…` and `:changed`.
    pub old: bool,
    /// Fields of the record itself.
    pub fields: Vec<FieldId>,
    /// Other records, of these collections.
    pub collections: Vec<CollectionId>,
}

impl Uses {
    pub(super) fn field(&mut self, id: FieldId) {
        if !self.fields.contains(&id) {
            self.fields.push(id);
        }
    }

    pub(super) fn collection(&mut self, id: CollectionId) {
        if !self.collections.contains(&id) {
            self.collections.push(id);
        }
    }
}

impl Program {
    /// Compiles an expression of any type.
    ///
    /// # Errors
    /// What is wrong with it and where: syntax, an unknown name, types that don't fit, a bound.
    pub fn value_of(scope: Scope<'_>, text: &str) -> Result<Program, Fault> {
        Program::from_tree(scope, &parse(text)?)
    }

    /// Compiles a condition: a filter, a rule, a check.
    ///
    /// # Errors
    /// As [`Program::value_of`]; also where it is not true or false.
    pub fn condition(scope: Scope<'_>, text: &str) -> Result<Program, Fault> {
        Program::condition_from_tree(scope, &parse(text)?)
    }

    /// As [`Program::value_of`], of a tree that was read already.
    ///
    /// # Errors
    /// As there, but for syntax.
    pub fn from_tree(scope: Scope<'_>, tree: &Expr<'_>) -> Result<Program, Fault> {
        let mut compiler = Compiler { scope, uses: Uses::default(), patterns: 0 };
        let typed = compiler.lower(tree)?;
        Ok(Program { root: typed.node, is: typed.is, uses: compiler.uses, patterns: compiler.patterns })
    }

    /// As [`Program::condition`], of a tree that was read already.
    ///
    /// # Errors
    /// As there, but for syntax.
    pub fn condition_from_tree(scope: Scope<'_>, tree: &Expr<'_>) -> Result<Program, Fault> {
        let mut compiler = Compiler { scope, uses: Uses::default(), patterns: 0 };
        let root = compiler.condition(tree)?;
        Ok(Program { root, is: Type::BOOL, uses: compiler.uses, patterns: compiler.patterns })
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// What it gives, besides null.
    pub fn is(&self) -> Type {
        self.is
    }

    /// What it depends on.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// What it takes in memory when made from a text of that length: an estimate, in bytes, on the high side.
    pub(super) fn bytes(&self, text: usize) -> usize {
        // A node is some ten times as long as its text; a pattern keeps states beside its compiled form.
        let pattern = limits::EXPRESSION_PATTERN_COMPILED_BYTES_MAX + limits::PATTERN_KEPT_BYTES;
        512 + 16 * text + pattern * self.patterns
    }

    /// Its value, where that is always the same.
    pub fn constant(&self) -> Option<&Value> {
        self.root.constant()
    }

    /// What of the record itself it is, as it is stored; of json that is not its value.
    pub fn plain(&self) -> Option<query::Operand> {
        match &self.root {
            Node::Track(From::Row, track) if track.hops.is_empty() && track.keys.is_empty() => match track.end {
                End::Id => Some(query::Operand::Id),
                End::Field(field) if self.is.of != Scalar::Any => Some(query::Operand::Field(field)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it holds of a record.
    ///
    /// # Errors
    /// [`Exhausted`] where it takes too many steps.
    pub fn holds(&self, row: Row<'_>, input: &Input<'_>, relations: &dyn Relations) -> Result<bool, Exhausted> {
        let machine = Machine::new(row, input, relations);
        let holds = machine.truth(&self.root);
        machine.done();
        holds
    }

    /// Its value for a record.
    ///
    /// # Errors
    /// [`Exhausted`] where it takes too many steps.
    pub fn value(&self, row: Row<'_>, input: &Input<'_>, relations: &dyn Relations) -> Result<Value, Exhausted> {
        let machine = Machine::new(row, input, relations);
        let value = machine.value(&self.root);
        machine.done();
        Ok(value?.into_value())
    }
}
