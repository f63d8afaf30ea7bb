//! Hashes of passwords: argon2id (RFC 9106) in the PHC form, `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
//!
//! Each takes some hundredths of a second, so they are made on threads of their own and never where requests are served.

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64Unpadded, Encoding};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::limits;

/// How a stored hash begins.
const HEAD: &str = "$argon2id$v=19$";
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// What a new hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) struct Cost {
    /// Memory that is filled, KiB.
    pub(in crate::service) memory_kib: u32,
    /// How often.
    pub(in crate::service) passes: u32,
}

impl Cost {
    /// With that much memory.
    pub(in crate::service) fn of(memory_kib: usize) -> Cost {
        Cost { memory_kib: u32::try_from(memory_kib).unwrap_or(u32::MAX), passes: limits::PASSWORD_PASSES }
    }

    fn text(self) -> String {
        format!("m={},t={},p=1", self.memory_kib, self.passes)
    }

    fn parse(text: &str) -> Option<Cost> {
        let mut parts = text.split(',');
        let mut number = |name: &str| parts.next()?.strip_prefix(name)?.parse().ok();
        let (memory_kib, passes) = (number("m=")?, number("t=")?);
        (parts.next() == Some("p=1") && parts.next().is_none()).then_some(Cost { memory_kib, passes })
    }
}

/// The stored form of a password.
///
/// # Errors
/// `Internal` for a cost that argon2 doesn't take.
pub(super) fn hash(plain: &str, cost: Cost, salt: [u8; SALT_BYTES]) -> Result<Box<str>> {
    let made = digest(plain, cost, &salt)?;
    let (salt, made) = (Base64Unpadded::encode_string(&salt), Base64Unpadded::encode_string(&made));
    Ok(format!("{HEAD}{}${salt}${made}", cost.text()).into())
}

/// Whether a password is the one of a stored hash. Without one as much is done, and it isn't.
///
/// # Errors
/// `Damaged` for a hash that can't be read.
pub(super) fn verify(plain: &str, stored: Option<&str>, cost: Cost) -> Result<bool> {
    let (cost, salt, wanted) = match stored {
        None => (cost, [0; SALT_BYTES], [0; HASH_BYTES]),
        Some(text) => parts(text).ok_or_else(|| Error::damaged("the stored hash of a password is malformed"))?,
    };
    let made = digest(plain, cost, &salt)?;
    Ok(bool::from(made.ct_eq(&wanted)) && stored.is_some())
}

fn parts(text: &str) -> Option<(Cost, [u8; SALT_BYTES], [u8; HASH_BYTES])> {
    let mut parts = text.strip_prefix(HEAD)?.split('$');
    let cost = Cost::parse(parts.next()?)?;
    let (mut salt, mut hash) = ([0; SALT_BYTES], [0; HASH_BYTES]);
    let salt_length = Base64Unpadded::decode(parts.next()?, &mut salt).ok()?.len();
    let hash_length = Base64Unpadded::decode(parts.next()?, &mut hash).ok()?.len();
    let whole = parts.next().is_none() && salt_length == SALT_BYTES && hash_length == HASH_BYTES;
    whole.then_some((cost, salt, hash))
}

fn digest(plain: &str, cost: Cost, salt: &[u8; SALT_BYTES]) -> Result<[u8; HASH_BYTES]> {
    let refused = |error: argon2::Error| Error::internal(format!("a password can't be hashed: {error}"));
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(HASH_BYTES)).map_err(refused)?;
    let mut made = [0; HASH_BYTES];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(plain.as_bytes(), salt, &mut made).map_err(refused)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };

    #[test]
    fn only_the_password_itself_is_taken() {
        let stored = hash("open sesame", CHEAP, [7; SALT_BYTES]).expect("a hash");
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        let takes = |plain: &str, stored: Option<&str>| verify(plain, stored, CHEAP).expect("judged");
        assert!(takes("open sesame", Some(&stored)));
        for other in ["", "open sesam", "Open sesame", "open sesame "] {
            assert!(!takes(other, Some(&stored)), "{other:?}");
            assert!(!takes(other, None), "{other:?} of nobody");
        }
        assert_ne!(hash("open sesame", CHEAP, [8; SALT_BYTES]).expect("a hash"), stored);
        // What was hashed at another cost is still taken.
        let dearer = hash("open sesame", Cost { memory_kib: 128, passes: 2 }, [7; SALT_BYTES]).expect("a hash");
        assert!(takes("open sesame", Some(&dearer)));
    }

    #[test]
    fn a_malformed_hash_is_damage_and_never_a_match() {
        let stored = hash("x", CHEAP, [1; SALT_BYTES]).expect("a hash");
        for cut in 0..stored.len() {
            assert!(verify("x", Some(&stored[..cut]), CHEAP).is_err(), "{}", &stored[..cut]);
        }
        for bad in ["x", "$argon2i$v=19$m=64,t=1,p=1$AA$AA", "$argon2id$v=19$m=64,t=1,p=2$AA$AA"] {
            assert!(verify("x", Some(bad), CHEAP).is_err(), "{bad}");
        }
    }
}
