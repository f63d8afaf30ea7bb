//! The business rules of a definition. Their expressions are compiled with all others.

use serde_json::Value as Json;

use crate::limits;
use crate::model::faults::Faults;
use crate::model::schema::{Check, Collection};

use super::names;
use super::object::Object;

/// Reads `checks` into the collection, whose fields are there already. Returns whether all stand there: one with a fault
/// is left out.
pub(super) fn read(object: &mut Object, collection: &mut Collection, faults: &mut Faults) -> bool {
    let items = object.list("checks", faults).unwrap_or_default();
    if items.len() > limits::CHECKS_MAX {
        object.fault("checks", "too_many", format!("has at most {} checks", limits::CHECKS_MAX), faults);
        return false;
    }
    let count = items.len();
    for (at, item) in items.into_iter().enumerate() {
        let path = object.path(&format!("checks.{at}"));
        match item {
            Json::Object(map) => {
                let check = check(Object::new(map, path), collection, faults);
                collection.checks.extend(check);
            }
            _ => faults.add(path, "wrong_type", "must be an object with name, expr and message"),
        }
    }
    collection.checks.len() == count
}

fn check(mut object: Object, collection: &Collection, faults: &mut Faults) -> Option<Check> {
    let before = faults.len();
    let name = names::name(&mut object, faults);
    if collection.checks.iter().any(|check| *check.name == *name) {
        object.fault("name", "duplicate", "is the name of another check", faults);
    }
    let expr = object.required_text("expr", faults);
    let message = object.required_text("message", faults);
    if message.as_ref().is_some_and(|message| message.len() > limits::CHECK_MESSAGE_BYTES_MAX) {
        let reason = format!("has at most {} bytes", limits::CHECK_MESSAGE_BYTES_MAX);
        object.fault("message", "too_long", reason, faults);
    }
    let field = object.text("field", faults);
    let id = field.as_ref().and_then(|name| collection.field(name)).map(|field| field.id);
    if field.is_some() && id.is_none() {
        object.fault("field", "unknown_field", "is not a field of this collection", faults);
    }
    object.finish(faults);
    match (expr, message) {
        (Some(expr), Some(message)) if faults.len() == before => {
            Some(Check { name: name.into(), expr: expr.into(), message: message.into(), field: id })
        }
        _ => None,
    }
}
