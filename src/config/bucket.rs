//! Where a bucket is, as an operator writes it: `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`.
//!
//! Keys have no place in it: what stands here may be shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use super::is_origin;
use crate::error::{Error, Result};

/// Bytes of a prefix at most: a name still fits behind it (1,024 are a key's bound).
const PREFIX_BYTES_MAX: usize = 512;

/// A bucket of an S3-compatible store, and what the names in it begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Empty, or ends with `/`.
    pub prefix: String,
    /// The store's origin; none is Amazon's of that region.
    pub endpoint: Option<String>,
    /// What signatures are made for.
    pub region: String,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Hidden, Self::Err> {
        Ok(Hidden(text.to_owned()))
    }
}

impl FromStr for Bucket {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything else; without what was written, which may hold a key by mistake.
    fn from_str(text: &str) -> Result<Bucket> {
        let bad = |why: &str| Error::invalid(format!("{why}: it is as in s3://BUCKET/PREFIX?endpoint=URL&region=NAME"));
        let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        // As it is written: a URL's reader takes such parts for steps in the path.
        let written = text.split(['?', '#']).next().unwrap_or_default();
        if written.contains('%') || written.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(bad("a prefix has parts of A-Z a-z 0-9 @ _ - . between slashes"));
        }
        if url.scheme() != "s3" || !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
            return Err(bad("no bucket's address"));
        }
        if url.fragment().is_some() {
            return Err(bad("nothing stands behind a #"));
        }
        let name = url.host_str().unwrap_or_default().to_owned();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = name.bytes().next().is_some_and(plain) && name.bytes().next_back().is_some_and(plain);
        if !(3..=63).contains(&name.len()) || !ends || !name.bytes().all(|byte| plain(byte) || b".-".contains(&byte)) {
            return Err(bad("a bucket's name has 3 to 63 characters of a-z 0-9 . -"));
        }
        let prefix = url.path().trim_matches('/');
        let fits = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@_-.".contains(&byte))
        };
        if prefix.len() > PREFIX_BYTES_MAX || !(prefix.is_empty() || prefix.split('/').all(fits)) {
            return Err(bad("a prefix has parts of A-Z a-z 0-9 @ _ - . between slashes"));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let (mut endpoint, mut region) = (None, None);
        for (key, value) in url.query_pairs() {
            match &*key {
                "endpoint" if is_origin(&value) => endpoint = Some(value.into_owned()),
                "endpoint" => return Err(bad("endpoint is http://HOST:PORT or https://HOST:PORT")),
                "region" if fits(&value) => region = Some(value.into_owned()),
                "region" => return Err(bad("region is a name such as eu-central-1")),
                _ => return Err(bad("only endpoint and region can stand behind the ?")),
            }
        }
        Ok(Bucket { name, prefix, endpoint, region: region.unwrap_or_else(|| "us-east-1".to_owned()) })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_or_refused() {
        let read = |text: &str| text.parse::<Bucket>();
        let plain = read("s3://backups").unwrap();
        assert_eq!((&*plain.name, &*plain.prefix, plain.endpoint, &*plain.region), ("backups", "", None, "us-east-1"));
        let full = read("s3://my.backups-1/a/b/?endpoint=http://127.0.0.1:9000&region=eu-central-1").unwrap();
        assert_eq!((&*full.name, &*full.prefix, &*full.region), ("my.backups-1", "a/b/", "eu-central-1"));
        assert_eq!(full.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        for bad in [
            "",
            "backups",
            "http://backups/",
            "s3://",
            "s3://ab",
            "s3://Backups",
            "s3://-backups",
            "s3://back_ups",
            "s3://key:secret@backups",
            "s3://backups:80",
            "s3://backups/a//b",
            "s3://backups/%2e%2e/b",
            "s3://backups/a b",
            "s3://backups#x",
            "s3://backups?endpoint=127.0.0.1:9000",
            "s3://backups?endpoint=http://127.0.0.1:9000/x",
            "s3://backups?region=",
            "s3://backups?secret=x",
        ] {
            let error = read(bad).expect_err(bad);
            assert!(!error.message().contains("secret@"), "{error}");
        }
    }

    #[test]
    fn what_is_hidden_is_in_no_log_line() {
        assert_eq!(format!("{:?}", Some(Hidden("word".to_owned()))), "Some(…)");
    }
}
