//! How a server comes by its first superuser: from the command line, or by a link that `serve` prints and that works once.
//!
//! Invariant: the link's token is kept in memory only, is good for `limits::SETUP_TIME_MAX`, and is nothing any more once
//! there is a superuser; until there is one, no call that ends early uses it up.

use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use super::super::writes::{Ask, Deed};
use super::super::{Asker, Caller, Service};
use super::login::by_address;
use super::{Granted, own};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json::{self, write_text};
use crate::model::look::Wanted;
use crate::service::ids;
use crate::time::Millis;

/// The token of the link, if one was given out, and when it ends.
#[derive(Debug, Default)]
pub(in crate::service) struct Setup(Mutex<Option<Open>>);

struct Open {
    token: String,
    until: Millis,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "until {}", self.until)
    }
}

impl Setup {
    /// Takes the token, if it is this one and still good: nobody else has it then.
    fn take(&self, token: &str, now: Millis) -> Option<Taken<'_>> {
        let mut open = self.0.lock();
        let good = open
            .as_ref()
            .is_some_and(|open| bool::from(open.token.as_bytes().ct_eq(token.as_bytes())) && open.until > now);
        let open = if good { open.take() } else { None };
        open.map(|open| Taken { setup: self, open: Some(open) })
    }
}

/// The token while it is being used. Whatever ends that, a caller that hung up too, gives it back, unless it was used.
struct Taken<'a> {
    setup: &'a Setup,
    open: Option<Open>,
}

impl Taken<'_> {
    fn used(mut self) {
        self.open = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            // One that was given out meanwhile stands.
            self.setup.0.lock().get_or_insert(open);
        }
    }
}

impl Service {
    /// A new token for the link; `None` where there is a superuser.
    ///
    /// # Errors
    /// The state's; `Internal` when the system gives no random bytes.
    pub fn open_setup(&self) -> Result<Option<String>> {
        if self.has_superuser()? {
            return Ok(None);
        }
        let token = ids::secret()?;
        let millis = i64::try_from(limits::SETUP_TIME_MAX.as_millis()).unwrap_or(i64::MAX);
        let until = Millis(self.core().clock().now().0.saturating_add(millis));
        *self.0.setup.0.lock() = Some(Open { token: token.clone(), until });
        Ok(Some(token))
    }

    /// Makes the first superuser of `{token, email, password}`, and gives it a token.
    ///
    /// # Errors
    /// `Invalid` for the body; `Unauthenticated` for a token that is not good, not any more, or was used.
    pub async fn set_up(&self, body: &[u8]) -> Result<Granted> {
        let [token, email, password] = texts(body, ["token", "email", "password"])?;
        let used = || Error::new(Kind::Unauthenticated, "the link is not good, or not any more").code("bad_token");
        let taken = self.0.setup.take(&token, self.core().clock().now()).ok_or_else(used)?;
        if self.has_superuser()? {
            taken.used();
            return Err(used());
        }
        self.create_superuser(&email, &password).await?;
        taken.used();
        let asker = self.asker(Caller::Anonymous, "POST", Vec::new().into());
        let credentials = object(&[("identity", &email), ("password", &password)]);
        self.auth_with_password(&asker, own::SUPERUSERS, &credentials, Wanted::default()).await
    }

    /// Makes a superuser.
    ///
    /// # Errors
    /// As a create of any record: `Invalid`, `Conflict` for an address that is taken, or the core's.
    pub async fn create_superuser(&self, email: &str, password: &str) -> Result<()> {
        let body = object(&[("email", email), ("password", password)]);
        self.store_superuser(Deed::Create { body: &body }).await
    }

    /// Gives a superuser another password, which ends its tokens.
    ///
    /// # Errors
    /// `NotFound`; or as [`Service::create_superuser`].
    pub async fn reset_superuser(&self, email: &str, password: &str) -> Result<()> {
        let view = self.core().view();
        let superusers = super::login::find_auth(&view, own::SUPERUSERS)?;
        let found = by_address(&view, superusers, email)?;
        let record = found.ok_or_else(|| Error::new(Kind::NotFound, "there is no superuser with this address"))?;
        let body = object(&[("password", password)]);
        self.store_superuser(Deed::Merge { id: record.id.as_str(), body: &body, if_match: None }).await
    }

    async fn store_superuser(&self, deed: Deed<'_>) -> Result<()> {
        let asker: Asker = self.asker(Caller::Superuser, "POST", Vec::new().into());
        let ask = Ask { asker: &asker, collection: own::SUPERUSERS, wanted: Wanted::default(), deed };
        self.store_record(ask, None).await.map(|_| ())
    }
}

/// A JSON object of texts.
fn object(members: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (at, (key, text)) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(&mut out, key);
        out.push(b':');
        write_text(&mut out, text);
    }
    out.push(b'}');
    out
}

/// The texts of an object that has these and nothing else.
fn texts<const N: usize>(body: &[u8], names: [&'static str; N]) -> Result<[String; N]> {
    let mut faults = Faults::default();
    let mut found: [Option<String>; N] = [const { None }; N];
    for (key, raw) in json::members(json::checked_text(body)?)? {
        match names.iter().position(|name| *name == key) {
            None => faults.add(
                key.chars().take(limits::NAME_BYTES_MAX).collect::<String>(),
                "unknown_field",
                "is not known here",
            ),
            Some(at) => match json::text_of(raw) {
                Some(text) => found[at] = Some(text.into_owned()),
                None => faults.add(key, "wrong_type", "must be a text"),
            },
        }
        if faults.full() {
            break;
        }
    }
    for (name, _) in names.iter().zip(&found).filter(|(_, found)| found.is_none()) {
        faults.add(*name, "required", "is required");
    }
    faults.into_result("the body has faults")?;
    Ok(found.map(Option::unwrap_or_default))
}
