//! The shop of `data/shop`: its records are bodies of creates already.

use serde_json::{Map, Value};

use super::{Filling, Records, parse};
use crate::error::{Error, Result};
use crate::id::RecordId;

const COLLECTIONS: &str = include_str!("../../../data/shop/collections.json");
const RECORDS: &str = include_str!("../../../data/shop/records.json");

/// Users and products before the orders that point at them: the order of the file.
pub(super) fn filling() -> Result<Filling> {
    let mut records = Vec::new();
    for (collection, bodies) in parse::<Map<String, Value>>(RECORDS)? {
        let Value::Array(bodies) = bodies else { return Err(Error::internal("the shop's records are no lists")) };
        records.push((collection, bodies.into_iter().map(named).collect::<Result<Records>>()?));
    }
    Ok(Filling { collections: parse(COLLECTIONS)?, records })
}

fn named(body: Value) -> Result<(RecordId, Map<String, Value>)> {
    let Value::Object(mut fields) = body else { return Err(Error::internal("a record of the shop is no object")) };
    let id = fields.remove("id").and_then(|id| RecordId::new(id.as_str()?).ok());
    Ok((id.ok_or_else(|| Error::internal("a record of the shop without an id"))?, fields))
}
