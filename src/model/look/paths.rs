//! Paths with dots as a tree, and what they leave of a stored json: as in PocketBase a name picks in each element of a
//! list, and what is not named goes.

use crate::model::json;
use crate::model::json::write_f64;

/// A name and what is wanted behind it; nothing: all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) name: Box<str>,
    pub(super) behind: Vec<Branch>,
}

impl Branch {
    /// Whether it picks all keys of its level.
    pub(super) fn is_star(&self) -> bool {
        &*self.name == "*"
    }
}

/// The branch for a key: its own before `*`.
pub(super) fn branch<'b>(branches: &'b [Branch], key: &str) -> Option<&'b Branch> {
    let own = branches.iter().find(|branch| &*branch.name == key);
    own.or_else(|| branches.iter().find(|branch| branch.is_star()))
}

/// Appends what `branches` leave of a stored json. What is neither object nor list stays as it is.
pub(super) fn pick(text: &str, branches: &[Branch], out: &mut Vec<u8>) {
    if branches.is_empty() {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            out.push(b'{');
            let start = out.len();
            for (key, value) in json::members(text).unwrap_or_default() {
                if let Some(branch) = branch(branches, &key) {
                    if out.len() > start {
                        out.push(b',');
                    }
                    json::write_text(out, &key);
                    out.push(b':');
                    pick(value, &branch.behind, out);
                }
            }
            out.push(b'}');
        }
        Some(b'[') => {
            out.push(b'[');
            for (at, item) in json::elements(text).unwrap_or_default().into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                pick(item, branches, out);
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

/// Appends what `branches` leave of a place.
pub(super) fn pick_point(longitude: f64, latitude: f64, branches: &[Branch], out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    for (name, degrees) in [("lon", longitude), ("lat", latitude)] {
        if branch(branches, name).is_some() {
            if out.len() > start {
                out.push(b',');
            }
            json::write_text(out, name);
            out.push(b':');
            write_f64(out, degrees);
        }
    }
    out.push(b'}');
}
