//! `multipart/form-data` (RFC 7578) as PocketBase's clients send a batch: its JSON in the field `@jsonPayload`.
//!
//! Reads a body that has been gathered, so all of it is slices; nothing is decoded. A form of anything else is refused:
//! there are no fields for files. `form` reads one that is too long for that.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use memchr::memmem;

use crate::error::{Error, Result};
use crate::limits;

/// The field that bears the JSON.
const PAYLOAD: &str = "@jsonPayload";
/// A boundary, bytes (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// One part of a form.
#[derive(Debug, PartialEq)]
struct Part<'a> {
    name: &'a str,
    is_file: bool,
    body: &'a [u8],
}

/// The boundary of a form; `None` where the body is something else.
///
/// # Errors
/// `Invalid` for a form without a sound boundary.
pub(super) fn boundary(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(given) = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) else { return Ok(None) };
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"multipart/form-data") {
        return Ok(None);
    }
    let boundary = std::str::from_utf8(given).ok().and_then(|text| parameter(text, "boundary"));
    match boundary {
        Some(boundary) if (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) => Ok(Some(boundary)),
        _ => Err(broken("its Content-Type names no boundary of 1 to 70 characters")),
    }
}

/// The JSON of a form that bears nothing else.
///
/// # Errors
/// `Invalid`: code `bad_multipart` for what is no form or is cut short, `no_file_fields` or `unknown_part` with the name
/// of a part that has no place, `required` without the JSON.
pub(super) fn payload<'a>(body: &'a [u8], boundary: &str) -> Result<&'a [u8]> {
    let mut parts = Parts::begin(body, boundary)?;
    let mut payload = None;
    while let Some(part) = parts.next()? {
        if part.name != PAYLOAD {
            return Err(misplaced(&part));
        }
        if payload.replace(part.body).is_some() {
            return Err(broken("@jsonPayload stands in it twice"));
        }
    }
    payload.ok_or_else(|| {
        let message = "the form has no field @jsonPayload with the JSON of the request";
        Error::invalid(message).code("required").fault(PAYLOAD, "required", "is required")
    })
}

fn misplaced(part: &Part<'_>) -> Error {
    let name: String = part.name.chars().take(limits::NAME_BYTES_MAX).collect();
    let (code, why) = match part.is_file {
        true => ("no_file_fields", "no field of a collection takes a file"),
        false => ("unknown_part", "the request's JSON goes into @jsonPayload, all of it"),
    };
    Error::invalid(format!("the part {name:?} of the form has no place: {why}")).code(code).fault(name, code, why)
}

pub(super) fn broken(why: &str) -> Error {
    Error::invalid(format!("the body is no multipart form: {why}")).code("bad_multipart")
}

/// A walk over the parts.
struct Parts<'a> {
    /// With the line's end before it.
    delimiter: Vec<u8>,
    /// Behind the last delimiter.
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// What stands before the first delimiter is nobody's.
    fn begin(body: &'a [u8], boundary: &str) -> Result<Parts<'a>> {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        let rest = match body.strip_prefix(&delimiter[2..]) {
            Some(rest) => Some(rest),
            None => memmem::find(body, &delimiter).map(|at| &body[at + delimiter.len()..]),
        };
        let rest = rest.ok_or_else(|| broken("its boundary is not in it"))?;
        Ok(Parts { delimiter, rest })
    }

    /// The next part; `None` behind the last.
    fn next(&mut self) -> Result<Option<Part<'a>>> {
        if self.rest.starts_with(b"--") {
            return Ok(None);
        }
        let padding = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        // The head begins with the line's end, so that one without lines ends like any other.
        let rest = &self.rest[padding..];
        if !rest.starts_with(b"\r\n") {
            return Err(broken("a boundary does not end its line"));
        }
        let end = memmem::find(rest, b"\r\n\r\n").ok_or_else(|| broken("it is cut short"))?;
        let (head, body) = (&rest[..end], &rest[end + 4..]);
        let end = memmem::find(body, &self.delimiter).ok_or_else(|| broken("it is cut short"))?;
        self.rest = &body[end + self.delimiter.len()..];
        let disposition = disposition(head).ok_or_else(|| broken("a part has no name"))?;
        let name = parameter(disposition, "name").ok_or_else(|| broken("a part has no name"))?;
        let is_file = ["filename", "filename*"].iter().any(|name| parameter(disposition, name).is_some());
        Ok(Some(Part { name, is_file, body: &body[..end] }))
    }
}

/// The `Content-Disposition` of a part's head.
pub(super) fn disposition(head: &[u8]) -> Option<&str> {
    let head = std::str::from_utf8(head).ok()?;
    let named =
        |line: &str| line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("content-disposition"));
    head.split("\r\n").find(|line| named(line))
}

/// A parameter of a header's value, without its quotes.
pub(super) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').map(|(value, behind)| (value, behind.split_once(';')))?,
            None => {
                let parts = after.split_once(';');
                (parts.map_or(after, |(value, _)| value).trim_end(), parts)
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind?.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "--b\r\nContent-Disposition: form-data; name=\"@jsonPayload\"\r\n\r\n{}\r\n--b--\r\n";

    fn told(body: &str) -> String {
        match payload(body.as_bytes(), "b") {
            Ok(json) => String::from_utf8(json.to_vec()).expect("text"),
            Err(error) => error.code_str().to_owned(),
        }
    }

    #[test]
    fn the_boundary_is_read_from_the_media_type() {
        let table = [
            ("multipart/form-data; boundary=abc", Some(Some("abc"))),
            ("Multipart/Form-Data;charset=x; BOUNDARY=\"a;b c\"", Some(Some("a;b c"))),
            ("multipart/form-data; boundary=abc ; x=y", Some(Some("abc"))),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"abc", None),
            ("multipart/form-data; x=\"boundary=abc\"", None),
            ("multipart/mixed; boundary=abc", Some(None)),
            ("application/json", Some(None)),
        ];
        for (text, expected) in table {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(boundary(&headers).ok(), expected, "{text}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(&long).expect("a header"))]);
        assert!(boundary(&headers).is_err());
    }

    #[test]
    fn the_json_of_a_form_is_found() {
        let part = |disposition: &str, body: &str| format!("--b\r\n{disposition}\r\n\r\n{body}\r\n");
        let named = |name: &str| format!("content-disposition: form-data; name={name}");
        let form = |parts: &[String]| format!("{}--b--", parts.concat());
        let json = part(&named("@jsonPayload"), "[1]");
        let file = part(&format!("{}; filename=\"x.png\"", named("\"requests.0.avatar\"")), "PNG");
        let table = [
            (ONE.to_owned(), "{}"),
            (form(std::slice::from_ref(&json)), "[1]"),
            (format!("nobody's\r\n{ONE}also nobody's"), "{}"),
            (
                form(&[part(
                    &format!("X-Y: z\r\n{}\r\nContent-Type: text/plain", named("@jsonPayload")),
                    "a\r\n--c\r\n-",
                )]),
                "a\r\n--c\r\n-",
            ),
            ("--b \t\r\nContent-Disposition: form-data; name=@jsonPayload\r\n\r\n\r\n--b--".to_owned(), ""),
            (form(&[json.clone(), json.clone()]), "bad_multipart"),
            (form(&[json.clone(), file.clone()]), "no_file_fields"),
            (form(&[file]), "no_file_fields"),
            (form(&[part(&named("title"), "x"), json.clone()]), "unknown_part"),
            (form(&[part("X-Y: z", "x")]), "bad_multipart"),
            ("--b\r\n\r\nx\r\n--b--".to_owned(), "bad_multipart"),
            ("--b--".to_owned(), "required"),
            (String::new(), "bad_multipart"),
            ("--c\r\n".to_owned(), "bad_multipart"),
            (form(&[json]).replace("--b", "--bc"), "bad_multipart"),
        ];
        for (body, expected) in table {
            assert_eq!(told(&body), expected, "{body:?}");
        }
    }

    #[test]
    fn a_form_cut_anywhere_is_refused() {
        // What stands behind the last delimiter's two dashes is nobody's.
        for end in 0..ONE.len() - 2 {
            assert_eq!(told(&ONE[..end]), "bad_multipart", "cut at {end}");
        }
        assert_eq!(told(&ONE[..ONE.len() - 2]), "{}");
    }

    #[test]
    fn a_part_without_place_is_named() {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"{}\"; filename=f\r\n\r\n\r\n--b--",
            "é".repeat(9_000)
        );
        let error = payload(body.as_bytes(), "b").expect_err("no files");
        assert_eq!(error.field_faults()[0].field.chars().count(), limits::NAME_BYTES_MAX);
    }
}
