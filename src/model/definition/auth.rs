//! Auth collections: the fields that each of them has, and how long its tokens are good.
//!
//! Invariant: an auth collection has `email`, `password`, `verified` and `tokenKey`, each of its own type, whatever its
//! definition says of them; no field of another one's is a secret, but of the server's own collections.

use serde_json::{Map, Value as Json, json};

use crate::limits;
use crate::model::faults::Faults;
use crate::model::schema::{AuthToken, Collection, CollectionKind};

use super::object::Object;

/// What a body may say beside `password`; no field of an auth collection has such a name.
pub(crate) const BESIDE_PASSWORD: [&str; 2] = ["passwordConfirm", "oldPassword"];

/// The fields, with what a definition may say of each beside its name and type.
const FIELDS: [(&str, &str, &[&str]); 4] = [
    ("email", "email", &["required", "hidden", "aliases", "sanitize"]),
    ("password", "password", &["required", "hidden", "min", "max"]),
    ("verified", "bool", &["required", "hidden", "default"]),
    ("tokenKey", "secret", &["required", "hidden"]),
];

/// Whether a field is one that the server gives every auth collection.
pub(super) fn is_own(collection: &Collection, name: &str) -> bool {
    collection.kind == CollectionKind::Auth && FIELDS.iter().any(|(own, ..)| *own == name)
}

/// Makes `fields` of an auth collection whole: those that the definition doesn't name come last. Over a `stored` definition a
/// body without `fields` leaves them as they are.
pub(super) fn complete(object: &mut Object, kind: CollectionKind, stored: bool, faults: &mut Faults) {
    if kind == CollectionKind::Base || stored && !object.has("fields") {
        return;
    }
    // What is no list is a fault where the fields are read.
    match object.take("fields").unwrap_or_else(|| json!([])) {
        Json::Array(items) => {
            let whole = all_fields(object, items, faults);
            object.put("fields", Json::Array(whole));
        }
        other => object.put("fields", other),
    }
}

/// Takes `authToken`.
pub(super) fn token(object: &mut Object, kind: CollectionKind, faults: &mut Faults) -> Option<AuthToken> {
    if kind == CollectionKind::Base {
        if object.take("authToken").is_some() {
            object.fault("authToken", "not_here", "is for auth collections", faults);
        }
        return None;
    }
    let map = object.object("authToken", faults)?;
    let mut token = Object::new(map, object.path("authToken"));
    let max = usize::try_from(limits::TOKEN_SECONDS_MAX).unwrap_or(usize::MAX);
    let before = faults.len();
    let duration = token.count("duration", max, faults);
    if faults.len() == before && duration.is_none_or(|seconds| seconds == 0) {
        token.fault("duration", "required", "is a number of seconds, from 1", faults);
    }
    token.finish(faults);
    duration.map(|seconds| AuthToken { duration: seconds as u64 })
}

/// The given fields, in their places, and behind them those that every auth collection has.
fn all_fields(object: &Object, items: Vec<Json>, faults: &mut Faults) -> Vec<Json> {
    let mut whole = Vec::with_capacity(items.len() + FIELDS.len());
    let unnamed = FIELDS.iter().filter(|(name, ..)| !items.iter().any(|item| is_named(item, name)));
    let usual: Vec<Json> = unnamed.map(|(name, kind, _)| Json::Object(settings(Map::new(), name, kind))).collect();
    for (at, item) in items.into_iter().enumerate() {
        let own = FIELDS.iter().find(|(name, ..)| is_named(&item, name));
        whole.push(match (own, item) {
            (Some((name, kind, known)), Json::Object(map)) => {
                let path = object.path(&format!("fields.{at}"));
                let own = Object::new(Map::new(), path);
                if map.get("type").is_some_and(|given| given != kind) {
                    own.fault(
                        "type",
                        "not_here",
                        format!("{name} of an auth collection is of the type {kind}"),
                        faults,
                    );
                }
                let also = ["id", "name", "type", "system"];
                for key in map.keys().filter(|key| !also.contains(&key.as_str()) && !known.contains(&key.as_str())) {
                    own.fault(key, "not_here", "can't be said of a field that every auth collection has", faults);
                }
                // Which one it is, where that may be said; that it is the server's is so in any case.
                let kept = |key: &str| known.contains(&key) || key == "id";
                let known = map.into_iter().filter(|(key, _)| kept(key)).collect();
                Json::Object(settings(known, name, kind))
            }
            (_, item) => {
                for name in BESIDE_PASSWORD {
                    if is_named(&item, name) {
                        let path = object.path(&format!("fields.{at}.name"));
                        faults.add(path, "reserved", format!("{name:?} stands beside a password"));
                    }
                }
                item
            }
        });
    }
    whole.extend(usual);
    whole
}

fn is_named(item: &Json, name: &str) -> bool {
    item.get("name").and_then(Json::as_str) == Some(name)
}

/// What is not said of the field, as it usually is; what can't be otherwise, as it is.
fn settings(mut map: Map<String, Json>, name: &str, kind: &str) -> Map<String, Json> {
    map.insert("name".to_owned(), json!(name));
    map.insert("type".to_owned(), json!(kind));
    match name {
        "email" => {
            map.entry("required").or_insert(json!(true));
            map.entry("sanitize").or_insert(json!(["trim", "nfc", "lower"]));
        }
        // A record without one can't be asked for one.
        "password" => {
            map.insert("required".to_owned(), json!(true));
            map.remove("hidden");
        }
        "verified" => {
            map.remove("required");
            map.insert("default".to_owned(), json!(false));
        }
        _ => {
            map.remove("required");
            map.insert("hidden".to_owned(), json!(true));
        }
    }
    map
}

/// Notes secrets where there can be none.
pub(super) fn check(collection: &Collection, own: bool, path: &str, faults: &mut Faults) {
    for (at, field) in collection.fields.iter().enumerate().filter(|(_, field)| field.is_secret()) {
        if !own && !is_own(collection, &field.name) {
            let message = "only an auth collection has one, under its own name";
            faults.add(format!("{path}.{at}.type"), "not_here", message);
        }
    }
}
