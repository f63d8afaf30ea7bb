//! What is listed and is no record (lines about requests, definitions), in the shape of a record of a collection that
//! nothing is stored in: so `filter`, `sort` and `fields` are compiled and evaluated as everywhere. A name that the shape
//! does not have is unknown to them.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::id::{Position, RecordId};
use crate::limits;
use crate::model::definition;
use crate::model::expr::{Exhausted, Input, NoRelations, Program, Row, Scope};
use crate::model::field::FieldKind;
use crate::model::look::{Look, Nothing, Wanted};
use crate::model::mask::Part;
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::model::value::{Fields, Value};
use crate::time::Millis;

/// The names that things of one kind have.
#[derive(Debug)]
pub(super) struct Shape {
    schema: Schema,
    collection: Collection,
}

impl Shape {
    /// From a definition, which is sound; its fields have the ids from 1 on.
    pub(super) fn new(definition: &str) -> Shape {
        let schema = Schema::default();
        let collection = definition::parse_own(&schema, definition.as_bytes(), Millis(0)).expect("a sound definition");
        Shape { schema, collection }
    }

    fn scope(&self) -> Scope<'_> {
        Scope { schema: &self.schema, collection: &self.collection, callers: &[], sees_hidden: true }
    }

    /// The condition of a `filter`; `None` for a blank one.
    ///
    /// # Errors
    /// `Invalid` with code `bad_filter`.
    pub(super) fn filter(&self, text: Option<&str>) -> Result<Option<Program>> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        Program::condition(self.scope(), text).map(Some).map_err(|fault| fault.error("filter", "bad_filter"))
    }

    /// The order of a `sort`: `id`, fields, and what is in a json one. PocketBase's pages call the order in which things
    /// were made `@rowid`: that is the field `rowid` where there is one, or else the id.
    ///
    /// # Errors
    /// `Invalid` with code `bad_sort`.
    pub(super) fn order(&self, text: Option<&str>) -> Result<Order> {
        let refused = |reason: String| Error::invalid(format!("sort: {reason}")).code("bad_sort");
        let text = text.unwrap_or_default();
        let mut keys = Vec::new();
        for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            if keys.len() == limits::INDEX_FIELDS_MAX {
                return Err(refused(format!("has at most {} names", limits::INDEX_FIELDS_MAX)));
            }
            let (descending, name) = match part.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, part.strip_prefix('+').unwrap_or(part)),
            };
            let program = self.sorted_by(name).ok_or_else(|| {
                let shown: String = name.chars().take(limits::NAME_BYTES_MAX).collect();
                refused(format!("there is no {shown:?} to sort by"))
            })?;
            keys.push((program, descending));
        }
        Ok(Order(keys))
    }

    fn sorted_by(&self, name: &str) -> Option<Program> {
        let name = match name {
            "rowid" | "@rowid" if self.collection.field("rowid").is_some() => "rowid",
            "rowid" | "@rowid" => "id",
            name => name,
        };
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        let first = name.split('.').next().unwrap_or_default();
        let known = name == "id"
            || self.collection.field(first).is_some_and(|field| match field.kind {
                FieldKind::Json { .. } => first.len() < name.len(),
                _ => true,
            });
        (plain && known).then(|| Program::value_of(self.scope(), name).ok()).flatten()
    }

    /// What a `fields` shows; all of the names without one.
    ///
    /// # Errors
    /// `Invalid` with code `bad_fields`.
    pub(super) fn look(&self, fields: Option<&str>) -> Result<Look> {
        let wanted = Wanted { fields, ..Wanted::default() };
        let mut look = Look::new(&self.schema, &self.collection, wanted, true)?;
        // Nothing here says which collection it is of.
        let own = self.collection.fields.iter().map(|field| Part::Field(field.id));
        let shown = [Part::Id].into_iter().chain(own).filter(|part| look.mask.shows(*part)).collect();
        look.mask.fields = Some(shown);
        Ok(look)
    }

    /// Appends one thing as an object.
    ///
    /// # Errors
    /// `Invalid` for an id that is none.
    pub(super) fn write(&self, look: &Look, id: &str, fields: Fields, out: &mut Vec<u8>) -> Result<()> {
        let record = Record { id: RecordId::new(id)?, version: Position::default(), fields };
        look.write(&self.collection, &record, &mut Nothing, out)
    }
}

/// The order of a list: what is compared, and whether the greatest comes first.
#[derive(Debug)]
pub(super) struct Order(Vec<(Program, bool)>);

impl Order {
    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a thing is sorted by.
    ///
    /// # Errors
    /// `Unprocessable` for one that takes too long to work out.
    pub(super) fn keys(&self, row: Row<'_>) -> Result<Vec<Value>> {
        let value = |program: &Program| program.value(row, &Input::at(Millis(0)), &NoRelations);
        self.0.iter().map(|(program, _)| value(program).map_err(Exhausted::error)).collect()
    }

    /// Two things by their keys.
    pub(super) fn compare(&self, a: &[Value], b: &[Value]) -> Ordering {
        let ordered = self.0.iter().zip(a.iter().zip(b)).map(|((_, descending), (a, b))| {
            let order = a.order(b);
            if *descending { order.reverse() } else { order }
        });
        ordered.fold(Ordering::Equal, Ordering::then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FieldId;

    fn shape() -> Shape {
        Shape::new(r#"{"name":"_things","fields":[{"name":"n","type":"number"},{"name":"data","type":"json"}]}"#)
    }

    fn thing(n: i64, data: &str) -> Fields {
        let mut fields = Fields::new();
        fields.set(FieldId(1), Value::Int(n));
        fields.set(FieldId(2), Value::Json(data.into()));
        fields
    }

    #[test]
    fn things_are_ordered_by_each_name_in_its_turn() {
        let shape = shape();
        let things = [("a", thing(1, r#"{"x":2}"#)), ("b", thing(2, r#"{"x":1}"#)), ("c", thing(1, r#"{"x":3}"#))];
        for (sort, expected) in [
            (None, "abc"),
            (Some(" "), "abc"),
            (Some("-id"), "cba"),
            (Some("-@rowid"), "cba"),
            (Some("n,-data.x"), "cab"),
            (Some("-n,+data.x"), "bac"),
        ] {
            let order = shape.order(sort).expect("known names");
            let mut sorted: Vec<_> =
                things.iter().map(|(id, fields)| (order.keys(Row { id, fields }).expect("keys"), *id)).collect();
            sorted.sort_by(|a, b| order.compare(&a.0, &b.0));
            assert_eq!(sorted.iter().map(|(_, id)| *id).collect::<String>(), expected, "{sort:?}");
        }
        for bad in ["nope", "data", "n,", "len(n)", "-", "collectionName", "n,n,n,n,n,n,n,n,n,n,n,n,n,n,n,n,n"] {
            assert_eq!(shape.order(Some(bad)).expect_err(bad).code_str(), "bad_sort", "{bad}");
        }
    }

    #[test]
    fn fields_choose_among_the_names_that_there_are() {
        let shape = shape();
        for (fields, expected) in [
            (None, r#"{"id":"a","n":1,"data":{"x":2,"y":3}}"#),
            (Some("*"), r#"{"id":"a","n":1,"data":{"x":2,"y":3}}"#),
            (Some("data,id"), r#"{"id":"a","data":{"x":2,"y":3}}"#),
            (Some("data.y"), r#"{"data":{"y":3}}"#),
        ] {
            let mut out = Vec::new();
            let look = shape.look(fields).expect("known names");
            shape.write(&look, "a", thing(1, r#"{"x":2,"y":3}"#), &mut out).expect("an id");
            assert_eq!(String::from_utf8_lossy(&out), expected, "{fields:?}");
        }
        assert_eq!(shape.look(Some("id,nope")).expect_err("unknown").code_str(), "bad_fields");
    }
}
