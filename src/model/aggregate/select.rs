//! What is told of what was merged: `having`, `select`, `sort` and `limit` over names of columns, and the JSON of it.
//!
//! A name is a column's (`revenue`) where only one source has it, where sources are joined by it, or in a union; with its
//! source's before it (`sales.revenue`) it is that source's. Without `select` every column is told, those that are joined
//! by once and first; one whose name several sources have is told with its source's.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::columns;
use super::grouping::{evaluated, holds, named, shown};
use super::merge::{self, Pick};
use super::{Aggregation, Column, Merge, Table};
use crate::error::{Error, Result};
use crate::model::expr::{Fault, Input, Program, Scalar, Type};
use crate::model::json::{write_i64, write_text};
use crate::model::pipeline::write_value;
use crate::model::value::Value;
use crate::time::Millis;

/// What is told, checked against the columns of the sources.
#[derive(Clone, Debug)]
pub struct Selection {
    merge: Merge,
    keys: Vec<Pick>,
    /// Columns whose texts are read as dates: they are joined with dates, and it is not known what they hold.
    dates: Vec<(usize, usize)>,
    having: Option<(Program, Vec<Pick>)>,
    told: Vec<(Box<str>, Told)>,
    /// Places in `told`.
    sort: Vec<(usize, bool)>,
    limit: usize,
}

/// What a name is told of.
#[derive(Clone, Debug)]
enum Told {
    Column(Pick),
    Of(Box<Program>, Vec<Pick>),
}

/// What is told: rows of values in the order of the names.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is told of each.
    pub names: Vec<Box<str>>,
    /// Those within `limit`.
    pub rows: Vec<Vec<Value>>,
    /// How many there are without it.
    pub total: usize,
}

impl Selection {
    /// Checks a request's merge, having, select and sort against the columns of its sources, which are in their order.
    ///
    /// # Errors
    /// `Invalid`: an unknown name, one that several sources have, keys that can't be equal, a fault of an expression.
    pub fn new(request: &Aggregation, sources: &[&[Column]]) -> Result<Selection> {
        let names = Names { request, sources };
        let keys = names.keys()?;
        let find = |name: &str| names.find(name).map(|pick| (pick.clone(), pick.is));
        let having = request.having.as_deref().map(|text| columns::over(text, true, find)).transpose();
        let having = having.map_err(|fault| named("having", "", "", &fault))?;
        let told = if request.select.is_empty() { names.all(&keys) } else { names.selected()? };
        let sort = request.sort.iter().map(|(name, descending)| {
            let at = told.iter().position(|(known, _)| known == name);
            let unknown = || {
                let message = format!("there is no {:?} in what is told", shown(name));
                Error::invalid(format!("sort: {message}")).code("bad_sort").fault("sort", "bad_sort", message)
            };
            at.map(|at| (at, *descending)).ok_or_else(unknown)
        });
        let sort = sort.collect::<Result<Vec<_>>>()?;
        let dates = names.dates(&keys);
        Ok(Selection { merge: request.merge.clone(), keys, dates, having, told, sort, limit: request.limit })
    }

    /// Programs, which may ask for the request.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        let told = self.told.iter().filter_map(|(_, told)| match told {
            Told::Column(_) => None,
            Told::Of(program, _) => Some(&**program),
        });
        told.chain(self.having.as_ref().map(|(program, _)| program))
    }

    /// Reads the texts of a source's keys that are joined with dates.
    pub fn read_dates(&self, source: usize, table: &mut Table) {
        for (_, column) in self.dates.iter().filter(|(of, _)| *of == source) {
            for value in table.rows.iter_mut().filter_map(|row| row.get_mut(*column)) {
                if let Some(at) = value.as_text().and_then(Millis::parse) {
                    *value = Value::Date(at);
                }
            }
        }
    }

    /// What is told of these tables, one for each source, but for those that failed.
    ///
    /// # Errors
    /// `Unprocessable`: too many rows, or an expression that takes too many steps.
    pub fn answer(&self, tables: &[Option<Table>], input: &Input<'_>) -> Result<Answer> {
        let mut rows = Vec::new();
        for places in merge::rows(&self.merge, tables, &self.keys)? {
            let of = |pick: &Pick| pick.of(tables, &places);
            if let Some((program, picks)) = &self.having
                && !holds(program, picks.iter().map(of), input)?
            {
                continue;
            }
            let tell = |(_, told): &(Box<str>, Told)| match told {
                Told::Column(pick) => Ok(of(pick).clone()),
                Told::Of(program, picks) => evaluated(program, picks.iter().map(of), input),
            };
            rows.push(self.told.iter().map(tell).collect::<Result<Vec<_>>>()?);
        }
        // Stable: rows that the sort does not tell apart stay in the order of their keys.
        rows.sort_by(|a, b| self.compare(a, b));
        let total = rows.len();
        rows.truncate(self.limit);
        Ok(Answer { names: self.told.iter().map(|(name, _)| name.clone()).collect(), rows, total })
    }

    fn compare(&self, a: &[Value], b: &[Value]) -> Ordering {
        let each = self.sort.iter().map(|(at, descending)| {
            let order = a[*at].order(&b[*at]);
            if *descending { order.reverse() } else { order }
        });
        each.fold(Ordering::Equal, Ordering::then)
    }
}

impl Answer {
    /// Appends `"items":[…],"totalItems":N`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"items\":[");
        for (at, row) in self.rows.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
            for (at, (name, value)) in self.names.iter().zip(row).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_text(out, name);
                out.push(b':');
                write_value(value, out);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"totalItems\":");
        // Bounded by `limits::AGGREGATE_ROWS_MAX`.
        write_i64(out, self.total as i64);
    }
}

/// The names of what was merged.
struct Names<'a> {
    request: &'a Aggregation,
    sources: &'a [&'a [Column]],
}

impl Names<'_> {
    fn join_keys(&self) -> &[Box<str>] {
        match &self.request.merge {
            Merge::Join { keys, .. } => keys,
            Merge::Union => &[],
        }
    }

    fn column(&self, source: usize, name: &str) -> Option<usize> {
        self.sources[source].iter().position(|column| *column.name == *name)
    }

    /// The column of every source that has one of this name.
    fn everywhere(&self, name: &str) -> Vec<(usize, usize)> {
        let of = |source| self.column(source, name).map(|column| (source, column));
        (0..self.sources.len()).filter_map(of).collect()
    }

    fn pick(&self, from: Vec<(usize, usize)>) -> Pick {
        let mut types = from.iter().map(|(source, column)| self.sources[*source][*column].is);
        let first = types.next().unwrap_or(Type { of: Scalar::Null, many: crate::model::expr::Many::One });
        let is = types.fold(first, |a, b| match a.of.joined(b.of) {
            Some(of) if a.many == b.many => Type { of, many: a.many },
            _ => Type { of: Scalar::Any, many: crate::model::expr::Many::One },
        });
        Pick { from, is }
    }

    /// The keys that sources are joined by: every source groups by each, and their values can be equal.
    fn keys(&self) -> Result<Vec<Pick>> {
        let mut picks = Vec::new();
        for key in self.join_keys() {
            let refused = |message: String| {
                Error::invalid(format!("merge.join: {message}")).code("bad_merge").fault(
                    "merge.join",
                    "bad_merge",
                    message,
                )
            };
            let mut is = Scalar::Null;
            for source in &self.request.sources {
                if source.group.iter().all(|one| one.name != *key) {
                    return Err(refused(format!("{} is not grouped by {:?}", source.name, shown(key))));
                }
            }
            let from = self.everywhere(key);
            for (source, column) in &from {
                let this = self.sources[*source][*column].is;
                is = is.joined(this.of).ok_or_else(|| {
                    let name = &self.request.sources[*source].name;
                    refused(format!("{key:?} is {this} in {name}, which is never equal to {is}"))
                })?;
            }
            picks.push(self.pick(from));
        }
        Ok(picks)
    }

    fn dates(&self, keys: &[Pick]) -> Vec<(usize, usize)> {
        let of = |(source, column): (usize, usize)| self.sources[source][column].is.of;
        let dated = keys.iter().filter(|key| key.from.iter().any(|at| of(*at) == Scalar::Date));
        dated.flat_map(|key| key.from.iter().copied().filter(|at| of(*at) == Scalar::Any)).collect()
    }

    fn find(&self, name: &str) -> Result<Pick, String> {
        if let Some((source, column)) = name.split_once('.') {
            let at = self.request.sources.iter().position(|known| *known.name == *source);
            let found = at.and_then(|at| self.column(at, column).map(|column| (at, column)));
            let unknown = || format!("there is no {:?}", shown(name));
            return Ok(self.pick(vec![found.ok_or_else(unknown)?]));
        }
        let from = self.everywhere(name);
        let shared = self.request.merge == Merge::Union || self.join_keys().iter().any(|key| **key == *name);
        match &from[..] {
            [] => Err(format!("there is no {:?}", shown(name))),
            [_] => Ok(self.pick(from)),
            _ if shared => Ok(self.pick(from)),
            [(first, _), ..] => {
                let source = &self.request.sources[*first].name;
                Err(format!("several sources have {name:?}: one of them is {source}.{name}"))
            }
        }
    }

    fn selected(&self) -> Result<Vec<(Box<str>, Told)>> {
        let find = |name: &str| self.find(name).map(|pick| (pick.clone(), pick.is));
        let told = self.request.select.iter().map(|one| {
            let at = |fault: Fault| named("select.", "", &one.name, &fault);
            // The most frequent, and exact: a column as it is.
            if let Ok(pick) = self.find(&one.text) {
                return Ok((one.name.clone(), Told::Column(pick)));
            }
            let (program, picks) = columns::over(&one.text, false, find).map_err(at)?;
            Ok((one.name.clone(), Told::Of(Box::new(program), picks)))
        });
        told.collect()
    }

    /// Every column.
    fn all(&self, keys: &[Pick]) -> Vec<(Box<str>, Told)> {
        let union = self.request.merge == Merge::Union;
        let mut told: Vec<(Box<str>, Told)> = Vec::new();
        for (name, pick) in self.join_keys().iter().zip(keys) {
            told.push((name.clone(), Told::Column(pick.clone())));
        }
        for (source, columns) in self.sources.iter().enumerate() {
            for (number, column) in columns.iter().enumerate() {
                let from = self.everywhere(&column.name);
                if told.iter().any(|(known, _)| *known == column.name) && (union || self.is_key(&column.name)) {
                    continue;
                }
                let alone = from.len() == 1;
                let (name, from) = match alone || union {
                    true => (Cow::Borrowed(&*column.name), from),
                    false => {
                        let name = format!("{}.{}", self.request.sources[source].name, column.name);
                        (Cow::Owned(name), vec![(source, number)])
                    }
                };
                told.push((name.into(), Told::Column(self.pick(from))));
            }
        }
        told
    }

    fn is_key(&self, name: &str) -> bool {
        self.join_keys().iter().any(|key| **key == *name)
    }
}
