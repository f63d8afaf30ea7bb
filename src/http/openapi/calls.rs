//! The table of calls, as `calls.json` has it: what each takes, answers and refuses.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// A call of the route table.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) said: Said,
}

/// What the table says of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// Its name in clients.
    pub(super) id: String,
    pub(super) tag: String,
    /// Of which collections it is repeated for each: `any`, or those of type `auth`.
    #[serde(default)]
    pub(super) of: Option<Of>,
    pub(super) summary: String,
    #[serde(default)]
    pub(super) about: Option<String>,
    /// Names of parameters of `components.json`.
    #[serde(default)]
    pub(super) params: Vec<String>,
    /// A schema's name, `?` behind one that may be left out; or `create`, `patch`, `lines`, `file`.
    #[serde(default)]
    pub(super) body: Option<String>,
    /// Statuses (200 if none), a media type (JSON if none) and a schema's name; or `record`, `list`, `lines`, `changes`, `text`,
    /// `events`, `socket`, or nothing behind a 204.
    pub(super) answer: String,
    /// Statuses beside those that all have.
    #[serde(default)]
    pub(super) refusals: Vec<u16>,
    /// Whether it asks for no token.
    #[serde(default)]
    pub(super) open: bool,
    /// `rule` where a rule says whether there has to be a token.
    #[serde(default)]
    pub(super) by: Option<By>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum By {
    Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Of {
    Any,
    Auth,
}

/// All of them, in the order of the file.
pub(super) static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| {
    let table: Map<String, Json> = serde_json::from_str(include_str!("calls.json")).expect("the table is JSON");
    let call = |(name, said): (String, Json)| {
        let (method, path) = name.split_once(' ').expect("a method and a path");
        let said = serde_json::from_value(said).expect("what the table may say");
        Call { method: method.to_owned(), path: path.to_owned(), said }
    };
    table.into_iter().map(call).collect()
});

/// What calls share.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Components {
    pub(super) security_schemes: Json,
    pub(super) parameters: Map<String, Json>,
    pub(super) headers: Map<String, Json>,
    /// By status: what it means, and a code, a detail and `data` of one; none of these where there is no body.
    pub(super) refusals: Map<String, Json>,
    pub(super) schemas: Map<String, Json>,
}

pub(super) static COMPONENTS: LazyLock<Components> =
    LazyLock::new(|| serde_json::from_str(include_str!("components.json")).expect("the components are JSON"));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_of_the_route_table_is_described() {
        // A record may be called `aggregate`: then it is one of `{id}`.
        let is_other = |one: &&crate::http::Endpoint| one.method == "GET" || !one.path.ends_with("/records/aggregate");
        let endpoints = crate::http::endpoints();
        let table: BTreeSet<String> =
            endpoints.iter().filter(is_other).map(|one| format!("{} {}", one.method, one.path)).collect();
        let described: BTreeSet<String> = CALLS.iter().map(|call| format!("{} {}", call.method, call.path)).collect();
        assert_eq!(described, table, "each call has a line in src/http/openapi/calls.json, and no other has");
        let names: BTreeSet<&str> = CALLS.iter().map(|call| call.said.id.as_str()).collect();
        assert_eq!(names.len(), CALLS.len(), "each has a name of its own");
    }

    #[test]
    fn what_calls_name_is_there_and_all_that_is_there_is_named() {
        let components = &*COMPONENTS;
        let named: BTreeSet<&str> = CALLS.iter().flat_map(|call| &call.said.params).map(String::as_str).collect();
        let known: BTreeSet<&str> = components.parameters.keys().map(String::as_str).collect();
        assert_eq!(named, known);
        for call in CALLS.iter() {
            for status in &call.said.refusals {
                assert!(components.refusals.contains_key(&status.to_string()), "{}: {status}", call.said.id);
            }
        }
    }
}
