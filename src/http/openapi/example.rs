//! An example of what a JSON Schema describes: the schema's own where it has one, else the plainest value that fits.

use serde_json::{Map, Value as Json, json};

/// Properties of an object's example at most: beside those that are asked for.
const PROPERTIES: usize = 6;

/// An id of a record.
const ID: &str = "ID";

/// A value that fits `schema`. Of what stands in other schemas nothing is looked up.
pub(super) fn of(schema: &Json) -> Json {
    for key in ["example", "default"] {
        if let Some(own) = schema.get(key) {
            return own.clone();
        }
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(one) = schema["anyOf"].as_array().and_then(|all| all.first()) {
        return of(one);
    }
    let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
    match kind.as_str() {
        Some("string") => text(schema),
        Some("integer") => schema["minimum"].as_i64().filter(|least| *least > 1).map_or(json!(1), Json::from),
        Some("number") => schema["minimum"].as_f64().filter(|least| *least > 1.5).map_or(json!(1.5), Json::from),
        Some("boolean") => json!(true),
        Some("array") => list(schema),
        Some("object") => object(schema),
        _ => Json::Null,
    }
}

fn text(schema: &Json) -> Json {
    let words = match schema["format"].as_str() {
        Some("date-time") => "2001-02-28T12:30:00.000Z",
        Some("email") => "ada@example.com",
        Some("uri") => "https://example.com/",
        _ if schema["writeOnly"] == true => "correct horse 7",
        // Of a relation.
        _ if schema["description"].as_str().is_some_and(|said| said.starts_with("the id of")) => ID,
        _ => "text",
    };
    let least = schema["minLength"].as_u64().unwrap_or(0) as usize;
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX).try_into().unwrap_or(usize::MAX);
    let long: String = words.chars().cycle().take(words.len().max(least).min(most)).collect();
    json!(long)
}

fn list(schema: &Json) -> Json {
    match schema.get("items") {
        Some(items) if items.get("$ref").is_none() => json!([of(items)]),
        _ => json!([]),
    }
}

/// Those that are asked for, and some of the others that a client may give; each field by one of its names.
fn object(schema: &Json) -> Json {
    let texts =
        |list: &Json| list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    let mut asked: Vec<String> = texts(&schema["required"]);
    // "One of these is required": a field with other names.
    let choices = schema["allOf"].as_array().into_iter().flatten();
    asked.extend(choices.flat_map(|choice| texts(&choice["anyOf"][0]["required"])));
    let Some(properties) = schema["properties"].as_object() else { return json!({}) };
    let mut example = Map::new();
    for (name, inner) in properties {
        let is_plain = inner.is_object()
            && inner["readOnly"] != true
            && inner.get("pattern").is_none()
            && inner.get("$ref").is_none()
            && !["collectionId", "collectionName", "expand", "passwordConfirm"].contains(&name.as_str());
        let is_other_name = example.keys().any(|given| schema["dependentSchemas"][given]["properties"][name] == false);
        if !is_other_name && (asked.contains(name) || (is_plain && example.len() < PROPERTIES)) {
            example.insert(name.clone(), if name == "id" { json!(ID) } else { of(inner) });
        }
    }
    Json::Object(example)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_of_its_schema() {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "id": {"type": ["string", "null"], "pattern": "^$"},
            "name": {"type": "string", "minLength": 6},
            "kind": {"enum": ["bread", null]},
            "price": {"type": ["number", "null"], "minimum": 3},
            "labels": {"type": "array", "items": {"enum": ["rye"]}},
            "updated": {"type": "string", "readOnly": true, "not": {}},
            "at": {"type": "string", "description": "the id of a record of places"}, "place": {"type": "string"},
        }, "allOf": [{"anyOf": [{"required": ["at"]}, {"required": ["place"]}]}],
        "dependentSchemas": {"at": {"properties": {"place": false}}, "place": {"properties": {"at": false}}}});
        let expected = json!({"name": "textte", "kind": "bread", "price": 3.0, "labels": ["rye"], "at": "ID"});
        assert_eq!(of(&schema), expected);
        assert_eq!(of(&json!({"anyOf": [{"type": "integer"}, {"type": "null"}]})), json!(1));
    }
}
