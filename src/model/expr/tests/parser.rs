//! What is read, as a text with all its parentheses; what is refused, with its column.

use super::*;
use crate::limits;
use crate::model::query::Comparator;

fn shown(expr: &Expr<'_>) -> String {
    let list = |items: &[Expr<'_>], by: &str| items.iter().map(shown).collect::<Vec<_>>().join(by);
    match &expr.kind {
        ExprKind::Null => "null".into(),
        ExprKind::Bool(flag) => flag.to_string(),
        ExprKind::Int(int) => int.to_string(),
        ExprKind::Number(number) => format!("{number:?}"),
        ExprKind::Text(text) => format!("{text:?}"),
        ExprKind::List(items) => format!("[{}]", list(items, ", ")),
        ExprKind::Name(name) => name_shown(name),
        ExprKind::Call { name, arguments, path } => {
            let path = path.as_ref().map_or(String::new(), |path| format!(".{}", name_shown(path)));
            format!("{name}({}){path}", list(arguments, ", "))
        }
        ExprKind::Not(inner) => format!("!{}", shown(inner)),
        ExprKind::Negate(inner) => format!("-{}", shown(inner)),
        ExprKind::All(parts) => format!("({})", list(parts, " && ")),
        ExprKind::Any(parts) => format!("({})", list(parts, " || ")),
        ExprKind::Compare { left, sign, any, right } => {
            let sign = match sign {
                Sign::Order(Comparator::Equal) => "=",
                Sign::Order(Comparator::NotEqual) => "!=",
                Sign::Order(Comparator::Less) => "<",
                Sign::Order(Comparator::LessOrEqual) => "<=",
                Sign::Order(Comparator::Greater) => ">",
                Sign::Order(Comparator::GreaterOrEqual) => ">=",
                Sign::Like => "~",
                Sign::NotLike => "!~",
            };
            format!("({} {}{sign} {})", shown(left), if *any { "?" } else { "" }, shown(right))
        }
        ExprKind::In { left, right } => format!("({} in {})", shown(left), shown(right)),
        ExprKind::Chain { first, rest } => {
            let sign = |operator| match operator {
                Arithmetic::Add => "+",
                Arithmetic::Subtract => "-",
                Arithmetic::Multiply => "*",
                Arithmetic::Divide => "/",
                Arithmetic::Remainder => "%",
            };
            let rest: String =
                rest.iter().map(|(_, operator, next)| format!(" {} {}", sign(*operator), shown(next))).collect();
            format!("({}{rest})", shown(first))
        }
    }
}

fn name_shown(name: &Name<'_>) -> String {
    match name.modifier {
        None => name.path.to_owned(),
        Some(modifier) => format!("{}:{modifier:?}", name.path),
    }
}

fn read(text: &str) -> String {
    match parse(text) {
        Ok(tree) => shown(&tree),
        Err(fault) => format!("column {}: {}", fault.at + 1, fault.message),
    }
}

#[test]
fn texts_become_trees() {
    let table = [
        ("a = 1", "(a = 1)"),
        ("a==1", "(a = 1)"),
        ("a = 1 && b = 2 && c = 3", "((a = 1) && (b = 2) && (c = 3))"),
        ("a = 1 or b = 2 and c = 3", "((a = 1) || ((b = 2) && (c = 3)))"),
        ("(a = 1 or b = 2) and c = 3", "(((a = 1) || (b = 2)) && (c = 3))"),
        ("a || (b || c)", "(a || (b || c))"),
        ("!a = 1", "!(a = 1)"),
        ("not a = 1 and b", "(!(a = 1) && b)"),
        ("!!a", "!!a"),
        ("!!!a", "!a"),
        ("a = !b", "(a = !b)"),
        ("!(a || b)", "!(a || b)"),
        ("1 + 2 * 3 - 4", "(1 + (2 * 3) - 4)"),
        ("(1 + 2) * 3", "((1 + 2) * 3)"),
        ("1 - (2 - 3)", "(1 - (2 - 3))"),
        ("a*b/c%d", "(a * b / c % d)"),
        ("-a * 2", "(-a * 2)"),
        ("- 5", "-5"),
        ("--5", "5"),
        ("--a", "--a"),
        ("1 -1", "(1 - 1)"),
        ("-(1+2)", "-(1 + 2)"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "9.223372036854776e18"),
        ("a + 1 > b - 2", "((a + 1) > (b - 2))"),
        ("a in [1, 2] && b not in ['x']", "((a in [1, 2]) && !(b in [\"x\"]))"),
        ("[]", "[]"),
        ("a ?= 1 && b ?!~ 'x' && c ?>= 2", "((a ?= 1) && (b ?!~ \"x\") && (c ?>= 2))"),
        ("a ~ 'x' || a !~ \"y\"", "((a ~ \"x\") || (a !~ \"y\"))"),
        ("user.name:lower = 'x'", "(user.name:Lower = \"x\")"),
        ("@request.body.x:isset", "@request.body.x:IsSet"),
        ("f()", "f()"),
        ("f(a, g(1) + 2, [3])", "f(a, (g(1) + 2), [3])"),
        ("lookup('x', id).state.y:lower", "lookup(\"x\", id).state.y:Lower"),
        ("if(a, b, c) = 1", "(if(a, b, c) = 1)"),
        ("a = 1 // b = 2\n && c = 3", "((a = 1) && (c = 3))"),
        (r"a = '\d+ \'x\' \\ \% \n'", r#"(a = "\\d+ 'x' \\ \\% \n")"#),
        ("(a = 1) = (b = 2)", "((a = 1) = (b = 2))"),
        ("null", "null"),
        ("meta.tags.0 = 1.50", "(meta.tags.0 = 1.5)"),
    ];
    assert_rows(table.map(|(text, expected)| (text, read(text), expected)));
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    let table = [
        ("", "column 1: a field or a value is wanted here"),
        ("a =", "column 4: a field or a value is wanted here"),
        ("= 1", "column 1: a field or a value is wanted here, not ="),
        ("a = 1 = 2", "column 7: a comparison can't be compared; join two by &&"),
        ("a in b in c", "column 8: a comparison can't be compared; join two by &&"),
        ("a b", "column 3: an operator is wanted here"),
        ("a not b", "column 3: an operator is wanted here"),
        ("(a", "column 3: a parenthesis is not closed"),
        ("a)", "column 2: this parenthesis was never opened"),
        ("[a", "column 3: a list is not closed"),
        ("[a,]", "column 4: a field or a value is wanted here, not ]"),
        ("a]", "column 2: this bracket was never opened"),
        ("(a]", "column 3: this bracket was never opened"),
        ("f(a", "column 4: a parenthesis is not closed"),
        ("f(,)", "column 3: a field or a value is wanted here, not ,"),
        ("a.b(1)", "column 1: there is no function \"a.b\""),
        ("a:nope", "column 2: there is no modifier \"nope\""),
        ("a:lower:length", "column 2: there is no modifier \"lower:length\""),
        ("a..b", "column 1: a name is missing beside a dot"),
        ("a.", "column 1: a name is missing beside a dot"),
        (".a", "column 1: a name is missing beside a dot"),
        ("(a).b", "column 4: an operator is wanted here"),
        ("f(a) .b", "column 6: an operator is wanted here"),
        ("a@b", "column 1: a name has no @ in it"),
        ("'x", "column 1: this text has no end"),
        ("1x", "column 1: not a number"),
        ("1e999", "column 1: too large a number"),
        ("a & b", "column 3: & means nothing here"),
        ("a ? b", "column 3: ? means nothing here"),
        ("a # b", "column 3: '#' means nothing here"),
        ("\u{e9} = 1", "column 1: 'é' means nothing here"),
        ("a and", "column 6: a field or a value is wanted here"),
        ("a && or", "column 6: a field or a value is wanted here, not or"),
        ("in = 1", "column 1: a field or a value is wanted here, not in"),
    ];
    assert_rows(table.map(|(text, expected)| (text, read(text), expected)));
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let deepest = limits::EXPRESSION_DEPTH_MAX;
    for (open, close) in [("(", ")"), ("[", "]"), ("f(", ")"), ("1+(", ")"), ("a = (", ")"), ("-!", "")] {
        let depth = if close.is_empty() { deepest / 2 } else { deepest };
        assert!(parse(&nested(open, close, depth)).is_ok(), "{open}");
        let fault = parse(&nested(open, close, depth + 1)).expect_err("deeper");
        assert!(fault.message.contains("nested at most 64 deep"), "{open}: {fault:?}");
        assert!(parse(&nested(open, close, 1_000)).is_err());
        assert!(parse(&open.repeat(limits::FILTER_BYTES_MAX / open.len())).is_err());
    }
    let long = |unit: &str| format!("1{}", unit.repeat((limits::FILTER_BYTES_MAX - 1) / unit.len()));
    for unit in ["+1", "*1", "&&1", "||1", "-1+1*1"] {
        assert!(parse(&long(unit)).is_ok(), "{unit}: what stands beside each other is not nested");
    }
    let fault = parse(&" ".repeat(limits::FILTER_BYTES_MAX + 1)).expect_err("longer");
    assert_eq!(fault.at, limits::FILTER_BYTES_MAX);
}
