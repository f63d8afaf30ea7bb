//! Which functions there are, what they take and give. What they do is `call`.

use crate::model::pattern::Pattern;
use crate::model::value::Value;
use crate::time::Millis;
use crate::{id::CollectionId, limits};

use super::Fault;
use super::compile::{Compiler, Typed};
use super::node::{Lookup, Moment, Node};
use super::tree::{Expr, ExprKind, Name};
use super::types::{Many, Scalar, Type};

/// A function that is evaluated; the others become nodes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Lower,
    Upper,
    Trim,
    Len,
    Round,
    Abs,
    Min,
    Max,
    Sum,
    Avg,
    Count,
    Contains,
    StartsWith,
    EndsWith,
    Coalesce,
    If,
    Date,
    Year,
    Month,
    Day,
    Hour,
    AddDays,
    GeoDistance,
}

/// Name, function, fewest and most arguments.
const FUNCTIONS: [(&str, Function, usize, usize); 23] = [
    ("lower", Function::Lower, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("trim", Function::Trim, 1, 1),
    ("len", Function::Len, 1, 1),
    ("round", Function::Round, 1, 2),
    ("abs", Function::Abs, 1, 1),
    ("min", Function::Min, 1, usize::MAX),
    ("max", Function::Max, 1, usize::MAX),
    ("sum", Function::Sum, 1, 1),
    ("avg", Function::Avg, 1, 1),
    ("count", Function::Count, 1, 1),
    ("contains", Function::Contains, 2, 2),
    ("startsWith", Function::StartsWith, 2, 2),
    ("endsWith", Function::EndsWith, 2, 2),
    ("coalesce", Function::Coalesce, 1, usize::MAX),
    ("if", Function::If, 3, 3),
    ("date", Function::Date, 1, 1),
    ("year", Function::Year, 1, 1),
    ("month", Function::Month, 1, 1),
    ("day", Function::Day, 1, 1),
    ("hour", Function::Hour, 1, 1),
    ("addDays", Function::AddDays, 2, 2),
    ("geoDistance", Function::GeoDistance, 4, 4),
];

impl Compiler<'_> {
    /// `name(arguments)`, with the places of the arguments for what is wrong with them.
    pub(super) fn call(
        &mut self,
        at: usize,
        name: &str,
        arguments: &[Expr<'_>],
        path: Option<&Name<'_>>,
    ) -> Result<Typed, Fault> {
        if name == "lookup" {
            return self.lookup(at, arguments, path);
        }
        if let Some(path) = path {
            return Err(Fault::new(path.at - 1, "only lookup(…) has a path behind it"));
        }
        match name {
            "now" => {
                arity(at, name, arguments.len(), 0, 0)?;
                self.uses.clock = true;
                return Ok(Typed { node: Node::Moment(Moment::Now), is: Type::DATE });
            }
            "matches" => return self.matches(at, arguments),
            _ => {}
        }
        let Some((_, function, least, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            return Err(Fault::new(at, format!("there is no function {:?}", shown(name))));
        };
        arity(at, name, arguments.len(), *least, *most)?;
        let mut typed = arguments.iter().map(|argument| self.lower(argument)).collect::<Result<Vec<_>, _>>()?;
        let is = match signature(*function, &mut typed) {
            Ok(is) => is,
            Err((which, wanted)) => {
                let found = typed[which].is;
                return Err(Fault::new(arguments[which].at, format!("{name} takes {wanted} here, not {found}")));
            }
        };
        let constant = typed.iter().all(|argument| argument.node.constant().is_some());
        let node = Node::Call(*function, typed.into_iter().map(|argument| argument.node).collect());
        Ok(Typed { node: self.folded(node, constant), is })
    }

    /// `lookup('collection', key).field`
    fn lookup(&mut self, at: usize, arguments: &[Expr<'_>], path: Option<&Name<'_>>) -> Result<Typed, Fault> {
        arity(at, "lookup", arguments.len(), 2, 2)?;
        let ExprKind::Text(name) = &arguments[0].kind else {
            return Err(Fault::new(arguments[0].at, "lookup takes the name of a collection in quotes"));
        };
        let Some(collection) = self.scope.schema.find(name).map(|found| &**found) else {
            return Err(Fault::new(arguments[0].at, format!("there is no collection {:?}", shown(name))));
        };
        let key = self.lower(&arguments[1])?;
        if !key.is.fits(Scalar::Text) {
            return Err(Fault::new(arguments[1].at, format!("lookup takes an id here, not {}", key.is)));
        }
        let Some(path) = path else {
            return Err(Fault::new(at, "a lookup names a field: lookup('collection', id).field"));
        };
        let id: CollectionId = collection.id;
        self.uses.collection(id);
        let (track, is) = self.resolve(collection, path.at, path.path)?;
        let node = Node::Lookup(Box::new(Lookup { collection: id, key: key.node, track }));
        self.modified(Typed { node, is }, path)
    }

    /// `matches(text, 'pattern')`
    fn matches(&mut self, at: usize, arguments: &[Expr<'_>]) -> Result<Typed, Fault> {
        arity(at, "matches", arguments.len(), 2, 2)?;
        let text = self.lower(&arguments[0])?;
        if !text.is.fits(Scalar::Text) {
            return Err(Fault::new(arguments[0].at, format!("matches takes a text here, not {}", text.is)));
        }
        let ExprKind::Text(pattern) = &arguments[1].kind else {
            return Err(Fault::new(arguments[1].at, "matches takes a pattern in quotes"));
        };
        self.patterns += 1;
        if self.patterns > limits::EXPRESSION_PATTERNS_MAX {
            let message = format!("an expression has at most {} patterns", limits::EXPRESSION_PATTERNS_MAX);
            return Err(Fault::new(at, message));
        }
        let pattern = Pattern::within(pattern, limits::EXPRESSION_PATTERN_COMPILED_BYTES_MAX)
            .map_err(|reason| Fault::new(arguments[1].at, reason))?;
        let constant = text.node.constant().is_some();
        let node = Node::Matches(Box::new(text.node), Box::new(pattern));
        Ok(Typed { node: self.folded(node, constant), is: Type::BOOL })
    }
}

fn arity(at: usize, name: &str, count: usize, least: usize, most: usize) -> Result<(), Fault> {
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let wanted = match (least, most) {
        (0, 0) => "nothing".to_owned(),
        (1, 1) => "one argument".to_owned(),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) if least == most => format!("{least} arguments"),
        (least, most) => format!("{least} or {most} arguments"),
    };
    Err(Fault::new(at, format!("{name} takes {wanted}")))
}

/// What is given for these arguments; or which of them is wrong, and what is wanted there. A literal that is to be a
/// date becomes one.
fn signature(function: Function, arguments: &mut [Typed]) -> Result<Type, (usize, &'static str)> {
    match function {
        Function::Lower | Function::Upper | Function::Trim => all(arguments, &[Scalar::Text], Type::TEXT),
        Function::Abs | Function::Round => all(arguments, &[Scalar::Number, Scalar::Number], Type::NUMBER),
        Function::GeoDistance => all(arguments, &[Scalar::Number; 4], Type::NUMBER),
        Function::StartsWith | Function::EndsWith => all(arguments, &[Scalar::Text, Scalar::Text], Type::BOOL),
        Function::Len => {
            let is = arguments[0].is;
            if is.is_one() && !is.of.fits(Scalar::Text) { Err((0, "a text or a list")) } else { Ok(Type::NUMBER) }
        }
        Function::Count => Ok(Type::NUMBER),
        Function::Sum | Function::Avg => {
            if arguments[0].is.of.fits(Scalar::Number) {
                Ok(Type::NUMBER)
            } else {
                Err((0, "numbers"))
            }
        }
        Function::Min | Function::Max => Ok(Type::one(joined(arguments)?)),
        Function::Coalesce => same(arguments),
        Function::If if !arguments[0].is.fits(Scalar::Bool) => Err((0, "a condition")),
        Function::If => match same(&arguments[1..]) {
            Ok(is) => Ok(is),
            Err((which, wanted)) => Err((which + 1, wanted)),
        },
        Function::Contains => {
            let (of, part) = (arguments[0].is, arguments[1].is);
            match of {
                of if !part.is_one() || of.of.joined(part.of).is_none() => Err((1, "one of the first's kind")),
                of if of.is_one() && !of.of.fits(Scalar::Text) => Err((0, "a text or a list")),
                _ => Ok(Type::BOOL),
            }
        }
        Function::Date => dated(arguments, Type::TEXT),
        Function::Year | Function::Month | Function::Day | Function::Hour => dated(arguments, Type::NUMBER),
        Function::AddDays if !arguments[1].is.fits(Scalar::Number) => Err((1, "a number")),
        Function::AddDays => dated(arguments, Type::DATE),
    }
}

fn all(arguments: &[Typed], wanted: &[Scalar], given: Type) -> Result<Type, (usize, &'static str)> {
    for (which, (argument, wanted)) in arguments.iter().zip(wanted).enumerate() {
        if !argument.is.fits(*wanted) {
            return Err((which, if *wanted == Scalar::Number { "a number" } else { "a text" }));
        }
    }
    Ok(given)
}

/// The kind of all elements of all arguments.
fn joined(arguments: &[Typed]) -> Result<Scalar, (usize, &'static str)> {
    let mut of = Scalar::Null;
    for (which, argument) in arguments.iter().enumerate() {
        of = of.joined(argument.is.of).ok_or((which, "the same kind as before"))?;
    }
    Ok(of)
}

/// The one type of all arguments.
fn same(arguments: &[Typed]) -> Result<Type, (usize, &'static str)> {
    let of = joined(arguments)?;
    let mut many = None;
    for (which, argument) in arguments.iter().enumerate() {
        // What is not known or null may be a list as well as not.
        let open = argument.is.is_one() && matches!(argument.is.of, Scalar::Any | Scalar::Null);
        let this = if argument.is.is_one() { Many::One } else { Many::Whole };
        match many {
            _ if open => {}
            None => many = Some(this),
            Some(other) if other == this => {}
            Some(_) => return Err((which, "the same kind as before")),
        }
    }
    Ok(Type { of, many: many.unwrap_or(Many::One) })
}

/// The first argument is a date, or a literal that is one.
fn dated(arguments: &mut [Typed], given: Type) -> Result<Type, (usize, &'static str)> {
    let first = &mut arguments[0];
    if let Node::Constant(Value::Text(text)) = &first.node
        && let Some(at) = Millis::parse(text)
    {
        *first = Typed { node: Node::Constant(Value::Date(at)), is: Type::DATE };
    }
    if first.is.fits(Scalar::Date) { Ok(given) } else { Err((0, "a date")) }
}

pub(super) fn shown(name: &str) -> String {
    name.chars().take(limits::NAME_BYTES_MAX).collect()
}
