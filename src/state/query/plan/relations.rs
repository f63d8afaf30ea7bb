//! What a condition over a relation says of this side of it: the records over there are looked up by an index of theirs.
//!
//! The answer is never too small: it leaves aside what the index doesn't decide, and whether the caller may see them. The
//! condition itself is asked of each record that is met.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::error::Result;
use crate::id::RecordId;
use crate::limits;
use crate::model::expr::{Hop, Shape, Spans};
use crate::model::query::Operand;
use crate::model::schema::Collection;
use crate::model::value::Value;
use crate::state::{key, lookup};

use super::candidates::{self, Candidate};
use super::facts::{Fact, Facts};
use super::{Planner, Step};

impl Planner<'_> {
    /// Adds what relations lead to, unless an index is held to a single value without it. Returns whether anything can
    /// match.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub(super) fn add_relations(&self, collection: &Collection, facts: &mut Facts<'_>) -> Result<bool> {
        let overs: Vec<(&Hop, &Shape)> = facts
            .iter()
            .filter_map(|(_, fact)| match fact {
                Fact::Over(hop, shape) => Some((*hop, *shape)),
                _ => None,
            })
            .collect();
        for (hop, shape) in overs {
            self.allowance.in_time()?;
            if self.lookups.get() == 0
                || candidates::by_indexes(collection, facts, &[]).iter().any(|one| one.equal_fields() > 0)
            {
                break;
            }
            if let Some(fact) = self.near(collection, hop, shape)?
                && !facts.derive(fact)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What holds of a record here whose relation leads to such a one there.
    fn near(&self, collection: &Collection, hop: &Hop, shape: &Shape) -> Result<Option<Fact<'static>>> {
        let (Hop::To { collection: far, field } | Hop::From { collection: far, field }) = hop;
        let Some(far) = self.schema.get(*far) else { return Ok(None) };
        let Some(ids) = self.ids(far, shape)? else { return Ok(None) };
        let texts = |ids: BTreeSet<RecordId>| Spans::points(ids.iter().map(|id| Value::text(id.as_str())));
        if let Hop::To { .. } = hop {
            let spans = Cow::Owned(texts(ids));
            let is_list = collection.field_by_id(*field).is_some_and(|field| field.kind.is_list());
            return Ok(Some(match is_list {
                true => Fact::Element(*field, spans, false),
                false => Fact::Within(Operand::Field(*field), spans),
            }));
        }
        let mut pointed = BTreeSet::new();
        for id in &ids {
            self.allowance.spend()?;
            let Some(record) = lookup::record(self.read, far, id)? else { continue };
            let targets = record.fields.get(*field).each().iter().filter_map(Value::as_text);
            pointed.extend(targets.filter_map(|id| RecordId::new(id).ok()));
            if pointed.len() > limits::RELATED_IDS_MAX {
                return Ok(None);
            }
        }
        Ok(Some(Fact::Within(Operand::Id, Cow::Owned(texts(pointed)))))
    }

    /// The records of a collection within a shape, and perhaps others; `None` where there are too many, or no index
    /// tells.
    fn ids(&self, collection: &Collection, shape: &Shape) -> Result<Option<BTreeSet<RecordId>>> {
        let branches = match shape {
            Shape::Any(branches) => &branches[..],
            one => std::slice::from_ref(one),
        };
        if branches.len() > self.lookups.get() {
            return Ok(None);
        }
        let mut ids = BTreeSet::new();
        for branch in branches {
            let mut facts = Facts::of(branch.parts());
            if *branch == Shape::Never || !self.add_relations(collection, &mut facts)? {
                continue;
            }
            let ways = candidates::by_indexes(collection, &facts, &[]);
            let best = ways.into_iter().filter(Candidate::is_narrow).max_by_key(Candidate::rank);
            let Some(best) = best.filter(|_| self.may_look()) else { return Ok(None) };
            let enough = self.gather(collection, &best, &mut ids)?;
            self.note(collection, &best, enough.then_some(ids.len()));
            if !enough {
                return Ok(None);
            }
        }
        Ok(Some(ids))
    }

    /// Adds the ids along a walk; whether all of them are within the bound.
    fn gather(&self, collection: &Collection, way: &Candidate, ids: &mut BTreeSet<RecordId>) -> Result<bool> {
        for walk in &way.walks {
            let index = walk.index.and_then(|id| collection.index(id));
            for stretch in &walk.stretches {
                for pair in self.read.scan(&stretch.from, &stretch.to, false)? {
                    self.allowance.spend()?;
                    let pair = pair?;
                    ids.insert(match index {
                        Some(index) => key::entry_id(pair.key(), index)?,
                        None => key::row_id(pair.key())?,
                    });
                    if ids.len() > limits::RELATED_IDS_MAX {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn may_look(&self) -> bool {
        let left = self.lookups.get();
        self.lookups.set(left.saturating_sub(1));
        left > 0
    }

    fn note(&self, collection: &Collection, way: &Candidate, found: Option<usize>) {
        let index = way.walks.first().and_then(|walk| walk.index).and_then(|id| collection.index(id));
        let index = index.map(|index| index.name.clone());
        self.steps.borrow_mut().push(Step { collection: collection.name.clone(), index, found });
    }
}
