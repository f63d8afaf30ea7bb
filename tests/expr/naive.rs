//! The meaning of each part of the language, in the simplest words: everything is copied, nothing is prepared, names
//! are looked up each time. Shares with the server only the parser, the values of fields and the text of dates.

use millpond::model::expr::{Arithmetic, Expr, ExprKind, Modifier, Name, Sign};
use millpond::model::query::Comparator;
use millpond::model::schema::{Collection, FieldKind};
use millpond::model::value::{Fields, Value};
use millpond::time::Millis;

use crate::world::{NOW, World};

#[derive(Clone, Debug, PartialEq)]
enum V {
    Null,
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(String),
    Date(i64),
    List(Vec<V>),
    Object(serde_json::Value),
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

pub(crate) fn value(world: &World, tree: &Expr<'_>) -> Value {
    out(eval(world, tree).v)
}

fn out(v: V) -> Value {
    match v {
        V::Null => Value::Null,
        V::Bool(flag) => Value::Bool(flag),
        V::Int(int) => Value::Int(int),
        V::Number(number) => Value::Number(number),
        V::Text(text) => Value::text(text),
        V::Date(at) => Value::Date(Millis(at)),
        V::List(items) => Value::List(items.into_iter().map(out).collect()),
        V::Object(object) => Value::Json(object.to_string().into()),
    }
}

fn stored(value: &Value) -> V {
    match value {
        Value::Null => V::Null,
        Value::Bool(flag) => V::Bool(*flag),
        Value::Int(int) => V::Int(*int),
        Value::Number(number) => V::Number(*number),
        Value::Text(text) => V::Text(text.to_string()),
        Value::Date(at) => V::Date(at.0),
        Value::List(items) => V::List(items.iter().map(stored).collect()),
        Value::Json(text) => json(serde_json::from_str(text).expect("json")),
        Value::Point(..) => V::Null,
    }
}

fn json(value: serde_json::Value) -> V {
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

fn each(v: &V) -> Vec<V> {
    match v {
        V::Null => vec![],
        V::List(items) => items.clone(),
        one => vec![one.clone()],
    }
}

fn is_true(v: &V) -> bool {
    *v == V::Bool(true)
}

fn eval(world: &World, tree: &Expr<'_>) -> Got {
    let inner = |expr: &Expr<'_>| eval(world, expr);
    match &tree.kind {
        ExprKind::Null => plain(V::Null),
        ExprKind::Bool(flag) => plain(V::Bool(*flag)),
        ExprKind::Int(int) => plain(V::Int(*int)),
        ExprKind::Number(number) => plain(V::Number(*number)),
        ExprKind::Text(text) => plain(V::Text(text.to_string())),
        ExprKind::List(items) => plain(V::List(items.iter().map(|item| inner(item).v).collect())),
        ExprKind::Name(name) => named(world, name),
        ExprKind::Call { name, arguments, path } => plain(call(world, name, arguments, path.as_ref())),
        ExprKind::Not(of) => plain(V::Bool(!is_true(&inner(of).v))),
        ExprKind::Negate(of) => plain(match inner(of).v {
            V::Int(int) => int.checked_neg().map_or(V::Number(-(int as f64)), V::Int),
            V::Number(number) => finite(-number),
            _ => V::Null,
        }),
        ExprKind::All(parts) => plain(V::Bool(parts.iter().all(|part| is_true(&inner(part).v)))),
        ExprKind::Any(parts) => plain(V::Bool(parts.iter().any(|part| is_true(&inner(part).v)))),
        ExprKind::Compare { left, sign, any, right } => plain(V::Bool(compare(world, left, *sign, *any, right))),
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

fn compare(world: &World, left: &Expr<'_>, sign: Sign, any: bool, right: &Expr<'_>) -> bool {
    let (mut a, mut b) = (eval(world, left), eval(world, right));
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

fn named(world: &World, name: &Name<'_>) -> Got {
    let pairs =
        |pairs: &[(Box<str>, Value)], key: &str| pairs.iter().find(|(name, _)| **name == *key).map(|(_, v)| stored(v));
    let mut query = false;
    let (v, mut spread) = match name.path {
        "@now" => (V::Date(NOW.0), false),
        "@todayStart" => (parsed("2024-02-29"), false),
        "@yearEnd" => (parsed("2024-12-31 23:59:59.999"), false),
        "@day" => (V::Int(29), false),
        "@year" => (V::Int(2024), false),
        "@request.method" => (V::Text("POST".into()), false),
        "@request.query.min" => {
            query = true;
            (world.query.first().map_or(V::Null, |(_, text)| V::Text(text.to_string())), false)
        }
        path => {
            match (path.strip_prefix("@request.body."), path.strip_prefix("@request.auth."), path.strip_prefix("@old."))
            {
                (Some(key), _, _) => (pairs(&world.body, key).unwrap_or(V::Null), false),
                (_, Some(path), _) => walked(world, &world.users[0], "u1", world.caller.as_ref(), path),
                (_, _, Some(path)) => walked(world, &world.orders, "o1", world.old.as_ref(), path),
                _ => walked(world, &world.orders, "o1", Some(&world.order), path),
            }
        }
    };
    let field = |path: &str, fields: &Fields| stored(fields.get(world.orders.field(path).expect("a field").id));
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
        Some(Modifier::IsSet) => V::Bool(match name.path.rsplit_once('.') {
            Some(("@request.body", key)) => pairs(&world.body, key).is_some(),
            Some(("@request.query", _)) => !world.query.is_empty(),
            _ => !each(&v).is_empty() && each(&v).iter().any(|item| *item != V::Null),
        }),
        Some(Modifier::Changed) => V::Bool(match name.path.rsplit_once('.') {
            Some((_, key)) => {
                let before = field(key, world.old.as_ref().unwrap_or(&world.order));
                pairs(&world.body, key).is_some_and(|sent| sent != before)
            }
            None => field(name.path, &world.order) != world.old.as_ref().map_or(V::Null, |old| field(name.path, old)),
        }),
    };
    Got { v, spread, query }
}

fn parsed(text: &str) -> V {
    Millis::parse(text).map_or(V::Null, |at| V::Date(at.0))
}

/// The value at a path from a record, and whether the way there went through a list.
fn walked(world: &World, from: &Collection, id: &str, fields: Option<&Fields>, path: &str) -> (V, bool) {
    let Some(fields) = fields else {
        // The way is the same where there is nothing.
        let (_, spread) = walked(world, from, id, Some(&Fields::new()), path);
        return (V::Null, spread);
    };
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    if name == "id" {
        return (V::Text(id.into()), false);
    }
    if let Some((source, relation)) = name.split_once("_via_") {
        let source = world.schema.find(source).expect("a collection");
        let field = source.field(relation).expect("a field").id;
        let mut found = Vec::new();
        for ((collection, other), fields) in &world.records {
            if *collection == source.id && each(&stored(fields.get(field))).contains(&V::Text(id.into())) {
                let v = walked(world, source, other, Some(fields), rest.expect("a path")).0;
                found.extend(if each(&v).is_empty() { vec![V::Null] } else { each(&v) });
            }
        }
        return (V::List(found), true);
    }
    let field = from.field(name).expect("a field");
    let v = stored(fields.get(field.id));
    let Some(rest) = rest else { return (v, false) };
    if let FieldKind::Relation { collection, .. } = field.kind {
        if rest == "id" {
            return (v, field.kind.is_list());
        }
        let target = world.schema.get(collection).expect("a collection");
        let nothing = walked(world, target, "", Some(&Fields::new()), rest);
        let list = field.kind.is_list() || nothing.1;
        // A list at the end of a way is one, also where the way is broken off.
        let ends_in_list = rest.ends_with("roles");
        let mut found = Vec::new();
        for other in each(&v) {
            let V::Text(other) = other else { panic!("an id") };
            let Some(fields) = world.records.get(&(collection, other.clone())) else { continue };
            let v = walked(world, target, &other, Some(fields), rest).0;
            if list {
                found.extend(if each(&v).is_empty() { vec![V::Null] } else { each(&v) });
            } else {
                found.push(v);
            }
        }
        let v = if list { V::List(found) } else { found.pop().unwrap_or(V::Null) };
        return (v, list || ends_in_list);
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

fn length(v: &V) -> V {
    match v {
        V::Null => V::Int(0),
        V::Text(text) => V::Int(text.chars().count() as i64),
        V::List(items) => V::Int(items.len() as i64),
        _ => V::Null,
    }
}

fn call(world: &World, name: &str, arguments: &[Expr<'_>], path: Option<&Name<'_>>) -> V {
    let values: Vec<V> = arguments.iter().map(|argument| eval(world, argument).v).collect();
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
        ("now", _) => V::Date(NOW.0),
        ("lookup", [V::Text(collection), V::Text(id)]) => {
            let collection = world.schema.find(collection).expect("a collection");
            let fields = world.records.get(&(collection.id, id.clone()));
            walked(world, collection, id, fields.map(|fields| &**fields), path.expect("a path").path).0
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
