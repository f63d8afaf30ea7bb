//! Which jobs are due, and which runs are under way.
//!
//! Invariant: a time is given to one run: its run is made in the same entry that says in the job's record that the time was
//! given, on condition of the record's version; times come in order, whatever the clock does. While a run is under way no
//! other is made: the last time that was missed meanwhile is given when it has ended.

use std::collections::BTreeMap;

use crate::core::{Core, Published};
use crate::error::{Kind, Result};
use crate::id::{Position, RecordId, Seq};
use crate::limits;
use crate::model::command::{Command, Condition, Op, Write};
use crate::model::guard::Guard;
use crate::model::job::{ACTIVE, JOBS, Job, RUNS};
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::{Fields, Value};
use crate::state;
use crate::time::Millis;

/// The jobs as they were last looked at.
pub(super) struct Due {
    core: Core,
    guard: Guard,
    new_id: fn(Millis) -> Result<RecordId>,
    known: BTreeMap<RecordId, Known>,
}

/// A job that was read.
struct Known {
    version: Position,
    schema: Seq,
    /// `None` for one that has faults, or no schedule that holds.
    job: Option<Job>,
    /// It isn't due before.
    next: Option<Millis>,
}

impl Due {
    pub(super) fn new(core: Core, guard: Guard, new_id: fn(Millis) -> Result<RecordId>) -> Due {
        Due { core, guard, new_id, known: BTreeMap::new() }
    }

    /// Makes the runs that are due, and says which are under way.
    pub(super) fn look(&mut self) -> Result<Vec<RecordId>> {
        let view = self.core.view();
        let (Some(jobs), Some(runs)) = (view.schema.find(JOBS).cloned(), view.schema.find(RUNS).cloned()) else {
            return Ok(Vec::new());
        };
        let (records, _) = state::next_records(&view.stack, &jobs, None, limits::JOBS_MAX, usize::MAX)?;
        self.known.retain(|id, _| records.iter().any(|record| record.id == *id));
        let mut active = Vec::new();
        for record in &records {
            match state::found_as(&view.stack, &runs, ACTIVE, Value::text(record.id.as_str()))? {
                Some(run) => active.push(run),
                None => active.extend(self.begin_if_due(&view, &jobs, &runs, record)?),
            }
        }
        Ok(active)
    }

    fn begin_if_due(
        &mut self,
        view: &Published,
        jobs: &Collection,
        runs: &Collection,
        record: &Record,
    ) -> Result<Option<RecordId>> {
        let now = self.core.clock().now();
        let scheduled = match jobs.field("scheduled").map(|field| record.fields.get(field.id)) {
            Some(Value::Date(at)) => *at,
            _ => return Ok(None),
        };
        let known = self.known.get(&record.id);
        if known.is_none_or(|known| known.version != record.version || known.schema != view.schema.version()) {
            let job = Job::read(&view.schema, jobs, &record.fields).ok().filter(|job| job.enabled);
            let next = job.as_ref().and_then(|job| job.schedule.as_ref()?.next(scheduled));
            let known = Known { version: record.version, schema: view.schema.version(), job, next };
            self.known.insert(record.id.clone(), known);
        }
        let Some(Known { job: Some(job), next: Some(next), .. }) = self.known.get(&record.id) else { return Ok(None) };
        let due = job.schedule.as_ref().filter(|_| *next <= now).and_then(|schedule| schedule.due(scheduled, now));
        let Some(slot) = due else { return Ok(None) };
        let id = (self.new_id)(now)?;
        let given: Vec<_> = jobs.field("scheduled").map(|field| (field.id, Value::Date(slot))).into_iter().collect();
        let mark = Op::Merge {
            id: record.id.clone(),
            patch: given,
            merges: Vec::new(),
            adjusts: Vec::new(),
            if_match: Some(Condition::Versions(vec![record.version])),
        };
        let make = Op::Create { id: id.clone(), fields: new_run(runs, &record.id, &job.name, Some(slot)) };
        let write = |collection: &Collection, op| Write {
            collection: collection.id,
            schema: collection.version,
            guard: self.guard.clone(),
            op,
        };
        let command = Command::Write(vec![write(jobs, mark), write(runs, make)]);
        match self.core.send_when_room(command).and_then(|awaited| awaited.wait()) {
            Ok(_) => Ok(Some(id)),
            // Somebody else began it, or changed the job: it is looked at again.
            Err(error) if matches!(error.kind(), Kind::Precondition | Kind::Conflict | Kind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A run that waits to be carried out.
pub fn new_run(runs: &Collection, job: &RecordId, name: &str, slot: Option<Millis>) -> Fields {
    let values = [
        ("job", Value::text(job.as_str())),
        ("name", Value::text(name)),
        (ACTIVE, Value::text(job.as_str())),
        ("slot", slot.map_or(Value::Null, Value::Date)),
        ("state", Value::text("queued")),
        ("done", Value::Int(0)),
        ("failed", Value::Int(0)),
        ("chunks", Value::Int(0)),
    ];
    values.into_iter().filter_map(|(name, value)| Some((runs.field(name)?.id, value))).collect()
}
