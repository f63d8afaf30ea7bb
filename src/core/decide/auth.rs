//! Decisions about records that can ask: their passwords, and the last superuser.
//!
//! Invariants: no password is stored but as a hash; nobody but a superuser changes one without having shown to know the
//! stored one; with a new password comes a new token key, which ends every token of the old one.

use super::Draft;
use crate::error::{Error, Kind, Result};
use crate::model::guard::Guard;
use crate::model::schema::{AuthFields, Collection};
use crate::model::value::{Fields, Value};
use crate::state;

/// The collection whose records are superusers.
const SUPERUSERS: &str = "_superusers";

/// A new record of an auth collection has a password and a token key.
///
/// # Errors
/// `Invalid` without a password; `Internal` for one that was not hashed.
pub(super) fn judge_new(collection: &Collection, after: &Fields) -> Result<()> {
    let Some(auth) = collection.auth_fields() else { return Ok(()) };
    if after.get(auth.password).is_null() {
        return Err(Error::invalid("the body has faults").fault("password", "required", "is required"));
    }
    is_hashed(auth, after)
}

/// What a replacement can't name stays: the password that it doesn't set, with its token key, every other secret, and, but
/// for superusers, whether the address is verified.
pub(super) fn keep_unnamed(collection: &Collection, guard: &Guard, before: &Fields, after: &mut Fields) {
    let auth = collection.auth_fields();
    if let Some(auth) = auth.filter(|_| !guard.is_superuser()) {
        after.set(auth.verified, before.get(auth.verified).clone());
    }
    let set = auth.is_some_and(|auth| !after.get(auth.password).is_null());
    for field in collection.fields.iter().filter(|field| field.is_secret()) {
        let given = set && auth.is_some_and(|auth| [auth.password, auth.token_key].contains(&field.id));
        if !given {
            after.set(field.id, before.get(field.id).clone());
        }
    }
}

/// A change to a record of an auth collection. An address that is another one is not verified any more, unless a superuser
/// says so.
///
/// # Errors
/// `Invalid` for a password of which the caller doesn't know the old one; `Internal` for one that was not hashed.
pub(super) fn judge_change(collection: &Collection, guard: &Guard, before: &Fields, after: &mut Fields) -> Result<()> {
    let Some(auth) = collection.auth_fields() else { return Ok(()) };
    if before.get(auth.password) != after.get(auth.password) {
        is_hashed(auth, after)?;
        let known = guard.proof().is_some_and(|hash| before.get(auth.password).as_text() == Some(hash));
        if !guard.is_superuser() && !known {
            let message = "is not the password that the record has";
            return Err(Error::invalid("the body has faults").fault("oldPassword", "bad_password", message));
        }
        if before.get(auth.token_key) == after.get(auth.token_key) {
            return Err(Error::internal("a password was changed and its tokens would go on"));
        }
    }
    if !guard.is_superuser() && before.get(auth.email) != after.get(auth.email) {
        after.set(auth.verified, Value::Bool(false));
    }
    Ok(())
}

/// There is always a superuser, once there was one.
///
/// # Errors
/// `Conflict` with code `last_superuser`.
pub(super) fn judge_end(draft: &mut Draft<'_>, collection: &Collection) -> Result<()> {
    if &*collection.name != SUPERUSERS {
        return Ok(());
    }
    let left = state::tally(draft.state()?, collection.id, collection.generation)?.count;
    if left > 1 {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, "the last superuser can't go").code("last_superuser"))
}

fn is_hashed(auth: AuthFields, after: &Fields) -> Result<()> {
    let texts = [auth.password, auth.token_key].map(|field| after.get(field).as_text());
    if texts.iter().all(|text| text.is_some_and(|text| !text.is_empty())) {
        return Ok(());
    }
    Err(Error::internal("a password came to be stored as it was given"))
}
