//! What is left behind of a change that a handler gave up, or of changes that the log no longer has: a record of
//! `_deadLetters`, logged with the cursor that passes it. Where there are as many as may be, one of each handler counts the
//! others.

use serde::Serialize;
use serde_json::value::RawValue;

use super::derive::action;
use super::{Means, named};
use crate::core::{Changed, Published, What};
use crate::error::{Error, Result};
use crate::id::{Mark, RecordId};
use crate::limits;
use crate::model::command::{Derived, Write};
use crate::model::handler::DEAD_LETTERS;
use crate::model::pipeline;
use crate::model::schema::Collection;
use crate::outbound::webhook::Message;
use crate::state;
use crate::time::Millis;

/// What stands in the one of a handler that is for all those for which there is no place.
const MANY: &str = "there is no place for more, and as many as this one has attempts were given up without one";

/// A change that was given up, or a gap.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    kind: &'static str,
    position: String,
    /// JSON: what names the record, and of a webhook what was to be sent.
    event: Option<String>,
    pub(super) error: String,
    attempts: u32,
    time: Millis,
}

/// As it is stored.
#[derive(Serialize)]
struct Stored<'a> {
    handler: &'a str,
    kind: &'a str,
    position: &'a str,
    event: Option<&'a RawValue>,
    error: &'a str,
    attempts: u32,
}

impl Letter {
    /// Of a change, with what names its record; nothing of what is in it.
    pub(super) fn of(view: &Published, changed: &Changed<'_>) -> Letter {
        let event = match &changed.what {
            What::Record(change) => Some(serde_json::json!({
                "action": action(change), "collection": named(view, change.collection), "id": change.id.as_str(),
            })),
            _ => None,
        };
        Letter {
            kind: "event",
            position: changed.mark.to_string(),
            event: event.map(|event| event.to_string()),
            error: String::new(),
            attempts: 1,
            time: changed.time,
        }
    }

    /// Of a message that was tried so often.
    pub(super) fn undelivered(mark: Mark, message: &Message, attempts: u32, error: &str) -> Letter {
        let (body, cut) = match std::str::from_utf8(&message.body) {
            Ok(body) if body.len() <= limits::HANDLER_LETTER_BYTES_MAX => (Some(body), ""),
            _ => (None, "; what was sent is too large to be kept"),
        };
        // As a text: it is sent again byte for byte, and what is nested deeply in it is nested no deeper.
        let event = Some(serde_json::json!({ "message": message.id, "body": body }).to_string());
        let error = format!("{error}{cut}");
        Letter { kind: "event", position: mark.to_string(), event, error, attempts, time: message.time }
    }

    /// Of changes that are not in the log any more.
    pub(super) fn gap(from: Mark, to: Mark, time: Millis) -> Letter {
        let error = format!("the changes from {from} up to {to} are not in the log any more");
        Letter { kind: "gap", position: to.to_string(), event: None, error, attempts: 0, time }
    }

    pub(super) fn because(self, error: &Error) -> Letter {
        Letter { error: error.to_string(), ..self }
    }

    /// About what it takes.
    pub(super) fn bytes(&self) -> usize {
        self.event.as_ref().map_or(0, String::len) + self.error.len() + 256
    }

    /// As a write.
    ///
    /// # Errors
    /// That there is no place for it, or no id.
    pub(super) fn write(&self, view: &Published, handler: &RecordId, means: &Means) -> Result<Derived> {
        let collection = view.schema.find(DEAD_LETTERS);
        let collection = collection.ok_or_else(|| Error::internal("there is no collection of dead letters"))?;
        let faulty = |error| Error::internal("a dead letter can't be written").source(error);
        let event = self.event.as_deref().map(serde_json::from_str::<&RawValue>).transpose().map_err(faulty)?;
        let error: String = self.error.chars().take(limits::HANDLER_ERROR_CHARS_MAX).collect();
        let count = state::tally(&view.stack, collection.id, collection.generation)?.count;
        if count >= means.letters_max {
            return self.one_more(collection, handler, means, count, &error);
        }
        let stored = Stored {
            handler: handler.as_str(),
            kind: self.kind,
            position: &self.position,
            event,
            error: &error,
            attempts: self.attempts,
        };
        let body = serde_json::to_vec(&stored).map_err(faulty)?;
        let op = pipeline::create(collection, &body, (means.new_id)(self.time)?, true)?;
        let create = Write { collection: collection.id, schema: collection.version, guard: means.guard.clone(), op };
        Ok(Derived { create: Ok(create), merge: None })
    }

    /// In place of one for which there is no place: one of each handler, which has its id, says of how many that is so.
    fn one_more(
        &self,
        collection: &Collection,
        handler: &RecordId,
        means: &Means,
        count: u64,
        error: &str,
    ) -> Result<Derived> {
        let error = format!("there are {count} dead letters: {MANY}; the last of them: {error}");
        let position = &self.position;
        let whole = serde_json::json!({
            "handler": handler.as_str(), "kind": "gap", "position": position, "error": error, "attempts": 1,
        });
        let patch = serde_json::json!({ "position": position, "error": error, "attempts+": 1 });
        let write =
            |op| Write { collection: collection.id, schema: collection.version, guard: means.guard.clone(), op };
        let create = pipeline::create(collection, whole.to_string().as_bytes(), handler.clone(), true)?;
        let merge = pipeline::merge(collection, handler, patch.to_string().as_bytes(), None, true)?;
        Ok(Derived { create: Ok(write(create)), merge: Some(write(merge)) })
    }

    #[cfg(test)]
    pub(super) fn for_tests(error: &str) -> Letter {
        Letter {
            kind: "event",
            position: "1-00000000-1".to_owned(),
            event: None,
            error: error.to_owned(),
            attempts: 1,
            time: Millis(0),
        }
    }
}
