//! How a list was carried out, for `explain`: superusers only.

use crate::model::json::{write_i64, write_text};
use crate::model::schema::Collection;
use crate::state::query::{Order, Plan, Walk};

/// A plan and what it came to.
pub(super) struct Explained<'a> {
    pub(super) collection: &'a Collection,
    pub(super) plan: &'a Plan,
    pub(super) rows_read: usize,
}

impl Explained<'_> {
    /// Appends it as an object.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let plan = self.plan;
        out.extend_from_slice(b"{\"index\":");
        match plan.walks.as_slice() {
            [first, rest @ ..] if rest.iter().all(|walk| walk.index == first.index) => self.index(first, out),
            _ => out.extend_from_slice(b"null"),
        }
        number(out, b",\"rowsRead\":", self.rows_read);
        let first = plan.walks.first();
        let equal_fields = plan.walks.iter().map(|walk| walk.equal_fields).min().unwrap_or(0);
        number(out, b",\"plan\":{\"equalFields\":", equal_fields);
        flag(out, b",\"ranged\":", plan.walks.iter().any(|walk| walk.ranged));
        flag(out, b",\"backwards\":", first.is_some_and(|walk| walk.backwards));
        flag(out, b",\"ordered\":", plan.order != Order::Sorted);
        flag(out, b",\"covered\":", plan.covered);
        flag(out, b",\"merged\":", plan.order == Order::Merged);
        number(out, b",\"probed\":", plan.probed);
        out.extend_from_slice(b",\"walks\":[");
        for (at, walk) in plan.walks.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"index\":" } else { b",{\"index\":" });
            self.index(walk, out);
            number(out, b",\"equalFields\":", walk.equal_fields);
            flag(out, b",\"ranged\":", walk.ranged);
            flag(out, b",\"backwards\":", walk.backwards);
            number(out, b",\"stretches\":", walk.stretches());
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"relations\":[");
        for (at, step) in plan.steps.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"collection\":" } else { b",{\"collection\":" });
            write_text(out, &step.collection);
            out.extend_from_slice(b",\"index\":");
            match &step.index {
                Some(name) => write_text(out, name),
                None => out.extend_from_slice(b"null"),
            }
            match step.found {
                Some(found) => number(out, b",\"found\":", found),
                None => out.extend_from_slice(b",\"found\":null"),
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}}");
    }

    fn index(&self, walk: &Walk, out: &mut Vec<u8>) {
        match walk.index.and_then(|id| self.collection.index(id)) {
            Some(index) => write_text(out, &index.name),
            None => out.extend_from_slice(b"null"),
        }
    }
}

fn number(out: &mut Vec<u8>, before: &[u8], number: usize) {
    out.extend_from_slice(before);
    // Counts of rows are far below 2^63.
    write_i64(out, number as i64);
}

fn flag(out: &mut Vec<u8>, before: &[u8], flag: bool) {
    out.extend_from_slice(before);
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}
