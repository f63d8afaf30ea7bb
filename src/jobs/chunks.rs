//! Records written to or deleted, chunk by chunk: read in the order of their ids, worked out on several threads, committed in
//! order.
//!
//! Invariants: each write is on condition of the version that it was worked out from; a record that has changed since is
//! looked at again before anything behind it is committed. So each record is dealt with once, in the state that it is
//! written in. As many chunks lie in memory as are worked on at once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::run::{Over, Runner, Standing, record, source};
use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::command::{Condition, Op, Refusal, Step, Write};
use crate::model::expr::{Input, Row};
use crate::model::guard::Guard;
use crate::model::handler::Setting;
use crate::model::job::{Job, Task};
use crate::model::pipeline::{self, Body};
use crate::model::predicate::Sight;
use crate::model::query::Query;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::Value;
use crate::state::{self, Related};
use crate::time::Millis;

/// How long a chunk is looked for: where few records are meant it ends short of its size.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// A part of the source.
pub(super) struct Chunk {
    pub(super) view: Arc<Published>,
    pub(super) records: Vec<Record>,
    /// Up to here; `None` at the source's end.
    pub(super) through: Option<RecordId>,
    pub(super) now: Millis,
}

/// A chunk that was worked out.
struct Worked {
    steps: Vec<Step>,
    through: Option<RecordId>,
}

/// The records behind one, up to a chunk of them, and not past `to`.
pub(super) fn next(
    view: &Arc<Published>,
    query: &Query,
    after: Option<&RecordId>,
    to: Option<&RecordId>,
    (size, now): (usize, Millis),
) -> Result<Chunk> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    let until = Instant::now() + LOOK_TIME;
    let mut looked = 0u32;
    let through = state::query::each_behind(&view.stack, &view.schema, query, after, |id, found| {
        looked += 1;
        if to.is_some_and(|to| id > to) {
            return Ok(false);
        }
        if let Some(found) = found {
            bytes += found.fields.iter().map(|(_, value)| value.text_bytes()).sum::<usize>();
            records.push(found.clone());
        }
        // A range that was fixed before is read whole.
        let is_full = records.len() >= size
            || bytes >= limits::JOB_CHUNK_BYTES
            || looked.is_multiple_of(256) && Instant::now() > until;
        Ok(to.is_some() || !is_full)
    })?;
    let through = match to {
        Some(to) => Some(to.clone()),
        None => through,
    };
    Ok(Chunk { view: view.clone(), records, through, now })
}

/// Deals with what is left of the run, until it has ended.
pub(super) fn carry_out(runner: &Runner, mut standing: Standing) -> Result<(), Over> {
    let job = match &standing.job {
        Ok(job) => job.clone(),
        Err(_) => return Err(Over::Anew),
    };
    let schema = standing.view.schema.version();
    let (to_workers, tasks) = bounded::<(u64, Chunk)>(job.parallel);
    let (done, outcomes) = bounded::<(u64, Result<Worked>)>(job.parallel);
    std::thread::scope(|scope| {
        for _ in 0..job.parallel {
            let (tasks, done, job) = (tasks.clone(), done.clone(), &job);
            scope.spawn(move || work(&tasks, &done, job, runner));
        }
        drop((tasks, done));
        let mut reading = Reading { runner, job: &job, schema, at: standing.through(), ended: false, sent: 0 };
        let outcome = reading.carry_out(&mut standing, &to_workers, &outcomes);
        // So that the workers see the end.
        drop((to_workers, outcomes));
        outcome
    })
}

/// One of the threads.
fn work(tasks: &Receiver<(u64, Chunk)>, done: &Sender<(u64, Result<Worked>)>, job: &Job, runner: &Runner) {
    for (number, chunk) in tasks {
        let worked = catch_unwind(AssertUnwindSafe(|| worked_out(&chunk, job, runner)));
        // Whoever waits for it has to hear of it.
        let worked = worked.unwrap_or_else(|_| Err(Error::new(Kind::Unprocessable, "working out a chunk panicked")));
        if done.send((number, worked)).is_err() {
            return;
        }
    }
}

fn worked_out(chunk: &Chunk, job: &Job, runner: &Runner) -> Result<Worked> {
    let missing = || Error::new(Kind::NotFound, "the source is gone");
    let collection = chunk.view.schema.get(job.source).ok_or_else(missing)?;
    let mut steps = Vec::with_capacity(chunk.records.len());
    for record in &chunk.records {
        if runner.ends() {
            return Err(Error::new(Kind::Unavailable, "the server is stopping").code("stopping"));
        }
        steps.push(step(&chunk.view, collection, job, &runner.means.guard, record, chunk.now)?);
    }
    Ok(Worked { steps, through: chunk.through.clone() })
}

/// What is done with one record.
fn step(
    view: &Published,
    collection: &Collection,
    job: &Job,
    guard: &Guard,
    record: &Record,
    now: Millis,
) -> Result<Step> {
    let if_match = Some(Condition::Versions(vec![record.version]));
    let op = match &job.task {
        Task::Update(settings) => {
            let body = match body(view, collection, settings, record, now) {
                Ok(body) => body,
                Err(error) => return Ok(Step { id: record.id.clone(), write: Err(Refusal::of(error)?) }),
            };
            match pipeline::merge(collection, &record.id, &body, if_match, true) {
                Ok(op) => op,
                Err(error) => return Ok(Step { id: record.id.clone(), write: Err(Refusal::of(error)?) }),
            }
        }
        _ => Op::Delete { id: record.id.clone(), if_match },
    };
    let write = Write { collection: collection.id, schema: collection.version, guard: guard.clone(), op };
    Ok(Step { id: record.id.clone(), write: Ok(write) })
}

/// What the expressions give for a record, as a client would have sent it.
fn body(
    view: &Published,
    collection: &Collection,
    settings: &[Setting],
    record: &Record,
    now: Millis,
) -> Result<Vec<u8>> {
    let (input, related) = (Input::at(now), Related::new(&view.stack, &view.schema, &Sight::All));
    let row = Row { id: record.id.as_str(), fields: &record.fields };
    let mut body = Body::default();
    for setting in settings {
        let Some(field) = collection.field_by_id(setting.field) else { continue };
        let value = related.outcome(setting.program.value(row, &input, &related))?;
        match setting.way {
            None => body.put(&field.name, "", &value),
            Some(_) if value.is_null() => {}
            Some(way) => body.put_way(&field.name, way, &value),
        }
    }
    Ok(body.finish())
}

/// Reads on, and commits what was worked out.
struct Reading<'a> {
    runner: &'a Runner,
    job: &'a Job,
    /// The version of all definitions that the job was read by.
    schema: crate::id::Seq,
    /// What was read.
    at: Option<RecordId>,
    /// Whether the source was read to its end.
    ended: bool,
    /// Chunks that were given to the workers.
    sent: u64,
}

impl Reading<'_> {
    fn carry_out(
        &mut self,
        standing: &mut Standing,
        to_workers: &Sender<(u64, Chunk)>,
        outcomes: &Receiver<(u64, Result<Worked>)>,
    ) -> Result<(), Over> {
        let (mut committed, mut waiting) = (0, BTreeMap::new());
        loop {
            // Two for each thread: one that it works on, and one that it finds then. Both channels hold as many.
            while !self.ended && self.sent - committed < 2 * self.job.parallel as u64 {
                let chunk = self.read()?;
                let worker_gone = |_| Over::Later(Error::internal("the threads of a run are gone"));
                to_workers.send((self.sent, chunk)).map_err(worker_gone)?;
                self.sent += 1;
            }
            if committed == self.sent {
                break;
            }
            let lost = |_| Over::Later(Error::internal("the threads of a run are gone"));
            let (number, worked) = outcomes.recv().map_err(lost)?;
            waiting.insert(number, worked);
            while let Some(worked) = waiting.remove(&committed) {
                self.runner.goes_on(standing)?;
                self.commit(standing, worked?)?;
                committed += 1;
            }
        }
        let result = serde_json::json!({"done": standing.number("done"), "failed": standing.number("failed")});
        self.runner.done(standing, &result)
    }

    fn view(&self) -> Result<Arc<Published>, Over> {
        let view = self.runner.core.view();
        // What was compiled is of definitions that may have moved.
        if view.schema.version() == self.schema { Ok(view) } else { Err(Over::Anew) }
    }

    fn read(&mut self) -> Result<Chunk, Over> {
        let (view, now) = (self.view()?, self.runner.core.clock().now());
        let (_, query) = source(&view.schema, self.job, &self.runner.means, now)?;
        let chunk = next(&view, &query, self.at.as_ref(), None, (self.job.chunk, now))?;
        self.at.clone_from(&chunk.through);
        self.ended = chunk.through.is_none();
        Ok(chunk)
    }

    /// In pieces that hold up no client's write for long.
    fn commit(&self, standing: &mut Standing, worked: Worked) -> Result<(), Over> {
        let Worked { mut steps, through } = worked;
        let chunks = Value::Int(standing.number("chunks") + 1);
        loop {
            self.runner.goes_on(standing)?;
            let rest = steps.split_off(steps.len().min(limits::JOB_ROWS_PIECE));
            let last = steps.last().map(|step| step.id.clone());
            let sets = match (rest.is_empty(), &through, last) {
                (true, Some(through), _) => {
                    standing.sets([("through", Value::text(through.as_str())), ("chunks", chunks.clone())])
                }
                (true, None, Some(last)) => {
                    standing.sets([("through", Value::text(last.as_str())), ("chunks", chunks.clone())])
                }
                // The source's end, and nothing there.
                (true, None, None) => return Ok(()),
                (false, _, Some(last)) => standing.sets([("through", Value::text(last.as_str()))]),
                (false, _, None) => Vec::new(),
            };
            let count = steps.len();
            let committed = self.runner.commit(standing, steps.clone(), sets)?;
            let decided = committed.loaded.as_ref().map_or(0, |loaded| loaded.decided);
            if !committed.writes.is_empty() {
                standing.run = record(committed)?;
            }
            if standing.state() != "running" {
                return Err(Over::Anew);
            }
            steps.drain(..decided);
            if decided < count {
                self.look_again(&mut steps)?;
            }
            steps.extend(rest);
            if steps.is_empty() && decided == count {
                return Ok(());
            }
        }
    }

    /// The first of these has changed since it was worked out, or the entry was full before it.
    fn look_again(&self, steps: &mut Vec<Step>) -> Result<(), Over> {
        let Some(first) = steps.first().map(|step| step.id.clone()) else { return Ok(()) };
        let (view, now) = (self.view()?, self.runner.core.clock().now());
        let (collection, query) = source(&view.schema, self.job, &self.runner.means, now)?;
        let mut found = None;
        if let Some(record) = state::record(&view.stack, &collection, &first)?
            && state::query::is_match(&view.stack, &view.schema, &query, &record)?
        {
            found = Some(record);
        }
        match found {
            Some(record) => {
                steps[0] = step(&view, &collection, self.job, &self.runner.means.guard, &record, now)?;
            }
            None => drop(steps.remove(0)),
        }
        Ok(())
    }
}
