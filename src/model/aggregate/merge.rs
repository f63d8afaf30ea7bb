//! Tables of several sources brought together. What is merged are the places of rows, not their values: a row of the
//! result names at most one row of each table.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::{Join, Merge, Table};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::expr::Type;
use crate::model::value::{NULL, Value};

/// Which row of each table; `None` where it has no part in this one.
pub(super) type Places = Box<[Option<u32>]>;

/// Where a name leads in what was merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    /// Table and column: of several the first that has a part in the row, which is null where none has.
    pub(super) from: Vec<(usize, usize)>,
    /// Their type.
    pub(super) is: Type,
}

impl Pick {
    pub(super) fn of<'t>(&self, tables: &'t [Option<Table>], places: &[Option<u32>]) -> &'t Value {
        let found = self.from.iter().find_map(|(table, column)| {
            let row = places[*table]?;
            tables[*table].as_ref()?.rows.get(row as usize)?.get(*column)
        });
        found.unwrap_or(&NULL)
    }
}

/// The rows that come of tables, in the order of the first, and behind that of the others. A table that is not there has
/// no part in it: the others are merged as if it had not been asked for.
///
/// # Errors
/// `Unprocessable` with code `too_many_rows`.
pub(super) fn rows(merge: &Merge, tables: &[Option<Table>], keys: &[Pick]) -> Result<Vec<Places>> {
    match merge {
        Merge::Union => {
            let mut rows = Vec::new();
            for number in there(tables) {
                alone(&mut rows, tables, number)?;
            }
            Ok(rows)
        }
        Merge::Join { kind, .. } => {
            let mut rows = Vec::new();
            let mut there = there(tables);
            if let Some(first) = there.next() {
                alone(&mut rows, tables, first)?;
            }
            for number in there {
                rows = joined(&rows, tables, keys, number, *kind)?;
            }
            Ok(rows)
        }
    }
}

fn there(tables: &[Option<Table>]) -> impl Iterator<Item = usize> {
    (0..tables.len()).filter(|number| tables[*number].is_some())
}

fn count(tables: &[Option<Table>], number: usize) -> usize {
    tables[number].as_ref().map_or(0, |table| table.rows.len())
}

/// The rows of a table with no other.
fn alone(rows: &mut Vec<Places>, tables: &[Option<Table>], number: usize) -> Result<()> {
    let none: Places = vec![None; tables.len()].into();
    (0..count(tables, number)).try_for_each(|row| push(rows, with(&none, number, row)))
}

fn with(places: &[Option<u32>], table: usize, row: usize) -> Places {
    let mut places: Places = places.into();
    places[table] = u32::try_from(row).ok();
    places
}

fn push(rows: &mut Vec<Places>, row: Places) -> Result<()> {
    if rows.len() == limits::AGGREGATE_ROWS_MAX {
        let message = format!("the sources merge to more than {} rows", limits::AGGREGATE_ROWS_MAX);
        return Err(Error::new(Kind::Unprocessable, message).code("too_many_rows"));
    }
    rows.push(row);
    Ok(())
}

/// What came before, with the rows of one more table.
fn joined(
    before: &[Places],
    tables: &[Option<Table>],
    keys: &[Pick],
    number: usize,
    kind: Join,
) -> Result<Vec<Places>> {
    let none: Places = vec![None; tables.len()].into();
    let mut by_key: BTreeMap<Met<'_>, Vec<usize>> = BTreeMap::new();
    for row in 0..count(tables, number) {
        let places = with(&none, number, row);
        by_key.entry(Met::of(keys, tables, &places)).or_default().push(row);
    }
    let (mut rows, mut met) = (Vec::new(), BTreeSet::new());
    for places in before {
        match by_key.get(&Met::of(keys, tables, places)) {
            Some(others) => {
                met.extend(others.iter().copied());
                others.iter().try_for_each(|row| push(&mut rows, with(places, number, *row)))?;
            }
            None if kind == Join::Inner => {}
            None => push(&mut rows, places.clone())?,
        }
    }
    if kind == Join::Full {
        for row in (0..count(tables, number)).filter(|row| !met.contains(row)) {
            push(&mut rows, with(&none, number, row))?;
        }
    }
    Ok(rows)
}

/// The keys that rows are joined by.
struct Met<'t>(Vec<&'t Value>);

impl<'t> Met<'t> {
    fn of(keys: &[Pick], tables: &'t [Option<Table>], places: &[Option<u32>]) -> Met<'t> {
        Met(keys.iter().map(|key| key.of(tables, places)).collect())
    }
}

impl Ord for Met<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let each = self.0.iter().zip(&other.0).map(|(a, b)| a.order(b));
        each.fold(Ordering::Equal, Ordering::then)
    }
}

impl PartialOrd for Met<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Met<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Met<'_> {}
