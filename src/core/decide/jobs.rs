//! Decisions about jobs: what may be one, and how far a run has come.
//!
//! Invariants: what a run writes and how far it has come are one entry, so each record is dealt with once, whatever ends the
//! run and whoever goes on with it. A run that is not in the version that was read does nothing. A job's schedule counts
//! from when it was last changed, and only ever further on.

use super::records::{self, seen};
use super::{Draft, TOO_COSTLY, too_many_changes};
use crate::error::{Error, Kind, Result};
use crate::id::{FieldId, RecordId};
use crate::limits;
use crate::model::command::{Loaded, Piece, Refusal, STALE_SCHEMA, Write, Written};
use crate::model::job::{ACTIVE, JOBS, Job, RUNS, cut, is_enabled, with_faults};
use crate::model::schema::{Collection, Field};
use crate::model::value::{Fields, Value};
use crate::state::{self, Overlay};

/// Whether a collection's records are jobs.
fn is_jobs(collection: &Collection) -> bool {
    collection.id.is_own() && &*collection.name == JOBS
}

/// A record of `_jobs` as it is to be is a job. One that is disabled and is otherwise what it was may have faults: what it
/// names may be gone.
///
/// # Errors
/// `Invalid` with all faults; `Unprocessable` where there are too many.
pub(super) fn judge(
    draft: &mut Draft<'_>,
    collection: &Collection,
    id: &RecordId,
    before: Option<&Fields>,
    after: &mut Fields,
) -> Result<()> {
    if !is_jobs(collection) {
        return Ok(());
    }
    // The time that was given last goes only further on, whoever replaces the record.
    if let Some(field) = collection.field("scheduled")
        && let Some(Value::Date(was)) = before.map(|before| before.get(field.id).clone())
        && !matches!(after.get(field.id), Value::Date(is) if *is >= was)
    {
        after.set(field.id, Value::Date(was));
    }
    let changed: Vec<&str> = match before {
        Some(before) => {
            let differs = |field: &&Field| before.get(field.id) != after.get(field.id);
            collection.fields.iter().filter(differs).map(|field| &*field.name).collect()
        }
        None => collection.fields.iter().map(|field| &*field.name).collect(),
    };
    if changed.iter().any(|name| matches!(*name, "schedule" | "timeZone" | "enabled"))
        && let Some(field) = collection.field("scheduled")
    {
        after.set(field.id, Value::Date(draft.now));
    }
    let is_otherwise_same = changed.iter().all(|name| matches!(*name, "enabled" | "scheduled"));
    if is_otherwise_same && (changed == ["scheduled"] || !is_enabled(collection, after)) {
        return Ok(());
    }
    Job::read(draft.schema, collection, after)?;
    if before.is_none() {
        let max = limits::JOBS_MAX;
        let (stored, _) = state::next_records(draft.state()?, collection, None, max, usize::MAX)?;
        if stored.iter().filter(|other| other.id != *id).count() >= max {
            let message = format!("there are at most {max} jobs");
            return Err(Error::new(Kind::Unprocessable, message).code("too_many_jobs"));
        }
    }
    Ok(())
}

/// A job with a run under way does not go, and neither does the run.
///
/// # Errors
/// `Conflict` with code `run_active`.
pub(super) fn may_go(draft: &mut Draft<'_>, collection: &Collection, id: &RecordId, fields: &Fields) -> Result<()> {
    if !collection.id.is_own() {
        return Ok(());
    }
    let is_active = match &*collection.name {
        JOBS => {
            let Some(runs) = draft.schema.find(RUNS).cloned() else { return Ok(()) };
            state::found_as(draft.state()?, &runs, ACTIVE, Value::text(id.as_str()))?.is_some()
        }
        RUNS => collection.field(ACTIVE).is_some_and(|field| !fields.get(field.id).is_null()),
        _ => false,
    };
    if is_active {
        let message = "a run of the job is under way: cancel it first";
        return Err(Error::new(Kind::Conflict, message).code("run_active"));
    }
    Ok(())
}

/// A run comes further, with what it writes on the way. Each write is judged by itself: one that is refused leaves nothing,
/// and is counted and told of in the run's record. It ends early where the entry is full, and before a record that has
/// changed since it was looked at: [`Loaded::decided`] says where, and so does the run's record.
///
/// # Errors
/// `Conflict` with code `run_moved` where the run is not what it was; `stale_schema`; the state's.
pub(super) fn work(draft: &mut Draft<'_>, piece: &Piece) -> Result<()> {
    let runs = draft.schema.find(RUNS).ok_or_else(run_moved)?.clone();
    let run = state::record(draft.state()?, &runs, &piece.run)?.ok_or_else(run_moved)?;
    if run.version != piece.version {
        return Err(run_moved());
    }
    let mut loaded = Loaded::default();
    let (mut failed, mut stopped) = (Vec::new(), false);
    for (at, step) in piece.steps.iter().enumerate() {
        let full = draft.changes.len() >= limits::ENTRY_CHANGES_PIECE || draft.bytes >= limits::ENTRY_BYTES_PIECE;
        if full && at > 0 {
            break;
        }
        match one(draft, step.write.as_ref())? {
            Judged::Done => loaded.updated += 1,
            Judged::Gone => {}
            Judged::Changed => break,
            Judged::Full if at > 0 => break,
            Judged::Full => failed.push((at, too_costly())),
            Judged::Refused(refusal) => failed.push((at, refusal)),
        }
        loaded.decided = at + 1;
        if piece.stops && !failed.is_empty() {
            stopped = true;
            break;
        }
    }
    if loaded.decided > 0 || piece.steps.is_empty() {
        let mut after = run.fields.clone();
        if loaded.decided == piece.steps.len() {
            put(&mut after, &piece.sets);
        } else if let Some(last) = loaded.decided.checked_sub(1) {
            set(&runs, &mut after, "through", Value::text(piece.steps[last].id.as_str()));
        }
        count(&runs, &mut after, "done", loaded.updated);
        count(&runs, &mut after, "failed", failed.len());
        let told = failed.iter().map(|(at, refusal)| (&piece.steps[*at].id, refusal));
        tell(&runs, &mut after, told);
        if stopped && let Some((at, refusal)) = failed.first() {
            let message = format!("{}: {}", piece.steps[*at].id, refusal.message);
            put(&mut after, &piece.ends);
            set(&runs, &mut after, "error", Value::text(cut(&message)));
        }
        let written = records::update(draft, &runs, run, after)?;
        draft.committed.writes.push(Written::Updated(written));
    }
    loaded.refused = failed;
    draft.committed.loaded = Some(Box::new(loaded));
    Ok(())
}

/// What became of one write.
enum Judged {
    Done,
    /// There is no such record any more.
    Gone,
    /// It is not in the version that was looked at.
    Changed,
    /// The entry has no steps left for it.
    Full,
    Refused(Refusal),
}

fn one(draft: &mut Draft<'_>, write: Result<&Write, &Refusal>) -> Result<Judged> {
    let write = match write {
        Ok(write) => write,
        Err(refusal) => return Ok(Judged::Refused(refusal.clone())),
    };
    let (changes, bytes) = (draft.changes.len(), draft.bytes);
    let (doubled, against) = (draft.doubled.clone(), draft.against.clone());
    let error = match records::one(draft, write) {
        // The run's own record has to go into the entry as well.
        Ok(_) if draft.changes.len() >= limits::ENTRY_CHANGES_MAX => too_many_changes(),
        Ok(_) => return Ok(Judged::Done),
        Err(error) => error,
    };
    // A deletion may have come some way.
    draft.changes.truncate(changes);
    draft.bytes = bytes;
    (draft.doubled, draft.against) = (doubled, against);
    if draft.seen > changes {
        (draft.state, draft.seen) = (Overlay::new(draft.stack), 0);
    }
    match (error.kind(), error.code_str()) {
        (_, STALE_SCHEMA) => Err(error),
        (_, TOO_COSTLY) => Ok(Judged::Full),
        // What the others take of the entry is no fault of this one: it comes first in the next.
        (Kind::TooLarge, _) if changes > 0 => Ok(Judged::Full),
        (Kind::NotFound, _) => Ok(Judged::Gone),
        (Kind::Precondition, _) => Ok(Judged::Changed),
        _ => Ok(Judged::Refused(Refusal::of(seen(draft, write, error))?)),
    }
}

fn too_costly() -> Refusal {
    Refusal {
        kind: Kind::Unprocessable,
        code: TOO_COSTLY,
        message: "its expressions take too many steps".into(),
        faults: Vec::new(),
    }
}

fn put(fields: &mut Fields, values: &[(FieldId, Value)]) {
    for (field, value) in values {
        fields.set(*field, value.clone());
    }
}

fn set(runs: &Collection, fields: &mut Fields, name: &str, value: Value) {
    if let Some(field) = runs.field(name) {
        fields.set(field.id, value);
    }
}

fn count(runs: &Collection, fields: &mut Fields, name: &str, more: usize) {
    let Some(field) = runs.field(name) else { return };
    let before = match fields.get(field.id) {
        Value::Int(before) => *before,
        _ => 0,
    };
    fields.set(field.id, Value::Int(before.saturating_add(more as i64)));
}

/// Why records were refused: `[{"id", "code", "message"}]`, the first of them.
fn tell<'a>(runs: &Collection, fields: &mut Fields, failed: impl Iterator<Item = (&'a RecordId, &'a Refusal)>) {
    let told = |(id, refusal): (&RecordId, &Refusal)| {
        let why = refusal.faults.first().map_or_else(
            || refusal.message.to_string(),
            |fault| format!("{}: {}: {}", refusal.message, fault.field, fault.message),
        );
        serde_json::json!({"id": id.as_str(), "code": refusal.code, "message": cut(&why)})
    };
    let Some(field) = runs.field("faults") else { return };
    if let Some(faults) = with_faults(fields.get(field.id), failed.map(told)) {
        fields.set(field.id, faults);
    }
}

fn run_moved() -> Error {
    Error::new(Kind::Conflict, "the run has ended, or somebody else goes on with it").code("run_moved")
}
