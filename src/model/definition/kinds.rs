//! The options of each field type.

use std::collections::BTreeSet;

use crate::limits;
use crate::model::faults::Faults;
use crate::model::pattern::Pattern;
use crate::model::schema::{Collection, FieldKind, OnDelete, Schema};
use crate::time::Millis;

use super::object::Object;

/// Takes `type` and the options of that type. `own` is the collection being defined.
pub(super) fn read(
    schema: &Schema,
    own: &Collection,
    object: &mut Object,
    required: bool,
    faults: &mut Faults,
) -> Option<FieldKind> {
    let before = faults.len();
    let name = object.text("type", faults);
    let kind = match name.as_deref() {
        Some("text") => text(object, faults),
        Some("number") => number(object, faults),
        Some("bool") => FieldKind::Bool {},
        Some("date") => date(object, faults),
        Some("autodate") => autodate(object, faults),
        Some("select") => select(object, faults),
        Some("relation") => relation(schema, own, object, required, faults),
        Some("json") => FieldKind::Json { max_size: object.count("maxSize", limits::RECORD_BYTES_MAX, faults) },
        Some("email") => FieldKind::Email {},
        Some("url") => FieldKind::Url {},
        Some("editor") => FieldKind::Editor { max: object.count("max", limits::RECORD_BYTES_MAX, faults) },
        Some("geoPoint") => FieldKind::GeoPoint {},
        Some("password") => password(object, faults),
        Some("secret") => FieldKind::Secret {},
        Some("file") => {
            object.fault("type", "not_known_yet", "this type is not known yet", faults);
            return None;
        }
        Some(_) => {
            let known = "text, editor, number, bool, date, autodate, select, relation, json, geoPoint, email or url";
            object.fault("type", "unknown_type", format!("must be {known}"), faults);
            return None;
        }
        None => {
            if faults.len() == before {
                object.fault("type", "required", "is required", faults);
            }
            return None;
        }
    };
    Some(kind)
}

fn text(object: &mut Object, faults: &mut Faults) -> FieldKind {
    let min = object.count("min", limits::RECORD_BYTES_MAX, faults);
    let max = object.count("max", limits::RECORD_BYTES_MAX, faults);
    if min.unwrap_or(0) > max.unwrap_or(limits::TEXT_CHARS_DEFAULT_MAX) {
        object.fault("min", "out_of_range", "is over max", faults);
    }
    let pattern = match object.text("pattern", faults).map(|text| Pattern::new(&text)) {
        None => None,
        Some(Ok(pattern)) => Some(pattern),
        Some(Err(reason)) => {
            object.fault("pattern", "bad_pattern", reason, faults);
            None
        }
    };
    FieldKind::Text { min, max, pattern }
}

fn password(object: &mut Object, faults: &mut Faults) -> FieldKind {
    let min = object.count("min", limits::PASSWORD_CHARS_MAX, faults);
    let max = object.count("max", limits::PASSWORD_CHARS_MAX, faults);
    if min == Some(0) {
        object.fault("min", "out_of_range", "must be at least 1", faults);
    }
    if min.unwrap_or(limits::PASSWORD_CHARS_MIN) > max.unwrap_or(limits::PASSWORD_CHARS_MAX) {
        object.fault("min", "out_of_range", "is over max", faults);
    }
    FieldKind::Password { min, max }
}

fn number(object: &mut Object, faults: &mut Faults) -> FieldKind {
    let integer = object.flag("integer", faults);
    let min = object.number("min", faults);
    let max = object.number("max", faults);
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        object.fault("min", "out_of_range", "is over max", faults);
    }
    FieldKind::Number { integer, min, max }
}

fn date(object: &mut Object, faults: &mut Faults) -> FieldKind {
    let mut bound = |key: &str| {
        let at = Millis::parse(&object.text(key, faults)?);
        if at.is_none() {
            object.fault(key, "not_a_date", "must be a date that exists", faults);
        }
        at
    };
    let (min, max) = (bound("min"), bound("max"));
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        object.fault("min", "out_of_range", "is after max", faults);
    }
    FieldKind::Date { min, max }
}

fn autodate(object: &mut Object, faults: &mut Faults) -> FieldKind {
    let on_create = object.flag("onCreate", faults);
    let on_update = object.flag("onUpdate", faults);
    if !on_create && !on_update {
        object.fault("onCreate", "required", "onCreate or onUpdate must be true", faults);
    }
    FieldKind::Autodate { on_create, on_update }
}

fn select(object: &mut Object, faults: &mut Faults) -> FieldKind {
    let values = object.texts("values", faults).unwrap_or_default();
    if values.is_empty() {
        object.fault("values", "required", "is a list of at least one text", faults);
    }
    if values.len() > limits::SELECT_VALUES_MAX {
        object.fault("values", "too_many", format!("has at most {} texts", limits::SELECT_VALUES_MAX), faults);
    }
    let mut seen = BTreeSet::new();
    for (at, value) in values.iter().enumerate().take(limits::SELECT_VALUES_MAX) {
        let key = format!("values.{at}");
        if value.is_empty() {
            object.fault(&key, "required", "is empty; null says that nothing is chosen", faults);
        } else if value.len() > limits::INDEXED_TEXT_BYTES_MAX {
            let message = format!("has at most {} bytes", limits::INDEXED_TEXT_BYTES_MAX);
            object.fault(&key, "too_long", message, faults);
        } else if !seen.insert(value) {
            object.fault(&key, "duplicate", "stands in the list twice", faults);
        }
    }
    let (max_select, min_select) = selects(object, faults);
    FieldKind::Select { values: values.into_iter().map(Into::into).collect(), max_select, min_select }
}

fn relation(schema: &Schema, own: &Collection, object: &mut Object, required: bool, faults: &mut Faults) -> FieldKind {
    let before = faults.len();
    // PocketBase's clients call it so.
    let name = if object.has("collectionId") && !object.has("collection") { "collectionId" } else { "collection" };
    let target = object.text(name, faults);
    let collection = match target.as_deref() {
        Some(name) if name == &*own.name => Some(own.id),
        Some(name) => schema.find(name).map(|collection| collection.id),
        None => None,
    };
    if collection.is_none() && faults.len() == before {
        match target {
            Some(_) => object.fault(name, "unknown_collection", "there is no such collection", faults),
            None => object.fault("collection", "required", "is required", faults),
        }
    }
    let (max_select, min_select) = selects(object, faults);
    let on_delete = match object.text("onDelete", faults).as_deref() {
        None | Some("restrict") => OnDelete::Restrict,
        Some("cascade") => OnDelete::Cascade,
        Some("setNull") => {
            if required || min_select > 0 {
                object.fault("onDelete", "set_null_required", "setNull would leave a required field empty", faults);
            }
            OnDelete::SetNull
        }
        Some(_) => {
            object.fault("onDelete", "unknown_value", "must be restrict, cascade or setNull", faults);
            OnDelete::Restrict
        }
    };
    FieldKind::Relation { collection: collection.unwrap_or_default(), max_select, min_select, on_delete }
}

/// `maxSelect` and `minSelect`.
fn selects(object: &mut Object, faults: &mut Faults) -> (usize, usize) {
    let max = object.count("maxSelect", limits::LIST_ITEMS_MAX, faults).unwrap_or(1);
    let min = object.count("minSelect", limits::LIST_ITEMS_MAX, faults).unwrap_or(0);
    if max == 0 {
        object.fault("maxSelect", "out_of_range", "must be at least 1", faults);
    } else if max == 1 && min > 0 {
        object.fault("minSelect", "not_here", "is for lists; a single value may be required", faults);
    } else if min > max {
        object.fault("minSelect", "out_of_range", "is over maxSelect", faults);
    }
    (max, min)
}
