//! The fields of a definition: what all types have in common. The options of each type are `kinds`.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::id::FieldId;
use crate::limits;
use crate::model::faults::Faults;
use crate::model::json;
use crate::model::pipeline;
use crate::model::schema::{Collection, DefaultValue, Field, FieldKind, Sanitizer, Schema};
use crate::model::value::Value;

use super::object::Object;
use super::{kinds, names};

/// Reads `fields` into the collection, in their order. Returns whether all stand there: one without a type is left out.
pub(super) fn read(schema: &Schema, object: &mut Object, collection: &mut Collection, faults: &mut Faults) -> bool {
    let items = object.list("fields", faults).unwrap_or_default();
    if items.len() > limits::FIELDS_MAX {
        object.fault("fields", "too_many", format!("has at most {} fields", limits::FIELDS_MAX), faults);
        return false;
    }
    let count = items.len();
    let mut taken = BTreeSet::new();
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("fields.{at}");
        let Json::Object(map) = item else {
            faults.add(path, "wrong_type", "must be an object");
            continue;
        };
        let id = FieldId(collection.last_field.0 + 1);
        if let Some(field) = field(schema, Object::new(map, path), collection, id, &mut taken, faults) {
            collection.fields.push(field);
            collection.last_field = id;
        }
    }
    collection.fields.len() == count
}

fn field(
    schema: &Schema,
    mut object: Object,
    collection: &Collection,
    id: FieldId,
    taken: &mut BTreeSet<String>,
    faults: &mut Faults,
) -> Option<Field> {
    for key in ["id", "system"] {
        if object.take(key).is_some() {
            object.fault(key, "read_only", "is set by the server", faults);
        }
    }
    let name = names::name(&mut object, faults);
    claim(&object, "name", &name, taken, faults);
    let aliases = aliases(&mut object, taken, faults);
    let required = object.flag("required", faults);
    let hidden = object.flag("hidden", faults);
    let default = object.take("default");
    let computed = computed(&mut object, default.is_some(), faults);
    // Without a type nothing is known of the options, so what is left of them is not looked at.
    let kind = kinds::read(schema, &collection.name, &mut object, required, faults)?;
    if required && matches!(kind, FieldKind::Autodate { .. }) {
        object.fault("required", "not_here", "an autodate is set by the server", faults);
    }
    if computed.is_some() && matches!(kind, FieldKind::Autodate { .. }) {
        object.fault("computed", "not_here", "an autodate is set by the server", faults);
    }
    let sanitize = sanitizers(&mut object, &kind, faults);
    let mut field = Field { id, name: name.into(), kind, required, hidden, default: None, aliases, sanitize, computed };
    if let Some(default) = default {
        field.default = default_value(&object, collection, &field, &default, faults);
    }
    object.finish(faults);
    Some(field)
}

/// Takes the expression of a computed field.
fn computed(object: &mut Object, has_default: bool, faults: &mut Faults) -> Option<Box<str>> {
    let text = object.text("computed", faults)?;
    if has_default {
        object.fault(
            "default",
            "not_here",
            "a computed field has a value at every write, so it needs no default",
            faults,
        );
    }
    Some(text.into())
}

/// Takes the other names.
fn aliases(object: &mut Object, taken: &mut BTreeSet<String>, faults: &mut Faults) -> Vec<Box<str>> {
    let names = object.texts("aliases", faults).unwrap_or_default();
    if names.len() > limits::ALIASES_MAX {
        object.fault("aliases", "too_many", format!("has at most {} names", limits::ALIASES_MAX), faults);
        return Vec::new();
    }
    for (at, alias) in names.iter().enumerate() {
        let key = format!("aliases.{at}");
        match names::bad_name(alias) {
            Some(reason) => object.fault(&key, "bad_name", reason, faults),
            None => claim(object, &key, alias, taken, faults),
        }
    }
    names.into_iter().map(Into::into).collect()
}

/// Notes a name or alias; one of another field is a fault.
fn claim(object: &Object, key: &str, name: &str, taken: &mut BTreeSet<String>, faults: &mut Faults) {
    if names::is_reserved_in_records(name) {
        object.fault(key, "reserved", format!("{name:?} means something else in a record or an expression"), faults);
    } else if !name.is_empty() && !taken.insert(name.to_owned()) {
        object.fault(key, "duplicate", format!("{name:?} is a name or alias already"), faults);
    }
}

/// The steps named, or by default: normal form C for a text, trimmed too for an e-mail address and a URL. What an editor
/// made is made harmless behind all others.
fn sanitizers(object: &mut Object, kind: &FieldKind, faults: &mut Faults) -> Vec<Sanitizer> {
    let usual: &[Sanitizer] = match kind {
        FieldKind::Text { .. } => &[Sanitizer::Nfc],
        FieldKind::Editor { .. } => &[Sanitizer::Nfc, Sanitizer::SafeHtml],
        FieldKind::Email {} | FieldKind::Url {} => &[Sanitizer::Trim, Sanitizer::Nfc],
        // Left in the object: an unknown setting of this type.
        _ => return Vec::new(),
    };
    let Some(words) = object.texts("sanitize", faults) else { return usual.to_vec() };
    let mut steps = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let step = match word.as_str() {
            "trim" => Sanitizer::Trim,
            "nfc" => Sanitizer::Nfc,
            "lower" => Sanitizer::Lower,
            "collapse" => Sanitizer::Collapse,
            "stripHtml" => Sanitizer::StripHtml,
            "safeHtml" => Sanitizer::SafeHtml,
            _ => {
                let message = "must be trim, nfc, lower, collapse, stripHtml or safeHtml";
                object.fault(&format!("sanitize.{at}"), "unknown_value", message, faults);
                continue;
            }
        };
        if steps.contains(&step) {
            object.fault(&format!("sanitize.{at}"), "duplicate", "stands in the list twice", faults);
        } else {
            steps.push(step);
        }
    }
    if let FieldKind::Editor { .. } = kind {
        steps.retain(|step| *step != Sanitizer::SafeHtml);
        steps.push(Sanitizer::SafeHtml);
    }
    steps
}

/// The default: an expression where it is a text that begins with @ or `{"expr": "…"}`, else a value, read as the field
/// reads its input, and kept as the JSON of what came of it.
fn default_value(
    object: &Object,
    collection: &Collection,
    field: &Field,
    default: &Json,
    faults: &mut Faults,
) -> Option<DefaultValue> {
    if let FieldKind::Autodate { .. } = field.kind {
        object.fault("default", "not_here", "an autodate has no default", faults);
        return None;
    }
    match (default, &field.kind) {
        (Json::String(text), FieldKind::Date { .. }) if text == "@now" => return Some(DefaultValue::Now),
        (Json::String(text), _) if text.starts_with('@') => {
            return Some(DefaultValue::Expression(text.as_str().into()));
        }
        // In json an object is a value.
        (_, FieldKind::Json { .. }) => {}
        (Json::Object(map), _) => {
            if let (Some(Json::String(text)), 1) = (map.get("expr"), map.len()) {
                return Some(DefaultValue::Expression(text.as_str().into()));
            }
        }
        _ => {}
    }
    let path = object.path("default");
    let before = faults.len();
    let value = pipeline::parse(collection, field, &path, &default.to_string(), faults);
    if faults.len() > before {
        return None;
    }
    if field.required && pipeline::is_empty(&value) {
        object.fault("default", "required", "would leave a required field empty", faults);
    }
    as_json(&value).map(DefaultValue::Value)
}

fn as_json(value: &Value) -> Option<Json> {
    let mut bytes = Vec::new();
    pipeline::write_value(value, &mut bytes);
    let text = json::checked_text(&bytes).ok()?;
    serde_json::from_str(text).ok()
}
