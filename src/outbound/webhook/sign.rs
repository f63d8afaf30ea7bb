//! The signature of what a webhook sends, as Standard Webhooks 1.0 has it: `v1,` and the base64 of the HMAC-SHA256 of
//! `id.timestamp.body`, by which a receiver knows who sent it, when, and that nothing was changed.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::model::handler::Secret;

/// The value of `webhook-signature`. `id` is the same at every try of one event, `timestamp` (seconds since 1970) is that of
/// the try.
///
/// # Errors
/// `Internal` for a key of a length that can't be.
pub fn signature(secret: &Secret, id: &str, timestamp: u64, body: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes())
        .map_err(|_| Error::internal("a key of a length that can't be"))?;
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    Ok(format!("v1,{}", Base64::encode_string(&mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_the_one_that_receivers_make() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let made =
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
