//! `millpond demo`: a server with real data in it, and curl lines that work.
//!
//! The data goes the way all data goes: definitions and bodies through the pipeline, commands through the core. Run
//! again on its folder it finds what it loaded.

mod flights;
mod shop;

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{say, serve, trace};
use crate::config::Settings;
use crate::core::Core;
use crate::error::{Error, Kind, Result};
use crate::id::RecordId;
use crate::limits;
use crate::model::command::{Command, Write};
use crate::model::schema::Collection;
use crate::model::{definition, pipeline};
use crate::server::Server;
use crate::service::access;

/// Bodies of creates with the ids that they get.
type Records = Vec<(RecordId, Map<String, Value>)>;

/// What is built into the binary: definitions, and the records of each collection, those that are pointed at first.
struct Filling {
    collections: Vec<Value>,
    records: Vec<(String, Records)>,
}

pub(super) fn run(settings: Settings) -> Result<()> {
    trace(&settings)?;
    let (data, scheme) = (settings.data.display().to_string(), settings.scheme());
    let server = Server::start(settings)?;
    let began = Instant::now();
    match load(server.core()) {
        Ok(0) => say(format_args!("the flights and the shop are in {data} already")),
        Ok(records) => {
            let seconds = began.elapsed().as_secs_f64();
            say(format_args!("loaded {records} records into {data} in {seconds:.1} s"));
        }
        Err(error) => {
            server.stop()?;
            return Err(error);
        }
    }
    serve::serve(server, move |address| say(format_args!("{}", tour(&format!("{scheme}://{address}")))))
}

/// Loads what is not there yet; how many records that were.
fn load(core: &Core) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Error::internal("no runtime").source(error))?;
    runtime.block_on(async {
        let mut created = 0;
        for filling in [flights::filling()?, shop::filling()?, flights::report()?] {
            for wanted in &filling.collections {
                define(core, wanted).await?;
            }
            for (collection, records) in filling.records {
                created += fill(core, &collection, records).await?;
            }
        }
        Ok(created)
    })
}

async fn define(core: &Core, wanted: &Value) -> Result<()> {
    let view = core.view();
    if wanted["name"].as_str().is_some_and(|name| view.schema.find(name).is_some()) {
        return Ok(());
    }
    let collection = definition::parse(&view.schema, wanted.to_string().as_bytes(), core.clock().now())?;
    core.submit(Command::Define(Box::new(collection))).await?;
    Ok(())
}

/// Creates those records that do not exist, a transaction for each `ENTRY_CHANGES_PIECE` of them.
async fn fill(core: &Core, name: &str, records: Records) -> Result<usize> {
    let view = core.view();
    let gone = || Error::new(Kind::NotFound, format!("the collection {name} is gone"));
    let collection = view.schema.find(name).ok_or_else(gone)?;
    let missing = |id: &RecordId| Ok(!crate::state::exists(&view.stack, collection, id)?);
    let mut created = 0;
    let mut writes = Vec::with_capacity(limits::ENTRY_CHANGES_PIECE);
    for (id, fields) in records {
        if missing(&id)? {
            writes.push(create(collection, id, fields)?);
        }
        if writes.len() == limits::ENTRY_CHANGES_PIECE {
            created += writes.len();
            core.submit(Command::Write(std::mem::take(&mut writes))).await?;
        }
    }
    if !writes.is_empty() {
        created += writes.len();
        core.submit(Command::Write(writes)).await?;
    }
    Ok(created)
}

fn create(collection: &Collection, id: RecordId, fields: Map<String, Value>) -> Result<Write> {
    let body = Value::Object(fields).to_string();
    Ok(Write {
        collection: collection.id,
        schema: collection.version,
        guard: access::for_server(),
        op: pipeline::create(collection, body.as_bytes(), id, true)?,
    })
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::internal("the built-in data are not readable").source(error))
}

/// What a newcomer can try at once on the server there.
fn tour(origin: &str) -> String {
    let records = format!("{origin}/api/collections/flights/records");
    let orders = format!("{origin}/api/collections/orders/records");
    format!(
        r#"
millpond serves {origin}; stop it with Ctrl-C. Its admin page is {origin}/_/
In another terminal:

an indexed filter: the flights from Honolulu that were over an hour late
  curl -s -G {records} --data-urlencode "filter=origin='HNL' && delay>60"

a sorted page: the ten longest delays
  curl -s '{records}?sort=-delay&perPage=10&skipTotal=1'

related records by the relations' own indexes: orders that have something organic in them, by a user's name
  curl -s -G {orders} --data-urlencode "filter=user.name ~ 'ada' && items.labels ?= 'organic'"

an order with all of its fields, and its user beside it
  curl -s '{orders}/o1?fields=*,expand.user.name&expand=user'

a business rule: a paid order needs a total
  curl -s {orders} -H 'Content-Type: application/json' -d '{{"user_id":"ada","items":["rye"],"status":"paid"}}'

a refused body, with all its faults in one answer
  curl -s {records} -H 'Content-Type: application/json' -d '{{"date":"2001-02-30","delay":"late","distance":0,"origin":"HNL","gate":7}}'

a patch with If-Match: it holds only while nobody else has changed the record
  etag=$(curl -si {records}/f00001 | tr -d '\r' | sed -n 's/^etag: //Ip')
  curl -si -X PATCH {records}/f00001 -H 'Content-Type: application/json' -H "If-Match: $etag" -d '{{"note":"checked"}}'
  curl -si -X PATCH {records}/f00001 -H 'Content-Type: application/json' -H "If-Match: $etag" -d '{{"note":"too late"}}'

a job: the report of delays by airport, made now and every morning, and the worst of it
  curl -s -X POST {origin}/api/jobs/delays/run
  curl -s '{origin}/api/collections/delays/records?sort=-mean&perPage=3&expand=airport&fields=airport,flights,late,mean,expand.airport.name'

without a token every caller on this machine is a superuser here; an API key that only reads, and what it may not do
  key=$(curl -s {origin}/api/collections/_apiKeys/records -H 'Content-Type: application/json' -d '{{"name":"reader","actions":["list","view"]}}' | sed -n 's/.*"key":"\([^"]*\)".*/\1/p')
  curl -s '{records}?perPage=1' -H "Authorization: $key"
  curl -s -X DELETE {records}/f00001 -H "Authorization: $key"
"#
    )
}
