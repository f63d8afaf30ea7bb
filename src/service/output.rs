//! Answers as JSON bytes, written straight from values in one pass.

use crate::error::Result;
use crate::model::json::{write_i64, write_text};
use crate::service::Paging;

/// Bytes set aside for one item of a list: most records fit, and a list grows its buffer few times.
const ITEM_BYTES: usize = 256;

/// A page of a list in the shape that PocketBase's clients read. `write` appends one item; `next` is the cursor of what
/// comes behind. `beside` is what else stands in it, each member behind a comma.
///
/// # Errors
/// Those of `write`.
pub(super) fn page<T>(
    paging: Paging,
    total: Option<usize>,
    items: &[T],
    mut write: impl FnMut(&T, &mut Vec<u8>) -> Result<()>,
    next: Option<&str>,
    beside: &[u8],
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128 + ITEM_BYTES * items.len());
    number(&mut out, b"{\"page\":", paging.page);
    number(&mut out, b",\"perPage\":", paging.per_page);
    match total {
        Some(total) => {
            number(&mut out, b",\"totalItems\":", total);
            number(&mut out, b",\"totalPages\":", total.div_ceil(paging.per_page));
        }
        None => out.extend_from_slice(b",\"totalItems\":-1,\"totalPages\":-1"),
    }
    out.extend_from_slice(b",\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, &mut out)?;
    }
    out.extend_from_slice(b"],\"nextCursor\":");
    match next {
        Some(next) => write_text(&mut out, next),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(beside);
    out.push(b'}');
    Ok(out)
}

fn number(out: &mut Vec<u8>, before: &[u8], number: usize) {
    out.extend_from_slice(before);
    // Counts of rows and pages are far below 2^63.
    write_i64(out, number as i64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(total: Option<usize>, items: &[usize]) -> String {
        let paging = Paging { page: 2, per_page: 3, count: total.is_some() };
        let write = |item: &usize, out: &mut Vec<u8>| {
            write_i64(out, *item as i64);
            Ok(())
        };
        let bytes = page(paging, total, items, write, None, b"");
        String::from_utf8(bytes.expect("writable")).expect("text")
    }

    #[test]
    fn a_page_has_the_shape_that_clients_read() {
        let counted = r#"{"page":2,"perPage":3,"totalItems":7,"totalPages":3,"items":[4,5,6],"nextCursor":null}"#;
        assert_eq!(text(Some(7), &[4, 5, 6]), counted);
        let uncounted = r#"{"page":2,"perPage":3,"totalItems":-1,"totalPages":-1,"items":[],"nextCursor":null}"#;
        assert_eq!(text(None, &[]), uncounted);
        assert!(text(Some(0), &[]).contains(r#""totalItems":0,"totalPages":0,"#));
    }
}
