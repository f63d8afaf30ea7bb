//! The expressions of a definition, compiled: rules, defaults, computed fields, checks.
//!
//! Invariant: what stands in a [`Schema`] compiles against it. `definition` sees to it for a new definition and
//! `core::decide` for the others' when one of them changes or goes, so that no write meets a fault here.

use std::sync::Arc;

use crate::error::Error;
use crate::id::FieldId;
use crate::model::expr::{Fault, Program, Scope};
use crate::model::guard::Action;
use crate::model::schema::{Collection, DefaultValue, Schema};

/// All expressions of one definition.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// By [`Action`]; `None` where the rule is null or empty.
    rules: [Option<Arc<Program>>; 5],
    /// Of the fields whose default is an expression, in the order of the definition.
    pub defaults: Vec<(FieldId, Program)>,
    /// Of the computed fields: each behind those that it reads.
    pub computed: Vec<(FieldId, Program)>,
    /// In the order of the definition's checks.
    pub checks: Vec<Program>,
}

/// An expression of a definition that does not compile.
#[derive(Clone, Debug)]
pub struct Flawed {
    /// Its path in the definition, such as `fields.2.computed`.
    pub path: String,
    /// Why, and where in its text.
    pub fault: Fault,
}

impl Compiled {
    /// Compiles every expression of `collection` against `schema`, which holds it.
    ///
    /// # Errors
    /// All that do not compile.
    pub fn new(schema: &Schema, collection: &Collection) -> Result<Compiled, Vec<Flawed>> {
        // A definition is its superuser's, who sees everything.
        let scope = Scope { schema, collection, callers: &[], sees_hidden: true };
        let mut flawed = Vec::new();
        let mut compiled = Compiled::default();
        for (at, (name, text)) in collection.rules.named().into_iter().enumerate() {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            match Program::condition(scope, text) {
                Ok(program) => compiled.rules[at] = Some(Arc::new(program)),
                Err(fault) => flawed.push(Flawed { path: name.to_owned(), fault }),
            }
        }
        let mut computed = Vec::new();
        for (at, field) in collection.fields.iter().enumerate() {
            if let Some(DefaultValue::Expression(text)) = &field.default {
                match Program::value_of(scope, text) {
                    Ok(program) => compiled.defaults.push((field.id, program)),
                    Err(fault) => flawed.push(Flawed { path: format!("fields.{at}.default"), fault }),
                }
            }
            if let Some(text) = &field.computed {
                match Program::value_of(scope, text) {
                    Ok(program) => computed.push((field.id, program)),
                    Err(fault) => flawed.push(Flawed { path: format!("fields.{at}.computed"), fault }),
                }
            }
        }
        for (at, check) in collection.checks.iter().enumerate() {
            match Program::condition(scope, &check.expr) {
                Ok(program) => compiled.checks.push(program),
                Err(fault) => flawed.push(Flawed { path: format!("checks.{at}.expr"), fault }),
            }
        }
        match ordered(computed) {
            Ok(computed) => compiled.computed = computed,
            Err(circle) => {
                let at = collection.fields.iter().position(|field| field.id == circle).unwrap_or(0);
                let fault = Fault::new(0, "computed fields read each other in a circle");
                flawed.push(Flawed { path: format!("fields.{at}.computed"), fault });
            }
        }
        if flawed.is_empty() { Ok(compiled) } else { Err(flawed) }
    }

    /// The rule of an action; `None` where it is null or empty.
    pub fn rule(&self, action: Action) -> Option<&Arc<Program>> {
        self.rules[action as usize].as_ref()
    }
}

/// Each behind those that it reads; or one of a circle.
fn ordered(mut left: Vec<(FieldId, Program)>) -> Result<Vec<(FieldId, Program)>, FieldId> {
    let mut done = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |program: &Program| left.iter().any(|(other, _)| program.uses().fields.contains(other));
        match left.iter().position(|(_, program)| !waits(program)) {
            Some(at) => done.push(left.remove(at)),
            None => return Err(left[0].0),
        }
    }
    Ok(done)
}

impl Flawed {
    /// As a stored definition's: it can't happen while the invariant holds.
    pub fn error(flawed: &[Flawed]) -> Error {
        let first = flawed.first().map_or_else(String::new, |one| format!("{}: {}", one.path, one.fault.message));
        Error::internal(format!("a stored definition does not compile: {first}"))
    }
}
