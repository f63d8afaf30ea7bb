//! Signatures of requests to S3: Amazon's Signature Version 4 in the `Authorization` header, with a digest of the body.
//! Pure: the time is handed in. See "Authenticating Requests (AWS Signature Version 4)" of the S3 API reference.
//!
//! Invariant: path and query are signed as they are sent, so they are escaped once, here.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::config::Hidden;
use crate::error::{Error, Result};
use crate::time::Millis;

/// What is escaped in a query: all but the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Who signs, and for which region.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub(super) key: String,
    pub(super) secret: Hidden,
    pub(super) region: String,
}

/// What is signed of a request.
#[derive(Debug)]
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// As [`path`] writes it.
    pub(super) path: &'a str,
    /// As [`query`] writes it.
    pub(super) query: &'a str,
    /// All headers that are signed, by their names in lower case, in order.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// As [`digest`] writes it.
    pub(super) body: &'a str,
}

impl Signer {
    /// The value of `Authorization`; `at` is that of `x-amz-date`, as [`stamp`] writes it.
    ///
    /// # Errors
    /// `Internal` for a key of a length that can't be.
    pub(super) fn authorization(&self, at: &str, request: &Unsigned<'_>) -> Result<String> {
        let day = at.get(..8).unwrap_or_default();
        let (mut headers, mut names) = (String::new(), String::new());
        for (name, value) in request.headers {
            headers.extend([name, ":", value.trim(), "\n"]);
            names.extend([if names.is_empty() { "" } else { ";" }, name]);
        }
        let Unsigned { method, path, query, body, .. } = request;
        let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{body}");
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let signed = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", digest(canonical.as_bytes()));
        let mut key = mac(format!("AWS4{}", self.secret.0).as_bytes(), day.as_bytes())?;
        for part in [&*self.region, "s3", "aws4_request", &*signed] {
            key = mac(&key, part.as_bytes())?;
        }
        let (id, signature) = (&self.key, hex(&key));
        Ok(format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}"))
    }
}

/// A path as it is sent.
pub(super) fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// A query as it is sent: by names, in order.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut escaped: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| {
            (utf8_percent_encode(name, QUERY).to_string(), utf8_percent_encode(value, QUERY).to_string())
        })
        .collect();
    escaped.sort_unstable();
    escaped.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A moment as `x-amz-date` has it: `20130524T000000Z`.
pub(super) fn stamp(at: Millis) -> String {
    let text = at.text();
    let digits = |part: &[u8]| part.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
    let (day, time): (String, String) = (digits(&text[..10]), digits(&text[11..19]));
    format!("{day}T{time}Z")
}

/// A body's SHA-256, in hex.
pub(super) fn digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

fn mac(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::internal("a key of a length that can't be"))?;
    mac.update(bytes);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A String takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The four examples of the S3 API reference ("Signature Calculations for the Authorization Header").
    #[test]
    fn signatures_are_those_of_the_published_examples() {
        let signer = Signer {
            key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Hidden("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
            region: "us-east-1".to_owned(),
        };
        let at = stamp(Millis::parse("2013-05-24T00:00:00Z").unwrap());
        assert_eq!(at, "20130524T000000Z");
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let none = digest(b"");
        let body = digest(b"Welcome to Amazon S3.");
        let (date, plain) = (("x-amz-date", &*at), ("x-amz-content-sha256", &*none));
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            host,
            ("x-amz-content-sha256", &*body),
            date,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let table = [
            (
                ("GET", path("/test.txt"), String::new(), &none),
                &[host, ("range", "bytes=0-9"), plain, date][..],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                ("PUT", path("/test$file.text"), String::new(), &body),
                &put[..],
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                ("GET", path("/"), query(&[("lifecycle", "")]), &none),
                &[host, plain, date][..],
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                ("GET", path("/"), query(&[("prefix", "J"), ("max-keys", "2")]), &none),
                &[host, plain, date][..],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for ((method, path, query, body), headers, expected) in table {
            let request = Unsigned { method, path: &path, query: &query, headers, body };
            let made = signer.authorization(&at, &request).unwrap();
            assert_eq!(made.rsplit('=').next(), Some(expected), "{method} {path}?{query}: {made}");
            assert!(
                made.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request")
            );
        }
    }

    #[test]
    fn what_is_sent_is_escaped_once() {
        assert_eq!(path("/a b/@ü~*"), "/a%20b/%40%C3%BC~%2A");
        assert_eq!(query(&[("b", "1/2"), ("a", "x y"), ("a-", "")]), "a=x%20y&a-=&b=1%2F2");
    }

    #[test]
    fn a_secret_is_in_no_line_of_a_log() {
        let (key, region) = ("id".to_owned(), "r".to_owned());
        assert!(!format!("{:?}", Signer { key, secret: Hidden("word".to_owned()), region }).contains("word"));
    }
}
