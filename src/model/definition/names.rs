//! Which names collections, fields and indexes may have.

use crate::limits;
use crate::model::faults::Faults;
use crate::model::pipeline::RESERVED_KEYS;

use super::object::Object;

/// Words of the expression language: a field of such a name could not be written in one.
const WORDS: [&str; 7] = ["true", "false", "null", "and", "or", "not", "in"];

/// What stands between a collection and its relation in the name of the way back, `orders_via_user`.
const VIA: &str = "_via_";

/// Takes the name of a collection. Names that begin with `_` are the server's (`own`); `import` is a path of its own;
/// without `_via_` in one, a way back has one meaning, which no later collection changes.
pub(super) fn collection_name(object: &mut Object, own: bool, faults: &mut Faults) -> String {
    let name = name(object, faults);
    if name.starts_with('_') && !own {
        object.fault("name", "reserved", "names that begin with _ are the server's own", faults);
    } else if name == "import" || name.contains(VIA) {
        object.fault("name", "reserved", "this name is reserved", faults);
    }
    name
}

/// Takes the key `name`. With a fault it is what was given, so that others can still be compared with it.
pub(super) fn name(object: &mut Object, faults: &mut Faults) -> String {
    let before = faults.len();
    let name = object.text("name", faults);
    if name.is_none() && faults.len() == before {
        object.fault("name", "required", "is required", faults);
    }
    let name = name.unwrap_or_default();
    if faults.len() == before
        && let Some(reason) = bad_name(&name)
    {
        object.fault("name", "bad_name", reason, faults);
    }
    name
}

/// What is wrong with a name, if anything.
pub(super) fn bad_name(name: &str) -> Option<String> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let clean = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let max = limits::NAME_BYTES_MAX;
    (!begins || !clean || name.len() > max)
        .then(|| format!("a name has 1 to {max} characters of A-Z a-z 0-9 _ and doesn't begin with a digit"))
}

/// Whether a field's name or alias means something else in a record or an expression.
pub(super) fn is_reserved_in_records(name: &str) -> bool {
    RESERVED_KEYS.contains(&name) || WORDS.contains(&name)
}
