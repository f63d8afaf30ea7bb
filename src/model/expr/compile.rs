//! The tree with its types checked becomes nodes. What is constant is evaluated here, once.

use crate::model::query::Comparator;
use crate::model::value::{Fields, Value};
use crate::time::Millis;

use super::Fault;
use super::eval::Machine;
use super::input::{Input, NoRelations, Row, Scope};
use super::like::Like;
use super::node::{Compare, From, LikePattern, LikeTest, Node};
use super::program::Uses;
use super::tree::{Arithmetic, Expr, ExprKind, Sign};
use super::types::{Many, Scalar, Type};

/// Compiles one expression.
pub(super) struct Compiler<'s> {
    pub(super) scope: Scope<'s>,
    pub(super) uses: Uses,
    pub(super) patterns: usize,
}

/// A node and its type.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) node: Node,
    pub(super) is: Type,
}

impl Compiler<'_> {
    /// Checks and compiles a part; as deep as the tree is.
    pub(super) fn lower(&mut self, expr: &Expr<'_>) -> Result<Typed, Fault> {
        let constant = |value, is| Ok(Typed { node: Node::Constant(value), is });
        match &expr.kind {
            ExprKind::Null => constant(Value::Null, Type::NULL),
            ExprKind::Bool(flag) => constant(Value::Bool(*flag), Type::BOOL),
            ExprKind::Int(int) => constant(Value::Int(*int), Type::NUMBER),
            ExprKind::Number(number) => constant(Value::Number(*number), Type::NUMBER),
            ExprKind::Text(text) => constant(Value::text(&**text), Type::TEXT),
            ExprKind::List(items) => self.list(items),
            ExprKind::Name(name) => self.name(name),
            ExprKind::Call { name, arguments, path } => self.call(expr.at, name, arguments, path.as_ref()),
            ExprKind::Not(inner) => {
                let node = self.condition(inner)?;
                let is_constant = node.constant().is_some();
                Ok(Typed { node: self.folded(Node::Not(Box::new(node)), is_constant), is: Type::BOOL })
            }
            ExprKind::Negate(inner) => {
                let typed = self.lower(inner)?;
                if !typed.is.fits(Scalar::Number) {
                    return Err(Fault::new(inner.at, format!("- takes a number, not {}", typed.is)));
                }
                let is_constant = typed.node.constant().is_some();
                Ok(Typed { node: self.folded(Node::Negate(Box::new(typed.node)), is_constant), is: Type::NUMBER })
            }
            ExprKind::All(parts) => Ok(Typed { node: self.joined(parts, true)?, is: Type::BOOL }),
            ExprKind::Any(parts) => Ok(Typed { node: self.joined(parts, false)?, is: Type::BOOL }),
            ExprKind::Compare { left, sign, any, right } => {
                let node = match sign {
                    Sign::Order(comparator) => self.compare(expr.at, left, *comparator, *any, right)?,
                    Sign::Like | Sign::NotLike => self.like(left, *sign, *any, right)?,
                };
                Ok(Typed { node, is: Type::BOOL })
            }
            ExprKind::In { left, right } => Ok(Typed { node: self.is_in(left, right)?, is: Type::BOOL }),
            ExprKind::Chain { first, rest } => self.chain(first, rest),
        }
    }

    /// A part that must be true or false; json may turn out to be neither, and then doesn't hold.
    pub(super) fn condition(&mut self, expr: &Expr<'_>) -> Result<Node, Fault> {
        let typed = self.lower(expr)?;
        if typed.is.fits(Scalar::Bool) {
            return Ok(typed.node);
        }
        let message = match expr.kind {
            ExprKind::Name(_) => format!("a comparison is wanted here, such as = or >: this is {}", typed.is),
            _ => format!("a condition is wanted here, not {}", typed.is),
        };
        Err(Fault::new(expr.at, message))
    }

    /// Evaluates what depends on nothing.
    pub(super) fn folded(&self, node: Node, constant: bool) -> Node {
        if !constant {
            return node;
        }
        let fields = Fields::new();
        let input = Input::at(Millis(0));
        let machine = Machine::new(Row { id: "", fields: &fields }, &input, &NoRelations);
        match machine.value(&node).map(|value| value.into_value()) {
            Ok(value) => Node::Constant(value),
            Err(_) => node,
        }
    }

    fn joined(&mut self, parts: &[Expr<'_>], all: bool) -> Result<Node, Fault> {
        let mut nodes = Vec::with_capacity(parts.len());
        let mut decided = false;
        for part in parts {
            let node = self.condition(part)?;
            match node.constant() {
                Some(value) if (*value == Value::Bool(true)) == all => {}
                Some(_) => decided = true,
                None => nodes.push(node),
            }
        }
        Ok(match nodes.len() {
            _ if decided => Node::Constant(Value::Bool(!all)),
            0 => Node::Constant(Value::Bool(all)),
            _ if all => Node::All(nodes.into()),
            _ => Node::Any(nodes.into()),
        })
    }

    fn list(&mut self, items: &[Expr<'_>]) -> Result<Typed, Fault> {
        let mut of = Scalar::Null;
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let typed = self.lower(item)?;
            if matches!(item.kind, ExprKind::Null) {
                return Err(Fault::new(item.at, "null is equal to no element; ask for it by = null"));
            }
            if !typed.is.is_one() {
                return Err(Fault::new(item.at, "a list has no lists in it"));
            }
            of = of.joined(typed.is.of).ok_or_else(|| {
                Fault::new(item.at, format!("the list began with {of}, so {} doesn't belong", typed.is))
            })?;
            nodes.push(typed.node);
        }
        let constant = nodes.iter().all(|node| node.constant().is_some());
        let node = self.folded(Node::List(nodes.into()), constant);
        Ok(Typed { node, is: Type { of, many: Many::Whole } })
    }

    fn chain(&mut self, first: &Expr<'_>, rest: &[(usize, Arithmetic, Expr<'_>)]) -> Result<Typed, Fault> {
        let start = self.lower(first)?;
        let mut is = start.is;
        let mut constant = start.node.constant().is_some();
        let mut nodes = Vec::with_capacity(rest.len());
        for (at, operator, next) in rest {
            let typed = self.lower(next)?;
            let texts = *operator == Arithmetic::Add && is.fits(Scalar::Text) && typed.is.fits(Scalar::Text);
            let numbers = is.fits(Scalar::Number) && typed.is.fits(Scalar::Number);
            is = match (numbers, texts) {
                (true, true) => Type::ANY,
                (true, false) => Type::NUMBER,
                (false, true) => Type::TEXT,
                (false, false) => {
                    let message = format!("arithmetic of {is} and {} has no meaning", typed.is);
                    return Err(Fault::new(*at, message));
                }
            };
            constant &= typed.node.constant().is_some();
            nodes.push((*operator, typed.node));
        }
        let node = Node::Chain(Box::new(start.node), nodes.into());
        Ok(Typed { node: self.folded(node, constant), is })
    }

    fn compare(
        &mut self,
        at: usize,
        left: &Expr<'_>,
        comparator: Comparator,
        any: bool,
        right: &Expr<'_>,
    ) -> Result<Node, Fault> {
        let (mut a, mut b) = (self.lower(left)?, self.lower(right)?);
        let of = match (&left.kind, &right.kind) {
            (_, ExprKind::Null) => Some((a.node, right.at)),
            (ExprKind::Null, _) => Some((b.node, left.at)),
            _ => {
                settle(&mut a, &mut b, left, right)?;
                check_comparable(at, &a, comparator, any, &b, left, right)?;
                return Ok(self.compared(a, comparator, any, b));
            }
        };
        let Some((of, null_at)) = of else { return Ok(Node::Constant(Value::Bool(false))) };
        let negated = match comparator {
            Comparator::Equal => false,
            Comparator::NotEqual => true,
            _ => return Err(Fault::new(null_at, "with null only = and != can be true")),
        };
        let constant = of.constant().is_some();
        Ok(self.folded(Node::IsNull { of: Box::new(of), any, negated }, constant))
    }

    fn compared(&self, left: Typed, comparator: Comparator, any: bool, right: Typed) -> Node {
        let known = left.is.of == right.is.of && left.is.of != Scalar::Any;
        if known && left.is.is_one() && right.is.is_one() {
            match (&left.node, &right.node) {
                (Node::Track(From::Row, track), Node::Constant(value)) if !value.is_null() => {
                    if let Some(field) = track.plain() {
                        return Node::Test(field, comparator, value.clone());
                    }
                }
                (Node::Constant(value), Node::Track(From::Row, track)) if !value.is_null() => {
                    if let Some(field) = track.plain() {
                        return Node::Test(field, comparator.mirrored(), value.clone());
                    }
                }
                _ => {}
            }
        }
        let constant = left.node.constant().is_some() && right.node.constant().is_some();
        let spread = |is: Type| is.many == Many::Spread;
        let whole = !spread(left.is) && !spread(right.is);
        let node = Node::Compare(Box::new(Compare { comparator, any, whole, left: left.node, right: right.node }));
        self.folded(node, constant)
    }

    fn like(&mut self, left: &Expr<'_>, sign: Sign, any: bool, right: &Expr<'_>) -> Result<Node, Fault> {
        let (a, b) = (self.lower(left)?, self.lower(right)?);
        if matches!(right.kind, ExprKind::Null) {
            return Err(Fault::new(right.at, "with null only = and != can be true"));
        }
        if !b.is.is_one() || matches!(b.is.of, Scalar::Bool | Scalar::Date) {
            return Err(Fault::new(right.at, format!("~ looks for a text, not {}", b.is)));
        }
        let constant = a.node.constant().is_some() && b.node.constant().is_some();
        let pattern = match b.node {
            Node::Constant(Value::Text(text)) => LikePattern::Ready(Like::new(&text)),
            node => LikePattern::Made(node),
        };
        let spread = a.is.many == Many::Spread;
        let node = Node::Like(Box::new(LikeTest { left: a.node, sign, any, spread, pattern }));
        Ok(self.folded(node, constant))
    }

    fn is_in(&mut self, left: &Expr<'_>, right: &Expr<'_>) -> Result<Node, Fault> {
        let (mut a, mut b) = (self.lower(left)?, self.lower(right)?);
        if b.is.is_one() && b.is.of != Scalar::Any {
            return Err(Fault::new(right.at, format!("in wants a list, not {}", b.is)));
        }
        settle(&mut a, &mut b, left, right)?;
        if a.is.of.joined(b.is.of).is_none() {
            return Err(Fault::new(right.at, format!("{} is never in {}", a.is, b.is)));
        }
        let constant = a.node.constant().is_some() && b.node.constant().is_some();
        let node = match b.node {
            Node::Constant(Value::List(mut items)) if a.is.is_one() && a.is.of != Scalar::Any => {
                items.retain(|item| !item.is_null());
                items.sort_by(Value::order);
                Node::OneOf(Box::new(a.node), items.into())
            }
            list => Node::In(Box::new(a.node), Box::new(list)),
        };
        Ok(self.folded(node, constant))
    }
}

/// Brings two sides together: literals beside dates become dates, texts of the request what they stand beside.
fn settle(a: &mut Typed, b: &mut Typed, left: &Expr<'_>, right: &Expr<'_>) -> Result<(), Fault> {
    let (a_is, b_is) = (a.is, b.is);
    settle_one(a, b_is, left)?;
    settle_one(b, a_is, right)
}

fn settle_one(typed: &mut Typed, beside: Type, expr: &Expr<'_>) -> Result<(), Fault> {
    if beside.of == Scalar::Date
        && typed.is.of == Scalar::Text
        && let Node::Constant(value) = &mut typed.node
    {
        let wrong = || Fault::new(expr.at, "a date that exists is wanted here, such as '2001-02-28 12:30:00Z'");
        let items = match value {
            Value::List(items) => items.iter_mut(),
            one => std::slice::from_mut(one).iter_mut(),
        };
        for item in items.filter(|item| !item.is_null()) {
            *item = Value::Date(item.as_text().and_then(Millis::parse).ok_or_else(wrong)?);
        }
        typed.is.of = Scalar::Date;
    }
    if matches!(typed.node, Node::Query(_)) && matches!(beside.of, Scalar::Number | Scalar::Bool | Scalar::Date) {
        let query = std::mem::replace(&mut typed.node, Node::Method);
        *typed = Typed { node: Node::Read(beside.of, Box::new(query)), is: Type::one(beside.of) };
    }
    Ok(())
}

fn check_comparable(
    at: usize,
    a: &Typed,
    comparator: Comparator,
    any: bool,
    b: &Typed,
    left: &Expr<'_>,
    right: &Expr<'_>,
) -> Result<(), Fault> {
    let equality = matches!(comparator, Comparator::Equal | Comparator::NotEqual);
    let Some(of) = a.is.of.joined(b.is.of) else {
        // The literal is the one to correct.
        let place = if b.node.constant().is_none() && a.node.constant().is_some() { left.at } else { right.at };
        return Err(Fault::new(place, format!("{} is compared with {}", a.is, b.is)));
    };
    if of == Scalar::Bool && !equality {
        return Err(Fault::new(at, "true and false are compared by = or !="));
    }
    let wholes = a.is.many == Many::Whole && b.is.many == Many::Whole;
    if wholes && !any && !equality {
        return Err(Fault::new(at, "two lists are compared by = or !="));
    }
    Ok(())
}
