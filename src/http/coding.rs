//! Content codings (RFC 9110, section 8.4): which one a client takes, and bodies that come in one.
//!
//! gzip (RFC 1952) and zstd (RFC 8878), one at a time. What a body decodes to is bounded as the body itself is: a small
//! one that would become a large one is refused where it passes the bound, not after.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use axum::http::{HeaderMap, HeaderValue};

use crate::error::{Error, Kind, Result};
use crate::http::inbound::{gather, too_large};
use crate::limits;

/// The codings that are served and taken, as a header lists them.
pub(super) const KNOWN: HeaderValue = HeaderValue::from_static("gzip, zstd");
/// The code of a refusal that [`KNOWN`] is told with.
pub(super) const UNKNOWN_CODING: &str = "unknown_coding";

/// A coding; the later is taken where a client likes both as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

impl Coding {
    /// Its name in a header, and behind the `+` of an entity tag.
    pub(super) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }

    fn is_named(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name()) || (self == Coding::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// Whether an entity tag may end in this.
pub(super) fn is_known(name: &str) -> bool {
    CODINGS.iter().any(|coding| coding.name() == name)
}

/// The coding that the client likes best (RFC 9110, section 12.5.3); `None` for the answer as it is.
pub(super) fn wanted(headers: &HeaderMap) -> Option<Coding> {
    let mut lines = headers.get_all(ACCEPT_ENCODING).iter().peekable();
    lines.peek()?;
    let ranges: Vec<(&str, u16)> =
        lines.flat_map(|line| line.to_str().unwrap_or_default().split(',')).filter_map(range).collect();
    let weight = |named: &dyn Fn(&str) -> bool| ranges.iter().find(|(name, _)| named(name)).map(|(_, weight)| *weight);
    let any = weight(&|name| name == "*").unwrap_or(0);
    let best = CODINGS.map(|coding| (weight(&|name| coding.is_named(name)).unwrap_or(any), coding)).into_iter().max();
    let plain = weight(&|name| name.eq_ignore_ascii_case("identity")).unwrap_or(0);
    best.filter(|(weight, _)| *weight > 0 && *weight >= plain).map(|(_, coding)| coding)
}

/// One range: its name and its weight in thousandths. A weight that is none makes the range none.
fn range(text: &str) -> Option<(&str, u16)> {
    let (name, weight) = match text.split_once(';') {
        None => (text, 1_000),
        Some((name, parameter)) => {
            let parameter = parameter.trim();
            let text = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
            let weight: f32 = text.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
            (name, (weight * 1_000.0) as u16)
        }
    };
    let name = name.trim();
    (!name.is_empty()).then_some((name, weight))
}

/// The whole body, decoded.
///
/// # Errors
/// `UnsupportedMedia` for a coding that is not known, or for several; `Invalid` for bytes that are not in the coding
/// they are said to be in; `TooLarge` for a body over `bytes_max`, as it comes or as it is decoded; or as [`gather`].
pub(super) async fn read(headers: &HeaderMap, body: Body, bytes_max: usize, time_max: Duration) -> Result<Bytes> {
    let coding = of_body(headers)?;
    let bytes = gather(body, bytes_max, time_max).await?;
    match coding {
        None => Ok(bytes),
        Some(coding) => decode(coding, &bytes, bytes_max),
    }
}

/// # Errors
/// `UnsupportedMedia` for a body in any coding: of a stream.
pub(super) fn refuse_coded(headers: &HeaderMap) -> Result<()> {
    match of_body(headers)? {
        None => Ok(()),
        Some(_) => {
            let message = "a body that is read as it comes has no Content-Encoding";
            Err(Error::new(Kind::UnsupportedMedia, message).code(UNKNOWN_CODING))
        }
    }
}

fn of_body(headers: &HeaderMap) -> Result<Option<Coding>> {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let name = line.to_str().unwrap_or_default().trim();
    let known = CODINGS.into_iter().find(|coding| coding.is_named(name));
    if lines.next().is_none() && (known.is_some() || name.eq_ignore_ascii_case("identity")) {
        return Ok(known);
    }
    Err(Error::new(Kind::UnsupportedMedia, "a body may come as it is, or with one Content-Encoding: gzip or zstd")
        .code(UNKNOWN_CODING))
}

fn decode(coding: Coding, bytes: &[u8], bytes_max: usize) -> Result<Bytes> {
    let one_more = bytes_max as u64 + 1;
    let mut decoded = Vec::new();
    let read = match coding {
        Coding::Gzip => flate2::bufread::MultiGzDecoder::new(bytes).take(one_more).read_to_end(&mut decoded),
        Coding::Zstd => zstd_decoder(bytes).and_then(|decoder| decoder.take(one_more).read_to_end(&mut decoded)),
    };
    match read {
        Ok(length) if length > bytes_max => Err(too_large(bytes_max)),
        Ok(_) => Ok(Bytes::from(decoded)),
        Err(error) => {
            Err(Error::invalid(format!("the body is not {}", coding.name())).code("bad_coding").source(error))
        }
    }
}

fn zstd_decoder(bytes: &[u8]) -> std::io::Result<zstd::stream::read::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
    decoder.window_log_max(limits::ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn headers(name: axum::http::HeaderName, lines: &[&str]) -> HeaderMap {
        let value = |line: &&str| (name.clone(), HeaderValue::from_str(line).expect("a header"));
        lines.iter().map(value).collect()
    }

    #[test]
    fn the_coding_that_is_liked_best_is_chosen() {
        let table: &[(&[&str], Option<Coding>)] = &[
            (&[], None),
            (&[""], None),
            (&["gzip"], Some(Coding::Gzip)),
            (&["X-GZip"], Some(Coding::Gzip)),
            (&["zstd"], Some(Coding::Zstd)),
            (&["gzip, deflate, br, zstd"], Some(Coding::Zstd)),
            (&["gzip", "zstd"], Some(Coding::Zstd)),
            (&["gzip;q=1.0, zstd; q=0.9"], Some(Coding::Gzip)),
            (&["gzip;q=0, zstd;q=0.000"], None),
            (&["*"], Some(Coding::Zstd)),
            (&["*, zstd;q=0"], Some(Coding::Gzip)),
            (&["*;q=0"], None),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip"], Some(Coding::Gzip)),
            (&["br, deflate"], None),
            (&["gzip;q=2, zstd;q=x, ;q=1"], None),
            (&["gzip;level=9"], None),
        ];
        for (lines, expected) in table {
            assert_eq!(wanted(&headers(ACCEPT_ENCODING, lines)), *expected, "{lines:?}");
        }
    }

    #[test]
    fn a_body_may_have_one_known_coding() {
        let table: &[(&[&str], Option<Option<Coding>>)] = &[
            (&[], Some(None)),
            (&["identity"], Some(None)),
            (&["gzip"], Some(Some(Coding::Gzip))),
            (&["zstd"], Some(Some(Coding::Zstd))),
            (&["br"], None),
            (&["gzip, zstd"], None),
            (&["gzip", "gzip"], None),
            (&[""], None),
        ];
        for (lines, expected) in table {
            assert_eq!(of_body(&headers(CONTENT_ENCODING, lines)).ok(), *expected, "{lines:?}");
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn a_small_body_that_would_become_a_large_one_is_refused() {
        const MAX: usize = 10_000;
        for (size, good) in [(0, true), (MAX, true), (MAX + 1, false), (40 << 20, false)] {
            let plain = vec![b' '; size];
            let zstd = zstd::encode_all(&plain[..], 19).expect("memory");
            for (coding, bytes) in [(Coding::Gzip, gzip(&plain)), (Coding::Zstd, zstd)] {
                let decoded = decode(coding, &bytes, MAX);
                match decoded {
                    Ok(decoded) => assert!(good && decoded == plain, "{coding:?} {size}"),
                    Err(error) => assert!(!good && error.kind() == Kind::TooLarge, "{coding:?} {size}: {error}"),
                }
            }
        }
    }

    #[test]
    fn what_is_cut_or_is_none_is_the_clients_fault() {
        let whole = br#"{"text":"a text that is long enough to be cut"}"#;
        let zstd = zstd::encode_all(&whole[..], 1).expect("memory");
        for (coding, bytes) in [(Coding::Gzip, gzip(whole)), (Coding::Zstd, zstd)] {
            assert_eq!(decode(coding, &bytes, 1_000).expect("whole"), &whole[..]);
            for end in 0..bytes.len() {
                // Of zstd nothing at all is nothing at all.
                let cut = decode(coding, &bytes[..end], 1_000);
                assert!(cut.is_err() || end == 0, "{coding:?} cut at {end}");
            }
            assert_eq!(decode(coding, whole, 1_000).expect_err("plain").kind(), Kind::Invalid);
        }
    }

    #[test]
    fn a_window_that_would_take_too_much_memory_is_refused() {
        // A frame that asks for a window of 128 MiB, as its header says in one byte (RFC 8878, section 3.1.1.1.2).
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00];
        assert_eq!(decode(Coding::Zstd, &frame, 1_000).expect_err("too wide").kind(), Kind::Invalid);
    }
}
