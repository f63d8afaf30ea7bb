//! Expressions whose names are columns, and not fields of a record: over measures, over a source's groups, over what was
//! merged.
//!
//! Each name is replaced in the tree by one that no text can hold, which stands for a field of a collection made up for
//! it: so the language, its types and its faults are the same as everywhere.

use std::sync::LazyLock;

use crate::id::FieldId;
use crate::limits;
use crate::model::definition;
use crate::model::expr::{Expr, ExprKind, Fault, Many, Name, Program, Scalar, Scope, Type, parse};
use crate::model::schema::{Collection, Field, FieldKind, Schema};
use crate::time::Millis;

/// What stands in a tree for the columns of an expression, by their numbers: no name has such a sign.
static STAND_INS: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..limits::AGGREGATE_COLUMNS_MAX).map(|number| format!("#{number}")).collect());

/// The name that stands for the column of a number below `limits::AGGREGATE_COLUMNS_MAX`.
pub(super) fn stand_in(number: usize) -> &'static str {
    &STAND_INS[number]
}

/// The field that a column's value is given in.
pub(super) fn field_of(number: usize) -> FieldId {
    FieldId(number as u32 + 1)
}

/// Calls `each` with every part of a tree that `each` itself does not say to leave alone, from the outside in.
pub(super) fn walk<'a>(
    expr: &mut Expr<'a>,
    each: &mut dyn FnMut(&mut Expr<'a>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    if !each(expr)? {
        return Ok(());
    }
    match &mut expr.kind {
        ExprKind::List(parts) | ExprKind::All(parts) | ExprKind::Any(parts) => {
            parts.iter_mut().try_for_each(|part| walk(part, each))
        }
        ExprKind::Call { arguments, .. } => arguments.iter_mut().try_for_each(|part| walk(part, each)),
        ExprKind::Not(inner) | ExprKind::Negate(inner) => walk(inner, each),
        ExprKind::Compare { left, right, .. } | ExprKind::In { left, right } => {
            walk(left, each)?;
            walk(right, each)
        }
        ExprKind::Chain { first, rest } => {
            walk(first, each)?;
            rest.iter_mut().try_for_each(|(_, _, part)| walk(part, each))
        }
        ExprKind::Null
        | ExprKind::Bool(_)
        | ExprKind::Int(_)
        | ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Name(_) => Ok(()),
    }
}

/// Puts stand-ins in the place of names. `number` gives the number of a name's column, or says why it has none; names that
/// begin with `@` are the request's and the clock's and stay.
pub(super) fn rename(
    expr: &mut Expr<'_>,
    number: &mut dyn FnMut(&Name<'_>) -> Result<usize, Fault>,
) -> Result<(), Fault> {
    walk(expr, &mut |part| {
        if let ExprKind::Name(name) = &mut part.kind
            && !name.path.starts_with(['@', '#'])
        {
            name.path = stand_in(number(name)?);
        }
        Ok(true)
    })
}

/// Compiles a tree with stand-ins, whose columns have these types.
///
/// # Errors
/// As [`Program::from_tree`]; where it looks at records.
pub(super) fn compile(tree: &Expr<'_>, types: &[Type], is_condition: bool) -> Result<Program, Fault> {
    let schema = Schema::default();
    let collection = made_up(&schema, types);
    let scope = Scope { schema: &schema, collection: &collection, callers: &[], sees_hidden: true };
    if is_condition { Program::condition_from_tree(scope, tree) } else { Program::from_tree(scope, tree) }
}

/// Reads and compiles an expression over columns. `find` gives a name's column and its type; those that were asked for
/// come back, in the order of the program's fields.
///
/// # Errors
/// As [`Program::value_of`].
pub(super) fn over<C: PartialEq>(
    text: &str,
    is_condition: bool,
    mut find: impl FnMut(&str) -> Result<(C, Type), String>,
) -> Result<(Program, Vec<C>), Fault> {
    let mut tree = parse(text)?;
    let (mut columns, mut types) = (Vec::new(), Vec::new());
    rename(&mut tree, &mut |name| {
        let (column, is) = find(name.path).map_err(|message| Fault::new(name.at, message))?;
        if let Some(known) = columns.iter().position(|known| *known == column) {
            return Ok(known);
        }
        if columns.len() == limits::AGGREGATE_COLUMNS_MAX {
            let message = format!("an expression has at most {} names", limits::AGGREGATE_COLUMNS_MAX);
            return Err(Fault::new(name.at, message));
        }
        columns.push(column);
        types.push(is);
        Ok(columns.len() - 1)
    })?;
    Ok((compile(&tree, &types, is_condition)?, columns))
}

fn made_up(schema: &Schema, types: &[Type]) -> Collection {
    let empty = definition::parse_own(schema, br#"{"name":"_columns","fields":[]}"#, Millis(0));
    let mut collection = empty.expect("a sound definition");
    let field = |(number, is): (usize, &Type)| Field {
        id: field_of(number),
        name: stand_in(number).into(),
        kind: kind_of(*is),
        required: false,
        hidden: false,
        default: None,
        aliases: Vec::new(),
        sanitize: Vec::new(),
        computed: None,
    };
    collection.fields = types.iter().enumerate().map(field).collect();
    collection
}

/// A field that holds values of a type. Of a list it is not known what is in it.
fn kind_of(is: Type) -> FieldKind {
    match is {
        Type { of: Scalar::Bool, many: Many::One } => FieldKind::Bool {},
        Type { of: Scalar::Number, many: Many::One } => FieldKind::Number { integer: false, min: None, max: None },
        Type { of: Scalar::Text, many: Many::One } => FieldKind::Text { min: None, max: None, pattern: None },
        Type { of: Scalar::Date, many: Many::One } => FieldKind::Date { min: None, max: None },
        _ => FieldKind::Json { max_size: None },
    }
}
