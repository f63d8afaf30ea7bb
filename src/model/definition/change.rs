//! What a new definition means for the rows that are there: nothing, that each is checked, or that fields of each are
//! worked out anew.
//!
//! A field whose values are worked out gets a new id, so that rows hold old and new values side by side until the new
//! definition takes the old one's place. Invariant: a field that keeps its id keeps its values.

use crate::error::{Error, Kind, Result};
use crate::id::FieldId;
use crate::model::compiled::Compiled;
use crate::model::convert;
use crate::model::mask::Part;
use crate::model::schema::{Collection, Field, FieldKind, Schema, Shadow, Source};

use super::{indexes, with};

/// A new definition of a collection that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Redefinition {
    /// All of it, with its ids; its version is that of the definition it was made from.
    pub collection: Collection,
    /// What it asks of the rows.
    pub rows: Rows,
    /// The fields that are worked out for each row.
    pub shadows: Vec<Shadow>,
}

/// What a new definition asks of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Nothing: they are as they should be.
    Unseen,
    /// That each fits it.
    Checked,
    /// That each fits it once its new fields are worked out.
    Converted,
}

/// Compares a definition with the stored one it was read over, and gives the fields to be worked out their new ids.
pub(super) fn between(schema: &Schema, stored: &Collection, mut wanted: Collection) -> Result<Redefinition> {
    convertible(stored, &wanted)?;
    let mut shadows = sources(stored, &wanted);
    recomputed(schema, &wanted, &mut shadows)?;
    renumber(stored, &mut wanted, &mut shadows);
    indexes::number(&mut wanted, Some(stored));
    let rows = if !shadows.is_empty() {
        Rows::Converted
    } else if is_stricter(stored, &wanted) {
        Rows::Checked
    } else {
        Rows::Unseen
    };
    Ok(Redefinition { collection: wanted, rows, shadows })
}

/// Whether each new type has forms for values of the old one.
fn convertible(stored: &Collection, wanted: &Collection) -> Result<()> {
    let mut refusal: Option<Error> = None;
    for (at, field) in wanted.fields.iter().enumerate() {
        let Some(old) = stored.field_by_id(field.id).filter(|_| field.computed.is_none()) else { continue };
        if convert::is_same(&old.kind, &field.kind) || convert::is_possible(&old.kind, &field.kind) {
            continue;
        }
        let error = refusal.take().unwrap_or_else(|| {
            Error::new(Kind::Unprocessable, "no value of the old type has a form in the new one")
                .code("not_convertible")
        });
        let message = match (&old.kind, &field.kind) {
            (FieldKind::Relation { .. }, FieldKind::Relation { .. }) => "points at another collection".to_owned(),
            (old, new) => format!("a {} does not become a {}", old.name(), new.name()),
        };
        let message = format!("{message}: leave the field's id out to have a new one, under a name of its own");
        refusal = Some(error.fault(format!("fields.{at}.type"), "not_convertible", message));
    }
    refusal.map_or(Ok(()), Err)
}

/// The fields whose values are not those that are stored, and where they come from; what is computed from them is
/// [`recomputed`]'s.
fn sources(stored: &Collection, wanted: &Collection) -> Vec<Shadow> {
    let source = |field: &Field| match stored.field_by_id(field.id) {
        None if field.computed.is_some() => Some(Source::Computed),
        None => field.default.as_ref().map(|_| Source::Default),
        Some(old) if field.computed.is_some() => {
            (old.computed != field.computed || old.kind != field.kind).then_some(Source::Computed)
        }
        Some(old) => {
            let filled = field.required && !old.required && field.default.is_some();
            (filled || !convert::is_same(&old.kind, &field.kind)).then_some(Source::Field(old.id))
        }
    };
    wanted
        .fields
        .iter()
        .filter_map(|field| Some(Shadow { field: field.id, replaces: None, source: source(field)? }))
        .collect()
}

/// Adds what is computed from a field whose values change.
fn recomputed(schema: &Schema, wanted: &Collection, shadows: &mut Vec<Shadow>) -> Result<()> {
    let compiled = Compiled::new(&with(schema, wanted), wanted)
        .map_err(|_| Error::internal("a definition that was read does not compile"))?;
    // Each stands behind those that it reads.
    for (id, program) in &compiled.computed {
        let moves = |id: &FieldId| shadows.iter().any(|shadow| shadow.field == *id);
        if !moves(id) && program.uses().fields.iter().any(moves) {
            shadows.push(Shadow { field: *id, replaces: None, source: Source::Computed });
        }
    }
    Ok(())
}

/// Gives each of the shadows that has a stored field's id one of its own, wherever it stands.
fn renumber(stored: &Collection, wanted: &mut Collection, shadows: &mut [Shadow]) {
    for shadow in shadows {
        if stored.field_by_id(shadow.field).is_none() {
            continue;
        }
        wanted.last_field.0 += 1;
        let (old, new) = (shadow.field, wanted.last_field);
        (shadow.field, shadow.replaces) = (new, Some(old));
        let swap = |id: &mut FieldId| {
            if *id == old {
                *id = new;
            }
        };
        wanted.fields.iter_mut().for_each(|field| swap(&mut field.id));
        wanted.indexes.iter_mut().flat_map(|index| &mut index.fields).for_each(|part| swap(&mut part.field));
        wanted.checks.iter_mut().filter_map(|check| check.field.as_mut()).for_each(swap);
        wanted.output.embed.iter_mut().for_each(|embed| swap(&mut embed.field));
        wanted.search.iter_mut().flat_map(|search| search.each_field()).for_each(swap);
        let own = wanted.id;
        let kinds = |id: FieldId, fields: &[Field]| {
            fields.iter().any(|field| {
                field.id == id && matches!(field.kind, FieldKind::Relation { collection, .. } if collection == own)
            })
        };
        let fields = &wanted.fields;
        let to_itself = wanted.output.embed.iter_mut().filter(|embed| kinds(embed.field, fields));
        let parts = to_itself.flat_map(|embed| &mut embed.parts).chain(wanted.output.fields.iter_mut().flatten());
        for part in parts {
            if let Part::Field(id) = part {
                swap(id);
            }
        }
    }
}

/// Whether a row that fits the stored definition may not fit the new one.
fn is_stricter(stored: &Collection, wanted: &Collection) -> bool {
    let field_is = |field: &Field| match stored.field_by_id(field.id) {
        None => field.required,
        Some(old) => field.required && !old.required || is_narrower(&old.kind, &field.kind),
    };
    let is_new = |expr: &str| !stored.checks.iter().any(|check| *check.expr == *expr);
    wanted.fields.iter().any(field_is) || wanted.checks.iter().any(|check| is_new(&check.expr))
}

/// Whether a type takes less than another whose values are stored alike.
pub(crate) fn is_narrower(from: &FieldKind, to: &FieldKind) -> bool {
    fn below<T: PartialOrd>(from: Option<T>, to: Option<T>) -> bool {
        to.is_some_and(|to| from.is_none_or(|from| to < from))
    }
    fn above<T: PartialOrd>(from: Option<T>, to: Option<T>) -> bool {
        to.is_some_and(|to| from.is_none_or(|from| to > from))
    }
    let fewer = |from: (usize, usize), to: (usize, usize)| to.0 < from.0 || to.1 > from.1;
    match (from, to) {
        (
            FieldKind::Text { min: from_min, max: from_max, pattern: from },
            FieldKind::Text { min: to_min, max: to_max, pattern: to },
        ) => {
            let longest = |max: &Option<usize>| max.unwrap_or(crate::limits::TEXT_CHARS_DEFAULT_MAX);
            above(*from_min, *to_min) || longest(to_max) < longest(from_max) || to.is_some() && to != from
        }
        (FieldKind::Editor { max: from }, FieldKind::Editor { max: to }) => {
            let longest = |max: &Option<usize>| max.unwrap_or(crate::limits::EDITOR_CHARS_DEFAULT_MAX);
            longest(to) < longest(from)
        }
        (
            FieldKind::Number { min: from_min, max: from_max, .. },
            FieldKind::Number { min: to_min, max: to_max, .. },
        ) => above(*from_min, *to_min) || below(*from_max, *to_max),
        (FieldKind::Date { min: from_min, max: from_max }, FieldKind::Date { min: to_min, max: to_max }) => {
            above(*from_min, *to_min) || below(*from_max, *to_max)
        }
        (FieldKind::Autodate { .. }, FieldKind::Date { min, max }) => min.is_some() || max.is_some(),
        (
            FieldKind::Select { values: from, max_select: from_max, min_select: from_min },
            FieldKind::Select { values: to, max_select: to_max, min_select: to_min },
        ) => fewer((*from_max, *from_min), (*to_max, *to_min)) || from.iter().any(|value| !to.contains(value)),
        (
            FieldKind::Relation { max_select: from_max, min_select: from_min, .. },
            FieldKind::Relation { max_select: to_max, min_select: to_min, .. },
        ) => fewer((*from_max, *from_min), (*to_max, *to_min)),
        (FieldKind::Json { max_size: from }, FieldKind::Json { max_size: to }) => below(*from, *to),
        _ => false,
    }
}
