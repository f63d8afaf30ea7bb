//! Tokens to a tree: by recursion over parentheses alone, and those are counted.

use crate::limits;
use crate::model::query::Comparator;

use super::lex::{Token, TokenKind, lex};
use super::{Expr, Fault, Term, TermKind};

/// Reads a whole expression.
///
/// # Errors
/// What is wrong or not known yet, and where; also a text over `limits::FILTER_BYTES_MAX` or nested deeper than
/// `limits::EXPRESSION_DEPTH_MAX`.
pub fn parse(text: &str) -> Result<Expr<'_>, Fault> {
    if text.len() > limits::FILTER_BYTES_MAX {
        let message = format!("an expression has at most {} bytes", limits::FILTER_BYTES_MAX);
        return Err(Fault::new(limits::FILTER_BYTES_MAX, message));
    }
    let mut parser = Parser { tokens: lex(text)?, next: 0, end: text.len() };
    let expr = parser.all(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(Fault::new(token.at, beyond(&token.kind))),
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.next)
    }

    /// Takes the next token if it is one of these words or signs.
    fn take(&mut self, wanted: &[&str]) -> bool {
        let found = match self.peek().map(|token| &token.kind) {
            Some(TokenKind::Sign(sign)) => wanted.contains(sign),
            Some(TokenKind::Name(name)) => wanted.contains(name),
            _ => false,
        };
        self.next += usize::from(found);
        found
    }

    fn at(&self) -> usize {
        self.peek().map_or(self.end, |token| token.at)
    }

    /// `part && part && …`
    fn all(&mut self, depth: usize) -> Result<Expr<'a>, Fault> {
        let first = self.part(depth)?;
        if !matches!(self.peek().map(|t| &t.kind), Some(TokenKind::Sign("&&") | TokenKind::Name("and"))) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take(&["&&", "and"]) {
            parts.push(self.part(depth)?);
        }
        Ok(Expr::All(parts))
    }

    /// A comparison, or an expression in parentheses.
    fn part(&mut self, depth: usize) -> Result<Expr<'a>, Fault> {
        let at = self.at();
        if depth > limits::EXPRESSION_DEPTH_MAX {
            let message = format!("an expression is nested at most {} deep", limits::EXPRESSION_DEPTH_MAX);
            return Err(Fault::new(at, message));
        }
        if self.take(&["("]) {
            let inner = self.all(depth + 1)?;
            let close = self.at();
            if self.take(&[")"]) {
                return Ok(inner);
            }
            let message = match self.peek() {
                None => "a parenthesis is not closed".to_owned(),
                Some(token) => beyond(&token.kind),
            };
            return Err(Fault::new(close, message));
        }
        let left = self.term()?;
        let comparator = self.comparator()?;
        let right = self.term()?;
        Ok(Expr::Compare { left, comparator, right })
    }

    fn comparator(&mut self) -> Result<Comparator, Fault> {
        let at = self.at();
        let Some(token) = self.peek() else {
            return Err(Fault::new(at, "a comparison is wanted here, such as = or >"));
        };
        let comparator = match token.kind {
            TokenKind::Sign("=" | "==") => Comparator::Equal,
            TokenKind::Sign("!=") => Comparator::NotEqual,
            TokenKind::Sign("<") => Comparator::Less,
            TokenKind::Sign("<=") => Comparator::LessOrEqual,
            TokenKind::Sign(">") => Comparator::Greater,
            TokenKind::Sign(">=") => Comparator::GreaterOrEqual,
            TokenKind::Sign("&&" | "||" | ")") | TokenKind::Name("and" | "or") => {
                return Err(Fault::new(at, "a comparison is wanted here, such as = or >"));
            }
            ref other => return Err(Fault::new(at, beyond(other))),
        };
        self.next += 1;
        Ok(comparator)
    }

    fn term(&mut self) -> Result<Term<'a>, Fault> {
        let at = self.at();
        let negative = self.take(&["-"]);
        let Some(token) = self.tokens.get(self.next).cloned() else {
            return Err(Fault::new(at, "a field or a value is wanted here"));
        };
        let kind = match token.kind {
            TokenKind::Number(digits) => {
                number(digits, negative).ok_or_else(|| Fault::new(at, "too large a number"))?
            }
            _ if negative => return Err(Fault::new(at, "arithmetic is not known yet")),
            TokenKind::Text(text) => TermKind::Text(text),
            TokenKind::Name("true") => TermKind::Bool(true),
            TokenKind::Name("false") => TermKind::Bool(false),
            TokenKind::Name("null") => TermKind::Null,
            TokenKind::Name(name) => self.name(at, name)?,
            TokenKind::Sign("!") => return Err(Fault::new(at, "\"not\" is not known yet")),
            TokenKind::Sign("[") => return Err(Fault::new(at, "lists are not known yet")),
            TokenKind::Sign("(") => return Err(Fault::new(at, "parentheses around a value are not known yet")),
            TokenKind::Sign(sign) => {
                return Err(Fault::new(at, format!("a field or a value is wanted here, not {sign}")));
            }
        };
        self.next += 1;
        Ok(Term { at, kind })
    }

    /// A plain name; the other forms are told apart so that the message can say what they are.
    fn name(&self, at: usize, name: &'a str) -> Result<TermKind<'a>, Fault> {
        let called = matches!(self.tokens.get(self.next + 1).map(|t| &t.kind), Some(TokenKind::Sign("(")));
        let refused = match name {
            "and" | "or" | "in" => {
                return Err(Fault::new(at, format!("a field or a value is wanted here, not {name}")));
            }
            "not" => "\"not\" is",
            name if name.starts_with('@') => "names that begin with @ are",
            _ if called => "functions are",
            name if name.contains(':') => "modifiers behind a colon are",
            name if name.contains('.') => "names with a path are",
            name if name.contains('@') => return Err(Fault::new(at, "a name has no @ in it")),
            name => return Ok(TermKind::Name(name)),
        };
        Err(Fault::new(at, format!("{refused} not known yet")))
    }
}

fn number<'a>(digits: &str, negative: bool) -> Option<TermKind<'a>> {
    let text = if negative { format!("-{digits}") } else { digits.to_owned() };
    if let Ok(int) = text.parse() {
        return Some(TermKind::Int(int));
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| TermKind::Number(number + 0.0))
}

/// What stands where an expression or a term should have ended.
fn beyond(token: &TokenKind<'_>) -> String {
    match token {
        TokenKind::Sign("||") | TokenKind::Name("or") => "\"or\" is not known yet".into(),
        TokenKind::Sign("~" | "!~") => "matching with ~ is not known yet".into(),
        TokenKind::Sign(sign) if sign.len() > 1 && sign.starts_with('?') => {
            "comparisons of any element (?=) are not known yet".into()
        }
        TokenKind::Sign("+" | "-" | "*" | "/" | "%") => "arithmetic is not known yet".into(),
        TokenKind::Name("in") => "\"in\" is not known yet".into(),
        TokenKind::Name("not") | TokenKind::Sign("!") => "\"not\" is not known yet".into(),
        TokenKind::Sign(")") => "this parenthesis was never opened".into(),
        TokenKind::Sign("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") => {
            "a comparison can't be compared; join two by &&".into()
        }
        TokenKind::Sign(sign) => format!("{sign} means nothing here"),
        TokenKind::Name(_) | TokenKind::Number(_) | TokenKind::Text(_) => "an operator is wanted here".into(),
    }
}
