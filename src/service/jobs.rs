//! Jobs begun and cancelled by hand, and what PocketBase calls crons. Superusers only; what jobs are is records of `_jobs`,
//! and how they are getting on is records of `_runs`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value as Json, json};

use crate::core::{Core, KEEPER_TICK, Published};
use crate::disk::DiskFile;
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::jobs::{Adding, Files, Means, new_run};
use crate::limits;
use crate::model::aggregate::Aggregation;
use crate::model::command::{Command, Committed, Op, Piece, STALE_SCHEMA, Write, Written};
use crate::model::job::{ACTIVE, JOBS, Job, RUNS};
use crate::model::mask::Mask;
use crate::model::pipeline;
use crate::model::predicate::Request;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::{NULL, Value};
use crate::outbound::Dialer;
use crate::service::aggregate::summed;
use crate::service::backups::Outgoing;
use crate::service::lists::Kept;
use crate::service::places::Places;
use crate::service::scan_pool::Hands;
use crate::service::{Asker, Caller, Service, access, ids};
use crate::state;

/// What jobs work with.
pub(super) fn means(core: &Core, dialer: Arc<Dialer>, lists: Arc<Kept>, hands: Hands, places: Places) -> Means {
    let core = core.clone();
    let adding = move |asked: Arc<Aggregation>, ends: Arc<AtomicBool>| {
        let request = Arc::new(Request::at(core.clock().now()));
        let asker = Asker { caller: Caller::Superuser, request };
        summed(&lists, &asker, asked, core.view(), (hands.clone(), &places), ends)
    };
    Means { guard: access::for_server(), new_id: ids::record_id, adding: Adding(Arc::new(adding)), dialer }
}

/// What the server does by the clock itself, by the names that `GET /api/crons` lists.
const BACKUPS: &str = "__millpondBackups__";
const TRIM_LOG: &str = "__millpondTrimLog__";
const SCRUB: &str = "__millpondScrub__";
const EXPIRED_KEYS: &str = "__millpondExpiredKeys__";

/// Tries to change a run's record against its thread, which changes it too.
const TRIES: usize = 20;

impl Service {
    /// Begins a run of a job now: its record.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`; `Unprocessable` where what the job names is gone; `Conflict` with code
    /// `run_active` while another is under way.
    pub async fn run_job(&self, caller: Caller, name: &str) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let view = self.core().view();
        let (jobs, runs) = own(&view)?;
        let job = named(&view, jobs, name)?;
        let read = Job::read(&view.schema, jobs, &job.fields).map_err(|error| {
            Error::new(Kind::Unprocessable, error.message().to_owned()).faults(error.field_faults().to_vec())
        })?;
        let id = ids::record_id(self.core().clock().now())?;
        let op = Op::Create { id, fields: new_run(runs, &job.id, &read.name, None) };
        let write = Write { collection: runs.id, schema: runs.version, guard: access::for_server(), op };
        let committed = self.core().submit(Command::Write(vec![write])).await.map_err(|error| match error.kind() {
            Kind::Conflict if error.code_str() != STALE_SCHEMA => {
                Error::new(Kind::Conflict, "a run of the job is under way").code("run_active")
            }
            // A run is of a job that is there: it has gone meanwhile.
            Kind::Unprocessable => Error::new(Kind::NotFound, "there is no such job"),
            _ => error,
        })?;
        shown(runs, committed)
    }

    /// Ends a run where it is; what it has done stays. Its record as it is then; of one that has ended, as it is.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`.
    pub async fn cancel_run(&self, caller: Caller, id: &str) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let missing = || Error::new(Kind::NotFound, "there is no such run");
        let id = RecordId::new(id).map_err(|_| missing())?;
        for _ in 0..TRIES {
            let view = self.core().view();
            let (_, runs) = own(&view)?;
            let run = state::record(&view.stack, runs, &id)?.ok_or_else(missing)?;
            let field = |name: &str| runs.field(name).map_or(&NULL, |field| run.fields.get(field.id));
            if !matches!(field("state").as_text(), Some("queued" | "running")) {
                return Ok(written(runs, &run));
            }
            let now = Value::Date(self.core().clock().now());
            let mut sets = vec![("state", Value::text("cancelled")), ("finished", now)];
            if !self.tells(&view, field("job"))? {
                // Nobody waits for its end: the job is free at once.
                sets.push((ACTIVE, Value::Null));
            }
            let sets = sets.into_iter().filter_map(|(name, value)| Some((runs.field(name)?.id, value))).collect();
            let (version, steps, ends) = (run.version, Vec::new(), Vec::new());
            let piece = Piece { run: id.clone(), version, steps, sets, stops: false, ends };
            match self.core().submit(Command::Work(Box::new(piece))).await {
                Err(error) if error.code_str() == "run_moved" => {}
                committed => return shown(runs, committed?),
            }
        }
        Err(Error::new(Kind::Unavailable, "the run comes along too fast to be cancelled: try it again").code("busy"))
    }

    /// Whether somebody is told of the ends of a job's runs.
    fn tells(&self, view: &Published, job: &Value) -> Result<bool> {
        let (jobs, _) = own(view)?;
        let Some(id) = job.as_text().and_then(|id| RecordId::new(id).ok()) else { return Ok(false) };
        let job = state::record(&view.stack, jobs, &id)?;
        let notify = job.zip(jobs.field("notify")).map(|(job, field)| job.fields.get(field.id).clone());
        Ok(notify.is_some_and(|notify| !notify.is_null()))
    }

    /// All that is done by the clock, as PocketBase lists it: `[{"id", "expression"}]`.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; the state's.
    pub fn crons(&self, caller: Caller) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let view = self.core().view();
        let (jobs, _) = own(&view)?;
        let (records, _) = state::next_records(&view.stack, jobs, None, limits::JOBS_MAX, usize::MAX)?;
        let text = |record: &Record, name: &str| {
            jobs.field(name).and_then(|field| record.fields.get(field.id).as_text().map(str::to_owned))
        };
        let mut crons: Vec<Json> = records
            .iter()
            .filter(|record| crate::model::job::is_enabled(jobs, &record.fields))
            .filter_map(|record| Some(json!({"id": text(record, "name")?, "expression": text(record, "schedule")?})))
            .collect();
        crons.extend(self.own_crons().map(|(id, every)| json!({"id": id, "expression": format!("@every {every}")})));
        Ok(Json::from(crons).to_string().into_bytes())
    }

    /// Those of the server itself, and how often each comes.
    fn own_crons(&self) -> impl Iterator<Item = (&'static str, String)> {
        let hours = |name, hours: u32| (hours > 0).then(|| (name, format!("{hours}h")));
        let trims = (TRIM_LOG, format!("{}ms", KEEPER_TICK.as_millis()));
        let forgets = (EXPIRED_KEYS, format!("{}s", limits::ANSWERS_FORGOTTEN_EVERY.as_secs()));
        let (backups, scrub) = (hours(BACKUPS, self.0.backups.hours()), hours(SCRUB, self.0.scrub_hours));
        [backups, scrub, Some(trims), Some(forgets)].into_iter().flatten()
    }

    /// Does now what is done by the clock; answered when it is begun.
    ///
    /// # Errors
    /// As [`Service::run_job`], and [`Service::make_backup`].
    pub async fn run_cron(&self, caller: Caller, name: &str) -> Result<()> {
        access::superuser(&caller)?;
        match name {
            BACKUPS => self.0.backups.make_now(self.core()),
            TRIM_LOG => {
                self.core().trim_now();
                Ok(())
            }
            SCRUB => {
                self.core().scrub_now();
                Ok(())
            }
            // What is left of them goes by the clock.
            EXPIRED_KEYS => self.core().submit(Command::Forget).await.map(drop),
            job => self.run_job(caller, job).await.map(drop),
        }
    }

    /// The file that a run exported, with its name.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`; the disk's.
    pub fn send_export(&self, caller: Caller, id: &str) -> Result<(String, Outgoing)> {
        access::superuser(caller)?;
        let id = RecordId::new(id).map_err(|_| Error::new(Kind::NotFound, "there is no such run"))?;
        let (name, file): (String, Arc<dyn DiskFile>) = Files::of(self.core()).open(&id)?;
        Ok((name, Outgoing::of(file)?))
    }
}

fn own(view: &Published) -> Result<(&Arc<Collection>, &Arc<Collection>)> {
    let missing = || Error::internal("the server's own collections are missing");
    view.schema.find(JOBS).zip(view.schema.find(RUNS)).ok_or_else(missing)
}

fn named(view: &Published, jobs: &Collection, name: &str) -> Result<Record> {
    let missing = || Error::new(Kind::NotFound, "there is no such job");
    let id = state::found_as(&view.stack, jobs, "name", Value::text(name))?.ok_or_else(missing)?;
    state::record(&view.stack, jobs, &id)?.ok_or_else(missing)
}

fn shown(runs: &Collection, committed: Committed) -> Result<Vec<u8>> {
    match committed.writes.first() {
        Some(Written::Created(run) | Written::Updated(run)) => Ok(written(runs, run)),
        _ => Err(Error::internal("a run was not made")),
    }
}

fn written(runs: &Collection, run: &Record) -> Vec<u8> {
    let mut body = Vec::with_capacity(512);
    pipeline::format_record(runs, run, &Mask::all(true), &mut body);
    body
}
