//! Messages of a run: each chunk of the source sent to a webhook, and whoever wants to know told of the end.
//!
//! Invariants: where a chunk ends is in the run's record before it is sent, so a chunk that is sent again, also by another
//! server, has the same number, the same id and the same range. A chunk is done with only behind those before it. One that
//! is given up is counted with its records, and the run goes on unless the job says otherwise.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::chunks;
use super::run::{Over, Runner, Standing, source};
use crate::core::Published;
use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::handler::Webhook;
use crate::model::job::{Job, cut, with_faults};
use crate::model::json::write_text;
use crate::model::mask::Mask;
use crate::model::pipeline;
use crate::model::value::Value;
use crate::outbound::webhook::backoff::Pauses;
use crate::outbound::webhook::{Failure, Message, Sender, message_id};
use crate::time::Millis;

const PAUSES: Pauses =
    Pauses { first: limits::JOB_SEND_PAUSE, longest: limits::JOB_SEND_PAUSE_MAX, tries_for: limits::JOB_SEND_TIME };

/// Sends to one receiver. Connections that are kept are driven by a thread of the runtime, whoever waits for their answers.
struct Sending {
    sender: Sender,
    /// There until this is dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name that is still asked for holds up nothing.
            runtime.shutdown_background();
        }
    }
}

impl Sending {
    fn to(webhook: &Webhook, runner: &Runner) -> Result<Sending> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("messages")
            .enable_all()
            .build()
            .map_err(|error| Error::internal("no threads for messages").source(error))?;
        Ok(Sending { sender: Sender::new(webhook.clone(), runner.means.dialer.clone()), runtime: Some(runtime) })
    }
}

/// A chunk that is to be sent.
struct Letter {
    number: i64,
    after: Option<RecordId>,
    to: RecordId,
}

/// What came of one.
struct Sent {
    records: usize,
    /// Why it was given up.
    failed: Option<String>,
}

/// Deals with what is left of the run, until it has ended.
pub(super) fn carry_out(runner: &Runner, mut standing: Standing, webhook: &Webhook) -> Result<(), Over> {
    let job = match &standing.job {
        Ok(job) => job.clone(),
        Err(_) => return Err(Over::Anew),
    };
    let schema = standing.view.schema.version();
    let sender = Sending::to(webhook, runner)?;
    loop {
        runner.goes_on(&standing)?;
        let view = runner.core.view();
        if view.schema.version() != schema {
            return Err(Over::Anew);
        }
        let letters = letters(runner, &mut standing, &job, &view)?;
        if letters.is_empty() {
            break;
        }
        let sent = send_all(runner, &view, &job, &sender, &letters, &standing)?;
        for (letter, sent) in letters.iter().zip(sent) {
            settle(runner, &mut standing, &job, letter, sent?)?;
        }
    }
    let (done, failed) = (standing.number("done"), standing.number("failed"));
    runner.done(&standing, &json!({"done": done, "failed": failed, "chunks": standing.number("chunks")}))
}

/// The chunks that come next, as many as are worked on at once; their ends are in the run's record.
fn letters(runner: &Runner, standing: &mut Standing, job: &Job, view: &Arc<Published>) -> Result<Vec<Letter>, Over> {
    let mut ends = open(standing);
    let begun = ends.len();
    let (now, mut looked) = (runner.core.clock().now(), standing.through());
    let (_, query) = source(&view.schema, job, &runner.means, now)?;
    while ends.len() < job.parallel {
        runner.goes_on(standing)?;
        let after = ends.last().or(looked.as_ref()).cloned();
        let chunk = chunks::next(view, &query, after.as_ref(), None, (job.chunk, now))?;
        match (chunk.records.last(), chunk.through) {
            (Some(last), _) => ends.push(last.id.clone()),
            // A stretch where nothing is meant.
            (None, Some(through)) if ends.is_empty() => {
                let sets = standing.sets([("through", Value::text(through.as_str()))]);
                standing.run = runner.say(standing, sets)?;
                looked = Some(through);
            }
            _ => break,
        }
    }
    if ends.len() > begun {
        let texts: Vec<&str> = ends.iter().map(RecordId::as_str).collect();
        let sets = standing.sets([("open", Value::Json(json!(texts).to_string().into()))]);
        standing.run = runner.say(standing, sets)?;
    }
    let befores = std::iter::once(standing.through()).chain(ends.iter().cloned().map(Some));
    let first = standing.number("chunks");
    let letters = befores.zip(&ends).zip(first..);
    Ok(letters.map(|((after, to), number)| Letter { number, after, to: to.clone() }).collect())
}

/// The ends of the chunks that were begun.
fn open(standing: &Standing) -> Vec<RecordId> {
    let Value::Json(text) = standing.get("open") else { return Vec::new() };
    let texts: Vec<String> = serde_json::from_str(text).unwrap_or_default();
    texts.iter().filter_map(|text| RecordId::new(text).ok()).collect()
}

/// Each from a thread of its own.
fn send_all(
    runner: &Runner,
    view: &Arc<Published>,
    job: &Job,
    sender: &Sending,
    letters: &[Letter],
    standing: &Standing,
) -> Result<Vec<Result<Sent, Over>>, Over> {
    std::thread::scope(|scope| {
        let one = |letter| scope.spawn(move || send_chunk(runner, view, job, sender, letter, standing));
        let threads: Vec<_> = letters.iter().map(one).collect();
        let panicked = |_| Err(Over::Later(Error::internal("a chunk's thread panicked")));
        Ok(threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect())
    })
}

fn send_chunk(
    runner: &Runner,
    view: &Arc<Published>,
    job: &Job,
    sender: &Sending,
    letter: &Letter,
    standing: &Standing,
) -> Result<Sent, Over> {
    let now = runner.core.clock().now();
    let (collection, query) = source(&view.schema, job, &runner.means, now)?;
    let chunk = chunks::next(view, &query, letter.after.as_ref(), Some(&letter.to), (usize::MAX, now))?;
    let mut body = Vec::with_capacity(64 << 10);
    begin(&mut body, "job.chunk", now);
    body.extend_from_slice(b"{\"job\":");
    write_text(&mut body, &job.name);
    body.extend_from_slice(
        format!(r#","run":"{}","chunk":{},"collection":"{}","records":["#, runner.run, letter.number, collection.name)
            .as_bytes(),
    );
    let mask = Mask::all(false);
    for (at, record) in chunk.records.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        pipeline::format_record(&collection, record, &mask, &mut body);
    }
    body.extend_from_slice(b"]}}");
    let id = message_id(&format!("{}\n{}", runner.run, letter.number));
    let failed = send(runner, sender, Message { id, body: body.into(), time: now }, Some(standing))?;
    Ok(Sent { records: chunk.records.len(), failed })
}

/// `{"type", "timestamp", "data": …`
fn begin(body: &mut Vec<u8>, kind: &str, now: Millis) {
    body.extend_from_slice(format!(r#"{{"type":"{kind}","timestamp":""#).as_bytes());
    body.extend(now.text().map(|byte| if byte == b' ' { b'T' } else { byte }));
    body.extend_from_slice(br#"","data":"#);
}

/// Sends until it is taken; why it was given up, if it was.
fn send(
    runner: &Runner,
    sender: &Sending,
    message: Message,
    standing: Option<&Standing>,
) -> Result<Option<String>, Over> {
    let (began, mut tries) = (Instant::now(), 0);
    loop {
        if let Some(standing) = standing {
            runner.goes_on(standing)?;
        }
        let sent = match &sender.runtime {
            Some(runtime) => runtime.block_on(sender.sender.send(&message, runner.core.clock().now().seconds())),
            None => return Err(Over::Ended),
        };
        let Err(Failure { message: why, gone, asked }) = sent else {
            return Ok(None);
        };
        tries += 1;
        match PAUSES.pause(tries, 0.5, asked, began.elapsed()).filter(|_| !gone) {
            Some(pause) => runner.wait(pause)?,
            None => return Ok(Some(why)),
        }
    }
}

/// A chunk is done with.
fn settle(runner: &Runner, standing: &mut Standing, job: &Job, letter: &Letter, sent: Sent) -> Result<(), Over> {
    let left: Vec<RecordId> = open(standing).into_iter().filter(|end| *end > letter.to).collect();
    let left: Vec<&str> = left.iter().map(RecordId::as_str).collect();
    let name = if sent.failed.is_some() { "failed" } else { "done" };
    let mut sets = standing.sets([
        ("through", Value::text(letter.to.as_str())),
        ("open", Value::Json(json!(left).to_string().into())),
        ("chunks", Value::Int(letter.number + 1)),
        (name, Value::Int(standing.number(name) + sent.records as i64)),
    ]);
    if let Some(why) = &sent.failed {
        let fault = json!({"chunk": letter.number, "code": "not_delivered", "message": cut(why)});
        let faults = with_faults(standing.get("faults"), [fault]);
        sets.extend(faults.map_or(Vec::new(), |faults| standing.sets([("faults", faults)])));
        if job.stop_on_error {
            sets.extend(runner.ended(standing, "failed"));
            sets.extend(standing.sets([("error", Value::text(format!("chunk {}: {why}", letter.number)))]));
        }
    }
    standing.run = runner.say(standing, sets)?;
    if standing.state() == "running" { Ok(()) } else { Err(Over::Anew) }
}

/// Tells of the end of a run; whether that was taken.
pub(super) fn tell(runner: &Runner, standing: &Standing, webhook: &Webhook) -> Result<bool, Over> {
    let now = runner.core.clock().now();
    let mut body = Vec::with_capacity(1_024);
    begin(&mut body, &format!("job.{}", standing.state()), now);
    pipeline::format_record(&standing.runs, &standing.run, &Mask::all(false), &mut body);
    body.push(b'}');
    let id = message_id(&format!("{}\nend", runner.run));
    let message = Message { id, body: Bytes::from(body), time: now };
    let failed = send(runner, &Sending::to(webhook, runner)?, message, None)?;
    if let Some(why) = &failed {
        tracing::warn!(run = %runner.run, why, "nobody could be told of the end of a run");
    }
    Ok(failed.is_none())
}
