//! JSON as the server reads and writes it: strict on the way in, compact on the way out.
//!
//! serde_json finds syntax errors and says where; these few functions add what it leaves open: nesting is bounded
//! before anything recurses, no key stands twice, every number fits a float, every `\u` escape is a character. Numbers in
//! `json` fields keep their text, so that none is rounded.

mod merge;
mod read;
mod write;

pub use merge::merge_json;
pub use read::{
    Flaw, Member, checked_text, checked_text_at, compact, elements, elements_up_to, members, members_at, text_of, whole,
};
pub use write::{write_date, write_f64, write_i64, write_text};
