//! One run's thread: the run as it stands in the newest view, and what is to be done next.
//!
//! Invariants: everything that it says is said on condition of the version of the run's record that it read, so a run that
//! was cancelled, or that another server goes on with, does nothing more; whatever ends the thread, the run goes on from its
//! record. What has ended is closed: who wants to know is told, and then the job is free for its next run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::files::Files;
use super::{Means, chunks, messages, results};
use crate::core::{Core, Published, Role};
use crate::error::{Error, Kind, Result};
use crate::id::{FieldId, RecordId};
use crate::limits;
use crate::model::command::{Command, Committed, Condition, Op, Piece, STALE_SCHEMA, Step, Write, Written};
use crate::model::expr::{Program, Scope};
use crate::model::job::{ACTIVE, JOBS, Job, RUNS, Task};
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::query::{Operand, Query, SortKey};
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};
use crate::model::value::{NULL, Value};
use crate::state;
use crate::time::Millis;

/// Pause after a failure that is the server's.
const RETRY_TICKS: u32 = 5;

/// The thread's own.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) core: Core,
    pub(super) means: Arc<Means>,
    pub(super) files: Files,
    pub(super) run: RecordId,
    pub(super) over: Arc<AtomicBool>,
}

/// A run as it stands.
pub(super) struct Standing {
    pub(super) view: Arc<Published>,
    pub(super) runs: Arc<Collection>,
    pub(super) run: Record,
    /// The job; or why it can't be carried out.
    pub(super) job: Result<Job>,
    /// When it has to have ended.
    pub(super) deadline: Option<Millis>,
}

/// What ends a piece of work.
#[derive(Debug)]
pub(super) enum Over {
    /// It is to be looked at anew.
    Anew,
    /// There is nothing to do for this thread any more.
    Ended,
    /// The run has failed.
    Failed(Error),
    /// The server can't: later.
    Later(Error),
}

/// An error of the work itself ends the run; one of the server is tried again.
impl From<Error> for Over {
    fn from(error: Error) -> Over {
        match error.kind() {
            Kind::Internal | Kind::Unavailable | Kind::NoSpace | Kind::OutcomeUnknown | Kind::Damaged => {
                Over::Later(error)
            }
            _ if matches!(error.code_str(), STALE_SCHEMA | "run_moved") => Over::Anew,
            _ => Over::Failed(error),
        }
    }
}

impl Standing {
    /// A field of the run's record.
    pub(super) fn get(&self, name: &str) -> &Value {
        self.runs.field(name).map_or(&NULL, |field| self.run.fields.get(field.id))
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Int(number) => *number,
            _ => 0,
        }
    }

    pub(super) fn through(&self) -> Option<RecordId> {
        self.get("through").as_text().and_then(|text| RecordId::new(text).ok())
    }

    pub(super) fn state(&self) -> &str {
        self.get("state").as_text().unwrap_or_default()
    }

    /// Values by the names of the fields that they are for.
    pub(super) fn sets<const N: usize>(&self, values: [(&str, Value); N]) -> Vec<(FieldId, Value)> {
        values.into_iter().filter_map(|(name, value)| Some((self.runs.field(name)?.id, value))).collect()
    }
}

/// A condition of the server's own: it sees all.
fn predicate(program: Arc<Program>, now: Millis) -> Predicate {
    Predicate { program, request: Arc::new(Request::at(now)), sight: Sight::All }
}

/// The source of a job, and what of it is meant.
///
/// # Errors
/// That it is gone.
pub(super) fn source(schema: &Schema, job: &Job, means: &Means, now: Millis) -> Result<(Arc<Collection>, Query)> {
    let missing = || Error::new(Kind::NotFound, "the source is gone");
    let collection = schema.get(job.source).ok_or_else(missing)?.clone();
    let filter = job.filter.as_ref().map(|program| predicate(program.clone(), now));
    let query = Query::of_all(&collection, means.guard.clone(), filter);
    Ok((collection, query))
}

impl Runner {
    /// Until the run is closed, or this server is not the primary any more.
    pub(super) fn go(&self) {
        while !self.ends() {
            match self.step() {
                Ok(()) | Err(Over::Anew) => {}
                Err(Over::Ended) => return,
                Err(Over::Failed(error)) => match self.failed(&error) {
                    Ok(true) => {}
                    Ok(false) => self.pause(&error),
                    Err(Over::Later(error)) => self.pause(&error),
                    Err(_) => {}
                },
                Err(Over::Later(error)) => self.pause(&error),
            }
        }
    }

    /// Whether the thread is to end.
    pub(super) fn ends(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.core.is_stopping() || self.core.role() != Role::Primary
    }

    fn pause(&self, error: &Error) {
        tracing::warn!(run = %self.run, %error, "a run of a job waits: it is tried again");
        for _ in 0..RETRY_TICKS {
            if !self.ends() {
                std::thread::sleep(limits::JOB_TICK);
            }
        }
    }

    fn step(&self) -> Result<(), Over> {
        let Some(standing) = self.standing()? else { return Err(Over::Ended) };
        let job = match &standing.job {
            Ok(job) => job,
            Err(_) if !matches!(standing.state(), "queued" | "running") => return self.close(&standing, None),
            Err(error) => {
                let error = Error::new(Kind::Unprocessable, format!("the job can't be carried out: {}", told(error)));
                return Err(Over::Failed(error));
            }
        };
        match standing.state() {
            "queued" => self.begin(&standing, job),
            "running" => match &job.task {
                Task::Update(_) | Task::Delete => chunks::carry_out(self, standing),
                Task::Webhook(webhook) => {
                    let webhook = webhook.clone();
                    messages::carry_out(self, standing, &webhook)
                }
                Task::Aggregate(asked) => results::aggregate(self, &standing, job, asked),
                Task::Export(form) => results::export(self, &standing, job, *form),
            },
            _ => self.close(&standing, Some(job)),
        }
    }

    /// The run as it is now; `None` for one that is closed or gone.
    pub(super) fn standing(&self) -> Result<Option<Standing>> {
        let view = self.core.view();
        let (Some(jobs), Some(runs)) = (view.schema.find(JOBS), view.schema.find(RUNS)) else { return Ok(None) };
        let Some(run) = state::record(&view.stack, runs, &self.run)? else { return Ok(None) };
        let field = |name: &str| runs.field(name).map_or(&NULL, |field| run.fields.get(field.id));
        let Some(job) = field(ACTIVE).as_text().and_then(|text| RecordId::new(text).ok()) else { return Ok(None) };
        let job = match state::record(&view.stack, jobs, &job)? {
            Some(record) => Job::read(&view.schema, jobs, &record.fields),
            None => Err(Error::new(Kind::NotFound, "it is gone")),
        };
        let timeout = job.as_ref().ok().and_then(|job| job.timeout);
        let deadline = match (field("started"), timeout) {
            (Value::Date(at), Some(timeout)) => Some(Millis(at.0.saturating_add(timeout.as_millis() as i64))),
            _ => None,
        };
        let runs = runs.clone();
        Ok(Some(Standing { view, runs, run, job, deadline }))
    }

    fn begin(&self, standing: &Standing, job: &Job) -> Result<(), Over> {
        let now = self.core.clock().now();
        let (collection, query) = source(&standing.view.schema, job, &self.means, now)?;
        let counted = match &query.filter {
            None => {
                let tally = state::tally(&standing.view.stack, collection.id, collection.generation)?;
                Some(tally.count as i64)
            }
            Some(_) => {
                let mut budget = state::query::Budget::new(usize::MAX, Instant::now() + limits::JOB_COUNT_TIME);
                let query = Query { limit: 1, count: true, ..query };
                let page = state::query::list(&standing.view.stack, &standing.view.schema, &query, &mut budget);
                // It is for whoever looks on: where counting takes too long, the run goes without.
                page.ok().and_then(|page| page.total).map(|total| total as i64)
            }
        };
        let sets = standing.sets([
            ("state", Value::text("running")),
            ("started", Value::Date(now)),
            ("total", counted.map_or(Value::Null, Value::Int)),
        ]);
        self.say(standing, sets).map(drop)
    }

    /// # Errors
    /// `Failed` when the time is over; `Ended`.
    pub(super) fn goes_on(&self, standing: &Standing) -> Result<(), Over> {
        if self.ends() {
            return Err(Over::Ended);
        }
        match standing.deadline {
            Some(deadline) if self.core.clock().now() >= deadline => {
                Err(Over::Failed(Error::new(Kind::Timeout, "it took longer than it may").code("timeout")))
            }
            _ => Ok(()),
        }
    }

    /// Sets fields of the run's record.
    pub(super) fn say(&self, standing: &Standing, sets: Vec<(FieldId, Value)>) -> Result<Record, Over> {
        let committed = self.commit(standing, Vec::new(), sets)?;
        record(committed)
    }

    /// Carries out steps, and sets fields of the run's record when they are all done.
    pub(super) fn commit(
        &self,
        standing: &Standing,
        steps: Vec<Step>,
        sets: Vec<(FieldId, Value)>,
    ) -> Result<Committed, Over> {
        let (stops, ends) = match &standing.job {
            // It is closed behind that, as one that was cancelled.
            Ok(job) => (job.stop_on_error, self.ended(standing, "failed")),
            Err(_) => (false, Vec::new()),
        };
        let (run, version) = (self.run.clone(), standing.run.version);
        self.submit(Command::Work(Box::new(Piece { run, version, steps, sets, stops, ends })))
    }

    pub(super) fn submit(&self, command: Command) -> Result<Committed, Over> {
        Ok(self.core.send_when_room(command).and_then(|awaited| awaited.wait())?)
    }

    /// What is set when the run ends.
    pub(super) fn ended(&self, standing: &Standing, state: &str) -> Vec<(FieldId, Value)> {
        let now = self.core.clock().now();
        standing.sets([("state", Value::text(state)), ("finished", Value::Date(now))])
    }

    /// The same where nothing is to be done behind that: nobody is told of the end of a job without `notify`, so it is closed then.
    pub(super) fn ending(&self, standing: &Standing, state: &str) -> Vec<(FieldId, Value)> {
        let mut sets = self.ended(standing, state);
        if standing.job.as_ref().is_ok_and(|job| job.notify.is_none()) {
            sets.extend(standing.sets([(ACTIVE, Value::Null), ("open", Value::Null)]));
        }
        sets
    }

    /// A write that sets fields of the run's record, for an entry of others.
    pub(super) fn mark(&self, standing: &Standing, sets: Vec<(FieldId, Value)>) -> Write {
        let op = Op::Merge {
            id: self.run.clone(),
            patch: sets,
            merges: Vec::new(),
            adjusts: Vec::new(),
            if_match: Some(Condition::Versions(vec![standing.run.version])),
        };
        let (collection, schema) = (standing.runs.id, standing.runs.version);
        Write { collection, schema, guard: self.means.guard.clone(), op }
    }

    /// The run has ended well.
    pub(super) fn done(&self, standing: &Standing, result: &serde_json::Value) -> Result<(), Over> {
        let mut sets = self.ending(standing, "done");
        sets.extend(standing.sets([("result", Value::Json(result.to_string().into()))]));
        self.say(standing, sets)?;
        self.tidy(standing)
    }

    /// Whether it was the work that failed, and not what comes behind its end.
    fn failed(&self, error: &Error) -> Result<bool, Over> {
        let Some(standing) = self.standing()? else { return Ok(false) };
        if !matches!(standing.state(), "queued" | "running") {
            return Ok(false);
        }
        let mut sets = self.ending(&standing, "failed");
        sets.extend(standing.sets([("error", Value::text(told(error)))]));
        self.say(&standing, sets)?;
        self.tidy(&standing)?;
        Ok(true)
    }

    /// The run has failed, for a reason of the server's.
    pub(super) fn give_up(&self, why: &str) -> Result<()> {
        match self.failed(&Error::internal(why)) {
            Err(Over::Later(error) | Over::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whoever wants to know of the end is told; then the job is free.
    fn close(&self, standing: &Standing, job: Option<&Job>) -> Result<(), Over> {
        let mut sets = standing.sets([(ACTIVE, Value::Null), ("open", Value::Null)]);
        if let Some(webhook) = job.and_then(|job| job.notify.as_ref()) {
            let sent = messages::tell(self, standing, webhook)?;
            sets.extend(standing.sets([("notified", Value::text(if sent { "sent" } else { "failed" }))]));
        }
        self.say(standing, sets)?;
        self.tidy(standing)
    }

    /// Removes the oldest runs of the job that are too many, with the files of all that are gone.
    pub(super) fn tidy(&self, standing: &Standing) -> Result<(), Over> {
        let Ok(job) = &standing.job else { return Ok(()) };
        let (view, runs) = (self.core.view(), &standing.runs);
        let delete = |run: Record| Write {
            collection: runs.id,
            schema: runs.version,
            guard: self.means.guard.clone(),
            op: Op::Delete { id: run.id, if_match: None },
        };
        let many: Vec<Write> = self.ended_behind(&view, standing, job.keep)?.into_iter().map(delete).collect();
        if !many.is_empty() {
            match self.submit(Command::Write(many)) {
                // Somebody deleted one meanwhile: the next run looks again.
                Err(Over::Failed(error)) if error.kind() == Kind::NotFound => {}
                other => other.map(drop)?,
            }
        }
        Ok(self.files.tidy(&self.core.view())?)
    }

    /// The runs of the job that have ended, but for so many of the newest; a page of them.
    fn ended_behind(&self, view: &Published, standing: &Standing, keep: usize) -> Result<Vec<Record>> {
        let (runs, schema) = (&standing.runs, &view.schema);
        let Some((id, created)) = standing.get("job").as_text().zip(runs.field("created")) else {
            return Ok(Vec::new());
        };
        let scope = Scope { schema, collection: runs, callers: schema.callers(), sees_hidden: true };
        let filter = Program::condition(scope, &format!("job = '{id}' && {ACTIVE} = null"));
        let filter = filter.map_err(|fault| Error::internal(format!("the ends of runs: {}", fault.message)))?;
        let query = Query {
            sort: vec![SortKey { operand: Operand::Field(created.id), descending: true }],
            offset: keep,
            limit: limits::PAGE_MAX,
            ..Query::of_all(runs, self.means.guard.clone(), Some(predicate(Arc::new(filter), self.core.clock().now())))
        };
        let mut budget = state::query::Budget::new(usize::MAX, Instant::now() + limits::QUERY_TIME_MAX);
        Ok(state::query::list(&view.stack, schema, &query, &mut budget)?.records)
    }

    /// Waits, unless the thread is to end.
    pub(super) fn wait(&self, time: Duration) -> Result<(), Over> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.ends() {
                return Err(Over::Ended);
            }
            std::thread::sleep(limits::JOB_TICK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

/// The run's record as it was left.
pub(super) fn record(committed: Committed) -> Result<Record, Over> {
    match committed.writes.into_iter().next_back() {
        Some(Written::Updated(record)) => Ok(record),
        // Nothing changed.
        _ => Err(Over::Anew),
    }
}

/// An error with its first faults, for people.
pub(super) fn told(error: &Error) -> String {
    let faults = error.field_faults().iter().take(3).map(|fault| format!("{}: {}", fault.field, fault.message));
    let mut parts = vec![error.message().to_owned()];
    parts.extend(faults);
    parts.join("; ").chars().take(limits::JOB_FAULT_CHARS_MAX * 4).collect()
}
