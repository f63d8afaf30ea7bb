//! Tokens for records: by password, by an earlier token, by a superuser's word.

use std::sync::Arc;
use std::time::Instant;

use super::super::access::{self, Account, Caller};
use super::super::records::{Shown, find};
use super::super::{Asker, Service};
use super::token::{Claims, sign};
use super::{hash, is_superusers, record_and_key};
use crate::core::Published;
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json;
use crate::model::look::{Look, Wanted};
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::model::value::Fields;
use crate::state;
use crate::time::Millis;

/// A token with the record that it is for.
#[derive(Debug)]
pub struct Granted {
    token: String,
    record: Shown,
}

impl Granted {
    /// `{token, record}`
    pub fn body(&self) -> Vec<u8> {
        let record = self.record.body();
        let mut out = Vec::with_capacity(record.len() + self.token.len() + 32);
        out.extend_from_slice(b"{\"token\":");
        json::write_text(&mut out, &self.token);
        out.extend_from_slice(b",\"record\":");
        out.extend_from_slice(&record);
        out.push(b'}');
        out
    }
}

/// What a caller says of itself.
struct Credentials {
    identity: Box<str>,
    password: Box<str>,
}

impl Service {
    /// A token for the record of that address and password.
    ///
    /// # Errors
    /// `NotFound` for the collection; `Invalid` for the body; `Unauthenticated`, the same for an unknown address and a wrong
    /// password; `Unavailable` while too many wait.
    pub async fn auth_with_password(
        &self,
        asker: &Asker,
        name: &str,
        body: &[u8],
        wanted: Wanted<'_>,
    ) -> Result<Granted> {
        let said = credentials(body)?;
        let view = self.core().view();
        let collection = find_auth(&view, name)?.clone();
        let look = Look::new(&view.schema, &collection, wanted, is_superusers(&collection))?;
        let found = by_address(&view, &collection, &said.identity)?;
        drop(view);
        let auth = collection.auth_fields().ok_or_else(no_auth)?;
        let stored = found.as_ref().and_then(|record| record.fields.get(auth.password).as_text().map(Box::<str>::from));
        let cost = self.0.cost;
        let password = said.password;
        let work = move || {
            // Hashing what no password may be would only cost time.
            let long = password.chars().count() > limits::PASSWORD_CHARS_MAX;
            let plain = if long { "" } else { &*password };
            Ok(hash::verify(plain, stored.as_deref(), cost)? && !long)
        };
        let good = self.0.passwords.run(Instant::now() + limits::PASSWORD_WAIT_MAX, work).await?;
        let record = found.filter(|_| good).ok_or_else(|| {
            Error::new(Kind::Unauthenticated, "there is no such account with this password").code("bad_credentials")
        })?;
        let claims = self.claims(&collection, &record, None, true);
        self.granted(asker, collection, record, claims, look).await
    }

    /// How a caller may show who it is, for everybody to read.
    ///
    /// # Errors
    /// `NotFound` for a collection whose records have no passwords.
    pub fn auth_methods(&self, name: &str) -> Result<&'static str> {
        find_auth(&self.core().view(), name)?;
        Ok(METHODS)
    }

    /// Another token for the record that the caller is.
    ///
    /// # Errors
    /// `Unauthenticated` without a token; `Forbidden` for a key, or a record of another collection.
    pub async fn auth_refresh(&self, asker: &Asker, name: &str, wanted: Wanted<'_>) -> Result<Granted> {
        let view = self.core().view();
        let collection = find_auth(&view, name)?.clone();
        let account = match &asker.caller {
            Caller::Anonymous => return Err(Error::new(Kind::Unauthenticated, "this needs a token")),
            Caller::Account(account) if account.collection == collection.id => account.clone(),
            _ => return Err(Error::new(Kind::Forbidden, "this token is not one of this collection's records")),
        };
        let look = Look::new(&view.schema, &collection, wanted, account.superuser)?;
        let ends = (!account.refreshable).then_some(account.expires);
        let claims = self.claims(&collection, &account.record, ends, account.refreshable);
        self.granted(asker, collection, (*account.record).clone(), claims, look).await
    }

    /// A token for any record, that can't be changed for a later one and doesn't outlive the caller's own.
    ///
    /// # Errors
    /// `Unauthenticated` or `Forbidden` but for a superuser; `NotFound`; `Invalid` for a duration that is none.
    pub async fn impersonate(
        &self,
        asker: &Asker,
        name: &str,
        id: &str,
        body: &[u8],
        wanted: Wanted<'_>,
    ) -> Result<Granted> {
        access::superuser(&asker.caller)?;
        let seconds = duration(body)?;
        let view = self.core().view();
        let collection = find_auth(&view, name)?.clone();
        let look = Look::new(&view.schema, &collection, wanted, true)?;
        let found = record_and_key(&view, &collection, &RecordId::new(id)?)?;
        let (record, _) = found.ok_or_else(|| Error::new(Kind::NotFound, "there is no such record"))?;
        let ends = seconds.map(|seconds| self.ends(seconds));
        let mut claims = self.claims(&collection, &record, ends, false);
        claims.expires = asker.caller.ends().map_or(claims.expires, |end| claims.expires.min(end));
        self.granted(asker, collection, record, claims, look).await
    }

    fn claims(&self, collection: &Collection, record: &Record, ends: Option<Millis>, refreshable: bool) -> Claims {
        let seconds = collection.auth_token.map_or(limits::TOKEN_SECONDS, |token| token.duration);
        let expires = ends.unwrap_or_else(|| self.ends(seconds));
        Claims { collection: collection.id, id: record.id.clone(), expires, refreshable, until: None }
    }

    fn ends(&self, seconds: u64) -> Millis {
        let millis = i64::try_from(seconds.min(limits::TOKEN_SECONDS_MAX) * 1_000).unwrap_or(i64::MAX);
        Millis(self.core().clock().now().0.saturating_add(millis))
    }

    /// The answer, with what the record's owner sees of related ones.
    async fn granted(
        &self,
        asker: &Asker,
        collection: Arc<Collection>,
        record: Record,
        claims: Claims,
        look: Look,
    ) -> Result<Granted> {
        let auth = collection.auth_fields().ok_or_else(no_auth)?;
        let key = record.fields.get(auth.token_key).as_text().unwrap_or_default();
        let token = sign(&self.0.secret, key, &claims)?;
        let (expires, refreshable) = (claims.expires, claims.refreshable);
        let superuser = is_superusers(&collection);
        let account =
            Account { collection: collection.id, record: Arc::new(record.clone()), superuser, expires, refreshable };
        let owner = self.asker(Caller::Account(Arc::new(account)), asker.request.method, asker.request.query.clone());
        let mut shown = Shown::new(collection, record, look);
        self.relate_written(vec![(&owner, &mut shown)]).await?;
        Ok(Granted { token, record: shown })
    }
}

/// How a caller may show who it is, as PocketBase's clients read it.
const METHODS: &str = concat!(
    r#"{"password":{"enabled":true,"identityFields":["email"]},"#,
    r#""oauth2":{"enabled":false,"providers":[]},"#,
    r#""otp":{"enabled":false,"duration":0},"mfa":{"enabled":false,"duration":0}}"#
);

pub(super) fn find_auth<'a>(view: &'a Published, name: &str) -> Result<&'a Arc<Collection>> {
    let collection = find(&view.schema, name)?;
    if collection.auth_fields().is_some() { Ok(collection) } else { Err(no_auth()) }
}

fn no_auth() -> Error {
    Error::new(Kind::NotFound, "the records of this collection have no passwords").code("not_auth")
}

/// The record of an address, which is read as the field reads what it is sent.
pub(super) fn by_address(view: &Published, collection: &Collection, identity: &str) -> Result<Option<Record>> {
    let auth = collection.auth_fields().ok_or_else(no_auth)?;
    let field = collection.field_by_id(auth.email).ok_or_else(no_auth)?;
    let index =
        collection.indexes.iter().find(|index| index.system && index.unique && index.fields[0].field == field.id);
    let index = index.ok_or_else(|| Error::internal("an auth collection without its index"))?;
    let mut raw = Vec::new();
    json::write_text(&mut raw, identity);
    let mut faults = Faults::default();
    let address = pipeline::parse(collection, field, "identity", &String::from_utf8_lossy(&raw), &mut faults);
    if !faults.is_empty() {
        return Ok(None);
    }
    let mut fields = Fields::new();
    fields.set(field.id, address);
    match state::found_by(&view.stack, collection, index, &fields)? {
        Some(id) => state::record(&view.stack, collection, &id),
        None => Ok(None),
    }
}

/// `{identity, password}`; a client may name the field that `identity` stands in.
fn credentials(body: &[u8]) -> Result<Credentials> {
    let mut faults = Faults::default();
    let (mut identity, mut password) = (None, None);
    for (key, raw) in json::members(json::checked_text(body)?)? {
        let text = json::text_of(raw);
        match (&*key, text) {
            ("identity", Some(text)) if identity.is_none() => identity = Some(Box::from(&*text)),
            ("password", Some(text)) if password.is_none() => password = Some(Box::from(&*text)),
            ("identityField", Some(text)) if text.is_empty() || text == "email" => {}
            ("identityField", _) => faults.add("identityField", "unknown_field", "must be email"),
            (name @ ("identity" | "password"), Some(_)) => {
                faults.add(name, "duplicate_key", "stands twice in the body")
            }
            (name @ ("identity" | "password"), None) => faults.add(name, "wrong_type", "must be a text"),
            (other, _) => unknown(other, &mut faults),
        }
        if faults.full() {
            break;
        }
    }
    if faults.is_empty() {
        for (name, missing) in [("identity", identity.is_none()), ("password", password.is_none())] {
            if missing {
                faults.add(name, "required", "is required");
            }
        }
    }
    faults.into_result("the body has faults")?;
    Ok(Credentials { identity: identity.unwrap_or_default(), password: password.unwrap_or_default() })
}

/// `{duration}` of an impersonation, seconds; an empty body and 0 leave it to the collection.
fn duration(body: &[u8]) -> Result<Option<u64>> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut faults = Faults::default();
    let mut seconds = None;
    for (key, raw) in json::members(json::checked_text(body)?)? {
        match &*key {
            "duration" => match json::whole(raw).ok().and_then(|whole| u64::try_from(whole).ok()) {
                Some(whole) if whole <= limits::TOKEN_SECONDS_MAX => seconds = Some(whole),
                Some(_) => faults.add("duration", "out_of_range", format!("is at most {}", limits::TOKEN_SECONDS_MAX)),
                None => faults.add("duration", "wrong_type", "must be a number of seconds"),
            },
            other => unknown(other, &mut faults),
        }
        if faults.full() {
            break;
        }
    }
    faults.into_result("the body has faults")?;
    Ok(seconds.filter(|seconds| *seconds > 0))
}

fn unknown(key: &str, faults: &mut Faults) {
    let shown: String = key.chars().take(limits::NAME_BYTES_MAX).collect();
    faults.add(shown, "unknown_field", "is not known here");
}
