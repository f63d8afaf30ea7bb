//! A small S3 of this machine: objects, ranges, parts, lists of few at a time. It believes a signature only when it has made
//! the same from what came, by code of its own; and it fails as a test has it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::receiver::{Receiver, Reply, Told};

/// Who may ask, and by which secret.
pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "hush+/secret";
const BUCKET: &str = "/backups";
/// Objects on a page of a list.
const PAGE: usize = 2;

/// What is done in the place of an answer.
type Fault = dyn Fn(&Told) -> Option<Reply> + Send + Sync;

#[derive(Default)]
pub struct Kept {
    pub objects: BTreeMap<String, Vec<u8>>,
    /// By their ids: the name, and the parts.
    pub uploads: BTreeMap<String, (String, BTreeMap<u64, Vec<u8>>)>,
    made: u64,
    fault: Option<Arc<Fault>>,
}

/// The store.
pub struct S3 {
    receiver: Receiver,
    kept: Arc<Mutex<Kept>>,
}

impl S3 {
    pub fn start() -> S3 {
        let kept = Arc::<Mutex<Kept>>::default();
        let shared = kept.clone();
        let receiver = Receiver::start(move |told| {
            let fault = shared.lock().expect("no panic holds it").fault.clone();
            if let Some(reply) = fault.and_then(|fault| fault(told)) {
                return reply;
            }
            answer(&mut shared.lock().expect("no panic holds it"), told)
        });
        S3 { receiver, kept }
    }

    /// The setting for what is below a prefix.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://backups/{prefix}?endpoint=http://{}&region=eu-test-1", self.receiver.address)
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic holds it")
    }

    /// From now on it does so where the fault says what.
    pub fn fail(&self, fault: impl Fn(&Told) -> Option<Reply> + Send + Sync + 'static) {
        self.kept().fault = Some(Arc::new(fault));
    }

    pub fn heal(&self) {
        self.kept().fault = None;
    }

    /// Method and path of all that it was asked.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.receiver.told().into_iter().map(|told| (told.method, told.target)).collect()
    }
}

/// A refusal as S3 writes it; its text holds what must not be passed on.
pub fn refusal(status: u16, code: &str) -> Reply {
    let body = format!("<Error><Code>{code}</Code><Message>StringToSign {SECRET}</Message></Error>");
    Reply::Answer(status, vec![("content-type", "application/xml".to_owned())], body.into_bytes())
}

fn answer(kept: &mut Kept, told: &Told) -> Reply {
    if told.header("authorization") != expected(told).as_deref() {
        return refusal(403, "SignatureDoesNotMatch");
    }
    let (path, query) = told.target.split_once('?').unwrap_or((&told.target, ""));
    let Some(name) = path.strip_prefix(BUCKET) else { return refusal(404, "NoSuchBucket") };
    let name = plain(name.trim_start_matches('/'));
    let query: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (plain(key), plain(value)))
        .collect();
    let ok = |body: &str| Reply::Answer(200, Vec::new(), body.as_bytes().to_vec());
    let upload = query.get("uploadId");
    match (&*told.method, name.is_empty()) {
        ("GET", true) if query.get("list-type").is_some_and(|kind| kind == "2") => ok(&list(kept, &query)),
        ("GET", false) => match kept.objects.get(&name) {
            None => refusal(404, "NoSuchKey"),
            Some(object) => get(told, object),
        },
        ("PUT", false) => {
            let tag = tag(&told.body);
            match (upload, query.get("partNumber")) {
                (Some(id), Some(number)) => match kept.uploads.get_mut(id) {
                    Some((_, parts)) => parts.insert(number.parse().expect("a number"), told.body.clone()),
                    None => return refusal(404, "NoSuchUpload"),
                },
                _ => kept.objects.insert(name, told.body.clone()),
            };
            Reply::Answer(200, vec![("etag", tag)], Vec::new())
        }
        ("POST", false) if query.contains_key("uploads") => {
            kept.made += 1;
            let id = format!("id/{}+", kept.made);
            kept.uploads.insert(id.clone(), (name, BTreeMap::new()));
            ok(&format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
        }
        ("POST", false) => {
            let Some((name, parts)) = upload.and_then(|id| kept.uploads.remove(id)) else {
                return refusal(404, "NoSuchUpload");
            };
            let said: String = parts
                .iter()
                .map(|(number, part)| {
                    let tag = tag(part).replace('"', "&quot;");
                    format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
                })
                .collect();
            if told.body != format!("<CompleteMultipartUpload>{said}</CompleteMultipartUpload>").as_bytes() {
                // So it tells of what it finds late.
                return ok("<Error><Code>InvalidPart</Code></Error>");
            }
            kept.objects.insert(name, parts.into_values().flatten().collect());
            ok("<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag></CompleteMultipartUploadResult>")
        }
        ("DELETE", false) => {
            match upload {
                Some(id) => drop(kept.uploads.remove(id)),
                None => drop(kept.objects.remove(&name)),
            }
            Reply::Answer(204, Vec::new(), Vec::new())
        }
        _ => refusal(405, "MethodNotAllowed"),
    }
}

fn get(told: &Told, object: &[u8]) -> Reply {
    let tag = tag(object);
    if told.header("if-match").is_some_and(|wanted| wanted != tag) {
        return refusal(412, "PreconditionFailed");
    }
    let range = told.header("range").expect("it is read by ranges").strip_prefix("bytes=").expect("in bytes");
    let (from, to) = range.split_once('-').expect("a range");
    let (from, to): (usize, usize) = (from.parse().expect("a number"), to.parse().expect("a number"));
    if from >= object.len() {
        return refusal(416, "InvalidRange");
    }
    let to = to.min(object.len() - 1);
    let range = format!("bytes {from}-{to}/{}", object.len());
    Reply::Answer(206, vec![("etag", tag), ("content-range", range)], object[from..=to].to_vec())
}

fn list(kept: &Kept, query: &BTreeMap<String, String>) -> String {
    let (prefix, after) = (&query["prefix"], query.get("continuation-token"));
    let below = kept.objects.iter().filter(|(name, _)| {
        name.strip_prefix(prefix).is_some_and(|rest| !rest.contains('/')) && after.is_none_or(|after| *name > after)
    });
    let page: Vec<_> = below.take(PAGE + 1).collect();
    let more = page.len() > PAGE;
    let mut text =
        format!("<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"urn:x\"><IsTruncated>{more}</IsTruncated>");
    for (name, object) in page.iter().take(PAGE) {
        let tag = tag(object).replace('"', "&quot;");
        text += &format!("<Contents><Key>{name}</Key><ETag>{tag}</ETag><Size>{}</Size></Contents>", object.len());
    }
    if more {
        text += &format!("<NextContinuationToken>{}</NextContinuationToken>", page[PAGE - 1].0);
    }
    text + "</ListBucketResult>"
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&Sha256::digest(bytes)))
}

/// What `Authorization` has to be for what came.
fn expected(told: &Told) -> Option<String> {
    let (at, digest) = (told.header("x-amz-date")?, told.header("x-amz-content-sha256")?);
    if digest != hex(&Sha256::digest(&told.body)) {
        return None;
    }
    let (path, query) = told.target.split_once('?').unwrap_or((&told.target, ""));
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_unstable();
    let host = told.header("host")?;
    let canonical = format!(
        "{}\n{path}\n{}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{at}\n\nhost;x-amz-content-sha256;x-amz-date\n{digest}",
        told.method,
        pairs.join("&")
    );
    let scope = format!("{}/eu-test-1/s3/aws4_request", &at[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let sign = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let day = sign(format!("AWS4{SECRET}").as_bytes(), &at[..8]);
    let key = sign(&sign(&sign(&day, "eu-test-1"), "s3"), "aws4_request");
    let signature = hex(&sign(&key, &text));
    Some(format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/{scope},SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature={signature}"
    ))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Without its escapes.
fn plain(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: String = bytes.by_ref().take(2).map(char::from).collect();
            plain.push(u8::from_str_radix(&digits, 16).expect("an escape"));
        } else {
            plain.push(byte);
        }
    }
    String::from_utf8(plain).expect("text")
}
