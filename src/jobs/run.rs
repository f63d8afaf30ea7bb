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
use crate::model::command::{Command, Committed, Op, Piece, STALE_SCHEMA, Step, Write};
use crate::model::job::{ACTIVE, JOBS, Job, RUNS, Task};
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::query::Query;
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

    /// The source in a view, and what of it is meant.
    ///
    /// # Errors
    /// That it is gone.
    pub(super) fn query(&self, job: &Job, means: &Means, now: Millis) -> Result<(Arc<Collection>, Query)> {
        source(&self.view.schema, job, means, now)
    }
}

/// The source of a job, and what of it is meant.
pub(super) fn source(schema: &Schema, job: &Job, means: &Means, now: Millis) -> Result<(Arc<Collection>, Query)> {
    let missing = || Error::new(Kind::NotFound, "the source is gone");
    let collection = schema.get(job.source).ok_or_else(missing)?.clone();
    let filter = job.filter.as_ref().map(|program| Predicate {
        program: program.clone(),
        request: Arc::new(Request::at(now)),
        sight: Sight::All,
    });
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
                Err(Over::Failed(error)) => {
                    if let Err(Over::Later(error)) = self.failed(&error) {
                        self.pause(&error);
                    }
                }
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
        let (collection, query) = standing.query(job, &self.means, now)?;
        let counted = match &query.filter {
            None => {
                let tally = state::tally(&standing.view.stack, collection.id, collection.generation)?;
                Some(tally.count as i64)
            }
            Some(_) => {
                let mut budget = state::query::Budget::new(usize::MAX, Instant::now() + limits::QUERY_TIME_MAX);
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
            if_match: Some(crate::model::command::Condition::Versions(vec![standing.run.version])),
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

    fn failed(&self, error: &Error) -> Result<(), Over> {
        let Some(standing) = self.standing()? else { return Ok(()) };
        if !matches!(standing.state(), "queued" | "running") {
            return Ok(());
        }
        let mut sets = self.ending(&standing, "failed");
        sets.extend(standing.sets([("error", Value::text(told(error)))]));
        self.say(&standing, sets)?;
        self.tidy(&standing)
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

    /// Removes the oldest runs of the job that are too many, with their files.
    pub(super) fn tidy(&self, standing: &Standing) -> Result<(), Over> {
        let Ok(job) = &standing.job else { return Ok(()) };
        let view = self.core.view();
        let (runs, own) = (&standing.runs, standing.get("job"));
        let (job_field, active) = (runs.field("job"), runs.field(ACTIVE));
        let Some(((job_field, active), created)) = job_field.zip(active).zip(runs.field("created")) else {
            return Ok(());
        };
        // Of each run only what tells whether it goes: records of runs may be long.
        let (mut ended, mut gone, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let (page, last) = state::next_records(
                &view.stack,
                runs,
                after.as_ref(),
                limits::ENTRY_CHANGES_PIECE,
                limits::JOB_CHUNK_BYTES,
            )?;
            for run in &page {
                let of = run.fields.get(job_field.id);
                if !run.fields.get(active.id).is_null() {
                    continue;
                }
                let made = match run.fields.get(created.id) {
                    Value::Date(at) => at.0,
                    _ => 0,
                };
                if of == own {
                    ended.push((made, run.id.clone()));
                } else if !self.has_job(&view, of)? {
                    gone.push(run.id.clone());
                }
            }
            after = page.last().map(|run| run.id.clone()).or(after);
            if last {
                break;
            }
        }
        ended.sort_unstable_by(|a, b| b.cmp(a));
        let many = ended.into_iter().skip(job.keep).map(|(_, id)| id);
        let many: Vec<RecordId> = many.chain(gone).take(limits::ENTRY_CHANGES_PIECE).collect();
        let delete = |run: &RecordId| Write {
            collection: runs.id,
            schema: runs.version,
            guard: self.means.guard.clone(),
            op: Op::Delete { id: run.clone(), if_match: None },
        };
        if !many.is_empty() {
            match self.submit(Command::Write(many.iter().map(delete).collect())) {
                // Somebody deleted one meanwhile: the next run looks again.
                Err(Over::Failed(error)) if error.kind() == Kind::NotFound => {}
                other => other.map(drop)?,
            }
        }
        Ok(self.files.tidy(&self.core.view())?)
    }

    fn has_job(&self, view: &Published, id: &Value) -> Result<bool> {
        let jobs = view.schema.find(JOBS);
        let id = id.as_text().and_then(|text| RecordId::new(text).ok());
        jobs.zip(id).map_or(Ok(false), |(jobs, id)| state::exists(&view.stack, jobs, &id))
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
        Some(crate::model::command::Written::Updated(record)) => Ok(record),
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
