//! What a collection is searched by, read from names and kept as ids.

use serde_json::{Map, Value as Json, json};

use crate::id::FieldId;
use crate::limits;
use crate::model::faults::Faults;
use crate::model::schema::{Collection, Field};
use crate::model::search::{Language, Search, SearchField, is_facet, is_searchable};

use super::Built;
use super::format::number;
use super::object::Object;
use super::reading::Ids;

/// Reads `search` into the collection, whose fields are there already; null is none.
pub(super) fn read(object: &mut Object, ids: Ids, collection: &mut Collection, faults: &mut Faults) {
    collection.search = None;
    let Some(map) = object.object("search", faults) else { return };
    let mut search = Object::new(map, object.path("search"));
    // How far its index has come.
    for key in ["state", "progress", "error"] {
        if search.take(key).is_some() && ids == Ids::Refused {
            search.fault(key, "read_only", "is set by the server", faults);
        }
    }
    let map = search.object("fields", faults).unwrap_or_default();
    let mut fields = Object::new(map, search.path("fields"));
    let names = fields.keys();
    if names.is_empty() {
        search.fault("fields", "required", "has at least one field", faults);
    } else if names.len() > limits::SEARCH_FIELDS_MAX {
        let message = format!("has at most {} fields", limits::SEARCH_FIELDS_MAX);
        search.fault("fields", "too_many", message, faults);
    }
    let mut read = Search { fields: Vec::new(), facets: Vec::new() };
    for name in names.iter().take(limits::SEARCH_FIELDS_MAX) {
        read.fields.extend(one(&mut fields, name, collection, faults));
    }
    let facets = search.texts("facets", faults).unwrap_or_default();
    if facets.len() > limits::SEARCH_FACETS_MAX {
        search.fault("facets", "too_many", format!("has at most {} fields", limits::SEARCH_FACETS_MAX), faults);
    }
    for (at, name) in facets.iter().enumerate().take(limits::SEARCH_FACETS_MAX) {
        let key = format!("facets.{at}");
        match collection.field(name) {
            None => search.fault(&key, "unknown_field", "is not a field of this collection", faults),
            Some(field) if !is_facet(&field.kind) => {
                search.fault(&key, "not_here", "values of this type can't be counted", faults);
            }
            Some(field) if read.facets.contains(&field.id) => {
                search.fault(&key, "duplicate", "stands in the list twice", faults);
            }
            Some(field) => read.facets.push(field.id),
        }
    }
    search.finish(faults);
    collection.search = Some(read);
}

fn one(fields: &mut Object, name: &str, collection: &Collection, faults: &mut Faults) -> Option<SearchField> {
    let mut settings = Object::new(fields.object(name, faults)?, fields.path(name));
    let boost = settings.number("boost", faults).unwrap_or(1.0);
    if !(boost > 0.0 && boost <= limits::SEARCH_BOOST_MAX) {
        let message = format!("must be over 0 and at most {}", limits::SEARCH_BOOST_MAX);
        settings.fault("boost", "out_of_range", message, faults);
    }
    let language = settings.text("language", faults).and_then(|text| {
        let known = Language::of_name(&text);
        if known.is_none() {
            let names: Vec<&str> = Language::ALL.into_iter().map(|(name, _)| name).collect();
            let message = format!("must be one of {}; without one, words are taken as they stand", names.join(", "));
            settings.fault("language", "unknown_language", message, faults);
        }
        known
    });
    settings.finish(faults);
    match collection.field(name) {
        None => fields.fault(name, "unknown_field", "is not a field of this collection", faults),
        Some(field) if !is_searchable(&field.kind) => {
            fields.fault(name, "not_here", "there are no words in a field of this type", faults);
        }
        Some(field) => return Some(SearchField { field: field.id, boost, language }),
    }
    None
}

/// As a definition has it. `built` says how far its index has come, where that is not ready.
pub(super) fn format(collection: &Collection, search: &Search, built: Option<Built>) -> Json {
    let named = |id: FieldId| collection.field_by_id(id).map(|field: &Field| field.name.to_string());
    let mut fields = Map::new();
    for SearchField { field, boost, language } in &search.fields {
        let mut settings = Map::new();
        settings.insert("boost".to_owned(), number(Some(*boost)));
        if let Some(language) = language {
            settings.insert("language".to_owned(), json!(language.name()));
        }
        if let Some(name) = named(*field) {
            fields.insert(name, Json::Object(settings));
        }
    }
    let facets: Vec<String> = search.facets.iter().filter_map(|id| named(*id)).collect();
    let mut map = Map::new();
    map.insert("fields".to_owned(), Json::Object(fields));
    map.insert("facets".to_owned(), json!(facets));
    if let Some(Built { rows, of }) = built {
        map.insert("state".to_owned(), json!("building"));
        map.insert("progress".to_owned(), json!({"rows": rows, "of": of}));
    }
    Json::Object(map)
}
