//! A bucket of an S3-compatible store: one backup an object, under a prefix.
//!
//! `sign` makes signatures, `wire` sends requests, `answer` reads XML. A backup goes up whole or not at all: a short one by
//! one request, a longer one in parts that become an object by the last request, or are given up. It is read by ranges, all
//! of one object: another of its name is noticed by its tag.

mod answer;
mod sign;
mod wire;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_RANGE, ETAG, HeaderMap};

use self::sign::Signer;
pub(super) use self::wire::Ends;
use self::wire::{Answer, Ask, Wire};
use super::store::{Found, Shelf, is_key};
use crate::config::{self, Hidden};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::outbound::Peer;
use crate::time::Clock;

/// A bucket and what the names in it begin with.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    wire: Arc<Wire>,
    prefix: String,
    disk: Arc<dyn Disk>,
}

impl Bucket {
    /// `disk` is where backups come from.
    ///
    /// # Errors
    /// `Invalid` for an address that can't be.
    pub(super) fn new(
        (bucket, key, secret): (config::Bucket, String, Hidden),
        disk: Arc<dyn Disk>,
        clock: Clock,
        ends: Ends,
    ) -> Result<Bucket> {
        let config::Bucket { name, prefix, endpoint, region } = bucket;
        // Amazon's certificates are for one label before theirs.
        let (origin, base) = match endpoint {
            Some(endpoint) => (endpoint, format!("/{name}")),
            None if name.contains('.') => (format!("https://s3.{region}.amazonaws.com"), format!("/{name}")),
            None => (format!("https://{name}.s3.{region}.amazonaws.com"), String::new()),
        };
        let peer = Peer::new(&origin).map_err(|why| Error::invalid(format!("backup_store: {why}")))?;
        let wire = Wire::new(peer, base, Signer { key, secret, region }, clock, ends);
        Ok(Bucket { wire: Arc::new(wire), prefix, disk })
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn find(&self, key: &str) -> Result<Object> {
        let (name, range) = (self.name(key), format!("bytes=0-{}", limits::STORE_HEAD_BYTES - 1));
        let ask = Ask { headers: &[("range", &range)], ..get(&name, limits::STORE_HEAD_BYTES as usize) };
        let Answer { status, headers, body: head } = self.wire.ask(&ask, self.wire.ends())?;
        let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let total = range.and_then(|range| range.rsplit('/').next()?.parse().ok());
        let whole = (status == hyper::StatusCode::OK).then_some(head.len() as u64);
        let len = total.or(whole).filter(|len| *len >= head.len() as u64).ok_or_else(strange)?;
        let tag = tag_of(&headers).ok_or_else(strange)?;
        Ok(Object { wire: self.wire.clone(), name, len, tag, head })
    }

    /// Sends it in parts; their numbers are the bucket's to put together.
    fn send_parts(&self, file: &dyn DiskFile, name: &str, len: u64, ends: &dyn Fn() -> bool) -> Result<()> {
        let part_bytes = part_bytes(len)?;
        let begin = Ask { method: Method::POST, query: &[("uploads", "")], ..get(name, ANSWER) };
        let begun = self.wire.ask(&begin, ends)?;
        let begun = answer::element(&begun.body, "InitiateMultipartUploadResult");
        let upload = begun.and_then(|mut begun| begun.remove("UploadId")).ok_or_else(strange)?;
        let put_together = || -> Result<()> {
            let mut list = String::from("<CompleteMultipartUpload>");
            let (mut at, mut number) = (0, 1u64);
            while at < len {
                let body = piece(file, at, part_bytes.min(len - at))?;
                at += body.len() as u64;
                let part = number.to_string();
                let query = [("partNumber", &*part), ("uploadId", &*upload)];
                let sent =
                    self.wire.ask(&Ask { method: Method::PUT, query: &query, body, ..get(name, ANSWER) }, ends)?;
                let tag = answer::escaped(&tag_of(&sent.headers).ok_or_else(strange)?);
                list.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"));
                number += 1;
            }
            list.push_str("</CompleteMultipartUpload>");
            let query = [("uploadId", &*upload)];
            let end = Ask { method: Method::POST, query: &query, body: list.into(), ..get(name, ANSWER) };
            let ended = self.wire.ask(&end, ends)?;
            // It begins its answer before it knows.
            match answer::element(&ended.body, "Error") {
                None => answer::element(&ended.body, "CompleteMultipartUploadResult").map(drop).ok_or_else(strange),
                Some(error) => Err(self.wire.refused(ended.status, error.get("Code").map_or("", |code| code))),
            }
        };
        put_together().inspect_err(|_| {
            let query = [("uploadId", &*upload)];
            let given_up = Ask { method: Method::DELETE, query: &query, ..get(name, ANSWER) };
            if let Err(error) = self.wire.ask_shortly(&given_up) {
                tracing::warn!(%error, "parts of a backup that came to nothing stay in the bucket");
            }
        })
    }
}

/// Bytes of an answer that says little.
const ANSWER: usize = limits::STORE_ANSWER_BYTES_MAX;

fn get(key: &str, bytes_max: usize) -> Ask<'_> {
    Ask { method: Method::GET, key, query: &[], headers: &[], body: Bytes::new(), bytes_max }
}

fn tag_of(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(ETAG)?.to_str().ok()?.to_owned())
}

fn strange() -> Error {
    Error::new(Kind::Unavailable, "the backup store does not answer as S3 does").code("store_refused")
}

/// Bytes of each part.
fn part_bytes(len: u64) -> Result<u64> {
    let least = len.div_ceil(limits::STORE_PARTS_MAX).next_multiple_of(1 << 20);
    if least > limits::STORE_PART_BYTES_MAX {
        return Err(Error::new(Kind::TooLarge, "the backup is too long for a bucket: keep it in a folder"));
    }
    Ok(least.max(limits::STORE_PART_BYTES))
}

fn piece(file: &dyn DiskFile, at: u64, bytes: u64) -> Result<Bytes> {
    let mut piece = vec![0; usize::try_from(bytes).map_err(|_| Error::internal("a part over the memory"))?];
    file.read_at(at, &mut piece).map_err(|error| Error::io("a backup", error))?;
    Ok(piece.into())
}

impl Shelf for Bucket {
    fn list(&self) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("delimiter", "/"), ("prefix", &*self.prefix)];
            if let Some(next) = &next {
                query.push(("continuation-token", next));
            }
            let page = self.wire.ask(&Ask { query: &query, ..get("", ANSWER) }, self.wire.ends())?.body;
            let list = answer::element(&page, "ListBucketResult").ok_or_else(strange)?;
            for mut object in answer::elements(&page, "Contents").ok_or_else(strange)? {
                let key = object.remove("Key").ok_or_else(strange)?;
                let Some(key) = key.strip_prefix(&self.prefix).filter(|key| is_key(key)) else { continue };
                all.push(Found { key: key.to_owned(), tag: object.remove("ETag") });
            }
            if all.len() > limits::STORE_LISTED_MAX {
                let message = format!("the bucket has more than {} objects there", limits::STORE_LISTED_MAX);
                return Err(Error::new(Kind::Unprocessable, message).code("too_many_objects"));
            }
            let more = list.get("IsTruncated").is_some_and(|more| more == "true");
            match list.get("NextContinuationToken").filter(|_| more) {
                // One that leads nowhere would be followed for ever.
                Some(token) if next.as_ref() != Some(token) => next = Some(token.clone()),
                _ => return Ok(all),
            }
        }
    }

    fn open(&self, key: &str) -> Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.find(key)?))
    }

    fn keep(&self, part: &Path, key: &str, ends: &dyn Fn() -> bool) -> Result<()> {
        let io = |error| Error::io("a backup", error);
        let file = self.disk.open(part, Open::Read).map_err(io)?;
        let (name, len) = (self.name(key), file.len().map_err(io)?);
        let ends = || ends() || self.wire.ends()();
        let sent = if len > limits::STORE_PART_BYTES {
            self.send_parts(&*file, &name, len, &ends)
        } else {
            let body = piece(&*file, 0, len)?;
            self.wire.ask(&Ask { method: Method::PUT, body, ..get(&name, ANSWER) }, &ends).map(drop)
        };
        // What was put together may be there although its answer was lost.
        sent.or_else(|error| match self.find(key) {
            Ok(object) if !ends() && object.len == len => Ok(()),
            _ => Err(error),
        })?;
        self.disk.remove(part).map_err(io)
    }

    fn remove(&self, key: &str) -> Result<()> {
        // A bucket says yes to what is not there.
        let name = self.find(key)?.name;
        self.wire.ask(&Ask { method: Method::DELETE, ..get(&name, ANSWER) }, self.wire.ends()).map(drop)
    }
}

/// An object that is read by ranges, and its begin, which is at hand.
#[derive(Debug)]
struct Object {
    wire: Arc<Wire>,
    name: String,
    len: u64,
    tag: String,
    head: Bytes,
}

impl DiskFile for Object {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if into.is_empty() {
            return Ok(());
        }
        if end <= self.head.len() as u64 {
            into.copy_from_slice(&self.head[offset as usize..end as usize]);
            return Ok(());
        }
        let range = format!("bytes={offset}-{}", end - 1);
        let headers = [("range", &*range), ("if-match", &*self.tag)];
        let ask = Ask { headers: &headers, ..get(&self.name, into.len()) };
        // Not by a kind that readers take for altered bytes.
        let failed = |error| io::Error::new(io::ErrorKind::NetworkDown, error);
        let answer = self.wire.ask(&ask, self.wire.ends()).map_err(failed)?;
        if answer.body.len() != into.len() {
            return Err(failed(strange()));
        }
        into.copy_from_slice(&answer.body);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_no_more_than_s3_takes() {
        for len in [1, 8 << 20, (8 << 20) + 1, 80_000 << 20, 200 << 30, 625 << 30] {
            let bytes = part_bytes(len).unwrap();
            assert!(len.div_ceil(bytes) <= limits::STORE_PARTS_MAX && bytes <= limits::STORE_PART_BYTES_MAX, "{len}");
        }
        assert_eq!(part_bytes(626 << 30).unwrap_err().kind(), Kind::TooLarge);
    }
}
