//! Tokens that open a stream: they stand in its address, as a browser can set no header there, so they are good for a
//! minute and for nothing else. The stream itself may go on as long as the token that they were asked for with.

use super::token::{Claims, Use, sign};
use super::{bad_token, record_and_key};
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::schema::Collection;
use crate::service::Service;
use crate::service::access::{Account, Caller};
use crate::time::Millis;

impl Service {
    /// A token for a stream of this caller.
    ///
    /// # Errors
    /// `Unauthenticated` for nobody; `Forbidden` for who is no record: an API key goes into a header.
    pub fn stream_token(&self, caller: &Caller) -> Result<String> {
        let account = match caller {
            Caller::Account(account) => account,
            Caller::Anonymous => return Err(Error::new(Kind::Unauthenticated, "this needs a token")),
            Caller::Superuser | Caller::Key(_) => {
                return Err(Error::new(Kind::Forbidden, "only an account gets such a token: a key goes into a header"));
            }
        };
        let now = self.core().clock().now();
        let ends = Millis(now.0.saturating_add(limits::STREAM_TOKEN_TIME.as_millis() as i64)).min(account.expires);
        self.signed(account, ends, Some(account.expires))
    }

    /// Who opens a stream with such a token, and a token of the usual kind that says the same: what the stream is judged
    /// by from then on.
    ///
    /// # Errors
    /// `Unauthenticated` for one that is not good, or not any more.
    pub fn caller_of_stream_token(&self, text: &str) -> Result<(Caller, String)> {
        if text.len() > limits::TOKEN_BYTES_MAX {
            return Err(bad_token());
        }
        let (view, now) = (self.core().view(), self.core().clock().now());
        let account = self.account_of(&view, text, Use::Stream, now)?;
        let usual = self.signed(&account, account.expires, None)?;
        Ok((Caller::Account(account.into()), usual))
    }

    fn signed(&self, account: &Account, expires: Millis, until: Option<Millis>) -> Result<String> {
        let view = self.core().view();
        let collection: &Collection = view.schema.get(account.collection).ok_or_else(bad_token)?;
        let id: &RecordId = &account.record.id;
        let (_, key) = record_and_key(&view, collection, id)?.ok_or_else(bad_token)?;
        let claims = Claims { collection: collection.id, id: id.clone(), expires, refreshable: false, until };
        sign(&self.0.secret, &key, &claims)
    }
}
