//! Tokens: JWTs (RFC 7519) signed with HMAC-SHA-256, as PocketBase's clients read them.
//!
//! Invariants: the algorithm is never the token's choice: a token with another header than ours is none. The key is made of
//! the server's secret and of the record's own token key, so a new one of either ends the record's tokens.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Secret;
use crate::error::{Error, Result};
use crate::id::{CollectionId, RecordId};
use crate::time::Millis;

/// `{"alg":"HS256","typ":"JWT"}` in base64.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Everything that its record may do.
    Auth,
    /// To open a stream, as a part of its address.
    Stream,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Use::Auth => "auth",
            Use::Stream => "stream",
        }
    }
}

/// Who a token is for, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) collection: CollectionId,
    pub(super) id: RecordId,
    /// To the second.
    pub(super) expires: Millis,
    pub(super) refreshable: bool,
    /// Of one that opens a stream: how long that may go on, to the second.
    pub(super) until: Option<Millis>,
}

impl Claims {
    fn is_for(&self) -> Use {
        if self.until.is_some() { Use::Stream } else { Use::Auth }
    }
}

/// The claims as they stand in a token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    collection_id: &'a str,
    exp: i64,
    id: &'a str,
    refreshable: bool,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

/// A token that was shown: what it says is not yet believed.
pub(super) struct Token<'a> {
    pub(super) claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// `None` for what is no token of ours, whatever it is signed with. What it is for is the reader's to look at.
    pub(super) fn read(text: &'a str) -> Option<Token<'a>> {
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = signed.strip_prefix(HEADER)?.strip_prefix('.')?;
        let payload = Base64UrlUnpadded::decode_vec(payload).ok()?;
        let payload: Payload<'_> = serde_json::from_slice(&payload).ok()?;
        let claims = Claims {
            collection: CollectionId(payload.collection_id.parse().ok()?),
            id: RecordId::new(payload.id).ok()?,
            expires: Millis(payload.exp.checked_mul(1_000)?),
            refreshable: payload.refreshable,
            until: payload
                .until
                .map(|until| until.checked_mul(1_000).map(Millis))
                .map_or(Some(None), |read| read.map(Some))?,
        };
        let signature = Base64UrlUnpadded::decode_vec(signature).ok()?;
        (payload.kind == claims.is_for().name()).then_some(Token { claims, signed, signature })
    }

    /// Whether it is one that is shown as `Authorization`.
    pub(super) fn is_for(&self) -> Use {
        self.claims.is_for()
    }

    /// Whether it was made here, for a record with this token key.
    pub(super) fn is_signed_by(&self, secret: &Secret, key: &str) -> bool {
        let made = mac(secret, key, &self.claims, self.signed);
        made.is_ok_and(|made| made.verify_slice(&self.signature).is_ok())
    }
}

/// A token.
///
/// # Errors
/// `Internal` when there is no JSON of the claims.
pub(super) fn sign(secret: &Secret, key: &str, claims: &Claims) -> Result<String> {
    let payload = Payload {
        collection_id: &claims.collection.to_string(),
        exp: claims.expires.0.div_euclid(1_000),
        id: claims.id.as_str(),
        refreshable: claims.refreshable,
        kind: claims.is_for().name(),
        until: claims.until.map(|until| until.0.div_euclid(1_000)),
    };
    let payload = serde_json::to_vec(&payload).map_err(|error| Error::internal("no token").source(error))?;
    let mut token = format!("{HEADER}.{}", Base64UrlUnpadded::encode_string(&payload));
    let signature = mac(secret, key, claims, &token)?.finalize().into_bytes();
    token.push('.');
    token.push_str(&Base64UrlUnpadded::encode_string(&signature));
    Ok(token)
}

fn mac(secret: &Secret, key: &str, claims: &Claims, signed: &str) -> Result<Hmac<Sha256>> {
    let new = |key: &[u8]| {
        Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::internal("a key of a length that can't be"))
    };
    let mut own = new(secret.bytes())?;
    own.update(format!("token\n{}\n{}\n{key}", claims.collection, claims.id).as_bytes());
    let mut mac = new(&own.finalize().into_bytes())?;
    mac.update(signed.as_bytes());
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::Disk;
    use crate::disk::sim::SimDisk;

    fn secret(seed: u64) -> Secret {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("/d")).expect("a folder");
        Secret::of_folder(&disk, Path::new("/d")).expect("a secret")
    }

    fn claims(id: &str, expires: i64) -> Claims {
        let id = RecordId::new(id).expect("an id");
        Claims { collection: CollectionId(7), id, expires: Millis(expires), refreshable: true, until: None }
    }

    #[test]
    fn a_token_says_what_it_was_made_for_and_only_its_makers_secret_fits() {
        let (ours, other) = (secret(1), secret(2));
        let wanted = claims("ada", 5_000);
        let text = sign(&ours, "key", &wanted).expect("a token");
        let token = Token::read(&text).expect("ours");
        assert_eq!(token.claims, wanted);
        assert!(token.is_signed_by(&ours, "key"));
        assert!(!token.is_signed_by(&ours, "other"), "a new token key ends it");
        assert!(!token.is_signed_by(&other, "key"), "another server's");
    }

    #[test]
    fn a_token_is_a_jwt_that_clients_can_read() {
        let text = sign(&secret(1), "key", &claims("ada", 5_000)).expect("a token");
        let parts: Vec<&str> = text.split('.').collect();
        let part =
            |at: usize| String::from_utf8(Base64UrlUnpadded::decode_vec(parts[at]).expect("base64")).expect("text");
        assert_eq!(part(0), r#"{"alg":"HS256","typ":"JWT"}"#);
        assert_eq!(part(1), r#"{"collectionId":"7","exp":5,"id":"ada","refreshable":true,"type":"auth"}"#);
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn no_changed_byte_and_no_other_algorithm_passes() {
        let ours = secret(1);
        let text = sign(&ours, "key", &claims("ada", 5_000)).expect("a token");
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ascii");
            // The last letters of base64 have bits that mean nothing; strict decoding refuses them too.
            let passes = Token::read(&changed).is_some_and(|token| token.is_signed_by(&ours, "key"));
            assert!(!passes, "{changed}");
        }
        let payload = text.split('.').nth(1).expect("a payload");
        for header in
            [r#"{"alg":"none","typ":"JWT"}"#, r#"{"alg":"HS512","typ":"JWT"}"#, r#"{"typ":"JWT","alg":"HS256"}"#]
        {
            let header = Base64UrlUnpadded::encode_string(header.as_bytes());
            assert!(Token::read(&format!("{header}.{payload}.")).is_none());
        }
        for cut in 0..text.len() {
            assert!(
                Token::read(&text[..cut]).is_none_or(|token| !token.is_signed_by(&ours, "key")),
                "{}",
                &text[..cut]
            );
        }
    }
}
