//! Recomputing what is derived: tallies from the rows, index entries from the rows, both ways.

use crate::error::Result;
use crate::id::{CollectionId, Generation, Seq};
use crate::model::schema::{Collection, Schema};
use crate::model::value::Fields;
use crate::state::stack::Read;
use crate::state::tally::{Tally, TallyDelta, hash};
use crate::state::{answers, key, lookup, row};

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
    check_answers(read, &mut report)?;
    Ok(report)
}

fn check_collection(read: &dyn Read, collection: &Collection, report: &mut Report) -> Result<()> {
    let mut sum = TallyDelta::default();
    let mut expected = 0;
    let (from, to) = key::rows(collection.id, collection.generation);
    for pair in read.scan(&from, &to, false)? {
        let pair = pair?;
        report.rows += 1;
        let id = key::row_id(pair.key())?;
        sum.add(hash(&id, row::split(pair.value())?.1));
        let (_, fields) = row::decode(pair.value())?;
        for index in &collection.indexes {
            for entry in key::index_entries(collection, index, &id, &fields) {
                expected += 1;
                if read.get(&entry)?.is_none() {
                    report.problem(format!(
                        "collection {}: the index {} lacks the record {id}",
                        collection.name, index.name
                    ));
                    expected -= 1;
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
    check_entries(read, collection, expected, report)
}

/// With every expected entry there, a surplus is what no record accounts for.
fn check_entries(read: &dyn Read, collection: &Collection, expected: u64, report: &mut Report) -> Result<()> {
    let (from, to) = key::entries(collection.id, collection.generation);
    let mut there = 0;
    for pair in read.scan(&from, &to, false)? {
        pair?;
        there += 1;
    }
    report.entries += there;
    if there == expected {
        return Ok(());
    }
    for pair in read.scan(&from, &to, false)? {
        let pair = pair?;
        let Some(index) = collection.index(key::entry_index(pair.key())?) else {
            report.problem(format!("collection {}: an entry of an index that does not exist", collection.name));
            continue;
        };
        let id = key::entry_id(pair.key(), index)?;
        let record = lookup::record(read, collection, &id)?;
        let fields = record.map_or_else(Fields::new, |record| record.fields);
        let stray = !key::index_entries(collection, index, &id, &fields).iter().any(|entry| entry[..] == *pair.key());
        if stray || read.get(&key::row(collection.id, collection.generation, &id))?.is_none() {
            report.problem(format!(
                "collection {}: the index {} has an entry of {id} that its row does not have",
                collection.name, index.name
            ));
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
