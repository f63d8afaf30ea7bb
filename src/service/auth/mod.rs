//! Accounts: how a caller shows who it is (password, token, API key), and the server's own collections that hold them.
//!
//! Invariants: a password, a key and the server's secret are compared in constant time; whether an account exists shows
//! neither in an answer nor in the work for it; what may be done is `access`'s alone.

mod explain;
mod hash;
mod keys;
mod login;
mod own;
mod seal;
mod secret;
mod setup;
mod stream;
#[cfg(test)]
mod tests;
mod token;

pub use login::Granted;
pub(super) use own::{API_KEYS, is_superusers};
pub(super) use seal::Revealed;
pub use secret::Secret;
pub(super) use setup::Setup;
use token::Use;

use std::sync::Arc;

use super::Service;
use super::access::{Account, Caller};
use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::state;
use crate::time::Millis;

pub(super) use hash::Cost;

impl Service {
    /// Who sends a request with this `Authorization`: a token, with `Bearer` before it or not, or an API key.
    ///
    /// # Errors
    /// `Unauthenticated` for one that is not good, or not any more.
    pub fn caller_of_token(&self, authorization: &[u8]) -> Result<Caller> {
        let text = std::str::from_utf8(authorization).unwrap_or_default().trim();
        let bare = match text.split_at_checked(7) {
            Some((word, rest)) if word.eq_ignore_ascii_case("bearer ") => rest.trim(),
            _ => text,
        };
        if bare.len() > limits::TOKEN_BYTES_MAX {
            return Err(bad_token());
        }
        let (view, now) = (self.core().view(), self.core().clock().now());
        match bare.strip_prefix(keys::PREFIX) {
            Some(key) => Ok(Caller::Key(Arc::new(keys::caller(&view, key, now)?))),
            None => Ok(Caller::Account(Arc::new(self.account_of(&view, bare, Use::Auth, now)?))),
        }
    }

    /// Whose token it is, if it is one for this use. One that opens a stream speaks of the account for as long as the
    /// stream may go on.
    fn account_of(&self, view: &Published, text: &str, of: Use, now: Millis) -> Result<Account> {
        let token = token::Token::read(text).filter(|token| token.is_for() == of).ok_or_else(bad_token)?;
        let collection = view.schema.get(token.claims.collection).ok_or_else(bad_token)?;
        let (record, key) = record_and_key(view, collection, &token.claims.id)?.ok_or_else(bad_token)?;
        if !token.is_signed_by(&self.0.secret, &key) || token.claims.expires <= now {
            return Err(bad_token());
        }
        let expires = token.claims.until.unwrap_or(token.claims.expires);
        let refreshable = token.claims.refreshable;
        let superuser = is_superusers(collection);
        Ok(Account { collection: collection.id, record: Arc::new(record), superuser, expires, refreshable })
    }
}

/// A record that can ask, with the key that its tokens are signed with.
fn record_and_key(view: &Published, collection: &Collection, id: &RecordId) -> Result<Option<(Record, Box<str>)>> {
    let Some(auth) = collection.auth_fields() else { return Ok(None) };
    let Some(record) = state::record(&view.stack, collection, id)? else { return Ok(None) };
    let key = record.fields.get(auth.token_key).as_text().map(Box::from);
    Ok(key.map(|key| (record, key)))
}

fn bad_token() -> Error {
    Error::new(Kind::Unauthenticated, "the token is not good, or not any more").code("bad_token")
}
