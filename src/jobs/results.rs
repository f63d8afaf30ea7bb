//! What comes of a whole source at once: an aggregate, its rows into a collection, and a file.
//!
//! Invariants: each is of one view, so where it was cut off it begins again; the rows and the end of the run are one entry, so
//! they are written once, and whoever reads finds all of them or none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::run::{Over, Runner, Standing, source, told};
use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::aggregate::Aggregation;
use crate::model::command::{Command, Op, Write};
use crate::model::job::{Form, Job, Store};
use crate::model::pipeline;
use crate::model::value::{Fields, Value};
use crate::state;

/// How often a row that another has written meanwhile is looked up again.
const STORE_TRIES: usize = 5;
/// How often it is said how far a file has come.
const SAY_PAUSE: Duration = Duration::from_secs(1);

/// How long there is for a work that can't be cut.
fn time_left(runner: &Runner, standing: &Standing) -> Duration {
    let left = |deadline: crate::time::Millis| deadline.0.saturating_sub(runner.core.clock().now().0).max(1);
    standing.deadline.map_or(limits::JOB_AGGREGATE_TIME, |deadline| Duration::from_millis(left(deadline) as u64))
}

pub(super) fn aggregate(runner: &Runner, standing: &Standing, job: &Job, asked: &Arc<Aggregation>) -> Result<(), Over> {
    runner.goes_on(standing)?;
    let asked = Aggregation { timeout: time_left(runner, standing), ..Aggregation::clone(asked) };
    let body = (runner.means.adding.0)(Arc::new(asked), runner.over.clone());
    if runner.ends() {
        return Err(Over::Ended);
    }
    let body = body?;
    let answer: Json = serde_json::from_slice(&body).map_err(|error| Error::internal("no JSON").source(error))?;
    let rows = answer["items"].as_array().cloned().unwrap_or_default();
    let mut sets = runner.ending(standing, "done");
    let total = standing.number("total");
    sets.extend(standing.sets([("done", Value::Int(total)), ("chunks", Value::Int(1))]));
    let stored = job.store.map(|_| rows.len());
    sets.extend(standing.sets([("result", Value::Json(result(&rows, stored).to_string().into()))]));
    let Some(store) = job.store else {
        runner.say(standing, sets)?;
        return runner.tidy(standing);
    };
    if rows.len() > limits::JOB_STORED_MAX {
        let message =
            format!("the result has {} rows: at most {} are stored at once", rows.len(), limits::JOB_STORED_MAX);
        return Err(Over::Failed(Error::new(Kind::Unprocessable, message).code("too_many_rows")));
    }
    for tries in 1.. {
        runner.goes_on(standing)?;
        let mut writes = writes(runner, &runner.core.view(), store, &rows)?;
        writes.push(runner.mark(standing, sets.clone()));
        match runner.submit(Command::Write(writes)) {
            // Another has made or removed such a row since it was looked up; or the run is not what it was.
            Err(Over::Failed(error)) if is_moved(&error) => {
                if error.write() == Some(rows.len()) {
                    return Err(Over::Anew);
                }
                if tries >= STORE_TRIES {
                    return Err(Over::Failed(error));
                }
            }
            Err(Over::Failed(error)) => {
                let row = error.write().map_or(String::new(), |row| format!("row {row}: "));
                let message = format!("{row}{}", told(&error));
                return Err(Over::Failed(Error::new(error.kind(), message).code(error.code_str())));
            }
            done => {
                done?;
                return runner.tidy(standing);
            }
        }
    }
    Ok(())
}

fn is_moved(error: &Error) -> bool {
    matches!(error.kind(), Kind::Conflict | Kind::NotFound | Kind::Precondition)
}

/// What of it stands in the run's record.
fn result(rows: &[Json], stored: Option<usize>) -> Json {
    let (mut items, mut bytes) = (Vec::new(), 0);
    for row in rows {
        bytes += row.to_string().len();
        if bytes > limits::JOB_RESULT_BYTES_MAX {
            break;
        }
        items.push(row.clone());
    }
    let mut result = json!({"totalItems": rows.len(), "items": items});
    if let Some(stored) = stored {
        result["stored"] = json!(stored);
    }
    result
}

/// A write for each row: over the record that has its key, or a new one.
fn writes(runner: &Runner, view: &Published, store: Store, rows: &[Json]) -> Result<Vec<Write>, Over> {
    let missing = || Over::Failed(Error::new(Kind::NotFound, "the collection of the results is gone"));
    let target = view.schema.get(store.collection).ok_or_else(missing)?;
    let now = runner.core.clock().now();
    let mut writes = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let body = row.to_string();
        let named = |error: Error| {
            let message = format!("row {at} does not go into {}: {}", target.name, told(&error));
            Over::from(Error::new(error.kind(), message).code(error.code_str()))
        };
        let create = pipeline::create(target, body.as_bytes(), (runner.means.new_id)(now)?, true).map_err(named)?;
        let mut found = None;
        if let (Some((field, index)), Op::Create { fields, .. }) = (store.key, &create)
            && let Some(index) = target.index(index)
        {
            let key: Fields = [(field, fields.get(field).clone())].into_iter().collect();
            found = state::found_by(&view.stack, target, index, &key)?;
        }
        let op = match found {
            Some(id) => pipeline::merge(target, &id, body.as_bytes(), None, true).map_err(named)?,
            None => create,
        };
        writes.push(Write { collection: target.id, schema: target.version, guard: runner.means.guard.clone(), op });
    }
    Ok(writes)
}

pub(super) fn export(runner: &Runner, standing: &Standing, job: &Job, form: Form) -> Result<(), Over> {
    let (_, query) = source(&standing.view.schema, job, &runner.means, runner.core.clock().now())?;
    let deadline = Instant::now() + time_left(runner, standing);
    let mut now = Standing {
        view: standing.view.clone(),
        runs: standing.runs.clone(),
        run: standing.run.clone(),
        job: Ok(job.clone()),
        deadline: standing.deadline,
    };
    let (mut said, mut over) = (Instant::now(), None);
    let came = |records: u64| {
        if let Err(why) = runner.goes_on(&now) {
            over = Some(why);
            return Err(Error::internal("the export is over"));
        }
        if said.elapsed() < SAY_PAUSE {
            return Ok(());
        }
        said = Instant::now();
        let sets = now.sets([("done", Value::Int(records as i64))]);
        match runner.say(&now, sets) {
            Ok(run) => now.run = run,
            Err(Over::Anew) if now.number("done") == records as i64 => {}
            Err(why) => {
                over = Some(why);
                return Err(Error::internal("the export is over"));
            }
        }
        Ok(())
    };
    let written = runner.files.write(&runner.run, (&standing.view, job, form), &query, deadline, came);
    if let Some(over) = over {
        return Err(over);
    }
    let written = written?;
    let mut sets = runner.ending(&now, "done");
    let result = json!({"file": written.name, "bytes": written.bytes, "records": written.records});
    sets.extend(now.sets([
        ("done", Value::Int(written.records as i64)),
        ("chunks", Value::Int(1)),
        ("result", Value::Json(result.to_string().into())),
    ]));
    runner.say(&now, sets)?;
    runner.tidy(&now)
}
