//! What is sent for a change, as Standard Webhooks 1.0 has it: `{"type", "timestamp", "data"}`, and an id that a receiver
//! knows it again by.
//!
//! Invariants: made of the change and the handler's id alone, so every try, also after a restart, bears the same id; a
//! hidden field and a secret are not in it.

use std::borrow::Cow;

use crate::core::{Changed, Published, RecordChange};
use crate::error::{Error, Result};
use crate::handlers::derive::action;
use crate::id::{Mark, RecordId};
use crate::model::mask::Mask;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::outbound::webhook::{Message, message_id};

/// What is sent for a change of a record.
///
/// # Errors
/// That its collection is gone.
pub(super) fn message(
    handler: &RecordId,
    view: &Published,
    changed: &Changed<'_>,
    change: &RecordChange<'_>,
) -> Result<Message> {
    let collection = view.schema.get(change.collection);
    let collection = collection.ok_or_else(|| Error::invalid("the collection of the change is gone"))?;
    let before = change.before();
    let fields = match (change.after(), &before) {
        (Some(after), _) => Cow::Borrowed(after),
        (None, Some(before)) => Cow::Borrowed(&**before),
        (None, None) => return Err(Error::internal("a change without a record")),
    };
    let record = Record { id: change.id.clone(), version: change.position, fields: fields.into_owned() };
    let mask = Mask::all(false);
    let action = action(change);
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(format!(r#"{{"type":"{}.{action}","timestamp":""#, collection.name).as_bytes());
    body.extend(changed.time.text().map(|byte| if byte == b' ' { b'T' } else { byte }));
    let (mark, seq) = (changed.mark, change.position.seq.0);
    let names = format!(
        r#"","data":{{"action":"{action}","collection":"{}","id":"{}","position":"{mark}","seq":{seq},"record":"#,
        collection.name, change.id
    );
    body.extend_from_slice(names.as_bytes());
    pipeline::format_record(collection, &record, &mask, &mut body);
    if let Some(moved) = change.moved() {
        body.extend_from_slice(br#","before":{"#);
        let mut first = true;
        for (id, old) in moved {
            let Some(field) = collection.field_by_id(*id).filter(|field| mask.shows_field(field)) else { continue };
            if !std::mem::take(&mut first) {
                body.push(b',');
            }
            body.push(b'"');
            body.extend_from_slice(field.name.as_bytes());
            body.extend_from_slice(b"\":");
            pipeline::write_value(old, &mut body);
        }
        body.push(b'}');
    }
    body.extend_from_slice(b"}}");
    Ok(Message { id: id(handler, mark, change), body: body.into(), time: changed.time })
}

fn id(handler: &RecordId, mark: Mark, change: &RecordChange<'_>) -> String {
    message_id(&format!("{handler}\n{mark}\n{}\n{}", change.collection, change.id))
}
