//! Recomputing what is derived: tallies from the rows, index entries from the rows, both ways. Of an index that is being
//! built the rows behind its progress may lack entries.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::id::{CollectionId, Generation, RecordId, Seq};
use crate::model::handler::HANDLERS;
use crate::model::schema::{Collection, Index, Schema};
use crate::model::value::Fields;
use crate::state::stack::Read;
use crate::state::tally::{Tally, TallyDelta, hash};
use crate::state::{answers, build, cursors, key, lookup, row};

/// Problems named in a report; the rest are counted.
const PROBLEMS_MAX: usize = 100;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Each collection with its tally as recomputed from its rows.
    pub tallies: Vec<(CollectionId, Generation, Tally)>,
    /// Rows looked at.
    pub rows: u64,
    /// Index entries looked at.
    pub entries: u64,
    /// Answers that are kept for their keys.
    pub answers: u64,
    /// How many problems there are; 0 means that all is well.
    pub problem_count: u64,
    /// The first of them, as sentences.
    pub problems: Vec<String>,
}

impl Report {
    fn problem(&mut self, what: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }
}

/// Checks a whole state against a schema. Reads everything.
///
/// # Errors
/// Those of the base; what is merely wrong is in the report.
pub fn check(read: &dyn Read, schema: &Schema) -> Result<Report> {
    let mut report = Report::default();
    if lookup::schema_of(read)? != *schema {
        report.problem("the stored definitions are not those of the schema".to_owned());
    }
    for collection in schema.iter() {
        check_collection(read, collection, &mut report)?;
    }
    check_fillings(read, schema, &mut report)?;
    check_marks(read, schema, &mut report)?;
    check_answers(read, &mut report)?;
    check_cursors(read, schema, &mut report)?;
    Ok(report)
}

fn check_collection(read: &dyn Read, collection: &Collection, report: &mut Report) -> Result<()> {
    let mut sum = TallyDelta::default();
    let mut kept = Vec::new();
    for index in collection.kept_indexes() {
        kept.push(Expected { of: collection, index, reached: reached(read, collection, index, report)?, entries: 0 });
    }
    for (of, index) in collection.staged_indexes() {
        kept.push(Expected { of, index, reached: seen_to(read, collection)?, entries: 0 });
    }
    let (from, to) = key::rows(collection.id, collection.generation);
    for pair in read.scan(&from, &to, false)? {
        let pair = pair?;
        report.rows += 1;
        let id = key::row_id(pair.key())?;
        sum.add(hash(&id, row::split(pair.value())?.1));
        let (_, fields) = row::decode(pair.value())?;
        for Expected { of, index, reached, entries } in &mut kept {
            for entry in key::index_entries(of, index, &id, &fields) {
                if read.get(&entry)?.is_some() {
                    *entries += 1;
                } else if reached.has(&id) {
                    report.problem(format!(
                        "collection {}: the index {} lacks the record {id}",
                        collection.name, index.name
                    ));
                }
            }
        }
    }
    let computed = Tally::default().plus(sum)?;
    let stored = lookup::tally(read, collection.id, collection.generation)?;
    if stored != computed {
        report.problem(format!(
            "collection {}: its tally says {} rows, digest {:032x}; there are {}, digest {:032x}",
            collection.name, stored.count, stored.digest, computed.count, computed.digest
        ));
    }
    report.tallies.push((collection.id, collection.generation, computed));
    check_entries(read, collection, &kept, report)
}

/// What is known of an index from the rows.
struct Expected<'a> {
    /// The definition that it is of.
    of: &'a Collection,
    index: &'a Index,
    reached: Reached,
    /// How many of its entries are there as the rows have them.
    entries: u64,
}

/// Which rows must have their entries.
enum Reached {
    All,
    UpTo(RecordId),
    None,
}

impl Reached {
    fn has(&self, id: &RecordId) -> bool {
        match self {
            Reached::All => true,
            Reached::UpTo(last) => id <= last,
            Reached::None => false,
        }
    }
}

fn reached(read: &dyn Read, collection: &Collection, index: &Index, report: &mut Report) -> Result<Reached> {
    if index.is_ready() {
        return Ok(Reached::All);
    }
    let progress = build::progress(read, collection.id, collection.generation, index.id)?;
    if progress.is_none() {
        let (collection, index) = (&collection.name, &index.name);
        report.problem(format!("collection {collection}: nothing says how far the index {index} is built"));
    }
    Ok(progress.and_then(|progress| progress.through).map_or(Reached::None, Reached::UpTo))
}

/// Which rows were seen to for a staged definition.
fn seen_to(read: &dyn Read, collection: &Collection) -> Result<Reached> {
    let progress = build::progress(read, collection.id, collection.generation, key::RESHAPE)?;
    Ok(progress.and_then(|progress| progress.through).map_or(Reached::None, Reached::UpTo))
}

/// The entries of one index after the other, also of those that are not kept.
fn check_entries(read: &dyn Read, collection: &Collection, kept: &[Expected<'_>], report: &mut Report) -> Result<()> {
    let (id, generation) = (collection.id, collection.generation);
    let (mut from, to) = key::entries(id, generation);
    loop {
        let found = match read.scan(&from, &to, false)?.next() {
            Some(pair) => key::entry_index(pair?.key())?,
            None => return Ok(()),
        };
        match kept.iter().find(|expected| expected.index.id == found) {
            Some(expected) => check_index(read, collection, expected, report)?,
            None if read.get(&key::garbage_index(id, generation, found))?.is_none() => {
                report.problem(format!(
                    "collection {}: entries of the index {found}, which is neither kept nor garbage",
                    collection.name
                ));
            }
            None => {}
        }
        (_, from) = key::entries_of(id, generation, found);
    }
}

/// With every entry of the rows there, a surplus is what no record accounts for.
fn check_index(read: &dyn Read, collection: &Collection, expected: &Expected<'_>, report: &mut Report) -> Result<()> {
    let index = expected.index;
    let (from, to) = key::entries_of(collection.id, collection.generation, index.id);
    let mut there = 0;
    for pair in read.scan(&from, &to, false)? {
        pair?;
        there += 1;
    }
    report.entries += there;
    if there == expected.entries {
        return Ok(());
    }
    for pair in read.scan(&from, &to, false)? {
        let pair = pair?;
        let id = key::entry_id(pair.key(), index)?;
        let record = lookup::record(read, collection, &id)?;
        let is_its = |fields: &Fields| {
            key::index_entries(expected.of, index, &id, fields).iter().any(|entry| entry[..] == *pair.key())
        };
        if !record.is_some_and(|record| is_its(&record.fields)) {
            report.problem(format!(
                "collection {}: the index {} has an entry of {id} that its row does not have",
                collection.name, index.name
            ));
        }
    }
    Ok(())
}

/// What is marked as garbage is not in use, and what says how far a build has come is of an index that is being built.
fn check_marks(read: &dyn Read, schema: &Schema, report: &mut Report) -> Result<()> {
    let (from, to) = key::garbage_marks();
    for pair in read.scan(&from, &to, false)? {
        let (id, generation, index) = key::split_garbage(pair?.key())?;
        let Some(collection) = schema.get(id) else { continue };
        let current = collection.generation == generation;
        let in_use = index.is_none_or(|index| collection.written_indexes().any(|(_, kept)| kept.id == index));
        if collection.generation < generation || current && in_use {
            report.problem(format!("what is in use of collection {} is marked as garbage", collection.name));
        }
    }
    let (from, to) = key::progresses();
    for pair in read.scan(&from, &to, false)? {
        let (id, generation, index) = key::split_index(pair?.key())?;
        let collection = schema.get(id).filter(|collection| collection.generation == generation);
        let building = |collection: &std::sync::Arc<Collection>| match index {
            key::RESHAPE => collection.staged.is_some(),
            index => collection.index(index).is_some_and(Index::is_building),
        };
        if !collection.is_some_and(building) {
            report.problem(format!("the index {index} of collection {id} is not being built, but has a progress"));
        }
    }
    Ok(())
}

/// Every filling that has a key is a collection's current one or marked as garbage. Costs a search for each filling.
fn check_fillings(read: &dyn Read, schema: &Schema, report: &mut Report) -> Result<()> {
    let (mut from, to) = key::fillings();
    loop {
        let found = match read.scan(&from, &to, false)?.next() {
            Some(pair) => key::filling_of(pair?.key())?,
            None => return Ok(()),
        };
        let (head, collection, generation) = found;
        let current = schema.get(collection).is_some_and(|known| known.generation == generation);
        if !current && read.get(&key::garbage(collection, generation))?.is_none() {
            report.problem(format!(
                "keys of generation {generation} of collection {collection}, which is neither in use nor garbage"
            ));
        }
        from = key::after(&head);
    }
}

/// Each handler has a place in the log, and nothing else has one.
fn check_cursors(read: &dyn Read, schema: &Schema, report: &mut Report) -> Result<()> {
    let mut handlers = BTreeSet::new();
    if let Some(collection) = schema.find(HANDLERS) {
        let (from, to) = key::rows(collection.id, collection.generation);
        for pair in read.scan(&from, &to, false)? {
            handlers.insert(key::row_id(pair?.key())?);
        }
    }
    for cursor in cursors::cursors(read)? {
        let (id, _) = cursor?;
        if !handlers.remove(&id) {
            report.problem(format!("there is a cursor of the handler {id}, which is not there"));
        }
    }
    for id in handlers {
        report.problem(format!("the handler {id} has no cursor"));
    }
    Ok(())
}

/// Each answer that is kept has the line of its entry, each line its answer, and none lies before the oldest.
fn check_answers(read: &dyn Read, report: &mut Report) -> Result<()> {
    let all = answers::answers(read)?;
    let (from, to) = key::answers();
    let mut there = 0u64;
    for pair in read.scan(&from, &to, false)? {
        let pair = pair?;
        there += 1;
        let (key, entry) = (key::split_answer(pair.key())?, answers::decode(pair.value())?.position.seq);
        if read.get(&key::kept(entry))?.is_none_or(|line| !line.starts_with(&key.0)) {
            report.problem(format!("the answer kept for {key} is not among those of the entry {entry}"));
        }
    }
    let mut lines = 0u64;
    for line in answers::lines(read, Seq::ZERO)? {
        let line = line?;
        lines += 1;
        if line.entry < all.oldest {
            report.problem(format!("the entry {} kept an answer before the oldest, {}", line.entry, all.oldest));
        }
        if line.before >= all.bytes {
            report.problem(format!("the entry {} kept more than all that was ever kept", line.entry));
        }
    }
    if lines != there {
        report.problem(format!("there are {there} answers that are kept, and {lines} entries that kept one"));
    }
    report.answers = there;
    Ok(())
}
