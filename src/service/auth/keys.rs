//! API keys: `mp_`, the id of the record of `_apiKeys`, `_` and a secret of 256 random bits, of which only the SHA-256 is
//! stored. What can't be guessed needs no slow hash.

use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

use super::super::access::{Account, Key};
use super::{API_KEYS, bad_token, is_superusers};
use crate::core::Published;
use crate::error::Result;
use crate::id::RecordId;
use crate::model::guard::Action;
use crate::model::json;
use crate::model::schema::Collection;
use crate::model::value::{NULL, Value};
use crate::service::ids;
use crate::state;
use crate::time::Millis;

/// How a key begins.
pub(super) const PREFIX: &str = "mp_";

/// A new key for the record with an id: what its owner is shown once, and what is stored.
///
/// # Errors
/// `Internal` when the system gives no random bytes.
pub(super) fn make(id: &RecordId) -> Result<(String, Box<str>)> {
    let secret = ids::secret()?;
    Ok((format!("{PREFIX}{id}_{secret}"), stored(&secret)))
}

fn stored(secret: &str) -> Box<str> {
    let hash = Sha256::digest(secret.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("$sha256${hex}").into()
}

/// Who shows a key, of which `text` is what stands behind its prefix.
///
/// # Errors
/// `Unauthenticated` for one that is none, is over, or whose owner is gone.
pub(super) fn caller(view: &Published, text: &str, now: Millis) -> Result<Key> {
    let (id, secret) = text.rsplit_once('_').ok_or_else(bad_token)?;
    let id = RecordId::new(id).map_err(|_| bad_token())?;
    let keys = view.schema.find(API_KEYS).ok_or_else(bad_token)?;
    let record = state::record(&view.stack, keys, &id)?.ok_or_else(bad_token)?;
    let value = |name: &str| keys.field(name).map_or(&NULL, |field| record.fields.get(field.id));
    let known = value("hash").as_text().unwrap_or_default();
    let expires = match value("expires") {
        Value::Date(until) => Some(*until),
        _ => None,
    };
    let over = expires.is_some_and(|until| until <= now);
    if !bool::from(known.as_bytes().ct_eq(stored(secret).as_bytes())) || over {
        return Err(bad_token());
    }
    let owner = match (value("ownerCollection").as_text(), value("owner").as_text()) {
        (None, None) => None,
        (Some(collection), Some(owner)) => Some(account(view, collection, owner).ok_or_else(bad_token)?),
        _ => return Err(bad_token()),
    };
    let (collections, actions) = (value("collections"), value("actions"));
    Ok(Key { id, owner, collections: names(collections), actions: actions_of(actions), expires })
}

/// The record that a key acts for, as it is now.
fn account(view: &Published, collection: &str, id: &str) -> Option<Account> {
    let collection: &Arc<Collection> = view.schema.find(collection)?;
    collection.auth_fields()?;
    let record = state::record(&view.stack, collection, &RecordId::new(id).ok()?).ok()??;
    let superuser = is_superusers(collection);
    Some(Account {
        collection: collection.id,
        record: Arc::new(record),
        superuser,
        expires: Millis(0),
        refreshable: false,
    })
}

/// The collections that a key is for; what is no list of texts names none.
fn names(value: &Value) -> Option<Vec<Box<str>>> {
    let Value::Json(text) = value else { return None };
    let names = json::elements(text).unwrap_or_default();
    Some(names.into_iter().filter_map(|raw| Some(json::text_of(raw)?.into())).collect())
}

fn actions_of(value: &Value) -> Option<Vec<Action>> {
    let named = |item: &Value| Action::ALL.into_iter().find(|action| item.as_text() == Some(action.name()));
    if value.is_null() { None } else { Some(value.each().iter().filter_map(named).collect()) }
}
