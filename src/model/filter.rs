//! `filter=status='paid' && total>10`: an expression becomes comparisons of fields with values of their own types.
//!
//! Invariant: every [`Comparison`] holds null or a value of exactly the kind that its field stores, so that key encoders
//! need no conversion. A literal between two values of a type moves to the nearer one and its comparator with it
//! (`n > 1.5` of whole numbers is `n >= 2`); what can never or must always be true becomes a range that holds no value
//! or every one.

use crate::error::Result;
use crate::limits;
use crate::model::expr::{self, Arithmetic, Expr, ExprKind, Fault, Name, Sign};
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
    expr::parse(text)
        .and_then(|tree| flatten(&names, &tree, &mut comparisons))
        .map_err(|fault| fault.error("filter", "bad_filter"))?;
    Ok(comparisons)
}

/// What names mean to this caller.
struct Names<'a> {
    collection: &'a Collection,
    sees_hidden: bool,
}

/// One side of a comparison that the planner understands.
struct Term<'a> {
    at: usize,
    kind: TermKind<'a>,
}

enum TermKind<'a> {
    Name(&'a str),
    Int(i64),
    Number(f64),
    Text(&'a str),
    Bool(bool),
    Null,
}

fn flatten(names: &Names<'_>, tree: &Expr<'_>, out: &mut Vec<Comparison>) -> Result<(), Fault> {
    match &tree.kind {
        ExprKind::All(parts) => parts.iter().try_for_each(|part| flatten(names, part, out)),
        ExprKind::Compare { left, sign: Sign::Order(comparator), any: false, right } => {
            out.push(comparison(names, &term(left)?, *comparator, &term(right)?)?);
            Ok(())
        }
        ExprKind::Compare { any: true, .. } => unknown(tree.at, "a comparison of any element (?=) is"),
        ExprKind::Compare { .. } => unknown(tree.at, "matching with ~ is"),
        ExprKind::Any(_) => unknown(tree.at, "\"or\" is"),
        ExprKind::Not(_) => unknown(tree.at, "\"not\" is"),
        ExprKind::In { .. } => unknown(tree.at, "\"in\" is"),
        _ => {
            term(tree)?;
            Err(Fault::new(tree.at, "a comparison is wanted here, such as = or >"))
        }
    }
}

fn unknown<T>(at: usize, what: &str) -> Result<T, Fault> {
    Err(Fault::new(at, format!("{what} not known yet")))
}

fn term<'t>(expr: &'t Expr<'_>) -> Result<Term<'t>, Fault> {
    let at = expr.at;
    let kind = match &expr.kind {
        ExprKind::Null => TermKind::Null,
        ExprKind::Bool(flag) => TermKind::Bool(*flag),
        ExprKind::Int(int) => TermKind::Int(*int),
        ExprKind::Number(number) => TermKind::Number(*number),
        ExprKind::Text(text) => TermKind::Text(text),
        ExprKind::Name(Name { modifier: Some(_), .. }) => return unknown(at, "modifiers behind a colon are"),
        ExprKind::Name(Name { path, .. }) if path.starts_with('@') => {
            return unknown(at, "names that begin with @ are");
        }
        ExprKind::Name(Name { path, .. }) if path.contains('.') => return unknown(at, "names with a path are"),
        ExprKind::Name(Name { path, .. }) => TermKind::Name(path),
        ExprKind::Chain { rest, .. } => {
            let place = rest.first().map_or(at, |(place, _, _): &(usize, Arithmetic, Expr<'_>)| *place);
            return unknown(place, "arithmetic is");
        }
        ExprKind::Negate(_) => return unknown(at, "arithmetic is"),
        ExprKind::Call { .. } => return unknown(at, "functions are"),
        ExprKind::List(_) => return unknown(at, "lists are"),
        ExprKind::Not(_) => return unknown(at, "\"not\" is"),
        ExprKind::All(_) | ExprKind::Any(_) | ExprKind::Compare { .. } | ExprKind::In { .. } => {
            return unknown(at, "a condition beside a comparison is");
        }
    };
    Ok(Term { at, kind })
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
        (_, TermKind::Text(text)) => (comparator, Value::text(*text)),
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

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;
    use crate::model::definition;
    use crate::model::schema::Schema;

    fn collection() -> Collection {
        let body = r#"{"name": "c", "fields": [
            {"name": "status", "type": "select", "values": ["new", "paid"]},
            {"name": "total", "type": "number"},
            {"name": "n", "type": "number", "integer": true},
            {"name": "active", "type": "bool"},
            {"name": "at", "type": "date"},
            {"name": "user", "type": "relation", "collection": "c"},
            {"name": "tags", "type": "select", "values": ["a"], "maxSelect": 2},
            {"name": "meta", "type": "json"},
            {"name": "secret", "type": "text", "hidden": true, "aliases": ["code"]},
            {"name": "updated", "type": "autodate", "onUpdate": true}
        ]}"#;
        definition::parse(&Schema::default(), body.as_bytes(), Millis(0)).expect("sound")
    }

    /// The filter in the language again, with names and typed values; or the error.
    fn read(text: &str) -> String {
        let collection = collection();
        let shown = |comparison: &Comparison| {
            let name = match comparison.operand {
                Operand::Id => "id",
                Operand::Field(id) => &collection.field_by_id(id).expect("a field").name,
            };
            let sign = match comparison.comparator {
                Comparator::Equal => "=",
                Comparator::NotEqual => "!=",
                Comparator::Less => "<",
                Comparator::LessOrEqual => "<=",
                Comparator::Greater => ">",
                Comparator::GreaterOrEqual => ">=",
            };
            format!("{name} {sign} {:?}", comparison.value)
        };
        match parse(&collection, text, false) {
            Ok(comparisons) => comparisons.iter().map(shown).collect::<Vec<_>>().join(" && "),
            Err(error) => error.message().strip_prefix("filter: ").expect("says what it is").to_owned(),
        }
    }

    #[test]
    fn plain_comparisons_are_read_and_typed() {
        let table = [
            ("", ""),
            ("status='paid' && total>10", r#"status = Text("paid") && total > Number(10.0)"#),
            ("status == \"paid\" and n<=-3", r#"status = Text("paid") && n <= Int(-3)"#),
            ("((status='a')&&((n>1)))", r#"status = Text("a") && n > Int(1)"#),
            ("10 < total", "total > Number(10.0)"),
            ("10 >= total && 'x' = id", r#"total <= Number(10.0) && id = Text("x")"#),
            ("active = true && false != active", "active = Bool(true) && active != Bool(false)"),
            ("at >= '2001-01-01'", "at >= Date(Millis(978307200000))"),
            ("updated < \"2001-01-01 00:00:00.001Z\"", "updated < Date(Millis(978307200001))"),
            ("user = null && n != null", "user = Null && n != Null"),
            (r#"status = 'it\'s \\ "x"\n'"#, r#"status = Text("it's \\ \"x\"\n")"#),
            ("status = '\u{e9}\u{1f600}'", "status = Text(\"\u{e9}\u{1f600}\")"),
            (
                "total = 1e3 && total = 0.5 && total = -0",
                "total = Number(1000.0) && total = Number(0.5) && total = Number(0.0)",
            ),
            ("n > 1.5 && n <= 1.5 && 1.5 <= n", "n >= Int(2) && n <= Int(1) && n >= Int(2)"),
            // Never, and always but for null.
            ("n = 1.5 && n != 1.5", "n < Int(-9223372036854775808) && n >= Int(-9223372036854775808)"),
            ("n > 9223372036854775808 && n > -1e30", "n < Int(-9223372036854775808) && n >= Int(-9223372036854775808)"),
            ("total > 9007199254740993", "total >= Number(9007199254740994.0)"),
            ("n = 5.0 && n = 9223372036854775807", "n = Int(5) && n = Int(9223372036854775807)"),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_or_not_known_yet_is_said_with_its_place() {
        let table = [
            ("nope = 1", "column 1: there is no field \"nope\""),
            ("secret = 'x'", "column 1: there is no field \"secret\""),
            ("code = 'x'", "column 1: there is no field \"code\""),
            ("total = 'x'", "column 9: total is compared with a number"),
            ("status = 5", "column 10: status is compared with a text in quotes"),
            ("id = 5", "column 6: id is compared with a text in quotes"),
            ("active = 1", "column 10: active is compared with true or false, by = or !="),
            ("active > false", "column 10: active is compared with true or false, by = or !="),
            ("at = 5", "column 6: at is compared with a date in quotes"),
            ("at = '2001-02-29'", "column 6: at is compared with a date that exists, such as '2001-02-28 12:30:00Z'"),
            ("n > null", "column 5: with null only = and != can be true"),
            ("tags = 'a'", "column 1: tags is a list; filtering by it is not known yet"),
            ("meta = null", "column 1: meta is json; filtering by it is not known yet"),
            ("n = total", "column 5: comparing two fields is not known yet; texts stand in quotes"),
            ("1 = 1", "column 1: one side of a comparison must be a field"),
            ("n = 1 || n = 2", "column 7: \"or\" is not known yet"),
            ("n = 1 or n = 2", "column 7: \"or\" is not known yet"),
            ("(n = 1 || n = 2)", "column 8: \"or\" is not known yet"),
            ("status ~ 'a'", "column 8: matching with ~ is not known yet"),
            ("tags ?= 'a'", "column 6: a comparison of any element (?=) is not known yet"),
            ("status in ['a']", "column 8: \"in\" is not known yet"),
            ("!(n = 1)", "column 1: \"not\" is not known yet"),
            ("not (n = 1)", "column 1: \"not\" is not known yet"),
            ("n + 1 = 2", "column 3: arithmetic is not known yet"),
            ("n = 1 + 1", "column 7: arithmetic is not known yet"),
            ("n = -total", "column 5: arithmetic is not known yet"),
            ("lower(status) = 'a'", "column 1: functions are not known yet"),
            ("user.name = 'a'", "column 1: names with a path are not known yet"),
            ("status:lower = 'a'", "column 1: modifiers behind a colon are not known yet"),
            ("at < @now", "column 6: names that begin with @ are not known yet"),
            ("n = [1]", "column 5: lists are not known yet"),
            ("n", "column 1: a comparison is wanted here, such as = or >"),
            ("n =", "column 4: a field or a value is wanted here"),
            ("= 1", "column 1: a field or a value is wanted here, not ="),
            ("n = 1 n = 2", "column 7: an operator is wanted here"),
            ("n = 1 = 2", "column 7: a comparison can't be compared; join two by &&"),
            ("n = 1 &&", "column 9: a field or a value is wanted here"),
            ("(n = 1", "column 7: a parenthesis is not closed"),
            ("n = 1)", "column 6: this parenthesis was never opened"),
            ("n = 'x", "column 5: this text has no end"),
            ("n = 'x\\", "column 5: this text has no end"),
            ("n = 1x", "column 5: not a number"),
            ("n = 1e999", "column 5: too large a number"),
            ("n = 1 & n = 2", "column 7: & means nothing here"),
            ("n # 1", "column 3: '#' means nothing here"),
        ];
        let wrong: Vec<_> = table
            .iter()
            .filter(|(text, expected)| read(text) != *expected)
            .map(|(text, expected)| format!("{text}: {} for {expected}", read(text)))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(parse(&collection(), "secret = 'x'", true).is_ok(), "a caller who sees it may filter by it");
    }

    #[test]
    fn filters_are_bounded() {
        let long = format!("status = '{}'", "x".repeat(limits::FILTER_BYTES_MAX));
        assert!(read(&long).contains("at most 3500 bytes"), "{}", read(&long));
        let nested = |depth: usize| format!("{}n = 1{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(read(&nested(limits::EXPRESSION_DEPTH_MAX)), "n = Int(1)");
        assert!(read(&nested(limits::EXPRESSION_DEPTH_MAX + 1)).contains("nested at most 64 deep"));
        assert!(read(&"(".repeat(limits::FILTER_BYTES_MAX)).contains("nested"));
        assert!(read(&"!".repeat(limits::FILTER_BYTES_MAX)).contains("a value is wanted here"));
        assert!(read(&"-!".repeat(limits::FILTER_BYTES_MAX / 2)).contains("nested at most 64 deep"));
        let joined = vec!["n=1"; 600].join("&&");
        assert_eq!(parse(&collection(), &joined, false).expect("within the bound").len(), 600);
    }

    fn holds(comparison: &Comparison, value: &Value) -> bool {
        let same_kind = std::mem::discriminant(&comparison.value) == std::mem::discriminant(value);
        assert!(same_kind, "{comparison:?} on {value:?}");
        holds_by(comparison.comparator, value.order(&comparison.value))
    }

    fn holds_by(comparator: Comparator, order: Ordering) -> bool {
        match comparator {
            Comparator::Equal => order.is_eq(),
            Comparator::NotEqual => order.is_ne(),
            Comparator::Less => order.is_lt(),
            Comparator::LessOrEqual => order.is_le(),
            Comparator::Greater => order.is_gt(),
            Comparator::GreaterOrEqual => order.is_ge(),
        }
    }

    const SIGNS: [(&str, Comparator); 6] = [
        ("=", Comparator::Equal),
        ("!=", Comparator::NotEqual),
        ("<", Comparator::Less),
        ("<=", Comparator::LessOrEqual),
        (">", Comparator::Greater),
        (">=", Comparator::GreaterOrEqual),
    ];

    /// Whole numbers around those where a float ends to hold each.
    fn whole() -> impl Strategy<Value = i64> {
        let edges = [0, 1, -1, 1 << 53, -(1 << 53), i64::MAX, i64::MIN, 1 << 62];
        prop_oneof![
            any::<i64>(),
            (0..edges.len(), -3i64..=3).prop_map(move |(at, by)| edges[at].saturating_add(by)),
            -20i64..20,
        ]
    }

    fn floating() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |n| n.is_finite()),
            (whole(), -2i64..=2).prop_map(|(int, by)| (int as f64) + (by as f64) / 2.0),
        ]
        .prop_map(|n| n + 0.0)
    }

    proptest! {
        #[test]
        fn a_moved_literal_means_the_same_for_whole_fields(literal in floating(), stored in whole()) {
            let literal_text = format!("{literal:?}");
            // The cast saturates, so the greatest and the least are among these.
            let near = literal as i64;
            for stored in [stored, near, near.saturating_add(1), near.saturating_sub(1)].map(Value::Int) {
                for (sign, comparator) in SIGNS {
                    let read = parse(&collection(), &format!("n {sign} {literal_text}"), false).expect("sound");
                    let exact = stored.order(&Value::Number(literal));
                    prop_assert_eq!(holds(&read[0], &stored), holds_by(comparator, exact), "{}", sign);
                }
            }
        }

        #[test]
        fn a_moved_literal_means_the_same_for_floating_fields(literal in whole(), stored in floating()) {
            for stored in [stored, literal as f64, (literal as f64).next_up(), (literal as f64).next_down()] {
                let stored = Value::Number(stored + 0.0);
                for (sign, comparator) in SIGNS {
                    let read = parse(&collection(), &format!("{literal} {sign} total"), false).expect("sound");
                    let exact = Value::Int(literal).order(&stored);
                    prop_assert_eq!(holds(&read[0], &stored), holds_by(comparator, exact), "{}", sign);
                }
            }
        }

        #[test]
        fn random_filters_never_panic(text in "[a-z0-9 ='\"\\\\<>!&|()~?@.:+-]{0,60}", any in any::<String>()) {
            let _ = parse(&collection(), &text, false);
            let _ = parse(&collection(), &any, true);
            let _ = crate::model::sort::parse(&collection(), &any, false);
        }
    }
}
