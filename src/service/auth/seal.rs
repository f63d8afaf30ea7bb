//! What the server makes itself of a write before it is decided: hashes of passwords with their token keys, and API keys.
//!
//! All of it is random or slow, so it is made here, on the request's side; the log holds what came of it. Whether a caller
//! knows the old password goes along as the hash it was compared with: `core::decide` says whether that still stands.

use std::time::Instant;

use super::{API_KEYS, hash, keys};
use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::command::{Op, Write};
use crate::model::pipeline::{self, NewPassword};
use crate::model::schema::{AuthFields, Collection};
use crate::service::{Service, ids};
use crate::state;

/// The API keys that the writes of a transaction make, by the number of the write: shown once.
pub(in crate::service) type Revealed = Vec<(usize, String)>;

/// A password that a write sets.
struct Sealing {
    at: usize,
    auth: AuthFields,
    new: NewPassword,
    /// Where the caller has to show the old one: its hash, if there is one.
    stored: Option<Option<Box<str>>>,
}

/// What came of it.
struct Sealed {
    hash: Box<str>,
    knows_old: bool,
}

impl Service {
    /// Puts into the writes what the server makes itself.
    ///
    /// # Errors
    /// `TooLarge` for more passwords than `limits::TRANSACTION_PASSWORDS_MAX`, or of who is no superuser
    /// `limits::CALLER_PASSWORDS_MAX`; `Unavailable` while too many wait to be hashed; `Internal` when the system gives no random bytes.
    pub(in crate::service) async fn seal(&self, view: &Published, writes: &mut [Write]) -> Result<Revealed> {
        let mut revealed = Revealed::new();
        let mut sealing = Vec::new();
        for (at, write) in writes.iter_mut().enumerate() {
            let Some(collection) = view.schema.get(write.collection) else { continue };
            if &*collection.name == API_KEYS {
                revealed.extend(make_key(collection, &mut write.op)?.map(|key| (at, key)));
            }
            sealing.extend(Sealing::of(view, collection, at, write)?);
        }
        let by_superuser = sealing.iter().all(|one| writes[one.at].guard.is_superuser());
        let max = if by_superuser { limits::TRANSACTION_PASSWORDS_MAX } else { limits::CALLER_PASSWORDS_MAX };
        if sealing.len() > max {
            let many = if max == 1 { "" } else { "s" };
            let message = format!("one transaction of yours sets at most {max} password{many}");
            return Err(Error::new(Kind::TooLarge, message).code("too_many_passwords"));
        }
        for one in sealing {
            let (at, auth, needs_old) = (one.at, one.auth, one.stored.clone());
            let sealed = self.sealed(one).await?;
            let write = &mut writes[at];
            if let Some(Some(stored)) = needs_old.filter(|_| sealed.knows_old) {
                write.guard = write.guard.clone().proving(stored);
            }
            pipeline::set_secrets(&mut write.op, [(auth.password, sealed.hash), (auth.token_key, token_key()?)]);
        }
        Ok(revealed)
    }

    async fn sealed(&self, one: Sealing) -> Result<Sealed> {
        let (cost, salt) = (self.0.cost, ids::random()?);
        let work = move || {
            let Sealing { new, stored, .. } = one;
            // As much is done for a record that is not there.
            let knows_old = match (&stored, &new.old) {
                (Some(stored), Some(old)) => hash::verify(old, stored.as_deref(), cost)?,
                _ => false,
            };
            Ok(Sealed { hash: hash::hash(&new.plain, cost, salt)?, knows_old })
        };
        self.0.passwords.run(Instant::now() + limits::PASSWORD_WAIT_MAX, work).await
    }
}

impl Sealing {
    fn of(view: &Published, collection: &Collection, at: usize, write: &Write) -> Result<Option<Sealing>> {
        let Some(auth) = collection.auth_fields() else { return Ok(None) };
        let Some(new) = pipeline::new_password(&write.op, auth) else { return Ok(None) };
        let changes = matches!(write.op, Op::Merge { .. } | Op::Put { .. });
        let stored = if changes && !write.guard.is_superuser() {
            let record = state::record(&view.stack, collection, write.op.id())?;
            Some(record.and_then(|record| record.fields.get(auth.password).as_text().map(Box::from)))
        } else {
            None
        };
        Ok(Some(Sealing { at, auth, new, stored }))
    }
}

/// A key for a record that may come to be; a stored one keeps its own.
fn make_key(collection: &Collection, op: &mut Op) -> Result<Option<String>> {
    let (Op::Create { id, .. } | Op::Put { id, .. }) = op else { return Ok(None) };
    let Some(field) = collection.field("hash") else { return Ok(None) };
    let (shown, stored) = keys::make(id)?;
    pipeline::set_secrets(op, [(field.id, stored)]);
    Ok(Some(shown))
}

fn token_key() -> Result<Box<str>> {
    Ok(format!("$key${}", ids::secret()?).into())
}
