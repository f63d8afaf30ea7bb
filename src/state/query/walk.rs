//! Walking along a plan: the entries of its stretches one after the other, or merged in the wanted order, and of each the
//! record if it must be read to know whether it matches.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::model::expr::{Input, Row};
use crate::model::predicate::Predicate;
use crate::model::query::{Operand, SortKey};
use crate::model::record::Record;
use crate::model::schema::{Collection, Index, Schema};
use crate::model::value::{Fields, Value};
use crate::state::query::place::{self, Resume};
use crate::state::query::plan::{Order, Plan, Stretch, Walk};
use crate::state::related::{Allowance, Related, too_large};
use crate::state::stack::{Pair, Read, Scan};
use crate::state::{key, row};

/// A record and the bytes of its row.
pub(in crate::state) struct Stored {
    pub(in crate::state) record: Record,
    pub(in crate::state) bytes: usize,
}

/// A match, with its record if that had to be read to know.
pub(in crate::state) struct Found {
    pub(in crate::state) id: RecordId,
    pub(in crate::state) read: Option<Stored>,
}

/// A rule or a filter, with what it is asked with.
pub(in crate::state) struct Condition<'a> {
    pub(in crate::state) predicate: &'a Predicate,
    pub(super) input: Input<'a>,
    pub(super) related: Related<'a>,
}

impl<'a> Condition<'a> {
    pub(super) fn new(
        read: &'a dyn Read,
        schema: &'a Schema,
        predicate: &'a Predicate,
        allowance: &'a Allowance,
    ) -> Condition<'a> {
        let related = Related::within(read, schema, &predicate.sight, allowance);
        Condition { predicate, input: predicate.input(), related }
    }

    pub(in crate::state) fn holds(&self, record: &Record) -> Result<bool> {
        let row = Row { id: record.id.as_str(), fields: &record.fields };
        self.related.outcome(self.predicate.program.holds(row, &self.input, &self.related))
    }
}

/// What all walks of a query share.
pub(in crate::state) struct Ground<'a> {
    pub(in crate::state) read: &'a dyn Read,
    pub(in crate::state) collection: &'a Collection,
    pub(in crate::state) order: &'a [SortKey],
    pub(in crate::state) conditions: &'a [Condition<'a>],
    pub(in crate::state) allowance: &'a Allowance,
}

impl Ground<'_> {
    /// A record that an index or an earlier step says is there.
    pub(in crate::state) fn row(&self, id: RecordId, key: &mut Vec<u8>) -> Result<Stored> {
        match self.row_if_any(id.clone(), key)? {
            Some(stored) => Ok(stored),
            None => Err(Error::damaged(format!(
                "collection {} has an index entry of the record {id}, which it does not have",
                self.collection.name
            ))),
        }
    }

    /// A record that may be there.
    pub(super) fn row_if_any(&self, id: RecordId, key: &mut Vec<u8>) -> Result<Option<Stored>> {
        key::set_row(key, self.collection.id, self.collection.generation, &id);
        self.read.get(key)?.map(|bytes| self.stored(id, &bytes)).transpose()
    }

    /// Decodes a row. A long one takes as long as many steps.
    pub(super) fn stored(&self, id: RecordId, bytes: &[u8]) -> Result<Stored> {
        const LONG: usize = 16 << 10;
        if bytes.len() >= LONG {
            self.allowance.in_time()?;
        }
        let (version, fields) = row::decode(bytes)?;
        Ok(Stored { record: Record { id, version, fields }, bytes: bytes.len() })
    }

    /// # Errors
    /// As [`Condition::holds`].
    pub(in crate::state) fn matches(&self, record: &Record) -> Result<bool> {
        for condition in self.conditions {
            if !condition.holds(record)? {
                return Ok(false);
            }
        }
        // An evaluation may take far longer than a step along an index.
        self.allowance.in_time()?;
        Ok(true)
    }
}

/// A stretch that is being walked.
struct Running<'a> {
    index: Option<&'a Index>,
    /// What its records have in common, by the walk and by the stretch.
    fixed: [&'a [(Operand, Value)]; 2],
    scan: Scan<'a>,
}

/// The matches of a plan, each once.
pub(in crate::state) struct Matches<'a> {
    ground: &'a Ground<'a>,
    covered: bool,
    source: Source<'a>,
    /// Those that were met, where one can be met again out of turn.
    seen: Option<Seen>,
    key: Vec<u8>,
}

enum Source<'a> {
    /// One stretch after the other.
    Chain { left: Vec<(&'a Walk, &'a Stretch)>, now: Option<Running<'a>>, resume: Option<&'a Resume> },
    /// In the wanted order, from the heads of all.
    Merge { heads: BinaryHeap<Reverse<Head>>, running: Vec<Running<'a>>, last: Vec<u8> },
}

struct Seen {
    ids: BTreeSet<RecordId>,
    bytes: usize,
}

/// The next match of one of the merged stretches.
struct Head {
    place: Vec<u8>,
    of: usize,
    found: Found,
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> std::cmp::Ordering {
        self.place.cmp(&other.place).then(self.of.cmp(&other.of))
    }
}

impl<'a> Matches<'a> {
    /// In the order that the plan says. With `resume`, the walk begins behind it as far as it can; what lies before may
    /// still be met.
    ///
    /// # Errors
    /// Those of the base and of the conditions.
    pub(super) fn in_order(
        ground: &'a Ground<'a>,
        plan: &'a Plan,
        resume: Option<&'a Resume>,
        memory: usize,
    ) -> Result<Matches<'a>> {
        if plan.order != Order::Merged {
            return Ok(Matches::in_any_order(ground, plan, resume.filter(|_| plan.order == Order::Walked), memory));
        }
        let source = Source::Merge { heads: BinaryHeap::new(), running: Vec::new(), last: Vec::new() };
        let mut matches = Matches { ground, covered: plan.covered, source, seen: None, key: Vec::new() };
        let mut running: Vec<Running<'a>> = Vec::new();
        let mut heads = BinaryHeap::new();
        for walk in &plan.walks {
            for stretch in &walk.stretches {
                let mut one = matches.open(walk, stretch, resume)?;
                heads.extend(matches.head(&mut one, running.len())?.map(Reverse));
                running.push(one);
            }
        }
        matches.source = Source::Merge { heads, running, last: Vec::new() };
        Ok(matches)
    }

    /// All of them, in whatever order; `memory` bounds the bytes of what is kept to meet each once.
    pub(in crate::state) fn in_any_order(
        ground: &'a Ground<'a>,
        plan: &'a Plan,
        resume: Option<&'a Resume>,
        memory: usize,
    ) -> Matches<'a> {
        let stretches = plan.walks.iter().flat_map(|walk| walk.stretches.iter().map(move |one| (walk, one)));
        let mut left: Vec<_> = stretches.collect();
        left.reverse();
        let seen = plan.repeats.then_some(Seen { ids: BTreeSet::new(), bytes: memory });
        let source = Source::Chain { left, now: None, resume };
        Matches { ground, covered: plan.covered, source, seen, key: Vec::new() }
    }

    fn open(&self, walk: &'a Walk, stretch: &'a Stretch, resume: Option<&Resume>) -> Result<Running<'a>> {
        let ground = self.ground;
        let index = walk.index.and_then(|id| ground.collection.index(id));
        let pieces = resume.and_then(|resume| resume.pieces(ground.order));
        let scan = match pieces {
            None => ground.read.scan(&stretch.from, &stretch.to, walk.backwards)?,
            Some(pieces) => {
                let (from, to) = behind(ground, index, walk, stretch, &pieces);
                ground.read.scan(&from, &to, walk.backwards)?
            }
        };
        Ok(Running { index, fixed: [&walk.fixed, &stretch.fixed], scan })
    }

    /// The next match of one stretch.
    fn advance(&mut self, running: &mut Running<'a>) -> Result<Option<Found>> {
        while let Some(pair) = running.scan.next().transpose()? {
            self.ground.allowance.spend()?;
            if let Some(found) = self.look(running.index, &pair)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn look(&mut self, index: Option<&Index>, pair: &Pair<'_>) -> Result<Option<Found>> {
        let id = match index {
            Some(index) => key::entry_id(pair.key(), index)?,
            None => key::row_id(pair.key())?,
        };
        if self.seen.as_ref().is_some_and(|seen| seen.ids.contains(&id)) {
            return Ok(None);
        }
        if self.covered && index.is_some() {
            return Ok(Some(Found { id, read: None }));
        }
        let read = match index {
            Some(_) => self.ground.row(id.clone(), &mut self.key)?,
            None => self.ground.stored(id.clone(), pair.value())?,
        };
        let matches = self.covered || self.ground.matches(&read.record)?;
        Ok(matches.then_some(Found { id, read: Some(read) }))
    }

    fn head(&mut self, running: &mut Running<'a>, of: usize) -> Result<Option<Head>> {
        let mut found = loop {
            let Some(found) = self.advance(running)? else { return Ok(None) };
            // Another way in has this one, in its order; here it may stand out of it.
            if self.covered || keeps(running.fixed, &found) {
                break found;
            }
        };
        let mut place = Vec::with_capacity(32);
        place_of(self.ground, &mut found, &mut self.key, &mut place)?;
        Ok(Some(Head { place, of, found }))
    }

    /// The next match, if there is one.
    ///
    /// # Errors
    /// As [`Matches::in_order`].
    pub(in crate::state) fn next(&mut self) -> Result<Option<Found>> {
        match &mut self.source {
            Source::Chain { .. } => self.next_of_chain(),
            Source::Merge { .. } => self.next_of_merge(),
        }
    }

    fn next_of_chain(&mut self) -> Result<Option<Found>> {
        loop {
            let Source::Chain { left, now, resume } = &mut self.source else { return Ok(None) };
            let resume = *resume;
            let mut running = match now.take() {
                Some(running) => running,
                None => match left.pop() {
                    Some((walk, stretch)) => self.open(walk, stretch, resume)?,
                    None => return Ok(None),
                },
            };
            let Some(found) = self.advance(&mut running)? else { continue };
            if let Source::Chain { now, .. } = &mut self.source {
                *now = Some(running);
            }
            self.note(&found.id)?;
            return Ok(Some(found));
        }
    }

    /// A record that more than one stretch meets has the same place in each, so it comes twice in a row.
    fn next_of_merge(&mut self) -> Result<Option<Found>> {
        loop {
            let Source::Merge { heads, running, last } = &mut self.source else { return Ok(None) };
            let Some(Reverse(head)) = heads.pop() else { return Ok(None) };
            let again = *last == head.place;
            *last = head.place;
            let at = head.of;
            let mut taken = std::mem::take(running);
            let next = self.head(&mut taken[at], at)?;
            if let Source::Merge { heads, running, .. } = &mut self.source {
                *running = taken;
                heads.extend(next.map(Reverse));
            }
            if !again {
                return Ok(Some(head.found));
            }
        }
    }

    fn note(&mut self, id: &RecordId) -> Result<()> {
        const ENTRY_BYTES: usize = 64;
        if let Some(seen) = &mut self.seen {
            let left = seen.bytes.checked_sub(ENTRY_BYTES + id.as_str().len());
            seen.bytes = left.ok_or_else(|| too_large("meets too many records by several ways: narrow it"))?;
            seen.ids.insert(id.clone());
        }
        Ok(())
    }

    /// How many more there are.
    ///
    /// # Errors
    /// As [`Matches::in_order`].
    pub(super) fn count(&mut self) -> Result<usize> {
        let mut count = 0;
        while self.skip()? {
            count += 1;
        }
        Ok(count)
    }

    /// Goes past a match, without looking at its id where that isn't needed.
    fn skip(&mut self) -> Result<bool> {
        if let (Source::Chain { now: Some(running), .. }, true, None) = (&mut self.source, self.covered, &self.seen)
            && running.scan.next().transpose()?.is_some()
        {
            self.ground.allowance.spend()?;
            return Ok(true);
        }
        Ok(self.next()?.is_some())
    }
}

/// Writes a match's place; its row is read only if there is more to it than the id.
pub(super) fn place_of(
    ground: &Ground<'_>,
    found: &mut Found,
    key: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Result<usize> {
    if found.read.is_none() && ground.order.first().is_some_and(|part| part.operand == Operand::Id) {
        return Ok(place::write(bytes, ground.order, &found.id, &Fields::new()));
    }
    if found.read.is_none() {
        found.read = Some(ground.row(found.id.clone(), key)?);
    }
    let none = Fields::new();
    let fields = found.read.as_ref().map_or(&none, |stored| &stored.record.fields);
    Ok(place::write(bytes, ground.order, &found.id, fields))
}

/// Whether a record that was read has what its stretch is ordered by the help of.
fn keeps(fixed: [&[(Operand, Value)]; 2], found: &Found) -> bool {
    let same = |a: &Value, b: &Value| a.order(b).is_eq();
    fixed.into_iter().flatten().all(|(operand, value)| match (operand, &found.read) {
        (Operand::Id, _) => value.as_text() == Some(found.id.as_str()),
        (Operand::Field(field), Some(stored)) => {
            let is = stored.record.fields.get(*field);
            same(is, value) || is.each().iter().any(|one| same(one, value))
        }
        (Operand::Field(_), None) => true,
    })
}

/// What is left of a stretch that yields the order, behind a place in that order.
fn behind(
    ground: &Ground<'_>,
    index: Option<&Index>,
    walk: &Walk,
    stretch: &Stretch,
    pieces: &[&[u8]],
) -> (Vec<u8>, Vec<u8>) {
    let (collection, backwards) = (ground.collection, walk.backwards);
    let all_fixed = || walk.fixed.iter().chain(&stretch.fixed);
    let fixed = |operand: Operand| all_fixed().find(|(of, _)| *of == operand).map(|(_, value)| value);
    // One record at most, wherever it lies: the walk may know its id and nothing of what comes before that in the order.
    if fixed(Operand::Id).is_some() {
        return (stretch.from.clone(), stretch.to.clone());
    }
    let mut parts = index.map_or(&[][..], |index| &index.fields).iter();
    let mut key = match index {
        Some(index) => key::entry_head(collection, index.id),
        None => key::rows(collection.id, collection.generation).0,
    };
    // Whether what begins with the key built so far is still to come, where it differs from the place.
    let mut to_come = None;
    for (part, piece) in ground.order.iter().zip(pieces) {
        if let Some(value) = fixed(part.operand) {
            let mine = place::piece(*part, value);
            if mine[..] == **piece {
                continue;
            }
            to_come = Some(mine[..] > **piece);
            break;
        }
        let push_fixed = |key: &mut Vec<u8>, field: &crate::model::schema::IndexField| {
            if let Some(value) = fixed(Operand::Field(field.field)) {
                key::push_value(key, value, field.descending);
            }
        };
        match part.operand {
            Operand::Id => {
                parts.by_ref().for_each(|field| push_fixed(&mut key, field));
                let descending = index.is_some_and(key::ends_descending);
                if let Ok(id) = key::last_id(piece, part.descending) {
                    key::push_id(&mut key, &id, descending);
                }
            }
            Operand::Field(wanted) => {
                for field in parts.by_ref() {
                    if field.field == wanted {
                        let flip = if field.descending == part.descending { 0x00 } else { 0xFF };
                        key.extend(piece.iter().map(|byte| byte ^ flip));
                        break;
                    }
                    push_fixed(&mut key, field);
                }
            }
        }
    }
    let edge = match (to_come, backwards) {
        (None, false) => key::behind(&key),
        (Some(true), false) | (None | Some(false), true) => key,
        (Some(false), false) | (Some(true), true) => key::after(&key),
    };
    let (from, to) = (&stretch.from, &stretch.to);
    if backwards { (from.clone(), edge.min(to.clone())) } else { (edge.max(from.clone()), to.clone()) }
}
