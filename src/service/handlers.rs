//! How handlers are getting on, and sending again. Superusers only; what handlers are is records of `_handlers`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::core::{Core, Published};
use crate::error::{Error, Kind, Result};
use crate::handlers::{Counts, Invalidate, Means};
use crate::id::{Mark, RecordId};
use crate::limits;
use crate::model::command::{Command, Op, Rewind, Write};
use crate::model::handler::DEAD_LETTERS;
use crate::model::look::Wanted;
use crate::model::predicate::QueryPairs;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::Value;
use crate::outbound::Dialer;
use crate::outbound::webhook::Message;
use crate::service::cache::{Cache, Question};
use crate::service::lists::ListRequest;
use crate::service::{Caller, Paging, Service, access, ids};
use crate::state;

/// What handlers work with.
pub(super) fn means(core: &Core, dialer: Arc<Dialer>, cache: Option<Arc<Cache>>) -> Means {
    let core = core.clone();
    let invalidate = move |patterns: &[Box<str>]| {
        if let Some(cache) = &cache {
            cache.drop_patterns(&core.view().schema, patterns);
        }
    };
    Means {
        guard: access::for_server(),
        new_id: ids::record_id,
        invalidate: Invalidate(Arc::new(invalidate)),
        dialer,
        pauses: Default::default(),
        letters_max: limits::DEAD_LETTERS_MAX,
    }
}

/// What is to be sent again.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Again {
    since: Option<String>,
    dead_letter: Option<String>,
}

impl Service {
    /// How a handler is getting on: `cursor`, where it goes on after a restart; `lag` and `lagSeconds`, how many entries of
    /// the log lie before it and how old the oldest change is that it has not dealt with; `waiting`, `inFlight` and
    /// `retrying`, what of a webhook is not delivered; since the server started `acknowledged`, `failed`, `lastError` and
    /// `lost`, what the log had no longer; and how many `deadLetters` there are.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`; the state's.
    pub async fn handler_status(&self, caller: Caller, id: &str) -> Result<Vec<u8>> {
        access::superuser(caller.clone())?;
        let id = RecordId::new(id).map_err(|_| missing())?;
        let (cursor, counts) = self.0.handlers.status(&id)?.ok_or_else(missing)?;
        let lag = self.lag(cursor, &counts);
        let now = self.core().clock().now();
        let age = |at: crate::time::Millis| now.0.saturating_sub(at.0).max(0) as f64 / 1_000.0;
        let lag_seconds = if lag == 0 { Some(0.0) } else { counts.at.map(age) };
        let status = json!({
            "cursor": cursor.to_string(), "lag": lag, "lagSeconds": lag_seconds,
            "waiting": counts.waiting, "inFlight": counts.in_flight, "retrying": counts.retrying,
            "acknowledged": counts.acknowledged, "failed": counts.failed, "lastError": counts.last_error,
            "lost": counts.lost.map(|(from, to)| json!({"from": from.to_string(), "to": to.to_string()})),
            "deadLetters": self.count_letters(caller, &id).await?,
        });
        Ok(status.to_string().into_bytes())
    }

    /// How many entries of the log a handler has not dealt with.
    pub(super) fn lag(&self, cursor: Mark, counts: &Counts) -> u64 {
        let reached = counts.reached.unwrap_or(cursor).max(cursor);
        self.core().view().position.seq.0.saturating_sub(reached.whole().0)
    }

    async fn count_letters(&self, caller: Caller, id: &RecordId) -> Result<Option<u64>> {
        let asker = self.asker(caller, "GET", QueryPairs::of("", |_| Vec::new()));
        let words = format!("handlers/{id}/deadLetters");
        let filter = format!("handler = '{id}'");
        let request = ListRequest {
            filter: Some(&filter),
            sort: None,
            wanted: Wanted { fields: Some("id"), ..Wanted::default() },
            paging: Paging { page: 1, per_page: 1, count: true },
            cursor: None,
            search: None,
            explain: false,
            min: None,
        };
        let answer = self.list_records(&asker, &Question::of(&asker, &words), DEAD_LETTERS, request).await?;
        let page: Option<Json> = answer.found.and_then(|found| serde_json::from_slice(&found.body).ok());
        Ok(page.and_then(|page| page["totalItems"].as_u64()))
    }

    /// Has a webhook send again: all since a position (`{"since": …}`), or one that it gave up (`{"deadLetter": …}`): that
    /// at once, and once it is taken, the dead letter is gone. Each bears the id that it had.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `NotFound`; `Invalid` for the body; `Gone` where the log has not that much any more;
    /// `Unprocessable` for what is no webhook's; `Unavailable` with code `not_delivered` where the receiver takes it not.
    pub async fn redeliver(&self, caller: Caller, id: &str, body: &[u8]) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let id = RecordId::new(id).map_err(|_| missing())?;
        let read = |error: serde_json::Error| Error::invalid(format!("the body can't be read: {error}"));
        match serde_json::from_slice(body).map_err(read)? {
            Again { since: Some(since), dead_letter: None } => self.rewind(&id, &since).await,
            Again { since: None, dead_letter: Some(letter) } => self.send_letter(&id, &letter).await,
            _ => Err(Error::invalid("what is to be sent again: since a position, or one dead letter").fault(
                "since",
                "required",
                "either since or deadLetter is given",
            )),
        }
    }

    async fn rewind(&self, id: &RecordId, since: &str) -> Result<Vec<u8>> {
        let at = |message: &str| Error::invalid("there is no such place").fault("since", "invalid", message);
        let to: Mark = since.parse().map_err(|error: Error| at(error.message()))?;
        let view = self.core().view();
        let cursor = state::cursor(&view.stack, id)?.ok_or_else(missing)?;
        if !view.knows(to.position)? {
            return Err(at("it is not in this server's history"));
        }
        let first = self.core().log().first_seq();
        if to.whole().next() < first {
            let message = format!("the log begins with entry {}", first.0);
            return Err(Error::new(Kind::Gone, message).code("log_trimmed"));
        }
        let reached = self.0.handlers.status(id)?.and_then(|(_, counts)| counts.reached);
        if to > reached.unwrap_or(cursor).max(cursor) {
            return Err(at("the handler has not come so far"));
        }
        let begins = to.min(cursor);
        self.core().submit(Command::Rewind(Rewind { handler: id.clone(), to: begins })).await?;
        if to >= cursor {
            // Delivered, and not logged as such: only who delivered it knows.
            self.0.handlers.again(id, to);
        }
        Ok(json!({"cursor": begins.to_string()}).to_string().into_bytes())
    }

    async fn send_letter(&self, id: &RecordId, letter: &str) -> Result<Vec<u8>> {
        let no_letter = || Error::new(Kind::NotFound, "the handler has no such dead letter");
        let letter = RecordId::new(letter).map_err(|_| no_letter())?;
        let message = {
            let view = self.core().view();
            let (letters, stored) = stored(&view, &letter)?.ok_or_else(no_letter)?;
            let field = |name: &str| letters.field(name).map(|field| stored.fields.get(field.id));
            if field("handler").and_then(Value::as_text) != Some(id.as_str()) {
                return Err(no_letter());
            }
            message(field("event"), self.core().clock().now())
                .ok_or_else(|| Error::new(Kind::Unprocessable, "the dead letter holds no message").code("no_message"))?
        };
        let full = || Error::new(Kind::Unavailable, "as many dead letters are being sent as may be").code("queue_full");
        let _place = self.0.redeliveries.take().ok_or_else(full)?;
        self.0.handlers.send(id, &message).await?;
        let view = self.core().view();
        if let Some((letters, _)) = stored(&view, &letter)? {
            let op = Op::Delete { id: letter.clone(), if_match: None };
            let write = Write { collection: letters.id, schema: letters.version, guard: access::for_server(), op };
            match self.core().submit(Command::Write(vec![write])).await {
                // Who else sent it meanwhile has deleted it.
                Err(error) if error.kind() != Kind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(json!({"delivered": message.id}).to_string().into_bytes())
    }
}

fn stored<'a>(view: &'a Published, letter: &RecordId) -> Result<Option<(&'a Collection, Record)>> {
    let Some(letters) = view.schema.find(DEAD_LETTERS) else { return Ok(None) };
    Ok(state::record(&view.stack, letters, letter)?.map(|record| (&**letters, record)))
}

/// What a webhook left in a dead letter.
fn message(event: Option<&Value>, time: crate::time::Millis) -> Option<Message> {
    let Some(Value::Json(text)) = event else { return None };
    let event: Json = serde_json::from_str(text).ok()?;
    let (id, body) = (event["message"].as_str()?.to_owned(), event["body"].as_str()?);
    Some(Message { id, body: Bytes::copy_from_slice(body.as_bytes()), time })
}

fn missing() -> Error {
    Error::new(Kind::NotFound, "there is no such handler")
}
