//! The expressions of a definition, compiled: rules, defaults, computed fields, checks.
//!
//! Invariant: what stands in a [`Schema`] compiles against it. `definition` sees to it for a new definition and
//! `core::decide` for the others' when one of them changes or goes, so that no write meets a fault here.

use std::sync::Arc;

use crate::error::Error;
use crate::id::{CollectionId, FieldId};
use crate::model::expr::{Fault, Many, Program, Scalar, Scope, Type};
use crate::model::guard::Action;
use crate::model::schema::{Collection, DefaultValue, Field, FieldKind, Schema};

/// All expressions of one definition.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// By [`Action`]; `None` where the rule is null or empty.
    rules: [Option<Arc<Program>>; 5],
    /// Of the fields whose default is an expression: each behind those that it reads.
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
        let scope = Scope { schema, collection, callers: schema.callers(), sees_hidden: true };
        let mut flawed = Vec::new();
        let mut compiled = Compiled::default();
        for (at, (name, text)) in collection.rules.named().into_iter().enumerate() {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            match Program::condition(scope, text) {
                Ok(program) => compiled.rules[at] = Some(Arc::new(program)),
                Err(fault) => flawed.push(Flawed { path: name.to_owned(), fault }),
            }
        }
        compiled.defaults = ordered(scope, Part::Default, &mut flawed);
        compiled.computed = ordered(scope, Part::Computed, &mut flawed);
        for (at, check) in collection.checks.iter().enumerate() {
            match check_of(scope, &check.expr) {
                Ok(program) => compiled.checks.push(program),
                Err(fault) => flawed.push(Flawed { path: format!("checks.{at}.expr"), fault }),
            }
        }
        if flawed.is_empty() { Ok(compiled) } else { Err(flawed) }
    }

    /// The rule of an action; `None` where it is null or empty.
    pub fn rule(&self, action: Action) -> Option<&Arc<Program>> {
        self.rules[action as usize].as_ref()
    }

    /// Whether nothing is evaluated when a record is written, but for rules.
    pub fn is_plain(&self) -> bool {
        self.defaults.is_empty() && self.computed.is_empty() && self.checks.is_empty()
    }

    /// The path in the definition of an expression of `collection`, whose these are, that looks at records of `other`.
    pub fn reaches(&self, collection: &Collection, other: CollectionId) -> Option<String> {
        let reaches = |program: &Program| program.uses().collections.contains(&other);
        let of_field = |list: &[(FieldId, Program)], part: Part| {
            let (id, _) = list.iter().find(|(_, program)| reaches(program))?;
            collection.fields.iter().position(|field| field.id == *id).map(|at| part.path(at))
        };
        let rule = || {
            let at = self.rules.iter().position(|rule| rule.as_ref().is_some_and(|rule| reaches(rule)))?;
            Some(collection.rules.named()[at].0.to_owned())
        };
        rule()
            .or_else(|| of_field(&self.defaults, Part::Default))
            .or_else(|| of_field(&self.computed, Part::Computed))
            .or_else(|| self.checks.iter().position(reaches).map(|at| format!("checks.{at}.expr")))
    }
}

fn check_of(scope: Scope<'_>, text: &str) -> Result<Program, Fault> {
    let program = Program::condition(scope, text)?;
    if program.uses().request {
        return Err(Fault::new(0, "a check is about the record; what a request may do is a rule's question"));
    }
    Ok(program)
}

/// An expression that gives a field its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Default,
    Computed,
}

impl Part {
    fn of(self, field: &Field) -> Option<&str> {
        match (self, &field.default) {
            (Part::Default, Some(DefaultValue::Expression(text))) => Some(text),
            (Part::Default, _) => None,
            (Part::Computed, _) => field.computed.as_deref(),
        }
    }

    fn path(self, at: usize) -> String {
        format!("fields.{at}.{}", if self == Part::Default { "default" } else { "computed" })
    }

    /// Compiles one; what it gives fits its field, as far as that is known before there is a record.
    fn program(self, scope: Scope<'_>, field: &Field, text: &str) -> Result<Program, Fault> {
        let program = Program::value_of(scope, text)?;
        let uses = program.uses();
        if uses.body {
            return Err(Fault::new(0, "what is stored is made from the record: its fields are read by their names"));
        }
        let is_computed =
            |id: &FieldId| scope.collection.field_by_id(*id).is_some_and(|field| field.computed.is_some());
        if self == Part::Default && uses.fields.iter().any(is_computed) {
            return Err(Fault::new(0, "a default is filled in before fields are computed, so it can't read one"));
        }
        if !fits(&field.kind, program.is()) {
            let list = if field.kind.is_list() { " that is a list" } else { "" };
            let message = format!("gives {}, which fits no {}{list}", program.is(), field.kind.name());
            return Err(Fault::new(0, message));
        }
        Ok(program)
    }
}

/// Whether a value of that type may become one of the field's.
pub(crate) fn fits(kind: &FieldKind, is: Type) -> bool {
    let of = match kind {
        FieldKind::Json { .. } => return true,
        FieldKind::GeoPoint {} => Scalar::Any,
        FieldKind::Number { .. } => Scalar::Number,
        FieldKind::Bool {} => Scalar::Bool,
        FieldKind::Date { .. } | FieldKind::Autodate { .. } => Scalar::Date,
        FieldKind::Text { .. }
        | FieldKind::Select { .. }
        | FieldKind::Relation { .. }
        | FieldKind::Email {}
        | FieldKind::Url {}
        | FieldKind::Password { .. }
        | FieldKind::Secret {}
        | FieldKind::Editor { .. } => Scalar::Text,
    };
    let open = matches!(is.of, Scalar::Any | Scalar::Null);
    let many = if is.many == Many::One { !kind.is_list() || open } else { kind.is_list() };
    many && (open || is.of == of)
}

/// The programs of one part of all fields, each behind those that it reads.
fn ordered(scope: Scope<'_>, part: Part, flawed: &mut Vec<Flawed>) -> Vec<(FieldId, Program)> {
    let mut left = Vec::new();
    for (at, field) in scope.collection.fields.iter().enumerate() {
        let Some(text) = part.of(field) else { continue };
        match part.program(scope, field, text) {
            Ok(program) => left.push((field.id, program)),
            Err(fault) => flawed.push(Flawed { path: part.path(at), fault }),
        }
    }
    let mut done = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |program: &Program| left.iter().any(|(other, _)| program.uses().fields.contains(other));
        let Some(at) = left.iter().position(|(_, program)| !waits(program)) else {
            let circle = scope.collection.fields.iter().position(|field| field.id == left[0].0).unwrap_or(0);
            flawed.push(Flawed { path: part.path(circle), fault: Fault::new(0, "fields read each other in a circle") });
            break;
        };
        done.push(left.remove(at));
    }
    done
}

impl Flawed {
    /// Sentence for people: the column, from 1, and what is wrong there.
    pub fn message(&self) -> String {
        format!("column {}: {}", self.fault.at + 1, self.fault.message)
    }

    /// As a stored definition's: it can't happen while the invariant holds.
    pub fn error(flawed: &[Flawed]) -> Error {
        let first = flawed.first().map_or_else(String::new, |one| format!("{}: {}", one.path, one.fault.message));
        Error::internal(format!("a stored definition does not compile: {first}"))
    }
}
