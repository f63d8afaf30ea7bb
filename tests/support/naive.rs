//! The meaning of each part of the language, in the simplest words: everything is copied, nothing is prepared, names
//! are looked up each time. Shares with the server only the parser and the text of dates; records are plain maps.

#![allow(dead_code, unreachable_pub, reason = "which part is unused differs from binary to binary")]

use std::collections::BTreeMap;

use millpond::model::expr::{Arithmetic, Expr, ExprKind, Modifier, Name, Sign};
use millpond::model::query::Comparator;
use millpond::time::Millis;

#[derive(Clone, Debug, PartialEq)]
pub enum V {
    Null,
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(String),
    Date(i64),
    List(Vec<V>),
    Object(serde_json::Value),
}

/// What a path has to know of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    One,
    List,
    /// A relation to a collection, perhaps a list of them.
    To(String, bool),
}

/// The fields of a record by their names; what is absent is null.
pub type Row = BTreeMap<String, V>;

/// All records that can be looked at, and what their fields are.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub kinds: BTreeMap<String, BTreeMap<String, Kind>>,
    pub rows: BTreeMap<String, BTreeMap<String, Row>>,
}

/// What an expression is evaluated on: the first four are the record that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub records: &'a Records,
    pub collection: &'a str,
    pub id: &'a str,
    pub row: &'a Row,
    pub old: Option<&'a Row>,
    /// The caller's collection and id, and the caller's own record if there is a caller.
    pub caller: (&'a str, &'a str, Option<&'a Row>),
    pub body: &'a [(String, V)],
    pub query: &'a [(String, String)],
    pub method: &'a str,
    pub now: Millis,
    /// The names made from `now` that may stand in the expression.
    pub moments: &'a [(&'a str, V)],
}

impl<'a> Case<'a> {
    /// A record alone.
    pub fn of(records: &'a Records, collection: &'a str, id: &'a str, row: &'a Row) -> Case<'a> {
        Case {
            records,
            collection,
            id,
            row,
            old: None,
            caller: ("", "", None),
            body: &[],
            query: &[],
            method: "",
            now: Millis(0),
            moments: &[],
        }
    }
}

/// A value and what is known of it by how it was written.
struct Got {
    v: V,
    /// Its elements are compared one by one.
    spread: bool,
    /// It is a text of the query string.
    query: bool,
}

fn plain(v: V) -> Got {
    Got { v, spread: false, query: false }
}

/// What an expression gives.
pub fn value(case: &Case<'_>, tree: &Expr<'_>) -> V {
    eval(case, tree).v
}

/// Whether a condition holds.
pub fn holds_of(case: &Case<'_>, tree: &Expr<'_>) -> bool {
    is_true(&eval(case, tree).v)
}

/// The values of JSON, as a field of type `json` has them.
pub fn json(value: serde_json::Value) -> V {
    use serde_json::Value as J;
    match value {
        J::Null => V::Null,
        J::Bool(flag) => V::Bool(flag),
        J::Number(number) => match number.as_i64() {
            Some(int) => V::Int(int),
            None => V::Number(number.as_f64().expect("finite")),
        },
        J::String(text) => V::Text(text),
        J::Array(items) => V::List(items.into_iter().map(json).collect()),
        object @ J::Object(_) => V::Object(object),
    }
}

pub fn each(v: &V) -> Vec<V> {
    match v {
        V::Null => vec![],
        V::List(items) => items.clone(),
        one => vec![one.clone()],
    }
}

fn is_true(v: &V) -> bool {
    *v == V::Bool(true)
}

fn eval(case: &Case<'_>, tree: &Expr<'_>) -> Got {
    let inner = |expr: &Expr<'_>| eval(case, expr);
    match &tree.kind {
        ExprKind::Null => plain(V::Null),
        ExprKind::Bool(flag) => plain(V::Bool(*flag)),
        ExprKind::Int(int) => plain(V::Int(*int)),
        ExprKind::Number(number) => plain(V::Number(*number)),
        ExprKind::Text(text) => plain(V::Text(text.to_string())),
        ExprKind::List(items) => plain(V::List(items.iter().map(|item| inner(item).v).collect())),
        ExprKind::Name(name) => named(case, name),
        ExprKind::Call { name, arguments, path } => plain(call(case, name, arguments, path.as_ref())),
        ExprKind::Not(of) => plain(V::Bool(!is_true(&inner(of).v))),
        ExprKind::Negate(of) => plain(match inner(of).v {
            V::Int(int) => int.checked_neg().map_or(V::Number(-(int as f64)), V::Int),
            V::Number(number) => finite(-number),
            _ => V::Null,
        }),
        ExprKind::All(parts) => plain(V::Bool(parts.iter().all(|part| is_true(&inner(part).v)))),
        ExprKind::Any(parts) => plain(V::Bool(parts.iter().any(|part| is_true(&inner(part).v)))),
        ExprKind::Compare { left, sign, any, right } => plain(V::Bool(compare(case, left, *sign, *any, right))),
        ExprKind::In { left, right } => {
            let (left, right) = (each(&inner(left).v), each(&inner(right).v));
            let found = |a: &V| right.iter().any(|b| holds(Comparator::Equal, a, b));
            plain(V::Bool(!left.is_empty() && left.iter().all(found)))
        }
        ExprKind::Chain { first, rest } => {
            let start = inner(first).v;
            plain(rest.iter().fold(start, |sum, (_, operator, next)| calculate(*operator, &sum, &inner(next).v)))
        }
    }
}

fn finite(number: f64) -> V {
    if number.is_finite() { V::Number(number + 0.0) } else { V::Null }
}

fn float(v: &V) -> Option<f64> {
    match v {
        V::Int(int) => Some(*int as f64),
        V::Number(number) => Some(*number),
        _ => None,
    }
}

fn calculate(operator: Arithmetic, a: &V, b: &V) -> V {
    if let (V::Text(a), V::Text(b), Arithmetic::Add) = (a, b, operator) {
        return V::Text(format!("{a}{b}"));
    }
    if let (V::Int(a), V::Int(b)) = (a, b) {
        let (wide_a, wide_b) = (i128::from(*a), i128::from(*b));
        let exact = match operator {
            Arithmetic::Add => Some(wide_a + wide_b),
            Arithmetic::Subtract => Some(wide_a - wide_b),
            Arithmetic::Multiply => Some(wide_a * wide_b),
            Arithmetic::Remainder if *b == 0 => return V::Null,
            Arithmetic::Remainder => Some(wide_a % wide_b),
            Arithmetic::Divide => None,
        };
        if let Some(exact) = exact.and_then(|exact| i64::try_from(exact).ok()) {
            return V::Int(exact);
        }
    }
    let (Some(a), Some(b)) = (float(a), float(b)) else { return V::Null };
    match operator {
        Arithmetic::Add => finite(a + b),
        Arithmetic::Subtract => finite(a - b),
        Arithmetic::Multiply => finite(a * b),
        Arithmetic::Divide => finite(a / b),
        Arithmetic::Remainder => finite(a % b),
    }
}

fn compare(case: &Case<'_>, left: &Expr<'_>, sign: Sign, any: bool, right: &Expr<'_>) -> bool {
    let (mut a, mut b) = (eval(case, left), eval(case, right));
    let comparator = match sign {
        Sign::Order(comparator) => comparator,
        Sign::Like | Sign::NotLike => return like(&a, sign == Sign::NotLike, any, &b.v),
    };
    for (expr, other) in [(left, &b), (right, &a)] {
        if expr.kind == ExprKind::Null {
            let items = each(&other.v);
            if items.is_empty() {
                return comparator == Comparator::Equal;
            }
            let matching = |item: &V| (*item == V::Null) == (comparator == Comparator::Equal);
            return if any { items.iter().any(matching) } else { items.iter().all(matching) };
        }
    }
    for got in [&mut a, &mut b] {
        if let (true, V::Text(text)) = (got.query, &got.v) {
            got.v = text.parse().map_or_else(|_| text.parse().map_or(V::Null, finite), V::Int);
        }
    }
    let lists = matches!((&a.v, &b.v), (V::List(_), V::List(_)));
    let (left, right) = (each(&a.v), each(&b.v));
    if lists && !a.spread && !b.spread && !any {
        let same = left.len() == right.len() && left.iter().zip(&right).all(|(a, b)| holds(Comparator::Equal, a, b));
        return match comparator {
            Comparator::Equal => same,
            Comparator::NotEqual => !same,
            _ => false,
        };
    }
    let mut results = Vec::new();
    for a in &left {
        for b in &right {
            results.push(holds(comparator, a, b));
        }
    }
    if any { results.contains(&true) } else { !results.is_empty() && !results.contains(&false) }
}

/// Of two values that are no lists.
fn holds(comparator: Comparator, a: &V, b: &V) -> bool {
    use std::cmp::Ordering;
    let order = match (a, b) {
        (V::Null, _) | (_, V::Null) => return false,
        (V::Bool(a), V::Bool(b)) => Some(a.cmp(b)),
        (V::Int(a), V::Int(b)) => Some(a.cmp(b)),
        (V::Number(a), V::Number(b)) => a.partial_cmp(b),
        // Every number here fits 128 bits: a whole part and whether there is more.
        (V::Int(a), V::Number(b)) => Some(mixed(*a, *b)),
        (V::Number(a), V::Int(b)) => Some(mixed(*b, *a).reverse()),
        (V::Text(a), V::Text(b)) => Some(a.cmp(b)),
        (V::Date(a), V::Date(b)) => Some(a.cmp(b)),
        (V::Date(a), V::Text(b)) => Millis::parse(b).map(|b| a.cmp(&b.0)),
        (V::Text(a), V::Date(b)) => Millis::parse(a).map(|a| a.0.cmp(b)),
        (V::Object(a), V::Object(b)) => Some(a.to_string().cmp(&b.to_string())),
        _ => None,
    };
    match (comparator, order) {
        (Comparator::NotEqual, order) => order != Some(Ordering::Equal),
        (_, None) => false,
        (Comparator::Equal, Some(order)) => order.is_eq(),
        (Comparator::Less, Some(order)) => order.is_lt(),
        (Comparator::LessOrEqual, Some(order)) => order.is_le(),
        (Comparator::Greater, Some(order)) => order.is_gt(),
        (Comparator::GreaterOrEqual, Some(order)) => order.is_ge(),
    }
}

fn mixed(int: i64, number: f64) -> std::cmp::Ordering {
    let whole = number.floor();
    i128::from(int).cmp(&(whole as i128)).then(if number > whole {
        std::cmp::Ordering::Less
    } else {
        std::cmp::Ordering::Equal
    })
}

fn like(left: &Got, negated: bool, any: bool, pattern: &V) -> bool {
    let Some(pattern) = shown(pattern) else { return false };
    // To letters, with None for what stands for any characters.
    let mut form: Vec<Option<char>> = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'%') => form.push(chars.next()),
            '%' => form.push(None),
            other => form.push(Some(other.to_ascii_lowercase())),
        }
    }
    if !form.contains(&None) {
        form.insert(0, None);
        form.push(None);
    }
    fn fits(form: &[Option<char>], text: &[char]) -> bool {
        match form.split_first() {
            None => text.is_empty(),
            Some((None, rest)) => (0..=text.len()).any(|from| fits(rest, &text[from..])),
            Some((Some(c), rest)) => text.first() == Some(c) && fits(rest, &text[1..]),
        }
    }
    let one = |v: &V| {
        shown(v).is_some_and(|text| {
            let text: Vec<char> = text.chars().map(|c| c.to_ascii_lowercase()).collect();
            fits(&form, &text) != negated
        })
    };
    match &left.v {
        V::List(items) if any || (!left.spread && !negated) => items.iter().any(one),
        V::List(items) => !items.is_empty() && items.iter().all(one),
        v => one(v),
    }
}

fn shown(v: &V) -> Option<String> {
    Some(match v {
        V::Null | V::List(_) => return None,
        V::Bool(flag) => flag.to_string(),
        V::Int(int) => int.to_string(),
        V::Number(number) => number.to_string(),
        V::Text(text) => text.clone(),
        V::Date(at) => Millis(*at).to_string(),
        V::Object(object) => object.to_string(),
    })
}

fn named(case: &Case<'_>, name: &Name<'_>) -> Got {
    let sent = |key: &str| case.body.iter().find(|(name, _)| name == key).map(|(_, v)| v.clone());
    let asked = |key: &str| case.query.iter().find(|(name, _)| name == key).map(|(_, text)| V::Text(text.clone()));
    let parts = (
        name.path.strip_prefix("@request.body."),
        name.path.strip_prefix("@request.query."),
        name.path.strip_prefix("@request.auth."),
        name.path.strip_prefix("@old."),
    );
    let (caller, caller_id, caller_row) = case.caller;
    let (v, mut spread) = match parts {
        (Some(key), ..) => (sent(key).unwrap_or(V::Null), false),
        (_, Some(key), ..) => (asked(key).unwrap_or(V::Null), false),
        (.., Some(path), _) => walked(case.records, caller, caller_id, caller_row, path),
        (.., Some(path)) => walked(case.records, case.collection, case.id, case.old, path),
        _ if name.path == "@request.method" => (V::Text(case.method.into()), false),
        _ if name.path == "@now" => (V::Date(case.now.0), false),
        _ => match case.moments.iter().find(|(known, _)| *known == name.path) {
            Some((_, v)) => (v.clone(), false),
            None => walked(case.records, case.collection, case.id, Some(case.row), name.path),
        },
    };
    let field = |row: &Row, key: &str| row.get(key).cloned().unwrap_or(V::Null);
    let v = match name.modifier {
        None => v,
        Some(Modifier::Each) => {
            spread = true;
            v
        }
        Some(Modifier::Lower) => match v {
            V::Text(text) => V::Text(text.to_lowercase()),
            _ => V::Null,
        },
        Some(Modifier::Length) => length(&v),
        Some(Modifier::IsSet) => V::Bool(match parts {
            (Some(key), ..) => sent(key).is_some(),
            (_, Some(key), ..) => asked(key).is_some(),
            _ => !each(&v).is_empty() && each(&v).iter().any(|item| *item != V::Null),
        }),
        Some(Modifier::Changed) => V::Bool(match parts.0 {
            Some(key) => sent(key).is_some_and(|sent| sent != field(case.old.unwrap_or(case.row), key)),
            None => field(case.row, name.path) != case.old.map_or(V::Null, |old| field(old, name.path)),
        }),
    };
    Got { v, spread, query: parts.1.is_some() }
}

/// The value at a path from a record, and whether its elements are compared one by one: the way there went through a
/// list, or through relations to one.
fn walked(records: &Records, from: &str, id: &str, row: Option<&Row>, path: &str) -> (V, bool) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    if name == "id" {
        return (row.map_or(V::Null, |_| V::Text(id.into())), false);
    }
    if name == "collectionName" {
        return (row.map_or(V::Null, |_| V::Text(from.into())), false);
    }
    let none = Row::new();
    if let Some((source, relation)) = name.split_once("_via_") {
        let Some(_) = row else { return (V::Null, true) };
        let mut found = Vec::new();
        for (other, row) in &records.rows[source] {
            let points = match row.get(relation) {
                Some(V::Text(one)) => one == id,
                Some(V::List(items)) => items.iter().any(|item| matches!(item, V::Text(one) if one == id)),
                _ => false,
            };
            if points {
                let v = walked(records, source, other, Some(row), rest.unwrap_or("id")).0;
                found.extend(if each(&v).is_empty() { vec![V::Null] } else { each(&v) });
            }
        }
        return (V::List(found), true);
    }
    let v = row.unwrap_or(&none).get(name).cloned().unwrap_or(V::Null);
    let kind = records.kinds[from].get(name).unwrap_or_else(|| panic!("there is no field {name:?} of {from:?}"));
    let Some(rest) = rest else { return (v, false) };
    if let Kind::To(target, many) = kind
        && rest.parse::<usize>().is_err()
    {
        if rest == "id" {
            return (v, *many);
        }
        // The way is the same where there is nothing.
        let further = goes_through_a_list(records, target, rest);
        let list = *many || further;
        let mut found = Vec::new();
        for other in each(&v) {
            let V::Text(other) = other else { panic!("an id") };
            let Some(row) = records.rows[target].get(&other) else { continue };
            let v = walked(records, target, &other, Some(row), rest).0;
            if list {
                found.extend(if each(&v).is_empty() { vec![V::Null] } else { each(&v) });
            } else {
                found.push(v);
            }
        }
        let v = match row {
            None => V::Null,
            Some(_) if list => V::List(found),
            Some(_) => found.pop().unwrap_or(V::Null),
        };
        return (v, list || ends_in_a_list(records, target, rest));
    }
    let v = rest.split('.').fold(v, |v, key| match (v, key.parse::<usize>()) {
        (V::List(items), Ok(at)) => items.get(at).cloned().unwrap_or(V::Null),
        (V::List(items), Err(_)) => V::List(
            items
                .into_iter()
                .filter_map(|item| match item {
                    V::Object(object) => Some(each(&json(object.get(key).cloned().unwrap_or_default()))),
                    _ => None,
                })
                .flatten()
                .collect(),
        ),
        (V::Object(object), _) => json(object.get(key).cloned().unwrap_or_default()),
        _ => V::Null,
    });
    (v, false)
}

fn goes_through_a_list(records: &Records, from: &str, path: &str) -> bool {
    let Some((name, rest)) = path.split_once('.') else { return path.contains("_via_") };
    match records.kinds[from].get(name) {
        Some(Kind::To(_, many)) if rest == "id" => *many,
        Some(Kind::To(target, many)) if rest.parse::<usize>().is_err() => {
            *many || goes_through_a_list(records, target, rest)
        }
        Some(_) => false,
        None => true,
    }
}

fn ends_in_a_list(records: &Records, from: &str, path: &str) -> bool {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    match (records.kinds[from].get(name), rest) {
        (Some(Kind::List | Kind::To(_, true)), None) => true,
        (Some(Kind::To(target, _)), Some(rest)) if rest.parse::<usize>().is_err() => {
            ends_in_a_list(records, target, rest)
        }
        _ => false,
    }
}

fn length(v: &V) -> V {
    match v {
        V::Null => V::Int(0),
        V::Text(text) => V::Int(text.chars().count() as i64),
        V::List(items) => V::Int(items.len() as i64),
        _ => V::Null,
    }
}

fn call(case: &Case<'_>, name: &str, arguments: &[Expr<'_>], path: Option<&Name<'_>>) -> V {
    let values: Vec<V> = arguments.iter().map(|argument| eval(case, argument).v).collect();
    let items = |v: &V| each(v).into_iter().filter(|item| *item != V::Null).collect::<Vec<_>>();
    let when = |v: &V| match v {
        V::Date(at) => Some(Millis(*at)),
        V::Text(text) => Millis::parse(text),
        _ => None,
    };
    let part = |from: usize, to: usize| match when(&values[0]) {
        Some(at) => V::Int(at.to_string()[from..to].parse().expect("digits")),
        None => V::Null,
    };
    match (name, values.as_slice()) {
        ("now", _) => V::Date(case.now.0),
        ("lookup", [V::Text(collection), V::Text(id)]) => {
            let row = case.records.rows[collection].get(id);
            walked(case.records, collection, id, row, path.expect("a path").path).0
        }
        ("lower", [V::Text(text)]) => V::Text(text.to_lowercase()),
        ("upper", [V::Text(text)]) => V::Text(text.to_uppercase()),
        ("trim", [V::Text(text)]) => V::Text(text.trim().into()),
        ("len", [v]) => length(v),
        ("abs", [V::Int(int)]) => int.checked_abs().map_or(V::Number((*int as f64).abs()), V::Int),
        ("abs", [V::Number(number)]) => V::Number(number.abs()),
        ("round", [V::Int(int), V::Int(_)]) => V::Int(*int),
        ("round", [V::Number(number), V::Int(digits)]) => {
            let unit = 10f64.powi(*digits as i32);
            let rounded = (number * unit).round() / unit;
            if rounded.is_finite() { V::Number(rounded + 0.0) } else { V::Number(*number) }
        }
        ("min" | "max", all) => {
            let comparator = if name == "min" { Comparator::Less } else { Comparator::Greater };
            let mut best = V::Null;
            for item in all.iter().flat_map(items) {
                if best == V::Null || holds(comparator, &item, &best) {
                    best = item;
                }
            }
            best
        }
        ("count", [v]) => V::Int(items(v).len() as i64),
        ("sum", [v]) => {
            let mut whole = Some(0i64);
            let mut sum = 0.0;
            for item in items(v) {
                whole = match (whole, &item) {
                    (Some(whole), V::Int(int)) => whole.checked_add(*int),
                    _ => None,
                };
                sum += float(&item).unwrap_or(0.0);
            }
            whole.map_or(finite(sum), V::Int)
        }
        ("avg", [v]) => {
            let numbers: Vec<f64> = items(v).iter().filter_map(float).collect();
            if numbers.is_empty() { V::Null } else { finite(numbers.iter().sum::<f64>() / numbers.len() as f64) }
        }
        ("contains", [V::Text(text), V::Text(part)]) => V::Bool(text.contains(part)),
        ("contains", [V::List(items), part]) => V::Bool(items.iter().any(|item| holds(Comparator::Equal, item, part))),
        ("startsWith", [V::Text(text), V::Text(part)]) => V::Bool(text.starts_with(part)),
        ("endsWith", [V::Text(text), V::Text(part)]) => V::Bool(text.ends_with(part)),
        ("matches", [V::Text(text), V::Text(pattern)]) if pattern == "^[a-z]$" => {
            V::Bool(text.len() == 1 && text.bytes().all(|b| b.is_ascii_lowercase()))
        }
        ("contains" | "startsWith" | "endsWith" | "matches", _) => V::Bool(false),
        ("coalesce", all) => all.iter().find(|v| **v != V::Null).cloned().unwrap_or(V::Null),
        ("if", [condition, yes, no]) => {
            if is_true(condition) {
                yes.clone()
            } else {
                no.clone()
            }
        }
        ("date", [v]) => when(v).map_or(V::Null, |at| V::Text(at.to_string()[..10].into())),
        ("year", _) => part(0, 4),
        ("month", _) => part(5, 7),
        ("day", _) => part(8, 10),
        ("hour", _) => part(11, 13),
        ("addDays", [v, days]) => match (when(v), float(days)) {
            (Some(at), Some(days)) => {
                let millis = at.0 as f64 + (days * 86_400_000.0).round();
                let inside = millis >= Millis::MIN.0 as f64 && millis <= Millis::MAX.0 as f64;
                if inside { V::Date(millis as i64) } else { V::Null }
            }
            _ => V::Null,
        },
        _ => V::Null,
    }
}
