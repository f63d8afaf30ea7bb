//! Following a track: over relations from record to record, to a field, into its json.

use crate::id::CollectionId;
use crate::limits;
use crate::model::value::Fields;

use super::dig::dig;
use super::eval::Machine;
use super::input::{Exhausted, Row};
use super::node::{End, Hop, Track};
use super::operand::Operand;

/// What a look at another record costs, in steps.
const RECORD_STEPS: usize = 50;

impl<'v> Machine<'v> {
    /// From a record that outlives the evaluation.
    pub(super) fn track(&self, row: Row<'v>, track: &'v Track) -> Result<Operand<'v>, Exhausted> {
        if !track.hops.is_empty() {
            return self.far(row, track);
        }
        let found = match &track.end {
            End::Field(field) => Operand::lent(row.fields.get(*field)),
            End::Id => Operand::Text(row.id.into()),
            End::Constant(value) => Operand::lent(value),
        };
        if track.keys.is_empty() { Ok(found) } else { self.dug(found, track) }
    }

    /// From a record that is looked up by its id.
    pub(super) fn looked_up(
        &self,
        collection: CollectionId,
        id: &str,
        track: &'v Track,
    ) -> Result<Operand<'v>, Exhausted> {
        self.spend(RECORD_STEPS)?;
        match self.relations.record(collection, id) {
            Some(fields) => self.far(Row { id, fields: &fields }, track),
            None => Ok(Operand::Null),
        }
    }

    fn far(&self, row: Row<'_>, track: &'v Track) -> Result<Operand<'v>, Exhausted> {
        let mut found = Vec::new();
        self.hop(row, &track.hops, track, &mut found)?;
        Ok(if track.many { Operand::List(found) } else { found.pop().unwrap_or(Operand::Null) })
    }

    /// Recursion is as deep as there are hops.
    fn hop(
        &self,
        row: Row<'_>,
        hops: &'v [Hop],
        track: &'v Track,
        found: &mut Vec<Operand<'v>>,
    ) -> Result<(), Exhausted> {
        let Some((hop, rest)) = hops.split_first() else {
            return self.arrived(row, track, found);
        };
        let before = found.len();
        match hop {
            Hop::To { field, collection } => {
                for id in row.fields.get(*field).each().iter().filter_map(|id| id.as_text()) {
                    self.spend(RECORD_STEPS)?;
                    if let Some(fields) = self.relations.record(*collection, id) {
                        self.hop(Row { id, fields: &fields }, rest, track, found)?;
                    }
                }
            }
            Hop::From { collection, field } => {
                // One more than there are steps for: never is one left out without a word.
                let max = limits::EXPRESSION_STEPS_MAX / RECORD_STEPS + 1;
                for (id, fields) in self.relations.referrers(*collection, *field, row.id, max) {
                    self.spend(RECORD_STEPS)?;
                    self.hop(Row { id: id.as_str(), fields: &fields }, rest, track, found)?;
                }
            }
        }
        // A record on the way that leads no further counts as one with null: every item's maker is not, if one has none.
        if track.many && found.len() == before && hops.len() < track.hops.len() {
            found.push(Operand::Null);
        }
        Ok(())
    }

    /// At a record that is let go of afterwards.
    fn arrived(&self, row: Row<'_>, track: &'v Track, found: &mut Vec<Operand<'v>>) -> Result<(), Exhausted> {
        let value = self.end(row.fields, row.id, track)?;
        if track.many {
            self.spend(value.count())?;
            if value.count() == 0 {
                found.push(Operand::Null);
            } else {
                found.extend(value.each().into_iter().map(Operand::into_owned));
            }
        } else {
            found.push(value.into_owned());
        }
        Ok(())
    }

    fn end<'w>(&self, fields: &'w Fields, id: &'w str, track: &'w Track) -> Result<Operand<'w>, Exhausted> {
        let found = match &track.end {
            End::Field(field) => Operand::lent(fields.get(*field)),
            End::Id => Operand::Text(id.into()),
            End::Constant(value) => Operand::lent(value),
        };
        self.dug(found, track)
    }

    /// Into json, at the price of its length for each key.
    fn dug<'w>(&self, found: Operand<'w>, track: &Track) -> Result<Operand<'w>, Exhausted> {
        if track.keys.is_empty() {
            return Ok(found);
        }
        if let Operand::Json(text) = &found {
            self.spend_bytes(text.len() * track.keys.len())?;
        }
        Ok(dig(found, &track.keys))
    }
}
