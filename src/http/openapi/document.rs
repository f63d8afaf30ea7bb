//! The OpenAPI 3.1 document, put together: a path for each call, with `{collection}` in it and, of those that are about
//! records, once more for each collection by its name, with its own schemas.

use serde_json::{Map, Value as Json, json};

use super::calls::{CALLS, COMPONENTS, Call, Of};
use super::example;
use crate::service::described::Described;

/// Refusals that any call may have, those of calls that need a caller, of calls with a body, and of writes.
const OF_ALL: [u16; 5] = [400, 406, 429, 500, 503];
const OF_CALLERS: [u16; 2] = [401, 403];
const OF_BODIES: [u16; 3] = [408, 413, 415];
const OF_WRITES: [u16; 2] = [421, 507];

const ABOUT: &str = "Typed records over HTTP, kept in a write log that is the database. Bodies are JSON; refusals are \
problem+json with all faults of a request in one answer, each at its field. A write is answered once it is on disk; \
`Millpond-Seq` is its position.";

/// The document, with these collections in it.
pub(super) fn document(described: &[Described]) -> Json {
    let mut paths: Map<String, Json> = Map::new();
    let mut add = |path: String, method: &str, operation: Json| {
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method.to_lowercase()] = operation;
    };
    for call in CALLS.iter() {
        add(call.path.clone(), &call.method, operation(call, None));
    }
    for collection in described {
        for call in CALLS.iter().filter(|call| call.is_of(collection)) {
            let path = call.path.replace("{collection}", &collection.name);
            add(path, &call.method, operation(call, Some(collection)));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Millpond", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT, "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": tags(described),
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": COMPONENTS.security_schemes,
            "parameters": parameters(),
            "headers": COMPONENTS.headers,
            "responses": refusals(),
            "schemas": schemas(described),
        },
    })
}

impl Call {
    fn is_of(&self, collection: &Described) -> bool {
        match self.said.of {
            Some(Of::Any) => true,
            Some(Of::Auth) => collection.is_auth,
            None => false,
        }
    }

    fn writes(&self) -> bool {
        self.method != "GET" && !self.said.open
    }
}

fn tags(described: &[Described]) -> Vec<Json> {
    let mut names: Vec<&str> = Vec::new();
    for call in CALLS.iter() {
        if !names.contains(&call.said.tag.as_str()) {
            names.push(&call.said.tag);
        }
    }
    let own =
        described.iter().map(|one| json!({"name": &one.name, "description": format!("Records of {}.", one.name)}));
    names.into_iter().map(|name| json!({"name": name})).chain(own).collect()
}

/// A name in `components`: letters, digits, `.`, `-` and `_`, as names of collections are.
fn part(collection: &Described, kind: &str) -> String {
    format!("{}.{kind}", collection.name)
}

fn reference(kind: &str, name: &str) -> Json {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn parameters() -> Map<String, Json> {
    let named = |(name, said): (&String, &Json)| {
        let mut whole = said.clone();
        whole["name"] = json!(name);
        (name.clone(), whole)
    };
    COMPONENTS.parameters.iter().map(named).collect()
}

fn refusals() -> Map<String, Json> {
    let response = |(status, said): (&String, &Json)| {
        let mut whole =
            json!({"description": said[0], "headers": {"X-Request-Id": reference("headers", "X-Request-Id")}});
        if let Some(code) = said[1].as_str() {
            let number: u16 = status.parse().unwrap_or_default();
            let title = axum::http::StatusCode::from_u16(number).ok().and_then(|status| status.canonical_reason());
            let problem = json!({
                "type": "about:blank", "title": title, "status": number, "detail": said[2], "code": code,
                "requestId": "7gbpbkxm0000000000002", "message": said[2], "data": said[3],
            });
            whole["content"] =
                json!({"application/problem+json": {"schema": reference("schemas", "Problem"), "example": problem}});
        }
        if ["429", "503", "409"].contains(&status.as_str()) {
            whole["headers"]["Retry-After"] = reference("headers", "Retry-After");
        }
        (status.clone(), whole)
    };
    COMPONENTS.refusals.iter().map(response).collect()
}

fn schemas(described: &[Described]) -> Map<String, Json> {
    let mut schemas = COMPONENTS.schemas.clone();
    for collection in described {
        schemas.insert(part(collection, "record"), collection.record.clone());
        schemas.insert(part(collection, "create"), bare(&collection.create));
        schemas.insert(part(collection, "patch"), patch(&collection.create));
    }
    schemas
}

/// A schema inside of the document, where it has no address of its own.
fn bare(schema: &Json) -> Json {
    let mut schema = schema.clone();
    if let Some(map) = schema.as_object_mut() {
        map.shift_remove("$id");
        map.shift_remove("$schema");
    }
    schema
}

/// What changes a record, from what makes one: nothing is asked for, null takes away, `+` and `-` add and take.
fn patch(create: &Json) -> Json {
    let mut properties = create["properties"].as_object().cloned().unwrap_or_default();
    properties.shift_remove("id");
    let changed: Vec<String> =
        properties.iter().filter(|(_, shape)| is_countable(shape)).map(|(name, _)| name.clone()).collect();
    for name in changed {
        for changing in [format!("{name}+"), format!("+{name}"), format!("{name}-")] {
            properties.insert(changing, json!({"description": format!("adds to or takes from {name}")}));
        }
    }
    if let Some(password) = properties.get("password").filter(|shape| shape["writeOnly"] == true).cloned() {
        properties.insert("oldPassword".to_owned(), password);
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn is_countable(shape: &Json) -> bool {
    let kinds = shape["type"].as_array().cloned().unwrap_or_else(|| vec![shape["type"].clone()]);
    shape["readOnly"] != true
        && kinds.iter().any(|kind| ["number", "integer", "array"].iter().any(|known| kind == known))
}

fn operation(call: &Call, of: Option<&Described>) -> Json {
    let said = &call.said;
    let mut whole = Map::new();
    let mut put = |key: &str, value: Json| whole.insert(key.to_owned(), value);
    put("operationId", json!(of.map_or_else(|| said.id.clone(), |of| format!("{}_{}", of.name, said.id))));
    put("tags", json!([of.map_or(said.tag.as_str(), |of| &of.name)]));
    put("summary", json!(said.summary));
    if let Some(about) = &said.about {
        put("description", json!(about));
    }
    if said.open {
        put("security", json!([]));
    } else if said.by.is_some() {
        put("security", json!([{}, {"token": []}]));
    }
    let mut parameters = path_parameters(call, of);
    parameters.extend(said.params.iter().map(|name| reference("parameters", name)));
    if !parameters.is_empty() {
        put("parameters", Json::Array(parameters));
    }
    if let Some(body) = &said.body {
        put("requestBody", request_body(body, of));
    }
    put("responses", responses(call, of));
    Json::Object(whole)
}

fn path_parameters(call: &Call, of: Option<&Described>) -> Vec<Json> {
    let one = |name: &str| {
        let description = if name == "collection" { "The collection's name or id." } else { "Which one." };
        json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string"}})
    };
    let names = call.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    // Of one collection its name stands in the path.
    names.filter(|name| of.is_none() || *name != "collection").map(one).collect()
}

fn request_body(body: &str, of: Option<&Described>) -> Json {
    let name = body.trim_end_matches('?');
    if name == "lines" {
        let text = json!({"schema": {"type": "string"}});
        return json!({"required": true, "content": {"application/x-ndjson": text, "text/csv": text}});
    }
    if name == "file" {
        let form = json!({"type": "object", "required": ["file"], "additionalProperties": false,
            "properties": {"file": {"type": "string", "format": "binary"}}});
        let content = json!({"application/octet-stream": {}, "multipart/form-data": {"schema": form}});
        return json!({"required": true, "content": content});
    }
    let schema = match (name, of) {
        ("create" | "patch", Some(of)) => part(of, name),
        ("create", None) => "NewRecord".to_owned(),
        ("patch", None) => "RecordPatch".to_owned(),
        (other, _) => other.to_owned(),
    };
    let shown = match (name, of) {
        ("create", Some(of)) => Some(example::of(&of.create)),
        ("patch", Some(of)) => Some(first_of(&example::of(&patch(&of.create)))),
        (other, _) => COMPONENTS.schemas.get(other).and_then(|schema| schema.get("example")).cloned(),
    };
    let mut content = json!({"schema": reference("schemas", &schema)});
    if let Some(shown) = shown {
        content["example"] = shown;
    }
    json!({"required": !body.ends_with('?'), "content": {"application/json": content}})
}

/// A change of one thing.
fn first_of(example: &Json) -> Json {
    example
        .as_object()
        .and_then(|map| map.iter().next())
        .map_or_else(|| json!({}), |(name, value)| json!({name: value}))
}

fn responses(call: &Call, of: Option<&Described>) -> Json {
    let said = &call.said;
    let mut responses = Map::new();
    let mut words = said.answer.split(' ').peekable();
    let mut statuses = Vec::new();
    while let Some(status) = words.peek().and_then(|word| word.parse::<u16>().ok()) {
        statuses.push(status);
        words.next();
    }
    if statuses.is_empty() {
        statuses.push(if words.peek() == Some(&"socket") { 101 } else { 200 });
    }
    let rest: Vec<&str> = words.collect();
    for status in statuses {
        responses.insert(status.to_string(), answer(call, status, &rest, of));
    }
    let mut refusals = OF_ALL.to_vec();
    if !said.open {
        refusals.extend(OF_CALLERS);
    }
    if said.body.is_some() {
        refusals.extend(OF_BODIES);
    }
    if call.writes() {
        refusals.extend(OF_WRITES);
    }
    refusals.extend(&said.refusals);
    refusals.sort_unstable();
    for status in refusals {
        responses.insert(status.to_string(), reference("responses", &status.to_string()));
    }
    Json::Object(responses)
}

fn answer(call: &Call, status: u16, rest: &[&str], of: Option<&Described>) -> Json {
    let mut headers = vec!["X-Request-Id"];
    let record = || of.map_or_else(|| reference("schemas", "Record"), |of| reference("schemas", &part(of, "record")));
    let content = match rest {
        [] => None,
        ["record"] => {
            headers.push("ETag");
            if status == 201 {
                headers.push("Location");
            }
            Some(("application/json", record()))
        }
        ["list"] => Some(("application/json", list(record()))),
        ["lines"] => Some(("application/x-ndjson", json!({"type": "string"}))),
        ["changes"] => {
            headers.push("Millpond-Seq");
            Some(("application/x-ndjson", json!({"type": "string"})))
        }
        ["text"] => Some(("text/plain", json!({"type": "string"}))),
        ["events"] => Some(("text/event-stream", json!({"type": "string"}))),
        ["socket"] => None,
        [name] => Some(("application/json", reference("schemas", name))),
        [kind, name, ..] => Some((*kind, reference("schemas", name))),
    };
    if call.method == "GET" && matches!(rest, ["record" | "list"]) {
        headers.push("Cache-Status");
    }
    if call.writes()
        && (call.path.contains("records") || call.path.contains("collections") || call.path.ends_with("batch"))
    {
        headers.push("Millpond-Seq");
    }
    let named: Map<String, Json> =
        headers.into_iter().map(|name| (name.to_owned(), reference("headers", name))).collect();
    let mut whole = json!({"description": meaning(status), "headers": named});
    if let Some((kind, schema)) = content {
        whole["content"] = json!({kind: {"schema": schema}});
        if rest == ["lines"] {
            whole["content"]["text/csv"] = json!({"schema": {"type": "string"}});
        }
        if rest == ["record"]
            && let Some(of) = of
        {
            whole["content"][kind]["example"] = example::of(&of.record);
        }
    }
    whole
}

fn meaning(status: u16) -> &'static str {
    match status {
        101 => "It goes on as a WebSocket",
        201 => "Made",
        204 => "Done",
        _ => "Good",
    }
}

fn list(record: Json) -> Json {
    json!({
        "type": "object",
        "required": ["page", "perPage", "totalItems", "totalPages", "items", "nextCursor"],
        "properties": {
            "page": {"type": "integer"}, "perPage": {"type": "integer"},
            "totalItems": {"type": "integer", "description": "-1 with skipTotal"}, "totalPages": {"type": "integer"},
            "items": {"type": "array", "items": record},
            "nextCursor": {"type": ["string", "null"]}, "explain": {"type": "object"},
        },
    })
}
