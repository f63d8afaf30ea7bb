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
use super::reading::Ids;
use super::{kinds, names};

/// Reads `fields` into the collection, in their order. Returns whether all stand there: one without a type is left out.
pub(super) fn read(
    schema: &Schema,
    object: &mut Object,
    stored: Option<&Collection>,
    ids: Ids,
    collection: &mut Collection,
    faults: &mut Faults,
) -> bool {
    let items = object.list("fields", faults).unwrap_or_default();
    if items.len() > limits::FIELDS_MAX {
        object.fault("fields", "too_many", format!("has at most {} fields", limits::FIELDS_MAX), faults);
        return false;
    }
    let count = items.len();
    let mut objects = Vec::with_capacity(count);
    for (at, item) in items.into_iter().enumerate() {
        let path = object.path(&format!("fields.{at}"));
        match item {
            Json::Object(map) => objects.push(Object::new(map, path)),
            _ => faults.add(path, "wrong_type", "must be an object"),
        }
    }
    let known = identities(&mut objects, stored, ids, faults);
    let mut taken = BTreeSet::new();
    collection.last_field = known.iter().flatten().fold(collection.last_field, |last, id| last.max(*id));
    for (object, id) in objects.into_iter().zip(known) {
        let id = id.unwrap_or(FieldId(collection.last_field.0 + 1));
        if let Some(field) = field(schema, object, collection, id, &mut taken, faults) {
            collection.last_field = collection.last_field.max(id);
            collection.fields.push(field);
        }
    }
    collection.fields.len() == count
}

/// Which field each is: the stored one with the id that it names, or if it names none, with its name. `None` for one
/// that is new.
fn identities(
    objects: &mut [Object],
    stored: Option<&Collection>,
    ids: Ids,
    faults: &mut Faults,
) -> Vec<Option<FieldId>> {
    let mut known: Vec<Option<FieldId>> = Vec::with_capacity(objects.len());
    for object in &mut *objects {
        let id = match ids {
            Ids::Refused if object.take("id").is_some() => {
                object.fault("id", "read_only", "is set by the server", faults);
                None
            }
            Ids::Refused => None,
            Ids::Known | Ids::Brought => named_id(object, stored, ids, faults),
        };
        if id.is_some() && known.contains(&id) {
            object.fault("id", "duplicate", "is the id of another field here", faults);
            known.push(None);
        } else {
            known.push(id);
        }
    }
    for at in 0..objects.len() {
        let same = stored.zip(objects[at].peek_text("name")).and_then(|(stored, name)| stored.field(name));
        if let Some(same) = same.map(|field| Some(field.id))
            && known[at].is_none()
            && !known.contains(&same)
        {
            known[at] = same;
        }
    }
    known
}

/// The id that a field names.
fn named_id(object: &mut Object, stored: Option<&Collection>, ids: Ids, faults: &mut Faults) -> Option<FieldId> {
    let text = object.text("id", faults)?;
    let id = text.parse().ok().map(FieldId).filter(|id| id.to_string() == text);
    let is_stored = |id: &FieldId| stored.is_some_and(|stored| stored.field_by_id(*id).is_some());
    // Not so far ahead that ids could run out.
    let fresh = stored.map_or(0, |stored| stored.last_field.0);
    let is_fresh = |id: &FieldId| id.0 > fresh && id.0 - fresh <= limits::FIELD_IDS_AHEAD_MAX;
    match id {
        Some(id) if is_stored(&id) => Some(id),
        Some(id) if ids == Ids::Brought => Some(id).filter(is_fresh),
        _ if ids == Ids::Brought => None,
        _ => {
            object.fault("id", "unknown_field", "is the id of no field; a new one gets its id from the server", faults);
            None
        }
    }
}

fn field(
    schema: &Schema,
    mut object: Object,
    collection: &Collection,
    id: FieldId,
    taken: &mut BTreeSet<String>,
    faults: &mut Faults,
) -> Option<Field> {
    if object.take("system").is_some() {
        object.fault("system", "read_only", "is set by the server", faults);
    }
    let name = names::name(&mut object, faults);
    claim(&object, "name", &name, taken, faults);
    let aliases = aliases(&mut object, taken, faults);
    let required = object.flag("required", faults);
    let hidden = object.flag("hidden", faults);
    let default = object.take("default");
    let computed = computed(&mut object, default.is_some(), faults);
    // Without a type nothing is known of the options, so what is left of them is not looked at.
    let kind = kinds::read(schema, collection, &mut object, required, faults)?;
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
