//! `multipart/form-data` (RFC 7578) of any length: the parts one after the other, each piece by piece as it comes.
//!
//! Invariant: of a part no more is held than a piece that came and a delimiter; of its head no more than a bound.

use axum::body::Bytes;
use bytes::BytesMut;
use memchr::memmem;

use crate::error::Result;
use crate::http::inbound::Pieces;
use crate::http::multipart::{broken, disposition, parameter};

/// A part's head, bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// A form on its way in.
pub(super) struct Form {
    pieces: Pieces,
    /// With the line's end before it.
    delimiter: Vec<u8>,
    /// What came and is not given yet.
    held: BytesMut,
}

/// What a part says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    /// Of a file's.
    pub(super) filename: Option<String>,
}

impl Form {
    pub(super) fn new(pieces: Pieces, boundary: &str) -> Form {
        // The first delimiter may be the first line.
        Form { pieces, delimiter: [b"\r\n--", boundary.as_bytes()].concat(), held: BytesMut::from(&b"\r\n"[..]) }
    }

    /// The next part's head, whatever is left of the one before; `None` behind the last.
    ///
    /// # Errors
    /// `Invalid` with code `bad_multipart` for what is no form or is cut short; those of [`Pieces::next`].
    pub(super) async fn next(&mut self) -> Result<Option<Part>> {
        while self.piece().await?.is_some() {}
        let _ = self.held.split_to(self.delimiter.len());
        while self.held.len() < 2 {
            self.more().await?;
        }
        if self.held.starts_with(b"--") {
            // What stands behind the last is nobody's, and is read so that the answer finds a client that listens.
            while self.pieces.next().await?.is_some() {}
            return Ok(None);
        }
        let end = loop {
            match memmem::find(&self.held, b"\r\n\r\n") {
                Some(end) => break end,
                None if self.held.len() > HEAD_BYTES_MAX => return Err(broken("a part's head has no end")),
                None => self.more().await?,
            }
        };
        let head = self.held.split_to(end + 4);
        let padding = head.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !head[padding..].starts_with(b"\r\n") {
            return Err(broken("a boundary does not end its line"));
        }
        let disposition = disposition(&head[..end]).ok_or_else(|| broken("a part has no name"))?;
        let name = parameter(disposition, "name").ok_or_else(|| broken("a part has no name"))?.to_owned();
        let filename = parameter(disposition, "filename").map(str::to_owned);
        Ok(Some(Part { name, filename }))
    }

    /// The next bytes of the part; `None` at its end.
    ///
    /// # Errors
    /// As [`Form::next`].
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            // The begin of a delimiter may be at the end.
            let sure = (self.held.len() + 1).saturating_sub(self.delimiter.len());
            match memmem::find(&self.held, &self.delimiter) {
                Some(0) => return Ok(None),
                Some(at) => return Ok(Some(self.held.split_to(at).freeze())),
                None if sure > 0 => return Ok(Some(self.held.split_to(sure).freeze())),
                None => self.more().await?,
            }
        }
    }

    async fn more(&mut self) -> Result<()> {
        let piece = self.pieces.next().await?.ok_or_else(|| broken("it is cut short"))?;
        self.held.extend_from_slice(&piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;

    use super::*;
    use crate::limits;

    const FORM: &str = "nobody's\r\n--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n\r\n--b \t\r\nX: y\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a.snap\"\r\nContent-Type: x/y\r\n\r\n\
        1\r\n--\r\n--a\r\n\r\n--b--\r\nalso nobody's";

    fn form(text: &str, piece: usize) -> Form {
        let pieces: Vec<_> =
            text.as_bytes().chunks(piece).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
        Form::new(Pieces::new(Body::from_stream(stream::iter(pieces)), limits::BODY_WAIT_MAX), "b")
    }

    /// Names and bytes of the parts.
    fn read(text: &str, bytes_of_piece: usize) -> Result<Vec<(Part, String)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (mut form, mut all) = (form(text, bytes_of_piece), Vec::new());
            while let Some(part) = form.next().await? {
                let mut bytes = Vec::new();
                while let Some(piece) = form.piece().await? {
                    bytes.extend_from_slice(&piece);
                    assert!(form.held.len() <= 2 * bytes_of_piece + form.delimiter.len(), "{}", form.held.len());
                }
                all.push((part, String::from_utf8(bytes).expect("text")));
            }
            Ok(all)
        })
    }

    #[test]
    fn a_form_is_the_same_in_whatever_pieces_it_comes() {
        let part =
            |name: &str, filename: Option<&str>| Part { name: name.to_owned(), filename: filename.map(str::to_owned) };
        let expected =
            [(part("note", None), String::new()), (part("file", Some("a.snap")), "1\r\n--\r\n--a\r\n".to_owned())];
        for piece in 1..=FORM.len() {
            assert_eq!(read(FORM, piece).expect("a form"), expected, "in pieces of {piece}");
        }
        let bare = FORM.strip_prefix("nobody's\r\n").expect("there");
        assert_eq!(read(bare, 7).expect("a form"), expected);
    }

    #[test]
    fn a_form_cut_anywhere_is_refused() {
        let whole = FORM.find("--b--").expect("there") + "--b--".len();
        for end in 0..whole {
            let code = read(&FORM[..end], 5).err().map(|error| error.code_str());
            assert_eq!(code, Some("bad_multipart"), "cut at {end}");
        }
        assert!(read(&FORM[..whole], 5).is_ok());
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let long = format!("--b\r\nX: {}", "y".repeat(1 << 20));
        assert!(read(&long, 1 << 10).expect_err("no head").message().contains("no end"));
        for bad in ["--b\r\n\r\nx\r\n--b--", "--bX: y\r\n\r\n\r\n--b--", "--c--"] {
            assert_eq!(read(bad, 3).expect_err(bad).code_str(), "bad_multipart");
        }
    }
}
