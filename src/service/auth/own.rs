//! The server's own collections, `_superusers` and `_apiKeys` with those of handlers and of jobs, defined as any other when a server
//! starts without them.
//!
//! Their rules are null, so only superusers see them and write to them.

use super::super::Service;
use crate::error::Result;
use crate::limits;
use crate::model::command::Command;
use crate::model::definition;
use crate::model::handler;
use crate::model::job;
use crate::model::schema::Collection;
use crate::state;

pub(super) const SUPERUSERS: &str = "_superusers";
/// Where API keys lie.
pub(in crate::service) const API_KEYS: &str = "_apiKeys";

/// Their definitions, as a client would give them.
fn definitions() -> [String; 6] {
    let seconds = limits::SUPERUSER_TOKEN_SECONDS;
    let [handlers, dead_letters] = handler::definitions();
    let [jobs, runs] = job::definitions();
    [
        format!(
            r#"{{"name":"{SUPERUSERS}","type":"auth","authToken":{{"duration":{seconds}}},"fields":[
            {{"name":"created","type":"autodate","onCreate":true}},
            {{"name":"updated","type":"autodate","onCreate":true,"onUpdate":true}}]}}"#
        ),
        format!(
            r#"{{"name":"{API_KEYS}","fields":[
            {{"name":"name","type":"text","required":true,"max":200}},
            {{"name":"hash","type":"secret","hidden":true}},
            {{"name":"ownerCollection","type":"text","max":64}},
            {{"name":"owner","type":"text","max":100}},
            {{"name":"collections","type":"json","maxSize":100000}},
            {{"name":"actions","type":"select","maxSelect":5,"values":["list","view","create","update","delete"]}},
            {{"name":"expires","type":"date"}},
            {{"name":"created","type":"autodate","onCreate":true}},
            {{"name":"updated","type":"autodate","onCreate":true,"onUpdate":true}}],
            "checks":[{{"name":"whole_owner","expr":"(owner = null) = (ownerCollection = null)","field":"owner",
            "message":"owner and ownerCollection are given both or neither"}}]}}"#
        ),
        handlers,
        dead_letters,
        jobs,
        runs,
    ]
}

/// Whether a collection's records are superusers.
pub(in crate::service) fn is_superusers(collection: &Collection) -> bool {
    &*collection.name == SUPERUSERS
}

impl Service {
    /// Defines those of the server's own collections that are not there yet.
    ///
    /// # Errors
    /// The core's.
    pub async fn define_own(&self) -> Result<()> {
        for text in definitions() {
            let schema = self.core().view().schema.clone();
            let wanted = definition::parse_own(&schema, text.as_bytes(), self.core().clock().now())?;
            if schema.find(&wanted.name).is_none() {
                self.core().submit(Command::Define(Box::new(wanted))).await?;
            }
        }
        Ok(())
    }

    /// Whether there is a superuser.
    ///
    /// # Errors
    /// The state's.
    pub fn has_superuser(&self) -> Result<bool> {
        let view = self.core().view();
        let Some(superusers) = view.schema.find(SUPERUSERS) else { return Ok(false) };
        Ok(state::tally(&view.stack, superusers.id, superusers.generation)?.count > 0)
    }
}
