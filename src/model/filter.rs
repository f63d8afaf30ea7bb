//! `filter=status='paid' && total>10`: an expression becomes comparisons of fields with values of their own types.
//!
//! Invariant: every [`Comparison`] holds null or a value of exactly the kind that its field stores, so that key encoders
//! need no conversion. A literal between two values of a type moves to the nearer one and its comparator with it
//! (`n > 1.5` of whole numbers is `n >= 2`); what can never or must always be true becomes a range that holds no value
//! or every one.

use crate::error::{Error, Result};
use crate::limits;
use crate::model::expr::{self, Expr, Fault, Term, TermKind};
use crate::model::query::{Comparator, Comparison, Operand};
use crate::model::schema::{Collection, FieldKind};
use crate::model::value::Value;
use crate::time::Millis;

/// Reads a filter; an empty text is none. `sees_hidden` says whether the caller may know of hidden fields.
///
/// # Errors
/// `Invalid` with code `bad_filter`, the place (byte, from 1) and the reason. A hidden field is unknown.
pub fn parse(collection: &Collection, text: &str, sees_hidden: bool) -> Result<Vec<Comparison>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let names = Names { collection, sees_hidden };
    let mut comparisons = Vec::new();
    expr::parse(text).and_then(|tree| flatten(&names, tree, &mut comparisons)).map_err(|fault| {
        Error::invalid(format!("filter: column {}: {}", fault.at + 1, fault.message)).code("bad_filter")
    })?;
    Ok(comparisons)
}

/// What names mean to this caller.
struct Names<'a> {
    collection: &'a Collection,
    sees_hidden: bool,
}

fn flatten(names: &Names<'_>, tree: Expr<'_>, out: &mut Vec<Comparison>) -> Result<(), Fault> {
    match tree {
        Expr::All(parts) => parts.into_iter().try_for_each(|part| flatten(names, part, out)),
        Expr::Compare { left, comparator, right } => {
            out.push(comparison(names, &left, comparator, &right)?);
            Ok(())
        }
    }
}

fn comparison(
    names: &Names<'_>,
    left: &Term<'_>,
    comparator: Comparator,
    right: &Term<'_>,
) -> Result<Comparison, Fault> {
    match (&left.kind, &right.kind) {
        (TermKind::Name(_), TermKind::Name(_)) => {
            Err(Fault::new(right.at, "comparing two fields is not known yet; texts stand in quotes"))
        }
        (TermKind::Name(name), _) => typed(names, name, left.at, comparator, right),
        (_, TermKind::Name(name)) => typed(names, name, right.at, mirrored(comparator), left),
        _ => Err(Fault::new(left.at, "one side of a comparison must be a field")),
    }
}

/// `10 < total` is `total > 10`.
fn mirrored(comparator: Comparator) -> Comparator {
    match comparator {
        Comparator::Less => Comparator::Greater,
        Comparator::LessOrEqual => Comparator::GreaterOrEqual,
        Comparator::Greater => Comparator::Less,
        Comparator::GreaterOrEqual => Comparator::LessOrEqual,
        same => same,
    }
}

fn typed(
    names: &Names<'_>,
    name: &str,
    at: usize,
    comparator: Comparator,
    literal: &Term<'_>,
) -> Result<Comparison, Fault> {
    let (operand, kind) = resolve(names, name, at)?;
    let equality = matches!(comparator, Comparator::Equal | Comparator::NotEqual);
    let mismatch = |wanted: &str| Err(Fault::new(literal.at, format!("{name} is compared with {wanted}")));
    let (comparator, value) = match (kind, &literal.kind) {
        (Some(FieldKind::Json { .. }), _) => {
            return Err(Fault::new(at, format!("{name} is json; filtering by it is not known yet")));
        }
        (Some(kind), _) if kind.is_list() => {
            return Err(Fault::new(at, format!("{name} is a list; filtering by it is not known yet")));
        }
        (_, TermKind::Null) if equality => (comparator, Value::Null),
        (_, TermKind::Null) => return Err(Fault::new(literal.at, "with null only = and != can be true")),
        (Some(FieldKind::Number { integer: true, .. }), TermKind::Int(int)) => (comparator, Value::Int(*int)),
        (Some(FieldKind::Number { integer: true, .. }), TermKind::Number(number)) => whole(comparator, *number),
        (Some(FieldKind::Number { .. }), TermKind::Int(int)) => floating(comparator, *int),
        (Some(FieldKind::Number { .. }), TermKind::Number(number)) => (comparator, Value::Number(*number)),
        (Some(FieldKind::Number { .. }), _) => return mismatch("a number"),
        (Some(FieldKind::Bool {}), TermKind::Bool(flag)) if equality => (comparator, Value::Bool(*flag)),
        (Some(FieldKind::Bool {}), _) => return mismatch("true or false, by = or !="),
        (Some(FieldKind::Date { .. } | FieldKind::Autodate { .. }), TermKind::Text(text)) => {
            match Millis::parse(text) {
                Some(at) => (comparator, Value::Date(at)),
                None => return mismatch("a date that exists, such as '2001-02-28 12:30:00Z'"),
            }
        }
        (Some(FieldKind::Date { .. } | FieldKind::Autodate { .. }), _) => return mismatch("a date in quotes"),
        (_, TermKind::Text(text)) => (comparator, Value::text(&**text)),
        (_, _) => return mismatch("a text in quotes"),
    };
    Ok(Comparison { operand, comparator, value })
}

/// The operand of a name, and its type; an id has none and is compared as a text.
fn resolve<'a>(names: &Names<'a>, name: &str, at: usize) -> Result<(Operand, Option<&'a FieldKind>), Fault> {
    if name == "id" {
        return Ok((Operand::Id, None));
    }
    let field = names.collection.field(name).filter(|field| names.sees_hidden || !field.hidden);
    match field {
        Some(field) => Ok((Operand::Field(field.id), Some(&field.kind))),
        None => {
            let shown: String = name.chars().take(limits::NAME_BYTES_MAX).collect();
            Err(Fault::new(at, format!("there is no field {shown:?}")))
        }
    }
}

/// A comparison of whole numbers with one that may be none.
fn whole(comparator: Comparator, number: f64) -> (Comparator, Value) {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if number >= TWO_63 {
        return beyond(comparator, true, Value::Int(i64::MIN));
    }
    if number < -TWO_63 {
        return beyond(comparator, false, Value::Int(i64::MIN));
    }
    let floor = number.floor();
    if floor == number {
        return (comparator, Value::Int(number as i64));
    }
    // A number with a fraction is below 2^53, so the one above it is exact too.
    between(comparator, Value::Int(floor as i64), Value::Int(floor as i64 + 1), Value::Int(i64::MIN))
}

/// A comparison of floating numbers with a whole one that may lie between two of them.
fn floating(comparator: Comparator, int: i64) -> (Comparator, Value) {
    let near = int as f64;
    let least = Value::Number(f64::MIN);
    match Value::Number(near).order(&Value::Int(int)) {
        std::cmp::Ordering::Equal => (comparator, Value::Number(near)),
        std::cmp::Ordering::Less => between(comparator, Value::Number(near), Value::Number(near.next_up()), least),
        std::cmp::Ordering::Greater => between(comparator, Value::Number(near.next_down()), Value::Number(near), least),
    }
}

/// A comparison with what lies between two neighbours of a type.
fn between(comparator: Comparator, below: Value, above: Value, least: Value) -> (Comparator, Value) {
    match comparator {
        Comparator::Less | Comparator::LessOrEqual => (Comparator::LessOrEqual, below),
        Comparator::Greater | Comparator::GreaterOrEqual => (Comparator::GreaterOrEqual, above),
        Comparator::Equal => (Comparator::Less, least),
        Comparator::NotEqual => (Comparator::GreaterOrEqual, least),
    }
}

/// A comparison with what lies past all values of a type, of which `least` is the least: always true but for null,
/// or never.
fn beyond(comparator: Comparator, past_greatest: bool, least: Value) -> (Comparator, Value) {
    let always = match comparator {
        Comparator::Less | Comparator::LessOrEqual => past_greatest,
        Comparator::Greater | Comparator::GreaterOrEqual => !past_greatest,
        Comparator::Equal => false,
        Comparator::NotEqual => true,
    };
    (if always { Comparator::GreaterOrEqual } else { Comparator::Less }, least)
}
