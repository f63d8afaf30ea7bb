//! A password on its way from a body to a hash.
//!
//! Invariant: as it was given it is a list of texts (itself, and the old one where that was said), as it is stored a text:
//! `core::decide` takes no list for one, so what was not hashed is never stored.

use crate::id::FieldId;
use crate::model::command::Op;
use crate::model::definition::BESIDE_PASSWORD;
use crate::model::faults::Faults;
use crate::model::json::text_of;
use crate::model::schema::{AuthFields, Collection, Field, FieldKind};
use crate::model::value::Value;

use super::validate::{Given, Valid, twice};

const CONFIRM: &str = BESIDE_PASSWORD[0];
const OLD: &str = BESIDE_PASSWORD[1];

/// What a body says beside a password.
#[derive(Default)]
pub(super) struct Beside<'a> {
    confirm: Option<&'a str>,
    old: Option<&'a str>,
}

impl<'a> Beside<'a> {
    /// Whether a key stands beside a password; its value is kept.
    pub(super) fn take(&mut self, key: &str, raw: &'a str, faults: &mut Faults) -> bool {
        let place = match key {
            CONFIRM => &mut self.confirm,
            OLD => &mut self.old,
            _ => return false,
        };
        if place.replace(raw).is_some() {
            twice(key, key, faults);
        }
        true
    }

    /// What is said without a password has no meaning; a form that sends it empty says nothing.
    pub(super) fn finish(&self, given: &[Given<'_>], faults: &mut Faults) {
        let said = |raw: Option<&str>| raw.is_some_and(|raw| raw != "null" && raw != "\"\"");
        let any = said(self.confirm) || said(self.old);
        if any && !given.iter().any(|given| matches!(given.field.kind, FieldKind::Password { .. })) {
            faults.add("password", "required", "is required beside passwordConfirm and oldPassword");
        }
    }
}

/// A password as it was given.
pub(super) fn given(text: Box<str>) -> Value {
    Value::List(vec![Value::Text(text)])
}

/// A field's value with what stands beside it, if it is a password.
pub(super) fn joined(value: Value, field: &Field, beside: &Beside<'_>, faults: &mut Faults) -> Value {
    let FieldKind::Password { .. } = field.kind else { return value };
    let Value::List(mut given) = value else { return value };
    if let Some(raw) = beside.confirm
        && text_of(raw).as_deref() != given.first().and_then(Value::as_text)
    {
        faults.add(CONFIRM, "values_mismatch", "is not the same as password");
    }
    if let Some(raw) = beside.old {
        match text_of(raw) {
            Some(old) => given.push(Value::text(&*old)),
            None if raw == "null" => {}
            None => faults.add(OLD, "wrong_type", "must be a text"),
        }
    }
    Value::List(given)
}

/// A new record of an auth collection has a password.
pub(super) fn require(collection: &Collection, valid: &Valid<'_>, faults: &mut Faults) {
    let Some(auth) = collection.auth_fields() else { return };
    if !valid.given.iter().any(|given| given.field.id == auth.password && given.raw != "null") {
        faults.add("password", "required", "is required");
    }
}

/// A password that a write sets, not yet hashed.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPassword {
    /// It.
    pub plain: Box<str>,
    /// The one before, where it was said.
    pub old: Option<Box<str>>,
}

/// The password that an operation sets, if it sets one.
pub fn new_password(op: &Op, auth: AuthFields) -> Option<NewPassword> {
    let Value::List(given) = value_of(op, auth.password)? else { return None };
    let mut texts = given.iter().filter_map(Value::as_text).map(Box::from);
    Some(NewPassword { plain: texts.next()?, old: texts.next() })
}

fn value_of(op: &Op, field: FieldId) -> Option<&Value> {
    match op {
        Op::Create { fields, .. } | Op::Put { fields, .. } => Some(fields.get(field)),
        Op::Merge { patch, .. } => patch.iter().find(|(id, _)| *id == field).map(|(_, value)| value),
        Op::Delete { .. } => None,
    }
}

/// Puts what the server makes itself into an operation, in the place of what was there.
pub fn set_secrets(op: &mut Op, secrets: impl IntoIterator<Item = (FieldId, Box<str>)>) {
    for (field, secret) in secrets {
        let value = Value::Text(secret);
        match op {
            Op::Create { fields, .. } | Op::Put { fields, .. } => drop(fields.set(field, value)),
            Op::Merge { patch, .. } => {
                patch.retain(|(id, _)| *id != field);
                patch.push((field, value));
            }
            Op::Delete { .. } => {}
        }
    }
}
