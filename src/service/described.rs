//! What documents about the API are made of: the collections as schemas, and as types of a language. For superusers, who see
//! all definitions anyway; to others no document tells what collections there are.

use serde_json::Value as Json;

use crate::error::Result;
use crate::model::definition::{create_schema, record_schema, typescript};
use crate::service::{Caller, Service, access};

/// A collection in a document.
#[derive(Debug)]
pub struct Described {
    /// Its name.
    pub name: Box<str>,
    /// Whether its records can sign in.
    pub is_auth: bool,
    /// The JSON Schema of a body that makes a record.
    pub create: Json,
    /// That of a record in an answer.
    pub record: Json,
}

impl Service {
    /// The collections that a caller may be told of, but for the server's own: all, or none.
    pub fn described(&self, caller: &Caller) -> Vec<Described> {
        if access::superuser(caller).is_err() {
            return Vec::new();
        }
        let view = self.core().view();
        let schema = &view.schema;
        let describe = |collection: &std::sync::Arc<crate::model::schema::Collection>| Described {
            name: collection.name.clone(),
            is_auth: collection.auth_fields().is_some(),
            create: create_schema(schema, collection, true),
            record: record_schema(schema, collection, true),
        };
        schema.iter().filter(|collection| !collection.id.is_own()).map(describe).collect()
    }

    /// The types of all records as TypeScript.
    ///
    /// # Errors
    /// `Unauthenticated` or `Forbidden` but for a superuser.
    pub fn types(&self, caller: &Caller) -> Result<String> {
        access::superuser(caller)?;
        Ok(typescript(&self.core().view().schema, false))
    }
}
