//! First stage: which field each key of a body means, and whether a client may set it. Looks at no value.
//!
//! Invariant: past it each field is given at most once, by its name or one of its aliases. A field that the server sets
//! is a fault here, so no later stage can let it through; so is a hidden one that the client can't see, which looks as
//! if it were not there.

use std::borrow::Cow;

use crate::id::RecordId;
use crate::model::command::Way;
use crate::model::faults::Faults;
use crate::model::json::{self, Member};
use crate::model::schema::{Collection, Field};

use super::password::Beside;

/// Keys that a record has in an answer and that a client may send back: they are not looked at.
const ECHOED_KEYS: [&str; 3] = ["collectionId", "collectionName", "expand"];

/// Names no field may have: they mean something of the server's own in a record.
pub(crate) const RESERVED_KEYS: [&str; 6] =
    ["id", ECHOED_KEYS[0], ECHOED_KEYS[1], ECHOED_KEYS[2], "score", "highlights"];

/// Where a record's id comes from.
#[derive(Clone, Copy)]
pub(super) enum Id<'a> {
    /// From the body, or made; null and the empty text ask for a made one.
    Chosen,
    /// From the path: the body may repeat it.
    Given(&'a RecordId),
}

/// What a body is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// All of a record.
    Whole,
    /// A change of a stored one: only such a body may add to a field and take from it.
    Patch,
    /// All of a record, which may be the line of an export: what the server sets is passed over.
    Line,
}

/// A body whose keys are resolved.
pub(super) struct Valid<'a> {
    /// The id that the body chose.
    pub(super) id: Option<RecordId>,
    /// In the order of the body.
    pub(super) given: Vec<Given<'a>>,
    /// Of an auth collection's record.
    pub(super) beside: Beside<'a>,
}

/// One member of a body.
pub(super) struct Given<'a> {
    /// As the client wrote it: the name or an alias.
    pub(super) key: Cow<'a, str>,
    /// What it means.
    pub(super) field: &'a Field,
    /// How the stored value is to be changed; `None` sets it.
    pub(super) way: Option<Way>,
    /// The value's text.
    pub(super) raw: &'a str,
}

/// Resolves every key.
pub(super) fn validate<'a>(
    collection: &'a Collection,
    members: Vec<Member<'a>>,
    rule: Id<'_>,
    purpose: Purpose,
    sees_hidden: bool,
    faults: &mut Faults,
) -> Valid<'a> {
    let given = Vec::with_capacity(members.len().min(collection.fields.len()));
    let mut valid = Valid { id: None, given, beside: Beside::default() };
    let auth = collection.auth_fields();
    let mut seen: Vec<Option<Cow<'a, str>>> = vec![None; collection.fields.len()];
    let mut id_seen = false;
    let mut echoed_seen = [false; ECHOED_KEYS.len()];
    let mut next = 0;
    for (key, raw) in members {
        if faults.full() {
            break;
        }
        if key == "id" {
            if std::mem::replace(&mut id_seen, true) {
                twice(&key, &key, faults);
            } else {
                valid.id = id(raw, rule, faults);
            }
        } else if let Some(at) = ECHOED_KEYS.iter().position(|echoed| *echoed == key) {
            if std::mem::replace(&mut echoed_seen[at], true) {
                twice(&key, &key, faults);
            }
        } else if let Some((at, way)) =
            meaning(collection, &key, next).filter(|(at, _)| is_known(&collection.fields[*at], purpose, sees_hidden))
        {
            next = at + 1;
            let field = &collection.fields[at];
            if let Some(other) = &seen[at] {
                twice(&key, other, faults);
                continue;
            }
            seen[at] = Some(key.clone());
            // Who vouches for itself would be believed.
            let vouched = !sees_hidden && auth.is_some_and(|auth| auth.verified == field.id);
            if field.is_set_by_server() || vouched {
                if purpose != Purpose::Line {
                    faults.add(key, "read_only", "is set by the server");
                }
            } else if way.is_some() && purpose != Purpose::Patch {
                faults.add(key, "patch_only", "only a PATCH adds to a field and takes from it");
            } else {
                valid.given.push(Given { key, field, way, raw });
            }
        } else if auth.is_none() || !valid.beside.take(&key, raw, faults) {
            unknown(collection, &key, faults);
        }
    }
    valid
}

/// Whether a client may give a field. What it doesn't see it can't set, but where there would be no record without: then
/// it may say what a new one begins with, and nothing more.
fn is_known(field: &Field, purpose: Purpose, sees_hidden: bool) -> bool {
    !field.hidden || sees_hidden || (purpose != Purpose::Patch && field.is_asked_for())
}

/// The field that a column of a table means, by its name or an alias; `None` for what a record echoes.
///
/// # Errors
/// Nothing, for a name that the client can't give.
pub(super) fn column<'a>(collection: &'a Collection, name: &str, sees_hidden: bool) -> Result<Option<&'a Field>, ()> {
    if ECHOED_KEYS.contains(&name) {
        return Ok(None);
    }
    let field = position(collection, name, usize::MAX).map(|at| &collection.fields[at]);
    field.filter(|field| is_known(field, Purpose::Line, sees_hidden)).map(Some).ok_or(())
}

/// The place of the field that a key means. Clients mostly send fields in the order of the definition, so the one
/// after the last is tried first.
fn position(collection: &Collection, key: &str, next: usize) -> Option<usize> {
    let fields = &collection.fields;
    if fields.get(next).is_some_and(|field| &*field.name == key) {
        return Some(next);
    }
    fields
        .iter()
        .position(|field| &*field.name == key)
        .or_else(|| fields.iter().position(|field| field.aliases.iter().any(|alias| &**alias == key)))
}

/// What a key means: the field, or a change of the one it names: `field+`, `+field`, `field-`.
fn meaning(collection: &Collection, key: &str, next: usize) -> Option<(usize, Option<Way>)> {
    if let Some(at) = position(collection, key, next) {
        return Some((at, None));
    }
    let (name, way) = if let Some(name) = key.strip_suffix('+') {
        (name, Way::Add)
    } else if let Some(name) = key.strip_prefix('+') {
        (name, Way::Prepend)
    } else {
        (key.strip_suffix('-')?, Way::Take)
    };
    position(collection, name, next).map(|at| (at, Some(way)))
}

fn id(raw: &str, rule: Id<'_>, faults: &mut Faults) -> Option<RecordId> {
    let text = json::text_of(raw);
    match (rule, text) {
        (Id::Chosen, None) if raw == "null" => None,
        (Id::Chosen, Some(text)) if text.is_empty() => None,
        (Id::Chosen, Some(text)) => match RecordId::new(&text) {
            Ok(id) => Some(id),
            Err(error) => {
                faults.add("id", "bad_id", error.message());
                None
            }
        },
        (Id::Given(id), Some(text)) if text == id.as_str() => None,
        (Id::Given(_), Some(_)) => {
            faults.add("id", "read_only", "is not the id of the path, and an id never changes");
            None
        }
        (_, None) => {
            faults.add("id", "wrong_type", "must be a text");
            None
        }
    }
}

pub(super) fn twice(key: &str, other: &str, faults: &mut Faults) {
    if key == other {
        faults.add(key, "duplicate_key", "stands twice in the body");
    } else {
        faults.add(key, "duplicate_key", format!("is about the same field as {other}, which is in the body too"));
    }
}

fn unknown(collection: &Collection, key: &str, faults: &mut Faults) {
    let shown: String = key.chars().take(crate::limits::NAME_BYTES_MAX).collect();
    faults.add(shown, "unknown_field", format!("{} has no such field", collection.name));
}
