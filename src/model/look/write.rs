//! A record with its related ones as JSON, straight from values into bytes.

use std::sync::Arc;

use crate::error::Result;
use crate::id::{CollectionId, FieldId};
use crate::model::pipeline::{self, member};
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::Value;

use super::{Form, Link, Look, Way, paths};

/// A record of another collection, with its definition.
pub type Found = (Arc<Collection>, Arc<Record>);

/// Gives the related records of an answer: only those that the caller may view, and no more than an answer may hold.
pub trait Targets {
    /// The record that a relation points at; `None` if there is none, or none for the caller.
    ///
    /// # Errors
    /// Of the state, or over a bound.
    fn record(&mut self, collection: CollectionId, id: &str) -> Result<Option<Found>>;

    /// The records of `collection` whose relation `field` points at `id`, in the order of their ids.
    ///
    /// # Errors
    /// As [`Targets::record`].
    fn referrers(&mut self, collection: CollectionId, field: FieldId, id: &str) -> Result<Vec<Found>>;

    /// Told how many bytes the answer has, after each related record in it.
    ///
    /// # Errors
    /// Over a bound.
    fn has_grown(&mut self, bytes: usize) -> Result<()>;
}

/// For looks that ask for none.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Targets for Nothing {
    fn record(&mut self, _: CollectionId, _: &str) -> Result<Option<Found>> {
        Ok(None)
    }

    fn referrers(&mut self, _: CollectionId, _: FieldId, _: &str) -> Result<Vec<Found>> {
        Ok(Vec::new())
    }

    fn has_grown(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}

impl Look {
    /// Appends a record as an object.
    ///
    /// # Errors
    /// As [`Targets`]; then `out` holds a part of it.
    pub fn write(
        &self,
        collection: &Collection,
        record: &Record,
        targets: &mut dyn Targets,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.is_plain() {
            pipeline::format_record(collection, record, &self.mask, out);
            return Ok(());
        }
        let start = pipeline::format_head(collection, record, &self.mask, out);
        for field in collection.fields.iter().filter(|field| self.mask.shows_field(field)) {
            member(out, start, &field.name);
            let value = record.fields.get(field.id);
            match self.form(field.id) {
                None => pipeline::write_value(value, out),
                Some(form) => form.write(value, targets, out)?,
            }
        }
        self.write_expand(collection, record, start, targets, out)?;
        out.push(b'}');
        Ok(())
    }

    /// The key `expand`, if there is anything under it.
    fn write_expand(
        &self,
        collection: &Collection,
        record: &Record,
        start: usize,
        targets: &mut dyn Targets,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.expand.is_empty() {
            return Ok(());
        }
        let before = out.len();
        member(out, start, "expand");
        out.push(b'{');
        let first = out.len();
        for link in &self.expand {
            link.expand(collection, record, first, targets, out)?;
        }
        if out.len() == first {
            out.truncate(before)
        } else {
            out.push(b'}')
        }
        Ok(())
    }
}

impl Form {
    fn write(&self, value: &Value, targets: &mut dyn Targets, out: &mut Vec<u8>) -> Result<()> {
        match (self, value) {
            (Form::Embedded(link), value) => link.embed(value, targets, out)?,
            (Form::Excerpt(excerpt), Value::Text(text)) => excerpt.write(text, out),
            (Form::Parts(branches), Value::Json(text)) => paths::pick(text, branches, out),
            (Form::Parts(branches), Value::Point(longitude, latitude)) => {
                paths::pick_point(*longitude, *latitude, branches, out);
            }
            (_, value) => pipeline::write_value(value, out),
        }
        Ok(())
    }
}

impl Link {
    /// Appends what a relation points at, in the place of its id or ids.
    fn embed(&self, value: &Value, targets: &mut dyn Targets, out: &mut Vec<u8>) -> Result<()> {
        let Value::List(ids) = value else {
            if !self.write_one(value, targets, out)? {
                out.extend_from_slice(b"null");
            }
            return Ok(());
        };
        out.push(b'[');
        self.write_each(ids, targets, out)?;
        out.push(b']');
        Ok(())
    }

    /// Appends what it leads to under its name, unless that is nothing. `first` is where the members begin.
    fn expand(
        &self,
        collection: &Collection,
        record: &Record,
        first: usize,
        targets: &mut dyn Targets,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let before = out.len();
        member(out, first, &self.name);
        let written = match self.way {
            Way::To(field) => {
                // The definition may be newer than the look.
                let seen = collection.field_by_id(field).is_some_and(|field| field.is_seen(self.look.mask.hidden));
                match record.fields.get(field) {
                    _ if !seen => false,
                    Value::List(ids) => {
                        out.push(b'[');
                        let any = self.write_each(ids, targets, out)?;
                        out.push(b']');
                        any
                    }
                    value => self.write_one(value, targets, out)?,
                }
            }
            Way::From { field, one } => {
                let found = targets.referrers(self.target, field, record.id.as_str())?;
                self.write_referrers(&found, one, targets, out)?
            }
        };
        if !written {
            out.truncate(before);
        }
        Ok(())
    }

    fn write_referrers(
        &self,
        found: &[Found],
        one: bool,
        targets: &mut dyn Targets,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        if one {
            return match found.first() {
                Some(found) => self.write_found(found, targets, out).map(|()| true),
                None => Ok(false),
            };
        }
        out.push(b'[');
        for (at, found) in found.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.write_found(found, targets, out)?;
        }
        out.push(b']');
        Ok(!found.is_empty())
    }

    /// Those of `ids` that are found, in their order; whether any was.
    fn write_each(&self, ids: &[Value], targets: &mut dyn Targets, out: &mut Vec<u8>) -> Result<bool> {
        let start = out.len();
        for id in ids {
            let before = out.len();
            if before > start {
                out.push(b',');
            }
            if !self.write_one(id, targets, out)? {
                out.truncate(before);
            }
        }
        Ok(out.len() > start)
    }

    /// The record with an id, if it is found.
    fn write_one(&self, id: &Value, targets: &mut dyn Targets, out: &mut Vec<u8>) -> Result<bool> {
        let Value::Text(id) = id else { return Ok(false) };
        match targets.record(self.target, id)? {
            Some(found) => self.write_found(&found, targets, out).map(|()| true),
            None => Ok(false),
        }
    }

    fn write_found(&self, (collection, record): &Found, targets: &mut dyn Targets, out: &mut Vec<u8>) -> Result<()> {
        self.look.write(collection, record, targets, out)?;
        targets.has_grown(out.len())
    }
}
