//! A record of `_handlers` read against a schema: each fault with its field, and in an expression with its column.

use serde_json::Value as Json;

use super::{Actions, Deed, Edge, Handler, Setting, Source, webhook};
use crate::error::Result;
use crate::limits;
use crate::model::command::Way;
use crate::model::compiled::fits;
use crate::model::expr::{Fault, Many, Program, Scalar, Scope, Type};
use crate::model::faults::Faults;
use crate::model::schema::{Collection, CollectionKind, Field, FieldKind, Schema};
use crate::model::value::{Fields, NULL, Value};

/// What stands in a definition beside what every handler has, by kinds.
const PARTICULAR: [(&str, &[&str]); 3] = [
    ("webhook", &["url", "secret", "headers", "timeout"]),
    ("collection", &["target", "set", "key"]),
    ("cache", &["patterns"]),
];

/// A record of one of the server's own collections, by the names of its fields.
#[derive(Clone, Copy)]
pub(in crate::model) struct Stored<'a> {
    pub(in crate::model) own: &'a Collection,
    pub(in crate::model) fields: &'a Fields,
}

impl<'a> Stored<'a> {
    pub(in crate::model) fn get(self, name: &str) -> &'a Value {
        self.own.field(name).map_or(&NULL, |field| self.fields.get(field.id))
    }

    /// A text that is not empty.
    pub(in crate::model) fn text(self, name: &str) -> Option<&'a str> {
        self.get(name).as_text().filter(|text| !text.is_empty())
    }

    /// What a `json` field holds; it was well-formed when it was stored.
    pub(in crate::model) fn json(self, name: &str) -> Option<Json> {
        match self.get(name) {
            Value::Json(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }
}

impl Handler {
    /// Reads a record of `own`, which is `_handlers`.
    ///
    /// # Errors
    /// `Invalid` with all faults.
    pub fn read(schema: &Schema, own: &Collection, fields: &Fields) -> Result<Handler> {
        let stored = Stored { own, fields };
        let mut faults = Faults::default();
        let kind = stored.text("kind").unwrap_or_default();
        for (_, names) in PARTICULAR.iter().filter(|(other, _)| *other != kind) {
            for name in names.iter().filter(|name| !stored.get(name).is_null()) {
                faults.add(*name, "not_here", format!("is not for a handler of the kind {kind}"));
            }
        }
        let collections = sources(schema, stored, &mut faults);
        let mut sources: Vec<Source> = collections
            .iter()
            .map(|collection| {
                let filter = stored
                    .text("filter")
                    .and_then(|text| expression(schema, collection, "filter", text, Program::condition, &mut faults));
                Source { collection: collection.id, filter, key: None, sets: Vec::new() }
            })
            .collect();
        let deed = match kind {
            "webhook" => webhook::Said::by(stored).read(&mut faults).map(Deed::Webhook),
            "collection" => writing(schema, stored, &collections, &mut sources, &mut faults).map(Deed::Collection),
            _ => Some(Deed::Cache(patterns(stored, &mut faults))),
        };
        faults.into_result("the handler has faults")?;
        // Where there is none, a fault says why.
        let deed = deed.unwrap_or_else(|| Deed::Cache(Vec::new()));
        Ok(Handler {
            name: stored.text("name").unwrap_or_default().into(),
            enabled: is_enabled(own, fields),
            actions: actions(stored),
            sources,
            deed,
        })
    }
}

/// Whether a record of `own`, which is `_handlers`, is to be carried out.
pub fn is_enabled(own: &Collection, fields: &Fields) -> bool {
    *Stored { own, fields }.get("enabled") != Value::Bool(false)
}

impl Edge {
    /// Of a record of `own`, which is `_handlers`; `None` for one of another kind.
    pub fn of(own: &Collection, fields: &Fields) -> Option<Edge> {
        let stored = Stored { own, fields };
        if stored.text("kind") != Some("collection") {
            return None;
        }
        let from = match stored.json("collections") {
            Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(Box::from).collect(),
            _ => Vec::new(),
        };
        Some(Edge { from, to: stored.text("target")?.into() })
    }
}

fn actions(stored: Stored<'_>) -> Actions {
    let chosen = stored.get("actions").each();
    let wants = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one.as_text() == Some(name));
    Actions { create: wants("create"), update: wants("update"), delete: wants("delete") }
}

/// The collections whose changes are wanted.
fn sources<'a>(schema: &'a Schema, stored: Stored<'_>, faults: &mut Faults) -> Vec<&'a Collection> {
    let items = match stored.json("collections") {
        Some(Json::Array(items)) if !items.is_empty() => items,
        _ => {
            faults.add("collections", "invalid", "is a list of names of collections, at least one");
            return Vec::new();
        }
    };
    if items.len() > limits::HANDLER_COLLECTIONS_MAX {
        faults.add("collections", "too_many", format!("has at most {}", limits::HANDLER_COLLECTIONS_MAX));
        return Vec::new();
    }
    let mut found: Vec<&Collection> = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let path = format!("collections.{at}");
        match item.as_str().map(|name| named(schema, name)) {
            None => faults.add(path, "invalid", "is the name of a collection"),
            Some(None) => faults.add(path, "unknown_collection", "there is no such collection"),
            Some(Some(one)) if one.id.is_own() => {
                faults.add(path, "not_here", "the server's own collections tell no handler");
            }
            Some(Some(one)) if found.iter().any(|other| other.id == one.id) => {
                faults.add(path, "duplicate", "stands in the list twice");
            }
            Some(Some(one)) => found.push(one),
        }
    }
    found
}

/// By name only: what a handler names stays what it is when collections come and go.
pub(in crate::model) fn named<'a>(schema: &'a Schema, name: &str) -> Option<&'a Collection> {
    schema.find(name).map(|found| &**found).filter(|found| *found.name == *name)
}

pub(in crate::model) type Compile = fn(Scope<'_>, &str) -> Result<Program, Fault>;

/// Compiles an expression of a handler, or a job, for one of its collections.
pub(in crate::model) fn expression(
    schema: &Schema,
    collection: &Collection,
    path: &str,
    text: &str,
    compile: Compile,
    faults: &mut Faults,
) -> Option<Program> {
    let scope = Scope { schema, collection, callers: schema.callers(), sees_hidden: true };
    let compiled = compile(scope, text).and_then(|program| {
        if program.uses().request {
            return Err(Fault::new(0, "it is carried out for no request: there is nothing of one to look at"));
        }
        Ok(program)
    });
    match compiled {
        Ok(program) => Some(program),
        Err(fault) => {
            flawed(collection, path, &fault, faults);
            None
        }
    }
}

pub(in crate::model) fn flawed(collection: &Collection, path: &str, fault: &Fault, faults: &mut Faults) {
    let message = format!("column {}: {} (of {})", fault.at + 1, fault.message, collection.name);
    faults.add(path, "bad_expression", message);
}

/// What a handler writes: its target, and for each source the expressions.
fn writing(
    schema: &Schema,
    stored: Stored<'_>,
    collections: &[&Collection],
    sources: &mut [Source],
    faults: &mut Faults,
) -> Option<crate::id::CollectionId> {
    let target = target(schema, stored, faults);
    let sets = match stored.json("set") {
        Some(Json::Object(sets)) if !sets.is_empty() => sets,
        _ => {
            faults.add("set", "required", "is an object of fields of the target, each with an expression");
            return None;
        }
    };
    let target = target?;
    let mut seen = Vec::with_capacity(sets.len());
    for (name, text) in &sets {
        let path = format!("set.{name}");
        let Some(text) = text.as_str() else {
            faults.add(path, "invalid", "is an expression, as a text");
            continue;
        };
        let Some((field, way)) = field(target, name, &path, faults) else { continue };
        if seen.contains(&field.id) {
            faults.add(path, "duplicate", "is set in two ways");
            continue;
        }
        seen.push(field.id);
        for (source, collection) in sources.iter_mut().zip(collections) {
            let Some(program) = expression(schema, collection, &path, text, Program::value_of, faults) else {
                continue;
            };
            if takes(field, way, program.is()) {
                source.sets.push(Setting { field: field.id, way, program });
            } else {
                let message =
                    format!("gives {}, which doesn't go into the {} {}", program.is(), field.kind.name(), field.name);
                flawed(collection, &path, &Fault::new(0, message), faults);
            }
        }
    }
    for (source, collection) in sources.iter_mut().zip(collections) {
        let Some(text) = stored.text("key") else { continue };
        let program = expression(schema, collection, "key", text, Program::value_of, faults);
        let is_id = |is: Type| is.many == Many::One && matches!(is.of, Scalar::Text | Scalar::Any);
        if let Some(other) = program.as_ref().map(Program::is).filter(|is| !is_id(*is)) {
            flawed(collection, "key", &Fault::new(0, format!("gives {other}, and an id is a text")), faults);
        }
        source.key = program;
    }
    Some(target.id)
}

fn target<'a>(schema: &'a Schema, stored: Stored<'_>, faults: &mut Faults) -> Option<&'a Collection> {
    let Some(name) = stored.text("target") else {
        faults.add("target", "required", "is the name of the collection that is written into");
        return None;
    };
    match named(schema, name) {
        None => faults.add("target", "unknown_collection", "there is no such collection"),
        Some(found) if found.id.is_own() || found.kind != CollectionKind::Base => {
            faults.add("target", "not_here", "a handler writes into no auth collection and none of the server's own");
        }
        found => return found,
    }
    None
}

/// What a key of `set` names: a field, `field+`, `+field` or `field-`.
pub(in crate::model) fn field<'a>(
    target: &'a Collection,
    name: &str,
    path: &str,
    faults: &mut Faults,
) -> Option<(&'a Field, Option<Way>)> {
    let (plain, way) = match (name.strip_suffix('+'), name.strip_prefix('+'), name.strip_suffix('-')) {
        (Some(plain), ..) => (plain, Some(Way::Add)),
        (_, Some(plain), _) => (plain, Some(Way::Prepend)),
        (.., Some(plain)) => (plain, Some(Way::Take)),
        _ => (name, None),
    };
    match target.field(plain) {
        None => faults.add(path, "unknown_field", format!("{} has no such field", target.name)),
        Some(field) if field.is_set_by_server() || field.is_secret() => {
            faults.add(path, "read_only", "is set by the server alone");
        }
        Some(field) if way.is_some() && !matches!(field.kind, FieldKind::Number { .. }) && !field.kind.is_list() => {
            faults.add(path, "not_here", "only numbers and lists are added to and taken from");
        }
        Some(field) => return Some((field, way)),
    }
    None
}

/// Whether a value of that type goes into the field.
pub(in crate::model) fn takes(field: &Field, way: Option<Way>, is: Type) -> bool {
    let one_of_list = way.is_some() && field.kind.is_list() && is.many == Many::One;
    fits(&field.kind, is) || one_of_list && matches!(is.of, Scalar::Text | Scalar::Any)
}

fn patterns(stored: Stored<'_>, faults: &mut Faults) -> Vec<Box<str>> {
    let Some(Json::Array(items)) = stored.json("patterns") else {
        faults.add("patterns", "required", "is a list of patterns, such as orders/*");
        return Vec::new();
    };
    if items.is_empty() || items.len() > limits::HANDLER_PATTERNS_MAX {
        faults.add("patterns", "invalid", format!("has 1 to {} patterns", limits::HANDLER_PATTERNS_MAX));
        return Vec::new();
    }
    let mut patterns = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        match item.as_str().filter(|text| !text.is_empty()) {
            Some(text) => patterns.push(text.into()),
            None => faults.add(format!("patterns.{at}"), "invalid", "is a text, such as orders/* or orders/ID"),
        }
    }
    patterns
}
