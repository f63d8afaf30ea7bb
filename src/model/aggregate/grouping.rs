//! A source checked against its collection's definition: keys and measures as programs over its records, values and
//! `having` as programs over those.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits;
use crate::model::expr::{
    Exhausted, Expr, ExprKind, Fault, Input, Many, Name, NoRelations, Program, Row, Scope, Type, parse,
};
use crate::model::value::{Fields, Value};

use super::columns::{self, field_of};
use super::reduction::{self, Reduction};
use super::{Column, Named, Source, Table};

/// What is worked out of each record of a source. It belongs to the schema that it was compiled with.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// What records are grouped by, at most one of them by the elements of a list.
    pub keys: Vec<Key>,
    /// What is measured in each group.
    pub measures: Vec<Measure>,
    /// What becomes of both.
    pub finishing: Finishing,
}

/// A key of a source.
#[derive(Clone, Debug)]
pub struct Key {
    /// Over a record.
    pub program: Arc<Program>,
    /// Whether a record is in the group of each different element of a list; in that of null where it has none.
    pub each: bool,
}

/// A measure of a group.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Which.
    pub reduction: Reduction,
    /// Over a record; `None` counts records.
    pub of: Option<Arc<Program>>,
}

/// From keys and measures to rows.
#[derive(Clone, Debug, Default)]
pub struct Finishing {
    columns: Vec<Column>,
    values: Vec<Made>,
    having: Option<(Program, Vec<usize>)>,
}

/// What a value is made of.
#[derive(Clone, Debug)]
enum Made {
    /// A measure as it is.
    Measure(usize),
    /// An expression over these.
    Of(Box<Program>, Vec<usize>),
}

impl Grouping {
    /// Compiles a source. `path` is what faults are named by: of a value `path` with `values.` and its name.
    ///
    /// # Errors
    /// `Invalid` with code `bad_expression` and the first fault.
    pub fn new(scope: Scope<'_>, source: &Source, path: &str) -> Result<Grouping> {
        let mut keys = Vec::with_capacity(source.group.len());
        let mut columns: Vec<Column> = Vec::new();
        for Named { name, text } in &source.group {
            let at = |fault: Fault| named(path, "group.", name, &fault);
            let program = Program::value_of(scope, text).map_err(at)?;
            let is = program.is();
            let each = is.many == Many::Spread;
            if each && keys.iter().any(|key: &Key| key.each) {
                return Err(at(Fault::new(0, "a source is grouped by the elements of one list at most")));
            }
            let is = if each { Type { of: is.of, many: Many::One } } else { is };
            columns.push(Column { name: name.clone(), is });
            keys.push(Key { program: Arc::new(program), each });
        }
        let mut measures = Measures { scope, list: Vec::new() };
        let mut values = Vec::with_capacity(source.values.len());
        for Named { name, text } in &source.values {
            let (made, is) = measures.value(text).map_err(|fault| named(path, "values.", name, &fault))?;
            columns.push(Column { name: name.clone(), is });
            values.push(made);
        }
        let find = |name: &str| match columns.iter().position(|column| *column.name == *name) {
            Some(at) => Ok((at, columns[at].is)),
            None => Err(format!("there is no key and no value {:?} here", shown(name))),
        };
        let having = source.having.as_deref().map(|text| columns::over(text, true, find)).transpose();
        let having = having.map_err(|fault| named(path, "having", "", &fault))?;
        let measures = measures.list.into_iter().map(|(measure, _)| measure).collect();
        Ok(Grouping { keys, measures, finishing: Finishing { columns, values, having } })
    }

    /// All programs that are asked of records.
    pub fn programs(&self) -> impl Iterator<Item = &Arc<Program>> {
        self.keys.iter().map(|key| &key.program).chain(self.measures.iter().filter_map(|measure| measure.of.as_ref()))
    }
}

pub(super) fn shown(name: &str) -> String {
    name.chars().take(limits::NAME_BYTES_MAX).collect()
}

/// A fault of an expression of a request, by its place.
pub(super) fn named(path: &str, part: &str, name: &str, fault: &Fault) -> Error {
    let field = format!("{path}{part}{name}");
    let message = format!("column {}: {}", fault.at + 1, fault.message);
    Error::invalid(format!("{field}: {message}")).code("bad_expression").fault(field, "bad_expression", message)
}

/// Measures as they are found in values; one that comes again is measured once.
struct Measures<'s> {
    scope: Scope<'s>,
    list: Vec<(Measure, Type)>,
}

impl Measures<'_> {
    fn value(&mut self, text: &str) -> Result<(Made, Type), Fault> {
        let mut tree = parse(text)?;
        let mut used: Vec<usize> = Vec::new();
        columns::walk(&mut tree, &mut |part| {
            let at = part.at;
            match &part.kind {
                ExprKind::Call { name, arguments, path: None } => {
                    let Some(reduction) = Reduction::named(name, arguments.len()) else { return Ok(true) };
                    let measure = self.measure(at, reduction, arguments)?;
                    let number = used.iter().position(|known| *known == measure).unwrap_or(used.len());
                    if number == used.len() {
                        used.push(measure);
                    }
                    part.kind = ExprKind::Name(Name { at, path: columns::stand_in(number), modifier: None });
                    Ok(false)
                }
                ExprKind::Name(name) if !name.path.starts_with('@') => Err(Fault::new(
                    name.at,
                    "of a group there are many values: one of them is any(…), first(…) or last(…)",
                )),
                _ => Ok(true),
            }
        })?;
        if let (ExprKind::Name(Name { modifier: None, .. }), [measure]) = (&tree.kind, &used[..]) {
            return Ok((Made::Measure(*measure), self.list[*measure].1));
        }
        let types: Vec<Type> = used.iter().map(|measure| self.list[*measure].1).collect();
        let program = columns::compile(&tree, &types, false)?;
        let is = program.is();
        Ok((Made::Of(Box::new(program), used), is))
    }

    /// The number of a measure.
    fn measure(&mut self, at: usize, reduction: Reduction, arguments: &[Expr<'_>]) -> Result<usize, Fault> {
        if self.list.len() == limits::AGGREGATE_MEASURES_MAX {
            let message = format!("a source has at most {} measures", limits::AGGREGATE_MEASURES_MAX);
            return Err(Fault::new(at, message));
        }
        let of = arguments.first().map(|of| Program::from_tree(self.scope, of)).transpose()?;
        let reduction = match (reduction, arguments) {
            (Reduction::Percentile(_), [_, percent]) => {
                let program = Program::from_tree(self.scope, percent)?;
                Reduction::Percentile(reduction::percent(percent.at, &program)?)
            }
            (reduction, _) => reduction,
        };
        let is = reduction.gives(arguments.first().map_or(at, |of| of.at), of.as_ref().map(Program::is))?;
        self.list.push((Measure { reduction, of: of.map(Arc::new) }, is));
        Ok(self.list.len() - 1)
    }
}

impl Finishing {
    /// The columns of its rows: keys, then values.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The row of a group, unless `having` leaves it out. `keys` and `measures` are as the grouping has them.
    ///
    /// # Errors
    /// `Unprocessable` with code `too_costly`.
    pub fn row(&self, keys: Vec<Value>, measures: &[Value], input: &Input<'_>) -> Result<Option<Vec<Value>>> {
        let mut row = keys;
        for made in &self.values {
            row.push(match made {
                Made::Measure(number) => measures[*number].clone(),
                Made::Of(program, of) => evaluated(program, of.iter().map(|number| &measures[*number]), input)?,
            });
        }
        let keeps = match &self.having {
            Some((program, of)) => holds(program, of.iter().map(|number| &row[*number]), input)?,
            None => true,
        };
        Ok(keeps.then_some(row))
    }

    /// The table of these rows, in their order.
    pub fn table(&self, rows: Vec<Vec<Value>>) -> Table {
        Table { columns: self.columns.clone(), rows }
    }

    /// Programs over what is not a record, which may ask for the request.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        let values = self.values.iter().filter_map(|made| match made {
            Made::Measure(_) => None,
            Made::Of(program, _) => Some(&**program),
        });
        values.chain(self.having.as_ref().map(|(program, _)| program))
    }
}

fn fields<'v>(columns: impl Iterator<Item = &'v Value>) -> Fields {
    columns.enumerate().map(|(number, value)| (field_of(number), value.clone())).collect()
}

/// The value of a program over columns, which are given in the order of its fields.
pub(super) fn evaluated<'v>(
    program: &Program,
    columns: impl Iterator<Item = &'v Value>,
    input: &Input<'_>,
) -> Result<Value> {
    let fields = fields(columns);
    program.value(Row { id: "", fields: &fields }, input, &NoRelations).map_err(Exhausted::error)
}

/// Whether a condition over columns holds.
pub(super) fn holds<'v>(
    program: &Program,
    columns: impl Iterator<Item = &'v Value>,
    input: &Input<'_>,
) -> Result<bool> {
    let fields = fields(columns);
    program.holds(Row { id: "", fields: &fields }, input, &NoRelations).map_err(Exhausted::error)
}
