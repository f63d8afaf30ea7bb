//! Answers in the coding that their client likes best.
//!
//! A short answer is sent as it is; one of middle length is encoded whole; a longer one, or one that is made while it is
//! sent, slice by slice as it goes. An event stream never is: its events must not wait for one another.
//!
//! An encoded answer is a representation of its own, so its entity tag has the coding behind a `+` and stays a strong
//! one (RFC 9110, section 8.8.3.3). `conditions` reads both.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};

use crate::http::coding::Coding;
use crate::limits;

/// Bytes that are encoded at a time.
const SLICE: usize = 32 << 10;
/// Of zstd: the first level that is small and fast for JSON.
const ZSTD_LEVEL: i32 = 1;

/// The answer in `coding`, if that makes sense for it; and what a cache in between has to know.
pub(super) async fn encoded(mut response: Response<Body>, coding: Option<Coding>) -> Response<Body> {
    if response.status() == StatusCode::NOT_MODIFIED {
        vary(response.headers_mut(), ACCEPT_ENCODING_NAME);
        return response;
    }
    if !is_encodable(&response) {
        return response;
    }
    vary(response.headers_mut(), ACCEPT_ENCODING_NAME);
    let Some(coding) = coding else { return response };
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    if let Some(tag) = head.headers.get(ETAG).and_then(|tag| tagged(tag, coding)) {
        head.headers.insert(ETAG, tag);
    }
    let body = match body.size_hint().exact() {
        // The answer to HEAD, whose body is gone already.
        Some(0) => body,
        Some(length) if length <= limits::ENCODED_WHOLE_BYTES_MAX as u64 => whole(body, coding).await,
        _ => Body::new(Encoded::new(body, coding)),
    };
    Response::from_parts(head, body)
}

/// Behind it stands the name of what the answer depends on.
const ACCEPT_ENCODING_NAME: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// Adds to `Vary`.
pub(super) fn vary(headers: &mut HeaderMap, name: HeaderValue) {
    headers.append(VARY, name);
}

/// Whether an answer is long enough, of a kind that becomes shorter, and nothing forbids it.
fn is_encodable(response: &Response<Body>) -> bool {
    let headers = response.headers();
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = response.body().size_hint().exact().filter(|length| *length > 0).or(told);
    let forbids = |name: HeaderName| headers.contains_key(name);
    let no_transform = |value: &HeaderValue| value.as_bytes().windows(12).any(|word| word == b"no-transform");
    length.is_none_or(|length| length >= limits::ENCODED_BYTES_MIN as u64)
        && !response.status().is_informational()
        && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT)
        && !forbids(CONTENT_ENCODING)
        && !forbids(CONTENT_RANGE)
        && !headers.get(CACHE_CONTROL).is_some_and(no_transform)
        && headers.get(CONTENT_TYPE).is_some_and(|kind| becomes_shorter(kind.as_bytes()))
}

fn becomes_shorter(kind: &[u8]) -> bool {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let known = [&b"application/json"[..], b"application/x-ndjson", b"application/javascript", b"image/svg+xml"];
    let text = essence.starts_with(b"text/") && essence != b"text/event-stream";
    text || essence.ends_with(b"+json") || known.contains(&essence)
}

/// `"tag"` as `"tag+coding"`; a weak tag says of itself that it leaves such things out.
fn tagged(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let inside = tag.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?;
    HeaderValue::try_from(format!("\"{inside}+{}\"", coding.name())).ok()
}

/// Encodes what lies in memory already.
async fn whole(body: Body, coding: Coding) -> Body {
    let encode = |bytes: Bytes| -> io::Result<Vec<u8>> {
        let mut encoder = Encoder::new(coding)?;
        encoder.write(&bytes)?;
        encoder.finish()
    };
    match body.collect().await.map(|body| encode(body.to_bytes())) {
        Ok(Ok(bytes)) => Body::from(bytes),
        Ok(Err(error)) => Body::new(Broken(Some(axum::Error::new(error)))),
        Err(error) => Body::new(Broken(Some(error))),
    }
}

/// A body that could not be made.
struct Broken(Option<axum::Error>);

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> io::Result<Encoder> {
        Ok(match coding {
            Coding::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Coding::Zstd => Encoder::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
            Encoder::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Has everything written so far come out.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What has come out since the last time.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// What had not come out, and the coding's end.
    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// A body that is encoded as it is sent.
struct Encoded {
    body: Body,
    /// What is not encoded yet of the frame that was taken last.
    rest: Bytes,
    coding: Coding,
    /// Absent before the first byte and after the last.
    encoder: Option<Encoder>,
    ended: bool,
    /// Something may be held back by the encoder.
    held: bool,
}

impl Encoded {
    fn new(body: Body, coding: Coding) -> Encoded {
        Encoded { body, rest: Bytes::new(), coding, encoder: None, ended: false, held: false }
    }

    fn encoder(&mut self) -> io::Result<&mut Encoder> {
        if self.encoder.is_none() {
            self.encoder = Some(Encoder::new(self.coding)?);
        }
        Ok(self.encoder.as_mut().expect("made above"))
    }

    fn step(&mut self) -> io::Result<Vec<u8>> {
        let slice = self.rest.split_to(self.rest.len().min(SLICE));
        self.held = true;
        let encoder = self.encoder()?;
        encoder.write(&slice)?;
        Ok(encoder.take())
    }

    fn flush(&mut self) -> io::Result<Vec<u8>> {
        self.held = false;
        let encoder = self.encoder()?;
        encoder.flush()?;
        Ok(encoder.take())
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        self.ended = true;
        self.encoder()?;
        self.encoder.take().expect("made above").finish()
    }
}

impl hyper::body::Body for Encoded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            let made = if !self.rest.is_empty() {
                self.step()
            } else if self.ended {
                return Poll::Ready(None);
            } else {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(Some(Ok(frame))) => {
                        // Trailers speak of the bytes that are not sent.
                        self.rest = frame.into_data().unwrap_or_default();
                        continue;
                    }
                    Poll::Ready(None) => self.finish(),
                    Poll::Pending if self.held => self.flush(),
                    Poll::Pending => return Poll::Pending,
                }
            };
            match made {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes))))),
                Err(error) => return Poll::Ready(Some(Err(axum::Error::new(error)))),
            }
        }
    }
}
