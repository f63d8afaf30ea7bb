//! Tokens to a tree, by precedence climbing. From loose to tight: `||`, `&&`, `!`, comparisons and `in`, `+ -`,
//! `* / %`, a sign, a value.
//!
//! Invariant: every recursion but that through the levels of precedence is counted, and bounded by
//! `limits::EXPRESSION_DEPTH_MAX`.

use crate::limits;
use crate::model::query::Comparator;

use super::Fault;
use super::lex::{Token, TokenKind, lex};
use super::tree::{Arithmetic, Expr, ExprKind, Modifier, Name, Sign};

/// Reads a whole expression.
///
/// # Errors
/// What is wrong, and where; also a text over `limits::FILTER_BYTES_MAX` or nested deeper than
/// `limits::EXPRESSION_DEPTH_MAX`.
pub fn parse(text: &str) -> Result<Expr<'_>, Fault> {
    if text.len() > limits::FILTER_BYTES_MAX {
        let message = format!("an expression has at most {} bytes", limits::FILTER_BYTES_MAX);
        return Err(Fault::new(limits::FILTER_BYTES_MAX, message));
    }
    let mut parser = Parser { tokens: lex(text)?, next: 0, end: text.len() };
    let expr = parser.binary(Level::Or, 0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(kind) => Err(Fault::new(parser.at(), beyond(kind))),
    }
}

/// How tightly an operator binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Compare,
    Sum,
    Product,
    Sign,
}

impl Level {
    fn tighter(self) -> Level {
        match self {
            Level::Or => Level::And,
            Level::And => Level::Compare,
            Level::Compare => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product | Level::Sign => Level::Sign,
        }
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Or,
    And,
    Compare(Sign, bool),
    In { negated: bool },
    Arithmetic(Arithmetic),
}

impl Operator {
    fn level(self) -> Level {
        match self {
            Operator::Or => Level::Or,
            Operator::And => Level::And,
            Operator::Compare(..) | Operator::In { .. } => Level::Compare,
            Operator::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => Level::Sum,
            Operator::Arithmetic(_) => Level::Product,
        }
    }
}

/// The operator that a token is, if any.
fn operator(kind: &TokenKind<'_>) -> Option<Operator> {
    let compare = |comparator| Operator::Compare(Sign::Order(comparator), false);
    let any = |comparator| Operator::Compare(Sign::Order(comparator), true);
    Some(match kind {
        TokenKind::Sign("||") | TokenKind::Name("or") => Operator::Or,
        TokenKind::Sign("&&") | TokenKind::Name("and") => Operator::And,
        TokenKind::Name("in") => Operator::In { negated: false },
        TokenKind::Sign(sign) => match *sign {
            "=" | "==" => compare(Comparator::Equal),
            "!=" => compare(Comparator::NotEqual),
            "<" => compare(Comparator::Less),
            "<=" => compare(Comparator::LessOrEqual),
            ">" => compare(Comparator::Greater),
            ">=" => compare(Comparator::GreaterOrEqual),
            "?=" | "?==" => any(Comparator::Equal),
            "?!=" => any(Comparator::NotEqual),
            "?<" => any(Comparator::Less),
            "?<=" => any(Comparator::LessOrEqual),
            "?>" => any(Comparator::Greater),
            "?>=" => any(Comparator::GreaterOrEqual),
            "~" => Operator::Compare(Sign::Like, false),
            "!~" => Operator::Compare(Sign::NotLike, false),
            "?~" => Operator::Compare(Sign::Like, true),
            "?!~" => Operator::Compare(Sign::NotLike, true),
            "+" => Operator::Arithmetic(Arithmetic::Add),
            "-" => Operator::Arithmetic(Arithmetic::Subtract),
            "*" => Operator::Arithmetic(Arithmetic::Multiply),
            "/" => Operator::Arithmetic(Arithmetic::Divide),
            "%" => Operator::Arithmetic(Arithmetic::Remainder),
            _ => return None,
        },
        _ => return None,
    })
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&TokenKind<'a>> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |token| token.at)
    }

    /// Takes the next token if it is that sign.
    fn take(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(TokenKind::Sign(sign)) if *sign == wanted);
        self.next += usize::from(found);
        found
    }

    /// The operator that stands next, and of how many tokens it is; nothing is taken.
    fn operator(&self) -> Option<(Operator, usize)> {
        let kind = self.peek()?;
        if *kind == TokenKind::Name("not") {
            let follows = self.tokens.get(self.next + 1).map(|token| &token.kind);
            return (follows == Some(&TokenKind::Name("in"))).then_some((Operator::In { negated: true }, 2));
        }
        Some((operator(kind)?, 1))
    }

    /// All that binds at least as tightly as `floor`.
    fn binary(&mut self, floor: Level, depth: usize) -> Result<Expr<'a>, Fault> {
        let mut left = self.prefix(floor, depth)?;
        let mut compared = false;
        while let Some((operator, tokens)) = self.operator() {
            let at = self.at();
            let level = operator.level();
            if level < floor {
                break;
            }
            if compared && level == Level::Compare {
                return Err(Fault::new(at, "a comparison can't be compared; join two by &&"));
            }
            compared = level == Level::Compare;
            self.next += tokens;
            let right = self.binary(level.tighter(), depth)?;
            left = joined(left, at, operator, right);
        }
        Ok(left)
    }

    /// Signs of negation, then a value. `!` takes a whole comparison, unless it stands within one.
    fn prefix(&mut self, floor: Level, depth: usize) -> Result<Expr<'a>, Fault> {
        let at = self.at();
        self.check_depth(depth)?;
        let mut count = 0;
        while matches!(self.peek(), Some(TokenKind::Sign("!") | TokenKind::Name("not"))) {
            self.next += 1;
            count += 1;
        }
        if count > 0 {
            let inner = self.binary(floor.max(Level::Compare), depth + 1)?;
            let twice = |inner| Expr { at, kind: ExprKind::Not(Box::new(inner)) };
            // Twice is not the same as never: it makes a condition of what was a value.
            return Ok(if count % 2 == 0 { twice(twice(inner)) } else { twice(inner) });
        }
        while self.take("-") {
            count += 1;
        }
        if count == 0 {
            return self.value(depth);
        }
        if let Some(TokenKind::Number(digits)) = self.peek() {
            let kind = number(digits, count % 2 == 1).ok_or_else(|| Fault::new(at, "too large a number"))?;
            self.next += 1;
            return Ok(Expr { at, kind });
        }
        let inner = self.prefix(Level::Sign, depth + 1)?;
        let negated = |inner| Expr { at, kind: ExprKind::Negate(Box::new(inner)) };
        Ok(if count % 2 == 0 { negated(negated(inner)) } else { negated(inner) })
    }

    fn check_depth(&self, depth: usize) -> Result<(), Fault> {
        if depth <= limits::EXPRESSION_DEPTH_MAX {
            return Ok(());
        }
        let message = format!("an expression is nested at most {} deep", limits::EXPRESSION_DEPTH_MAX);
        Err(Fault::new(self.at(), message))
    }

    /// A literal, a name, a call, a list, or an expression in parentheses.
    fn value(&mut self, depth: usize) -> Result<Expr<'a>, Fault> {
        let at = self.at();
        let Some(Token { kind, .. }) = self.tokens.get(self.next).cloned() else {
            return Err(Fault::new(at, "a field or a value is wanted here"));
        };
        self.next += 1;
        let kind = match kind {
            TokenKind::Number(digits) => number(digits, false).ok_or_else(|| Fault::new(at, "too large a number"))?,
            TokenKind::Text(text) => ExprKind::Text(text),
            TokenKind::Name("true") => ExprKind::Bool(true),
            TokenKind::Name("false") => ExprKind::Bool(false),
            TokenKind::Name("null") => ExprKind::Null,
            TokenKind::Name(word @ ("and" | "or" | "in")) => return Err(wanted(at, word)),
            TokenKind::Name(name) if self.take("(") => self.call(at, name, depth)?,
            TokenKind::Name(name) => ExprKind::Name(split_name(at, name)?),
            TokenKind::Sign("(") => {
                let inner = self.binary(Level::Or, depth + 1)?;
                self.close(")", "a parenthesis is not closed")?;
                return Ok(inner);
            }
            TokenKind::Sign("[") => ExprKind::List(self.items("]", "a list is not closed", depth)?),
            TokenKind::Sign(sign) => return Err(wanted(at, sign)),
        };
        Ok(Expr { at, kind })
    }

    fn call(&mut self, at: usize, name: &'a str, depth: usize) -> Result<ExprKind<'a>, Fault> {
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Fault::new(at, format!("there is no function {name:?}")));
        }
        let arguments = self.items(")", "a parenthesis is not closed", depth)?;
        let close = self.tokens[self.next - 1].at;
        let path = match self.peek() {
            Some(TokenKind::Name(path)) if path.starts_with('.') && self.at() == close + 1 => {
                let path = split_name(close + 2, &path[1..])?;
                self.next += 1;
                Some(path)
            }
            _ => None,
        };
        Ok(ExprKind::Call { name, arguments, path })
    }

    /// Expressions with commas between them, up to a bracket that is taken too.
    fn items(&mut self, close: &str, unclosed: &str, depth: usize) -> Result<Vec<Expr<'a>>, Fault> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(self.binary(Level::Or, depth + 1)?);
            if !self.take(",") {
                self.close(close, unclosed)?;
                return Ok(items);
            }
        }
    }

    fn close(&mut self, bracket: &str, unclosed: &str) -> Result<(), Fault> {
        if self.take(bracket) {
            return Ok(());
        }
        Err(Fault::new(self.at(), self.peek().map_or_else(|| unclosed.to_owned(), beyond)))
    }
}

/// Two sides and what stands between them; a level that goes on is one node.
fn joined<'a>(left: Expr<'a>, at: usize, operator: Operator, right: Expr<'a>) -> Expr<'a> {
    let (left_at, boxed) = (left.at, |expr| Box::new(expr));
    let kind = match (operator, left.kind) {
        (Operator::Or, ExprKind::Any(mut parts)) => {
            parts.push(right);
            return Expr { at: left_at, kind: ExprKind::Any(parts) };
        }
        (Operator::And, ExprKind::All(mut parts)) => {
            parts.push(right);
            return Expr { at: left_at, kind: ExprKind::All(parts) };
        }
        (Operator::Arithmetic(operator), ExprKind::Chain { first, mut rest })
            if rest.last().is_some_and(|(_, other, _)| is_sum(*other) == is_sum(operator)) =>
        {
            rest.push((at, operator, right));
            return Expr { at: left_at, kind: ExprKind::Chain { first, rest } };
        }
        (operator, kind) => {
            let left = Expr { at: left_at, kind };
            match operator {
                Operator::Or => ExprKind::Any(vec![left, right]),
                Operator::And => ExprKind::All(vec![left, right]),
                Operator::Compare(sign, any) => ExprKind::Compare { left: boxed(left), sign, any, right: boxed(right) },
                Operator::In { negated: false } => ExprKind::In { left: boxed(left), right: boxed(right) },
                Operator::In { negated: true } => {
                    let inner = ExprKind::In { left: boxed(left), right: boxed(right) };
                    ExprKind::Not(boxed(Expr { at, kind: inner }))
                }
                Operator::Arithmetic(operator) => {
                    ExprKind::Chain { first: boxed(left), rest: vec![(at, operator, right)] }
                }
            }
        }
    };
    Expr { at, kind }
}

fn is_sum(operator: Arithmetic) -> bool {
    matches!(operator, Arithmetic::Add | Arithmetic::Subtract)
}

/// A name into its path and its modifier.
fn split_name(at: usize, name: &str) -> Result<Name<'_>, Fault> {
    let (path, modifier) = match name.split_once(':') {
        None => (name, None),
        Some((path, word)) => {
            let unknown = || Fault::new(at + path.len(), format!("there is no modifier {word:?}"));
            let modifier = Modifier::named(word).ok_or_else(unknown)?;
            (path, Some(modifier))
        }
    };
    if path.get(1..).is_some_and(|rest| rest.contains('@')) {
        return Err(Fault::new(at, "a name has no @ in it"));
    }
    if path.split('.').any(str::is_empty) {
        return Err(Fault::new(at, "a name is missing beside a dot"));
    }
    Ok(Name { at, path, modifier })
}

fn number<'a>(digits: &str, negative: bool) -> Option<ExprKind<'a>> {
    let text = if negative { format!("-{digits}") } else { digits.to_owned() };
    if let Ok(int) = text.parse() {
        return Some(ExprKind::Int(int));
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| ExprKind::Number(number + 0.0))
}

fn wanted(at: usize, found: &str) -> Fault {
    Fault::new(at, format!("a field or a value is wanted here, not {found}"))
}

/// What stands where an expression should have ended.
fn beyond(token: &TokenKind<'_>) -> String {
    match token {
        TokenKind::Sign(")") => "this parenthesis was never opened".into(),
        TokenKind::Sign("]") => "this bracket was never opened".into(),
        TokenKind::Sign(sign) => format!("{sign} means nothing here"),
        TokenKind::Name(_) | TokenKind::Number(_) | TokenKind::Text(_) => "an operator is wanted here".into(),
    }
}
