//! What is asked: requests of each kind on a collection that is made for them and goes at the end.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use serde_json::json;

use super::Kind;
use crate::outbound::Peer;

/// Numbers that a record may have in `n`, so that a list finds a page from anywhere.
const NUMBERS: u64 = 1_000_000;
/// Records of a page that is listed.
const PAGE: u64 = 20;

/// Requests of one kind. The same numbers give the same ones.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) kind: Kind,
    pub(super) collection: String,
    /// Records that are there to be read, listed and changed: `r0` and so on.
    pub(super) records: u64,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) seed: u64,
}

impl Work {
    /// The request of a number.
    pub(super) fn request(&self, peer: &Peer, number: u64) -> Request<Full<Bytes>> {
        let records = format!("/api/collections/{}/records", self.collection);
        let chosen = mixed(self.seed ^ number);
        let some = chosen % self.records.max(1);
        let (method, path, body) = match self.kind {
            Kind::Creates => (Method::POST, records, Some(record(chosen))),
            Kind::Reads => (Method::GET, format!("{records}/r{some}"), None),
            Kind::Lists => {
                let from = chosen % NUMBERS;
                let path = format!("{records}?filter=n%3E%3D{from}&sort=n&perPage={PAGE}&skipTotal=1");
                (Method::GET, path, None)
            }
            Kind::Updates => {
                let body = json!({"n": chosen % NUMBERS, "note": note(chosen)});
                (Method::PATCH, format!("{records}/r{some}"), Some(body))
            }
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, peer.host());
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        request.body(Full::new(body)).expect("of parts that are sound")
    }
}

/// The collection: six fields and two indexes.
pub(super) fn definition(name: &str) -> serde_json::Value {
    json!({
        "name": name,
        "fields": [
            {"name": "title", "type": "text", "required": true, "max": 100},
            {"name": "note", "type": "text"},
            {"name": "n", "type": "number", "integer": true},
            {"name": "kind", "type": "select", "values": ["red", "green", "blue"]},
            {"name": "done", "type": "bool"},
            {"name": "at", "type": "date"}
        ],
        "indexes": [{"name": "by_n", "fields": ["n"]}, {"name": "by_kind", "fields": ["kind", "-n"]}]
    })
}

/// Lines of an import: the records that are there to be read.
pub(super) fn lines(from: u64, to: u64, seed: u64) -> String {
    let line = |number| {
        let mut record = record(mixed(seed ^ number));
        record["id"] = json!(format!("r{number}"));
        format!("{record}\n")
    };
    (from..to).map(line).collect()
}

fn record(chosen: u64) -> serde_json::Value {
    let kind = ["red", "green", "blue"][(chosen % 3) as usize];
    json!({
        "title": format!("record {}", chosen % 100_000),
        "note": note(chosen),
        "n": chosen % NUMBERS,
        "kind": kind,
        "done": chosen.is_multiple_of(2),
        "at": "2026-11-30 12:00:00.000Z"
    })
}

fn note(chosen: u64) -> String {
    format!("{chosen:016x} and some more words, as many as a note has")
}

/// A number that looks like no other (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
